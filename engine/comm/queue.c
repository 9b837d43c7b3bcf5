/*
 * queue.c - the "mpi" communicator: a communication thread that starts MPI and
 * alone calls it (so MPI_THREAD_FUNNELED is enough), fed by a queue in the
 * order of the calls. While the main thread computes, messages move.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collective.h"
#include "watch.h"

enum { QUEUE_CAPACITY = 1024 };

typedef enum phase { STARTING, READY, FAILED } phase;

typedef struct queue {
    bl_link link;
    pthread_t thread;
    bool threaded;
    /* The rest is guarded by comm->lock. */
    phase phase;
    char problem[512];
    bl_job jobs[QUEUE_CAPACITY];
    int64_t taken; /* jobs taken by the thread; comm->queued are in */
    int64_t given; /* jobs handed to it */
    bool quit;
} queue;

static bl_status check_ranks(const bl_comm *comm, int32_t rank, int32_t size) {
    if (rank == comm->rank && size == comm->size) return BL_OK;
    return bl_fail(BL_ERROR_ARGUMENT,
                   "comm: MPI says this is rank %d of %d, the launch variables say rank %d of %d; start all processes "
                   "with mpirun or srun of the MPI that bertlua was built with",
                   (int) rank, (int) size, (int) comm->rank, (int) comm->size);
}

/* On the communication thread: MPI, then the watch, whose address travels over MPI. */
static bl_status start(bl_comm *comm, queue *q) {
    int32_t rank = 0, size = 0;
    const char *problem = q->link.p2p->start(&rank, &size);
    if (problem) return bl_fail(BL_ERROR_INTERNAL, "comm: MPI failed to start: %s", problem);
    BL_TRY(check_ranks(comm, rank, size));
    if (size == 1) return BL_OK;
    bl_watch_address address;
    memset(&address, 0, sizeof address);
    bl_status status = BL_OK;
    if (rank == 0) status = bl_watch_listen(&comm->watch, comm, 0, &address);
    /* Port 0 signals that rank 0 could not listen. */
    BL_TRY(bl_collective_share(&q->link, &address, sizeof address));
    BL_TRY(status);
    if (address.port == 0) return bl_fail(BL_ERROR_IO, "comm: rank 0 could not listen for the others");
    char payload[BL_WATCH_PAYLOAD] = {0};
    BL_TRY(bl_watch_meet(&comm->watch, comm, &address, payload, bl_now() + (int64_t) (comm->timeout * 1e9)));
    return bl_watch_start(comm->watch);
}

static void announce(bl_comm *comm, queue *q, bl_status status) {
    pthread_mutex_lock(&comm->lock);
    q->phase = status == BL_OK ? READY : FAILED;
    if (status != BL_OK) {
        strncpy(q->problem, bl_last_error(), sizeof q->problem - 1);
        q->quit = true;
    }
    pthread_cond_broadcast(&comm->changed);
    pthread_mutex_unlock(&comm->lock);
}

/* The next job, or false when there will be none. */
static bool take(bl_comm *comm, queue *q, bl_job *job) {
    pthread_mutex_lock(&comm->lock);
    while (q->taken == q->given && !q->quit && !comm->broken)
        pthread_cond_wait(&comm->changed, &comm->lock);
    bool found = q->taken < q->given && !comm->broken;
    if (found) *job = q->jobs[q->taken++ % QUEUE_CAPACITY];
    pthread_cond_broadcast(&comm->changed);
    pthread_mutex_unlock(&comm->lock);
    return found;
}

static void *run(void *argument) {
    bl_comm *comm = argument;
    queue *q = comm->state;
    announce(comm, q, start(comm, q));
    bl_job job;
    while (take(comm, q, &job)) {
        int64_t begin = bl_now();
        bl_comm_started(comm, &job);
        bl_status status = bl_collective_run(&q->link, &job);
        const char *problem = NULL;
        if (status == BL_OK && job.kind == BL_JOB_CLOSE) problem = q->link.p2p->finish();
        if (problem) status = bl_fail(BL_ERROR_INTERNAL, "comm: MPI failed to shut down: %s", problem);
        if (status != BL_OK) {
            char reason[512];
            snprintf(reason, sizeof reason, "collective %lld, %s: %s", (long long) job.number, job.name,
                     bl_last_error());
            bl_comm_trouble(comm, reason);
            break;
        }
        bl_comm_finished(comm, &job, begin, bl_now());
        if (job.kind == BL_JOB_CLOSE) break;
    }
    return NULL;
}

