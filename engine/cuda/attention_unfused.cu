/*
 * attention_unfused.cu - attention for any dtype, head size and length, in
 * f32 arithmetic: the path of fp32 runs, and the yardstick of the fused ones.
 *
 * The steps are those of the CPU (engine/cpu/attention.c): scores of a block of
 * queries against all keys, softmax and dropout by rows, product with V; the
 * backward recomputes the probabilities from the log-sum-exp. A block of
 * threads has a slice of scratch for the scores at hand and loops over its
 * work, so scratch depends on the device and the length, not on the batch. In
 * the backward one block owns a (sequence, head) pair and adds dK and dV over
 * its queries in order: no atomics, the same bits each time.
 *
 * Products run on the ordinary f32 units from tiles in shared memory, 8 sums
 * per thread: expect about a quarter of their 60 TFLOP/s, 1.2 ms forward for
 * BERT-large at B=256, S=128.
 */
#include "cuda/attention.cuh"

/* Queries a block holds scores of; threads; tiles of a product: ROWS x COLUMNS of C, DEPTH of the summed index. */
enum { ROWS = 32, COLUMNS = 64, DEPTH = 32, THREADS = 256 };

/* A matrix of any orientation: element (i, j) is p[i * row + j * column]. */
template <typename T> struct Matrix {
    T *p;
    int64_t row, column;
};

/* The tile [R,C] of m from (i, j) on into shared memory, zeros past (rows, columns); neighbours in memory together. */
template <typename T, int R, int C>
__device__ __forceinline__ void fill_tile(float (&tile)[R][C + 1], const Matrix<const T> &m, int i, int j, int rows,
                                          int columns) {
    const bool along = m.column == 1;
    for (int e = threadIdx.x; e < R * C; e += THREADS) {
        const int r = along ? e / C : e % R, c = along ? e % C : e / R;
        const bool inside = i + r < rows && j + c < columns;
        tile[r][c] = inside ? to_float(m.p[(i + r) * m.row + (j + c) * m.column]) : 0.0f;
    }
}

/* The tiles of a product, in shared memory. */
struct Tiles {
    float left[ROWS][DEPTH + 1], right[DEPTH][COLUMNS + 1];
};

/* C [m,n] = A [m,k] B [k,n] * factor, or C += that: by the whole block. Ends with the block in step. */
template <typename TA, typename TB, typename TC>
__device__ __forceinline__ void multiply(Tiles &tiles, const Matrix<TC> &c, const Matrix<const TA> &a,
                                         const Matrix<const TB> &b, int m, int n, int k, float factor, bool add) {
    /* A thread has rows r and r + 16 and four columns, 16 apart. */
    const int r = threadIdx.x / 16, t = threadIdx.x % 16;
    for (int i = 0; i < m; i += ROWS) {
        for (int j = 0; j < n; j += COLUMNS) {
            float sum[2][4] = {};
            for (int d = 0; d < k; d += DEPTH) {
                __syncthreads();
                fill_tile<TA, ROWS, DEPTH>(tiles.left, a, i, d, m, k);
                fill_tile<TB, DEPTH, COLUMNS>(tiles.right, b, d, j, k, n);
                __syncthreads();
#pragma unroll
                for (int e = 0; e < DEPTH; e++) {
                    const float x = tiles.left[r][e], y = tiles.left[r + 16][e];
#pragma unroll
                    for (int q = 0; q < 4; q++) {
                        sum[0][q] += x * tiles.right[e][t + 16 * q];
                        sum[1][q] += y * tiles.right[e][t + 16 * q];
                    }
                }
            }
#pragma unroll
            for (int q = 0; q < 8; q++) {
                const int row = i + r + q / 4 * 16, column = j + t + q % 4 * 16;
                if (row >= m || column >= n) continue;
                TC *const to = c.p + row * c.row + column * c.column;
                const float value = sum[q / 4][q % 4] * factor;
                *to = from_float<TC>(add ? to_float(*to) + value : value);
            }
        }
    }
    __syncthreads();
}

