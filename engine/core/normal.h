/*
 * normal.h - two normal deviates from two random words, by Box-Muller in f64,
 * and a uniform one from one word. Only additions, multiplications, one
 * division and one square root, so that loops vectorise and another device can
 * compute the very same values: every product that is added to something is a
 * fused multiply-add by name, because compilers differ in which ones they fuse.
 * The polynomials are our own minimax fits, good to 5e-13.
 */
#ifndef BERTLUA_CORE_NORMAL_H
#define BERTLUA_CORE_NORMAL_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* CUDA kernels include this file too. */
#ifdef __CUDACC__
#define BL_NORMAL_INLINE static __host__ __device__ inline
#else
#define BL_NORMAL_INLINE static inline
#endif

/* a * b + c, rounded once where the machine can: a processor without it would call a slow function. */
BL_NORMAL_INLINE double bl_normal_fma(double a, double b, double c) {
#if defined(__CUDACC__) || defined(__FP_FAST_FMA) || defined(__FMA__)
    return fma(a, b, c);
#else
    return a * b + c;
#endif
}

/* Natural logarithm of a positive normal number: u = 2^e m, log m = s P(s^2), s = (m - 1) / (m + 1). */
BL_NORMAL_INLINE double bl_normal_log(double u) {
    uint64_t bits;
    memcpy(&bits, &u, sizeof bits);
    /* Counting from sqrt(1/2) puts m between that and sqrt 2. */
    uint64_t shifted = bits - 0x3fe6a09e667f3bcdu;
    double exponent = (double) (int32_t) ((int64_t) shifted >> 52);
    uint64_t mantissa = (shifted & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu;
    double m;
    memcpy(&m, &mantissa, sizeof m);
    double s = (m - 1.0) / (m + 1.0), z = s * s;
    double p = 0.17699969303272303;
    p = bl_normal_fma(p, z, 0.22314929088969915);
    p = bl_normal_fma(p, z, 0.28568541160110777);
    p = bl_normal_fma(p, z, 0.40000032845736561);
    p = bl_normal_fma(p, z, 0.66666666542925845);
    p = bl_normal_fma(p, z, 2.0000000000006257);
    return bl_normal_fma(s, p, exponent * 0.69314718055994531);
}

/* sqrt(-2 ln u) * {cos, sin}(2 pi v), u = (word0 + 1) / 2^32 in (0, 1], v = word1 / 2^32. */
BL_NORMAL_INLINE void bl_normal_pair(uint32_t word0, uint32_t word1, double *first, double *second) {
    double radius = sqrt(-2.0 * bl_normal_log(((double) word0 + 1.0) * 0x1p-32));
    /* Quarter turns, and the rest in [-1/2, 1/2] of one. */
    uint32_t quarter = (word1 + 0x20000000u) >> 30;
    double r = (double) (int32_t) (word1 - (quarter << 30)) * 0x1p-30, z = r * r;
    double sine = -3.5561634169421092e-06;
    sine = bl_normal_fma(sine, z, 0.0001604291255148294);
    sine = bl_normal_fma(sine, z, -0.0046817525605288594);
    sine = bl_normal_fma(sine, z, 0.079692626152897239);
    sine = bl_normal_fma(sine, z, -0.64596409750421691);
    sine = bl_normal_fma(sine, z, 1.5707963267948877) * r;
    double cosine = -2.4845553790530618e-05;
    cosine = bl_normal_fma(cosine, z, 0.00091915832950161967);
    cosine = bl_normal_fma(cosine, z, -0.020863467250777788);
    cosine = bl_normal_fma(cosine, z, 0.2536695070861309);
    cosine = bl_normal_fma(cosine, z, -1.233700550118038);
    cosine = bl_normal_fma(cosine, z, 0.99999999999993383);
    /* A quarter turn: (c, s) -> (-s, c). */
    double c = quarter & 1u ? -sine : cosine;
    double s = quarter & 1u ? cosine : sine;
    double sign = quarter & 2u ? -1.0 : 1.0;
    *first = radius * (sign * c);
    *second = radius * (sign * s);
}

/* Uniform in [low, low + width) from one word; the caller keeps rounding away from the open end. */
BL_NORMAL_INLINE double bl_uniform_value(uint32_t word, double low, double width) {
    return bl_normal_fma(width, (double) word * 0x1p-32, low);
}

#endif
