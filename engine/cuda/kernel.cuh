/*
 * kernel.cuh - what kernels share: launching, vector loads and stores with
 * conversion, sums over warps and blocks, Philox and dropout.
 *
 * Every kernel is also compiled for the host by spec/cuda/emulation, which
 * runs it thread by thread. So a kernel uses only what both have:
 *
 *   - BL_LAUNCH((kernel<T, 4>), grid, block, shared_bytes, stream, args...)
 *     in place of <<<>>>; it returns from the function on failure;
 *   - dynamic shared memory by BL_SHARED(float, tile); static __shared__
 *     arrays as they are;
 *   - no inline PTX but behind BL_CUDA_EMULATION twins (here and in mma.cuh);
 *   - warps of 32, every lane of a mask arriving at the same call.
 */
#ifndef BERTLUA_CUDA_KERNEL_CUH
#define BERTLUA_CUDA_KERNEL_CUH

#ifdef BL_CUDA_EMULATION
#include "emulation.h"
#else
#include <cuda_runtime.h>
#endif

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <math.h>

#include "core/dropout.h"
#include "cuda/cuda.h"

#ifndef BL_CUDA_EMULATION

#define BL_SHARED(type, name)                                                                                          \
    extern __shared__ __align__(128) unsigned char bl_shared_memory[];                                                 \
    type *name = reinterpret_cast<type *>(bl_shared_memory)

/* Beyond 48 KB a kernel must be allowed to take dynamic shared memory. */
template <typename Kernel> static inline cudaError_t bl_allow_shared(Kernel *kernel, size_t bytes) {
    if (bytes <= 48 * 1024) return cudaSuccess;
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
}

