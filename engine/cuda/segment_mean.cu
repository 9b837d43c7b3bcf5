/*
 * segment_mean.cu - the mean over the rows of each segment.
 *
 * Forward: a block per segment and 32 packs of columns. Its warps sum every
 * 8th row in f32, and the first one adds the warps' sums in their order: the same
 * bits each time. Backward: a block per segment; each warp writes rows of
 * dy[b] / length. A segment outside x gives NaN, and its gradient goes nowhere,
 * as with an index outside of it (see gather.cu).
 */
#include "cuda/elements.cuh"

enum { SEGMENT_WARPS = 8 };

static __device__ __forceinline__ bool segment_inside(int64_t begin, int64_t length, int64_t rows) {
    return begin >= 0 && length >= 0 && begin + length <= rows;
}

template <int N, typename T>
static __global__ void __launch_bounds__(SEGMENT_WARPS *BL_WARP)
    segment_mean_forward_kernel(T *y, const T *x, const int32_t *segments, int64_t rows, int64_t width) {
    __shared__ float sums[SEGMENT_WARPS][BL_WARP * N];
    const int lane = threadIdx.x % BL_WARP, warp = threadIdx.x / BL_WARP;
    const int64_t b = blockIdx.x, begin = segments[2 * b], length = segments[2 * b + 1];
    const int64_t column = (static_cast<int64_t>(blockIdx.y) * BL_WARP + lane) * N;
    const bool inside = segment_inside(begin, length, rows);
    float sum[N], value[N];
#pragma unroll
    for (int i = 0; i < N; i++)
        sum[i] = 0.0f;
    if (column < width && inside) {
        for (int64_t row = begin + warp; row < begin + length; row += SEGMENT_WARPS) {
            widen_elements<N, T>(fetch_elements<N>(x + row * width + column), value);
#pragma unroll
            for (int i = 0; i < N; i++)
                sum[i] += value[i];
        }
    }
#pragma unroll
    for (int i = 0; i < N; i++)
        sums[warp][i * BL_WARP + lane] = sum[i];
    __syncthreads();
    if (warp != 0 || column >= width) return;
    for (int other = 1; other < SEGMENT_WARPS; other++)
#pragma unroll
        for (int i = 0; i < N; i++)
            sum[i] += sums[other][i * BL_WARP + lane];
    const float scale = !inside ? NAN : length > 0 ? 1.0f / static_cast<float>(length) : 0.0f;
#pragma unroll
    for (int i = 0; i < N; i++)
        sum[i] *= scale;
    write_elements<N>(y + b * width + column, sum);
}

template <int N, typename T>
static __global__ void __launch_bounds__(SEGMENT_WARPS *BL_WARP)
    segment_mean_backward_kernel(T *dx, const T *dy, const int32_t *segments, int64_t rows, int64_t width) {
    const int lane = threadIdx.x % BL_WARP, warp = threadIdx.x / BL_WARP;
    const int64_t b = blockIdx.x, begin = segments[2 * b], length = segments[2 * b + 1];
    const int64_t column = (static_cast<int64_t>(blockIdx.y) * BL_WARP + lane) * N;
    if (column >= width || !segment_inside(begin, length, rows) || length == 0) return;
    const float scale = 1.0f / static_cast<float>(length);
    float share[N];
    widen_elements<N, T>(fetch_elements<N>(dy + b * width + column), share);
#pragma unroll
    for (int i = 0; i < N; i++)
        share[i] *= scale;
    for (int64_t row = begin + warp; row < begin + length; row += SEGMENT_WARPS)
        write_elements<N>(dx + row * width + column, share);
}

bl_status bl_cuda_segment_mean_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_tensor *segments) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    const int64_t count = y->shape[0], rows = x->shape[0], width = x->shape[1];
    if (count == 0 || width == 0) return BL_OK;
    const int32_t *list = bl_data<int32_t>(segments);
    BL_DISPATCH_FLOAT(x->dtype, T, {
        T *to = bl_data<T>(y);
        const T *from = bl_data<T>(x);
        if (rows_packed<T>(width, to, from)) {
            const dim3 grid(bl_blocks(count, 1), bl_blocks(width, BL_WARP * Pack<T>::N));
            BL_LAUNCH((segment_mean_forward_kernel<Pack<T>::N, T>), grid, SEGMENT_WARPS * BL_WARP, 0, cuda->stream, to,
                      from, list, rows, width);
        } else {
            const dim3 grid(bl_blocks(count, 1), bl_blocks(width, BL_WARP));
            BL_LAUNCH((segment_mean_forward_kernel<1, T>), grid, SEGMENT_WARPS * BL_WARP, 0, cuda->stream, to, from,
                      list, rows, width);
        }
    });
    return BL_OK;
}

bl_status bl_cuda_segment_mean_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy,
                                        const bl_tensor *segments) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    const int64_t count = dy->shape[0], rows = dx->shape[0], width = dx->shape[1];
    if (rows == 0 || width == 0) return BL_OK;
    /* Rows of no segment. */
    BL_CUDA_TRY(
        cudaMemsetAsync(dx->data, 0, static_cast<size_t>(bl_tensor_numel(dx)) * bl_dtype_size(dx->dtype), cuda->stream),
        "segment_mean_backward");
    if (count == 0) return BL_OK;
    const int32_t *list = bl_data<int32_t>(segments);
    BL_DISPATCH_FLOAT(dx->dtype, T, {
        T *to = bl_data<T>(dx);
        const T *from = bl_data<T>(dy);
        if (rows_packed<T>(width, to, from)) {
            const dim3 grid(bl_blocks(count, 1), bl_blocks(width, BL_WARP * Pack<T>::N));
            BL_LAUNCH((segment_mean_backward_kernel<Pack<T>::N, T>), grid, SEGMENT_WARPS * BL_WARP, 0, cuda->stream, to,
                      from, list, rows, width);
        } else {
            const dim3 grid(bl_blocks(count, 1), bl_blocks(width, BL_WARP));
            BL_LAUNCH((segment_mean_backward_kernel<1, T>), grid, SEGMENT_WARPS * BL_WARP, 0, cuda->stream, to, from,
                      list, rows, width);
        }
    });
    return BL_OK;
}
