/*
 * philox.c - many Philox blocks at a time, one per vector lane.
 */
#include "philox.h"

#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

enum { LANES = BL_PHILOX_LANES, WORDS = 4 * BL_PHILOX_LANES, PIECES = 2 * WORDS };

#if defined(__AVX512F__)

_Static_assert(LANES == 16, "one vector");

/* high and low halves of x * factor in each of 16 lanes: the instruction multiplies the even ones. */
static inline void multiply_lanes(__m512i *high, __m512i *low, __m512i x, __m512i factor) {
    const __mmask16 odd = 0xaaaa;
    __m512i even_product = _mm512_mul_epu32(x, factor);
    __m512i odd_product = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), factor);
    *high = _mm512_mask_mov_epi32(_mm512_srli_epi64(even_product, 32), odd, odd_product);
    *low = _mm512_mask_mov_epi32(even_product, odd, _mm512_slli_epi64(odd_product, 32));
}

/* The rounds of 16 blocks, one per lane; x[i] holds word i of each, first the counters, then the results. */
static inline void run_rounds(__m512i x[4], uint64_t seed) {
    const __m512i factor0 = _mm512_set1_epi32((int32_t) 0xD2511F53u),
                  factor1 = _mm512_set1_epi32((int32_t) 0xCD9E8D57u);
    uint32_t k0 = (uint32_t) seed, k1 = (uint32_t) (seed >> 32);
    for (int round = 0; round < 10; round++) {
        __m512i high0, low0, high1, low1;
        multiply_lanes(&high0, &low0, x[0], factor0);
        multiply_lanes(&high1, &low1, x[2], factor1);
        x[0] = _mm512_xor_si512(_mm512_xor_si512(high1, x[1]), _mm512_set1_epi32((int32_t) k0));
        x[2] = _mm512_xor_si512(_mm512_xor_si512(high0, x[3]), _mm512_set1_epi32((int32_t) k1));
        x[1] = low1;
        x[3] = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

void bl_philox_run(uint32_t words[WORDS], uint32_t first, uint32_t c1, uint32_t c2, uint32_t c3, uint64_t seed) {
    /* Blocks are dealt to lanes so that the transposition below leaves them in order. */
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i x[4] = {_mm512_add_epi32(_mm512_set1_epi32((int32_t) first), order), _mm512_set1_epi32((int32_t) c1),
                    _mm512_set1_epi32((int32_t) c2), _mm512_set1_epi32((int32_t) c3)};
    run_rounds(x, seed);
    __m512i a = _mm512_unpacklo_epi32(x[0], x[1]), b = _mm512_unpackhi_epi32(x[0], x[1]);
    __m512i c = _mm512_unpacklo_epi32(x[2], x[3]), d = _mm512_unpackhi_epi32(x[2], x[3]);
    _mm512_storeu_si512(words, _mm512_unpacklo_epi64(a, c));
    _mm512_storeu_si512(words + 16, _mm512_unpackhi_epi64(a, c));
    _mm512_storeu_si512(words + 32, _mm512_unpacklo_epi64(b, d));
    _mm512_storeu_si512(words + 48, _mm512_unpackhi_epi64(b, d));
}

/* Which of the 8 elements of each of LANES blocks are kept, a byte per block. */
static inline void draw_lanes(uint8_t bits[LANES], const bl_dropout_stream *drop, uint32_t first) {
    const __m512i order = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i threshold = _mm512_set1_epi32((int32_t) (drop->threshold << 16));
    __m512i x[4] = {_mm512_add_epi32(_mm512_set1_epi32((int32_t) first), order), _mm512_set1_epi32((int32_t) drop->op),
                    _mm512_set1_epi32((int32_t) drop->step), _mm512_set1_epi32((int32_t) (drop->step >> 32))};
    run_rounds(x, drop->seed);
    __m512i byte = _mm512_setzero_si512();
    for (int i = 0; i < 4; i++) {
        /* What lies below a piece in its word decides nothing. */
        __mmask16 low = _mm512_cmpge_epu32_mask(_mm512_slli_epi32(x[i], 16), threshold);
        __mmask16 high = _mm512_cmpge_epu32_mask(x[i], threshold);
        byte = _mm512_mask_or_epi32(byte, low, byte, _mm512_set1_epi32(1 << 2 * i));
        byte = _mm512_mask_or_epi32(byte, high, byte, _mm512_set1_epi32(2 << 2 * i));
    }
    _mm_storeu_si128((__m128i *) bits, _mm512_cvtepi32_epi8(byte));
}

void bl_dropout_spread(const bl_dropout_stream *drop, const uint8_t *bits, int64_t n, float *keep) {
    const __m512 scale = _mm512_set1_ps(drop->scale);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __mmask16 kept = (__mmask16) (bits[i / 8] | bits[i / 8 + 1] << 8);
        _mm512_storeu_ps(keep + i, _mm512_maskz_mov_ps(kept, scale));
    }
    for (; i < n; i++)
        keep[i] = bits[i / 8] >> i % 8 & 1 ? drop->scale : 0.0f;
}

#else

/* The rounds of LANES blocks; this is the form that compilers turn into vectors: an array per word, a loop per round.
 */
static inline void run_rounds(uint32_t x[4][LANES], uint64_t seed) {
    uint32_t k0 = (uint32_t) seed, k1 = (uint32_t) (seed >> 32);
    for (int round = 0; round < 10; round++) {
#pragma omp simd
        for (int i = 0; i < LANES; i++) {
            uint64_t p0 = (uint64_t) x[0][i] * 0xD2511F53u;
            uint64_t p1 = (uint64_t) x[2][i] * 0xCD9E8D57u;
            x[0][i] = (uint32_t) (p1 >> 32) ^ x[1][i] ^ k0;
            x[2][i] = (uint32_t) (p0 >> 32) ^ x[3][i] ^ k1;
            x[1][i] = (uint32_t) p1;
            x[3][i] = (uint32_t) p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

static inline void set_counters(uint32_t x[4][LANES], uint32_t first, uint32_t c1, uint32_t c2, uint32_t c3) {
#pragma omp simd
    for (int i = 0; i < LANES; i++) {
        x[0][i] = first + (uint32_t) i;
        x[1][i] = c1;
        x[2][i] = c2;
        x[3][i] = c3;
    }
}

void bl_philox_run(uint32_t words[WORDS], uint32_t first, uint32_t c1, uint32_t c2, uint32_t c3, uint64_t seed) {
    uint32_t x[4][LANES];
    set_counters(x, first, c1, c2, c3);
    run_rounds(x, seed);
    for (int i = 0; i < LANES; i++)
        for (int j = 0; j < 4; j++)
            words[4 * i + j] = x[j][i];
}

/* Which of the 8 elements of each of LANES blocks are kept, a byte per block. */
static inline void draw_lanes(uint8_t bits[LANES], const bl_dropout_stream *drop, uint32_t first) {
    uint32_t x[4][LANES], byte[LANES];
    uint32_t threshold = drop->threshold;
    set_counters(x, first, drop->op, (uint32_t) drop->step, (uint32_t) (drop->step >> 32));
    run_rounds(x, drop->seed);
#pragma omp simd
    for (int i = 0; i < LANES; i++) {
        uint32_t kept = 0;
        for (int j = 0; j < 4; j++) {
            kept |= (uint32_t) ((x[j][i] & 0xffffu) >= threshold) << 2 * j;
            kept |= (uint32_t) (x[j][i] >> 16 >= threshold) << (2 * j + 1);
        }
        byte[i] = kept;
    }
    for (int i = 0; i < LANES; i++)
        bits[i] = (uint8_t) byte[i];
}

/* Four bits as floats: looked up, since compilers make branches of them. */
static const float FOUR_BITS[16][4] = {
    {0, 0, 0, 0}, {1, 0, 0, 0}, {0, 1, 0, 0}, {1, 1, 0, 0}, {0, 0, 1, 0}, {1, 0, 1, 0}, {0, 1, 1, 0}, {1, 1, 1, 0},
    {0, 0, 0, 1}, {1, 0, 0, 1}, {0, 1, 0, 1}, {1, 1, 0, 1}, {0, 0, 1, 1}, {1, 0, 1, 1}, {0, 1, 1, 1}, {1, 1, 1, 1},
};

void bl_dropout_spread(const bl_dropout_stream *drop, const uint8_t *bits, int64_t n, float *keep) {
    float scale = drop->scale;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const float *low = FOUR_BITS[bits[i / 8] % 16], *high = FOUR_BITS[bits[i / 8] / 16];
        for (int k = 0; k < 4; k++)
            keep[i + k] = low[k] * scale;
        for (int k = 0; k < 4; k++)
            keep[i + 4 + k] = high[k] * scale;
    }
    for (; i < n; i++)
        keep[i] = FOUR_BITS[bits[i / 8] >> i % 8 & 1][0] * scale;
}

#endif

void bl_dropout_draw(const bl_dropout_stream *drop, int64_t begin, int64_t n, uint8_t *bits) {
    int64_t bytes = (n + 7) / 8;
    for (int64_t done = 0; done < bytes; done += LANES) {
        uint32_t first = (uint32_t) (begin / 8 + done);
        if (bytes - done >= LANES) {
            draw_lanes(bits + done, drop, first);
        } else {
            uint8_t rest[LANES];
            draw_lanes(rest, drop, first);
            memcpy(bits + done, rest, (size_t) (bytes - done));
        }
    }
}

void bl_dropout_fill(const bl_dropout_stream *drop, int64_t begin, int64_t n, float *keep) {
    int skip = (int) (begin % 8);
    for (int64_t done = 0; done < n;) {
        uint8_t bits[LANES];
        draw_lanes(bits, drop, (uint32_t) ((begin + done) / 8));
        if (skip)
            for (int i = 0; i < LANES; i++)
                bits[i] = (uint8_t) (bits[i] >> skip | (i + 1 < LANES ? bits[i + 1] << (8 - skip) : 0));
        int64_t count = PIECES - skip < n - done ? PIECES - skip : n - done;
        bl_dropout_spread(drop, bits, count, keep + done);
        done += count;
        skip = 0;
    }
}
