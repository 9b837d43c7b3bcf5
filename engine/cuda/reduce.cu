/*
 * reduce.cu - sums, extremes and norms of all elements: each is read once, in
 * chunks of a fixed size, in f64; one block then adds up the chunks.
 */
#include "cuda/elements.cuh"

enum { REDUCE_THREADS = 256, REDUCE_CHUNK = 1 << 15, REDUCE_FINISH_THREADS = 1024 };

struct Partial {
    double sum, square;
    float max, min;
    int32_t nan;
};

static __device__ __forceinline__ Partial partial_empty() {
    return {0.0, 0.0, -INFINITY, INFINITY, 0};
}

/* Of a whole block; every thread gets it. */
static __device__ __forceinline__ Partial partial_of_block(const Partial &own) {
    return {block_sum(own.sum), block_sum(own.square), block_max(own.max), -block_max(-own.min), block_max(own.nan)};
}

template <int N, typename T>
static __global__ void __launch_bounds__(REDUCE_THREADS) reduce_kernel(Partial *partials, const T *x, int64_t n) {
    const int64_t begin = static_cast<int64_t>(blockIdx.x) * REDUCE_CHUNK;
    const int64_t end = begin + REDUCE_CHUNK < n ? begin + REDUCE_CHUNK : n;
    Partial own = partial_empty();
#pragma unroll 2
    for (int64_t at = begin + threadIdx.x * N; at < end; at += REDUCE_THREADS * N) {
        float value[N];
        if (N == 1 || at + N <= n) {
            widen_elements<N, T>(fetch_elements<N>(x + at), value);
        } else {
            for (int i = 0; i < N; i++)
                value[i] = at + i < n ? to_float(x[at + i]) : to_float(x[at]); /* a repeat: left out of the sums */
        }
#pragma unroll
        for (int i = 0; i < N; i++) {
            const double wide = at + i < end ? static_cast<double>(value[i]) : 0.0;
            own.sum += wide;
            own.square += wide * wide;
            own.max = value[i] > own.max ? value[i] : own.max;
            own.min = value[i] < own.min ? value[i] : own.min;
            own.nan |= value[i] != value[i];
        }
    }
    own = partial_of_block(own);
    if (threadIdx.x == 0) partials[blockIdx.x] = own;
}

static __global__ void __launch_bounds__(REDUCE_FINISH_THREADS)
    reduce_finish_kernel(float *y, const Partial *partials, int64_t chunks, int64_t n, int32_t reduction) {
    Partial own = partial_empty();
    for (int64_t c = threadIdx.x; c < chunks; c += REDUCE_FINISH_THREADS) {
        const Partial part = partials[c];
        own.sum += part.sum;
        own.square += part.square;
        own.max = part.max > own.max ? part.max : own.max;
        own.min = part.min < own.min ? part.min : own.min;
        own.nan |= part.nan;
    }
    own = partial_of_block(own);
    if (threadIdx.x != 0) return;
    switch (reduction) {
    case BL_SUM:
        *y = static_cast<float>(own.sum);
        break;
    case BL_MEAN:
        *y = static_cast<float>(own.sum / static_cast<double>(n));
        break;
    case BL_MAX:
        *y = own.nan ? NAN : own.max;
        break;
    case BL_MIN:
        *y = own.nan ? NAN : own.min;
        break;
    default:
        *y = static_cast<float>(sqrt(own.square));
    }
}

bl_status bl_cuda_reduce(bl_context *ctx, bl_tensor *y, const bl_tensor *x, int32_t reduction) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    const int64_t n = bl_tensor_numel(x), chunks = (n + REDUCE_CHUNK - 1) / REDUCE_CHUNK;
    void *scratch;
    BL_TRY(bl_cuda_scratch(ctx, static_cast<size_t>(chunks) * sizeof(Partial), &scratch));
    Partial *partials = static_cast<Partial *>(scratch);
    const unsigned grid = static_cast<unsigned>(chunks);
    BL_DISPATCH_FLOAT(x->dtype, T, {
        const T *in = bl_data<T>(x);
        if (bl_aligned16(in))
            BL_LAUNCH((reduce_kernel<Pack<T>::N, T>), grid, REDUCE_THREADS, 0, cuda->stream, partials, in, n);
        else
            BL_LAUNCH((reduce_kernel<1, T>), grid, REDUCE_THREADS, 0, cuda->stream, partials, in, n);
    });
    BL_LAUNCH(reduce_finish_kernel, 1, REDUCE_FINISH_THREADS, 0, cuda->stream, bl_data<float>(y), partials, chunks, n,
              reduction);
    return BL_OK;
}
