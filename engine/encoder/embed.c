/*
 * embed.c - vectors of texts and of their tokens.
 */
#include <math.h>

#include "encoder/encoder.h"

/* Token ids held at a time: texts are read in parts of about as many. */
enum { PART = 1 << 16 };

static bl_status check_texts(const char *op, const bl_encoder *encoder, const char *const *texts, int64_t n,
                             const void *out) {
    if (!encoder) return bl_fail(BL_ERROR_ARGUMENT, "%s: encoder is NULL", op);
    if (n < 0) return bl_fail(BL_ERROR_ARGUMENT, "%s: n is %lld, expected 0 or more", op, (long long) n);
    if (n > 0 && !texts)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: texts is NULL, expected %lld of them", op, (long long) n);
    if (n > 0 && !out)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: out is NULL, expected room for %lld x %d floats", op, (long long) n,
                       (int) encoder->folder.size.hidden_size);
    return BL_OK;
}

/* Each row divided by its Euclidean length. */
static void normalize(float *rows, int64_t n, int64_t width) {
    for (int64_t i = 0; i < n; i++) {
        float *row = rows + i * width;
        double sum = 0;
        for (int64_t h = 0; h < width; h++)
            sum += (double) row[h] * row[h];
        double length = sqrt(sum);
        float scale = (float) (1 / (length > 1e-12 ? length : 1e-12));
        for (int64_t h = 0; h < width; h++)
            row[h] *= scale;
    }
}

static bl_status embed(bl_encoder *encoder, bl_ids *ids, const char *const *texts, const char *const *pairs, int64_t n,
                       bl_head head, float *out) {
    int64_t width = encoder->folder.size.hidden_size;
    for (int64_t begin = 0, i = 0; i < n; begin = i) {
        bl_ids_clear(ids);
        for (; i < n && ids->count < PART; i++)
            BL_TRY(bl_ids_add(ids, encoder, "embed", i, texts[i], pairs ? pairs[i] : NULL, NULL));
        bl_sequences sequences = bl_ids_sequences(ids);
        BL_TRY(bl_encoder_compute(encoder, head, &sequences, out + begin * width));
    }
    return BL_OK;
}

BL_API bl_status bl_encoder_embed(bl_encoder *encoder, const char *const *texts, int64_t n, int32_t pooling,
                                  float *out) {
    return bl_encoder_embed_pairs(encoder, texts, NULL, n, pooling, out);
}

BL_API bl_status bl_encoder_embed_pairs(bl_encoder *encoder, const char *const *texts, const char *const *pairs,
                                        int64_t n, int32_t pooling, float *out) {
    BL_TRY(check_texts("embed", encoder, texts, n, out));
    int32_t kind = pooling & ~BL_POOL_NORMALIZED, unit = pooling & BL_POOL_NORMALIZED;
    if (kind < BL_POOL_MODEL || kind > BL_POOL_CLS)
        return bl_fail(BL_ERROR_ARGUMENT,
                       "embed: pooling is %d, expected 0 (the model's), 1 (mean) or 2 (cls), 16 more for length 1",
                       (int) pooling);
    if (kind == BL_POOL_MODEL) {
        if (encoder->folder.pooling_problem)
            return bl_fail(BL_ERROR_UNSUPPORTED, "embed: %s; BL_POOL_MEAN makes vectors regardless",
                           encoder->folder.pooling_problem);
        kind = encoder->folder.pooling & ~BL_POOL_NORMALIZED;
        unit |= encoder->folder.pooling & BL_POOL_NORMALIZED;
    }
    bl_ids ids;
    BL_TRY(bl_ids_create(&ids));
    bl_status status = embed(encoder, &ids, texts, pairs, n, kind == BL_POOL_CLS ? BL_HEAD_CLS : BL_HEAD_MEAN, out);
    bl_ids_free(&ids);
    if (status == BL_OK && unit) normalize(out, n, encoder->folder.size.hidden_size);
    return status;
}

static bl_status hidden(bl_encoder *encoder, bl_ids *ids, const char *text, const char *pair, int64_t capacity,
                        float *out, int64_t *rows) {
    BL_TRY(bl_ids_add(ids, encoder, "hidden", -1, text, pair, NULL));
    if (ids->count > capacity)
        return bl_fail(BL_ERROR_ARGUMENT, "hidden: capacity is %lld rows, the text has %lld tokens",
                       (long long) capacity, (long long) ids->count);
    bl_sequences sequences = bl_ids_sequences(ids);
    BL_TRY(bl_encoder_compute(encoder, BL_HEAD_HIDDEN, &sequences, out));
    *rows = ids->count;
    return BL_OK;
}

BL_API bl_status bl_encoder_hidden(bl_encoder *encoder, const char *text, const char *pair, int64_t capacity,
                                   float *out, int64_t *rows) {
    BL_TRY(check_texts("hidden", encoder, &text, 1, &text));
    if (!text || !rows || !out)
        return bl_fail(BL_ERROR_ARGUMENT, "hidden: %s is NULL", !text ? "text" : rows ? "out" : "rows");
    bl_ids ids;
    BL_TRY(bl_ids_create(&ids));
    bl_status status = hidden(encoder, &ids, text, pair, capacity, out, rows);
    bl_ids_free(&ids);
    return status;
}
