/*
 * softmax.c - softmax and log-softmax over rows, and their gradients.
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

/* sum of a[i] * b[i] over a row, or of a[i] where b is NULL; in f64 over pieces of SHORT terms. */
static double row_sum(const bl_tensor *a, const bl_tensor *b, int64_t offset, int64_t n) {
    float a_buffer[SHORT], b_buffer[SHORT];
    double total = 0.0;
    for (int64_t done = 0; done < n; done += SHORT) {
        int64_t count = n - done < SHORT ? n - done : SHORT;
        const float *p = bl_row_read(a->data, a->dtype, offset + done, count, a_buffer);
        const float *q = b ? bl_row_read(b->data, b->dtype, offset + done, count, b_buffer) : NULL;
        float sum = 0.0f;
        if (q) {
#pragma omp simd reduction(+ : sum)
            for (int64_t i = 0; i < count; i++)
                sum += p[i] * q[i];
        } else {
#pragma omp simd reduction(+ : sum)
            for (int64_t i = 0; i < count; i++)
                sum += p[i];
        }
        total += (double) sum;
    }
    return total;
}

bl_status bl_cpu_softmax_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *y) {
    int64_t width = y->shape[y->ndim - 1];
    int64_t rows = width ? bl_tensor_numel(y) / width : 0;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (rows * width > 1 << 14)
    for (int64_t r = 0; r < rows; r++) {
        float dy_buffer[BLOCK], y_buffer[BLOCK], dx_buffer[BLOCK];
        float sum = (float) row_sum(dy, y, r * width, width);
        for (int64_t done = 0; done < width; done += BLOCK) {
            int64_t n = width - done < BLOCK ? width - done : BLOCK;
            const float *d = bl_row_read(dy->data, dy->dtype, r * width + done, n, dy_buffer);
            const float *p = bl_row_read(y->data, y->dtype, r * width + done, n, y_buffer);
            float *out = bl_row_open(dx->data, dx->dtype, r * width + done, dx_buffer);
#pragma omp simd
            for (int64_t i = 0; i < n; i++)
                out[i] = p[i] * (d[i] - sum);
            bl_row_close(dx->data, dx->dtype, r * width + done, n, out);
        }
    }
    return BL_OK;
}

bl_status bl_cpu_log_softmax_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x) {
    int64_t width = x->shape[x->ndim - 1];
    int64_t rows = width ? bl_tensor_numel(x) / width : 0;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (rows * width > 1 << 14)
    for (int64_t r = 0; r < rows; r++) {
        float buffer[BLOCK], out_buffer[BLOCK], max;
        float rest = (float) log(bl_row_exp_sum(x->data, x->dtype, r * width, width, &max));
        for (int64_t done = 0; done < width; done += BLOCK) {
            int64_t n = width - done < BLOCK ? width - done : BLOCK;
            const float *in = bl_row_read(x->data, x->dtype, r * width + done, n, buffer);
            float *out = bl_row_open(y->data, y->dtype, r * width + done, out_buffer);
#pragma omp simd
            for (int64_t i = 0; i < n; i++)
                out[i] = (in[i] - max) - rest;
            bl_row_close(y->data, y->dtype, r * width + done, n, out);
        }
    }
    return BL_OK;
}

bl_status bl_cpu_log_softmax_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *y) {
    int64_t width = y->shape[y->ndim - 1];
    int64_t rows = width ? bl_tensor_numel(y) / width : 0;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (rows * width > 1 << 14)
    for (int64_t r = 0; r < rows; r++) {
        float dy_buffer[BLOCK], y_buffer[BLOCK], dx_buffer[BLOCK];
        float sum = (float) row_sum(dy, NULL, r * width, width);
        for (int64_t done = 0; done < width; done += BLOCK) {
            int64_t n = width - done < BLOCK ? width - done : BLOCK;
            const float *d = bl_row_read(dy->data, dy->dtype, r * width + done, n, dy_buffer);
            const float *p = bl_row_read(y->data, y->dtype, r * width + done, n, y_buffer);
            float *out = bl_row_open(dx->data, dx->dtype, r * width + done, dx_buffer);
#pragma omp simd
            for (int64_t i = 0; i < n; i++)
                out[i] = d[i] - bl_vec_exp(p[i]) * sum;
            bl_row_close(dx->data, dx->dtype, r * width + done, n, out);
        }
    }
    return BL_OK;
}
