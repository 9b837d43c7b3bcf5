/*
 * reduce.c - reductions in the order of the ranks. Block by block through a
 * small accumulator, so that the output may be one of the inputs and every
 * input is read once.
 */
#include "reduce.h"

#include "core/half.h"

enum { BLOCK = 1024 };

static void accumulate_f32(float *sum, const float *x, int64_t n, int32_t op) {
    if (op == BL_COMM_SUM) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            sum[i] += x[i];
    } else if (op == BL_COMM_MAX) {
        /* A NaN on either side stays. */
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            sum[i] = sum[i] >= x[i] || sum[i] != sum[i] ? sum[i] : x[i];
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            sum[i] = sum[i] <= x[i] || sum[i] != sum[i] ? sum[i] : x[i];
    }
}

static void accumulate_i64(int64_t *sum, const int64_t *x, int64_t n, int32_t op) {
    for (int64_t i = 0; i < n; i++) {
        if (op == BL_COMM_SUM)
            sum[i] = (int64_t) ((uint64_t) sum[i] + (uint64_t) x[i]); /* wraps */
        else if (op == BL_COMM_MAX ? x[i] > sum[i] : x[i] < sum[i])
            sum[i] = x[i];
    }
}

static void reduce_i64(int64_t *out, const void *const *parts, int32_t ranks, int64_t n, int32_t op) {
    int64_t sum[BLOCK];
    for (int64_t at = 0; at < n; at += BLOCK) {
        int64_t count = n - at < BLOCK ? n - at : BLOCK;
        memcpy(sum, (const int64_t *) parts[0] + at, (size_t) count * sizeof *sum);
        for (int32_t r = 1; r < ranks; r++)
            accumulate_i64(sum, (const int64_t *) parts[r] + at, count, op);
        memcpy(out + at, sum, (size_t) count * sizeof *sum);
    }
}

void bl_comm_reduce(void *out, const void *const *parts, int32_t ranks, int64_t n, int32_t dtype, int32_t op) {
    if (dtype == BL_I64) {
        reduce_i64(out, parts, ranks, n, op);
        return;
    }
    float sum[BLOCK], buffer[BLOCK];
    for (int64_t at = 0; at < n; at += BLOCK) {
        int64_t count = n - at < BLOCK ? n - at : BLOCK;
        bl_row_to_f32(sum, bl_element(parts[0], dtype, at), dtype, count);
        for (int32_t r = 1; r < ranks; r++)
            accumulate_f32(sum, bl_row_read(parts[r], dtype, at, count, buffer), count, op);
        bl_row_from_f32(bl_element(out, dtype, at), dtype, sum, count);
    }
}
