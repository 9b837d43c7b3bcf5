/*
 * normalize.cuh - layer normalisation of rows (arXiv 1607.06450), shared by
 * layernorm.cu and embedding.cu, and without its mean and beta (RMSNorm, arXiv
 * 1910.07467) by rmsnorm.cu: the kernels, without what they read and write.
 *
 * A kernel takes a Row by value, which moves N elements at a time, N =
 * Row::PACK (16 bytes) or 1. fetch<N>(t, column) loads what they are made of,
 * and then, in f32,
 *
 *     forward:  read<N>(drop, raw, t, column, z), write<N>(drop, t, column, z, y)
 *     backward: read<N>(drop, raw, t, column, dy, z), write<N>(drop, t, column, dz)
 *
 * with drop = begin() once per thread. Row::CENTERED says whether the mean is
 * subtracted; if not, mean and beta are NULL and a mean of 0 takes its place. Each call is made by the thread that
 * owns these elements, fetch before write, so that outputs may lie over inputs.
 *
 * Mapping. Forward: one warp per row, the row in registers (H up to 1024), so
 * that memory is touched once and no thread waits for another warp. Backward:
 * one block per chunk of rows, one thread per pack of columns, so that dgamma
 * and dbeta of the chunk gather in registers; the next row is in flight while
 * the sums of this one are exchanged. Rows that are too wide or not a whole
 * number of packs take the `any` kernels: one block per row (or chunk), an
 * element at a time, the row reread from cache for each pass.
 *
 * Sums are taken in an order fixed by the shape: statistics in a tree over the
 * row, parameter gradients by row within a chunk, then by chunk.
 */
#ifndef BERTLUA_CUDA_NORMALIZE_CUH
#define BERTLUA_CUDA_NORMALIZE_CUH

#include "cuda/elements.cuh"

enum {
    NORM_WARPS = 4,         /* rows of a forward block ... */
    NORM_BLOCKS = 4,        /* ... of which a multiprocessor holds these: without a bound of ours ptxas takes a tighter
                               one of its own, and spills a few bytes */
    NORM_THREADS = 256,     /* most of a block of the `any` kernels */
    NORM_LANE_VALUES = 32,  /* most elements of a row that a lane holds */
    NORM_MAX_THREADS = 256, /* of a backward block: more would leave too few registers */
    NORM_CHUNK_ROWS = 32,   /* fewest rows of a chunk ... */
    NORM_CHUNKS = 1024      /* ... of which there are at most these */
};

/* Threads of an `any` block: no more than the row has columns. */
static inline unsigned norm_threads(int width) {
    return width < NORM_THREADS ? bl_blocks(width, BL_WARP) * BL_WARP : static_cast<unsigned>(NORM_THREADS);
}

/* ---- forward ---- */

template <int PACKS, class Row>
__global__ void __launch_bounds__(NORM_WARPS *BL_WARP, NORM_BLOCKS)
    normalize_forward_kernel(Row row, float *mean, float *rstd, const float *gamma, const float *beta, float eps,
                             int64_t rows, int width) {
    constexpr int N = Row::PACK;
    const int lane = threadIdx.x % BL_WARP;
    const int64_t t = static_cast<int64_t>(blockIdx.x) * NORM_WARPS + threadIdx.x / BL_WARP;
    if (t >= rows) return; /* whole warps */
    const DropoutStream drop = row.begin();
    typename Row::template Held<N> raw[PACKS];
#pragma unroll
    for (int k = 0; k < PACKS; k++)
        if ((k * BL_WARP + lane) * N < width) raw[k] = row.template fetch<N>(t, (k * BL_WARP + lane) * N);
    float z[PACKS][N];
    float sum = 0.0f;
#pragma unroll
    for (int k = 0; k < PACKS; k++) {
        const int column = (k * BL_WARP + lane) * N;
        if (column >= width) continue;
        row.template read<N>(drop, raw[k], t, column, z[k]);
#pragma unroll
        for (int i = 0; i < N; i++)
            sum += z[k][i];
    }
    /* The row is held: a second pass costs nothing and does not cancel. */
    const float center = Row::CENTERED ? warp_sum(sum) / static_cast<float>(width) : 0.0f;
    float square = 0.0f;
#pragma unroll
    for (int k = 0; k < PACKS; k++) {
        if ((k * BL_WARP + lane) * N >= width) continue;
#pragma unroll
        for (int i = 0; i < N; i++)
            square += (z[k][i] - center) * (z[k][i] - center);
    }
    const float scale = 1.0f / sqrtf(warp_sum(square) / static_cast<float>(width) + eps);
#pragma unroll
    for (int k = 0; k < PACKS; k++) {
        const int column = (k * BL_WARP + lane) * N;
        if (column >= width) continue;
        float g[N], b[N] = {}, y[N];
        load_floats<N>(gamma + column, g);
        if constexpr (Row::CENTERED) load_floats<N>(beta + column, b);
#pragma unroll
        for (int i = 0; i < N; i++)
            y[i] = (z[k][i] - center) * scale * g[i] + b[i];
        row.template write<N>(drop, t, column, z[k], y);
    }
    if (lane == 0) {
        if (mean) mean[t] = center;
        if (rstd) rstd[t] = scale;
    }
}

