#include "flow/feature_spec.h"
#include "learn/model.h"

#include <math.h>
#include <string.h>

static const char *const NETWORKS[] = {"fm",  "logistic", "fwfm", "deepfm",
                                       "dcn", "mmoe",     "ple",  "towers"};
static const char *const OPTIMISERS[] = {"adagrad", "ftrl", "adam", "rmsprop"};
static const char *const HEADS[] = {"binary", "regression", "ordinal", "retrieval"};
enum { NETWORK_COUNT = 8, OPTIMISER_COUNT = 4, HEAD_COUNT = 4, POOL_COUNT = 3 };

const char *model_network_name(enum model_network network) {
    return NETWORKS[network];
}

const char *model_optimiser_name(enum model_optimiser optimiser) {
    return OPTIMISERS[optimiser];
}

const char *model_head_name(enum model_head head) {
    return HEADS[head];
}

/* --- making one --- */

static void network_settings(const struct config *config, struct model_spec *out) {
    const struct config_network *given = &config->network;
    enum model_network network = (enum model_network)given->kind;
    bool experts = network == NETWORK_MMOE || network == NETWORK_PLE;
    bool batches = network >= NETWORK_FWFM;
    memset(out->hidden, 0, sizeof(out->hidden));
    out->network = network;
    out->hidden_count = network >= NETWORK_DEEPFM ? given->hidden.count : 0;
    for (int i = 0; i < out->hidden_count && i < MODEL_LAYERS_MAX; i++) {
        out->hidden[i] = (int)given->hidden.values[i];
    }
    out->cross = network == NETWORK_DCN ? (int)given->cross : 0;
    out->experts = experts ? (int)given->experts : 0;
    out->batch = batches ? (int)config->model.batch : 1;
    out->shards = batches ? (int)config->model.shards : 1;
}

static void settings(const struct config *config, struct model_spec *out) {
    const struct config_model *model = &config->model;
    network_settings(config, out);
    out->dimension = (int)model->dimension;
    out->optimiser = (enum model_optimiser)model->optimiser;
    out->rate = (float)model->rate;
    out->rate_dense = (float)model->rate_dense;
    out->l2 = (float)model->l2;
    out->decay = (float)model->decay;
    out->spread = (float)model->spread;
    out->calibrate = model->calibrate;
    out->evict = model->evict;
    out->seed = (uint64_t)config->root.seed;
    out->memory = model->memory;
}

static void name_set(char out[MODEL_NAME_MAX], const char *name) {
    snprintf(out, MODEL_NAME_MAX, "%s", name);
}

static leat_status settings_of_fields(const struct config *config, struct model_spec *out,
                                      leat_error *err) {
    for (int i = 0; i < config->field_count; i++) {
        const struct config_field *given = &config->fields[i];
        struct model_field *field = NULL;
        for (int f = 0; f < out->field_count; f++) {
            field = strcmp(out->fields[f].name, given->name) == 0 ? &out->fields[f] : field;
        }
        if (!field) {
            return error_set(err, LEAT_INVALID,
                             "model.fields.%s: there is no such feature; write its name as it is "
                             "written where the features are listed",
                             given->name);
        }
        field->rate = (float)given->settings.rate;
        field->expire_s = (given->settings.expire + 999) / 1000;
        field->admit = (int)given->settings.admit;
    }
    return LEAT_OK;
}

static leat_status task_set(const struct config_task *given, struct model_task *out,
                            leat_error *err) {
    const struct config_task_settings *settings = &given->settings;
    if (settings->levels.count > MODEL_LEVELS_MAX) {
        return error_set(err, LEAT_INVALID, "model.tasks.%s has %d levels; %d are possible",
                         given->name, settings->levels.count, MODEL_LEVELS_MAX);
    }
    out->head = (enum model_head)settings->head;
    out->weight = (float)settings->weight;
    out->levels = settings->levels.count;
    for (int k = 0; k < out->levels; k++) {
        out->edges[k] = (float)settings->levels.values[k];
    }
    return LEAT_OK;
}

static leat_status settings_of_tasks(const struct config *config, struct model_spec *out,
                                     leat_error *err) {
    for (int i = 0; i < config->task_count; i++) {
        const struct config_task *given = &config->tasks[i];
        struct model_task *task = NULL;
        for (int t = 0; t < out->task_count; t++) {
            task = strcmp(out->tasks[t].name, given->name) == 0 ? &out->tasks[t] : task;
        }
        if (!task) {
            return error_set(err, LEAT_INVALID,
                             "model.tasks.%s: there is no such task; tasks are the actions, or the "
                             "labels of a file",
                             given->name);
        }
        TRY(task_set(given, task, err));
    }
    return LEAT_OK;
}

