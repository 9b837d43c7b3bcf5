/*
 * memory.cu - device memory: zero-filled buffers, address space for arenas that
 * gets memory only as it is used, and transfers from and to the host.
 */
#include <cuda.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/cuda.h"

/* ---- buffers ---- */

static bl_status fail_memory(size_t bytes, const char *what) {
    size_t available = 0, total = 0;
    (void) cudaGetLastError();
    (void) cudaMemGetInfo(&available, &total);
    return bl_fail(
        BL_ERROR_MEMORY,
        "%s: %zu bytes (%.2f GiB) of GPU memory requested, %.2f GiB of %.2f GiB free; use a smaller batch, a "
        "smaller model or gradient accumulation",
        what, bytes, (double) bytes / (1 << 30), (double) available / (1 << 30), (double) total / (1 << 30));
}

bl_status bl_cuda_allocate(bl_context *ctx, size_t bytes, void **out) {
    void *data = NULL;
    cudaError_t error = cudaMalloc(&data, bytes);
    if (error == cudaErrorMemoryAllocation) return fail_memory(bytes, "memory");
    BL_CUDA_TRY(error, "memory");
    error = cudaMemsetAsync(data, 0, bytes, bl_cuda_of(ctx)->stream);
    if (error != cudaSuccess) {
        (void) cudaFree(data);
        return bl_cuda_fail(error, "memory");
    }
    *out = data;
    return BL_OK;
}

void bl_cuda_deallocate(bl_context *ctx, void *data, size_t bytes) {
    (void) ctx;
    (void) bytes;
    /* Waits for what still uses it. */
    (void) cudaFree(data);
}

/*
 * ---- arenas: reserved addresses, mapped from the front in chunks ----
 *
 * Where the driver does not let this process map memory, an arena is one block of cudaMalloc's.
 */

/* The driver's functions, found at run time: a machine without a driver has no libcuda to link to. */
struct driver {
    decltype(&cuMemGetAllocationGranularity) granularity;
    decltype(&cuMemAddressReserve) reserve;
    decltype(&cuMemAddressFree) free;
    decltype(&cuMemCreate) create;
    decltype(&cuMemRelease) release;
    decltype(&cuMemMap) map;
    decltype(&cuMemUnmap) unmap;
    decltype(&cuMemSetAccess) access;
};

/* One reservation. Chunk i covers ends[i - 1] to ends[i]. */
struct reservation {
    struct reservation *next;
    bool whole; /* memory that was taken at once, without chunks */
    CUdeviceptr base;
    size_t bytes;
    size_t mapped;
    size_t count;
    size_t *ends;
};

struct memory_state {
    struct driver driver;
    size_t granularity; /* 0: memory cannot be mapped */
    struct reservation *reservations;
};

/*
 * A growing arena takes an eighth of what it has at a time, or this if that is
 * less: some hundred times in all, and little more than it uses.
 */
static const size_t CHUNK = (size_t) 64 << 20;
static const size_t CHUNK_SHARE = 8;

template <typename Function> static bool find_driver(Function *function, const char *name) {
    void *found = NULL;
    cudaDriverEntryPointQueryResult result;
#if CUDART_VERSION >= 12050
    cudaError_t error = cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &result);
#else
    cudaError_t error = cudaGetDriverEntryPoint(name, &found, cudaEnableDefault, &result);
#endif
    if (error != cudaSuccess) (void) cudaGetLastError();
    *function = reinterpret_cast<Function>(found);
    return error == cudaSuccess && result == cudaDriverEntryPointSuccess && found;
}

static bool find_functions(struct driver *driver) {
    return find_driver(&driver->granularity, "cuMemGetAllocationGranularity") &&
           find_driver(&driver->reserve, "cuMemAddressReserve") && find_driver(&driver->free, "cuMemAddressFree") &&
           find_driver(&driver->create, "cuMemCreate") && find_driver(&driver->release, "cuMemRelease") &&
           find_driver(&driver->map, "cuMemMap") && find_driver(&driver->unmap, "cuMemUnmap") &&
           find_driver(&driver->access, "cuMemSetAccess");
}

