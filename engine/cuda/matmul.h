/*
 * matmul.h - matrix products of the CUDA backend, on cuBLASLt.
 *
 * Knows nothing of layers: D = op(A) op(B) (+ D), one or a batch, in cuBLAS's own
 * terms, that is column-major. A row-major [rows, columns] tensor is the column-major
 * [columns, rows] matrix with its row stride as leading dimension, so no layer
 * ever copies a matrix to transpose it.
 *
 * A plan (descriptors and an algorithm) is made at the first use of a shape
 * and kept. Which algorithm it takes:
 *
 *   - cuBLASLt's first suggestion, by default. It depends on the library, the
 *     GPU and the key below alone, so a resumed run repeats the bits of the
 *     run it continues.
 *   - With bl_context_matmul_choices(ctx, file, folder): the fastest of several,
 *     timed once per shape on the real operands. Timings differ from run to run
 *     and another algorithm sums in another order, so each choice is written
 *     to the file at once, and what the file holds is never timed again: runs
 *     that share the file share the bits. Nothing can be timed during a
 *     capture: a new shape then gets the first suggestion as its choice.
 *     The folder has a file of timed choices for each GPU, driver and library,
 *     which a new `file` begins with, so that few runs time anything.
 *
 * Sums are in f32. Where the sum over k is split, partial sums of 16-bit
 * results stay f32 as well (no reduction in the output type).
 */
#ifndef BERTLUA_CUDA_MATMUL_H
#define BERTLUA_CUDA_MATMUL_H

#include "cuda/cuda.h"

typedef enum bl_cuda_epilogue {
    BL_EPILOGUE_NONE = 0,
    BL_EPILOGUE_BIAS = 1,  /* vector [m], of D's dtype, is added to every column of D */
    BL_EPILOGUE_SUM_B = 2, /* vector [n], of D's dtype, is overwritten with the sum over k of op(B) */
    /* GELU in its tanh form, of 16-bit results only, m a multiple of 8; aux has D's dtype and leading dimension. */
    BL_EPILOGUE_GELU_BIAS = 3,     /* D = GELU(D + vector) */
    BL_EPILOGUE_GELU_AUX_BIAS = 4, /* ... and aux = D + vector */
    BL_EPILOGUE_DGELU_SUM = 5      /* D *= GELU'(aux); vector [m], of D's dtype, is overwritten with its sums over n */
} bl_cuda_epilogue;

typedef struct bl_cuda_product {
    int64_t m, n, k;
    const void *a, *b;
    void *d;
    int64_t lda, ldb, ldd;
    int64_t batch;                     /* products like this one; 0 and 1 are both one, more have no epilogue */
    int64_t batch_a, batch_b, batch_d; /* elements from one matrix to the next; 0: the same A or B for all */
    bool transpose_a, transpose_b;
    bool accumulate; /* D += instead of D = */
    int32_t operand; /* dtype of A and B */
    int32_t result;  /* dtype of D: that of the operands, or f32 */
    int32_t epilogue;
    void *vector;
    void *aux; /* of the epilogues that name it */
} bl_cuda_product;

struct bl_cuda_plan;

/*
 * The plan of a product, made if need be. *out is NULL if cuBLASLt does not
 * offer the epilogue here (it asks for aligned rows and pointers); a product
 * without epilogue always has a plan, or the call fails.
 */
bl_status bl_cuda_matmul_plan(bl_context *ctx, struct bl_cuda_plan **out, const bl_cuda_product *product);
bl_status bl_cuda_matmul_run(bl_context *ctx, const struct bl_cuda_plan *plan, const bl_cuda_product *product);

/* Plan and run of a product without epilogue. */
bl_status bl_cuda_matmul_plain(bl_context *ctx, const bl_cuda_product *product);

/*
 * Whether `fused`, which has an epilogue, is to be run in place of `plain`
 * followed by rest(ctx, argument): as the file of choices says, or timed if
 * it does not say; false without a file. rest must leave no trace; where plain
 * does not accumulate, rest finds its result.
 */
bl_status bl_cuda_matmul_prefer(bl_context *ctx, bool *prefer, const bl_cuda_product *fused,
                                const bl_cuda_product *plain, bl_status (*rest)(bl_context *ctx, void *argument),
                                void *argument);

/* ---- between matmul.cu and matmul_choices.cu ---- */

/* Everything an algorithm depends on; plain integers without padding, so that keys compare as bytes. */
typedef struct bl_cuda_matmul_key {
    int64_t m, n, k;
    int64_t lda, ldb, ldd;
    int64_t batch, batch_a, batch_b, batch_d; /* all 0 for one product */
    int32_t transpose_a, transpose_b;
    int32_t operand, result;
    int32_t accumulate, epilogue;
    int32_t tf32;
    int32_t align_a, align_b, align_d, align_vector; /* in bytes: 256, 64, 16 or less; align_d is also that of aux */
    int32_t reserved;                                /* 0 */
} bl_cuda_matmul_key;

typedef struct bl_cuda_choice {
    bl_cuda_matmul_key key;
    cublasLtMatmulAlgo_t algorithm;
    uint64_t workspace; /* bytes it needs */
    double microseconds;
    int32_t use; /* of a product with an epilogue: 1 worth it, 0 not, -1 not decided */
} bl_cuda_choice;

/* The choices of one file. */
typedef struct bl_cuda_choices {
    bl_cuda_choice *items;
    int64_t count, capacity;
} bl_cuda_choices;

/* Reads the file if it is there and was made with this GPU, driver and library (`device`); else there are no choices.
 */
bl_status bl_cuda_choices_read(bl_cuda_choices *choices, const char *path, const char *device);
/* The file is replaced whole. */
bl_status bl_cuda_choices_write(const bl_cuda_choices *choices, const char *path, const char *device);
/* The file for `device` in a folder. */
bl_status bl_cuda_choices_name(char *path, size_t bytes, const char *folder, const char *device);
/*
 * Puts a choice into a file that other processes change as well; of two that do at once, one may lose its choice,
 * which then is timed again some day. Nothing is reported: the file is a convenience.
 */
void bl_cuda_choices_share(const bl_cuda_choice *choice, const char *path, const char *device);
bl_status bl_cuda_choices_add(bl_cuda_choices *choices, const bl_cuda_choice *choice);
bl_cuda_choice *bl_cuda_choices_find(const bl_cuda_choices *choices, const bl_cuda_matmul_key *key);
void bl_cuda_choices_free(bl_cuda_choices *choices);

#endif
