#include "base/config.h"
#include "base/config_table.h"
#include "base/memory.h"
#include "base/test.h"

#include <assert.h>

static struct config *parse(const char *text) {
    leat_error err = {.message = ""};
    struct config *config = NULL;
    if (config_parse(slice_of(text), "leat.yaml", &config, &err) != LEAT_OK) {
        fail_msg("%s", err.message);
    }
    return config;
}

static void refused(const char *text, const char *message) {
    leat_error err = {.message = ""};
    struct config *config = NULL;
    assert_int_equal(config_parse(slice_of(text), "leat.yaml", &config, &err), LEAT_INVALID);
    assert_string_equal(err.message, message);
    assert_null(config);
    assert_int_equal(config_parse(slice_of(text), "leat.yaml", &config, NULL), LEAT_INVALID);
}

/* --- what stands in for what is left out --- */

static void built_in_actions_and_surfaces_stand_in(void **state) {
    (void)state;
    struct config *config = parse("seed: 7\n");
    assert_int_equal(config->action_count, 2);
    assert_string_equal(config->actions[0].name, "click");
    assert_int_equal(config->actions[0].fields.window, 600000);
    assert_float_equal(config->actions[0].fields.weight, 1, 0);
    assert_int_equal(config->actions[0].fields.filter, 0);
    assert_string_equal(config->actions[1].name, "hide");
    assert_int_equal(config->actions[1].fields.window, 600000);
    assert_float_equal(config->actions[1].fields.weight, -10, 0);
    assert_int_equal(config->actions[1].fields.filter, 1);
    assert_int_equal(config->surface_count, 1);
    assert_string_equal(config->surfaces[0].name, "for_you");
    assert_int_equal(config->surfaces[0].fields.show, 10);
    assert_int_equal(config->surfaces[0].channels.similar, 300);
    config_destroy(config);
}

static void given_actions_are_the_only_ones(void **state) {
    (void)state;
    struct config *config = parse("actions:\n"
                                  "  watch: {value: seconds, weight: 0.004}\n"
                                  "  buy:\n"
                                  "surfaces:\n"
                                  "  shop: {channels: {fresh: 7}, show: 3}\n"
                                  "  live:\n");
    assert_int_equal(config->action_count, 2);
    assert_int_equal(config_action_find(config, slice_of("watch")), 0);
    assert_int_equal(config_action_find(config, slice_of("buy")), 1);
    assert_int_equal(config_action_find(config, slice_of("click")), -1);
    assert_int_equal(config->actions[0].fields.value, 1);
    assert_int_equal(config->actions[0].fields.window, 600000);
    assert_float_equal(config->actions[1].fields.weight, 1, 0);
    assert_int_equal(config->surface_count, 2);
    assert_int_equal(config_surface_find(config, slice_of("live")), 1);
    assert_int_equal(config_surface_find(config, slice_of("for_you")), -1);
    assert_int_equal(config->surfaces[0].fields.show, 3);
    assert_int_equal(config->surfaces[0].channels.fresh, 7);
    assert_int_equal(config->surfaces[0].channels.similar, 300);
    assert_int_equal(config->surfaces[1].channels.fresh, 100);
    config_destroy(config);
}

static void refused(const char *text, const char *words);

static void a_model_is_drawn_briefly(void **state) {
    (void)state;
    struct config *config =
        parse("model:\n"
              "  network: {kind: dcn, cross: 3, hidden: [128, 64.5]}\n"
              "  fields: {item: {expire: 30d, admit: 3}, user*item: {rate: 0.5}}\n"
              "  tasks: {click: {weight: 2}}\n");
    assert_int_equal(config->network.kind, 4);
    assert_int_equal(config->network.cross, 3);
    assert_int_equal(config->network.hidden.count, 2);
    assert_int_equal(config->field_count, 2);
    assert_string_equal(config->fields[1].name, "user*item");
    assert_int_equal(config->fields[0].settings.admit, 3);
    assert_float_equal(config->fields[1].settings.rate, 0.5, 0);
    assert_float_equal(config->fields[0].settings.rate, 1, 0);
    assert_string_equal(config->tasks[0].name, "click");
    config_destroy(config);
    config = parse("model: {network: mmoe}");
    assert_int_equal(config->network.kind, 5);
    assert_int_equal(config->network.hidden.count, 2);
    assert_float_equal(config->network.hidden.values[0], 64, 0);
    config_destroy(config);
    refused("model: {network: net}",
            "leat.yaml:1:18: 'model.network.kind' wants one of fm, logistic, fwfm, deepfm, dcn, "
            "mmoe, ple, towers, not 'net'");
    refused("model: {fields: {a b: {rate: 1}}}",
            "leat.yaml:1:18: 'a b' in 'model.fields' is no name of a feature: write it as in "
            "model.features");
}

