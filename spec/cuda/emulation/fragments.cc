/*
 * fragments.cc - what the instructions of mma.cuh, or their twins, do with one
 * warp's data, for spec/cuda/fragments_spec.lua to compare with the PTX ISA.
 *
 * Part of the emulation; and, compiled by nvcc, a library of its own, which
 * shows the same of the instructions themselves (make test-cuda).
 */
#include "cuda/mma.cuh"

#undef BL_CUDA_TRY
#define BL_CUDA_TRY(call, what)                                                                                        \
    do {                                                                                                               \
        const cudaError_t error_ = (call);                                                                             \
        if (error_ != cudaSuccess) return error_;                                                                      \
    } while (0)

namespace {

enum Probe { LOAD, LOAD_TRANSPOSED, MULTIPLY_BF16, MULTIPLY_F16, COPY16, COPY8, PACK_BF16, PACK_F16, TURN, CHOOSE };

struct Words {
    uint32_t in[32 * 16];
    uint32_t out[32 * 8];
};

/* in: 8 words of 16 bits of each of 32 rows, then the row that each lane points at. out: r of each lane. */
template <bool TRANSPOSED> __global__ void load_kernel(Words *words) {
    __shared__ __align__(16) uint32_t rows[32 * 4];
    const int lane = threadIdx.x;
    for (int i = 0; i < 4; i++)
        rows[4 * lane + i] = words->in[4 * lane + i];
    __syncwarp();
    uint32_t r[4];
    const uint32_t *row = &rows[4 * words->in[128 + lane]];
    if (TRANSPOSED)
        load_matrices_transposed(r, row);
    else
        load_matrices(r, row);
    for (int i = 0; i < 4; i++)
        words->out[4 * lane + i] = r[i];
}

/* in: of each lane a[4], b0, b1, c[4]. out: c[4]. */
template <typename T> __global__ void multiply_kernel(Words *words) {
    const uint32_t *in = &words->in[10 * threadIdx.x];
    const uint32_t a[4] = {in[0], in[1], in[2], in[3]};
    float c[4];
    for (int i = 0; i < 4; i++)
        c[i] = __uint_as_float(in[6 + i]);
    multiply_add<T>(c, a, in[4], in[5]);
    for (int i = 0; i < 4; i++)
        words->out[4 * threadIdx.x + i] = __float_as_uint(c[i]);
}

/* in: BYTES of each lane, which odd lanes must not read. out: what comes to lie in shared memory. */
template <int BYTES> __global__ void copy_kernel(Words *words) {
    constexpr int N = BYTES / 4;
    __shared__ __align__(16) uint32_t tile[32 * N];
    const int lane = threadIdx.x;
    for (int i = 0; i < N; i++)
        tile[N * lane + i] = 0xffffffffu;
    const uint32_t *from = lane % 2 ? nullptr : &words->in[N * lane];
    if (BYTES == 16)
        copy_async16(&tile[N * lane], from, lane % 2 == 0);
    else
        copy_async8(&tile[N * lane], from, lane % 2 == 0);
    copy_async_wait();
    __syncthreads();
    for (int i = 0; i < N; i++)
        words->out[N * lane + i] = tile[N * (31 - lane) + i];
}

/* in: two f32 of each lane. out: the word. */
template <typename T> __global__ void pack_kernel(Words *words) {
    const uint32_t *in = &words->in[2 * threadIdx.x];
    words->out[threadIdx.x] = pack_pair<T>(__uint_as_float(in[0]), __uint_as_float(in[1]));
}

/* in: a word of each lane. out: what it gets of the matrix transposed. */
__global__ void turn_kernel(Words *words) {
    words->out[threadIdx.x] = transpose_pairs(words->in[threadIdx.x]);
}

/* in: low, high and choice of each lane. out: the bytes chosen. */
__global__ void choose_kernel(Words *words) {
    const uint32_t *in = &words->in[3 * threadIdx.x];
    words->out[threadIdx.x] = choose_bytes(in[0], in[1], in[2]);
}

cudaError_t launch(int probe, Words *words) {
    switch (probe) {
    case LOAD:
        BL_LAUNCH(load_kernel<false>, 1, 32, 0, nullptr, words);
        break;
    case LOAD_TRANSPOSED:
        BL_LAUNCH(load_kernel<true>, 1, 32, 0, nullptr, words);
        break;
    case MULTIPLY_BF16:
        BL_LAUNCH(multiply_kernel<bl_bf16>, 1, 32, 0, nullptr, words);
        break;
    case MULTIPLY_F16:
        BL_LAUNCH(multiply_kernel<bl_f16>, 1, 32, 0, nullptr, words);
        break;
    case COPY16:
        BL_LAUNCH(copy_kernel<16>, 1, 32, 0, nullptr, words);
        break;
    case COPY8:
        BL_LAUNCH(copy_kernel<8>, 1, 32, 0, nullptr, words);
        break;
    case PACK_BF16:
        BL_LAUNCH(pack_kernel<bl_bf16>, 1, 32, 0, nullptr, words);
        break;
    case PACK_F16:
        BL_LAUNCH(pack_kernel<bl_f16>, 1, 32, 0, nullptr, words);
        break;
    case TURN:
        BL_LAUNCH(turn_kernel, 1, 32, 0, nullptr, words);
        break;
    default:
        BL_LAUNCH(choose_kernel, 1, 32, 0, nullptr, words);
    }
    return cudaSuccess;
}

cudaError_t run(int probe, const uint32_t *in, uint32_t *out, Words *words) {
    BL_CUDA_TRY(cudaMemcpy(words->in, in, sizeof words->in, cudaMemcpyHostToDevice), "in");
    BL_CUDA_TRY(launch(probe, words), "launch");
    BL_CUDA_TRY(cudaDeviceSynchronize(), "kernel");
    return cudaMemcpy(out, words->out, sizeof words->out, cudaMemcpyDeviceToHost);
}

} // namespace

/* One warp: in [512] and out [256] words as the kernel of the probe says. What failed, or "". */
extern "C" __attribute__((visibility("default"))) const char *bl_fragments(int probe, const uint32_t *in,
                                                                           uint32_t *out) {
    void *words = nullptr;
    cudaError_t error = cudaMalloc(&words, sizeof(Words));
    if (error == cudaSuccess) error = cudaMemsetAsync(words, 0, sizeof(Words), nullptr);
    if (error == cudaSuccess) error = run(probe, in, out, static_cast<Words *>(words));
    (void) cudaFree(words);
    return error == cudaSuccess ? "" : cudaGetErrorString(error);
}
