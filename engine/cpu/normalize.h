/*
 * normalize.h - layer normalisation of one row (arXiv 1607.06450), shared by
 * the layernorm and embedding kernels. Rows are f32, n elements.
 */
#ifndef BERTLUA_CPU_NORMALIZE_H
#define BERTLUA_CPU_NORMALIZE_H

#include <math.h>
#include <stdint.h>

/* Rows whose parameter gradients are summed together first: fixes the order of the sum for any thread count. */
static inline int64_t bl_norm_chunk_rows(int64_t rows) {
    int64_t chunk = (rows + 63) / 64;
    return chunk < 32 ? 32 : chunk;
}

/* Floats that a row's buffer takes: whole cache lines, so that threads share none. */
static inline int64_t bl_norm_pitch(int64_t width) {
    return (width + 15) / 16 * 16;
}

/* Two passes over a row in cache: no cancellation. */
static inline void bl_norm_statistics(const float *z, int64_t n, float eps, float *mean, float *rstd) {
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += z[i];
    float center = sum / (float) n;
    float square = 0.0f;
#pragma omp simd reduction(+ : square)
    for (int64_t i = 0; i < n; i++)
        square += (z[i] - center) * (z[i] - center);
    *mean = center;
    *rstd = 1.0f / sqrtf(square / (float) n + eps);
}

/*
 * dz = rstd * (g - mean(g) - xhat * mean(g * xhat)), g = dy * gamma, xhat = (z
 * - mean) * rstd. dgamma += dy * xhat and dbeta += dy. dz may be z.
 */
static inline void bl_norm_gradient(float *dz, float *dgamma, float *dbeta, const float *dy, const float *z,
                                    const float *gamma, int64_t n, float mean, float rstd) {
    float sum = 0.0f, product = 0.0f;
#pragma omp simd reduction(+ : sum, product)
    for (int64_t i = 0; i < n; i++) {
        float xhat = (z[i] - mean) * rstd;
        float g = dy[i] * gamma[i];
        sum += g;
        product += g * xhat;
        dgamma[i] += dy[i] * xhat;
        dbeta[i] += dy[i];
    }
    sum /= (float) n;
    product /= (float) n;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float xhat = (z[i] - mean) * rstd;
        dz[i] = rstd * (dy[i] * gamma[i] - sum - xhat * product);
    }
}

#endif
