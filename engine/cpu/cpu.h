/*
 * cpu.h - the functions behind the CPU backend's table. Arguments were validated
 * by the caller.
 */
#ifndef BERTLUA_CPU_CPU_H
#define BERTLUA_CPU_CPU_H

#include "core/backend.h"

/* device.c */
bl_status bl_cpu_event_create(bl_context *ctx, bool timed, void **out);
void bl_cpu_event_destroy(bl_context *ctx, void *mark);
bl_status bl_cpu_event_record(bl_context *ctx, void *mark, int32_t stream);
bl_status bl_cpu_event_wait(bl_context *ctx, void *mark, int32_t stream);
bl_status bl_cpu_event_synchronize(bl_context *ctx, void *mark);
bl_status bl_cpu_event_query(bl_context *ctx, void *mark, bool *done);
bl_status bl_cpu_event_elapsed(bl_context *ctx, void *begin, void *end, double *seconds);
bl_status bl_cpu_pinned_allocate(bl_context *ctx, size_t bytes, void **out);
void bl_cpu_pinned_free(bl_context *ctx, void *data);
bl_status bl_cpu_upload_async(bl_context *ctx, bl_tensor *dst, const void *src, size_t bytes, int32_t stream);
bl_status bl_cpu_download_async(bl_context *ctx, void *dst, const bl_tensor *src, size_t bytes, int32_t stream);
bl_status bl_cpu_memory_info(bl_context *ctx, uint64_t *free_bytes, uint64_t *total_bytes);

/* a / b rounded up, of a >= 0 and b > 0. */
static inline int64_t bl_cpu_ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* y = f(x) of n elements, which may be the same ones; f is not the identity (linear.c). */
void bl_cpu_activate(float *y, const float *x, int64_t n, int32_t activation);

/* sums f32 [N] = the sums of t [T,N] over its rows, in the order of bl_linear_backward's dbias (linear.c). */
bl_status bl_cpu_column_sums(bl_context *ctx, bl_tensor *sums, bl_tensor *t);

/* Kernels: the ops of the list that the CPU has, with their signatures. */
#define BL_KERNEL(op, file) __typeof__(bl_##op) bl_cpu_##op;
BL_OP_LIST(BL_KERNEL, BL_KERNEL, BL_NO_ROW)
#undef BL_KERNEL

#endif
