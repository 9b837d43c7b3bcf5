/*
 * unary.cu - functions of one operand over contiguous elements (packs.cuh). The
 * kind is a branch that all threads take alike: one kernel a dtype, not one for
 * each of them.
 */
#include "cuda/activation.cuh"
#include "cuda/packs.cuh"

__device__ static float power_of(float x, float a) {
    return a == 2.0f ? x * x : a == 3.0f ? x * x * x : powf(x, a);
}

__device__ static float unary(int32_t kind, float x, float a) {
    float slope;
    switch (kind) {
    case BL_UNARY_NEG:
        return -x;
    case BL_UNARY_EXP:
        return expf(x);
    case BL_UNARY_LOG:
        return logf(x);
    case BL_UNARY_SQRT:
        return sqrtf(x);
    case BL_UNARY_ABS:
        return fabsf(x);
    case BL_UNARY_RELU:
        return relu(x, &slope);
    case BL_UNARY_SILU:
        return silu(x, &slope);
    case BL_UNARY_GELU_TANH:
        return gelu_tanh(x, &slope);
    case BL_UNARY_SIGMOID:
        return sigmoid(x, &slope);
    case BL_UNARY_POW:
        return power_of(x, a);
    case BL_UNARY_EXPONENTIAL:
        return powf(a, x);
    case BL_UNARY_RECIPROCAL:
        return a / x;
    case BL_UNARY_CLAMP_MIN:
        return x < a ? a : x;
    default:
        return x > a ? a : x;
    }
}

/* dy times the derivative; s is what the kind saved. */
__device__ static float unary_gradient(int32_t kind, float dy, float s, float a, float log_a) {
    float slope;
    switch (kind) {
    case BL_UNARY_EXP:
        return dy * s;
    case BL_UNARY_LOG:
        return dy / s;
    case BL_UNARY_SQRT:
        return 0.5f * dy / s;
    case BL_UNARY_ABS:
        return s > 0.0f ? dy : s < 0.0f ? -dy : s * 0.0f;
    case BL_UNARY_RELU:
        return s <= 0.0f ? 0.0f : dy;
    case BL_UNARY_SILU:
        silu(s, &slope);
        return dy * slope;
    case BL_UNARY_GELU_TANH:
        gelu_tanh(s, &slope);
        return dy * slope;
    case BL_UNARY_SIGMOID:
        return dy * s * (1.0f - s);
    case BL_UNARY_POW:
        return a == 0.0f ? 0.0f : dy * a * power_of(s, a - 1.0f);
    case BL_UNARY_EXPONENTIAL:
        /* 0^x is flat where it is 0 or 1, though log(0) is not finite. */
        return a == 0.0f && s <= 1.0f ? 0.0f : dy * s * log_a;
    case BL_UNARY_RECIPROCAL:
        return -a * dy / s / s;
    case BL_UNARY_CLAMP_MIN:
        return s < a ? 0.0f : dy;
    default:
        return s > a ? 0.0f : dy;
    }
}

struct Unary : OneOperand {
    int32_t kind;
    float a;
    template <typename T, int N> __device__ void apply(float (&x)[N], const float (&)[N], int64_t) const {
#pragma unroll
        for (int i = 0; i < N; i++)
            x[i] = unary(kind, x[i], a);
    }
};

struct UnaryGradient : TwoOperands {
    int32_t kind;
    float a, log_a;
    template <typename T, int N> __device__ void apply(float (&dy)[N], const float (&saved)[N], int64_t) const {
#pragma unroll
        for (int i = 0; i < N; i++)
            dy[i] = unary_gradient(kind, dy[i], saved[i], a, log_a);
    }
};

struct Affine : OneOperand {
    float a, b;
    template <typename T, int N> __device__ void apply(float (&x)[N], const float (&)[N], int64_t) const {
#pragma unroll
        for (int i = 0; i < N; i++)
            x[i] = b == 0.0f ? a * x[i] : fmaf(a, x[i], b);
    }
};

bl_status bl_cuda_affine(bl_context *ctx, bl_tensor *y, const bl_tensor *x, float a, float b) {
    Affine op;
    op.a = a;
    op.b = b;
    return run_elementwise(ctx, y, x, nullptr, op);
}

bl_status bl_cuda_unary_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, int32_t kind, float a) {
    Unary op;
    op.kind = kind;
    op.a = a;
    return run_elementwise(ctx, y, x, nullptr, op);
}

bl_status bl_cuda_unary_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *x,
                                 const bl_tensor *y, int32_t kind, float a) {
    if (kind == BL_UNARY_NEG) return bl_cuda_affine(ctx, dx, dy, -1.0f, 0.0f);
    const bool reads_output = kind == BL_UNARY_EXP || kind == BL_UNARY_SQRT || kind == BL_UNARY_RELU ||
                              kind == BL_UNARY_SIGMOID || kind == BL_UNARY_EXPONENTIAL;
    UnaryGradient op;
    op.kind = kind;
    op.a = a;
    op.log_a = logf(a);
    return run_elementwise(ctx, dx, dy, reads_output ? y : x, op);
}
