/*
 * packed_linear.c - the forward of linear layers whose weights were made ready
 * once: as panels of ours or in oneDNN's own layout, and of int8 weights, with
 * what turns sums of integers into numbers.
 *
 * An int8 product takes each row of x on its own range: x = low + step q, q u8.
 * With w = scale p, p s8, the element of row i and column j is
 *
 *     step_i scale_j sum_k(q_ik p_jk) + low_i scale_j sum_k(p_jk) + bias_j.
 *
 * Both sums are exact; all else is f32. The range of a row is all that is lost:
 * 1/255 of it a step (LLM.int8, arXiv 2208.07339, section 2, without outliers).
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "matmul.h"
#include "panels.h"
#include "vecmath.h"

/* Rows at once: what a product writes is still in the second cache level when it is read again. */
enum { CHUNK = 256 };

/* s32 sums lie in the memory of y until they become its f32 elements. */
typedef int32_t sum_word __attribute__((may_alias));

struct bl_packed {
    int64_t n, k;
    int32_t dtype;            /* of x: f32 or bf16 */
    bl_panels *panels;        /* NULL: `matrix` is multiplied */
    bl_packed_matrix *matrix; /* NULL: `plain` is multiplied */
    bl_buffer *memory;        /* of scales and sums, or of `plain` */
    bl_tensor plain;          /* [n,k]: int8 weights in f32, where the CPU has no fast product for them */
    float *scales;            /* [n], NULL but for int8 */
    float *row_sums;          /* [n]: scale times the sum of a row's integers */
    float levels;             /* steps that the range of a row of x is cut into */
};

/* ---- packing ---- */

/* With them in the order of w; sums of up to 2^16 integers are exact in 32 bits. */
static bl_status keep_scales(bl_context *ctx, bl_packed *packed, const bl_tensor *w, const bl_tensor *scales) {
    int64_t n = packed->n, k = packed->k;
    const int8_t *integers = w->data;
    BL_TRY(bl_buffer_create(&packed->memory, ctx, 2 * bl_cpu_padded((size_t) n * sizeof(float))));
    packed->scales = bl_buffer_data(packed->memory);
    packed->row_sums = packed->scales + bl_cpu_padded((size_t) n * sizeof(float)) / sizeof(float);
    memcpy(packed->scales, scales->data, (size_t) n * sizeof(float));
    for (int64_t j = 0; j < n; j++) {
        int32_t sum = 0;
        for (int64_t i = 0; i < k; i++)
            sum += integers[j * k + i];
        packed->row_sums[j] = packed->scales[j] * (float) sum;
    }
    return BL_OK;
}

/* An f32 or bf16 matrix; nothing is set where packing gains nothing. */
static bl_status pack_floats(bl_context *ctx, bl_packed *packed, const void *w, int32_t dtype) {
    return bl_cpu_has_panels(dtype) ? bl_cpu_panels_pack(ctx, &packed->panels, w, packed->n, packed->k, dtype)
                                    : bl_cpu_matrix_pack(ctx, &packed->matrix, w, packed->n, packed->k, dtype);
}

static bl_status keep_dequantized(bl_context *ctx, bl_packed *packed, const bl_tensor *w, const bl_tensor *scales) {
    int64_t n = packed->n, k = packed->k;
    const int8_t *integers = w->data;
    const float *scale = scales->data;
    BL_TRY(bl_buffer_create(&packed->memory, ctx, (size_t) (n * k) * sizeof(float)));
    BL_TRY(bl_buffer_tensor(packed->memory, &packed->plain, 0, BL_F32, 2, (const int64_t[]){n, k}));
    float *out = packed->plain.data;
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < k; i++)
            out[j * k + i] = scale[j] * (float) integers[j * k + i];
    BL_TRY(pack_floats(ctx, packed, out, BL_F32));
    if (!packed->panels && !packed->matrix) return BL_OK;
    bl_buffer_free(packed->memory);
    packed->memory = NULL;
    return BL_OK;
}

static bl_status pack_int8(bl_context *ctx, bl_packed *packed, const bl_tensor *w, const bl_tensor *scales) {
    packed->dtype = BL_F32;
    packed->levels = bl_cpu_int8_levels();
    if (bl_cpu_has_panels(BL_I8)) {
        BL_TRY(bl_cpu_panels_pack(ctx, &packed->panels, w->data, packed->n, packed->k, BL_I8));
        return keep_scales(ctx, packed, w, scales);
    }
    BL_TRY(bl_cpu_matrix_pack(ctx, &packed->matrix, w->data, packed->n, packed->k, BL_OPERAND_U8));
    return packed->matrix ? keep_scales(ctx, packed, w, scales) : keep_dequantized(ctx, packed, w, scales);
}

