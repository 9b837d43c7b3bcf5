/*
 * half.h - bf16 and f16 as bit patterns: conversions that round to nearest
 * even and keep NaN, written without branches so that `omp simd` loops over
 * them vectorise; and rows, through which kernels read and write any
 * activation dtype as f32.
 */
#ifndef BERTLUA_CORE_HALF_H
#define BERTLUA_CORE_HALF_H

#include <stdint.h>
#include <string.h>

#include "internal.h"

static inline uint32_t bl_float_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float bl_bits_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float bl_bf16_to_f32(uint16_t h) {
    return bl_bits_float((uint32_t) h << 16);
}

static inline uint16_t bl_f32_to_bf16(float x) {
    uint32_t u = bl_float_bits(x);
    uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    uint32_t quiet = (u >> 16) | 0x40u;
    return (uint16_t) ((u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

static inline float bl_f16_to_f32(uint16_t h) {
    uint32_t sign = ((uint32_t) h & 0x8000u) << 16;
    uint32_t body = ((uint32_t) h & 0x7fffu) << 13;
    uint32_t exponent = body & 0x0f800000u;
    uint32_t normal = body + (112u << 23);
    uint32_t special = body | 0x7f800000u;
    /* Subnormal: 2^-14 * (1 + mantissa) - 2^-14 is exact and needs no f32 subnormals. */
    uint32_t subnormal = bl_float_bits(bl_bits_float(body + (113u << 23)) - bl_bits_float(113u << 23));
    uint32_t bits = exponent == 0 ? subnormal : exponent == 0x0f800000u ? special : normal;
    return bl_bits_float(sign | bits);
}

static inline uint16_t bl_f32_to_f16(float x) {
    uint32_t u = bl_float_bits(x);
    uint32_t sign = (u >> 16) & 0x8000u;
    uint32_t body = u & 0x7fffffffu;
    uint32_t normal = (body - (112u << 23) + 0xfffu + ((body >> 13) & 1u)) >> 13;
    /* Below 2^-14 adding 0.5 rounds at 2^-24, the f16 subnormal step. */
    uint32_t subnormal = bl_float_bits(bl_bits_float(body) + 0.5f) - 0x3f000000u;
    uint32_t special = body > 0x7f800000u ? 0x7e00u | ((body >> 13) & 0x3ffu) : 0x7c00u;
    uint32_t bits = body >= 0x47800000u ? special : body < 0x38800000u ? subnormal : normal;
    return (uint16_t) (sign | bits);
}

/* n elements of a float dtype to f32 and back (core/half.c). */
void bl_row_to_f32(float *dst, const void *src, int32_t dtype, int64_t n);
void bl_row_from_f32(void *dst, int32_t dtype, const float *src, int64_t n);
/* Rounds n f32 values to what dtype can hold. */
void bl_row_round(float *row, int32_t dtype, int64_t n);

/* sum += row; nothing if sum is NULL. */
static inline void bl_row_add(float *sum, const float *row, int64_t n) {
    if (!sum) return;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        sum[i] += row[i];
}

/* Address of element `offset`. */
static inline void *bl_element(const void *base, int32_t dtype, int64_t offset) {
    int64_t size = dtype == BL_F32 ? 4 : 2;
    return (char *) (uintptr_t) base + offset * size;
}

/* Elements [offset, offset + n) as f32: in place for f32, else converted into buffer. */
static inline const float *bl_row_read(const void *base, int32_t dtype, int64_t offset, int64_t n, float *buffer) {
    const void *src = bl_element(base, dtype, offset);
    if (dtype == BL_F32) return src;
    bl_row_to_f32(buffer, src, dtype, n);
    return buffer;
}

/* One element of a tensor of a float dtype. */
static inline float bl_element_read(const bl_tensor *t, int64_t offset) {
    float buffer[1];
    return *bl_row_read(t->data, t->dtype, offset, 1, buffer);
}

/* Where to write elements as f32: in place for f32, else buffer; bl_row_close then converts. */
static inline float *bl_row_open(void *base, int32_t dtype, int64_t offset, float *buffer) {
    return dtype == BL_F32 ? bl_element(base, dtype, offset) : buffer;
}

static inline void bl_row_close(void *base, int32_t dtype, int64_t offset, int64_t n, const float *row) {
    if (dtype != BL_F32) bl_row_from_f32(bl_element(base, dtype, offset), dtype, row, n);
}

#endif
