/*
 * attention_native.cu - the fused forward for bf16 and f16 with heads of 32 or
 * 64: scores never leave the registers (arXiv 2205.14135, algorithm 1, with
 * the loops of arXiv 2307.08691).
 *
 * A block of four warps takes 64 queries of one (sequence, head) pair, each
 * warp 16 of them; keys and values pass by in tiles of 64, the next one in
 * flight while one is computed. Per tile and warp: S = Q K^T on tensor cores,
 * running maximum and sum, P = 2^(S - max) rounded in place as the next
 * product's A, O += P V. The sum takes P before dropout; dropping clears
 * rounded elements of P, and its scale is one factor at the end. Which were
 * kept goes to memory, a bit each, for the backward.
 *
 * Roofline, BERT-large at B=256, S=128: 17.2 GFLOP (22 us at 790 TFLOP/s), 277
 * MB (69 us at 4.0 TB/s): bound by memory. At B=32, S=512: 34.4 GFLOP (43 us),
 * 151 MB (38 us): bound by products and, with dropout, by its instructions: 10
 * per element, of which Philox's rounds are 5.
 */
#include "cuda/attention.cuh"

/* Rows g and g + 8 of the warp's 16, as a lane holds them. */
struct RowPair {
    float low, high;
};

/* Maximum and sum over the four lanes that share a row. */
__device__ __forceinline__ float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(BL_FULL_WARP, x, 1));
    return fmaxf(x, __shfl_xor_sync(BL_FULL_WARP, x, 2));
}
__device__ __forceinline__ float quad_sum(float x) {
    x += __shfl_xor_sync(BL_FULL_WARP, x, 1);
    return x + __shfl_xor_sync(BL_FULL_WARP, x, 2);
}

/* s = Q K^T: 16 queries, 64 keys. */
template <typename T, int D>
__device__ __forceinline__ void score(float (&s)[8][4], const uint32_t (&q)[D / 16][4], const T *k_tile) {
#pragma unroll
    for (int n = 0; n < 8; n++)
        s[n][0] = s[n][1] = s[n][2] = s[n][3] = 0.0f;
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
#pragma unroll
        for (int n = 0; n < 4; n++) {
            uint32_t b[4];
            tile_columns<T, D>(b, k_tile, 16 * n, k);
            multiply_add<T>(s[2 * n], q[k], b[0], b[1]);
            multiply_add<T>(s[2 * n + 1], q[k], b[2], b[3]);
        }
    }
}

/* o += P V of the elements of P that are kept (draw_kept). */
template <typename T, int D, bool DROP>
__device__ __forceinline__ void weigh(float (&o)[D / 8][4], const float (&p)[8][4], const T *v_tile, uint32_t kept) {
    uint32_t pairs[8][2];
#pragma unroll
    for (int n = 0; n < 8; n++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            pairs[n][i] = pack_pair<T>(p[n][2 * i], p[n][2 * i + 1]);
            if (DROP) pairs[n][i] &= half_masks(kept, 2 * n + i);
        }
    }
#pragma unroll
    for (int k = 0; k < 4; k++) {
        const uint32_t a[4] = {pairs[2 * k][0], pairs[2 * k][1], pairs[2 * k + 1][0], pairs[2 * k + 1][1]};
#pragma unroll
        for (int n = 0; n < D / 8; n += 2) {
            uint32_t b[4];
            tile_inner<T, D>(b, v_tile, k, n);
            multiply_add<T>(o[n], a, b[0], b[1]);
            multiply_add<T>(o[n + 1], a, b[2], b[3]);
        }
    }
}

/* Scores become 2^(factor (s - max)); maximum, sum and output so far follow the new maximum. */
template <int D>
__device__ __forceinline__ void exponentiate(float (&s)[8][4], float (&o)[D / 8][4], RowPair &top, RowPair &sum,
                                             float factor) {
    RowPair next = top;
#pragma unroll
    for (int n = 0; n < 8; n++) {
        next.low = fmaxf(next.low, fmaxf(s[n][0], s[n][1]));
        next.high = fmaxf(next.high, fmaxf(s[n][2], s[n][3]));
    }
    next.low = quad_max(next.low);
    next.high = quad_max(next.high);
    /* The first tile holds a key, so the maximum is finite from here on; before it is -inf, and shrink 0. */
    const RowPair shrink = {exp2_fast((top.low - next.low) * factor), exp2_fast((top.high - next.high) * factor)};
    const RowPair shift = {next.low * factor, next.high * factor};
    top = next;
    sum.low *= shrink.low;
    sum.high *= shrink.high;
#pragma unroll
    for (int n = 0; n < D / 8; n++) {
        o[n][0] *= shrink.low, o[n][1] *= shrink.low;
        o[n][2] *= shrink.high, o[n][3] *= shrink.high;
    }
#pragma unroll
    for (int n = 0; n < 8; n++) {
        s[n][0] = exp2_fast(s[n][0] * factor - shift.low);
        s[n][1] = exp2_fast(s[n][1] * factor - shift.low);
        s[n][2] = exp2_fast(s[n][2] * factor - shift.high);
        s[n][3] = exp2_fast(s[n][3] * factor - shift.high);
        sum.low += s[n][0] + s[n][1];
        sum.high += s[n][2] + s[n][3];
    }
}

