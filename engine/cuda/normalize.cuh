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
 * subtracted; if not, mean and beta are NULL and a mean of 0 takes its place. Row::SUMS says whether the backward also
 * sums, over rows, what write() leaves in dz. Each call is made by the thread that
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
 * Sums are taken in a fixed order: statistics in a tree over the row; parameter
 * gradients by row within a chunk, then by chunk. There are as many chunks as
 * the device holds blocks at once: with some more, most of the device would wait
 * for the last. So these sums depend, in their last bits, on the number of
 * multiprocessors, as those of cuBLASLt do.
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
    NORM_MAX_THREADS = 320, /* of a backward block: more would leave too few registers */
    NORM_SM_THREADS = 640,  /* of the backward that a multiprocessor holds, with up to 96 registers each */
    NORM_SM_BLOCKS = 16,    /* ... and blocks, where they are small */
    NORM_CHUNK_ROWS = 16    /* fewest rows of a chunk */
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

/* Threads of a backward block for rows of `width`, PACK elements each; of the `any` kernel where that would be too
 * many. */
static inline unsigned normalize_threads(int width, int pack) {
    const unsigned threads = bl_blocks(width, pack * BL_WARP) * BL_WARP;
    return threads <= NORM_MAX_THREADS ? threads : norm_threads(width);
}
/* Rows of a chunk, where blocks of so many threads take one each. */
static inline int64_t normalize_chunk_rows(const bl_cuda *cuda, int64_t rows, unsigned threads) {
    const int64_t fit = NORM_SM_THREADS / threads, most = NORM_SM_BLOCKS;
    const int64_t blocks = cuda->sm_count * (fit < most ? fit : most);
    const int64_t chunk = (rows + blocks - 1) / blocks;
    return chunk < NORM_CHUNK_ROWS ? static_cast<int64_t>(NORM_CHUNK_ROWS) : chunk;
}
/*
 * Floats of the chunks' parameter gradients and sums, [chunks, 3, width] (2 without sums), whatever the dtype of the
 * rows and the kernel that takes them: small blocks make most chunks.
 */
static inline int64_t normalize_partial_size(const bl_cuda *cuda, int64_t rows, int64_t width) {
    int64_t most = 0;
    for (int pack = 1; pack <= 8; pack *= 2) {
        const int64_t chunk = normalize_chunk_rows(cuda, rows, normalize_threads(static_cast<int>(width), pack));
        const int64_t chunks = (rows + chunk - 1) / chunk;
        most = chunks > most ? chunks : most;
    }
    return 3 * most * width;
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

/* What a chunk leaves for each column: dgamma, dbeta and, where asked for, sums. */
template <class Row> constexpr int normalize_parts = Row::SUMS ? 3 : 2;

/* blockDim.x threads of Row::PACK columns cover the row. */
template <class Row>
__global__ void __launch_bounds__(NORM_MAX_THREADS, NORM_SM_THREADS / NORM_MAX_THREADS)
    normalize_backward_kernel(Row row, float *partial, const float *mean, const float *rstd, const float *gamma,
                              int64_t rows, int64_t chunk, int width) {
    constexpr int N = Row::PACK;
    const int column = threadIdx.x * N;
    const bool live = column < width;
    const int64_t begin = blockIdx.x * chunk, end = begin + chunk < rows ? begin + chunk : rows;
    const float over = 1.0f / static_cast<float>(width);
    float scale[N], dgamma[N], dbeta[N], sums[N], dy[N], z[N];
    typename Row::template Held<N> raw;
    const DropoutStream drop = row.begin();
    if (live) {
        raw = row.template fetch<N>(begin, column);
        load_floats<N>(gamma + column, scale);
    }
    float next_center = Row::CENTERED ? mean[begin] : 0.0f, next_rise = rstd[begin];
#pragma unroll
    for (int i = 0; i < N; i++)
        dgamma[i] = dbeta[i] = sums[i] = 0.0f;
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
            if constexpr (Row::SUMS) {
#pragma unroll
                for (int i = 0; i < N; i++)
                    sums[i] += dz[i];
            }
        }
    }
    if (!live) return;
    float *part = partial + static_cast<int64_t>(blockIdx.x) * normalize_parts<Row> * width + column;
