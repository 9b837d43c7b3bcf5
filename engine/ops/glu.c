/*
 * glu.c - validation and dispatch of gated linear units.
 */
#include "check.h"

/* x act [T,2I], and the gate. */
static bl_status check_input(const char *op, const bl_context *ctx, const bl_tensor *x, int32_t gate) {
    char text[128];
    BL_CHECK(op, ctx, x, BL_SET_ACT, "TI", BL_ANY, BL_ANY);
    if (x->shape[1] % 2 != 0)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: x is %s, expected an even number of columns, value | gate", op,
                       bl_tensor_format(x, text, sizeof text));
    if (gate < BL_GATE_SIGMOID || gate > BL_GATE_RELU)
        return bl_fail(BL_ERROR_ARGUMENT,
                       "%s: gate is %d, expected 0 (sigmoid), 1 (gelu), 2 (gelu_tanh), 3 (silu) or 4 (relu)", op,
                       (int) gate);
    return BL_OK;
}

BL_API bl_status bl_glu_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, int32_t gate) {
    static const char op[] = "glu";
    BL_CHECK_CONTEXT(op, ctx, glu_forward);
    BL_TRY(check_input(op, ctx, x, gate));
    BL_CHECK(op, ctx, y, BL_SET(x->dtype), "TI", x->shape[0], x->shape[1] / 2);
    return ctx->backend->ops.glu_forward(ctx, y, x, gate);
}

BL_API bl_status bl_glu_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *x,
                                 int32_t gate) {
    static const char op[] = "glu_backward";
    BL_CHECK_CONTEXT(op, ctx, glu_backward);
    BL_TRY(check_input(op, ctx, x, gate));
    BL_CHECK(op, ctx, dx, BL_SET(x->dtype), "TI", x->shape[0], x->shape[1]);
    BL_CHECK(op, ctx, dy, BL_SET(x->dtype), "TI", x->shape[0], x->shape[1] / 2);
    return ctx->backend->ops.glu_backward(ctx, dx, dy, x, gate);
}
