#include "connect/row_encoder.h"

#include "base/hash.h"
#include "base/memory.h"
#include "base/text.h"

#include <math.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    USES_MAX = PLAN_OPERANDS_MAX + MODEL_DENSE_MAX + MODEL_TASKS_MAX + 2,
    LINES_SHOWN = 60,
    STANDARD_MAX = 8, /* deviations from the mean */
};

enum use_kind { USE_OPERAND, USE_DENSE, USE_LABEL, USE_WEIGHT, USE_TIME };

struct use {
    enum use_kind kind;
    int index; /* of the operand, dense input or label */
    int next;  /* of the same column; -1: none */
};

/* One value of an operand in the row at hand; those of an operand are chained in their order. */
struct node {
    uint64_t hash;
    float value;
    int next;
};

struct chain {
    int first, last; /* -1: empty */
};

struct running {
    double count, mean, squares;
};

struct row_encoder {
    const struct row_plan *plan;
    bool learning;
    const struct row_columns *columns;
    int bound; /* columns that are */
    int use_count;
    struct use uses[USES_MAX];
    int first_use[ROW_COLUMNS_MAX]; /* -1: the column is not used */
    struct running running[MODEL_DENSE_MAX];
    /* the row at hand */
    bool given[MODEL_DENSE_MAX]; /* of inputs that are standardised */
    double numbers[MODEL_DENSE_MAX];
    int node_count;
    struct node nodes[ROW_CELLS_MAX];
    struct chain chains[PLAN_OPERANDS_MAX];
    float weight;
};

leat_status row_encoder_create(const struct row_plan *plan, struct row_encoder **out,
                               leat_error *err) {
    struct row_encoder *encoder = memory_zalloc(sizeof(*encoder));
    if (!encoder) {
        return error_memory(err, sizeof(*encoder));
    }
    encoder->plan = plan;
    encoder->learning = true;
    *out = encoder;
    return LEAT_OK;
}

void row_encoder_destroy(struct row_encoder *encoder) {
    memory_free(encoder);
}

leat_status row_encoder_batch(const struct row_encoder *encoder, int rows_max,
                              struct row_batch *out, leat_error *err) {
    const struct row_plan *plan = encoder->plan;
    return row_batch_init(out, rows_max, plan->label_count, plan->dense_count,
                          plan->time[0] != '\0', err);
}

/* --- columns --- */

static void add_use(struct row_encoder *encoder, int column, enum use_kind kind, int index) {
    encoder->uses[encoder->use_count] = (struct use){kind, index, encoder->first_use[column]};
    encoder->first_use[column] = encoder->use_count++;
}

static void bind_column(struct row_encoder *encoder, int column) {
    const struct row_plan *plan = encoder->plan;
    const char *name = encoder->columns->names[column];
    encoder->first_use[column] = -1;
    for (int i = 0; i < plan->operand_count; i++) {
        if (strcmp(name, plan->operands[i].column) == 0) {
            add_use(encoder, column, USE_OPERAND, i);
        }
    }
    for (int i = 0; i < plan->dense_count; i++) {
        if (strcmp(name, plan->dense[i].column) == 0) {
            add_use(encoder, column, USE_DENSE, i);
        }
    }
    for (int i = 0; i < plan->label_count; i++) {
        if (strcmp(name, plan->labels[i].column) == 0) {
            add_use(encoder, column, USE_LABEL, i);
        }
    }
    if (strcmp(name, plan->weight) == 0) {
        add_use(encoder, column, USE_WEIGHT, 0);
    }
    if (strcmp(name, plan->time) == 0) {
        add_use(encoder, column, USE_TIME, 0);
    }
}

static void bind_more(struct row_encoder *encoder) {
    while (encoder->bound < encoder->columns->count) {
        bind_column(encoder, encoder->bound++);
    }
}

void row_encoder_bind(struct row_encoder *encoder, const struct row_columns *columns) {
    encoder->columns = columns;
    encoder->bound = 0;
    encoder->use_count = 0;
    bind_more(encoder);
}

/* --- values --- */

static leat_status refuse(const struct row_encoder *encoder, const struct row_cell *cell,
                          const char *words, leat_error *err) {
    return error_set(err, LEAT_INVALID, "%s: '%.*s' %s", encoder->columns->names[cell->column],
                     (int)(cell->text.size < LINES_SHOWN ? cell->text.size : LINES_SHOWN),
                     cell->text.data, words);
}

/* hash_slice, inlined as in base/hash.c: a call costs as much as the hash of a short text. */
static inline uint64_t hash_inlined(struct slice text) {
    return XXH3_64bits(text.data, text.size);
}

