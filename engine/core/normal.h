/*
 * normal.h - two normal deviates from two random words, by Box-Muller in f64.
 * Only additions, multiplications, one division and one square root, so that
 * loops vectorise and another device can compute the very same values. The
 * polynomials are minimax fits of our own, good to 5e-13.
 */
#ifndef BERTLUA_CORE_NORMAL_H
#define BERTLUA_CORE_NORMAL_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Natural logarithm of a positive normal number: u = 2^e m, log m = s P(s^2), s = (m - 1) / (m + 1). */
static inline double bl_normal_log(double u) {
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
    p = p * z + 0.22314929088969915;
    p = p * z + 0.28568541160110777;
    p = p * z + 0.40000032845736561;
    p = p * z + 0.66666666542925845;
    p = p * z + 2.0000000000006257;
    return exponent * 0.69314718055994531 + s * p;
}

/* sqrt(-2 ln u) * {cos, sin}(2 pi v), u = (word0 + 1) / 2^32 in (0, 1], v = word1 / 2^32. */
static inline void bl_normal_pair(uint32_t word0, uint32_t word1, double *first, double *second) {
    double radius = sqrt(-2.0 * bl_normal_log(((double) word0 + 1.0) * 0x1p-32));
    /* Quarter turns, and the rest in [-1/2, 1/2] of one. */
    uint32_t quarter = (word1 + 0x20000000u) >> 30;
    double r = (double) (int32_t) (word1 - (quarter << 30)) * 0x1p-30, z = r * r;
    double sine = -3.5561634169421092e-06;
    sine = sine * z + 0.0001604291255148294;
    sine = sine * z + -0.0046817525605288594;
    sine = sine * z + 0.079692626152897239;
    sine = sine * z + -0.64596409750421691;
    sine = (sine * z + 1.5707963267948877) * r;
    double cosine = -2.4845553790530618e-05;
    cosine = cosine * z + 0.00091915832950161967;
    cosine = cosine * z + -0.020863467250777788;
    cosine = cosine * z + 0.2536695070861309;
    cosine = cosine * z + -1.233700550118038;
    cosine = cosine * z + 0.99999999999993383;
    /* A quarter turn: (c, s) -> (-s, c). */
    double c = quarter & 1u ? -sine : cosine;
    double s = quarter & 1u ? cosine : sine;
    double sign = quarter & 2u ? -1.0 : 1.0;
    *first = radius * (sign * c);
    *second = radius * (sign * s);
}

#endif
