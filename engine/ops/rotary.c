/*
 * rotary.c - validation and dispatch of rotary position embeddings.
 */
#include "check.h"

BL_API bl_status bl_rotary(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_tensor *positions, int32_t heads,
                           float base, bool inverse) {
    static const char op[] = "rotary";
    char text[128];
    BL_CHECK_CONTEXT(op, ctx, rotary);
    BL_TRY(bl_check_rows(op, ctx, "x", x));
    if (heads < 1 || x->shape[1] % (6 * (int64_t) heads) != 0)
        return bl_fail(BL_ERROR_ARGUMENT,
                       "%s: x is %s with %d heads, expected columns that are queries, keys and values of that many "
                       "heads, each of an even size",
                       op, bl_tensor_format(x, text, sizeof text), (int) heads);
    BL_CHECK(op, ctx, y, BL_SET(x->dtype), "TH", x->shape[0], x->shape[1]);
    BL_CHECK(op, ctx, positions, BL_SET(BL_I32), "T", x->shape[0]);
    if (!(base > 0.0f)) return bl_fail(BL_ERROR_ARGUMENT, "%s: base is %g, expected above 0", op, (double) base);
    BL_TRY(bl_check_index(op, ctx, "positions", positions, 0, (int64_t) INT32_MAX + 1));
    return ctx->backend->ops.rotary(ctx, y, x, positions, heads, base, inverse);
}
