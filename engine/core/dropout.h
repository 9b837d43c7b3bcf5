/*
 * dropout.h - the rule of dropout, for the kernels of every device.
 *
 * An element takes 16 random bits: element i of an op piece i % 8 of Philox
 * block i / 8, pieces counted from the low half of the block's first word. It
 * is dropped when its piece is below the threshold, which is p in steps of
 * 2^-16. So the share dropped differs from p by at most 2^-17; the scale of
 * what is kept is that of the share, and expectations are exact.
 */
#ifndef BERTLUA_CORE_DROPOUT_H
#define BERTLUA_CORE_DROPOUT_H

#include <math.h>
#include <stdint.h>

/* Steps of 2^-16 nearest to p, 0 <= p < 1; of p above 1 - 2^-17 too few elements are dropped, as some must be kept. */
static inline uint32_t bl_dropout_threshold(float p) {
    uint32_t steps = (uint32_t) floor((double) p * 65536.0 + 0.5);
    return steps < 65536u ? steps : 65535u;
}

/* Of what is kept: 1 / (1 - share dropped). */
static inline float bl_dropout_scale(uint32_t threshold) {
    return 65536.0f / (float) (65536u - threshold);
}

#endif
