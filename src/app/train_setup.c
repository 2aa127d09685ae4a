#include "app/train_setup.h"

#include "base/memory.h"
#include "base/text.h"

#include <string.h>

/* --- options --- */

int train_options(struct train_asked *asked, struct option out[TRAIN_OPTIONS_MAX]) {
    const struct option options[] = {
        {"config", 'c', "FILE",
         "Configuration whose section `model` applies; ./leat.yaml does not by itself.",
         &asked->files.config, NULL},
        {"format", 0, "WORD", "csv, tsv, criteo, vw, libsvm (and libffm), parquet, or cache.",
         &asked->format, NULL},
        {"columns", 0, "NAMES", "Names of columns, where the first line does not say them.",
         &asked->columns, NULL},
        {"separator", 0, "CHAR", "Of csv (default a comma).", &asked->separator, NULL},
        {"label", 0, "WORDS", "Labels: click, rating>=4, like=rating>=4, watch:regression.",
         &asked->label, NULL},
        {"features", 0, "WORDS",
         "user,user*genre,list(genres,|),history(seen,50),bucket(price,20),dense(age,log) ...",
         &asked->features, NULL},
        {"interactions", 0, "AB,..", "Crosses of features by their first letters, as in vw.",
         &asked->interactions, NULL},
        {"weight", 0, "COLUMN", "Weight of an example.", &asked->weight, NULL},
        {"time", 0, "COLUMN", "Time of an example.", &asked->time, NULL},
        {"network", 0, "WORD", "fm (default), logistic, fwfm, deepfm, dcn, mmoe or ple.",
         &asked->network, NULL},
        {"dimension", 0, "N", "Length of an embedding.", &asked->dimension, NULL},
        {"hidden", 0, "N,..", "Widths of hidden layers.", &asked->hidden, NULL},
        {"cross", 0, "N", "Cross layers of dcn.", &asked->cross, NULL},
        {"experts", 0, "N", "Experts of mmoe and ple.", &asked->experts, NULL},
        {"optimiser", 0, "WORD", "adagrad (default), ftrl, adam or rmsprop.", &asked->optimiser,
         NULL},
        {"rate", 0, "X", "Learning rate of ids.", &asked->rate, NULL},
        {"rate-dense", 0, "X", "Learning rate of the rest.", &asked->rate_dense, NULL},
        {"l2", 0, "X", "L2 penalty of embeddings, each time they are touched.", &asked->l2, NULL},
        {"decay", 0, "X", "Weight decay of the network, each step.", &asked->decay, NULL},
        {"spread", 0, "X", "New embeddings are uniform within +- this.", &asked->spread, NULL},
        {"batch", 0, "N", "Examples of a step, of networks that step in batches.", &asked->batch,
         NULL},
        {"shards", 0, "N", "Parts of a batch, whose gradients are added in order.", &asked->shards,
         NULL},
        {"threads", 0, "N", "Threads of a step, a shard each; change nothing (default 1).",
         &asked->threads, NULL},
        {"epochs", 0, "N", "Passes over the files (default 1).", &asked->epochs, NULL},
        {"seed", 0, "N", "Of first embeddings.", &asked->seed, NULL},
        {"memory", 0, "BYTES", "Budget of the embedding table.", &asked->memory, NULL},
        {"hash-rows", 0, "N", "Keys modulo N, collisions and all; or user=N,item=M.",
         &asked->hash_rows, NULL},
        {"cache", 0, "FILE", "Encoded examples: made in the first pass, read in later ones.",
         &asked->cache, NULL},
        {"json", 0, NULL, "One line of JSON a result.", NULL, &asked->json},
        {"strict", 0, NULL, "Stop at the first malformed row.", NULL, &asked->strict},
    };
    _Static_assert(sizeof(options) / sizeof(options[0]) <= TRAIN_OPTIONS_MAX, "all fit");
    memcpy(out, options, sizeof(options));
    return (int)(sizeof(options) / sizeof(options[0]));
}

static leat_status read_int(const char *name, const char *text, int low, int high, int *out,
                            leat_error *err) {
    int64_t value = *out;
    TRY(options_integer(name, text, low, high, &value, err));
    *out = (int)value;
    return LEAT_OK;
}

