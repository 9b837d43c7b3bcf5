/*
 * attention.h - what the f32 and the bf16 attention kernels share: the shape
 * of a call, one (sequence, head) pair of it, and the work on rows of scores.
 */
#ifndef BERTLUA_CPU_ATTENTION_H
#define BERTLUA_CPU_ATTENTION_H

#include <math.h>

#include "core/half.h"
#include "core/philox.h"
#include "softmax.h"
#include "tile.h"
#include "vecmath.h"

/* Query rows whose scores are held at once. */
enum { BL_ATTENTION_BLOCK = 64 };

typedef struct bl_attention_shape {
    int64_t heads;
    int64_t size;       /* D */
    int64_t width;      /* D padded to whole vectors */
    int64_t max_length; /* S */
    int64_t max_padded; /* S padded */
    float scale;
    bl_dropout_stream drop;
    uint8_t *kept;     /* bits of the elements that dropout keeps, query by query; NULL: no backward will ask */
    int64_t kept_row;  /* bytes of a query ... */
    int64_t kept_pair; /* ... and of a pair */
} bl_attention_shape;

/* One sequence and head. */
typedef struct bl_attention_pair {
    int64_t begin;  /* first row */
    int64_t length; /* rows, above 0 */
    int64_t padded; /* rows padded to whole vectors */
    int64_t head;
    int64_t index; /* b * A + a */
} bl_attention_pair;

static inline int64_t bl_attention_round(int64_t n, int64_t step) {
    return (n + step - 1) / step * step;
}

/* The pair's row i in part 0 (q, or the only one), 1 (k) or 2 (v) of a tensor of rows. */
static inline void *bl_attention_row(const bl_attention_shape *shape, const bl_attention_pair *pair, const bl_tensor *t,
                                     int64_t part, int64_t i) {
    int64_t offset = (pair->begin + i) * t->shape[1] + (part * shape->heads + pair->head) * shape->size;
    return bl_element(t->data, t->dtype, offset);
}

/* Rows first .. first + count of the pair in t from a panel with rows of `width` f32. */
static inline void bl_attention_store(const float *panel, const bl_attention_shape *shape,
                                      const bl_attention_pair *pair, int64_t first, int64_t count, bl_tensor *t,
                                      int64_t part) {
    for (int64_t i = 0; i < count; i++)
        bl_row_from_f32(bl_attention_row(shape, pair, t, part, first + i), t->dtype, panel + i * shape->width,
                        shape->size);
}

static inline void bl_attention_multiply(float *restrict row, const float *restrict factor, int64_t n) {
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        row[j] *= factor[j];
}

static inline uint8_t *bl_attention_kept(const bl_attention_shape *shape, const bl_attention_pair *pair,
                                         int64_t query) {
    return shape->kept + pair->index * shape->kept_pair + query * shape->kept_row;
}

/* Dropout multipliers of one query's probabilities, drawn; the backward finds them in `kept`. */
static inline void bl_attention_draw(float *keep, const bl_attention_shape *shape, const bl_attention_pair *pair,
                                     int64_t query) {
    int64_t row = bl_attention_round(shape->max_length, 8);
    int64_t element = (pair->index * shape->max_length + query) * row;
    if (shape->kept) {
        uint8_t *bits = bl_attention_kept(shape, pair, query);
        bl_dropout_draw(&shape->drop, element, pair->length, bits);
        bl_dropout_spread(&shape->drop, bits, pair->length, keep);
    } else {
        bl_dropout_fill(&shape->drop, element, pair->length, keep);
    }
}

/*
 * Products q k of one query become dropped-out probabilities, zero past the
 * length, but for a factor that they all lack; returns the log-sum-exp of the
 * scaled scores.
 */
static inline float bl_attention_softmax(float *restrict row, float *restrict keep, const bl_attention_shape *shape,
                                         const bl_attention_pair *pair, int64_t query, float *factor) {
    int64_t length = pair->length;
    float scale = shape->scale, sum = 0.0f;
    if (scale < 0.0f) {
        for (int64_t j = 0; j < length; j++)
            row[j] = -row[j];
        scale = -scale;
    }
    float top = scale * bl_row_max(row, length);
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < length; j++) {
        float below = bl_vec_fma(-scale, row[j], top);
        float e = bl_vec_decay(below > 88.0f ? 88.0f : below);
        row[j] = e;
        sum += e;
    }
    if (shape->drop.active) {
        bl_attention_draw(keep, shape, pair, query);
        bl_attention_multiply(row, keep, length);
    }
    for (int64_t j = length; j < pair->padded; j++)
        row[j] = 0.0f;
    *factor = 1.0f / sum;
    return top + logf(sum);
}

static inline void bl_attention_scale(float *restrict row, float factor, int64_t n) {
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        row[j] *= factor;
}

/*
 * One query in the backward: row holds q k, gradient holds dO V^T. With P =
 * exp(scale * row - lse) and R the dropout multipliers, dP = R * gradient,
 * delta = sum_j P dP, dS = P * (dP - delta) * scale. row becomes P * R, which
 * the gradient of V needs, and gradient dS; both zero past the length.
 */
static inline void bl_attention_backward_row(float *restrict row, float *restrict gradient, float *restrict keep,
                                             const bl_attention_shape *shape, const bl_attention_pair *pair,
                                             int64_t query, float lse) {
    int64_t length = pair->length;
    float scale = shape->scale, delta = 0.0f;
    if (shape->drop.active) {
        bl_dropout_spread(&shape->drop, bl_attention_kept(shape, pair, query), length, keep);
        bl_attention_multiply(gradient, keep, length);
    }
#pragma omp simd reduction(+ : delta)
    for (int64_t j = 0; j < length; j++) {
        row[j] = bl_vec_exp(row[j] * scale - lse);
        delta += row[j] * gradient[j];
    }
#pragma omp simd
    for (int64_t j = 0; j < length; j++)
        gradient[j] = row[j] * scale * (gradient[j] - delta);
    if (shape->drop.active) bl_attention_multiply(row, keep, length);
    for (int64_t j = length; j < pair->padded; j++)
        row[j] = gradient[j] = 0.0f;
}

/* The work on one pair, and the floats of workspace a thread needs for it (a multiple of 16). */
typedef struct bl_attention_kernels {
    int64_t (*forward_floats)(const bl_attention_shape *shape);
    int64_t (*backward_floats)(const bl_attention_shape *shape);
    void (*forward)(bl_tensor *out, bl_tensor *stats, const bl_tensor *qkv, const bl_attention_shape *shape,
                    const bl_attention_pair *pair, float *workspace);
    void (*backward)(bl_tensor *dqkv, const bl_tensor *dout, const bl_tensor *stats, const bl_tensor *qkv,
                     const bl_attention_shape *shape, const bl_attention_pair *pair, float *workspace);
} bl_attention_kernels;

/* For bf16 tensors with an even D; NULL where the compiler's target has no bf16 dot product (attention_bf16.c). */
extern const bl_attention_kernels *const bl_attention_bf16_kernels;

#endif
