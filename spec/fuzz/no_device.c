/*
 * no_device.c - what parsers link to but never call when tensors are on the
 * CPU: the harnesses have neither kernels nor OpenMP.
 */
#include <stdlib.h>

#include "bertlua.h"

bl_status bl_upload(bl_context *ctx, bl_tensor *dst, const void *src, size_t bytes) {
    (void) ctx, (void) dst, (void) src, (void) bytes;
    abort();
}

bl_status bl_download(bl_context *ctx, void *dst, const bl_tensor *src, size_t bytes) {
    (void) ctx, (void) dst, (void) src, (void) bytes;
    abort();
}
