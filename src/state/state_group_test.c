/* The index of a key group against a plain array: records come, go, move, sink and come back, in
 * groups so small that buckets overflow and wrap round, while the index grows. After each step
 * each record is found; at times all is counted anew from the entries. */
#include "state/state_fixture.h"
#include "state/state_group.h"
#include "state/state_spill.h"

enum {
    MODEL_KEYS = 400,
    MODEL_STEPS = 1500,
    CROWD = 300, /* more than a bucket's overflow can count */
    BUCKET_WORDS = 8,
    OVER_SHIFT = 56,
    OVER_MAX = 255,
    MIX_BITS = 20,
};

struct index_model {
    struct state_group group;
    struct state_account account;
    struct slot *slots[MODEL_KEYS]; /* NULL: not there */
    bool sunk[MODEL_KEYS];
    uint32_t count;
};

/* As it would lie in an extent, each record in a place of its own. */
static uint64_t model_entry(uint32_t number) {
    return spill_entry(number, PLACE_UNIT, 0);
}

static struct slot *slot_make(uint64_t hash, uint32_t kind, uint64_t part) {
    struct slot *slot = memory_aligned(16, sizeof(struct slot));
    assert_non_null(slot);
    memset(slot, 0, sizeof(*slot));
    slot->hash = hash;
    slot->kind = (uint8_t)kind;
    slot->part = part;
    return slot;
}

static struct slot *model_slot(uint32_t number) {
    return slot_make(hash_mix(5, number / 4), number % 2, number / 2 % 2);
}

static struct slot *group_find(struct state_group *group, const struct slot *slot) {
    return state_group_find(group, slot->hash, slot->kind, slot->part);
}

/* Bits of the entry at a place of a bucket, and the bucket in which they are at home. */
static uint32_t entry_home(const struct state_group *group, const struct index_bucket *bucket,
                           uint32_t i) {
    uint64_t tag = bucket->tags >> i * 8 & 0xFF;
    uint64_t bits = (bucket->entries[i] & ((1u << MIX_BITS) - 1)) << 8 | tag;
    return (uint32_t)(bits * group->bucket_count >> 28);
}

/* Tags say which entries are free, and each bucket counts what went beyond it; `full` of the counts
 * may have been full. */
static void index_recount(const struct state_group *group, bool full) {
    uint32_t *over = memory_zalloc((group->bucket_count + 1) * sizeof(*over));
    uint32_t count = 0;
    for (uint32_t b = 0; b < group->bucket_count; b++) {
        const struct index_bucket *bucket = &group->buckets[b];
        for (uint32_t i = 0; i < BUCKET_ENTRIES; i++) {
            assert_int_equal(bucket->entries[i] == 0, (bucket->tags >> i * 8 & 0xFF) == 0);
            if (bucket->entries[i]) {
                count++;
                for (uint32_t at = entry_home(group, bucket, i); at != b;
                     at = (at + 1) % group->bucket_count) {
                    over[at]++;
                }
            }
        }
    }
    assert_int_equal(count, group->count);
    for (uint32_t b = 0; b < group->bucket_count; b++) {
        uint32_t counted = (uint32_t)(group->buckets[b].tags >> OVER_SHIFT);
        assert_true(counted == over[b] || (full && counted == OVER_MAX));
    }
    memory_free(over);
}

static void model_check(struct index_model *model, uint32_t number) {
    struct slot *wanted = model_slot(number);
    bool sunk = model->sunk[number];
    if (!sunk) {
        assert_ptr_equal(group_find(&model->group, wanted), model->slots[number]);
    }
    assert_int_equal(state_group_has(&model->group, wanted, model_entry(number)), sunk);
    assert_int_equal(state_group_has(&model->group, wanted, model_entry(number + MODEL_KEYS)), 0);
    memory_free(wanted);
}

/* Every slot in memory once, whatever the order. */
static void model_check_all(struct index_model *model) {
    bool seen[MODEL_KEYS] = {0};
    uint32_t at = 0;
    for (struct slot *slot; (slot = state_group_next(&model->group, &at)) != NULL;) {
        uint32_t number = 0;
        while (number < MODEL_KEYS && model->slots[number] != slot) {
            number++;
        }
        assert_true(number < MODEL_KEYS && !seen[number] && !model->sunk[number]);
        seen[number] = true;
    }
    for (uint32_t i = 0; i < MODEL_KEYS; i++) {
        assert_int_equal(seen[i], model->slots[i] != NULL && !model->sunk[i]);
        model_check(model, i);
    }
    assert_int_equal(model->group.count, model->count);
    index_recount(&model->group, false);
}

