/*
 * primitives.h - oneDNN's matmul primitives, made ready once for each kind of
 * product and kept in the context: what matmul.c runs.
 */
#ifndef BERTLUA_CPU_PRIMITIVES_H
#define BERTLUA_CPU_PRIMITIVES_H

#include "matmul.h"

/* How B of a product lies in memory. */
enum {
    BL_B_STRIDED,   /* as the caller's strides say */
    BL_B_REORDERED, /* so too, but it is copied to oneDNN's own layout before each product */
    BL_B_PACKED     /* in oneDNN's own layout (packed.c) */
};

/* Plain integers without padding, so that keys compare as bytes. */
typedef struct bl_primitive_key {
    int64_t m, n, k;
    int64_t batch[2]; /* 0, 0: no batch */
    int64_t a_row, a_column, b_row, b_column, c_row;
    int64_t a_batch[2], b_batch[2], c_batch[2];
    int32_t operand; /* dtype of a and b; BL_OPERAND_U8: b is s8 and c is s32 */
    int32_t result;  /* dtype of c */
    int32_t bias;
    int32_t accumulate;
    int32_t b_layout;
    int32_t unused; /* 0 */
} bl_primitive_key;

typedef struct bl_primitive bl_primitive;

/* The primitive of a key; `packed` is B where the key says so, else NULL. Kept until the context closes. */
bl_status bl_primitive_find(bl_context *ctx, bl_primitive **out, const bl_primitive_key *key,
                            const bl_packed_matrix *packed);
/* Bytes of scratch that bl_primitive_run wants. */
size_t bl_primitive_scratch(const bl_primitive *primitive);
/* Multiply; operands as the key describes them. */
bl_status bl_primitive_run(bl_context *ctx, bl_primitive *primitive, const bl_cpu_product *p, void *scratch);

/* dtype of the operands of a packed matrix. */
int32_t bl_packed_operand(const bl_packed_matrix *packed);

/* oneDNN takes the calling thread's OpenMP setting, when preparing as well as when running: set it, and get the old. */
int bl_primitive_threads(int count);

#endif
