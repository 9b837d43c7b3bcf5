/*
 * groups.cuh - rows brought together by an index, in an order that does not
 * depend on the launch or the device: the basis of every scatter-add here. No
 * float is ever added by an atomic.
 *
 * group_rows sorts the pairs (index, row) by index and keeps the order of rows
 * within one index: a radix sort by 8 bits, one block per list, so that the two
 * or three short passes of it are one launch. 32768 indices below 65536 are two
 * passes of 32 steps per warp; the three lists of an embedding run side by
 * side. An index outside [0, limit) sorts as `limit`, behind all others.
 *
 * add_groups adds to each table row the sum of the rows of its group. The
 * sorted list is cut into chunks of GROUP_CHUNK rows, so that [MASK], with
 * thousands of rows, and a rare word cost alike: sums of groups within a chunk
 * go to the table at once, what crosses a boundary is left in `heads` (began in
 * an earlier chunk) and `tails` (continues in the next), which
 * join_groups_kernel adds up in chunk order.
 */
#ifndef BERTLUA_CUDA_GROUPS_CUH
#define BERTLUA_CUDA_GROUPS_CUH

#include "cuda/kernel.cuh"

enum {
    GROUP_LISTS = 3, /* most lists per launch */
    GROUP_CHUNK = 32,
    GROUP_THREADS = 256, /* 1024 columns at a time */
    GROUP_BATCH = 8,     /* rows in flight per thread */
    JOIN_STRANDS = 16,
    SORT_THREADS = 1024,
    SORT_WARPS = SORT_THREADS / BL_WARP,
    SORT_DIGITS = 256
};

struct Group {
    const int32_t *index;
    int32_t limit;
    uint64_t *pairs; /* sorted: index << 32 | row */
    uint64_t *spare;
    float *table;         /* [limit, width], added to; NULL where only the order is wanted */
    float *heads, *tails; /* [chunks, pitch] */
};

struct Groups {
    int count;
    int64_t rows;
    Group list[GROUP_LISTS];
};

static inline int64_t group_chunks(int64_t rows) {
    return (rows + GROUP_CHUNK - 1) / GROUP_CHUNK;
}

__device__ __forceinline__ uint32_t group_index(uint64_t pair) {
    return static_cast<uint32_t>(pair >> 32);
}
__device__ __forceinline__ int64_t group_row(uint64_t pair) {
    return static_cast<int64_t>(pair & 0xffffffffu);
}

