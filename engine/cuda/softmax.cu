/*
 * softmax.cu - softmax over rows: one pass for maximum and sum, one to write,
 * the second reading from cache. One warp per row up to 1024 columns, else one
 * block.
 */
#include "cuda/softmax.cuh"

template <int N, bool BLOCK, typename T>
static __global__ void __launch_bounds__(SOFTMAX_THREADS) softmax_kernel(T *y, const T *x, int64_t rows, int width) {
    const int64_t row = RowTeam<BLOCK>::row();
    if (row >= rows) return;
    const T *in = x + row * width;
    T *out = y + row * width;
    float max;
    const float inverse = static_cast<float>(1.0 / row_exp_sum<N, BLOCK>(in, width, &max));
    for (int column = RowTeam<BLOCK>::rank() * N; column < width; column += RowTeam<BLOCK>::THREADS * N) {
        float value[N];
        widen_elements<N, T>(fetch_elements<N>(in + column), value);
#pragma unroll
        for (int i = 0; i < N; i++)
            value[i] = exp_of(value[i] - max) * inverse;
        write_elements<N>(out + column, value);
    }
}

template <int N, typename T>
static bl_status softmax_rows(bl_cuda *cuda, T *y, const T *x, int64_t rows, int64_t width) {
    const int columns = static_cast<int>(width);
    if (width > SOFTMAX_SHORT)
        BL_LAUNCH((softmax_kernel<N, true, T>), RowTeam<true>::grid(rows), SOFTMAX_THREADS, 0, cuda->stream, y, x, rows,
                  columns);
    else
        BL_LAUNCH((softmax_kernel<N, false, T>), RowTeam<false>::grid(rows), SOFTMAX_THREADS, 0, cuda->stream, y, x,
                  rows, columns);
    return BL_OK;
}

bl_status bl_cuda_softmax(bl_context *ctx, bl_tensor *y, const bl_tensor *x) {
    const int64_t width = x->shape[x->ndim - 1], rows = width ? bl_tensor_numel(x) / width : 0;
    if (rows == 0) return BL_OK;
    BL_DISPATCH_FLOAT(x->dtype, T, {
        T *out = bl_data<T>(y);
        const T *in = bl_data<T>(x);
        if (rows_packed<T>(width, out, in)) return softmax_rows<Pack<T>::N>(bl_cuda_of(ctx), out, in, rows, width);
        return softmax_rows<1>(bl_cuda_of(ctx), out, in, rows, width);
    });
}
