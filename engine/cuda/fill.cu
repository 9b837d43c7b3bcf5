/*
 * fill.cu - setting elements: constant, normal, uniform, with the very values
 * of cpu/fill.c. Bound by memory.
 */
#include <string.h>

#include "core/normal.h"
#include "cuda/layout.cuh"

enum { THREADS = 256 };

/* n elements of a strided tensor, all equal to the pattern. */
template <typename Word>
__global__ void __launch_bounds__(THREADS) fill_kernel(Word *dst, Word pattern, Layout layout, int64_t n) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (i < n) dst[layout_offset(layout.shape, layout.to, i)] = pattern;
}

/* `vectors` times 16 bytes. */
__global__ void __launch_bounds__(THREADS) fill_dense_kernel(uint4 *dst, uint4 pattern, int64_t vectors) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (i < vectors) dst[i] = pattern;
}

/* The element's bits, repeated to 8 bytes. */
static uint64_t pattern_of(int32_t dtype, double value) {
    uint64_t bits = 0;
    const float x = static_cast<float>(value);
    if (dtype == BL_F32) {
        memcpy(&bits, &x, sizeof x);
    } else if (dtype == BL_BF16) {
        const bl_bf16 low = __float2bfloat16_rn(x);
        memcpy(&bits, &low, sizeof low);
    } else if (dtype == BL_F16) {
        const bl_f16 low = __float2half_rn(x);
        memcpy(&bits, &low, sizeof low);
    } else {
        const int64_t whole = float_to_int(value, dtype);
        memcpy(&bits, &whole, bl_dtype_size(dtype));
    }
    for (size_t size = bl_dtype_size(dtype); size < 8; size *= 2)
        bits |= bits << (8 * size);
    return bits;
}

bl_status bl_cuda_fill(bl_context *ctx, bl_tensor *t, double value) {
    const cudaStream_t stream = bl_cuda_of(ctx)->stream;
    const int64_t n = bl_tensor_numel(t);
    if (n == 0) return BL_OK;
    const int64_t size = static_cast<int64_t>(bl_dtype_size(t->dtype));
    const uint64_t pattern = pattern_of(t->dtype, value);
    if (bl_tensor_is_contiguous(t)) {
        if (pattern == 0) {
            BL_CUDA_TRY(cudaMemsetAsync(t->data, 0, static_cast<size_t>(n * size), stream), "fill");
            return BL_OK;
        }
        if (bl_aligned16(t->data) && n * size % 16 == 0) {
            const uint32_t low = static_cast<uint32_t>(pattern), high = static_cast<uint32_t>(pattern >> 32);
            BL_LAUNCH(fill_dense_kernel, bl_blocks(n * size / 16, THREADS), THREADS, 0, stream, bl_data<uint4>(t),
                      make_uint4(low, high, low, high), n * size / 16);
            return BL_OK;
        }
    }
    const unsigned blocks = bl_blocks(n, THREADS);
    const Layout layout = layout_of(t, t);
    if (size == 8)
        BL_LAUNCH((fill_kernel<uint64_t>), blocks, THREADS, 0, stream, bl_data<uint64_t>(t), pattern, layout, n);
    else if (size == 4)
        BL_LAUNCH((fill_kernel<uint32_t>), blocks, THREADS, 0, stream, bl_data<uint32_t>(t),
                  static_cast<uint32_t>(pattern), layout, n);
    else if (size == 2)
        BL_LAUNCH((fill_kernel<uint16_t>), blocks, THREADS, 0, stream, bl_data<uint16_t>(t),
                  static_cast<uint16_t>(pattern), layout, n);
    else
        BL_LAUNCH((fill_kernel<uint8_t>), blocks, THREADS, 0, stream, bl_data<uint8_t>(t),
                  static_cast<uint8_t>(pattern), layout, n);
    return BL_OK;
}

/* ---- random values ---- */

struct Normal {
    double mean, std;
    __device__ void values(const uint4 &w, float (&x)[4]) const {
        double first, second;
        bl_normal_pair(w.x, w.y, &first, &second);
        x[0] = static_cast<float>(bl_normal_fma(std, first, mean));
        x[1] = static_cast<float>(bl_normal_fma(std, second, mean));
        bl_normal_pair(w.z, w.w, &first, &second);
        x[2] = static_cast<float>(bl_normal_fma(std, first, mean));
        x[3] = static_cast<float>(bl_normal_fma(std, second, mean));
    }
};

struct Uniform {
    double low, width;
    float limit; /* rounding to f32 must not reach the open end */
    __device__ float value(uint32_t word) const {
        const float x = static_cast<float>(bl_uniform_value(word, low, width));
        return x < limit ? x : limit;
    }
    __device__ void values(const uint4 &w, float (&x)[4]) const {
        x[0] = value(w.x), x[1] = value(w.y), x[2] = value(w.z), x[3] = value(w.w);
    }
};

/* Element i comes from word i % 4 of block {i / 4 low, i / 4 high, stream low, stream high}; one block per thread. */
template <typename T, typename Distribution>
__global__ void __launch_bounds__(THREADS)
    fill_random_kernel(T *dst, Distribution distribution, uint64_t seed, uint64_t stream, int64_t n) {
    const int64_t block = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (4 * block >= n) return;
    const uint4 words = philox4x32_10(make_uint4(static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                                                 static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)),
                                      seed);
    float x[4];
    distribution.values(words, x);
#pragma unroll
    for (int i = 0; i < 4; i++)
        if (4 * block + i < n) dst[4 * block + i] = from_float<T>(x[i]);
}

template <typename Distribution>
static bl_status fill_random(bl_context *ctx, bl_tensor *t, Distribution distribution, uint64_t seed, uint64_t stream) {
    const int64_t n = bl_tensor_numel(t);
    if (n == 0) return BL_OK;
    BL_DISPATCH_FLOAT(t->dtype, T, {
        BL_LAUNCH((fill_random_kernel<T, Distribution>), bl_blocks(n, 4 * THREADS), THREADS, 0, bl_cuda_of(ctx)->stream,
                  bl_data<T>(t), distribution, seed, stream, n);
    });
    return BL_OK;
}

bl_status bl_cuda_fill_normal(bl_context *ctx, bl_tensor *t, double mean, double std, uint64_t seed, uint64_t stream) {
    const Normal normal = {mean, std};
    return fill_random(ctx, t, normal, seed, stream);
}

bl_status bl_cuda_fill_uniform(bl_context *ctx, bl_tensor *t, double low, double high, uint64_t seed, uint64_t stream) {
    const float limit =
        high > low ? nextafterf(static_cast<float>(high), static_cast<float>(low)) : static_cast<float>(high);
    const Uniform uniform = {low, high - low, limit};
    return fill_random(ctx, t, uniform, seed, stream);
}
