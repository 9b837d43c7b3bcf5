/*
 * reduce_dims.cu - sums, means and extremes along dimensions, their gradients,
 * and the index of the largest element.
 *
 * As on the CPU, the dimensions of x are kept or reduced (operand.cuh). Where
 * reduced elements are neighbours in memory, a block folds a row of them; else
 * a block folds 32 neighbouring results at a time, a warp every eighth row.
 * Each element is read once, folded in f64 in a fixed order. Long reductions to
 * few results are cut into chunks whose size depends on the shape alone; a last
 * kernel joins them.
 */
#include "cuda/operand.cuh"

enum { THREADS = 256, WARPS = THREADS / BL_WARP, BLOCKS = 512, LEAST = 4096, CHUNKS = 128 };

/* Besides the reductions of the API: how many elements equal the result, a NaN to a NaN. */
enum { EQUAL = BL_NORM + 1 };

struct Plan {
    Operand kept;
    Operand reduced;
    int64_t results;
    int64_t elements; /* of each result */
    int64_t chunk;    /* elements a block takes */
    int64_t chunks;
    const void *target; /* what EQUAL compares with */
    int32_t target_dtype;
    int32_t fold; /* a bl_reduction or EQUAL */
    bool rows;    /* reduced elements are neighbours */
};

static int64_t groups_of(const Plan &p) {
    return p.rows ? p.results : (p.results + BL_WARP - 1) / BL_WARP;
}

static Plan plan_of(const bl_tensor *x, const bl_tensor *y, int32_t fold) {
    Plan p = {operand_open(x), operand_open(x), 1, 1, 1, 1, nullptr, BL_F32, fold, false};
    for (int d = 0; d < x->ndim; d++) {
        const bool kept = y->shape[d] == x->shape[d];
        operand_add(kept ? &p.kept : &p.reduced, x->shape[d], x->stride[d]);
        *(kept ? &p.results : &p.elements) *= x->shape[d];
    }
    p.rows = p.results == 1 || p.reduced.stride[p.reduced.ndim - 1] < p.kept.stride[p.kept.ndim - 1];
    /* Chunks only where there are too few groups for all multiprocessors. */
    const int64_t least = p.rows ? LEAST : LEAST / BL_WARP;
    p.chunk = (p.elements + CHUNKS - 1) / CHUNKS;
    p.chunk = p.chunk < least ? least : p.chunk;
    if (groups_of(p) >= BLOCKS || p.elements < 2 * least) p.chunk = p.elements > 0 ? p.elements : 1;
    p.chunks = p.elements > 0 ? (p.elements + p.chunk - 1) / p.chunk : 1;
    return p;
}

__device__ __forceinline__ double start_of(int32_t fold) {
    return fold == BL_MAX ? -INFINITY : fold == BL_MIN ? INFINITY : 0.0;
}

__device__ __forceinline__ double join(int32_t fold, double a, double b) {
    if (fold == BL_MAX) return b > a || b != b ? b : a;
    if (fold == BL_MIN) return b < a || b != b ? b : a;
    return a + b;
}

__device__ __forceinline__ double add_element(int32_t fold, double sum, float x, float target) {
    if (fold == EQUAL) return sum + (x == target || (x != x && target != target) ? 1.0 : 0.0);
    return join(fold, sum, static_cast<double>(x));
}

/* A chunk's result waits in `partials`; a whole one is written. */
__device__ __forceinline__ void put_result(const Plan &p, void *y, int32_t dtype, double *partials, int64_t result,
                                           int64_t chunk, double value) {
    if (p.chunks > 1) {
        partials[chunk * p.results + result] = value;
        return;
    }
    if (p.fold == BL_MEAN) value /= static_cast<double>(p.elements);
    store_any(y, dtype, result, static_cast<float>(value));
}

__device__ __forceinline__ float target_of(const Plan &p, int64_t result) {
    return p.target ? load_any(p.target, p.target_dtype, result) : 0.0f;
}

/* A block a result and chunk. */
static __global__ void __launch_bounds__(THREADS) fold_rows_kernel(void *y, int32_t dtype, double *partials, Plan p) {
    __shared__ double shared[WARPS];
    const int64_t result = blockIdx.x % p.results, chunk = blockIdx.x / p.results;
    const int64_t begin = chunk * p.chunk;
    const int64_t end = p.elements - begin < p.chunk ? p.elements : begin + p.chunk;
    const int64_t base = operand_offset(p.kept, result);
    const float target = target_of(p, result);
    double own = start_of(p.fold);
#pragma unroll 4
    for (int64_t r = begin + threadIdx.x; r < end; r += THREADS)
        own =
            add_element(p.fold, own, load_any(p.kept.data, p.kept.dtype, base + operand_offset(p.reduced, r)), target);
#pragma unroll
    for (int step = BL_WARP / 2; step > 0; step /= 2)
        own = join(p.fold, own, __shfl_xor_sync(BL_FULL_WARP, own, step));
    if (threadIdx.x % BL_WARP == 0) shared[threadIdx.x / BL_WARP] = own;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int w = 1; w < WARPS; w++)
        own = join(p.fold, own, shared[w]);
    put_result(p, y, dtype, partials, result, chunk, own);
}

