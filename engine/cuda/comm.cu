/*
 * comm.cu - the "nccl" communicator: collectives between GPUs on a stream of
 * their own. Where the ranks meet, and how a dead one is noticed, does not
 * belong here: see engine/comm.
 *
 * A collective first lets its stream wait for the compute stream, and
 * bl_comm_wait lets the compute stream wait for the last collective; the host
 * waits for neither. A thread follows the events, so that the watch and traces
 * know what has finished.
 *
 * NCCL is opened at run time: of its interface, which is stable since version
 * 2.10, the few functions used here are declared below.
 */
#include "cuda/cuda.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern "C" {
#include "comm/comm.h"
}

typedef struct nccl_comm *nccl_comm_t;

/* ncclUniqueId */
typedef struct nccl_id {
    char bytes[128];
} nccl_id;

/* Numbers of ncclDataType_t, ncclRedOp_t and ncclResult_t. */
enum { NCCL_INT8 = 0, NCCL_INT64 = 4, NCCL_FLOAT16 = 6, NCCL_FLOAT32 = 7, NCCL_BFLOAT16 = 9 };
enum { NCCL_SUM = 0, NCCL_MAX = 2, NCCL_MIN = 3 };
enum { NCCL_SUCCESS = 0, NCCL_IN_PROGRESS = 7 };

typedef struct nccl_library {
    int (*get_version)(int *version);
    int (*get_unique_id)(nccl_id *id);
    int (*init_rank)(nccl_comm_t *comm, int size, nccl_id id, int rank);
    int (*destroy)(nccl_comm_t comm);
    int (*abort)(nccl_comm_t comm);
    int (*async_error)(nccl_comm_t comm, int *result);
    const char *(*error_string)(int result);
    int (*broadcast)(const void *in, void *out, size_t count, int type, int root, nccl_comm_t comm,
                     cudaStream_t stream);
    int (*all_reduce)(const void *in, void *out, size_t count, int type, int op, nccl_comm_t comm, cudaStream_t stream);
    int (*reduce_scatter)(const void *in, void *out, size_t count, int type, int op, nccl_comm_t comm,
                          cudaStream_t stream);
    int (*all_gather)(const void *in, void *out, size_t count, int type, nccl_comm_t comm, cudaStream_t stream);
} nccl_library;

/* A collective on its way. */
typedef struct flight {
    bl_job job;
    cudaEvent_t begin;
    cudaEvent_t end;
} flight;

enum { FLIGHTS = 256 };

typedef struct nccl_state {
    nccl_library nccl;
    nccl_comm_t handle;
    cudaStream_t stream;
    cudaEvent_t ready;  /* the compute stream is this far */
    cudaEvent_t origin; /* zero of the events' clock */
    int64_t origin_time;
    int32_t device;
    void *dummy; /* what a barrier reduces */
    pthread_t thread;
    bool threaded;
    /* Guarded by comm->lock. */
    flight flights[FLIGHTS];
    int64_t launched;
    int64_t landed;
    bool quit;
} nccl_state;

#define NCCL_TRY(state, call, what)                                                                                    \
    do {                                                                                                               \
        int nccl_result_ = (call);                                                                                     \
        if (nccl_result_ != NCCL_SUCCESS && nccl_result_ != NCCL_IN_PROGRESS)                                          \
            return bl_fail(BL_ERROR_INTERNAL, "%s: NCCL: %s", what, (state)->nccl.error_string(nccl_result_));         \
    } while (0)

