#include "base/test.h"
#include "base/yaml.h"

enum { BLOCK_BYTES = 4096, BYTES_MAX = 64 << 20 };

static struct arena arena;

static int set_up(void **state) {
    (void)state;
    arena_init(&arena, BLOCK_BYTES, BYTES_MAX);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static const struct yaml_node *parse(const char *text) {
    leat_error err = {.message = ""};
    struct yaml_node *root = NULL;
    leat_status status = yaml_parse(&arena, slice_of(text), &root, &err);
    if (status != LEAT_OK) {
        fail_msg("%s", err.message);
    }
    return root;
}

static void refused(const char *text, const char *message) {
    leat_error err = {.message = ""};
    struct yaml_node *root = NULL;
    assert_int_equal(yaml_parse(&arena, slice_of(text), &root, &err), LEAT_INVALID);
    assert_int_equal(err.status, LEAT_INVALID);
    assert_string_equal(err.message, message);
    assert_null(root);
    assert_int_equal(yaml_parse(&arena, slice_of(text), &root, NULL), LEAT_INVALID);
}

static const struct yaml_node *child(const struct yaml_node *node, int index) {
    const struct yaml_node *at = node->first;
    for (int i = 0; i < index && at; i++) {
        at = at->next;
    }
    assert_non_null(at);
    return at;
}

static void is_scalar(const struct yaml_node *node, const char *key, const char *text, int line,
                      int column) {
    assert_int_equal(node->kind, YAML_SCALAR);
    assert_true(key ? slice_is(node->key, key) : node->key.data == NULL);
    assert_true(slice_is(node->text, text));
    assert_int_equal(node->line, line);
    assert_int_equal(node->column, column);
}

static void nothing_is_an_empty_map(void **state) {
    (void)state;
    const char *const texts[] = {"", "\n\n", "# words only\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const struct yaml_node *root = parse(texts[i]);
        assert_int_equal(root->kind, YAML_MAP);
        assert_null(root->first);
        assert_int_equal(root->line, 1);
        assert_int_equal(root->column, 1);
    }
    struct yaml_node *root = NULL;
    assert_int_equal(yaml_parse(&arena, (struct slice){NULL, 0}, &root, NULL), LEAT_OK);
    assert_int_equal(root->kind, YAML_MAP);
}

static void every_node_knows_its_place(void **state) {
    (void)state;
    const struct yaml_node *root = parse("a: 1\n"
                                         "list:\n"
                                         "  - x\n"
                                         "  - [y, \"z z\"]\n"
                                         "map: {k: v, 'q': }\n");
    assert_int_equal(root->kind, YAML_MAP);
    is_scalar(child(root, 0), "a", "1", 1, 4);
    const struct yaml_node *list = child(root, 1);
    assert_int_equal(list->kind, YAML_LIST);
    assert_int_equal(list->key_line, 2);
    assert_int_equal(list->key_column, 1);
    assert_int_equal(list->line, 3);
    assert_int_equal(list->column, 3);
    is_scalar(child(list, 0), NULL, "x", 3, 5);
    is_scalar(child(child(list, 1), 1), NULL, "z z", 4, 9);
    assert_null(child(list, 1)->next);
    const struct yaml_node *map = child(root, 2);
    assert_int_equal(map->kind, YAML_MAP);
    is_scalar(child(map, 0), "k", "v", 5, 10);
    assert_int_equal(child(map, 0)->key_line, 5);
    assert_int_equal(child(map, 0)->key_column, 7);
    is_scalar(child(map, 1), "q", "", 5, 18);
    assert_null(child(map, 1)->next);
    assert_null(map->next);
}

static void columns_count_characters(void **state) {
    (void)state;
    is_scalar(child(child(parse("\xC3\xA9: [\xE6\xB5\x81, b]\n"), 0), 1), NULL, "b", 1, 8);
    is_scalar(child(parse("\xEF\xBB\xBF"
                          "a: 1\n"),
                    0),
              "a", "1", 1, 4);
}

static void what_is_not_plain_is_refused(void **state) {
    (void)state;
    refused("a: &x 1\n", "1:4: anchors (&name) are not supported; write it out");
    refused("a: &x [1]\n", "1:4: anchors (&name) are not supported; write it out");
    refused("a: &x {b: 1}\n", "1:4: anchors (&name) are not supported; write it out");
    refused("&x a: 1\n", "1:1: anchors (&name) are not supported; write it out");
    refused("a: 1\nb: *a\n",
            "2:4: aliases (*name) are not supported; write it out, or quote the '*'");
    refused("a: !!int 1\n", "1:4: tags (!name) are not supported; leave it out");
    refused("a: !mine [1]\n", "1:4: tags (!name) are not supported; leave it out");
    refused("--- !mine {a: 1}\n", "1:5: tags (!name) are not supported; leave it out");
    refused("a: 1\n---\nb: 2\n", "2:1: a second document begins; one is allowed");
    refused("[a]: 1\n", "1:1: a key must be a word, not a list or a map");
    refused("? {a: 1}\n: 1\n", "1:3: a key must be a word, not a list or a map");
}

static void keys_stand_once(void **state) {
    (void)state;
    refused("b: 1\na: 1\nc: 1\na: 2\n",
            "4:1: key 'a' stands here a second time; the first is in line 2");
    refused("m: {x: 1, y: 2, x: 3}\n",
            "1:17: key 'x' stands here a second time; the first is in line 1");
    refused("a: 1\n'a': 2\n", "2:1: key 'a' stands here a second time; the first is in line 1");
    parse("a: {a: {a: 1}}\nb: {a: 1}\naa: 1\n");
}

static void broken_text_is_refused(void **state) {
    (void)state;
    refused("a: [1, 2\n", "2:1: not YAML: while parsing a flow sequence, did not find expected "
                          "',' or ']'");
    refused("a: 1\n b: 2\n", "2:3: not YAML: mapping values are not allowed in this context");
    refused("\ta: 1\n", "1:1: not YAML: while scanning for the next token, found character that "
                        "cannot start any token");
    refused("a: 1\nb: \xFF\n", "2:4: not printable UTF-8 text; save the file as UTF-8");
    refused("a: 1\nbc: \x01\n", "2:5: not printable UTF-8 text; save the file as UTF-8");
}

static const char *repeat(const char *unit, int times, const char *end) {
    size_t size = strlen(unit);
    char *text = arena_alloc(&arena, size * (size_t)times + strlen(end) + 1);
    for (int i = 0; i < times; i++) {
        memcpy(text + size * (size_t)i, unit, size);
    }
    strcpy(text + size * (size_t)times, end);
    return text;
}

static void depth_and_size_are_bounded(void **state) {
    (void)state;
    const char *deep = repeat("{a: ", 32, repeat("}", 32, "\n"));
    const struct yaml_node *node = parse(deep);
    int depth = 1;
    for (; node->first; node = node->first) {
        depth += node->first->kind == YAML_MAP;
    }
    assert_int_equal(depth, 32);
    refused(repeat("[", 33, "\n"), "1:33: lists and maps stand in one another more than 32 deep");
    refused(repeat("- \n", 100000, ""), "100000:2: more than 100000 values; split the file");
    assert_non_null(parse(repeat("- \n", 99999, ""))->first);
}

static void memory_is_bounded_by_the_arena(void **state) {
    (void)state;
    struct arena small;
    arena_init(&small, 256, 1024);
    struct yaml_node *root = NULL;
    leat_error err = {.message = ""};
    struct slice text = slice_of(repeat("- abcdefgh\n", 100, ""));
    assert_int_equal(yaml_parse(&small, text, &root, &err), LEAT_MEMORY);
    assert_true(err.retry);
    arena_deinit(&small);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_an_empty_map, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_node_knows_its_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(columns_count_characters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_plain_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_stand_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(broken_text_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(depth_and_size_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_is_bounded_by_the_arena, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
