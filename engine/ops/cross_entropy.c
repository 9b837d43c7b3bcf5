/*
 * cross_entropy.c - validation and dispatch of softmax cross-entropy.
 */
#include "check.h"

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
    return ctx->backend->ops.cross_entropy_forward(ctx, loss, lse, correct, logits, labels, classes);
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
    return ctx->backend->ops.cross_entropy_backward(ctx, dlogits, logits, labels, lse, dloss, classes);
}