/* Where a pair's matrices lie. */
template <typename T> struct UnfusedPair {
    int64_t index; /* b A + a */
    int32_t length;
    int64_t row; /* elements from one row of qkv to the next */
    int64_t offset, out_offset;

    __device__ __forceinline__ UnfusedPair(const Attention &call, int64_t pair) : index(pair), row(3 * call.hidden) {
        const Segment segment(call, static_cast<int>(pair / call.heads));
        const int64_t column = pair % call.heads * call.size;
        length = segment.length;
        offset = segment.begin * row + column;
        out_offset = segment.begin * call.hidden + column;
    }
    /* Rows from `first` of queries, keys or values. */
    __device__ __forceinline__ Matrix<const T> qkv(const Attention &call, int part, int first) const {
        return {static_cast<const T *>(call.qkv) + offset + part * call.hidden + first * row, row, 1};
    }
    __device__ __forceinline__ Matrix<T> dqkv(const Attention &call, int part, int first) const {
        return {static_cast<T *>(call.dqkv) + offset + part * call.hidden + first * row, row, 1};
    }
    __device__ __forceinline__ Matrix<const T> dout(const Attention &call, int first) const {
        return {static_cast<const T *>(call.dout) + out_offset + first * call.hidden, call.hidden, 1};
    }
};

template <typename T> __device__ __forceinline__ Matrix<T> turned(const Matrix<T> &m) {
    return {m.p, m.column, m.row};
}

template <typename T> __device__ __forceinline__ Matrix<const T> readable(const Matrix<T> &m) {
    return {m.p, m.row, m.column};
}

/* Where a query's bits of kept elements lie: a byte for eight keys, the first in the lowest bit. */
__device__ __forceinline__ unsigned char *kept_row(const Attention &call, int64_t pair, int query) {
    const int64_t tiles = attention_tiles(call.max_length), pitch = tiles * ATTENTION_TILE / 8;
    return reinterpret_cast<unsigned char *>(kept_tile(call, pair, 0, 0)) + query * pitch;
}

/*
 * Drops probabilities of a query, by a warp: each lane draws those of eight
 * keys, for all to take, and leaves them in `kept` unless that is NULL. `block`
 * is the Philox block of the first.
 */
__device__ __forceinline__ void drop_row(float *row, int length, const DropoutStream &drop, uint32_t block,
                                         unsigned char *kept) {
    const int lane = threadIdx.x % BL_WARP;
    for (int first = 0; first < length; first += 8 * BL_WARP) {
        const uint32_t mine = drop.kept8(block + first / 8 + lane);
        if (kept && first + 8 * lane < length) kept[first / 8 + lane] = static_cast<unsigned char>(mine);
        for (int i = 0; i < 8 && first + i * BL_WARP < length; i++) {
            const uint32_t eight = __shfl_sync(BL_FULL_WARP, mine, 4 * i + lane / 8);
            const int j = first + i * BL_WARP + lane;
            if (j < length) row[j] *= eight >> lane % 8 & 1 ? drop.scale : 0.0f;
        }
    }
}

/* Scaled scores of a query become probabilities, by a warp; returns the log-sum-exp. */
__device__ __forceinline__ float softmax_row(float *row, int length) {
    const int lane = threadIdx.x % BL_WARP;
    float top = -INFINITY, sum = 0.0f;
    for (int j = lane; j < length; j += BL_WARP)
        top = fmaxf(top, row[j]);
    top = warp_max(top);
    for (int j = lane; j < length; j += BL_WARP) {
        row[j] = expf(row[j] - top);
        sum += row[j];
    }
    sum = warp_sum(sum);
    const float inverse = 1.0f / sum;
    for (int j = lane; j < length; j += BL_WARP)
        row[j] *= inverse;
    return top + logf(sum);
}