static inline leat_status add_node(struct row_encoder *encoder, int operand, uint64_t hash,
                                   float value, leat_error *err) {
    if (__builtin_expect(encoder->node_count == ROW_CELLS_MAX, 0)) {
        return error_set(err, LEAT_INVALID, "more than %d values", ROW_CELLS_MAX);
    }
    struct chain *chain = &encoder->chains[operand];
    int at = encoder->node_count++;
    encoder->nodes[at] = (struct node){hash, value, -1};
    if (chain->last >= 0) {
        encoder->nodes[chain->last].next = at;
    } else {
        chain->first = at;
    }
    chain->last = at;
    return LEAT_OK;
}

static leat_status add_list(struct row_encoder *encoder, int operand, const struct row_cell *cell,
                            leat_error *err) {
    const struct plan_operand *plan = &encoder->plan->operands[operand];
    const char *end = cell->text.data + cell->text.size;
    int length = 0;
    for (const char *at = cell->text.data; at < end; at++) {
        const char *stop = memchr(at, plan->separator, (size_t)(end - at));
        stop = stop ? stop : end;
        if (stop > at) {
            struct slice text = {at, (size_t)(stop - at)};
            TRY(add_node(encoder, operand, hash_slice(text), cell->value, err));
            length++;
        }
        at = stop;
    }
    for (; plan->kind == PLAN_HISTORY && length > plan->last; length--) {
        encoder->chains[operand].first = encoder->nodes[encoder->chains[operand].first].next;
    }
    return LEAT_OK;
}

/* Of an empty cell the hash of no text: unlike that of any part. */
static leat_status add_bucket(struct row_encoder *encoder, int operand, const struct row_cell *cell,
                              leat_error *err) {
    const struct plan_operand *plan = &encoder->plan->operands[operand];
    char text[32];
    double number;
    int64_t part = 0;
    if (cell->text.size == 0) {
        return add_node(encoder, operand, hash_slice(cell->text), cell->value, err);
    }
    if (!row_number(cell->text, &number)) {
        return refuse(encoder, cell, "is not a number", err);
    }
    if (plan->kind == PLAN_LOGBUCKET) {
        part = (int64_t)floor(number > 2 ? log(number) * log(number) : number);
    }
    while (part < plan->bound_count && number >= plan->bounds[part]) {
        part++;
    }
    int size = snprintf(text, sizeof(text), "%lld", (long long)part);
    return add_node(encoder, operand, hash_slice((struct slice){text, (size_t)size}), cell->value,
                    err);
}

static inline leat_status add_operand(struct row_encoder *encoder, int operand,
                                      const struct row_cell *cell, leat_error *err) {
    switch (encoder->plan->operands[operand].kind) {
    case PLAN_ID: return add_node(encoder, operand, hash_inlined(cell->text), cell->value, err);
    case PLAN_LIST:
    case PLAN_HISTORY: return add_list(encoder, operand, cell, err);
    case PLAN_BUCKET:
    case PLAN_LOGBUCKET: return add_bucket(encoder, operand, cell, err);
    }
    return LEAT_OK;
}

/* An empty cell is 0, which is the mean where the input is standardised. */
static leat_status set_dense(struct row_encoder *encoder, int index, const struct row_cell *cell,
                             float *out, leat_error *err) {
    const struct plan_dense *plan = &encoder->plan->dense[index];
    const struct running *running = &encoder->running[index];
    double number;
    if (cell->text.size == 0) {
        return LEAT_OK;
    }
    if (!row_number(cell->text, &number)) {
        return refuse(encoder, cell, "is not a number", err);
    }
    number *= (double)cell->value;
    number = plan->log ? copysign(log1p(fabs(number)), number) : number;
    out[index] = (float)number;
    if (plan->standard) {
        double deviation = running->count > 1 ? sqrt(running->squares / running->count) : 0;
        double scaled = deviation > 0 ? (number - running->mean) / deviation : 0;
        out[index] = (float)fmin(fmax(scaled, -STANDARD_MAX), STANDARD_MAX);
        encoder->given[index] = true;
        encoder->numbers[index] = number;
    }
    return isfinite(out[index]) ? LEAT_OK : refuse(encoder, cell, "is too large", err);
}

static bool read_truth(struct slice text, double *out) {
    bool yes = slice_is(text, "true");
    *out = yes;
    return yes || slice_is(text, "false");
}