leat_status model_spec_of_names(const struct config *config, const struct model_names *names,
                                struct model_spec *out, leat_error *err) {
    memset(out, 0, sizeof(*out));
    if (names->field_count > MODEL_FIELDS_MAX || names->task_count > MODEL_TASKS_MAX) {
        return error_set(err, LEAT_INVALID, "%d fields and %d tasks; a model has at most %d and %d",
                         names->field_count, names->task_count, MODEL_FIELDS_MAX, MODEL_TASKS_MAX);
    }
    if (config->network.hidden.count > MODEL_LAYERS_MAX) {
        return error_set(err, LEAT_INVALID, "model.network.hidden has %d layers; %d are possible",
                         config->network.hidden.count, MODEL_LAYERS_MAX);
    }
    settings(config, out);
    out->field_count = names->field_count;
    out->task_count = names->task_count;
    out->dense_count = names->dense_count;
    for (int f = 0; f < names->field_count; f++) {
        out->fields[f] = (struct model_field){.target = -1, .shares = f, .rate = 1.0f};
        name_set(out->fields[f].name, names->fields[f]);
    }
    for (int t = 0; t < names->task_count; t++) {
        out->tasks[t] = (struct model_task){.weight = 1.0f};
        name_set(out->tasks[t].name, names->tasks[t]);
    }
    TRY(settings_of_fields(config, out, err));
    TRY(settings_of_tasks(config, out, err));
    return model_spec_check(out, err);
}

/* What flow knows of the features; and examples of flow say yes or no. */
static leat_status settings_of_flow(const struct config *config,
                                    const struct feature_fields *fields, struct model_spec *out,
                                    leat_error *err) {
    static const enum model_pool pools[] = {
        [FEATURE_SUM] = POOL_SUM, [FEATURE_MEAN] = POOL_MEAN, [FEATURE_TARGET] = POOL_TARGET};
    for (int f = 0; f < fields->count; f++) {
        out->fields[f].pool = pools[fields->fields[f].pool];
        out->fields[f].target = fields->fields[f].target;
        out->fields[f].shares = fields->fields[f].shares;
        out->fields[f].of_item = fields->fields[f].of_item;
    }
    for (int t = 0; t < out->task_count; t++) {
        struct model_task *task = &out->tasks[t];
        task->negative = config->actions[t].fields.weight < 0;
        if (task->head == HEAD_REGRESSION || task->head == HEAD_ORDINAL) {
            return error_set(err, LEAT_INVALID,
                             "model.tasks.%s: examples of actions say yes or no, so their head is "
                             "binary; %s is for labels of files",
                             task->name, HEADS[task->head]);
        }
    }
    return model_spec_check(out, err);
}

leat_status model_spec_of_config(const struct config *config, int dense_count,
                                 struct model_spec *out, leat_error *err) {
    const char *names_of_fields[CONFIG_LIST_MAX];
    const char *names_of_tasks[CONFIG_ACTIONS_MAX];
    struct feature_fields fields;
    TRY(features_fields(config, &fields, err));
    struct model_names names = {.field_count = config->model.features.count,
                                .task_count = config->action_count,
                                .fields = names_of_fields,
                                .tasks = names_of_tasks,
                                .dense_count = dense_count};
    for (int f = 0; f < names.field_count; f++) {
        names_of_fields[f] = config->model.features.names[f];
    }
    for (int t = 0; t < names.task_count; t++) {
        names_of_tasks[t] = config->actions[t].name;
    }
    TRY(model_spec_of_names(config, &names, out, err));
    return settings_of_flow(config, &fields, out, err);
}

/* --- checks --- */

static bool within(float value, float low, float high) {
    return value >= low && value <= high; /* false for what is no number */
}

