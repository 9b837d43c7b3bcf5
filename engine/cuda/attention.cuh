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
    uint32_t *kept;  /* [B,A,bl_attention_kept_words()], which elements dropout keeps; NULL: nobody asks */
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

/* Tiles of queries, or of keys, of a pair. */
__host__ __device__ __forceinline__ int attention_tiles(int max_length) {
    return (max_length + ATTENTION_TILE - 1) / ATTENTION_TILE;
}

/* Number of the Philox block of keys [key, key + 8), key a multiple of 8. Rows of elements begin at whole blocks. */
__device__ __forceinline__ uint32_t attention_block(const Attention &call, int64_t pair, int query, int key) {
    const uint32_t row = static_cast<uint32_t>(pair) * call.max_length + query;
    return row * ((call.max_length + 7) / 8) + key / 8;
}

/*
 * Bits of the elements that dropout keeps, for the native kernels, in the
 * layout of accumulators. The forward draws those of 16 queries and 64 keys at
 * a time, four Philox blocks per lane, and leaves them for the backward, whose
 * rows are keys: in `kept`, 128 words for each tile of queries and of keys, 32
 * for each warp of the forward.
 */
enum { KEPT_WORDS = ATTENTION_TILE * ATTENTION_TILE / 32 };

/* Words of the tile of keys `key` among queries from `query` on, multiples of 64. */
__device__ __forceinline__ uint32_t *kept_tile(const Attention &call, int64_t pair, int query, int key) {
    const int64_t tiles = attention_tiles(call.max_length);
    return call.kept + ((pair * tiles + query / ATTENTION_TILE) * tiles + key / ATTENTION_TILE) * KEPT_WORDS;
}

/* Queries from `query`, keys from `key`, a multiple of 64: bit 16 (i % 2) + 2 n + i / 2 is that of element c[n][i]. */
__device__ __forceinline__ uint32_t draw_kept(const Attention &call, int64_t pair, int query, int key) {
    const int lane = threadIdx.x % BL_WARP, g = lane / 4, t = lane % 4;
    /* Reopened for each tile: seed and step would occupy six registers throughout. */
    const DropoutStream stream(call.dropout);
    const uint32_t first = attention_block(call, pair, query + g, key + 16 * t);
    const uint32_t below = (call.max_length + 7) / 8 * 8; /* 8 queries on */
    uint32_t bits = 0;
    /* Eight keys of rows g and g + 8, then the next eight: nibble j of the halves is what lane j of the four needs. */
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const uint4 w = stream.words(first + i / 2 + (i % 2 ? below : 0));
        if (stream.keeps_low(w.x)) bits |= 0x1u << i;
        if (stream.keeps_low(w.y)) bits |= 0x10u << i;
        if (stream.keeps_low(w.z)) bits |= 0x100u << i;
        if (stream.keeps_low(w.w)) bits |= 0x1000u << i;
        if (stream.keeps_high(w.x)) bits |= 0x10000u << i;
        if (stream.keeps_high(w.y)) bits |= 0x100000u << i;
        if (stream.keeps_high(w.z)) bits |= 0x1000000u << i;
        if (stream.keeps_high(w.w)) bits |= 0x10000000u << i;
    }
    /* Transpose the nibbles of each half among the four lanes, in two exchanges. */
    const uint32_t a = __shfl_xor_sync(BL_FULL_WARP, bits, 1);
    bits = t % 2 ? (bits & 0xf0f0f0f0u) | (a >> 4 & 0x0f0f0f0fu) : (bits & 0x0f0f0f0fu) | (a << 4 & 0xf0f0f0f0u);
    const uint32_t b = __shfl_xor_sync(BL_FULL_WARP, bits, 2);
    return choose_bytes(bits, b, t / 2 ? 0x3715 : 0x6240);
}

/*
 * The same bits with keys as rows: word w of the warps of the forward, shifted
 * right by 4 k for keys [16 k, 16 k + 16), has in bit 16 (i % 2) + 2 (i / 2) +
 * n % 2 that of element c[n][i], n = 2 w and 2 w + 1, queries as columns.
 */
__device__ __forceinline__ uint32_t turn_kept(uint32_t bits) {
    return transpose_pairs(bits);
}

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