static bl_status load(nccl_library *nccl, const char *path) {
    const struct {
        const char *name;
        void *slot;
    } symbols[] = {
        {"ncclGetVersion", &nccl->get_version},
        {"ncclGetUniqueId", &nccl->get_unique_id},
        {"ncclCommInitRank", &nccl->init_rank},
        {"ncclCommDestroy", &nccl->destroy},
        {"ncclCommAbort", &nccl->abort},
        {"ncclCommGetAsyncError", &nccl->async_error},
        {"ncclGetErrorString", &nccl->error_string},
        {"ncclBroadcast", &nccl->broadcast},
        {"ncclAllReduce", &nccl->all_reduce},
        {"ncclReduceScatter", &nccl->reduce_scatter},
        {"ncclAllGather", &nccl->all_gather},
    };
    if (!path) path = "libnccl.so.2";
    /* Never closed: NCCL leaves threads behind. */
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return bl_fail(BL_ERROR_UNSUPPORTED,
                       "comm: several GPUs need NCCL, and %s cannot be opened (%s); install libnccl2, or put it on "
                       "LD_LIBRARY_PATH",
                       path, dlerror());
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *found = dlsym(library, symbols[i].name);
        if (!found)
            return bl_fail(BL_ERROR_UNSUPPORTED, "comm: %s has no %s: NCCL 2.10 or newer is required", path,
                           symbols[i].name);
        memcpy(symbols[i].slot, &found, sizeof found);
    }
    return BL_OK;
}

static bl_status nccl_describe(const char *path, char *text, size_t bytes) {
    nccl_library nccl;
    int version = 0;
    BL_TRY(load(&nccl, path));
    if (nccl.get_version(&version) != NCCL_SUCCESS)
        return bl_fail(BL_ERROR_INTERNAL, "comm: NCCL does not report its version");
    snprintf(text, bytes, "NCCL %d.%d.%d", version / 10000, version / 100 % 100, version % 100);
    return BL_OK;
}

/* Rank 0 makes the id that all ranks join with. */
static bl_status nccl_invite(bl_comm *comm, const bl_comm_options *options) {
    nccl_library nccl;
    nccl_id id;
    BL_TRY(load(&nccl, options->library));
    int result = nccl.get_unique_id(&id);
    if (result != NCCL_SUCCESS) return bl_fail(BL_ERROR_INTERNAL, "comm: NCCL: %s", nccl.error_string(result));
    memcpy(comm->payload, &id, sizeof id);
    return BL_OK;
}

/* What the events of a landed collective say, on bl_now's clock. */
static void land(bl_comm *comm, nccl_state *state, const flight *f) {
    float begin = 0, end = 0;
    bool timed = cudaEventElapsedTime(&begin, state->origin, f->begin) == cudaSuccess &&
                 cudaEventElapsedTime(&end, state->origin, f->end) == cudaSuccess;
    int64_t now = bl_now();
    bl_comm_finished(comm, &f->job, timed ? state->origin_time + (int64_t) ((double) begin * 1e6) : now,
                     timed ? state->origin_time + (int64_t) ((double) end * 1e6) : now);
}

static bool next_flight(bl_comm *comm, nccl_state *state, flight *f) {
    pthread_mutex_lock(&comm->lock);
    while (state->landed == state->launched && !state->quit && !comm->broken)
        pthread_cond_wait(&comm->changed, &comm->lock);
    bool found = state->landed < state->launched && !comm->broken;
    if (found) *f = state->flights[state->landed % FLIGHTS];
    pthread_mutex_unlock(&comm->lock);
    return found;
}

/* NULL while all is well. */
static const char *trouble(nccl_state *state, cudaError_t error) {
    int result = NCCL_SUCCESS;
    if (error != cudaSuccess && error != cudaErrorNotReady) return cudaGetErrorString(error);
    if (state->nccl.async_error(state->handle, &result) != NCCL_SUCCESS) return "its state is unknown";
    return result == NCCL_SUCCESS || result == NCCL_IN_PROGRESS ? NULL : state->nccl.error_string(result);
}

/* The thread that follows. */
static void *follow(void *argument) {
    bl_comm *comm = (bl_comm *) argument;
    nccl_state *state = (nccl_state *) comm->state;
    flight f;
    (void) cudaSetDevice(state->device);
    while (next_flight(comm, state, &f)) {
        cudaError_t error;
        const char *problem = NULL;
        while ((error = cudaEventQuery(f.end)) != cudaSuccess && !comm->broken) {
            (void) cudaGetLastError();
            problem = trouble(state, error);
            if (problem) break;
            usleep(500);
        }
        if (problem) {
            char reason[256];
            snprintf(reason, sizeof reason, "collective %lld, %s: NCCL: %s", (long long) f.job.number, f.job.name,
                     problem);
            bl_comm_trouble(comm, reason);
            break;
        }
        if (error != cudaSuccess) break;
        land(comm, state, &f);
        pthread_mutex_lock(&comm->lock);
        state->landed++;
        pthread_cond_broadcast(&comm->changed);
        pthread_mutex_unlock(&comm->lock);
    }
    return NULL;
}

