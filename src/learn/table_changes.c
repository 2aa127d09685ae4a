/* Which rows changed since somebody asked: a bit a row, and the keys of rows that went. */
#include "learn/table_internal.h"

void table_mark_changed(struct table *table, uint32_t row) {
    uint64_t *word = &table->changed[row / 64];
    uint64_t bit = (uint64_t)1 << (row % 64);
    table->changed_rows += (*word & bit) == 0;
    *word |= bit;
}

static void unmark(struct table *table, uint32_t row) {
    uint64_t *word = &table->changed[row / 64];
    uint64_t bit = (uint64_t)1 << (row % 64);
    table->changed_rows -= (*word & bit) != 0;
    *word &= ~bit;
}

void table_mark_removed(struct table *table, uint32_t row, uint64_t key) {
    unmark(table, row);
    if (table->removed_count < TABLE_REMOVED_MAX) {
        table->removed[table->removed_count++] = key;
    } else {
        table->removed_lost = true;
    }
}

static int take_removed(struct table *table, uint64_t *keys, uint32_t *rows, int max) {
    int count = 0;
    while (count < max && table->removed_count > 0) {
        keys[count] = table->removed[--table->removed_count];
        rows[count++] = TABLE_NONE;
    }
    return count;
}

int table_changed(struct table *table, uint64_t *keys, uint32_t *rows, int max) {
    if (!table->track) {
        return 0;
    }
    if (table->removed_lost) {
        table->removed_lost = false;
        table->removed_count = 0;
        return LEAT_FULL;
    }
    int count = take_removed(table, keys, rows, max);
    uint64_t words = (table_tally(&table->top) + 63) / 64;
    while (count < max && table->changed_rows > 0) {
        table->changed_hand = table->changed_hand < words ? table->changed_hand : 0;
        uint64_t *word = &table->changed[table->changed_hand];
        while (*word && count < max) {
            uint32_t row = (uint32_t)(table->changed_hand * 64) + (uint32_t)__builtin_ctzll(*word);
            *word &= *word - 1;
            table->changed_rows--;
            keys[count] = table_key(table, row);
            rows[count++] = row;
        }
        table->changed_hand += *word == 0;
    }
    return count;
}
