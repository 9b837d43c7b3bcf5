/*
 * linear.c - linear layers: the products go to oneDNN, bias gradients and
 * activations are done here in one pass each.
 */
#include <string.h>

#include "activation.h"
#include "cpu.h"
#include "matmul.h"
#include "vecmath.h"

/* Columns a thread handles at once: the f32 copies of a row's piece stay in the first cache level. */
enum { PIECE = 512 };

/* Columns of a bf16 weight gradient computed at once: oneDNN 2.6 is 5 to 15 % faster at these than at wider ones. */
enum { GRADIENT_COLUMNS = 512 };

/* A contiguous or row-strided [rows, columns] tensor. */
static bl_matrix plain(const bl_tensor *t) {
    return (bl_matrix){.data = t->data, .row = t->stride[0], .column = 1, .dtype = t->dtype};
}

static bl_matrix transposed(const bl_tensor *t) {
    return (bl_matrix){.data = t->data, .row = 1, .column = t->stride[0], .dtype = t->dtype};
}

void bl_cpu_activate(float *y, const float *x, int64_t n, int32_t activation) {
    if (activation == BL_GELU) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = bl_vec_gelu(x[i]);
    } else if (activation == BL_GELU_TANH) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            float slope;
            y[i] = bl_activation_gelu_tanh(x[i], &slope);
        }
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = bl_vec_tanh(x[i]);
    }
}

/* y = f(x) on flat tensors, which may be the same. */
static void activation_forward_kernel(const bl_context *ctx, bl_tensor *y, const bl_tensor *x, int32_t activation) {
    int64_t n = bl_tensor_numel(x);
#pragma omp parallel for num_threads(ctx->threads)
    for (int64_t first = 0; first < n; first += PIECE) {
        float in[PIECE], out[PIECE];
        int64_t count = n - first < PIECE ? n - first : PIECE;
        const float *from = bl_row_read(x->data, x->dtype, first, count, in);
        float *to = bl_row_open(y->data, y->dtype, first, out);
        bl_cpu_activate(to, from, count, activation);
        bl_row_close(y->data, y->dtype, first, count, to);
    }
}

/* dy *= f'(saved). */
static void differentiate(float *dy, const float *saved, int64_t n, int32_t activation) {
    if (activation == BL_GELU) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            dy[i] *= bl_vec_gelu_derivative(saved[i]);
    } else if (activation == BL_GELU_TANH) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            float slope;
            bl_activation_gelu_tanh(saved[i], &slope);
            dy[i] *= slope;
        }
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            dy[i] *= 1.0f - saved[i] * saved[i];
    }
}

static void add_row(float *restrict sum, const float *restrict row, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        sum[i] += row[i];
}

/* One row: dy becomes the gradient of x w^T + bias, in place; its elements are added to sum, unless that is NULL. */
static void backward_row(bl_tensor *dy, const bl_tensor *saved, float *sum, int64_t row, int32_t activation) {
    float gradient[PIECE], kept[PIECE];
    int64_t columns = dy->shape[1];
    for (int64_t first = 0; first < columns; first += PIECE) {
        int64_t count = columns - first < PIECE ? columns - first : PIECE;
        int64_t offset = row * columns + first;
        float *d = bl_row_open(dy->data, dy->dtype, offset, gradient);
        if (d == gradient) bl_row_to_f32(d, bl_element(dy->data, dy->dtype, offset), dy->dtype, count);
        if (activation != BL_LINEAR) {
            differentiate(d, bl_row_read(saved->data, saved->dtype, offset, count, kept), count, activation);
            bl_row_close(dy->data, dy->dtype, offset, count, d);
        }
        if (sum) add_row(sum + first, d, count);
    }
}

/*
 * All rows of dy, and dbias += their sum. Rows are summed in chunks fixed by
 * the shape, then the chunks: the result does not depend on the thread count.
 */
static bl_status activation_backward_kernel(bl_context *ctx, float *dbias, bl_tensor *dy, const bl_tensor *saved,
                                            int32_t activation) {
    int64_t rows = dy->shape[0], columns = dy->shape[1];
    int64_t chunk = (rows + 63) / 64;
    chunk = chunk < 16 ? 16 : chunk;
    int64_t chunks = (rows + chunk - 1) / chunk, pitch = (columns + 15) / 16 * 16;
    void *scratch = NULL;
    size_t bytes = dbias ? (size_t) (chunks * pitch) * sizeof(float) : 0;
    if (bytes) BL_TRY(bl_scratch(ctx, bytes, &scratch));
    float *partial = scratch;
#pragma omp parallel num_threads(ctx->threads) if (rows * columns > 1 << 14)
    {
#pragma omp for schedule(static)
        for (int64_t c = 0; c < chunks; c++) {
            float *sum = partial ? partial + c * pitch : NULL;
            if (sum) memset(sum, 0, (size_t) columns * sizeof *sum);
            int64_t end = (c + 1) * chunk < rows ? (c + 1) * chunk : rows;
            for (int64_t t = c * chunk; t < end; t++)
                backward_row(dy, saved, sum, t, activation);
        }
        if (partial) {
#pragma omp for schedule(static)
            for (int64_t first = 0; first < columns; first += 64)
                for (int64_t c = 0; c < chunks; c++)
                    add_row(dbias + first, partial + c * pitch + first, columns - first < 64 ? columns - first : 64);
        }
    }
    return BL_OK;
}

