#include "flow/group.h"

#include "base/hash.h"
#include "base/memory.h"
#include "flow/feature_key.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>

/* A larger group is cut into several: it bounds the scratch memory of one. */
enum { GROUP_BITS = 12, GROUP_SIZE_MAX = 1 << GROUP_BITS, NONE = -1 };

static_assert((uint64_t)BATCH_ROWS_MAX << GROUP_BITS <= (uint64_t)1 << 32,
              "a row and a number within it fit into 32 bits");
static_assert(EXAMPLE_KEYS_MAX <= 64 && EXAMPLE_DENSE_MAX <= 64, "a bit each");

static const struct field GROUP_FIELDS[GROUP_COLUMNS] = {
    [GROUP_COUNT] = {"count", COLUMN_I32, false},
    [GROUP_USER] = {"user", COLUMN_TEXT, true},
    [GROUP_USER_HASH] = {"user_hash", COLUMN_U64, true},
    [GROUP_REQUEST] = {"request", COLUMN_TEXT, true},
    [GROUP_REQUEST_HASH] = {"request_hash", COLUMN_U64, true},
    [GROUP_SEQUENCES] = {"sequences", COLUMN_LIST_U64, false},
    [GROUP_KEY_COUNT] = {"key_count", COLUMN_I32, false},
    [GROUP_KEYS_COMMON] = {"keys_common", COLUMN_U64, false},
    [GROUP_KEYS_MADE] = {"keys_made", COLUMN_U64, false},
    [GROUP_KEYS_CROSSED] = {"keys_crossed", COLUMN_U64, false},
    [GROUP_KEYS] = {"keys", COLUMN_LIST_U64, false},
    [GROUP_KEYS_ITEM] = {"keys_item", COLUMN_LIST_U64, false},
    [GROUP_DENSE_COUNT] = {"dense_count", COLUMN_I32, false},
    [GROUP_DENSE_COMMON] = {"dense_common", COLUMN_U64, false},
    [GROUP_DENSE] = {"dense", COLUMN_LIST_F32, false},
    [GROUP_DENSE_ITEM] = {"dense_item", COLUMN_LIST_F32, false},
    [GROUP_MASKS] = {"masks", COLUMN_LIST_U64, false},
    [GROUP_LABELS] = {"labels", COLUMN_LIST_U64, false},
    [GROUP_FLAGS] = {"flags", COLUMN_LIST_U64, true},
    [GROUP_WEIGHTS] = {"weights", COLUMN_LIST_F32, false},
    [GROUP_LOG_ODDS] = {"log_odds", COLUMN_LIST_F32, false},
    [GROUP_ITEMS] = {"items", COLUMN_LIST_TEXT, false},
    [GROUP_ITEM_HASHES] = {"item_hashes", COLUMN_LIST_U64, true},
    [GROUP_SHOWN] = {"shown", COLUMN_LIST_U64, true},
    [GROUP_DUE] = {"due", COLUMN_LIST_U64, true},
    [GROUP_PARTS] = {"parts", COLUMN_LIST_U64, true},
    [GROUP_PLACES] = {"places", COLUMN_LIST_U64, true},
    [GROUP_KEYS_FIELDS] = {"keys_fields", COLUMN_LIST_U64, true},
};

static const struct schema GROUP_SCHEMA = {SCHEMA_EXAMPLE_GROUP, 2, "example_group", GROUP_FIELDS,
                                           GROUP_COLUMNS};

const struct schema *schema_example_group(void) {
    return &GROUP_SCHEMA;
}

/* Fields of keys that are made, six bits each, the first one lowest. */
enum {
    FIELD_BITS = 64 - KEY_HASH_BITS,
    FIELDS_A_WORD = 64 / FIELD_BITS,
    FIELD_WORDS = (EXAMPLE_KEYS_MAX + FIELDS_A_WORD - 1) / FIELDS_A_WORD,
};

static int field_words(int fields) {
    return (fields + FIELDS_A_WORD - 1) / FIELDS_A_WORD;
}

