/* Examples: the same ones whenever the log is gone through again, and labels that fold to what a
 * join by plain arrays gives. */
#include "base/hash.h"
#include "base/memory.h"
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

struct showing {
    int user, request, item;
    int64_t shown_ms; /* 0: served, not yet seen */
    int64_t begun_ms; /* of its first row */
    uint32_t settled, positive;
    bool over;
    bool newest; /* of this item for this person */
};

struct model {
    const struct sim *sim;
    struct sim_labels *labels;
    struct showing *all;
    int count;
    uint32_t tasks;
    int64_t longest_ms;
};

static int64_t window(const struct model *model, int task) {
    return model->sim->config->actions[task].fields.window;
}

static void model_word(struct model *model, const struct showing *showing, uint32_t mask,
                       uint32_t labels) {
    const struct sim *sim = model->sim;
    char text[40];
    struct sim_label word = {.user = user_hash(showing->user), .mask = mask, .labels = labels};
    sim_text(text, 'i', showing->item);
    word.item = hash_slice(slice_of(text));
    if (showing->request >= SIM_PAGES_MAX) {
        sim_text(text, 'x', showing->request);
        word.request = hash_slice(slice_of(text));
    } else if (showing->request >= 0) {
        word.request = hash_slice(slice_of(sim->pages[showing->request].request));
    }
    label_fold(model->labels, word);
}

/* What time settles. */
static void model_time(struct model *model, int64_t now_ms) {
    for (int i = 0; i < model->count; i++) {
        struct showing *showing = &model->all[i];
        uint32_t mask = 0;
        for (int t = 0; showing->shown_ms && t < model->sim->config->action_count; t++) {
            bool ended = showing->shown_ms + window(model, t) <= now_ms;
            mask |= ended ? model->tasks & ~showing->settled & 1u << t : 0;
        }
        if (!showing->over && mask) {
            showing->settled |= mask;
            model_word(model, showing, mask, 0);
        }
        int64_t from = showing->shown_ms ? showing->shown_ms : showing->begun_ms;
        showing->over = showing->over || from + model->longest_ms <= now_ms;
    }
}

static struct showing *showing_find(struct model *model, const struct sim_row *row) {
    struct showing *without = NULL;
    for (int i = model->count - 1; i >= 0; i--) {
        struct showing *showing = &model->all[i];
        if (showing->over || showing->user != row->user || showing->item != row->item) {
            continue;
        }
        if (row->request >= 0 ? showing->request == row->request : showing->newest) {
            return showing;
        }
        without = row->request < 0 && showing->request < 0 ? showing : without;
    }
    return without;
}

static struct showing *showing_make(struct model *model, const struct sim_row *row) {
    for (int i = 0; i < model->count; i++) {
        struct showing *before = &model->all[i];
        before->newest &= before->user != row->user || before->item != row->item;
    }
    struct showing *showing = &model->all[model->count++];
    *showing = (struct showing){.user = row->user,
                                .request = row->request,
                                .item = row->item,
                                .begun_ms = row->time_ms,
                                .newest = true};
    return showing;
}

static bool served_is_seen(const struct sim *sim, const struct sim_row *row) {
    return sim->config->surfaces[row->surface].fields.examples == ROW_EXAMPLES_SERVED;
}

static void model_action(struct model *model, const struct sim_row *row) {
    const struct config_action_fields *action = &model->sim->config->actions[row->action].fields;
    uint32_t bit = 1u << row->action;
    if (action->threshold > 0) {
        bool positive = row->has_value && row->value >= action->threshold;
        struct showing whole = {.user = row->user, .request = row->request, .item = row->item};
        model_word(model, &whole, bit, positive ? bit : 0);
        return;
    }
    struct showing *showing = showing_find(model, row);
    if (!showing) {
        return;
    }
    showing->shown_ms = showing->shown_ms ? showing->shown_ms : row->time_ms;
    if (!(showing->positive & bit)) {
        showing->positive |= bit;
        showing->settled |= bit;
        model_word(model, showing, bit, bit);
    }
}

static void model_row(struct model *model, const struct sim_row *row) {
    struct showing *showing = NULL;
    switch (row->kind) {
    case ROW_SERVED:
        if (!showing_find(model, row)) {
            showing = showing_make(model, row);
            showing->shown_ms = served_is_seen(model->sim, row) ? row->time_ms : 0;
        }
        break;
    case ROW_IMPRESSION:
        showing = showing_find(model, row);
        showing = showing ? showing : showing_make(model, row);
        showing->shown_ms = showing->shown_ms ? showing->shown_ms : row->time_ms;
        break;
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
    int64_t now_ms = 0;
    for (uint64_t i = 0; i < sim->log_count; i++) {
        const struct sim_row *row = &sim->rows[sim->log[i]];
        if (row->now_ms > now_ms) { /* rows of one moment see no time pass */
            now_ms = row->now_ms;
            model_time(model, now_ms);
        }
        if (!row->duplicate && row->user != SIM_NOBODY && row->user < SIM_PEOPLE) {
            model_row(model, row);
        }
    }
}

/* --- the two beside each other --- */

static void folded_check(const struct sim *sim, const struct sim_labels *made,
                         const struct sim_labels *wanted) {
    bool thinned = sim->config->flow.keep_negatives > 1;
    for (int i = 0; i < wanted->count; i++) {
        const struct sim_label *want = &wanted->all[i];
        const struct sim_label *have = label_find(made, want);
        uint32_t mask = have ? have->mask : 0;
        uint32_t labels = have ? have->labels : 0;
        CHECK(labels == want->labels, "positives of label %d: %x instead of %x", i, labels,
              want->labels);
        CHECK(thinned ? (mask & ~want->mask) == 0 : mask == want->mask,
              "tasks of label %d: %x instead of %x", i, mask, want->mask);
    }
    for (int i = 0; i < made->count; i++) {
        CHECK(label_find(wanted, &made->all[i]), "a label of what was never shown");
    }
}

void sim_labels_check(struct sim *sim) {
    struct sim_labels *made = memory_zalloc(2 * sizeof(*made));
    struct model model = {.sim = sim, .labels = made + 1};
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
    folded_check(sim, made, model.labels);
    memory_free(model.all);
    memory_free(made);
}
