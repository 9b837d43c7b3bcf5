/*
 * elementwise.cu - GELU, tanh, dropout and axpby over contiguous elements (packs.cuh).
 */
#include "cuda/activation.cuh"
#include "cuda/packs.cuh"

struct Gelu : OneOperand {
    template <typename T, int N> __device__ void apply(float (&x)[N], const float (&)[N], int64_t) const {
#pragma unroll
        for (int i = 0; i < N; i++)
            x[i] = gelu<T>(x[i]);
    }
};

struct GeluGradient : TwoOperands {
    template <typename T, int N> __device__ void apply(float (&dy)[N], const float (&x)[N], int64_t) const {
#pragma unroll
        for (int i = 0; i < N; i++)
            dy[i] *= gelu_derivative<T>(x[i]);
    }
};

struct Tanh : OneOperand {
    template <typename T, int N> __device__ void apply(float (&x)[N], const float (&)[N], int64_t) const {
#pragma unroll
        for (int i = 0; i < N; i++)
            x[i] = tanhf(x[i]);
    }
};

struct TanhGradient : TwoOperands {
    template <typename T, int N> __device__ void apply(float (&dy)[N], const float (&y)[N], int64_t) const {
#pragma unroll
        for (int i = 0; i < N; i++)
            dy[i] *= 1.0f - y[i] * y[i];
    }
};

struct ApplyDropout : OneOperand {
    Dropout drop;
    template <typename T, int N> __device__ void apply(float (&x)[N], const float (&)[N], int64_t first) const {
        DropoutStream(drop).template apply<N>(first, x);
    }
};

struct Scale : OneOperand {
    float a;
    template <typename T, int N> __device__ void apply(float (&x)[N], const float (&)[N], int64_t) const {
#pragma unroll
        for (int i = 0; i < N; i++)
            x[i] *= a;
    }
};

struct Axpby : TwoOperands {
    float a, b;
    template <typename T, int N> __device__ void apply(float (&x)[N], const float (&y)[N], int64_t) const {
#pragma unroll
        for (int i = 0; i < N; i++)
            x[i] = fmaf(a, x[i], b * y[i]);
    }
};

bl_status bl_cuda_gelu_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x) {
    return run_elementwise(ctx, y, x, nullptr, Gelu());
}

bl_status bl_cuda_gelu_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *x) {
    return run_elementwise(ctx, dx, dy, x, GeluGradient());
}

bl_status bl_cuda_tanh_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x) {
    return run_elementwise(ctx, y, x, nullptr, Tanh());
}

bl_status bl_cuda_tanh_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *y) {
    return run_elementwise(ctx, dx, dy, y, TanhGradient());
}

bl_status bl_cuda_dropout_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_dropout *dropout) {
    ApplyDropout op;
    op.drop = bl_cuda_dropout(dropout);
    return run_elementwise(ctx, y, x, nullptr, op);
}

bl_status bl_cuda_dropout_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_dropout *dropout) {
    return bl_cuda_dropout_forward(ctx, dx, dy, dropout);
}

bl_status bl_cuda_axpby(bl_context *ctx, bl_tensor *y, const bl_tensor *x, float a, float b) {
    /* b = 0 must not read y: it may hold anything, NaN included. */
    if (b == 0.0f) {
        Scale op;
        op.a = a;
        return run_elementwise(ctx, y, x, nullptr, op);
    }
    Axpby op;
    op.a = a;
    op.b = b;
    return run_elementwise(ctx, y, x, y, op);
}
