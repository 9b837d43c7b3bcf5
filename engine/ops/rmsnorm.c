/*
 * rmsnorm.c - validation and dispatch of root mean square normalisation.
 */
#include "check.h"

BL_API bl_status bl_rmsnorm_forward(bl_context *ctx, bl_tensor *y, bl_tensor *rstd, const bl_tensor *x,
                                    const bl_tensor *gamma, float eps) {
    static const char op[] = "rmsnorm";
    BL_CHECK_CONTEXT(op, ctx, rmsnorm_forward);
    BL_TRY(bl_check_rows(op, ctx, "x", x));
    int64_t rows = x->shape[0], width = x->shape[1];
    BL_CHECK(op, ctx, y, BL_SET(x->dtype), "TH", rows, width);
    BL_CHECK_OPTIONAL(op, ctx, rstd, BL_SET(BL_F32), "T", rows);
    BL_CHECK(op, ctx, gamma, BL_SET(BL_F32), "H", width);
    BL_TRY(bl_check_eps(op, eps));
    return ctx->backend->ops.rmsnorm_forward(ctx, y, rstd, x, gamma, eps);
}

BL_API bl_status bl_rmsnorm_backward(bl_context *ctx, bl_tensor *dx, bl_tensor *dgamma, const bl_tensor *dy,
                                     const bl_tensor *x, const bl_tensor *rstd, const bl_tensor *gamma) {
    static const char op[] = "rmsnorm_backward";
    BL_CHECK_CONTEXT(op, ctx, rmsnorm_backward);
    BL_TRY(bl_check_rows(op, ctx, "x", x));
    int64_t rows = x->shape[0], width = x->shape[1];
    BL_CHECK_OPTIONAL(op, ctx, dx, BL_SET(x->dtype), "TH", rows, width);
    BL_CHECK_OPTIONAL(op, ctx, dgamma, BL_SET(BL_F32), "H", width);
    BL_CHECK(op, ctx, dy, BL_SET(x->dtype), "TH", rows, width);
    BL_CHECK(op, ctx, rstd, BL_SET(BL_F32), "T", rows);
    BL_CHECK(op, ctx, gamma, BL_SET(BL_F32), "H", width);
    return ctx->backend->ops.rmsnorm_backward(ctx, dx, dgamma, dy, x, rstd, gamma);
}
