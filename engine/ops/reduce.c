/*
 * reduce.c - validation and dispatch of reductions of all elements.
 */
#include "check.h"

BL_API bl_status bl_reduce(bl_context *ctx, bl_tensor *y, const bl_tensor *x, int32_t reduction) {
    static const char op[] = "reduce";
    BL_CHECK_CONTEXT(op, ctx, reduce);
    BL_TRY(bl_check_flat(op, ctx, "x", x, BL_SET_ACT));
    BL_CHECK(op, ctx, y, BL_SET(BL_F32), "1", 1);
    if (bl_tensor_numel(x) == 0) return bl_fail(BL_ERROR_ARGUMENT, "reduce: x is empty");
    if (reduction < BL_SUM || reduction > BL_NORM)
        return bl_fail(BL_ERROR_ARGUMENT, "reduce: reduction is %d, expected 0 to %d", (int) reduction, BL_NORM);
    return ctx->backend->ops.reduce(ctx, y, x, reduction);
}