/* Position of the first pair in [low, high) with an index of at least `index`. */
__device__ __forceinline__ int64_t group_begin(const uint64_t *pairs, int64_t low, int64_t high, uint32_t index) {
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (group_index(pairs[middle]) < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- sort ---- */

/* Lanes with the same digit as this one, of those that hold a pair. */
__device__ __forceinline__ uint32_t digit_peers(uint32_t digit, bool holds) {
    uint32_t peers = __ballot_sync(BL_FULL_WARP, holds);
#pragma unroll
    for (int bit = 0; bit < 8; bit++) {
        const uint32_t set = __ballot_sync(BL_FULL_WARP, (digit >> bit) & 1u);
        peers &= (digit >> bit) & 1u ? set : ~set;
    }
    return peers;
}

/* Counts become positions: an exclusive sum over all counters, in order, by the whole block. */
__device__ __forceinline__ void scan_counters(uint32_t *counters) {
    constexpr int EACH = SORT_DIGITS * SORT_WARPS / SORT_THREADS;
    __shared__ uint32_t totals[SORT_WARPS];
    const int lane = threadIdx.x % BL_WARP, warp = threadIdx.x / BL_WARP;
    uint32_t *own = counters + threadIdx.x * EACH;
    uint32_t sum = 0;
    for (int i = 0; i < EACH; i++)
        sum += own[i];
    uint32_t before = sum; /* up to this thread's, within the warp */
    for (int step = 1; step < BL_WARP; step *= 2) {
        const uint32_t other = __shfl_up_sync(BL_FULL_WARP, before, step);
        if (lane >= step) before += other;
    }
    if (lane == BL_WARP - 1) totals[warp] = before;
    __syncthreads();
    uint32_t at = before - sum;
    for (int i = 0; i < warp; i++)
        at += totals[i];
    for (int i = 0; i < EACH; i++) {
        const uint32_t count = own[i];
        own[i] = at;
        at += count;
    }
    __syncthreads();
}

static __global__ void __launch_bounds__(SORT_THREADS, 1) group_rows_kernel(Groups groups) {
    __shared__ uint32_t counters[SORT_DIGITS * SORT_WARPS]; /* [digit][warp] */
    const Group group = groups.list[blockIdx.x];
    const int lane = threadIdx.x % BL_WARP, warp = threadIdx.x / BL_WARP;
    const int64_t span = ((groups.rows + SORT_WARPS - 1) / SORT_WARPS + BL_WARP - 1) / BL_WARP * BL_WARP;
    const int64_t begin = warp * span, end = begin + span < groups.rows ? begin + span : groups.rows;
    const uint32_t limit = static_cast<uint32_t>(group.limit);
    int passes = 1;
    while (passes < 4 && limit >> (8 * passes))
        passes++;
    for (int pass = 0; pass < passes; pass++) {
        /* Buffers alternate so that the last pass ends in pairs. */
        uint64_t *to = (passes - pass) % 2 ? group.pairs : group.spare;
        const uint64_t *from = (passes - pass) % 2 ? group.spare : group.pairs;
        auto pair_at = [&](int64_t i) -> uint64_t {
            if (pass > 0) return from[i];
            const uint32_t index = static_cast<uint32_t>(group.index[i]);
            return static_cast<uint64_t>(index < limit ? index : limit) << 32 | static_cast<uint64_t>(i);
        };
        for (int i = threadIdx.x; i < SORT_DIGITS * SORT_WARPS; i += SORT_THREADS)
            counters[i] = 0;
        __syncthreads();
#pragma unroll 4
        for (int64_t i = begin + lane; i < end; i += BL_WARP)
            atomicAdd(&counters[(group_index(pair_at(i)) >> (8 * pass) & 0xffu) * SORT_WARPS + warp], 1u);
        __syncthreads();
        scan_counters(counters);
        for (int64_t first = begin; first < end; first += BL_WARP) {
            const bool holds = first + lane < end;
            const uint64_t pair = holds ? pair_at(first + lane) : 0;
            const uint32_t digit = group_index(pair) >> (8 * pass) & 0xffu;
            const uint32_t peers = digit_peers(digit, holds);
            const uint32_t before = __popc(peers & ((1u << lane) - 1u));
            uint32_t *counter = &counters[digit * SORT_WARPS + warp];
            const uint32_t at = holds ? *counter : 0;
            __syncwarp();
            if (holds && before == 0) *counter = at + __popc(peers);
            __syncwarp();
            if (holds) to[at + before] = pair;
        }
        __syncthreads();
    }
}

static inline bl_status group_rows(bl_cuda *cuda, const Groups &groups) {
    if (groups.rows == 0 || groups.count == 0) return BL_OK;
    BL_LAUNCH(group_rows_kernel, static_cast<unsigned>(groups.count), SORT_THREADS, 0, cuda->stream, groups);
    return BL_OK;
}

/* ---- sums ---- */

/* table[column + i] += sum[i] of a row that may end, or not lie on 16 bytes. */
__device__ __forceinline__ void add_columns(float *row, int column, int width, bool packed, const float4 &sum) {
    if (packed) {
        float4 *at = reinterpret_cast<float4 *>(row + column);
        const float4 old = *at;
        *at = make_float4(old.x + sum.x, old.y + sum.y, old.z + sum.z, old.w + sum.w);
        return;
    }
    row[column] += sum.x;
    if (column + 1 < width) row[column + 1] += sum.y;
    if (column + 2 < width) row[column + 2] += sum.z;
    if (column + 3 < width) row[column + 3] += sum.w;
}

__device__ __forceinline__ float4 add4(const float4 &a, const float4 &b) {
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

static __global__ void __launch_bounds__(GROUP_THREADS)
    add_groups_kernel(Groups groups, const float *rows, int64_t pitch, int width) {
    __shared__ uint64_t pairs[GROUP_CHUNK + 2]; /* the one before, the chunk, the one after */
    const Group group = groups.list[blockIdx.y];
    const int64_t begin = static_cast<int64_t>(blockIdx.x) * GROUP_CHUNK;
    const int count = static_cast<int>(groups.rows - begin < GROUP_CHUNK ? groups.rows - begin : int64_t(GROUP_CHUNK));
    for (int i = threadIdx.x; i < GROUP_CHUNK + 2; i += GROUP_THREADS) {
        const int64_t at = begin + i - 1;
        pairs[i] = at >= 0 && at < groups.rows ? group.pairs[at] : ~static_cast<uint64_t>(0);
    }
    __syncthreads();
    const bool packed = width % 4 == 0 && (reinterpret_cast<uintptr_t>(group.table) & 15u) == 0;
    const uint32_t limit = static_cast<uint32_t>(group.limit);
    for (int column = 4 * threadIdx.x; column < width; column += 4 * GROUP_THREADS) {
        float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        uint32_t index = group_index(pairs[1]);
        bool head = group_index(pairs[0]) == index;
        for (int i = 0; i < count; i += GROUP_BATCH) {
            float4 batch[GROUP_BATCH];
#pragma unroll
            for (int j = 0; j < GROUP_BATCH; j++)
                if (i + j < count)
                    batch[j] = *reinterpret_cast<const float4 *>(rows + group_row(pairs[1 + i + j]) * pitch + column);
#pragma unroll
            for (int j = 0; j < GROUP_BATCH; j++) {
                if (i + j >= count) break;
                const uint32_t next = group_index(pairs[1 + i + j]);
                if (next != index) {
                    if (head)
                        *reinterpret_cast<float4 *>(group.heads + blockIdx.x * pitch + column) = sum;
                    else if (index < limit)
                        add_columns(group.table + static_cast<int64_t>(index) * width, column, width, packed, sum);
                    sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
                    index = next;
                    head = false;
                }
                sum = add4(sum, batch[j]);
            }
        }
        if (head)
            *reinterpret_cast<float4 *>(group.heads + blockIdx.x * pitch + column) = sum;
        else if (group_index(pairs[1 + count]) == index)
            *reinterpret_cast<float4 *>(group.tails + blockIdx.x * pitch + column) = sum;
        else if (index < limit)
            add_columns(group.table + static_cast<int64_t>(index) * width, column, width, packed, sum);
    }
}

/* The group that continues from chunk blockIdx.x, if it began there: tail, then heads, in strands of chunks. */
static __global__ void __launch_bounds__(BL_WARP *JOIN_STRANDS)
    join_groups_kernel(Groups groups, int64_t pitch, int width) {
    __shared__ float4 strands[JOIN_STRANDS][BL_WARP];
    const Group group = groups.list[blockIdx.y];
    const uint64_t *pairs = group.pairs;
    const int64_t chunk = blockIdx.x, begin = chunk * GROUP_CHUNK, end = begin + GROUP_CHUNK;
    if (end >= groups.rows) return;
    const uint32_t index = group_index(pairs[end]), limit = static_cast<uint32_t>(group.limit);
    if (index >= limit || group_index(pairs[end - 1]) != index) return;
    if (begin > 0 && group_index(pairs[begin - 1]) == index) return;
    const int64_t last = (group_begin(pairs, end, groups.rows, index + 1) - 1) / GROUP_CHUNK;
    const bool packed = width % 4 == 0 && (reinterpret_cast<uintptr_t>(group.table) & 15u) == 0;
    const int lane = threadIdx.x % BL_WARP, strand = threadIdx.x / BL_WARP;
    for (int tile = 0; tile < width; tile += 4 * BL_WARP) {
        const int column = tile + 4 * lane;
        float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (column < width) {
            const float *heads = group.heads + column;
            if (strand == 0) sum = *reinterpret_cast<const float4 *>(group.tails + chunk * pitch + column);
#pragma unroll 8
            for (int64_t c = chunk + 1 + strand; c <= last; c += JOIN_STRANDS)
                sum = add4(sum, *reinterpret_cast<const float4 *>(heads + c * pitch));
        }
        strands[strand][lane] = sum;
        __syncthreads();
        if (strand == 0 && column < width) {
            for (int i = 1; i < JOIN_STRANDS; i++)
                sum = add4(sum, strands[i][lane]);
            add_columns(group.table + static_cast<int64_t>(index) * width, column, width, packed, sum);
        }
        __syncthreads();
    }
}

/* rows f32 [groups.rows, pitch], pitch a multiple of 4 and at least width, on a 16-byte boundary. */
static inline bl_status add_groups(bl_cuda *cuda, const Groups &groups, const float *rows, int64_t pitch, int width) {
    if (groups.rows == 0 || groups.count == 0) return BL_OK;
    const dim3 grid(static_cast<unsigned>(group_chunks(groups.rows)), static_cast<unsigned>(groups.count));
    BL_LAUNCH(add_groups_kernel, grid, GROUP_THREADS, 0, cuda->stream, groups, rows, pitch, width);
    BL_LAUNCH(join_groups_kernel, grid, BL_WARP * JOIN_STRANDS, 0, cuda->stream, groups, pitch, width);
    return BL_OK;
}

#endif