static leat_status check_field(const struct model_spec *spec, int f, leat_error *err) {
    const struct model_field *field = &spec->fields[f];
    if (field->shares < 0 || field->shares >= spec->field_count ||
        spec->fields[field->shares].shares != field->shares) {
        return error_set(err, LEAT_INVALID, "field '%s' shares the rows of field %d, which %s",
                         field->name, field->shares,
                         field->shares < 0 || field->shares >= spec->field_count
                             ? "is not there"
                             : "has none of its own");
    }
    if ((unsigned)field->pool >= POOL_COUNT ||
        (field->pool == POOL_TARGET &&
         (field->target < 0 || field->target >= spec->field_count || field->target == f))) {
        return error_set(err, LEAT_INVALID, "field '%s' is pooled by attention to field %d",
                         field->name, field->target);
    }
    if (!within(field->rate, 0.0f, 1e6f) || field->expire_s < 0 || field->admit < 0) {
        return error_set(err, LEAT_INVALID, "field '%s': rate %g, expire %lld s, admit %d",
                         field->name, (double)field->rate, (long long)field->expire_s,
                         field->admit);
    }
    return LEAT_OK;
}

static leat_status check_task(const struct model_spec *spec, int t, leat_error *err) {
    const struct model_task *task = &spec->tasks[t];
    if ((unsigned)task->head >= HEAD_COUNT || !within(task->weight, 0.0f, 1e6f)) {
        return error_set(err, LEAT_INVALID, "task '%s': head %d, weight %g", task->name,
                         (int)task->head, (double)task->weight);
    }
    bool ordinal = task->head == HEAD_ORDINAL;
    if (task->levels < 0 || task->levels > MODEL_LEVELS_MAX || (task->levels > 0) != ordinal) {
        return error_set(err, LEAT_INVALID, "task '%s' is %s and has %d levels; %s", task->name,
                         HEADS[task->head], task->levels,
                         ordinal ? "give it 1 to 8" : "only ordinal ones have any");
    }
    for (int k = 0; k < task->levels; k++) {
        float below = k > 0 ? task->edges[k - 1] : 0.0f;
        if (!(task->edges[k] > below) || !within(task->edges[k], 0.0f, 1e6f)) {
            return error_set(err, LEAT_INVALID, "task '%s': level %d begins at %g, after %g",
                             task->name, k + 1, (double)task->edges[k], (double)below);
        }
    }
    if ((task->head == HEAD_RETRIEVAL) != (spec->network == NETWORK_TOWERS)) {
        return error_set(err, LEAT_INVALID,
                         "task '%s' is %s and the network %s; two towers learn retrieval, and "
                         "nothing else does",
                         task->name, HEADS[task->head], NETWORKS[spec->network]);
    }
    return LEAT_OK;
}

struct bound {
    const char *name;
    double value, low, high;
};

static leat_status check_bounds(const struct model_spec *spec, leat_error *err) {
    const struct bound bounds[] = {
        {"fields", spec->field_count, 0, MODEL_FIELDS_MAX},
        {"dense inputs", spec->dense_count, 0, MODEL_DENSE_MAX},
        {"tasks", spec->task_count, 1, spec->network == NETWORK_TOWERS ? 1 : MODEL_TASKS_MAX},
        {"network", spec->network, 0, NETWORK_COUNT - 1},
        {"dimension", spec->dimension, spec->network == NETWORK_LOGISTIC ? 0 : 1,
         MODEL_DIMENSION_MAX},
        {"hidden layers", spec->hidden_count, 0, MODEL_LAYERS_MAX},
        {"cross layers", spec->cross, 0, MODEL_LAYERS_MAX},
        {"experts", spec->experts, 0, MODEL_EXPERTS_MAX},
        {"optimiser", spec->optimiser, 0, OPTIMISER_COUNT - 1},
        {"rate", (double)spec->rate, 0, 1e3},
        {"rate_dense", (double)spec->rate_dense, 0, 1e3},
        {"l2", (double)spec->l2, 0, 1e3},
        {"decay", (double)spec->decay, 0, 1e3},
        {"spread", (double)spec->spread, 0, 1e3},
        {"batch", spec->batch, 1, MODEL_BATCH_MAX},
        {"shards", spec->shards, 1, MODEL_SHARDS_MAX},
    };
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        if (!(bounds[i].value >= bounds[i].low && bounds[i].value <= bounds[i].high)) {
            return error_set(err, LEAT_INVALID, "a model with %s %g; %g to %g are possible",
                             bounds[i].name, bounds[i].value, bounds[i].low, bounds[i].high);
        }
    }
    return LEAT_OK;
}

leat_status model_spec_check(const struct model_spec *spec, leat_error *err) {
    TRY(check_bounds(spec, err));
    for (int f = 0; f < spec->field_count; f++) {
        TRY(check_field(spec, f, err));
    }
    for (int t = 0; t < spec->task_count; t++) {
        TRY(check_task(spec, t, err));
    }
    for (int i = 0; i < spec->hidden_count; i++) {
        if (spec->hidden[i] < 1 || spec->hidden[i] > MODEL_HIDDEN_MAX) {
            return error_set(err, LEAT_INVALID, "hidden layer %d is %d wide; 1 to %d are possible",
                             i + 1, spec->hidden[i], MODEL_HIDDEN_MAX);
        }
    }
    return LEAT_OK;
}

