/*
 * product.c - checks of matrix products; the contract is in api/ops.h.
 */
#include "core/product.h"

#include "check.h"

static bl_status check_operand(const char *op, const bl_context *ctx, const char *name, const bl_tensor *t,
                               uint32_t dtypes) {
    char text[128];
    int64_t row, column;
    BL_TRY(bl_check_view(op, ctx, name, t, dtypes));
    if (t->ndim < 2)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %s is %s, expected 2 to 4 dimensions", op, name,
                       bl_tensor_format(t, text, sizeof text));
    if (bl_tensor_numel(t) > 0 && !bl_product_strides(t, &row, &column))
        return bl_fail(BL_ERROR_ARGUMENT,
                       "%s: %s is %s with strides [%lld,%lld] in the last two dimensions, expected one of them 1; copy "
                       "it first",
                       op, name, bl_tensor_format(t, text, sizeof text), (long long) t->stride[t->ndim - 2],
                       (long long) t->stride[t->ndim - 1]);
    return BL_OK;
}

/* The shape of y into shape, which has room for BL_MAX_DIMS. */
static bl_status product_shape(const char *op, const bl_tensor *a, const bl_tensor *b, int32_t *ndim, int64_t *shape) {
    char a_text[128], b_text[128];
    if (a->shape[a->ndim - 1] != b->shape[b->ndim - 2])
        return bl_fail(BL_ERROR_ARGUMENT,
                       "%s: a is %s, b is %s: a has %lld columns and b %lld rows, expected the same; transpose one", op,
                       bl_tensor_format(a, a_text, sizeof a_text), bl_tensor_format(b, b_text, sizeof b_text),
                       (long long) a->shape[a->ndim - 1], (long long) b->shape[b->ndim - 2]);
    *ndim = a->ndim > b->ndim ? a->ndim : b->ndim;
    int64_t *first = shape + BL_MAX_DIMS - *ndim;
    for (int32_t d = 0; d < 2; d++) {
        int64_t of_a = bl_product_batch(a, d), of_b = bl_product_batch(b, d);
        if (of_a != of_b && of_a != 1 && of_b != 1)
            return bl_fail(BL_ERROR_ARGUMENT, "%s: a is %s, b is %s: expected equal sizes, or 1, before the last two",
                           op, bl_tensor_format(a, a_text, sizeof a_text), bl_tensor_format(b, b_text, sizeof b_text));
        shape[d] = of_a == 1 ? of_b : of_a;
    }
    shape[2] = a->shape[a->ndim - 2];
    shape[3] = b->shape[b->ndim - 1];
    /* From the left, for the check of y. */
    for (int32_t i = 0; i < *ndim; i++)
        shape[i] = first[i];
    return BL_OK;
}

BL_API bl_status bl_matmul(bl_context *ctx, bl_tensor *y, const bl_tensor *a, const bl_tensor *b, bool accumulate) {
    static const char op[] = "matmul";
    int32_t ndim = 0;
    int64_t shape[BL_MAX_DIMS];
    BL_CHECK_CONTEXT(op, ctx, matmul);
    BL_TRY(check_operand(op, ctx, "a", a, BL_SET_ACT));
    BL_TRY(check_operand(op, ctx, "b", b, BL_SET(a->dtype)));
    BL_TRY(product_shape(op, a, b, &ndim, shape));
    BL_TRY(bl_check_tensor(op, ctx, "y", y, BL_SET(a->dtype) | BL_SET(BL_F32), &"ABMN"[BL_MAX_DIMS - ndim], shape));
    if (bl_tensor_numel(y) == 0) return BL_OK;
    BL_TRY(bl_check_apart(op, "y", y, "a", a, false));
    BL_TRY(bl_check_apart(op, "y", y, "b", b, false));
    /* A sum of no terms. */
    if (a->shape[a->ndim - 1] == 0) return accumulate ? BL_OK : ctx->backend->ops.fill(ctx, y, 0.0);
    return ctx->backend->ops.matmul(ctx, y, a, b, accumulate);
}
