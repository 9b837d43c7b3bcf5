/*
 * copy.c - copying elements between layouts and dtypes, and filling: constant,
 * normal, uniform.
 */
#include <math.h>
#include <string.h>

#include "core/half.h"
#include "core/normal.h"
#include "core/philox.h"
#include "cpu.h"

static bool is_float(int32_t dtype) {
    return dtype == BL_F32 || dtype == BL_BF16 || dtype == BL_F16;
}

static double load_float(const void *p, int32_t dtype) {
    if (dtype == BL_F32) return *(const float *) p;
    return dtype == BL_BF16 ? bl_bf16_to_f32(*(const uint16_t *) p) : bl_f16_to_f32(*(const uint16_t *) p);
}

static int64_t load_int(const void *p, int32_t dtype) {
    if (dtype == BL_I32) return *(const int32_t *) p;
    return dtype == BL_I64 ? *(const int64_t *) p : *(const int8_t *) p;
}

static void store_float(void *p, int32_t dtype, float x) {
    if (dtype == BL_F32)
        *(float *) p = x;
    else
        *(uint16_t *) p = dtype == BL_BF16 ? bl_f32_to_bf16(x) : bl_f32_to_f16(x);
}

static void store_int(void *p, int32_t dtype, int64_t x) {
    if (dtype == BL_I32)
        *(int32_t *) p = (int32_t) x;
    else if (dtype == BL_I64)
        *(int64_t *) p = x;
    else
        *(int8_t *) p = (int8_t) x;
}

/* Truncates; out of range goes to the nearest end, NaN to 0. */
static int64_t float_to_int(double x, int32_t dtype) {
    int64_t low = dtype == BL_I32 ? INT32_MIN : dtype == BL_I64 ? INT64_MIN : INT8_MIN;
    int64_t high = dtype == BL_I32 ? INT32_MAX : dtype == BL_I64 ? INT64_MAX : INT8_MAX;
    if (isnan(x)) return 0;
    if (x <= (double) low) return low;
    if (x >= (double) high) return high;
    return (int64_t) x;
}

static void copy_element(void *dst, int32_t to, const void *src, int32_t from) {
    if (to == from)
        memmove(dst, src, bl_dtype_size(to));
    else if (is_float(to))
        store_float(dst, to, is_float(from) ? (float) load_float(src, from) : (float) load_int(src, from));
    else
        store_int(dst, to, is_float(from) ? float_to_int(load_float(src, from), to) : load_int(src, from));
}

/* n elements; steps in bytes. */
static void copy_row(char *dst, int32_t to, int64_t dst_step, const char *src, int32_t from, int64_t src_step,
                     int64_t n) {
    int64_t to_size = (int64_t) bl_dtype_size(to);
    int64_t from_size = (int64_t) bl_dtype_size(from);
    bool dense = n == 1 || (dst_step == to_size && src_step == from_size);
    if (dense && to == from) {
        memmove(dst, src, (size_t) (n * to_size));
    } else if (dense && is_float(from) && to == BL_F32) {
        bl_row_to_f32((float *) (void *) dst, src, from, n);
    } else if (dense && is_float(to) && from == BL_F32) {
        bl_row_from_f32(dst, to, (const float *) (const void *) src, n);
    } else {
        for (int64_t i = 0; i < n; i++)
            copy_element(dst + i * dst_step, to, src + i * src_step, from);
    }
}

/* Elements before row number `row` of the last dimension, rows counted through all other dimensions. */
static int64_t row_offset(const bl_tensor *t, int64_t row) {
    int64_t offset = 0;
    for (int32_t d = t->ndim - 2; d >= 0; d--) {
        offset += row % t->shape[d] * t->stride[d];
        row /= t->shape[d];
    }
    return offset;
}

bl_status bl_cpu_copy(bl_context *ctx, bl_tensor *dst, const bl_tensor *src) {
    enum { CHUNK = 1 << 15 };
    int64_t to_size = (int64_t) bl_dtype_size(dst->dtype);
    int64_t from_size = (int64_t) bl_dtype_size(src->dtype);
    int64_t n = bl_tensor_numel(dst);
    char *to = dst->data;
    const char *from = src->data;
    if (bl_tensor_is_contiguous(dst) && bl_tensor_is_contiguous(src)) {
        if (n <= CHUNK) {
            copy_row(to, dst->dtype, to_size, from, src->dtype, from_size, n);
            return BL_OK;
        }
#pragma omp parallel for num_threads(ctx->threads) schedule(static)
        for (int64_t begin = 0; begin < n; begin += CHUNK)
            copy_row(to + begin * to_size, dst->dtype, to_size, from + begin * from_size, src->dtype, from_size,
                     n - begin < CHUNK ? n - begin : CHUNK);
        return BL_OK;
    }
    int32_t last = dst->ndim - 1;
    int64_t width = dst->shape[last];
    int64_t rows = width ? n / width : 0;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (n > CHUNK)
    for (int64_t row = 0; row < rows; row++)
        copy_row(to + row_offset(dst, row) * to_size, dst->dtype, dst->stride[last] * to_size,
                 from + row_offset(src, row) * from_size, src->dtype, src->stride[last] * from_size, width);
    return BL_OK;
}

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
