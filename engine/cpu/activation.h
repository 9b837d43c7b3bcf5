/*
 * activation.h - sigmoid, SiLU, GELU's tanh form and ReLU in f32, each with its
 * derivative, for ops of one operand and for gated linear units; without
 * branches or library calls, as in vecmath.h, which has GELU's erf form.
 *
 * Largest errors found over 390 million f32 inputs, with FMA: sigmoid 2.8, SiLU
 * 3.4, GELU's tanh form from -1 on 3.4 units in the last place; derivatives of
 * SiLU 1.9e-7, of GELU's tanh form 2.1e-7. The lower tail of that form has the
 * error of its exponent: 3e-7 |x|^3 relative, below -1.
 *
 * However large a finite x is, the result is the limit and not NaN: exponentials
 * here are at most 1. NaN stays NaN. At the infinities a factor 0 meets an
 * infinite one, and the result is NaN where PyTorch's is: f(-inf) and f'(+-inf)
 * of SiLU and GELU.
 */
#ifndef BERTLUA_CPU_ACTIVATION_H
#define BERTLUA_CPU_ACTIVATION_H

#include "vecmath.h"

/* sigmoid(u) from e = exp(-|u|) and any x of u's sign, and *slope = s (1 - s), neither of which cancels. */
static inline float bl_activation_share(float e, float x, float *slope) {
    float inverse = 1.0f / (1.0f + e);
    *slope = e * inverse * inverse;
    return (x < 0.0f ? e : 1.0f) * inverse;
}

/* 1 / (1 + exp(-x)) */
static inline float bl_activation_sigmoid(float x, float *slope) {
    float a = bl_vec_abs(x);
    a = a > 88.0f ? 88.0f : a;
    return bl_activation_share(bl_vec_decay(a), x, slope);
}

/* x sigmoid(x) */
static inline float bl_activation_silu(float x, float *slope) {
    float s, ds;
    s = bl_activation_sigmoid(x, &ds);
    *slope = bl_vec_fma(x, ds, s);
    return x * s;
}

/* GELU in its tanh form: x / 2 (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3). */
static inline float bl_activation_gelu_tanh(float x, float *slope) {
    /* 2u is 88 at 10.03: the sigmoid is 0 or 1 from there. */
    float a = bl_vec_abs(x);
    a = a > 10.03f ? 10.03f : a;
    float square = a * a;
    float s, ds;
    s = bl_activation_share(bl_vec_decay(a * bl_vec_fma(0.0713548163f, square, 1.59576912f)), x, &ds);
    *slope = bl_vec_fma(x * ds, bl_vec_fma(0.214064449f, square, 1.59576912f), s);
    return x * s;
}

static inline float bl_activation_relu(float x, float *slope) {
    *slope = x <= 0.0f ? 0.0f : 1.0f;
    return x < 0.0f ? 0.0f : x;
}

static inline float bl_activation_gelu(float x, float *slope) {
    *slope = bl_vec_gelu_derivative(x);
    return bl_vec_gelu(x);
}

#endif
