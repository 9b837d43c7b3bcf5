/*
 * lamb.c - validation and dispatch of LAMB.
 */
#include "optim/check.h"

BL_API bl_status bl_lamb_update(bl_context *ctx, const bl_optim *optim) {
    static const char op[] = "lamb_update";
    BL_CHECK_CONTEXT(op, ctx, lamb_update);
    BL_TRY(bl_check_optim(op, ctx, optim));
    return ctx->backend->ops.lamb_update(ctx, optim);
}
