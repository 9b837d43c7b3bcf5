/*
 * collective.c - collectives over point-to-point messages.
 *
 * Why not the library's own: MPI has no bf16, leaves the order of a sum to the
 * implementation, and waits by spinning on the cores that compute. Here the
 * vector is cut into one part per rank; each rank receives its part from all
 * others, adds them in the order of the ranks, and sends the result to
 * everyone: (n-1)/n of the vector in and out for the reduction and as much
 * again for the gather, like a ring, with two message latencies instead of
 * 2(n-1).
 */
#include "collective.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "reduce.h"

/* A whole vector of at most this many bytes goes to every rank at once: one latency. */
#define SMALL_BYTES INT64_C(16384)
/* Received at one time in a reduction; and one message. */
#define SCRATCH_BYTES (INT64_C(16) << 20)
#define MESSAGE_BYTES (INT64_C(4) << 20)

#define LINK_TRY(call)                                                                                                 \
    do {                                                                                                               \
        const char *problem_ = (call);                                                                                 \
        if (problem_) return bl_fail(BL_ERROR_INTERNAL, "comm: %s", problem_);                                         \
    } while (0)

static int64_t minimum(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Wait for all started messages. Leaves the core to compute threads: yields first, then sleeps. */
static bl_status finish_messages(bl_link *link) {
    bool done = false;
    for (int64_t turn = 0;; turn++) {
        LINK_TRY(link->p2p->poll(&done));
        if (done) break;
        if (__atomic_load_n(&link->comm->stop, __ATOMIC_ACQUIRE))
            return bl_fail(BL_ERROR_INTERNAL, "comm: the job ended");
        if (turn < 200) {
            sched_yield();
        } else {
            struct timespec nap = {.tv_nsec = turn < 2000 ? 20000 : 100000};
            nanosleep(&nap, NULL);
        }
    }
    __atomic_fetch_add(&link->comm->progress, 1, __ATOMIC_RELAXED);
    return BL_OK;
}

static bl_status need_scratch(bl_link *link, int64_t bytes) {
    if ((size_t) bytes <= link->scratch_bytes) return BL_OK;
    free(link->scratch);
    link->scratch_bytes = 0;
    if (posix_memalign(&link->scratch, 64, (size_t) bytes) != 0) {
        link->scratch = NULL;
        return bl_fail(BL_ERROR_MEMORY, "comm: %lld bytes of scratch could not be allocated", (long long) bytes);
    }
    link->scratch_bytes = (size_t) bytes;
    return BL_OK;
}

/* How a vector is cut: part r is [r * part, min((r + 1) * part, count)). */
typedef struct cut {
    int64_t count;
    int64_t part;
    int64_t size; /* bytes of an element */
} cut;

static cut cut_for(const bl_link *link, const bl_job *job) {
    cut c = {.count = job->count, .size = (int64_t) bl_dtype_size(job->dtype)};
    c.part = (c.count + link->comm->size - 1) / link->comm->size;
    return c;
}

/* Elements of rank's part from `at` on, at most `limit`. */
static int64_t length(const cut *c, int32_t rank, int64_t at, int64_t limit) {
    int64_t begin = rank * c->part + at;
    int64_t end = minimum((rank + 1) * c->part, c->count);
    return begin >= end ? 0 : minimum(end - begin, limit);
}

/* Peers in an order in which no two ranks start with the same one. */
static int32_t peer(const bl_link *link, int32_t step) {
    return (link->comm->rank + step) % link->comm->size;
}

static int32_t peer_back(const bl_link *link, int32_t step) {
    return (link->comm->rank - step + link->comm->size) % link->comm->size;
}

/* out = reduction of this rank's part of `in`. */
static bl_status reduce_part(bl_link *link, const bl_job *job, const cut *c, void *out) {
    int32_t rank = link->comm->rank, ranks = link->comm->size;
    const char *in = job->in;
    int64_t step = SCRATCH_BYTES / (ranks * c->size);
    step = minimum(step < 1024 ? 1024 : step, c->part);
    BL_TRY(need_scratch(link, ranks * step * c->size));
    for (int64_t at = 0; at < c->part; at += step) {
        int64_t own = length(c, rank, at, step);
        for (int32_t k = 1; k < ranks; k++) {
            int32_t from = peer_back(link, k), to = peer(link, k);
            int64_t theirs = length(c, to, at, step);
            char *slot = (char *) link->scratch + from * step * c->size;
            link->parts[from] = slot;
            if (own) LINK_TRY(link->p2p->receive(slot, own * c->size, from));
            if (theirs) LINK_TRY(link->p2p->send(in + (to * c->part + at) * c->size, theirs * c->size, to));
        }
        BL_TRY(finish_messages(link));
        link->parts[rank] = in + (rank * c->part + at) * c->size;
        if (own) bl_comm_reduce((char *) out + at * c->size, link->parts, ranks, own, job->dtype, job->op);
    }
    return BL_OK;
}

/* Every rank's part of `out` to all; this rank's is there. */
static bl_status gather_parts(bl_link *link, const cut *c, void *out) {
    int32_t rank = link->comm->rank;
    char *base = out;
    int64_t step = minimum(MESSAGE_BYTES / c->size, c->part);
    for (int64_t at = 0; at < c->part; at += step) {
        int64_t own = length(c, rank, at, step);
        for (int32_t k = 1; k < link->comm->size; k++) {
            int32_t from = peer_back(link, k), to = peer(link, k);
            int64_t theirs = length(c, from, at, step);
            if (theirs) LINK_TRY(link->p2p->receive(base + (from * c->part + at) * c->size, theirs * c->size, from));
            if (own) LINK_TRY(link->p2p->send(base + (rank * c->part + at) * c->size, own * c->size, to));
        }
        BL_TRY(finish_messages(link));
    }
    return BL_OK;
}

/* The whole vector to everyone; each rank adds for itself, in the same order. */
static bl_status reduce_small(bl_link *link, const bl_job *job) {
    int32_t rank = link->comm->rank, ranks = link->comm->size;
    int64_t bytes = job->count * (int64_t) bl_dtype_size(job->dtype);
    BL_TRY(need_scratch(link, ranks * bytes));
    for (int32_t k = 1; k < ranks; k++) {
        int32_t from = peer_back(link, k);
        char *slot = (char *) link->scratch + from * bytes;
        link->parts[from] = slot;
        LINK_TRY(link->p2p->receive(slot, bytes, from));
        LINK_TRY(link->p2p->send(job->in, bytes, peer(link, k)));
    }
    BL_TRY(finish_messages(link));
    link->parts[rank] = job->in;
    bl_comm_reduce(job->out, link->parts, ranks, job->count, job->dtype, job->op);
    return BL_OK;
}

static bl_status all_reduce(bl_link *link, const bl_job *job) {
    cut c = cut_for(link, job);
    if (c.count * c.size <= SMALL_BYTES) return reduce_small(link, job);
    char *part = (char *) job->out + link->comm->rank * c.part * c.size;
    BL_TRY(reduce_part(link, job, &c, part));
    return gather_parts(link, &c, job->out);
}

static bl_status all_gather(bl_link *link, const bl_job *job) {
    cut c = cut_for(link, job);
    char *part = (char *) job->out + link->comm->rank * c.part * c.size;
    if (part != job->in) memcpy(part, job->in, (size_t) (c.part * c.size));
    return gather_parts(link, &c, job->out);
}

/* Binomial tree, message by message, so that a long vector flows through it. */
static bl_status broadcast(bl_link *link, void *data, int64_t bytes, int32_t root) {
    int32_t ranks = link->comm->size, place = (link->comm->rank - root + ranks) % ranks;
    for (int64_t at = 0; at < bytes; at += MESSAGE_BYTES) {
        char *chunk = (char *) data + at;
        int64_t n = minimum(MESSAGE_BYTES, bytes - at);
        int32_t reach = 1; /* places below it have the chunk */
        while (reach <= place)
            reach *= 2;
        if (place > 0) {
            LINK_TRY(link->p2p->receive(chunk, n, (place - reach / 2 + root) % ranks));
            BL_TRY(finish_messages(link));
        }
        for (; place + reach < ranks; reach *= 2)
            LINK_TRY(link->p2p->send(chunk, n, (place + reach + root) % ranks));
        BL_TRY(finish_messages(link));
    }
    return BL_OK;
}

static bl_status barrier(bl_link *link) {
    char mine = 0;
    BL_TRY(need_scratch(link, link->comm->size));
    for (int32_t k = 1; k < link->comm->size; k++) {
        LINK_TRY(link->p2p->receive((char *) link->scratch + k, 1, peer_back(link, k)));
        LINK_TRY(link->p2p->send(&mine, 1, peer(link, k)));
    }
    return finish_messages(link);
}

bl_status bl_collective_share(bl_link *link, void *data, int64_t bytes) {
    return broadcast(link, data, bytes, 0);
}

bl_status bl_collective_run(bl_link *link, const bl_job *job) {
    int64_t bytes = job->count * (int64_t) bl_dtype_size(job->dtype);
    if (job->kind == BL_JOB_BARRIER || job->kind == BL_JOB_CLOSE) return barrier(link);
    if (job->count == 0) return BL_OK;
    if (job->kind == BL_JOB_BROADCAST) return broadcast(link, job->out, bytes, job->root);
    if (job->kind == BL_JOB_ALL_REDUCE) return all_reduce(link, job);
    if (job->kind == BL_JOB_ALL_GATHER) return all_gather(link, job);
    cut c = cut_for(link, job);
    return reduce_part(link, job, &c, job->out);
}

void bl_link_free(bl_link *link) {
    free(link->scratch);
    free(link->parts);
    link->scratch = NULL;
    link->parts = NULL;
}
