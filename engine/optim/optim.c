/*
 * optim.c - validation and dispatch of the optimizers.
 */
#include "ops/check.h"

static bl_status check_scalars(const char *op, const bl_context *ctx, const bl_tensor *scalars) {
    BL_CHECK(op, ctx, scalars, BL_SET(BL_F32), "8", BL_SCALAR_COUNT);
    return BL_OK;
}

BL_API bl_status bl_grad_norm(bl_context *ctx, bl_tensor *scalars, const bl_tensor *grad, int32_t accumulation,
                              float max_norm) {
    static const char op[] = "grad_norm";
    BL_CHECK_CONTEXT(op, ctx, grad_norm);
    BL_TRY(check_scalars(op, ctx, scalars));
    BL_CHECK(op, ctx, grad, BL_SET(BL_F32), "N", BL_ANY);
    if (accumulation < 1)
        return bl_fail(BL_ERROR_ARGUMENT, "grad_norm: accumulation is %d, expected 1 or more", (int) accumulation);
    if (max_norm != max_norm) return bl_fail(BL_ERROR_ARGUMENT, "grad_norm: max_norm is NaN");
    return ctx->backend->grad_norm(ctx, scalars, grad, accumulation, max_norm);
}

/* Ascending, within the buffer, without overlap; only where the host can read them. */
static bl_status check_segments(const char *op, const bl_context *ctx, const bl_tensor *segments, int64_t size) {
    if (ctx->device != BL_CPU) return BL_OK;
    const int64_t *values = segments->data;
    int64_t free_from = 0;
    for (int64_t i = 0; i < segments->shape[0]; i++) {
        int64_t offset = values[2 * i], length = values[2 * i + 1];
        if (offset < free_from || length < 0 || offset > size || length > size - offset)
            return bl_fail(BL_ERROR_ARGUMENT,
                           "%s: segments[%lld] (from 0) is {offset %lld, length %lld}, expected within [%lld,%lld)", op,
                           (long long) i, (long long) offset, (long long) length, (long long) free_from,
                           (long long) size);
        free_from = offset + length;
    }
    return BL_OK;
}

static bl_status check_optim(const char *op, const bl_context *ctx, const bl_optim *o) {
    if (!o) return bl_fail(BL_ERROR_ARGUMENT, "%s: optim is NULL", op);
    const bl_tensor *param = o->param, *param_low = o->param_low, *m = o->m, *v = o->v, *grad = o->grad;
    const bl_tensor *segments = o->segments, *decay = o->decay, *trust = o->trust;
    BL_CHECK(op, ctx, param, BL_SET(BL_F32), "N", BL_ANY);
    int64_t size = param->shape[0];
    BL_CHECK_OPTIONAL(op, ctx, param_low, BL_SET(BL_BF16) | BL_SET(BL_F16), "N", size);
    BL_CHECK(op, ctx, m, BL_SET(BL_F32), "N", size);
    BL_CHECK(op, ctx, v, BL_SET(BL_F32), "N", size);
    BL_CHECK(op, ctx, grad, BL_SET(BL_F32), "N", size);
    BL_CHECK(op, ctx, segments, BL_SET(BL_I64), "n2", BL_ANY, 2);
    BL_CHECK(op, ctx, decay, BL_SET(BL_F32), "n", segments->shape[0]);
    BL_CHECK_OPTIONAL(op, ctx, trust, BL_SET(BL_F32), "n", segments->shape[0]);
    BL_TRY(check_scalars(op, ctx, o->scalars));
    BL_TRY(bl_check_moments(op, o->beta1, o->beta2, o->eps));
    return check_segments(op, ctx, segments, size);
}

BL_API bl_status bl_lamb_update(bl_context *ctx, const bl_optim *optim) {
    static const char op[] = "lamb_update";
    BL_CHECK_CONTEXT(op, ctx, lamb_update);
    BL_TRY(check_optim(op, ctx, optim));
    return ctx->backend->lamb_update(ctx, optim);
}

BL_API bl_status bl_adamw_update(bl_context *ctx, const bl_optim *optim) {
    static const char op[] = "adamw_update";
    BL_CHECK_CONTEXT(op, ctx, adamw_update);
    BL_TRY(check_optim(op, ctx, optim));
    return ctx->backend->adamw_update(ctx, optim);
}

BL_API bl_status bl_loss_scale_update(bl_context *ctx, bl_tensor *scalars, float growth, float backoff,
                                      int32_t growth_interval, float min_scale) {
    static const char op[] = "loss_scale_update";
    BL_CHECK_CONTEXT(op, ctx, loss_scale_update);
    BL_TRY(check_scalars(op, ctx, scalars));
    if (!(growth >= 1.0f))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: growth is %g, expected 1 or more", op, (double) growth);
    if (!(backoff > 0.0f && backoff <= 1.0f))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: backoff is %g, expected 0 < backoff <= 1", op, (double) backoff);
    if (growth_interval < 1)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: growth_interval is %d, expected 1 or more", op, (int) growth_interval);
    if (!(min_scale > 0.0f))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: min_scale is %g, expected above 0", op, (double) min_scale);
    return ctx->backend->loss_scale_update(ctx, scalars, growth, backoff, growth_interval, min_scale);
}
