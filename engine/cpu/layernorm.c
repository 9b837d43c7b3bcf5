/*
 * layernorm.c - dropout, residual and layer normalisation in one pass over
 * memory, forward and backward.
 */
#include <omp.h>
#include <string.h>

#include "core/half.h"
#include "core/philox.h"
#include "cpu.h"
#include "normalize.h"

enum { BLOCK = 512 };

/* z = dropout(x) + residual, rounded as it is stored, so that the backward sees what the forward normalised. */
static void sum_row(float *z, const bl_tensor *x, const bl_tensor *residual, int64_t begin, int64_t width,
                    const bl_dropout_stream *drop) {
    float x_buffer[BLOCK], residual_buffer[BLOCK], keep[BLOCK];
    for (int64_t done = 0; done < width; done += BLOCK) {
        int64_t n = width - done < BLOCK ? width - done : BLOCK;
        const float *source = bl_row_read(x->data, x->dtype, begin + done, n, x_buffer);
        float *out = z + done;
        if (drop->active) {
            bl_dropout_fill(drop, begin + done, n, keep);
#pragma omp simd
            for (int64_t i = 0; i < n; i++)
                out[i] = source[i] * keep[i];
            source = out;
        }
        if (residual) {
            const float *added = bl_row_read(residual->data, x->dtype, begin + done, n, residual_buffer);
#pragma omp simd
            for (int64_t i = 0; i < n; i++)
                out[i] = source[i] + added[i];
        } else if (source != out) {
            bl_row_from_f32(out, BL_F32, source, n);
        }
    }
    bl_row_round(z, x->dtype, width);
}

static void normalize_row(bl_tensor *y, const float *z, const float *gamma, const float *beta, int64_t begin,
                          int64_t width, float mean, float rstd) {
    float buffer[BLOCK];
    for (int64_t done = 0; done < width; done += BLOCK) {
        int64_t n = width - done < BLOCK ? width - done : BLOCK;
        float *out = bl_row_open(y->data, y->dtype, begin + done, buffer);
        const float *in = z + done, *scale = gamma + done, *shift = beta + done;
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            out[i] = (in[i] - mean) * rstd * scale[i] + shift[i];
        bl_row_close(y->data, y->dtype, begin + done, n, out);
    }
}

bl_status bl_cpu_layernorm_forward(bl_context *ctx, bl_tensor *y, bl_tensor *z, bl_tensor *mean, bl_tensor *rstd,
                                   const bl_tensor *x, const bl_tensor *residual, const bl_tensor *gamma,
                                   const bl_tensor *beta, float eps, const bl_dropout *dropout) {
    int64_t rows = x->shape[0], width = x->shape[1];
    int64_t pitch = bl_norm_pitch(width);
    bl_dropout_stream drop = bl_dropout_open(dropout);
    void *scratch;
    BL_TRY(bl_scratch(ctx, (size_t) (ctx->threads * pitch) * sizeof(float), &scratch));
    float *buffers = scratch;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (rows * width > 1 << 14)
    for (int64_t t = 0; t < rows; t++) {
        float *row = buffers + omp_get_thread_num() * pitch;
        float center, scale;
        sum_row(row, x, residual, t * width, width, &drop);
        bl_norm_statistics(row, width, eps, &center, &scale);
        if (z) bl_row_from_f32(bl_element(z->data, z->dtype, t * width), z->dtype, row, width);
        normalize_row(y, row, gamma->data, beta->data, t * width, width, center, scale);
        if (mean) ((float *) mean->data)[t] = center;
        if (rstd) ((float *) rstd->data)[t] = scale;
    }
    return BL_OK;
}

/* dx = dz through the dropout; its elements are added to sum, unless that is NULL. */
static void drop_row(bl_tensor *dx, float *sum, const float *dz, int64_t begin, int64_t width,
                     const bl_dropout_stream *drop) {
    float buffer[BLOCK], keep[BLOCK];
    for (int64_t done = 0; done < width; done += BLOCK) {
        int64_t n = width - done < BLOCK ? width - done : BLOCK;
        float *out = bl_row_open(dx->data, dx->dtype, begin + done, buffer);
        const float *in = dz + done;
        bl_dropout_fill(drop, begin + done, n, keep);
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            out[i] = in[i] * keep[i];
        bl_row_add(sum ? sum + done : NULL, out, n);
        bl_row_close(dx->data, dx->dtype, begin + done, n, out);
    }
}

bl_status bl_cpu_layernorm_backward(bl_context *ctx, bl_tensor *dx, bl_tensor *dresidual, bl_tensor *dgamma,
                                    bl_tensor *dbeta, const bl_tensor *dy, const bl_tensor *z, const bl_tensor *mean,
                                    const bl_tensor *rstd, const bl_tensor *gamma, const bl_dropout *dropout,
                                    bl_tensor *sums) {
    int64_t rows = dy->shape[0], width = dy->shape[1];
    int64_t pitch = bl_norm_pitch(width);
    int64_t chunk = bl_norm_chunk_rows(rows), chunks = (rows + chunk - 1) / chunk;
    int32_t dtype = dy->dtype;
    bl_dropout_stream drop = bl_dropout_open(dropout);
    void *scratch;
    BL_TRY(bl_scratch(ctx, (size_t) ((3 * ctx->threads + 3 * chunks) * pitch) * sizeof(float), &scratch));
    float *buffers = scratch;
    float *partial = buffers + 3 * ctx->threads * pitch; /* [chunks, 3, pitch] */
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (rows * width > 1 << 14)
    for (int64_t c = 0; c < chunks; c++) {
        float *dy_buffer = buffers + 3 * omp_get_thread_num() * pitch;
        float *z_buffer = dy_buffer + pitch, *dz = z_buffer + pitch;
        float *dgamma_part = partial + 3 * c * pitch, *dbeta_part = dgamma_part + pitch;
        float *sum = sums ? dbeta_part + pitch : NULL;
        for (int64_t i = 0; i < 3 * pitch; i++)
            dgamma_part[i] = 0.0f;
        int64_t end = (c + 1) * chunk < rows ? (c + 1) * chunk : rows;
        for (int64_t t = c * chunk; t < end; t++) {
            const float *dy_row = bl_row_read(dy->data, dtype, t * width, width, dy_buffer);
            const float *z_row = bl_row_read(z->data, dtype, t * width, width, z_buffer);
            bl_norm_gradient(dz, dgamma_part, dbeta_part, dy_row, z_row, gamma->data, width,
                             ((const float *) mean->data)[t], ((const float *) rstd->data)[t]);
            /* dy, and z, are read in full by now: the outputs may lie over them. */
            if (dresidual) bl_row_from_f32(bl_element(dresidual->data, dtype, t * width), dtype, dz, width);
            if (dx && drop.active) {
                drop_row(dx, sum, dz, t * width, width, &drop);
            } else if (dx) {
                bl_row_from_f32(bl_element(dx->data, dtype, t * width), dtype, dz, width);
                bl_row_add(sum, dz, width);
            }
        }
    }
    if (sums) memset(sums->data, 0, (size_t) width * sizeof(float));
    for (int64_t c = 0; c < chunks; c++) {
        const float *part = partial + 3 * c * pitch;
        bl_row_add(dgamma ? dgamma->data : NULL, part, width);
        bl_row_add(dbeta ? dbeta->data : NULL, part + pitch, width);
        bl_row_add(sums ? sums->data : NULL, part + 2 * pitch, width);
    }
    return BL_OK;
}
