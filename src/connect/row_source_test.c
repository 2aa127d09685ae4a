#include "base/rng.h"
#include "connect/connect_fixture.h"
#include "connect/row_source.h"

#include <stdio.h>
#include <stdlib.h>

enum { TEXT_MAX = 1 << 19 };

static struct row_source *open_text(struct disk_fake *fake, enum row_format format,
                                    const char *text) {
    struct row_source *source;
    leat_error err = {.message = ""};
    fixture_text(fake, "rows", text);
    const struct row_source_options options = {
        .disk = disk_fake_disk(fake), .format = format, .path = FIXTURE_FOLDER "/rows"};
    leat_status status = row_source_open(&options, &source, &err);
    if (status != LEAT_OK) {
        fail_msg("%s", err.message);
    }
    return source;
}

/* column=text*value, in order, with spaces between. */
static void describe(const struct row_source *source, const struct row *row, char *out,
                     size_t size) {
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < row->count && at < size; i++) {
        const struct row_cell *cell = &row->cells[i];
        at += (size_t)snprintf(out + at, size - at, "%s%s=%.*s*%g", i > 0 ? " " : "",
                               source->columns.names[cell->column], (int)cell->text.size,
                               cell->text.data, (double)cell->value);
    }
}

static void expect(struct row_source *source, uint64_t line, const char *words) {
    char text[1000];
    struct row row;
    assert_int_equal(row_source_next(source, &row, NULL), LEAT_OK);
    describe(source, &row, text, sizeof(text));
    assert_string_equal(text, words);
    assert_int_equal(row.line, line);
}

static void expect_refused(struct row_source *source, uint64_t line, const char *words) {
    leat_error err = {.message = ""};
    struct row row;
    assert_int_equal(row_source_next(source, &row, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, words));
    assert_int_equal(row.line, line);
}

static void expect_end(struct row_source *source, struct disk_fake *fake) {
    struct row row;
    assert_int_equal(row_source_next(source, &row, NULL), LEAT_END);
    assert_int_equal(row_source_next(source, &row, NULL), LEAT_END);
    row_source_close(source);
    disk_fake_destroy(fake);
}

static void reads_csv(void **state) {
    (void)state;
    struct disk_fake *fake = fixture_disk();
    struct row_source *source = open_text(fake, ROW_CSV,
                                          "\xEF\xBB\xBFuser,\"the item\",y\n"
                                          "u1,\"a, b\",1\n"
                                          "u2,b\n"
                                          "u3,,0\n");
    expect(source, 2, "user=u1*1 the item=a, b*1 y=1*1");
    expect_refused(source, 3, "2 fields, not 3");
    expect(source, 4, "user=u3*1 the item=*1 y=0*1");
    expect_end(source, fake);
}

static void reads_criteo(void **state) {
    (void)state;
    struct disk_fake *fake = fixture_disk();
    char text[1000] = "1\t1\t\t3\t4\t5\t6\t7\t8\t9\t10\t11\t12\t13";
    for (int i = 0; i < 26; i++) {
        strcat(text, i == 1 ? "\t" : "\tabc");
    }
    struct row_source *source = open_text(fake, ROW_CRITEO, text);
    struct row row;
    assert_int_equal(row_source_next(source, &row, NULL), LEAT_OK);
    assert_int_equal(row.count, 40);
    assert_string_equal(source->columns.names[13], "I13");
    assert_string_equal(source->columns.names[14], "C1");
    assert_int_equal(row.cells[2].text.size, 0);
    assert_int_equal(row.cells[15].text.size, 0);
    assert_true(slice_is(row.cells[39].text, "abc"));
    expect_end(source, fake);
}

