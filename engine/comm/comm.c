/*
 * comm.c - the public functions of communicators: arguments are checked here,
 * the rest is the driver's. Counters, spans and the broken state are kept here
 * for all kinds.
 */
#include <dlfcn.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "comm.h"
#include "ops/check.h"
#include "watch.h"

#define COMM_DTYPES (BL_SET_ACT | BL_SET(BL_I64))

BL_API int64_t bl_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

void *bl_comm_load(const char *kind, const char *path, const char *symbol) {
    /* It stays loaded: MPI leaves threads and exit handlers behind. */
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) : NULL;
    if (!library) {
        const char *why = path ? dlerror() : "it was not built";
        const bool built = path && access(path, F_OK) == 0; /* It lacks what it was linked with. */
        bl_fail(BL_ERROR_UNSUPPORTED, "comm: %s is not available (%s); %s", kind, why ? why : path,
                built ? "install the MPI that it was built with: apt-get install openmpi-bin"
                      : "apt-get install libopenmpi-dev openmpi-bin, then make");
        return NULL;
    }
    void *found = dlsym(library, symbol);
    if (!found) bl_fail(BL_ERROR_UNSUPPORTED, "comm: %s is not a plug-in of this bertlua; run make", path);
    return found;
}

static bl_status find_driver(const char *kind, const bl_comm_driver **driver) {
    if (strcmp(kind, "self") == 0) {
        *driver = &bl_comm_self_driver;
    } else if (strcmp(kind, "mpi") == 0) {
        *driver = &bl_comm_mpi_driver;
    } else if (strcmp(kind, "nccl") == 0) {
        const bl_backend *backend = NULL;
        BL_TRY(bl_backend_open(BL_CUDA, &backend));
        if (!backend->comm)
            return bl_fail(BL_ERROR_UNSUPPORTED, "comm: this CUDA backend has no collectives; run make cuda");
        *driver = backend->comm;
    } else {
        return bl_fail(BL_ERROR_ARGUMENT, "comm: kind is %s, expected self, mpi or nccl", kind);
    }
    return BL_OK;
}

static bl_status check_options(const bl_comm_options *o) {
    if (!o || !o->kind) return bl_fail(BL_ERROR_ARGUMENT, "comm: %s is NULL", o ? "kind" : "options");
    if (o->size < 1 || o->rank < 0 || o->rank >= o->size)
        return bl_fail(BL_ERROR_ARGUMENT, "comm: rank is %d and size is %d, expected 0 <= rank < size", (int) o->rank,
                       (int) o->size);
    if (!(o->timeout > 0.0) || !isfinite(o->timeout))
        return bl_fail(BL_ERROR_ARGUMENT, "comm: timeout is %g, expected seconds above 0", o->timeout);
    return BL_OK;
}

bl_status bl_comm_create(bl_comm **out, const bl_comm_options *options) {
    BL_TRY(check_options(options));
    bl_comm *comm = calloc(1, sizeof *comm);
    if (!comm) return bl_fail(BL_ERROR_MEMORY, "comm: out of memory");
    comm->rank = options->rank;
    comm->size = options->size;
    comm->timeout = options->timeout;
    comm->on_failure = options->on_failure;
    pthread_mutex_init(&comm->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&comm->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    *out = comm;
    return BL_OK;
}

void bl_comm_destroy(bl_comm *comm) {
    bl_watch_close(comm->watch);
    pthread_cond_destroy(&comm->changed);
    pthread_mutex_destroy(&comm->lock);
    free(comm->spans);
    free(comm);
}

BL_API int32_t bl_comm_rank(const bl_comm *comm) {
    return comm->rank;
}

BL_API int32_t bl_comm_size(const bl_comm *comm) {
    return comm->size;
}

BL_API const char *bl_comm_kind(const bl_comm *comm) {
    return comm->driver->kind;
}

BL_API void bl_comm_started(bl_comm *comm, const bl_job *job) {
    pthread_mutex_lock(&comm->lock);
    comm->started = job->number;
    memcpy(comm->current, job->name, sizeof comm->current);
    pthread_mutex_unlock(&comm->lock);
}

/* With comm->lock held. */
static void add_span(bl_comm *comm, const bl_job *job, int64_t begin, int64_t end) {
    if (!comm->recording || comm->span_count == BL_SPAN_CAPACITY) return;
    bl_comm_span *span = &comm->spans[(comm->span_first + comm->span_count) % BL_SPAN_CAPACITY];
    memcpy(span->name, job->name, sizeof span->name);
    span->number = job->number;
    span->begin = begin;
    span->end = end;
    span->bytes = job->count * (int64_t) bl_dtype_size(job->dtype);
    comm->span_count++;
}

BL_API void bl_comm_finished(bl_comm *comm, const bl_job *job, int64_t begin, int64_t end) {
    pthread_mutex_lock(&comm->lock);
    comm->finished = job->number;
    add_span(comm, job, begin, end);
    pthread_cond_broadcast(&comm->changed);
    pthread_mutex_unlock(&comm->lock);
}

BL_API void bl_comm_break(bl_comm *comm, const char *reason) {
    pthread_mutex_lock(&comm->lock);
    if (!comm->broken) snprintf(comm->reason, sizeof comm->reason, "%s", reason);
    comm->broken = true;
    __atomic_store_n(&comm->stop, true, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&comm->changed);
    pthread_mutex_unlock(&comm->lock);
}

BL_API void bl_comm_trouble(bl_comm *comm, const char *reason) {
    if (comm->watch) bl_watch_settle(comm->watch);
    bl_comm_break(comm, reason);
}

BL_API int bl_comm_thread(pthread_t *thread, void *(*run)(void *), void *argument) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}

