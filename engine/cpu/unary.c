/*
 * unary.c - functions of one operand over contiguous elements.
 */
#include <math.h>

#include "activation.h"
#include "blocks.h"

static bl_status apply(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_tensor *z, block_function *function,
                       float a, float b) {
    factors f = {.a = a, .b = b};
    return run(ctx, y, x, z, function, &f);
}

/* name_block: y[i] = expression of v = x[i], and of s = z[i] in a gradient, where v is dy. */
#define FORWARD(name, expression)                                                                                      \
    static void name##_block(float *y, const float *x, const float *z, int64_t begin, int64_t n, const factors *f) {   \
        float a = f->a, b = f->b;                                                                                      \
        (void) z, (void) begin, (void) a, (void) b;                                                                    \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) {                                                          \
            float v = x[i];                                                                                            \
            y[i] = expression;                                                                                         \
        }                                                                                                              \
    }
#define BACKWARD(name, expression)                                                                                     \
    static void name##_gradient_block(float *y, const float *x, const float *z, int64_t begin, int64_t n,              \
                                      const factors *f) {                                                              \
        float a = f->a, b = f->b;                                                                                      \
        (void) begin, (void) a, (void) b;                                                                              \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) {                                                          \
            float v = x[i], s = z[i];                                                                                  \
            y[i] = expression;                                                                                         \
        }                                                                                                              \
    }

static inline float silu_derivative(float x) {
    float slope;
    bl_activation_silu(x, &slope);
    return slope;
}

static inline float gelu_tanh_derivative(float x) {
    float slope;
    bl_activation_gelu_tanh(x, &slope);
    return slope;
}

FORWARD(affine, (bl_vec_fma(a, v, b)))
FORWARD(scale, (a * v))
FORWARD(exp, (bl_vec_exp(v)))
FORWARD(log, (bl_vec_log(v)))
FORWARD(sqrt, (sqrtf(v)))
FORWARD(abs, (bl_vec_abs(v)))
FORWARD(relu, (v < 0.0f ? 0.0f : v))
FORWARD(silu, (bl_activation_silu(v, &(float){0})))
FORWARD(gelu_tanh, (bl_activation_gelu_tanh(v, &(float){0})))
FORWARD(sigmoid, (bl_activation_sigmoid(v, &(float){0})))
FORWARD(square, (v * v))
FORWARD(cube, (v * v * v))
FORWARD(power, (powf(v, a)))
FORWARD(exponential, (powf(a, v)))
FORWARD(reciprocal, (a / v))
FORWARD(clamp_min, (v < a ? a : v))
FORWARD(clamp_max, (v > a ? a : v))

BACKWARD(exp, (v * s))
BACKWARD(log, (v / s))
BACKWARD(sqrt, (0.5f * v / s))
BACKWARD(abs, (s > 0.0f ? v : s < 0.0f ? -v : s * 0.0f))
BACKWARD(relu, (s <= 0.0f ? 0.0f : v))
BACKWARD(silu, (v * silu_derivative(s)))
BACKWARD(gelu_tanh, (v * gelu_tanh_derivative(s)))
BACKWARD(sigmoid, (v * s * (1.0f - s)))
BACKWARD(square, (2.0f * v * s))
BACKWARD(cube, (3.0f * v * s * s))
BACKWARD(power, (a == 0.0f ? 0.0f : v * a * powf(s, a - 1.0f)))
/* b = log(a). 0^x is flat where it is 0 or 1, though log(0) is not finite. */
BACKWARD(exponential, (a == 0.0f && s <= 1.0f ? 0.0f : v * s * b))
BACKWARD(reciprocal, (-a * v / s / s))
BACKWARD(clamp_min, (s < a ? 0.0f : v))
BACKWARD(clamp_max, (s > a ? 0.0f : v))

bl_status bl_cpu_affine(bl_context *ctx, bl_tensor *y, const bl_tensor *x, float a, float b) {
    /* -0 + 0 would be 0: a plain factor keeps the sign. */
    return apply(ctx, y, x, NULL, b == 0.0f ? scale_block : affine_block, a, b);
}

bl_status bl_cpu_unary_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, int32_t kind, float a) {
    static block_function *const blocks[] = {
        [BL_UNARY_NEG] = scale_block,
        [BL_UNARY_EXP] = exp_block,
        [BL_UNARY_LOG] = log_block,
        [BL_UNARY_SQRT] = sqrt_block,
        [BL_UNARY_ABS] = abs_block,
        [BL_UNARY_RELU] = relu_block,
        [BL_UNARY_SILU] = silu_block,
        [BL_UNARY_GELU_TANH] = gelu_tanh_block,
        [BL_UNARY_SIGMOID] = sigmoid_block,
        [BL_UNARY_POW] = power_block,
        [BL_UNARY_EXPONENTIAL] = exponential_block,
        [BL_UNARY_RECIPROCAL] = reciprocal_block,
        [BL_UNARY_CLAMP_MIN] = clamp_min_block,
        [BL_UNARY_CLAMP_MAX] = clamp_max_block,
    };
    block_function *function = blocks[kind];
    /* Powers that need no powf, which is not vectorised. */
    if (kind == BL_UNARY_POW && a == 2.0f) function = square_block;
    if (kind == BL_UNARY_POW && a == 3.0f) function = cube_block;
    return apply(ctx, y, x, NULL, function, kind == BL_UNARY_NEG ? -1.0f : a, 0.0f);
}

bl_status bl_cpu_unary_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *x,
                                const bl_tensor *y, int32_t kind, float a) {
    switch (kind) {
    case BL_UNARY_NEG:
        return apply(ctx, dx, dy, NULL, scale_block, -1.0f, 0.0f);
    case BL_UNARY_EXP:
        return apply(ctx, dx, dy, y, exp_gradient_block, a, 0.0f);
    case BL_UNARY_LOG:
        return apply(ctx, dx, dy, x, log_gradient_block, a, 0.0f);
    case BL_UNARY_SQRT:
        return apply(ctx, dx, dy, y, sqrt_gradient_block, a, 0.0f);
    case BL_UNARY_ABS:
        return apply(ctx, dx, dy, x, abs_gradient_block, a, 0.0f);
    case BL_UNARY_RELU:
        return apply(ctx, dx, dy, y, relu_gradient_block, a, 0.0f);
    case BL_UNARY_SILU:
        return apply(ctx, dx, dy, x, silu_gradient_block, a, 0.0f);
    case BL_UNARY_GELU_TANH:
        return apply(ctx, dx, dy, x, gelu_tanh_gradient_block, a, 0.0f);
    case BL_UNARY_SIGMOID:
        return apply(ctx, dx, dy, y, sigmoid_gradient_block, a, 0.0f);
    case BL_UNARY_POW:
        if (a == 2.0f) return apply(ctx, dx, dy, x, square_gradient_block, a, 0.0f);
        if (a == 3.0f) return apply(ctx, dx, dy, x, cube_gradient_block, a, 0.0f);
        return apply(ctx, dx, dy, x, power_gradient_block, a, 0.0f);
    case BL_UNARY_EXPONENTIAL:
        return apply(ctx, dx, dy, y, exponential_gradient_block, a, logf(a));
    case BL_UNARY_RECIPROCAL:
        return apply(ctx, dx, dy, x, reciprocal_gradient_block, a, 0.0f);
    case BL_UNARY_CLAMP_MIN:
        return apply(ctx, dx, dy, x, clamp_min_gradient_block, a, 0.0f);
    default:
        return apply(ctx, dx, dy, x, clamp_max_gradient_block, a, 0.0f);
    }
}
