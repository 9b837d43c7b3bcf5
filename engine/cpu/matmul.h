/*
 * matmul.h - matrix products of the CPU backend, on oneDNN.
 *
 * Knows nothing of layers: C = A B (+ bias) (+ C), any strides, any of the
 * activation dtypes, one product or a batch of them; and u8 A times s8 B, packed,
 * to s32. Products and the scratch they need are prepared once per shape and kept
 * in the context.
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

/*
 * A matrix B [k,n] in the layout that oneDNN multiplies fastest, made once. It is
 * only read afterwards: any number of contexts may use it at once.
 */
typedef struct bl_packed_matrix bl_packed_matrix;

/* Operands of int8 products, which no tensor has: A is u8, B s8 and C s32. */
enum { BL_OPERAND_U8 = 100 };

typedef struct bl_cpu_product {
    int64_t m;        /* rows of C */
    int64_t n;        /* columns of C */
    int64_t k;        /* the summed dimension */
    int64_t batch[2]; /* products like this one; 0 and 1 are both one */
    bl_matrix a;
    bl_matrix b;
    const bl_packed_matrix *packed; /* in place of b; of the dtype of `compute` */
    bl_matrix c;                    /* column stride 1 */
    const void *bias;               /* [n], added to every row of C; NULL for none, and in a batch */
    int32_t bias_dtype;
    bool accumulate; /* C += instead of C = */
    void *scratch;   /* bl_cpu_product_scratch bytes for the product; NULL: the context's scratch */
    int32_t compute; /* dtype the product is wanted in: operands of another dtype are converted first */
} bl_cpu_product;

/* Bytes rounded up, so that what lies behind them in scratch starts on a vector. */
static inline size_t bl_cpu_padded(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

/* Sums are in f32. Where the CPU has no instructions for `compute`, the product is done in f32. Uses the scratch. */
bl_status bl_cpu_multiply(bl_context *ctx, const bl_cpu_product *product);

/* Bytes of scratch that a product takes, of which addresses are not looked at: for callers who use the context's too.
 */
bl_status bl_cpu_product_scratch(bl_context *ctx, const bl_cpu_product *product, size_t *bytes);

/* True if products of this dtype run without conversion. */
bool bl_cpu_matmul_native(int32_t dtype);

/*
 * Pack a matrix w [n,k], gapless, whose transpose is the B of products; `dtype`
 * is that of the operands (f32, bf16, or BL_OPERAND_U8 for an s8 matrix). *out is
 * NULL where that gains nothing: oneDNN has no layout of its own on this CPU, or,
 * of int8, no fast product at all.
 */
bl_status bl_cpu_matrix_pack(bl_context *ctx, bl_packed_matrix **out, const void *w, int64_t n, int64_t k,
                             int32_t dtype);
void bl_cpu_matrix_free(bl_packed_matrix *matrix);

/* Steps of u8 that products take without loss: without VNNI, pairs of products are summed in 16 bits. */
float bl_cpu_int8_levels(void);

/* True if VNNI of 512 bits is what multiplies integers fastest here: there is no AMX. */
bool bl_cpu_best_is_vnni(void);

/* True if products of this dtype are not slower than in f32, measured or as BERTLUA_CPU_BF16 says (probe.c). */
bool bl_cpu_is_fast(int32_t dtype);

/* An error if BERTLUA_CPU_BF16 is neither fast nor slow; for the backend's open. */
bl_status bl_cpu_check_answer(void);

/* Frees what the products kept in the context; for the backend's close. */
void bl_cpu_matmul_close(bl_context *ctx);

#endif
