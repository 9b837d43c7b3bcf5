/*
 * loss_scale.c - dynamic loss scaling.
 */
#include "cpu.h"

bl_status bl_cpu_loss_scale_update(bl_context *ctx, bl_tensor *scalars, float growth, float backoff,
                                   int32_t growth_interval, float min_scale) {
    (void) ctx;
    const float max_scale = 16777216.0f;
    float *s = scalars->data;
    float scale = s[BL_SCALAR_LOSS_SCALE];
    if (s[BL_SCALAR_OVERFLOW] != 0.0f) {
        float lower = scale * backoff;
        s[BL_SCALAR_LOSS_SCALE] = lower > min_scale ? lower : min_scale;
        s[BL_SCALAR_GOOD_STEPS] = 0.0f;
        return BL_OK;
    }
    s[BL_SCALAR_GOOD_STEPS] += 1.0f;
    if (s[BL_SCALAR_GOOD_STEPS] >= (float) growth_interval) {
        float higher = scale * growth < max_scale ? scale * growth : max_scale;
        /* A scale that was set above the limit stays. */
        s[BL_SCALAR_LOSS_SCALE] = higher > scale ? higher : scale;
        s[BL_SCALAR_GOOD_STEPS] = 0.0f;
    }
    return BL_OK;
}
