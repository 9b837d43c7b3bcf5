/*
 * attention_native_backward.cu - the fused backward for bf16 and f16 with
 * heads of 32 or 64 (arXiv 2205.14135, algorithm 4).
 *
 * A block of four warps owns a (sequence, head) pair from end to end, so every
 * sum has one fixed order and needs no atomics. Outside run tiles of 64 keys,
 * whose dK and dV stay in registers, 16 keys per warp; inside run tiles of 64
 * queries, the next one in flight. All products are taken with keys as rows:
 *
 *   P^T = 2^(scale log2e K Q^T - lse log2e)    dP^T = V dO^T
 *   dS^T = P^T (R dP^T - delta)                R: dropout, 0 or 1 / (1 - p)
 *   dV += (R P)^T dO      dK += dS^T Q      dQ += dS K
 *
 * P and dS go from accumulators to A operands in registers; dS^T crosses warps
 * through shared memory once, for dQ. What dQ got from earlier key tiles
 * waits in scratch as f32, in the accumulators' own layout: a lane reads back
 * what it wrote. What dropout kept comes as bits from the forward (kept_tile).
 * delta = rowsum(dO * O) is in scratch too. The gradient of the bias of queries,
 * keys and values is the sum of dqkv over all rows: what a warp writes it also
 * multiplies by ones, and the sums of each pair go to scratch. Blocks loop over
 * pairs, so scratch does not grow with the batch and stays in the L2 cache.
 *
 * Roofline, BERT-large at B=256, S=128: 42.9 GFLOP (54 us at 790 TFLOP/s), 545
 * MB (136 us at 4.0 TB/s): bound by memory. At B=32, S=512: 85.9 GFLOP (109
 * us), 285 MB (71 us), and 0.9 GB of dQ through the L2 cache.
 */
#include "cuda/attention.cuh"

/* A block's scratch: dQ of a pair in f32, and {lse log2e, delta} of its rows; max_length rounded up to tiles. */
struct BackwardScratch {
    float4 *dq;
    float2 *rows;
};

template <int D> static size_t scratch_bytes(int max_length) {
    const size_t rows = static_cast<size_t>((max_length + ATTENTION_TILE - 1) / ATTENTION_TILE * ATTENTION_TILE);
    return rows * (D * sizeof(float) + sizeof(float2));
}

/* The block's rows of {lse log2e, delta}, 64 and more per turn: D / 8 lanes per row. */
template <typename T, int D>
__device__ __forceinline__ void prepare_rows(float2 *rows, const T *out, const T *dout, const float *stats,
                                             int64_t stride, int length) {
    constexpr int LANES = D / 8, STEP = ATTENTION_THREADS / LANES;
    const int piece = threadIdx.x % LANES;
    const int rounded = (length + ATTENTION_TILE - 1) / ATTENTION_TILE * ATTENTION_TILE;
#pragma unroll 4
    for (int row = threadIdx.x / LANES; row < rounded; row += STEP) {
        float sum = 0.0f;
        if (row < length) {
            float x[8], y[8];
            load8(out + row * stride + piece * 8, x);
            load8(dout + row * stride + piece * 8, y);
#pragma unroll
            for (int i = 0; i < 8; i++)
                sum += x[i] * y[i];
        }
#pragma unroll
        for (int step = 1; step < LANES; step *= 2)
            sum += __shfl_xor_sync(BL_FULL_WARP, sum, step);
        /* Rows past the end: their dO is 0, so that P = 1 and delta = 0 add nothing. */
        if (piece == 0) rows[row] = row < length ? make_float2(stats[row] * BL_LOG2E, sum) : make_float2(0.0f, 0.0f);
    }
}

