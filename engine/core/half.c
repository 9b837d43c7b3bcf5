/*
 * half.c - conversion of rows between bf16 or f16 and f32.
 */
#include "half.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

static void f16_to_f32_row(float *dst, const uint16_t *src, int64_t n) {
    int64_t i = 0;
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(dst + i, _mm512_cvtph_ps(_mm256_loadu_si256((const void *) (src + i))));
#endif
#pragma omp simd
    for (int64_t j = i; j < n; j++)
        dst[j] = bl_f16_to_f32(src[j]);
}

static void f32_to_f16_row(uint16_t *dst, const float *src, int64_t n) {
    int64_t i = 0;
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16)
        _mm256_storeu_si256((void *) (dst + i), _mm512_cvtps_ph(_mm512_loadu_ps(src + i), _MM_FROUND_TO_NEAREST_INT));
#endif
#pragma omp simd
    for (int64_t j = i; j < n; j++)
        dst[j] = bl_f32_to_f16(src[j]);
}

void bl_row_to_f32(float *dst, const void *src, int32_t dtype, int64_t n) {
    const uint16_t *half = src;
    if (dtype == BL_F32) {
        memmove(dst, src, (size_t) n * sizeof *dst);
    } else if (dtype == BL_F16) {
        f16_to_f32_row(dst, half, n);
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            dst[i] = bl_bf16_to_f32(half[i]);
    }
}

void bl_row_from_f32(void *dst, int32_t dtype, const float *src, int64_t n) {
    uint16_t *half = dst;
    if (dtype == BL_F32) {
        memmove(dst, src, (size_t) n * sizeof *src);
    } else if (dtype == BL_F16) {
        f32_to_f16_row(half, src, n);
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            half[i] = bl_f32_to_bf16(src[i]);
    }
}

void bl_row_round(float *row, int32_t dtype, int64_t n) {
    if (dtype == BL_BF16) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            row[i] = bl_bf16_to_f32(bl_f32_to_bf16(row[i]));
    } else if (dtype == BL_F16) {
        uint16_t half[256];
        for (int64_t done = 0; done < n; done += 256) {
            int64_t count = n - done < 256 ? n - done : 256;
            f32_to_f16_row(half, row + done, count);
            f16_to_f32_row(row + done, half, count);
        }
    }
}
