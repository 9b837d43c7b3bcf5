/*
 * span_loss.c - the span loss of question answering.
 */
#include <math.h>

#include "core/half.h"
#include "cpu.h"
#include "vecmath.h"

/* The two columns of one sequence: its first row, length, and the answer's positions within it. */
typedef struct span {
    int64_t begin;
    int64_t length;
    int64_t answer[2];
} span;

static span span_open(const bl_tensor *segments, const bl_tensor *starts, const bl_tensor *ends, int64_t b) {
    const int32_t *segment = (const int32_t *) segments->data + 2 * b;
    return (span){.begin = segment[0],
                  .length = segment[1],
                  .answer = {((const int32_t *) starts->data)[b], ((const int32_t *) ends->data)[b]}};
}

static bool span_counts(const span *s, int column) {
    return s->answer[column] >= 0 && s->answer[column] < s->length;
}

static void span_count_all(int64_t counted[2], const bl_tensor *segments, const bl_tensor *starts,
                           const bl_tensor *ends) {
    counted[0] = counted[1] = 0;
    for (int64_t b = 0; b < segments->shape[0]; b++) {
        span s = span_open(segments, starts, ends, b);
        counted[0] += span_counts(&s, 0);
        counted[1] += span_counts(&s, 1);
    }
}

static float span_log_sum(const bl_tensor *logits, const span *s, int column) {
    float max = -INFINITY;
    for (int64_t i = 0; i < s->length; i++) {
        float value = bl_element_read(logits, 2 * (s->begin + i) + column);
        max = value > max ? value : max;
    }
    double sum = 0.0;
    for (int64_t i = 0; i < s->length; i++)
        sum += (double) bl_vec_exp(bl_element_read(logits, 2 * (s->begin + i) + column) - max);
    /* 0: an empty segment. */
    return sum == 0.0 ? -INFINITY : (float) ((double) max + log(sum));
}

bl_status bl_cpu_span_loss_forward(bl_context *ctx, bl_tensor *loss, bl_tensor *lse, const bl_tensor *logits,
                                   const bl_tensor *segments, const bl_tensor *starts, const bl_tensor *ends) {
    (void) ctx; /* a few thousand numbers: not worth a thread */
    int64_t counted[2];
    double total[2] = {0.0, 0.0};
    span_count_all(counted, segments, starts, ends);
    for (int64_t b = 0; b < segments->shape[0]; b++) {
        span s = span_open(segments, starts, ends, b);
        for (int column = 0; column < 2; column++) {
            float log_sum = span_log_sum(logits, &s, column);
            if (lse) ((float *) lse->data)[2 * b + column] = log_sum;
            if (span_counts(&s, column))
                total[column] +=
                    (double) log_sum - (double) bl_element_read(logits, 2 * (s.begin + s.answer[column]) + column);
        }
    }
    for (int column = 0; column < 2; column++)
        if (counted[column] > 0) total[column] /= (double) counted[column];
    if (loss) *(float *) loss->data = (float) ((total[0] + total[1]) / 2.0);
    return BL_OK;
}

bl_status bl_cpu_span_loss_backward(bl_context *ctx, bl_tensor *dlogits, const bl_tensor *logits,
                                    const bl_tensor *segments, const bl_tensor *starts, const bl_tensor *ends,
                                    const bl_tensor *lse, const bl_tensor *dloss) {
    int64_t counted[2];
    span_count_all(counted, segments, starts, ends);
    int64_t rows = logits->shape[0];
    /* dlogits may lie over logits: softmax first, then zero what no segment covers. */
    void *scratch;
    BL_TRY(bl_scratch(ctx, (size_t) (2 * rows) * sizeof(float), &scratch));
    float *gradient = scratch;
    for (int64_t i = 0; i < 2 * rows; i++)
        gradient[i] = 0.0f;
    float upstream = *(const float *) dloss->data;
    for (int64_t b = 0; b < segments->shape[0]; b++) {
        span s = span_open(segments, starts, ends, b);
        for (int column = 0; column < 2; column++) {
            if (!span_counts(&s, column)) continue;
            float factor = 0.5f * upstream / (float) counted[column];
            float log_sum = ((const float *) lse->data)[2 * b + column];
            for (int64_t i = 0; i < s.length; i++) {
                int64_t at = 2 * (s.begin + i) + column;
                float probability = bl_vec_exp(bl_element_read(logits, at) - log_sum);
                gradient[at] += factor * (i == s.answer[column] ? probability - 1.0f : probability);
            }
        }
    }
    bl_row_from_f32(dlogits->data, dlogits->dtype, gradient, 2 * rows);
    return BL_OK;
}