/* s = A B^T for the warp's 16 rows of `left` and 32 rows of `right` from `column` on. */
template <typename T, int D>
__device__ __forceinline__ void multiply_rows(float (&s)[4][4], const T *left, int row, const T *right, int column) {
#pragma unroll
    for (int n = 0; n < 4; n++)
        s[n][0] = s[n][1] = s[n][2] = s[n][3] = 0.0f;
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        uint32_t a[4], b[4];
        tile_rows<T, D>(a, left, row, k);
#pragma unroll
        for (int n = 0; n < 2; n++) {
            tile_columns<T, D>(b, right, column + 16 * n, k);
            multiply_add<T>(s[2 * n], a, b[0], b[1]);
            multiply_add<T>(s[2 * n + 1], a, b[2], b[3]);
        }
    }
}

/* c += A B for A [16,32] in pairs as accumulators hold them, B rows [16 k, 16 k + 32) of a tile. */
template <typename T, int D>
__device__ __forceinline__ void accumulate(float (&c)[D / 8][4], const uint32_t (&pairs)[4][2], const T *tile, int k) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const uint32_t a[4] = {pairs[2 * i][0], pairs[2 * i][1], pairs[2 * i + 1][0], pairs[2 * i + 1][1]};
#pragma unroll
        for (int n = 0; n < D / 8; n += 2) {
            uint32_t b[4];
            tile_inner<T, D>(b, tile, k + i, n);
            multiply_add<T>(c[n], a, b[0], b[1]);
            multiply_add<T>(c[n + 1], a, b[2], b[3]);
        }
    }
}

template <int N> __device__ __forceinline__ void clear(float (&c)[N][4]) {
#pragma unroll
    for (int n = 0; n < N; n++)
        c[n][0] = c[n][1] = c[n][2] = c[n][3] = 0.0f;
}

/* Tiles in shared memory; q, dout, rows and kept are two each. */
template <typename T, int D> struct BackwardTiles {
    static constexpr int SIZE = ATTENTION_TILE * D, SQUARE = ATTENTION_TILE * ATTENTION_TILE;
    static constexpr int SUMS = 3 * D; /* of a warp, for queries, keys and values */
    static constexpr size_t BYTES = (6 * SIZE + SQUARE) * sizeof(T) + 2 * ATTENTION_TILE * sizeof(float2) +
                                    2 * KEPT_WORDS * sizeof(uint32_t) +
                                    ATTENTION_THREADS / BL_WARP * SUMS * sizeof(float);
    T *k, *v, *q, *dout, *ds;
    float2 *rows;
    uint32_t *kept;
    float *sums; /* of all warps */

    __device__ __forceinline__ explicit BackwardTiles(T *shared)
        : k(shared), v(k + SIZE), q(v + SIZE), dout(q + 2 * SIZE), ds(dout + 2 * SIZE),
          rows(reinterpret_cast<float2 *>(ds + SQUARE)), kept(reinterpret_cast<uint32_t *>(rows + 2 * ATTENTION_TILE)),
          sums(reinterpret_cast<float *>(kept + 2 * KEPT_WORDS)) {
    }
};

/* threadIdx.x, read anew: what is made of it is not kept in registers, which are short, from one use to the next. */
__device__ __forceinline__ int fresh_thread() {
#ifdef BL_CUDA_EMULATION
    return static_cast<int>(threadIdx.x);
#else
    int thread;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
    return thread;
#endif
}

/*
 * The warp's sums of part 0, 1 or 2 += those of rows [16 warp, 16 warp + 16) of a tile, which the warp has put there:
 * lane t of the first four has columns 8 n + 2 t.
 */
template <typename T, int D>
__device__ __forceinline__ void add_rows(const BackwardTiles<T, D> &tiles, int part, const T *tile) {
    const uint32_t one = pack_pair<T>(1.0f, 1.0f), ones[4] = {one, one, one, one};
    const int thread = fresh_thread(), warp = thread / BL_WARP, lane = thread % BL_WARP;
    float *const sums = tiles.sums + warp * tiles.SUMS + part * D;
#pragma unroll 1 /* else kernels with dropout spill on sm_90a */
    for (int n = 0; n < D / 8; n += 2) {
        uint32_t b[4];
        float c[2][4];
        clear(c);
        tile_inner<T, D>(b, tile, warp, n);
        multiply_add<T>(c[0], ones, b[0], b[1]);
        multiply_add<T>(c[1], ones, b[2], b[3]);
        if (lane >= 4) continue; /* the other lanes have the same */
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float2 *const to = reinterpret_cast<float2 *>(sums + 8 * (n + i)) + lane;
            *to = make_float2(to->x + c[i][0], to->y + c[i][1]);
        }
    }
}

