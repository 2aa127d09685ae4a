/* `leat model show`: what a model is, from a file or from the newest checkpoint of a data folder.
 */
#include "app/state_folder.h"
#include "base/json.h"
#include "base/memory.h"
#include "learn/model.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* --- reading --- */

static leat_status checkpoint_model(struct checkpoint *checkpoint, struct model **out,
                                    leat_error *err) {
    struct model_spec spec;
    struct model *model = NULL;
    leat_status status = LEAT_OK;
    for (int round = 0; round < 2 && status == LEAT_OK; round++) { /* first what it is, then it */
        status = checkpoint_read_part(checkpoint, "model", err);
        if (status == LEAT_OK && round == 0) {
            status = model_describe(checkpoint_read, checkpoint, &spec, err);
            status = status == LEAT_OK ? model_open(&spec, NULL, NULL, &model, err) : status;
        } else if (status == LEAT_OK) {
            status = model_restore(model, checkpoint_read, checkpoint, err);
        }
    }
    if (status != LEAT_OK) {
        model_close(model);
        return status < 0 ? status : error_set(err, LEAT_INVALID, "the checkpoint has no model");
    }
    *out = model;
    return LEAT_OK;
}

static leat_status folder_model(const char *path, struct model **out, leat_error *err) {
    const struct command_files files = {NULL, NULL};
    struct state_folder folder;
    struct checkpoint *checkpoint = NULL;
    leat_status status = state_folder_open(&files, path, &folder, err);
    if (status == LEAT_OK) {
        status = state_folder_choose(&folder, NULL, &checkpoint, err);
    }
    if (status == LEAT_OK) {
        status = checkpoint_model(checkpoint, out, err);
    }
    checkpoint_close(checkpoint);
    state_folder_close(&folder);
    return status < 0 ? error_in(err, status, "%s", path) : status;
}

static leat_status open_model(const char *path, struct model **out, leat_error *err) {
    struct stat about;
    bool folder = stat(path, &about) == 0 && S_ISDIR(about.st_mode);
    return folder ? folder_model(path, out, err) : model_load(disk_real(), path, NULL, out, err);
}

/* --- in words --- */

static void print_widths(const struct model_spec *spec) {
    printf("network     %s", model_network_name(spec->network));
    if (spec->hidden_count > 0) {
        printf(", hidden");
        for (int i = 0; i < spec->hidden_count; i++) {
            printf(" %d", spec->hidden[i]);
        }
    }
    if (spec->cross > 0) {
        printf(", %d cross layers", spec->cross);
    }
    if (spec->experts > 0) {
        printf(", %d experts", spec->experts);
    }
    printf("\nembeddings  dimension %d, new ones within %g\n", spec->dimension,
           (double)spec->spread);
    printf("optimiser   %s, rate %g, of dense weights %g, l2 %g, decay %g\n",
           model_optimiser_name(spec->optimiser), (double)spec->rate, (double)spec->rate_dense,
           (double)spec->l2, (double)spec->decay);
    printf("batch       %d, shards %d\n", spec->batch, spec->shards);
    printf("calibrated  %s\n", spec->calibrate ? "yes" : "no");
}

static const char *const POOLS[] = {"sum", "mean", "attention"};

static void print_fields(const struct model_spec *spec) {
    for (int f = 0; f < spec->field_count; f++) {
        const struct model_field *field = &spec->fields[f];
        printf("field       %s, %s", field->name, POOLS[field->pool]);
        if (field->pool == POOL_TARGET) {
            printf(" to %s", spec->fields[field->target].name);
        }
        if (field->shares != f) {
            printf(", rows of %s", spec->fields[field->shares].name);
        }
        if (field->rate != 1.0f) {
            printf(", rate x %g", (double)field->rate);
        }
        if (field->expire_s > 0) {
            printf(", expires after %" PRId64 " s", field->expire_s);
        }
        if (field->admit > 1) {
            printf(", admitted at coming %d", field->admit);
        }
        printf("%s\n", field->of_item ? ", of the item" : "");
    }
    printf("dense       %d inputs\n", spec->dense_count);
}