bl_status bl_cpu_pack(bl_context *ctx, bl_packed **out, const bl_tensor *w, const bl_tensor *scales) {
    *out = NULL;
    bl_packed *packed = calloc(1, sizeof *packed);
    if (!packed) return bl_fail(BL_ERROR_MEMORY, "pack: out of memory");
    packed->n = w->shape[0];
    packed->k = w->shape[1];
    packed->dtype = w->dtype;
    bl_status status =
        w->dtype == BL_I8 ? pack_int8(ctx, packed, w, scales) : pack_floats(ctx, packed, w->data, w->dtype);
    if (status != BL_OK || (!packed->panels && !packed->matrix && !packed->plain.data)) {
        bl_cpu_packed_free(ctx, packed);
        return status;
    }
    *out = packed;
    return BL_OK;
}

void bl_cpu_packed_free(bl_context *ctx, bl_packed *packed) {
    (void) ctx;
    bl_cpu_panels_free(packed->panels);
    bl_cpu_matrix_free(packed->matrix);
    bl_buffer_free(packed->memory);
    free(packed);
}

void bl_cpu_packed_shape(bl_context *ctx, const bl_packed *packed, int64_t shape[2], int32_t *dtype, bool *integers) {
    (void) ctx;
    shape[0] = packed->n;
    shape[1] = packed->k;
    *dtype = packed->dtype;
    *integers = packed->scales != NULL;
}

/* ---- rows ---- */

static bl_matrix rows_of(const bl_tensor *t, int64_t first) {
    return (bl_matrix){.data = bl_element(t->data, t->dtype, first * t->stride[0]),
                       .row = t->stride[0],
                       .column = 1,
                       .dtype = t->dtype};
}

/* What an element of a quantized row stands for: low + step q. */
typedef struct range {
    float low, step;
} range;

/* A row with NaN or an infinity has a step that is NaN, so that all its results are. */
static range quantize_row(uint8_t *restrict q, const float *restrict x, int64_t n, float levels) {
    float low = x[0], high = x[0], nothing = 0.0f;
#pragma omp simd reduction(min : low) reduction(max : high) reduction(+ : nothing)
    for (int64_t i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        nothing += x[i] * 0.0f;
    }
    float step = (high - low) / levels, inverse = step > 0.0f ? levels / (high - low) : 0.0f;
    if (nothing != 0.0f || !(high - low <= FLT_MAX)) {
        memset(q, 0, (size_t) n);
        return (range){NAN, NAN};
    }
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        q[i] = (uint8_t) (int32_t) ((x[i] - low) * inverse + 0.5f);
    return (range){low, step};
}

/* Columns of y = f(step scale sums + low row_sums + bias), the sums being where y is. */
static void finish_row(float *restrict y, const bl_packed *packed, range r, const float *restrict bias,
                       int32_t activation, int64_t first, int64_t n) {
    const sum_word *sums = (const sum_word *) (const void *) y;
    const float *scales = packed->scales + first, *row_sums = packed->row_sums + first;
    if (bias) {
        bias += first;
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            y[j] = bl_vec_fma(r.step * scales[j], (float) sums[j], bl_vec_fma(r.low, row_sums[j], bias[j]));
    } else {
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            y[j] = bl_vec_fma(r.step * scales[j], (float) sums[j], r.low * row_sums[j]);
    }
    if (activation != BL_LINEAR) bl_cpu_activate(y, y, n, activation);
}

/* What is left to do of a layer once its sums are in y. */
typedef struct finish {
    const bl_packed *packed;
    float *y;
    int64_t y_row;
    const range *ranges; /* of int8 */
    const float *bias;
    int32_t activation;
} finish;

static void finish_int8(const void *data, int64_t row, int64_t rows, int64_t column, int64_t columns) {
    const finish *f = data;
    for (int64_t i = row; i < row + rows; i++)
        finish_row(f->y + i * f->y_row + column, f->packed, f->ranges[i], f->bias, f->activation, column, columns);
}

static void finish_floats(const void *data, int64_t row, int64_t rows, int64_t column, int64_t columns) {
    const finish *f = data;
    for (int64_t i = row; i < row + rows; i++) {
        float *y = f->y + i * f->y_row + column;
        bl_cpu_activate(y, y, columns, f->activation);
    }
}

/* ---- forward ---- */