static leat_status set_label(const struct row_encoder *encoder, int index,
                             const struct row_cell *cell, struct row_batch *batch,
                             leat_error *err) {
    const struct plan_label *plan = &encoder->plan->labels[index];
    size_t at = (size_t)batch->count * (size_t)batch->tasks + (size_t)index;
    double number;
    if (cell->text.size == 0) {
        return LEAT_OK;
    }
    if (!row_number(cell->text, &number) && !read_truth(cell->text, &number)) {
        return refuse(encoder, cell, "is not a number", err);
    }
    if (plan->threshold) {
        number = number >= plan->at_least;
    } else if (!plan->regression && number != 0 && number != 1 && number != -1) {
        return refuse(encoder, cell, "is not 0, 1 or -1; say from where on it is positive, as >=4",
                      err);
    }
    batch->targets[at] = plan->regression ? (float)number : (float)(number > 0);
    batch->weights[at] = 1;
    return LEAT_OK;
}

static leat_status set_weight(struct row_encoder *encoder, const struct row_cell *cell,
                              leat_error *err) {
    double number;
    if (cell->text.size == 0) {
        return LEAT_OK;
    }
    if (!row_number(cell->text, &number) || !(number >= 0) || number > 1e9) {
        return refuse(encoder, cell, "is not a weight from 0 to 1e9", err);
    }
    encoder->weight = (float)number;
    return LEAT_OK;
}

/* Milliseconds, or seconds where they are few: those of year 1973 in ms are those of 5138 in s. */
static leat_status set_time(const struct row_encoder *encoder, const struct row_cell *cell,
                            struct row_batch *batch, leat_error *err) {
    double number;
    int64_t time_ms;
    if (row_number(cell->text, &number) && fabs(number) < 1e15) {
        time_ms = (int64_t)(fabs(number) < 1e11 ? number * 1000 : number);
    } else if (!text_to_time_ms(cell->text, &time_ms)) {
        return refuse(encoder, cell, "is no time: seconds, milliseconds or 2017-10-11T03:00:00Z",
                      err);
    }
    int64_t seconds = time_ms / 1000;
    batch->times_ms[batch->count] = time_ms;
    batch->times[batch->count] = (uint32_t)(seconds < 0            ? 0
                                            : seconds > UINT32_MAX ? UINT32_MAX
                                                                   : seconds);
    return LEAT_OK;
}

static leat_status use_cell(struct row_encoder *encoder, const struct use *use,
                            const struct row_cell *cell, struct row_batch *batch, leat_error *err) {
    switch (use->kind) {
    case USE_OPERAND: return add_operand(encoder, use->index, cell, err);
    case USE_DENSE:
        return set_dense(encoder, use->index, cell,
                         batch->dense + (size_t)batch->count * (size_t)batch->dense_count, err);
    case USE_LABEL: return set_label(encoder, use->index, cell, batch, err);
    case USE_WEIGHT: return set_weight(encoder, cell, err);
    case USE_TIME: return set_time(encoder, cell, batch, err);
    }
    return LEAT_OK;
}

/* --- fields --- */

/* Pushes a key for each combination of values of the operands from `depth` on. */
static leat_status push_cross(const struct row_encoder *encoder, int field, int depth,
                              uint64_t hash, float value, struct row_batch *batch,
                              leat_error *err) {
    const struct plan_field *plan = &encoder->plan->fields[field];
    int node = encoder->chains[plan->operands[depth]].first;
    for (; node >= 0; node = encoder->nodes[node].next) {
        const struct node *at = &encoder->nodes[node];
        uint64_t mixed = depth == 0 ? at->hash : hash_mix(hash, at->hash);
        if (depth + 1 < plan->operand_count && depth + 1 < PLAN_CROSS_MAX) {
            TRY(push_cross(encoder, field, depth + 1, mixed, value * at->value, batch, err));
            continue;
        }
        if (batch->key_count - batch->offsets[batch->count] == ROW_KEYS_MAX) {
            return error_set(err, LEAT_INVALID, "more than %d ids, at feature '%s'", ROW_KEYS_MAX,
                             plan->name);
        }
        uint64_t rows = encoder->plan->hash_rows[field];
        row_batch_push(batch, key_make(field, rows ? mixed % rows : mixed), value * at->value);
    }
    return LEAT_OK;
}

