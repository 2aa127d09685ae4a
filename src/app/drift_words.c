#include "app/experiment.h"
#include "base/text.h"

static double *value_at(const struct drift_options *options, int index) {
    return (double *)((char *)options + drift_parameters[index].offset);
}

int drift_words_options(struct drift_words *words, struct option *out) {
    INVARIANT(drift_parameter_count <= DRIFT_WORDS_MAX, "%d parameters", drift_parameter_count);
    for (int i = 0; i < drift_parameter_count; i++) {
        const struct drift_parameter *parameter = &drift_parameters[i];
        words->given[i] = NULL;
        snprintf(words->about[i], sizeof(words->about[i]), "Generator: %s (%.10g).",
                 parameter->words, parameter->usual);
        out[i] = (struct option){
            .name = parameter->name,
            .value = parameter->whole ? "N" : "X",
            .words = words->about[i],
            .text = &words->given[i],
        };
    }
    return drift_parameter_count;
}

leat_status drift_words_read(const struct drift_words *words, struct drift_options *out,
                             leat_error *err) {
    drift_defaults(out);
    for (int i = 0; i < drift_parameter_count; i++) {
        if (words->given[i] && !text_to_f64(slice_of(words->given[i]), value_at(out, i))) {
            return error_set(err, LEAT_INVALID, "--%s '%s' is not a number",
                             drift_parameters[i].name, words->given[i]);
        }
    }
    return LEAT_OK;
}

void drift_words_print(const struct drift_options *options, struct bytes *out) {
    for (int i = 0; i < drift_parameter_count; i++) {
        bytes_printf(out, "%s%s %.10g", i > 0 ? ", " : "", drift_parameters[i].name,
                     *value_at(options, i));
    }
}