/* --- every field, by the table --- */

/* How a map of the section is written, and where its struct stands in the config. */
struct place {
    enum section_id section;
    const char *before; /* ends where "key: value" begins */
    const char *after;
    size_t offset;
};

static const struct place PLACES[] = {
    {SECTION_root, "{", "}", offsetof(struct config, root)},
    {SECTION_log, "{log: {", "}}", offsetof(struct config, log)},
    {SECTION_checkpoint, "{checkpoint: {", "}}", offsetof(struct config, checkpoint)},
    {SECTION_examples, "{examples: {", "}}", offsetof(struct config, examples)},
    {SECTION_http, "{http: {", "}}", offsetof(struct config, http)},
    {SECTION_flow, "{flow: {", "}}", offsetof(struct config, flow)},
    {SECTION_runner, "{runner: {", "}}", offsetof(struct config, runner)},
    {SECTION_replica, "{replica: {", "}}", offsetof(struct config, replica)},
    {SECTION_model, "{model: {", "}}", offsetof(struct config, model)},
    {SECTION_network, "{model: {network: {", "}}}", offsetof(struct config, network)},
    {SECTION_field_settings, "{model: {fields: {a*b: {", "}}}}",
     offsetof(struct config, fields[0].settings)},
    {SECTION_task_settings, "{model: {tasks: {item: {", "}}}}",
     offsetof(struct config, tasks[0].settings)},
    {SECTION_action_fields, "{actions: {a: {", "}}}", offsetof(struct config, actions[0].fields)},
    {SECTION_surface_fields, "{surfaces: {s: {", "}}}",
     offsetof(struct config, surfaces[0].fields)},
    {SECTION_channels, "{surfaces: {s: {channels: {", "}}}}",
     offsetof(struct config, surfaces[0].channels)},
};
static_assert(sizeof(PLACES) / sizeof(PLACES[0]) == CONFIG_SECTION_COUNT, "a place a section");

static leat_status parse_field(const struct place *place, const struct field *field,
                               const char *value, struct config **out, leat_error *err) {
    char text[1024];
    snprintf(text, sizeof(text), "%s%s: %s%s", place->before, field->key, value, place->after);
    return config_parse(slice_of(text), "leat.yaml", out, err);
}

/* Sets the field to the text and compares its bytes with those that `expected` puts there. */
static void expect_set(const struct place *place, const struct field *field, const char *value,
                       double expected) {
    leat_error err = {.message = ""};
    struct config *config = NULL;
    if (parse_field(place, field, value, &config, &err) != LEAT_OK) {
        fail_msg("%s", err.message);
    }
    const char *at = (const char *)config + place->offset + field->offset;
    if (field->type == FIELD_number) {
        assert_float_equal(*(const config_number *)(const void *)at, expected, 0);
    } else if (field->type == FIELD_choice) {
        assert_int_equal(*(const config_choice *)(const void *)at, (int)expected);
    } else {
        assert_int_equal(*(const int64_t *)(const void *)at, (int64_t)expected);
    }
    config_destroy(config);
}

static void expect_refused(const struct place *place, const struct field *field, const char *value,
                           const char *words) {
    leat_error err = {.message = ""};
    struct config *config = NULL;
    assert_int_equal(parse_field(place, field, value, &config, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, field->key));
    assert_non_null(strstr(err.message, words));
    assert_memory_equal(err.message, "leat.yaml:1:", 12);
}

