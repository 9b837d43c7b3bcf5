/*
 * device.c - events, pinned memory, copies that do not wait, graphs:
 * validation and dispatch.
 */
#include <stdlib.h>

#include "check.h"

struct bl_event {
    bl_context *ctx;
    void *mark; /* the backend's */
    bool timed;
};

struct bl_pinned {
    bl_context *ctx;
    void *data;
};

struct bl_graph {
    bl_context *ctx;
    void *work; /* the backend's */
};

static bl_status check_stream(const char *op, int32_t stream) {
    if (stream != BL_STREAM_COMPUTE && stream != BL_STREAM_COPY)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: stream is %d, expected 0 (compute) or 1 (copy)", op, (int) stream);
    return BL_OK;
}

BL_API bl_status bl_event_create(bl_event **out, bl_context *ctx, bool timed) {
    BL_CHECK_FEATURE("event", ctx, event_create);
    if (!out) return bl_fail(BL_ERROR_ARGUMENT, "event: out is NULL");
    bl_event *event = calloc(1, sizeof *event);
    if (!event) return bl_fail(BL_ERROR_MEMORY, "event: out of memory");
    event->ctx = ctx;
    event->timed = timed;
    bl_status status = ctx->backend->event_create(ctx, timed, &event->mark);
    if (status != BL_OK) {
        free(event);
        return status;
    }
    *out = event;
    return BL_OK;
}

BL_API void bl_event_free(bl_event *event) {
    if (!event) return;
    event->ctx->backend->event_destroy(event->ctx, event->mark);
    free(event);
}

BL_API bl_status bl_event_record(bl_event *event, int32_t stream) {
    BL_TRY(check_stream("event_record", stream));
    return event->ctx->backend->event_record(event->ctx, event->mark, stream);
}

BL_API bl_status bl_event_wait(bl_event *event, int32_t stream) {
    BL_TRY(check_stream("event_wait", stream));
    return event->ctx->backend->event_wait(event->ctx, event->mark, stream);
}

BL_API bl_status bl_event_synchronize(bl_event *event) {
    return event->ctx->backend->event_synchronize(event->ctx, event->mark);
}

BL_API bl_status bl_event_query(bl_event *event, bool *done) {
    return event->ctx->backend->event_query(event->ctx, event->mark, done);
}

BL_API bl_status bl_event_elapsed(bl_event *begin, bl_event *end, double *seconds) {
    if (!begin->timed || !end->timed)
        return bl_fail(BL_ERROR_ARGUMENT, "event_elapsed: the %s event is not timed; create it with timed",
                       begin->timed ? "second" : "first");
    if (begin->ctx != end->ctx) return bl_fail(BL_ERROR_ARGUMENT, "event_elapsed: the events are of two contexts");
    return begin->ctx->backend->event_elapsed(begin->ctx, begin->mark, end->mark, seconds);
}

BL_API bl_status bl_pinned_create(bl_pinned **out, bl_context *ctx, size_t bytes) {
    BL_CHECK_FEATURE("pinned", ctx, pinned_allocate);
    if (!out) return bl_fail(BL_ERROR_ARGUMENT, "pinned: out is NULL");
    bl_pinned *pinned = calloc(1, sizeof *pinned);
    if (!pinned) return bl_fail(BL_ERROR_MEMORY, "pinned: out of memory");
    pinned->ctx = ctx;
    bl_status status = ctx->backend->pinned_allocate(ctx, bytes ? bytes : 1, &pinned->data);
    if (status != BL_OK) {
        free(pinned);
        return status;
    }
    *out = pinned;
    return BL_OK;
}

BL_API void bl_pinned_free(bl_pinned *pinned) {
    if (!pinned) return;
    pinned->ctx->backend->pinned_free(pinned->ctx, pinned->data);
    free(pinned);
}

BL_API void *bl_pinned_data(bl_pinned *pinned) {
    return pinned->data;
}

static bl_status check_copy(const char *op, const bl_context *ctx, const bl_tensor *t, const void *host, size_t bytes,
                            int32_t stream) {
    BL_TRY(check_stream(op, stream));
    BL_TRY(bl_check_flat(op, ctx, "tensor", t, BL_SET_ALL));
    size_t own = (size_t) bl_tensor_numel(t) * bl_dtype_size(t->dtype);
    if (bytes != own) {
        char text[128];
        return bl_fail(BL_ERROR_ARGUMENT, "%s: bytes is %zu, the tensor is %s, expected %zu", op, bytes,
                       bl_tensor_format(t, text, sizeof text), own);
    }
    if (!host && bytes > 0) return bl_fail(BL_ERROR_ARGUMENT, "%s: the host pointer is NULL", op);
    return BL_OK;
}

