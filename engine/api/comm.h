/*
 * comm.h - collectives between the processes of a job, one process per device.
 *
 * Part of the public C API (include "bertlua.h"). The text between the two
 * CDEF markers is plain C without macros: the Lua bindings feed it to ffi.cdef
 * as it stands.
 */
#ifndef BERTLUA_API_COMM_H
#define BERTLUA_API_COMM_H

#include "core.h"

/* CDEF-BEGIN */

/*
 * A communicator: this process's rank among `size` processes, and a queue of
 * collectives. Kinds: "self" (one process), "mpi" (CPU memory) and "nccl" (GPU
 * memory); the libraries behind the last two are opened at run time.
 *
 * A collective is queued after all work given to the context so far and returns
 * at once; collectives run in the order of the calls, which must be the same on
 * every rank. Until bl_comm_wait the tensors may neither be read, written nor
 * freed. Invalid arguments are reported at once, failures of the network or of
 * another rank by bl_comm_wait and by every later call.
 *
 * Sums of bf16 and f16 are added in f32 and rounded once. With "mpi" the terms
 * are added in the order of the ranks: the result is the same on every rank
 * and in every run, and reduce_scatter followed by all_gather equals
 * all_reduce bit for bit. What a maximum or minimum with a NaN is, NCCL decides.
 */
typedef struct bl_comm bl_comm;

enum { BL_COMM_SUM = 0, BL_COMM_MAX = 1, BL_COMM_MIN = 2 };

/* Exit code of a job that a failure on any rank ended. */
enum { BL_COMM_EXIT_FAILED = 71 };

/*
 * Called once, on a thread of the engine, when a rank died, hangs or reported a
 * failure: line says which rank and which collective. print is true on one rank
 * of the job. It should end the process with `code` and must not use the
 * communicator. Without it, failures are only seen at the next bl_comm_wait.
 */
typedef void (*bl_comm_on_failure)(int32_t code, const char *line, bool print);

typedef struct bl_comm_options {
    const char *kind;        /* "self", "mpi" or "nccl" */
    const char *library;     /* "mpi": path of libbertlua-mpi.so; "nccl": of NCCL, or NULL to look for libnccl.so.2 */
    const char *mpi_library; /* "nccl" without master_addr: libbertlua-mpi.so, over which the ranks meet */
    int32_t rank;            /* what the launcher said; checked against MPI's own idea */
    int32_t size;
    const char *master_addr; /* "nccl": where rank 0 is reached, or NULL; with "mpi", MPI knows */
    int32_t master_port;
    double timeout; /* seconds without progress or a sign of life after which a rank counts as hung */
    bl_comm_on_failure on_failure;
} bl_comm_options;

/*
 * Join the job. ctx: the device whose memory is moved; may be NULL for "self"
 * and "mpi". Fails after `timeout` seconds with the ranks that are missing.
 */
bl_status bl_comm_open(bl_comm **out, bl_context *ctx, const bl_comm_options *options);
/* Finish what is queued, say goodbye to the other ranks. A process opens "mpi" once. */
bl_status bl_comm_close(bl_comm *comm);
/*
 * Every rank gets rank 0's payload of `bytes`, at most 256, at master_addr and
 * master_port, within `timeout`; of the other options only rank and size
 * matter. This is how the ranks of "nccl" meet where MPI did not start them.
 */
bl_status bl_comm_rendezvous(const bl_comm_options *options, void *payload, size_t bytes);
int32_t bl_comm_rank(const bl_comm *comm);
int32_t bl_comm_size(const bl_comm *comm);
const char *bl_comm_kind(const bl_comm *comm);

/*
 * Tensors are contiguous f32, bf16, f16 or i64 on the context's device, of any
 * shape; counts and dtypes agree on every rank.
 */
/* Barrier: no rank continues before every rank is here. */
bl_status bl_comm_barrier(bl_context *ctx, bl_comm *comm);
/* t of every rank = t of rank root. */
bl_status bl_comm_broadcast(bl_context *ctx, bl_comm *comm, bl_tensor *t, int32_t root);
/* t = op over the ranks of t; op: BL_COMM_SUM, BL_COMM_MAX or BL_COMM_MIN; a NaN on any rank gives NaN. */
bl_status bl_comm_all_reduce(bl_context *ctx, bl_comm *comm, bl_tensor *t, int32_t op);
/* out = this rank's part, of size numel(x) / size, of the reduction of x. out may be that part of x; x stays. */
bl_status bl_comm_reduce_scatter(bl_context *ctx, bl_comm *comm, bl_tensor *out, const bl_tensor *x, int32_t op);
/* out = x of rank 0, x of rank 1, ...; x may be this rank's part of out. */
bl_status bl_comm_all_gather(bl_context *ctx, bl_comm *comm, bl_tensor *out, const bl_tensor *x);
/* Work given to the context after this call sees the results of all collectives so far. */
bl_status bl_comm_wait(bl_context *ctx, bl_comm *comm);

/*
 * Tell the other ranks that this one cannot continue; they end with `code`.
 * *print: whether this rank should print the message (the first of the job).
 */
bl_status bl_comm_fail(bl_comm *comm, int32_t code, const char *message, bool *print);

/*
 * This rank begins, or has ended, work of its own that keeps the others waiting
 * longer than the timeout: that is not a hang. Its signs of life are still
 * watched.
 */
void bl_comm_busy(bl_comm *comm, bool busy);

/* One finished collective, for traces. Times: nanoseconds of CLOCK_MONOTONIC. */
typedef struct bl_comm_span {
    char name[48]; /* "all_reduce f32 1024" */
    int64_t number;
    int64_t begin;
    int64_t end;
    int64_t bytes; /* of the whole tensor on one rank */
} bl_comm_span;
/* "Open MPI v4.1.4", "NCCL 2.28.9"; library as in bl_comm_options. Fails where the library is missing. */
bl_status bl_comm_describe(const char *kind, const char *library, char *text, size_t bytes);
/* Record spans from now on (off by default). */
void bl_comm_record(bl_comm *comm, bool on);
/* Move up to `capacity` of the oldest kept spans to out; at most 4096 are kept, later ones are dropped. */
int64_t bl_comm_spans(bl_comm *comm, bl_comm_span *out, int64_t capacity);
/* The collective that runs or ran last, for messages: "collective 17, all_reduce f32 1024". */
void bl_comm_where(bl_comm *comm, char *text, size_t bytes);
/* Collectives queued and finished so far. */
void bl_comm_counts(bl_comm *comm, int64_t *queued, int64_t *finished);

/* CDEF-END */

#endif
