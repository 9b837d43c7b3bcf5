/*
 * device.h - work that overlaps: events, pinned host memory, copies that do
 * not wait, and how full the device is.
 *
 * Part of the public C API (include "bertlua.h"). On the CPU everything is
 * done when a call returns, so callers need only one path.
 */
#ifndef BERTLUA_API_DEVICE_H
#define BERTLUA_API_DEVICE_H

#include "core.h"

/* CDEF-BEGIN */

/* Queues of a device: all ops run on the first, in order; the second is for copies alongside them. */
typedef enum bl_stream { BL_STREAM_COMPUTE = 0, BL_STREAM_COPY = 1 } bl_stream;

/*
 * A mark in a queue. record puts it behind the work queued so far, and may be
 * called again; wait holds back what is queued on another stream from now on,
 * not the caller; synchronize holds back the caller. An event that was never
 * recorded counts as reached.
 */
typedef struct bl_event bl_event;
/* timed: allows bl_event_elapsed, at a small cost. */
bl_status bl_event_create(bl_event **out, bl_context *ctx, bool timed);
void bl_event_free(bl_event *event);
bl_status bl_event_record(bl_event *event, int32_t stream);
bl_status bl_event_wait(bl_event *event, int32_t stream);
bl_status bl_event_synchronize(bl_event *event);
/* Whether the work before it is done; never waits. */
bl_status bl_event_query(bl_event *event, bool *done);
/* Seconds on the device between two timed events of one context, both reached. */
bl_status bl_event_elapsed(bl_event *begin, bl_event *end, double *seconds);

/* Zero-filled, 64-byte aligned host memory that the device copies from and to without staging. */
typedef struct bl_pinned bl_pinned;
bl_status bl_pinned_create(bl_pinned **out, bl_context *ctx, size_t bytes);
void bl_pinned_free(bl_pinned *pinned);
void *bl_pinned_data(bl_pinned *pinned);

/*
 * As bl_upload and bl_download, without waiting. The host memory is pinned and
 * stays as it is until an event recorded behind the copy is reached.
 */
bl_status bl_upload_async(bl_context *ctx, bl_tensor *dst, const void *src, size_t bytes, int32_t stream);
bl_status bl_download_async(bl_context *ctx, void *dst, const bl_tensor *src, size_t bytes, int32_t stream);

/* Free and total bytes of the device's memory. On the CPU, free is what programs may still allocate. */
bl_status bl_device_memory(bl_context *ctx, uint64_t *free_bytes, uint64_t *total_bytes);

/* The largest operands of a training step of a transformer. */
typedef struct bl_step_shape {
    int64_t rows;         /* tokens of a batch */
    int64_t picked;       /* rows with a masked word to predict; 0 for none */
    int64_t sequences;    /* of a batch */
    int64_t max_length;   /* of a sequence */
    int64_t hidden;       /* width of a row */
    int64_t intermediate; /* width between the two products of a layer */
    int64_t classes;      /* words to predict from; 0 for none */
    int64_t parameters;   /* elements of all of them */
    int64_t tensors;      /* that the optimizer treats separately */
    int64_t activations;  /* bytes of the arena at its peak */
    int32_t heads;
    int32_t dtype; /* of rows */
    float dropout; /* of attention */
} bl_step_shape;

/*
 * What a training step takes on the device besides tensors: scratch, the most
 * that one op asks for with the present setting of attention, and slack, by how
 * much the memory behind an arena of that peak exceeds it. 0 on the CPU.
 * BL_ERROR_UNSUPPORTED where the kernels that attention is set to do not take
 * it.
 */
bl_status bl_step_workspace(bl_context *ctx, const bl_step_shape *shape, uint64_t *scratch, uint64_t *slack);
/* Takes scratch memory now: ops that ask for no more than that will find it. Does nothing on the CPU. */
bl_status bl_reserve_scratch(bl_context *ctx, uint64_t bytes);

/* CDEF-END */

#endif