static void print_tasks(const struct model_spec *spec) {
    for (int t = 0; t < spec->task_count; t++) {
        const struct model_task *task = &spec->tasks[t];
        printf("task        %s, %s", task->name, model_head_name(task->head));
        for (int k = 0; k < task->levels; k++) {
            printf("%s%g", k > 0 ? ", " : ", levels at ", (double)task->edges[k]);
        }
        if (task->weight != 1.0f) {
            printf(", weight %g", (double)task->weight);
        }
        printf("\n");
    }
}

struct about {
    struct model_part *parts;
    int part_count;
    uint64_t parameters, examples, steps;
};

static void print_words(const struct model *model, const struct about *about) {
    const struct model_spec *spec = model_spec(model);
    print_widths(spec);
    print_fields(spec);
    print_tasks(spec);
    for (int p = 0; p < about->part_count; p++) {
        const struct model_part *part = &about->parts[p];
        printf("weights     %s, %d x %d\n", part->name, part->rows, part->columns);
    }
    printf("weights     %" PRIu64 " dense ones\n", about->parameters);
    printf("rows        %" PRIu64 ", %" PRIu64 " bytes with all else\n", model_rows(model),
           model_bytes(model));
    printf("learnt      %" PRIu64 " examples in %" PRIu64 " steps\n", about->examples,
           about->steps);
}

/* --- as JSON --- */

static void put_text(struct json_writer *json, const char *key, const char *value) {
    json_key(json, key);
    json_cstring(json, value);
}

static void put_number(struct json_writer *json, const char *key, float value) {
    json_key(json, key);
    json_f32(json, value);
}

static void put_count(struct json_writer *json, const char *key, uint64_t value) {
    json_key(json, key);
    json_u64(json, value);
}

static void fields_json(struct json_writer *json, const struct model_spec *spec) {
    json_key(json, "fields");
    json_array_open(json);
    for (int f = 0; f < spec->field_count; f++) {
        const struct model_field *field = &spec->fields[f];
        json_object_open(json);
        put_text(json, "name", field->name);
        put_text(json, "pool", POOLS[field->pool]);
        if (field->pool == POOL_TARGET) {
            put_text(json, "target", spec->fields[field->target].name);
        }
        put_text(json, "rows_of", spec->fields[field->shares].name);
        put_number(json, "rate", field->rate);
        put_count(json, "expire_s", (uint64_t)field->expire_s);
        put_count(json, "admit", (uint64_t)field->admit);
        json_key(json, "of_item");
        json_bool(json, field->of_item);
        json_object_close(json);
    }
    json_array_close(json);
}

static void tasks_json(struct json_writer *json, const struct model_spec *spec) {
    json_key(json, "tasks");
    json_array_open(json);
    for (int t = 0; t < spec->task_count; t++) {
        const struct model_task *task = &spec->tasks[t];
        json_object_open(json);
        put_text(json, "name", task->name);
        put_text(json, "head", model_head_name(task->head));
        put_number(json, "weight", task->weight);
        json_key(json, "levels");
        json_array_open(json);
        for (int k = 0; k < task->levels; k++) {
            json_f32(json, task->edges[k]);
        }
        json_array_close(json);
        json_object_close(json);
    }
    json_array_close(json);
}

static void parts_json(struct json_writer *json, const struct about *about) {
    json_key(json, "parts");
    json_array_open(json);
    for (int p = 0; p < about->part_count; p++) {
        json_object_open(json);
        put_text(json, "name", about->parts[p].name);
        put_count(json, "rows", (uint64_t)about->parts[p].rows);
        put_count(json, "columns", (uint64_t)about->parts[p].columns);
        json_object_close(json);
    }
    json_array_close(json);
}

