/*
 * broadcast.cu - ops of two or three operands that broadcast.
 *
 * Bound by memory. A thread computes a pack of 16 bytes of the output's dtype;
 * operands that lie side by side are read in packs too, a repeated element
 * once, other layouts one by one (operand.cuh). The kind is a branch that all
 * threads take alike.
 */
#include "cuda/operand.cuh"

enum { THREADS = 256 };

__device__ static float binary(int32_t kind, float a, float b) {
    switch (kind) {
    case BL_BINARY_ADD:
        return a + b;
    case BL_BINARY_SUB:
        return a - b;
    case BL_BINARY_MUL:
        return a * b;
    case BL_BINARY_DIV:
        return a / b;
    case BL_BINARY_POW:
        return powf(a, b);
    case BL_BINARY_MAXIMUM:
        return a > b || a != a ? a : b;
    default:
        return a < b || a != a ? a : b;
    }
}

/* Half to each where they are equal. */
__device__ static float larger_gradient(float dy, float own, float other) {
    return own == other ? 0.5f * dy : own < other ? 0.0f : dy;
}

__device__ static float gradient_a(int32_t kind, float dy, float a, float b) {
    switch (kind) {
    case BL_BINARY_ADD:
    case BL_BINARY_SUB:
        return dy;
    case BL_BINARY_MUL:
        return dy * b;
    case BL_BINARY_DIV:
        return dy / b;
    case BL_BINARY_POW:
        return b == 0.0f ? 0.0f : dy * b * powf(a, b - 1.0f);
    case BL_BINARY_MAXIMUM:
        return larger_gradient(dy, a, b);
    default:
        return larger_gradient(dy, -a, -b);
    }
}

__device__ static float gradient_b(int32_t kind, float dy, float a, float b) {
    switch (kind) {
    case BL_BINARY_ADD:
        return dy;
    case BL_BINARY_SUB:
        return -dy;
    case BL_BINARY_MUL:
        return dy * a;
    case BL_BINARY_DIV:
        return -dy * (a / b) / b;
    case BL_BINARY_POW:
        /* 0^b is flat in b where it is 0. */
        return a == 0.0f && b >= 0.0f ? 0.0f : dy * powf(a, b) * logf(a);
    case BL_BINARY_MAXIMUM:
        return larger_gradient(dy, b, a);
    default:
        return larger_gradient(dy, -b, -a);
    }
}

/* V: float, or int64_t for whole numbers. */
template <typename V> __device__ static bool holds(int32_t kind, V a, V b) {
    switch (kind) {
    case BL_COMPARE_EQ:
        return a == b;
    case BL_COMPARE_NE:
        return a != b;
    case BL_COMPARE_LT:
        return a < b;
    case BL_COMPARE_LE:
        return a <= b;
    case BL_COMPARE_GT:
        return a > b;
    default:
        return a >= b;
    }
}

template <typename T>
__global__ void __launch_bounds__(THREADS) binary_kernel(T *y, Operand a, Operand b, int64_t n, int32_t kind) {
    constexpr int N = Pack<T>::N;
    const int64_t first = N * (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x);
    if (first >= n) return;
    float u[N], v[N];
    read_operand<T>(a, first, n, u);
    read_operand<T>(b, first, n, v);
#pragma unroll
    for (int i = 0; i < N; i++)
        u[i] = binary(kind, u[i], v[i]);
    write_contiguous<T>(y, first, n, u);
}

