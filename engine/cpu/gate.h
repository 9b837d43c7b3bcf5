/*
 * gate.h - the functions of gated linear units and their derivatives in f32,
 * without branches or library calls, as in vecmath.h. NaN stays NaN.
 */
#ifndef BERTLUA_CPU_GATE_H
#define BERTLUA_CPU_GATE_H

#include "vecmath.h"

/* 1 / (1 + exp(-x)), and *slope = s (1 - s), neither of which cancels or overflows. */
static inline float bl_gate_sigmoid(float x, float *slope) {
    float e = bl_vec_exp(-bl_vec_abs(x)); /* at most 1 */
    float inverse = 1.0f / (1.0f + e);
    *slope = e * inverse * inverse;
    return x < 0.0f ? e * inverse : inverse;
}

static inline float bl_gate_silu(float x, float *slope) {
    float s, ds;
    s = bl_gate_sigmoid(x, &ds);
    *slope = bl_vec_fma(x, ds, s);
    return x * s;
}

/* GELU in its tanh form: x / 2 (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3). */
static inline float bl_gate_gelu_tanh(float x, float *slope) {
    /* Beyond 16 the sigmoid is 0 or 1; so its argument stays finite. */
    float near = x > 16.0f ? 16.0f : x < -16.0f ? -16.0f : x;
    float square = near * near;
    float s, ds;
    s = bl_gate_sigmoid(1.59576912f * near * bl_vec_fma(0.044715f, square, 1.0f), &ds);
    *slope = bl_vec_fma(near * ds, 1.59576912f * bl_vec_fma(0.134145f, square, 1.0f), s);
    return x * s;
}

static inline float bl_gate_relu(float x, float *slope) {
    *slope = x > 0.0f ? 1.0f : 0.0f;
    return x < 0.0f ? 0.0f : x;
}

static inline float bl_gate_gelu(float x, float *slope) {
    *slope = bl_vec_gelu_derivative(x);
    return bl_vec_gelu(x);
}

#endif