BL_API bl_status bl_comm_check(bl_comm *comm) {
    pthread_mutex_lock(&comm->lock);
    bl_status status = comm->broken ? bl_fail(BL_ERROR_INTERNAL, "%s", comm->reason) : BL_OK;
    pthread_mutex_unlock(&comm->lock);
    return status;
}

static bl_status submit(bl_comm *comm, bl_context *ctx, bl_job *job, const char *what) {
    BL_TRY(bl_comm_check(comm));
    if (job->kind == BL_JOB_BARRIER || job->kind == BL_JOB_CLOSE)
        snprintf(job->name, sizeof job->name, "%s", what);
    else
        snprintf(job->name, sizeof job->name, "%s %s %lld", what, bl_dtype_name(job->dtype), (long long) job->count);
    pthread_mutex_lock(&comm->lock);
    job->number = ++comm->queued;
    pthread_mutex_unlock(&comm->lock);
    return comm->driver->submit(comm, ctx, job);
}

/* Over MPI, which started the processes: it carries the payload and lends its watch. */
static bl_status meet_over_mpi(bl_comm *comm, bl_context *ctx, const bl_comm_options *options) {
    bl_comm_options over_mpi = *options;
    over_mpi.kind = "mpi";
    over_mpi.library = options->mpi_library;
    BL_TRY(bl_comm_open(&comm->bootstrap, ctx, &over_mpi));
    bl_job job = {.kind = BL_JOB_BROADCAST, .dtype = BL_I8, .out = comm->payload, .in = comm->payload};
    job.count = sizeof comm->payload;
    BL_TRY(submit(comm->bootstrap, NULL, &job, "broadcast"));
    BL_TRY(comm->bootstrap->driver->wait(comm->bootstrap, NULL));
    comm->watch = comm->bootstrap->watch;
    comm->bootstrap->watch = NULL;
    if (comm->watch) bl_watch_adopt(comm->watch, comm);
    return BL_OK;
}

/* Gives all ranks comm->payload of rank 0. */
static bl_status meet(bl_comm *comm, bl_context *ctx, const bl_comm_options *options) {
    if (!ctx || ctx->device != BL_CUDA)
        return bl_fail(BL_ERROR_ARGUMENT, "comm: %s moves GPU memory, expected a context on cuda", options->kind);
    if (comm->rank == 0) BL_TRY(comm->driver->invite(comm, options));
    if (comm->size == 1) return BL_OK;
    if (options->master_addr) {
        BL_TRY(bl_comm_meet(comm, options));
        return bl_watch_start(comm->watch);
    }
    if (options->mpi_library) return meet_over_mpi(comm, ctx, options);
    return bl_fail(BL_ERROR_ARGUMENT, "comm: rank %d does not know where rank 0 is: set MASTER_ADDR and MASTER_PORT",
                   (int) comm->rank);
}

BL_API bl_status bl_comm_open(bl_comm **out, bl_context *ctx, const bl_comm_options *options) {
    if (!out) return bl_fail(BL_ERROR_ARGUMENT, "comm: out is NULL");
    bl_comm *comm = NULL;
    BL_TRY(bl_comm_create(&comm, options));
    bl_status status = find_driver(options->kind, &comm->driver);
    if (status == BL_OK && comm->driver->invite) status = meet(comm, ctx, options);
    if (status == BL_OK) status = comm->driver->open(comm, ctx, options);
    if (status != BL_OK) {
        /* A thread that still starts MPI keeps using it: better lost than freed under it. */
        if (!comm->state) bl_comm_destroy(comm);
        return status;
    }
    *out = comm;
    return BL_OK;
}

