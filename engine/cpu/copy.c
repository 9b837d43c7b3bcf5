/*
 * copy.c - copying elements between layouts and dtypes.
 */
#include <string.h>

#include "cpu.h"
#include "elements.h"

static void copy_element(void *dst, int32_t to, const void *src, int32_t from) {
    if (to == from)
        memmove(dst, src, bl_dtype_size(to));
    else if (is_float(to))
        store_float(dst, to, is_float(from) ? (float) load_float(src, from) : (float) load_int(src, from));
    else
        store_int(dst, to, is_float(from) ? float_to_int(load_float(src, from), to) : load_int(src, from));
}

/* n elements; steps in bytes. */
static void copy_row(char *dst, int32_t to, int64_t dst_step, const char *src, int32_t from, int64_t src_step,
                     int64_t n) {
    int64_t to_size = (int64_t) bl_dtype_size(to);
    int64_t from_size = (int64_t) bl_dtype_size(from);
    bool dense = n == 1 || (dst_step == to_size && src_step == from_size);
    if (dense && to == from) {
        memmove(dst, src, (size_t) (n * to_size));
    } else if (dense && is_float(from) && to == BL_F32) {
        bl_row_to_f32((float *) (void *) dst, src, from, n);
    } else if (dense && is_float(to) && from == BL_F32) {
        bl_row_from_f32(dst, to, (const float *) (const void *) src, n);
    } else {
        for (int64_t i = 0; i < n; i++)
            copy_element(dst + i * dst_step, to, src + i * src_step, from);
    }
}

bl_status bl_cpu_copy(bl_context *ctx, bl_tensor *dst, const bl_tensor *src) {
    enum { CHUNK = 1 << 15 };
    int64_t to_size = (int64_t) bl_dtype_size(dst->dtype);
    int64_t from_size = (int64_t) bl_dtype_size(src->dtype);
    int64_t n = bl_tensor_numel(dst);
    char *to = dst->data;
    const char *from = src->data;
    if (bl_tensor_is_contiguous(dst) && bl_tensor_is_contiguous(src)) {
        if (n <= CHUNK) {
            copy_row(to, dst->dtype, to_size, from, src->dtype, from_size, n);
            return BL_OK;
        }
#pragma omp parallel for num_threads(ctx->threads) schedule(static)
        for (int64_t begin = 0; begin < n; begin += CHUNK)
            copy_row(to + begin * to_size, dst->dtype, to_size, from + begin * from_size, src->dtype, from_size,
                     n - begin < CHUNK ? n - begin : CHUNK);
        return BL_OK;
    }
    int32_t last = dst->ndim - 1;
    int64_t width = dst->shape[last];
    int64_t rows = width ? n / width : 0;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (n > CHUNK)
    for (int64_t row = 0; row < rows; row++)
        copy_row(to + row_offset(dst, row) * to_size, dst->dtype, dst->stride[last] * to_size,
                 from + row_offset(src, row) * from_size, src->dtype, src->stride[last] * from_size, width);
    return BL_OK;
}
