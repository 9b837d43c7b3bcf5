/*
 * fill_mask.c - what the model guesses for [MASK] (lua/bertlua/models/fill_mask.lua).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "encoder/encoder.h"

/* Masks computed at a time: each has a score for every word of the vocabulary. */
enum { AT_ONCE = 32 };

typedef struct entry {
    float score;
    int32_t id;
} entry;

/* Higher scores first, then lower ids. */
static bool before(entry a, entry b) {
    return a.score != b.score ? a.score > b.score : a.id < b.id;
}

/* Move the entry at i down a heap whose top is the last in order. */
static void sift(entry *heap, int32_t count, int32_t i) {
    for (;;) {
        int32_t last = i;
        for (int32_t child = 2 * i + 1; child <= 2 * i + 2 && child < count; child++)
            if (before(heap[last], heap[child])) last = child;
        if (last == i) return;
        entry moved = heap[i];
        heap[i] = heap[last];
        heap[last] = moved;
        i = last;
    }
}

/* The k first of the scores, in order. k is at most count. */
static void pick(const float *scores, int32_t count, entry *heap, int32_t k) {
    for (int32_t i = 0; i < k; i++)
        heap[i] = (entry){scores[i], i};
    for (int32_t i = k / 2 - 1; i >= 0; i--)
        sift(heap, k, i);
    for (int32_t i = k; i < count; i++) {
        entry next = {scores[i], i};
        if (!before(next, heap[0])) continue;
        heap[0] = next;
        sift(heap, k, 0);
    }
    for (int32_t left = k - 1; left > 0; left--) {
        entry last = heap[0];
        heap[0] = heap[left];
        heap[left] = last;
        sift(heap, left, 0);
    }
}

/* The k likeliest tokens by the scores of all words of the model, of which `known` have a token. */
static void guess(const bl_tokenizer *tokenizer, const float *scores, int32_t words, int32_t known, entry *heap,
                  int32_t k, bl_guess *out) {
    double top = scores[0], sum = 0;
    for (int32_t i = 1; i < words; i++)
        top = scores[i] > top ? scores[i] : top;
    for (int32_t i = 0; i < words; i++)
        sum += exp(scores[i] - top);
    pick(scores, known, heap, k);
    for (int32_t i = 0; i < k; i++)
        out[i] =
            (bl_guess){heap[i].id, (float) (exp(heap[i].score - top) / sum), bl_tokenizer_token(tokenizer, heap[i].id)};
}

/* Guesses for masks [begin, end). */
static bl_status compute(bl_encoder *encoder, const bl_ids *ids, const int64_t *places, int64_t begin, int64_t end,
                         float *scores, entry *heap, int32_t k, bl_guess *guesses) {
    int32_t words = encoder->folder.size.vocab_size, known = bl_tokenizer_size(encoder->folder.tokenizer);
    bl_sequences sequences = bl_ids_sequences(ids);
    sequences.places = places + begin;
    sequences.place_count = end - begin;
    BL_TRY(bl_encoder_compute(encoder, BL_HEAD_WORDS, &sequences, scores));
    for (int64_t m = begin; m < end; m++)
        guess(encoder->folder.tokenizer, scores + (m - begin) * words, words, known < words ? known : words, heap, k,
              guesses + m * k);
    return BL_OK;
}

/* "texts[3]", or "the text" where there is no list; returns buffer. */
static const char *name_of(char *buffer, size_t bytes, int64_t number) {
    if (number < 0)
        snprintf(buffer, bytes, "the text");
    else
        snprintf(buffer, bytes, "texts[%lld]", (long long) number);
    return buffer;
}

