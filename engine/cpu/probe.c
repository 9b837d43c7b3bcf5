/*
 * probe.c - which of two dtypes this CPU multiplies faster. Instructions for
 * bf16 do not settle it: some CPUs run them at half the rate of f32's. The
 * environment variable BERTLUA_CPU_BF16, fast or slow, takes the place of the
 * measurement.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cpu.h"
#include "matmul.h"

enum { SIZE = 256, DEPTH = 768, ROUNDS = 7 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

static const char *given_answer(void) {
    const char *given = getenv("BERTLUA_CPU_BF16");
    return given && given[0] ? given : NULL;
}

bl_status bl_cpu_check_answer(void) {
    const char *given = given_answer();
    if (given && strcmp(given, "fast") != 0 && strcmp(given, "slow") != 0)
        return bl_fail(BL_ERROR_ARGUMENT, "context: BERTLUA_CPU_BF16 is %s, expected fast or slow", given);
    return BL_OK;
}

/* Seconds of the fastest of some products on one thread, which other work on the machine delays least; 0 on failure. */
static double measure(bl_context *ctx, void *memory, int32_t dtype) {
    bl_matrix matrix = {.data = memory, .row = DEPTH, .column = 1, .dtype = dtype};
    bl_matrix weights = {.data = memory, .row = 1, .column = DEPTH, .dtype = dtype};
    bl_matrix out = {.data = (char *) memory + SIZE * DEPTH * sizeof(float), .row = SIZE, .column = 1, .dtype = dtype};
    bl_cpu_product product = {.m = SIZE, .n = SIZE, .k = DEPTH, .a = matrix, .b = weights, .c = out, .compute = dtype};
    double best = 0;
    for (int i = 0; i <= ROUNDS; i++) {
        double begin = now();
        if (bl_cpu_multiply(ctx, &product) != BL_OK) return 0;
        double seconds = now() - begin;
        /* The first one is made ready. */
        if (i > 0 && (best == 0 || seconds < best)) best = seconds;
    }
    return best;
}

/* A property of the machine, as its instructions are: found out once a process, and never changed. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool bf16_is_faster;

static void compare(void) {
    void *memory = NULL;
    bl_context *ctx = NULL;
    size_t bytes = (size_t) (SIZE * DEPTH + SIZE * SIZE) * sizeof(float);
    if (posix_memalign(&memory, 64, bytes) != 0) return;
    memset(memory, 0, bytes);
    if (bl_context_create(&ctx, BL_CPU, 0, 1) == BL_OK) {
        double wide = measure(ctx, memory, BL_F32), narrow = measure(ctx, memory, BL_BF16);
        bf16_is_faster = wide > 0 && narrow > 0 && narrow < wide;
    }
    bl_context_free(ctx);
    free(memory);
}

bool bl_cpu_is_fast(int32_t dtype) {
    if (dtype == BL_F32) return true;
    if (dtype != BL_BF16) return false;
    const char *given = given_answer();
    if (given) return strcmp(given, "fast") == 0;
    if (!bl_cpu_matmul_native(BL_BF16)) return false;
    return pthread_once(&once, compare) == 0 && bf16_is_faster;
}
