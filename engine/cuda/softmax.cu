/*
 * softmax.cu - softmax and log-softmax over rows: one pass for maximum and sum
 * (of the gradients: for the sum), one to write, the second reading from cache.
 * One warp per row up to 1024 columns, else one block.
 */
#include "cuda/softmax.cuh"

template <int N, bool BLOCK, bool LOG, typename T>
static __global__ void __launch_bounds__(SOFTMAX_THREADS) softmax_kernel(T *y, const T *x, int64_t rows, int width) {
    const int64_t row = RowTeam<BLOCK>::row();
    if (row >= rows) return;
    const T *in = x + row * width;
    T *out = y + row * width;
    float max;
    const double sum = row_exp_sum<N, BLOCK>(in, width, &max);
    const float rest = LOG ? static_cast<float>(log(sum)) : static_cast<float>(1.0 / sum);
    for (int column = RowTeam<BLOCK>::rank() * N; column < width; column += RowTeam<BLOCK>::THREADS * N) {
        float value[N];
        widen_elements<N, T>(fetch_elements<N>(in + column), value);
#pragma unroll
        for (int i = 0; i < N; i++)
            value[i] = LOG ? (value[i] - max) - rest : exp_of(value[i] - max) * rest;
        write_elements<N>(out + column, value);
    }
}

/* LOG: dx = dy - exp(y) sum(dy), else dx = y (dy - sum(dy y)). dx may be dy: the sum has been taken before a write. */
template <int N, bool BLOCK, bool LOG, typename T>
static __global__ void __launch_bounds__(SOFTMAX_THREADS)
    softmax_gradient_kernel(T *dx, const T *dy, const T *y, int64_t rows, int width) {
    const int64_t row = RowTeam<BLOCK>::row();
    if (row >= rows) return;
    const T *gradient = dy + row * width;
    const T *result = y + row * width;
    T *out = dx + row * width;
    float d[N], p[N], part = 0.0f;
    for (int column = RowTeam<BLOCK>::rank() * N; column < width; column += RowTeam<BLOCK>::THREADS * N) {
        widen_elements<N, T>(fetch_elements<N>(gradient + column), d);
        if constexpr (!LOG) widen_elements<N, T>(fetch_elements<N>(result + column), p);
#pragma unroll
        for (int i = 0; i < N; i++)
            part += LOG ? d[i] : d[i] * p[i];
    }
    const float sum = static_cast<float>(RowTeam<BLOCK>::sum(static_cast<double>(part)));
    for (int column = RowTeam<BLOCK>::rank() * N; column < width; column += RowTeam<BLOCK>::THREADS * N) {
        widen_elements<N, T>(fetch_elements<N>(gradient + column), d);
        widen_elements<N, T>(fetch_elements<N>(result + column), p);
#pragma unroll
        for (int i = 0; i < N; i++)
            d[i] = LOG ? d[i] - exp_of(p[i]) * sum : p[i] * (d[i] - sum);
        write_elements<N>(out + column, d);
    }
}

template <int N, bool BLOCK, bool LOG, typename T>
static bl_status launch_rows(bl_cuda *cuda, T *out, const T *dy, const T *in, int64_t rows, int columns) {
    const unsigned grid = RowTeam<BLOCK>::grid(rows);
    if (dy)
        BL_LAUNCH((softmax_gradient_kernel<N, BLOCK, LOG, T>), grid, SOFTMAX_THREADS, 0, cuda->stream, out, dy, in,
                  rows, columns);
    else
        BL_LAUNCH((softmax_kernel<N, BLOCK, LOG, T>), grid, SOFTMAX_THREADS, 0, cuda->stream, out, in, rows, columns);
    return BL_OK;
}

template <int N, bool LOG, typename T>
static bl_status softmax_rows(bl_cuda *cuda, T *out, const T *dy, const T *in, int64_t rows, int64_t width) {
    const int columns = static_cast<int>(width);
    if (width > SOFTMAX_SHORT) return launch_rows<N, true, LOG>(cuda, out, dy, in, rows, columns);
    return launch_rows<N, false, LOG>(cuda, out, dy, in, rows, columns);
}

/* out from in = x; or, with dy, from in = y the gradient. */
template <bool LOG> static bl_status run(bl_context *ctx, bl_tensor *out, const bl_tensor *dy, const bl_tensor *in) {
    const int64_t width = in->shape[in->ndim - 1], rows = width ? bl_tensor_numel(in) / width : 0;
    if (rows == 0) return BL_OK;
    BL_DISPATCH_FLOAT(in->dtype, T, {
        T *to = bl_data<T>(out);
        const T *gradient = bl_data<T>(dy);
        const T *from = bl_data<T>(in);
        if (rows_packed<T>(width, to, gradient, from))
            return softmax_rows<Pack<T>::N, LOG>(bl_cuda_of(ctx), to, gradient, from, rows, width);
        return softmax_rows<1, LOG>(bl_cuda_of(ctx), to, gradient, from, rows, width);
    });
}

bl_status bl_cuda_softmax(bl_context *ctx, bl_tensor *y, const bl_tensor *x) {
    return run<false>(ctx, y, nullptr, x);
}

bl_status bl_cuda_softmax_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *y) {
    return run<false>(ctx, dx, dy, y);
}

bl_status bl_cuda_log_softmax_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x) {
    return run<true>(ctx, y, nullptr, x);
}

bl_status bl_cuda_log_softmax_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *y) {
    return run<true>(ctx, dx, dy, y);
}