/* A block of threads takes 32 queries of a pair at a time; scores are its [32, max_length] of scratch. */
template <typename T>
__global__ void __launch_bounds__(THREADS, 2)
    attention_unfused_forward_kernel(const Attention call, float *memory, int blocks_a_pair) {
    __shared__ Tiles tiles;
    const Matrix<float> scores = {memory + static_cast<int64_t>(blockIdx.x) * ROWS * call.max_length, call.max_length,
                                  1};
    const DropoutStream drop(call.dropout);
    const int64_t work = static_cast<int64_t>(call.batch) * call.heads * blocks_a_pair;
    for (int64_t item = blockIdx.x; item < work; item += gridDim.x) {
        const UnfusedPair<T> pair(call, item / blocks_a_pair);
        const int first = static_cast<int>(item % blocks_a_pair) * ROWS;
        const int count = min(ROWS, pair.length - first);
        if (count <= 0) continue;
        multiply(tiles, scores, pair.qkv(call, 0, first), turned(pair.qkv(call, 1, 0)), count, pair.length, call.size,
                 call.scale, false);
        for (int i = threadIdx.x / BL_WARP; i < count; i += THREADS / BL_WARP) {
            const int query = first + i;
            float *const row = scores.p + i * scores.row;
            const float lse = softmax_row(row, pair.length);
            if (drop.active)
                drop_row(row, pair.length, drop, attention_block(call, pair.index, query, 0),
                         call.kept ? kept_row(call, pair.index, query) : nullptr);
            if (call.stats && threadIdx.x % BL_WARP == 0) call.stats[pair.index * call.max_length + query] = lse;
        }
        __syncthreads();
        const Matrix<T> out = {static_cast<T *>(call.out) + pair.out_offset + first * call.hidden, call.hidden, 1};
        multiply(tiles, out, readable(scores), pair.qkv(call, 2, 0), count, call.size, pair.length, 1.0f, false);
    }
}

/*
 * One query in the backward, by a warp: row holds scaled scores, gradient dO
 * V^T; they become R P and dS, as in bl_attention_backward_row of the CPU.
 * factor: of what is kept; kept: as drop_row left it, NULL without dropout.
 */
__device__ __forceinline__ void backward_row(float *row, float *gradient, int length, float lse, float scale,
                                             float factor, const unsigned char *kept) {
    const int lane = threadIdx.x % BL_WARP;
    float delta = 0.0f;
    for (int j = lane; j < length; j += BL_WARP) {
        const float p = expf(row[j] - lse);
        if (kept) gradient[j] *= kept[j / 8] >> j % 8 & 1 ? factor : 0.0f;
        delta += p * gradient[j];
        row[j] = p;
    }
    delta = warp_sum(delta);
    for (int j = lane; j < length; j += BL_WARP) {
        gradient[j] = row[j] * scale * (gradient[j] - delta);
        if (kept) row[j] *= kept[j / 8] >> j % 8 & 1 ? factor : 0.0f;
    }
}

template <typename T>
__global__ void __launch_bounds__(THREADS, 2)
    attention_unfused_backward_kernel(const Attention call, float *memory, int64_t each) {
    __shared__ Tiles tiles;
    float *const mine = memory + blockIdx.x * each;
    const Matrix<float> p = {mine, call.max_length, 1};
    const Matrix<float> ds = {p.p + static_cast<int64_t>(ROWS) * call.max_length, call.max_length, 1};
    const Matrix<float> dk = {ds.p + static_cast<int64_t>(ROWS) * call.max_length, call.size, 1};
    const Matrix<float> dv = {dk.p + static_cast<int64_t>(call.size) * call.max_length, call.size, 1};
    const int64_t pairs = static_cast<int64_t>(call.batch) * call.heads;
    for (int64_t index = blockIdx.x; index < pairs; index += gridDim.x) {
        const UnfusedPair<T> pair(call, index);
        const int length = pair.length, size = call.size;
        for (int first = 0; first < length; first += ROWS) {
            const int count = min(ROWS, length - first);
            const Matrix<const T> q = pair.qkv(call, 0, first), dout = pair.dout(call, first);
            const Matrix<const T> k = pair.qkv(call, 1, 0), v = pair.qkv(call, 2, 0);
            multiply(tiles, p, q, turned(k), count, length, size, call.scale, false);
            multiply(tiles, ds, dout, turned(v), count, length, size, 1.0f, false);
            for (int i = threadIdx.x / BL_WARP; i < count; i += THREADS / BL_WARP) {
                const int query = first + i;
                backward_row(p.p + i * p.row, ds.p + i * ds.row, length, call.stats[index * call.max_length + query],
                             call.scale, call.dropout.scale,
                             call.dropout.state ? kept_row(call, index, query) : nullptr);
            }
            __syncthreads();
            multiply(tiles, dv, turned(readable(p)), dout, length, size, count, 1.0f, first > 0);
            multiply(tiles, dk, turned(readable(ds)), q, length, size, count, 1.0f, first > 0);
            multiply(tiles, pair.dqkv(call, 0, first), readable(ds), k, count, size, length, 1.0f, false);
        }
        const Matrix<T> to_k = pair.dqkv(call, 1, 0), to_v = pair.dqkv(call, 2, 0);
        for (int64_t i = threadIdx.x; i < static_cast<int64_t>(length) * size; i += THREADS) {
            const int64_t at = i / size * pair.row + i % size;
            to_k.p[at] = from_float<T>(dk.p[i]);
            to_v.p[at] = from_float<T>(dv.p[i]);
        }
        __syncthreads();
    }
}

