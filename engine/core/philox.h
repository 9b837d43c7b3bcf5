/*
 * philox.h - Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy
 * as 1, 2, 3", SC'11) and dropout (core/dropout.h) on top of it.
 *
 * Dropout in a kernel: open the stream once, then ask for the multipliers of
 * any run of elements, from any thread:
 *
 *     bl_dropout_stream drop = bl_dropout_open(dropout);
 *     if (drop.active) bl_dropout_fill(&drop, first_element, n, keep);
 *
 * keep[i] is 0 or the scale. Runs that start at a multiple of 8 are faster.
 */
#ifndef BERTLUA_CORE_PHILOX_H
#define BERTLUA_CORE_PHILOX_H

#include <stdbool.h>
#include <stdint.h>

#include "dropout.h"
#include "internal.h"

enum { BL_PHILOX_LANES = 16 };

/* One block: counter in, four random words out. */
static inline void bl_philox_block(uint32_t words[4], const uint32_t counter[4], uint64_t seed) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = (uint32_t) seed, k1 = (uint32_t) (seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t) c0 * 0xD2511F53u;
        uint64_t p1 = (uint64_t) c2 * 0xCD9E8D57u;
        c0 = (uint32_t) (p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t) (p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t) p1;
        c3 = (uint32_t) p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    words[0] = c0;
    words[1] = c1;
    words[2] = c2;
    words[3] = c3;
}

/*
 * 4 * BL_PHILOX_LANES words of consecutive blocks, in element order; counter =
 * {first + lane, c1, c2, c3} (core/philox.c).
 */
void bl_philox_run(uint32_t words[4 * BL_PHILOX_LANES], uint32_t first, uint32_t c1, uint32_t c2, uint32_t c3,
                   uint64_t seed);

typedef struct bl_dropout_stream {
    uint64_t seed;
    uint64_t step;
    uint32_t op;
    uint32_t threshold; /* an element is dropped when its 16 bits are below this */
    float scale;        /* of what is kept */
    bool active;
} bl_dropout_stream;

/* dropout may be NULL; its state must be readable by the host, so this is for CPU kernels. */
static inline bl_dropout_stream bl_dropout_open(const bl_dropout *dropout) {
    bl_dropout_stream drop = {.scale = 1.0f};
    if (dropout && dropout->p > 0.0f) {
        const int64_t *state = dropout->state->data;
        drop.seed = (uint64_t) state[0];
        drop.step = (uint64_t) state[1];
        drop.op = dropout->op;
        drop.threshold = bl_dropout_threshold(dropout->p);
        drop.scale = bl_dropout_scale(drop.threshold);
        drop.active = true;
    }
    return drop;
}

/* Multipliers of elements [begin, begin + n) (core/philox.c). */
void bl_dropout_fill(const bl_dropout_stream *drop, int64_t begin, int64_t n, float *keep);

/* The same in two steps: which of the elements are kept, as ceil(n / 8) bytes, the first in the lowest bit ... */
void bl_dropout_draw(const bl_dropout_stream *drop, int64_t begin, int64_t n, uint8_t *bits); /* begin % 8 == 0 */
/* ... and bits to multipliers. */
void bl_dropout_spread(const bl_dropout_stream *drop, const uint8_t *bits, int64_t n, float *keep);

#endif
