/*
 * philox.c - many Philox blocks at a time, one per vector lane.
 */
#include "philox.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

enum { LANES = BL_PHILOX_LANES, WORDS = 4 * BL_PHILOX_LANES };

#if defined(__AVX512F__)

/* high and low halves of x * factor in each of 16 lanes: the instruction multiplies the even ones. */
static inline void multiply_lanes(__m512i *high, __m512i *low, __m512i x, __m512i factor) {
    const __mmask16 odd = 0xaaaa;
    __m512i even_product = _mm512_mul_epu32(x, factor);
    __m512i odd_product = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), factor);
    *high = _mm512_mask_mov_epi32(_mm512_srli_epi64(even_product, 32), odd, odd_product);
    *low = _mm512_mask_mov_epi32(even_product, odd, _mm512_slli_epi64(odd_product, 32));
}

/* 16 blocks, one per lane. */
static inline void run_lanes(uint32_t *words, uint32_t first, uint32_t c1, uint32_t c2, uint32_t c3, uint64_t seed) {
    const __m512i factor0 = _mm512_set1_epi32((int32_t) 0xD2511F53u),
                  factor1 = _mm512_set1_epi32((int32_t) 0xCD9E8D57u);
    /* Blocks are dealt to lanes so that the transposition below leaves them in order. */
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i x0 = _mm512_add_epi32(_mm512_set1_epi32((int32_t) first), order);
    __m512i x1 = _mm512_set1_epi32((int32_t) c1);
    __m512i x2 = _mm512_set1_epi32((int32_t) c2);
    __m512i x3 = _mm512_set1_epi32((int32_t) c3);
    uint32_t k0 = (uint32_t) seed, k1 = (uint32_t) (seed >> 32);
    for (int round = 0; round < 10; round++) {
        __m512i high0, low0, high1, low1;
        multiply_lanes(&high0, &low0, x0, factor0);
        multiply_lanes(&high1, &low1, x2, factor1);
        x0 = _mm512_xor_si512(_mm512_xor_si512(high1, x1), _mm512_set1_epi32((int32_t) k0));
        x2 = _mm512_xor_si512(_mm512_xor_si512(high0, x3), _mm512_set1_epi32((int32_t) k1));
        x1 = low1;
        x3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    __m512i a = _mm512_unpacklo_epi32(x0, x1), b = _mm512_unpackhi_epi32(x0, x1);
    __m512i c = _mm512_unpacklo_epi32(x2, x3), d = _mm512_unpackhi_epi32(x2, x3);
    _mm512_storeu_si512(words, _mm512_unpacklo_epi64(a, c));
    _mm512_storeu_si512(words + 16, _mm512_unpackhi_epi64(a, c));
    _mm512_storeu_si512(words + 32, _mm512_unpacklo_epi64(b, d));
    _mm512_storeu_si512(words + 48, _mm512_unpackhi_epi64(b, d));
}

void bl_philox_run(uint32_t words[WORDS], uint32_t first, uint32_t c1, uint32_t c2, uint32_t c3, uint64_t seed) {
    for (uint32_t lane = 0; lane < LANES; lane += 16)
        run_lanes(words + 4 * lane, first + lane, c1, c2, c3, seed);
}

#else

void bl_philox_run(uint32_t words[WORDS], uint32_t first, uint32_t c1, uint32_t c2, uint32_t c3, uint64_t seed) {
    /* One array per counter word, one loop per round: this is the form that compilers turn into vectors. */
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

#endif

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