static leat_status read_float(const char *name, const char *text, float *out, leat_error *err) {
    double value;
    if (!text) {
        return LEAT_OK;
    }
    if (!row_number(slice_of(text), &value) || value < 0) {
        return error_set(err, LEAT_INVALID, "--%s: '%s' is not a number of 0 or more", name, text);
    }
    *out = (float)value;
    return LEAT_OK;
}

/* --- the model --- */

static leat_status read_network(const char *text, enum model_network *out, leat_error *err) {
    for (int n = NETWORK_FM; text && n < NETWORK_TOWERS; n++) {
        if (strcmp(text, model_network_name((enum model_network)n)) == 0) {
            *out = (enum model_network)n;
            return LEAT_OK;
        }
    }
    return text ? error_set(err, LEAT_INVALID,
                            "--network: '%s' is unknown; fm, logistic, fwfm, deepfm, dcn, mmoe and "
                            "ple are possible",
                            text)
                : LEAT_OK;
}

static leat_status read_optimiser(const char *text, enum model_optimiser *out, leat_error *err) {
    for (int o = MODEL_ADAGRAD; text && o <= MODEL_RMSPROP; o++) {
        if (strcmp(text, model_optimiser_name((enum model_optimiser)o)) == 0) {
            *out = (enum model_optimiser)o;
            return LEAT_OK;
        }
    }
    return text ? error_set(err, LEAT_INVALID,
                            "--optimiser: '%s' is unknown; adagrad, ftrl, adam and rmsprop are "
                            "possible",
                            text)
                : LEAT_OK;
}

static leat_status read_hidden(const char *text, struct model_spec *spec, leat_error *err) {
    for (int count = 0; text && *text; count++) {
        size_t size = strcspn(text, ",");
        int64_t width;
        if (count == MODEL_LAYERS_MAX || !text_to_i64((struct slice){text, size}, &width) ||
            width < 1 || width > MODEL_HIDDEN_MAX) {
            return error_set(err, LEAT_INVALID,
                             "--hidden: up to %d widths from 1 to %d are wanted, as 400,400",
                             MODEL_LAYERS_MAX, MODEL_HIDDEN_MAX);
        }
        spec->hidden[count] = (int)width;
        spec->hidden_count = count + 1;
        text += size + (text[size] == ',');
    }
    return LEAT_OK;
}

static leat_status read_memory(const char *text, int64_t *out, leat_error *err) {
    uint64_t bytes;
    if (text && (!text_to_size(slice_of(text), &bytes) || bytes < (1u << 20) ||
                 bytes > (uint64_t)1 << 60)) {
        return error_set(err, LEAT_INVALID, "--memory: '%s' is not a size of 1MiB or more", text);
    }
    *out = text ? (int64_t)bytes : *out;
    return LEAT_OK;
}

/* Where neither option nor configuration says it. One step an example: of 0.03, 0.05, 0.1 and 0.2
 * the progressive log loss of logistic regression and FM was best, or within .002 of it, at 0.1 on
 * a drifting stream in Criteo's shape and on planted rows; on MovieLens and KuaiRand, which are
 * short, higher was better still. Adam and RMSprop: what is usual. */
static void default_rates(struct model_spec *spec) {
    bool alone = spec->network == NETWORK_FM || spec->network == NETWORK_LOGISTIC;
    if (spec->optimiser == MODEL_ADAM || spec->optimiser == MODEL_RMSPROP) {
        spec->rate = spec->rate_dense = 0.001f;
    } else if (alone) {
        spec->rate = 0.1f;
    }
}

static leat_status settings_into(const struct train_asked *asked, struct model_spec *spec,
                                 leat_error *err) {
    int64_t seed = (int64_t)spec->seed;
    TRY(read_optimiser(asked->optimiser, &spec->optimiser, err));
    TRY(read_hidden(asked->hidden, spec, err));
    if (!asked->files.config) {
        default_rates(spec);
    }
    TRY(read_int("dimension", asked->dimension, 1, MODEL_DIMENSION_MAX, &spec->dimension, err));
    TRY(read_int("cross", asked->cross, 0, MODEL_LAYERS_MAX, &spec->cross, err));
    TRY(read_int("experts", asked->experts, 1, MODEL_EXPERTS_MAX, &spec->experts, err));
    TRY(read_int("batch", asked->batch, 1, MINIBATCH_MAX, &spec->batch, err));
    TRY(read_int("shards", asked->shards, 1, MODEL_SHARDS_MAX, &spec->shards, err));
    TRY(read_float("rate", asked->rate, &spec->rate, err));
    TRY(read_float("rate-dense", asked->rate_dense, &spec->rate_dense, err));
    TRY(read_float("l2", asked->l2, &spec->l2, err));
    TRY(read_float("decay", asked->decay, &spec->decay, err));
    TRY(read_float("spread", asked->spread, &spec->spread, err));
    TRY(read_memory(asked->memory, &spec->memory, err));
    TRY(options_integer("seed", asked->seed, 0, INT64_C(9007199254740991), &seed, err));
    spec->seed = (uint64_t)seed;
    return LEAT_OK;
}

