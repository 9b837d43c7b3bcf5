/*
 * attention.c - self-attention, one (sequence, head) pair at a time.
 *
 * A pair's queries, keys and values are unpacked into zero-padded f32 panels
 * that fit the second cache level; scores exist for a block of queries only.
 * Pairs are independent, so threads share nothing and results do not depend
 * on their number. The backward recomputes the probabilities from the saved
 * log-sum-exp (arXiv 2205.14135, algorithm 4).
 */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "core/half.h"
#include "core/philox.h"
#include "cpu.h"
#include "tile.h"
#include "vecmath.h"

/* Query rows whose scores are held at once. */
enum { BLOCK = 64 };

typedef struct attention_shape {
    int64_t heads;
    int64_t size;       /* D */
    int64_t width;      /* D padded to whole vectors */
    int64_t max_length; /* S */
    int64_t max_padded; /* S padded */
    int32_t dtype;
    float scale;
    bl_dropout_stream drop;
} attention_shape;

/* One sequence and head. */
typedef struct attention_pair {
    int64_t begin;  /* first row */
    int64_t length; /* rows */
    int64_t padded; /* rows padded to whole vectors */
    int64_t head;
    int64_t index; /* b * A + a */
} attention_pair;

static int64_t round_up(int64_t n, int64_t step) {
    return (n + step - 1) / step * step;
}

static attention_shape make_shape(const bl_tensor *qkv, int32_t heads, int32_t max_length, float scale,
                                  const bl_dropout *dropout) {
    int64_t size = qkv->shape[1] / (3 * (int64_t) heads);
    return (attention_shape){.heads = heads,
                             .size = size,
                             .width = round_up(size, BL_TILE_COLUMNS),
                             .max_length = max_length,
                             .max_padded = round_up(max_length, BL_TILE_COLUMNS),
                             .dtype = qkv->dtype,
                             .scale = scale,
                             .drop = bl_dropout_open(dropout)};
}

static attention_pair make_pair(const attention_shape *shape, const int32_t *segments, int64_t index) {
    int64_t b = index / shape->heads;
    return (attention_pair){.begin = segments[2 * b],
                            .length = segments[2 * b + 1],
                            .padded = round_up(segments[2 * b + 1], BL_TILE_COLUMNS),
                            .head = index % shape->heads,
                            .index = index};
}

/* panel [padded, width] = the pair's rows of one of q, k, v (or of out), times factor. */
static void load_panel(float *panel, const attention_shape *shape, const attention_pair *pair, const bl_tensor *t,
                       int64_t part, float factor) {
    int64_t stride = t->shape[1], width = shape->width, size = shape->size;
    int64_t column = (part * shape->heads + pair->head) * size;
    for (int64_t i = 0; i < pair->length; i++) {
        float *row = panel + i * width;
        bl_row_to_f32(row, bl_element(t->data, t->dtype, (pair->begin + i) * stride + column), t->dtype, size);
        if (factor != 1.0f) {
#pragma omp simd
            for (int64_t d = 0; d < size; d++)
                row[d] *= factor;
        }
        for (int64_t d = size; d < width; d++)
            row[d] = 0.0f;
    }
    memset(panel + pair->length * width, 0, (size_t) ((pair->padded - pair->length) * width) * sizeof *panel);
}

static void store_panel(const float *panel, const attention_shape *shape, const attention_pair *pair, int64_t first,
                        int64_t count, bl_tensor *t, int64_t part) {
    int64_t stride = t->shape[1];
    int64_t column = (part * shape->heads + pair->head) * shape->size;
    for (int64_t i = 0; i < count; i++)
        bl_row_from_f32(bl_element(t->data, t->dtype, (pair->begin + first + i) * stride + column), t->dtype,
                        panel + i * shape->width, shape->size);
}

/* out [width, padded] = panel [padded, width] transposed, in squares that stay in the first cache level. */
static void transpose_panel(float *restrict out, const float *restrict panel, int64_t width, int64_t padded) {
    for (int64_t j = 0; j < padded; j += 16)
        for (int64_t d = 0; d < width; d += 16)
            for (int64_t e = 0; e < 16; e++)
                for (int64_t i = 0; i < 16; i++)
                    out[(d + e) * padded + j + i] = panel[(j + i) * width + d + e];
}

static void fill_keep(float *keep, const attention_shape *shape, const attention_pair *pair, int64_t query) {
    int64_t element = (pair->index * shape->max_length + query) * shape->max_length;
    bl_dropout_fill(&shape->drop, element, pair->length, keep);
}

/* Scores of one query become dropped-out probabilities; returns the log-sum-exp. */
static float softmax_row(float *row, int64_t length, int64_t padded) {
    float top = row[0];
#pragma omp simd reduction(max : top)
    for (int64_t j = 0; j < length; j++)
        top = row[j] > top ? row[j] : top;
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < length; j++) {
        row[j] = bl_vec_exp(row[j] - top);
        sum += row[j];
    }
    float inverse = 1.0f / sum;
