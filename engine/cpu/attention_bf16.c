/*
 * attention_bf16.c - attention on the CPU's bf16 dot products, for bf16
 * tensors with an even head size; the same steps as in attention.c.
 *
 * Products multiply words of two bf16 along the summed dimension and add in
 * f32. A matrix therefore appears in up to three layouts: rows of words
 * (neighbours in a row), those transposed, and interleaved (word j of row t
 * holds element j of rows 2t and 2t + 1).
 */
#include "attention.h"

#if BL_TILE_BF16

enum { BLOCK = BL_ATTENTION_BLOCK };

/* out [padded, D / 2]: the pair's rows as they lie in memory. */
static void load_words(bl_word *out, const bl_attention_shape *shape, const bl_attention_pair *pair, const bl_tensor *t,
                       int64_t part) {
    int64_t words = shape->size / 2;
    for (int64_t i = 0; i < pair->length; i++)
        memcpy(out + i * words, bl_attention_row(shape, pair, t, part, i), (size_t) words * sizeof *out);
    memset(out + pair->length * words, 0, (size_t) ((pair->padded - pair->length) * words) * sizeof *out);
}

/* out [D / 2, padded]: words transposed. */
static void transpose_words(bl_word *restrict out, const bl_word *restrict rows, int64_t words, int64_t padded) {
    for (int64_t i = 0; i < padded; i += 16)
        for (int64_t d = 0; d < words; d++)
            for (int64_t j = 0; j < 16; j++)
                out[d * padded + i + j] = rows[(i + j) * words + d];
}

/* out [padded / 2, width]: the pair's rows interleaved, zero beyond them. */
static void interleave_rows(bl_word *restrict out, const bl_attention_shape *shape, const bl_attention_pair *pair,
                            const bl_tensor *t, int64_t part) {
    int64_t size = shape->size, width = shape->width;
    for (int64_t i = 0; i < pair->padded; i += 2) {
        bl_word *to = out + i / 2 * width;
        memset(to, 0, (size_t) width * sizeof *to);
        if (i >= pair->length) continue;
        const uint16_t *low = bl_attention_row(shape, pair, t, part, i);
        if (i + 1 < pair->length) {
            const uint16_t *high = bl_attention_row(shape, pair, t, part, i + 1);
#pragma omp simd
            for (int64_t d = 0; d < size; d++)
                to[d] = (uint32_t) low[d] | (uint32_t) high[d] << 16;
        } else {
            for (int64_t d = 0; d < size; d++)
                to[d] = low[d];
        }
    }
}

/* Two rows of scores interleaved, rounded to bf16. */
static void interleave_scores(bl_word *restrict out, const float *restrict low, const float *restrict high, int64_t n) {
    for (int64_t j = 0; j < n; j += 16) {
        __m512i a = _mm512_cvtepu16_epi32((__m256i) _mm512_cvtneps_pbh(_mm512_load_ps(low + j)));
        __m512i b = _mm512_cvtepu16_epi32((__m256i) _mm512_cvtneps_pbh(_mm512_load_ps(high + j)));
        _mm512_store_si512(out + j, _mm512_or_si512(a, _mm512_slli_epi32(b, 16)));
    }
}

/* A row of scores as n / 2 words. */
static void round_scores(bl_word *out, const float *row, int64_t n) {
    for (int64_t j = 0; j < n; j += 16) {
        __m256i half = (__m256i) _mm512_cvtneps_pbh(_mm512_load_ps(row + j));
        _mm256_store_si256((__m256i *) (out + j / 2), half);
    }
}

static int64_t forward_floats(const bl_attention_shape *shape) {
    int64_t panel = shape->max_padded * shape->width;
    return 2 * panel + BLOCK * (2 * shape->max_padded + shape->width) + shape->max_padded;
}

static void forward_pair(bl_tensor *out, bl_tensor *stats, const bl_tensor *qkv, const bl_attention_shape *shape,
                         const bl_attention_pair *pair, float *workspace) {
    int64_t width = shape->width, padded = pair->padded, words = shape->size / 2;
    int64_t half = shape->max_padded * width / 2;
    bl_word *q = (void *) workspace, *k = q + half, *kt = k + half, *v = kt + half;
    float *scores = (void *) (v + half), *result = scores + BLOCK * shape->max_padded;
    float *keep = result + BLOCK * width;
    bl_word *p = (void *) (keep + shape->max_padded);
    float *lse = stats ? (float *) stats->data + pair->index * shape->max_length : NULL;

    load_words(q, shape, pair, qkv, 0);
    load_words(k, shape, pair, qkv, 1);
    transpose_words(kt, k, words, padded);
    interleave_rows(v, shape, pair, qkv, 2);
    for (int64_t first = 0; first < pair->length; first += BLOCK) {
        int64_t count = pair->length - first < BLOCK ? pair->length - first : BLOCK;
        int64_t rows = bl_attention_round(count, BL_TILE_ROWS);
        bl_tile_product_bf16(scores, padded, q + first * words, words, 1, kt, padded, rows, padded, words, false);
        for (int64_t i = 0; i < rows; i++) {
            float *row = scores + i * padded;
            if (i < count) {
                float factor, value = bl_attention_softmax(row, keep, shape, pair, first + i, &factor);
                bl_attention_scale(row, factor, pair->length);
                if (lse) lse[first + i] = value;
            }
            round_scores(p + i * padded / 2, row, padded);
        }
        bl_tile_product_bf16(result, width, p, padded / 2, 1, v, width, rows, width, padded / 2, false);
        bl_attention_store(result, shape, pair, first, count, out, 0);
    }
}

