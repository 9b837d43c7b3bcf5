/*
 * unary.c - validation and dispatch of functions of one operand.
 */
#include "check.h"

static const char *const NAMES[] = {"neg",         "exp",        "log",       "sqrt",     "abs",
                                    "relu",        "silu",       "gelu_tanh", "sigmoid",  "pow",
                                    "exponential", "reciprocal", "clamp_min", "clamp_max"};

static bl_status check_kind(int32_t kind) {
    if (kind < BL_UNARY_NEG || kind > BL_UNARY_CLAMP_MAX)
        return bl_fail(BL_ERROR_ARGUMENT, "unary: kind is %d, expected 0 to %d", (int) kind, BL_UNARY_CLAMP_MAX);
    return BL_OK;
}

BL_API bl_status bl_unary_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, int32_t kind, float a) {
    static const char *const names[3] = {"x", "y"};
    BL_TRY(check_kind(kind));
    BL_CHECK_CONTEXT(NAMES[kind], ctx, unary_forward);
    BL_TRY(bl_check_same(NAMES[kind], ctx, names, x, y, NULL));
    return ctx->backend->ops.unary_forward(ctx, y, x, kind, a);
}

BL_API bl_status bl_unary_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *x,
                                   const bl_tensor *y, int32_t kind, float a) {
    static const char *const names[3] = {"dy", "dx"};
    BL_TRY(check_kind(kind));
    const char *op = NAMES[kind];
    BL_CHECK_CONTEXT(op, ctx, unary_backward);
    BL_TRY(bl_check_same(op, ctx, names, dy, dx, NULL));
    switch (kind) {
    case BL_UNARY_NEG:
        break;
    case BL_UNARY_EXP:
    case BL_UNARY_SQRT:
    case BL_UNARY_RELU:
    case BL_UNARY_SIGMOID:
    case BL_UNARY_EXPONENTIAL:
        BL_TRY(bl_check_like(op, ctx, "y", y, BL_SET(dy->dtype), dy));
        break;
    default:
        BL_TRY(bl_check_like(op, ctx, "x", x, BL_SET(dy->dtype), dy));
    }
    return ctx->backend->ops.unary_backward(ctx, dx, dy, x, y, kind, a);
}

BL_API bl_status bl_affine(bl_context *ctx, bl_tensor *y, const bl_tensor *x, float a, float b) {
    static const char op[] = "affine", *const names[3] = {"x", "y"};
    BL_CHECK_CONTEXT(op, ctx, affine);
    BL_TRY(bl_check_same(op, ctx, names, x, y, NULL));
    return ctx->backend->ops.affine(ctx, y, x, a, b);
}
