/*
 * loader_masking.c - choose and mask the tokens of one sample: the only
 * implementation, used when shards are written and when a loader masks dynamically.
 */
#include <math.h>

#include "core/internal.h"

/* Longest sample: positions are chosen on the stack. */
enum { MAX_LENGTH = 4096 };

static bl_status check(const bl_masking *masking, int32_t length) {
    if (!(masking->probability > 0.0 && masking->probability <= 1.0)) {
        return bl_fail(BL_ERROR_ARGUMENT, "mask_tokens: probability is %g, expected 0 < p <= 1", masking->probability);
    }
    if (masking->vocab_size < 1 || masking->mask_id < 0 || masking->mask_id >= masking->vocab_size) {
        return bl_fail(BL_ERROR_ARGUMENT, "mask_tokens: mask_id is %d, vocab_size is %d", masking->mask_id,
                       masking->vocab_size);
    }
    if (masking->max_predictions < 1) {
        return bl_fail(BL_ERROR_ARGUMENT, "mask_tokens: max_predictions is %d, expected at least 1",
                       masking->max_predictions);
    }
    if (length < 0 || length > MAX_LENGTH) {
        return bl_fail(BL_ERROR_ARGUMENT, "mask_tokens: length is %d, expected 0..%d", length, MAX_LENGTH);
    }
    return BL_OK;
}

static void sort_ascending(int32_t *values, int32_t n) {
    for (int32_t i = 1; i < n; i++) {
        int32_t value = values[i], j = i;
        for (; j > 0 && values[j - 1] > value; j--)
            values[j] = values[j - 1];
        values[j] = value;
    }
}

/* Whether token i goes on with the word of the candidate before it. */
static bool goes_on(const bl_masking *masking, const int32_t *ids, int32_t i, int32_t last) {
    return masking->continues && last >= 0 && last == i - 1 && ids[i] >= 0 && ids[i] < masking->vocab_size &&
           masking->continues[ids[i]];
}

/*
 * What may be masked, as words: word w is the tokens first[w], first[w] + 1, ...
 * size[w] of them, all of one token if tokens are chosen one by one. Returns the
 * number of words.
 */
static int32_t find_words(const bl_masking *masking, const int32_t *ids, int32_t length, int32_t *first, int32_t *size,
                          int32_t *tokens) {
    int32_t words = 0, last = -1;
    *tokens = 0;
    for (int32_t i = 0; i < length; i++) {
        /* Label 0 marks an unused slot, so a token of id 0 ([PAD]) can't be one. */
        if (ids[i] == masking->cls_id || ids[i] == masking->sep_id || ids[i] == 0) continue;
        if (goes_on(masking, ids, i, last)) {
            size[words - 1]++;
        } else {
            first[words] = i;
            size[words++] = 1;
        }
        last = i;
        ++*tokens;
    }
    return words;
}

BL_API bl_status bl_mask_tokens(bl_rng *rng, const bl_masking *masking, int32_t *ids, int32_t length,
                                int32_t *positions, int32_t *labels, int32_t *count) {
    BL_TRY(check(masking, length));
    int32_t first[MAX_LENGTH], size[MAX_LENGTH], tokens;
    int32_t words = find_words(masking, ids, length, first, size, &tokens);
    /* Half to even, as Python's round, which the reference calls. */
    double share = nearbyint((double) length * masking->probability);
    int32_t wanted = share < 1.0 ? 1 : (int32_t) share;
    if (wanted > masking->max_predictions) wanted = masking->max_predictions;
    if (wanted > tokens) wanted = tokens;
    int32_t chosen = 0;
    for (int32_t k = 0; k < words && chosen < wanted; k++) {
        int32_t pick = (int32_t) bl_rng_integer(rng, k, words - 1);
        int32_t at = first[pick], n = size[pick];
        first[pick] = first[k];
        size[pick] = size[k];
        if (n > wanted - chosen) continue;
        for (int32_t i = 0; i < n; i++)
            positions[chosen++] = at + i;
    }
    wanted = chosen;
    sort_ascending(positions, wanted);
    for (int32_t k = 0; k < wanted; k++) {
        int32_t *id = &ids[positions[k]];
        labels[k] = *id;
        double fate = bl_rng_double(rng);
        if (fate < 0.8) {
            *id = masking->mask_id;
        } else if (fate < 0.9) {
            *id = (int32_t) bl_rng_integer(rng, 0, masking->vocab_size - 1);
        }
    }
    for (int32_t k = wanted; k < masking->max_predictions; k++)
        positions[k] = labels[k] = 0;
    *count = wanted;
    return BL_OK;
}