/* A block 32 results and a chunk: lanes are results, warps take rows in turn. */
static __global__ void __launch_bounds__(THREADS)
    fold_columns_kernel(void *y, int32_t dtype, double *partials, Plan p, int64_t groups) {
    __shared__ double shared[WARPS][BL_WARP];
    const int lane = threadIdx.x % BL_WARP, warp = threadIdx.x / BL_WARP;
    const int64_t result = blockIdx.x % groups * BL_WARP + lane, chunk = blockIdx.x / groups;
    const int64_t begin = chunk * p.chunk;
    const int64_t end = p.elements - begin < p.chunk ? p.elements : begin + p.chunk;
    double own = start_of(p.fold);
    if (result < p.results) {
        const int64_t base = operand_offset(p.kept, result);
        const float target = target_of(p, result);
#pragma unroll 4
        for (int64_t r = begin + warp; r < end; r += WARPS)
            own = add_element(p.fold, own, load_any(p.kept.data, p.kept.dtype, base + operand_offset(p.reduced, r)),
                              target);
    }
    shared[warp][lane] = own;
    __syncthreads();
    if (warp != 0 || result >= p.results) return;
    for (int w = 1; w < WARPS; w++)
        own = join(p.fold, own, shared[w][lane]);
    put_result(p, y, dtype, partials, result, chunk, own);
}

static __global__ void __launch_bounds__(THREADS)
    fold_finish_kernel(void *y, int32_t dtype, const double *partials, Plan p) {
    const int64_t result = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (result >= p.results) return;
    double value = partials[result];
    for (int64_t c = 1; c < p.chunks; c++)
        value = join(p.fold, value, partials[c * p.results + result]);
    if (p.fold == BL_MEAN) value /= static_cast<double>(p.elements);
    store_any(y, dtype, result, static_cast<float>(value));
}

static size_t partial_bytes(const Plan &p) {
    return p.chunks > 1 ? static_cast<size_t>(p.chunks * p.results) * sizeof(double) : 0;
}

/* partials: room for partial_bytes. */
static bl_status reduce(bl_context *ctx, const Plan &p, void *y, int32_t dtype, double *partials) {
    const cudaStream_t stream = bl_cuda_of(ctx)->stream;
    if (p.results == 0) return BL_OK;
    const int64_t groups = groups_of(p);
    const unsigned grid = static_cast<unsigned>(groups * p.chunks);
    if (p.rows)
        BL_LAUNCH(fold_rows_kernel, grid, THREADS, 0, stream, y, dtype, partials, p);
    else
        BL_LAUNCH(fold_columns_kernel, grid, THREADS, 0, stream, y, dtype, partials, p, groups);
    if (p.chunks > 1)
        BL_LAUNCH(fold_finish_kernel, bl_blocks(p.results, THREADS), THREADS, 0, stream, y, dtype, partials, p);
    return BL_OK;
}

bl_status bl_cuda_reduce_dims(bl_context *ctx, bl_tensor *y, const bl_tensor *x, int32_t reduction) {
    const Plan p = plan_of(x, y, reduction);
    void *partials = nullptr;
    if (partial_bytes(p) > 0) BL_TRY(bl_cuda_scratch(ctx, partial_bytes(p), &partials));
    return reduce(ctx, p, y->data, y->dtype, static_cast<double *>(partials));
}

/* dx = dy / divisor, repeated. */
static __global__ void __launch_bounds__(THREADS)
    repeat_kernel(void *dx, int32_t dtype, Operand dy, int64_t n, float divisor) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (i < n) store_any(dx, dtype, i, load_any(dy.data, dy.dtype, operand_offset(dy, i)) / divisor);
}

/* dx = dy / count where x equals y. */
static __global__ void __launch_bounds__(THREADS)
    share_kernel(void *dx, int32_t dtype, Operand dy, Operand x, Operand y, Operand count, int64_t n) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= n) return;
    const float u = load_any(x.data, x.dtype, operand_offset(x, i));
    const float v = load_any(y.data, y.dtype, operand_offset(y, i));
    float d = 0.0f;
    if (u == v || (u != u && v != v))
        d = load_any(dy.data, dy.dtype, operand_offset(dy, i)) / load_any(count.data, BL_F32, operand_offset(count, i));
    store_any(dx, dtype, i, d);
}

