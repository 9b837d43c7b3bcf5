/*
 * transfer.c - copy, upload, download and fill: validation and dispatch.
 */
#include "check.h"

BL_API bl_status bl_copy(bl_context *ctx, bl_tensor *dst, const bl_tensor *src) {
    static const char op[] = "copy";
    BL_CHECK_CONTEXT(op, ctx, copy);
    BL_TRY(bl_check_view(op, ctx, "src", src, BL_SET_ALL));
    BL_TRY(bl_check_strided(op, ctx, "dst", dst, BL_SET_ALL, &"ABCD"[BL_MAX_DIMS - src->ndim], src -> shape));
    return ctx->backend->copy(ctx, dst, src);
}

static bl_status check_bytes(const char *op, const bl_tensor *t, const void *host, size_t bytes) {
    char text[128];
    size_t own = (size_t) bl_tensor_numel(t) * bl_dtype_size(t->dtype);
    if (bytes != own)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: bytes is %zu, the tensor is %s, expected %zu", op, bytes,
                       bl_tensor_format(t, text, sizeof text), own);
    if (!host && bytes > 0) return bl_fail(BL_ERROR_ARGUMENT, "%s: the host pointer is NULL", op);
    return BL_OK;
}

BL_API bl_status bl_upload(bl_context *ctx, bl_tensor *dst, const void *src, size_t bytes) {
    static const char op[] = "upload";
    BL_CHECK_CONTEXT(op, ctx, upload);
    BL_TRY(bl_check_flat(op, ctx, "dst", dst, BL_SET_ALL));
    BL_TRY(check_bytes(op, dst, src, bytes));
    return bytes ? ctx->backend->upload(ctx, dst, src, bytes) : BL_OK;
}

BL_API bl_status bl_download(bl_context *ctx, void *dst, const bl_tensor *src, size_t bytes) {
    static const char op[] = "download";
    BL_CHECK_CONTEXT(op, ctx, download);
    BL_TRY(bl_check_flat(op, ctx, "src", src, BL_SET_ALL));
    BL_TRY(check_bytes(op, src, dst, bytes));
    return bytes ? ctx->backend->download(ctx, dst, src, bytes) : BL_OK;
}

BL_API bl_status bl_fill(bl_context *ctx, bl_tensor *t, double value) {
    static const char op[] = "fill";
    BL_CHECK_CONTEXT(op, ctx, fill);
    BL_TRY(bl_check_view(op, ctx, "t", t, BL_SET_ALL));
    return ctx->backend->fill(ctx, t, value);
}

BL_API bl_status bl_fill_normal(bl_context *ctx, bl_tensor *t, double mean, double std, uint64_t seed,
                                uint64_t stream) {
    static const char op[] = "fill_normal";
    BL_CHECK_CONTEXT(op, ctx, fill_normal);
    BL_TRY(bl_check_flat(op, ctx, "t", t, BL_SET_ACT));
    if (!(std >= 0.0)) return bl_fail(BL_ERROR_ARGUMENT, "fill_normal: std is %g, expected 0 or more", std);
    return ctx->backend->fill_normal(ctx, t, mean, std, seed, stream);
}

BL_API bl_status bl_fill_uniform(bl_context *ctx, bl_tensor *t, double low, double high, uint64_t seed,
                                 uint64_t stream) {
    static const char op[] = "fill_uniform";
    BL_CHECK_CONTEXT(op, ctx, fill_uniform);
    BL_TRY(bl_check_flat(op, ctx, "t", t, BL_SET_ACT));
    if (!(high >= low))
        return bl_fail(BL_ERROR_ARGUMENT, "fill_uniform: high is %g, expected at least low (%g)", high, low);
    return ctx->backend->fill_uniform(ctx, t, low, high, seed, stream);
}
