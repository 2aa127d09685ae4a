#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"
#include "connect/csv.h"

struct text_source {
    const char *text;
    size_t left;
    size_t piece_bytes;
};

static leat_status pull(void *context, void *data, size_t count, size_t *got, leat_error *err) {
    (void)err;
    struct text_source *source = context;
    *got = source->left < count ? source->left : count;
    *got = *got < source->piece_bytes ? *got : source->piece_bytes;
    memcpy(data, source->text, *got);
    source->text += *got;
    source->left -= *got;
    return LEAT_OK;
}

/* Rows as text: fields joined by '|', malformed ones as "!line", rows ended by ';'. */
static void read_all(const char *text, size_t size, char separator, bool quotes, size_t piece_bytes,
                     struct bytes *out) {
    struct csv *csv;
    assert_int_equal(csv_create(separator, quotes, &csv, NULL), LEAT_OK);
    struct text_source source = {text, size, piece_bytes};
    csv_begin(csv, (struct byte_source){pull, &source});
    bytes_clear(out);
    struct csv_row row;
    leat_status status;
    while ((status = csv_next(csv, &row, NULL)) != LEAT_END) {
        if (status == LEAT_INVALID) {
            bytes_printf(out, "!%d", (int)row.line);
        }
        for (int i = 0; status == LEAT_OK && i < row.count; i++) {
            bytes_append(out, "|", i > 0);
            bytes_append(out, row.fields[i].data, row.fields[i].size);
        }
        bytes_put_u8(out, ';');
    }
    bytes_put_u8(out, 0);
    csv_destroy(csv);
}

static void assert_rows(const char *text, const char *rows) {
    struct bytes out;
    bytes_init(&out);
    for (size_t piece = 1; piece < 10; piece++) {
        read_all(text, strlen(text), ',', true, piece, &out);
        assert_string_equal((const char *)out.data, rows);
    }
    bytes_deinit(&out);
}

static void test_rows_are_split(void **state) {
    (void)state;
    assert_rows("", "");
    assert_rows("a", "a;");
    assert_rows("a,b\n1,2\n", "a|b;1|2;");
    assert_rows("a,b\r\n1,2", "a|b;1|2;");
    assert_rows("\n\r\na,,b,\n\n,\n", "a||b|;|;");
    assert_rows("\"a,b\",\"c\"\"d\",\"\"\n", "a,b|c\"d|;");
    assert_rows("\"two\nlines\",x\nnext", "two\nlines|x;next;");
    assert_rows("\"\"\"\"\n", "\";");
}

static void test_a_malformed_row_costs_itself_only(void **state) {
    (void)state;
    assert_rows("a\nx\"y\nb\n", "a;!2;b;");
    assert_rows("a\n\"x\"y,1\nb\n", "a;!2;b;");
    assert_rows("a\n\"x,1\nb\nc", "a;!2;b;c;");
    /* the quotes of line 2 and 3 pair up, and still each line stands for itself */
    assert_rows("a\nx\"\n\"y\nb\n", "a;!2;!3;b;");
    assert_rows("\"a\"\"\n1,\"b\"\"\"x\"\n\"q\"\"r\"\n", "!1;!2;q\"r;");
}

static void test_without_quotes_they_are_text(void **state) {
    (void)state;
    struct bytes out;
    bytes_init(&out);
    const char *text = "1|\"a\n2|b\"\n";
    read_all(text, strlen(text), '|', false, 3, &out);
    assert_string_equal((const char *)out.data, "1|\"a;2|b\";");
    bytes_deinit(&out);
}