template <class Row>
__global__ void __launch_bounds__(NORM_THREADS)
    normalize_forward_any_kernel(Row row, float *mean, float *rstd, const float *gamma, const float *beta, float eps,
                                 int width) {
    const int64_t t = blockIdx.x;
    const DropoutStream drop = row.begin();
    float z[1], y[1];
    float center = 0.0f;
    if constexpr (Row::CENTERED) {
        float sum = 0.0f;
        for (int column = threadIdx.x; column < width; column += blockDim.x) {
            row.template read<1>(drop, row.template fetch<1>(t, column), t, column, z);
            sum += z[0];
        }
        center = block_sum(sum) / static_cast<float>(width);
    }
    float square = 0.0f;
    for (int column = threadIdx.x; column < width; column += blockDim.x) {
        row.template read<1>(drop, row.template fetch<1>(t, column), t, column, z);
        square += (z[0] - center) * (z[0] - center);
    }
    const float scale = 1.0f / sqrtf(block_sum(square) / static_cast<float>(width) + eps);
    for (int column = threadIdx.x; column < width; column += blockDim.x) {
        row.template read<1>(drop, row.template fetch<1>(t, column), t, column, z);
        y[0] = (z[0] - center) * scale * gamma[column] + (Row::CENTERED ? beta[column] : 0.0f);
        row.template write<1>(drop, t, column, z, y);
    }
    if (threadIdx.x == 0) {
        if (mean) mean[t] = center;
        if (rstd) rstd[t] = scale;
    }
}

/* `packed`: every row of every tensor that Row touches starts on a 16-byte boundary, gamma and beta too. */
template <class Row>
static bl_status normalize_forward(bl_cuda *cuda, const Row &row, float *mean, float *rstd, const float *gamma,
                                   const float *beta, float eps, int64_t rows, int width, bool packed) {
    constexpr int N = Row::PACK;
    if (rows == 0) return BL_OK;
    if (!packed || width > BL_WARP * NORM_LANE_VALUES) {
        BL_LAUNCH((normalize_forward_any_kernel<Row>), static_cast<unsigned>(rows), norm_threads(width), 0,
                  cuda->stream, row, mean, rstd, gamma, beta, eps, width);
        return BL_OK;
    }
    const unsigned grid = bl_blocks(rows, NORM_WARPS);
    /* Packs per lane: for widths up to 256, 512, 768 and 1024. */
    switch ((width + 255) / 256) {
    case 1:
        BL_LAUNCH((normalize_forward_kernel<8 / N, Row>), grid, NORM_WARPS * BL_WARP, 0, cuda->stream, row, mean, rstd,
                  gamma, beta, eps, rows, width);
        break;
    case 2:
        BL_LAUNCH((normalize_forward_kernel<16 / N, Row>), grid, NORM_WARPS * BL_WARP, 0, cuda->stream, row, mean, rstd,
                  gamma, beta, eps, rows, width);
        break;
    case 3:
        BL_LAUNCH((normalize_forward_kernel<24 / N, Row>), grid, NORM_WARPS * BL_WARP, 0, cuda->stream, row, mean, rstd,
                  gamma, beta, eps, rows, width);
        break;
    default:
        BL_LAUNCH((normalize_forward_kernel<32 / N, Row>), grid, NORM_WARPS * BL_WARP, 0, cuda->stream, row, mean, rstd,
                  gamma, beta, eps, rows, width);
    }
    return BL_OK;
}

/* ---- backward ----
 *
 * dz = rstd * (g - mean(g) - xhat * mean(g * xhat)), g = dy * gamma, xhat = (z
 * - mean) * rstd; dgamma += dy * xhat, dbeta += dy. Not centered: without mean(g).
 */

