/*
 * softmax.c - softmax over rows.
 */
#include "softmax.h"

#include <math.h>

#include "core/half.h"
#include "cpu.h"
#include "vecmath.h"

enum { BLOCK = 2048, LANES = 16, SHORT = 256 }; /* SHORT: terms summed in f32 before f64 takes over */

float bl_row_max(const float *row, int64_t n) {
    /* Lanes by hand: compilers keep the order of comparisons, for the sake of NaN, and would not vectorise. */
    float lanes[LANES];
    for (int l = 0; l < LANES; l++)
        lanes[l] = -INFINITY;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
#pragma omp simd
        for (int l = 0; l < LANES; l++)
            lanes[l] = row[i + l] > lanes[l] ? row[i + l] : lanes[l];
    }
    float max = -INFINITY;
    for (int l = 0; l < LANES; l++)
        max = lanes[l] > max ? lanes[l] : max;
    for (; i < n; i++)
        max = row[i] > max ? row[i] : max;
    return max;
}

double bl_row_exp_sum(const void *base, int32_t dtype, int64_t offset, int64_t n, float *max) {
    float buffer[BLOCK];
    float highest = -INFINITY;
    double total = 0.0;
    for (int64_t done = 0; done < n; done += BLOCK) {
        int64_t count = n - done < BLOCK ? n - done : BLOCK;
        const float *row = bl_row_read(base, dtype, offset + done, count, buffer);
        float block_max = bl_row_max(row, count);
        if (block_max > highest) {
            if (total > 0.0) total *= (double) bl_vec_exp(highest - block_max);
            highest = block_max;
        }
        /* While everything was -inf, measure from 0: -inf - -inf would be NaN. */
        float from = highest == -INFINITY ? 0.0f : highest;
        for (int64_t begin = 0; begin < count; begin += SHORT) {
            int64_t end = begin + SHORT < count ? begin + SHORT : count;
            float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
            for (int64_t i = begin; i < end; i++)
                sum += bl_vec_exp(row[i] - from);
            total += (double) sum;
        }
    }
    *max = highest;
    return total;
}

bl_status bl_cpu_softmax(bl_context *ctx, bl_tensor *y, const bl_tensor *x) {
    int64_t width = x->shape[x->ndim - 1];
    int64_t rows = width ? bl_tensor_numel(x) / width : 0;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (rows * width > 1 << 14)
    for (int64_t r = 0; r < rows; r++) {
        float buffer[BLOCK], out_buffer[BLOCK], max;
        float inverse = (float) (1.0 / bl_row_exp_sum(x->data, x->dtype, r * width, width, &max));
        for (int64_t done = 0; done < width; done += BLOCK) {
            int64_t n = width - done < BLOCK ? width - done : BLOCK;
            const float *in = bl_row_read(x->data, x->dtype, r * width + done, n, buffer);
            float *out = bl_row_open(y->data, y->dtype, r * width + done, out_buffer);
#pragma omp simd
            for (int64_t i = 0; i < n; i++)
                out[i] = bl_vec_exp(in[i] - max) * inverse;
            bl_row_close(y->data, y->dtype, r * width + done, n, out);
        }
    }
    return BL_OK;
}