/* What the examples say of fields and tasks, over what the configuration says. */
static void keep_shape(struct model_spec *made, const struct model_spec *shape) {
    for (int f = 0; f < shape->field_count; f++) {
        made->fields[f].pool = shape->fields[f].pool;
        made->fields[f].target = shape->fields[f].target;
        made->fields[f].shares = shape->fields[f].shares;
    }
    for (int t = 0; t < shape->task_count; t++) {
        if (shape->tasks[t].head != HEAD_BINARY) {
            made->tasks[t].head = shape->tasks[t].head;
        }
    }
}

static leat_status spec_of_names(struct train_setup *setup, struct model_spec *out,
                                 leat_error *err) {
    const struct model_spec *spec = &setup->spec;
    const char *fields[MODEL_FIELDS_MAX];
    const char *tasks[MODEL_TASKS_MAX];
    struct model_names names = {
        .field_count = spec->field_count,
        .task_count = spec->task_count,
        .fields = fields,
        .tasks = tasks,
        .dense_count = spec->dense_count,
    };
    for (int f = 0; f < spec->field_count; f++) {
        fields[f] = spec->fields[f].name;
    }
    for (int t = 0; t < spec->task_count; t++) {
        tasks[t] = spec->tasks[t].name;
    }
    return model_spec_of_names(setup->config, &names, out, err);
}

/* Settings by configuration and options; fields and tasks as `setup->spec` has them. */
static leat_status make_spec(struct train_setup *setup, leat_error *err) {
    struct model_spec *spec = &setup->spec;
    enum model_network network = (enum model_network)setup->config->network.kind;
    TRY(read_network(setup->asked->network, &network, err));
    setup->config->network.kind = (config_choice)network; /* other settings go by it */
    struct model_spec *made = memory_zalloc(sizeof(*made));
    if (!made) {
        return error_memory(err, sizeof(*made));
    }
    leat_status status = spec_of_names(setup, made, err);
    if (status == LEAT_OK) {
        keep_shape(made, spec);
        *spec = *made;
        status = settings_into(setup->asked, spec, err);
    }
    memory_free(made);
    TRY(status);
    bool alone = network == NETWORK_FM || network == NETWORK_LOGISTIC;
    setup->batch = alone && !setup->asked->batch ? TRAIN_BATCH : spec->batch;
    return model_spec_check(spec, err);
}

/* --- examples --- */

static leat_status copy_column(const char *option, const char *name, char out[CONFIG_NAME_MAX],
                               leat_error *err) {
    if (name && strlen(name) >= CONFIG_NAME_MAX) {
        return error_set(err, LEAT_INVALID, "--%s: a name of %zu bytes; %d at most", option,
                         strlen(name), CONFIG_NAME_MAX - 1);
    }
    if (name) {
        memcpy(out, name, strlen(name) + 1);
    }
    return LEAT_OK;
}

static leat_status read_source(struct train_setup *setup, leat_error *err) {
    const struct train_asked *asked = setup->asked;
    setup->source = (struct row_source_options){
        .disk = disk_real(), .path = setup->paths[0], .header = asked->columns};
    if (!asked->format) {
        return error_set(err, LEAT_INVALID,
                         "--format is missing: csv, tsv, criteo, vw, libsvm, parquet or cache");
    }
    TRY(row_format_find(asked->format, &setup->source.format, err));
    if (asked->separator && strlen(asked->separator) != 1) {
        return error_set(err, LEAT_INVALID, "--separator: one character is wanted");
    }
    setup->source.separator = asked->separator ? asked->separator[0] : '\0';
    return LEAT_OK;
}

