/*
 * softmax.cuh - maximum and sum of exponentials of a row in one pass, by a
 * warp (short rows) or a block (long ones).
 *
 * Each thread keeps a running maximum and the sum measured from it; a new
 * maximum rescales the sum (online softmax, arXiv 1805.02867, algorithm 3).
 * BATCH packs are loaded before the first is used, and share one rescale.
 */
#ifndef BERTLUA_CUDA_SOFTMAX_CUH
#define BERTLUA_CUDA_SOFTMAX_CUH

#include "cuda/elements.cuh"

enum {
    SOFTMAX_THREADS = 256,
    SOFTMAX_WARPS = SOFTMAX_THREADS / BL_WARP,
    SOFTMAX_SHORT = 1024, /* columns of the longest row for a warp */
    SOFTMAX_BATCH = 4
};

/* Threads of a row: THREADS of them, this one at `rank`, on row `index`. */
template <bool BLOCK> struct RowTeam {
    static constexpr int THREADS = BLOCK ? int(SOFTMAX_THREADS) : int(BL_WARP);

    static __device__ __forceinline__ int rank() {
        return BLOCK ? threadIdx.x : threadIdx.x % BL_WARP;
    }
    static __device__ __forceinline__ int64_t row() {
        return BLOCK ? static_cast<int64_t>(blockIdx.x)
                     : static_cast<int64_t>(blockIdx.x) * SOFTMAX_WARPS + threadIdx.x / BL_WARP;
    }
    template <typename F> static __device__ __forceinline__ F sum(F x) {
        if constexpr (BLOCK)
            return block_sum(x);
        else
            return warp_sum(x);
    }
    template <typename F> static __device__ __forceinline__ F max(F x) {
        if constexpr (BLOCK)
            return block_max(x);
        else
            return warp_max(x);
    }
    static unsigned grid(int64_t rows) {
        return BLOCK ? static_cast<unsigned>(rows) : bl_blocks(rows, SOFTMAX_WARPS);
    }
};

__device__ __forceinline__ float exp_of(float x) {
    return exp2f(x * 1.44269504f);
}

/* Where to measure from: while everything was -inf, from 0, since -inf - -inf would be NaN. */
__device__ __forceinline__ float exp_origin(float max) {
    return max == -INFINITY ? 0.0f : max;
}

/*
 * Sum of exp(row[i] - *max) over n columns and the maximum, to every thread of
 * the team. With N > 1 the row lies on 16 bytes and is a whole number of packs
 * long, though n need not be. NaN is passed over by the maximum and makes the
 * sum NaN.
 */
template <int N, bool BLOCK, typename T>
__device__ __forceinline__ double row_exp_sum(const T *row, int n, float *max) {
    constexpr int STRIDE = RowTeam<BLOCK>::THREADS * N;
    float highest = -INFINITY, sum = 0.0f;
    for (int first = RowTeam<BLOCK>::rank() * N; first < n; first += SOFTMAX_BATCH * STRIDE) {
        Raw<N, T> raw[SOFTMAX_BATCH];
#pragma unroll
        for (int k = 0; k < SOFTMAX_BATCH; k++)
            if (first + k * STRIDE < n) raw[k] = fetch_elements<N>(row + first + k * STRIDE);
        float x[SOFTMAX_BATCH][N];
        float top = highest;
#pragma unroll
        for (int k = 0; k < SOFTMAX_BATCH; k++) {
            const int column = first + k * STRIDE;
            if (column < n) widen_elements<N, T>(raw[k], x[k]);
#pragma unroll
            for (int i = 0; i < N; i++) {
                if (column + i >= n) x[k][i] = -INFINITY;
                top = x[k][i] > top ? x[k][i] : top;
            }
        }
        const float from = exp_origin(top);
        if (top > highest) {
            sum *= exp_of(highest - from);
            highest = top;
        }
#pragma unroll
        for (int k = 0; k < SOFTMAX_BATCH; k++)
#pragma unroll
            for (int i = 0; i < N; i++)
                sum += exp_of(x[k][i] - from);
    }
    *max = RowTeam<BLOCK>::max(highest);
    return RowTeam<BLOCK>::sum(static_cast<double>(sum) * static_cast<double>(exp_of(highest - exp_origin(*max))));
}

#endif
