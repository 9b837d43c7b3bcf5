/*
 * topk.c - the largest k of each row.
 */
#include "core/half.h"
#include "cpu.h"

enum { BLOCK = 1024 };

/* Strictly ahead of: larger, and any number is ahead of NaN. */
static bool ahead(float a, float b) {
    return a > b || (b != b && a == a);
}

static void topk_row(float *values, int32_t *indices, const bl_tensor *x, int64_t row, int32_t k) {
    float buffer[BLOCK];
    int64_t width = x->shape[1];
    int32_t held = 0;
    for (int64_t done = 0; done < width; done += BLOCK) {
        int64_t n = width - done < BLOCK ? width - done : BLOCK;
        const float *in = bl_row_read(x->data, x->dtype, row * width + done, n, buffer);
        for (int64_t i = 0; i < n; i++) {
            if (held == k && !ahead(in[i], values[k - 1])) continue;
            int32_t at = held < k ? held++ : k - 1;
            for (; at > 0 && ahead(in[i], values[at - 1]); at--) {
                values[at] = values[at - 1];
                indices[at] = indices[at - 1];
            }
            values[at] = in[i];
            indices[at] = (int32_t) (done + i);
        }
    }
}

bl_status bl_cpu_topk(bl_context *ctx, bl_tensor *values, bl_tensor *indices, const bl_tensor *x, int32_t k) {
    int64_t rows = x->shape[0];
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (bl_tensor_numel(x) > 1 << 14)
    for (int64_t r = 0; r < rows; r++)
        topk_row((float *) values->data + r * k, (int32_t *) indices->data + r * k, x, r, k);
    return BL_OK;
}
