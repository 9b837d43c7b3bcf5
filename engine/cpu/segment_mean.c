/*
 * segment_mean.c - the mean over the rows of each segment: mean pooling of a batch of sequences.
 */
#include <string.h>

#include "core/half.h"
#include "cpu.h"

enum { BLOCK = 512 };

/* The mean of `length` rows from `begin`: summed in f32, row by row, whatever the number of threads. */
static void mean_rows(bl_tensor *y, const bl_tensor *x, int64_t b, int64_t begin, int64_t length) {
    float sum[BLOCK], buffer[BLOCK];
    int64_t width = x->shape[1];
    const float scale = length > 0 ? 1.0f / (float) length : 0.0f;
    for (int64_t done = 0; done < width; done += BLOCK) {
        int64_t n = width - done < BLOCK ? width - done : BLOCK;
        memset(sum, 0, sizeof sum);
        for (int64_t row = begin; row < begin + length; row++)
            bl_row_add(sum, bl_row_read(x->data, x->dtype, row * width + done, n, buffer), n);
        for (int64_t i = 0; i < n; i++)
            sum[i] *= scale;
        bl_row_from_f32(bl_element(y->data, y->dtype, b * width + done), y->dtype, sum, n);
    }
}

bl_status bl_cpu_segment_mean_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_tensor *segments) {
    const int32_t *segment = segments->data;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (bl_tensor_numel(x) > 1 << 15)
    for (int64_t b = 0; b < segments->shape[0]; b++)
        mean_rows(y, x, b, segment[2 * b], segment[2 * b + 1]);
    return BL_OK;
}

/* The first row of a segment gets dy[b] / length, the others a copy of it. */
static void spread_rows(bl_tensor *dx, const bl_tensor *dy, int64_t b, int64_t begin, int64_t length) {
    float share[BLOCK], buffer[BLOCK];
    int64_t width = dx->shape[1];
    const float scale = 1.0f / (float) length;
    for (int64_t done = 0; done < width; done += BLOCK) {
        int64_t n = width - done < BLOCK ? width - done : BLOCK;
        const float *from = bl_row_read(dy->data, dy->dtype, b * width + done, n, buffer);
        for (int64_t i = 0; i < n; i++)
            share[i] = from[i] * scale;
        bl_row_from_f32(bl_element(dx->data, dx->dtype, begin * width + done), dx->dtype, share, n);
    }
    size_t bytes = (size_t) width * bl_dtype_size(dx->dtype);
    char *first = (char *) dx->data + (size_t) begin * bytes;
    for (int64_t row = 1; row < length; row++)
        memcpy(first + (size_t) row * bytes, first, bytes);
}

bl_status bl_cpu_segment_mean_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *segments) {
    const int32_t *segment = segments->data;
    /* Rows of no segment. */
    memset(dx->data, 0, (size_t) bl_tensor_numel(dx) * bl_dtype_size(dx->dtype));
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (bl_tensor_numel(dx) > 1 << 15)
    for (int64_t b = 0; b < segments->shape[0]; b++)
        if (segment[2 * b + 1] > 0) spread_rows(dx, dy, b, segment[2 * b], segment[2 * b + 1]);
    return BL_OK;
}