/* Members of an example that become a list of 1 or count. */
static const struct list_field {
    enum group_column column;
    size_t offset;
    bool wide; /* 64 bits, else 32 */
} LISTS[] = {
    {GROUP_SEQUENCES, offsetof(struct example, sequence), true},
    {GROUP_MASKS, offsetof(struct example, mask), false},
    {GROUP_LABELS, offsetof(struct example, labels), false},
    {GROUP_FLAGS, offsetof(struct example, flags), false},
    {GROUP_SHOWN, offsetof(struct example, shown_ms), true},
    {GROUP_DUE, offsetof(struct example, due_ms), true},
    {GROUP_PARTS, offsetof(struct example, part), true},
};
enum { LIST_COUNT = sizeof(LISTS) / sizeof(LISTS[0]) };

/* Rows of one group, in their order. */
struct run {
    int32_t first, last;
    int32_t count;
    uint64_t hash;
};

struct grouping {
    uint64_t salts[KEY_FIELDS_MAX]; /* by field; 0: no cross */

    /* By row of the batch, for `capacity` rows. */
    int64_t capacity;
    struct run *runs;
    int32_t *next;   /* row of the same group, or NONE */
    int32_t *table;  /* open addressing by hash: number of a run, or NONE */
    uint32_t *order; /* by place: row of the groups << GROUP_BITS, number within */
    size_t table_size;

    /* Of one group. */
    struct example members[GROUP_SIZE_MAX];
    struct slice texts[GROUP_SIZE_MAX];
    uint64_t wide[EXAMPLE_KEYS_MAX * GROUP_SIZE_MAX];
    float narrow[EXAMPLE_DENSE_MAX * GROUP_SIZE_MAX];
};

leat_status grouping_create(const struct config *config, struct grouping **out, leat_error *err) {
    struct grouping *grouping = memory_alloc(sizeof(*grouping));
    if (!grouping) {
        return error_memory(err, sizeof(*grouping));
    }
    memset(grouping, 0, offsetof(struct grouping, members));
    for (int i = 0; config && i < config->model.features.count; i++) {
        const char *name = config->model.features.names[i];
        grouping->salts[i] = strchr(name, '*') ? hash_slice(slice_of(name)) : 0;
    }
    *out = grouping;
    return LEAT_OK;
}

static void rows_release(struct grouping *grouping) {
    memory_free(grouping->runs);
    memory_free(grouping->next);
    memory_free(grouping->table);
    memory_free(grouping->order);
}

void grouping_destroy(struct grouping *grouping) {
    if (grouping) {
        rows_release(grouping);
        memory_free(grouping);
    }
}

/* Nothing of what the arrays held is kept. */
static leat_status rows_reserve(struct grouping *grouping, int64_t rows, leat_error *err) {
    if (rows <= grouping->capacity) {
        return LEAT_OK;
    }
    size_t count = 1024;
    while (count < (size_t)rows) {
        count *= 2;
    }
    rows_release(grouping);
    grouping->capacity = 0;
    grouping->table_size = count * 2;
    grouping->runs = memory_alloc(count * sizeof(*grouping->runs));
    grouping->next = memory_alloc(count * sizeof(*grouping->next));
    grouping->order = memory_alloc(count * sizeof(*grouping->order));
    grouping->table = memory_alloc(grouping->table_size * sizeof(*grouping->table));
    if (!grouping->runs || !grouping->next || !grouping->order || !grouping->table) {
        return error_memory(err, count * sizeof(*grouping->runs));
    }
    grouping->capacity = (int64_t)count;
    return LEAT_OK;
}

/* --- which rows are of one group --- */

static bool same_id(struct slice a, uint64_t a_hash, struct slice b, uint64_t b_hash) {
    return a_hash == b_hash && !a.data == !b.data && slice_equal(a, b);
}

static bool of_request(const struct example *example) {
    return example->request.data || example->request_hash != 0;
}

static uint64_t group_hash(const struct example *example) {
    uint64_t counts = (uint64_t)example->key_count << 8 | (uint64_t)example->dense_count;
    uint64_t of = of_request(example) ? example->request_hash
                                      : hash_mix((uint64_t)example->shown_ms, example->sequence);
    return hash_mix(hash_mix(example->user_hash, of), counts);
}

static bool same_group(const struct example *a, const struct example *b) {
    bool at_once = a->shown_ms == b->shown_ms && a->sequence == b->sequence;
    return a->key_count == b->key_count && a->dense_count == b->dense_count &&
           same_id(a->user, a->user_hash, b->user, b->user_hash) &&
           same_id(a->request, a->request_hash, b->request, b->request_hash) &&
           (of_request(a) || at_once);
}