static void test_bounds_are_refusals(void **state) {
    (void)state;
    struct bytes text;
    struct bytes out;
    bytes_init(&text);
    bytes_init(&out);
    bytes_fill(&text, 'x', CSV_ROW_BYTES_MAX);
    bytes_append(&text, "\na\n", 3);
    bytes_fill(&text, 'x', 9 * CSV_ROW_BYTES_MAX + 1);
    bytes_append(&text, "\nb\n", 3);
    bytes_fill(&text, 'x', CSV_ROW_BYTES_MAX + 1);
    bytes_append(&text, "\n", 1);
    bytes_fill(&text, ',', CSV_FIELDS_MAX - 1);
    bytes_append(&text, "\n", 1);
    bytes_fill(&text, ',', CSV_FIELDS_MAX);
    bytes_append(&text, "\nc", 2);
    read_all((const char *)text.data, text.size, ',', true, 5000, &out);
    const char *tail = (const char *)out.data + CSV_ROW_BYTES_MAX;
    assert_memory_equal(tail, ";a;!3;b;!5;|", 12);
    assert_string_equal(tail + strlen(tail) - 7, "|;!7;c;");
    bytes_deinit(&text);
    bytes_deinit(&out);
}

static leat_status broken_pull(void *context, void *data, size_t count, size_t *got,
                               leat_error *err) {
    (void)context, (void)data, (void)count, (void)got;
    return error_set(err, LEAT_IO, "gone");
}

static void test_a_failing_source_is_its_own_failure(void **state) {
    (void)state;
    struct csv *csv;
    struct csv_row row;
    leat_error err;
    assert_int_equal(csv_create(',', true, &csv, NULL), LEAT_OK);
    assert_int_equal(csv_next(csv, &row, &err), LEAT_END);
    csv_begin(csv, (struct byte_source){broken_pull, NULL});
    assert_int_equal(csv_next(csv, &row, &err), LEAT_IO);
    assert_string_equal(err.message, "gone");
    csv_destroy(csv);
}

/* Writes a field as RFC 4180 asks, quoting also some that need it not. */
static void write_field(struct bytes *out, struct slice field, bool quote) {
    for (size_t i = 0; i < field.size; i++) {
        quote |= strchr(",\"\r\n", field.data[i]) != NULL;
    }
    bytes_append(out, "\"", quote);
    for (size_t i = 0; i < field.size; i++) {
        bytes_fill(out, (uint8_t)field.data[i], field.data[i] == '"' ? 2 : 1);
    }
    bytes_append(out, "\"", quote);
}

static void test_what_is_written_comes_back(void **state) {
    (void)state;
    static const char alphabet[] = "ab,\"\n\r";
    struct rng rng;
    struct bytes text;
    struct bytes model;
    struct bytes out;
    rng_init(&rng, 7);
    bytes_init(&text);
    bytes_init(&model);
    bytes_init(&out);
    for (int turn = 0; turn < 2000; turn++) {
        bytes_clear(&text);
        bytes_clear(&model);
        for (uint64_t rows = rng_below(&rng, 5); rows > 0; rows--) {
            uint64_t fields = 2 + rng_below(&rng, 4);
            for (uint64_t f = 0; f < fields; f++) {
                char field[8];
                size_t size = rng_below(&rng, sizeof(field));
                for (size_t i = 0; i < size; i++) {
                    field[i] = alphabet[rng_below(&rng, sizeof(alphabet) - 1)];
                }
                bytes_append(&text, ",", f > 0);
                bytes_append(&model, "|", f > 0);
                write_field(&text, (struct slice){field, size}, rng_below(&rng, 2) == 0);
                bytes_append(&model, field, size);
            }
            bytes_append(&text, "\r\n", 2);
            bytes_put_u8(&model, ';');
        }
        bytes_put_u8(&model, 0);
        read_all((const char *)text.data, text.size, ',', true, 1 + rng_below(&rng, 30), &out);
        assert_int_equal(out.size, model.size);
        assert_memory_equal(out.data, model.data, model.size);
    }
    bytes_deinit(&text);
    bytes_deinit(&model);
    bytes_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_split),
        cmocka_unit_test(test_a_malformed_row_costs_itself_only),
        cmocka_unit_test(test_without_quotes_they_are_text),
        cmocka_unit_test(test_bounds_are_refusals),
        cmocka_unit_test(test_a_failing_source_is_its_own_failure),
        cmocka_unit_test(test_what_is_written_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
