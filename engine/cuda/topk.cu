/*
 * topk.cu - the largest k of each row. It serves what people look at (the best
 * words, the best answers), so it is short rather than quick: k passes over a
 * row that lies in cache, each for the best element after the previous one.
 */
#include "cuda/kernel.cuh"

enum { TOPK_THREADS = 256 };

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
