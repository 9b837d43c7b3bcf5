/*
 * attention.cuh - what the attention kernels share: the arguments of a call,
 * one sequence of it, tiles in shared memory and dropout bits in the layout of
 * the tensor cores' accumulators.
 *
 * A tile is 64 rows of D elements. Its 16-byte pieces are permuted within and
 * across rows so that eight lanes that read one column of pieces, as
 * load_matrices does, meet all 32 banks once.
 */
#ifndef BERTLUA_CUDA_ATTENTION_CUH
#define BERTLUA_CUDA_ATTENTION_CUH

#include "cuda/mma.cuh"

/* Rows of a tile of queries or keys; threads of a block, 16 rows per warp. */
enum { ATTENTION_TILE = 64, ATTENTION_THREADS = 128 };

#define BL_LOG2E 1.4426950408889634f
#define BL_LN2 0.6931471805599453f

/* Arguments of forward and backward; what one of them lacks is NULL. Pointers without a type are of the act dtype. */
struct Attention {
    const void *qkv; /* [T,3H] */
    void *out;       /* [T,H] */
    float *stats;    /* [B,A,max_length] or NULL */
    const void *dout;
    void *dqkv;
    float *sums;             /* [B,3H] or NULL: for each sequence the sums of dqkv over its rows */
    const int32_t *segments; /* [B,2] */
    int64_t rows;            /* T */
    int64_t hidden;          /* H */
    int32_t batch;
    int32_t heads;
    int32_t size; /* D */
    int32_t max_length;
    float scale;
    Dropout dropout;
};

/* Rows of a sequence; empty where they would leave the tensor, which the host cannot see on a device. */
struct Segment {
    int64_t begin;
    int32_t length;

    __device__ __forceinline__ Segment(const Attention &call, int32_t b)
        : begin(call.segments[2 * b]), length(call.segments[2 * b + 1]) {
        if (length > call.max_length || length < 0 || begin < 0 || begin + length > call.rows) length = 0;
    }
};

/* ---- tiles ---- */

/*
 * Where piece `piece` (16 bytes, 8 elements) of row `row` lies, in elements.
 * The permutation repeats every 8 rows and is an exclusive or, so from one
 * place others follow: 8 n rows on by adding 8 n D, and pieces that differ in
 * the bits of m by ^ 8 m. The functions below compute one place per lane and
 * leave the rest to immediate offsets and one operation.
 */
template <int D> __device__ __forceinline__ int tile_at(int row, int piece) {
    constexpr int PIECES = D / 8, ROWS = 8 / PIECES; /* rows that fill the 32 banks once */
    return row * D + (piece ^ (row / ROWS % PIECES)) * 8;
}

/* Starts copying rows [first, first + 64) of a matrix with `stride` elements per row; rows from `count` on become 0. */
template <typename T, int D>
__device__ __forceinline__ void tile_load(T *tile, const T *matrix, int stride, int first, int count) {
    constexpr int PIECES = D / 8, STEP = ATTENTION_THREADS / PIECES; /* rows per turn, a multiple of 8 */
    const int row = threadIdx.x / PIECES, piece = threadIdx.x % PIECES;
    const T *p = matrix + (first + row) * stride + piece * 8;
    T *to = tile + tile_at<D>(row, piece);
#pragma unroll 1
    for (int i = 0; i < ATTENTION_TILE; i += STEP) {
        const bool valid = first + row + i < count;
        copy_async16(to + i * D, valid ? p : matrix, valid);
        p += STEP * stride;
    }
}

/* A warp puts its accumulators, rows g times `low` and g + 8 times `high`, into 16 rows of a tile from `first` on. */
template <typename T, int D>
__device__ __forceinline__ void tile_put(T *tile, const float (&c)[D / 8][4], int first, float low, float high) {
    const int lane = threadIdx.x % BL_WARP, at = tile_at<D>(first + lane / 4, 0) + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < D / 8; n++) {
        T *const to = tile + (at ^ 8 * n);
        *reinterpret_cast<uint32_t *>(to) = pack_pair<T>(c[n][0] * low, c[n][1] * low);
        *reinterpret_cast<uint32_t *>(to + 8 * D) = pack_pair<T>(c[n][2] * high, c[n][3] * high);
    }
}