/* The slot of the example's group, or the free one where it would stand. */
static int32_t *run_slot(struct grouping *grouping, const struct batch *batch,
                         const struct example *example, uint64_t hash) {
    size_t mask = grouping->table_size - 1;
    for (size_t at = hash & mask;; at = (at + 1) & mask) {
        int32_t *slot = &grouping->table[at];
        if (*slot == NONE) {
            return slot;
        }
        const struct run *run = &grouping->runs[*slot];
        struct example head;
        if (run->hash == hash) {
            example_get(batch, run->first, &head);
            if (same_group(&head, example)) {
                return slot;
            }
        }
    }
}

static int32_t runs_find(struct grouping *grouping, const struct batch *batch) {
    int32_t count = 0;
    memset(grouping->table, 0xFF, grouping->table_size * sizeof(*grouping->table));
    for (int32_t row = 0; row < (int32_t)batch->rows; row++) {
        struct example example;
        example_get(batch, row, &example);
        uint64_t hash = group_hash(&example);
        int32_t *slot = run_slot(grouping, batch, &example, hash);
        grouping->next[row] = NONE;
        if (*slot == NONE || grouping->runs[*slot].count == GROUP_SIZE_MAX) {
            *slot = count++;
            grouping->runs[*slot] = (struct run){row, row, 1, hash};
        } else {
            struct run *run = &grouping->runs[*slot];
            grouping->next[run->last] = row;
            run->last = row;
            run->count++;
        }
    }
    return count;
}

/* --- writing one group --- */

static uint64_t list_value(const struct example *example, const struct list_field *list) {
    const char *at = (const char *)example + list->offset;
    uint64_t wide = 0;
    memcpy(&wide, at, list->wide ? sizeof(uint64_t) : sizeof(uint32_t)); /* little-endian */
    return wide;
}

static void put_list(struct grouping *grouping, struct builder *out, const struct list_field *list,
                     int count) {
    uint64_t first = list_value(&grouping->members[0], list);
    bool same = true;
    for (int i = 0; i < count; i++) {
        grouping->wide[i] = list_value(&grouping->members[i], list);
        same = same && grouping->wide[i] == first;
    }
    if (!same || first != 0 || !GROUP_FIELDS[list->column].nullable) {
        builder_list_u64(out, (int)list->column, grouping->wide, same ? 1 : count);
    }
}

