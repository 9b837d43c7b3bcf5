/*
 * operand.h - a tensor of any strides as a list of numbered elements, read in
 * blocks: what lets one loop over contiguous blocks serve operands that
 * broadcast, are transposed, or have another dtype.
 */
#ifndef BERTLUA_CPU_OPERAND_H
#define BERTLUA_CPU_OPERAND_H

#include "elements.h"

/* Elements in the row-major order of `shape`; neighbouring dimensions that lie behind each other are one. */
typedef struct bl_operand {
    const void *data;
    int32_t dtype;
    int32_t ndim; /* 1 or more */
    int64_t shape[BL_MAX_DIMS];
    int64_t stride[BL_MAX_DIMS];
} bl_operand;

static inline bl_operand bl_operand_open(const bl_tensor *t) {
    bl_operand o = {.data = t->data, .dtype = t->dtype, .ndim = 1, .shape = {1}};
    return o;
}

/* Adds a dimension inside the others. */
static inline void bl_operand_add(bl_operand *o, int64_t size, int64_t stride) {
    if (size == 1) return;
    int32_t last = o->ndim - 1;
    if (o->shape[last] == 1) {
        o->shape[last] = size, o->stride[last] = stride;
    } else if (o->stride[last] == stride * size) {
        o->shape[last] *= size, o->stride[last] = stride;
    } else {
        o->shape[o->ndim] = size, o->stride[o->ndim] = stride, o->ndim++;
    }
}

/* t repeated to the shape of `whole`. */
static inline bl_operand bl_operand_of(const bl_tensor *t, const bl_tensor *whole) {
    bl_operand o = bl_operand_open(t);
    int32_t missing = whole->ndim - t->ndim;
    for (int32_t d = 0; d < whole->ndim; d++) {
        bool repeated = d < missing || t->shape[d - missing] == 1;
        bl_operand_add(&o, whole->shape[d], repeated ? 0 : t->stride[d - missing]);
    }
    return o;
}

/* Where element i lies, in elements. */
static inline int64_t bl_operand_offset(const bl_operand *o, int64_t i) {
    int64_t offset = 0;
    for (int32_t d = o->ndim - 1; d > 0; d--) {
        offset += i % o->shape[d] * o->stride[d];
        i /= o->shape[d];
    }
    return offset + i * o->stride[0];
}

/*
 * Elements [begin, begin + n), at least 1, counted from element `base` of the
 * memory: as f32, in place where they lie as such (cpu/operand.c).
 */
const float *bl_operand_read(const bl_operand *o, int64_t base, int64_t begin, int64_t n, float *buffer);
/* The same as i64, for the integer dtypes. */
const int64_t *bl_operand_read_whole(const bl_operand *o, int64_t base, int64_t begin, int64_t n, int64_t *buffer);

#endif
