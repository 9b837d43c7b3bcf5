/*
 * reduce.cu - sums, extremes and norms of all elements, and the largest k of
 * each row.
 *
 * A reduction reads each element once, in chunks of a fixed size, in f64; one
 * block then adds up the chunks. top k serves what people look at (the best
 * words, the best answers), so it is short rather than quick: k passes over a
 * row that lies in cache, each for the best element behind the one before.
 */
#include "cuda/elements.cuh"

enum { REDUCE_THREADS = 256, REDUCE_CHUNK = 1 << 15, REDUCE_FINISH_THREADS = 1024, TOPK_THREADS = 256 };

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

/* ---- top k ---- */

struct Ranked {
    float value;
    int32_t index; /* -1: none */
};

/* Strictly ahead of: larger, and any number is ahead of NaN; among equals the lower index. */
static __device__ __forceinline__ bool ahead(const Ranked &a, const Ranked &b) {
    if (a.index < 0 || b.index < 0) return b.index < 0 && a.index >= 0;
    const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    if (a_nan != b_nan) return b_nan;
    if (!a_nan && a.value != b.value) return a.value > b.value;
    return a.index < b.index;
}

static __device__ __forceinline__ Ranked best_of_warp(Ranked own) {
    for (int step = BL_WARP / 2; step > 0; step /= 2) {
        Ranked other;
        other.value = __shfl_xor_sync(BL_FULL_WARP, own.value, step);
        other.index = __shfl_xor_sync(BL_FULL_WARP, own.index, step);
        if (ahead(other, own)) own = other;
    }
    return own;
}

template <typename T>
static __global__ void __launch_bounds__(TOPK_THREADS)
    topk_kernel(float *values, int32_t *indices, const T *x, int width, int k) {
    __shared__ Ranked warps[TOPK_THREADS / BL_WARP];
    const int lane = threadIdx.x % BL_WARP;
    const T *row = x + static_cast<int64_t>(blockIdx.x) * width;
    Ranked last = {0.0f, -1};
    for (int found = 0; found < k; found++) {
        Ranked best = {0.0f, -1};
        for (int i = threadIdx.x; i < width; i += TOPK_THREADS) {
            const Ranked own = {to_float(row[i]), i};
            if ((found == 0 || ahead(last, own)) && ahead(own, best)) best = own;
        }
        best = best_of_warp(best);
        __syncthreads(); /* the previous round is read */
        if (lane == 0) warps[threadIdx.x / BL_WARP] = best;
        __syncthreads();
        last = best_of_warp(warps[lane % (TOPK_THREADS / BL_WARP)]);
        if (threadIdx.x == 0) {
            values[static_cast<int64_t>(blockIdx.x) * k + found] = last.value;
            indices[static_cast<int64_t>(blockIdx.x) * k + found] = last.index;
        }
    }
}

bl_status bl_cuda_topk(bl_context *ctx, bl_tensor *values, bl_tensor *indices, const bl_tensor *x, int32_t k) {
    if (x->shape[0] == 0) return BL_OK;
    BL_DISPATCH_FLOAT(x->dtype, T, {
        BL_LAUNCH((topk_kernel<T>), static_cast<unsigned>(x->shape[0]), TOPK_THREADS, 0, bl_cuda_of(ctx)->stream,
                  bl_data<float>(values), bl_data<int32_t>(indices), bl_data<T>(x), static_cast<int>(x->shape[1]), k);
    });
    return BL_OK;
}
