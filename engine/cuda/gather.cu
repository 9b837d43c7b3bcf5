/*
 * gather.cu - rows picked by index, and the sum of gradients back into them.
 *
 * Forward: one warp per picked row, 16 bytes per lane; it moves each byte
 * twice. An index outside x gives a row of NaN (see embedding.cu). Backward:
 * picks are sorted by index (groups.cuh); then one warp per row of dx finds its
 * picks by bisection, sums them in f32 in their order and writes the row, zeros
 * included: dx is written once and dy read once. A row picked very often (the
 * filler of a batch all points to row 0) is summed by a block.
 */
#include "cuda/carver.h"
#include "cuda/elements.cuh"
#include "cuda/groups.cuh"

enum {
    GATHER_WARPS = 8,
    GATHER_LONG = 64, /* most picks of a row that one warp sums */
    GATHER_STRANDS = 16
};

template <int N, typename T>
static __global__ void __launch_bounds__(GATHER_WARPS *BL_WARP)
    gather_forward_kernel(T *y, const T *x, const int32_t *index, int64_t picks, int64_t rows, int64_t width) {
    const int lane = threadIdx.x % BL_WARP;
    const int64_t m = static_cast<int64_t>(blockIdx.x) * GATHER_WARPS + threadIdx.x / BL_WARP;
    if (m >= picks) return;
    const int64_t row = index[m];
    const bool inside = row >= 0 && row < rows;
#pragma unroll 4
    for (int64_t column = lane * N; column < width; column += BL_WARP * N) {
        Raw<N, T> raw = missing_elements<N, T>();
        if (inside) raw = fetch_elements<N>(x + row * width + column);
        *reinterpret_cast<Raw<N, T> *>(y + m * width + column) = raw;
    }
}

/* True if the group of `row` that begins at `begin` is left to gather_long_kernel. */
static __device__ __forceinline__ bool is_long(const uint64_t *pairs, int64_t begin, int64_t picks, uint32_t row) {
    return begin + GATHER_LONG < picks && group_index(pairs[begin + GATHER_LONG]) == row;
}

template <int N, typename T>
static __global__ void __launch_bounds__(GATHER_WARPS *BL_WARP)
    gather_backward_kernel(T *dx, const T *dy, const uint64_t *pairs, int64_t picks, int64_t rows, int64_t width) {
    const int lane = threadIdx.x % BL_WARP;
    const int64_t t = static_cast<int64_t>(blockIdx.x) * GATHER_WARPS + threadIdx.x / BL_WARP;
    if (t >= rows) return;
    const uint32_t row = static_cast<uint32_t>(t);
    const int64_t begin = group_begin(pairs, 0, picks, row);
    if (is_long(pairs, begin, picks, row)) return;
    for (int64_t column = lane * N; column < width; column += BL_WARP * N) {
        float sum[N], x[N];
#pragma unroll
        for (int i = 0; i < N; i++)
            sum[i] = 0.0f;
        for (int64_t m = begin; m < picks && group_index(pairs[m]) == row; m++) {
            widen_elements<N, T>(fetch_elements<N>(dy + group_row(pairs[m]) * width + column), x);
#pragma unroll
            for (int i = 0; i < N; i++)
                sum[i] += x[i];
        }
        write_elements<N>(dx + t * width + column, sum);
    }
}

/*
 * The group longer than GATHER_LONG that begins in chunk blockIdx.x of that
 * many picks, if there is one; there cannot be two. One warp per strand of
 * picks.
 */
