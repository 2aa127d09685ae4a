#include "flow/watermark.h"

#include "base/error.h"

void watermark_init(struct watermark *watermark, int count, int64_t idle_ms) {
    INVARIANT(count >= 1 && count <= WATERMARK_INPUTS_MAX, "%d inputs", count);
    *watermark = (struct watermark){.count = count,
                                    .idle_ms = idle_ms,
                                    .now_ms = WATERMARK_NONE,
                                    .combined_ms = WATERMARK_NONE};
    for (int i = 0; i < count; i++) {
        watermark->inputs[i] = (struct watermark_input){WATERMARK_NONE, WATERMARK_NONE};
    }
}

/* Before the first processing time nobody has been silent for any. */
bool watermark_idle(const struct watermark *watermark, int input) {
    const struct watermark_input *in = &watermark->inputs[input];
    return in->active_ms != WATERMARK_NONE &&
           watermark->now_ms - in->active_ms >= watermark->idle_ms;
}

static bool combine(struct watermark *watermark) {
    int64_t least = WATERMARK_END;
    bool all_ended = true, any_awake = false;
    for (int i = 0; i < watermark->count; i++) {
        if (watermark_ended(watermark, i)) {
            continue;
        }
        all_ended = false;
        if (!watermark_idle(watermark, i)) {
            int64_t time_ms = watermark->inputs[i].time_ms;
            any_awake = true;
            least = time_ms < least ? time_ms : least;
        }
    }
    if ((!any_awake && !all_ended) || least <= watermark->combined_ms) {
        return false;
    }
    watermark->combined_ms = least;
    return true;
}

bool watermark_row(struct watermark *watermark, int input) {
    watermark->inputs[input].active_ms = watermark->now_ms;
    return combine(watermark);
}

bool watermark_push(struct watermark *watermark, int input, int64_t time_ms) {
    struct watermark_input *in = &watermark->inputs[input];
    in->time_ms = time_ms > in->time_ms ? time_ms : in->time_ms;
    return watermark_row(watermark, input);
}

bool watermark_end(struct watermark *watermark, int input) {
    return watermark_push(watermark, input, WATERMARK_END);
}

bool watermark_now(struct watermark *watermark, int64_t now_ms) {
    if (now_ms <= watermark->now_ms) {
        return false;
    }
    watermark->now_ms = now_ms;
    for (int i = 0; i < watermark->count; i++) {
        struct watermark_input *in = &watermark->inputs[i];
        in->active_ms = in->active_ms == WATERMARK_NONE ? now_ms : in->active_ms;
    }
    return combine(watermark);
}
