/*
 * fill.c - validation and dispatch of fills: constant, normal, uniform.
 */
#include "check.h"

BL_API bl_status bl_fill(bl_context *ctx, bl_tensor *t, double value) {
    static const char op[] = "fill";
    BL_CHECK_CONTEXT(op, ctx, fill);
    BL_TRY(bl_check_view(op, ctx, "t", t, BL_SET_ALL));
    return ctx->backend->ops.fill(ctx, t, value);
}

BL_API bl_status bl_fill_normal(bl_context *ctx, bl_tensor *t, double mean, double std, uint64_t seed,
                                uint64_t stream) {
    static const char op[] = "fill_normal";
    BL_CHECK_CONTEXT(op, ctx, fill_normal);
    BL_TRY(bl_check_flat(op, ctx, "t", t, BL_SET_ACT));
    if (!(std >= 0.0)) return bl_fail(BL_ERROR_ARGUMENT, "fill_normal: std is %g, expected 0 or more", std);
    return ctx->backend->ops.fill_normal(ctx, t, mean, std, seed, stream);
}

BL_API bl_status bl_fill_uniform(bl_context *ctx, bl_tensor *t, double low, double high, uint64_t seed,
                                 uint64_t stream) {
    static const char op[] = "fill_uniform";
    BL_CHECK_CONTEXT(op, ctx, fill_uniform);
    BL_TRY(bl_check_flat(op, ctx, "t", t, BL_SET_ACT));
    if (!(high >= low))
        return bl_fail(BL_ERROR_ARGUMENT, "fill_uniform: high is %g, expected at least low (%g)", high, low);
    return ctx->backend->ops.fill_uniform(ctx, t, low, high, seed, stream);
}
