/*
 * reduce_dims.c - sums, means and extremes along dimensions, their gradients,
 * and the index of the largest element.
 *
 * The dimensions of x fall into two groups, kept and reduced, each a list of
 * elements (operand.h). Where reduced elements are neighbours in memory, a row
 * of them is folded into a number; else rows of kept elements are folded into
 * a row of results. Long reductions to few results are cut into chunks whose
 * size depends on the shape alone, so that sums have one order.
 */
#include <math.h>

#include "cpu.h"
#include "operand.h"
#include "softmax.h"

enum { BLOCK = 1024, CHUNKS = 64, SHORT = 32, WORK = 1 << 15 };

/* Besides the reductions of the API: how many elements equal the result, a NaN to a NaN. */
enum { EQUAL = BL_NORM + 1 };

typedef struct plan {
    bl_operand kept;
    bl_operand reduced;
    int64_t results;
    int64_t elements;        /* of each result */
    int32_t fold;            /* a bl_reduction or EQUAL */
    const bl_tensor *target; /* what EQUAL compares with */
    bool rows;               /* reduced elements are neighbours */
    int64_t group;           /* results a task takes, at most BLOCK */
    int64_t chunk;           /* elements a task takes */
    int64_t chunks;
} plan;

static plan plan_of(const bl_tensor *x, const bl_tensor *y, int32_t fold) {
    plan p = {.kept = bl_operand_open(x), .reduced = bl_operand_open(x), .fold = fold, .results = 1, .elements = 1};
    for (int32_t d = 0; d < x->ndim; d++) {
        bool kept = y->shape[d] == x->shape[d];
        bl_operand_add(kept ? &p.kept : &p.reduced, x->shape[d], x->stride[d]);
        *(kept ? &p.results : &p.elements) *= x->shape[d];
    }
    int32_t k = p.kept.ndim - 1, r = p.reduced.ndim - 1;
    p.rows = p.results == 1 || (p.reduced.stride[r] < p.kept.stride[k] && p.reduced.shape[r] >= SHORT);
    p.group = BLOCK;
    if (p.rows) p.group = p.elements < WORK ? WORK / (p.elements ? p.elements : 1) : 1;
    if (p.group > BLOCK) p.group = BLOCK;
    /* Chunks only where there are too few groups to share among threads. */
    int64_t width = p.results < BLOCK ? p.results + 1 : BLOCK;
    int64_t least = p.rows ? WORK : WORK / width + 1;
    p.chunk = bl_cpu_ceil_div(p.elements, CHUNKS) < least ? least : bl_cpu_ceil_div(p.elements, CHUNKS);
    if (bl_cpu_ceil_div(p.results, p.group) >= CHUNKS || p.elements < 2 * least) p.chunk = p.elements ? p.elements : 1;
    p.chunks = p.elements ? bl_cpu_ceil_div(p.elements, p.chunk) : 1;
    return p;
}

static double start_of(int32_t fold) {
    return fold == BL_MAX ? -INFINITY : fold == BL_MIN ? INFINITY : 0.0;
}

static double larger(double a, double b) {
    return b > a || b != b ? b : a;
}

static double smaller(double a, double b) {
    return b < a || b != b ? b : a;
}

static bool has_nan(const float *row, int64_t n) {
    int nan = 0;
#pragma omp simd reduction(| : nan)
    for (int64_t i = 0; i < n; i++)
        nan |= row[i] != row[i];
    return nan != 0;
}

static double fold_row(int32_t fold, const float *row, int64_t n, float target) {
    float negated[BLOCK];
    double sum = 0.0;
    switch (fold) {
    case BL_MAX:
        return has_nan(row, n) ? NAN : bl_row_max(row, n);
    case BL_MIN:
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            negated[i] = -row[i];
        return has_nan(row, n) ? NAN : -bl_row_max(negated, n);
    case EQUAL:
        for (int64_t i = 0; i < n; i++)
            sum += row[i] == target || (row[i] != row[i] && target != target);
        return sum;
    default:
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < n; i++)
            sum += (double) row[i];
        return sum;
    }
}

static void fold_into(int32_t fold, double *results, const float *row, int64_t n, const float *target) {
    switch (fold) {
    case BL_MAX:
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            results[i] = larger(results[i], row[i]);
        break;
    case BL_MIN:
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            results[i] = smaller(results[i], row[i]);
        break;
    case EQUAL:
        for (int64_t i = 0; i < n; i++)
            results[i] += row[i] == target[i] || (row[i] != row[i] && target[i] != target[i]);
        break;
    default:
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            results[i] += (double) row[i];
    }
}

