/*
 * broadcast.c - ops of two or three operands that broadcast, in blocks of the
 * output; operand.h brings the operands into line.
 */
#include <math.h>

#include "cpu.h"
#include "operand.h"
#include "vecmath.h"

enum { BLOCK = 1024 };

/* Operands of one call; c may be absent. */
typedef struct operands {
    bl_operand a;
    bl_operand b;
    bl_operand c;
    int64_t n;
} operands;

static operands open_operands(const bl_tensor *whole, const bl_tensor *a, const bl_tensor *b, const bl_tensor *c) {
    operands o = {.a = bl_operand_of(a, whole), .b = bl_operand_of(b, whole), .n = bl_tensor_numel(whole)};
    if (c) o.c = bl_operand_of(c, whole);
    return o;
}

#define EACH_BLOCK(ctx, o)                                                                                             \
    _Pragma(                                                                                                           \
        "omp parallel for num_threads((ctx)->threads) schedule(static) if ((o).n > 8 * BLOCK)") for (int64_t begin =   \
                                                                                                         0;            \
                                                                                                     begin < (o).n;    \
                                                                                                     begin += BLOCK)

static int64_t block_size(const operands *o, int64_t begin) {
    return o->n - begin < BLOCK ? o->n - begin : BLOCK;
}

/* ---- y = a kind b ---- */

/* In f32, and in i64, whose sums wrap around. */
#define FLOAT_LOOP(name, expression)                                                                                   \
    static void name##_floats(float *y, const float *a, const float *b, int64_t n) {                                   \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) {                                                          \
            float u = a[i], v = b[i];                                                                                  \
            y[i] = expression;                                                                                         \
        }                                                                                                              \
    }
#define WHOLE_LOOP(name, expression)                                                                                   \
    static void name##_wholes(int64_t *y, const int64_t *a, const int64_t *b, int64_t n) {                             \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            uint64_t u = (uint64_t) a[i], v = (uint64_t) b[i];                                                         \
            y[i] = (int64_t) (expression);                                                                             \
        }                                                                                                              \
    }

FLOAT_LOOP(add, (u + v))
FLOAT_LOOP(sub, (u - v))
FLOAT_LOOP(mul, (u * v))
FLOAT_LOOP(div, (u / v))
FLOAT_LOOP(power, (powf(u, v)))
FLOAT_LOOP(maximum, (u > v || u != u ? u : v))
FLOAT_LOOP(minimum, (u < v || u != u ? u : v))
WHOLE_LOOP(add, (u + v))
WHOLE_LOOP(sub, (u - v))
WHOLE_LOOP(mul, (u * v))
WHOLE_LOOP(maximum, (a[i] > b[i] ? u : v))
WHOLE_LOOP(minimum, (a[i] < b[i] ? u : v))

typedef void float_loop(float *y, const float *a, const float *b, int64_t n);
typedef void whole_loop(int64_t *y, const int64_t *a, const int64_t *b, int64_t n);

static float_loop *const FLOATS[] = {
    [BL_BINARY_ADD] = add_floats,         [BL_BINARY_SUB] = sub_floats,   [BL_BINARY_MUL] = mul_floats,
    [BL_BINARY_DIV] = div_floats,         [BL_BINARY_POW] = power_floats, [BL_BINARY_MAXIMUM] = maximum_floats,
    [BL_BINARY_MINIMUM] = minimum_floats,
};
static whole_loop *const WHOLES[] = {
    [BL_BINARY_ADD] = add_wholes,         [BL_BINARY_SUB] = sub_wholes,         [BL_BINARY_MUL] = mul_wholes,
    [BL_BINARY_MAXIMUM] = maximum_wholes, [BL_BINARY_MINIMUM] = minimum_wholes,
};

static void write_wholes(bl_tensor *y, int64_t begin, const int64_t *values, int64_t n) {
    int64_t size = (int64_t) bl_dtype_size(y->dtype);
    for (int64_t i = 0; i < n; i++)
        store_int((char *) y->data + (begin + i) * size, y->dtype, values[i]);
}

