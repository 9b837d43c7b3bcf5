/*
 * bare_backend.c - a backend that can fill f32 tensors and nothing else, for
 * specs of what is said where a kernel is missing. It stands in for
 * libbertlua-cuda.so: its device is host memory. Compiled by the spec that uses
 * it.
 */
#include <stdlib.h>
#include <string.h>

#include "core/backend.h"

static bl_status bare_count(int32_t *count) {
    *count = 1;
    return BL_OK;
}

static bl_status bare_open(bl_context *ctx) {
    strcpy(ctx->description, "a bare device");
    return BL_OK;
}

static void bare_close(bl_context *ctx) {
    (void) ctx;
}

static bl_status bare_synchronize(bl_context *ctx) {
    (void) ctx;
    return BL_OK;
}

static bool bare_fast_dtype(const bl_context *ctx, int32_t dtype) {
    (void) ctx, (void) dtype;
    return false;
}

static bl_status bare_allocate(bl_context *ctx, size_t bytes, void **out) {
    (void) ctx;
    *out = calloc(1, bytes);
    return *out ? BL_OK : BL_ERROR_MEMORY;
}

static void bare_deallocate(bl_context *ctx, void *data, size_t bytes) {
    (void) ctx, (void) bytes;
    free(data);
}

static bl_status bare_upload(bl_context *ctx, bl_tensor *dst, const void *src, size_t bytes) {
    (void) ctx;
    memcpy(dst->data, src, bytes);
    return BL_OK;
}

static bl_status bare_download(bl_context *ctx, void *dst, const bl_tensor *src, size_t bytes) {
    (void) ctx;
    memcpy(dst, src->data, bytes);
    return BL_OK;
}

static bl_status bare_fill(bl_context *ctx, bl_tensor *t, double value) {
    (void) ctx;
    for (int64_t i = 0; t->dtype == BL_F32 && i < t->shape[0] * t->shape[1]; i++)
        ((float *) t->data)[i] = (float) value;
    return BL_OK;
}

BL_API bl_backend_entry bl_cuda_entry;

BL_API const bl_backend *bl_cuda_entry(uint64_t layout) {
    static const bl_backend table = {
        .name = "cuda",
        .count = bare_count,
        .open = bare_open,
        .close = bare_close,
        .synchronize = bare_synchronize,
        .fast_dtype = bare_fast_dtype,
        .allocate = bare_allocate,
        .deallocate = bare_deallocate,
        .upload = bare_upload,
        .download = bare_download,
        .ops = {.fill = bare_fill},
    };
    return layout == bl_backend_layout() ? &table : NULL;
}