#pragma unroll
    for (int i = 0; i < N; i += 4) {
        store_pack<float>(part + i, {dgamma[i], dgamma[i + 1], dgamma[i + 2], dgamma[i + 3]});
        store_pack<float>(part + width + i, {dbeta[i], dbeta[i + 1], dbeta[i + 2], dbeta[i + 3]});
        if constexpr (Row::SUMS)
            store_pack<float>(part + 2 * width + i, {sums[i], sums[i + 1], sums[i + 2], sums[i + 3]});
    }
}

template <class Row>
__global__ void __launch_bounds__(NORM_THREADS)
    normalize_backward_any_kernel(Row row, float *partial, const float *mean, const float *rstd, const float *gamma,
                                  int64_t rows, int64_t chunk, int width) {
    const int64_t begin = blockIdx.x * chunk, end = begin + chunk < rows ? begin + chunk : rows;
    const float over = 1.0f / static_cast<float>(width);
    float *dgamma = partial + static_cast<int64_t>(blockIdx.x) * normalize_parts<Row> * width, *dbeta = dgamma + width;
    float *sums = dbeta + width;
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
            if constexpr (Row::SUMS) sums[column] = (t == begin ? 0.0f : sums[column]) + dz[0];
        }
    }
}

enum { COLUMN_LANES = 32, COLUMN_ROWS = 32 };

/*
 * dgamma += sum of partial [chunks, parts, width] over chunks, dbeta alike, sums = that of the third part: 32 columns
 * per block, chunks in 32 strands.
 */
static __global__ void __launch_bounds__(COLUMN_LANES *COLUMN_ROWS)
    add_partials_kernel(float *dgamma, float *dbeta, float *sums, const float *partial, int64_t chunks, int width) {
    __shared__ float strand[COLUMN_ROWS][COLUMN_LANES];
    const int lane = threadIdx.x % COLUMN_LANES, first = threadIdx.x / COLUMN_LANES;
    const int column = blockIdx.x * COLUMN_LANES + lane;
    float *out = blockIdx.y == 0 ? dgamma : blockIdx.y == 1 ? dbeta : sums;
    if (!out) return;
    float sum = 0.0f;
    if (column < width) {
        const float *in = partial + static_cast<int64_t>(blockIdx.y) * width + column;
#pragma unroll 8
        for (int64_t c = first; c < chunks; c += COLUMN_ROWS)
            sum += in[gridDim.y * c * width];
    }
    strand[first][lane] = sum;
    __syncthreads();
    if (first != 0 || column >= width) return;
    for (int i = 1; i < COLUMN_ROWS; i++)
        sum += strand[i][lane];
    out[column] = blockIdx.y == 2 ? sum : out[column] + sum;
}

/* partial: normalize_partial_size() floats, on a 16-byte boundary. dgamma, dbeta and sums may be NULL. */
template <class Row>
static bl_status normalize_backward(bl_cuda *cuda, const Row &row, float *dgamma, float *dbeta, float *sums,
                                    float *partial, const float *mean, const float *rstd, const float *gamma,
                                    int64_t rows, int width, bool packed) {
    if (rows == 0) return BL_OK;
    packed = packed && width <= NORM_MAX_THREADS * Row::PACK;
    const unsigned threads = normalize_threads(width, packed ? static_cast<int>(Row::PACK) : 1);
    const int64_t chunk = normalize_chunk_rows(cuda, rows, threads), chunks = (rows + chunk - 1) / chunk;
    if (packed) {
        BL_LAUNCH((normalize_backward_kernel<Row>), static_cast<unsigned>(chunks), threads, 0, cuda->stream, row,
                  partial, mean, rstd, gamma, rows, chunk, width);
    } else {
        BL_LAUNCH((normalize_backward_any_kernel<Row>), static_cast<unsigned>(chunks), threads, 0, cuda->stream, row,
                  partial, mean, rstd, gamma, rows, chunk, width);
    }
    if (!dgamma && !dbeta && !sums) return BL_OK;
    BL_LAUNCH(add_partials_kernel, dim3(bl_blocks(width, COLUMN_LANES), normalize_parts<Row>),
              COLUMN_LANES * COLUMN_ROWS, 0, cuda->stream, dgamma, dbeta, sums, partial, chunks, width);
    return BL_OK;
}

#endif