/* A warp writes rows [first, first + 16) of a tile to those of the matrix below `count`; `offset` is the tile's row. */
template <typename T, int D>
__device__ __forceinline__ void tile_store(T *matrix, int stride, const T *tile, int first, int offset, int count) {
    constexpr int PIECES = D / 8, STEP = BL_WARP / PIECES;
    const int lane = threadIdx.x % BL_WARP, row = first + lane / PIECES, piece = lane % PIECES;
    T *p = matrix + (offset + row) * stride + piece * 8;
#pragma unroll
    for (int i = 0; i < 16; i += STEP) {
        const uint4 bits = *reinterpret_cast<const uint4 *>(tile + tile_at<D>(row + i, piece));
        if (offset + row + i < count) *reinterpret_cast<uint4 *>(p) = bits;
        p += STEP * stride;
    }
}

/* A of rows [row, row + 16), columns [16 k, 16 k + 16); row is a multiple of 16. */
template <typename T, int D>
__device__ __forceinline__ void tile_rows(uint32_t (&a)[4], const T *tile, int row, int k) {
    const int lane = threadIdx.x % BL_WARP, at = tile_at<D>(lane % 16, lane / 16);
    load_matrices(a, tile + row * D + (at ^ 16 * k));
}

/* B of the tile transposed, whose columns are the tile's rows [n, n + 8): b[0..1], the next 8: b[2..3]. */
template <typename T, int D>
__device__ __forceinline__ void tile_columns(uint32_t (&b)[4], const T *tile, int n, int k) {
    const int lane = threadIdx.x % BL_WARP, at = tile_at<D>(lane % 8 + lane / 16 * 8, lane / 8 % 2);
    load_matrices(b, tile + n * D + (at ^ 16 * k));
}

/* B of the tile as it is: rows [16 k, 16 k + 16), columns [8 n, 8 n + 8): b[0..1], the next 8: b[2..3]; n is even. */
template <typename T, int D> __device__ __forceinline__ void tile_inner(uint32_t (&b)[4], const T *tile, int k, int n) {
    const int lane = threadIdx.x % BL_WARP, at = tile_at<D>(lane % 16, lane / 16);
    load_matrices_transposed(b, tile + 16 * k * D + (at ^ 8 * n));
}

/* A of the tile transposed: its columns [8 m, 8 m + 16) are rows, its rows [16 k, 16 k + 16) columns; m is even. */
template <typename T, int D>
__device__ __forceinline__ void tile_turned(uint32_t (&a)[4], const T *tile, int m, int k) {
    const int lane = threadIdx.x % BL_WARP, at = tile_at<D>(lane % 8 + lane / 16 * 8, lane / 8 % 2);
    load_matrices_transposed(a, tile + 16 * k * D + (at ^ 8 * m));
}

/* ---- dropout ---- */

/*
 * Which of a lane's 32 elements of a 16 x 64 accumulator are kept, as bits. One
 * Philox block covers four consecutive keys of a query, which lie in two or
 * four lanes: each lane computes eight blocks and passes on what is not its own.
 * That needs max_length to be a multiple of 4; otherwise one block per lane and
 * element is computed.
 */
struct AttentionDropout {
    const Dropout &drop;
    int64_t pair;
    int32_t max_length;

    __device__ __forceinline__ AttentionDropout(const Attention &call, int64_t pair_index)
        : drop(call.dropout), pair(pair_index), max_length(call.max_length) {
    }

    __device__ __forceinline__ int64_t element(int query, int key) const {
        return (pair * max_length + query) * max_length + key;
    }

    __device__ __forceinline__ uint32_t kept(uint32_t word) const {
        return word >= drop.threshold;
    }

    __device__ __forceinline__ uint32_t kept_one(const DropoutStream &stream, int query, int key) const {
        return stream.keep(element(query, key)) != 0.0f;
    }

