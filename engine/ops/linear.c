/*
 * linear.c - checks of the linear ops; contracts are in api/ops.h.
 */
#include "check.h"

bl_status bl_check_row_stride(const char *op, const char *name, const bl_tensor *t) {
    char text[128];
    bool dense = (t->shape[1] <= 1 || t->stride[1] == 1) && (t->shape[0] <= 1 || t->stride[0] >= t->shape[1]);
    if (t->shape[0] == 0 || dense) return BL_OK;
    return bl_fail(BL_ERROR_ARGUMENT, "%s: %s is %s with strides [%lld,%lld], expected [%lld or more,1]", op, name,
                   bl_tensor_format(t, text, sizeof text), (long long) t->stride[0], (long long) t->stride[1],
                   (long long) t->shape[1]);
}

/* x act [T,K] and w act [N,K] of one dtype, K and N above 0; x may have a row stride above K. */
static bl_status check_operands(const char *op, const bl_context *ctx, const bl_tensor *x, const bl_tensor *w) {
    char w_text[128];
    BL_TRY(bl_check_strided(op, ctx, "x", x, BL_SET_ACT, "TK", (const int64_t[]){BL_ANY, BL_ANY}));
    BL_CHECK(op, ctx, w, BL_SET(x->dtype), "NK", BL_ANY, x->shape[1]);
    if (w->shape[0] == 0 || w->shape[1] == 0)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: w is %s, expected at least one row and one column", op,
                       bl_tensor_format(w, w_text, sizeof w_text));
    return bl_check_row_stride(op, "x", x);
}

bl_status bl_check_activation(const char *op, int32_t activation) {
    if (activation >= BL_LINEAR && activation <= BL_GELU_TANH) return BL_OK;
    return bl_fail(BL_ERROR_ARGUMENT, "%s: activation is %d, expected 0 (none), 1 (gelu), 2 (tanh) or 3 (gelu_tanh)",
                   op, (int) activation);
}

static bool is_gelu(int32_t activation) {
    return activation == BL_GELU || activation == BL_GELU_TANH;
}

BL_API bl_status bl_linear_forward(bl_context *ctx, bl_tensor *y, bl_tensor *pre, const bl_tensor *x,
                                   const bl_tensor *w, const bl_tensor *bias, int32_t activation) {
    static const char op[] = "linear";
    BL_CHECK_CONTEXT(op, ctx, linear_forward);
    BL_TRY(check_operands(op, ctx, x, w));
    BL_TRY(bl_check_activation(op, activation));
    int64_t rows = x->shape[0], outputs = w->shape[0];
    const int64_t dims[] = {rows, outputs};
    if (activation == BL_LINEAR) {
        BL_TRY(bl_check_strided(op, ctx, "y", y, BL_SET(x->dtype) | BL_SET(BL_F32), "TN", dims));
        BL_TRY(bl_check_row_stride(op, "y", y));
    } else {
        BL_TRY(bl_check_tensor(op, ctx, "y", y, BL_SET(x->dtype) | BL_SET(BL_F32), "TN", dims));
    }
    BL_CHECK_OPTIONAL(op, ctx, bias, BL_SET(BL_F32) | BL_SET(x->dtype), "N", outputs);
    if (pre && !is_gelu(activation))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: pre is given, expected NULL without GELU", op);
    BL_CHECK_OPTIONAL(op, ctx, pre, BL_SET(x->dtype), "TN", rows, outputs);
    return ctx->backend->ops.linear_forward(ctx, y, pre, x, w, bias, activation);
}

BL_API bl_status bl_linear_backward(bl_context *ctx, bl_tensor *dx, bl_tensor *dw, bl_tensor *dbias, bl_tensor *dy,
                                    const bl_tensor *x, const bl_tensor *w, const bl_tensor *saved, int32_t activation,
                                    bool add, const bl_tensor *dy_sums, const bl_tensor *x_pre, bl_tensor *dx_sums,
                                    bool add_to_dx) {
    static const char op[] = "linear backward";
    BL_CHECK_CONTEXT(op, ctx, linear_backward);
    BL_TRY(check_operands(op, ctx, x, w));
    BL_TRY(bl_check_activation(op, activation));
    int64_t rows = x->shape[0], inputs = x->shape[1], outputs = w->shape[0];
    BL_CHECK(op, ctx, dy, BL_SET(x->dtype) | BL_SET(BL_F32), "TN", rows, outputs);
    BL_CHECK_OPTIONAL(op, ctx, dx, BL_SET(x->dtype), "TK", rows, inputs);
    BL_CHECK_OPTIONAL(op, ctx, dw, BL_SET(BL_F32), "NK", outputs, inputs);
    BL_CHECK_OPTIONAL(op, ctx, dbias, BL_SET(BL_F32), "N", outputs);
    if (is_gelu(activation)) BL_CHECK(op, ctx, saved, BL_SET(x->dtype), "TN", rows, outputs);
    if (activation == BL_TANH) BL_CHECK(op, ctx, saved, BL_SET(x->dtype) | BL_SET(BL_F32), "TN", rows, outputs);
    if (activation == BL_LINEAR && saved)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: saved is given, expected NULL without an activation", op);
    BL_CHECK_OPTIONAL(op, ctx, dy_sums, BL_SET(BL_F32), "N", outputs);
    if (activation != BL_LINEAR && dy_sums)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: dy_sums is given, expected NULL with an activation", op);
    BL_CHECK_OPTIONAL(op, ctx, x_pre, BL_SET(x->dtype), "TK", rows, inputs);
    BL_CHECK_OPTIONAL(op, ctx, dx_sums, BL_SET(BL_F32), "K", inputs);
    if (!dx && (x_pre || dx_sums))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %s is given without dx", op, x_pre ? "x_pre" : "dx_sums");
    if (add_to_dx && (!dx || x_pre || dx_sums))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: add_to_dx is true %s, expected false", op,
                       !dx     ? "without dx"
                       : x_pre ? "with x_pre"
                               : "with dx_sums");
    return ctx->backend->ops.linear_backward(ctx, dx, dw, dbias, dy, x, w, saved, activation, add, dy_sums, x_pre,
                                             dx_sums, add_to_dx);
}