static void check_range(const struct place *place, const struct field *field) {
    char low[32], high[32], wanted[100], above[64];
    config_value_format(field->type, field->low, low);
    config_value_format(field->type, field->high, high);
    expect_set(place, field, low, field->low);
    expect_set(place, field, high, field->high);
    snprintf(wanted, sizeof(wanted), "from %s to %s", low, high);
    const char *unit = field->type == FIELD_duration ? "d" : field->type == FIELD_size ? "GiB" : "";
    snprintf(above, sizeof(above), "%lld%s", (long long)field->high + 1, unit);
    expect_refused(place, field, above, wanted);
    expect_refused(place, field, "-2000000", wanted);
    expect_refused(place, field, "many", wanted);
    expect_refused(place, field, "''", wanted);
    expect_refused(place, field, "[1]", wanted);
    expect_refused(place, field, "{a: 1}", wanted);
}

static void check_choices(const struct place *place, const struct field *field) {
    const char *at = field->choices;
    struct slice word;
    for (int i = 0; config_choice_next(&at, &word); i++) {
        char value[64];
        snprintf(value, sizeof(value), "%.*s", (int)word.size, word.data);
        expect_set(place, field, value, i);
    }
    expect_refused(place, field, "none_of_these", "one of ");
    expect_refused(place, field, field->choices, "one of ");
    expect_refused(place, field, "[]", "not a list");
}

static void check_bool(const struct place *place, const struct field *field) {
    struct config *config = NULL;
    assert_int_equal(parse_field(place, field, "true", &config, NULL), LEAT_OK);
    assert_true(
        *(const config_bool *)(const void *)((const char *)config + place->offset + field->offset));
    config_destroy(config);
    expect_refused(place, field, "yes", "true or false");
}