/* Append a text; *count is the number of its masks. number: -1 for a text alone. */
static bl_status add_text(bl_ids *ids, const bl_encoder *encoder, const char *text, int64_t number, int64_t *count) {
    int32_t length, mask = bl_tokenizer_special(encoder->folder.tokenizer).mask;
    int64_t begin = ids->count;
    char name[48];
    BL_TRY(bl_ids_add(ids, encoder, "fill_mask", number, text, NULL, &length));
    /* What is cut off might be what was asked for. */
    if (length > encoder->folder.max_length)
        return bl_fail(BL_ERROR_FORMAT, "fill_mask: %s has %d tokens, expected at most %d: shorten it",
                       name_of(name, sizeof name, number), length, encoder->folder.max_length);
    *count = 0;
    for (int64_t i = begin; i < ids->count; i++)
        *count += ids->ids[i] == mask;
    if (*count > 0) return BL_OK;
    return bl_fail(BL_ERROR_FORMAT, "fill_mask: %s has no [MASK]", name_of(name, sizeof name, number));
}

static bl_status fill(bl_encoder *encoder, bl_ids *ids, const char *const *texts, int64_t n, bool alone, int32_t k,
                      int64_t capacity, bl_guess *guesses, int64_t *masks) {
    int32_t mask = bl_tokenizer_special(encoder->folder.tokenizer).mask;
    int64_t count = 0, most;
    for (int64_t i = 0; i < n; i++) {
        BL_TRY(add_text(ids, encoder, texts[i], alone ? -1 : i, &masks[i]));
        count += masks[i];
    }
    if (count > capacity / k)
        return bl_fail(BL_ERROR_ARGUMENT,
                       "fill_mask: %lld masks of %d guesses each, but there is room for %lld guesses",
                       (long long) count, k, (long long) capacity);
    most = count < AT_ONCE ? count : AT_ONCE;
    size_t words = (size_t) encoder->folder.size.vocab_size;
    int64_t *places = malloc((size_t) count * sizeof *places);
    float *scores = malloc((size_t) most * words * sizeof *scores);
    entry *heap = malloc((size_t) k * sizeof *heap);
    bl_status status = places && scores && heap ? BL_OK : bl_fail(BL_ERROR_MEMORY, "fill_mask: out of memory");
    for (int64_t i = 0, m = 0; status == BL_OK && i < ids->count; i++)
        if (ids->ids[i] == mask) places[m++] = i;
    for (int64_t begin = 0; status == BL_OK && begin < count; begin += most) {
        int64_t end = begin + most < count ? begin + most : count;
        status = compute(encoder, ids, places, begin, end, scores, heap, k, guesses);
    }
    free(heap);
    free(scores);
    free(places);
    return status;
}

static bl_status fill_masks(bl_encoder *encoder, const char *const *texts, int64_t n, bool alone, int32_t k,
                            int64_t capacity, bl_guess *guesses, int64_t *masks) {
    if (!encoder || n < 0 || (n > 0 && (!texts || !guesses || !masks)) || capacity < 0)
        return bl_fail(BL_ERROR_ARGUMENT,
                       "fill_mask: encoder, text, guesses or masks is NULL, or capacity is negative");
    bl_encoder_info info;
    BL_TRY(bl_encoder_describe(encoder, &info));
    if (!info.fills_masks) return bl_encoder_lacks(&info, "fill_mask", "MLM");
    int32_t known = bl_tokenizer_size(encoder->folder.tokenizer);
    if (known > info.vocab_size) known = info.vocab_size;
    if (k < 1 || k > known)
        return bl_fail(BL_ERROR_ARGUMENT, "fill_mask: k is %d, expected 1 to %d, the words of the vocabulary", k,
                       known);
    if (n == 0) return BL_OK;
    bl_ids ids;
    BL_TRY(bl_ids_create(&ids));
    bl_status status = fill(encoder, &ids, texts, n, alone, k, capacity, guesses, masks);
    bl_ids_free(&ids);
    return status;
}

BL_API bl_status bl_encoder_fill_mask(bl_encoder *encoder, const char *text, int32_t k, int64_t capacity,
                                      bl_guess *guesses, int64_t *masks) {
    return fill_masks(encoder, &text, text ? 1 : -1, true, k, capacity, guesses, masks);
}

BL_API bl_status bl_encoder_fill_masks(bl_encoder *encoder, const char *const *texts, int64_t n, int32_t k,
                                       int64_t capacity, bl_guess *guesses, int64_t *masks) {
    return fill_masks(encoder, texts, n, false, k, capacity, guesses, masks);
}