/* --- two of them --- */

static leat_status differ(leat_error *err, const char *what, int stored, int wanted) {
    return error_set(err, LEAT_CONFLICT, "the stored model has %s %d; the configuration says %d",
                     what, stored, wanted);
}

static leat_status agree_numbers(const struct model_spec *a, const struct model_spec *b,
                                 leat_error *err) {
    const struct {
        const char *name;
        int stored, wanted;
    } numbers[] = {
        {"network", (int)a->network, (int)b->network},
        {"optimiser", (int)a->optimiser, (int)b->optimiser},
        {"dimension", a->dimension, b->dimension},
        {"dense inputs", a->dense_count, b->dense_count},
        {"tasks", a->task_count, b->task_count},
        {"fields", a->field_count, b->field_count},
        {"cross layers", a->cross, b->cross},
        {"experts", a->experts, b->experts},
        {"hidden layers", a->hidden_count, b->hidden_count},
        {"calibrate", a->calibrate, b->calibrate},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (numbers[i].stored != numbers[i].wanted) {
            return differ(err, numbers[i].name, numbers[i].stored, numbers[i].wanted);
        }
    }
    for (int i = 0; i < a->hidden_count; i++) {
        if (a->hidden[i] != b->hidden[i]) {
            return differ(err, "a hidden layer of width", a->hidden[i], b->hidden[i]);
        }
    }
    return LEAT_OK;
}

leat_status model_spec_agree(const struct model_spec *stored, const struct model_spec *wanted,
                             leat_error *err) {
    TRY(agree_numbers(stored, wanted, err));
    for (int f = 0; f < stored->field_count; f++) {
        const struct model_field *a = &stored->fields[f];
        const struct model_field *b = &wanted->fields[f];
        if (strcmp(a->name, b->name) != 0 || a->pool != b->pool || a->target != b->target ||
            a->shares != b->shares || a->of_item != b->of_item) {
            return error_set(err, LEAT_CONFLICT,
                             "field %d of the stored model is '%s'; the configuration's is '%s', "
                             "or is pooled or shared another way",
                             f, a->name, b->name);
        }
    }
    for (int t = 0; t < stored->task_count; t++) {
        const struct model_task *a = &stored->tasks[t];
        const struct model_task *b = &wanted->tasks[t];
        if (strcmp(a->name, b->name) != 0 || a->head != b->head || a->levels != b->levels ||
            memcmp(a->edges, b->edges, sizeof(a->edges)) != 0) {
            return error_set(err, LEAT_CONFLICT,
                             "task %d of the stored model is '%s' (%s, %d levels); the "
                             "configuration's is '%s' (%s, %d levels)",
                             t, a->name, HEADS[a->head], a->levels, b->name, HEADS[b->head],
                             b->levels);
        }
    }
    return LEAT_OK;
}

/* --- as bytes --- */

static void put_f32(struct bytes *out, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    bytes_put_u32(out, bits);
}

static float get_f32(struct bytes_reader *reader) {
    uint32_t bits = bytes_get_u32(reader);
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static int get_int(struct bytes_reader *reader) {
    return (int)(int32_t)bytes_get_u32(reader);
}

static void get_name(struct bytes_reader *reader, char out[MODEL_NAME_MAX]) {
    struct slice name = bytes_get_text(reader);
    if (name.size >= MODEL_NAME_MAX || (name.size > 0 && memchr(name.data, 0, name.size))) {
        reader->failed = true;
        name.size = 0;
    }
    memset(out, 0, MODEL_NAME_MAX);
    if (name.size > 0) {
        memcpy(out, name.data, name.size);
    }
}

/* The numbers in their order; written and read by the same list. */
static void each_number(struct model_spec *spec, void (*each)(void *context, int *value),
                        void *context) {
    int *const numbers[] = {&spec->dense_count, &spec->dimension, &spec->hidden_count, &spec->cross,
                            &spec->experts,     &spec->batch,     &spec->shards};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        each(context, numbers[i]);
    }
    for (int i = 0; i < MODEL_LAYERS_MAX; i++) {
        each(context, &spec->hidden[i]);
    }
}