/* Rows [first, first + count) of an int8 layer. */
static bl_status forward_int8(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_packed *packed,
                              const float *bias, int32_t activation, int64_t first, int64_t count) {
    int64_t k = packed->k, row = packed->panels ? bl_cpu_panels_row(packed->panels) : k;
    bl_matrix c = rows_of(y, first);
    c.dtype = BL_I32;
    bl_cpu_product product = {.m = count,
                              .n = packed->n,
                              .k = k,
                              .a = {.row = k, .column = 1, .dtype = BL_OPERAND_U8},
                              .packed = packed->matrix,
                              .c = c,
                              .compute = BL_OPERAND_U8};
    size_t own = 0, integers = bl_cpu_padded((size_t) (count * row)),
           ranges = bl_cpu_padded((size_t) count * sizeof(range));
    void *scratch = NULL;
    if (!packed->panels) BL_TRY(bl_cpu_product_scratch(ctx, &product, &own));
    BL_TRY(bl_scratch(ctx, integers + ranges + bl_cpu_padded(own), &scratch));
    uint8_t *q = scratch;
    range *r = (void *) (q + integers);
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (count * k > 1 << 13)
    for (int64_t i = 0; i < count; i++) {
        r[i] = quantize_row(q + i * row, (const float *) x->data + (first + i) * x->stride[0], k, packed->levels);
        memset(q + i * row + k, 0, (size_t) (row - k));
    }
    const finish rest = {
        .packed = packed, .y = c.data, .y_row = c.row, .ranges = r, .bias = bias, .activation = activation};
    if (packed->panels) {
        bl_cpu_panels_multiply(
            ctx, packed->panels,
            &(bl_panels_product){
                .m = count, .a = q, .a_row = row, .c = c.data, .c_row = c.row, .finish = finish_int8, .data = &rest});
        return BL_OK;
    }
    product.a.data = q;
    product.scratch = q + integers + ranges;
    BL_TRY(bl_cpu_multiply(ctx, &product));
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (count * packed->n > 1 << 13)
    for (int64_t i = 0; i < count; i++)
        finish_int8(&rest, i, 1, 0, packed->n);
    return BL_OK;
}

static void forward_panels(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_packed *packed,
                           const bl_tensor *bias, int32_t activation) {
    const finish rest = {.y = y->data, .y_row = y->stride[0], .activation = activation};
    bl_cpu_panels_multiply(ctx, packed->panels,
                           &(bl_panels_product){.m = x->shape[0],
                                                .a = x->data,
                                                .a_row = x->stride[0] * (int64_t) sizeof(float),
                                                .c = y->data,
                                                .c_row = y->stride[0],
                                                .bias = bias ? bias->data : NULL,
                                                .finish = activation == BL_LINEAR ? NULL : finish_floats,
                                                .data = &rest});
}

static bl_status forward_float(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_packed *packed,
                               const bl_tensor *bias, int32_t activation, int64_t first, int64_t count) {
    bl_matrix w = {.row = 1, .column = packed->k, .dtype = packed->dtype, .data = packed->plain.data};
    BL_TRY(bl_cpu_multiply(ctx, &(bl_cpu_product){.m = count,
                                                  .n = packed->n,
                                                  .k = packed->k,
                                                  .a = rows_of(x, first),
                                                  .b = w,
                                                  .packed = packed->matrix,
                                                  .c = rows_of(y, first),
                                                  .bias = bias ? bias->data : NULL,
                                                  .bias_dtype = bias ? bias->dtype : BL_F32,
                                                  .compute = packed->dtype}));
    if (activation == BL_LINEAR) return BL_OK;
    int64_t n = packed->n;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (count * n > 1 << 13)
    for (int64_t i = 0; i < count; i++) {
        float wide[CHUNK];
        for (int64_t j = 0; j < n; j += CHUNK) {
            int64_t part = n - j < CHUNK ? n - j : CHUNK, offset = (first + i) * y->stride[0] + j;
            float *row = bl_row_open(y->data, y->dtype, offset, wide);
            if (row == wide) bl_row_to_f32(wide, bl_element(y->data, y->dtype, offset), y->dtype, part);
            bl_cpu_activate(row, row, part, activation);
            bl_row_close(y->data, y->dtype, offset, part, row);
        }
    }
    return BL_OK;
}

bl_status bl_cpu_packed_linear_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_packed *packed,
                                       const bl_tensor *bias, int32_t activation) {
    int64_t rows = x->shape[0];
    bool int8 = packed->scales != NULL;
    if (packed->panels && !int8) {
        forward_panels(ctx, y, x, packed, bias, activation);
        return BL_OK;
    }
    int64_t chunk = int8 || activation != BL_LINEAR ? CHUNK : rows;
    for (int64_t first = 0; first < rows; first += chunk) {
        int64_t count = rows - first < chunk ? rows - first : chunk;
        if (int8)
            BL_TRY(forward_int8(ctx, y, x, packed, bias ? bias->data : NULL, activation, first, count));
        else
            BL_TRY(forward_float(ctx, y, x, packed, bias, activation, first, count));
    }
    return BL_OK;
}
