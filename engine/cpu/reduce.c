/*
 * reduce.c - sums, extremes and norms of all elements.
 */
#include <math.h>

#include "core/half.h"
#include "cpu.h"
#include "softmax.h"

enum { CHUNK = 1 << 15, BLOCK = 1024 };

typedef struct partial {
    double sum;
    double square;
    float max;
    float min;
    bool nan;
} partial;

static void add_block(partial *p, const float *row, int64_t n) {
    double sum = 0.0, square = 0.0;
#pragma omp simd reduction(+ : sum, square)
    for (int64_t i = 0; i < n; i++) {
        sum += (double) row[i];
        square += (double) row[i] * (double) row[i];
    }
    float max = bl_row_max(row, n), negated[BLOCK];
    int nan = 0;
#pragma omp simd reduction(| : nan)
    for (int64_t i = 0; i < n; i++) {
        negated[i] = -row[i];
        nan |= row[i] != row[i];
    }
    float min = -bl_row_max(negated, n);
    p->max = max > p->max ? max : p->max;
    p->min = min < p->min ? min : p->min;
    p->nan |= nan != 0;
    p->sum += sum;
    p->square += square;
}

static float finish(const partial *p, int64_t n, int32_t reduction) {
    switch (reduction) {
    case BL_SUM:
        return (float) p->sum;
    case BL_MEAN:
        return (float) (p->sum / (double) n);
    case BL_MAX:
        return p->nan ? NAN : p->max;
    case BL_MIN:
        return p->nan ? NAN : p->min;
    default:
        return (float) sqrt(p->square);
    }
}

bl_status bl_cpu_reduce(bl_context *ctx, bl_tensor *y, const bl_tensor *x, int32_t reduction) {
    int64_t n = bl_tensor_numel(x), chunks = (n + CHUNK - 1) / CHUNK;
    void *scratch;
    BL_TRY(bl_scratch(ctx, (size_t) chunks * sizeof(partial), &scratch));
    partial *parts = scratch;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (chunks > 1)
    for (int64_t c = 0; c < chunks; c++) {
        float buffer[BLOCK];
        partial part = {.max = -INFINITY, .min = INFINITY};
        int64_t end = (c + 1) * CHUNK < n ? (c + 1) * CHUNK : n;
        for (int64_t begin = c * CHUNK; begin < end; begin += BLOCK) {
            int64_t count = end - begin < BLOCK ? end - begin : BLOCK;
            add_block(&part, bl_row_read(x->data, x->dtype, begin, count, buffer), count);
        }
        parts[c] = part;
    }
    partial total = {.max = -INFINITY, .min = INFINITY};
    for (int64_t c = 0; c < chunks; c++) {
        total.sum += parts[c].sum;
        total.square += parts[c].square;
        total.max = parts[c].max > total.max ? parts[c].max : total.max;
        total.min = parts[c].min < total.min ? parts[c].min : total.min;
        total.nan |= parts[c].nan;
    }
    *(float *) y->data = finish(&total, n, reduction);
    return BL_OK;
}