static void reads_vw(void **state) {
    (void)state;
    struct disk_fake *fake = fixture_disk();
    struct row_source *source = open_text(fake, ROW_VW,
                                          "1 |a x |b y:2 z:-.5\n"
                                          "-1 2.5 'me|a:3 x w:2 | q\r\n"
                                          "\n"
                                          "0 1 0.3 tag|b y|a x\n"
                                          "1\n"
                                          "1 |a x:abc\n"
                                          "1 1 1 1 1 1 |a x\n"
                                          "|a x |label y\n"
                                          "|a\tx |a y\n"
                                          "'only|a  x  \n"
                                          "1 |b y |c v");
    expect(source, 1, "label=1*1 a=x*1 b=y*2 b=z*-0.5");
    expect(source, 2, "tag=me*1 label=-1*1 importance=2.5*1 a=x*3 a=w*6 default=q*1");
    expect(source, 4, "tag=tag*1 label=0*1 importance=1*1 b=y*1 a=x*1");
    expect_refused(source, 5, "no | begins a namespace");
    expect_refused(source, 6, "'abc' is not a number");
    expect_refused(source, 7, "more than label, importance, base and tag");
    expect_refused(source, 8, "may not be called 'label'");
    expect(source, 9, "a=x*1 a=y*1");
    expect(source, 10, "tag=only*1 a=x*1");
    expect(source, 11, "label=1*1 b=y*1 c=v*1");
    expect_end(source, fake);
}

static void reads_libsvm(void **state) {
    (void)state;
    struct disk_fake *fake = fixture_disk();
    struct row_source *source = open_text(fake, ROW_LIBSVM,
                                          "+1 3:1 17:0.5\n"
                                          "-1 qid:7 3:2 # a remark: with colons\n"
                                          "1 0:12:1 4:77:.25\n"
                                          "1 5\n"
                                          "1 1:2:3:4\n"
                                          " 1:2\n"
                                          "0\n"
                                          "0 3:x\n"
                                          "0 4:8:1");
    expect(source, 1, "label=+1*1 index=3*1 index=17*0.5");
    expect(source, 2, "label=-1*1 index=3*2");
    expect(source, 3, "label=1*1 0=12*1 4=77*0.25");
    expect_refused(source, 4, "feature '5' has no value");
    expect_refused(source, 5, "more than two colons");
    expect_refused(source, 6, "does not begin with a label");
    expect(source, 7, "label=0*1");
    expect_refused(source, 8, "feature '3' has no value");
    expect(source, 9, "label=0*1 4=8*1");
    expect_end(source, fake);
}

/* --- VW beside a parser that looks at one character after the other --- */

static const char *const NAMES[] = {"a", "user", "x_9", "genre"};

/* One line of VW's text, and how `describe` would tell it. */
static void make_line(struct rng *rng, char *line, char *told) {
    int features = 0;
    const char *label = rng_below(rng, 2) ? "1" : "-1";
    line += sprintf(line, "%s", label);
    told += sprintf(told, "label=%s*1", label);
    for (uint64_t n = 1 + rng_below(rng, 5); n > 0; n--) {
        const char *name = NAMES[rng_below(rng, 4)];
        line += sprintf(line, "%*s|%s", (int)rng_below(rng, 2) + 1, "", name);
        for (uint64_t f = rng_below(rng, 4); f > 0; f--, features++) {
            int size = (int)rng_below(rng, 40) + 1;
            line += sprintf(line, " %0*d", size, features);
            told += sprintf(told, " %s=%0*d*", name, size, features);
            bool valued = rng_below(rng, 3) == 0;
            line += sprintf(line, "%s", valued ? ":0.25" : "");
            told += sprintf(told, "%s", valued ? "0.25" : "1");
        }
    }
    sprintf(line, "%s", rng_below(rng, 8) == 0 ? " \r\n" : "\n");
}