static void check_numbers(const struct place *place, const struct field *field) {
    struct config *config = NULL;
    assert_int_equal(parse_field(place, field, "[3, 2]", &config, NULL), LEAT_OK);
    const char *at = (const char *)config + place->offset + field->offset;
    const struct config_number_list *list = (const void *)at;
    assert_int_equal(list->count, 2);
    assert_float_equal(list->values[0], 3, 0);
    assert_float_equal(list->values[1], 2, 0);
    config_destroy(config);
    expect_refused(place, field, "[3, 2000000]", "a list of numbers");
    expect_refused(place, field, "[3, x]", "a list of numbers");
    expect_refused(place, field, "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "more than 16 numbers");
    expect_refused(place, field, "3", "a list of numbers");
    expect_refused(place, field, "[]", "not a list");
}

static void every_field_is_settable_and_bounded(void **state) {
    (void)state;
    int checked = 0;
    for (int i = 0; i < CONFIG_SECTION_COUNT; i++) {
        const struct section *section = &config_sections[PLACES[i].section];
        for (int f = 0; f < section->field_count; f++) {
            const struct field *field = &section->fields[f];
            if (field->type == FIELD_choice) {
                check_choices(&PLACES[i], field);
            } else if (field->type == FIELD_numbers) {
                check_numbers(&PLACES[i], field);
            } else if (field->type == FIELD_bool) {
                check_bool(&PLACES[i], field);
            } else if (field->type != FIELD_text && field->type != FIELD_names) {
                check_range(&PLACES[i], field);
            }
            checked++;
        }
    }
    assert_in_range(checked, 40, 1000);
}

static void defaults_are_within_their_ranges(void **state) {
    (void)state;
    for (int i = 0; i < CONFIG_SECTION_COUNT; i++) {
        for (int f = 0; f < config_sections[i].field_count; f++) {
            const struct field *field = &config_sections[i].fields[f];
            if (field->low < field->high && field->type != FIELD_numbers) {
                assert_true(field->fallback >= field->low && field->fallback <= field->high);
            }
        }
    }
}

static void expect_default(const struct field *field, const char *at) {
    if (field->type == FIELD_text) {
        assert_string_equal(at, field->fallback_text);
    } else if (field->type == FIELD_number) {
        assert_true(*(const config_number *)(const void *)at == field->fallback);
    } else if (field->type == FIELD_choice) {
        assert_int_equal(*(const config_choice *)(const void *)at, (int)field->fallback);
    } else if (field->type == FIELD_bool) {
        assert_int_equal(*(const config_bool *)(const void *)at, field->fallback != 0);
    } else if (field->type != FIELD_names && field->type != FIELD_numbers) {
        assert_int_equal(*(const int64_t *)(const void *)at, (int64_t)field->fallback);
    }
}

static void an_empty_map_gives_every_default(void **state) {
    (void)state;
    for (int i = 0; i < CONFIG_SECTION_COUNT; i++) {
        char text[128];
        snprintf(text, sizeof(text), "%s%s", PLACES[i].before, PLACES[i].after);
        struct config *config = parse(text);
        const struct section *section = &config_sections[PLACES[i].section];
        for (int f = 0; f < section->field_count; f++) {
            expect_default(&section->fields[f],
                           (const char *)config + PLACES[i].offset + section->fields[f].offset);
        }
        config_destroy(config);
    }
}

static void an_empty_file_gives_every_default(void **state) {
    (void)state;
    struct config *config = parse("");
    assert_string_equal(config->root.data, "./data");
    assert_string_equal(config->root.listen, "127.0.0.1:8090");
    assert_int_equal(config->root.key_groups, 128);
    assert_int_equal(config->log.segment, 64 << 20);
    struct bytes joined;
    bytes_init(&joined);
    for (int i = 0; i < config->model.features.count; i++) {
        bytes_printf(&joined, "%s%s", i > 0 ? "," : "", config->model.features.names[i]);
    }
    bytes_append(&joined, "", 1);
    const struct section *model = &config_sections[SECTION_model];
    assert_string_equal(model->fields[0].key, "features");
    assert_string_equal((const char *)joined.data, model->fields[0].fallback_text);
    bytes_deinit(&joined);
    config_destroy(config);
}

static void durations_and_sizes_have_units(void **state) {
    (void)state;
    struct config *config = parse("log: {oldest: 3d, skew: 90s, heartbeat: 250ms, segment: 1GiB}\n"
                                  "flow: {dedup: 1h, session_gap: 10m, memory: 512MiB}\n"
                                  "http: {body: 2048}\n");
    assert_int_equal(config->log.oldest, 3 * 86400000);
    assert_int_equal(config->log.skew, 90000);
    assert_int_equal(config->log.heartbeat, 250);
    assert_int_equal(config->log.segment, 1 << 30);
    assert_int_equal(config->flow.dedup, 3600000);
    assert_int_equal(config->flow.session_gap, 600000);
    assert_int_equal(config->flow.memory, 512 << 20);
    assert_int_equal(config->http.body, 2048);
    config_destroy(config);
}

static void texts_are_bounded_and_printable(void **state) {
    (void)state;
    char text[600] = "data: ";
    memset(text + 6, 'a', 511);
    struct config *config = parse(text);
    assert_int_equal(strlen(config->root.data), 511);
    config_destroy(config);
    text[6 + 511] = 'a';
    refused(text, "leat.yaml:1:7: 'data' wants a text of 1 to 511 printable bytes, not "
                  "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'");
    refused("data:\n", "leat.yaml:1:6: 'data' wants a text of 1 to 511 printable bytes, not ''");
    refused("data: \"a\\0b\"\n",
            "leat.yaml:1:7: 'data' wants a text of 1 to 511 printable bytes, not 'a?b'");
    refused("data: [a]\n",
            "leat.yaml:1:7: 'data' wants a text of 1 to 511 printable bytes, not a list");
    config = parse("data: \xE6\xB5\x81/x y\nlisten: '[::1]:80'\n");
    assert_string_equal(config->root.data, "\xE6\xB5\x81/x y");
    assert_string_equal(config->root.listen, "[::1]:80");
    config_destroy(config);
}

/* --- faults --- */

static void unknown_keys_name_the_nearest(void **state) {
    (void)state;
    refused("data: x\n  \nlisen: 1\n",
            "leat.yaml:3:1: unknown key 'lisen' in the top level; did you mean 'listen'?");
    refused("modle: {}\n",
            "leat.yaml:1:1: unknown key 'modle' in the top level; did you mean 'model'?");
    refused("surface: {}\n",
            "leat.yaml:1:1: unknown key 'surface' in the top level; did you mean 'surfaces'?");
    refused("log:\n  segmnt: 1\n",
            "leat.yaml:2:3: unknown key 'segmnt' in 'log'; did you mean 'segment'?");
    refused("actions: {click: {windw: 1m}}\n",
            "leat.yaml:1:19: unknown key 'windw' in 'actions.click'; did you mean 'window'?");
    refused("surfaces: {shop: {chanels: {}}}\n",
            "leat.yaml:1:19: unknown key 'chanels' in 'surfaces.shop'; did you mean 'channels'?");
    refused("surfaces: {s: {channels: {fersh: 1}}}\n", "leat.yaml:1:27: unknown key 'fersh' in "
                                                       "'surfaces.s.channels'; did you mean "
                                                       "'fresh'?");
    refused("<<: {}\nhttp: {somethingelse: 1}\n",
            "leat.yaml:1:1: unknown key '<<' in the top level; docs/reference/config.md lists the "
            "keys");
}

static void wrong_values_name_the_range(void **state) {
    (void)state;
    refused("key_groups: 0\n",
            "leat.yaml:1:13: 'key_groups' wants a whole number from 1 to 32768, not '0'");
    refused("key_groups: 1.5\n",
            "leat.yaml:1:13: 'key_groups' wants a whole number from 1 to 32768, not '1.5'");
    refused(
        "log:\n    segment: 5\n",
        "leat.yaml:2:14: 'log.segment' wants a size such as 64MiB, from 64KiB to 1GiB, not '5'");
    refused("log: {skew: 10}\n",
            "leat.yaml:1:13: 'log.skew' wants a duration such as 10m, from 0ms to 1d, not '10'");
    refused("model: {l2: .nan}\n", "leat.yaml:1:13: 'model.l2' wants a number from 0 to 1, not "
                                   "'.nan'");
    refused("clock: sun\n", "leat.yaml:1:8: 'clock' wants one of wall, event, not 'sun'");
    refused("surfaces: {s: {examples: [a]}}\n",
            "leat.yaml:1:26: 'surfaces.s.examples' wants one of impressions, served, clicks, not a "
            "list");
    refused("model: {rate: {a: 1}}\n",
            "leat.yaml:1:15: 'model.rate' wants a number from 1e-06 to 10, not a map");
}

static void maps_are_wanted_where_maps_belong(void **state) {
    (void)state;
    refused("log: 7\n", "leat.yaml:1:6: 'log' wants keys and values, not a single value");
    refused("log: [7]\n", "leat.yaml:1:6: 'log' wants keys and values, not a list");
    refused("[log]\n", "leat.yaml:1:1: the file wants keys and values, not a list");
    refused("log\n", "leat.yaml:1:1: the file wants keys and values, not a single value");
    refused("actions: [click]\n", "leat.yaml:1:10: 'actions' wants keys and values, not a list");
    refused("actions: {click: 1}\n",
            "leat.yaml:1:18: 'actions.click' wants keys and values, not a single value");
    refused("surfaces: {s: {channels: 1}}\n",
            "leat.yaml:1:26: 'surfaces.s.channels' wants keys and values, not a single value");
    struct config *config = parse("---\n");
    config_destroy(config);
    config = parse("log:\nsurfaces: {s: {channels: }}\n");
    config_destroy(config);
}

static void names_are_checked(void **state) {
    (void)state;
    refused("actions: {Click: {}}\n",
            "leat.yaml:1:11: 'Click' in 'actions' is no name: write 1 to 63 of a-z, 0-9 and _");
    refused("surfaces: {'': {}}\n",
            "leat.yaml:1:12: '' in 'surfaces' is no name: write 1 to 63 of a-z, 0-9 and _");
    refused("actions: {for-you: {}}\n",
            "leat.yaml:1:11: 'for-you' in 'actions' is no name: write 1 to 63 of a-z, 0-9 and _");
    refused("actions: {item: {}}\n", "leat.yaml:1:11: 'item' in 'actions' is a kind of event that "
                                     "leat keeps for itself; choose another name");
    refused("actions: {a: {}, b: {}, a: {}}\n",
            "leat.yaml:1:25: key 'a' stands here a second time; the first is in line 1");
    refused("actions: {}\n",
            "leat.yaml:1:10: 'actions' is empty; name at least one, or leave the key out");
    refused("surfaces:\n",
            "leat.yaml:1:10: 'surfaces' is empty; name at least one, or leave the key out");
    const char *const reserved[] = {"impression", "item",   "item_delete",
                                    "user",       "forget", "heartbeat"};
    for (int i = 0; i < 6; i++) {
        assert_string_equal(config_reserved[i], reserved[i]);
    }
    assert_null(config_reserved[6]);
}

static void names_have_63_bytes_at_most(void **state) {
    (void)state;
    char text[128];
    memset(text, 'a', sizeof(text));
    memcpy(text, "actions: {", 10);
    strcpy(text + 10 + 63, ": {}}");
    struct config *config = parse(text);
    assert_int_equal(strlen(config->actions[0].name), 63);
    config_destroy(config);
    memcpy(text + 10 + 63, "a: {}}", 7);
    refused(text,
            "leat.yaml:1:11: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'"
            " in 'actions' is no name: write 1 to 63 of a-z, 0-9 and _");
}

static void rosters_are_bounded(void **state) {
    (void)state;
    char text[512] = "actions: {a0: {}";
    for (int i = 1; i < CONFIG_ACTIONS_MAX; i++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text), ", a%d: {}", i);
    }
    size_t size = strlen(text);
    strcpy(text + size, "}");
    struct config *config = parse(text);
    assert_int_equal(config->action_count, CONFIG_ACTIONS_MAX);
    assert_string_equal(config->actions[CONFIG_ACTIONS_MAX - 1].name, "a15");
    config_destroy(config);
    strcpy(text + size, ",\n more: {}}");
    refused(text, "leat.yaml:2:2: 'actions' has more than 16 names");
    refused("surfaces: {a: , b: , c: , d: , e: , f: , g: , h: ,\n i: }\n",
            "leat.yaml:2:2: 'surfaces' has more than 8 names");
}

