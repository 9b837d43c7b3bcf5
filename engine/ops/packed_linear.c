/*
 * packed_linear.c - checks of linear layers with packed weights; contracts are
 * in api/ops.h.
 */
#include "check.h"

BL_API bl_status bl_pack(bl_context *ctx, bl_packed **out, const bl_tensor *w, const bl_tensor *scales) {
    static const char op[] = "pack";
    BL_CHECK_CONTEXT(op, ctx, pack);
    if (!out) return bl_fail(BL_ERROR_ARGUMENT, "%s: out is NULL", op);
    BL_CHECK(op, ctx, w, BL_SET_ACT | BL_SET(BL_I8), "NK", BL_ANY, BL_ANY);
    if (w->shape[0] == 0 || w->shape[1] == 0 || w->shape[1] > 1 << 16)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: w is [%lld,%lld], expected 1 row or more, and 1 to 65536 columns", op,
                       (long long) w->shape[0], (long long) w->shape[1]);
    if ((w->dtype == BL_I8) != (scales != NULL))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: scales are %s, expected %s with a w of %s", op,
                       scales ? "given" : "NULL", scales ? "NULL" : "f32 [N]", bl_dtype_name(w->dtype));
    BL_CHECK_OPTIONAL(op, ctx, scales, BL_SET(BL_F32), "N", w->shape[0]);
    return ctx->backend->ops.pack(ctx, out, w, scales);
}

BL_API void bl_packed_free(bl_context *ctx, bl_packed *packed) {
    if (packed) ctx->backend->ops.packed_free(ctx, packed);
}

BL_API void bl_packed_shape(bl_context *ctx, const bl_packed *packed, int64_t shape[2], int32_t *dtype,
                            bool *integers) {
    ctx->backend->ops.packed_shape(ctx, packed, shape, dtype, integers);
}

BL_API bl_status bl_packed_linear_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_packed *packed,
                                          const bl_tensor *bias, int32_t activation) {
    static const char op[] = "packed linear";
    BL_CHECK_CONTEXT(op, ctx, packed_linear_forward);
    if (!packed) return bl_fail(BL_ERROR_ARGUMENT, "%s: packed is NULL", op);
    int64_t shape[2];
    int32_t dtype;
    bool integers;
    ctx->backend->ops.packed_shape(ctx, packed, shape, &dtype, &integers);
    const int64_t x_dims[] = {BL_ANY, shape[1]};
    BL_TRY(bl_check_strided(op, ctx, "x", x, BL_SET(dtype), "TK", x_dims));
    BL_TRY(bl_check_row_stride(op, "x", x));
    const int64_t dims[] = {x->shape[0], shape[0]};
    BL_TRY(bl_check_strided(op, ctx, "y", y, BL_SET(dtype) | BL_SET(BL_F32), "TN", dims));
    BL_TRY(bl_check_row_stride(op, "y", y));
    BL_CHECK_OPTIONAL(op, ctx, bias, BL_SET(BL_F32) | BL_SET(dtype), "N", shape[0]);
    BL_TRY(bl_check_activation(op, activation));
    return ctx->backend->ops.packed_linear_forward(ctx, y, x, packed, bias, activation);
}