/* Rows of a chunk and the number of chunks, by the number of rows alone. */
static inline int64_t normalize_chunk_rows(int64_t rows) {
    const int64_t chunk = (rows + NORM_CHUNKS - 1) / NORM_CHUNKS;
    return chunk < NORM_CHUNK_ROWS ? static_cast<int64_t>(NORM_CHUNK_ROWS) : chunk;
}
static inline int64_t normalize_chunks(int64_t rows) {
    const int64_t chunk = normalize_chunk_rows(rows);
    return (rows + chunk - 1) / chunk;
}
/* Floats of the chunks' parameter gradients, [chunks, 2, width]. */
static inline int64_t normalize_partial_size(int64_t rows, int64_t width) {
    return 2 * normalize_chunks(rows) * width;
}

/* Two sums over a block of whole warps with one barrier: `parity` must alternate between calls. */
__device__ __forceinline__ void block_sum_pair(float &a, float &b, int parity) {
    __shared__ float2 partial[2][32];
    const int warp = threadIdx.x / BL_WARP, lane = threadIdx.x % BL_WARP;
    const int warps = blockDim.x / BL_WARP;
    a = warp_sum(a);
    b = warp_sum(b);
    if (warps == 1) return;
    if (lane == 0) partial[parity][warp] = make_float2(a, b);
    __syncthreads();
    const float2 part = lane < warps ? partial[parity][lane] : make_float2(0.0f, 0.0f);
    a = warp_sum(part.x);
    b = warp_sum(part.y);
}

/* blockDim.x threads of Row::PACK columns cover the row. */
template <class Row>
__global__ void __launch_bounds__(NORM_MAX_THREADS)
    normalize_backward_kernel(Row row, float *partial, const float *mean, const float *rstd, const float *gamma,
                              int64_t rows, int64_t chunk, int width) {
    constexpr int N = Row::PACK;
    const int column = threadIdx.x * N;
    const bool live = column < width;
    const int64_t begin = blockIdx.x * chunk, end = begin + chunk < rows ? begin + chunk : rows;
    const float over = 1.0f / static_cast<float>(width);
    float scale[N], dgamma[N], dbeta[N], dy[N], z[N];
    typename Row::template Held<N> raw;
    const DropoutStream drop = row.begin();
    if (live) {
        raw = row.template fetch<N>(begin, column);
        load_floats<N>(gamma + column, scale);
    }
    float next_center = Row::CENTERED ? mean[begin] : 0.0f, next_rise = rstd[begin];
#pragma unroll
    for (int i = 0; i < N; i++)
        dgamma[i] = dbeta[i] = 0.0f;
    for (int64_t t = begin; t < end; t++) {
        const float center = next_center, rise = next_rise;
        float sum = 0.0f, product = 0.0f;
        if (live) row.template read<N>(drop, raw, t, column, dy, z);
        if (t + 1 < end) {
            if constexpr (Row::CENTERED) next_center = mean[t + 1];
            next_rise = rstd[t + 1];
            if (live) raw = row.template fetch<N>(t + 1, column);
        }
        if (live) {
#pragma unroll
            for (int i = 0; i < N; i++) {
                z[i] = (z[i] - center) * rise; /* xhat from here on */
                dgamma[i] += dy[i] * z[i];
                dbeta[i] += dy[i];
                dy[i] *= scale[i]; /* g from here on */
                if constexpr (Row::CENTERED) sum += dy[i];
                product += dy[i] * z[i];
            }
        }
        block_sum_pair(sum, product, static_cast<int>(t & 1));
        sum *= over;
        product *= over;
        if (live) {
            float dz[N];
#pragma unroll
            for (int i = 0; i < N; i++)
                dz[i] = rise * (dy[i] - sum - z[i] * product);
            row.template write<N>(drop, t, column, dz);
        }
    }
    if (!live) return;
    float *part = partial + static_cast<int64_t>(blockIdx.x) * 2 * width + column;
#pragma unroll
    for (int i = 0; i < N; i += 4) {
        store_pack<float>(part + i, {dgamma[i], dgamma[i + 1], dgamma[i + 2], dgamma[i + 3]});
        store_pack<float>(part + width + i, {dbeta[i], dbeta[i + 1], dbeta[i + 2], dbeta[i + 3]});
    }
}

