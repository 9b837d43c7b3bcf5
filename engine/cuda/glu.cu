/*
 * glu.cu - gated linear units (arXiv 2002.05202) in one pass over memory,
 * forward and backward.
 *
 * Bytes per element of bf16 [T,I]: forward 6 (value and gate in, y out),
 * backward 10 (dy, value and gate in, dvalue and dgate out). A thread takes 16
 * bytes of value and of gate, or one element where rows do not lie on 16 bytes.
 */
#include "cuda/activation.cuh"
#include "cuda/elements.cuh"

enum { THREADS = 256 };

/* f(x), and its derivative in *slope, as precise as results of type T need. */
template <int GATE, typename T> __device__ __forceinline__ float gate_of(float x, float *slope) {
    if constexpr (GATE == BL_GATE_SIGMOID) {
        return sigmoid(x, slope);
    } else if constexpr (GATE == BL_GATE_GELU) {
        float density;
        const float cdf = normal_cdf<T>(x, &density);
        *slope = fmaf(x, density, cdf);
        return x * cdf;
    } else if constexpr (GATE == BL_GATE_GELU_TANH) {
        return gelu_tanh(x, slope);
    } else if constexpr (GATE == BL_GATE_SILU) {
        return silu(x, slope);
    } else {
        return relu(x, slope);
    }
}

/* Blocks of a row, `row_blocks` of them, are side by side in the grid. */
template <int N, int GATE, typename T>
static __global__ void __launch_bounds__(THREADS) glu_forward_kernel(T *y, const T *x, int width, unsigned row_blocks) {
    const int64_t t = blockIdx.x / row_blocks;
    const int column = static_cast<int>((blockIdx.x % row_blocks * THREADS + threadIdx.x) * N);
    if (column >= width) return;
    const T *in = x + 2 * t * width + column;
    float value[N], gate[N], slope;
    widen_elements<N, T>(fetch_elements<N>(in), value);
    widen_elements<N, T>(fetch_elements<N>(in + width), gate);
#pragma unroll
    for (int i = 0; i < N; i++)
        value[i] *= gate_of<GATE, T>(gate[i], &slope);
    write_elements<N>(y + t * width + column, value);
}

/* dx may be x: a thread writes what it alone has read. */
template <int N, int GATE, typename T>
static __global__ void __launch_bounds__(THREADS)
    glu_backward_kernel(T *dx, const T *dy, const T *x, int width, unsigned row_blocks) {
    const int64_t t = blockIdx.x / row_blocks;
    const int column = static_cast<int>((blockIdx.x % row_blocks * THREADS + threadIdx.x) * N);
    if (column >= width) return;
    const int64_t at = 2 * t * width + column;
    float value[N], gate[N], gradient[N], slope;
    widen_elements<N, T>(fetch_elements<N>(x + at), value);
    widen_elements<N, T>(fetch_elements<N>(x + at + width), gate);
    widen_elements<N, T>(fetch_elements<N>(dy + t * width + column), gradient);
#pragma unroll
    for (int i = 0; i < N; i++) {
        const float f = gate_of<GATE, T>(gate[i], &slope);
        gate[i] = gradient[i] * value[i] * slope;
        value[i] = gradient[i] * f;
    }
    write_elements<N>(dx + at, value);
    write_elements<N>(dx + at + width, gate);
}

template <int N, int GATE, typename T>
static bl_status glu_rows(bl_context *ctx, T *y, const T *dy, const T *x, int64_t rows, int64_t width) {
    const unsigned row_blocks = bl_blocks(width, THREADS * N);
    const unsigned grid = static_cast<unsigned>(rows) * row_blocks;
    const cudaStream_t stream = bl_cuda_of(ctx)->stream;
    if (dy)
        BL_LAUNCH((glu_backward_kernel<N, GATE, T>), grid, THREADS, 0, stream, y, dy, x, static_cast<int>(width),
                  row_blocks);
    else
        BL_LAUNCH((glu_forward_kernel<N, GATE, T>), grid, THREADS, 0, stream, y, x, static_cast<int>(width),
                  row_blocks);
    return BL_OK;
}

template <int GATE>
static bl_status glu(bl_context *ctx, bl_tensor *y, const bl_tensor *dy, const bl_tensor *x, int64_t rows,
                     int64_t width) {
    BL_DISPATCH_FLOAT(x->dtype, T, {
        T *out = bl_data<T>(y);
        const T *gradient = bl_data<T>(dy);
        const T *in = bl_data<T>(x);
        if (rows_packed<T>(width, out, gradient, in))
            return glu_rows<Pack<T>::N, GATE>(ctx, out, gradient, in, rows, width);
        return glu_rows<1, GATE>(ctx, out, gradient, in, rows, width);
    });
}

/* y = glu(x), or, with dy, the gradient of x into y. */
static bl_status run(bl_context *ctx, bl_tensor *y, const bl_tensor *dy, const bl_tensor *x, int32_t gate) {
    const int64_t rows = x->shape[0], width = x->shape[1] / 2;
    if (rows == 0 || width == 0) return BL_OK;
    switch (gate) {
    case BL_GATE_SIGMOID:
        return glu<BL_GATE_SIGMOID>(ctx, y, dy, x, rows, width);
    case BL_GATE_GELU:
        return glu<BL_GATE_GELU>(ctx, y, dy, x, rows, width);
    case BL_GATE_GELU_TANH:
        return glu<BL_GATE_GELU_TANH>(ctx, y, dy, x, rows, width);
    case BL_GATE_SILU:
        return glu<BL_GATE_SILU>(ctx, y, dy, x, rows, width);
    default:
        return glu<BL_GATE_RELU>(ctx, y, dy, x, rows, width);
    }
}

bl_status bl_cuda_glu_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, int32_t gate) {
    return run(ctx, y, nullptr, x, gate);
}

bl_status bl_cuda_glu_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *x, int32_t gate) {
    return run(ctx, dx, dy, x, gate);
}