static void model_insert(struct index_model *model, uint32_t number) {
    assert_int_equal(state_group_reserve(&model->group, &model->account, NULL), LEAT_OK);
    assert_int_equal(atomic_load(&model->account.bytes),
                     model->group.bucket_count * sizeof(struct index_bucket));
    model->slots[number] = model_slot(number);
    state_group_insert(&model->group, model->slots[number]);
    model->count++;
}

/* Where the entry of a sunk record is. */
static uint32_t model_place(const struct index_model *model, uint32_t number) {
    for (uint32_t at = 0; at < model->group.bucket_count * BUCKET_WORDS; at++) {
        if (at % BUCKET_WORDS < BUCKET_ENTRIES &&
            state_group_entry(&model->group, at) >> MIX_BITS == model_entry(number) >> MIX_BITS) {
            return at;
        }
    }
    fail_msg("record %u is not in the index", number);
    return 0;
}

static void model_raise(struct index_model *model, uint32_t number) {
    state_group_point(&model->group, model_place(model, number), model->slots[number]);
    model->sunk[number] = false;
}

static void model_remove(struct index_model *model, uint32_t number) {
    if (model->sunk[number]) {
        model_raise(model, number);
    }
    state_group_remove(&model->group, model->slots[number]);
    memory_free(model->slots[number]);
    model->slots[number] = NULL;
    model->count--;
}

static void model_change(struct index_model *model, uint32_t number, uint64_t draw) {
    if (!model->slots[number]) {
        model_insert(model, number);
    } else if (draw % 2 == 0) {
        model_remove(model, number);
    } else if (model->sunk[number]) {
        model_raise(model, number);
    } else if (draw % 3 == 0) {
        state_group_sink(&model->group, model->slots[number], model_entry(number));
        model->sunk[number] = true;
    } else {
        struct slot *moved = model_slot(number);
        state_group_replace(&model->group, model->slots[number], moved);
        memory_free(model->slots[number]);
        model->slots[number] = moved;
    }
}

/* All records of one id in memory, as a forgotten person's. */
static void model_remove_id(struct index_model *model, uint32_t number) {
    uint64_t hash = hash_mix(5, number / 4);
    for (uint32_t i = number / 4 * 4; i < number / 4 * 4 + 4; i++) {
        if (model->sunk[i]) {
            model_raise(model, i);
        }
    }
    uint32_t at = 0;
    struct slot *slot;
    while ((slot = state_group_next_of(&model->group, hash, (struct slice){"", 0}, &at)) != NULL) {
        assert_int_equal(slot->hash, hash);
        model_remove(model, number / 4 * 4 + (uint32_t)slot->part * 2 + slot->kind);
    }
    for (uint32_t i = number / 4 * 4; i < number / 4 * 4 + 4; i++) {
        assert_null(model->slots[i]);
    }
}

static void model_close(struct index_model *model) {
    for (uint32_t i = 0; i < MODEL_KEYS; i++) {
        if (model->slots[i]) {
            model_remove(model, i);
        }
    }
    model_check_all(model);
    state_group_deinit(&model->group, &model->account);
    assert_int_equal(atomic_load(&model->account.bytes), 0);
}

static void index_is_a_map(void **unused) {
    (void)unused;
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct index_model model = {.account = {.name = "index"}};
        struct rng rng;
        rng_init(&rng, seed);
        uint32_t keys = 4 + (uint32_t)rng_below(&rng, MODEL_KEYS / 4) * 4;
        for (int step = 0; step < MODEL_STEPS; step++) {
            uint32_t number = (uint32_t)rng_below(&rng, keys);
            if (rng_below(&rng, 50) == 0) {
                model_remove_id(&model, number);
            } else {
                model_change(&model, number, rng_below(&rng, 1000));
            }
            model_check(&model, number);
            if (step % 32 == 0) {
                model_check_all(&model);
            }
        }
        model_close(&model);
    }
}

/* --- records that crowd: all at home at the index's end --- */

static bool crowds(struct state_group *scratch, struct slot *slot) {
    state_group_insert(scratch, slot);
    uint32_t i = 0;
    while (!scratch->buckets[0].entries[i]) {
        i++;
    }
    const struct index_bucket *bucket = &scratch->buckets[0];
    bool last = (bucket->entries[i] & ((1u << MIX_BITS) - 1)) >> (MIX_BITS - 9) == 511;
    state_group_remove(scratch, slot);
    return last;
}

static void crowd_make(struct slot *slots[CROWD]) {
    struct state_group scratch = {.count = 0};
    struct state_account account = {.name = "scratch"};
    assert_int_equal(state_group_reserve(&scratch, &account, NULL), LEAT_OK);
    uint64_t part = 0;
    for (uint32_t i = 0; i < CROWD; i++) {
        slots[i] = slot_make(1, 0, part++);
        while (!crowds(&scratch, slots[i])) {
            slots[i]->part = part++;
        }
    }
    state_group_deinit(&scratch, &account);
}

