/*
 * topk.c - validation and dispatch of the largest k of each row.
 */
#include "check.h"

BL_API bl_status bl_topk(bl_context *ctx, bl_tensor *values, bl_tensor *indices, const bl_tensor *x, int32_t k) {
    static const char op[] = "topk";
    BL_CHECK_CONTEXT(op, ctx, topk);
    BL_CHECK(op, ctx, x, BL_SET_ACT, "MV", BL_ANY, BL_ANY);
    if (k < 1 || k > x->shape[1])
        return bl_fail(BL_ERROR_ARGUMENT, "topk: k is %d, expected 1 to %lld (columns of x)", (int) k,
                       (long long) x->shape[1]);
    BL_CHECK(op, ctx, values, BL_SET(BL_F32), "Mk", x->shape[0], k);
    BL_CHECK(op, ctx, indices, BL_SET(BL_I32), "Mk", x->shape[0], k);
    return ctx->backend->ops.topk(ctx, values, indices, x, k);
}