static double join(int32_t fold, double a, double b) {
    return fold == BL_MAX ? larger(a, b) : fold == BL_MIN ? smaller(a, b) : a + b;
}

/* n results from number `first`, each over elements [begin, end). */
static void fold_block(const plan *p, int64_t first, int64_t n, int64_t begin, int64_t end, double *results) {
    float buffer[BLOCK], target_buffer[BLOCK];
    const float *target = target_buffer;
    if (p->target) target = bl_row_read(p->target->data, p->target->dtype, first, n, target_buffer);
    for (int64_t i = 0; i < n; i++)
        results[i] = start_of(p->fold);
    if (!p->rows) {
        for (int64_t r = begin; r < end; r++) {
            int64_t base = bl_operand_offset(&p->reduced, r);
            fold_into(p->fold, results, bl_operand_read(&p->kept, base, first, n, buffer), n, target);
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t base = bl_operand_offset(&p->kept, first + i);
        for (int64_t r = begin; r < end; r += BLOCK) {
            int64_t count = end - r < BLOCK ? end - r : BLOCK;
            const float *row = bl_operand_read(&p->reduced, base, r, count, buffer);
            double value = fold_row(p->fold, row, count, p->target ? target[i] : 0.0f);
            results[i] = join(p->fold, results[i], value);
        }
    }
}

static void write_results(const plan *p, bl_tensor *y, int64_t first, int64_t n, const double *results) {
    float row[BLOCK];
    double divisor = p->fold == BL_MEAN ? (double) p->elements : 1.0;
    for (int64_t i = 0; i < n; i++)
        row[i] = (float) (results[i] / divisor);
    bl_row_from_f32(bl_element(y->data, y->dtype, first), y->dtype, row, n);
}

static size_t partial_bytes(const plan *p) {
    return p->chunks > 1 ? (size_t) (p->chunks * p->results) * sizeof(double) : 0;
}

/* partials: room for partial_bytes. */
static void reduce(bl_context *ctx, const plan *p, bl_tensor *y, double *partials) {
    int64_t groups = bl_cpu_ceil_div(p->results, p->group), tasks = groups * p->chunks;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (p->results * p->elements > WORK)
    for (int64_t task = 0; task < tasks; task++) {
        double results[BLOCK];
        int64_t first = task % groups * p->group, begin = task / groups * p->chunk;
        int64_t n = p->results - first < p->group ? p->results - first : p->group;
        int64_t end = p->elements - begin < p->chunk ? p->elements : begin + p->chunk;
        if (p->chunks > 1) {
            fold_block(p, first, n, begin, end, partials + task / groups * p->results + first);
        } else {
            fold_block(p, first, n, begin, end, results);
            write_results(p, y, first, n, results);
        }
    }
    if (p->chunks == 1) return;
    for (int64_t c = 1; c < p->chunks; c++) {
        const double *part = partials + c * p->results;
        for (int64_t i = 0; i < p->results; i++)
            partials[i] = join(p->fold, partials[i], part[i]);
    }
    for (int64_t first = 0; first < p->results; first += BLOCK)
        write_results(p, y, first, p->results - first < BLOCK ? p->results - first : BLOCK, partials + first);
}

bl_status bl_cpu_reduce_dims(bl_context *ctx, bl_tensor *y, const bl_tensor *x, int32_t reduction) {
    plan p = plan_of(x, y, reduction);
    void *partials = NULL;
    if (partial_bytes(&p) > 0) BL_TRY(bl_scratch(ctx, partial_bytes(&p), &partials));
    reduce(ctx, &p, y, partials);
    return BL_OK;
}

/* dx = dy / divisor, repeated. */
static void repeat(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, float divisor) {
    bl_operand from = bl_operand_of(dy, dx);
    int64_t total = bl_tensor_numel(dx);
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (total > WORK)
    for (int64_t begin = 0; begin < total; begin += BLOCK) {
        float d_buffer[BLOCK], buffer[BLOCK];
        int64_t n = total - begin < BLOCK ? total - begin : BLOCK;
        const float *d = bl_operand_read(&from, 0, begin, n, d_buffer);
        float *row = bl_row_open(dx->data, dx->dtype, begin, buffer);
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            row[i] = d[i] / divisor;
        bl_row_close(dx->data, dx->dtype, begin, n, row);
    }
}

bl_status bl_cpu_reduce_dims_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *x,
                                      const bl_tensor *y, int32_t reduction) {
    if (bl_tensor_numel(dx) == 0) return BL_OK;
    if (reduction == BL_SUM || reduction == BL_MEAN) {
        int64_t elements = bl_tensor_numel(dx) / bl_tensor_numel(dy);
        repeat(ctx, dx, dy, reduction == BL_MEAN ? (float) elements : 1.0f);
        return BL_OK;
    }
    plan p = plan_of(x, y, EQUAL);
    p.target = y;
    size_t bytes = (partial_bytes(&p) + 63) / 64 * 64;
    void *scratch;
    BL_TRY(bl_scratch(ctx, bytes + (size_t) p.results * sizeof(float), &scratch));
    bl_tensor count = *y;
    count.dtype = BL_F32, count.data = (char *) scratch + bytes;
    reduce(ctx, &p, &count, scratch);

    bl_operand of_x = bl_operand_of(x, dx), of_y = bl_operand_of(y, dx), of_dy = bl_operand_of(dy, dx);
    bl_operand of_count = bl_operand_of(&count, dx);
    int64_t total = bl_tensor_numel(dx);
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (total > WORK)
    for (int64_t begin = 0; begin < total; begin += BLOCK) {
        float x_buffer[BLOCK], y_buffer[BLOCK], d_buffer[BLOCK], count_buffer[BLOCK], buffer[BLOCK];
        int64_t n = total - begin < BLOCK ? total - begin : BLOCK;
        const float *u = bl_operand_read(&of_x, 0, begin, n, x_buffer);
        const float *v = bl_operand_read(&of_y, 0, begin, n, y_buffer);
        const float *d = bl_operand_read(&of_dy, 0, begin, n, d_buffer);
        const float *counts = bl_operand_read(&of_count, 0, begin, n, count_buffer);
        float *row = bl_row_open(dx->data, dx->dtype, begin, buffer);
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            row[i] = u[i] == v[i] || (u[i] != u[i] && v[i] != v[i]) ? d[i] / counts[i] : 0.0f;
        bl_row_close(dx->data, dx->dtype, begin, n, row);
    }
    return BL_OK;
}

