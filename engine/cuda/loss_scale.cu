/*
 * loss_scale.cu - the dynamic loss scale (arXiv 1710.03740): one thread, on
 * scalars that never leave the device.
 */
#include "cuda/kernel.cuh"

static __global__ void loss_scale_kernel(float *scalars, float growth, float backoff, float growth_interval,
                                         float min_scale) {
    const float max_scale = 16777216.0f, scale = scalars[BL_SCALAR_LOSS_SCALE];
    if (scalars[BL_SCALAR_OVERFLOW] != 0.0f) {
        const float lower = scale * backoff;
        scalars[BL_SCALAR_LOSS_SCALE] = lower > min_scale ? lower : min_scale;
        scalars[BL_SCALAR_GOOD_STEPS] = 0.0f;
        return;
    }
    float good = scalars[BL_SCALAR_GOOD_STEPS] + 1.0f;
    if (good >= growth_interval) {
        const float higher = scale * growth < max_scale ? scale * growth : max_scale;
        /* A scale that was set above the limit stays. */
        scalars[BL_SCALAR_LOSS_SCALE] = higher > scale ? higher : scale;
        good = 0.0f;
    }
    scalars[BL_SCALAR_GOOD_STEPS] = good;
}

bl_status bl_cuda_loss_scale_update(bl_context *ctx, bl_tensor *scalars, float growth, float backoff,
                                    int32_t growth_interval, float min_scale) {
    BL_LAUNCH(loss_scale_kernel, 1, 1, 0, bl_cuda_of(ctx)->stream, bl_data<float>(scalars), growth, backoff,
              static_cast<float>(growth_interval), min_scale);
    return BL_OK;
}