bl_status bl_cuda_reduce_dims_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *x,
                                       const bl_tensor *y, int32_t reduction) {
    const cudaStream_t stream = bl_cuda_of(ctx)->stream;
    const int64_t n = bl_tensor_numel(dx);
    if (n == 0) return BL_OK;
    if (reduction == BL_SUM || reduction == BL_MEAN) {
        const float divisor = reduction == BL_MEAN ? static_cast<float>(n / bl_tensor_numel(dy)) : 1.0f;
        BL_LAUNCH(repeat_kernel, bl_blocks(n, THREADS), THREADS, 0, stream, dx->data, dx->dtype, operand_of(dy, dx), n,
                  divisor);
        return BL_OK;
    }
    Plan p = plan_of(x, y, EQUAL);
    p.target = y->data;
    p.target_dtype = y->dtype;
    const size_t bytes = (partial_bytes(p) + 255) / 256 * 256;
    void *scratch;
    BL_TRY(bl_cuda_scratch(ctx, bytes + static_cast<size_t>(p.results) * sizeof(float), &scratch));
    bl_tensor count = *y;
    count.dtype = BL_F32;
    count.data = static_cast<char *>(scratch) + bytes;
    BL_TRY(reduce(ctx, p, count.data, BL_F32, static_cast<double *>(scratch)));
    BL_LAUNCH(share_kernel, bl_blocks(n, THREADS), THREADS, 0, stream, dx->data, dx->dtype, operand_of(dy, dx),
              operand_of(x, dx), operand_of(y, dx), operand_of(&count, dx), n);
    return BL_OK;
}

/* ---- argmax ---- */

struct Best {
    float value;
    int32_t index; /* INT32_MAX: nothing yet */
};

/* The larger, NaN above all; of equal ones the first. */
__device__ __forceinline__ Best better(const Best &a, const Best &b) {
    const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    if (a_nan != b_nan) return a_nan ? a : b;
    if (a_nan || a.value == b.value) return a.index < b.index ? a : b;
    return a.value > b.value ? a : b;
}

__device__ __forceinline__ Best best_of(const Plan &p, int64_t base, int64_t begin, int64_t step) {
    Best own = {-INFINITY, INT32_MAX};
    for (int64_t r = begin; r < p.elements; r += step) {
        const Best next = {load_any(p.kept.data, p.kept.dtype, base + operand_offset(p.reduced, r)),
                           static_cast<int32_t>(r)};
        own = better(own, next);
    }
    return own;
}

/* A block a result. */
static __global__ void __launch_bounds__(THREADS) argmax_rows_kernel(int32_t *index, Plan p) {
    __shared__ Best shared[WARPS];
    Best own = best_of(p, operand_offset(p.kept, blockIdx.x), threadIdx.x, THREADS);
#pragma unroll
    for (int step = BL_WARP / 2; step > 0; step /= 2) {
        const Best other = {__shfl_xor_sync(BL_FULL_WARP, own.value, step),
                            __shfl_xor_sync(BL_FULL_WARP, own.index, step)};
        own = better(own, other);
    }
    if (threadIdx.x % BL_WARP == 0) shared[threadIdx.x / BL_WARP] = own;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int w = 1; w < WARPS; w++)
        own = better(own, shared[w]);
    index[blockIdx.x] = own.index;
}

/* A thread a result: neighbouring threads read neighbouring elements. */
static __global__ void __launch_bounds__(THREADS) argmax_columns_kernel(int32_t *index, Plan p) {
    const int64_t result = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (result < p.results) index[result] = best_of(p, operand_offset(p.kept, result), 0, 1).index;
}

bl_status bl_cuda_argmax(bl_context *ctx, bl_tensor *index, const bl_tensor *x, int32_t dim) {
    (void) dim; /* index says it: its size there is 1 */
    const cudaStream_t stream = bl_cuda_of(ctx)->stream;
    const Plan p = plan_of(x, index, BL_MAX);
    if (p.results == 0) return BL_OK;
    int32_t *to = bl_data<int32_t>(index);
    if (p.rows)
        BL_LAUNCH(argmax_rows_kernel, static_cast<unsigned>(p.results), THREADS, 0, stream, to, p);
    else
        BL_LAUNCH(argmax_columns_kernel, bl_blocks(p.results, THREADS), THREADS, 0, stream, to, p);
    return BL_OK;
}