static void nccl_close(bl_comm *comm) {
    nccl_state *state = (nccl_state *) comm->state;
    pthread_mutex_lock(&comm->lock);
    state->quit = true;
    pthread_cond_broadcast(&comm->changed);
    pthread_mutex_unlock(&comm->lock);
    if (state->threaded) pthread_join(state->thread, NULL);
    /* A broken one would wait for ranks that are gone. */
    if (state->handle) (void) (comm->broken ? state->nccl.abort : state->nccl.destroy)(state->handle);
    for (int i = 0; i < FLIGHTS; i++) {
        if (state->flights[i].begin) (void) cudaEventDestroy(state->flights[i].begin);
        if (state->flights[i].end) (void) cudaEventDestroy(state->flights[i].end);
    }
    if (state->ready) (void) cudaEventDestroy(state->ready);
    if (state->origin) (void) cudaEventDestroy(state->origin);
    if (state->stream) (void) cudaStreamDestroy(state->stream);
    if (state->dummy) (void) cudaFree(state->dummy);
    free(state);
    comm->state = NULL;
}

static bl_status start(bl_comm *comm, nccl_state *state) {
    nccl_id id;
    memcpy(&id, comm->payload, sizeof id);
    BL_CUDA_TRY(cudaStreamCreateWithFlags(&state->stream, cudaStreamNonBlocking), "comm");
    BL_CUDA_TRY(cudaEventCreateWithFlags(&state->ready, cudaEventDisableTiming), "comm");
    BL_CUDA_TRY(cudaEventCreateWithFlags(&state->origin, 0), "comm");
    for (int i = 0; i < FLIGHTS; i++) {
        BL_CUDA_TRY(cudaEventCreateWithFlags(&state->flights[i].begin, 0), "comm");
        BL_CUDA_TRY(cudaEventCreateWithFlags(&state->flights[i].end, 0), "comm");
    }
    BL_CUDA_TRY(cudaMalloc(&state->dummy, 256), "comm");
    BL_CUDA_TRY(cudaMemsetAsync(state->dummy, 0, 256, state->stream), "comm");
    NCCL_TRY(state, state->nccl.init_rank(&state->handle, comm->size, id, comm->rank), "comm");
    BL_CUDA_TRY(cudaEventRecord(state->origin, state->stream), "comm");
    BL_CUDA_TRY(cudaEventSynchronize(state->origin), "comm");
    state->origin_time = bl_now();
    int failure = bl_comm_thread(&state->thread, follow, comm);
    if (failure) return bl_fail(BL_ERROR_MEMORY, "comm: cannot start a thread: %s", strerror(failure));
    state->threaded = true;
    return BL_OK;
}

static bl_status nccl_open(bl_comm *comm, bl_context *ctx, const bl_comm_options *options) {
    nccl_state *state = (nccl_state *) calloc(1, sizeof *state);
    if (!state) return bl_fail(BL_ERROR_MEMORY, "comm: out of memory");
    comm->state = state;
    state->device = bl_cuda_of(ctx)->device;
    bl_status status = load(&state->nccl, options->library);
    if (status == BL_OK) status = start(comm, state);
    if (status != BL_OK) nccl_close(comm);
    return status;
}

static int type_of(int32_t dtype) {
    switch (dtype) {
    case BL_F32:
        return NCCL_FLOAT32;
    case BL_BF16:
        return NCCL_BFLOAT16;
    case BL_F16:
        return NCCL_FLOAT16;
    case BL_I64:
        return NCCL_INT64;
    default:
        return NCCL_INT8;
    }
}

