/*
 * matmul.h - matrix products of the CPU backend, on oneDNN.
 *
 * Knows nothing of layers: C = A B (+ bias) (+ C), any strides, any of the
 * activation dtypes, one product or a batch of them. Products and the scratch they need are prepared once per
 * shape and kept in the context.
 */
#ifndef BERTLUA_CPU_MATMUL_H
#define BERTLUA_CPU_MATMUL_H

#include "core/internal.h"

/*
 * A matrix in memory: element (i, j) lies at data + i * row + j * column (in
 * elements); one stride is 1. Of a batch, matrix (p, q) lies p * batch[0] + q *
 * batch[1] further on; 0 where all are the same.
 */
typedef struct bl_matrix {
    void *data;
    int64_t row;
    int64_t column;
    int64_t batch[2];
    int32_t dtype;
} bl_matrix;

typedef struct bl_cpu_product {
    int64_t m;        /* rows of C */
    int64_t n;        /* columns of C */
    int64_t k;        /* the summed dimension */
    int64_t batch[2]; /* products like this one; 0 and 1 are both one */
    bl_matrix a;
    bl_matrix b;
    bl_matrix c;      /* column stride 1 */
    const void *bias; /* [n], added to every row of C; NULL for none, and in a batch */
    int32_t bias_dtype;
    bool accumulate; /* C += instead of C = */
    int32_t compute; /* dtype the product is wanted in: operands of another dtype are converted first */
} bl_cpu_product;

/* Sums are in f32. Where the CPU has no instructions for `compute`, the product is done in f32. Uses the scratch. */
bl_status bl_cpu_multiply(bl_context *ctx, const bl_cpu_product *product);

/* True if products of this dtype run without conversion. */
bool bl_cpu_matmul_native(int32_t dtype);

/* Frees what the products kept in the context; for the backend's close. */
void bl_cpu_matmul_close(bl_context *ctx);

#endif
