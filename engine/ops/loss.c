/*
 * loss.c - validation and dispatch of gather, cross-entropy and span loss: the
 * end of the forward pass.
 */
#include "check.h"

BL_API bl_status bl_gather_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_tensor *index) {
    static const char op[] = "gather";
    BL_CHECK_CONTEXT(op, ctx, gather_forward);
    BL_CHECK(op, ctx, x, BL_SET_ACT, "TH", BL_ANY, BL_ANY);
    BL_CHECK(op, ctx, index, BL_SET(BL_I32), "M", BL_ANY);
    BL_CHECK(op, ctx, y, BL_SET(x->dtype), "MH", index->shape[0], x->shape[1]);
    BL_TRY(bl_check_index(op, ctx, "index", index, 0, x->shape[0]));
    return ctx->backend->gather_forward(ctx, y, x, index);
}

BL_API bl_status bl_gather_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *index) {
    static const char op[] = "gather_backward";
    BL_CHECK_CONTEXT(op, ctx, gather_backward);
    BL_CHECK(op, ctx, dy, BL_SET_ACT, "MH", BL_ANY, BL_ANY);
    BL_CHECK(op, ctx, index, BL_SET(BL_I32), "M", dy->shape[0]);
    BL_CHECK(op, ctx, dx, BL_SET(dy->dtype), "TH", BL_ANY, dy->shape[1]);
    BL_TRY(bl_check_index(op, ctx, "index", index, 0, dx->shape[0]));
    return ctx->backend->gather_backward(ctx, dx, dy, index);
}

static bl_status check_classes(const char *op, const bl_context *ctx, const bl_tensor *logits, const bl_tensor *labels,
                               int64_t classes) {
    BL_CHECK(op, ctx, logits, BL_SET_ACT, "MV", BL_ANY, BL_ANY);
    BL_CHECK(op, ctx, labels, BL_SET(BL_I32), "M", logits->shape[0]);
    if (classes < 1 || classes > logits->shape[1])
        return bl_fail(BL_ERROR_ARGUMENT, "%s: classes is %lld, expected 1 to %lld (columns of logits)", op,
                       (long long) classes, (long long) logits->shape[1]);
    return bl_check_index(op, ctx, "labels", labels, -1, classes);
}

BL_API bl_status bl_cross_entropy_forward(bl_context *ctx, bl_tensor *loss, bl_tensor *lse, bl_tensor *correct,
                                          const bl_tensor *logits, const bl_tensor *labels, int64_t classes) {
    static const char op[] = "cross_entropy";
    BL_CHECK_CONTEXT(op, ctx, cross_entropy_forward);
    BL_TRY(check_classes(op, ctx, logits, labels, classes));
    BL_CHECK(op, ctx, loss, BL_SET(BL_F32), "1", 1);
    BL_CHECK_OPTIONAL(op, ctx, lse, BL_SET(BL_F32), "M", logits->shape[0]);
    BL_CHECK_OPTIONAL(op, ctx, correct, BL_SET(BL_F32), "1", 1);
    return ctx->backend->cross_entropy_forward(ctx, loss, lse, correct, logits, labels, classes);
}

BL_API bl_status bl_cross_entropy_backward(bl_context *ctx, bl_tensor *dlogits, const bl_tensor *logits,
                                           const bl_tensor *labels, const bl_tensor *lse, const bl_tensor *dloss,
                                           int64_t classes) {
    static const char op[] = "cross_entropy_backward";
    BL_CHECK_CONTEXT(op, ctx, cross_entropy_backward);
    BL_TRY(check_classes(op, ctx, logits, labels, classes));
    BL_CHECK(op, ctx, dlogits, BL_SET(logits->dtype), "MV", logits->shape[0], logits->shape[1]);
    BL_CHECK(op, ctx, lse, BL_SET(BL_F32), "M", logits->shape[0]);
    BL_CHECK(op, ctx, dloss, BL_SET(BL_F32), "1", 1);
    return ctx->backend->cross_entropy_backward(ctx, dlogits, logits, labels, lse, dloss, classes);
}

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
    return ctx->backend->span_loss_forward(ctx, loss, lse, logits, segments, starts, ends);
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
    return ctx->backend->span_loss_backward(ctx, dlogits, logits, segments, starts, ends, lse, dloss);
}