    /* Rows are queries from `query`, columns keys from `key` (a multiple of 64). Bit 4 n + i: element c[n][i]. */
    __device__ __forceinline__ uint32_t rows_are_queries(int query, int key) const {
        const int lane = threadIdx.x % BL_WARP, g = lane / 4, t = lane % 4;
        /* Reopened for each tile: seed and step would occupy six registers throughout. */
        const DropoutStream stream(drop);
        uint32_t bits = 0;
        if (max_length % 4 != 0) {
#pragma unroll 1
            for (int i = 0; i < 32; i++)
                bits |= kept_one(stream, query + g + i % 4 / 2 * 8, key + i / 4 * 8 + 2 * t + i % 2) << i;
            return bits;
        }
        /* Even lanes take row g, odd ones row g + 8, four keys each: half of them the neighbour's. */
        const bool odd = t % 2 == 1;
        const int64_t first = element(query + g + (odd ? 8 : 0), key + t / 2 * 4) / 4;
        uint32_t other = 0;
#pragma unroll
        for (int n = 0; n < 8; n++) {
            const uint4 w = stream.words(first + 2 * n);
            const uint32_t low = kept(w.x) | kept(w.y) << 1, high = kept(w.z) | kept(w.w) << 1;
            bits |= (odd ? high << 2 : low) << 4 * n;
            other |= (odd ? low << 2 : high) << 4 * n;
        }
        return bits | __shfl_xor_sync(BL_FULL_WARP, other, 1);
    }

    /* Rows are keys from `key` (a multiple of 16), columns queries from `query`. Bit 8 i + n: element c[n][i]. */
    __device__ __forceinline__ uint32_t rows_are_keys(int key, int query) const {
        const int lane = threadIdx.x % BL_WARP, g = lane / 4, t = lane % 4;
        /* Reopened for each tile: seed and step would occupy six registers throughout. */
        const DropoutStream stream(drop);
        uint32_t bits = 0;
        if (max_length % 4 != 0) {
#pragma unroll 1
            for (int i = 0; i < 32; i++)
                bits |= kept_one(stream, query + i % 8 * 8 + 2 * t + i / 8 % 2, key + g + i / 16 * 8) << i;
            return bits;
        }
        /* The four lanes with the same t and g / 4 need the same four blocks, one word each: block r is lane r's. */
        const int r = g % 4;
        const int64_t first = element(query + 2 * t + r % 2, key + g / 4 * 4 + r / 2 * 8) / 4;
        const int64_t step = 2 * static_cast<int64_t>(max_length); /* 8 queries on */
#pragma unroll
        for (int n = 0; n < 8; n++) {
            const uint4 w = stream.words(first + n * step);
            bits |= (kept(w.x) | kept(w.y) << 8 | kept(w.z) << 16 | kept(w.w) << 24) << n;
        }
        /* Now byte w of lane r is word w of block r: transpose the 4 x 4 bytes in two exchanges. */
        const uint32_t a = __shfl_xor_sync(BL_FULL_WARP, bits, 4);
        bits = r % 2 ? (bits & 0xff00ff00u) | (a & 0xff00ff00u) >> 8 : (bits & 0x00ff00ffu) | (a & 0x00ff00ffu) << 8;
        const uint32_t b = __shfl_xor_sync(BL_FULL_WARP, bits, 8);
        return r / 2 ? (bits & 0xffff0000u) | b >> 16 : (bits & 0x0000ffffu) | b << 16;
    }
};

/* ---- the implementations; each checks nothing ---- */

/* attention_unfused.cu: any dtype, head size and length. */
size_t bl_cuda_attention_unfused_bytes(const bl_context *ctx, const Attention &call);
bl_status bl_cuda_attention_unfused_forward(bl_context *ctx, const Attention &call, int32_t dtype);
bl_status bl_cuda_attention_unfused_backward(bl_context *ctx, const Attention &call, int32_t dtype);

/* attention_native.cu, attention_native_backward.cu: bf16 and f16, head size 32 or 64. */
size_t bl_cuda_attention_native_bytes(const bl_cuda *cuda, const Attention &call);
bl_status bl_cuda_attention_native_forward(bl_context *ctx, const Attention &call, int32_t dtype);
/* sums f32 [3H] or NULL: of dqkv over its rows; the others leave them to a pass of its own. */
bl_status bl_cuda_attention_native_backward(bl_context *ctx, const Attention &call, int32_t dtype, bl_tensor *sums);

/* attention_cudnn.cu: bf16 and f16, no dropout, where cuDNN has an engine. */
/* Both passes of a training step; call has no tensors, and of dropout only the threshold. */
bl_status bl_cuda_attention_cudnn_bytes(bl_context *ctx, const Attention &call, int32_t dtype, size_t *bytes);
bl_status bl_cuda_attention_cudnn_forward(bl_context *ctx, const Attention &call, int32_t dtype);
bl_status bl_cuda_attention_cudnn_backward(bl_context *ctx, const Attention &call, int32_t dtype);

#endif
