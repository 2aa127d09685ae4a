/* Examples: the same ones whenever the log is gone through again, and labels that fold to what a
 * join by plain arrays gives. */
#include "base/hash.h"
#include "base/memory.h"
#include "flow/example_file.h"
#include "tests/simulation.h"

/* --- examples as flow makes them --- */

static struct sim_example example_of(const struct example *example) {
    uint64_t content = hash_bytes(example->keys, (size_t)example->key_count * sizeof(uint64_t));
    content =
        hash_mix(content, hash_bytes(example->dense, (size_t)example->dense_count * sizeof(float)));
    float numbers[2] = {example->weight, example->log_odds};
    content = hash_mix(content, hash_bytes(numbers, sizeof(numbers)));
    content = hash_mix(content, hash_mix((uint64_t)example->shown_ms, example->part));
    return (struct sim_example){.sequence = example->sequence,
                                .user = example->user_hash,
                                .request = example->request_hash,
                                .item = example->item_hash,
                                .content = content,
                                .due_ms = example->due_ms,
                                .mask = example->mask,
                                .labels = example->labels,
                                .flags = example->flags};
}

/* The first example of a row at or after `sequence`. */
static int example_from(const struct sim *sim, uint64_t sequence) {
    int at = 0;
    while (at < sim->example_count && sim->examples[at].sequence < sequence) {
        at++;
    }
    return at;
}

void sim_watch(void *context, const struct example *example) {
    struct sim *sim = context;
    struct sim_example made = example_of(example);
    if (!sim->example_began) {
        sim->example_began = true;
        sim->example_next = example_from(sim, made.sequence);
    }
    int place = sim->example_next++;
    sim->examples_checked++;
    if (place < sim->example_count) {
        CHECK(memcmp(&made, &sim->examples[place], sizeof(made)) == 0,
              "example %d of row %llu, when it is made again, is another", place,
              (unsigned long long)made.sequence);
        return;
    }
    CHECK(place < SIM_EXAMPLES_MAX, "too many examples");
    CHECK(place == 0 || sim->examples[place - 1].sequence <= made.sequence,
          "examples go back from row %llu to %llu",
          (unsigned long long)sim->examples[place - 1].sequence, (unsigned long long)made.sequence);
    sim->examples[place] = made;
    sim->example_count = place + 1;
}

/* The engine was opened from a checkpoint and has come to the log's end: all examples of the rows
 * since then were made again. */
void sim_examples_opened(struct sim *sim, uint64_t checkpoint_sequence) {
    if (!sim->example_began) {
        sim->example_next = example_from(sim, checkpoint_sequence);
    }
    CHECK(sim->example_next >= sim->example_count, "%d examples were not made again",
          sim->example_count - sim->example_next);
    sim->example_began = true;
}

/* --- examples in files --- */

struct reading {
    const struct sim *sim;
    int next;
};

static leat_status file_check(void *context, const char *name) {
    struct reading *reading = context;
    const struct sim *sim = reading->sim;
    char path[PATH_BYTES_MAX];
    struct example_reader *reader;
    struct batch batch;
    if (!strstr(name, ".frames")) {
        return LEAT_OK;
    }
    snprintf(path, sizeof(path), SIM_EXAMPLES "/%s", name);
    leat_status status = example_reader_open(disk_fake_disk(sim->fake), path, &reader, NULL);
    CHECK(status == LEAT_OK, "%s cannot be read", path);
    leat_error err = {.message = ""};
    while ((status = example_reader_next(reader, &batch, &err)) == LEAT_OK) {
        for (int64_t row = 0; row < batch.rows; row++) {
            const struct sim_example *example = &sim->examples[reading->next++];
            CHECK(reading->next <= sim->example_count &&
                      batch_u64(&batch, EXAMPLE_SEQUENCE, row) == example->sequence &&
                      (uint32_t)batch_i32(&batch, EXAMPLE_MASK, row) == example->mask &&
                      (uint32_t)batch_i32(&batch, EXAMPLE_LABELS, row) == example->labels,
                  "%s: example %d is another", path, reading->next - 1);
        }
    }
    CHECK(status == LEAT_END, "%s is not whole: %s", path, err.message);
    example_reader_close(reader);
    return LEAT_OK;
}

