#include "base/hash.h"
#include "base/text.h"
#include "engine/engine_internal.h"
#include "engine/follow.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

/* Where the model of a follower's checkpoint stands; a leader's stands where the checkpoint does.
 */
#define LEARNT_NOTE "learnt"

/* --- the shape --- */

/* Of the settings that came after the first: 0 where none says anything, so that checkpoints from
 * before them are used. How a factorisation machine steps needs none of them. */
static uint64_t later_shape(const struct config *config) {
    const struct config_model *model = &config->model;
    if (config->network.kind == 0 && config->field_count == 0 && config->task_count == 0 &&
        model->spread == 0.03 && !model->calibrate && !model->evict) {
        return 0;
    }
    uint64_t shape =
        hash_bytes(&model->batch, sizeof(*model) - offsetof(struct config_model, batch));
    shape = hash_mix(shape, hash_bytes(&config->network, sizeof(config->network)));
    shape = hash_mix(shape, hash_bytes(config->fields, sizeof(config->fields)));
    return hash_mix(shape, hash_bytes(config->tasks, sizeof(config->tasks)));
}

/* A hash of what state and weights depend on besides the log: another shape needs another state, so
 * a checkpoint of it is not used. Quotas, page sizes and how much an action is worth are not in it;
 * the sign of that is. */
static uint64_t shape_of(const struct config *config) {
    uint64_t model = hash_bytes(&config->model, offsetof(struct config_model, batch));
    uint64_t later = later_shape(config);
    uint64_t shape = hash_mix(hash_bytes(&config->flow, sizeof(config->flow)),
                              later ? hash_mix(model, later) : model);
    shape = hash_mix(shape, (uint64_t)config->root.seed);
    for (int a = 0; a < config->action_count; a++) {
        const struct config_action_fields *action = &config->actions[a].fields;
        const uint64_t words[] = {hash_slice(slice_of(config->actions[a].name)),
                                  (uint64_t)action->window,
                                  action->weight > 0,
                                  action->weight < 0,
                                  (uint64_t)action->filter,
                                  hash_bytes(&action->threshold, sizeof(action->threshold))};
        shape = hash_mix(shape, hash_bytes(words, sizeof(words)));
    }
    for (int s = 0; s < config->surface_count; s++) {
        shape = hash_mix(shape, hash_slice(slice_of(config->surfaces[s].name)));
        shape = hash_mix(shape, (uint64_t)config->surfaces[s].fields.examples);
    }
    return shape;
}

static void shape_text(const struct config *config, char out[17]) {
    snprintf(out, 17, "%016" PRIx64, shape_of(config));
}

/* --- freezing --- */

static void job_release(struct checkpoint_job *job) {
    for (int i = 0; i < FLOW_STATES; i++) {
        if (job->states[i]) {
            state_snapshot_release(job->states[i]);
        }
    }
    if (job->model) {
        model_snapshot_release(job->model);
    }
    *job = (struct checkpoint_job){0};
}

/* From the learning thread, at the marker. */
static void model_frozen(void *context, struct model_snapshot *snapshot) {
    struct engine *engine = context;
    mutex_lock(&engine->mutex);
    engine->job.model = snapshot;
    engine->job.model_frozen = true;
    condition_broadcast(&engine->work);
    mutex_unlock(&engine->mutex);
}

static void job_begin(struct engine *engine) {
    engine->job = (struct checkpoint_job){
        .identity = {.log_id = log_id(engine->log),
                     .sequence = engine->applied,
                     .key_groups = (uint32_t)engine->config->root.key_groups,
                     .now_ms = flow_now(engine->flow)},
        .whole = engine->whole_wanted};
    engine->checkpoint_wanted = false;
    engine->whole_wanted = false;
    engine->checkpoint_running = true;
    engine->checkpoint_ns = clock_monotonic_ns();
}

static void job_end(struct engine *engine, leat_status status, const leat_error *err) {
    mutex_lock(&engine->mutex);
    if (status >= 0) {
        engine->checkpoint_sequence = engine->job.identity.sequence;
        engine->checkpoint_wholes += engine->job.whole ? 1 : 0;
        engine->checkpoint_error = (leat_error){0};
    } else {
        engine->checkpoint_error = *err;
    }
    job_release(&engine->job);
    engine->checkpoint_running = false;
    engine->checkpoint_ended++;
    condition_broadcast(&engine->moved);
    mutex_unlock(&engine->mutex);
    metrics_add(engine->metrics,
                status >= 0 ? METRIC_checkpoints_total : METRIC_checkpoint_errors_total, 1);
}

