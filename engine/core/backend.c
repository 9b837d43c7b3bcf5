/*
 * backend.c - which backends there are: the CPU's is part of the engine, CUDA's
 * is a shared object that is opened on first use.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "companion.h"

/* BERTLUA_CUDA_LIB, or libbertlua-cuda.so where the library is. */
static bl_status find_cuda(char *path, size_t bytes) {
    const char *chosen = getenv("BERTLUA_CUDA_LIB");
    bool found = false;
    if (!chosen || !chosen[0]) {
        BL_TRY(bl_companion_find("cuda", "libbertlua-cuda.so", path, bytes, &found));
        if (found) return BL_OK;
        return bl_fail(BL_ERROR_UNSUPPORTED,
                       "cuda: not built (no %.300s); run make cuda, which needs nvcc, or use --device cpu", path);
    }
    int length = snprintf(path, bytes, "%s", chosen);
    if (length < 0 || (size_t) length >= bytes)
        return bl_fail(BL_ERROR_ARGUMENT, "cuda: BERTLUA_CUDA_LIB is longer than %zu bytes", bytes - 1);
    if (access(path, R_OK) == 0) return BL_OK;
    return bl_fail(BL_ERROR_UNSUPPORTED,
                   "cuda: BERTLUA_CUDA_LIB is %.300s: no such file; correct or unset it, or use --device cpu", path);
}

static bl_status open_cuda(const bl_backend **out) {
    char path[4096];
    BL_TRY(find_cuda(path, sizeof path));
    /* Never closed: the CUDA runtime does not survive it. Opening it again is free. */
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        const char *reason = dlerror();
        return bl_fail(BL_ERROR_UNSUPPORTED,
                       "cuda: %.300s cannot be opened; install the CUDA libraries it was built with (or add their "
                       "folder to LD_LIBRARY_PATH), or use --device cpu",
                       reason ? reason : path);
    }
    bl_backend_entry *entry = NULL;
    void *symbol = dlsym(library, "bl_cuda_entry");
    memcpy(&entry, &symbol, sizeof entry);
    const bl_backend *backend = entry ? entry(bl_backend_layout()) : NULL;
    if (!backend)
        return bl_fail(BL_ERROR_UNSUPPORTED, "cuda: %.300s belongs to another version of bertlua; run make cuda", path);
    *out = backend;
    return BL_OK;
}

bl_status bl_backend_open(int32_t device, const bl_backend **out) {
    switch (device) {
    case BL_CPU:
        return bl_cpu_backend_open(out);
    case BL_CUDA:
        return open_cuda(out);
    default:
        return bl_fail(BL_ERROR_ARGUMENT, "context: device is %d, expected 0 (cpu) or 1 (cuda)", (int) device);
    }
}

BL_API bl_status bl_device_count(int32_t device, int32_t *count) {
    if (!count) return bl_fail(BL_ERROR_ARGUMENT, "device_count: count is NULL");
    const bl_backend *backend = NULL;
    BL_TRY(bl_backend_open(device, &backend));
    return backend->count(count);
}

BL_API bl_status bl_device_report(int32_t device, char *text, size_t bytes) {
    if (!text || bytes == 0) return bl_fail(BL_ERROR_ARGUMENT, "device_report: no room for the text");
    const bl_backend *backend = NULL;
    BL_TRY(bl_backend_open(device, &backend));
    text[0] = '\0';
    if (backend->report) backend->report(text, bytes);
    return BL_OK;
}
