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

#if defined(__AVX512F__) || defined(__FMA__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512BF16__)
#define BL_TILE_BF16 1
#else
#define BL_TILE_BF16 0
#endif

enum {
    BL_TILE_ROWS = 8,     /* C and A are padded to a multiple of it */
    BL_TILE_COLUMNS = 16, /* C and B are padded to a multiple of it and 64-byte aligned */
};

/*
 * C is computed in blocks of ROWS x (VECTORS * LANES) whose sums stay in
 * registers, with room for a row of B and an element of A: more would spill.
 * What remains of 8 or 16 rows beside blocks of 6 are 2 or 4.
 */
#if defined(__AVX512F__) /* 32 registers */
enum { BL_TILE_LANES = 16, BL_TILE_BLOCK_ROWS = 8, BL_TILE_VECTORS = 2 };
#elif defined(__AVX__)     /* 16 */
enum { BL_TILE_LANES = 8, BL_TILE_BLOCK_ROWS = 6, BL_TILE_VECTORS = 2 };
#elif defined(__aarch64__) /* 32, of which the schedule takes many for products */
enum { BL_TILE_LANES = 4, BL_TILE_BLOCK_ROWS = 6, BL_TILE_VECTORS = 2 };
#else                      /* 16 in SSE; products need one more */
enum { BL_TILE_LANES = 4, BL_TILE_BLOCK_ROWS = 4, BL_TILE_VECTORS = 2 };
#endif

/* Sums are kept in registers only if the loops over them are unrolled early. */
#if defined(__clang__)
#define BL_TILE_EACH(i, count) _Pragma("clang loop unroll(full)") for (int i = 0; i < (count); i++)
#else
#define BL_TILE_EACH(i, count) _Pragma("GCC unroll 8") for (int i = 0; i < (count); i++)
#endif

/* clang halves 64-byte vectors in functions that do not say that they want them. */
#if defined(__clang__) && defined(__x86_64__)
#define BL_TILE_WIDE __attribute__((min_vector_width(32 * BL_TILE_LANES)))
#else
#define BL_TILE_WIDE
#endif
#define BL_TILE_INLINE static inline __attribute__((always_inline)) BL_TILE_WIDE

typedef float bl_tile_vector __attribute__((vector_size(4 * BL_TILE_LANES), may_alias));
typedef uint32_t bl_word __attribute__((may_alias));

/* sum + a * row, a being one word for all lanes. */
BL_TILE_INLINE void bl_tile_add(bl_tile_vector *sum, const bl_word *a, const bl_tile_vector *row, const bool pairs) {
#if BL_TILE_BF16
    if (pairs) {
        __m512i word = _mm512_set1_epi32((int32_t) *a);
        *sum = (bl_tile_vector) _mm512_dpbf16_ps((__m512) *sum, (__m512bh) word, (__m512bh) *row);
        return;
    }
#endif
    (void) pairs;
    float factor;
    memcpy(&factor, a, sizeof factor);
    /* C11 rounds a product before it is added; fused it is more exact, and takes half the time. */
#if defined(__AVX512F__)
    *sum = (bl_tile_vector) _mm512_fmadd_ps(_mm512_set1_ps(factor), (__m512) *row, (__m512) *sum);
#elif defined(__FMA__)
    *sum = (bl_tile_vector) _mm256_fmadd_ps(_mm256_set1_ps(factor), (__m256) *row, (__m256) *sum);
#elif defined(__aarch64__)
    *sum = (bl_tile_vector) vfmaq_n_f32((float32x4_t) *sum, (float32x4_t) *row, factor);
#else
    *sum += factor * *row;
#endif
}

