/*
 * layernorm.c - validation and dispatch of layer normalisation.
 */
#include "check.h"

BL_API bl_status bl_layernorm_forward(bl_context *ctx, bl_tensor *y, bl_tensor *z, bl_tensor *mean, bl_tensor *rstd,
                                      const bl_tensor *x, const bl_tensor *residual, const bl_tensor *gamma,
                                      const bl_tensor *beta, float eps, const bl_dropout *dropout) {
    static const char op[] = "layernorm";
    BL_CHECK_CONTEXT(op, ctx, layernorm_forward);
    BL_TRY(bl_check_rows(op, ctx, "x", x));
    int64_t rows = x->shape[0], width = x->shape[1];
    uint32_t act = BL_SET(x->dtype);
    BL_CHECK(op, ctx, y, act, "TH", rows, width);
    BL_CHECK_OPTIONAL(op, ctx, z, act, "TH", rows, width);
    BL_CHECK_OPTIONAL(op, ctx, mean, BL_SET(BL_F32), "T", rows);
    BL_CHECK_OPTIONAL(op, ctx, rstd, BL_SET(BL_F32), "T", rows);
    BL_CHECK_OPTIONAL(op, ctx, residual, act, "TH", rows, width);
    BL_CHECK(op, ctx, gamma, BL_SET(BL_F32), "H", width);
    BL_CHECK(op, ctx, beta, BL_SET(BL_F32), "H", width);
    BL_TRY(bl_check_eps(op, eps));
    BL_TRY(bl_check_dropout(op, ctx, dropout));
    return ctx->backend->ops.layernorm_forward(ctx, y, z, mean, rstd, x, residual, gamma, beta, eps, dropout);
}

BL_API bl_status bl_layernorm_backward(bl_context *ctx, bl_tensor *dx, bl_tensor *dresidual, bl_tensor *dgamma,
                                       bl_tensor *dbeta, const bl_tensor *dy, const bl_tensor *z, const bl_tensor *mean,
                                       const bl_tensor *rstd, const bl_tensor *gamma, const bl_dropout *dropout,
                                       bl_tensor *sums) {
    static const char op[] = "layernorm_backward";
    BL_CHECK_CONTEXT(op, ctx, layernorm_backward);
    BL_TRY(bl_check_rows(op, ctx, "dy", dy));
    int64_t rows = dy->shape[0], width = dy->shape[1];
    uint32_t act = BL_SET(dy->dtype);
    BL_CHECK_OPTIONAL(op, ctx, dx, act, "TH", rows, width);
    BL_CHECK_OPTIONAL(op, ctx, sums, BL_SET(BL_F32), "H", width);
    if (sums && !dx) return bl_fail(BL_ERROR_ARGUMENT, "%s: sums are given without dx, whose they are", op);
    BL_CHECK_OPTIONAL(op, ctx, dresidual, act, "TH", rows, width);
    BL_CHECK_OPTIONAL(op, ctx, dgamma, BL_SET(BL_F32), "H", width);
    BL_CHECK_OPTIONAL(op, ctx, dbeta, BL_SET(BL_F32), "H", width);
    BL_CHECK(op, ctx, z, act, "TH", rows, width);
    BL_CHECK(op, ctx, mean, BL_SET(BL_F32), "T", rows);
    BL_CHECK(op, ctx, rstd, BL_SET(BL_F32), "T", rows);
    BL_CHECK(op, ctx, gamma, BL_SET(BL_F32), "H", width);
    BL_TRY(bl_check_dropout(op, ctx, dropout));
    return ctx->backend->ops.layernorm_backward(ctx, dx, dresidual, dgamma, dbeta, dy, z, mean, rstd, gamma, dropout,
                                                sums);
}
