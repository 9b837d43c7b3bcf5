/*
 * queue.h - what the two files of the queue share: queue.c keeps its lists and
 * threads, queue_batch.c computes what one worker has taken.
 */
#ifndef BERTLUA_ENCODER_QUEUE_H
#define BERTLUA_ENCODER_QUEUE_H

#include "core/internal.h"

typedef struct bl_queue_job {
    bl_reply reply; /* first: a reply is released by its address */
    struct bl_queue_job *next;
    bl_request request; /* its pointers lead into `texts` */
    void *texts;
    uint64_t text_bytes;
    uint64_t result_bytes; /* before it is computed an upper bound */
    int64_t arrived;       /* nanoseconds */
    bool cancelled;
    /* What reply points to, owned here. */
    int32_t *lengths;
    int64_t *rows;
    void *results;
    char *message;
} bl_queue_job;

/* What queue_batch.c needs to know of the queue. */
typedef struct bl_queue_limits {
    bl_encoder *encoder;
    int32_t max_length;
    int32_t hidden_size;
    int32_t labels;
    int32_t batch_texts;
    int32_t batch_tokens;
} bl_queue_limits;

/* Most bytes that the results of a request can take; false on overflow. */
bool bl_queue_result_bytes(const bl_queue_limits *limits, const bl_request *request, uint64_t *bytes);
/* Whether two requests may be computed by one call. */
bool bl_queue_joins(const bl_request *a, const bl_request *b);
/*
 * Count the tokens of a list of jobs, of which those that have been counted are
 * left as they are. A job whose count fails gets its status.
 */
void bl_queue_measure(const bl_queue_limits *limits, bl_queue_job *jobs);
/* Compute a list of measured jobs that may be joined: results, or status and message, of each. */
void bl_queue_compute(const bl_queue_limits *limits, bl_queue_job *jobs);

#endif
