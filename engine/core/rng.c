/*
 * rng.c - the sequential host generator over Philox: number n of a stream is
 * word n % 4 of block {n / 4 low, n / 4 high, stream low, stream high}.
 */
#include "philox.h"

BL_API void bl_rng_init(bl_rng *rng, uint64_t seed, uint64_t stream) {
    *rng = (bl_rng){.seed = seed, .stream = stream};
}

BL_API uint32_t bl_rng_u32(bl_rng *rng) {
    uint32_t word = (uint32_t) (rng->counter % 4);
    if (word == 0) {
        uint64_t block = rng->counter / 4;
        uint32_t counter[4] = {(uint32_t) block, (uint32_t) (block >> 32), (uint32_t) rng->stream,
                               (uint32_t) (rng->stream >> 32)};
        bl_philox_block(rng->block, counter, rng->seed);
    }
    rng->counter++;
    return rng->block[word];
}

static uint64_t rng_u64(bl_rng *rng) {
    uint64_t low = bl_rng_u32(rng);
    return low | (uint64_t) bl_rng_u32(rng) << 32;
}

BL_API double bl_rng_double(bl_rng *rng) {
    return (double) (rng_u64(rng) >> 11) * 0x1p-53;
}

BL_API int64_t bl_rng_integer(bl_rng *rng, int64_t low, int64_t high) {
    if (high <= low) return low;
    uint64_t span = (uint64_t) high - (uint64_t) low; /* one less than the number of values */
    if (span == UINT64_MAX) return (int64_t) rng_u64(rng);
    uint64_t values = span + 1;
    uint64_t value;
    if (values <= UINT32_MAX) {
        /* Draw again from the short first interval, so that every value has equally many words. */
        uint32_t reject = (uint32_t) ((0x100000000ull - values) % values);
        do {
            value = bl_rng_u32(rng);
        } while (value < reject);
    } else {
        uint64_t reject = (0 - values) % values;
        do {
            value = rng_u64(rng);
        } while (value < reject);
    }
    return (int64_t) ((uint64_t) low + value % values);
}

BL_API void bl_rng_shuffle(bl_rng *rng, int64_t *values, int64_t n) {
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = bl_rng_integer(rng, 0, i);
        int64_t swapped = values[i];
        values[i] = values[j];
        values[j] = swapped;
    }
}
