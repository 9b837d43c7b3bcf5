/*
 * attention.c - self-attention, one (sequence, head) pair at a time.
 *
 * A pair's queries, keys and values are unpacked into zero-padded f32 panels
 * that fit the second cache level; scores exist for a block of queries only.
 * Pairs are independent, so threads share nothing and results do not depend
 * on their number. The backward recomputes the probabilities from the saved
 * log-sum-exp (arXiv 2205.14135, algorithm 4).
 */
#include <omp.h>
#include <string.h>

#include "attention.h"
#include "cpu.h"

enum { BLOCK = BL_ATTENTION_BLOCK };

static bl_attention_shape make_shape(const bl_tensor *qkv, const bl_tensor *kept, int32_t heads, int32_t max_length,
                                     float scale, const bl_dropout *dropout) {
    int64_t size = qkv->shape[1] / (3 * (int64_t) heads);
    return (bl_attention_shape){.heads = heads,
                                .size = size,
                                .width = bl_attention_round(size, BL_TILE_COLUMNS),
                                .max_length = max_length,
                                .max_padded = bl_attention_round(max_length, BL_TILE_COLUMNS),
                                .scale = scale,
                                .drop = bl_dropout_open(dropout),
                                .kept = kept ? kept->data : NULL,
                                .kept_row = bl_attention_round(max_length, 64) / 8,
                                .kept_pair = kept ? kept->shape[2] * (int64_t) sizeof(int32_t) : 0};
}

static bl_attention_pair make_pair(const bl_attention_shape *shape, const int32_t *segments, int64_t index) {
    int64_t b = index / shape->heads;
    return (bl_attention_pair){.begin = segments[2 * b],
                               .length = segments[2 * b + 1],
                               .padded = bl_attention_round(segments[2 * b + 1], BL_TILE_COLUMNS),
                               .head = index % shape->heads,
                               .index = index};
}

/* panel [padded, width] = the pair's rows of q, k, v or of a gradient, padded with zeros. */
static void load_panel(float *panel, const bl_attention_shape *shape, const bl_attention_pair *pair, const bl_tensor *t,
                       int64_t part) {
    int64_t width = shape->width, size = shape->size;
    for (int64_t i = 0; i < pair->length; i++) {
        float *row = panel + i * width;
        bl_row_to_f32(row, bl_attention_row(shape, pair, t, part, i), t->dtype, size);
        for (int64_t d = size; d < width; d++)
            row[d] = 0.0f;
    }
    memset(panel + pair->length * width, 0, (size_t) ((pair->padded - pair->length) * width) * sizeof *panel);
}

/* out [width, padded] = panel [padded, width] transposed, in squares that stay in the first cache level. */
static void transpose_panel(float *restrict out, const float *restrict panel, int64_t width, int64_t padded) {
    for (int64_t j = 0; j < padded; j += 16)
        for (int64_t d = 0; d < width; d += 16)
            for (int64_t e = 0; e < 16; e++)
                for (int64_t i = 0; i < 16; i++)
                    out[(d + e) * padded + j + i] = panel[(j + i) * width + d + e];
}

/* Floats of a thread's workspace in the forward: q, k transposed, k or v, block of scores, block of out, keep. */
static int64_t forward_floats(const bl_attention_shape *shape) {
    int64_t panel = shape->max_padded * shape->width;
    return 3 * panel + BLOCK * (shape->max_padded + shape->width) + shape->max_padded;
}

static void forward_pair(bl_tensor *out, bl_tensor *stats, const bl_tensor *qkv, const bl_attention_shape *shape,
                         const bl_attention_pair *pair, float *workspace) {
    int64_t width = shape->width, padded = pair->padded, panel = shape->max_padded * width;
    float *q = workspace, *kt = q + panel, *v = kt + panel;
    float *scores = v + panel, *result = scores + BLOCK * shape->max_padded, *keep = result + BLOCK * width;
    float *lse = stats ? (float *) stats->data + pair->index * shape->max_length : NULL;

    load_panel(v, shape, pair, qkv, 1);
    transpose_panel(kt, v, width, padded);
    load_panel(v, shape, pair, qkv, 2);
    load_panel(q, shape, pair, qkv, 0);
    for (int64_t first = 0; first < pair->length; first += BLOCK) {
        int64_t count = pair->length - first < BLOCK ? pair->length - first : BLOCK;
        int64_t rows = bl_attention_round(count, BL_TILE_ROWS);
        bl_tile_product(scores, padded, q + first * width, width, 1, kt, padded, rows, padded, shape->size, false);
        float factors[BLOCK];
        for (int64_t i = 0; i < count; i++) {
            float value = bl_attention_softmax(scores + i * padded, keep, shape, pair, first + i, &factors[i]);
            if (lse) lse[first + i] = value;
        }
        bl_tile_product(result, width, scores, padded, 1, v, width, rows, width, pair->length, false);
        for (int64_t i = 0; i < count; i++)
            bl_attention_scale(result + i * width, factors[i], width);
        bl_attention_store(result, shape, pair, first, count, out, 0);
    }
}

/* Floats of a thread's workspace in the backward: eight panels, two blocks of scores, a block of dq, keep. */
static int64_t backward_floats(const bl_attention_shape *shape) {
    int64_t panel = shape->max_padded * shape->width;
    return 8 * panel + BLOCK * (2 * shape->max_padded + shape->width) + shape->max_padded;
}

