/*
 * segment_mean.c - validation and dispatch of the mean over the rows of each segment.
 */
#include "check.h"

BL_API bl_status bl_segment_mean_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_tensor *segments) {
    static const char op[] = "segment_mean";
    BL_CHECK_CONTEXT(op, ctx, segment_mean_forward);
    BL_CHECK(op, ctx, x, BL_SET_ACT, "TH", BL_ANY, BL_ANY);
    BL_TRY(bl_check_segments(op, ctx, segments, x->shape[0]));
    BL_CHECK(op, ctx, y, BL_SET(x->dtype), "BH", segments->shape[0], x->shape[1]);
    return ctx->backend->ops.segment_mean_forward(ctx, y, x, segments);
}

BL_API bl_status bl_segment_mean_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy,
                                          const bl_tensor *segments) {
    static const char op[] = "segment_mean_backward";
    BL_CHECK_CONTEXT(op, ctx, segment_mean_backward);
    BL_CHECK(op, ctx, dy, BL_SET_ACT, "BH", BL_ANY, BL_ANY);
    BL_CHECK(op, ctx, dx, BL_SET(dy->dtype), "TH", BL_ANY, dy->shape[1]);
    BL_CHECK(op, ctx, segments, BL_SET(BL_I32), "B2", dy->shape[0], 2);
    BL_TRY(bl_check_segments(op, ctx, segments, dx->shape[0]));
    BL_TRY(bl_check_disjoint(op, ctx, segments));
    return ctx->backend->ops.segment_mean_backward(ctx, dx, dy, segments);
}