static bl_status check_both(const char *op, const bl_context *ctx, const bl_comm *comm) {
    if (!comm) return bl_fail(BL_ERROR_ARGUMENT, "%s: comm is NULL", op);
    return bl_check_context(op, ctx);
}

static bl_status check_op(const char *name, int32_t op) {
    if (op < BL_COMM_SUM || op > BL_COMM_MIN)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: op is %d, expected 0 (sum), 1 (max) or 2 (min)", name, (int) op);
    return BL_OK;
}

BL_API bl_status bl_comm_barrier(bl_context *ctx, bl_comm *comm) {
    BL_TRY(check_both("barrier", ctx, comm));
    bl_job job = {.kind = BL_JOB_BARRIER, .dtype = BL_I8};
    return submit(comm, ctx, &job, "barrier");
}

BL_API bl_status bl_comm_broadcast(bl_context *ctx, bl_comm *comm, bl_tensor *t, int32_t root) {
    static const char name[] = "broadcast";
    BL_TRY(check_both(name, ctx, comm));
    BL_TRY(bl_check_flat(name, ctx, "t", t, COMM_DTYPES));
    if (root < 0 || root >= comm->size)
        return bl_fail(BL_ERROR_ARGUMENT, "broadcast: root is %d, expected 0 to %d", (int) root, (int) comm->size - 1);
    bl_job job = {.kind = BL_JOB_BROADCAST, .dtype = t->dtype, .root = root, .out = t->data, .in = t->data};
    job.count = bl_tensor_numel(t);
    return submit(comm, ctx, &job, name);
}

BL_API bl_status bl_comm_all_reduce(bl_context *ctx, bl_comm *comm, bl_tensor *t, int32_t op) {
    static const char name[] = "all_reduce";
    BL_TRY(check_both(name, ctx, comm));
    BL_TRY(bl_check_flat(name, ctx, "t", t, COMM_DTYPES));
    BL_TRY(check_op(name, op));
    bl_job job = {.kind = BL_JOB_ALL_REDUCE, .dtype = t->dtype, .op = op, .out = t->data, .in = t->data};
    job.count = bl_tensor_numel(t);
    return submit(comm, ctx, &job, name);
}

/* part has numel(whole) / size elements and is this rank's part of whole or lies outside it. */
static bl_status check_part(const char *op, const bl_comm *comm, const char *part_name, const bl_tensor *part,
                            const char *whole_name, const bl_tensor *whole) {
    char a[128], b[128];
    int64_t n = bl_tensor_numel(part), total = bl_tensor_numel(whole);
    if (part->dtype != whole->dtype || n * comm->size != total)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %s is %s and %s is %s, expected one dtype and %d times the elements", op,
                       part_name, bl_tensor_format(part, a, sizeof a), whole_name, bl_tensor_format(whole, b, sizeof b),
                       (int) comm->size);
    int64_t bytes = n * (int64_t) bl_dtype_size(part->dtype);
    uintptr_t p = (uintptr_t) part->data, w = (uintptr_t) whole->data;
    bool apart = p + (uintptr_t) bytes <= w || w + (uintptr_t) (bytes * comm->size) <= p;
    if (!apart && bytes > 0 && p != w + (uintptr_t) (bytes * comm->rank))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %s overlaps %s, expected apart or exactly part %d of it", op, part_name,
                       whole_name, (int) comm->rank);
    return BL_OK;
}

BL_API bl_status bl_comm_reduce_scatter(bl_context *ctx, bl_comm *comm, bl_tensor *out, const bl_tensor *x,
                                        int32_t op) {
    static const char name[] = "reduce_scatter";
    BL_TRY(check_both(name, ctx, comm));
    BL_TRY(bl_check_flat(name, ctx, "out", out, COMM_DTYPES));
    BL_TRY(bl_check_flat(name, ctx, "x", x, COMM_DTYPES));
    BL_TRY(check_op(name, op));
    BL_TRY(check_part(name, comm, "out", out, "x", x));
    bl_job job = {.kind = BL_JOB_REDUCE_SCATTER, .dtype = x->dtype, .op = op, .out = out->data, .in = x->data};
    job.count = bl_tensor_numel(x);
    return submit(comm, ctx, &job, name);
}