#define BL_LAUNCH(kernel, grid, block, shared, stream, ...)                                                            \
    do {                                                                                                               \
        BL_CUDA_TRY(bl_allow_shared(kernel, shared), #kernel);                                                         \
        (kernel)<<<(grid), (block), (shared), (stream)>>>(__VA_ARGS__);                                                \
        BL_CUDA_TRY(cudaGetLastError(), #kernel);                                                                      \
    } while (0)

#endif

typedef __nv_bfloat16 bl_bf16;
typedef __half bl_f16;

/*
 * Runs the block with T the C++ type of an activation dtype. Use inside a function that
 * returns bl_status: BL_DISPATCH_FLOAT(x->dtype, T, { BL_LAUNCH((gelu_kernel<T>), ...); });
 */
#define BL_DISPATCH_FLOAT(code, T, ...)                                                                                \
    do {                                                                                                               \
        switch (code) {                                                                                                \
        case BL_F32: {                                                                                                 \
            using T = float;                                                                                           \
            __VA_ARGS__                                                                                                \
        } break;                                                                                                       \
        case BL_BF16: {                                                                                                \
            using T = bl_bf16;                                                                                         \
            __VA_ARGS__                                                                                                \
        } break;                                                                                                       \
        case BL_F16: {                                                                                                 \
            using T = bl_f16;                                                                                          \
            __VA_ARGS__                                                                                                \
        } break;                                                                                                       \
        default:                                                                                                       \
            return bl_fail(BL_ERROR_UNSUPPORTED, "%s: dtype %s has no kernel", __func__, bl_dtype_name(code));         \
        }                                                                                                              \
    } while (0)

/* Pointer to a tensor's elements: data<T>(x), const for a const tensor; NULL for a NULL tensor. */
template <typename T> static inline T *bl_data(bl_tensor *t) {
    return t ? static_cast<T *>(t->data) : nullptr;
}
template <typename T> static inline const T *bl_data(const bl_tensor *t) {
    return t ? static_cast<const T *>(t->data) : nullptr;
}

/* Blocks to cover n items, `each` of them a block. */
static inline unsigned bl_blocks(int64_t n, int64_t each) {
    return static_cast<unsigned>((n + each - 1) / each);
}

/* True if p lies on a 16-byte boundary. */
static inline bool bl_aligned16(const void *p) {
    return (reinterpret_cast<uintptr_t>(p) & 15u) == 0;
}

enum { BL_WARP = 32 };
#define BL_FULL_WARP 0xffffffffu

/* ---- one element ---- */

__device__ __forceinline__ float to_float(float x) {
    return x;
}
__device__ __forceinline__ float to_float(bl_bf16 x) {
    return __bfloat162float(x);
}
__device__ __forceinline__ float to_float(bl_f16 x) {
    return __half2float(x);
}

/* Rounds to nearest even. */
template <typename T> __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) {
    return x;
}
template <> __device__ __forceinline__ bl_bf16 from_float<bl_bf16>(float x) {
    return __float2bfloat16_rn(x);
}
template <> __device__ __forceinline__ bl_f16 from_float<bl_f16>(float x) {
    return __float2half_rn(x);
}

/* What T can hold of x. */
template <typename T> __device__ __forceinline__ float round_to(float x) {
    return to_float(from_float<T>(x));
}

/* ---- one instruction of the special function unit, in place of the library's, which cares for subnormal numbers ----
 */

#ifndef BL_CUDA_EMULATION
/* 2^x within 2 units in the last place; results below 2^-126 are 0. */
__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
/* 1 / x within 1 unit in the last place; subnormal x count as 0, subnormal results are 0. */
__device__ __forceinline__ float reciprocal_fast(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
#else
static inline float bl_emulated_flushed(float x) {
    return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x;
}
static inline float exp2_fast(float x) {
    return bl_emulated_flushed(exp2f(x));
}
static inline float reciprocal_fast(float x) {
    return bl_emulated_flushed(1.0f / bl_emulated_flushed(x));
}
#endif

/* ---- 16 bytes at a time ---- */

/* Elements of T in 16 bytes: 4 of f32, 8 of bf16 and f16. Addresses must be multiples of 16 bytes. */
template <typename T> struct Pack { static constexpr int N = 16 / static_cast<int>(sizeof(T)); };

template <typename T> union PackBits {
    uint4 bits;
    T items[Pack<T>::N];
    __device__ __forceinline__ PackBits() {
    }
};

template <typename T> __device__ __forceinline__ void unpack(const uint4 &bits, float (&x)[Pack<T>::N]) {
    PackBits<T> pack;
    pack.bits = bits;
#pragma unroll
    for (int i = 0; i < Pack<T>::N; i++)
        x[i] = to_float(pack.items[i]);
}

template <typename T> __device__ __forceinline__ uint4 repack(const float (&x)[Pack<T>::N]) {
    PackBits<T> pack;
#pragma unroll
    for (int i = 0; i < Pack<T>::N; i++)
        pack.items[i] = from_float<T>(x[i]);
    return pack.bits;
}

/* Through the caches as usual. */
template <typename T> __device__ __forceinline__ void load_pack(const T *p, float (&x)[Pack<T>::N]) {
    unpack<T>(*reinterpret_cast<const uint4 *>(p), x);
}
/* To global memory only. By an intrinsic: an assignment may become four stores of 4 bytes. */
template <typename T> __device__ __forceinline__ void store_pack(T *p, const float (&x)[Pack<T>::N]) {
    __stwb(reinterpret_cast<uint4 *>(p), repack<T>(x));
}
/* For what is touched once: evicted first. */
template <typename T> __device__ __forceinline__ void load_pack_once(const T *p, float (&x)[Pack<T>::N]) {
    unpack<T>(__ldcs(reinterpret_cast<const uint4 *>(p)), x);
}

/* Eight elements whatever the type: one access of 16 bytes, or two for f32. */
template <typename T> __device__ __forceinline__ void load8(const T *p, float (&x)[8]) {
    load_pack<T>(p, x);
}
template <> __device__ __forceinline__ void load8<float>(const float *p, float (&x)[8]) {
    const float4 a = *reinterpret_cast<const float4 *>(p), b = *reinterpret_cast<const float4 *>(p + 4);
    x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w;
    x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
}
template <typename T> __device__ __forceinline__ void store8(T *p, const float (&x)[8]) {
    store_pack<T>(p, x);
}
template <> __device__ __forceinline__ void store8<float>(float *p, const float (&x)[8]) {
    __stwb(reinterpret_cast<float4 *>(p), make_float4(x[0], x[1], x[2], x[3]));
    __stwb(reinterpret_cast<float4 *>(p + 4), make_float4(x[4], x[5], x[6], x[7]));
}

/* ---- sums and maxima, in a fixed order; every thread gets the result ---- */

template <typename F> __device__ __forceinline__ F warp_sum(F x) {
#pragma unroll
    for (int step = BL_WARP / 2; step > 0; step /= 2)
        x += __shfl_xor_sync(BL_FULL_WARP, x, step);
    return x;
}

template <typename F> __device__ __forceinline__ F warp_max(F x) {
#pragma unroll
    for (int step = BL_WARP / 2; step > 0; step /= 2) {
        const F other = __shfl_xor_sync(BL_FULL_WARP, x, step);
        x = other > x ? other : x;
    }
    return x;
}

/* Of a one-dimensional block of whole warps. Holds two __syncthreads. */
template <typename F> __device__ __forceinline__ F block_sum(F x) {
    __shared__ F partial[32];
    const int warp = threadIdx.x / BL_WARP, lane = threadIdx.x % BL_WARP;
    x = warp_sum(x);
    __syncthreads(); /* an earlier call may still be reading */
    if (lane == 0) partial[warp] = x;
    __syncthreads();
    return warp_sum(lane < static_cast<int>(blockDim.x / BL_WARP) ? partial[lane] : F(0));
}

template <typename F> __device__ __forceinline__ F block_max(F x) {
    __shared__ F partial[32];
    const int warp = threadIdx.x / BL_WARP, lane = threadIdx.x % BL_WARP;
    x = warp_max(x);
    __syncthreads();
    if (lane == 0) partial[warp] = x;
    __syncthreads();
    return warp_max(partial[lane < static_cast<int>(blockDim.x / BL_WARP) ? lane : 0]);
}

/* ---- Philox4x32-10 (Salmon et al., SC'11), the words of core/philox.h ---- */

__device__ __forceinline__ uint4 philox4x32_10(uint4 c, uint64_t seed) {
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const uint32_t high0 = __umulhi(c.x, 0xD2511F53u), low0 = c.x * 0xD2511F53u;
        const uint32_t high1 = __umulhi(c.z, 0xCD9E8D57u), low1 = c.z * 0xCD9E8D57u;
        c = make_uint4(high1 ^ c.y ^ k0, low1, high0 ^ c.w ^ k1, low0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c;
}

/*
 * Dropout (core/dropout.h) as a kernel argument: Dropout drop =
 * bl_cuda_dropout(dropout) on the host; on the device open it once per thread
 * and ask for multipliers, 0 or the scale.
 */
struct Dropout {
    const int64_t *state; /* {seed, step} on the device; NULL: nothing is dropped */
    uint32_t op;
    uint32_t threshold; /* in the upper half of a word, where 16 random bits are compared */
    float scale;
};

static inline uint32_t bl_cuda_dropout_threshold(float p) {
    return bl_dropout_threshold(p) << 16;
}

static inline Dropout bl_cuda_dropout(const bl_dropout *dropout) {
    Dropout drop = {nullptr, 0, 0, 1.0f};
    if (dropout && dropout->p > 0.0f) {
        drop.state = static_cast<const int64_t *>(dropout->state->data);
        drop.op = dropout->op;
        drop.threshold = bl_cuda_dropout_threshold(dropout->p);
        drop.scale = bl_dropout_scale(bl_dropout_threshold(dropout->p));
    }
    return drop;
}

struct DropoutStream {
    uint64_t seed;
    uint32_t step_low, step_high, op, threshold;
    float scale;
    bool active;

    __device__ __forceinline__ explicit DropoutStream(const Dropout &drop)
        : seed(0), step_low(0), step_high(0), op(drop.op), threshold(drop.threshold), scale(drop.scale),
          active(drop.state != nullptr) {
        if (active) {
            const uint64_t step = static_cast<uint64_t>(drop.state[1]);
            seed = static_cast<uint64_t>(drop.state[0]);
            step_low = static_cast<uint32_t>(step);
            step_high = static_cast<uint32_t>(step >> 32);
        }
    }

    /* Words of elements [8 * block, 8 * block + 8), two of them in each. */
    __device__ __forceinline__ uint4 words(uint32_t block) const {
        return philox4x32_10(make_uint4(block, op, step_low, step_high), seed);
    }

    /* Whether the first, or the second, element of a word is kept. What lies below its bits decides nothing. */
    __device__ __forceinline__ bool keeps_low(uint32_t word) const {
        return word << 16 >= threshold;
    }
    __device__ __forceinline__ bool keeps_high(uint32_t word) const {
        return word >= threshold;
    }

    /* Which elements of block `block` are kept, the first in the lowest bit. */
    __device__ __forceinline__ uint32_t kept8(uint32_t block) const {
        const uint4 w = words(block);
        return keeps_low(w.x) | keeps_high(w.x) << 1 | keeps_low(w.y) << 2 | keeps_high(w.y) << 3 |
               keeps_low(w.z) << 4 | keeps_high(w.z) << 5 | keeps_low(w.w) << 6 | keeps_high(w.w) << 7;
    }

    /* Multiplier of any one element: a whole Philox block for it. */
    __device__ __forceinline__ float keep(int64_t element) const {
        const uint4 w = words(static_cast<uint32_t>(element / 8));
        const int word = static_cast<int>(element / 2 & 3);
        const uint32_t both = word == 0 ? w.x : word == 1 ? w.y : word == 2 ? w.z : w.w;
        return (element & 1 ? keeps_high(both) : keeps_low(both)) ? scale : 0.0f;
    }

    __device__ __forceinline__ void apply_word(uint32_t word, float &first, float &second) const {
        first *= keeps_low(word) ? scale : 0.0f;
        second *= keeps_high(word) ? scale : 0.0f;
    }

    /* x[i] *= multiplier of element + i, element a multiple of N; nothing when inactive. Four are half of a block. */
    template <int N> __device__ __forceinline__ void apply(int64_t element, float (&x)[N]) const {
        static_assert(N == 4 || N % 8 == 0, "whole Philox blocks");
        if (!active) return;
        if constexpr (N == 4) {
            const uint4 w = words(static_cast<uint32_t>(element / 8));
            const bool second = element & 4;
            apply_word(second ? w.z : w.x, x[0], x[1]);
            apply_word(second ? w.w : w.y, x[2], x[3]);
        } else {
#pragma unroll
            for (int i = 0; i < N; i += 8) {
                const uint4 w = words(static_cast<uint32_t>((element + i) / 8));
                apply_word(w.x, x[i], x[i + 1]), apply_word(w.y, x[i + 2], x[i + 3]);
                apply_word(w.z, x[i + 4], x[i + 5]), apply_word(w.w, x[i + 6], x[i + 7]);
            }
        }
    }
};

#endif
