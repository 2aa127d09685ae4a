// The public headers as C++: they compile, link, and work.
#include <leat/operator.h>
#include <leat/scorer.h>

#include <cstdio>
#include <cstring>

static int failures = 0;

static void expect(bool held, const char *words) {
    if (!held) {
        std::fprintf(stderr, "not so: %s\n", words);
        failures++;
    }
}

int main() {
    leat_error err = {};
    leat_operator *op = nullptr;
    leat_key_groups all = {};
    all.groups = 4;
    all.end = 4;
    expect(leat_operator_open("dedub", "", nullptr, all, &op, &err) == LEAT_INVALID,
           "an unknown kind is refused");
    expect(std::strstr(err.message, "'dedup'") != nullptr, "with the nearest right one");
    expect(leat_operator_open("tally", "", nullptr, all, &op, &err) == LEAT_OK, "tally opens");
    ArrowSchema schema;
    expect(leat_operator_schema(op, LEAT_INPUT, 0, &schema, &err) == LEAT_OK, "it has an input");
    schema.release(&schema);
    expect(leat_operator_schema(op, LEAT_OUTPUT, 0, &schema, &err) == LEAT_END, "and no output");
    leat_key key = {"nobody", 6};
    leat_buffer words;
    expect(leat_operator_lookup(op, &key, &words, nullptr) == LEAT_NOT_FOUND, "it is empty");
    expect(leat_key_group("nobody", 6, 4) == leat_key_group_of_hash(leat_key_hash("nobody", 6), 4),
           "a group is that of the hash");
    leat_operator_close(op);
    leat_operator_close(nullptr);
    leat_model *model = nullptr;
    expect(leat_model_open("no/such.model", &model, &err) == LEAT_IO, "no model of that name");
    const uint64_t hash = leat_key_hash("nobody", 6);
    expect(leat_model_key(1, "nobody", 6) == leat_model_cross_key(1, &hash, 1),
           "a key is that of the hash");
    leat_scorer_close(nullptr);
    leat_model_close(nullptr);
    return failures;
}