#pragma omp simd
    for (int64_t j = 0; j < length; j++)
        row[j] *= inverse;
    for (int64_t j = length; j < padded; j++)
        row[j] = 0.0f;
    return top + logf(sum);
}

static void multiply_row(float *restrict row, const float *restrict factor, int64_t n) {
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        row[j] *= factor[j];
}

/* Floats of a thread's workspace in the forward: q, k transposed, k or v, block of scores, block of out, keep. */
static int64_t forward_workspace(const attention_shape *shape) {
    int64_t panel = shape->max_padded * shape->width;
    return 3 * panel + BLOCK * (shape->max_padded + shape->width) + shape->max_padded;
}

static void forward_pair(bl_tensor *out, bl_tensor *stats, const bl_tensor *qkv, const attention_shape *shape,
                         const attention_pair *pair, float *workspace) {
    int64_t width = shape->width, padded = pair->padded, panel = shape->max_padded * width;
    float *q = workspace, *kt = q + panel, *v = kt + panel;
    float *scores = v + panel, *result = scores + BLOCK * shape->max_padded, *keep = result + BLOCK * width;
    float *lse = stats ? (float *) stats->data + pair->index * shape->max_length : NULL;

    load_panel(v, shape, pair, qkv, 1, 1.0f);
    transpose_panel(kt, v, width, padded);
    load_panel(v, shape, pair, qkv, 2, 1.0f);
    load_panel(q, shape, pair, qkv, 0, shape->scale);
    for (int64_t first = 0; first < pair->length; first += BLOCK) {
        int64_t count = pair->length - first < BLOCK ? pair->length - first : BLOCK;
        int64_t rows = round_up(count, BL_TILE_ROWS);
        bl_tile_product(scores, padded, q + first * width, width, 1, kt, padded, rows, padded, shape->size, false);
        for (int64_t i = 0; i < count; i++) {
            float *row = scores + i * padded;
            float value = softmax_row(row, pair->length, padded);
            if (lse) lse[first + i] = value;
            if (shape->drop.active) {
                fill_keep(keep, shape, pair, first + i);
                multiply_row(row, keep, pair->length);
            }
        }
        bl_tile_product(result, width, scores, padded, 1, v, width, rows, width, pair->length, false);
        store_panel(result, shape, pair, first, count, out, 0);
    }
}

/* Floats of a thread's workspace in the backward: eight panels, two blocks of scores, a block of dq, keep. */
static int64_t backward_workspace(const attention_shape *shape) {
    int64_t panel = shape->max_padded * shape->width;
    return 8 * panel + BLOCK * (2 * shape->max_padded + shape->width) + shape->max_padded;
}

/*
 * One query row: scores become P and dprobabilities dS. With P = exp(s - lse)
 * and R the dropout multipliers, dP = R * (dO V^T), delta = sum_j P dP, dS = P
 * * (dP - delta); afterwards scores holds P * R, which the gradient of V needs.
 */
static void backward_row(float *restrict scores, float *restrict gradient, const float *restrict keep, int64_t length,
                         int64_t padded, float lse) {
    float delta = 0.0f;
    if (keep) multiply_row(gradient, keep, length);
#pragma omp simd reduction(+ : delta)
    for (int64_t j = 0; j < length; j++) {
        scores[j] = bl_vec_exp(scores[j] - lse);
        delta += scores[j] * gradient[j];
    }
#pragma omp simd
    for (int64_t j = 0; j < length; j++)
        gradient[j] = scores[j] * (gradient[j] - delta);
    if (keep) multiply_row(scores, keep, length);
    for (int64_t j = length; j < padded; j++)
        scores[j] = gradient[j] = 0.0f;
}