BL_API bl_status bl_comm_all_gather(bl_context *ctx, bl_comm *comm, bl_tensor *out, const bl_tensor *x) {
    static const char name[] = "all_gather";
    BL_TRY(check_both(name, ctx, comm));
    BL_TRY(bl_check_flat(name, ctx, "out", out, COMM_DTYPES));
    BL_TRY(bl_check_flat(name, ctx, "x", x, COMM_DTYPES));
    BL_TRY(check_part(name, comm, "x", x, "out", out));
    bl_job job = {.kind = BL_JOB_ALL_GATHER, .dtype = x->dtype, .out = out->data, .in = x->data};
    job.count = bl_tensor_numel(out);
    return submit(comm, ctx, &job, name);
}

BL_API bl_status bl_comm_wait(bl_context *ctx, bl_comm *comm) {
    BL_TRY(check_both("comm_wait", ctx, comm));
    BL_TRY(bl_comm_check(comm));
    return comm->driver->wait(comm, ctx);
}

BL_API bl_status bl_comm_close(bl_comm *comm) {
    if (!comm) return BL_OK;
    bl_job job = {.kind = BL_JOB_CLOSE, .dtype = BL_I8};
    bl_status status = submit(comm, NULL, &job, "close");
    if (status == BL_OK) status = comm->driver->wait(comm, NULL);
    bool broken = bl_comm_check(comm) != BL_OK;
    comm->driver->close(comm);
    /* MPI shuts down while the watch still runs. */
    bl_status last = bl_comm_close(comm->bootstrap);
    if (status == BL_OK) status = last;
    if (!broken && comm->watch) (void) bl_watch_leave(comm->watch);
    bl_comm_destroy(comm);
    return status;
}

BL_API bl_status bl_comm_fail(bl_comm *comm, int32_t code, const char *message, bool *print) {
    if (!comm || !message || !print)
        return bl_fail(BL_ERROR_ARGUMENT, "comm_fail: %s is NULL", !comm ? "comm" : !message ? "message" : "print");
    *print = true;
    if (comm->watch) bl_watch_fail(comm->watch, code, message, print);
    bl_comm_break(comm, message);
    return BL_OK;
}

BL_API bl_status bl_comm_describe(const char *kind, const char *library, char *text, size_t bytes) {
    if (!kind || !text || bytes == 0) return bl_fail(BL_ERROR_ARGUMENT, "comm: no room for the text");
    const bl_comm_driver *driver = NULL;
    BL_TRY(find_driver(kind, &driver));
    if (driver->describe) return driver->describe(library, text, bytes);
    snprintf(text, bytes, "one process");
    return BL_OK;
}

BL_API void bl_comm_record(bl_comm *comm, bool on) {
    pthread_mutex_lock(&comm->lock);
    if (on && !comm->spans) comm->spans = calloc(BL_SPAN_CAPACITY, sizeof *comm->spans);
    comm->recording = on && comm->spans;
    pthread_mutex_unlock(&comm->lock);
}

BL_API int64_t bl_comm_spans(bl_comm *comm, bl_comm_span *out, int64_t capacity) {
    pthread_mutex_lock(&comm->lock);
    int64_t n = comm->span_count < capacity ? comm->span_count : capacity;
    for (int64_t i = 0; i < n; i++)
        out[i] = comm->spans[(comm->span_first + i) % BL_SPAN_CAPACITY];
    comm->span_first = (comm->span_first + n) % BL_SPAN_CAPACITY;
    comm->span_count -= n;
    pthread_mutex_unlock(&comm->lock);
    return n;
}

BL_API void bl_comm_busy(bl_comm *comm, bool busy) {
    __atomic_store_n(&comm->busy, busy, __ATOMIC_RELAXED);
}

BL_API void bl_comm_where(bl_comm *comm, char *text, size_t bytes) {
    pthread_mutex_lock(&comm->lock);
    if (comm->started)
        snprintf(text, bytes, "collective %lld, %s", (long long) comm->started, comm->current);
    else
        snprintf(text, bytes, "no collective yet");
    pthread_mutex_unlock(&comm->lock);
}

BL_API void bl_comm_counts(bl_comm *comm, int64_t *queued, int64_t *finished) {
    pthread_mutex_lock(&comm->lock);
    *queued = comm->queued;
    *finished = comm->finished;
    pthread_mutex_unlock(&comm->lock);
}