static bl_status fail_driver(CUresult result, const char *what) {
    /* Errors of a lost device have the same numbers in the runtime, which has messages for them. */
    if (bl_cuda_fail((cudaError_t) result, "arena") == BL_ERROR_DEVICE) return BL_ERROR_DEVICE;
    return bl_fail(BL_ERROR_INTERNAL, "arena: %s: the CUDA driver answered %d", what, (int) result);
}

static CUmemAllocationProp memory_of(const bl_cuda *cuda) {
    CUmemAllocationProp kind;
    memset(&kind, 0, sizeof kind);
    kind.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    kind.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    kind.location.id = cuda->device;
    return kind;
}

static size_t round_up(size_t bytes, size_t to) {
    return (bytes + to - 1) / to * to;
}

/* Memory behind the next `bytes` of the reservation; what was done is undone on failure. */
static bl_status map_chunk(bl_cuda *cuda, struct memory_state *state, struct reservation *r, size_t bytes) {
    size_t *ends = (size_t *) realloc(r->ends, (r->count + 1) * sizeof *ends);
    if (!ends) return bl_fail(BL_ERROR_MEMORY, "arena: out of memory");
    r->ends = ends;
    CUmemAllocationProp kind = memory_of(cuda);
    CUmemGenericAllocationHandle handle = 0;
    CUdeviceptr at = r->base + r->mapped;
    CUresult result = state->driver.create(&handle, bytes, &kind, 0);
    if (result == CUDA_ERROR_OUT_OF_MEMORY) return fail_memory(bytes, "arena");
    if (result != CUDA_SUCCESS) return fail_driver(result, "taking memory");
    result = state->driver.map(at, bytes, 0, handle, 0);
    /* The mapping keeps the memory alive. */
    (void) state->driver.release(handle);
    if (result != CUDA_SUCCESS) return fail_driver(result, "mapping memory");
    CUmemAccessDesc access;
    memset(&access, 0, sizeof access);
    access.location = kind.location;
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    result = state->driver.access(at, bytes, &access, 1);
    if (result != CUDA_SUCCESS) {
        (void) state->driver.unmap(at, bytes);
        return fail_driver(result, "opening memory");
    }
    r->mapped += bytes;
    r->ends[r->count++] = r->mapped;
    return BL_OK;
}

static void free_reservation(struct memory_state *state, struct reservation *r) {
    size_t begin = 0;
    if (r->whole) {
        (void) cudaFree(reinterpret_cast<void *>(r->base));
        free(r);
        return;
    }
    for (size_t i = 0; i < r->count; i++) {
        (void) state->driver.unmap(r->base + begin, r->ends[i] - begin);
        begin = r->ends[i];
    }
    (void) state->driver.free(r->base, r->bytes);
    free(r->ends);
    free(r);
}

/*
 * Maps one chunk, as arenas will, and gives it back. Drivers that are too old and sandboxes that forbid it refuse at
 * one step or another, and granularity stays 0; a lost device, or no memory at all, fails.
 */
static bl_status try_mapping(bl_cuda *cuda, struct memory_state *state) {
    if (!find_functions(&state->driver)) return BL_OK;
    CUmemAllocationProp kind = memory_of(cuda);
    size_t bytes = 0;
    CUresult result = state->driver.granularity(&bytes, &kind, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED);
    if (result != CUDA_SUCCESS || bytes == 0) return BL_OK;
    struct reservation *r = (struct reservation *) calloc(1, sizeof *r);
    if (!r) return bl_fail(BL_ERROR_MEMORY, "arena: out of memory");
    r->bytes = bytes;
    if (state->driver.reserve(&r->base, bytes, 0, 0, 0) != CUDA_SUCCESS) {
        free(r);
        return BL_OK;
    }
    bl_status status = map_chunk(cuda, state, r, bytes);
    free_reservation(state, r);
    if (status == BL_OK) state->granularity = bytes;
    return status == BL_ERROR_MEMORY || status == BL_ERROR_DEVICE ? status : BL_OK;
}

static bl_status open_memory(bl_cuda *cuda, struct memory_state **out) {
    if (!cuda->memory_state) {
        struct memory_state *state = (struct memory_state *) calloc(1, sizeof *state);
        if (!state) return bl_fail(BL_ERROR_MEMORY, "arena: out of memory");
        bl_status status = try_mapping(cuda, state);
        if (status != BL_OK) {
            free(state);
            return status;
        }
        cuda->memory_state = state;
    }
    *out = (struct memory_state *) cuda->memory_state;
    return BL_OK;
}