void sim_emitted_check(struct sim *sim) {
    struct reading reading = {.sim = sim};
    if (!sim->emits) {
        return;
    }
    sim->slow_percent = 0; /* no more are made meanwhile */
    sim_checkpoint(sim);
    disk_list(disk_fake_disk(sim->fake), SIM_EXAMPLES, file_check, &reading, NULL);
    CHECK(reading.next == sim->example_count, "%d examples in files, %d were made", reading.next,
          sim->example_count);
}

/* --- folding --- */

static void label_fold(struct sim_labels *labels, struct sim_label word) {
    for (int i = 0; i < labels->count; i++) {
        struct sim_label *label = &labels->all[i];
        if (label->user == word.user && label->request == word.request &&
            label->item == word.item) {
            label->labels = (label->labels & ~word.mask) | (word.labels & word.mask);
            label->mask |= word.mask;
            return;
        }
    }
    CHECK(labels->count < SIM_LABELS_MAX, "too many labels");
    labels->all[labels->count++] = word;
}

static const struct sim_label *label_find(const struct sim_labels *labels,
                                          const struct sim_label *key) {
    for (int i = 0; i < labels->count; i++) {
        const struct sim_label *label = &labels->all[i];
        if (label->user == key->user && label->request == key->request &&
            label->item == key->item) {
            return label;
        }
    }
    return NULL;
}

static uint64_t user_hash(int user) {
    char text[40];
    sim_text(text, 'u', user);
    return hash_slice(slice_of(text));
}

static bool is_clicker(uint64_t user) {
    for (int i = SIM_PEOPLE; i < SIM_PEOPLE + SIM_CLICKERS; i++) {
        if (user == user_hash(i)) {
            return true;
        }
    }
    return false;
}

/* --- a join by plain arrays --- */

/* In the order of the `labels` choices of api/config.def. */
enum { LABELS_WINDOW, LABELS_FAKE_NEGATIVE, LABELS_SLIDING };
enum { REPEAT_MS = 60000 }; /* an impression without a request is a new showing after so long */

struct showing {
    struct sim_label key;
    int user, item, request, surface;
    int64_t begun_ms, shown_ms;
    uint32_t settled, positive;
    bool seen, over;
};

struct model {
    const struct sim *sim;
    struct sim_labels *labels;  /* where every negative is said */
    struct sim_labels *thinned; /* where a showing says its positives alone */
    struct showing *all;
    int count;
    uint32_t tasks;
    int64_t longest_ms, now_ms;
};

static const struct config_surface_fields *surface_of(const struct model *model,
                                                      const struct showing *showing) {
    return &model->sim->config->surfaces[showing->surface].fields;
}

static int64_t window(const struct model *model, int task) {
    return model->sim->config->actions[task].fields.window;
}

static struct sim_label key_of(const struct sim *sim, const struct sim_row *row) {
    char text[40];
    struct sim_label key = {.user = user_hash(row->user)};
    sim_text(text, 'i', row->item);
    key.item = hash_slice(slice_of(text));
    if (row->request >= SIM_PAGES_MAX) {
        sim_text(text, 'x', row->request);
        key.request = hash_slice(slice_of(text));
    } else if (row->request >= 0) {
        key.request = hash_slice(slice_of(sim->pages[row->request].request));
    }
    return key;
}

static void model_word(struct model *model, const struct sim_label *key, uint32_t mask,
                       uint32_t labels) {
    struct sim_label word = *key;
    word.mask = mask;
    word.labels = labels;
    label_fold(model->labels, word);
    word.mask &= labels | SIM_AMBIGUOUS | ~model->tasks; /* whole examples are not thinned */
    if (word.mask) {
        label_fold(model->thinned, word);
    }
}

/* The open tasks whose windows have passed. */
static void settle_windows(struct model *model, struct showing *showing, int64_t now_ms) {
    uint32_t mask = 0;
    for (int t = 0; t < model->sim->config->action_count; t++) {
        bool ended = showing->shown_ms + window(model, t) <= now_ms;
        mask |= ended ? model->tasks & ~showing->settled & 1u << t : 0;
    }
    if (mask) {
        showing->settled |= mask;
        model_word(model, &showing->key, mask, 0);
    }
}

