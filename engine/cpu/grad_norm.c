/*
 * grad_norm.c - global norm of the gradient, overflow check and clipping. Chunks
 * are cut at fixed places: the sum does not depend on the thread count.
 */
#include "cpu.h"
#include "optimizer.h"

bl_status bl_cpu_grad_norm(bl_context *ctx, bl_tensor *scalars, const bl_tensor *grad, int32_t accumulation,
                           float max_norm) {
    int64_t n = bl_tensor_numel(grad), chunks = (n + CHUNK - 1) / CHUNK;
    void *scratch;
    BL_TRY(bl_scratch(ctx, (size_t) chunks * sizeof(double), &scratch));
    double *parts = scratch;
    const float *g = grad->data;
#pragma omp parallel for num_threads(ctx->threads) schedule(static)
    for (int64_t c = 0; c < chunks; c++) {
        int64_t begin = c * CHUNK, end = begin + CHUNK < n ? begin + CHUNK : n;
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = begin; i < end; i++)
            sum += (double) g[i] * (double) g[i];
        parts[c] = sum;
    }
    /* Squares of finite f32 values cannot overflow f64, so the sum is finite exactly when every element is. */
    double total = 0.0;
    for (int64_t c = 0; c < chunks; c++)
        total += parts[c];
    float *s = scalars->data;
    double unscale = 1.0 / ((double) s[BL_SCALAR_LOSS_SCALE] * (double) accumulation);
    double norm = sqrt(total) * unscale;
    double clip = max_norm > 0.0f && norm > (double) max_norm ? (double) max_norm / norm : 1.0;
    s[BL_SCALAR_GRAD_NORM] = (float) norm;
    s[BL_SCALAR_GRAD_FACTOR] = (float) (unscale * clip);
    s[BL_SCALAR_OVERFLOW] = isfinite(total) ? 0.0f : 1.0f;
    return BL_OK;
}