leat_status checkpointer_freeze(struct engine *engine, leat_error *err) {
    mutex_lock(&engine->mutex);
    if (engine->checkpoint_running) {
        mutex_unlock(&engine->mutex);
        return LEAT_AGAIN;
    }
    job_begin(engine);
    mutex_unlock(&engine->mutex);
    leat_status status = engine->job.whole ? flow_scrub(engine->flow, err) : LEAT_OK;
    if (engine->emitted && status >= 0) {
        status = emitted_mark(engine->emitted, err);
    }
    for (int i = 0; i < FLOW_STATES && status >= 0; i++) {
        status = state_freeze(flow_state(engine->flow, i), &engine->job.states[i], err);
        if (status == LEAT_OK && engine->chain && !engine->job.whole) {
            uint64_t since = checkpoint_chain_version(engine->chain, flow_state_name(i));
            state_snapshot_since(engine->job.states[i], since);
        }
    }
    if (status >= 0) { /* a follower has no learning thread: no delta may come in between */
        follow_enter(engine);
        engine->job.learnt = trainer_learnt(engine->trainer);
        status = trainer_mark(engine->trainer, model_frozen, engine, err);
        follow_leave(engine);
    }
    if (status < 0) {
        job_end(engine, status, err);
    }
    return status;
}

/* --- writing --- */

static leat_status states_write(struct engine *engine, struct checkpoint_writer *writer,
                                leat_error *err) {
    struct state_snapshot **states = engine->job.states;
    for (int i = 0; i < FLOW_STATES; i++) {
        TRY(checkpoint_state(writer, flow_state_name(i), states[i], engine->job.identity.key_groups,
                             err));
        state_snapshot_release(states[i]); /* what it kept aside is free for the next one's */
        states[i] = NULL;
    }
    return LEAT_OK;
}

/* What was emitted up to here is on disk before the manifest says so. */
static leat_status emitted_write(struct engine *engine, struct checkpoint_writer *writer,
                                 leat_error *err) {
    char note[EMITTED_NOTE_MAX];
    if (engine->emitted) {
        TRY(emitted_sync(engine->emitted, note, err));
        checkpoint_note(writer, EMITTED_NOTE, note);
    }
    return LEAT_OK;
}

static void notes_write(struct engine *engine, struct checkpoint_writer *writer) {
    char shape[17], learnt[24];
    if (engine->options.follow) {
        snprintf(learnt, sizeof(learnt), "%" PRIu64, engine->job.learnt);
        checkpoint_note(writer, LEARNT_NOTE, learnt);
    }
    shape_text(engine->config, shape);
    checkpoint_note(writer, "kernel", model_kernel());
    checkpoint_note(writer, "shape", shape);
}

static leat_status parts_write(struct engine *engine, struct checkpoint_writer *writer,
                               leat_error *err) {
    TRY(states_write(engine, writer, err));
    TRY(checkpoint_part(writer, "model", err));
    TRY(model_snapshot_write(engine->job.model, checkpoint_write, writer, err));
    TRY(emitted_write(engine, writer, err));
    notes_write(engine, writer);
    return LEAT_OK;
}

static leat_status chain_need(struct engine *engine, leat_error *err) {
    return engine->chain ? LEAT_OK : checkpoint_chain_create(&engine->chain, err);
}

static leat_status folder_clean(struct engine *engine, leat_error *err) {
    const struct checkpoint_job *job = &engine->job;
    const char *folder = engine->checkpoint_folder;
    if (job->whole) {
        return checkpoint_drop_before(engine->disk, folder, job->identity.sequence, err);
    }
    return checkpoint_clean(engine->disk, folder, (int)engine->config->checkpoint.keep, err);
}

/* A failure leaves the chain as it was: the next checkpoint holds what changed since the one before
 * this. */
static leat_status job_write(struct engine *engine, leat_error *err) {
    const struct checkpoint_job *job = &engine->job;
    struct checkpoint_writer *writer;
    if (!job->model) {
        return error_retry(err, LEAT_MEMORY,
                           "no memory to freeze the model for a checkpoint; the one before it "
                           "stays, and the next is tried again");
    }
    TRY(chain_need(engine, err));
    struct checkpoint_options options = {.chain = engine->chain,
                                         .whole = job->whole,
                                         .write_rate =
                                             (uint64_t)engine->config->checkpoint.write_rate,
                                         .hurry = &engine->checkpoint_hurry};
    TRY(checkpoint_begin(engine->disk, engine->checkpoint_folder, &job->identity, &options, &writer,
                         err));
    leat_status status = parts_write(engine, writer, err);
    if (status < 0) {
        checkpoint_abandon(writer);
        return status;
    }
    TRY(checkpoint_commit(writer, err));
    return folder_clean(engine, err);
}

