/*
 * comm.h - what the files of engine/comm and its plug-ins share: a
 * communicator, one queued collective, and the table a kind implements.
 *
 *   comm.c        public functions: validation, counters, spans
 *   meet.c        ranks meet over TCP
 *   self.c        one process
 *   queue.c       "mpi": the communication thread and its queue
 *   collective.c  "mpi": collectives out of messages between two ranks
 *   reduce.c      "mpi": element by element, in the order of the ranks
 *   watch.c       signs of life of all ranks over TCP; failures
 *   watch_rules.c "mpi" and "nccl": which rank is to blame, and the message for it
 *   socket.c      TCP with deadlines
 *   ../mpi/mpi.c  messages over MPI, a shared object of its own
 *   ../cuda/comm.cu  "nccl", part of the CUDA backend: reached through its table
 */
#ifndef BERTLUA_COMM_COMM_H
#define BERTLUA_COMM_COMM_H

#include <pthread.h>

#include "core/internal.h"

typedef enum bl_job_kind {
    BL_JOB_BARRIER,
    BL_JOB_BROADCAST,
    BL_JOB_ALL_REDUCE,
    BL_JOB_REDUCE_SCATTER,
    BL_JOB_ALL_GATHER,
    BL_JOB_CLOSE
} bl_job_kind;

/* One collective; its arguments were checked. */
typedef struct bl_job {
    bl_job_kind kind;
    int32_t dtype;
    int32_t op;   /* of reductions */
    int32_t root; /* of broadcasts */
    void *out;
    const void *in; /* equal to out where there is one tensor */
    int64_t count;  /* elements of the larger of the two tensors */
    int64_t number; /* counted from 1 */
    char name[48];
} bl_job;

typedef struct bl_watch bl_watch;
typedef struct bl_comm_driver bl_comm_driver;

enum { BL_SPAN_CAPACITY = 4096 };

struct bl_comm {
    const bl_comm_driver *driver;
    void *state;     /* the driver's own */
    bl_watch *watch; /* NULL for "self" */
    int32_t rank;
    int32_t size;
    double timeout;
    bl_comm_on_failure on_failure;
    bl_comm *bootstrap; /* "nccl": the "mpi" communicator over which the ranks met, or NULL */
    char payload[256];  /* "nccl": what rank 0 had to tell all */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    int64_t queued;
    int64_t started;
    int64_t finished;
    char current[48]; /* name of the last that started */
    bool broken;
    char reason[512];
    bool recording;
    bl_comm_span *spans; /* ring of BL_SPAN_CAPACITY, made when recording starts */
    int64_t span_first;
    int64_t span_count;

    /* Read and written with __atomic: this header is C++ as well. */
    bool busy;        /* works for the others, who wait */
    bool stop;        /* set with broken: the communication thread gives up */
    int64_t progress; /* messages that arrived: a slow collective is not a hung one */
};

struct bl_comm_driver {
    const char *kind;
    bl_status (*open)(bl_comm *comm, bl_context *ctx, const bl_comm_options *options);
    bl_status (*submit)(bl_comm *comm, bl_context *ctx, const bl_job *job);
    bl_status (*wait)(bl_comm *comm, bl_context *ctx);
    /* After BL_JOB_CLOSE, or on a broken communicator: frees the state. */
    void (*close)(bl_comm *comm);
    /* NULL, or: on rank 0, fill in comm->payload, which all ranks have when open is called. */
    bl_status (*invite)(bl_comm *comm, const bl_comm_options *options);
    /* Name and version of the library behind it. */
    bl_status (*describe)(const char *library, char *text, size_t bytes);
};

extern const bl_comm_driver bl_comm_self_driver;
extern const bl_comm_driver bl_comm_mpi_driver;

/* What follows up to bl_comm_thread is there for the CUDA backend as well. */

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t bl_now(void);
/* The driver begins a collective, or has finished it. */
void bl_comm_started(bl_comm *comm, const bl_job *job);
void bl_comm_finished(bl_comm *comm, const bl_job *job, int64_t begin, int64_t end);
/* From now on every call fails with this reason; the first reason stays. Any thread. */
void bl_comm_break(bl_comm *comm, const char *reason);
/* A collective failed on the way: let the watch, which knows more, speak first, then break. A driver's thread. */
void bl_comm_trouble(bl_comm *comm, const char *reason);
/* BL_OK, or the reason why the communicator is broken. */
bl_status bl_comm_check(bl_comm *comm);
/* Start a thread that leaves signals to the program's own: 0, or an errno value. */
int bl_comm_thread(pthread_t *thread, void *(*run)(void *), void *argument);

/* An open communicator without a driver, and its end. */
bl_status bl_comm_create(bl_comm **out, const bl_comm_options *options);
void bl_comm_destroy(bl_comm *comm);
/* At options->master_addr: every rank gets comm->payload of rank 0, and a watch that is not started. */
bl_status bl_comm_meet(bl_comm *comm, const bl_comm_options *options);
/* dlopen with a message that says what to install; NULL on failure. */
void *bl_comm_load(const char *kind, const char *path, const char *symbol);

#endif