/* To: dtype of da and db, each of which may be NULL. */
template <typename T>
__device__ __forceinline__ void write_gradient(void *to, int32_t dtype, int64_t first, int64_t n,
                                               const float (&x)[Pack<T>::N]) {
    if (dtype == BL_F32)
        write_contiguous<float>(static_cast<float *>(to), first, n, x);
    else
        write_contiguous<T>(static_cast<T *>(to), first, n, x);
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    binary_backward_kernel(void *da, int32_t da_dtype, void *db, int32_t db_dtype, const T *dy, Operand a, Operand b,
                           int64_t n, int32_t kind) {
    constexpr int N = Pack<T>::N;
    const int64_t first = N * (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x);
    if (first >= n) return;
    float d[N], u[N], v[N], gradient[N];
    if (first + N <= n && (reinterpret_cast<uintptr_t>(dy + first) & 15u) == 0) {
        load_pack<T>(dy + first, d);
    } else {
#pragma unroll
        for (int i = 0; i < N; i++)
            d[i] = first + i < n ? to_float(dy[first + i]) : 0.0f;
    }
    read_operand<T>(a, first, n, u);
    read_operand<T>(b, first, n, v);
    if (da) {
#pragma unroll
        for (int i = 0; i < N; i++)
            gradient[i] = gradient_a(kind, d[i], u[i], v[i]);
        write_gradient<T>(da, da_dtype, first, n, gradient);
    }
    if (db) {
#pragma unroll
        for (int i = 0; i < N; i++)
            gradient[i] = gradient_b(kind, d[i], u[i], v[i]);
        write_gradient<T>(db, db_dtype, first, n, gradient);
    }
}

template <typename T>
__global__ void __launch_bounds__(THREADS) compare_kernel(int8_t *mask, Operand a, Operand b, int64_t n, int32_t kind) {
    constexpr int N = Pack<T>::N;
    const int64_t first = N * (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x);
    if (first >= n) return;
    float u[N], v[N];
    read_operand<T>(a, first, n, u);
    read_operand<T>(b, first, n, v);
#pragma unroll
    for (int i = 0; i < N; i++)
        if (first + i < n) mask[first + i] = holds(kind, u[i], v[i]);
}

template <typename T>
__global__ void __launch_bounds__(THREADS) where_kernel(T *y, Operand mask, Operand a, Operand b, int64_t n) {
    constexpr int N = Pack<T>::N;
    const int64_t first = N * (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x);
    if (first >= n) return;
    float u[N], v[N];
    bool m[N];
    read_mask(mask, first, n, m);
    read_operand<T>(a, first, n, u);
    read_operand<T>(b, first, n, v);
#pragma unroll
    for (int i = 0; i < N; i++)
        u[i] = m[i] ? u[i] : v[i];
    write_contiguous<T>(y, first, n, u);
}

/* Integers, one a thread: W is i32 or i64. */
template <typename W>
__global__ void __launch_bounds__(THREADS) binary_whole_kernel(W *y, Operand a, Operand b, int64_t n, int32_t kind) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= n) return;
    const int64_t u = static_cast<const W *>(a.data)[operand_offset(a, i)];
    const int64_t v = static_cast<const W *>(b.data)[operand_offset(b, i)];
    /* Unsigned, so that it wraps around. */
    const uint64_t p = static_cast<uint64_t>(u), q = static_cast<uint64_t>(v);
    uint64_t result;
    switch (kind) {
    case BL_BINARY_ADD:
        result = p + q;
        break;
    case BL_BINARY_SUB:
        result = p - q;
        break;
    case BL_BINARY_MUL:
        result = p * q;
        break;
    case BL_BINARY_MAXIMUM:
        result = u > v ? p : q;
        break;
    default:
        result = u < v ? p : q;
    }
    y[i] = static_cast<W>(result);
}

static __global__ void __launch_bounds__(THREADS)
    compare_whole_kernel(int8_t *mask, Operand a, Operand b, int64_t n, int32_t kind) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= n) return;
    mask[i] = holds(kind, load_whole(a.data, a.dtype, operand_offset(a, i)),
                    load_whole(b.data, b.dtype, operand_offset(b, i)));
}

template <typename W>
__global__ void __launch_bounds__(THREADS) where_whole_kernel(W *y, Operand mask, Operand a, Operand b, int64_t n) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= n) return;
    const bool take = static_cast<const int8_t *>(mask.data)[operand_offset(mask, i)] != 0;
    const Operand &from = take ? a : b;
    y[i] = static_cast<const W *>(from.data)[operand_offset(from, i)];
}

static bool is_whole(int32_t dtype) {
    return dtype == BL_I32 || dtype == BL_I64 || dtype == BL_I8;
}