bl_status bl_cpu_binary(bl_context *ctx, bl_tensor *y, const bl_tensor *a, const bl_tensor *b, int32_t kind) {
    operands o = open_operands(y, a, b, NULL);
    if (!is_float(y->dtype)) {
        whole_loop *loop = WHOLES[kind];
        EACH_BLOCK(ctx, o) {
            int64_t a_buffer[BLOCK], b_buffer[BLOCK], n = block_size(&o, begin);
            bl_operand_read_whole(&o.a, 0, begin, n, a_buffer);
            bl_operand_read_whole(&o.b, 0, begin, n, b_buffer);
            loop(a_buffer, a_buffer, b_buffer, n);
            write_wholes(y, begin, a_buffer, n);
        }
        return BL_OK;
    }
    float_loop *loop = FLOATS[kind];
    EACH_BLOCK(ctx, o) {
        float a_buffer[BLOCK], b_buffer[BLOCK], y_buffer[BLOCK];
        int64_t n = block_size(&o, begin);
        const float *a_row = bl_operand_read(&o.a, 0, begin, n, a_buffer);
        const float *b_row = bl_operand_read(&o.b, 0, begin, n, b_buffer);
        float *y_row = bl_row_open(y->data, y->dtype, begin, y_buffer);
        loop(y_row, a_row, b_row, n);
        bl_row_close(y->data, y->dtype, begin, n, y_row);
    }
    return BL_OK;
}

/* ---- its derivatives ---- */

#define GRADIENT_LOOP(name, expression)                                                                                \
    static void name##_gradient(float *to, const float *dy, const float *a, const float *b, int64_t n) {               \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) {                                                          \
            float d = dy[i], u = a[i], v = b[i];                                                                       \
            (void) u, (void) v;                                                                                        \
            to[i] = expression;                                                                                        \
        }                                                                                                              \
    }

GRADIENT_LOOP(same, (d))
GRADIENT_LOOP(opposite, (-d))
GRADIENT_LOOP(times_a, (d * u))
GRADIENT_LOOP(times_b, (d * v))
GRADIENT_LOOP(div_a, (d / v))
GRADIENT_LOOP(div_b, (-d * (u / v) / v))
GRADIENT_LOOP(power_a, (v == 0.0f ? 0.0f : d * v * powf(u, v - 1.0f)))
/* 0^b is flat in b where it is 0. */
GRADIENT_LOOP(power_b, (u == 0.0f && v >= 0.0f ? 0.0f : d * powf(u, v) * bl_vec_log(u)))
/* The gradient of a where the larger counts is that of b where the smaller does. Half to each where they are equal. */
GRADIENT_LOOP(larger_a, (u == v ? 0.5f * d : u < v ? 0.0f : d))
GRADIENT_LOOP(larger_b, (u == v ? 0.5f * d : u > v ? 0.0f : d))

typedef void gradient_loop(float *to, const float *dy, const float *a, const float *b, int64_t n);

static gradient_loop *const GRADIENTS[][2] = {
    [BL_BINARY_ADD] = {same_gradient, same_gradient},
    [BL_BINARY_SUB] = {same_gradient, opposite_gradient},
    [BL_BINARY_MUL] = {times_b_gradient, times_a_gradient},
    [BL_BINARY_DIV] = {div_a_gradient, div_b_gradient},
    [BL_BINARY_POW] = {power_a_gradient, power_b_gradient},
    [BL_BINARY_MAXIMUM] = {larger_a_gradient, larger_b_gradient},
    [BL_BINARY_MINIMUM] = {larger_b_gradient, larger_a_gradient},
};

bl_status bl_cpu_binary_backward(bl_context *ctx, bl_tensor *da, bl_tensor *db, const bl_tensor *dy, const bl_tensor *a,
                                 const bl_tensor *b, int32_t kind) {
    operands o = open_operands(dy, a, b, dy);
    bl_tensor *const outputs[2] = {da, db};
    EACH_BLOCK(ctx, o) {
        float a_buffer[BLOCK], b_buffer[BLOCK], d_buffer[BLOCK], buffer[BLOCK];
        int64_t n = block_size(&o, begin);
        const float *a_row = bl_operand_read(&o.a, 0, begin, n, a_buffer);
        const float *b_row = bl_operand_read(&o.b, 0, begin, n, b_buffer);
        const float *d_row = bl_operand_read(&o.c, 0, begin, n, d_buffer);
        for (int i = 0; i < 2; i++) {
            if (!outputs[i]) continue;
            float *row = bl_row_open(outputs[i]->data, outputs[i]->dtype, begin, buffer);
            GRADIENTS[kind][i](row, d_row, a_row, b_row, n);
            bl_row_close(outputs[i]->data, outputs[i]->dtype, begin, n, row);
        }
    }
    return BL_OK;
}