static void put_number(void *context, int *value) {
    bytes_put_u32(context, (uint32_t)*value);
}

static void get_number(void *context, int *value) {
    *value = get_int(context);
}

static void each_float(struct model_spec *spec, void (*each)(void *context, float *value),
                       void *context) {
    float *const floats[] = {&spec->rate, &spec->rate_dense, &spec->l2, &spec->decay,
                             &spec->spread};
    for (size_t i = 0; i < sizeof(floats) / sizeof(floats[0]); i++) {
        each(context, floats[i]);
    }
}

static void put_float(void *context, float *value) {
    put_f32(context, *value);
}

static void get_float(void *context, float *value) {
    *value = get_f32(context);
}

static void put_field(const struct model_field *field, struct bytes *out) {
    bytes_put_text(out, slice_of(field->name));
    bytes_put_u8(out, (uint8_t)field->pool);
    bytes_put_u8(out, field->of_item);
    bytes_put_u32(out, (uint32_t)field->target);
    bytes_put_u32(out, (uint32_t)field->shares);
    put_f32(out, field->rate);
    bytes_put_i64(out, field->expire_s);
    bytes_put_u32(out, (uint32_t)field->admit);
}

static void get_field(struct bytes_reader *reader, struct model_field *out) {
    get_name(reader, out->name);
    out->pool = (enum model_pool)bytes_get_u8(reader);
    out->of_item = bytes_get_u8(reader) != 0;
    out->target = get_int(reader);
    out->shares = get_int(reader);
    out->rate = get_f32(reader);
    out->expire_s = bytes_get_i64(reader);
    out->admit = get_int(reader);
}

static void put_task(const struct model_task *task, struct bytes *out) {
    bytes_put_text(out, slice_of(task->name));
    bytes_put_u8(out, (uint8_t)task->head);
    bytes_put_u8(out, task->negative);
    put_f32(out, task->weight);
    bytes_put_u32(out, (uint32_t)task->levels);
    for (int k = 0; k < MODEL_LEVELS_MAX; k++) {
        put_f32(out, task->edges[k]);
    }
}

static void get_task(struct bytes_reader *reader, struct model_task *out) {
    get_name(reader, out->name);
    out->head = (enum model_head)bytes_get_u8(reader);
    out->negative = bytes_get_u8(reader) != 0;
    out->weight = get_f32(reader);
    out->levels = get_int(reader);
    for (int k = 0; k < MODEL_LEVELS_MAX; k++) {
        out->edges[k] = get_f32(reader);
    }
}

void model_spec_write(const struct model_spec *spec, struct bytes *out) {
    struct model_spec copy = *spec;
    bytes_put_u8(out, (uint8_t)spec->network);
    bytes_put_u8(out, (uint8_t)spec->optimiser);
    bytes_put_u8(out, spec->calibrate);
    bytes_put_u8(out, spec->evict);
    bytes_put_u64(out, spec->seed);
    bytes_put_i64(out, spec->memory);
    each_number(&copy, put_number, out);
    each_float(&copy, put_float, out);
    bytes_put_u32(out, (uint32_t)spec->field_count);
    for (int f = 0; f < spec->field_count; f++) {
        put_field(&spec->fields[f], out);
    }
    bytes_put_u32(out, (uint32_t)spec->task_count);
    for (int t = 0; t < spec->task_count; t++) {
        put_task(&spec->tasks[t], out);
    }
}

leat_status model_spec_read(struct bytes_reader *reader, struct model_spec *out, leat_error *err) {
    memset(out, 0, sizeof(*out));
    out->network = (enum model_network)bytes_get_u8(reader);
    out->optimiser = (enum model_optimiser)bytes_get_u8(reader);
    out->calibrate = bytes_get_u8(reader) != 0;
    out->evict = bytes_get_u8(reader) != 0;
    out->seed = bytes_get_u64(reader);
    out->memory = bytes_get_i64(reader);
    each_number(out, get_number, reader);
    each_float(out, get_float, reader);
    out->field_count = get_int(reader);
    for (int f = 0; f < out->field_count && f < MODEL_FIELDS_MAX; f++) {
        get_field(reader, &out->fields[f]);
    }
    out->task_count = get_int(reader);
    for (int t = 0; t < out->task_count && t < MODEL_TASKS_MAX; t++) {
        get_task(reader, &out->tasks[t]);
    }
    if (reader->failed) {
        return error_set(err, LEAT_CORRUPT, "model head: its description is cut off");
    }
    return model_spec_check(out, err);
}