static void settings_json(struct json_writer *json, const struct model_spec *spec) {
    put_text(json, "network", model_network_name(spec->network));
    json_key(json, "hidden");
    json_array_open(json);
    for (int i = 0; i < spec->hidden_count; i++) {
        json_i64(json, spec->hidden[i]);
    }
    json_array_close(json);
    put_count(json, "cross", (uint64_t)spec->cross);
    put_count(json, "experts", (uint64_t)spec->experts);
    put_count(json, "dimension", (uint64_t)spec->dimension);
    put_count(json, "dense_inputs", (uint64_t)spec->dense_count);
    put_text(json, "optimiser", model_optimiser_name(spec->optimiser));
    put_number(json, "rate", spec->rate);
    put_number(json, "rate_dense", spec->rate_dense);
    put_number(json, "l2", spec->l2);
    put_number(json, "decay", spec->decay);
    put_number(json, "spread", spec->spread);
    put_count(json, "batch", (uint64_t)spec->batch);
    put_count(json, "shards", (uint64_t)spec->shards);
    json_key(json, "calibrate");
    json_bool(json, spec->calibrate);
}

static leat_status print_json(const struct model *model, const struct about *about,
                              leat_error *err) {
    struct bytes out;
    struct json_writer json;
    bytes_init(&out);
    json_begin(&json, &out);
    json_object_open(&json);
    settings_json(&json, model_spec(model));
    fields_json(&json, model_spec(model));
    tasks_json(&json, model_spec(model));
    parts_json(&json, about);
    put_count(&json, "dense_weights", about->parameters);
    put_count(&json, "rows", model_rows(model));
    put_count(&json, "bytes", model_bytes(model));
    put_count(&json, "examples", about->examples);
    put_count(&json, "steps", about->steps);
    json_object_close(&json);
    leat_status status = state_print(&out, err);
    bytes_deinit(&out);
    return status;
}

/* --- the command --- */

static leat_status show(const char *path, bool json, leat_error *err) {
    struct model *model;
    struct about about = {.parts = memory_alloc(MODEL_PARTS_MAX * sizeof(struct model_part))};
    if (!about.parts) {
        return error_memory(err, MODEL_PARTS_MAX * sizeof(struct model_part));
    }
    leat_status status = open_model(path, &model, err);
    if (status == LEAT_OK) {
        about.part_count = model_parts(model, about.parts, MODEL_PARTS_MAX);
        for (int p = 0; p < about.part_count; p++) {
            about.parameters += (uint64_t)about.parts[p].rows * (uint64_t)about.parts[p].columns;
        }
        model_learnt(model, &about.examples, &about.steps);
        if (json) {
            status = print_json(model, &about, err);
        } else {
            print_words(model, &about);
        }
        model_close(model);
    }
    memory_free(about.parts);
    return status;
}

int command_model(int argc, char **argv) {
    bool json = false;
    const struct option options[] = {
        {"json", 0, NULL, "As one JSON object.", NULL, &json},
    };
    const struct usage usage = {
        "leat model show FILE|DIR [--json]",
        "Says what a model is: network, fields, tasks, optimiser, weights by part, rows, bytes and "
        "what it\n"
        "has learnt. FILE: as `leat train` saves one. DIR: a data folder, whose newest checkpoint "
        "is read.",
        options, sizeof(options) / sizeof(options[0])};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 2, &rest, &exit_code)) {
        return exit_code;
    }
    leat_error err = {.message = ""};
    if (rest != 2 || strcmp(argv[1], "show") != 0) {
        error_set(&err, LEAT_INVALID, "say: leat model show FILE, or the data folder of a server");
        command_fail(argv[0], &err);
        return COMMAND_MISUSED;
    }
    return show(argv[2], json, &err) < 0 ? command_fail(argv[0], &err) : COMMAND_FINE;
}