template <int N, typename T>
static __global__ void __launch_bounds__(GATHER_STRANDS *BL_WARP)
    gather_long_kernel(T *dx, const T *dy, const uint64_t *pairs, int64_t picks, int64_t rows, int64_t width) {
    __shared__ float strands[GATHER_STRANDS][BL_WARP * N];
    const int64_t chunk = static_cast<int64_t>(blockIdx.x) * GATHER_LONG;
    if (chunk + GATHER_LONG >= picks) return;
    /* If it is long, it fills the end of this chunk and the first of the next. */
    const uint32_t row = group_index(pairs[chunk + GATHER_LONG]);
    const int64_t begin = group_begin(pairs, chunk, chunk + GATHER_LONG, row);
    if (row >= rows || begin == chunk + GATHER_LONG || !is_long(pairs, begin, picks, row)) return;
    if (begin == chunk && chunk > 0 && group_index(pairs[chunk - 1]) == row) return;
    const int64_t end = group_begin(pairs, begin, picks, row + 1);
    const int lane = threadIdx.x % BL_WARP, strand = threadIdx.x / BL_WARP;
    const int64_t column = (static_cast<int64_t>(blockIdx.y) * BL_WARP + lane) * N;
    float sum[N], x[N];
#pragma unroll
    for (int i = 0; i < N; i++)
        sum[i] = 0.0f;
    if (column < width) {
#pragma unroll 4
        for (int64_t m = begin + strand; m < end; m += GATHER_STRANDS) {
            widen_elements<N, T>(fetch_elements<N>(dy + group_row(pairs[m]) * width + column), x);
#pragma unroll
            for (int i = 0; i < N; i++)
                sum[i] += x[i];
        }
    }
#pragma unroll
    for (int i = 0; i < N; i++)
        strands[strand][i * BL_WARP + lane] = sum[i];
    __syncthreads();
    if (strand != 0 || column >= width) return;
    for (int other = 1; other < GATHER_STRANDS; other++)
#pragma unroll
        for (int i = 0; i < N; i++)
            sum[i] += strands[other][i * BL_WARP + lane];
    write_elements<N>(dx + row * width + column, sum);
}

template <int N, typename T>
static bl_status gather_backward(bl_cuda *cuda, T *dx, const T *dy, const uint64_t *pairs, int64_t picks, int64_t rows,
                                 int64_t width) {
    BL_LAUNCH((gather_backward_kernel<N, T>), bl_blocks(rows, GATHER_WARPS), GATHER_WARPS * BL_WARP, 0, cuda->stream,
              dx, dy, pairs, picks, rows, width);
    if (picks <= GATHER_LONG) return BL_OK;
    const dim3 grid(bl_blocks(picks, GATHER_LONG), bl_blocks(width, BL_WARP * N));
    BL_LAUNCH((gather_long_kernel<N, T>), grid, GATHER_STRANDS * BL_WARP, 0, cuda->stream, dx, dy, pairs, picks, rows,
              width);
    return BL_OK;
}

bl_status bl_cuda_gather_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_tensor *index) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    const int64_t picks = y->shape[0], rows = x->shape[0], width = x->shape[1];
    if (picks == 0 || width == 0) return BL_OK;
    const unsigned grid = bl_blocks(picks, GATHER_WARPS);
    const int32_t *source = bl_data<int32_t>(index);
    BL_DISPATCH_FLOAT(x->dtype, T, {
        T *to = bl_data<T>(y);
        const T *from = bl_data<T>(x);
        if (rows_packed<T>(width, to, from))
            BL_LAUNCH((gather_forward_kernel<Pack<T>::N, T>), grid, GATHER_WARPS * BL_WARP, 0, cuda->stream, to, from,
                      source, picks, rows, width);
        else
            BL_LAUNCH((gather_forward_kernel<1, T>), grid, GATHER_WARPS * BL_WARP, 0, cuda->stream, to, from, source,
                      picks, rows, width);
    });
    return BL_OK;
}

bl_status bl_cuda_gather_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *index) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    const int64_t picks = dy->shape[0], rows = dx->shape[0], width = dx->shape[1];
    if (rows == 0 || width == 0) return BL_OK;
    Groups groups = {};
    groups.count = 1;
    groups.rows = picks;
    Group *group = &groups.list[0];
    group->index = bl_data<int32_t>(index);
    group->limit = static_cast<int32_t>(rows);
    void *scratch;
    BL_TRY(bl_cuda_scratch(ctx, static_cast<size_t>(2 * picks + 1) * sizeof(uint64_t), &scratch));
    group->pairs = static_cast<uint64_t *>(scratch);
    group->spare = group->pairs + picks;
    BL_TRY(group_rows(cuda, groups));
    BL_DISPATCH_FLOAT(dx->dtype, T, {
        T *to = bl_data<T>(dx);
        const T *from = bl_data<T>(dy);
        if (!rows_packed<T>(width, to, from))
            return gather_backward<1>(cuda, to, from, group->pairs, picks, rows, width);
        return gather_backward<Pack<T>::N>(cuda, to, from, group->pairs, picks, rows, width);
    });
}
