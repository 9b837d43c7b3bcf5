/*
 * classify.c - what the scores of texts mean: one label, several labels or
 * values, as the problem_type of transformers says (lua/bertlua/encoder/judging.lua).
 */
#include <math.h>

#include "encoder/encoder.h"

/* Token ids held at a time: texts are read in parts of about as many. */
enum { PART = 1 << 18 };

static void softmax(float *scores, int32_t labels) {
    double top = scores[0], sum = 0;
    for (int32_t c = 1; c < labels; c++)
        top = scores[c] > top ? scores[c] : top;
    for (int32_t c = 0; c < labels; c++)
        sum += exp(scores[c] - top);
    for (int32_t c = 0; c < labels; c++)
        scores[c] = (float) (exp(scores[c] - top) / sum);
}

/* Scores of n texts to what they mean, in place. */
static void judge(float *scores, int64_t n, const bl_encoder_info *info) {
    if (info->problem == BL_PROBLEM_SINGLE)
        for (int64_t i = 0; i < n; i++)
            softmax(scores + i * info->labels, info->labels);
    if (info->problem == BL_PROBLEM_MULTIPLE)
        for (int64_t i = 0; i < n * info->labels; i++)
            scores[i] = (float) (1 / (1 + exp(-(double) scores[i])));
}

static bl_status classify(bl_encoder *encoder, bl_ids *ids, const bl_encoder_info *info, const char *const *texts,
                          const char *const *pairs, int64_t n, float *scores) {
    for (int64_t begin = 0, i = 0; i < n; begin = i) {
        bl_ids_clear(ids);
        for (; i < n && ids->count < PART; i++)
            BL_TRY(bl_ids_add(ids, encoder, "classify", i, texts[i], pairs ? pairs[i] : NULL, NULL));
        bl_sequences sequences = bl_ids_sequences(ids);
        BL_TRY(bl_encoder_compute(encoder, BL_HEAD_LABELS, &sequences, scores + begin * info->labels));
        judge(scores + begin * info->labels, i - begin, info);
    }
    return BL_OK;
}

BL_API bl_status bl_encoder_classify(bl_encoder *encoder, const char *const *texts, const char *const *pairs, int64_t n,
                                     float *scores) {
    if (!encoder || n < 0 || (n > 0 && (!texts || !scores)))
        return bl_fail(BL_ERROR_ARGUMENT, "classify: encoder, texts or scores is NULL, or n is negative");
    bl_encoder_info info;
    BL_TRY(bl_encoder_describe(encoder, &info));
    if (!info.classifies) return bl_encoder_lacks(&info, "classify", "classification");
    if (n == 0) return BL_OK;
    bl_ids ids;
    BL_TRY(bl_ids_create(&ids));
    bl_status status = classify(encoder, &ids, &info, texts, pairs, n, scores);
    bl_ids_free(&ids);
    return status;
}
