/*
 * reduce_dims.c - validation and dispatch of reductions along dimensions.
 */
#include "check.h"

static const char *const NAMES[] = {"sum", "mean", "max", "min"};

static bl_status check_reduction(int32_t reduction) {
    if (reduction < BL_SUM || reduction > BL_MIN)
        return bl_fail(BL_ERROR_ARGUMENT, "reduce_dims: reduction is %d, expected 0 to %d", (int) reduction, BL_MIN);
    return BL_OK;
}

/* `small` is contiguous and has the sizes of `whole`, or 1. */
static bl_status check_reduced(const char *op, const bl_context *ctx, const char *name, const bl_tensor *small,
                               uint32_t dtypes, const char *name_whole, const bl_tensor *whole) {
    char first[128], second[128];
    BL_TRY(bl_check_flat(op, ctx, name, small, dtypes));
    bool fits = small->ndim == whole->ndim;
    for (int32_t d = 0; d < whole->ndim && fits; d++)
        fits = small->shape[d] == whole->shape[d] || small->shape[d] == 1;
    if (!fits)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %s is %s, expected the sizes of %s, %s, or 1 where it is reduced", op,
                       name, bl_tensor_format(small, first, sizeof first), name_whole,
                       bl_tensor_format(whole, second, sizeof second));
    return BL_OK;
}

BL_API bl_status bl_reduce_dims(bl_context *ctx, bl_tensor *y, const bl_tensor *x, int32_t reduction) {
    BL_TRY(check_reduction(reduction));
    const char *op = NAMES[reduction];
    BL_CHECK_CONTEXT(op, ctx, reduce_dims);
    BL_TRY(bl_check_view(op, ctx, "x", x, BL_SET_ACT | BL_SET(BL_I8)));
    BL_TRY(check_reduced(op, ctx, "y", y, x->dtype == BL_I8 ? BL_SET(BL_F32) : BL_SET_ACT, "x", x));
    if (bl_tensor_numel(x) == 0 && bl_tensor_numel(y) > 0 && reduction != BL_SUM)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: x is empty along a dimension that is reduced", op);
    return ctx->backend->ops.reduce_dims(ctx, y, x, reduction);
}

BL_API bl_status bl_reduce_dims_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *x,
                                         const bl_tensor *y, int32_t reduction) {
    BL_TRY(check_reduction(reduction));
    const char *op = NAMES[reduction];
    BL_CHECK_CONTEXT(op, ctx, reduce_dims_backward);
    BL_TRY(bl_check_flat(op, ctx, "dx", dx, BL_SET_ACT));
    BL_TRY(check_reduced(op, ctx, "dy", dy, BL_SET_ACT, "dx", dx));
    if (reduction == BL_MAX || reduction == BL_MIN) {
        BL_TRY(bl_check_strided(op, ctx, "x", x, BL_SET_ACT, &"ABCD"[BL_MAX_DIMS - dx->ndim], dx -> shape));
        BL_TRY(bl_check_like(op, ctx, "y", y, BL_SET_ACT, dy));
    }
    return ctx->backend->ops.reduce_dims_backward(ctx, dx, dy, x, y, reduction);
}

BL_API bl_status bl_argmax(bl_context *ctx, bl_tensor *index, const bl_tensor *x, int32_t dim) {
    static const char op[] = "argmax";
    BL_CHECK_CONTEXT(op, ctx, argmax);
    BL_TRY(bl_check_view(op, ctx, "x", x, BL_SET_ACT));
    if (dim < 0 || dim >= x->ndim)
        return bl_fail(BL_ERROR_ARGUMENT, "argmax: dim (from 0) is %d, x has %d dimensions", (int) dim, (int) x->ndim);
    int64_t dims[BL_MAX_DIMS];
    for (int32_t d = 0; d < x->ndim; d++)
        dims[d] = d == dim ? 1 : x->shape[d];
    BL_TRY(bl_check_tensor(op, ctx, "index", index, BL_SET(BL_I32), &"ABCD"[BL_MAX_DIMS - x->ndim], dims));
    if (x->shape[dim] > INT32_MAX)
        return bl_fail(BL_ERROR_ARGUMENT, "argmax: x has %lld elements along the dimension, expected at most %d",
                       (long long) x->shape[dim], INT32_MAX);
    if (x->shape[dim] == 0 && bl_tensor_numel(index) > 0)
        return bl_fail(BL_ERROR_ARGUMENT, "argmax: x is empty along the dimension that is reduced");
    return ctx->backend->ops.argmax(ctx, index, x, dim);
}
