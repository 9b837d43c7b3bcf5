/*
 * rmsnorm.c - root mean square normalisation of rows (arXiv 1910.07467),
 * forward and backward.
 */
#include <math.h>
#include <omp.h>

#include "core/half.h"
#include "cpu.h"
#include "normalize.h"

static float row_rstd(const float *x, int64_t n, float eps) {
    float square = 0.0f;
#pragma omp simd reduction(+ : square)
    for (int64_t i = 0; i < n; i++)
        square += x[i] * x[i];
    return 1.0f / sqrtf(square / (float) n + eps);
}

bl_status bl_cpu_rmsnorm_forward(bl_context *ctx, bl_tensor *y, bl_tensor *rstd, const bl_tensor *x,
                                 const bl_tensor *gamma, float eps) {
    int64_t rows = x->shape[0], width = x->shape[1], pitch = bl_norm_pitch(width);
    const float *scale = gamma->data;
    void *scratch;
    BL_TRY(bl_scratch(ctx, (size_t) (2 * ctx->threads * pitch) * sizeof(float), &scratch));
    float *buffers = scratch;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (rows * width > 1 << 14)
    for (int64_t t = 0; t < rows; t++) {
        float *x_buffer = buffers + 2 * omp_get_thread_num() * pitch;
        const float *in = bl_row_read(x->data, x->dtype, t * width, width, x_buffer);
        float *out = bl_row_open(y->data, y->dtype, t * width, x_buffer + pitch);
        float factor = row_rstd(in, width, eps);
#pragma omp simd
        for (int64_t i = 0; i < width; i++)
            out[i] = in[i] * factor * scale[i];
        bl_row_close(y->data, y->dtype, t * width, width, out);
        if (rstd) ((float *) rstd->data)[t] = factor;
    }
    return BL_OK;
}

/* dx = rstd * (g - xhat * mean(g * xhat)), g = dy * gamma, xhat = x * rstd; dgamma += dy * xhat. dx may be dy. */
static void row_gradient(float *dx, float *dgamma, const float *dy, const float *x, const float *gamma, int64_t n,
                         float rstd) {
    float product = 0.0f;
#pragma omp simd reduction(+ : product)
    for (int64_t i = 0; i < n; i++) {
        float xhat = x[i] * rstd;
        product += dy[i] * gamma[i] * xhat;
        dgamma[i] += dy[i] * xhat;
    }
    if (!dx) return;
    product /= (float) n;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        dx[i] = rstd * (dy[i] * gamma[i] - x[i] * rstd * product);
}

bl_status bl_cpu_rmsnorm_backward(bl_context *ctx, bl_tensor *dx, bl_tensor *dgamma, const bl_tensor *dy,
                                  const bl_tensor *x, const bl_tensor *rstd, const bl_tensor *gamma) {
    int64_t rows = x->shape[0], width = x->shape[1], pitch = bl_norm_pitch(width);
    int64_t chunk = bl_norm_chunk_rows(rows), chunks = (rows + chunk - 1) / chunk;
    int32_t dtype = x->dtype;
    void *scratch;
    BL_TRY(bl_scratch(ctx, (size_t) ((3 * ctx->threads + chunks) * pitch) * sizeof(float), &scratch));
    float *buffers = scratch;
    float *partial = buffers + 3 * ctx->threads * pitch; /* [chunks, pitch] */
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (rows * width > 1 << 14)
    for (int64_t c = 0; c < chunks; c++) {
        float *dy_buffer = buffers + 3 * omp_get_thread_num() * pitch;
        float *x_buffer = dy_buffer + pitch, *dx_buffer = x_buffer + pitch;
        float *part = partial + c * pitch;
        for (int64_t i = 0; i < pitch; i++)
            part[i] = 0.0f;
        int64_t end = (c + 1) * chunk < rows ? (c + 1) * chunk : rows;
        for (int64_t t = c * chunk; t < end; t++) {
            const float *dy_row = bl_row_read(dy->data, dtype, t * width, width, dy_buffer);
            const float *x_row = bl_row_read(x->data, dtype, t * width, width, x_buffer);
            float *out = dx ? bl_row_open(dx->data, dtype, t * width, dx_buffer) : NULL;
            row_gradient(out, part, dy_row, x_row, gamma->data, width, ((const float *) rstd->data)[t]);
            if (dx) bl_row_close(dx->data, dtype, t * width, width, out);
        }
    }
    for (int64_t c = 0; c < chunks; c++)
        bl_row_add(dgamma ? dgamma->data : NULL, partial + c * pitch, width);
    return BL_OK;
}
