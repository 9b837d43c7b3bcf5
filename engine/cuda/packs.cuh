/*
 * packs.cuh - ops over contiguous elements of one dtype.
 *
 * All are bound by memory: 2 (or, with a second operand, 3) accesses per
 * element. A thread takes 64 bytes of input in packs of 16, a block apart from
 * each other, and loads all of them before it computes: that covers the
 * latency at half occupancy. The last block, and tensors that do not lie on 16
 * bytes, go element by element in the same kernel. A pack has the elements of a
 * Philox block, or of f32 half of them.
 */
#ifndef BERTLUA_CUDA_PACKS_CUH
#define BERTLUA_CUDA_PACKS_CUH

#include "cuda/kernel.cuh"

/* Of a block; blocks of a multiprocessor: without a bound of ours ptxas takes a tighter one of its own, and spills. */
enum { THREADS = 256, BLOCKS = 2 };

/* Packs a thread takes of each operand. */
template <typename Op> struct Packs { static constexpr int N = Op::TWO ? 2 : 4; };

/* N elements from `first`: a pack where all are known to be WHOLE, else one by one, those past n as 0. */
template <typename T, bool WHOLE, int N>
__device__ __forceinline__ void read(const T *p, int64_t first, int64_t n, float (&x)[N]) {
    if (WHOLE) {
        load_pack_once<T>(p + first, x);
    } else {
#pragma unroll
        for (int i = 0; i < N; i++)
            x[i] = first + i < n ? to_float(p[first + i]) : 0.0f;
    }
}

template <typename T, bool WHOLE, int N>
__device__ __forceinline__ void write(T *p, int64_t first, int64_t n, const float (&x)[N]) {
    if (WHOLE) {
        store_pack<T>(p + first, x);
    } else {
#pragma unroll
        for (int i = 0; i < N; i++)
            if (first + i < n) p[first + i] = from_float<T>(x[i]);
    }
}

template <typename T, typename Op, bool WHOLE>
__device__ __forceinline__ void run_packs(T *y, const T *x, const T *z, int64_t start, int64_t n, const Op &op) {
    constexpr int N = Pack<T>::N, PACKS = Packs<Op>::N;
    float a[PACKS][N], b[PACKS][N];
#pragma unroll
    for (int i = 0; i < PACKS; i++) {
        const int64_t first = start + static_cast<int64_t>(i) * THREADS * N;
        read<T, WHOLE>(x, first, n, a[i]);
        if (Op::TWO) read<T, WHOLE>(z, first, n, b[i]);
    }
#pragma unroll
    for (int i = 0; i < PACKS; i++) {
        const int64_t first = start + static_cast<int64_t>(i) * THREADS * N;
        if (!WHOLE && first >= n) return;
        op.template apply<T>(a[i], b[i], first);
        write<T, WHOLE>(y, first, n, a[i]);
    }
}

/* y = op(x, z); Op::TWO says whether z is read. The output may be an input: each thread reads what it writes first. */
template <typename T, typename Op>
__global__ void __launch_bounds__(THREADS, BLOCKS)
    elementwise_kernel(T *y, const T *x, const T *z, int64_t n, bool vector, Op op) {
    constexpr int N = Pack<T>::N, SHARE = Packs<Op>::N * THREADS * N;
    const int64_t block = static_cast<int64_t>(blockIdx.x) * SHARE;
    const int64_t start = block + threadIdx.x * N;
    if (vector && block + SHARE <= n)
        run_packs<T, Op, true>(y, x, z, start, n, op);
    else
        run_packs<T, Op, false>(y, x, z, start, n, op);
}

/* An op turns N elements of x, the first of them number `first` of the tensor, into y in place. */
struct OneOperand {
    static constexpr bool TWO = false;
};

struct TwoOperands : OneOperand {
    static constexpr bool TWO = true;
};

template <typename Op>
static bl_status run_elementwise(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_tensor *z, const Op &op) {
    const int64_t n = bl_tensor_numel(y);
    if (n == 0) return BL_OK;
    const bool vector = bl_aligned16(y->data) && bl_aligned16(x->data) && (!z || bl_aligned16(z->data));
    BL_DISPATCH_FLOAT(y->dtype, T, {
        BL_LAUNCH((elementwise_kernel<T, Op>), bl_blocks(n, Packs<Op>::N * THREADS * Pack<T>::N), THREADS, 0,
                  bl_cuda_of(ctx)->stream, bl_data<T>(y), bl_data<T>(x), bl_data<T>(z), n, vector, op);
    });
    return BL_OK;
}

#endif
