/*
 * gather.c - validation and dispatch of gather.
 */
#include "check.h"

BL_API bl_status bl_gather_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_tensor *index) {
    static const char op[] = "gather";
    BL_CHECK_CONTEXT(op, ctx, gather_forward);
    BL_CHECK(op, ctx, x, BL_SET_ACT, "TH", BL_ANY, BL_ANY);
    BL_CHECK(op, ctx, index, BL_SET(BL_I32), "M", BL_ANY);
    BL_CHECK(op, ctx, y, BL_SET(x->dtype), "MH", index->shape[0], x->shape[1]);
    BL_TRY(bl_check_index(op, ctx, "index", index, 0, x->shape[0]));
    return ctx->backend->ops.gather_forward(ctx, y, x, index);
}

BL_API bl_status bl_gather_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *index) {
    static const char op[] = "gather_backward";
    BL_CHECK_CONTEXT(op, ctx, gather_backward);
    BL_CHECK(op, ctx, dy, BL_SET_ACT, "MH", BL_ANY, BL_ANY);
    BL_CHECK(op, ctx, index, BL_SET(BL_I32), "M", dy->shape[0]);
    BL_CHECK(op, ctx, dx, BL_SET(dy->dtype), "TH", BL_ANY, dy->shape[1]);
    BL_TRY(bl_check_index(op, ctx, "index", index, 0, dx->shape[0]));
    return ctx->backend->ops.gather_backward(ctx, dx, dy, index);
}
