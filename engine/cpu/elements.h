/*
 * elements.h - single elements of any dtype and layout, for copies and fills.
 * Kernels that compute read and write whole rows: core/half.h.
 */
#ifndef BERTLUA_CPU_ELEMENTS_H
#define BERTLUA_CPU_ELEMENTS_H

#include <math.h>

#include "core/half.h"

static inline bool is_float(int32_t dtype) {
    return dtype == BL_F32 || dtype == BL_BF16 || dtype == BL_F16;
}

static inline double load_float(const void *p, int32_t dtype) {
    if (dtype == BL_F32) return *(const float *) p;
    return dtype == BL_BF16 ? bl_bf16_to_f32(*(const uint16_t *) p) : bl_f16_to_f32(*(const uint16_t *) p);
}

static inline int64_t load_int(const void *p, int32_t dtype) {
    if (dtype == BL_I32) return *(const int32_t *) p;
    return dtype == BL_I64 ? *(const int64_t *) p : *(const int8_t *) p;
}

static inline void store_float(void *p, int32_t dtype, float x) {
    if (dtype == BL_F32)
        *(float *) p = x;
    else
        *(uint16_t *) p = dtype == BL_BF16 ? bl_f32_to_bf16(x) : bl_f32_to_f16(x);
}

static inline void store_int(void *p, int32_t dtype, int64_t x) {
    if (dtype == BL_I32)
        *(int32_t *) p = (int32_t) x;
    else if (dtype == BL_I64)
        *(int64_t *) p = x;
    else
        *(int8_t *) p = (int8_t) x;
}

/* Truncates; out of range goes to the nearest end, NaN to 0. */
static inline int64_t float_to_int(double x, int32_t dtype) {
    int64_t low = dtype == BL_I32 ? INT32_MIN : dtype == BL_I64 ? INT64_MIN : INT8_MIN;
    int64_t high = dtype == BL_I32 ? INT32_MAX : dtype == BL_I64 ? INT64_MAX : INT8_MAX;
    if (isnan(x)) return 0;
    if (x <= (double) low) return low;
    if (x >= (double) high) return high;
    return (int64_t) x;
}

/* Elements before row number `row` of the last dimension, rows counted through all other dimensions. */
static inline int64_t row_offset(const bl_tensor *t, int64_t row) {
    int64_t offset = 0;
    for (int32_t d = t->ndim - 2; d >= 0; d--) {
        offset += row % t->shape[d] * t->stride[d];
        row /= t->shape[d];
    }
    return offset;
}

#endif
