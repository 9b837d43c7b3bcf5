/*
 * tensor.c - views of memory: making, reshaping, slicing, transposing. Nothing
 * here reads or writes elements.
 */
#include "internal.h"

BL_API size_t bl_dtype_size(int32_t dtype) {
    switch (dtype) {
    case BL_F32:
    case BL_I32:
        return 4;
    case BL_BF16:
    case BL_F16:
        return 2;
    case BL_I64:
        return 8;
    case BL_I8:
        return 1;
    default:
        return 0;
    }
}

BL_API int64_t bl_tensor_numel(const bl_tensor *t) {
    int64_t n = 1;
    for (int32_t i = 0; i < t->ndim; i++)
        n *= t->shape[i];
    return n;
}

BL_API bool bl_tensor_is_contiguous(const bl_tensor *t) {
    int64_t expected = 1;
    for (int32_t i = t->ndim - 1; i >= 0; i--) {
        /* A dimension of one element has no step, so its stride means nothing. */
        if (t->shape[i] != 1 && t->stride[i] != expected) return bl_tensor_numel(t) == 0;
        expected *= t->shape[i];
    }
    return true;
}

bl_status bl_shape_bytes(const char *what, int32_t dtype, int32_t ndim, const int64_t *shape, size_t *bytes) {
    size_t size = bl_dtype_size(dtype);
    if (size == 0) return bl_fail(BL_ERROR_ARGUMENT, "%s: dtype is %d, expected 0 to 5", what, (int) dtype);
    if (ndim < 0 || ndim > BL_MAX_DIMS)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: ndim is %d, expected 0 to %d", what, (int) ndim, BL_MAX_DIMS);
    if (ndim > 0 && !shape) return bl_fail(BL_ERROR_ARGUMENT, "%s: shape is NULL, expected %d dims", what, (int) ndim);
    int64_t total = (int64_t) size;
    for (int32_t i = 0; i < ndim; i++) {
        if (shape[i] < 0)
            return bl_fail(BL_ERROR_ARGUMENT, "%s: dim %d is %lld, expected 0 or more", what, (int) i + 1,
                           (long long) shape[i]);
        if (__builtin_mul_overflow(total, shape[i], &total))
            return bl_fail(BL_ERROR_ARGUMENT, "%s: the shape is larger than the address space", what);
    }
    *bytes = (size_t) total;
    return BL_OK;
}

void bl_tensor_describe(bl_tensor *out, void *data, int32_t dtype, int32_t ndim, const int64_t *shape, int32_t device,
                        int32_t device_index) {
    bl_tensor t = {.data = data, .ndim = ndim, .dtype = dtype, .device = device, .device_index = device_index};
    int64_t stride = 1;
    for (int32_t i = BL_MAX_DIMS - 1; i >= 0; i--) {
        t.shape[i] = i < ndim ? shape[i] : 1;
        t.stride[i] = i < ndim ? stride : 0;
        stride *= t.shape[i];
    }
    *out = t;
}

BL_API bl_status bl_tensor_wrap(bl_tensor *out, void *data, int32_t dtype, int32_t ndim, const int64_t *shape) {
    size_t bytes = 0;
    BL_TRY(bl_shape_bytes("tensor_wrap", dtype, ndim, shape, &bytes));
    if (!data && bytes > 0) return bl_fail(BL_ERROR_ARGUMENT, "tensor_wrap: data is NULL, expected %zu bytes", bytes);
    bl_tensor_describe(out, data, dtype, ndim, shape, BL_CPU, 0);
    return BL_OK;
}

BL_API bl_status bl_tensor_reshape(bl_tensor *out, const bl_tensor *t, int32_t ndim, const int64_t *shape) {
    char text[128];
    size_t bytes = 0;
    BL_TRY(bl_shape_bytes("reshape", t->dtype, ndim, shape, &bytes));
    if (!bl_tensor_is_contiguous(t))
        return bl_fail(BL_ERROR_ARGUMENT,
                       "reshape: the input %s has gaps or is transposed, expected contiguous; copy it",
                       bl_tensor_format(t, text, sizeof text));
    size_t own = (size_t) bl_tensor_numel(t) * bl_dtype_size(t->dtype);
    if (bytes != own)
        return bl_fail(BL_ERROR_ARGUMENT, "reshape: the input is %s, expected %zu elements",
                       bl_tensor_format(t, text, sizeof text), bytes / bl_dtype_size(t->dtype));
    bl_tensor_describe(out, t->data, t->dtype, ndim, shape, t->device, t->device_index);
    return BL_OK;
}

static bl_status check_dim(const char *what, const bl_tensor *t, int32_t dim) {
    char text[128];
    if (dim < 0 || dim >= t->ndim)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: dimension is %d (from 0), the tensor is %s", what, (int) dim,
                       bl_tensor_format(t, text, sizeof text));
    return BL_OK;
}

BL_API bl_status bl_tensor_slice(bl_tensor *out, const bl_tensor *t, int32_t dim, int64_t begin, int64_t end) {
    BL_TRY(check_dim("slice", t, dim));
    if (begin < 0 || end < begin || end > t->shape[dim])
        return bl_fail(BL_ERROR_ARGUMENT, "slice: range is [%lld,%lld), expected within [0,%lld)", (long long) begin,
                       (long long) end, (long long) t->shape[dim]);
    bl_tensor view = *t;
    if (begin > 0) view.data = (char *) t->data + begin * t->stride[dim] * (int64_t) bl_dtype_size(t->dtype);
    view.shape[dim] = end - begin;
    *out = view;
    return BL_OK;
}

BL_API bl_status bl_tensor_transpose(bl_tensor *out, const bl_tensor *t, int32_t a, int32_t b) {
    BL_TRY(check_dim("transpose", t, a));
    BL_TRY(check_dim("transpose", t, b));
    bl_tensor view = *t;
    view.shape[a] = t->shape[b];
    view.shape[b] = t->shape[a];
    view.stride[a] = t->stride[b];
    view.stride[b] = t->stride[a];
    *out = view;
    return BL_OK;
}