static bl_status load(queue *q, const bl_comm_options *options, bl_comm *comm) {
    q->link.p2p = bl_comm_load("mpi", options->library, BL_P2P_SYMBOL);
    if (!q->link.p2p) return BL_ERROR_UNSUPPORTED;
    if (q->link.p2p->version != BL_P2P_VERSION)
        return bl_fail(BL_ERROR_UNSUPPORTED, "comm: %s belongs to another version of bertlua; run make",
                       options->library);
    q->link.comm = comm;
    q->link.parts = calloc((size_t) comm->size, sizeof *q->link.parts);
    return q->link.parts ? BL_OK : bl_fail(BL_ERROR_MEMORY, "comm: out of memory");
}

/* Until MPI is up; its start waits for all ranks, so a missing one shows here. */
static bl_status await_start(bl_comm *comm, queue *q) {
    /* bl_watch_meet has the same deadline and the better message: let it speak first. */
    int64_t until = bl_now() + (int64_t) ((comm->timeout + 2.0) * 1e9);
    struct timespec time = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
    pthread_mutex_lock(&comm->lock);
    int late = 0;
    while (q->phase == STARTING && late == 0)
        late = pthread_cond_timedwait(&comm->changed, &comm->lock, &time);
    bl_status status = BL_OK;
    if (q->phase == STARTING)
        status =
            bl_fail(BL_ERROR_INTERNAL, "comm: rank %d of %d waited %g s for MPI to start; are all processes running?",
                    (int) comm->rank, (int) comm->size, comm->timeout);
    else if (q->phase == FAILED)
        status = bl_fail(BL_ERROR_INTERNAL, "%s", q->problem);
    pthread_mutex_unlock(&comm->lock);
    return status;
}

static void release(bl_comm *comm) {
    queue *q = comm->state;
    pthread_mutex_lock(&comm->lock);
    q->quit = true;
    pthread_cond_broadcast(&comm->changed);
    pthread_mutex_unlock(&comm->lock);
    if (q->threaded) pthread_join(q->thread, NULL);
    bl_link_free(&q->link);
    free(q);
    comm->state = NULL;
}

static bl_status mpi_open(bl_comm *comm, bl_context *ctx, const bl_comm_options *options) {
    (void) ctx;
    queue *q = calloc(1, sizeof *q);
    if (!q) return bl_fail(BL_ERROR_MEMORY, "comm: out of memory");
    comm->state = q;
    bl_status status = load(q, options, comm);
    if (status == BL_OK) {
        int failure = bl_comm_thread(&q->thread, run, comm);
        q->threaded = failure == 0;
        if (failure) status = bl_fail(BL_ERROR_MEMORY, "comm: cannot start a thread: %s", strerror(failure));
    }
    if (status == BL_OK) status = await_start(comm, q);
    if (status != BL_OK && q->phase != STARTING) {
        release(comm);
    } else if (status != BL_OK) {
        if (!q->threaded)
            release(comm);
        else
            pthread_detach(q->thread); /* still inside MPI_Init: it keeps the state */
    }
    return status;
}

static bl_status mpi_submit(bl_comm *comm, bl_context *ctx, const bl_job *job) {
    queue *q = comm->state;
    if (ctx && ctx->device != BL_CPU)
        return bl_fail(BL_ERROR_UNSUPPORTED, "comm: mpi moves CPU tensors only; use nccl on a GPU");
    pthread_mutex_lock(&comm->lock);
    while (q->given - q->taken == QUEUE_CAPACITY && !comm->broken)
        pthread_cond_wait(&comm->changed, &comm->lock);
    if (!comm->broken) {
        q->jobs[q->given++ % QUEUE_CAPACITY] = *job;
        pthread_cond_broadcast(&comm->changed);
    }
    pthread_mutex_unlock(&comm->lock);
    return bl_comm_check(comm);
}

static bl_status mpi_wait(bl_comm *comm, bl_context *ctx) {
    (void) ctx;
    pthread_mutex_lock(&comm->lock);
    while (comm->finished < comm->queued && !comm->broken)
        pthread_cond_wait(&comm->changed, &comm->lock);
    pthread_mutex_unlock(&comm->lock);
    return bl_comm_check(comm);
}

static bl_status mpi_describe(const char *library, char *text, size_t bytes) {
    const bl_p2p *p2p = bl_comm_load("mpi", library, BL_P2P_SYMBOL);
    if (!p2p) return BL_ERROR_UNSUPPORTED;
    snprintf(text, bytes, "%s", p2p->describe());
    return BL_OK;
}

const bl_comm_driver bl_comm_mpi_driver = {"mpi", mpi_open, mpi_submit, mpi_wait, release, NULL, mpi_describe};
