/*
 * tile.h - a small matrix product for data that sits in the caches:
 * C (+)= A B with C and B row-major and padded, A with any strides.
 *
 * Written with the compiler's vector type, which any target lowers to what it
 * has, because loops over arrays are not kept in registers reliably. Operands
 * are 32-bit words: an f32, or (bl_tile_product_bf16, where the CPU has the
 * instruction) two bf16 that are neighbours along the summed dimension.
 */
#ifndef BERTLUA_CPU_TILE_H
#define BERTLUA_CPU_TILE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#define BL_TILE_BF16 1
#else
#define BL_TILE_BF16 0
#endif

enum {
    BL_TILE_ROWS = 8,     /* rows of C held in registers; C and A are padded to a multiple of it */
    BL_TILE_COLUMNS = 16, /* C and B are padded to a multiple of it and 64-byte aligned */
};

typedef float bl_v16 __attribute__((vector_size(64), may_alias));
typedef uint32_t bl_word __attribute__((may_alias));

/* sum + a * row, a being one word for all lanes. */
static inline __attribute__((always_inline)) void bl_tile_add(bl_v16 *sum, const bl_word *a, const bl_v16 *row,
                                                              const bool pairs) {
#if BL_TILE_BF16
    if (pairs) {
        __m512i word = _mm512_set1_epi32((int32_t) *a);
        *sum = (bl_v16) _mm512_dpbf16_ps((__m512) *sum, (__m512bh) word, (__m512bh) *row);
        return;
    }
#endif
    (void) pairs;
    float factor;
    memcpy(&factor, a, sizeof factor);
    *sum += factor * *row;
}

/* 8 x (16 * vectors) of C; vectors and pairs are constants where this is called, so the inner loops unroll. */
static inline __attribute__((always_inline)) void bl_tile_block(float *c, int64_t c_row, const bl_word *a,
                                                                int64_t a_row, int64_t a_column, const bl_word *b,
                                                                int64_t b_row, int64_t depth, bool accumulate,
                                                                const int vectors, const bool pairs) {
    bl_v16 sum[BL_TILE_ROWS][2];
#pragma GCC unroll 8
    for (int i = 0; i < BL_TILE_ROWS; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            sum[i][j] = accumulate ? *(const bl_v16 *) (c + i * c_row + 16 * j) : (bl_v16){0.0f};
    for (int64_t k = 0; k < depth; k++) {
        const bl_word *column = a + k * a_column;
        bl_v16 row[2];
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            row[j] = *(const bl_v16 *) (const void *) (b + k * b_row + 16 * j);
#pragma GCC unroll 8
        for (int i = 0; i < BL_TILE_ROWS; i++)
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                bl_tile_add(&sum[i][j], column + i * a_row, &row[j], pairs);
    }
#pragma GCC unroll 8
    for (int i = 0; i < BL_TILE_ROWS; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            *(bl_v16 *) (c + i * c_row + 16 * j) = sum[i][j];
}

static inline __attribute__((always_inline)) void bl_tile_run(float *c, int64_t c_row, const bl_word *a, int64_t a_row,
                                                              int64_t a_column, const bl_word *b, int64_t b_row,
                                                              int64_t m, int64_t n, int64_t depth, bool accumulate,
                                                              const bool pairs) {
    int64_t j = 0;
    for (; j + 32 <= n; j += 32)
        for (int64_t i = 0; i < m; i += BL_TILE_ROWS)
            bl_tile_block(c + i * c_row + j, c_row, a + i * a_row, a_row, a_column, b + j, b_row, depth, accumulate, 2,
                          pairs);
    for (; j < n; j += 16)
        for (int64_t i = 0; i < m; i += BL_TILE_ROWS)
            bl_tile_block(c + i * c_row + j, c_row, a + i * a_row, a_row, a_column, b + j, b_row, depth, accumulate, 1,
                          pairs);
}

/*
 * C [m,n] (+)= A [m,depth] B [depth,n]; m a multiple of 8, n of 16; rows of C
 * and B are 64-byte aligned. A's word (i, k) lies at a + i * a_row + k * a_column.
 */
static inline void bl_tile_product(float *c, int64_t c_row, const float *a, int64_t a_row, int64_t a_column,
                                   const float *b, int64_t b_row, int64_t m, int64_t n, int64_t depth,
                                   bool accumulate) {
    bl_tile_run(c, c_row, (const void *) a, a_row, a_column, (const void *) b, b_row, m, n, depth, accumulate, false);
}

#if BL_TILE_BF16
/* The same on words of two bf16: depth counts words, B's word (k, j) holds its elements (2k, j) and (2k + 1, j). */
static inline void bl_tile_product_bf16(float *c, int64_t c_row, const bl_word *a, int64_t a_row, int64_t a_column,
                                        const bl_word *b, int64_t b_row, int64_t m, int64_t n, int64_t depth,
                                        bool accumulate) {
    bl_tile_run(c, c_row, a, a_row, a_column, b, b_row, m, n, depth, accumulate, true);
}
#endif

#endif