/* Columns from `count` on get nothing of the softmax. */
__device__ __forceinline__ void hide(float (&s)[8][4], int count) {
    const int t = threadIdx.x % 4;
#pragma unroll
    for (int n = 0; n < 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (8 * n + 2 * t + i % 2 >= count) s[n][i] = -INFINITY;
    }
}

template <typename T, int D, bool DROP>
__global__ void __launch_bounds__(ATTENTION_THREADS, 3) attention_forward_kernel(const Attention call, int tiles) {
    BL_SHARED(T, q_tile);
    constexpr int SIZE = ATTENTION_TILE * D;
    T *const k_tile = q_tile + SIZE, *const v_tile = k_tile + 2 * SIZE; /* two of each */
    const int64_t pair = blockIdx.x / tiles;
    const int first = blockIdx.x % tiles * ATTENTION_TILE;
    const int b = static_cast<int>(pair / call.heads), a = static_cast<int>(pair % call.heads);
    const Segment segment(call, b);
    if (first >= segment.length) return;

    const int warp = threadIdx.x / BL_WARP, lane = threadIdx.x % BL_WARP, row = 16 * warp;
    const int hidden = static_cast<int>(call.hidden), stride = 3 * hidden;
    const T *const q = static_cast<const T *>(call.qkv) + segment.begin * stride + a * D;
    const T *const k = q + call.hidden, *const v = k + call.hidden;
    tile_load<T, D>(q_tile, q, stride, first, segment.length);
    tile_load<T, D>(k_tile, k, stride, 0, segment.length);
    tile_load<T, D>(v_tile, v, stride, 0, segment.length);

    const float factor = call.scale * BL_LOG2E;
    uint32_t q_rows[D / 16][4];
    float o[D / 8][4];
#pragma unroll
    for (int n = 0; n < D / 8; n++)
        o[n][0] = o[n][1] = o[n][2] = o[n][3] = 0.0f;
    RowPair top = {-INFINITY, -INFINITY}, sum = {0.0f, 0.0f};

    for (int key = 0, slot = 0; key < segment.length; key += ATTENTION_TILE, slot ^= 1) {
        copy_async_wait();
        __syncthreads(); /* this tile is there, and nobody reads the other one any more */
        if (key == 0) {
#pragma unroll
            for (int i = 0; i < D / 16; i++)
                tile_rows<T, D>(q_rows[i], q_tile, row, i);
        }
        if (key + ATTENTION_TILE < segment.length) {
            tile_load<T, D>(k_tile + (slot ^ 1) * SIZE, k, stride, key + ATTENTION_TILE, segment.length);
            tile_load<T, D>(v_tile + (slot ^ 1) * SIZE, v, stride, key + ATTENTION_TILE, segment.length);
        }
        float s[8][4];
        score<T, D>(s, q_rows, k_tile + slot * SIZE);
        if (key + ATTENTION_TILE > segment.length) hide(s, segment.length - key);
        exponentiate<D>(s, o, top, sum, factor);
        uint32_t kept = 0;
        if (DROP) {
            kept = draw_kept(call, pair, first + row, key);
            if (call.kept) kept_tile(call, pair, first, key)[2 * row + lane] = turn_kept(kept);
        }
        weigh<T, D, DROP>(o, s, v_tile + slot * SIZE, kept);
    }

    sum.low = quad_sum(sum.low);
    sum.high = quad_sum(sum.high);
    const float keep = DROP ? call.dropout.scale : 1.0f;
    /* A warp's rows of the tile of queries are its own: all its lanes have taken them into registers. */
    __syncwarp();
    tile_put<T, D>(q_tile, o, row, keep / sum.low, keep / sum.high);
    __syncwarp();
    T *const out = static_cast<T *>(call.out) + segment.begin * call.hidden + a * D;
    tile_store<T, D>(out, hidden, q_tile, row, first, segment.length);
    if (call.stats && lane % 4 == 0) {
        float *const stats = call.stats + pair * call.max_length;
        const int query = first + row + lane / 4;
        if (query < segment.length) stats[query] = top.low * call.scale + log2f(sum.low) * BL_LN2;
        if (query + 8 < segment.length) stats[query + 8] = top.high * call.scale + log2f(sum.high) * BL_LN2;
    }
}

template <typename T, int D> static bl_status launch(bl_context *ctx, const Attention &call) {
    const int tiles = attention_tiles(call.max_length);
    const unsigned blocks = static_cast<unsigned>(call.batch) * call.heads * tiles;
    const size_t shared = 5 * ATTENTION_TILE * D * sizeof(T);
    if (call.dropout.state)
        BL_LAUNCH((attention_forward_kernel<T, D, true>), blocks, ATTENTION_THREADS, shared, bl_cuda_of(ctx)->stream,
                  call, tiles);
    else
        BL_LAUNCH((attention_forward_kernel<T, D, false>), blocks, ATTENTION_THREADS, shared, bl_cuda_of(ctx)->stream,
                  call, tiles);
    return BL_OK;
}

bl_status bl_cuda_attention_native_forward(bl_context *ctx, const Attention &call, int32_t dtype) {
    if (dtype == BL_BF16) return call.size == 64 ? launch<bl_bf16, 64>(ctx, call) : launch<bl_bf16, 32>(ctx, call);
    return call.size == 64 ? launch<bl_f16, 64>(ctx, call) : launch<bl_f16, 32>(ctx, call);
}