static void crowd_check(struct state_group *group, struct slot *const slots[CROWD],
                        const bool there[CROWD]) {
    for (uint32_t i = 0; i < CROWD; i++) {
        assert_ptr_equal(group_find(group, slots[i]), there[i] ? slots[i] : NULL);
    }
    index_recount(group, true);
}

static void crowd_insert(struct state_group *group, struct state_account *account,
                         struct slot *slot) {
    assert_int_equal(state_group_reserve(group, account, NULL), LEAT_OK);
    state_group_insert(group, slot);
}

/* More of one home than its overflow can count, and round the end of the index. */
static void crowds_wrap_round(void **unused) {
    (void)unused;
    static struct slot *slots[CROWD];
    bool there[CROWD] = {0};
    struct state_group group = {.count = 0};
    struct state_account account = {.name = "crowd"};
    crowd_make(slots);
    for (uint32_t i = 0; i < CROWD; i++) {
        crowd_insert(&group, &account, slots[i]);
        there[i] = true;
    }
    assert_int_equal(group.buckets[group.bucket_count - 1].tags >> OVER_SHIFT, OVER_MAX);
    crowd_check(&group, slots, there);
    struct rng rng;
    rng_init(&rng, 3);
    for (int step = 0; step < 3000; step++) {
        uint32_t i = (uint32_t)rng_below(&rng, CROWD);
        if (there[i]) {
            state_group_remove(&group, slots[i]);
        } else {
            crowd_insert(&group, &account, slots[i]);
        }
        there[i] = !there[i];
        if (step % 64 == 0) {
            crowd_check(&group, slots, there);
        }
    }
    for (uint32_t i = 0; i < CROWD; i++) {
        if (there[i]) {
            state_group_remove(&group, slots[i]);
        }
        there[i] = false;
    }
    crowd_check(&group, slots, there);
    for (uint32_t i = 0; i < CROWD; i++) {
        memory_free(slots[i]);
    }
    state_group_deinit(&group, &account);
}

/* An index that cannot grow stays as it was. */
static void growing_fails_whole(void **unused) {
    (void)unused;
    struct state_budget budget = {.bytes_max = 3 * sizeof(struct index_bucket)};
    struct state_account account = {.name = "small", .budget = &budget};
    struct state_group group = {.count = 0};
    struct slot *slots[CROWD];
    uint32_t count = 0;
    leat_status status;
    while ((status = state_group_reserve(&group, &account, NULL)) == LEAT_OK) {
        assert_true(count < CROWD);
        slots[count] = slot_make(count, 0, 0);
        state_group_insert(&group, slots[count++]);
    }
    assert_int_equal(status, LEAT_FULL);
    atomic_store(&account.soft, true);
    memory_fail_at(1);
    assert_int_equal(state_group_reserve(&group, &account, NULL), LEAT_MEMORY);
    assert_int_equal(atomic_load(&account.bytes), group.bucket_count * sizeof(*group.buckets));
    for (uint32_t i = 0; i < count; i++) {
        assert_ptr_equal(group_find(&group, slots[i]), slots[i]);
        memory_free(slots[i]);
    }
    index_recount(&group, false);
    state_group_deinit(&group, &account);
}

/* Records that come and go by age, at the fullest: what goes beyond its home stays rare, as if all
 * had come just now. */
static void churn_stays_near(void **unused) {
    (void)unused;
    enum { LIVE = 9000, ROUNDS = 6 };
    static struct slot slots[LIVE];
    struct state_group group = {.count = 0};
    struct state_account account = {.name = "churn"};
    uint64_t part = 0;
    for (uint32_t i = 0; i < LIVE * ROUNDS; i++) {
        struct slot *slot = &slots[i % LIVE];
        if (i >= LIVE) {
            state_group_remove(&group, slot);
        } else {
            assert_int_equal(state_group_reserve(&group, &account, NULL), LEAT_OK);
        }
        *slot = (struct slot){.hash = hash_mix(9, part), .part = part};
        part++;
        state_group_insert(&group, slot);
    }
    uint32_t beyond = 0;
    for (uint32_t b = 0; b < group.bucket_count; b++) {
        for (uint32_t i = 0; i < BUCKET_ENTRIES; i++) {
            const struct index_bucket *bucket = &group.buckets[b];
            beyond += bucket->entries[i] != 0 && entry_home(&group, bucket, i) != b;
        }
    }
    index_recount(&group, false);
    assert_true(group.bucket_count * 5 > LIVE && beyond < LIVE / 12);
    state_group_deinit(&group, &account);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(index_is_a_map),
        cmocka_unit_test(crowds_wrap_round),
        cmocka_unit_test(growing_fails_whole),
        cmocka_unit_test(churn_stays_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