bl_status bl_cpu_column_sums(bl_context *ctx, bl_tensor *sums, bl_tensor *t) {
    memset(sums->data, 0, (size_t) t->shape[1] * sizeof(float));
    return t->shape[0] ? activation_backward_kernel(ctx, sums->data, t, NULL, BL_LINEAR) : BL_OK;
}

bl_status bl_cpu_linear_forward(bl_context *ctx, bl_tensor *y, bl_tensor *pre, const bl_tensor *x, const bl_tensor *w,
                                const bl_tensor *bias, int32_t activation) {
    if (x->shape[0] == 0) return BL_OK;
    bl_tensor *product = pre ? pre : y;
    BL_TRY(bl_cpu_multiply(ctx, &(bl_cpu_product){.m = x->shape[0],
                                                  .n = w->shape[0],
                                                  .k = w->shape[1],
                                                  .a = plain(x),
                                                  .b = transposed(w),
                                                  .c = plain(product),
                                                  .bias = bias ? bias->data : NULL,
                                                  .bias_dtype = bias ? bias->dtype : BL_F32,
                                                  .compute = w->dtype}));
    if (activation != BL_LINEAR) activation_forward_kernel(ctx, y, product, activation);
    return BL_OK;
}

/* dw += dy^T x, or = without `add`. */
static bl_status weight_gradient(bl_context *ctx, bl_tensor *dw, const bl_tensor *dy, const bl_tensor *x, bool add) {
    int64_t inputs = x->shape[1];
    bl_cpu_product product = {.m = dy->shape[1],
                              .n = inputs,
                              .k = x->shape[0],
                              .a = transposed(dy),
                              .b = plain(x),
                              .c = plain(dw),
                              .accumulate = add,
                              .compute = x->dtype};
    bool direct = x->dtype == BL_BF16 && dy->dtype == BL_BF16 && bl_cpu_matmul_native(BL_BF16);
    if (!direct) return bl_cpu_multiply(ctx, &product);
    int64_t pieces = (inputs + GRADIENT_COLUMNS - 1) / GRADIENT_COLUMNS;
    int64_t width = ((inputs + pieces - 1) / pieces + 63) / 64 * 64;
    for (int64_t first = 0; first < inputs; first += width) {
        product.n = inputs - first < width ? inputs - first : width;
        product.b.data = bl_element(x->data, x->dtype, first);
        product.c.data = bl_element(dw->data, dw->dtype, first);
        BL_TRY(bl_cpu_multiply(ctx, &product));
    }
    return BL_OK;
}

bl_status bl_cpu_linear_backward(bl_context *ctx, bl_tensor *dx, bl_tensor *dw, bl_tensor *dbias, bl_tensor *dy,
                                 const bl_tensor *x, const bl_tensor *w, const bl_tensor *saved, int32_t activation,
                                 bool add, const bl_tensor *dy_sums, const bl_tensor *x_pre, bl_tensor *dx_sums,
                                 bool add_to_dx) {
    int64_t rows = x->shape[0], inputs = w->shape[1], outputs = w->shape[0];
    if (dbias && !add) memset(dbias->data, 0, (size_t) outputs * sizeof(float));
    if (dx_sums) memset(dx_sums->data, 0, (size_t) inputs * sizeof(float));
    if (rows == 0) {
        if (dw && !add) memset(dw->data, 0, (size_t) (outputs * inputs) * sizeof(float));
        return BL_OK;
    }
    if (dbias && dy_sums)
        add_row(dbias->data, dy_sums->data, outputs);
    else if (activation != BL_LINEAR || dbias)
        BL_TRY(activation_backward_kernel(ctx, dbias ? dbias->data : NULL, dy, saved, activation));
    if (dx)
        BL_TRY(bl_cpu_multiply(ctx, &(bl_cpu_product){.m = rows,
                                                      .n = inputs,
                                                      .k = outputs,
                                                      .a = plain(dy),
                                                      .b = plain(w),
                                                      .c = plain(dx),
                                                      .accumulate = add_to_dx,
                                                      .compute = w->dtype}));
    if (dw) BL_TRY(weight_gradient(ctx, dw, dy, x, add));
    if (!x_pre && !dx_sums) return BL_OK;
    return activation_backward_kernel(ctx, dx_sums ? dx_sums->data : NULL, dx, x_pre, x_pre ? BL_GELU_TANH : BL_LINEAR);
}