static int launch(nccl_state *state, const bl_comm *comm, const bl_job *job) {
    const nccl_library *nccl = &state->nccl;
    int type = type_of(job->dtype), op = job->op == BL_COMM_MAX   ? NCCL_MAX
                                         : job->op == BL_COMM_MIN ? NCCL_MIN
                                                                  : NCCL_SUM;
    size_t whole = (size_t) job->count, part = whole / (size_t) comm->size;
    switch (job->kind) {
    case BL_JOB_BROADCAST:
        return nccl->broadcast(job->in, job->out, whole, type, job->root, state->handle, state->stream);
    case BL_JOB_ALL_REDUCE:
        return nccl->all_reduce(job->in, job->out, whole, type, op, state->handle, state->stream);
    case BL_JOB_REDUCE_SCATTER:
        return nccl->reduce_scatter(job->in, job->out, part, type, op, state->handle, state->stream);
    case BL_JOB_ALL_GATHER:
        return nccl->all_gather(job->in, job->out, part, type, state->handle, state->stream);
    default:
        return nccl->all_reduce(state->dummy, state->dummy, 1, NCCL_FLOAT32, NCCL_SUM, state->handle, state->stream);
    }
}

/* A slot for the next collective, once the one before in it has landed. */
static flight *next_slot(bl_comm *comm, nccl_state *state) {
    pthread_mutex_lock(&comm->lock);
    while (state->launched - state->landed == FLIGHTS && !comm->broken)
        pthread_cond_wait(&comm->changed, &comm->lock);
    flight *slot = comm->broken ? NULL : &state->flights[state->launched % FLIGHTS];
    pthread_mutex_unlock(&comm->lock);
    return slot;
}

static bl_status nccl_submit(bl_comm *comm, bl_context *ctx, const bl_job *job) {
    nccl_state *state = (nccl_state *) comm->state;
    if (ctx && bl_cuda_capturing(ctx))
        return bl_fail(BL_ERROR_UNSUPPORTED, "%s: collectives are not recorded into a graph: run this step eagerly",
                       job->name);
    flight *slot = next_slot(comm, state);
    if (!slot) return bl_comm_check(comm);
    if (ctx) {
        BL_CUDA_TRY(cudaEventRecord(state->ready, bl_cuda_of(ctx)->stream), job->name);
        BL_CUDA_TRY(cudaStreamWaitEvent(state->stream, state->ready, 0), job->name);
    }
    slot->job = *job;
    bl_comm_started(comm, job);
    BL_CUDA_TRY(cudaEventRecord(slot->begin, state->stream), job->name);
    if (job->count > 0 || job->kind == BL_JOB_BARRIER || job->kind == BL_JOB_CLOSE)
        NCCL_TRY(state, launch(state, comm, job), job->name);
    BL_CUDA_TRY(cudaEventRecord(slot->end, state->stream), job->name);
    pthread_mutex_lock(&comm->lock);
    state->launched++;
    pthread_cond_broadcast(&comm->changed);
    pthread_mutex_unlock(&comm->lock);
    return BL_OK;
}

/* With a context its stream waits; without one, before closing, this thread does. */
static bl_status nccl_wait(bl_comm *comm, bl_context *ctx) {
    nccl_state *state = (nccl_state *) comm->state;
    if (ctx) {
        if (state->launched == 0) return BL_OK;
        cudaEvent_t last = state->flights[(state->launched - 1) % FLIGHTS].end;
        BL_CUDA_TRY(cudaStreamWaitEvent(bl_cuda_of(ctx)->stream, last, 0), "comm_wait");
        return BL_OK;
    }
    pthread_mutex_lock(&comm->lock);
    while (state->landed < state->launched && !comm->broken)
        pthread_cond_wait(&comm->changed, &comm->lock);
    pthread_mutex_unlock(&comm->lock);
    return bl_comm_check(comm);
}

extern "C" const bl_comm_driver bl_comm_nccl_driver = {"nccl",     nccl_open,   nccl_submit,  nccl_wait,
                                                       nccl_close, nccl_invite, nccl_describe};
