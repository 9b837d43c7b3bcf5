/*
 * softmax.c - validation and dispatch of softmax over rows.
 */
#include "check.h"

BL_API bl_status bl_softmax(bl_context *ctx, bl_tensor *y, const bl_tensor *x) {
    static const char op[] = "softmax", *const names[3] = {"x", "y"};
    BL_CHECK_CONTEXT(op, ctx, softmax);
    BL_TRY(bl_check_same(op, ctx, names, x, y, NULL));
    if (x->ndim < 1) return bl_fail(BL_ERROR_ARGUMENT, "softmax: x is a scalar, expected 1 dimension or more");
    return ctx->backend->ops.softmax(ctx, y, x);
}