/* By the lanes that add to them. */
template <typename T, int D> __device__ __forceinline__ void clear_sums(const BackwardTiles<T, D> &tiles) {
    const int thread = fresh_thread(), lane = thread % BL_WARP;
    if (lane >= 4) return;
#pragma unroll 1
    for (int i = lane; i < tiles.SUMS / 2; i += 4)
        reinterpret_cast<float2 *>(tiles.sums + thread / BL_WARP * tiles.SUMS)[i] = make_float2(0.0f, 0.0f);
}

/* The pair a block is working on: little more than where it begins, because registers are short. */
template <typename T> struct BackwardPair {
    const Attention &call;
    int64_t index, begin; /* of the pair; first row */
    int32_t column, length;

    __device__ __forceinline__ int stride() const {
        return 3 * static_cast<int>(call.hidden);
    }
    __device__ __forceinline__ int64_t at(int part) const {
        return begin * stride() + part * call.hidden + column;
    }
    /* First row of queries, keys or values: part 0, 1, 2. */
    __device__ __forceinline__ const T *qkv(int part) const {
        return static_cast<const T *>(call.qkv) + at(part);
    }
    __device__ __forceinline__ T *dqkv(int part) const {
        return static_cast<T *>(call.dqkv) + at(part);
    }
    __device__ __forceinline__ const T *out() const {
        return static_cast<const T *>(call.out) + begin * call.hidden + column;
    }
    __device__ __forceinline__ const T *dout() const {
        return static_cast<const T *>(call.dout) + begin * call.hidden + column;
    }
};

/* What 64 queries bring to a tile of keys. */
template <typename T, int D, bool DROP>
__device__ __forceinline__ void load_queries(const BackwardTiles<T, D> &tiles, const BackwardPair<T> &pair,
                                             const float2 *rows, int key, int query, int slot) {
    tile_load<T, D>(tiles.q + slot * tiles.SIZE, pair.qkv(0), pair.stride(), query, pair.length);
    tile_load<T, D>(tiles.dout + slot * tiles.SIZE, pair.dout(), static_cast<int>(pair.call.hidden), query,
                    pair.length);
    if (threadIdx.x < ATTENTION_TILE)
        copy_async8(tiles.rows + slot * ATTENTION_TILE + threadIdx.x, rows + query + threadIdx.x, true);
    const int piece = static_cast<int>(threadIdx.x) - (ATTENTION_THREADS - KEPT_WORDS / 4);
    if (DROP && piece >= 0)
        copy_async16(tiles.kept + slot * KEPT_WORDS + 4 * piece,
                     kept_tile(pair.call, pair.index, query, key) + 4 * piece, true);
}