static void backward_pair(bl_tensor *dqkv, const bl_tensor *dout, const bl_tensor *stats, const bl_tensor *qkv,
                          const attention_shape *shape, const attention_pair *pair, float *workspace) {
    int64_t width = shape->width, padded = pair->padded, length = pair->length, panel = shape->max_padded * width;
    float *q = workspace, *k = q + panel, *kt = k + panel, *vt = kt + panel, *grad = vt + panel;
    float *dk = grad + panel, *dv = dk + panel, *v = dv + panel;
    float *scores = v + panel, *dscores = scores + BLOCK * shape->max_padded;
    float *dq = dscores + BLOCK * shape->max_padded, *keep = dq + BLOCK * width;
    const float *lse = (const float *) stats->data + pair->index * shape->max_length;

    load_panel(v, shape, pair, qkv, 2, 1.0f);
    transpose_panel(vt, v, width, padded);
    load_panel(k, shape, pair, qkv, 1, shape->scale);
    transpose_panel(kt, k, width, padded);
    load_panel(q, shape, pair, qkv, 0, 1.0f);
    load_panel(grad, shape, pair, dout, 0, 1.0f);
    for (int64_t first = 0; first < length; first += BLOCK) {
        int64_t count = length - first < BLOCK ? length - first : BLOCK;
        int64_t rows = round_up(count, BL_TILE_ROWS);
        const float *q_block = q + first * width, *grad_block = grad + first * width;
        bl_tile_product(scores, padded, q_block, width, 1, kt, padded, rows, padded, shape->size, false);
        bl_tile_product(dscores, padded, grad_block, width, 1, vt, padded, rows, padded, shape->size, false);
        for (int64_t i = 0; i < count; i++) {
            if (shape->drop.active) fill_keep(keep, shape, pair, first + i);
            backward_row(scores + i * padded, dscores + i * padded, shape->drop.active ? keep : NULL, length, padded,
                         lse[first + i]);
        }
        bool more = first > 0;
        bl_tile_product(dv, width, scores, 1, padded, grad_block, width, padded, width, count, more);
        bl_tile_product(dk, width, dscores, 1, padded, q_block, width, padded, width, count, more);
        /* k carries the scale already. */
        bl_tile_product(dq, width, dscores, padded, 1, k, width, rows, width, length, false);
        store_panel(dq, shape, pair, first, count, dqkv, 0);
    }
    for (int64_t i = 0; i < length * width; i++)
        dk[i] *= shape->scale;
    store_panel(dk, shape, pair, 0, length, dqkv, 1);
    store_panel(dv, shape, pair, 0, length, dqkv, 2);
}

/* Zeroes the rows of t that belong to no segment; covered [T] is scratch. */
static void clear_gaps(bl_tensor *t, const int32_t *segments, int64_t count, unsigned char *covered) {
    int64_t rows = t->shape[0], used = 0;
    for (int64_t b = 0; b < count; b++)
        used += segments[2 * b + 1];
    if (used == rows) return;
    memset(covered, 0, (size_t) rows);
    for (int64_t b = 0; b < count; b++)
        memset(covered + segments[2 * b], 1, (size_t) segments[2 * b + 1]);
    size_t bytes = (size_t) t->shape[1] * bl_dtype_size(t->dtype);
    for (int64_t i = 0; i < rows; i++)
        if (!covered[i]) memset((char *) t->data + (size_t) i * bytes, 0, bytes);
}

/* One workspace a thread, and a byte for each row of the batch behind them. */
static bl_status make_workspace(bl_context *ctx, int64_t floats, int64_t rows, float **out, unsigned char **covered) {
    void *memory = NULL;
    size_t bytes = (size_t) floats * sizeof(float) * (size_t) ctx->threads;
    BL_TRY(bl_scratch(ctx, bytes + (size_t) rows, &memory));
    *out = memory;
    *covered = (unsigned char *) memory + bytes;
    return BL_OK;
}

bl_status bl_cpu_attention_forward(bl_context *ctx, bl_tensor *out, bl_tensor *stats, const bl_tensor *qkv,
                                   const bl_tensor *segments, int32_t heads, int32_t max_length, float scale,
                                   const bl_dropout *dropout) {
    attention_shape shape = make_shape(qkv, heads, max_length, scale, dropout);
    const int32_t *bounds = segments->data;
    int64_t pairs = segments->shape[0] * heads, floats = forward_workspace(&shape);
    float *workspace;
    unsigned char *covered;
    BL_TRY(make_workspace(ctx, floats, qkv->shape[0], &workspace, &covered));
    clear_gaps(out, bounds, segments->shape[0], covered);
#pragma omp parallel for num_threads(ctx->threads) schedule(dynamic)
    for (int64_t i = 0; i < pairs; i++) {
        attention_pair pair = make_pair(&shape, bounds, i);
        forward_pair(out, stats, qkv, &shape, &pair, workspace + floats * omp_get_thread_num());
    }
    return BL_OK;
}

bl_status bl_cpu_attention_backward(bl_context *ctx, bl_tensor *dqkv, const bl_tensor *dout, const bl_tensor *out,
                                    const bl_tensor *stats, const bl_tensor *qkv, const bl_tensor *segments,
                                    int32_t heads, int32_t max_length, float scale, const bl_dropout *dropout) {
    (void) out; /* delta is summed from the probabilities at hand, which is more exact than out in half precision */
    attention_shape shape = make_shape(qkv, heads, max_length, scale, dropout);
    const int32_t *bounds = segments->data;
    int64_t pairs = segments->shape[0] * heads, floats = backward_workspace(&shape);
    float *workspace;
    unsigned char *covered;
    BL_TRY(make_workspace(ctx, floats, qkv->shape[0], &workspace, &covered));
    clear_gaps(dqkv, bounds, segments->shape[0], covered);
#pragma omp parallel for num_threads(ctx->threads) schedule(dynamic)
    for (int64_t i = 0; i < pairs; i++) {
        attention_pair pair = make_pair(&shape, bounds, i);
        backward_pair(dqkv, dout, stats, qkv, &shape, &pair, workspace + floats * omp_get_thread_num());
    }
    return BL_OK;
}
