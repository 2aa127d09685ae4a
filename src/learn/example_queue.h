/* A queue of examples and notes from one thread (flow) to one other (the trainer), in order.
 *
 *   oldest                                                              newest
 *   [chunk][chunk] ...  then frames of the overflow file, then   [open chunk]
 *   at most `examples_max` in memory                              filled by the producer
 *
 * The producer never waits for the consumer: a chunk that no longer fits into memory goes to the
 * file as a frame of schema_example; notes travel as rows with a flag of their own. While the file
 * holds anything, every full chunk goes there, so the order stays. The file is removed when it is
 * read to its end, and belongs to this run: what a crash left of it is thrown away at open. */
#ifndef LEARN_EXAMPLE_QUEUE_H
#define LEARN_EXAMPLE_QUEUE_H

#include "base/file.h"
#include "flow/example.h"

enum queue_kind {
    QUEUE_EXAMPLE,
    QUEUE_REACH, /* a note; only example.sequence means something */
    QUEUE_MARK,  /* a note; likewise */
};

struct queue_entry {
    enum queue_kind kind;
    struct example example;
};

struct example_queue;

struct queue_options {
    struct disk *disk;
    const char *spill_path; /* copied */
    int examples_max;       /* entries in memory, apart from the chunk that the consumer holds */
};

leat_status queue_open(const struct queue_options *options, struct example_queue **out,
                       leat_error *err);
/* Neither side may use the queue any more. What is queued is dropped, the file removed. */
void queue_close(struct example_queue *queue);

/* Producer. Copies what the model reads of the entry: no ids, no times. On failure (the overflow
 * file, memory) nothing is lost or added, and the same call may be made again. */
leat_status queue_push(struct example_queue *queue, const struct queue_entry *entry,
                       leat_error *err);
/* Consumer: waits for the next entries and takes them. LEAT_END (positive) after queue_stop;
 * LEAT_IO or LEAT_CORRUPT when the overflow file cannot be read back. */
leat_status queue_take(struct example_queue *queue, leat_error *err);
/* Consumer: the next of the entries taken, valid until the next call; false: take again. */
bool queue_next(struct example_queue *queue, struct queue_entry *out);
/* Any thread: the consumer's waits end, pushes answer LEAT_CLOSED. */
void queue_stop(struct example_queue *queue);

/* Any thread: bytes of the overflow file now. It only shrinks when all of it was read. */
uint64_t queue_file_bytes(const struct example_queue *queue);
/* Any thread: entries that went to the file since queue_open. */
uint64_t queue_spilled(const struct example_queue *queue);

#endif