static leat_status push_fields(const struct row_encoder *encoder, struct row_batch *batch,
                               leat_error *err) {
    const struct row_plan *plan = encoder->plan;
    TRY(row_batch_reserve(batch, ROW_KEYS_MAX, err));
    for (int i = 0; i < plan->field_count; i++) {
        const struct chain *chain = &encoder->chains[plan->fields[i].operands[0]];
        bool single = plan->fields[i].operand_count == 1 && chain->first >= 0 &&
                      chain->first == chain->last && plan->hash_rows[i] == 0 &&
                      batch->key_count - batch->offsets[batch->count] < ROW_KEYS_MAX;
        if (single) {
            const struct node *node = &encoder->nodes[chain->first];
            row_batch_push(batch, key_make(i, node->hash), node->value);
        } else {
            TRY(push_cross(encoder, i, 0, 0, 1, batch, err));
        }
    }
    return LEAT_OK;
}

/* --- rows --- */

static void begin_row(struct row_encoder *encoder, uint64_t number, struct row_batch *batch) {
    size_t at = (size_t)batch->count;
    size_t tasks = (size_t)batch->tasks;
    size_t dense = (size_t)batch->dense_count;
    encoder->node_count = 0;
    encoder->weight = 1;
    for (int i = 0; i < encoder->plan->operand_count; i++) {
        encoder->chains[i] = (struct chain){-1, -1};
    }
    for (size_t t = 0; t < tasks; t++) {
        batch->targets[at * tasks + t] = 0;
        batch->weights[at * tasks + t] = 0;
    }
    for (size_t d = 0; d < dense; d++) {
        batch->dense[at * dense + d] = 0;
        encoder->given[d] = false;
    }
    batch->times[at] = 0;
    batch->times_ms[at] = 0;
    batch->numbers[at] = number;
}

/* A row is standardised by those before it (Welford's running sums). */
static void learn_row(struct row_encoder *encoder) {
    for (int i = 0; i < encoder->plan->dense_count; i++) {
        struct running *running = &encoder->running[i];
        if (encoder->given[i]) {
            double distance = encoder->numbers[i] - running->mean;
            running->count++;
            running->mean += distance / running->count;
            running->squares += distance * (encoder->numbers[i] - running->mean);
        }
    }
}

static leat_status add_row(struct row_encoder *encoder, const struct row *row,
                           struct row_batch *batch, leat_error *err) {
    for (int i = 0; i < row->count; i++) {
        const struct row_cell *cell = &row->cells[i];
        for (int u = encoder->first_use[cell->column]; u >= 0; u = encoder->uses[u].next) {
            TRY(use_cell(encoder, &encoder->uses[u], cell, batch, err));
        }
    }
    if (encoder->weight != 1) {
        float *weights = batch->weights + (size_t)batch->count * (size_t)batch->tasks;
        for (int t = 0; t < batch->tasks; t++) {
            weights[t] *= encoder->weight;
        }
    }
    return push_fields(encoder, batch, err);
}

leat_status row_encoder_add(struct row_encoder *encoder, const struct row *row, uint64_t number,
                            struct row_batch *batch, leat_error *err) {
    INVARIANT(!row_batch_full(batch), "%d rows", batch->count);
    if (encoder->bound < encoder->columns->count) {
        bind_more(encoder);
    }
    begin_row(encoder, number, batch);
    leat_status status = add_row(encoder, row, batch, err);
    if (status < 0) {
        row_batch_drop_row(batch);
        return status;
    }
    row_batch_end_row(batch);
    if (encoder->learning) {
        learn_row(encoder);
    }
    return LEAT_OK;
}

/* --- state --- */

void row_encoder_learn(struct row_encoder *encoder, bool on) {
    encoder->learning = on;
}

void row_encoder_save(const struct row_encoder *encoder, struct bytes *out) {
    bytes_put_u32(out, (uint32_t)encoder->plan->dense_count);
    for (int i = 0; i < encoder->plan->dense_count; i++) {
        bytes_put_f64(out, encoder->running[i].count);
        bytes_put_f64(out, encoder->running[i].mean);
        bytes_put_f64(out, encoder->running[i].squares);
    }
}

leat_status row_encoder_load(struct row_encoder *encoder, struct bytes_reader *reader,
                             leat_error *err) {
    uint32_t count = bytes_get_u32(reader);
    if (count != (uint32_t)encoder->plan->dense_count) {
        return error_set(err, LEAT_CORRUPT, "means of %u dense inputs, not %d", count,
                         encoder->plan->dense_count);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct running *running = &encoder->running[i];
        running->count = bytes_get_f64(reader);
        running->mean = bytes_get_f64(reader);
        running->squares = bytes_get_f64(reader);
    }
    return reader->failed ? error_set(err, LEAT_CORRUPT, "the running means are cut off") : LEAT_OK;
}
