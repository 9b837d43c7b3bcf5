/*
 * blocks.h - the walk over contiguous elements, in blocks of f32, that ops of
 * one or two operands share (elementwise.c, unary.c).
 */
#ifndef BERTLUA_CPU_BLOCKS_H
#define BERTLUA_CPU_BLOCKS_H

#include "core/half.h"
#include "core/philox.h"
#include "cpu.h"

enum { BLOCK = 1024 }; /* a multiple of 8, so that dropout runs start on a Philox block */

typedef struct factors {
    float a;
    float b;
    bl_dropout_stream drop;
} factors;

/* One block in f32: y from x and, where the op has it, z; begin is the index of the first element. */
typedef void block_function(float *y, const float *x, const float *z, int64_t begin, int64_t n, const factors *f);

static inline bl_status run(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_tensor *z,
                            block_function *function, const factors *f) {
    int64_t n = bl_tensor_numel(y);
    int32_t dtype = y->dtype;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (n > 8 * BLOCK)
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        float x_buffer[BLOCK], y_buffer[BLOCK], z_buffer[BLOCK];
        int64_t count = n - begin < BLOCK ? n - begin : BLOCK;
        const float *x_row = bl_row_read(x->data, dtype, begin, count, x_buffer);
        const float *z_row = z ? bl_row_read(z->data, dtype, begin, count, z_buffer) : NULL;
        float *y_row = bl_row_open(y->data, dtype, begin, y_buffer);
        function(y_row, x_row, z_row, begin, count, f);
        bl_row_close(y->data, dtype, begin, count, y_row);
    }
    return BL_OK;
}

#endif
