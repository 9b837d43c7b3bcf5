/*
 * partition.c - validation and dispatch of the optimizer whose state is divided
 * over ranks.
 */
#include "optim/check.h"

/* Where a piece may lie: sizes of the buffers, 0 or more. */
typedef struct extents {
    int64_t segments;
    int64_t state;
    int64_t param;
    int64_t flat;
} extents;

static bool inside(int64_t offset, int64_t length, int64_t size) {
    return offset >= 0 && length >= 0 && length <= size && offset <= size - length;
}

/* Within the buffers and ascending; only where the host can read them. */
static bl_status check_pieces(const char *op, const bl_context *ctx, const bl_tensor *pieces, const extents *size) {
    BL_CHECK(op, ctx, pieces, BL_SET(BL_I64), "k5", BL_ANY, 5);
    if (ctx->device != BL_CPU) return BL_OK;
    const int64_t *row = pieces->data;
    int64_t free_state = 0, segment = 0;
    for (int64_t i = 0; i < pieces->shape[0]; i++, row += 5) {
        bool good = row[0] >= 0 && row[0] < size->segments && inside(row[1], row[4], size->state) &&
                    inside(row[2], row[4], size->param) && inside(row[3], row[4], size->flat) && row[1] >= free_state &&
                    row[0] >= segment;
        if (!good)
            return bl_fail(
                BL_ERROR_ARGUMENT,
                "%s: pieces[%lld] (from 0) is {segment %lld, state %lld, param %lld, flat %lld, length "
                "%lld}, expected within %lld segments and buffers of %lld, %lld and %lld elements, ascending "
                "and without overlap in m and v",
                op, (long long) i, (long long) row[0], (long long) row[1], (long long) row[2], (long long) row[3],
                (long long) row[4], (long long) size->segments, (long long) size->state, (long long) size->param,
                (long long) size->flat);
        free_state = row[1] + row[4];
        segment = row[0];
    }
    return BL_OK;
}

static bl_status check_accumulation(const char *op, int32_t accumulation) {
    if (accumulation >= 1) return BL_OK;
    return bl_fail(BL_ERROR_ARGUMENT, "%s: accumulation is %d, expected 1 or more", op, (int) accumulation);
}

BL_API bl_status bl_partition_grad_norm(bl_context *ctx, bl_tensor *square, const bl_tensor *scalars,
                                        const bl_tensor *grad, const bl_tensor *pieces, int32_t accumulation) {
    static const char op[] = "partition_grad_norm";
    BL_CHECK_CONTEXT(op, ctx, partition_grad_norm);
    BL_CHECK(op, ctx, square, BL_SET(BL_F32), "1", 1);
    BL_TRY(bl_check_scalars(op, ctx, scalars));
    BL_CHECK(op, ctx, grad, BL_SET(BL_F32), "N", BL_ANY);
    BL_TRY(check_accumulation(op, accumulation));
    /* Only `flat` matters here. */
    extents size = {INT64_MAX, INT64_MAX, INT64_MAX, grad->shape[0]};
    BL_TRY(check_pieces(op, ctx, pieces, &size));
    return ctx->backend->ops.partition_grad_norm(ctx, square, scalars, grad, pieces, accumulation);
}

BL_API bl_status bl_partition_grad_factor(bl_context *ctx, bl_tensor *scalars, const bl_tensor *square,
                                          int32_t accumulation, float max_norm) {
    static const char op[] = "partition_grad_factor";
    BL_CHECK_CONTEXT(op, ctx, partition_grad_factor);
    BL_TRY(bl_check_scalars(op, ctx, scalars));
    BL_CHECK(op, ctx, square, BL_SET(BL_F32), "1", 1);
    BL_TRY(check_accumulation(op, accumulation));
    if (max_norm != max_norm) return bl_fail(BL_ERROR_ARGUMENT, "%s: max_norm is NaN", op);
    return ctx->backend->ops.partition_grad_factor(ctx, scalars, square, accumulation, max_norm);
}

static bl_status check_optim(const char *op, const bl_context *ctx, const bl_partition_optim *o) {
    if (!o) return bl_fail(BL_ERROR_ARGUMENT, "%s: optim is NULL", op);
    const bl_tensor *param = o->param, *param_low = o->param_low, *m = o->m, *v = o->v, *grad = o->grad;
    const bl_tensor *decay = o->decay, *lr_scale = o->lr_scale, *scalars = o->scalars, *sums = o->sums,
                    *trust = o->trust;
    BL_CHECK(op, ctx, param, BL_SET(BL_F32), "P", BL_ANY);
    BL_CHECK(op, ctx, grad, BL_SET(BL_F32), "N", BL_ANY);
    BL_CHECK_OPTIONAL(op, ctx, param_low, BL_SET(BL_BF16) | BL_SET(BL_F16), "N", grad->shape[0]);
    BL_CHECK(op, ctx, m, BL_SET(BL_F32), "S", BL_ANY);
    BL_CHECK(op, ctx, v, BL_SET(BL_F32), "S", m->shape[0]);
    BL_CHECK(op, ctx, decay, BL_SET(BL_F32), "n", BL_ANY);
    BL_TRY(bl_check_scalars(op, ctx, scalars));
    BL_CHECK(op, ctx, sums, BL_SET(BL_F32), "n2", decay->shape[0], 2);
    BL_CHECK_OPTIONAL(op, ctx, lr_scale, BL_SET(BL_F32), "n", decay->shape[0]);
    BL_CHECK_OPTIONAL(op, ctx, trust, BL_SET(BL_F32), "n", decay->shape[0]);
    BL_TRY(bl_check_moments(op, o->beta1, o->beta2, o->eps));
    extents size = {decay->shape[0], m->shape[0], param->shape[0], grad->shape[0]};
    return check_pieces(op, ctx, o->pieces, &size);
}

BL_API bl_status bl_partition_lamb_moments(bl_context *ctx, const bl_partition_optim *optim) {
    static const char op[] = "partition_lamb_moments";
    BL_CHECK_CONTEXT(op, ctx, partition_lamb_moments);
    BL_TRY(check_optim(op, ctx, optim));
    return ctx->backend->ops.partition_lamb_moments(ctx, optim);
}

BL_API bl_status bl_partition_lamb_apply(bl_context *ctx, const bl_partition_optim *optim) {
    static const char op[] = "partition_lamb_apply";
    BL_CHECK_CONTEXT(op, ctx, partition_lamb_apply);
    BL_TRY(check_optim(op, ctx, optim));
    return ctx->backend->ops.partition_lamb_apply(ctx, optim);
}
