/*
 * copy.cu - copying elements between layouts and dtypes.
 *
 * Bound by memory. Contiguous float copies move 8 elements per thread, 16 bytes
 * at a time; the rest (other layouts, integers) is rare and takes one element
 * per thread.
 */
#include "cuda/layout.cuh"

enum { THREADS = 256 };

/* n elements, 8 per thread; the last thread takes what is left one by one. */
template <typename To, typename From>
__global__ void __launch_bounds__(THREADS)
    convert_kernel(To *__restrict__ dst, const From *__restrict__ src, int64_t n) {
    const int64_t i = 8 * (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x);
    if (i + 8 <= n) {
        float x[8];
        load8(src + i, x);
        store8(dst + i, x);
        return;
    }
    for (int64_t j = i; j < n; j++)
        dst[j] = from_float<To>(to_float(src[j]));
}

__device__ static float load_float(const void *p, int32_t dtype, int64_t i) {
    if (dtype == BL_F32) return static_cast<const float *>(p)[i];
    return dtype == BL_BF16 ? to_float(static_cast<const bl_bf16 *>(p)[i])
                            : to_float(static_cast<const bl_f16 *>(p)[i]);
}

__device__ static void store_float(void *p, int32_t dtype, int64_t i, float x) {
    if (dtype == BL_F32)
        static_cast<float *>(p)[i] = x;
    else if (dtype == BL_BF16)
        static_cast<bl_bf16 *>(p)[i] = from_float<bl_bf16>(x);
    else
        static_cast<bl_f16 *>(p)[i] = from_float<bl_f16>(x);
}

__device__ static int64_t load_int(const void *p, int32_t dtype, int64_t i) {
    if (dtype == BL_I32) return static_cast<const int32_t *>(p)[i];
    return dtype == BL_I64 ? static_cast<const int64_t *>(p)[i] : static_cast<const int8_t *>(p)[i];
}

__device__ static void store_int(void *p, int32_t dtype, int64_t i, int64_t x) {
    if (dtype == BL_I32)
        static_cast<int32_t *>(p)[i] = static_cast<int32_t>(x);
    else if (dtype == BL_I64)
        static_cast<int64_t *>(p)[i] = x;
    else
        static_cast<int8_t *>(p)[i] = static_cast<int8_t>(x);
}

__global__ void __launch_bounds__(THREADS)
    copy_kernel(void *dst, int32_t to, const void *src, int32_t from, Layout layout, int64_t n) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= n) return;
    const int64_t d = layout_offset(layout.shape, layout.to, i), s = layout_offset(layout.shape, layout.from, i);
    if (is_float(to))
        store_float(dst, to, d, is_float(from) ? load_float(src, from, s) : static_cast<float>(load_int(src, from, s)));
    else
        store_int(dst, to, d, is_float(from) ? float_to_int(load_float(src, from, s), to) : load_int(src, from, s));
}

bl_status bl_cuda_copy(bl_context *ctx, bl_tensor *dst, const bl_tensor *src) {
    const cudaStream_t stream = bl_cuda_of(ctx)->stream;
    const int64_t n = bl_tensor_numel(dst);
    if (n == 0) return BL_OK;
    const bool dense = bl_tensor_is_contiguous(dst) && bl_tensor_is_contiguous(src);
    if (dense && dst->dtype == src->dtype) {
        const size_t bytes = static_cast<size_t>(n) * bl_dtype_size(dst->dtype);
        if (dst->data != src->data)
            BL_CUDA_TRY(cudaMemcpyAsync(dst->data, src->data, bytes, cudaMemcpyDeviceToDevice, stream), "copy");
        return BL_OK;
    }
    if (dense && is_float(dst->dtype) && is_float(src->dtype) && bl_aligned16(dst->data) && bl_aligned16(src->data)) {
        BL_DISPATCH_FLOAT(dst->dtype, To, {
            BL_DISPATCH_FLOAT(src->dtype, From, {
                BL_LAUNCH((convert_kernel<To, From>), bl_blocks(n, 8 * THREADS), THREADS, 0, stream, bl_data<To>(dst),
                          bl_data<From>(src), n);
            });
        });
        return BL_OK;
    }
    BL_LAUNCH(copy_kernel, bl_blocks(n, THREADS), THREADS, 0, stream, dst->data, dst->dtype, src->data, src->dtype,
              layout_of(dst, src), n);
    return BL_OK;
}
