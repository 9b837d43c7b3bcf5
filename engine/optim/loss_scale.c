/*
 * loss_scale.c - validation and dispatch of dynamic loss scaling.
 */
#include "optim/check.h"

BL_API bl_status bl_loss_scale_update(bl_context *ctx, bl_tensor *scalars, float growth, float backoff,
                                      int32_t growth_interval, float min_scale) {
    static const char op[] = "loss_scale_update";
    BL_CHECK_CONTEXT(op, ctx, loss_scale_update);
    BL_TRY(bl_check_scalars(op, ctx, scalars));
    if (!(growth >= 1.0f))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: growth is %g, expected 1 or more", op, (double) growth);
    if (!(backoff > 0.0f && backoff <= 1.0f))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: backoff is %g, expected 0 < backoff <= 1", op, (double) backoff);
    if (growth_interval < 1)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: growth_interval is %d, expected 1 or more", op, (int) growth_interval);
    if (!(min_scale > 0.0f))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: min_scale is %g, expected above 0", op, (double) min_scale);
    return ctx->backend->ops.loss_scale_update(ctx, scalars, growth, backoff, growth_interval, min_scale);
}
