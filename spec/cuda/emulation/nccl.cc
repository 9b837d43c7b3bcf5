/*
 * nccl.cc - NCCL between processes on the emulation: enough to run
 * engine/cuda/comm.cu, with any number of ranks on this machine, without a
 * GPU. It is found in this very library, through BERTLUA_NCCL.
 *
 * The ranks share a file in memory, named by the id, with a window for each. A
 * collective goes through the windows piece by piece: every rank puts its piece
 * there, all wait for each other, and each takes what it needs. It is work of
 * the emulated stream like a kernel, so it runs when somebody waits for it.
 */
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>

#include "emulation.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

struct nccl_id {
    char bytes[128];
};

enum { SUCCESS = 0, SYSTEM = 2, INVALID = 4 };
enum { INT64 = 4, FLOAT16 = 6, FLOAT32 = 7, BFLOAT16 = 9 };
enum { SUM = 0, MAX = 2, MIN = 3 };

static const size_t WINDOW = 256 * 1024;
static const int MOST = 16;

/* What the ranks share; a new file is all zeros. */
struct Board {
    std::atomic<int> arrived;
    std::atomic<int> round;
    alignas(64) char windows[MOST][WINDOW];
};

struct Comm {
    Board *board;
    int rank;
    int size;
    std::atomic<bool> aborted;
};

/* False if this rank has given up. */
static bool meet(Comm *comm) {
    Board *board = comm->board;
    const int round = board->round.load();
    if (board->arrived.fetch_add(1) + 1 == comm->size) {
        board->arrived.store(0);
        board->round.store(round + 1);
        return true;
    }
    while (board->round.load() == round) {
        if (comm->aborted.load()) return false;
        sched_yield();
    }
    return true;
}

static size_t size_of(int type) {
    switch (type) {
    case INT64:
        return 8;
    case FLOAT16:
    case BFLOAT16:
        return 2;
    case FLOAT32:
        return 4;
    default:
        return 1;
    }
}

template <typename T> static T combine(T a, T b, int op) {
    return op == MAX ? std::max(a, b) : op == MIN ? std::min(a, b) : static_cast<T>(a + b);
}

/* out = the combination of the windows, in the order of ranks, in A. */
template <typename T, typename A> static void reduce(const Comm *comm, void *out, size_t count, int op) {
    for (size_t i = 0; i < count; i++) {
        A sum = static_cast<A>(reinterpret_cast<const T *>(comm->board->windows[0])[i]);
        for (int r = 1; r < comm->size; r++)
            sum = combine<A>(sum, static_cast<A>(reinterpret_cast<const T *>(comm->board->windows[r])[i]), op);
        static_cast<T *>(out)[i] = static_cast<T>(sum);
    }
}

static void reduce_typed(const Comm *comm, void *out, size_t count, int type, int op) {
    switch (type) {
    case INT64:
        reduce<int64_t, int64_t>(comm, out, count, op);
        break;
    case FLOAT16:
        reduce<__half, float>(comm, out, count, op);
        break;
    case BFLOAT16:
        reduce<__nv_bfloat16, float>(comm, out, count, op);
        break;
    case FLOAT32:
        reduce<float, float>(comm, out, count, op);
        break;
    default:
        reduce<int8_t, int>(comm, out, count, op);
    }
}

static int enqueue(cudaStream_t stream, const char *name, std::function<void()> work) {
    return bl_emulated_push(stream, name, std::move(work)) == cudaSuccess ? SUCCESS : SYSTEM;
}

/* Walks over `bytes` in pieces that fit a window; `give` and `take` get the place and length of each. */
static void in_pieces(Comm *comm, size_t bytes, const std::function<void(size_t, size_t)> &give,
                      const std::function<void(size_t, size_t)> &take) {
    for (size_t at = 0; at < bytes; at += WINDOW) {
        const size_t length = std::min(WINDOW, bytes - at);
        give(at, length);
        if (!meet(comm)) return;
        take(at, length);
        if (!meet(comm)) return;
    }
}

/* Combines `count` elements of every rank into out; a rank without an out only gives. */
static void reduce_into(Comm *comm, void *out, const void *in, size_t count, int type, int op) {
    char *window = comm->board->windows[comm->rank];
    const size_t size = size_of(type);
    in_pieces(
        comm, count * size,
        [=](size_t at, size_t length) {
            bl_watch_library_reads("NCCL", static_cast<const char *>(in) + at, length);
            memcpy(window, static_cast<const char *>(in) + at, length);
        },
        [=](size_t at, size_t length) {
            if (!out) return;
            reduce_typed(comm, static_cast<char *>(out) + at, length / size, type, op);
            bl_watch_library_writes(static_cast<char *>(out) + at, length);
        });
}

