/*
 * philox.c - many Philox blocks at a time, one per vector lane.
 */
#include "philox.h"

#include <string.h>

enum { LANES = BL_PHILOX_LANES, WORDS = 4 * BL_PHILOX_LANES };

void bl_philox_run(uint32_t words[WORDS], uint32_t first, uint32_t c1, uint32_t c2, uint32_t c3, uint64_t seed) {
#pragma omp simd
    for (uint32_t lane = 0; lane < LANES; lane++) {
        uint32_t counter[4] = {first + lane, c1, c2, c3};
        bl_philox_block(words + 4 * lane, counter, seed);
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