leat_status checkpointer_write(struct engine *engine, leat_error *err) {
    leat_error own = {0};
    leat_error *words = err ? err : &own;
    uint64_t start_ns = clock_monotonic_ns();
    leat_status status = job_write(engine, words);
    metrics_observe_ns(engine->metrics, METRIC_checkpoint_seconds, clock_monotonic_ns() - start_ns);
    job_end(engine, status, words);
    return status;
}

void *checkpointer_run(void *context) {
    struct engine *engine = context;
    mutex_lock(&engine->mutex);
    while (true) {
        while (!engine->stopping && !engine->job.model_frozen) {
            condition_wait(&engine->work, &engine->mutex);
        }
        if (engine->stopping) {
            break;
        }
        mutex_unlock(&engine->mutex);
        leat_error err = {0};
        if (checkpointer_write(engine, &err) < 0) {
            fprintf(stderr, "leat: checkpoint failed, the one before it stays: %s\n", err.message);
        }
        mutex_lock(&engine->mutex);
    }
    mutex_unlock(&engine->mutex);
    return NULL;
}

void checkpointer_drop(struct engine *engine) {
    if (engine->checkpoint_running) {
        job_release(&engine->job);
        engine->checkpoint_running = false;
    }
}

/* Waits for the checkpoint that begins next; the mutex is held. One that already runs began before
 * this call: the wanted one follows it. */
static leat_status wanted_wait(struct engine *engine, leat_error *err) {
    uint64_t target = engine->checkpoint_ended + (engine->checkpoint_running ? 2 : 1);
    engine->checkpoint_wanted = true;
    log_wake(engine->log);
    while (engine->checkpoint_ended < target && !engine->failed && !engine->stopping) {
        condition_wait_ms(&engine->moved, &engine->mutex, 1000);
    }
    if (engine->checkpoint_ended < target) {
        return error_set(err, LEAT_CLOSED, "the engine stopped before the checkpoint was written");
    }
    if (engine->checkpoint_error.status < 0 && err) {
        *err = engine->checkpoint_error;
    }
    return engine->checkpoint_error.status;
}

static leat_status wanted_write(struct engine *engine, bool whole, uint64_t *sequence,
                                leat_error *err) {
    if (engine->options.without_checkpoints) {
        return error_set(err, LEAT_UNSUPPORTED, "this engine was opened without checkpoints");
    }
    mutex_lock(&engine->mutex);
    engine->whole_wanted = engine->whole_wanted || whole;
    leat_status status;
    if (engine->options.inline_mode) {
        mutex_unlock(&engine->mutex);
        status = checkpointer_freeze(engine, err);
        if (status >= 0) {
            status = checkpointer_write(engine, err);
        }
        mutex_lock(&engine->mutex);
    } else {
        uint64_t wholes = engine->checkpoint_wholes;
        status = wanted_wait(engine, err);
        if (status == LEAT_OK && whole && engine->checkpoint_wholes == wholes) {
            status = error_retry(err, LEAT_IO, "the self-contained checkpoint failed");
        }
    }
    *sequence = engine->checkpoint_sequence;
    mutex_unlock(&engine->mutex);
    return status;
}

leat_status engine_checkpoint(struct engine *engine, leat_error *err) {
    uint64_t sequence;
    return wanted_write(engine, false, &sequence, err);
}

leat_status checkpointer_whole(struct engine *engine, uint64_t *sequence, leat_error *err) {
    uint64_t own;
    return wanted_write(engine, true, sequence ? sequence : &own, err);
}

/* --- restoring --- */

leat_status checkpointer_states(struct flow *flow, struct checkpoint *checkpoint, leat_error *err) {
    uint32_t groups = checkpoint_about(checkpoint)->key_groups;
    for (int i = 0; i < FLOW_STATES; i++) {
        const char *name = flow_state_name(i);
        leat_status status =
            checkpoint_restore_state(checkpoint, name, 0, groups, flow_state(flow, i), err);
        bool absent = status == LEAT_NOT_FOUND && flow_state_unused(flow, i);
        if (status != LEAT_OK && !absent) {
            return status < 0 ? status
                              : error_set(err, LEAT_CORRUPT, "the checkpoint has no %s", name);
        }
    }
    TRY(flow_restored(flow, err));
    flow_set_now(flow, checkpoint_about(checkpoint)->now_ms);
    return LEAT_OK;
}