static void features_are_names_or_crosses(void **state) {
    (void)state;
    struct config *config = parse("model:\n  features: [user, my_word, user*my_word]\n");
    assert_int_equal(config->model.features.count, 3);
    assert_string_equal(config->model.features.names[2], "user*my_word");
    config_destroy(config);
    config = parse("model:\n  features:\n    - item\n");
    assert_int_equal(config->model.features.count, 1);
    config_destroy(config);
    config =
        parse("model: {features: [f(a), user, history(click, 50, target), 'g(a,  -1.5)', b]}\n");
    assert_int_equal(config->model.features.count, 5);
    assert_string_equal(config->model.features.names[0], "f(a)");
    assert_string_equal(config->model.features.names[2], "history(click,50,target)");
    assert_string_equal(config->model.features.names[3], "g(a,-1.5)");
    assert_string_equal(config->model.features.names[4], "b");
    config_destroy(config);
    refused("model: {features: [u, history(click, 50]}\n",
            "leat.yaml:1:23: 'history(click,50' in 'model.features' is no name: write 1 to 63 of "
            "a-z, 0-9 and _, or two names crossed as a*b");
    refused("model: {features: [f(a, 1), f(a,1)]}\n",
            "leat.yaml:1:29: 'f(a,1)' stands in 'model.features' twice");
    const char *const wrong[] = {"Us",  "a*b*c", "*a",    "a*", "a b", "history(a",
                                 "(a)", "f(A)",  "f(a)b", "''", "[a]"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char text[128], message[256];
        snprintf(text, sizeof(text), "model: {features: [u, \"%s\"]}\n", wrong[i]);
        snprintf(message, sizeof(message),
                 "leat.yaml:1:23: '%s' in 'model.features' is no name: write 1 to 63 of a-z, 0-9 "
                 "and _, or two names crossed as a*b",
                 wrong[i]);
        refused(text, message);
    }
    refused("model: {features: [u, [a]]}\n", "leat.yaml:1:23: '' in 'model.features' is no name: "
                                             "write 1 to 63 of a-z, 0-9 and _, or two names "
                                             "crossed as a*b");
    refused("model: {features: [u, i, u]}\n",
            "leat.yaml:1:26: 'u' stands in 'model.features' twice");
    refused("model: {features: []}\n", "leat.yaml:1:19: 'model.features' wants a list of 1 to 32 "
                                       "names, such as [user, item], not a list");
    refused("model: {features: user}\n", "leat.yaml:1:19: 'model.features' wants a list of 1 to 32 "
                                         "names, such as [user, item], not 'user'");
}

