/*
 * grad_norm.c - validation and dispatch of the global norm of the gradient.
 */
#include "optim/check.h"

BL_API bl_status bl_grad_norm(bl_context *ctx, bl_tensor *scalars, const bl_tensor *grad, int32_t accumulation,
                              float max_norm) {
    static const char op[] = "grad_norm";
    BL_CHECK_CONTEXT(op, ctx, grad_norm);
    BL_TRY(bl_check_scalars(op, ctx, scalars));
    BL_CHECK(op, ctx, grad, BL_SET(BL_F32), "N", BL_ANY);
    if (accumulation < 1)
        return bl_fail(BL_ERROR_ARGUMENT, "grad_norm: accumulation is %d, expected 1 or more", (int) accumulation);
    if (max_norm != max_norm) return bl_fail(BL_ERROR_ARGUMENT, "grad_norm: max_norm is NaN");
    return ctx->backend->ops.grad_norm(ctx, scalars, grad, accumulation, max_norm);
}