/* What a cache says of itself: the plan's words, and a model's fields and tasks. */
static leat_status describe(struct train_setup *setup, leat_error *err) {
    struct bytes words;
    bytes_init(&words);
    plan_describe(&setup->plan, &words);
    bytes_put_text(&setup->description, (struct slice){(const char *)words.data, words.size});
    model_spec_write(&setup->spec, &setup->description);
    leat_status status = bytes_status(&words, err);
    bytes_deinit(&words);
    return status < 0 ? status : bytes_status(&setup->description, err);
}

struct slice train_setup_words(struct slice description) {
    struct bytes_reader reader = bytes_reader_of(description.data, description.size);
    return bytes_get_text(&reader);
}

static leat_status plan_by_files(struct train_setup *setup, leat_error *err) {
    const struct train_asked *asked = setup->asked;
    TRY(read_source(setup, err));
    TRY(copy_column("weight", asked->weight, setup->plan.weight, err));
    TRY(copy_column("time", asked->time, setup->plan.time, err));
    if (asked->label) {
        TRY(plan_add_labels(&setup->plan, asked->label, err));
    }
    TRY(plan_survey(&setup->plan, &setup->source, asked->features, asked->interactions, err));
    if (asked->hash_rows) {
        TRY(plan_hash_rows(&setup->plan, asked->hash_rows, err));
    }
    TRY(plan_into_spec(&setup->plan, &setup->spec, err));
    TRY(make_spec(setup, err));
    return describe(setup, err);
}

static leat_status plan_by_cache(struct train_setup *setup, leat_error *err) {
    struct row_cache *cache;
    const struct train_asked *asked = setup->asked;
    if (setup->path_count != 1) {
        return error_set(err, LEAT_INVALID, "--format cache takes one file");
    }
    if (asked->cache || asked->label || asked->features || asked->interactions || asked->weight ||
        asked->time || asked->hash_rows || asked->columns) {
        return error_set(err, LEAT_INVALID,
                         "--format cache: what an example is made of was settled when the cache "
                         "was; no --label, --features, --interactions, --weight, --time, "
                         "--hash-rows, --columns or --cache");
    }
    leat_status status = row_cache_open(disk_real(), setup->paths[0], &cache, err);
    if (status != LEAT_OK) {
        return status < 0 ? status
                          : error_set(err, LEAT_INVALID, "%s: no such file", setup->paths[0]);
    }
    struct slice description = row_cache_shape(cache)->description;
    struct bytes_reader reader = bytes_reader_of(description.data, description.size);
    bytes_get_text(&reader);
    status = model_spec_read(&reader, &setup->spec, err);
    bytes_append(&setup->description, description.data, description.size);
    setup->encoded = true;
    row_cache_close(cache);
    TRY(status);
    TRY(bytes_status(&setup->description, err));
    return make_spec(setup, err);
}

static leat_status setup_read(struct train_setup *setup, leat_error *err) {
    const struct train_asked *asked = setup->asked;
    if (setup->path_count == 0) {
        return error_set(err, LEAT_INVALID, "no FILE is named");
    }
    TRY(asked->files.config
            ? config_load(asked->files.config, &setup->config, err)
            : config_parse(slice_of(""), "defaults", &setup->config, err)); /* not ./leat.yaml */
    setup->epochs = 1;
    TRY(read_int("epochs", asked->epochs, 1, 1000, &setup->epochs, err));
    setup->threads = 1;
    TRY(read_int("threads", asked->threads, 1, MODEL_SHARDS_MAX, &setup->threads, err));
    setup->refusals = (struct refusals){.show = stderr, .strict = asked->strict};
    bool encoded = asked->format && strcmp(asked->format, "cache") == 0;
    return encoded ? plan_by_cache(setup, err) : plan_by_files(setup, err);
}

leat_status train_setup_make(const struct train_asked *asked, const char *const *paths,
                             int path_count, struct train_setup **out, leat_error *err) {
    struct train_setup *setup = memory_zalloc(sizeof(*setup));
    if (!setup) {
        return error_memory(err, sizeof(*setup));
    }
    setup->asked = asked;
    setup->paths = paths;
    setup->path_count = path_count;
    bytes_init(&setup->description);
    leat_status status = setup_read(setup, err);
    if (status < 0) {
        train_setup_destroy(setup);
        return status;
    }
    *out = setup;
    return LEAT_OK;
}

void train_setup_destroy(struct train_setup *setup) {
    if (setup) {
        config_destroy(setup->config);
        plan_deinit(&setup->plan);
        bytes_deinit(&setup->description);
        memory_free(setup);
    }
}
