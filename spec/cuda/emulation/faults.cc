/*
 * faults.cc - kernels and calls that are wrong, to see that the emulation says
 * so (spec/cuda/emulation_spec.lua). Each returns what cudaGetErrorString says,
 * or "" if nothing was found.
 */
#include "emulation.h"

#define BL_CUDA_TRY(call, what)                                                                                        \
    do {                                                                                                               \
        if ((call) != cudaSuccess) return;                                                                             \
    } while (0)

/* One warp waits for the block, a thread of the other for lanes that have returned or never name it. */
static void alone_at_barrier(int *) {
    if (threadIdx.x < 32)
        __syncthreads();
    else if (threadIdx.x == 40)
        __syncwarp(0xff);
}

static void lane_missing(int *out) {
    if (threadIdx.x != 5) out[0] = __shfl_xor_sync(0xffffffffu, 1, 1);
    if (threadIdx.x == 5) __syncthreads();
}

static void writes_past(int *out, int at) {
    out[at] = 1;
}

static void past_shared(int *out) {
    BL_SHARED(int, tile);
    tile[threadIdx.x] = 1;
    out[0] = tile[0];
}

static void sums(int *out) {
    int x = static_cast<int>(threadIdx.x);
    for (int step = 16; step > 0; step /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, step);
    __shared__ int partial[4];
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = x;
    __syncthreads();
    if (threadIdx.x == 0) out[blockIdx.x] = partial[0] + partial[1] + partial[2] + partial[3];
    if (__syncthreads_count(threadIdx.x % 3 == 0) != 43) out[blockIdx.x] = -1;
    if (__ballot_sync(0xffffffffu, threadIdx.x % 32 < 4) != 15) out[blockIdx.x] = -2;
}

struct Bench {
    cudaStream_t stream = nullptr, other = nullptr;
    void *device = nullptr, *pinned = nullptr;

    Bench() {
        (void) cudaGetLastError();
        cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
        cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
        cudaMalloc(&device, 1024);
        cudaMallocHost(&pinned, 1024);
        memset(pinned, 0, 1024);
    }
    ~Bench() {
        cudaStreamDestroy(stream);
        cudaStreamDestroy(other);
        cudaFree(device);
        cudaFreeHost(pinned);
    }
    int *out() const {
        return static_cast<int *>(device);
    }
};

static void run(const char *name, const Bench &b) {
    int *host = static_cast<int *>(b.pinned);
    if (!strcmp(name, "barrier")) {
        BL_LAUNCH(alone_at_barrier, 1, 64, 0, b.stream, b.out());
    } else if (!strcmp(name, "lane")) {
        BL_LAUNCH(lane_missing, 1, 32, 0, b.stream, b.out());
    } else if (!strcmp(name, "past")) {
        BL_LAUNCH(writes_past, 1, 1, 0, b.stream, b.out(), 256);
    } else if (!strcmp(name, "shared")) {
        BL_LAUNCH(past_shared, 1, 64, 64, b.stream, b.out());
    } else if (!strcmp(name, "host pointer")) {
        int local = 0;
        BL_LAUNCH(writes_past, 1, 1, 0, b.stream, &local, 0);
    } else if (!strcmp(name, "grid")) {
        BL_LAUNCH(writes_past, 1, 2048, 0, b.stream, b.out(), 0);
    } else if (!strcmp(name, "side")) {
        cudaMemcpyAsync(b.pinned, b.device, 64, cudaMemcpyHostToDevice, b.stream);
    } else if (!strcmp(name, "capture")) {
        cudaGraph_t graph = nullptr;
        cudaStreamBeginCapture(b.stream, cudaStreamCaptureModeThreadLocal);
        cudaStreamSynchronize(b.stream);
        (void) cudaGetLastError();
        cudaStreamEndCapture(b.stream, &graph);
    } else if (!strcmp(name, "unwaited")) {
        /* The other stream does not wait: it must see the old value. */
        host[0] = 7;
        cudaMemsetAsync(b.device, 0, 4, b.other);
        cudaStreamSynchronize(b.other);
        cudaMemcpyAsync(b.device, b.pinned, 4, cudaMemcpyHostToDevice, b.stream);
        cudaMemcpyAsync(host + 1, b.device, 4, cudaMemcpyDeviceToHost, b.other);
        cudaStreamSynchronize(b.other);
        if (host[1] == 0) bl_emulated_fail(cudaErrorUnknown, "old data");
    } else {
        BL_LAUNCH(sums, 3, 128, 0, b.stream, b.out());
        cudaMemcpyAsync(b.pinned, b.device, 12, cudaMemcpyDeviceToHost, b.stream);
        cudaStreamSynchronize(b.stream);
        for (int i = 0; i < 3; i++)
            if (host[i] != 127 * 64) bl_emulated_fail(cudaErrorUnknown, "the sum of block %d is %d", i, host[i]);
    }
}

extern "C" __attribute__((visibility("default"))) const char *bl_emulated_fault_of(const char *name) {
    static char text[512];
    cudaError_t error = cudaSuccess;
    {
        Bench bench;
        run(name, bench);
        error = cudaPeekAtLastError();
        if (error == cudaSuccess) error = cudaStreamSynchronize(bench.stream);
        (void) cudaGetLastError();
    }
    strncpy(text, error == cudaSuccess ? "" : cudaGetErrorString(error), sizeof text - 1);
    return text;
}