static leat_status all_restore(struct engine *engine, struct checkpoint *checkpoint,
                               leat_error *err) {
    TRY(checkpointer_states(engine->flow, checkpoint, err));
    leat_status status = checkpoint_read_part(checkpoint, "model", err);
    if (status != LEAT_OK) {
        return status < 0 ? status : error_set(err, LEAT_CORRUPT, "the checkpoint has no model");
    }
    TRY(model_restore(engine->model, checkpoint_read, checkpoint, err));
    TRY(checkpoint_read_end(checkpoint, err));
    uint64_t learnt = checkpoint_about(checkpoint)->sequence;
    const char *note = checkpoint_get_note(checkpoint, LEARNT_NOTE);
    if (note && (!engine->options.follow || !text_to_u64(slice_of(note), &learnt))) {
        return error_set(err, LEAT_CONFLICT, "checkpoint %" PRIu64 " is a follower's",
                         checkpoint_about(checkpoint)->sequence);
    }
    trainer_set_learnt(engine->trainer, learnt);
    if (chain_need(engine, NULL) == LEAT_OK) { /* without it the next checkpoint is whole */
        checkpoint_chain_adopt(engine->chain, checkpoint, NULL);
    }
    return LEAT_OK;
}

leat_status checkpointer_fits(const struct config *config, const struct checkpoint *checkpoint,
                              uint32_t log_id, leat_error *err) {
    const struct checkpoint_identity *identity = checkpoint_about(checkpoint);
    char shape[17];
    shape_text(config, shape);
    const char *noted = checkpoint_get_note(checkpoint, "shape");
    if (!noted || strcmp(noted, shape) != 0) {
        return error_set(err, LEAT_CONFLICT,
                         "checkpoint %" PRIu64 " was made with other actions, surfaces, flow or "
                         "model settings",
                         identity->sequence);
    }
    if (identity->log_id != log_id || identity->key_groups != (uint32_t)config->root.key_groups) {
        return error_set(err, LEAT_CONFLICT, "checkpoint %" PRIu64 " is of another data folder",
                         identity->sequence);
    }
    return LEAT_OK;
}

static leat_status restore_from(struct engine *engine, struct checkpoint *checkpoint,
                                leat_error *err) {
    const struct checkpoint_identity *identity = checkpoint_about(checkpoint);
    TRY(checkpointer_fits(engine->config, checkpoint, log_id(engine->log), err));
    if (identity->sequence > log_end(engine->log)) {
        return error_set(err, LEAT_CONFLICT,
                         "checkpoint %" PRIu64 " lies beyond the end of the log, %" PRIu64,
                         identity->sequence, log_end(engine->log));
    }
    TRY(all_restore(engine, checkpoint, err));
    const char *note = checkpoint_get_note(checkpoint, EMITTED_NOTE);
    snprintf(engine->emitted_note, sizeof(engine->emitted_note), "%s", note ? note : "");
    return LEAT_OK;
}

/* Tries the newest before a sequence, which becomes its own; LEAT_NOT_FOUND: there is none. */
static leat_status restore_before(struct engine *engine, uint64_t *sequence, leat_error *err) {
    struct checkpoint *checkpoint;
    leat_status status = checkpoint_newest_before(engine->disk, engine->checkpoint_folder,
                                                  *sequence, &checkpoint, NULL, err);
    if (status != LEAT_OK) {
        return status;
    }
    *sequence = checkpoint_about(checkpoint)->sequence;
    status = restore_from(engine, checkpoint, err);
    checkpoint_close(checkpoint);
    return status;
}

/* Where the bytes of the newest turn out to be damaged, the one before it is tried: the log from
 * there on gives the same, and may not reach back to its start any more. What is told is what was
 * wrong with the newest. */
leat_status checkpointer_restore(struct engine *engine, uint64_t *sequence, leat_error *err) {
    leat_error words = {.message = ""};
    uint64_t before = UINT64_MAX;
    *sequence = 0;
    leat_status first = restore_before(engine, &before, &words);
    leat_status status = first;
    while (status == LEAT_CORRUPT) {
        leat_error own = {.message = ""};
        parts_close(engine);
        TRY(parts_open(engine, err));
        status = restore_before(engine, &before, &own);
    }
    if (status == LEAT_OK) {
        *sequence = before;
    } else if (first < 0) {
        *err = words;
        return first;
    }
    if (first < 0) {
        fprintf(stderr, "leat: a checkpoint was passed over: %s\n", words.message);
    }
    return status;
}