bl_status bl_cuda_arenas_grow(bl_context *ctx, bool *grow) {
    struct memory_state *state = NULL;
    BL_TRY(open_memory(bl_cuda_of(ctx), &state));
    *grow = state->granularity != 0;
    return BL_OK;
}

static bl_status take_whole(struct reservation *r) {
    void *data = NULL;
    cudaError_t error = cudaMalloc(&data, r->bytes);
    if (error == cudaErrorMemoryAllocation) return fail_memory(r->bytes, "arena");
    BL_CUDA_TRY(error, "arena");
    r->base = reinterpret_cast<CUdeviceptr>(data);
    r->mapped = r->bytes;
    r->whole = true;
    return BL_OK;
}

static bl_status reserve_addresses(const struct memory_state *state, struct reservation *r) {
    r->bytes = round_up(r->bytes, state->granularity);
    CUresult result = state->driver.reserve(&r->base, r->bytes, 0, 0, 0);
    return result == CUDA_SUCCESS ? BL_OK : fail_driver(result, "reserving address space");
}

bl_status bl_cuda_reserve(bl_context *ctx, size_t bytes, void **out) {
    struct memory_state *state = NULL;
    BL_TRY(open_memory(bl_cuda_of(ctx), &state));
    struct reservation *r = (struct reservation *) calloc(1, sizeof *r);
    if (!r) return bl_fail(BL_ERROR_MEMORY, "arena: out of memory");
    r->bytes = bytes;
    bl_status status = state->granularity ? reserve_addresses(state, r) : take_whole(r);
    if (status != BL_OK) {
        free(r);
        return status;
    }
    r->next = state->reservations;
    state->reservations = r;
    *out = reinterpret_cast<void *>(r->base);
    return BL_OK;
}

static struct reservation **find_reservation(struct memory_state *state, const void *data) {
    struct reservation **link = &state->reservations;
    while (*link && (*link)->base != reinterpret_cast<CUdeviceptr>(data))
        link = &(*link)->next;
    return link;
}

bl_status bl_cuda_commit(bl_context *ctx, void *data, size_t bytes) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    struct memory_state *state = (struct memory_state *) cuda->memory_state;
    struct reservation *r = state ? *find_reservation(state, data) : NULL;
    if (!r) return bl_fail(BL_ERROR_INTERNAL, "arena: commit of an unknown reservation");
    if (bytes <= r->mapped) return BL_OK;
    size_t room = r->bytes - r->mapped;
    size_t need = round_up(bytes - r->mapped, state->granularity);
    size_t chunk = r->mapped / CHUNK_SHARE < CHUNK ? r->mapped / CHUNK_SHARE : CHUNK;
    size_t comfortable = round_up(need > chunk ? need : chunk, state->granularity);
    if (comfortable > room) comfortable = room;
    bl_status status = map_chunk(cuda, state, r, comfortable);
    /* Near the end of the memory the chunk may be what is too much. */
    if (status == BL_ERROR_MEMORY && need < comfortable) status = map_chunk(cuda, state, r, need);
    return status;
}

size_t bl_cuda_commit_slack(size_t bytes) {
    const size_t largest_granularity = (size_t) 2 << 20;
    return (bytes / CHUNK_SHARE < CHUNK ? bytes / CHUNK_SHARE : CHUNK) + 2 * largest_granularity;
}

void bl_cuda_unreserve(bl_context *ctx, void *data, size_t bytes) {
    (void) bytes;
    bl_cuda *cuda = bl_cuda_of(ctx);
    struct memory_state *state = (struct memory_state *) cuda->memory_state;
    struct reservation **link = state ? find_reservation(state, data) : NULL;
    if (!link || !*link) return;
    (void) cudaStreamSynchronize(cuda->stream);
    struct reservation *r = *link;
    *link = r->next;
    free_reservation(state, r);
}

/* ---- transfers ---- */

/*
 * Uploads pass through pinned memory, so that they neither wait for the device
 * nor keep the caller's memory: a ring of segments, each reused once the copies
 * out of it are done.
 */
