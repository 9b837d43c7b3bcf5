/*
 * operand.c - reading blocks of tensors of any strides.
 */
#include "operand.h"

/* n elements, `stride` apart, from element `offset`. */
static void read_floats(float *to, const bl_operand *o, int64_t offset, int64_t stride, int64_t n) {
    int64_t size = (int64_t) bl_dtype_size(o->dtype);
    const char *from = (const char *) o->data + offset * size;
    if (o->dtype == BL_I8) {
        const int8_t *values = (const int8_t *) from;
        if (stride == 1) {
#pragma omp simd
            for (int64_t i = 0; i < n; i++)
                to[i] = values[i];
        } else {
            for (int64_t i = 0; i < n; i++)
                to[i] = values[i * stride];
        }
    } else if (stride == 1) {
        bl_row_to_f32(to, from, o->dtype, n);
    } else if (stride == 0) {
        float value = (float) load_float(from, o->dtype);
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            to[i] = value;
    } else {
        for (int64_t i = 0; i < n; i++)
            to[i] = (float) load_float(from + i * stride * size, o->dtype);
    }
}

static void read_wholes(int64_t *to, const bl_operand *o, int64_t offset, int64_t stride, int64_t n) {
    int64_t size = (int64_t) bl_dtype_size(o->dtype);
    const char *from = (const char *) o->data + offset * size;
    for (int64_t i = 0; i < n; i++)
        to[i] = load_int(from + i * stride * size, o->dtype);
}

/* Runs over the innermost dimension, counting the others up by hand: a division per run would cost more than the run.
 */
static void walk(const bl_operand *o, int64_t base, int64_t begin, int64_t n, float *floats, int64_t *wholes) {
    int64_t index[BL_MAX_DIMS], offset = base, rest = begin;
    int32_t last = o->ndim - 1;
    for (int32_t d = last; d >= 0; d--) {
        index[d] = d > 0 ? rest % o->shape[d] : rest;
        rest /= o->shape[d];
        offset += index[d] * o->stride[d];
    }
    for (int64_t done = 0; done < n;) {
        int64_t run = o->shape[last] - index[last] < n - done ? o->shape[last] - index[last] : n - done;
        if (floats)
            read_floats(floats + done, o, offset, o->stride[last], run);
        else
            read_wholes(wholes + done, o, offset, o->stride[last], run);
        done += run;
        offset -= index[last] * o->stride[last];
        index[last] = 0;
        for (int32_t d = last - 1; d >= 0; d--) {
            offset += o->stride[d];
            if (++index[d] < o->shape[d]) break;
            offset -= index[d] * o->stride[d];
            index[d] = 0;
        }
    }
}

const float *bl_operand_read(const bl_operand *o, int64_t base, int64_t begin, int64_t n, float *buffer) {
    int32_t last = o->ndim - 1;
    bool one_run = last == 0 || begin % o->shape[last] + n <= o->shape[last];
    if (one_run) {
        int64_t offset = base + bl_operand_offset(o, begin);
        if (o->dtype == BL_F32 && o->stride[last] == 1) return (const float *) o->data + offset;
        read_floats(buffer, o, offset, o->stride[last], n);
    } else {
        walk(o, base, begin, n, buffer, NULL);
    }
    return buffer;
}

const int64_t *bl_operand_read_whole(const bl_operand *o, int64_t base, int64_t begin, int64_t n, int64_t *buffer) {
    walk(o, base, begin, n, NULL, buffer);
    return buffer;
}
