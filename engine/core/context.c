/*
 * context.c - opening a device: its backend table, threads and scratch memory.
 */
#include <omp.h>
#include <stdlib.h>

#include "backend.h"

/* What OpenMP would take, which is the user's choice or all processors, but no more than the process gets time on. */
static int32_t default_threads(void) {
    int32_t threads = omp_get_max_threads(), processors = bl_processors();
    const char *chosen = getenv("OMP_NUM_THREADS");
    bool all = threads == omp_get_num_procs() && !(chosen && chosen[0]);
    return all && processors < threads ? processors : threads;
}

BL_API bl_status bl_context_create(bl_context **out, int32_t device, int32_t device_index, int32_t threads) {
    if (!out) return bl_fail(BL_ERROR_ARGUMENT, "context: out is NULL");
    if (device_index < 0 || (device == BL_CPU && device_index != 0))
        return bl_fail(BL_ERROR_ARGUMENT, "context: device_index is %d, expected %s", (int) device_index,
                       device == BL_CPU ? "0 on the CPU" : "0 or more");
    if (threads < 0 || threads > 4096)
        return bl_fail(BL_ERROR_ARGUMENT, "context: threads is %d, expected 0 (all cores) to 4096", (int) threads);
    const bl_backend *backend = NULL;
    BL_TRY(bl_backend_open(device, &backend));
    bl_context *ctx = calloc(1, sizeof *ctx);
    if (!ctx) return bl_fail(BL_ERROR_MEMORY, "context: out of memory");
    ctx->backend = backend;
    ctx->device = device;
    ctx->device_index = device_index;
    ctx->threads = threads ? threads : default_threads();
    bl_status status = ctx->backend->open(ctx);
    if (status != BL_OK) {
        free(ctx);
        return status;
    }
    *out = ctx;
    return BL_OK;
}

BL_API void bl_context_free(bl_context *ctx) {
    if (!ctx) return;
    if (ctx->scratch) ctx->backend->deallocate(ctx, ctx->scratch, ctx->scratch_bytes);
    ctx->backend->close(ctx);
    free(ctx);
}

BL_API int32_t bl_context_device(const bl_context *ctx) {
    return ctx->device;
}

BL_API int32_t bl_context_threads(const bl_context *ctx) {
    return ctx->threads;
}

BL_API bool bl_context_fast_dtype(const bl_context *ctx, int32_t dtype) {
    return ctx->backend->fast_dtype(ctx, dtype);
}

BL_API const char *bl_context_describe(const bl_context *ctx) {
    return ctx->description;
}

BL_API bl_status bl_context_synchronize(bl_context *ctx) {
    return ctx->backend->synchronize(ctx);
}

bl_status bl_scratch(bl_context *ctx, size_t bytes, void **out) {
    if (bytes > ctx->scratch_bytes) {
        /* Grow by half at least, so that slowly rising demands do not reallocate each time. */
        size_t grown = ctx->scratch_bytes + ctx->scratch_bytes / 2;
        if (grown < bytes) grown = bytes;
        if (ctx->scratch) ctx->backend->deallocate(ctx, ctx->scratch, ctx->scratch_bytes);
        ctx->scratch = NULL;
        ctx->scratch_bytes = 0;
        BL_TRY(ctx->backend->allocate(ctx, grown, &ctx->scratch));
        ctx->scratch_bytes = grown;
    }
    *out = ctx->scratch;
    return BL_OK;
}