/* ---- masks ---- */

#define COMPARE_LOOP(name, operator)                                                                                   \
    static void name##_floats(int8_t *mask, const float *a, const float *b, int64_t n) {                               \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) mask[i] = a[i] operator b[i];                              \
    }                                                                                                                  \
    static void name##_wholes(int8_t *mask, const int64_t *a, const int64_t *b, int64_t n) {                           \
        for (int64_t i = 0; i < n; i++)                                                                                \
            mask[i] = a[i] operator b[i];                                                                              \
    }

COMPARE_LOOP(eq, ==)
COMPARE_LOOP(ne, !=)
COMPARE_LOOP(lt, <)
COMPARE_LOOP(le, <=)
COMPARE_LOOP(gt, >)
COMPARE_LOOP(ge, >=)

static const struct {
    void (*floats)(int8_t *mask, const float *a, const float *b, int64_t n);
    void (*wholes)(int8_t *mask, const int64_t *a, const int64_t *b, int64_t n);
} COMPARISONS[] = {
    [BL_COMPARE_EQ] = {eq_floats, eq_wholes}, [BL_COMPARE_NE] = {ne_floats, ne_wholes},
    [BL_COMPARE_LT] = {lt_floats, lt_wholes}, [BL_COMPARE_LE] = {le_floats, le_wholes},
    [BL_COMPARE_GT] = {gt_floats, gt_wholes}, [BL_COMPARE_GE] = {ge_floats, ge_wholes},
};

bl_status bl_cpu_compare(bl_context *ctx, bl_tensor *mask, const bl_tensor *a, const bl_tensor *b, int32_t kind) {
    operands o = open_operands(mask, a, b, NULL);
    int8_t *to = mask->data;
    bool whole = !is_float(a->dtype);
    EACH_BLOCK(ctx, o) {
        int64_t n = block_size(&o, begin);
        if (whole) {
            int64_t a_buffer[BLOCK], b_buffer[BLOCK];
            COMPARISONS[kind].wholes(to + begin, bl_operand_read_whole(&o.a, 0, begin, n, a_buffer),
                                     bl_operand_read_whole(&o.b, 0, begin, n, b_buffer), n);
        } else {
            float a_buffer[BLOCK], b_buffer[BLOCK];
            COMPARISONS[kind].floats(to + begin, bl_operand_read(&o.a, 0, begin, n, a_buffer),
                                     bl_operand_read(&o.b, 0, begin, n, b_buffer), n);
        }
    }
    return BL_OK;
}

bl_status bl_cpu_where(bl_context *ctx, bl_tensor *y, const bl_tensor *mask, const bl_tensor *a, const bl_tensor *b) {
    operands o = open_operands(y, a, b, mask);
    bool whole = !is_float(y->dtype);
    EACH_BLOCK(ctx, o) {
        float m_buffer[BLOCK];
        int64_t n = block_size(&o, begin);
        const float *m_row = bl_operand_read(&o.c, 0, begin, n, m_buffer);
        if (whole) {
            int64_t a_buffer[BLOCK], b_buffer[BLOCK];
            bl_operand_read_whole(&o.a, 0, begin, n, a_buffer);
            bl_operand_read_whole(&o.b, 0, begin, n, b_buffer);
            for (int64_t i = 0; i < n; i++)
                a_buffer[i] = m_row[i] != 0.0f ? a_buffer[i] : b_buffer[i];
            write_wholes(y, begin, a_buffer, n);
        } else {
            float a_buffer[BLOCK], b_buffer[BLOCK], y_buffer[BLOCK];
            const float *a_row = bl_operand_read(&o.a, 0, begin, n, a_buffer);
            const float *b_row = bl_operand_read(&o.b, 0, begin, n, b_buffer);
            float *y_row = bl_row_open(y->data, y->dtype, begin, y_buffer);
#pragma omp simd
            for (int64_t i = 0; i < n; i++) {
                float u = a_row[i], v = b_row[i];
                y_row[i] = m_row[i] != 0.0f ? u : v;
            }
            bl_row_close(y->data, y->dtype, begin, n, y_row);
        }
    }
    return BL_OK;
}