enum { SEGMENTS = 8, SEGMENT = 2 << 20 };

struct bl_cuda_staging {
    char *memory;
    size_t used; /* of the current segment */
    int segment;
    cudaEvent_t done[SEGMENTS];
};

static bl_status open_staging(bl_cuda *cuda, struct bl_cuda_staging **out) {
    if (!cuda->staging) {
        cuda->staging = (struct bl_cuda_staging *) calloc(1, sizeof *cuda->staging);
        if (!cuda->staging) return bl_fail(BL_ERROR_MEMORY, "upload: out of memory");
    }
    struct bl_cuda_staging *staging = cuda->staging;
    for (int i = 0; i < SEGMENTS; i++)
        if (!staging->done[i])
            BL_CUDA_TRY(cudaEventCreateWithFlags(&staging->done[i], cudaEventDisableTiming), "upload");
    if (!staging->memory) {
        void *memory = NULL;
        BL_CUDA_TRY(cudaMallocHost(&memory, (size_t) SEGMENTS * SEGMENT), "upload: pinned memory");
        staging->memory = (char *) memory;
    }
    *out = staging;
    return BL_OK;
}

/* Room for some of `bytes`, at least one: the rest of this segment, or the next one. */
static bl_status staging_room(bl_cuda *cuda, struct bl_cuda_staging *staging, size_t bytes, char **room, size_t *some) {
    if (staging->used == SEGMENT) {
        BL_CUDA_TRY(cudaEventRecord(staging->done[staging->segment], cuda->stream), "upload");
        staging->segment = (staging->segment + 1) % SEGMENTS;
        staging->used = 0;
        BL_CUDA_TRY(cudaEventSynchronize(staging->done[staging->segment]), "upload");
    }
    *room = staging->memory + (size_t) staging->segment * SEGMENT + staging->used;
    *some = bytes < SEGMENT - staging->used ? bytes : SEGMENT - staging->used;
    /* The next copy starts on a cache line of its own. */
    staging->used = round_up(staging->used + *some, 64);
    return BL_OK;
}

static bl_status check_eager(const bl_context *ctx, const char *what) {
    if (bl_cuda_capturing(ctx))
        return bl_fail(BL_ERROR_UNSUPPORTED, "%s: host memory cannot be part of a captured step", what);
    return BL_OK;
}

bl_status bl_cuda_upload(bl_context *ctx, bl_tensor *dst, const void *src, size_t bytes) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    struct bl_cuda_staging *staging = NULL;
    BL_TRY(check_eager(ctx, "upload"));
    BL_TRY(open_staging(cuda, &staging));
    for (size_t done = 0; done < bytes;) {
        char *room = NULL;
        size_t some = 0;
        BL_TRY(staging_room(cuda, staging, bytes - done, &room, &some));
        memcpy(room, (const char *) src + done, some);
        BL_CUDA_TRY(cudaMemcpyAsync((char *) dst->data + done, room, some, cudaMemcpyHostToDevice, cuda->stream),
                    "upload");
        done += some;
    }
    return BL_OK;
}

/* Waits for the device, as its contract demands: the bytes are there when it returns. */
bl_status bl_cuda_download(bl_context *ctx, void *dst, const bl_tensor *src, size_t bytes) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    BL_TRY(check_eager(ctx, "download"));
    if (bytes > 0)
        BL_CUDA_TRY(cudaMemcpyAsync(dst, src->data, bytes, cudaMemcpyDeviceToHost, cuda->stream), "download");
    BL_CUDA_TRY(cudaStreamSynchronize(cuda->stream), "download");
    return BL_OK;
}

void bl_cuda_memory_close(bl_cuda *cuda) {
    if (cuda->staging) {
        for (int i = 0; i < SEGMENTS; i++)
            if (cuda->staging->done[i]) (void) cudaEventDestroy(cuda->staging->done[i]);
        if (cuda->staging->memory) (void) cudaFreeHost(cuda->staging->memory);
        free(cuda->staging);
        cuda->staging = NULL;
    }
    struct memory_state *state = (struct memory_state *) cuda->memory_state;
    while (state && state->reservations) {
        struct reservation *r = state->reservations;
        state->reservations = r->next;
        free_reservation(state, r);
    }
    free(state);
    cuda->memory_state = NULL;
}
