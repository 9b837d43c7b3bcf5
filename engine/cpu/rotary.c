/*
 * rotary.c - rotary position embeddings (arXiv 2104.09864) of queries and keys
 * that stand side by side with the values.
 *
 * Sines cost more than the rotation, and positions recur from sequence to
 * sequence: they are computed once per position, in f64, since an angle of many
 * turns would lose in f32 what the sine is made of.
 */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "core/half.h"
#include "cpu.h"

/* Cosines, then sines, of one position. */
static void fill_entry(float *entry, int64_t half, int64_t position, const double *frequency, bool inverse) {
    for (int64_t i = 0; i < half; i++) {
        double angle = (double) position * frequency[i];
        entry[i] = (float) cos(angle);
        entry[half + i] = (float) (inverse ? -sin(angle) : sin(angle));
    }
}

static void rotate(float *restrict row, const float *restrict entry, int64_t half) {
    const float *cosine = entry, *sine = entry + half;
    float *first = row, *second = row + half;
#pragma omp simd
    for (int64_t i = 0; i < half; i++) {
        float a = first[i], b = second[i];
        first[i] = a * cosine[i] - b * sine[i];
        second[i] = b * cosine[i] + a * sine[i];
    }
}

bl_status bl_cpu_rotary(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_tensor *positions, int32_t heads,
                        float base, bool inverse) {
    int64_t rows = x->shape[0], hidden = x->shape[1] / 3, size = hidden / heads, half = size / 2;
    int32_t dtype = x->dtype;
    const int32_t *position = positions->data;
    int64_t highest = -1;
    for (int64_t t = 0; t < rows; t++)
        highest = position[t] > highest ? position[t] : highest;
    /* An entry per position, or, where few of many occur, per row. */
    bool by_position = highest < rows;
    int64_t entries = by_position ? highest + 1 : rows;
    size_t frequency_bytes = (size_t) half * sizeof(double), table_bytes = (size_t) (entries * size) * sizeof(float);
    size_t row_bytes = (size_t) (2 * hidden) * sizeof(float);
    void *scratch;
    BL_TRY(bl_scratch(ctx, frequency_bytes + table_bytes + (size_t) ctx->threads * row_bytes, &scratch));
    double *frequency = scratch;
    void *behind = (char *) scratch + frequency_bytes;
    float *table = behind, *buffers = table + entries * size;
    for (int64_t i = 0; i < half; i++)
        frequency[i] = pow((double) base, -2.0 * (double) i / (double) size);
#pragma omp parallel num_threads(ctx->threads) if (rows * hidden > 1 << 13)
    {
#pragma omp for schedule(static)
        for (int64_t e = 0; e < entries; e++)
            fill_entry(table + e * size, half, by_position ? e : position[e], frequency, inverse);
        float *row = buffers + omp_get_thread_num() * 2 * hidden;
#pragma omp for schedule(static)
        for (int64_t t = 0; t < rows; t++) {
            const float *entry = table + (by_position ? position[t] : t) * size;
            int64_t at = 3 * t * hidden;
            bl_row_to_f32(row, bl_element(x->data, dtype, at), dtype, 2 * hidden);
            for (int64_t head = 0; head < 2 * heads; head++)
                rotate(row + head * size, entry, half);
            bl_row_from_f32(bl_element(y->data, dtype, at), dtype, row, 2 * hidden);
            if (y->data != x->data)
                memcpy(bl_element(y->data, dtype, at + 2 * hidden), bl_element(x->data, dtype, at + 2 * hidden),
                       (size_t) hidden * bl_dtype_size(dtype));
        }
    }
    return BL_OK;
}
