/*
 * lamb.cu - LAMB (arXiv 1904.00962, algorithm 2) over flat buffers, in two
 * passes with one launch each for all segments:
 *
 *   1. m and v are updated, |p|^2 and |u|^2 of each piece are added up in f64;
 *      24 bytes per parameter: g, p, m, v in, m, v out;
 *   2. p = p - lr * trust * u and the bf16 or f16 copy; 18 bytes per parameter:
 *      p, m, v in, p and the copy out.
 *
 * 42 bytes per parameter. u is recomputed in the second pass: storing it would
 * cost 4 bytes where reading m and v instead costs 8, but reading it back costs
 * 4 too, so the sum is the same and the buffer is saved. 30 bytes would do if
 * each segment fitted the level-2 cache between the passes; BERT-large's are
 * far from it, once a launch covers them all.
 *
 * Between the passes, one block per segment adds its pieces in order and works
 * out the trust ratio. BERT-large: 14.1 GB, 3.5 ms at 4 TB/s.
 */
#include "cuda/carver.h"
#include "cuda/optimizer.cuh"

/* pieces [chunks + count, 2]: |p|^2 and |u|^2. */
template <typename Low>
static __global__ void __launch_bounds__(OPTIM_THREADS) lamb_moments_kernel(Update<Low> u, double2 *pieces) {
    const StepFactors f = *u.factors;
    if (f.skip) return;
    each_piece(u, blockIdx.x, [&](int64_t s, int64_t begin, int64_t end) {
        const float decay = u.decay[s];
        double p_square = 0.0, u_square = 0.0;
        each_group(begin, end, u.packed, [&](int64_t at, bool whole) {
            lamb_moments(u, f, u.p, u.g, decay, at, begin, end, whole, p_square, u_square);
        });
        p_square = block_sum(p_square);
        u_square = block_sum(u_square);
        if (threadIdx.x == 0) pieces[blockIdx.x + s] = make_double2(p_square, u_square);
    });
}

/* One block per segment: its trust ratio. */
static __global__ void __launch_bounds__(OPTIM_THREADS)
    lamb_trust_kernel(float *ratios, float *log, const double2 *pieces, const int64_t *segments, const float *decay,
                      int32_t decayed_only, const StepFactors *factors) {
    const int64_t s = blockIdx.x, offset = segments[2 * s], length = segments[2 * s + 1];
    if (factors->skip) return;
    double p_square = 0.0, u_square = 0.0;
    if (length > 0) {
        const int64_t last = (offset + length - 1) / OPTIM_CHUNK;
        for (int64_t chunk = offset / OPTIM_CHUNK + threadIdx.x; chunk <= last; chunk += OPTIM_THREADS) {
            const double2 piece = pieces[chunk + s];
            p_square += piece.x;
            u_square += piece.y;
        }
    }
    p_square = block_sum(p_square);
    u_square = block_sum(u_square);
    if (threadIdx.x != 0) return;
    const float ratio = lamb_trust(p_square, u_square, decay, decayed_only, s);
    ratios[s] = ratio;
    if (log) log[s] = ratio;
}

template <typename Low>
static __global__ void __launch_bounds__(OPTIM_THREADS) lamb_step_kernel(Update<Low> u, const float *ratios) {
    const StepFactors f = *u.factors;
    if (f.skip) return;
    /* From the end: what the first pass touched last is still in the level-2 cache. */
    each_piece(u, gridDim.x - 1 - blockIdx.x, [&](int64_t s, int64_t begin, int64_t end) {
        const float decay = u.decay[s], rate = segment_rate(u, f, s) * ratios[s];
        each_group(begin, end, u.packed, [&](int64_t at, bool whole) {
            float p[OPTIM_EACH], m[OPTIM_EACH], v[OPTIM_EACH];
            load_each(u.p, at, begin, end, whole, p);
            load_each(u.m, at, begin, end, whole, m);
            load_each(u.v, at, begin, end, whole, v);
#pragma unroll
            for (int i = 0; i < OPTIM_EACH; i++)
                p[i] -= rate * (direction(f, u.eps, m[i], v[i]) + decay * p[i]);
            store_each<float>(u.p, at, begin, end, whole, p);
            if (u.low) store_each<Low>(u.low, at, begin, end, whole, p);
        });
    });
}

struct LambScratch {
    StepFactors *factors;
    float *ratios;
    double2 *pieces;
};

static void lamb_carve(LambScratch *s, Carver *carver, int64_t count, int64_t chunks) {
    s->factors = carver->take<StepFactors>(1);
    s->ratios = carver->take<float>(count);
    s->pieces = carver->take<double2>(chunks + count);
}

template <typename Low> static bl_status lamb_update(bl_cuda *cuda, const bl_optim *o, const LambScratch &s) {
    const Update<Low> u = update_open<Low>(o, s.factors);
    const unsigned grid = static_cast<unsigned>(optim_chunks(u.size));
    BL_LAUNCH(step_factors_kernel, 1, 1, 0, cuda->stream, s.factors, bl_data<float>(o->scalars), o->beta1, o->beta2,
              true);
    if (u.count == 0 || u.size == 0) return BL_OK;
    BL_LAUNCH((lamb_moments_kernel<Low>), grid, OPTIM_THREADS, 0, cuda->stream, u, s.pieces);
    BL_LAUNCH(lamb_trust_kernel, static_cast<unsigned>(u.count), OPTIM_THREADS, 0, cuda->stream, s.ratios,
              bl_data<float>(o->trust), s.pieces, u.segments, u.decay, u.decayed_only, s.factors);
    BL_LAUNCH((lamb_step_kernel<Low>), grid, OPTIM_THREADS, 0, cuda->stream, u, s.ratios);
    return BL_OK;
}

size_t bl_cuda_lamb_bytes(int64_t parameters, int64_t tensors) {
    LambScratch s;
    Carver carver = {0, 0};
    lamb_carve(&s, &carver, tensors, optim_chunks(parameters));
    return carver.used;
}

bl_status bl_cuda_lamb_update(bl_context *ctx, const bl_optim *o) {
    const int64_t count = o->segments->shape[0], chunks = optim_chunks(o->param->shape[0]);
    LambScratch s;
    Carver carver = {0, 0};
    lamb_carve(&s, &carver, count, chunks);
    void *scratch;
    BL_TRY(bl_cuda_scratch(ctx, carver.used, &scratch));
    carver = carver_open(scratch);
    lamb_carve(&s, &carver, count, chunks);
    if (o->param_low && o->param_low->dtype == BL_F16) return lamb_update<bl_f16>(bl_cuda_of(ctx), o, s);
    return lamb_update<bl_bf16>(bl_cuda_of(ctx), o, s);
}
