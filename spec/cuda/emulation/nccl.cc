/*
 * nccl.cc - NCCL for one rank, by copies on the emulated stream: enough to run
 * engine/cuda/comm.cu without a GPU. It is found in this very library, through
 * BERTLUA_NCCL.
 */
#include <cuda_runtime_api.h>
#include <string.h>

#define EXPORT extern "C" __attribute__((visibility("default")))

typedef struct nccl_id {
    char bytes[128];
} nccl_id;

enum { INVALID = 4, MARK = 7 };

static size_t size_of(int type) {
    switch (type) {
    case 4: /* int64 */
        return 8;
    case 6: /* float16 */
    case 9: /* bfloat16 */
        return 2;
    case 7: /* float32 */
        return 4;
    default:
        return 1;
    }
}

static int copy(void *out, const void *in, size_t count, int type, cudaStream_t stream) {
    if (out == in || count == 0) return 0;
    return cudaMemcpyAsync(out, in, count * size_of(type), cudaMemcpyDeviceToDevice, stream) == cudaSuccess ? 0 : 1;
}

EXPORT int ncclGetVersion(int *version) {
    *version = 21000;
    return 0;
}

EXPORT int ncclGetUniqueId(nccl_id *id) {
    memset(id, MARK, sizeof *id);
    return 0;
}

EXPORT int ncclCommInitRank(void **comm, int size, nccl_id id, int rank) {
    if (size != 1 || rank != 0 || id.bytes[sizeof id.bytes - 1] != MARK) return INVALID;
    static int handle;
    *comm = &handle;
    return 0;
}

EXPORT int ncclCommDestroy(void *) {
    return 0;
}

EXPORT int ncclCommAbort(void *) {
    return 0;
}

EXPORT int ncclCommGetAsyncError(void *, int *result) {
    *result = 0;
    return 0;
}

EXPORT const char *ncclGetErrorString(int result) {
    return result == INVALID ? "the emulation has one rank" : "a copy failed";
}

EXPORT int ncclBroadcast(const void *in, void *out, size_t count, int type, int, void *, cudaStream_t stream) {
    return copy(out, in, count, type, stream);
}

EXPORT int ncclAllReduce(const void *in, void *out, size_t count, int type, int, void *, cudaStream_t stream) {
    return copy(out, in, count, type, stream);
}

EXPORT int ncclReduceScatter(const void *in, void *out, size_t count, int type, int, void *, cudaStream_t stream) {
    return copy(out, in, count, type, stream);
}

EXPORT int ncclAllGather(const void *in, void *out, size_t count, int type, void *, cudaStream_t stream) {
    return copy(out, in, count, type, stream);
}