/* Two blocks per multiprocessor, or as many as there is work for. */
static unsigned count_blocks(const bl_context *ctx, int64_t work) {
    const int64_t most = 2 * static_cast<int64_t>(bl_cuda_of(ctx)->sm_count);
    return static_cast<unsigned>(work < most ? work : most);
}

/* Bytes of scratch: blocks of the forward hold ROWS rows of scores, those of the backward a sequence's sums too. */
static size_t forward_bytes(const bl_context *ctx, const Attention &call) {
    const int64_t blocks_a_pair = (call.max_length + ROWS - 1) / ROWS;
    return static_cast<size_t>(count_blocks(ctx, static_cast<int64_t>(call.batch) * call.heads * blocks_a_pair)) *
           ROWS * call.max_length * sizeof(float);
}

static int64_t backward_floats(const Attention &call) {
    return 2 * static_cast<int64_t>(call.max_length) * (ROWS + call.size);
}

static size_t backward_bytes(const bl_context *ctx, const Attention &call) {
    return count_blocks(ctx, static_cast<int64_t>(call.batch) * call.heads) *
           static_cast<size_t>(backward_floats(call)) * sizeof(float);
}

size_t bl_cuda_attention_unfused_bytes(const bl_context *ctx, const Attention &call) {
    const size_t forward = forward_bytes(ctx, call), backward = backward_bytes(ctx, call);
    return forward > backward ? forward : backward;
}

bl_status bl_cuda_attention_unfused_forward(bl_context *ctx, const Attention &call, int32_t dtype) {
    const int blocks_a_pair = (call.max_length + ROWS - 1) / ROWS;
    const unsigned blocks = count_blocks(ctx, static_cast<int64_t>(call.batch) * call.heads * blocks_a_pair);
    void *memory;
    BL_TRY(bl_cuda_scratch(ctx, forward_bytes(ctx, call), &memory));
    BL_DISPATCH_FLOAT(dtype, T, {
        BL_LAUNCH((attention_unfused_forward_kernel<T>), blocks, THREADS, 0, bl_cuda_of(ctx)->stream, call,
                  static_cast<float *>(memory), blocks_a_pair);
    });
    return BL_OK;
}

bl_status bl_cuda_attention_unfused_backward(bl_context *ctx, const Attention &call, int32_t dtype) {
    const unsigned blocks = count_blocks(ctx, static_cast<int64_t>(call.batch) * call.heads);
    const int64_t each = backward_floats(call);
    void *memory;
    BL_TRY(bl_cuda_scratch(ctx, backward_bytes(ctx, call), &memory));
    BL_DISPATCH_FLOAT(dtype, T, {
        BL_LAUNCH((attention_unfused_backward_kernel<T>), blocks, THREADS, 0, bl_cuda_of(ctx)->stream, call,
                  static_cast<float *>(memory), each);
    });
    return BL_OK;
}
