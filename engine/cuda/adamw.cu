/*
 * adamw.cu - AdamW (arXiv 1711.05101) over flat buffers in one pass: 30 bytes
 * per parameter (g, p, m, v in; p, m, v and the bf16 or f16 copy out). Cut into
 * blocks as LAMB is (optimizer.cuh).
 */
#include "cuda/optimizer.cuh"

/* 72 registers: in 64, for a fourth block per multiprocessor, one value is spilled. */
template <typename Low> static __global__ void __launch_bounds__(OPTIM_THREADS, 3) adamw_kernel(Update<Low> u) {
    const StepFactors f = *u.factors;
    if (f.skip) return;
    each_piece(u, blockIdx.x, [&](int64_t s, int64_t begin, int64_t end) {
        const float rate = segment_rate(u, f, s), shrink = 1.0f - rate * u.decay[s];
        each_group(begin, end, u.packed, [&](int64_t at, bool whole) {
            float p[OPTIM_EACH], m[OPTIM_EACH], v[OPTIM_EACH], g[OPTIM_EACH];
            load_each(u.p, at, begin, end, whole, p);
            load_each(u.m, at, begin, end, whole, m);
            load_each(u.v, at, begin, end, whole, v);
            load_each(u.g, at, begin, end, whole, g);
#pragma unroll
            for (int i = 0; i < OPTIM_EACH; i++) {
                moments(u, f.gradient, g[i], m[i], v[i]);
                p[i] = p[i] * shrink - rate * direction(f, u.eps, m[i], v[i]);
            }
            store_each<float>(u.m, at, begin, end, whole, m);
            store_each<float>(u.v, at, begin, end, whole, v);
            store_each<float>(u.p, at, begin, end, whole, p);
            if (u.low) store_each<Low>(u.low, at, begin, end, whole, p);
        });
    });
}

template <typename Low> static bl_status adamw_update(bl_cuda *cuda, const bl_optim *o, StepFactors *factors) {
    const Update<Low> u = update_open<Low>(o, factors);
    BL_LAUNCH(step_factors_kernel, 1, 1, 0, cuda->stream, factors, bl_data<float>(o->scalars), o->beta1, o->beta2,
              true);
    if (u.count == 0 || u.size == 0) return BL_OK;
    BL_LAUNCH((adamw_kernel<Low>), static_cast<unsigned>(optim_chunks(u.size)), OPTIM_THREADS, 0, cuda->stream, u);
    return BL_OK;
}

bl_status bl_cuda_adamw_update(bl_context *ctx, const bl_optim *o) {
    void *scratch;
    BL_TRY(bl_cuda_scratch(ctx, sizeof(StepFactors), &scratch));
    StepFactors *factors = static_cast<StepFactors *>(scratch);
    if (o->param_low && o->param_low->dtype == BL_F16) return adamw_update<bl_f16>(bl_cuda_of(ctx), o, factors);
    return adamw_update<bl_bf16>(bl_cuda_of(ctx), o, factors);
}