/* rows x (LANES * vectors) of C. Where this is called, rows, vectors and pairs are constants. */
BL_TILE_INLINE void bl_tile_block(float *c, int64_t c_row, const bl_word *a, int64_t a_row, int64_t a_column,
                                  const bl_word *b, int64_t b_row, int64_t depth, bool accumulate, const int rows,
                                  const int vectors, const bool pairs) {
    bl_tile_vector sum[BL_TILE_BLOCK_ROWS][BL_TILE_VECTORS];
    BL_TILE_EACH (i, rows) {
        BL_TILE_EACH (j, vectors) {
            const bl_tile_vector *old = (const bl_tile_vector *) (c + i * c_row + BL_TILE_LANES * j);
            sum[i][j] = accumulate ? *old : (bl_tile_vector){0.0f};
        }
    }
    for (int64_t k = 0; k < depth; k++) {
        const bl_word *column = a + k * a_column;
        bl_tile_vector row[BL_TILE_VECTORS];
        BL_TILE_EACH (j, vectors) {
            row[j] = *(const bl_tile_vector *) (const void *) (b + k * b_row + BL_TILE_LANES * j);
        }
        BL_TILE_EACH (i, rows) {
            BL_TILE_EACH (j, vectors) {
                bl_tile_add(&sum[i][j], column + i * a_row, &row[j], pairs);
            }
        }
    }
    BL_TILE_EACH (i, rows) {
        BL_TILE_EACH (j, vectors) {
            *(bl_tile_vector *) (c + i * c_row + BL_TILE_LANES * j) = sum[i][j];
        }
    }
}

/* All rows of C, `vectors` wide. */
BL_TILE_INLINE void bl_tile_columns(float *c, int64_t c_row, const bl_word *a, int64_t a_row, int64_t a_column,
                                    const bl_word *b, int64_t b_row, int64_t m, int64_t depth, bool accumulate,
                                    const int vectors, const bool pairs) {
    int64_t i = 0;
    for (; i + BL_TILE_BLOCK_ROWS <= m; i += BL_TILE_BLOCK_ROWS)
        bl_tile_block(c + i * c_row, c_row, a + i * a_row, a_row, a_column, b, b_row, depth, accumulate,
                      BL_TILE_BLOCK_ROWS, vectors, pairs);
    if (BL_TILE_ROWS % BL_TILE_BLOCK_ROWS == 0) return;
    if (m - i == 4)
        bl_tile_block(c + i * c_row, c_row, a + i * a_row, a_row, a_column, b, b_row, depth, accumulate, 4, vectors,
                      pairs);
    else if (m - i == 2)
        bl_tile_block(c + i * c_row, c_row, a + i * a_row, a_row, a_column, b, b_row, depth, accumulate, 2, vectors,
                      pairs);
}

BL_TILE_INLINE void bl_tile_run(float *c, int64_t c_row, const bl_word *a, int64_t a_row, int64_t a_column,
                                const bl_word *b, int64_t b_row, int64_t m, int64_t n, int64_t depth, bool accumulate,
                                const bool pairs) {
    const int64_t width = BL_TILE_VECTORS * BL_TILE_LANES;
    int64_t j = 0;
    for (; j + width <= n; j += width)
        bl_tile_columns(c + j, c_row, a, a_row, a_column, b + j, b_row, m, depth, accumulate, BL_TILE_VECTORS, pairs);
    if (BL_TILE_COLUMNS % width == 0) return;
    for (; j < n; j += BL_TILE_LANES)
        bl_tile_columns(c + j, c_row, a, a_row, a_column, b + j, b_row, m, depth, accumulate, 1, pairs);
}

/*
 * C [m,n] (+)= A [m,depth] B [depth,n]; m a multiple of 8, n of 16; rows of C
 * and B are 64-byte aligned. A's word (i, k) lies at a + i * a_row + k * a_column.
 */
static inline BL_TILE_WIDE void bl_tile_product(float *c, int64_t c_row, const float *a, int64_t a_row,
                                                int64_t a_column, const float *b, int64_t b_row, int64_t m, int64_t n,
                                                int64_t depth, bool accumulate) {
    bl_tile_run(c, c_row, (const void *) a, a_row, a_column, (const void *) b, b_row, m, n, depth, accumulate, false);
}

#if BL_TILE_BF16
/* The same on words of two bf16: depth counts words, B's word (k, j) holds its elements (2k, j) and (2k + 1, j). */
static inline BL_TILE_WIDE void bl_tile_product_bf16(float *c, int64_t c_row, const bl_word *a, int64_t a_row,
                                                     int64_t a_column, const bl_word *b, int64_t b_row, int64_t m,
                                                     int64_t n, int64_t depth, bool accumulate) {
    bl_tile_run(c, c_row, a, a_row, a_column, b, b_row, m, n, depth, accumulate, true);
}
#endif

#endif
