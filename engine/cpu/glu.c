/*
 * glu.c - gated linear units (arXiv 2002.05202): value * f(gate), forward and
 * backward in one pass each.
 */
#include "activation.h"
#include "core/half.h"
#include "cpu.h"

enum { BLOCK = 512 };

/* y = value * f(gate) */
typedef void forward_function(float *y, const float *value, const float *gate, int64_t n);
/* dvalue = dy * f(gate), dgate = dy * value * f'(gate); they may be value and gate. */
typedef void backward_function(float *dvalue, float *dgate, const float *dy, const float *value, const float *gate,
                               int64_t n);

#define DEFINE_GATE(name)                                                                                              \
    static void name##_forward(float *y, const float *value, const float *gate, int64_t n) {                           \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) {                                                          \
            float slope;                                                                                               \
            y[i] = value[i] * bl_activation_##name(gate[i], &slope);                                                   \
        }                                                                                                              \
    }                                                                                                                  \
    static void name##_backward(float *dvalue, float *dgate, const float *dy, const float *value, const float *gate,   \
                                int64_t n) {                                                                           \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) {                                                          \
            float slope, kept = value[i];                                                                              \
            float f = bl_activation_##name(gate[i], &slope);                                                           \
            dvalue[i] = dy[i] * f;                                                                                     \
            dgate[i] = dy[i] * kept * slope;                                                                           \
        }                                                                                                              \
    }

DEFINE_GATE(sigmoid)
DEFINE_GATE(gelu)
DEFINE_GATE(gelu_tanh)
DEFINE_GATE(silu)
DEFINE_GATE(relu)

static const struct {
    forward_function *forward;
    backward_function *backward;
} gates[] = {
    [BL_GATE_SIGMOID] = {sigmoid_forward, sigmoid_backward},
    [BL_GATE_GELU] = {gelu_forward, gelu_backward},
    [BL_GATE_GELU_TANH] = {gelu_tanh_forward, gelu_tanh_backward},
    [BL_GATE_SILU] = {silu_forward, silu_backward},
    [BL_GATE_RELU] = {relu_forward, relu_backward},
};

bl_status bl_cpu_glu_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, int32_t gate) {
    int64_t rows = y->shape[0], width = y->shape[1];
    int32_t dtype = x->dtype;
    forward_function *function = gates[gate].forward;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (rows * width > 1 << 13)
    for (int64_t t = 0; t < rows; t++) {
        float value_buffer[BLOCK], gate_buffer[BLOCK], y_buffer[BLOCK];
        for (int64_t done = 0; done < width; done += BLOCK) {
            int64_t n = width - done < BLOCK ? width - done : BLOCK;
            int64_t at = 2 * t * width + done;
            const float *v = bl_row_read(x->data, dtype, at, n, value_buffer);
            const float *g = bl_row_read(x->data, dtype, at + width, n, gate_buffer);
            float *out = bl_row_open(y->data, dtype, t * width + done, y_buffer);
            function(out, v, g, n);
            bl_row_close(y->data, dtype, t * width + done, n, out);
        }
    }
    return BL_OK;
}

bl_status bl_cpu_glu_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *x, int32_t gate) {
    int64_t rows = dy->shape[0], width = dy->shape[1];
    int32_t dtype = x->dtype;
    backward_function *function = gates[gate].backward;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (rows * width > 1 << 13)
    for (int64_t t = 0; t < rows; t++) {
        float value_buffer[BLOCK], gate_buffer[BLOCK], dy_buffer[BLOCK], dvalue_buffer[BLOCK], dgate_buffer[BLOCK];
        for (int64_t done = 0; done < width; done += BLOCK) {
            int64_t n = width - done < BLOCK ? width - done : BLOCK;
            int64_t at = 2 * t * width + done;
            const float *v = bl_row_read(x->data, dtype, at, n, value_buffer);
            const float *g = bl_row_read(x->data, dtype, at + width, n, gate_buffer);
            const float *d = bl_row_read(dy->data, dtype, t * width + done, n, dy_buffer);
            float *dvalue = bl_row_open(dx->data, dtype, at, dvalue_buffer);
            float *dgate = bl_row_open(dx->data, dtype, at + width, dgate_buffer);
            function(dvalue, dgate, d, v, g, n);
            bl_row_close(dx->data, dtype, at, n, dvalue);
            bl_row_close(dx->data, dtype, at + width, n, dgate);
        }
    }
    return BL_OK;
}