static void backward_pair(bl_tensor *dqkv, const bl_tensor *dout, const bl_tensor *stats, const bl_tensor *qkv,
                          const bl_attention_shape *shape, const bl_attention_pair *pair, float *workspace) {
    int64_t width = shape->width, padded = pair->padded, length = pair->length, panel = shape->max_padded * width;
    float *q = workspace, *k = q + panel, *kt = k + panel, *vt = kt + panel, *grad = vt + panel;
    float *dk = grad + panel, *dv = dk + panel, *v = dv + panel;
    float *scores = v + panel, *dscores = scores + BLOCK * shape->max_padded;
    float *dq = dscores + BLOCK * shape->max_padded, *keep = dq + BLOCK * width;
    const float *lse = (const float *) stats->data + pair->index * shape->max_length;

    load_panel(v, shape, pair, qkv, 2);
    transpose_panel(vt, v, width, padded);
    load_panel(k, shape, pair, qkv, 1);
    transpose_panel(kt, k, width, padded);
    load_panel(q, shape, pair, qkv, 0);
    load_panel(grad, shape, pair, dout, 0);
    for (int64_t first = 0; first < length; first += BLOCK) {
        int64_t count = length - first < BLOCK ? length - first : BLOCK;
        int64_t rows = bl_attention_round(count, BL_TILE_ROWS);
        const float *q_block = q + first * width, *grad_block = grad + first * width;
        bl_tile_product(scores, padded, q_block, width, 1, kt, padded, rows, padded, shape->size, false);
        bl_tile_product(dscores, padded, grad_block, width, 1, vt, padded, rows, padded, shape->size, false);
        for (int64_t i = 0; i < count; i++)
            bl_attention_backward_row(scores + i * padded, dscores + i * padded, keep, shape, pair, first + i,
                                      lse[first + i]);
        bool more = first > 0;
        bl_tile_product(dv, width, scores, 1, padded, grad_block, width, padded, width, count, more);
        bl_tile_product(dk, width, dscores, 1, padded, q_block, width, padded, width, count, more);
        bl_tile_product(dq, width, dscores, padded, 1, k, width, rows, width, length, false);
        bl_attention_store(dq, shape, pair, first, count, dqkv, 0);
    }
    bl_attention_store(dk, shape, pair, 0, length, dqkv, 1);
    bl_attention_store(dv, shape, pair, 0, length, dqkv, 2);
}

static const bl_attention_kernels f32_kernels = {
    .forward_floats = forward_floats,
    .backward_floats = backward_floats,
    .forward = forward_pair,
    .backward = backward_pair,
};

static const bl_attention_kernels *choose_kernels(const bl_attention_shape *shape, const bl_tensor *qkv) {
    bool words = bl_attention_bf16_kernels && qkv->dtype == BL_BF16 && shape->size % 2 == 0;
    return words ? bl_attention_bf16_kernels : &f32_kernels;
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

/* One workspace per thread, and a byte for each row of the batch behind them. */
static bl_status make_workspace(bl_context *ctx, int64_t floats, int64_t rows, float **out, unsigned char **covered) {
    void *memory = NULL;
    size_t bytes = (size_t) floats * sizeof(float) * (size_t) ctx->threads;
    BL_TRY(bl_scratch(ctx, bytes + (size_t) rows, &memory));
    *out = memory;
    *covered = (unsigned char *) memory + bytes;
    return BL_OK;
}

bl_status bl_cpu_attention_forward(bl_context *ctx, bl_tensor *out, bl_tensor *stats, bl_tensor *kept,
                                   const bl_tensor *qkv, const bl_tensor *segments, int32_t heads, int32_t max_length,
                                   float scale, const bl_dropout *dropout) {
    bl_attention_shape shape = make_shape(qkv, kept, heads, max_length, scale, dropout);
    const int32_t *bounds = segments->data;
    const bl_attention_kernels *kernels = choose_kernels(&shape, qkv);
    int64_t pairs = segments->shape[0] * heads, floats = kernels->forward_floats(&shape);
    float *workspace;
    unsigned char *covered;
    BL_TRY(make_workspace(ctx, floats, qkv->shape[0], &workspace, &covered));
    clear_gaps(out, bounds, segments->shape[0], covered);
#pragma omp parallel for num_threads(ctx->threads) schedule(dynamic)
    for (int64_t i = 0; i < pairs; i++) {
        bl_attention_pair pair = make_pair(&shape, bounds, i);
        kernels->forward(out, stats, qkv, &shape, &pair, workspace + floats * omp_get_thread_num());
    }
    return BL_OK;
}

bl_status bl_cpu_attention_backward(bl_context *ctx, bl_tensor *dqkv, const bl_tensor *dout, const bl_tensor *out,
                                    const bl_tensor *stats, const bl_tensor *kept, const bl_tensor *qkv,
                                    const bl_tensor *segments, int32_t heads, int32_t max_length, float scale,
                                    const bl_dropout *dropout, bl_tensor *sums) {
    (void) out; /* delta is summed from the probabilities at hand, which is more exact than out in half precision */
    bl_attention_shape shape = make_shape(qkv, kept, heads, max_length, scale, dropout);
    const int32_t *bounds = segments->data;
    const bl_attention_kernels *kernels = choose_kernels(&shape, qkv);
    int64_t pairs = segments->shape[0] * heads, floats = kernels->backward_floats(&shape);
    float *workspace;
    unsigned char *covered;
    BL_TRY(make_workspace(ctx, floats, qkv->shape[0], &workspace, &covered));
    clear_gaps(dqkv, bounds, segments->shape[0], covered);
#pragma omp parallel for num_threads(ctx->threads) schedule(dynamic)
    for (int64_t i = 0; i < pairs; i++) {
        bl_attention_pair pair = make_pair(&shape, bounds, i);
        kernels->backward(dqkv, dout, stats, qkv, &shape, &pair, workspace + floats * omp_get_thread_num());
    }
    return sums ? bl_cpu_column_sums(ctx, sums, dqkv) : BL_OK;
}
