/*
 * layout.cuh - tensors of any dtype and layout, for copies and fills. What
 * kernels that compute read and write is in kernel.cuh and elements.cuh.
 */
#ifndef BERTLUA_CUDA_LAYOUT_CUH
#define BERTLUA_CUDA_LAYOUT_CUH

#include "cuda/kernel.cuh"

/* Shape and strides (in elements) of a copy or fill, as a kernel argument. */
struct Layout {
    int64_t shape[BL_MAX_DIMS];
    int64_t to[BL_MAX_DIMS];
    int64_t from[BL_MAX_DIMS];
};

__device__ static int64_t layout_offset(const int64_t *shape, const int64_t *stride, int64_t i) {
    int64_t offset = 0;
#pragma unroll
    for (int d = BL_MAX_DIMS - 1; d >= 0; d--) {
        offset += i % shape[d] * stride[d];
        i /= shape[d];
    }
    return offset;
}

static Layout layout_of(const bl_tensor *dst, const bl_tensor *src) {
    Layout layout;
    for (int d = 0; d < BL_MAX_DIMS; d++) {
        layout.shape[d] = 1;
        layout.to[d] = layout.from[d] = 0;
    }
    const int first = BL_MAX_DIMS - dst->ndim;
    for (int d = 0; d < dst->ndim; d++) {
        layout.shape[first + d] = dst->shape[d];
        layout.to[first + d] = dst->stride[d];
        layout.from[first + d] = src->stride[d];
    }
    return layout;
}

/* Truncates; out of range goes to the nearest end, NaN to 0. */
__host__ __device__ static int64_t float_to_int(double x, int32_t dtype) {
    const int64_t low = dtype == BL_I32 ? INT32_MIN : dtype == BL_I64 ? INT64_MIN : INT8_MIN;
    const int64_t high = dtype == BL_I32 ? INT32_MAX : dtype == BL_I64 ? INT64_MAX : INT8_MAX;
    if (x != x) return 0;
    if (x <= static_cast<double>(low)) return low;
    if (x >= static_cast<double>(high)) return high;
    return static_cast<int64_t>(x);
}

__host__ __device__ static bool is_float(int32_t dtype) {
    return dtype == BL_F32 || dtype == BL_BF16 || dtype == BL_F16;
}

#endif
