/*
 * race_faults.cc - kernels with one fault each that the watch over memory
 * (races.cc) has to report, and the same kernels without it
 * (spec/cuda/races_spec.lua).
 */
#ifdef BL_EMULATION_RACES

#include "cuda/mma.cuh"

#undef BL_CUDA_TRY
#define BL_CUDA_TRY(call, what)                                                                                        \
    do {                                                                                                               \
        if ((call) != cudaSuccess) return;                                                                             \
    } while (0)

/* ---- order within a block ---- */

template <bool MENDED> static void no_syncthreads(int *out) {
    __shared__ int tile[64];
    tile[threadIdx.x] = 0;
    __syncthreads();
    tile[threadIdx.x] = 1;
    if (MENDED) __syncthreads();
    out[threadIdx.x] = tile[63 - threadIdx.x];
}

/* The shuffle brings the lanes together, but orders no memory. */
template <bool MENDED> static void no_syncwarp(int *out) {
    __shared__ int tile[32];
    tile[threadIdx.x] = 0;
    __syncwarp();
    tile[threadIdx.x] = 1;
    const int other = __shfl_xor_sync(BL_FULL_WARP, 1, 1);
    if (MENDED) __syncwarp();
    out[threadIdx.x] = other + tile[threadIdx.x ^ 1];
}

/* The next round overwrites what others may still be reading. */
template <bool MENDED> static void overwritten(int *out) {
    __shared__ int tile[64];
    int sum = 0;
    for (int round = 0; round < 2; round++) {
        tile[threadIdx.x] = round;
        __syncthreads();
        sum += tile[63 - threadIdx.x];
        if (MENDED) __syncthreads();
    }
    out[threadIdx.x] = sum;
}

/* Rows of the lanes, read by all of them at once and overwritten. */
template <bool MENDED> static void matrices(int *out) {
    __shared__ __align__(16) uint16_t rows[32][8];
    uint32_t r[4];
    for (int i = 0; i < 8; i++)
        rows[threadIdx.x][i] = static_cast<uint16_t>(i);
    __syncwarp();
    load_matrices(r, rows[threadIdx.x]);
    if (MENDED) __syncwarp();
    rows[threadIdx.x][0] = 1;
    out[threadIdx.x] = static_cast<int>(r[0] + r[1] + r[2] + r[3]);
}

template <bool MENDED> static void atomic_beside_read(int *out) {
    __shared__ int count;
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    atomicAdd(&count, 1);
    if (MENDED) __syncthreads();
    out[threadIdx.x] = count;
}

/* ---- copies past the registers ---- */

/* The barrier comes before the wait, not before the copy begins: it may overtake the reads. */
template <bool MENDED> static void copy_too_early(int *out, const int *in) {
    __shared__ __align__(16) int tile[256];
    for (int i = 0; i < 4; i++)
        tile[4 * threadIdx.x + i] = 1;
    __syncthreads();
    const int before = tile[255 - 4 * threadIdx.x];
    if (MENDED) __syncthreads();
    copy_async16(&tile[4 * threadIdx.x], in + 4 * threadIdx.x, true);
    __syncthreads();
    copy_async_wait();
    __syncthreads();
    out[threadIdx.x] = before + tile[4 * threadIdx.x];
}

template <bool MENDED> static void copy_unwaited(int *out, const int *in) {
    __shared__ __align__(16) int tile[256];
    copy_async16(&tile[4 * threadIdx.x], in + 4 * threadIdx.x, true);
    if (MENDED) copy_async_wait();
    __syncthreads();
    out[threadIdx.x] = tile[255 - 4 * threadIdx.x];
    copy_async_wait();
}

/* ---- between blocks ---- */

template <bool MENDED> static void two_blocks(int *out) {
    out[MENDED ? blockIdx.x : 0] = 1;
}

/* ---- places ---- */

template <bool MENDED> static void past_allocation(int *out, const int *in) {
    out[threadIdx.x] = in[threadIdx.x + (MENDED ? 0 : 256)];
}

template <bool MENDED> static void past_shared(int *out) {
    BL_SHARED(int, tile);
    tile[threadIdx.x] = 1;
    out[threadIdx.x] = MENDED ? tile[threadIdx.x] : tile[threadIdx.x + 1];
}