bl_status bl_cuda_binary(bl_context *ctx, bl_tensor *y, const bl_tensor *a, const bl_tensor *b, int32_t kind) {
    const cudaStream_t stream = bl_cuda_of(ctx)->stream;
    const int64_t n = bl_tensor_numel(y);
    if (n == 0) return BL_OK;
    const Operand u = operand_of(a, y), v = operand_of(b, y);
    if (y->dtype == BL_I32) {
        BL_LAUNCH((binary_whole_kernel<int32_t>), bl_blocks(n, THREADS), THREADS, 0, stream, bl_data<int32_t>(y), u, v,
                  n, kind);
    } else if (y->dtype == BL_I64) {
        BL_LAUNCH((binary_whole_kernel<int64_t>), bl_blocks(n, THREADS), THREADS, 0, stream, bl_data<int64_t>(y), u, v,
                  n, kind);
    } else {
        BL_DISPATCH_FLOAT(y->dtype, T, {
            BL_LAUNCH((binary_kernel<T>), bl_blocks(n, THREADS * Pack<T>::N), THREADS, 0, stream, bl_data<T>(y), u, v,
                      n, kind);
        });
    }
    return BL_OK;
}

bl_status bl_cuda_binary_backward(bl_context *ctx, bl_tensor *da, bl_tensor *db, const bl_tensor *dy,
                                  const bl_tensor *a, const bl_tensor *b, int32_t kind) {
    const int64_t n = bl_tensor_numel(dy);
    if (n == 0) return BL_OK;
    const Operand u = operand_of(a, dy), v = operand_of(b, dy);
    void *to_a = da ? da->data : nullptr, *to_b = db ? db->data : nullptr;
    const int32_t dtype_a = da ? da->dtype : 0, dtype_b = db ? db->dtype : 0;
    BL_DISPATCH_FLOAT(dy->dtype, T, {
        BL_LAUNCH((binary_backward_kernel<T>), bl_blocks(n, THREADS * Pack<T>::N), THREADS, 0, bl_cuda_of(ctx)->stream,
                  to_a, dtype_a, to_b, dtype_b, bl_data<T>(dy), u, v, n, kind);
    });
    return BL_OK;
}

bl_status bl_cuda_compare(bl_context *ctx, bl_tensor *mask, const bl_tensor *a, const bl_tensor *b, int32_t kind) {
    const cudaStream_t stream = bl_cuda_of(ctx)->stream;
    const int64_t n = bl_tensor_numel(mask);
    if (n == 0) return BL_OK;
    const Operand u = operand_of(a, mask), v = operand_of(b, mask);
    int8_t *to = bl_data<int8_t>(mask);
    if (is_whole(a->dtype)) {
        BL_LAUNCH(compare_whole_kernel, bl_blocks(n, THREADS), THREADS, 0, stream, to, u, v, n, kind);
        return BL_OK;
    }
    BL_DISPATCH_FLOAT(a->dtype, T, {
        BL_LAUNCH((compare_kernel<T>), bl_blocks(n, THREADS * Pack<T>::N), THREADS, 0, stream, to, u, v, n, kind);
    });
    return BL_OK;
}

bl_status bl_cuda_where(bl_context *ctx, bl_tensor *y, const bl_tensor *mask, const bl_tensor *a, const bl_tensor *b) {
    const cudaStream_t stream = bl_cuda_of(ctx)->stream;
    const int64_t n = bl_tensor_numel(y);
    if (n == 0) return BL_OK;
    const Operand m = operand_of(mask, y), u = operand_of(a, y), v = operand_of(b, y);
    if (y->dtype == BL_I32) {
        BL_LAUNCH((where_whole_kernel<int32_t>), bl_blocks(n, THREADS), THREADS, 0, stream, bl_data<int32_t>(y), m, u,
                  v, n);
    } else if (y->dtype == BL_I64) {
        BL_LAUNCH((where_whole_kernel<int64_t>), bl_blocks(n, THREADS), THREADS, 0, stream, bl_data<int64_t>(y), m, u,
                  v, n);
    } else {
        BL_DISPATCH_FLOAT(y->dtype, T, {
            BL_LAUNCH((where_kernel<T>), bl_blocks(n, THREADS * Pack<T>::N), THREADS, 0, stream, bl_data<T>(y), m, u, v,
                      n);
        });
    }
    return BL_OK;
}