static int64_t backward_floats(const bl_attention_shape *shape) {
    int64_t panel = shape->max_padded * shape->width;
    return 6 * panel + BLOCK * (4 * shape->max_padded + shape->width) + shape->max_padded;
}

static void backward_pair(bl_tensor *dqkv, const bl_tensor *dout, const bl_tensor *stats, const bl_tensor *qkv,
                          const bl_attention_shape *shape, const bl_attention_pair *pair, float *workspace) {
    int64_t width = shape->width, padded = pair->padded, length = pair->length, words = shape->size / 2;
    int64_t panel = shape->max_padded * width, half = panel / 2, block = BLOCK * shape->max_padded;
    float *dk = workspace, *dv = dk + panel, *scores = dv + panel, *dscores = scores + block;
    float *dq = dscores + block, *keep = dq + BLOCK * width;
    bl_word *ds = (void *) (keep + shape->max_padded), *ds_pairs = ds + block / 2, *p_pairs = ds_pairs + block / 2;
    bl_word *q = p_pairs + block / 2, *grad = q + half, *kt = grad + half, *vt = kt + half;
    bl_word *k_pairs = vt + half, *q_pairs = k_pairs + half, *grad_pairs = q_pairs + half;
    const float *lse = (const float *) stats->data + pair->index * shape->max_length;

    load_words(q, shape, pair, qkv, 1);
    transpose_words(kt, q, words, padded);
    load_words(q, shape, pair, qkv, 2);
    transpose_words(vt, q, words, padded);
    load_words(q, shape, pair, qkv, 0);
    load_words(grad, shape, pair, dout, 0);
    interleave_rows(q_pairs, shape, pair, qkv, 0);
    interleave_rows(k_pairs, shape, pair, qkv, 1);
    interleave_rows(grad_pairs, shape, pair, dout, 0);
    for (int64_t first = 0; first < length; first += BLOCK) {
        int64_t count = length - first < BLOCK ? length - first : BLOCK;
        int64_t rows = bl_attention_round(count, BL_TILE_ROWS);
        bl_tile_product_bf16(scores, padded, q + first * words, words, 1, kt, padded, rows, padded, words, false);
        bl_tile_product_bf16(dscores, padded, grad + first * words, words, 1, vt, padded, rows, padded, words, false);
        for (int64_t i = 0; i < rows; i += 2) {
            float *row = scores + i * padded, *drow = dscores + i * padded;
            for (int64_t r = i; r < i + 2; r++) {
                if (r < count)
                    bl_attention_backward_row(row + (r - i) * padded, drow + (r - i) * padded, keep, shape, pair,
                                              first + r, lse[first + r]);
                else /* padding: the next products sum over it */
                    for (int64_t j = 0; j < padded; j++)
                        row[(r - i) * padded + j] = drow[(r - i) * padded + j] = 0.0f;
                round_scores(ds + r * padded / 2, drow + (r - i) * padded, padded);
            }
            interleave_scores(p_pairs + i / 2 * padded, row, row + padded, padded);
            interleave_scores(ds_pairs + i / 2 * padded, drow, drow + padded, padded);
        }
        const bl_word *grad_block = grad_pairs + first / 2 * width, *q_block = q_pairs + first / 2 * width;
        int64_t depth = rows / 2;
        bool more = first > 0;
        bl_tile_product_bf16(dv, width, p_pairs, 1, padded, grad_block, width, padded, width, depth, more);
        bl_tile_product_bf16(dk, width, ds_pairs, 1, padded, q_block, width, padded, width, depth, more);
        bl_tile_product_bf16(dq, width, ds, padded / 2, 1, k_pairs, width, rows, width, padded / 2, false);
        bl_attention_store(dq, shape, pair, first, count, dqkv, 0);
    }
    bl_attention_store(dk, shape, pair, 0, length, dqkv, 1);
    bl_attention_store(dv, shape, pair, 0, length, dqkv, 2);
}

static const bl_attention_kernels kernels = {
    .forward_floats = forward_floats,
    .backward_floats = backward_floats,
    .forward = forward_pair,
    .backward = backward_pair,
};

const bl_attention_kernels *const bl_attention_bf16_kernels = &kernels;

#else

const bl_attention_kernels *const bl_attention_bf16_kernels = NULL;

#endif