/* More than a buffer, so that lines lie across its end. */
static void reads_much_vw(void **state) {
    (void)state;
    enum { LINES = 6000, LINE_MAX_BYTES = 2000 };
    struct rng rng;
    rng_init(&rng, 3);
    char *text = malloc((size_t)LINES * LINE_MAX_BYTES);
    char(*told)[LINE_MAX_BYTES] = malloc((size_t)LINES * LINE_MAX_BYTES);
    size_t at = 0;
    for (int i = 0; i < LINES; i++) {
        make_line(&rng, text + at, told[i]);
        at += strlen(text + at);
    }
    assert_true(at > TEXT_MAX);
    struct disk_fake *fake = fixture_disk();
    struct row_source *source = open_text(fake, ROW_VW, text);
    for (int i = 0; i < LINES; i++) {
        char words[LINE_MAX_BYTES];
        struct row row;
        assert_int_equal(row_source_next(source, &row, NULL), LEAT_OK);
        describe(source, &row, words, sizeof(words));
        assert_string_equal(words, told[i]);
        assert_int_equal(row.line, i + 1);
    }
    expect_end(source, fake);
    free(told);
    free(text);
}

static void passes_over_long_lines(void **state) {
    (void)state;
    enum { LONG = 600000 };
    char *text = malloc(2 * LONG + 100);
    size_t at = (size_t)sprintf(text, "1 |a x\n1 |a ");
    memset(text + at, 'y', LONG);
    at += LONG;
    at += (size_t)sprintf(text + at, "\n0 |a z\n1 |a ");
    memset(text + at, ' ', ROW_BYTES_MAX + 10);
    at += ROW_BYTES_MAX + 10;
    sprintf(text + at, "\n0 |a w");
    struct disk_fake *fake = fixture_disk();
    struct row_source *source = open_text(fake, ROW_VW, text);
    expect(source, 1, "label=1*1 a=x*1");
    expect_refused(source, 2, "a line of more than 65536 bytes");
    expect(source, 3, "label=0*1 a=z*1");
    expect_refused(source, 4, "a line of more than 65536 bytes");
    expect(source, 5, "label=0*1 a=w*1");
    expect_end(source, fake);
    free(text);
}

static void refuses_files(void **state) {
    (void)state;
    struct disk_fake *fake = fixture_disk();
    struct row_source *source;
    enum row_format format;
    leat_error err;
    struct row_source_options options = {
        .disk = disk_fake_disk(fake), .format = ROW_VW, .path = FIXTURE_FOLDER "/none"};
    assert_int_equal(row_source_open(&options, &source, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "set/none: no such file"));
    options.format = ROW_CSV;
    options.path = FIXTURE_FOLDER "/rows";
    fixture_text(fake, "rows", "");
    assert_int_equal(row_source_open(&options, &source, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "the file is empty"));
    fixture_text(fake, "rows", "a,b,a\n");
    assert_int_equal(row_source_open(&options, &source, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "column 'a' is there twice"));
    assert_int_equal(row_format_find("cvs", &format, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "did you mean 'csv'?"));
    disk_fake_destroy(fake);
}

/* "y,x" in gzip: the packed file is read as the plain one. */
static void unpacks(void **state) {
    (void)state;
    static const uint8_t PACKED[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff,
                                     0xab, 0xd4, 0xa9, 0xe0, 0x32, 0xd4, 0x29, 0xe3, 0x02, 0x00,
                                     0x19, 0x86, 0x91, 0x93, 0x08, 0x00, 0x00, 0x00};
    struct disk_fake *fake = fixture_disk();
    struct row_source *source;
    leat_error err = {.message = ""};
    fixture_file(fake, "rows.gz", PACKED, sizeof(PACKED));
    const struct row_source_options options = {
        .disk = disk_fake_disk(fake), .format = ROW_CSV, .path = FIXTURE_FOLDER "/rows.gz"};
    if (row_source_open(&options, &source, &err) != LEAT_OK) {
        fail_msg("%s", err.message);
    }
    expect(source, 2, "y=1*1 x=v*1");
    expect_end(source, fake);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_csv),     cmocka_unit_test(reads_criteo),
        cmocka_unit_test(reads_vw),      cmocka_unit_test(reads_libsvm),
        cmocka_unit_test(reads_much_vw), cmocka_unit_test(passes_over_long_lines),
        cmocka_unit_test(refuses_files), cmocka_unit_test(unpacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
