/*
 * runtime.cc - streams, events, graphs, transfers and errors of the CUDA
 * runtime.
 *
 * A stream is a queue. Nothing in it runs until somebody waits for it, and
 * then only what that needs: a host that reads too early, or a stream that
 * does not wait for another's event, gets old data, every time.
 * BERTLUA_EMULATION_EAGER=1 runs everything at once instead, for debugging.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <deque>
#include <memory>
#include <vector>

#include "emulation.h"
#include "record.h"
#include "state.h"

std::recursive_mutex bl_emulated_mutex;

/* ---- errors ---- */

static thread_local char last_message[512];
static thread_local cudaError_t last_error = cudaSuccess;
static thread_local cudaError_t message_error = cudaSuccess;

static cudaError_t keep(cudaError_t error, const char *format, va_list args) {
    vsnprintf(last_message, sizeof last_message, format, args);
    last_error = message_error = error;
    return error;
}

cudaError_t bl_emulated_fail(cudaError_t error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    keep(error, format, args);
    va_end(args);
    return error;
}

void bl_emulated_fault(cudaError_t error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (last_error == cudaSuccess) keep(error, format, args);
    va_end(args);
}

cudaError_t cudaGetLastError() {
    BL_EMULATED_ALIVE();
    const cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError() {
    BL_EMULATED_ALIVE();
    return last_error;
}

const char *cudaGetErrorString(cudaError_t error) {
    if (error == message_error && last_message[0]) return last_message;
    return bl_emulated_text(error);
}

const char *cudaGetErrorName(cudaError_t error) {
    static thread_local char unknown[32];
    if (const char *name = bl_emulated_name(error)) return name;
    snprintf(unknown, sizeof unknown, "error %d", static_cast<int>(error));
    return unknown;
}

/* ---- streams ---- */

/* One recording of an event. */
struct Mark {
    CUstream_st *stream;
    bool done = false;
    double time = 0;
};

struct Work {
    const char *name;
    std::function<void()> run;    /* empty for a mark or a wait */
    std::shared_ptr<Mark> mark;   /* done when the queue gets here */
    std::shared_ptr<Mark> waited; /* the queue stops here until it is done */
};

/* What a capture has recorded; streams that waited for its events take part. */
struct Capture {
    std::vector<Work> work;
    bool spoilt = false;
    std::vector<CUstream_st *> streams;
};

struct CUstream_st {
    std::deque<Work> queue;
    std::shared_ptr<Capture> capture;
};

struct CUevent_st {
    std::shared_ptr<Mark> mark;
    std::shared_ptr<Capture> capture;
    bool timed = true;
};

struct CUgraph_st {
    std::vector<Work> work;
};

struct CUgraphExec_st {
    std::shared_ptr<std::vector<Work>> work;
};

static CUstream_st default_stream;
static std::vector<CUstream_st *> streams = {&default_stream};
static thread_local Capture *own_capture;

static CUstream_st *stream_of(cudaStream_t stream) {
    return stream ? stream : &default_stream;
}

static double now() {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

static void run(const Work &work) {
    if (!work.run || bl_emulated_work_fails(work.name)) return;
    bl_emulated_open_memory(work.name);
    work.run();
    bl_emulated_close_memory();
}

/* Runs a queue to its end, or until the mark is done. */
static void drain(CUstream_st *stream, const Mark *until) {
    while (!stream->queue.empty() && !(until && until->done)) {
        Work work = stream->queue.front();
        if (work.waited && !work.waited->done) drain(work.waited->stream, work.waited.get());
        stream->queue.pop_front();
        run(work);
        if (work.mark) {
            work.mark->done = true;
            work.mark->time = bl_records() ? 1e-6 * static_cast<double>(bl_record_lines()) : now();
        }
    }
}

void bl_emulated_drain_all() {
    for (CUstream_st *stream : streams)
        drain(stream, nullptr);
}

bool bl_emulated_capture_forbids(const char *what) {
    if (!own_capture) return false;
    own_capture->spoilt = true;
    bl_emulated_fail(cudaErrorStreamCaptureUnsupported, "%s is not allowed while a graph is captured", what);
    return true;
}

static cudaError_t push(CUstream_st *stream, const Work &work) {
    BL_EMULATED_ALIVE();
    if (stream->capture) {
        stream->capture->work.push_back(work);
        return cudaSuccess;
    }
    stream->queue.push_back(work);
    static const bool eager = getenv("BERTLUA_EMULATION_EAGER") != nullptr;
    if (eager || stream->queue.size() > 20000) drain(stream, nullptr);
    return cudaSuccess;
}

cudaError_t bl_emulated_push(cudaStream_t stream, const char *name, std::function<void()> work) {
    Guard guard;
    return push(stream_of(stream), Work{name, std::move(work), nullptr, nullptr});
}

cudaError_t bl_emulated_enqueue(cudaStream_t stream, const char *name, void (*run)(void *arguments),
                                const void *arguments, size_t bytes) {
    const char *begin = static_cast<const char *>(arguments);
    auto copy = std::make_shared<std::vector<char>>(begin, begin + bytes);
    return bl_emulated_push(stream, name, [=]() {
        /* A replay starts from the same arguments. */
        std::vector<char> own(*copy);
        run(own.data());
    });
}

void bl_emulated_undefined(cudaStream_t stream, void *p, size_t bytes) {
    (void) bl_emulated_push(stream, "undefined", [=]() { bl_watch_forget(p, bytes); });
}

cudaError_t bl_emulated_check_launch(const char *name, dim3 grid, dim3 block, size_t shared) {
    BL_EMULATED_ALIVE();
    const uint64_t threads = static_cast<uint64_t>(block.x) * block.y * block.z;
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535 ||
        threads == 0 || threads > 1024 || block.z > 64 || shared > 227 * 1024)
        return bl_emulated_fail(cudaErrorInvalidConfiguration,
                                "%s: grid (%u,%u,%u) of (%u,%u,%u) threads with %zu bytes of shared memory", name,
                                grid.x, grid.y, grid.z, block.x, block.y, block.z, shared);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned) {
    Guard guard;
    *out = new CUstream_st;
    streams.push_back(*out);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int) {
    return cudaStreamCreateWithFlags(out, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    Guard guard;
    drain(stream, nullptr);
    for (size_t i = 0; i < streams.size(); i++)
        if (streams[i] == stream) streams.erase(streams.begin() + static_cast<long>(i--));
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    Guard guard;
    BL_EMULATED_ALIVE();
    if (stream_of(stream)->capture) {
        stream_of(stream)->capture->spoilt = true;
        return bl_emulated_fail(cudaErrorStreamCaptureUnsupported, "a stream that is captured cannot be waited for");
    }
    drain(stream_of(stream), nullptr);
    return cudaGetLastError();
}

cudaError_t cudaDeviceSynchronize() {
    Guard guard;
    if (bl_emulated_capture_forbids("cudaDeviceSynchronize")) return cudaErrorStreamCaptureUnsupported;
    bl_emulated_drain_all();
    return cudaGetLastError();
}

/* ---- events ---- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags) {
    Guard guard;
    *out = new CUevent_st;
    (*out)->timed = !(flags & cudaEventDisableTiming);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *out) {
    return cudaEventCreateWithFlags(out, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    Guard guard;
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    Guard guard;
    BL_EMULATED_ALIVE();
    CUstream_st *queue = stream_of(stream);
    event->capture = queue->capture;
    if (queue->capture) return cudaSuccess;
    event->mark = std::make_shared<Mark>();
    event->mark->stream = queue;
    return push(queue, Work{"event", nullptr, event->mark, nullptr});
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    Guard guard;
    CUstream_st *queue = stream_of(stream);
    if (event->capture) {
        /* Captured work is kept in the order of its calls, which respects every wait. */
        if (!queue->capture) {
            queue->capture = event->capture;
            event->capture->streams.push_back(queue);
        }
        return cudaSuccess;
    }
    if (queue->capture) {
        queue->capture->spoilt = true;
        return bl_emulated_fail(cudaErrorStreamCaptureIsolation, "a captured stream waits for an event outside it");
    }
    if (!event->mark) return cudaSuccess;
    return push(queue, Work{"wait", nullptr, nullptr, event->mark});
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    Guard guard;
    BL_EMULATED_ALIVE();
    if (event->mark) drain(event->mark->stream, event->mark.get());
    return cudaGetLastError();
}

