/*
 * philox.c - many Philox blocks at a time, one per vector lane.
 */
#include "philox.h"

#include <string.h>

enum { LANES = BL_PHILOX_LANES, WORDS = 4 * BL_PHILOX_LANES };

void bl_philox_run(uint32_t words[WORDS], uint32_t first, uint32_t c1, uint32_t c2, uint32_t c3, uint64_t seed) {
    /* One array a counter word, one loop a round: this is the form that compilers turn into vectors. */
    uint32_t x0[LANES], x1[LANES], x2[LANES], x3[LANES];
    uint32_t k0 = (uint32_t) seed, k1 = (uint32_t) (seed >> 32);
#pragma omp simd
    for (int i = 0; i < LANES; i++) {
        x0[i] = first + (uint32_t) i;
        x1[i] = c1;
        x2[i] = c2;
        x3[i] = c3;
    }
    for (int round = 0; round < 10; round++) {
#pragma omp simd
        for (int i = 0; i < LANES; i++) {
            uint64_t p0 = (uint64_t) x0[i] * 0xD2511F53u;
            uint64_t p1 = (uint64_t) x2[i] * 0xCD9E8D57u;
            x0[i] = (uint32_t) (p1 >> 32) ^ x1[i] ^ k0;
            x2[i] = (uint32_t) (p0 >> 32) ^ x3[i] ^ k1;
            x1[i] = (uint32_t) p1;
            x3[i] = (uint32_t) p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < LANES; i++) {
        words[4 * i] = x0[i];
        words[4 * i + 1] = x1[i];
        words[4 * i + 2] = x2[i];
        words[4 * i + 3] = x3[i];
    }
}

void bl_dropout_fill(const bl_dropout_stream *drop, int64_t begin, int64_t n, float *keep) {
    uint32_t words[WORDS];
    uint32_t low = (uint32_t) drop->step, high = (uint32_t) (drop->step >> 32);
    uint32_t threshold = drop->threshold;
    float scale = drop->scale;
    int64_t skip = begin % 4;
    for (int64_t done = 0; done < n;) {
        bl_philox_run(words, (uint32_t) ((begin + done) / 4), drop->op, low, high, drop->seed);
        int64_t count = WORDS - skip < n - done ? WORDS - skip : n - done;
        const uint32_t *used = words + skip;
        float *out = keep + done;
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            out[i] = used[i] < threshold ? 0.0f : scale;
        done += count;
        skip = 0;
    }
}
