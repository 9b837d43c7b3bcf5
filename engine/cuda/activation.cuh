/*
 * activation.cuh - sigmoid, SiLU, ReLU and both forms of GELU (arXiv
 * 1606.08415) on the device, each with its derivative; tanh is the library's.
 *
 * Sigmoid and what is made of it behave as in cpu/activation.h: every finite x
 * gives the limit of f and f', never NaN; NaN stays NaN; at the infinities the
 * result is NaN where PyTorch's is.
 *
 * GELU's erf form as in cpu/vecmath.h: with t = |x| / sqrt 2, erfc(t) = exp(-t^2) f(t) / (t + 2),
 * f a polynomial in w = (t - 2) / (t + 2), so that the lower tail keeps its
 * relative precision. For f32 the CPU's polynomial and a precise exponential;
 * for bf16 and f16 a minimax fit of degree 5 (largest relative error 2.9e-5,
 * f16 rounds at 2.4e-4), one ex2 and one reciprocal of the special function
 * unit, both without care for subnormal numbers: below 2^-126 the tail is 0.
 * Loads, conversions and stores included that is 18 instructions an element,
 * by count 0.6 of the time of the 4 bytes on an H200.
 *
 * cuBLASLt's GELU epilogues compute the tanh form, which is
 * up to 4.7e-4 away from this one (at 2.7), 0.2 % too small at -2, 10 % at -3,
 * and 8.7e-4 in the derivative, more than bf16 rounds there. BERT is defined,
 * and was trained, with the erf form: they serve models with the tanh form only.
 */
#ifndef BERTLUA_CUDA_ACTIVATION_CUH
#define BERTLUA_CUDA_ACTIVATION_CUH

#include "cuda/kernel.cuh"

/* Normal distribution function and density at x, as precise as results of type T need. */
template <typename T> __device__ __forceinline__ float normal_cdf(float x, float *density) {
    const float a = fabsf(x);
    const float e = exp2_fast(-0.721347520f * (a * a));
    const float inverse = reciprocal_fast(fmaf(a, 0.707106781f, 2.0f));
    const float w = fmaf(-4.0f, inverse, 1.0f);
    float half = fmaf(w, 1.91959715e-3f, -9.54520144e-3f); /* f / 2 */
    half = fmaf(half, w, -1.75382216e-2f);
    half = fmaf(half, w, 1.39443353e-1f);
    half = fmaf(half, w, -3.43651593e-1f);
    half = fmaf(half, w, 5.10803163e-1f);
    const float tail = e * half * inverse;
    *density = 0.398942280f * e;
    return x < 0.0f ? tail : 1.0f - tail;
}

template <> __device__ __forceinline__ float normal_cdf<float>(float x, float *density) {
    const float a = fminf(fabsf(x), 16.0f);
    const float square = a * a;
    const float rest = fmaf(a, a, -square);
    float e = expf(-0.5f * square);
    e = fmaf(-0.5f * rest, e, e);
    const float inverse = 1.0f / fmaf(a, 0.707106781f, 2.0f);
    const float w = fmaf(-4.0f, inverse, 1.0f);
    float f = fmaf(w, -3.686628904e-05f, -5.135395072e-04f);
    f = fmaf(f, w, -7.302957588e-04f);
    f = fmaf(f, w, 3.029271146e-03f);
    f = fmaf(f, w, 6.434248011e-03f);
    f = fmaf(f, w, -2.149901380e-02f);
    f = fmaf(f, w, -3.643548012e-02f);
    f = fmaf(f, w, 2.794711724e-01f);
    f = fmaf(f, w, -6.871609481e-01f);
    f = fmaf(f, w, 1.021582719e+00f);
    const float tail = 0.5f * e * f * inverse;
    *density = 0.398942280f * e;
    return x < 0.0f ? tail : 1.0f - tail;
}

template <typename T> __device__ __forceinline__ float gelu(float x) {
    float density;
    return x * normal_cdf<T>(x, &density);
}

template <typename T> __device__ __forceinline__ float gelu_derivative(float x) {
    float density;
    const float cdf = normal_cdf<T>(x, &density);
    return fmaf(x, density, cdf);
}

/* 1 / (1 + exp(-x)), and *slope = s (1 - s), neither of which cancels or overflows. */
__device__ __forceinline__ float sigmoid(float x, float *slope) {
    const float e = expf(-fabsf(x)); /* at most 1 */
    const float inverse = reciprocal_fast(1.0f + e);
    *slope = e * inverse * inverse;
    return x < 0.0f ? e * inverse : inverse;
}

__device__ __forceinline__ float silu(float x, float *slope) {
    float ds;
    const float s = sigmoid(x, &ds);
    *slope = fmaf(x, ds, s);
    return x * s;
}

/* GELU in its tanh form: x / 2 (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3). */
__device__ __forceinline__ float gelu_tanh(float x, float *slope) {
    /* Beyond 16 the sigmoid is 0 or 1; so its argument and the factor of its slope stay finite. */
    const float near = x > 16.0f ? 16.0f : x < -16.0f ? -16.0f : x;
    const float square = near * near;
    float ds;
    const float s = sigmoid(near * fmaf(0.0713548163f, square, 1.59576912f), &ds);
    *slope = fmaf(x * ds, fmaf(0.214064449f, square, 1.59576912f), s);
    return x * s;
}

__device__ __forceinline__ float relu(float x, float *slope) {
    *slope = x <= 0.0f ? 0.0f : 1.0f;
    return x < 0.0f ? 0.0f : x;
}

#endif
