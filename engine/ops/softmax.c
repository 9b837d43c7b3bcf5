/*
 * softmax.c - validation and dispatch of softmax and log-softmax over rows.
 */
#include "check.h"

static bl_status check_pair(const char *op, const bl_context *ctx, const bl_tensor *x, const bl_tensor *y) {
    static const char *const names[3] = {"x", "y"};
    BL_TRY(bl_check_same(op, ctx, names, x, y, NULL));
    if (x->ndim < 1) return bl_fail(BL_ERROR_ARGUMENT, "%s: x is a scalar, expected 1 dimension or more", op);
    return BL_OK;
}

static bl_status check_gradient(const char *op, const bl_context *ctx, const bl_tensor *dx, const bl_tensor *dy,
                                const bl_tensor *y) {
    static const char *const names[3] = {"y", "dy", "dx"};
    BL_TRY(bl_check_same(op, ctx, names, y, dy, dx));
    if (y->ndim < 1) return bl_fail(BL_ERROR_ARGUMENT, "%s: y is a scalar, expected 1 dimension or more", op);
    return BL_OK;
}

BL_API bl_status bl_softmax(bl_context *ctx, bl_tensor *y, const bl_tensor *x) {
    static const char op[] = "softmax";
    BL_CHECK_CONTEXT(op, ctx, softmax);
    BL_TRY(check_pair(op, ctx, x, y));
    return ctx->backend->ops.softmax(ctx, y, x);
}

BL_API bl_status bl_softmax_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *y) {
    static const char op[] = "softmax_backward";
    BL_CHECK_CONTEXT(op, ctx, softmax_backward);
    BL_TRY(check_gradient(op, ctx, dx, dy, y));
    return ctx->backend->ops.softmax_backward(ctx, dx, dy, y);
}

BL_API bl_status bl_log_softmax_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x) {
    static const char op[] = "log_softmax";
    BL_CHECK_CONTEXT(op, ctx, log_softmax_forward);
    BL_TRY(check_pair(op, ctx, x, y));
    return ctx->backend->ops.log_softmax_forward(ctx, y, x);
}

BL_API bl_status bl_log_softmax_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *y) {
    static const char op[] = "log_softmax_backward";
    BL_CHECK_CONTEXT(op, ctx, log_softmax_backward);
    BL_TRY(check_gradient(op, ctx, dx, dy, y));
    return ctx->backend->ops.log_softmax_backward(ctx, dx, dy, y);
}
