/*
 * affinity.c - pinning of worker threads to cores.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "internal.h"

/* Cores this process may run on, ascending; returns how many (at most CPU_SETSIZE). */
static int allowed_cores(int *cores) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
    int count = 0;
    for (int core = 0; core < CPU_SETSIZE; core++)
        if (CPU_ISSET(core, &set)) cores[count++] = core;
    return count;
}

static int pin_caller(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    return pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

BL_API bl_status bl_context_pin_threads(bl_context *ctx, bool *pinned) {
    if (!ctx || !pinned) return bl_fail(BL_ERROR_ARGUMENT, "context: %s is NULL", ctx ? "pinned" : "ctx");
    int cores[CPU_SETSIZE];
    if (ctx->device != BL_CPU || allowed_cores(cores) != ctx->threads) {
        *pinned = false;
        return BL_OK;
    }
    int failure = 0;
#pragma omp parallel for num_threads(ctx->threads) schedule(static, 1) reduction(max : failure)
    for (int i = 0; i < ctx->threads; i++)
        failure = pin_caller(cores[i]);
    if (failure) return bl_fail(BL_ERROR_IO, "context: cannot pin a thread to its core: %s", strerror(failure));
    *pinned = true;
    return BL_OK;
}