static bool same_bits(float a, float b) {
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static void put_floats(struct grouping *grouping, struct builder *out, enum group_column column,
                       int count) {
    bool same = true;
    for (int i = 0; i < count; i++) {
        const struct example *member = &grouping->members[i];
        grouping->narrow[i] = column == GROUP_WEIGHTS ? member->weight : member->log_odds;
        same = same && same_bits(grouping->narrow[i], grouping->narrow[0]);
    }
    builder_list_f32(out, (int)column, grouping->narrow, same ? 1 : count);
}

static uint64_t keys_common(const struct example *members, int count) {
    uint64_t common = 0;
    for (int k = 0; k < members[0].key_count; k++) {
        bool same = true;
        for (int i = 1; i < count && same; i++) {
            same = members[i].keys[k] == members[0].keys[k];
        }
        common |= (uint64_t)same << k;
    }
    return common;
}

static uint64_t dense_common(const struct example *members, int count) {
    uint64_t common = 0;
    for (int k = 0; k < members[0].dense_count; k++) {
        bool same = true;
        for (int i = 1; i < count && same; i++) {
            same = same_bits(members[i].dense[k], members[0].dense[k]);
        }
        common |= (uint64_t)same << k;
    }
    return common;
}

/* --- keys that are made of the item --- */

/* hash_mix(a, b) is finish(a ^ spread(b)), both one-to-one (hash.h): with b known, a is found. */
static uint64_t unfinish(uint64_t h) {
    h ^= h >> 33;
    h *= 0x9CB4B2F8129337DBu; /* times hash_mix's second factor: 1, modulo 2^64 */
    h ^= h >> 33;
    h *= 0x4F74430C22A54005u; /* the same for its first one */
    return h ^ (h >> 33);
}

static uint64_t unmix(uint64_t mixed, uint64_t b) {
    return unfinish(mixed) ^ unfinish(hash_mix(0, b));
}

/* Of a hash_mix a key keeps the low KEY_HASH_BITS: one of these words is what was mixed. */
enum { LOST = 1 << (64 - KEY_HASH_BITS) };

static bool is_made_of(const struct grouping *grouping, int count, int k, uint64_t p) {
    const struct example *members = grouping->members;
    int field = key_field(members[0].keys[k]);
    for (int i = 1; i < count; i++) {
        if (key_make(field, hash_mix(p, members[i].item_hash)) != members[i].keys[k]) {
            return false;
        }
    }
    return true;
}

static bool is_made(const struct grouping *grouping, int count, int k, uint64_t *p) {
    const struct example *first = &grouping->members[0];
    for (int lost = 0; lost < LOST; lost++) {
        *p = unmix(key_make(lost, first->keys[k]), first->item_hash);
        if (is_made_of(grouping, count, k, *p)) {
            return true;
        }
    }
    return false;
}

static uint64_t crossed_hash(uint64_t p, uint64_t q, uint64_t item_hash) {
    return hash_mix(hash_mix(p, item_hash) ^ q, 0);
}

static bool is_crossed_of(const struct grouping *grouping, int count, int k, uint64_t p,
                          uint64_t q) {
    const struct example *members = grouping->members;
    int field = key_field(members[0].keys[k]);
    for (int i = 1; i < count; i++) {
        if (key_make(field, crossed_hash(p, q, members[i].item_hash)) != members[i].keys[k]) {
            return false;
        }
    }
    return true;
}

/* `*p`: the salt of the key's field. */
static bool is_crossed(const struct grouping *grouping, int count, int k, uint64_t *p,
                       uint64_t *q) {
    const struct example *first = &grouping->members[0];
    *p = grouping->salts[key_field(first->keys[k])];
    for (int lost = 0; *p != 0 && lost < LOST; lost++) {
        *q = unmix(key_make(lost, first->keys[k]), 0) ^ hash_mix(*p, first->item_hash);
        if (is_crossed_of(grouping, count, k, *p, *q)) {
            return true;
        }
    }
    return false;
}

/* What is stored of the keys of a group. */
struct key_plan {
    uint64_t common, made, crossed;
    uint64_t shared[2 * EXAMPLE_KEYS_MAX];
    uint64_t fields[FIELD_WORDS];
    int shared_count, own_count, field_count;
};

static void plan_field(struct key_plan *plan, uint64_t key) {
    int at = plan->field_count++;
    plan->fields[at / FIELDS_A_WORD] |= (uint64_t)key_field(key) << at % FIELDS_A_WORD * FIELD_BITS;
}

/* A word or two for the whole group pay from two or three examples on. */
static void plan_key(struct grouping *grouping, int count, int k, struct key_plan *plan) {
    const uint64_t bit = (uint64_t)1 << k;
    const uint64_t key = grouping->members[0].keys[k];
    uint64_t p;
    uint64_t q;
    if (is_made(grouping, count, k, &p)) {
        plan->made |= bit;
        plan->shared[plan->shared_count++] = p;
        plan_field(plan, key);
    } else if (count > 2 && is_crossed(grouping, count, k, &p, &q)) {
        plan->crossed |= bit;
        plan->shared[plan->shared_count++] = p;
        plan->shared[plan->shared_count++] = q;
        plan_field(plan, key);
    } else {
        for (int i = 0; i < count; i++) {
            grouping->wide[plan->own_count++] = grouping->members[i].keys[k];
        }
    }
}

static void put_keys(struct grouping *grouping, struct builder *out, int count) {
    const struct example *members = grouping->members;
    struct key_plan plan = {.common = keys_common(members, count)};
    for (int k = 0; k < members[0].key_count; k++) {
        if (plan.common >> k & 1) {
            plan.shared[plan.shared_count++] = members[0].keys[k];
        } else {
            plan_key(grouping, count, k, &plan);
        }
    }
    builder_i32(out, GROUP_KEY_COUNT, members[0].key_count);
    builder_u64(out, GROUP_KEYS_COMMON, plan.common);
    builder_u64(out, GROUP_KEYS_MADE, plan.made);
    builder_u64(out, GROUP_KEYS_CROSSED, plan.crossed);
    builder_list_u64(out, GROUP_KEYS, plan.shared, plan.shared_count);
    builder_list_u64(out, GROUP_KEYS_ITEM, grouping->wide, plan.own_count);
    if (plan.field_count > 0) {
        builder_list_u64(out, GROUP_KEYS_FIELDS, plan.fields, field_words(plan.field_count));
    }
}

static void put_dense(struct grouping *grouping, struct builder *out, int count) {
    const struct example *members = grouping->members;
    uint64_t common = dense_common(members, count);
    float shared[EXAMPLE_DENSE_MAX];
    int shared_count = 0;
    int own = 0;
    for (int k = 0; k < members[0].dense_count; k++) {
        if (common >> k & 1) {
            shared[shared_count++] = members[0].dense[k];
            continue;
        }
        for (int i = 0; i < count; i++) {
            grouping->narrow[own++] = members[i].dense[k];
        }
    }
    builder_i32(out, GROUP_DENSE_COUNT, members[0].dense_count);
    builder_u64(out, GROUP_DENSE_COMMON, common);
    builder_list_f32(out, GROUP_DENSE, shared, shared_count);
    builder_list_f32(out, GROUP_DENSE_ITEM, grouping->narrow, own);
}

static void put_id(struct builder *out, enum group_column text_column,
                   enum group_column hash_column, struct slice text, uint64_t hash) {
    if (text.data) {
        builder_text(out, (int)text_column, text);
    } else if (hash != 0) {
        builder_u64(out, (int)hash_column, hash);
    }
}

/* Where a text is unknown in the group, hashes tell which: of a known one too where it is empty. */
static void put_items(struct grouping *grouping, struct builder *out, int count) {
    bool known = true;
    for (int i = 0; i < count; i++) {
        const struct example *member = &grouping->members[i];
        bool hashed = !member->item.data || member->item.size == 0;
        grouping->texts[i] = member->item.data ? member->item : slice_of("");
        grouping->wide[i] = hashed ? member->item_hash : 0;
        known = known && member->item.data;
    }
    builder_list_text(out, GROUP_ITEMS, grouping->texts, count);
    if (!known) {
        builder_list_u64(out, GROUP_ITEM_HASHES, grouping->wide, count);
    }
}

static void put_group(struct grouping *grouping, const struct batch *batch, const struct run *run,
                      bool with_places, struct builder *out) {
    int count = 0;
    for (int32_t row = run->first; row != NONE; row = grouping->next[row]) {
        grouping->wide[count] = (uint64_t)row;
        example_get(batch, row, &grouping->members[count++]);
    }
    if (with_places) {
        builder_list_u64(out, GROUP_PLACES, grouping->wide, count);
    }
    const struct example *head = &grouping->members[0];
    builder_i32(out, GROUP_COUNT, count);
    put_id(out, GROUP_USER, GROUP_USER_HASH, head->user, head->user_hash);
    put_id(out, GROUP_REQUEST, GROUP_REQUEST_HASH, head->request, head->request_hash);
    for (int i = 0; i < LIST_COUNT; i++) {
        put_list(grouping, out, &LISTS[i], count);
    }
    put_keys(grouping, out, count);
    put_dense(grouping, out, count);
    put_floats(grouping, out, GROUP_WEIGHTS, count);
    put_floats(grouping, out, GROUP_LOG_ODDS, count);
    put_items(grouping, out, count);
    builder_row_end(out);
}

leat_status group_examples(struct grouping *grouping, const struct batch *examples,
                           struct builder *out, leat_error *err) {
    TRY(rows_reserve(grouping, examples->rows, err));
    int32_t runs = runs_find(grouping, examples);
    bool scattered = false;
    for (int32_t i = 0; i < runs; i++) {
        const struct run *run = &grouping->runs[i];
        scattered = scattered || run->last - run->first + 1 != run->count;
    }
    for (int32_t i = 0; i < runs; i++) {
        put_group(grouping, examples, &grouping->runs[i], scattered, out);
    }
    return LEAT_OK;
}

/* --- splitting: everything may be a stranger's --- */

static leat_status refuse(const struct batch *groups, int64_t row, enum group_column column,
                          leat_error *err) {
    return error_set(err, LEAT_CORRUPT, "row %" PRId64 " of %s: %s does not fit the others", row,
                     groups->schema->name, GROUP_FIELDS[column].name);
}

static int list_length(const struct batch *groups, enum group_column column, int64_t row) {
    int count = 0;
    if (GROUP_FIELDS[column].type == COLUMN_LIST_F32) {
        (void)batch_list_f32(groups, (int)column, row, &count);
    } else {
        (void)batch_list_u64(groups, (int)column, row, &count);
    }
    return count;
}

static leat_status check_length(const struct batch *groups, enum group_column column, int64_t row,
                                int length, leat_error *err) {
    return list_length(groups, column, row) == length ? LEAT_OK : refuse(groups, row, column, err);
}

static leat_status check_keys(const struct batch *groups, int64_t row, int count, leat_error *err) {
    int slots = batch_i32(groups, GROUP_KEY_COUNT, row);
    uint64_t common = batch_u64(groups, GROUP_KEYS_COMMON, row);
    uint64_t made = batch_u64(groups, GROUP_KEYS_MADE, row);
    uint64_t crossed = batch_u64(groups, GROUP_KEYS_CROSSED, row);
    uint64_t any = common | made | crossed;
    if (slots < 0 || slots > EXAMPLE_KEYS_MAX) {
        return refuse(groups, row, GROUP_KEY_COUNT, err);
    }
    if ((slots < 64 && any >> slots != 0) || (common & made) || (common & crossed) ||
        (made & crossed)) {
        return refuse(groups, row, GROUP_KEYS_COMMON, err);
    }
    int shared = __builtin_popcountll(any);
    int words = shared + __builtin_popcountll(crossed);
    int fields = __builtin_popcountll(made | crossed);
    TRY(check_length(groups, GROUP_KEYS, row, words, err));
    if (!batch_is_null(groups, GROUP_KEYS_FIELDS, row)) {
        TRY(check_length(groups, GROUP_KEYS_FIELDS, row, field_words(fields), err));
    }
    return check_length(groups, GROUP_KEYS_ITEM, row, (slots - shared) * count, err);
}

static leat_status check_dense(const struct batch *groups, int64_t row, int count,
                               leat_error *err) {
    int slots = batch_i32(groups, GROUP_DENSE_COUNT, row);
    uint64_t common = batch_u64(groups, GROUP_DENSE_COMMON, row);
    if (slots < 0 || slots > EXAMPLE_DENSE_MAX) {
        return refuse(groups, row, GROUP_DENSE_COUNT, err);
    }
    if (slots < 64 && common >> slots != 0) {
        return refuse(groups, row, GROUP_DENSE_COMMON, err);
    }
    int shared = __builtin_popcountll(common);
    TRY(check_length(groups, GROUP_DENSE, row, shared, err));
    return check_length(groups, GROUP_DENSE_ITEM, row, (slots - shared) * count, err);
}

static leat_status check_lists(const struct batch *groups, int64_t row, int count,
                               leat_error *err) {
    static const enum group_column one_or_all[] = {GROUP_SEQUENCES, GROUP_MASKS,   GROUP_LABELS,
                                                   GROUP_FLAGS,     GROUP_WEIGHTS, GROUP_LOG_ODDS,
                                                   GROUP_SHOWN,     GROUP_DUE,     GROUP_PARTS};
    for (size_t i = 0; i < sizeof(one_or_all) / sizeof(one_or_all[0]); i++) {
        int length = list_length(groups, one_or_all[i], row);
        bool null = batch_is_null(groups, (int)one_or_all[i], row);
        if (!null && length != 1 && length != count) {
            return refuse(groups, row, one_or_all[i], err);
        }
    }
    bool hashed = !batch_is_null(groups, GROUP_ITEM_HASHES, row);
    if (hashed && list_length(groups, GROUP_ITEM_HASHES, row) != count) {
        return refuse(groups, row, GROUP_ITEM_HASHES, err);
    }
    return batch_list_text_count(groups, GROUP_ITEMS, row) == count
               ? LEAT_OK
               : refuse(groups, row, GROUP_ITEMS, err);
}

static leat_status check_group(const struct batch *groups, int64_t row, leat_error *err) {
    int count = batch_i32(groups, GROUP_COUNT, row);
    if (count < 1 || count > GROUP_SIZE_MAX) {
        return refuse(groups, row, GROUP_COUNT, err);
    }
    TRY(check_keys(groups, row, count, err));
    TRY(check_dense(groups, row, count, err));
    return check_lists(groups, row, count, err);
}

static leat_status check_groups(const struct batch *groups, int64_t *examples, leat_error *err) {
    *examples = 0;
    for (int64_t row = 0; row < groups->rows; row++) {
        TRY(check_group(groups, row, err));
        *examples += batch_i32(groups, GROUP_COUNT, row);
        if (*examples > BATCH_ROWS_MAX) {
            return error_set(err, LEAT_CORRUPT, "more than %d examples in a batch of %s",
                             BATCH_ROWS_MAX, groups->schema->name);
        }
    }
    return LEAT_OK;
}

/* Every place must be named once. UINT32_MAX is free: BATCH_ROWS_MAX groups have one example each.
 */
static leat_status order_named(struct grouping *grouping, const struct batch *groups, int64_t rows,
                               leat_error *err) {
    memset(grouping->order, 0xFF, (size_t)rows * sizeof(*grouping->order));
    for (int64_t row = 0; row < groups->rows; row++) {
        int count;
        const uint64_t *places = batch_list_u64(groups, GROUP_PLACES, row, &count);
        if (!places || count != batch_i32(groups, GROUP_COUNT, row)) {
            return refuse(groups, row, GROUP_PLACES, err);
        }
        for (int i = 0; i < count; i++) {
            if (places[i] >= (uint64_t)rows || grouping->order[places[i]] != UINT32_MAX) {
                return refuse(groups, row, GROUP_PLACES, err);
            }
            grouping->order[places[i]] = (uint32_t)row << GROUP_BITS | (uint32_t)i;
        }
    }
    return LEAT_OK;
}

static leat_status order_find(struct grouping *grouping, const struct batch *groups, int64_t rows,
                              leat_error *err) {
    if (groups->rows > 0 && !column_absent(&groups->columns[GROUP_PLACES])) {
        return order_named(grouping, groups, rows, err);
    }
    uint32_t *order = grouping->order;
    for (int64_t row = 0; row < groups->rows; row++) {
        for (int i = 0; i < batch_i32(groups, GROUP_COUNT, row); i++) {
            *order++ = (uint32_t)row << GROUP_BITS | (uint32_t)i;
        }
    }
    return LEAT_OK;
}

/* --- one example of a group --- */

static leat_status get_list(const struct batch *groups, int64_t row, int index,
                            const struct list_field *list, struct example *out, leat_error *err) {
    int count;
    const uint64_t *values = batch_list_u64(groups, (int)list->column, row, &count);
    uint64_t value = count == 0 ? 0 : values[count == 1 ? 0 : index];
    if (!list->wide && value > UINT32_MAX) {
        return refuse(groups, row, list->column, err);
    }
    memcpy((char *)out + list->offset, &value, list->wide ? sizeof(uint64_t) : sizeof(uint32_t));
    return LEAT_OK;
}

static float get_float(const struct batch *groups, int64_t row, int index,
                       enum group_column column) {
    int count;
    const float *values = batch_list_f32(groups, (int)column, row, &count);
    return values[count == 1 ? 0 : index];
}

/* Number `made` of the keys that are made of the item. */
static uint64_t made_key(const uint64_t *fields, int made, uint64_t hash) {
    if (!fields) {
        return hash;
    }
    uint64_t word = fields[made / FIELDS_A_WORD] >> made % FIELDS_A_WORD * FIELD_BITS;
    return key_make((int)(word & (KEY_FIELDS_MAX - 1)), hash);
}

static void get_keys(const struct batch *groups, int64_t row, int index, int group_count,
                     uint64_t item_hash, uint64_t *out, int *out_count) {
    int length;
    const uint64_t *shared = batch_list_u64(groups, GROUP_KEYS, row, &length);
    const uint64_t *own = batch_list_u64(groups, GROUP_KEYS_ITEM, row, &length);
    const uint64_t *fields = batch_list_u64(groups, GROUP_KEYS_FIELDS, row, &length);
    uint64_t common = batch_u64(groups, GROUP_KEYS_COMMON, row);
    uint64_t made = batch_u64(groups, GROUP_KEYS_MADE, row);
    uint64_t crossed = batch_u64(groups, GROUP_KEYS_CROSSED, row);
    int made_count = 0;
    fields = batch_is_null(groups, GROUP_KEYS_FIELDS, row) ? NULL : fields;
    *out_count = batch_i32(groups, GROUP_KEY_COUNT, row);
    for (int k = 0; k < *out_count; k++) {
        if (common >> k & 1) {
            out[k] = *shared++;
        } else if (made >> k & 1) {
            out[k] = made_key(fields, made_count++, hash_mix(*shared++, item_hash));
        } else if (crossed >> k & 1) {
            out[k] = made_key(fields, made_count++, crossed_hash(shared[0], shared[1], item_hash));
            shared += 2;
        } else {
            out[k] = own[index];
            own += group_count;
        }
    }
}

static void get_dense(const struct batch *groups, int64_t row, int index, int group_count,
                      float *out, int *out_count) {
    int length;
    const float *shared = batch_list_f32(groups, GROUP_DENSE, row, &length);
    const float *own = batch_list_f32(groups, GROUP_DENSE_ITEM, row, &length);
    uint64_t common = batch_u64(groups, GROUP_DENSE_COMMON, row);
    *out_count = batch_i32(groups, GROUP_DENSE_COUNT, row);
    for (int k = 0; k < *out_count; k++) {
        if (common >> k & 1) {
            out[k] = *shared++;
        } else {
            out[k] = own[index];
            own += group_count;
        }
    }
}

static void get_id(const struct batch *groups, int64_t row, enum group_column text_column,
                   enum group_column hash_column, struct slice *text, uint64_t *hash) {
    *text = batch_text(groups, (int)text_column, row);
    *hash =
        batch_is_null(groups, (int)hash_column, row) ? 0 : batch_u64(groups, (int)hash_column, row);
}

static void get_item(const struct batch *groups, int64_t row, int index, struct example *out) {
    int count;
    const uint64_t *hashes = batch_list_u64(groups, GROUP_ITEM_HASHES, row, &count);
    out->item = batch_list_text(groups, GROUP_ITEMS, row, index);
    out->item_hash = count > 0 ? hashes[index] : 0;
    uint64_t text_hash = hash_slice(out->item);
    bool unknown = count > 0 && out->item.size == 0 && out->item_hash != text_hash;
    if (unknown) {
        out->item = (struct slice){NULL, 0};
    } else {
        out->item_hash = text_hash;
    }
}

static leat_status get_example(const struct batch *groups, int64_t row, int index,
                               struct example *out, leat_error *err) {
    for (int i = 0; i < LIST_COUNT; i++) {
        TRY(get_list(groups, row, index, &LISTS[i], out, err));
    }
    out->weight = get_float(groups, row, index, GROUP_WEIGHTS);
    out->log_odds = get_float(groups, row, index, GROUP_LOG_ODDS);
    get_id(groups, row, GROUP_USER, GROUP_USER_HASH, &out->user, &out->user_hash);
    get_id(groups, row, GROUP_REQUEST, GROUP_REQUEST_HASH, &out->request, &out->request_hash);
    get_item(groups, row, index, out);
    return LEAT_OK;
}

leat_status group_split(struct grouping *grouping, const struct batch *groups, struct builder *out,
                        leat_error *err) {
    uint64_t keys[EXAMPLE_KEYS_MAX];
    float dense[EXAMPLE_DENSE_MAX];
    int64_t rows;
    TRY(check_groups(groups, &rows, err));
    TRY(rows_reserve(grouping, rows, err));
    TRY(order_find(grouping, groups, rows, err));
    for (int64_t i = 0; i < rows; i++) {
        int64_t row = grouping->order[i] >> GROUP_BITS;
        int index = (int)(grouping->order[i] & (GROUP_SIZE_MAX - 1));
        int count = batch_i32(groups, GROUP_COUNT, row);
        struct example example = {.keys = keys, .dense = dense};
        TRY(get_example(groups, row, index, &example, err));
        get_keys(groups, row, index, count, example.item_hash, keys, &example.key_count);
        get_dense(groups, row, index, count, dense, &example.dense_count);
        example_add(out, &example);
    }
    return LEAT_OK;
}