/* A warp's 16 keys against a tile of 64 queries, 32 at a time: dK and dV grow, dS^T goes to shared memory. */
template <typename T, int D, bool DROP>
__device__ __forceinline__ void multiply_keys(float (&dk)[D / 8][4], float (&dv)[D / 8][4],
                                              const BackwardTiles<T, D> &tiles, const BackwardPair<T> &pair, int key,
                                              int slot) {
    const int lane = threadIdx.x % BL_WARP, row = threadIdx.x / BL_WARP * 16, t = lane % 4;
    const T *const q = tiles.q + slot * tiles.SIZE, *const dout = tiles.dout + slot * tiles.SIZE;
    const float2 *const rows = tiles.rows + slot * ATTENTION_TILE;
    const uint32_t *const kept = tiles.kept + slot * KEPT_WORDS + lane;
    const float factor = pair.call.scale * BL_LOG2E;
    const int at = tile_at<ATTENTION_TILE>(row + lane / 4, 0) + 2 * t;
    /* Keys past the end would give 2^-lse, perhaps infinite. */
    const bool low = key + row + lane / 4 < pair.length, high = key + row + lane / 4 + 8 < pair.length;
#pragma unroll 1 /* both at once do not fit the registers */
    for (int half = 0; half < 2; half++) {
        float p[4][4], ds[4][4];
        uint32_t p_pairs[4][2], ds_pairs[4][2];
        multiply_rows<T, D>(p, tiles.k, row, q, 32 * half);
        multiply_rows<T, D>(ds, tiles.v, row, dout, 32 * half);
        uint32_t bits[2]; /* of 16 queries each: turn_kept */
        if (DROP) bits[0] = kept[64 * half] >> row / 4, bits[1] = kept[64 * half + 32] >> row / 4;
#pragma unroll
        for (int n = 0; n < 4; n++) {
            const int column = 32 * half + 8 * n + 2 * t;
            const float4 two = *reinterpret_cast<const float4 *>(rows + column);
            const float lse[2] = {two.x, two.z}, delta[2] = {two.y, two.w};
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float x = exp2_fast(p[n][i] * factor - lse[i % 2]);
                x = (i < 2 ? low : high) ? x : 0.0f;
                const bool keep = !DROP || (bits[n / 2] >> (16 * (i % 2) + 2 * (i / 2) + n % 2) & 1);
                /* The bits of P are cleared in pairs, below. */
                ds[n][i] = x * (DROP ? fmaf(ds[n][i], keep ? pair.call.dropout.scale : 0.0f, -delta[i % 2])
                                     : ds[n][i] - delta[i % 2]);
                p[n][i] = x;
            }
#pragma unroll
            for (int i = 0; i < 2; i++) {
                p_pairs[n][i] = pack_pair<T>(p[n][2 * i], p[n][2 * i + 1]);
                if (DROP) p_pairs[n][i] &= half_masks(bits[n / 2], 2 * i + n % 2);
                ds_pairs[n][i] = pack_pair<T>(ds[n][2 * i], ds[n][2 * i + 1]);
                T *const to = tiles.ds + (at ^ 8 * (4 * half + n)) + 8 * i * ATTENTION_TILE;
                *reinterpret_cast<uint32_t *>(to) = ds_pairs[n][i];
            }
        }
        accumulate<T, D>(dv, p_pairs, dout, 2 * half);
        accumulate<T, D>(dk, ds_pairs, q, 2 * half);
    }
}

/* A warp's 16 queries of a tile against the tile of keys: dQ, from scratch and back to it until the last key. */
template <typename T, int D>
__device__ __forceinline__ void multiply_queries(const BackwardTiles<T, D> &tiles, const BackwardPair<T> &pair,
                                                 float4 *scratch, int query, int slot, bool first, bool last) {
    const int warp = threadIdx.x / BL_WARP, lane = threadIdx.x % BL_WARP;
    float dq[D / 8][4];
    float4 *const waiting = scratch + ((query / ATTENTION_TILE * 4 + warp) * (D / 8)) * BL_WARP + lane;
    clear(dq);
    if (!first) {
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
            const float4 c = waiting[n * BL_WARP];
            dq[n][0] = c.x, dq[n][1] = c.y, dq[n][2] = c.z, dq[n][3] = c.w;
        }
    }
#pragma unroll
    for (int k = 0; k < 4; k++) {
        uint32_t a[4], b[4];
        tile_turned<T, ATTENTION_TILE>(a, tiles.ds, 2 * warp, k);
#pragma unroll
        for (int n = 0; n < D / 8; n += 2) {
            tile_inner<T, D>(b, tiles.k, k, n);
            multiply_add<T>(dq[n], a, b[0], b[1]);
            multiply_add<T>(dq[n + 1], a, b[2], b[3]);
        }
    }
    if (!last) {
#pragma unroll
        for (int n = 0; n < D / 8; n++)
            waiting[n * BL_WARP] = make_float4(dq[n][0], dq[n][1], dq[n][2], dq[n][3]);
        return;
    }
    /* All warps are done with this tile of queries: it takes the result on its way to whole rows. */
    T *const q = tiles.q + slot * tiles.SIZE;
    tile_put<T, D>(q, dq, 16 * warp, pair.call.scale, pair.call.scale);
    __syncwarp();
    tile_store<T, D>(pair.dqkv(0), pair.stride(), q, 16 * warp, query, pair.length);
    if (pair.call.sums) add_rows(tiles, 0, q);
}

