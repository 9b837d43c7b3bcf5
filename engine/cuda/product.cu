/*
 * product.cu - matrix products of tensors, batched and broadcast, by cuBLASLt.
 *
 * Row-major tensors as column-major matrices: y [m,n] = a b is the n x m matrix
 * y = b a. A matrix whose columns have stride 1 goes in as it lies, one whose
 * rows have is turned. One call takes a batch of one step; of two batch
 * dimensions that no single step covers, the outer one is a loop.
 */
#include "core/product.h"

#include "cuda/matmul.h"

/* Leading dimension of a side, and whether it is to be turned. */
static int64_t leading(const bl_product_side *side, bool *turned) {
    *turned = side->column != 1;
    return *turned ? side->column : side->row;
}

static const void *matrix_at(const bl_tensor *t, int64_t elements) {
    return static_cast<const char *>(t->data) + elements * static_cast<int64_t>(bl_dtype_size(t->dtype));
}

bl_status bl_cuda_matmul(bl_context *ctx, bl_tensor *y, const bl_tensor *a, const bl_tensor *b, bool accumulate) {
    const bl_product p = bl_product_of(y, a, b);
    bl_cuda_product product = {};
    product.m = p.n, product.n = p.m, product.k = p.k;
    product.lda = leading(&p.b, &product.transpose_a);
    product.ldb = leading(&p.a, &product.transpose_b);
    product.ldd = p.c.row;
    product.batch = p.batch[1];
    product.batch_a = p.b.batch[1], product.batch_b = p.a.batch[1], product.batch_d = p.c.batch[1];
    product.operand = a->dtype, product.result = y->dtype;
    product.accumulate = accumulate;
    for (int64_t i = 0; i < p.batch[0]; i++) {
        product.a = matrix_at(b, i * p.b.batch[0]);
        product.b = matrix_at(a, i * p.a.batch[0]);
        product.d = const_cast<void *>(matrix_at(y, i * p.c.batch[0]));
        BL_TRY(bl_cuda_matmul_plain(ctx, &product));
    }
    return BL_OK;
}
