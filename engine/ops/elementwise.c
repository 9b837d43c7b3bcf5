/*
 * elementwise.c - validation and dispatch of ops over elements or rows of any
 * shape: GELU, tanh, dropout, axpby, softmax, reductions, top k.
 */
#include "check.h"

/* `first` is of any shape; the others have its shape and dtype. Names for the message. */
static bl_status check_same(const char *op, const bl_context *ctx, const char *const names[3], const bl_tensor *first,
                            const bl_tensor *second, const bl_tensor *third) {
    BL_TRY(bl_check_flat(op, ctx, names[0], first, BL_SET_ACT));
    BL_TRY(bl_check_like(op, ctx, names[1], second, BL_SET(first->dtype), first));
    return names[2] ? bl_check_like(op, ctx, names[2], third, BL_SET(first->dtype), first) : BL_OK;
}

BL_API bl_status bl_gelu_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x) {
    static const char op[] = "gelu", *const names[3] = {"x", "y"};
    BL_CHECK_CONTEXT(op, ctx, gelu_forward);
    BL_TRY(check_same(op, ctx, names, x, y, NULL));
    return ctx->backend->gelu_forward(ctx, y, x);
}

BL_API bl_status bl_gelu_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *x) {
    static const char op[] = "gelu_backward", *const names[3] = {"x", "dy", "dx"};
    BL_CHECK_CONTEXT(op, ctx, gelu_backward);
    BL_TRY(check_same(op, ctx, names, x, dy, dx));
    return ctx->backend->gelu_backward(ctx, dx, dy, x);
}

BL_API bl_status bl_tanh_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x) {
    static const char op[] = "tanh", *const names[3] = {"x", "y"};
    BL_CHECK_CONTEXT(op, ctx, tanh_forward);
    BL_TRY(check_same(op, ctx, names, x, y, NULL));
    return ctx->backend->tanh_forward(ctx, y, x);
}

BL_API bl_status bl_tanh_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *y) {
    static const char op[] = "tanh_backward", *const names[3] = {"y", "dy", "dx"};
    BL_CHECK_CONTEXT(op, ctx, tanh_backward);
    BL_TRY(check_same(op, ctx, names, y, dy, dx));
    return ctx->backend->tanh_backward(ctx, dx, dy, y);
}

BL_API bl_status bl_dropout_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_dropout *dropout) {
    static const char op[] = "dropout", *const names[3] = {"x", "y"};
    BL_CHECK_CONTEXT(op, ctx, dropout_forward);
    BL_TRY(check_same(op, ctx, names, x, y, NULL));
    BL_TRY(bl_check_dropout(op, ctx, dropout));
    return ctx->backend->dropout_forward(ctx, y, x, dropout);
}

BL_API bl_status bl_dropout_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_dropout *dropout) {
    static const char op[] = "dropout_backward", *const names[3] = {"dy", "dx"};
    BL_CHECK_CONTEXT(op, ctx, dropout_backward);
    BL_TRY(check_same(op, ctx, names, dy, dx, NULL));
    BL_TRY(bl_check_dropout(op, ctx, dropout));
    return ctx->backend->dropout_backward(ctx, dx, dy, dropout);
}

BL_API bl_status bl_axpby(bl_context *ctx, bl_tensor *y, const bl_tensor *x, float a, float b) {
    static const char op[] = "axpby", *const names[3] = {"x", "y"};
    BL_CHECK_CONTEXT(op, ctx, axpby);
    BL_TRY(check_same(op, ctx, names, x, y, NULL));
    return ctx->backend->axpby(ctx, y, x, a, b);
}

BL_API bl_status bl_softmax(bl_context *ctx, bl_tensor *y, const bl_tensor *x) {
    static const char op[] = "softmax", *const names[3] = {"x", "y"};
    BL_CHECK_CONTEXT(op, ctx, softmax);
    BL_TRY(check_same(op, ctx, names, x, y, NULL));
    if (x->ndim < 1) return bl_fail(BL_ERROR_ARGUMENT, "softmax: x is a scalar, expected 1 dimension or more");
    return ctx->backend->softmax(ctx, y, x);
}

BL_API bl_status bl_reduce(bl_context *ctx, bl_tensor *y, const bl_tensor *x, int32_t reduction) {
    static const char op[] = "reduce";
    BL_CHECK_CONTEXT(op, ctx, reduce);
    BL_TRY(bl_check_flat(op, ctx, "x", x, BL_SET_ACT));
    BL_CHECK(op, ctx, y, BL_SET(BL_F32), "1", 1);
    if (bl_tensor_numel(x) == 0) return bl_fail(BL_ERROR_ARGUMENT, "reduce: x is empty");
    if (reduction < BL_SUM || reduction > BL_NORM)
        return bl_fail(BL_ERROR_ARGUMENT, "reduce: reduction is %d, expected 0 to %d", (int) reduction, BL_NORM);
    return ctx->backend->reduce(ctx, y, x, reduction);
}

BL_API bl_status bl_topk(bl_context *ctx, bl_tensor *values, bl_tensor *indices, const bl_tensor *x, int32_t k) {
    static const char op[] = "topk";
    BL_CHECK_CONTEXT(op, ctx, topk);
    BL_CHECK(op, ctx, x, BL_SET_ACT, "MV", BL_ANY, BL_ANY);
    if (k < 1 || k > x->shape[1])
        return bl_fail(BL_ERROR_ARGUMENT, "topk: k is %d, expected 1 to %lld (columns of x)", (int) k,
                       (long long) x->shape[1]);
    BL_CHECK(op, ctx, values, BL_SET(BL_F32), "Mk", x->shape[0], k);
    BL_CHECK(op, ctx, indices, BL_SET(BL_I32), "Mk", x->shape[0], k);
    return ctx->backend->topk(ctx, values, indices, x, k);
}
