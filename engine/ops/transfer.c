/*
 * transfer.c - host memory to tensors and back: validation and dispatch. Copies
 * that do not wait are in device.c.
 */
#include "check.h"

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
    BL_CHECK_FEATURE(op, ctx, upload);
    BL_TRY(bl_check_flat(op, ctx, "dst", dst, BL_SET_ALL));
    BL_TRY(check_bytes(op, dst, src, bytes));
    return bytes ? ctx->backend->upload(ctx, dst, src, bytes) : BL_OK;
}

BL_API bl_status bl_download(bl_context *ctx, void *dst, const bl_tensor *src, size_t bytes) {
    static const char op[] = "download";
    BL_CHECK_FEATURE(op, ctx, download);
    BL_TRY(bl_check_flat(op, ctx, "src", src, BL_SET_ALL));
    BL_TRY(check_bytes(op, src, dst, bytes));
    return bytes ? ctx->backend->download(ctx, dst, src, bytes) : BL_OK;
}
