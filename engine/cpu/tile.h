/*
 * tile.h - a small f32 matrix product for data that sits in the caches:
 * C (+)= A B with C and B row-major and padded, A with any strides.
 *
 * Written with the compiler's vector type, which any target lowers to what it
 * has, because loops over arrays are not kept in registers reliably.
 */
#ifndef BERTLUA_CPU_TILE_H
#define BERTLUA_CPU_TILE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BL_TILE_ROWS = 8,     /* rows of C held in registers; C and A are padded to a multiple of it */
    BL_TILE_COLUMNS = 16, /* C and B are padded to a multiple of it and 64-byte aligned */
};

typedef float bl_v16 __attribute__((vector_size(64)));

/* rows x (16 * vectors) of C; rows and vectors are constants where this is called, so all loops unroll. */
static inline __attribute__((always_inline)) void bl_tile_block(float *c, int64_t c_row, const float *a, int64_t a_row,
                                                                int64_t a_column, const float *b, int64_t b_row,
                                                                int64_t depth, bool accumulate, const int vectors) {
    bl_v16 sum[BL_TILE_ROWS][2];
#pragma GCC unroll 8
    for (int i = 0; i < BL_TILE_ROWS; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            sum[i][j] = accumulate ? *(const bl_v16 *) (c + i * c_row + 16 * j) : (bl_v16){0.0f};
    for (int64_t k = 0; k < depth; k++) {
        const float *column = a + k * a_column;
        bl_v16 row[2];
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            row[j] = *(const bl_v16 *) (b + k * b_row + 16 * j);
#pragma GCC unroll 8
        for (int i = 0; i < BL_TILE_ROWS; i++)
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                sum[i][j] += column[i * a_row] * row[j];
    }
#pragma GCC unroll 8
    for (int i = 0; i < BL_TILE_ROWS; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            *(bl_v16 *) (c + i * c_row + 16 * j) = sum[i][j];
}

/*
 * C [m,n] (+)= A [m,depth] B [depth,n]; m a multiple of 8, n of 16; rows of C
 * and B are 64-byte aligned. A's element (i, k) lies at a + i * a_row + k * a_column.
 */
static inline void bl_tile_product(float *c, int64_t c_row, const float *a, int64_t a_row, int64_t a_column,
                                   const float *b, int64_t b_row, int64_t m, int64_t n, int64_t depth,
                                   bool accumulate) {
    int64_t j = 0;
    for (; j + 32 <= n; j += 32)
        for (int64_t i = 0; i < m; i += BL_TILE_ROWS)
            bl_tile_block(c + i * c_row + j, c_row, a + i * a_row, a_row, a_column, b + j, b_row, depth, accumulate, 2);
    for (; j < n; j += 16)
        for (int64_t i = 0; i < m; i += BL_TILE_ROWS)
            bl_tile_block(c + i * c_row + j, c_row, a + i * a_row, a_row, a_column, b + j, b_row, depth, accumulate, 1);
}

#endif
