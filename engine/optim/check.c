/*
 * check.c - what the optimizers' checks share; see check.h.
 */
#include "optim/check.h"

bl_status bl_check_scalars(const char *op, const bl_context *ctx, const bl_tensor *scalars) {
    BL_CHECK(op, ctx, scalars, BL_SET(BL_F32), "8", BL_SCALAR_COUNT);
    return BL_OK;
}

bl_status bl_check_moments(const char *op, float beta1, float beta2, float eps) {
    if (!(beta1 >= 0.0f && beta1 < 1.0f && beta2 >= 0.0f && beta2 < 1.0f))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: beta1 is %g and beta2 is %g, expected 0 <= beta < 1", op, (double) beta1,
                       (double) beta2);
    return bl_check_eps(op, eps);
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

bl_status bl_check_optim(const char *op, const bl_context *ctx, const bl_optim *o) {
    if (!o) return bl_fail(BL_ERROR_ARGUMENT, "%s: optim is NULL", op);
    const bl_tensor *param = o->param, *param_low = o->param_low, *m = o->m, *v = o->v, *grad = o->grad;
    const bl_tensor *segments = o->segments, *decay = o->decay, *lr_scale = o->lr_scale, *trust = o->trust;
    BL_CHECK(op, ctx, param, BL_SET(BL_F32), "N", BL_ANY);
    int64_t size = param->shape[0];
    BL_CHECK_OPTIONAL(op, ctx, param_low, BL_SET(BL_BF16) | BL_SET(BL_F16), "N", size);
    BL_CHECK(op, ctx, m, BL_SET(BL_F32), "N", size);
    BL_CHECK(op, ctx, v, BL_SET(BL_F32), "N", size);
    BL_CHECK(op, ctx, grad, BL_SET(BL_F32), "N", size);
    BL_CHECK(op, ctx, segments, BL_SET(BL_I64), "n2", BL_ANY, 2);
    BL_CHECK(op, ctx, decay, BL_SET(BL_F32), "n", segments->shape[0]);
    BL_CHECK_OPTIONAL(op, ctx, lr_scale, BL_SET(BL_F32), "n", segments->shape[0]);
    BL_CHECK_OPTIONAL(op, ctx, trust, BL_SET(BL_F32), "n", segments->shape[0]);
    BL_TRY(bl_check_scalars(op, ctx, o->scalars));
    BL_TRY(bl_check_moments(op, o->beta1, o->beta2, o->eps));
    return check_segments(op, ctx, segments, size);
}
