/*
 * span_loss.c - validation and dispatch of the span loss of question answering.
 */
#include "check.h"

static bl_status check_spans(const char *op, const bl_context *ctx, const bl_tensor *logits, const bl_tensor *segments,
                             const bl_tensor *starts, const bl_tensor *ends) {
    BL_CHECK(op, ctx, logits, BL_SET_ACT, "T2", BL_ANY, 2);
    BL_TRY(bl_check_segments(op, ctx, segments, logits->shape[0]));
    BL_CHECK(op, ctx, starts, BL_SET(BL_I32), "B", segments->shape[0]);
    BL_CHECK(op, ctx, ends, BL_SET(BL_I32), "B", segments->shape[0]);
    return BL_OK;
}

BL_API bl_status bl_span_loss_forward(bl_context *ctx, bl_tensor *loss, bl_tensor *lse, const bl_tensor *logits,
                                      const bl_tensor *segments, const bl_tensor *starts, const bl_tensor *ends) {
    static const char op[] = "span_loss";
    BL_CHECK_CONTEXT(op, ctx, span_loss_forward);
    BL_TRY(check_spans(op, ctx, logits, segments, starts, ends));
    BL_CHECK(op, ctx, loss, BL_SET(BL_F32), "1", 1);
    BL_CHECK_OPTIONAL(op, ctx, lse, BL_SET(BL_F32), "B2", segments->shape[0], 2);
    return ctx->backend->ops.span_loss_forward(ctx, loss, lse, logits, segments, starts, ends);
}

BL_API bl_status bl_span_loss_backward(bl_context *ctx, bl_tensor *dlogits, const bl_tensor *logits,
                                       const bl_tensor *segments, const bl_tensor *starts, const bl_tensor *ends,
                                       const bl_tensor *lse, const bl_tensor *dloss) {
    static const char op[] = "span_loss_backward";
    BL_CHECK_CONTEXT(op, ctx, span_loss_backward);
    BL_TRY(check_spans(op, ctx, logits, segments, starts, ends));
    BL_CHECK(op, ctx, dlogits, BL_SET(logits->dtype), "T2", logits->shape[0], 2);
    BL_CHECK(op, ctx, lse, BL_SET(BL_F32), "B2", segments->shape[0], 2);
    BL_CHECK(op, ctx, dloss, BL_SET(BL_F32), "1", 1);
    return ctx->backend->ops.span_loss_backward(ctx, dlogits, logits, segments, starts, ends, lse, dloss);
}
