/*
 * elementwise.c - validation and dispatch of GELU, tanh, dropout and axpby.
 */
#include "check.h"

BL_API bl_status bl_gelu_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x) {
    static const char op[] = "gelu", *const names[3] = {"x", "y"};
    BL_CHECK_CONTEXT(op, ctx, gelu_forward);
    BL_TRY(bl_check_same(op, ctx, names, x, y, NULL));
    return ctx->backend->ops.gelu_forward(ctx, y, x);
}

BL_API bl_status bl_gelu_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *x) {
    static const char op[] = "gelu_backward", *const names[3] = {"x", "dy", "dx"};
    BL_CHECK_CONTEXT(op, ctx, gelu_backward);
    BL_TRY(bl_check_same(op, ctx, names, x, dy, dx));
    return ctx->backend->ops.gelu_backward(ctx, dx, dy, x);
}

BL_API bl_status bl_tanh_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x) {
    static const char op[] = "tanh", *const names[3] = {"x", "y"};
    BL_CHECK_CONTEXT(op, ctx, tanh_forward);
    BL_TRY(bl_check_same(op, ctx, names, x, y, NULL));
    return ctx->backend->ops.tanh_forward(ctx, y, x);
}

BL_API bl_status bl_tanh_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *y) {
    static const char op[] = "tanh_backward", *const names[3] = {"y", "dy", "dx"};
    BL_CHECK_CONTEXT(op, ctx, tanh_backward);
    BL_TRY(bl_check_same(op, ctx, names, y, dy, dx));
    return ctx->backend->ops.tanh_backward(ctx, dx, dy, y);
}

BL_API bl_status bl_dropout_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_dropout *dropout) {
    static const char op[] = "dropout", *const names[3] = {"x", "y"};
    BL_CHECK_CONTEXT(op, ctx, dropout_forward);
    BL_TRY(bl_check_same(op, ctx, names, x, y, NULL));
    BL_TRY(bl_check_dropout(op, ctx, dropout));
    return ctx->backend->ops.dropout_forward(ctx, y, x, dropout);
}

BL_API bl_status bl_dropout_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_dropout *dropout) {
    static const char op[] = "dropout_backward", *const names[3] = {"dy", "dx"};
    BL_CHECK_CONTEXT(op, ctx, dropout_backward);
    BL_TRY(bl_check_same(op, ctx, names, dy, dx, NULL));
    BL_TRY(bl_check_dropout(op, ctx, dropout));
    return ctx->backend->ops.dropout_backward(ctx, dx, dy, dropout);
}

BL_API bl_status bl_axpby(bl_context *ctx, bl_tensor *y, const bl_tensor *x, float a, float b) {
    static const char op[] = "axpby", *const names[3] = {"x", "y"};
    BL_CHECK_CONTEXT(op, ctx, axpby);
    BL_TRY(bl_check_same(op, ctx, names, x, y, NULL));
    return ctx->backend->ops.axpby(ctx, y, x, a, b);
}