/* Index of the largest of a row of elements, its first NaN if it has one. */
static int64_t largest_of(const plan *p, int64_t base) {
    float buffer[BLOCK], best = -INFINITY;
    int64_t index = 0;
    for (int64_t begin = 0; begin < p->elements; begin += BLOCK) {
        int64_t n = p->elements - begin < BLOCK ? p->elements - begin : BLOCK;
        const float *row = bl_operand_read(&p->reduced, base, begin, n, buffer);
        bool nan = has_nan(row, n);
        float max = bl_row_max(row, n);
        if (!nan && !(max > best)) continue;
        for (int64_t i = 0; i < n; i++) {
            if (nan ? row[i] != row[i] : row[i] == max) {
                index = begin + i;
                break;
            }
        }
        if (nan) break;
        best = max;
    }
    return index;
}

static void largest_of_rows(const plan *p, int64_t first, int64_t n, int32_t *index) {
    float buffer[BLOCK], best[BLOCK];
    for (int64_t i = 0; i < n; i++)
        best[i] = -INFINITY, index[i] = 0;
    for (int64_t r = 0; r < p->elements; r++) {
        int64_t base = bl_operand_offset(&p->reduced, r);
        const float *row = bl_operand_read(&p->kept, base, first, n, buffer);
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            bool take = row[i] > best[i] || (row[i] != row[i] && best[i] == best[i]);
            best[i] = take ? row[i] : best[i];
            index[i] = take ? (int32_t) r : index[i];
        }
    }
}

bl_status bl_cpu_argmax(bl_context *ctx, bl_tensor *index, const bl_tensor *x, int32_t dim) {
    (void) dim; /* index says it: its size there is 1 */
    plan p = plan_of(x, index, BL_MAX);
    int32_t *to = index->data;
    int64_t groups = bl_cpu_ceil_div(p.results, p.group);
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (p.results * p.elements > WORK)
    for (int64_t g = 0; g < groups; g++) {
        int64_t first = g * p.group;
        int64_t n = p.results - first < p.group ? p.results - first : p.group;
        if (!p.rows) {
            largest_of_rows(&p, first, n, to + first);
            continue;
        }
        for (int64_t i = 0; i < n; i++)
            to[first + i] = (int32_t) largest_of(&p, bl_operand_offset(&p.kept, first + i));
    }
    return BL_OK;
}