/* Not ready at the first query, ready at the next: callers meet both answers. */
cudaError_t cudaEventQuery(cudaEvent_t event) {
    Guard guard;
    BL_EMULATED_ALIVE();
    if (!event->mark || event->mark->done) return cudaSuccess;
    drain(event->mark->stream, event->mark.get());
    BL_EMULATED_ALIVE();
    return cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end) {
    Guard guard;
    BL_EMULATED_ALIVE();
    if (!begin->timed || !end->timed || !begin->mark || !end->mark)
        return bl_emulated_fail(cudaErrorInvalidResourceHandle, "cudaEventElapsedTime: an event without a time");
    if (!begin->mark->done || !end->mark->done) return cudaErrorNotReady;
    *milliseconds = static_cast<float>(1e3 * (end->mark->time - begin->mark->time));
    return cudaSuccess;
}

/* ---- graphs ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    Guard guard;
    BL_EMULATED_ALIVE();
    if (!stream || stream->capture)
        return bl_emulated_fail(cudaErrorStreamCaptureUnsupported, "this stream cannot be captured");
    stream->capture = std::make_shared<Capture>();
    stream->capture->streams.push_back(stream);
    own_capture = stream->capture.get();
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out) {
    Guard guard;
    std::shared_ptr<Capture> capture = stream_of(stream)->capture;
    *out = nullptr;
    if (!capture) return bl_emulated_fail(cudaErrorIllegalState, "no capture was begun on this stream");
    for (CUstream_st *member : capture->streams)
        member->capture = nullptr;
    own_capture = nullptr;
    if (capture->spoilt) return bl_emulated_fail(cudaErrorStreamCaptureInvalidated, "the capture was spoilt");
    *out = new CUgraph_st;
    (*out)->work = capture->work;
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status) {
    Guard guard;
    const Capture *capture = stream_of(stream)->capture.get();
    *status = !capture          ? cudaStreamCaptureStatusNone
              : capture->spoilt ? cudaStreamCaptureStatusInvalidated
                                : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long) {
    Guard guard;
    BL_EMULATED_ALIVE();
    *out = new CUgraphExec_st;
    (*out)->work = std::make_shared<std::vector<Work>>(graph->work);
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    Guard guard;
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
    Guard guard;
    BL_EMULATED_ALIVE();
    std::shared_ptr<std::vector<Work>> all = graph->work;
    return push(stream_of(stream), Work{"graph",
                                        [all]() {
                                            bl_record_line("{\"is\":\"graph\"}");
                                            for (const Work &work : *all)
                                                run(work);
                                            bl_record_line("{\"is\":\"end\"}");
                                        },
                                        nullptr, nullptr});
}

/* ---- transfers ---- */