static void feature_lists_are_bounded(void **state) {
    (void)state;
    char text[512] = "model: {features: [f0";
    for (int i = 1; i < CONFIG_LIST_MAX; i++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text), ", f%d", i);
    }
    size_t size = strlen(text);
    strcpy(text + size, "]}");
    struct config *config = parse(text);
    assert_int_equal(config->model.features.count, CONFIG_LIST_MAX);
    config_destroy(config);
    strcpy(text + size, ",\nmore]}");
    refused(text, "leat.yaml:2:1: 'model.features' has more than 32 names");
}

static void broken_yaml_names_the_file(void **state) {
    (void)state;
    refused("a: *b\n",
            "leat.yaml:1:4: aliases (*name) are not supported; write it out, or quote the '*'");
    refused("data: \xFF\n", "leat.yaml:1:7: not printable UTF-8 text; save the file as UTF-8");
}

static void messages_hold_whole_printable_characters(void **state) {
    (void)state;
    char text[128] = "\"\\e";
    for (int i = 0; i < 30; i++) {
        strcat(text, "\xE6\xB5\x81");
    }
    strcat(text, "\": 1\n");
    refused(text, "leat.yaml:1:1: unknown key '?"
                  "\xE6\xB5\x81\xE6\xB5\x81\xE6\xB5\x81\xE6\xB5\x81\xE6\xB5\x81\xE6\xB5\x81"
                  "\xE6\xB5\x81\xE6\xB5\x81\xE6\xB5\x81\xE6\xB5\x81\xE6\xB5\x81\xE6\xB5\x81"
                  "\xE6\xB5\x81\xE6\xB5\x81\xE6\xB5\x81\xE6\xB5\x81\xE6\xB5\x81\xE6\xB5\x81"
                  "\xE6\xB5\x81...' in the top level; docs/reference/config.md lists the keys");
}

