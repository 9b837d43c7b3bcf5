/*
 * device.cu - events, pinned memory, copies that do not wait, and graphs of a
 * step (api/device.h, api/graph.h).
 *
 * A graph is captured from the compute stream alone, in thread-local mode: a
 * thread that reads data ahead may keep allocating meanwhile. Input copies and
 * events are not part of graphs.
 */
#include "cuda/cuda.h"

#include <string.h>

static cudaStream_t stream_of(const bl_context *ctx, int32_t stream) {
    return stream == BL_STREAM_COPY ? bl_cuda_of(ctx)->copy_stream : bl_cuda_of(ctx)->stream;
}

bl_status bl_cuda_event_create(bl_context *ctx, bool timed, void **out) {
    (void) ctx;
    cudaEvent_t event;
    /* Waiting threads sleep: the cores have batches to prepare. */
    unsigned flags = cudaEventBlockingSync | (timed ? 0 : cudaEventDisableTiming);
    BL_CUDA_TRY(cudaEventCreateWithFlags(&event, flags), "event");
    *out = event;
    return BL_OK;
}

void bl_cuda_event_destroy(bl_context *ctx, void *mark) {
    (void) ctx;
    (void) cudaEventDestroy((cudaEvent_t) mark);
}

bl_status bl_cuda_event_record(bl_context *ctx, void *mark, int32_t stream) {
    BL_CUDA_TRY(cudaEventRecord((cudaEvent_t) mark, stream_of(ctx, stream)), "event_record");
    return BL_OK;
}

bl_status bl_cuda_event_wait(bl_context *ctx, void *mark, int32_t stream) {
    BL_CUDA_TRY(cudaStreamWaitEvent(stream_of(ctx, stream), (cudaEvent_t) mark, 0), "event_wait");
    return BL_OK;
}

bl_status bl_cuda_event_synchronize(bl_context *ctx, void *mark) {
    (void) ctx;
    BL_CUDA_TRY(cudaEventSynchronize((cudaEvent_t) mark), "event_synchronize");
    return BL_OK;
}

bl_status bl_cuda_event_query(bl_context *ctx, void *mark, bool *done) {
    (void) ctx;
    cudaError_t error = cudaEventQuery((cudaEvent_t) mark);
    if (error == cudaErrorNotReady) {
        (void) cudaGetLastError();
        *done = false;
        return BL_OK;
    }
    BL_CUDA_TRY(error, "event_query");
    *done = true;
    return BL_OK;
}

bl_status bl_cuda_event_elapsed(bl_context *ctx, void *begin, void *end, double *seconds) {
    (void) ctx;
    float milliseconds = 0;
    BL_CUDA_TRY(cudaEventElapsedTime(&milliseconds, (cudaEvent_t) begin, (cudaEvent_t) end), "event_elapsed");
    *seconds = 1e-3 * (double) milliseconds;
    return BL_OK;
}

bl_status bl_cuda_pinned_allocate(bl_context *ctx, size_t bytes, void **out) {
    (void) ctx;
    cudaError_t error = cudaMallocHost(out, bytes);
    if (error == cudaErrorMemoryAllocation) {
        (void) cudaGetLastError();
        return bl_fail(BL_ERROR_MEMORY, "pinned: %zu bytes of the host's memory cannot be pinned; close other programs",
                       bytes);
    }
    BL_CUDA_TRY(error, "pinned");
    memset(*out, 0, bytes);
    return BL_OK;
}

void bl_cuda_pinned_free(bl_context *ctx, void *data) {
    (void) ctx;
    (void) cudaFreeHost(data);
}

bl_status bl_cuda_upload_async(bl_context *ctx, bl_tensor *dst, const void *src, size_t bytes, int32_t stream) {
    BL_CUDA_TRY(cudaMemcpyAsync(dst->data, src, bytes, cudaMemcpyHostToDevice, stream_of(ctx, stream)), "upload_async");
    return BL_OK;
}

bl_status bl_cuda_download_async(bl_context *ctx, void *dst, const bl_tensor *src, size_t bytes, int32_t stream) {
    BL_CUDA_TRY(cudaMemcpyAsync(dst, src->data, bytes, cudaMemcpyDeviceToHost, stream_of(ctx, stream)),
                "download_async");
    return BL_OK;
}

bl_status bl_cuda_memory_info(bl_context *ctx, uint64_t *free_bytes, uint64_t *total_bytes) {
    (void) ctx;
    size_t available = 0, total = 0;
    BL_CUDA_TRY(cudaMemGetInfo(&available, &total), "device_memory");
    *free_bytes = available;
    *total_bytes = total;
    return BL_OK;
}

bl_status bl_cuda_graph_begin(bl_context *ctx) {
    BL_CUDA_TRY(cudaStreamBeginCapture(bl_cuda_of(ctx)->stream, cudaStreamCaptureModeThreadLocal), "graph_begin");
    return BL_OK;
}

bl_status bl_cuda_graph_end(bl_context *ctx, void **out) {
    cudaGraph_t graph = NULL;
    cudaError_t error = cudaStreamEndCapture(bl_cuda_of(ctx)->stream, &graph);
    if (!out) {
        /* The recording is dropped: what spoilt it was reported where it happened. */
        if (graph) (void) cudaGraphDestroy(graph);
        (void) cudaGetLastError();
        return BL_OK;
    }
    BL_CUDA_TRY(error, "graph_end");
    cudaGraphExec_t executable = NULL;
    error = cudaGraphInstantiate(&executable, graph, 0);
    (void) cudaGraphDestroy(graph);
    BL_CUDA_TRY(error, "graph_end");
    *out = executable;
    return BL_OK;
}

bl_status bl_cuda_graph_launch(bl_context *ctx, void *graph) {
    BL_CUDA_TRY(cudaGraphLaunch((cudaGraphExec_t) graph, bl_cuda_of(ctx)->stream), "graph_launch");
    return BL_OK;
}

void bl_cuda_graph_destroy(bl_context *ctx, void *graph) {
    (void) ctx;
    (void) cudaGraphExecDestroy((cudaGraphExec_t) graph);
}