static bool side_is_right(const void *p, size_t bytes, bool device) {
    return bl_emulated_on_device(p, bytes) == device;
}

static cudaError_t check_sides(const void *dst, const void *src, size_t bytes, cudaMemcpyKind kind) {
    const bool to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (kind == cudaMemcpyDefault || (side_is_right(dst, bytes, to) && side_is_right(src, bytes, from)))
        return cudaSuccess;
    return bl_emulated_fail(cudaErrorInvalidValue, "a copy of %zu bytes from %p to %p is not of kind %d", bytes, src,
                            dst, static_cast<int>(kind));
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    Guard guard;
    BL_EMULATED_ALIVE();
    const cudaError_t error = check_sides(dst, src, bytes, kind);
    if (error != cudaSuccess) return error;
    const bool captured = stream_of(stream)->capture != nullptr;
    if (!captured && kind == cudaMemcpyHostToDevice && !bl_emulated_pinned(src, bytes)) {
        /* Ordinary memory may change as soon as this returns. */
        auto copy =
            std::make_shared<std::vector<char>>(static_cast<const char *>(src), static_cast<const char *>(src) + bytes);
        return bl_emulated_push(stream, "copy", [=]() {
            if (bl_record_transfer("upload", bytes)) return;
            memcpy(dst, copy->data(), bytes);
            bl_watch_library_writes(dst, bytes);
        });
    }
    const char *what = kind == cudaMemcpyHostToDevice ? "upload" : kind == cudaMemcpyDeviceToHost ? "download" : "copy";
    const cudaError_t pushed = bl_emulated_push(stream, "copy", [=]() {
        if (bl_record_transfer(what, bytes)) return;
        memmove(dst, src, bytes);
        bl_watch_copied(dst, src, bytes);
    });
    if (pushed == cudaSuccess && !captured && kind == cudaMemcpyDeviceToHost && !bl_emulated_pinned(dst, bytes))
        drain(stream_of(stream), nullptr);
    return pushed;
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind) {
    Guard guard;
    if (bl_emulated_capture_forbids("cudaMemcpy")) return cudaErrorStreamCaptureUnsupported;
    const cudaError_t error = cudaMemcpyAsync(dst, src, bytes, kind, nullptr);
    drain(&default_stream, nullptr);
    return error;
}

cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t stream) {
    Guard guard;
    BL_EMULATED_ALIVE();
    if (!bl_emulated_on_device(dst, bytes))
        return bl_emulated_fail(cudaErrorInvalidValue, "cudaMemset: %p is not on the device", dst);
    return bl_emulated_push(stream, "memset", [=]() {
        if (bl_record_transfer("memset", bytes)) return;
        memset(dst, value, bytes);
        bl_watch_library_writes(dst, bytes);
    });
}

/* ---- the device ---- */

cudaError_t cudaGetDeviceCount(int *count) {
    int driver = 0;
    *count = 0;
    const cudaError_t error = bl_emulated_no_device(&driver);
    if (error == cudaSuccess) *count = 1;
    return error;
}

cudaError_t cudaSetDevice(int device) {
    return device == 0 ? cudaSuccess : bl_emulated_fail(cudaErrorInvalidDevice, "there is one device");
}

cudaError_t cudaGetDevice(int *device) {
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) {
    (void) bl_emulated_no_device(version);
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *device, int) {
    memset(device, 0, sizeof *device);
    snprintf(device->name, sizeof device->name, "emulated GPU");
    size_t available = 0;
    cudaMemGetInfo(&available, &device->totalGlobalMem);
    /* Compute capability and multiprocessors: of an H100 but for their number, or BERTLUA_EMULATION_DEVICE=80,108. */
    const char *given = getenv("BERTLUA_EMULATION_DEVICE");
    int capability = 90, multiprocessors = 4;
    if (given && sscanf(given, "%d,%d", &capability, &multiprocessors) != 2) return cudaErrorInvalidValue;
    device->major = capability / 10;
    device->minor = capability % 10;
    device->multiProcessorCount = multiprocessors;
    device->sharedMemPerBlock = 48 << 10;
    device->sharedMemPerMultiprocessor = (capability == 80 ? 164 : 228) << 10;
    device->sharedMemPerBlockOptin = device->sharedMemPerMultiprocessor - (1 << 10);
    device->maxThreadsPerBlock = 1024;
    device->maxThreadsPerMultiProcessor = 2048;
    device->regsPerBlock = 65536;
    device->l2CacheSize = 50 << 20;
    device->warpSize = 32;
    return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *) {
    memset(attributes, 0, sizeof *attributes);
    attributes->maxThreadsPerBlock = 1024;
    return bl_emulated_has_image() ? cudaSuccess : cudaErrorNoKernelImageForDevice;
}

cudaError_t cudaFuncSetAttribute(const void *, cudaFuncAttribute, int) {
    return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *, int, size_t) {
    *blocks = 1;
    return cudaSuccess;
}
