/*
 * elementwise.c - GELU, tanh, dropout and axpby over contiguous elements.
 */
#include "blocks.h"
#include "vecmath.h"

static void gelu_block(float *y, const float *x, const float *z, int64_t begin, int64_t n, const factors *f) {
    (void) z, (void) begin, (void) f;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = bl_vec_gelu(x[i]);
}

static void gelu_gradient_block(float *dx, const float *dy, const float *x, int64_t begin, int64_t n,
                                const factors *f) {
    (void) begin, (void) f;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        dx[i] = dy[i] * bl_vec_gelu_derivative(x[i]);
}

static void tanh_block(float *y, const float *x, const float *z, int64_t begin, int64_t n, const factors *f) {
    (void) z, (void) begin, (void) f;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = bl_vec_tanh(x[i]);
}

static void tanh_gradient_block(float *dx, const float *dy, const float *y, int64_t begin, int64_t n,
                                const factors *f) {
    (void) begin, (void) f;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        dx[i] = dy[i] * (1.0f - y[i] * y[i]);
}

static void dropout_block(float *y, const float *x, const float *z, int64_t begin, int64_t n, const factors *f) {
    (void) z;
    float keep[BLOCK];
    bl_dropout_fill(&f->drop, begin, n, keep);
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] * keep[i];
}

static void scale_block(float *y, const float *x, const float *z, int64_t begin, int64_t n, const factors *f) {
    (void) z, (void) begin;
    float a = f->a;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = a * x[i];
}

static void axpby_block(float *y, const float *x, const float *z, int64_t begin, int64_t n, const factors *f) {
    (void) begin;
    float a = f->a, b = f->b;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = bl_vec_fma(a, x[i], b * z[i]);
}

bl_status bl_cpu_gelu_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x) {
    return run(ctx, y, x, NULL, gelu_block, NULL);
}

bl_status bl_cpu_gelu_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *x) {
    return run(ctx, dx, dy, x, gelu_gradient_block, NULL);
}

bl_status bl_cpu_tanh_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x) {
    return run(ctx, y, x, NULL, tanh_block, NULL);
}

bl_status bl_cpu_tanh_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *y) {
    return run(ctx, dx, dy, y, tanh_gradient_block, NULL);
}

bl_status bl_cpu_dropout_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_dropout *dropout) {
    factors f = {.a = 1.0f, .drop = bl_dropout_open(dropout)};
    return run(ctx, y, x, NULL, f.drop.active ? dropout_block : scale_block, &f);
}

bl_status bl_cpu_dropout_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_dropout *dropout) {
    return bl_cpu_dropout_forward(ctx, dx, dy, dropout);
}

bl_status bl_cpu_axpby(bl_context *ctx, bl_tensor *y, const bl_tensor *x, float a, float b) {
    factors f = {.a = a, .b = b};
    /* b = 0 must not read y: it may hold anything, NaN included. */
    if (b == 0.0f) return run(ctx, y, x, NULL, scale_block, &f);
    return run(ctx, y, x, y, axpby_block, &f);
}
