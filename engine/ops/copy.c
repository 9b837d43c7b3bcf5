/*
 * copy.c - validation and dispatch of copies between tensors.
 */
#include "check.h"

BL_API bl_status bl_copy(bl_context *ctx, bl_tensor *dst, const bl_tensor *src) {
    static const char op[] = "copy";
    BL_CHECK_CONTEXT(op, ctx, copy);
    BL_TRY(bl_check_view(op, ctx, "src", src, BL_SET_ALL));
    BL_TRY(bl_check_strided(op, ctx, "dst", dst, BL_SET_ALL, &"ABCD"[BL_MAX_DIMS - src->ndim], src -> shape));
    return ctx->backend->ops.copy(ctx, dst, src);
}