/* --- files and memory --- */

static void files_are_loaded(void **state) {
    (void)state;
    const char *path = "config_test.yaml";
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("seed: 42\n", file);
    fclose(file);
    struct config *config = NULL;
    leat_error err = {.message = ""};
    assert_int_equal(config_load(path, &config, &err), LEAT_OK);
    assert_int_equal(config->root.seed, 42);
    config_destroy(config);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("sed: 42\n", file);
    fclose(file);
    assert_int_equal(config_load(path, &config, &err), LEAT_INVALID);
    assert_string_equal(err.message, "config_test.yaml:1:1: unknown key 'sed' in the top level; "
                                     "did you mean 'seed'?");
    remove(path);
    assert_int_equal(config_load(path, &config, &err), LEAT_IO);
    assert_string_equal(err.message, "config_test.yaml: there is no such file");
}

static void large_files_are_refused(void **state) {
    (void)state;
    size_t size = (1 << 20) + 1;
    char *text = memory_alloc(size);
    memset(text, '\n', size);
    struct config *config = NULL;
    leat_error err = {.message = ""};
    assert_int_equal(config_parse((struct slice){text, size}, "x", &config, &err), LEAT_INVALID);
    assert_string_equal(err.message, "x: 1048577 bytes; a configuration has at most 1048576");
    assert_int_equal(config_parse((struct slice){text, size - 1}, "x", &config, &err), LEAT_OK);
    config_destroy(config);
    memory_free(text);
}

