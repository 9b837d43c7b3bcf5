/*
 * operand.cuh - a tensor of any strides as a list of numbered elements: what
 * lets kernels take operands that broadcast, are transposed or sliced. The
 * counterpart of cpu/operand.h.
 */
#ifndef BERTLUA_CUDA_OPERAND_CUH
#define BERTLUA_CUDA_OPERAND_CUH

#include "cuda/kernel.cuh"

/* Elements in the row-major order of `shape`, as a kernel argument; neighbours that lie behind each other are one. */
struct Operand {
    const void *data;
    int32_t dtype;
    int32_t ndim; /* 1 or more */
    int64_t shape[BL_MAX_DIMS];
    int64_t stride[BL_MAX_DIMS];
};

static Operand operand_open(const bl_tensor *t) {
    Operand o = {t->data, t->dtype, 1, {1, 1, 1, 1}, {0, 0, 0, 0}};
    return o;
}

/* Adds a dimension inside the others. */
static void operand_add(Operand *o, int64_t size, int64_t stride) {
    if (size == 1) return;
    const int last = o->ndim - 1;
    if (o->shape[last] == 1) {
        o->shape[last] = size, o->stride[last] = stride;
    } else if (o->stride[last] == stride * size) {
        o->shape[last] *= size, o->stride[last] = stride;
    } else {
        o->shape[o->ndim] = size, o->stride[o->ndim] = stride, o->ndim++;
    }
}

/* t repeated to the shape of `whole`. */
static inline Operand operand_of(const bl_tensor *t, const bl_tensor *whole) {
    Operand o = operand_open(t);
    const int missing = whole->ndim - t->ndim;
    for (int d = 0; d < whole->ndim; d++) {
        const bool repeated = d < missing || t->shape[d - missing] == 1;
        operand_add(&o, whole->shape[d], repeated ? 0 : t->stride[d - missing]);
    }
    return o;
}

/* Where element i lies, in elements. */
__device__ __forceinline__ int64_t operand_offset(const Operand &o, int64_t i) {
    int64_t offset = 0;
#pragma unroll
    for (int d = BL_MAX_DIMS - 1; d > 0; d--) {
        if (d >= o.ndim) continue;
        /* 64-bit division is slow, and hardly ever needed. */
        const int64_t size = o.shape[d];
        const int64_t rest =
            (i | size) <= INT32_MAX ? static_cast<uint32_t>(i) / static_cast<uint32_t>(size) : i / size;
        offset += (i - rest * size) * o.stride[d];
        i = rest;
    }
    return offset + i * o.stride[0];
}

__device__ __forceinline__ float load_any(const void *p, int32_t dtype, int64_t i) {
    switch (dtype) {
    case BL_F32:
        return static_cast<const float *>(p)[i];
    case BL_BF16:
        return to_float(static_cast<const bl_bf16 *>(p)[i]);
    case BL_F16:
        return to_float(static_cast<const bl_f16 *>(p)[i]);
    default:
        return static_cast<float>(static_cast<const int8_t *>(p)[i]);
    }
}

__device__ __forceinline__ void store_any(void *p, int32_t dtype, int64_t i, float x) {
    if (dtype == BL_F32)
        static_cast<float *>(p)[i] = x;
    else if (dtype == BL_BF16)
        static_cast<bl_bf16 *>(p)[i] = from_float<bl_bf16>(x);
    else
        static_cast<bl_f16 *>(p)[i] = from_float<bl_f16>(x);
}

__device__ __forceinline__ int64_t load_whole(const void *p, int32_t dtype, int64_t i) {
    if (dtype == BL_I32) return static_cast<const int32_t *>(p)[i];
    return dtype == BL_I64 ? static_cast<const int64_t *>(p)[i] : static_cast<const int8_t *>(p)[i];
}

/*
 * Elements [first, first + N) of a list of n as f32, those past n as 0: 16
 * bytes at once where they lie side by side on such a boundary, else one by one.
 */
template <typename T, int N>
__device__ __forceinline__ void read_operand(const Operand &o, int64_t first, int64_t n, float (&x)[N]) {
    const T *data = static_cast<const T *>(o.data);
    const int last = o.ndim - 1;
    const int64_t start = operand_offset(o, first);
    const int64_t left = last == 0 ? n - first : o.shape[last] - first % o.shape[last];
    if (left >= N && o.stride[last] == 0) {
        const float value = to_float(data[start]);
#pragma unroll
        for (int i = 0; i < N; i++)
            x[i] = value;
    } else if (left >= N && o.stride[last] == 1 && N == Pack<T>::N &&
               (reinterpret_cast<uintptr_t>(data + start) & 15u) == 0) {
        float pack[Pack<T>::N];
        load_pack<T>(data + start, pack);
#pragma unroll
        for (int i = 0; i < N; i++)
            x[i] = pack[i < Pack<T>::N ? i : 0];
    } else {
#pragma unroll
        for (int i = 0; i < N; i++)
            x[i] = first + i < n ? to_float(data[operand_offset(o, first + i)]) : 0.0f;
    }
}

/* The same of an i8 mask: true where it is not 0. */
template <int N>
__device__ __forceinline__ void read_mask(const Operand &o, int64_t first, int64_t n, bool (&mask)[N]) {
    const int8_t *data = static_cast<const int8_t *>(o.data);
#pragma unroll
    for (int i = 0; i < N; i++)
        mask[i] = first + i < n && data[operand_offset(o, first + i)] != 0;
}

template <typename T, int N>
__device__ __forceinline__ void write_contiguous(T *p, int64_t first, int64_t n, const float (&x)[N]) {
    if (N == Pack<T>::N && first + N <= n && (reinterpret_cast<uintptr_t>(p + first) & 15u) == 0) {
        float pack[Pack<T>::N];
#pragma unroll
        for (int i = 0; i < Pack<T>::N; i++)
            pack[i] = x[i < N ? i : 0];
        store_pack<T>(p + first, pack);
        return;
    }
#pragma unroll
    for (int i = 0; i < N; i++)
        if (first + i < n) p[first + i] = from_float<T>(x[i]);
}

#endif