template <class Row>
__global__ void __launch_bounds__(NORM_THREADS)
    normalize_backward_any_kernel(Row row, float *partial, const float *mean, const float *rstd, const float *gamma,
                                  int64_t rows, int64_t chunk, int width) {
    const int64_t begin = blockIdx.x * chunk, end = begin + chunk < rows ? begin + chunk : rows;
    const float over = 1.0f / static_cast<float>(width);
    float *dgamma = partial + static_cast<int64_t>(blockIdx.x) * 2 * width, *dbeta = dgamma + width;
    float dy[1], z[1];
    const DropoutStream drop = row.begin();
    for (int64_t t = begin; t < end; t++) {
        const float center = Row::CENTERED ? mean[t] : 0.0f, rise = rstd[t];
        float sum = 0.0f, product = 0.0f;
        for (int column = threadIdx.x; column < width; column += blockDim.x) {
            row.template read<1>(drop, row.template fetch<1>(t, column), t, column, dy, z);
            const float xhat = (z[0] - center) * rise, g = dy[0] * gamma[column];
            if constexpr (Row::CENTERED) sum += g;
            product += g * xhat;
            /* A thread's own columns: no other touches them. */
            dgamma[column] = (t == begin ? 0.0f : dgamma[column]) + dy[0] * xhat;
            dbeta[column] = (t == begin ? 0.0f : dbeta[column]) + dy[0];
        }
        sum = block_sum(sum) * over;
        product = block_sum(product) * over;
        for (int column = threadIdx.x; column < width; column += blockDim.x) {
            row.template read<1>(drop, row.template fetch<1>(t, column), t, column, dy, z);
            const float xhat = (z[0] - center) * rise;
            float dz[1] = {rise * (dy[0] * gamma[column] - sum - xhat * product)};
            row.template write<1>(drop, t, column, dz);
        }
    }
}

enum { COLUMN_LANES = 32, COLUMN_ROWS = 32 };

/* dgamma += sum of parts [parts, 2, width] over chunks, dbeta alike: 32 columns per block, chunks in 32 strands. */
static __global__ void __launch_bounds__(COLUMN_LANES *COLUMN_ROWS)
    add_partials_kernel(float *dgamma, float *dbeta, const float *partial, int64_t chunks, int width) {
    __shared__ float strand[COLUMN_ROWS][COLUMN_LANES];
    const int lane = threadIdx.x % COLUMN_LANES, first = threadIdx.x / COLUMN_LANES;
    const int column = blockIdx.x * COLUMN_LANES + lane;
    float *out = blockIdx.y == 0 ? dgamma : dbeta;
    if (!out) return;
    float sum = 0.0f;
    if (column < width) {
        const float *in = partial + static_cast<int64_t>(blockIdx.y) * width + column;
#pragma unroll 8
        for (int64_t c = first; c < chunks; c += COLUMN_ROWS)
            sum += in[2 * c * width];
    }
    strand[first][lane] = sum;
    __syncthreads();
    if (first != 0 || column >= width) return;
    for (int i = 1; i < COLUMN_ROWS; i++)
        sum += strand[i][lane];
    out[column] += sum;
}

/* partial: normalize_partial_size() floats, on a 16-byte boundary. dgamma and dbeta may be NULL. */
template <class Row>
static bl_status normalize_backward(bl_cuda *cuda, const Row &row, float *dgamma, float *dbeta, float *partial,
                                    const float *mean, const float *rstd, const float *gamma, int64_t rows, int width,
                                    bool packed) {
    if (rows == 0) return BL_OK;
    const int64_t chunk = normalize_chunk_rows(rows), chunks = normalize_chunks(rows);
    if (packed && width <= NORM_MAX_THREADS * Row::PACK) {
        const unsigned warps = bl_blocks(width, Row::PACK * BL_WARP);
        BL_LAUNCH((normalize_backward_kernel<Row>), static_cast<unsigned>(chunks), warps * BL_WARP, 0, cuda->stream,
                  row, partial, mean, rstd, gamma, rows, chunk, width);
    } else {
        BL_LAUNCH((normalize_backward_any_kernel<Row>), static_cast<unsigned>(chunks), norm_threads(width), 0,
                  cuda->stream, row, partial, mean, rstd, gamma, rows, chunk, width);
    }
    if (!dgamma && !dbeta) return BL_OK;
    BL_LAUNCH(add_partials_kernel, dim3(bl_blocks(width, COLUMN_LANES), 2), COLUMN_LANES * COLUMN_ROWS, 0, cuda->stream,
              dgamma, dbeta, partial, chunks, width);
    return BL_OK;
}

#endif