template <bool MENDED> static void past_array(int *out, int n) {
    __shared__ int pair[2][4];
    for (int i = 0; i < 8; i++)
        pair[i / 4][i % 4] = 1;
    out[0] = pair[0][MENDED ? n - 2 : n];
}

template <bool MENDED> static void misaligned(float *out, const float *in) {
    float x[8];
    load8(in + (MENDED ? 4 : 1), x);
    out[threadIdx.x] = x[0];
}

template <bool MENDED> static void misaligned_copy(int *out, const int *in) {
    __shared__ __align__(16) int tile[8];
    copy_async16(tile, in + (MENDED ? 0 : 2), true);
    copy_async_wait();
    out[0] = tile[0];
}

/* ---- contents ---- */

template <bool MENDED> static void unwritten_shared(int *out) {
    __shared__ int tile[64];
    if (MENDED || threadIdx.x > 0) tile[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = tile[63 - threadIdx.x];
}

static void unwritten_device(int *out, const int *in) {
    out[threadIdx.x] = in[threadIdx.x];
}

static void undefined(int *out, const int *in) {
    out[threadIdx.x] = in[threadIdx.x];
}

struct Memory {
    cudaStream_t stream = nullptr;
    void *out = nullptr, *in = nullptr;

    Memory() {
        (void) cudaGetLastError();
        cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
        cudaMalloc(&out, 1024);
        cudaMalloc(&in, 1024);
    }
    ~Memory() {
        cudaStreamDestroy(stream);
        cudaFree(out);
        cudaFree(in);
    }
};

#define PLANTED(kernel, grid, threads, shared, ...)                                                                    \
    if (!strcmp(name, #kernel)) {                                                                                      \
        if (mended)                                                                                                    \
            BL_LAUNCH(kernel<true>, grid, threads, shared, m.stream, __VA_ARGS__);                                     \
        else                                                                                                           \
            BL_LAUNCH(kernel<false>, grid, threads, shared, m.stream, __VA_ARGS__);                                    \
    }

static void run(const char *name, bool mended, const Memory &m) {
    int *out = static_cast<int *>(m.out);
    const int *in = static_cast<const int *>(m.in);
    if (strcmp(name, "unwritten_device")) {
        cudaMemsetAsync(m.in, 0, 1024, m.stream);
    } else {
        cudaMemsetAsync(m.in, 0, mended ? 256 : 252, m.stream);
        BL_LAUNCH(unwritten_device, 1, 64, 0, m.stream, out, in);
    }
    if (!strcmp(name, "undefined")) {
        if (!mended) bl_emulated_undefined(m.stream, m.in, 1024);
        BL_LAUNCH(undefined, 1, 64, 0, m.stream, out, in);
    }
    PLANTED(no_syncthreads, 1, 64, 0, out)
    PLANTED(no_syncwarp, 1, 32, 0, out)
    PLANTED(overwritten, 1, 64, 0, out)
    PLANTED(matrices, 1, 32, 0, out)
    PLANTED(atomic_beside_read, 1, 64, 0, out)
    PLANTED(copy_too_early, 1, 64, 0, out, in)
    PLANTED(copy_unwaited, 1, 64, 0, out, in)
    PLANTED(two_blocks, 2, 1, 0, out)
    PLANTED(past_allocation, 1, 64, 0, out, in)
    PLANTED(past_shared, 1, 1, 4, out)
    PLANTED(past_array, 1, 1, 0, out, 5)
    PLANTED(misaligned, 1, 1, 0, static_cast<float *>(m.out), static_cast<const float *>(m.in))
    PLANTED(misaligned_copy, 1, 1, 0, out, in)
    PLANTED(unwritten_shared, 1, 64, 0, out)
}

/* What is reported of a kernel, mended or with its fault, the first time it runs: "" for nothing. */
extern "C" __attribute__((visibility("default"))) const char *bl_emulated_race_of(const char *name, bool mended) {
    static char text[512];
    cudaError_t error = cudaSuccess;
    {
        Memory memory;
        run(name, mended, memory);
        error = cudaPeekAtLastError();
        if (error == cudaSuccess) error = cudaStreamSynchronize(memory.stream);
        (void) cudaGetLastError();
    }
    strncpy(text, error == cudaSuccess ? "" : cudaGetErrorString(error), sizeof text - 1);
    return text;
}

#endif
