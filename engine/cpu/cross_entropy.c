/*
 * cross_entropy.c - mean softmax cross-entropy over labelled rows.
 */
#include <math.h>

#include "core/half.h"
#include "cpu.h"
#include "softmax.h"
#include "vecmath.h"

enum { BLOCK = 2048 };

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
            float value = bl_element_read(logits, m * pitch + label[m]);
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