/* What root has at `in`, in every rank's out. */
static void send_from(Comm *comm, void *out, const void *in, size_t bytes, int root) {
    char *window = comm->board->windows[root];
    in_pieces(
        comm, bytes,
        [=](size_t at, size_t length) {
            if (comm->rank != root) return;
            bl_watch_library_reads("NCCL", static_cast<const char *>(in) + at, length);
            memcpy(window, static_cast<const char *>(in) + at, length);
        },
        [=](size_t at, size_t length) {
            memcpy(static_cast<char *>(out) + at, window, length);
            bl_watch_library_writes(static_cast<char *>(out) + at, length);
        });
}

EXPORT int ncclGetVersion(int *version) {
    *version = 21000;
    return SUCCESS;
}

EXPORT int ncclGetUniqueId(nccl_id *id) {
    static int number;
    memset(id, 0, sizeof *id);
    snprintf(id->bytes, sizeof id->bytes, "/bertlua-emulated-nccl-%d-%d", static_cast<int>(getpid()), number++);
    return SUCCESS;
}

EXPORT int ncclCommInitRank(void **out, int size, nccl_id id, int rank) {
    if (size < 1 || size > MOST || rank < 0 || rank >= size || !memchr(id.bytes, 0, sizeof id.bytes)) return INVALID;
    const int file = shm_open(id.bytes, O_RDWR | O_CREAT, 0600);
    if (file < 0) return SYSTEM;
    void *shared = MAP_FAILED;
    if (ftruncate(file, sizeof(Board)) == 0)
        shared = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (shared == MAP_FAILED) return SYSTEM;
    Comm *comm = new Comm{static_cast<Board *>(shared), rank, size, {false}};
    *out = comm;
    if (!meet(comm)) return SYSTEM;
    /* All have it open: the name is no longer needed, and nothing is left behind if they are killed. */
    if (rank == 0) shm_unlink(id.bytes);
    return SUCCESS;
}

EXPORT int ncclCommDestroy(void *handle) {
    Comm *comm = static_cast<Comm *>(handle);
    munmap(comm->board, sizeof(Board));
    delete comm;
    return SUCCESS;
}

/* The mapping stays: a collective of another thread may still be on its way out of it. */
EXPORT int ncclCommAbort(void *handle) {
    static_cast<Comm *>(handle)->aborted.store(true);
    return SUCCESS;
}

EXPORT int ncclCommGetAsyncError(void *, int *result) {
    *result = SUCCESS;
    return SUCCESS;
}

EXPORT const char *ncclGetErrorString(int result) {
    return result == INVALID ? "the emulation has at most 16 ranks" : "shared memory or a stream failed";
}

EXPORT int ncclBroadcast(const void *in, void *out, size_t count, int type, int root, void *handle,
                         cudaStream_t stream) {
    Comm *comm = static_cast<Comm *>(handle);
    return enqueue(stream, "broadcast", [=]() { send_from(comm, out, in, count * size_of(type), root); });
}

EXPORT int ncclAllReduce(const void *in, void *out, size_t count, int type, int op, void *handle, cudaStream_t stream) {
    Comm *comm = static_cast<Comm *>(handle);
    return enqueue(stream, "all_reduce", [=]() { reduce_into(comm, out, in, count, type, op); });
}

EXPORT int ncclReduceScatter(const void *in, void *out, size_t count, int type, int op, void *handle,
                             cudaStream_t stream) {
    Comm *comm = static_cast<Comm *>(handle);
    return enqueue(stream, "reduce_scatter", [=]() {
        const size_t bytes = count * size_of(type);
        for (int r = 0; r < comm->size; r++)
            reduce_into(comm, r == comm->rank ? out : nullptr, static_cast<const char *>(in) + bytes * r, count, type,
                        op);
    });
}

EXPORT int ncclAllGather(const void *in, void *out, size_t count, int type, void *handle, cudaStream_t stream) {
    Comm *comm = static_cast<Comm *>(handle);
    return enqueue(stream, "all_gather", [=]() {
        const size_t bytes = count * size_of(type);
        for (int r = 0; r < comm->size; r++)
            send_from(comm, static_cast<char *>(out) + bytes * r, in, bytes, r);
    });
}