BL_API bl_status bl_upload_async(bl_context *ctx, bl_tensor *dst, const void *src, size_t bytes, int32_t stream) {
    BL_CHECK_FEATURE("upload_async", ctx, upload_async);
    BL_TRY(check_copy("upload_async", ctx, dst, src, bytes, stream));
    return bytes ? ctx->backend->upload_async(ctx, dst, src, bytes, stream) : BL_OK;
}

BL_API bl_status bl_download_async(bl_context *ctx, void *dst, const bl_tensor *src, size_t bytes, int32_t stream) {
    BL_CHECK_FEATURE("download_async", ctx, download_async);
    BL_TRY(check_copy("download_async", ctx, src, dst, bytes, stream));
    return bytes ? ctx->backend->download_async(ctx, dst, src, bytes, stream) : BL_OK;
}

BL_API bl_status bl_device_memory(bl_context *ctx, uint64_t *free_bytes, uint64_t *total_bytes) {
    BL_CHECK_FEATURE("device_memory", ctx, memory_info);
    if (!free_bytes || !total_bytes) return bl_fail(BL_ERROR_ARGUMENT, "device_memory: an output is NULL");
    return ctx->backend->memory_info(ctx, free_bytes, total_bytes);
}

BL_API bl_status bl_step_workspace(bl_context *ctx, const bl_step_shape *shape, uint64_t *scratch, uint64_t *slack) {
    if (!ctx || !shape || !scratch || !slack) return bl_fail(BL_ERROR_ARGUMENT, "step_workspace: an argument is NULL");
    if (shape->rows < 0 || shape->picked < 0 || shape->sequences < 0 || shape->max_length < 0 || shape->hidden < 1 ||
        shape->intermediate < 1 || shape->classes < 0 || shape->parameters < 0 || shape->tensors < 0 ||
        shape->activations < 0 || shape->heads < 1 || !(shape->dropout >= 0.0f && shape->dropout < 1.0f))
        return bl_fail(
            BL_ERROR_ARGUMENT,
            "step_workspace: a size is negative, hidden, intermediate or heads is 0, or dropout is not in [0, 1)");
    *scratch = *slack = 0;
    return ctx->backend->step_workspace ? ctx->backend->step_workspace(ctx, shape, scratch, slack) : BL_OK;
}

BL_API bl_status bl_reserve_scratch(bl_context *ctx, uint64_t bytes) {
    if (!ctx) return bl_fail(BL_ERROR_ARGUMENT, "reserve_scratch: the context is NULL");
    return ctx->backend->reserve_scratch ? ctx->backend->reserve_scratch(ctx, bytes) : BL_OK;
}

BL_API bl_status bl_graph_begin(bl_context *ctx) {
    BL_CHECK_FEATURE("graph", ctx, graph_begin);
    return ctx->backend->graph_begin(ctx);
}

BL_API bl_status bl_graph_end(bl_graph **out, bl_context *ctx) {
    BL_CHECK_FEATURE("graph", ctx, graph_end);
    bl_graph *graph = NULL;
    if (out) graph = calloc(1, sizeof *graph);
    if (out && !graph) {
        /* The capture must end whatever happens. */
        (void) ctx->backend->graph_end(ctx, NULL);
        return bl_fail(BL_ERROR_MEMORY, "graph: out of memory");
    }
    bl_status status = ctx->backend->graph_end(ctx, graph ? &graph->work : NULL);
    if (status != BL_OK || !graph) {
        free(graph);
        return status;
    }
    graph->ctx = ctx;
    *out = graph;
    return BL_OK;
}

BL_API bl_status bl_graph_launch(bl_graph *graph) {
    return graph->ctx->backend->graph_launch(graph->ctx, graph->work);
}

BL_API void bl_graph_free(bl_graph *graph) {
    if (!graph) return;
    graph->ctx->backend->graph_destroy(graph->ctx, graph->work);
    free(graph);
}
