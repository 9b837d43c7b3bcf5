/*
 * backend.c - the CPU backend's table, memory and description of the machine.
 */
#include <dnnl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "cpu.h"
#include "levels.h"
#include "matmul.h"

/* From here on, memory comes straight from the kernel: zeroed lazily, in huge pages where it can. */
enum { LARGE = 1 << 20 };

#if defined(__x86_64__)
static bool has_amx_bf16(void) {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (edx >> 22 & 1u);
}
#endif

static const char *vector_extension(void) {
#if defined(__x86_64__)
    if (has_amx_bf16()) return "AMX-BF16";
    if (__builtin_cpu_supports("avx512bf16")) return "AVX-512 with BF16";
    if (__builtin_cpu_supports("avx512f")) return "AVX-512";
    if (__builtin_cpu_supports("avx2")) return "AVX2";
    return "SSE2";
#elif defined(__aarch64__)
    return "NEON";
#else
    return "no known vector extension";
#endif
}

static void cpu_model(char *model, size_t bytes) {
    snprintf(model, bytes, "unknown CPU");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file) return;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "model name", 10) != 0) continue;
        const char *value = strchr(line, ':');
        if (!value) break;
        value += strspn(value, ": \t");
        snprintf(model, bytes, "%.*s", (int) strcspn(value, "\n"), value);
        break;
    }
    fclose(file);
}

static bl_status cpu_open(bl_context *ctx) {
    char model[128];
    BL_TRY(bl_cpu_check_answer());
    cpu_model(model, sizeof model);
    const dnnl_version_t *version = dnnl_version();
    const char *level = bl_cpu_level(ctx->backend);
    snprintf(ctx->description, sizeof ctx->description, "%s, %d thread%s, %s, %s%s%soneDNN %d.%d.%d", model,
             (int) ctx->threads, ctx->threads == 1 ? "" : "s", vector_extension(), level ? "kernels for " : "",
             level ? level : "", level ? ", " : "", version->major, version->minor, version->patch);
    return BL_OK;
}

static void cpu_close(bl_context *ctx) {
    bl_cpu_matmul_close(ctx);
}

static bl_status cpu_count(int32_t *count) {
    *count = 1;
    return BL_OK;
}

static bl_status cpu_synchronize(bl_context *ctx) {
    (void) ctx;
    return BL_OK;
}

static bool cpu_fast_dtype(const bl_context *ctx, int32_t dtype) {
    (void) ctx;
    return bl_cpu_is_fast(dtype);
}

static bl_status map_memory(size_t bytes, int flags, void **out) {
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    if (data == MAP_FAILED) return bl_fail(BL_ERROR_MEMORY, "memory: cannot map %zu bytes: %s", bytes, strerror(errno));
    /* Advice only: without huge pages the memory is merely slower. */
    (void) madvise(data, bytes, MADV_HUGEPAGE);
    *out = data;
    return BL_OK;
}

static bl_status cpu_allocate(bl_context *ctx, size_t bytes, void **out) {
    (void) ctx;
    if (bytes >= LARGE) return map_memory(bytes, 0, out);
    void *data = NULL;
    if (posix_memalign(&data, 64, bytes) != 0)
        return bl_fail(BL_ERROR_MEMORY, "memory: cannot allocate %zu bytes", bytes);
    memset(data, 0, bytes);
    *out = data;
    return BL_OK;
}

static void cpu_deallocate(bl_context *ctx, void *data, size_t bytes) {
    (void) ctx;
    if (bytes >= LARGE)
        munmap(data, bytes);
    else
        free(data);
}

static bl_status cpu_reserve(bl_context *ctx, size_t bytes, void **out) {
    (void) ctx;
    return map_memory(bytes, MAP_NORESERVE, out);
}

static void cpu_unreserve(bl_context *ctx, void *data, size_t bytes) {
    (void) ctx;
    munmap(data, bytes);
}

static bl_status cpu_upload(bl_context *ctx, bl_tensor *dst, const void *src, size_t bytes) {
    (void) ctx;
    memcpy(dst->data, src, bytes);
    return BL_OK;
}

static bl_status cpu_download(bl_context *ctx, void *dst, const bl_tensor *src, size_t bytes) {
    (void) ctx;
    memcpy(dst, src->data, bytes);
    return BL_OK;
}

extern const bl_backend bl_cpu_backend;
#define BL_ROW(op, file) .op = bl_cpu_##op,
const bl_backend bl_cpu_backend = {
    .name = "cpu",
    .count = cpu_count,
    .open = cpu_open,
    .close = cpu_close,
    .synchronize = cpu_synchronize,
    .fast_dtype = cpu_fast_dtype,
    .allocate = cpu_allocate,
    .deallocate = cpu_deallocate,
    .reserve = cpu_reserve,
    .unreserve = cpu_unreserve,
    .upload = cpu_upload,
    .download = cpu_download,
    .event_create = bl_cpu_event_create,
    .event_destroy = bl_cpu_event_destroy,
    .event_record = bl_cpu_event_record,
    .event_wait = bl_cpu_event_wait,
    .event_synchronize = bl_cpu_event_synchronize,
    .event_query = bl_cpu_event_query,
    .event_elapsed = bl_cpu_event_elapsed,
    .pinned_allocate = bl_cpu_pinned_allocate,
    .pinned_free = bl_cpu_pinned_free,
    .upload_async = bl_cpu_upload_async,
    .download_async = bl_cpu_download_async,
    .memory_info = bl_cpu_memory_info,
    .ops = {BL_OP_LIST(BL_ROW, BL_ROW, BL_NO_ROW)},
};
