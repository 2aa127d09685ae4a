/* When have all readers left that might have found a row which is gone from the index?
 *
 * Readers count themselves in and out of one of two columns of a line that few threads share; which
 * column is in use turns from time to time. A column that turns empty after a row was taken out
 * holds nobody who could have found it, whoever came later looked at an index without it; and both
 * columns must have been seen so, as a reader may have been slow between choosing and counting.
 * Neither side ever waits for the other here: the writer asks again (table_grace_over).
 *
 * One for the process: a reader inside any table holds up the rows of all, for as long as a request
 * takes. Source: sleepable read-copy-update (McKenney, 2006), with polling. */
#ifndef LEARN_TABLE_EPOCH_H
#define LEARN_TABLE_EPOCH_H

#include <stdbool.h>
#include <stdint.h>

void table_epoch_enter(void);
void table_epoch_leave(void);
/* Whether the calling thread is inside. */
bool table_epoch_inside(void);

/* The writer, after it took rows out: a ticket for the question whether they are safe. */
uint64_t table_grace_begin(void);
/* Whether all that were inside at that ticket have left; moves on as far as it can. */
bool table_grace_over(uint64_t ticket);

#endif
