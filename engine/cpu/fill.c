/*
 * fill.c - setting elements: constant, normal, uniform.
 */
#include <string.h>

#include "core/normal.h"
#include "core/philox.h"
#include "cpu.h"
#include "elements.h"

/* n elements of `size` bytes, `step` elements apart, all equal to the first bytes of pattern. */
static void fill_row(void *row, int64_t size, int64_t step, int64_t n, const int64_t *pattern) {
    if (size == 4) {
        uint32_t *p = row, value;
        memcpy(&value, pattern, sizeof value);
        for (int64_t i = 0; i < n; i++)
            p[i * step] = value;
    } else if (size == 2) {
        uint16_t *p = row, value;
        memcpy(&value, pattern, sizeof value);
        for (int64_t i = 0; i < n; i++)
            p[i * step] = value;
    } else if (size == 8) {
        for (int64_t i = 0; i < n; i++)
            ((int64_t *) row)[i * step] = *pattern;
    } else {
        for (int64_t i = 0; i < n; i++)
            memcpy((char *) row + i * step, pattern, 1);
    }
}

/* One long run for each thread: the C library clears those without reading the memory first, several times faster. */
static void clear(const bl_context *ctx, char *base, int64_t bytes) {
    int64_t run = (bytes / ctx->threads + 63) / 64 * 64 + 64;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (bytes > 1 << 16)
    for (int64_t begin = 0; begin < bytes; begin += run)
        memset(base + begin, 0, (size_t) (bytes - begin < run ? bytes - begin : run));
}

bl_status bl_cpu_fill(bl_context *ctx, bl_tensor *t, double value) {
    enum { CHUNK = 1 << 14 };
    int64_t size = (int64_t) bl_dtype_size(t->dtype);
    int64_t n = bl_tensor_numel(t);
    int64_t pattern = 0;
    if (is_float(t->dtype))
        store_float(&pattern, t->dtype, (float) value);
    else
        store_int(&pattern, t->dtype, float_to_int(value, t->dtype));
    char *base = t->data;
    if (pattern == 0 && bl_tensor_is_contiguous(t)) {
        clear(ctx, base, n * size);
        return BL_OK;
    }
    if (bl_tensor_is_contiguous(t)) {
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (n > 4 * CHUNK)
        for (int64_t begin = 0; begin < n; begin += CHUNK)
            fill_row(base + begin * size, size, 1, n - begin < CHUNK ? n - begin : CHUNK, &pattern);
        return BL_OK;
    }
    int32_t last = t->ndim - 1;
    int64_t width = t->shape[last];
    int64_t rows = width ? n / width : 0;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (n > 4 * CHUNK)
    for (int64_t row = 0; row < rows; row++)
        fill_row(base + row_offset(t, row) * size, size, t->stride[last], width, &pattern);
    return BL_OK;
}

enum { RANDOM_CHUNK = 4 * BL_PHILOX_LANES };

static void words_to_normal(float *out, const uint32_t *words, double mean, double std) {
#pragma omp simd
    for (int i = 0; i < RANDOM_CHUNK; i += 2) {
        double first, second;
        bl_normal_pair(words[i], words[i + 1], &first, &second);
        out[i] = (float) bl_normal_fma(std, first, mean);
        out[i + 1] = (float) bl_normal_fma(std, second, mean);
    }
}

static void words_to_uniform(float *out, const uint32_t *words, double low, double high) {
    /* Rounding to f32 must not reach the open end. */
    float limit = high > low ? nextafterf((float) high, (float) low) : (float) high;
    for (int i = 0; i < RANDOM_CHUNK; i++) {
        float value = (float) bl_uniform_value(words[i], low, high - low);
        out[i] = value < limit ? value : limit;
    }
}

/* Element i comes from word i % 4 of block {i / 4 low, i / 4 high, stream low, stream high}. */
static bl_status fill_random(bl_context *ctx, bl_tensor *t, double a, double b, uint64_t seed, uint64_t stream,
                             void (*convert)(float *, const uint32_t *, double, double)) {
    int64_t n = bl_tensor_numel(t);
#pragma omp parallel for num_threads(ctx->threads) schedule(static)
    for (int64_t begin = 0; begin < n; begin += RANDOM_CHUNK) {
        uint32_t words[RANDOM_CHUNK];
        float values[RANDOM_CHUNK];
        uint64_t block = (uint64_t) begin / 4;
        bl_philox_run(words, (uint32_t) block, (uint32_t) (block >> 32), (uint32_t) stream, (uint32_t) (stream >> 32),
                      seed);
        convert(values, words, a, b);
        bl_row_from_f32(bl_element(t->data, t->dtype, begin), t->dtype, values,
                        n - begin < RANDOM_CHUNK ? n - begin : RANDOM_CHUNK);
    }
    return BL_OK;
}

bl_status bl_cpu_fill_normal(bl_context *ctx, bl_tensor *t, double mean, double std, uint64_t seed, uint64_t stream) {
    return fill_random(ctx, t, mean, std, seed, stream, words_to_normal);
}

bl_status bl_cpu_fill_uniform(bl_context *ctx, bl_tensor *t, double low, double high, uint64_t seed, uint64_t stream) {
    return fill_random(ctx, t, low, high, seed, stream, words_to_uniform);
}