static void every_failed_allocation_is_an_error(void **state) {
    (void)state;
    leat_status status = LEAT_MEMORY;
    int failures = 0;
    for (uint64_t n = 1; status != LEAT_OK; n++) {
        struct config *config = NULL;
        leat_error err = {.message = ""};
        memory_fail_at(n);
        status = config_parse(slice_of("log: {skew: 1s}"), "x", &config, &err);
        memory_fail_at(0);
        if (status != LEAT_OK) {
            assert_int_equal(status, LEAT_MEMORY);
            assert_true(err.retry);
            failures++;
        }
        config_destroy(config);
    }
    assert_in_range(failures, 2, 100);
}

/* --- the reference --- */

static void the_reference_names_every_key(void **state) {
    (void)state;
    struct bytes out;
    bytes_init(&out);
    config_reference(&out);
    bytes_append(&out, "", 1);
    assert_int_equal(bytes_status(&out, NULL), LEAT_OK);
    const char *at = (const char *)out.data;
    for (int i = 0; i < CONFIG_SECTION_COUNT; i++) {
        for (int f = 0; f < config_sections[i].field_count; f++) {
            const struct field *field = &config_sections[i].fields[f];
            char row[80];
            snprintf(row, sizeof(row), "\n| `%s` | ", field->key);
            at = strstr(at, row); /* in the order of the table */
            assert_non_null(at);
            assert_non_null(strstr(at, field->doc));
            at++;
        }
    }
    const char *text = (const char *)out.data;
    assert_non_null(strstr(text, "\n## Top level\n"));
    assert_non_null(strstr(text, "\n## `actions.<name>`: what people do\n"));
    assert_non_null(strstr(text, "| `segment` | size | `64MiB` | `64KiB` to `1GiB` | "));
    assert_non_null(strstr(text, "| `every` | duration | `1m` | `100ms` to `1d` | "));
    assert_non_null(strstr(text, "| `clock` | choice | `wall` | `wall`, `event` | "));
    assert_non_null(strstr(text, "| `data` | text | `./data` |  | "));
    assert_non_null(strstr(text, "| `features` | names | `[user, item, author, "));
    bytes_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_in_actions_and_surfaces_stand_in),
        cmocka_unit_test(given_actions_are_the_only_ones),
        cmocka_unit_test(a_model_is_drawn_briefly),
        cmocka_unit_test(every_field_is_settable_and_bounded),
        cmocka_unit_test(defaults_are_within_their_ranges),
        cmocka_unit_test(an_empty_map_gives_every_default),
        cmocka_unit_test(an_empty_file_gives_every_default),
        cmocka_unit_test(durations_and_sizes_have_units),
        cmocka_unit_test(texts_are_bounded_and_printable),
        cmocka_unit_test(unknown_keys_name_the_nearest),
        cmocka_unit_test(wrong_values_name_the_range),
        cmocka_unit_test(maps_are_wanted_where_maps_belong),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(names_have_63_bytes_at_most),
        cmocka_unit_test(rosters_are_bounded),
        cmocka_unit_test(features_are_names_or_crosses),
        cmocka_unit_test(feature_lists_are_bounded),
        cmocka_unit_test(broken_yaml_names_the_file),
        cmocka_unit_test(messages_hold_whole_printable_characters),
        cmocka_unit_test(files_are_loaded),
        cmocka_unit_test(large_files_are_refused),
        cmocka_unit_test(every_failed_allocation_is_an_error),
        cmocka_unit_test(the_reference_names_every_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
