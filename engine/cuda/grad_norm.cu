/*
 * grad_norm.cu - the global norm of the gradient with its overflow check and
 * clipping factor.
 *
 * One pass over the gradient, 4 bytes per parameter, in chunks of a fixed size
 * and in f64: squares of finite f32 values cannot overflow f64, so the sum is
 * finite exactly when every element is, and the check costs nothing. One block
 * adds up the chunks and writes the scalars, which never leave the device.
 */
#include "cuda/kernel.cuh"

enum { NORM_CHUNK = 1 << 14, SQUARE_THREADS = 256, NORM_FINISH_THREADS = 1024 };

/* Four packs in flight at a time; a last chunk that is not full, and a buffer off 16 bytes, one by one. */
static __global__ void __launch_bounds__(SQUARE_THREADS)
    square_kernel(double *partials, const float *grad, int64_t n, bool packed) {
    constexpr int N = Pack<float>::N, STRIDE = SQUARE_THREADS * N, BATCH = 4;
    static_assert(NORM_CHUNK % (BATCH * STRIDE) == 0, "a chunk is whole batches");
    const int64_t begin = static_cast<int64_t>(blockIdx.x) * NORM_CHUNK;
    double sum = 0.0;
    if (packed && begin + NORM_CHUNK <= n) {
        const float *own = grad + begin + threadIdx.x * N;
        for (int at = 0; at < NORM_CHUNK; at += BATCH * STRIDE) {
            float x[BATCH][N];
#pragma unroll
            for (int k = 0; k < BATCH; k++)
                load_pack<float>(own + at + k * STRIDE, x[k]);
#pragma unroll
            for (int k = 0; k < BATCH; k++)
#pragma unroll
                for (int i = 0; i < N; i++)
                    sum += static_cast<double>(x[k][i]) * static_cast<double>(x[k][i]);
        }
    } else {
        const int64_t end = begin + NORM_CHUNK < n ? begin + NORM_CHUNK : n;
        for (int64_t at = begin + threadIdx.x; at < end; at += SQUARE_THREADS)
            sum += static_cast<double>(grad[at]) * static_cast<double>(grad[at]);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

static __global__ void __launch_bounds__(NORM_FINISH_THREADS)
    grad_norm_kernel(float *scalars, const double *partials, int64_t chunks, int32_t accumulation, float max_norm) {
    double sum = 0.0;
    for (int64_t c = threadIdx.x; c < chunks; c += NORM_FINISH_THREADS)
        sum += partials[c];
    sum = block_sum(sum);
    if (threadIdx.x != 0) return;
    const double unscale = 1.0 / (static_cast<double>(scalars[BL_SCALAR_LOSS_SCALE]) * accumulation);
    const double norm = sqrt(sum) * unscale, limit = static_cast<double>(max_norm);
    const double clip = limit > 0.0 && norm > limit ? limit / norm : 1.0;
    scalars[BL_SCALAR_GRAD_NORM] = static_cast<float>(norm);
    scalars[BL_SCALAR_GRAD_FACTOR] = static_cast<float>(unscale * clip);
    scalars[BL_SCALAR_OVERFLOW] = isfinite(sum) ? 0.0f : 1.0f;
}

static size_t partial_bytes(int64_t n) {
    return static_cast<size_t>((n + NORM_CHUNK - 1) / NORM_CHUNK + 1) * sizeof(double);
}

size_t bl_cuda_grad_norm_bytes(int64_t parameters) {
    return partial_bytes(parameters);
}

bl_status bl_cuda_grad_norm(bl_context *ctx, bl_tensor *scalars, const bl_tensor *grad, int32_t accumulation,
                            float max_norm) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    const int64_t n = grad->shape[0], chunks = (n + NORM_CHUNK - 1) / NORM_CHUNK;
    void *scratch;
    BL_TRY(bl_cuda_scratch(ctx, partial_bytes(n), &scratch));
    double *partials = static_cast<double *>(scratch);
    const float *in = bl_data<float>(grad);
    if (n > 0)
        BL_LAUNCH(square_kernel, static_cast<unsigned>(chunks), SQUARE_THREADS, 0, cuda->stream, partials, in, n,
                  bl_aligned16(in));
    BL_LAUNCH(grad_norm_kernel, 1, NORM_FINISH_THREADS, 0, cuda->stream, bl_data<float>(scalars), partials, chunks,
              accumulation, max_norm);
    return BL_OK;
}
