/*
 * partition.cu - LAMB over the runs of the flat buffers that one rank owns
 * (api/optim.h), in the passes of lamb.cu with a sum over the ranks after the
 * norm and after the moments.
 *
 * Blocks are cut at fixed places of the rank's state, OPTIM_CHUNK elements
 * each, and find their pieces by bisection, as blocks of lamb.cu find their
 * segments: the host need not read the pieces. A block and a piece together
 * number a slot for their sums, so that sums have one order.
 *
 * Bytes per owned parameter: 4 for the norm, 24 for the moments, 18 for the
 * step. BERT-large on 8 ranks: 1.9 GB, 0.5 ms at 4 TB/s; on one rank what
 * lamb.cu and grad_norm.cu take.
 */
#include "cuda/carver.h"
#include "cuda/optimizer.cuh"

enum { NORM_THREADS = 1024 };

/* A row of the pieces tensor. */
struct Piece {
    int64_t segment;
    int64_t state;
    int64_t param;
    int64_t flat;
    int64_t length;
};

/* The first of the ascending pieces that ends past `position` of the state; `count` if there is none. */
__device__ __forceinline__ int64_t first_piece(const Piece *pieces, int64_t count, int64_t position) {
    int64_t low = 0, high = count;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (pieces[middle].state + pieces[middle].length <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first of the pieces whose segment is at least s. */
__device__ __forceinline__ int64_t first_of_segment(const Piece *pieces, int64_t count, int64_t s) {
    int64_t low = 0, high = count;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (pieces[middle].segment < s)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Calls body(number, piece, begin, end), begin and end in the state, for each piece of a chunk of the state. */
template <class Body>
__device__ __forceinline__ void each_owned(const Piece *pieces, int64_t count, int64_t chunk, Body body) {
    const int64_t low = chunk * OPTIM_CHUNK, high = low + OPTIM_CHUNK;
    for (int64_t i = first_piece(pieces, count, low); i < count; i++) {
        const Piece piece = pieces[i];
        if (piece.state >= high) return;
        const int64_t limit = piece.state + piece.length;
        const int64_t begin = piece.state > low ? piece.state : low, end = limit < high ? limit : high;
        if (begin < end) body(i, piece, begin, end);
    }
}

/* Adds up the slots of a piece: each thread its share. */
__device__ __forceinline__ void add_slots(const double2 *slots, const Piece &piece, int64_t number, double2 &sum) {
    if (piece.length == 0) return;
    const int64_t last = (piece.state + piece.length - 1) / OPTIM_CHUNK;
    for (int64_t chunk = piece.state / OPTIM_CHUNK + threadIdx.x; chunk <= last; chunk += OPTIM_THREADS) {
        sum.x += slots[chunk + number].x;
        sum.y += slots[chunk + number].y;
    }
}

static __global__ void __launch_bounds__(OPTIM_THREADS)
    partition_square_kernel(double2 *slots, const float *grad, const Piece *pieces, int64_t count, bool packed) {
    each_owned(pieces, count, blockIdx.x, [&](int64_t number, const Piece &piece, int64_t begin, int64_t end) {
        const int64_t shift = piece.flat - piece.state;
        double sum = 0.0;
        each_group(begin, end, packed && shift % OPTIM_EACH == 0, [&](int64_t at, bool whole) {
            float g[OPTIM_EACH];
            load_each(grad + shift, at, begin, end, whole, g);
#pragma unroll
            for (int i = 0; i < OPTIM_EACH; i++)
                sum += static_cast<double>(g[i]) * static_cast<double>(g[i]);
        });
        sum = block_sum(sum);
        if (threadIdx.x == 0) slots[blockIdx.x + number] = make_double2(sum, 0.0);
    });
}

/* Slots without a piece are 0. */
static __global__ void __launch_bounds__(NORM_THREADS)
    partition_norm_kernel(float *square, const float *scalars, const double2 *slots, int64_t count,
                          int32_t accumulation) {
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < count; i += NORM_THREADS)
        sum += slots[i].x;
    sum = block_sum(sum);
    if (threadIdx.x != 0) return;
    const double scale = static_cast<double>(scalars[BL_SCALAR_LOSS_SCALE]) * accumulation;
    *square = static_cast<float>(sum / (scale * scale));
}

static __global__ void partition_factor_kernel(float *scalars, const float *square, int32_t accumulation,
                                               float max_norm) {
    const float total = *square;
    const double unscale = 1.0 / (static_cast<double>(scalars[BL_SCALAR_LOSS_SCALE]) * accumulation);
    const double norm = sqrt(static_cast<double>(total)), limit = static_cast<double>(max_norm);
    const double clip = limit > 0.0 && norm > limit ? limit / norm : 1.0;
    scalars[BL_SCALAR_GRAD_NORM] = static_cast<float>(norm);
    scalars[BL_SCALAR_GRAD_FACTOR] = static_cast<float>(unscale * clip);
    scalars[BL_SCALAR_OVERFLOW] = isfinite(total) ? 0.0f : 1.0f;
}

template <typename Low>
static __global__ void __launch_bounds__(OPTIM_THREADS)
    partition_moments_kernel(Update<Low> u, const Piece *pieces, int64_t count, double2 *slots) {
    const StepFactors f = *u.factors;
    if (f.skip) return;
    each_owned(pieces, count, blockIdx.x, [&](int64_t number, const Piece &piece, int64_t begin, int64_t end) {
        const float decay = u.decay[piece.segment];
        const int64_t to_param = piece.param - piece.state, to_flat = piece.flat - piece.state;
        const bool packed = u.packed && to_param % OPTIM_EACH == 0 && to_flat % OPTIM_EACH == 0;
        double p_square = 0.0, u_square = 0.0;
        each_group(begin, end, packed, [&](int64_t at, bool whole) {
            lamb_moments(u, f, u.p + to_param, u.g + to_flat, decay, at, begin, end, whole, p_square, u_square);
        });
        p_square = block_sum(p_square);
        u_square = block_sum(u_square);
        if (threadIdx.x == 0) slots[blockIdx.x + number] = make_double2(p_square, u_square);
    });
}

/* One block per segment: this rank's part of |p|^2 and |u|^2; 0 in an update that is skipped. */
static __global__ void __launch_bounds__(OPTIM_THREADS)
    partition_sums_kernel(float *sums, const double2 *slots, const Piece *pieces, int64_t count,
                          const StepFactors *factors) {
    const int64_t s = blockIdx.x;
    double2 sum = make_double2(0.0, 0.0);
    if (!factors->skip) {
        const int64_t end = first_of_segment(pieces, count, s + 1);
        for (int64_t i = first_of_segment(pieces, count, s); i < end; i++)
            add_slots(slots, pieces[i], i, sum);
    }
    const double p_square = block_sum(sum.x), u_square = block_sum(sum.y);
    if (threadIdx.x != 0) return;
    sums[2 * s] = static_cast<float>(p_square);
    sums[2 * s + 1] = static_cast<float>(u_square);
}

__device__ __forceinline__ float trust_of(const float *sums, const float *decay, int32_t decayed_only, int64_t s) {
    return lamb_trust(sums[2 * s], sums[2 * s + 1], decay, decayed_only, s);
}

template <typename Low>
static __global__ void __launch_bounds__(OPTIM_THREADS)
    partition_step_kernel(Update<Low> u, const Piece *pieces, int64_t count, const float *sums) {
    const StepFactors f = *u.factors;
    if (f.skip) return;
    each_owned(pieces, count, blockIdx.x, [&](int64_t, const Piece &piece, int64_t begin, int64_t end) {
        const float decay = u.decay[piece.segment];
        const float rate = segment_rate(u, f, piece.segment) * trust_of(sums, u.decay, u.decayed_only, piece.segment);
        const int64_t to_param = piece.param - piece.state, to_flat = piece.flat - piece.state;
        const bool packed = u.packed && to_param % OPTIM_EACH == 0 && to_flat % OPTIM_EACH == 0;
        each_group(begin, end, packed, [&](int64_t at, bool whole) {
            float p[OPTIM_EACH], m[OPTIM_EACH], v[OPTIM_EACH];
            load_each(u.p + to_param, at, begin, end, whole, p);
            load_each(u.m, at, begin, end, whole, m);
            load_each(u.v, at, begin, end, whole, v);
#pragma unroll
            for (int i = 0; i < OPTIM_EACH; i++)
                p[i] -= rate * (direction(f, u.eps, m[i], v[i]) + decay * p[i]);
            store_each<float>(u.p + to_param, at, begin, end, whole, p);
            if (u.low) store_each<Low>(u.low + to_flat, at, begin, end, whole, p);
        });
    });
}

static __global__ void __launch_bounds__(OPTIM_THREADS)
    partition_log_kernel(float *trust, const float *sums, const float *decay, int32_t decayed_only, int64_t count,
                         const StepFactors *factors) {
    const int64_t s = static_cast<int64_t>(blockIdx.x) * OPTIM_THREADS + threadIdx.x;
    if (s < count && !factors->skip) trust[s] = trust_of(sums, decay, decayed_only, s);
}

struct PartitionScratch {
    StepFactors *factors;
    double2 *slots;
};

static void partition_carve(PartitionScratch *s, Carver *carver, int64_t rows, int64_t chunks) {
    s->factors = carver->take<StepFactors>(1);
    s->slots = carver->take<double2>(chunks + rows);
}

static bl_status partition_scratch(bl_context *ctx, PartitionScratch *s, int64_t rows, int64_t chunks) {
    Carver carver = {0, 0};
    partition_carve(s, &carver, rows, chunks);
    void *scratch;
    BL_TRY(bl_cuda_scratch(ctx, carver.used, &scratch));
    carver = carver_open(scratch);
    partition_carve(s, &carver, rows, chunks);
    return BL_OK;
}

/* The grid covers the flat buffer: how much of it the pieces take is not known here, and blocks beyond end at once. */
bl_status bl_cuda_partition_grad_norm(bl_context *ctx, bl_tensor *square, const bl_tensor *scalars,
                                      const bl_tensor *grad, const bl_tensor *pieces, int32_t accumulation) {
    const int64_t rows = pieces->shape[0], chunks = optim_chunks(grad->shape[0]);
    bl_cuda *cuda = bl_cuda_of(ctx);
    PartitionScratch s;
    BL_TRY(partition_scratch(ctx, &s, rows, chunks));
    const Piece *list = static_cast<const Piece *>(pieces->data);
    const float *in = bl_data<float>(grad);
    BL_CUDA_TRY(cudaMemsetAsync(s.slots, 0, static_cast<size_t>(chunks + rows) * sizeof(double2), cuda->stream),
                "partition_grad_norm: zero the sums");
    if (chunks > 0 && rows > 0)
        BL_LAUNCH(partition_square_kernel, static_cast<unsigned>(chunks), OPTIM_THREADS, 0, cuda->stream, s.slots, in,
                  list, rows, bl_aligned16(in));
    BL_LAUNCH(partition_norm_kernel, 1, NORM_THREADS, 0, cuda->stream, bl_data<float>(square), bl_data<float>(scalars),
              s.slots, chunks + rows, accumulation);
    return BL_OK;
}

bl_status bl_cuda_partition_grad_factor(bl_context *ctx, bl_tensor *scalars, const bl_tensor *square,
                                        int32_t accumulation, float max_norm) {
    BL_LAUNCH(partition_factor_kernel, 1, 1, 0, bl_cuda_of(ctx)->stream, bl_data<float>(scalars),
              bl_data<float>(square), accumulation, max_norm);
    return BL_OK;
}

template <typename Low> static bl_status partition_moments(bl_context *ctx, const bl_partition_optim *o) {
    const int64_t rows = o->pieces->shape[0], chunks = optim_chunks(o->m->shape[0]), count = o->decay->shape[0];
    bl_cuda *cuda = bl_cuda_of(ctx);
    PartitionScratch s;
    BL_TRY(partition_scratch(ctx, &s, rows, chunks));
    const Piece *list = static_cast<const Piece *>(o->pieces->data);
    BL_LAUNCH(step_factors_kernel, 1, 1, 0, cuda->stream, s.factors, bl_data<float>(o->scalars), o->beta1, o->beta2,
              false);
    if (chunks > 0 && rows > 0)
        BL_LAUNCH((partition_moments_kernel<Low>), static_cast<unsigned>(chunks), OPTIM_THREADS, 0, cuda->stream,
                  update_buffers<Low>(o, s.factors), list, rows, s.slots);
    if (count > 0)
        BL_LAUNCH(partition_sums_kernel, static_cast<unsigned>(count), OPTIM_THREADS, 0, cuda->stream,
                  bl_data<float>(o->sums), s.slots, list, rows, s.factors);
    return BL_OK;
}

template <typename Low> static bl_status partition_step(bl_context *ctx, const bl_partition_optim *o) {
    const int64_t rows = o->pieces->shape[0], chunks = optim_chunks(o->m->shape[0]), count = o->decay->shape[0];
    bl_cuda *cuda = bl_cuda_of(ctx);
    PartitionScratch s;
    BL_TRY(partition_scratch(ctx, &s, rows, chunks));
    const float *sums = bl_data<float>(o->sums);
    BL_LAUNCH(step_factors_kernel, 1, 1, 0, cuda->stream, s.factors, bl_data<float>(o->scalars), o->beta1, o->beta2,
              true);
    if (chunks > 0 && rows > 0)
        BL_LAUNCH((partition_step_kernel<Low>), static_cast<unsigned>(chunks), OPTIM_THREADS, 0, cuda->stream,
                  update_buffers<Low>(o, s.factors), static_cast<const Piece *>(o->pieces->data), rows, sums);
    if (o->trust && count > 0)
        BL_LAUNCH(partition_log_kernel, static_cast<unsigned>((count + OPTIM_THREADS - 1) / OPTIM_THREADS),
                  OPTIM_THREADS, 0, cuda->stream, bl_data<float>(o->trust), sums, bl_data<float>(o->decay),
                  o->decayed_only, count, s.factors);
    return BL_OK;
}

bl_status bl_cuda_partition_lamb_moments(bl_context *ctx, const bl_partition_optim *o) {
    return o->param_low && o->param_low->dtype == BL_F16 ? partition_moments<bl_f16>(ctx, o)
                                                         : partition_moments<bl_bf16>(ctx, o);
}

bl_status bl_cuda_partition_lamb_apply(bl_context *ctx, const bl_partition_optim *o) {
    return o->param_low && o->param_low->dtype == BL_F16 ? partition_step<bl_f16>(ctx, o)
                                                         : partition_step<bl_bf16>(ctx, o);
}