static bool has_other(const struct model *model, const struct showing *showing) {
    for (int i = 0; i < model->count; i++) {
        const struct showing *other = &model->all[i];
        if (other != showing && other->user == showing->user && other->item == showing->item) {
            return true;
        }
    }
    return false;
}

/* All tasks as they stand, where a multiple of the slide or the end lies between then and now. A
 * late showing of the same record may let a slide be said once more: that is not modelled. */
static void settle_slide(struct model *model, struct showing *showing, int64_t now_ms) {
    int64_t slide_ms = surface_of(model, showing)->slide;
    int64_t before = (model->now_ms - showing->shown_ms) / slide_ms;
    int64_t passed = (now_ms - showing->shown_ms) / slide_ms;
    if (passed > before || now_ms - showing->shown_ms >= model->longest_ms) {
        model_word(model, &showing->key, model->tasks, showing->positive);
    } else if (passed > 0 && has_other(model, showing)) {
        model_word(model, &showing->key, SIM_AMBIGUOUS, 0);
    }
}

/* What time settles. */
static void model_time(struct model *model, int64_t now_ms) {
    for (int i = 0; i < model->count; i++) {
        struct showing *showing = &model->all[i];
        bool open = showing->seen && !showing->over;
        if (open && (int)surface_of(model, showing)->labels == LABELS_SLIDING) {
            settle_slide(model, showing, now_ms);
        } else if (open) {
            settle_windows(model, showing, now_ms);
        }
        int64_t from = showing->seen ? showing->shown_ms : showing->begun_ms;
        showing->over = showing->over || from + model->longest_ms <= now_ms;
    }
    model->now_ms = now_ms;
}

static bool is_of(const struct showing *showing, const struct sim_row *row) {
    return !showing->over && showing->user == row->user && showing->item == row->item;
}

static bool is_newer(const struct showing *a, const struct showing *b) {
    return a->begun_ms != b->begun_ms ? a->begun_ms > b->begun_ms : a->key.request > b->key.request;
}

/* The newest as of the row's time; where all began later, the one that began first. */
static struct showing *find_newest(struct model *model, const struct sim_row *row) {
    struct showing *before = NULL;
    struct showing *after = NULL;
    for (int i = 0; i < model->count; i++) {
        struct showing *showing = &model->all[i];
        if (is_of(showing, row) && showing->begun_ms <= row->time_ms) {
            before = !before || is_newer(showing, before) ? showing : before;
        } else if (is_of(showing, row)) {
            after = !after || is_newer(after, showing) ? showing : after;
        }
    }
    return before ? before : after;
}

static struct showing *showing_find(struct model *model, const struct sim_row *row) {
    for (int i = 0; row->request >= 0 && i < model->count; i++) {
        if (is_of(&model->all[i], row) && model->all[i].request == row->request) {
            return &model->all[i];
        }
    }
    if (row->request >= 0 && row->kind != ROW_ACTION) {
        return NULL;
    }
    struct showing *found = find_newest(model, row);
    bool again = found && row->kind == ROW_IMPRESSION && found->seen &&
                 row->time_ms - found->shown_ms >= REPEAT_MS;
    return again ? NULL : found;
}

/* Two that live at once and have one key fold in an order that is not modelled. */
static void ambiguous_note(struct model *model, const struct showing *made) {
    for (int i = 0; i < model->count - 1; i++) {
        const struct showing *other = &model->all[i];
        if (!other->over && other->user == made->user && other->item == made->item &&
            other->request == made->request) {
            model_word(model, &made->key, SIM_AMBIGUOUS, 0);
        }
    }
}

static struct showing *showing_make(struct model *model, const struct sim_row *row) {
    struct showing *showing = &model->all[model->count++];
    *showing = (struct showing){.key = key_of(model->sim, row),
                                .user = row->user,
                                .request = row->request,
                                .item = row->item,
                                .surface = row->surface,
                                .begun_ms = row->time_ms};
    ambiguous_note(model, showing);
    return showing;
}

static void showing_see(struct model *model, struct showing *showing, int64_t time_ms) {
    if (showing->seen) {
        return;
    }
    showing->seen = true;
    showing->shown_ms = time_ms;
    if ((int)surface_of(model, showing)->labels == LABELS_FAKE_NEGATIVE) {
        showing->settled = model->tasks;
        model_word(model, &showing->key, model->tasks, 0);
    }
}

