/*
 * adamw.c - validation and dispatch of AdamW.
 */
#include "optim/check.h"

BL_API bl_status bl_adamw_update(bl_context *ctx, const bl_optim *optim) {
    static const char op[] = "adamw_update";
    BL_CHECK_CONTEXT(op, ctx, adamw_update);
    BL_TRY(bl_check_optim(op, ctx, optim));
    return ctx->backend->ops.adamw_update(ctx, optim);
}