template <typename T, int D, bool DROP>
__device__ __forceinline__ void backward_keys(const BackwardTiles<T, D> &tiles, const BackwardPair<T> &pair,
                                              const BackwardScratch &scratch, int key) {
    const int row = threadIdx.x / BL_WARP * 16;
    float dk[D / 8][4], dv[D / 8][4];
    clear(dk);
    clear(dv);
    tile_load<T, D>(tiles.k, pair.qkv(1), pair.stride(), key, pair.length);
    tile_load<T, D>(tiles.v, pair.qkv(2), pair.stride(), key, pair.length);
    load_queries<T, D, DROP>(tiles, pair, scratch.rows, key, 0, 0);
    for (int query = 0, slot = 0; query < pair.length; query += ATTENTION_TILE, slot ^= 1) {
        copy_async_wait();
        __syncthreads(); /* this tile is there, and nobody reads the other one or dS any more */
        if (query + ATTENTION_TILE < pair.length)
            load_queries<T, D, DROP>(tiles, pair, scratch.rows, key, query + ATTENTION_TILE, slot ^ 1);
        multiply_keys<T, D, DROP>(dk, dv, tiles, pair, key, slot);
        __syncthreads(); /* dS is there, and nobody reads this tile of queries any more */
        multiply_queries<T, D>(tiles, pair, scratch.dq, query, slot, key == 0, key + ATTENTION_TILE >= pair.length);
    }
    __syncthreads(); /* nobody reads the keys any more: they and the values take the results */
    tile_put<T, D>(tiles.k, dk, row, pair.call.scale, pair.call.scale);
    tile_put<T, D>(tiles.v, dv, row, pair.call.dropout.scale, pair.call.dropout.scale);
    __syncwarp();
    tile_store<T, D>(pair.dqkv(1), pair.stride(), tiles.k, row, key, pair.length);
    tile_store<T, D>(pair.dqkv(2), pair.stride(), tiles.v, row, key, pair.length);
    if (pair.call.sums) {
        add_rows(tiles, 1, tiles.k);
        add_rows(tiles, 2, tiles.v);
    }
    __syncthreads();
}

/* The sums of a pair, of all its warps. */
template <typename T, int D>
__device__ __forceinline__ void store_sums(const BackwardTiles<T, D> &tiles, const Attention &call, int b, int column) {
#pragma unroll 1
    for (int i = threadIdx.x; i < tiles.SUMS; i += ATTENTION_THREADS) {
        float sum = 0.0f;
#pragma unroll
        for (int warp = 0; warp < ATTENTION_THREADS / BL_WARP; warp++)
            sum += tiles.sums[warp * tiles.SUMS + i];
        call.sums[b * 3 * call.hidden + i / D * call.hidden + column + i % D] = sum;
    }
}

/* Blocks per multiprocessor: what shared memory allows; three need all 168 registers that they then may have. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define BACKWARD_BLOCKS(drop) 2
#else
#define BACKWARD_BLOCKS(drop) ((drop) ? 3 : 2)
#endif

template <typename T, int D, bool DROP>
__global__ void __launch_bounds__(ATTENTION_THREADS, BACKWARD_BLOCKS(DROP))
    attention_backward_kernel(const Attention call, unsigned char *memory, size_t each) {
    BL_SHARED(T, shared);
    const BackwardTiles<T, D> tiles(shared);
    BackwardScratch scratch;
    scratch.dq = reinterpret_cast<float4 *>(memory + blockIdx.x * each);
    scratch.rows = reinterpret_cast<float2 *>(memory + blockIdx.x * each + each / (D + 2) * D);
    const int64_t pairs = static_cast<int64_t>(call.batch) * call.heads;
    for (int64_t index = blockIdx.x; index < pairs; index += gridDim.x) {
        const int b = static_cast<int>(index / call.heads), a = static_cast<int>(index % call.heads);
        const Segment segment(call, b);
        const BackwardPair<T> pair = {call, index, segment.begin, a * D, segment.length};
        prepare_rows<T, D>(scratch.rows, pair.out(), pair.dout(), call.stats + index * call.max_length, call.hidden,
                           segment.length);
        __syncthreads();
        if (call.sums) clear_sums(tiles);
        for (int key = 0; key < segment.length; key += ATTENTION_TILE)
            backward_keys<T, D, DROP>(tiles, pair, scratch, key);
        __syncthreads(); /* the next pair's rows overwrite this one's */
        if (call.sums) store_sums(tiles, call, b, a * D);
    }
}