static void model_action(struct model *model, const struct sim_row *row) {
    const struct config_action_fields *action = &model->sim->config->actions[row->action].fields;
    uint32_t bit = 1u << row->action;
    if (action->threshold > 0) {
        bool positive = row->has_value && row->value >= action->threshold;
        struct sim_label key = key_of(model->sim, row);
        model_word(model, &key, bit, positive ? bit : 0);
        return;
    }
    struct showing *showing = showing_find(model, row);
    if (!showing) {
        return;
    }
    showing_see(model, showing, row->time_ms);
    if (!(showing->positive & bit)) {
        showing->positive |= bit;
        showing->settled |= bit;
        if ((int)surface_of(model, showing)->labels != LABELS_SLIDING) {
            model_word(model, &showing->key, bit, bit);
        }
    }
}

static void model_shown(struct model *model, const struct sim_row *row) {
    struct showing *showing = showing_find(model, row);
    showing = showing ? showing : showing_make(model, row);
    if (row->kind == ROW_IMPRESSION ||
        model->sim->config->surfaces[row->surface].fields.examples == ROW_EXAMPLES_SERVED) {
        showing_see(model, showing, row->time_ms);
    }
}

static void model_row(struct model *model, const struct sim_row *row) {
    switch (row->kind) {
    case ROW_SERVED:
    case ROW_IMPRESSION: model_shown(model, row); break;
    case ROW_ACTION: model_action(model, row); break;
    case ROW_FORGET:
        for (int i = 0; i < model->count; i++) {
            model->all[i].over |= model->all[i].user == row->user;
        }
        break;
    default: break;
    }
}

static void model_run(struct model *model) {
    const struct sim *sim = model->sim;
    for (int t = 0; t < sim->config->action_count; t++) {
        if (sim->config->actions[t].fields.threshold == 0) {
            model->tasks |= 1u << t;
            model->longest_ms =
                window(model, t) > model->longest_ms ? window(model, t) : model->longest_ms;
        }
    }
    for (uint64_t i = 0; i < sim->log_count; i++) {
        const struct sim_row *row = &sim->rows[sim->log[i]];
        if (row->now_ms > model->now_ms) { /* rows of one moment see no time pass */
            model_time(model, row->now_ms);
        }
        if (!row->duplicate && row->user != SIM_NOBODY && row->user < SIM_PEOPLE) {
            model_row(model, row);
        }
    }
}

/* --- the two beside each other --- */

static bool same_label(const struct sim_label *a, const struct sim_label *b) {
    return (a ? a->mask : 0) == (b ? b->mask : 0) && (a ? a->labels : 0) == (b ? b->labels : 0);
}

static void folded_check(const struct sim *sim, const struct sim_labels *made,
                         const struct model *model) {
    bool thins = sim->config->flow.keep_negatives > 1;
    for (int i = 0; i < model->labels->count; i++) {
        const struct sim_label *want = &model->labels->all[i];
        const struct sim_label *have = label_find(made, want);
        bool same =
            same_label(have, want) || (thins && same_label(have, label_find(model->thinned, want)));
        CHECK(same || want->mask & SIM_AMBIGUOUS, "label %d: %x of %x instead of %x of %x", i,
              have ? have->labels : 0, have ? have->mask : 0, want->labels, want->mask);
    }
    for (int i = 0; i < made->count; i++) {
        CHECK(label_find(model->labels, &made->all[i]), "a label of what was never shown");
    }
}

void sim_labels_check(struct sim *sim) {
    struct sim_labels *made = memory_zalloc(3 * sizeof(*made));
    struct model model = {.sim = sim, .labels = made + 1, .thinned = made + 2};
    model.all = memory_zalloc(SIM_ROWS_MAX * sizeof(*model.all));
    CHECK(made && model.all, "no memory for a model");
    for (int i = 0; i < sim->example_count; i++) {
        const struct sim_example *example = &sim->examples[i];
        if (!is_clicker(example->user)) {
            label_fold(made, (struct sim_label){example->user, example->request, example->item,
                                                example->mask, example->labels});
        }
    }
    model_run(&model);
    if (sim->config->flow.lateness == 0) { /* else rows wait: src/flow/join_order_test.c */
        folded_check(sim, made, &model);
    }
    memory_free(model.all);
    memory_free(made);
}
