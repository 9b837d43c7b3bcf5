/*
 * product.c - matrix products of tensors, batched and broadcast, by oneDNN.
 */
#include "core/product.h"

#include "cpu.h"
#include "matmul.h"

static bl_matrix matrix_of(const bl_tensor *t, const bl_product_side *side) {
    return (bl_matrix){.data = t->data,
                       .row = side->row,
                       .column = side->column,
                       .batch = {side->batch[0], side->batch[1]},
                       .dtype = t->dtype};
}

bl_status bl_cpu_matmul(bl_context *ctx, bl_tensor *y, const bl_tensor *a, const bl_tensor *b, bool accumulate) {
    bl_product p = bl_product_of(y, a, b);
    return bl_cpu_multiply(ctx, &(bl_cpu_product){.m = p.m,
                                                  .n = p.n,
                                                  .k = p.k,
                                                  .batch = {p.batch[0], p.batch[1]},
                                                  .a = matrix_of(a, &p.a),
                                                  .b = matrix_of(b, &p.b),
                                                  .c = matrix_of(y, &p.c),
                                                  .accumulate = accumulate,
                                                  .compute = a->dtype});
}
