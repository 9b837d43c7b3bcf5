/*
 * cross_entropy.c - mean softmax cross-entropy over labelled rows, and the
 * span loss of question answering.
 */
#include <math.h>

#include "core/half.h"
#include "cpu.h"
#include "softmax.h"
#include "vecmath.h"

enum { BLOCK = 2048 };

static float read_element(const bl_tensor *t, int64_t offset) {
    float buffer[1];
    return *bl_row_read(t->data, t->dtype, offset, 1, buffer);
}

static int64_t count_labels(const bl_tensor *labels) {
    const int32_t *values = labels->data;
    int64_t counted = 0;
    for (int64_t m = 0; m < labels->shape[0]; m++)
        counted += values[m] != -1;
    return counted;
}

bl_status bl_cpu_cross_entropy_forward(bl_context *ctx, bl_tensor *loss, bl_tensor *lse, bl_tensor *correct,
                                       const bl_tensor *logits, const bl_tensor *labels, int64_t classes) {
    int64_t rows = logits->shape[0], pitch = logits->shape[1];
    void *scratch;
    BL_TRY(bl_scratch(ctx, (size_t) (2 * rows) * sizeof(double), &scratch));
    double *losses = scratch, *hits = losses + rows;
    const int32_t *label = labels->data;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (rows * classes > 1 << 14)
    for (int64_t m = 0; m < rows; m++) {
        float max;
        double sum = bl_row_exp_sum(logits->data, logits->dtype, m * pitch, classes, &max);
        double log_sum = log(sum);
        losses[m] = hits[m] = 0.0;
        if (label[m] != -1) {
            float value = read_element(logits, m * pitch + label[m]);
            /* Maximum and label first: near certainty they cancel, exactly. */
            losses[m] = ((double) max - (double) value) + log_sum;
            hits[m] = value == max ? 1.0 : 0.0;
        }
        if (lse) ((float *) lse->data)[m] = (float) ((double) max + log_sum);
    }
    double total = 0.0, right = 0.0;
    for (int64_t m = 0; m < rows; m++) {
        total += losses[m];
        right += hits[m];
    }
    double counted = (double) count_labels(labels);
    if (loss) *(float *) loss->data = counted > 0.0 ? (float) (total / counted) : 0.0f;
    if (correct) *(float *) correct->data = counted > 0.0 ? (float) (right / counted) : 0.0f;
    return BL_OK;
}

/* (softmax - one-hot) * factor over the classes, 0 past them and where label is -1. */
static void gradient_row(bl_tensor *dlogits, const bl_tensor *logits, int64_t row, int64_t classes, int32_t label,
                         float lse, float factor) {
    float buffer[BLOCK], out_buffer[BLOCK];
    int64_t pitch = logits->shape[1];
    for (int64_t done = 0; done < pitch; done += BLOCK) {
        int64_t n = pitch - done < BLOCK ? pitch - done : BLOCK;
        int64_t live = label == -1 || done >= classes ? 0 : classes - done < n ? classes - done : n;
        float *out = bl_row_open(dlogits->data, dlogits->dtype, row * pitch + done, out_buffer);
        if (live > 0) {
            const float *in = bl_row_read(logits->data, logits->dtype, row * pitch + done, live, buffer);
#pragma omp simd
            for (int64_t i = 0; i < live; i++)
                out[i] = bl_vec_exp(in[i] - lse) * factor;
            if (label >= done && label < done + live) out[label - done] -= factor;
        }
        for (int64_t i = live; i < n; i++)
            out[i] = 0.0f;
        bl_row_close(dlogits->data, dlogits->dtype, row * pitch + done, n, out);
    }
}

bl_status bl_cpu_cross_entropy_backward(bl_context *ctx, bl_tensor *dlogits, const bl_tensor *logits,
                                        const bl_tensor *labels, const bl_tensor *lse, const bl_tensor *dloss,
                                        int64_t classes) {
    int64_t rows = logits->shape[0];
    int64_t counted = count_labels(labels);
    float factor = *(const float *) dloss->data / (float) (counted > 0 ? counted : 1);
    const int32_t *label = labels->data;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (rows * classes > 1 << 14)
    for (int64_t m = 0; m < rows; m++)
        gradient_row(dlogits, logits, m, classes, label[m], ((const float *) lse->data)[m], factor);
    return BL_OK;
}

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
        float value = read_element(logits, 2 * (s->begin + i) + column);
        max = value > max ? value : max;
    }
    double sum = 0.0;
    for (int64_t i = 0; i < s->length; i++)
        sum += (double) bl_vec_exp(read_element(logits, 2 * (s->begin + i) + column) - max);
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
                    (double) log_sum - (double) read_element(logits, 2 * (s.begin + s.answer[column]) + column);
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
                float probability = bl_vec_exp(read_element(logits, at) - log_sum);
                gradient[at] += factor * (i == s.answer[column] ? probability - 1.0f : probability);
            }
        }
    }
    bl_row_from_f32(dlogits->data, dlogits->dtype, gradient, 2 * rows);
    return BL_OK;
}
