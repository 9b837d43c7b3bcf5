/*
 * device.c - the CPU's events, pinned memory and copies: everything is done
 * when a call returns.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cpu.h"

/* An event is the time it was recorded at. */
typedef struct cpu_mark {
    double seconds;
} cpu_mark;

bl_status bl_cpu_event_create(bl_context *ctx, bool timed, void **out) {
    (void) ctx;
    (void) timed;
    cpu_mark *mark = calloc(1, sizeof *mark);
    if (!mark) return bl_fail(BL_ERROR_MEMORY, "event: out of memory");
    *out = mark;
    return BL_OK;
}

void bl_cpu_event_destroy(bl_context *ctx, void *mark) {
    (void) ctx;
    free(mark);
}

bl_status bl_cpu_event_record(bl_context *ctx, void *mark, int32_t stream) {
    (void) ctx;
    (void) stream;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    ((cpu_mark *) mark)->seconds = (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
    return BL_OK;
}

bl_status bl_cpu_event_wait(bl_context *ctx, void *mark, int32_t stream) {
    (void) ctx;
    (void) mark;
    (void) stream;
    return BL_OK;
}

bl_status bl_cpu_event_synchronize(bl_context *ctx, void *mark) {
    (void) ctx;
    (void) mark;
    return BL_OK;
}

bl_status bl_cpu_event_query(bl_context *ctx, void *mark, bool *done) {
    (void) ctx;
    (void) mark;
    *done = true;
    return BL_OK;
}

bl_status bl_cpu_event_elapsed(bl_context *ctx, void *begin, void *end, double *seconds) {
    (void) ctx;
    *seconds = ((cpu_mark *) end)->seconds - ((cpu_mark *) begin)->seconds;
    return BL_OK;
}

bl_status bl_cpu_pinned_allocate(bl_context *ctx, size_t bytes, void **out) {
    (void) ctx;
    if (posix_memalign(out, 64, bytes) != 0)
        return bl_fail(BL_ERROR_MEMORY, "pinned: cannot allocate %zu bytes", bytes);
    memset(*out, 0, bytes);
    return BL_OK;
}

void bl_cpu_pinned_free(bl_context *ctx, void *data) {
    (void) ctx;
    free(data);
}

bl_status bl_cpu_upload_async(bl_context *ctx, bl_tensor *dst, const void *src, size_t bytes, int32_t stream) {
    (void) ctx;
    (void) stream;
    memcpy(dst->data, src, bytes);
    return BL_OK;
}

bl_status bl_cpu_download_async(bl_context *ctx, void *dst, const bl_tensor *src, size_t bytes, int32_t stream) {
    (void) ctx;
    (void) stream;
    memcpy(dst, src->data, bytes);
    return BL_OK;
}

bl_status bl_cpu_memory_info(bl_context *ctx, uint64_t *free_bytes, uint64_t *total_bytes) {
    (void) ctx;
    bool limited;
    return bl_memory_left(NULL, free_bytes, total_bytes, &limited);
}