/*
 * Blocks that are on the device at once: one more would wait until another has
 * gone through all its pairs. Registers allow what BACKWARD_BLOCKS says, and
 * three with heads of 32; shared memory less on small devices.
 */
template <typename T, int D> static int64_t count_blocks(const bl_cuda *cuda, bool drop) {
    const int64_t registers = D == 32 || (drop && cuda->capability >= 90) ? 3 : 2;
    const int64_t shared = static_cast<int64_t>((cuda->shared_per_block + 1024) / (BackwardTiles<T, D>::BYTES + 1024));
    const int64_t each = shared < 1 ? 1 : shared < registers ? shared : registers;
    return each * cuda->sm_count;
}

static size_t sums_bytes(const Attention &call) {
    return static_cast<size_t>(call.batch) * 3 * static_cast<size_t>(call.hidden) * sizeof(float);
}

template <typename T, int D> static bl_status launch(bl_context *ctx, Attention call, bl_tensor *sums) {
    const bl_cuda *cuda = bl_cuda_of(ctx);
    const int64_t pairs = static_cast<int64_t>(call.batch) * call.heads;
    const int64_t most = count_blocks<T, D>(cuda, call.dropout.state != nullptr);
    const unsigned blocks = static_cast<unsigned>(pairs < most ? pairs : most);
    const size_t each = scratch_bytes<D>(call.max_length), shared = BackwardTiles<T, D>::BYTES;
    void *memory;
    BL_TRY(bl_cuda_scratch(ctx, blocks * each + (sums ? sums_bytes(call) : 0), &memory));
    unsigned char *bytes = static_cast<unsigned char *>(memory);
    call.sums = sums ? reinterpret_cast<float *>(bytes + blocks * each) : NULL;
    if (call.dropout.state)
        BL_LAUNCH((attention_backward_kernel<T, D, true>), blocks, ATTENTION_THREADS, shared, cuda->stream, call, bytes,
                  each);
    else
        BL_LAUNCH((attention_backward_kernel<T, D, false>), blocks, ATTENTION_THREADS, shared, cuda->stream, call,
                  bytes, each);
    return sums ? bl_cuda_add_partial_sums(ctx, sums, call.sums, call.batch) : BL_OK;
}

size_t bl_cuda_attention_native_bytes(const bl_cuda *cuda, const Attention &call) {
    const int64_t pairs = static_cast<int64_t>(call.batch) * call.heads;
    /* With dropout there are more blocks, or as many. */
    const int64_t most =
        call.size == 64 ? count_blocks<bl_bf16, 64>(cuda, true) : count_blocks<bl_bf16, 32>(cuda, true);
    const size_t each = call.size == 64 ? scratch_bytes<64>(call.max_length) : scratch_bytes<32>(call.max_length);
    return static_cast<size_t>(pairs < most ? pairs : most) * each + sums_bytes(call);
}

bl_status bl_cuda_attention_native_backward(bl_context *ctx, const Attention &call, int32_t dtype, bl_tensor *sums) {
    if (dtype == BL_BF16)
        return call.size == 64 ? launch<bl_bf16, 64>(ctx, call, sums) : launch<bl_bf16, 32>(ctx, call, sums);
    return call.size == 64 ? launch<bl_f16, 64>(ctx, call, sums) : launch<bl_f16, 32>(ctx, call, sums);
}
