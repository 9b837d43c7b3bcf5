/*
 * quantize.c - weights of 8 bits with a scale for each row, as files of
 * parameters hold them. Products of such weights do not belong here.
 */
#include "core/internal.h"

#include <math.h>

/* The largest magnitude of an element: -128 is left out, so that the negative of each value exists. */
#define MOST 127.0f

static bool is_matrix(const bl_tensor *t, int32_t dtype, int64_t rows, int64_t columns) {
    return t && t->dtype == dtype && t->device == BL_CPU && t->ndim == 2 && t->shape[0] == rows &&
           t->shape[1] == columns && bl_tensor_is_contiguous(t);
}

static bl_status check(const char *op, const bl_tensor *w, const bl_tensor *q, const bl_tensor *scale) {
    if (!w || w->ndim != 2 || !is_matrix(w, BL_F32, w->shape[0], w->shape[1]))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: w is not a contiguous matrix f32 [R,C] on the CPU", op);
    long long rows = (long long) w->shape[0], columns = (long long) w->shape[1];
    if (!is_matrix(q, BL_I8, w->shape[0], w->shape[1]))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: q is not a contiguous matrix i8 [%lld,%lld] on the CPU, as w asks for",
                       op, rows, columns);
    if (!is_matrix(scale, BL_F32, w->shape[0], 1))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: scale is not a contiguous matrix f32 [%lld,1] on the CPU, as w asks for",
                       op, rows);
    return BL_OK;
}

/* Largest magnitude of a row; NaN if it holds one. */
static float magnitude_of(const float *row, int64_t columns) {
    float most = 0, poison = 0;
    for (int64_t c = 0; c < columns; c++) {
        float x = fabsf(row[c]);
        most = x > most ? x : most;
        /* NaN compares false above; its product with 0 is NaN, as that of inf is. */
        poison += x * 0;
    }
    return most + poison;
}

BL_API bl_status bl_quantize_rows(const bl_tensor *w, bl_tensor *q, bl_tensor *scale, double *error) {
    BL_TRY(check("quantize_rows", w, q, scale));
    int64_t rows = w->shape[0], columns = w->shape[1];
    for (int64_t r = 0; r < rows; r++) {
        float most = magnitude_of((const float *) w->data + r * columns, columns);
        if (isnan(most))
            return bl_fail(BL_ERROR_ARGUMENT, "quantize_rows: row %lld of w holds a NaN or inf", (long long) r);
    }
    double missed = 0, whole = 0;
    for (int64_t r = 0; r < rows; r++) {
        const float *from = (const float *) w->data + r * columns;
        int8_t *to = (int8_t *) q->data + r * columns;
        float step = magnitude_of(from, columns) / MOST;
        /* Of zeros alone, or of numbers so small that none is left of their 127th part. */
        if (step == 0) step = 1;
        for (int64_t c = 0; c < columns; c++) {
            /* To even, which is C's mode unless a program changes it. A step that is subnormal is itself rounded. */
            float x = nearbyintf(from[c] / step);
            x = x > MOST ? MOST : x < -MOST ? -MOST : x;
            to[c] = (int8_t) x;
            double miss = (double) from[c] - (double) x * step;
            missed += miss * miss;
            whole += (double) from[c] * from[c];
        }
        ((float *) scale->data)[r] = step;
    }
    if (error) *error = whole > 0 ? sqrt(missed / whole) : 0;
    return BL_OK;
}

BL_API bl_status bl_dequantize_rows(const bl_tensor *q, const bl_tensor *scale, bl_tensor *w) {
    BL_TRY(check("dequantize_rows", w, q, scale));
    int64_t rows = w->shape[0], columns = w->shape[1];
    for (int64_t r = 0; r < rows; r++) {
        const int8_t *from = (const int8_t *) q->data + r * columns;
        float *to = (float *) w->data + r * columns, step = ((const float *) scale->data)[r];
        for (int64_t c = 0; c < columns; c++)
            to[c] = (float) from[c] * step;
    }
    return BL_OK;
}
