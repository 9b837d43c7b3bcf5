/*
 * gather.c - rows picked by index, and the sum of gradients back into them.
 */
#include <string.h>

#include "core/half.h"
#include "cpu.h"

bl_status bl_cpu_gather_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_tensor *index) {
    int64_t rows = y->shape[0], width = y->shape[1];
    size_t bytes = (size_t) width * bl_dtype_size(x->dtype);
    const int32_t *source = index->data;
    const char *from = x->data;
    char *to = y->data;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (rows * width > 1 << 15)
    for (int64_t m = 0; m < rows; m++)
        memcpy(to + (size_t) m * bytes, from + (size_t) source[m] * bytes, bytes);
    return BL_OK;
}

/* One row of dx: the rows of dy in its list, summed in f32 in order. */
static void sum_list(bl_tensor *dx, const bl_tensor *dy, int64_t row, int64_t first, const int64_t *next) {
    enum { BLOCK = 512 };
    float sum[BLOCK], buffer[BLOCK];
    int64_t width = dx->shape[1];
    for (int64_t done = 0; done < width; done += BLOCK) {
        int64_t n = width - done < BLOCK ? width - done : BLOCK;
        memset(sum, 0, sizeof sum);
        for (int64_t m = first; m >= 0; m = next[m])
            bl_row_add(sum, bl_row_read(dy->data, dy->dtype, m * width + done, n, buffer), n);
        bl_row_from_f32(bl_element(dx->data, dx->dtype, row * width + done), dx->dtype, sum, n);
    }
}

bl_status bl_cpu_gather_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *index) {
    int64_t rows = dx->shape[0], picks = dy->shape[0];
    void *scratch;
    BL_TRY(bl_scratch(ctx, (size_t) (rows + picks) * sizeof(int64_t), &scratch));
    /* A list of picks per row, ascending: one writer per row and one order, whatever the schedule. */
    int64_t *first = scratch, *next = first + rows;
    const int32_t *source = index->data;
    for (int64_t t = 0; t < rows; t++)
        first[t] = -1;
    for (int64_t m = picks - 1; m >= 0; m--) {
        next[m] = first[source[m]];
        first[source[m]] = m;
    }
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (bl_tensor_numel(dx) > 1 << 15)
    for (int64_t t = 0; t < rows; t++)
        sum_list(dx, dy, t, first[t], next);
    return BL_OK;
}
