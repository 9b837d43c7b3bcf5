/*
 * attention.c - checks of the attention ops; contracts are in api/ops.h.
 */
#include "check.h"

#include <math.h>

static bl_status check_inputs(const char *op, const bl_context *ctx, const bl_tensor *qkv, const bl_tensor *segments,
                              int32_t heads, int32_t max_length, float scale, const bl_dropout *dropout) {
    char text[128];
    BL_CHECK(op, ctx, qkv, BL_SET_ACT, "TX", BL_ANY, BL_ANY);
    if (heads < 1 || qkv->shape[1] < 3 || qkv->shape[1] % (3 * (int64_t) heads) != 0)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: qkv is %s, expected [T,3*%d*D] for %d heads", op,
                       bl_tensor_format(qkv, text, sizeof text), (int) heads, (int) heads);
    if (!isfinite(scale)) return bl_fail(BL_ERROR_ARGUMENT, "%s: scale is %g, expected finite", op, (double) scale);
    BL_TRY(bl_check_segments(op, ctx, segments, qkv->shape[0]));
    if (max_length < 1)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: max_length is %d, expected 1 or more", op, (int) max_length);
    if (ctx->device == BL_CPU) {
        const int32_t *values = segments->data;
        for (int64_t b = 0; b < segments->shape[0]; b++)
            if (values[2 * b + 1] > max_length)
                return bl_fail(BL_ERROR_ARGUMENT,
                               "%s: segments[%lld] (from 0) has length %d, expected max_length %d or less", op,
                               (long long) b, (int) values[2 * b + 1], (int) max_length);
    }
    BL_TRY(bl_check_disjoint(op, ctx, segments));
    return bl_check_dropout(op, ctx, dropout);
}

BL_API int64_t bl_attention_kept_words(const bl_context *ctx, int32_t max_length) {
    enum { TILE = 64 };
    int64_t tiles = ((int64_t) max_length + TILE - 1) / TILE;
    return ctx->attention == BL_ATTENTION_CUDNN ? 0 : tiles * tiles * TILE * TILE / 32;
}

BL_API bl_status bl_attention_forward(bl_context *ctx, bl_tensor *out, bl_tensor *stats, bl_tensor *kept,
                                      const bl_tensor *qkv, const bl_tensor *segments, int32_t heads,
                                      int32_t max_length, float scale, const bl_dropout *dropout) {
    static const char op[] = "attention";
    BL_CHECK_CONTEXT(op, ctx, attention_forward);
    BL_TRY(check_inputs(op, ctx, qkv, segments, heads, max_length, scale, dropout));
    BL_CHECK(op, ctx, out, BL_SET(qkv->dtype), "TH", qkv->shape[0], qkv->shape[1] / 3);
    BL_CHECK_OPTIONAL(op, ctx, stats, BL_SET(BL_F32), "BAS", segments->shape[0], heads, max_length);
    BL_CHECK_OPTIONAL(op, ctx, kept, BL_SET(BL_I32), "BAW", segments->shape[0], heads,
                      bl_attention_kept_words(ctx, max_length));
    return ctx->backend->ops.attention_forward(ctx, out, stats, kept, qkv, segments, heads, max_length, scale, dropout);
}

BL_API bl_status bl_attention_backward(bl_context *ctx, bl_tensor *dqkv, const bl_tensor *dout, const bl_tensor *out,
                                       const bl_tensor *stats, const bl_tensor *kept, const bl_tensor *qkv,
                                       const bl_tensor *segments, int32_t heads, int32_t max_length, float scale,
                                       const bl_dropout *dropout, bl_tensor *sums) {
    static const char op[] = "attention backward";
    BL_CHECK_CONTEXT(op, ctx, attention_backward);
    BL_TRY(check_inputs(op, ctx, qkv, segments, heads, max_length, scale, dropout));
    int64_t rows = qkv->shape[0], hidden = qkv->shape[1] / 3;
    BL_CHECK(op, ctx, dqkv, BL_SET(qkv->dtype), "TX", rows, 3 * hidden);
    BL_CHECK_OPTIONAL(op, ctx, sums, BL_SET(BL_F32), "X", 3 * hidden);
    BL_CHECK(op, ctx, dout, BL_SET(qkv->dtype), "TH", rows, hidden);
    BL_CHECK(op, ctx, out, BL_SET(qkv->dtype), "TH", rows, hidden);
    BL_CHECK(op, ctx, stats, BL_SET(BL_F32), "BAS", segments->shape[0], heads, max_length);
    int64_t words = bl_attention_kept_words(ctx, max_length);
    if (words && dropout && dropout->p > 0.0f)
        BL_CHECK(op, ctx, kept, BL_SET(BL_I32), "BAW", segments->shape[0], heads, words);
    else
        kept = NULL;
    return ctx->backend->ops.attention_backward(ctx, dqkv, dout, out, stats, kept, qkv, segments, heads, max_length,
                                                scale, dropout, sums);
}
