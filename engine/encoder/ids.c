/*
 * ids.c - texts as token ids: special tokens in brackets are what they say, and
 * a text that does not fit loses its end, of a pair the longer one first. The
 * rules are those of lua/bertlua/encoder/texts.lua.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encoder/encoder.h"

bl_status bl_ids_create(bl_ids *ids) {
    memset(ids, 0, sizeof *ids);
    return bl_encoding_create(&ids->encoding);
}

void bl_ids_free(bl_ids *ids) {
    bl_encoding_free(ids->encoding);
    free(ids->ids);
    free(ids->offsets);
    free(ids->first_lengths);
    memset(ids, 0, sizeof *ids);
}

static bl_status reserve_ids(bl_ids *ids, const char *op, int64_t more) {
    int64_t need = ids->count + more;
    if (need <= ids->capacity) return BL_OK;
    int64_t capacity = need + need / 2 + 256;
    int32_t *grown = realloc(ids->ids, (size_t) capacity * sizeof *grown);
    if (!grown) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for %lld tokens", op, (long long) capacity);
    ids->ids = grown;
    ids->capacity = capacity;
    return BL_OK;
}

static bl_status reserve_sequence(bl_ids *ids, const char *op) {
    if (ids->sequences < ids->sequence_capacity) return BL_OK;
    int64_t capacity = ids->sequence_capacity + ids->sequence_capacity / 2 + 16;
    int64_t *offsets = realloc(ids->offsets, (size_t) (capacity + 1) * sizeof *offsets);
    if (offsets) ids->offsets = offsets;
    int32_t *lengths = offsets ? realloc(ids->first_lengths, (size_t) capacity * sizeof *lengths) : NULL;
    if (!lengths) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for %lld texts", op, (long long) capacity);
    ids->first_lengths = lengths;
    ids->sequence_capacity = capacity;
    if (ids->sequences == 0) ids->offsets[0] = 0;
    return BL_OK;
}

bl_status bl_ids_append(bl_ids *ids, const char *op, const int32_t *tokens, int64_t count) {
    if (count == 0) return BL_OK;
    BL_TRY(reserve_ids(ids, op, count));
    memcpy(ids->ids + ids->count, tokens, (size_t) count * sizeof *tokens);
    ids->count += count;
    return BL_OK;
}

bl_status bl_ids_close(bl_ids *ids, const char *op, int64_t first_length) {
    BL_TRY(reserve_sequence(ids, op));
    ids->first_lengths[ids->sequences++] = (int32_t) first_length;
    ids->offsets[ids->sequences] = ids->count;
    return BL_OK;
}

void bl_ids_clear(bl_ids *ids) {
    ids->count = ids->sequences = 0;
}

bl_sequences bl_ids_sequences(const bl_ids *ids) {
    return (bl_sequences){
        .count = ids->sequences, .ids = ids->ids, .offsets = ids->offsets, .first_lengths = ids->first_lengths};
}

/* The special token that begins at a bracket: its id, and how many bytes it has; -1 if there is none. */
static int32_t special_at(const bl_special_ids *special, const char *text, size_t bytes, size_t *length) {
    const struct {
        const char *name;
        int32_t id;
    } tokens[] = {{"[MASK]", special->mask},
                  {"[SEP]", special->sep},
                  {"[CLS]", special->cls},
                  {"[PAD]", special->pad},
                  {"[UNK]", special->unk}};
    for (int i = 0; i < 5; i++) {
        *length = strlen(tokens[i].name);
        if (bytes >= *length && memcmp(text, tokens[i].name, *length) == 0) return tokens[i].id;
    }
    return -1;
}

static bl_status append_plain(bl_ids *ids, const bl_tokenizer *tokenizer, const char *op, const char *text,
                              size_t bytes) {
    if (bytes == 0) return BL_OK;
    BL_TRY(bl_tokenizer_encode(tokenizer, ids->encoding, text, bytes, false));
    return bl_ids_append(ids, op, ids->encoding->ids, ids->encoding->count);
}

/* Tokens of a text, nothing around them. */
static bl_status append_text(bl_ids *ids, const bl_tokenizer *tokenizer, const char *op, const char *text) {
    bl_special_ids special = bl_tokenizer_special(tokenizer);
    const char *from = text, *at = text, *end = text + strlen(text);
    while ((at = memchr(at, '[', (size_t) (end - at)))) {
        size_t length;
        int32_t id = special_at(&special, at, (size_t) (end - at), &length);
        if (id < 0) {
            at++;
            continue;
        }
        BL_TRY(append_plain(ids, tokenizer, op, from, (size_t) (at - from)));
        BL_TRY(reserve_ids(ids, op, 1));
        ids->ids[ids->count++] = id;
        from = at += length;
    }
    return append_plain(ids, tokenizer, op, from, (size_t) (end - from));
}

/* "texts[3]", or the name alone of what is no list; returns buffer. */
static const char *name_of(char *buffer, size_t bytes, const char *what, int64_t number) {
    if (number < 0)
        snprintf(buffer, bytes, "the %s", what);
    else
        snprintf(buffer, bytes, "%ss[%lld]", what, (long long) number);
    return buffer;
}

bl_status bl_text_check(const char *op, const char *what, int64_t number, const char *text) {
    char name[48];
    if (!text) return bl_fail(BL_ERROR_ARGUMENT, "%s: %s is NULL", op, name_of(name, sizeof name, what, number));
    int64_t bad = bl_utf8_check(text, (int64_t) strlen(text));
    if (bad < 0) return BL_OK;
    return bl_fail(BL_ERROR_FORMAT, "%s: %s: byte %lld: invalid UTF-8 (0x%02x): convert it (iconv -t UTF-8)", op,
                   name_of(name, sizeof name, what, number), (long long) bad, (unsigned) (unsigned char) text[bad]);
}

/* How many tokens of two texts stay where `excess` have to go: the longer one loses its end, the second of equals. */
static void cut(int64_t *first, int64_t *second, int64_t excess) {
    int64_t *longer = *first > *second ? first : second;
    int64_t difference = *first > *second ? *first - *second : *second - *first;
    int64_t gone = excess < difference ? excess : difference;
    *longer -= gone;
    excess -= gone;
    *second -= excess - excess / 2;
    *first -= excess / 2;
}

/*
 * Append [CLS] text [SEP] or [CLS] text [SEP] pair [SEP]; at most `limit` tokens stay, unless it is 0. On failure
 * the tokens are as before.
 */
static bl_status append(bl_ids *ids, const bl_tokenizer *tokenizer, int64_t limit, const char *op, const char *text,
                        const char *pair, int64_t *length) {
    bl_special_ids special = bl_tokenizer_special(tokenizer);
    BL_TRY(reserve_ids(ids, op, 3));
    int64_t begin = ids->count;
    ids->ids[ids->count++] = special.cls;
    BL_TRY(append_text(ids, tokenizer, op, text));
    int64_t first = ids->count - begin - 1, second = 0, around = pair ? 3 : 2;
    if (pair) BL_TRY(append_text(ids, tokenizer, op, pair));
    second = ids->count - begin - 1 - first;
    BL_TRY(reserve_ids(ids, op, 2));
    *length = first + second + around;
    int64_t of_second = begin + 1 + first;
    if (limit > 0 && *length > limit) {
        if (pair)
            cut(&first, &second, *length - limit);
        else
            first = limit - around;
    }
    int32_t *at = ids->ids + begin + 1 + first;
    if (pair) {
        memmove(at + 1, ids->ids + of_second, (size_t) second * sizeof *at);
        at[1 + second] = special.sep;
    }
    at[0] = special.sep;
    ids->count = begin + first + second + around;
    return bl_ids_close(ids, op, first + 2);
}

static bl_status add(bl_ids *ids, const bl_encoder *encoder, const char *op, int64_t number, const char *text,
                     const char *pair, bool whole, int32_t *length) {
    int64_t before = ids->count, all = 0, limit = encoder->folder.max_length;
    int64_t sequences = ids->sequences;
    char name[48];
    BL_TRY(bl_text_check(op, "text", number, text));
    if (pair) BL_TRY(bl_text_check(op, "pair", number, pair));
    bl_status status = append(ids, encoder->folder.tokenizer, whole ? 0 : limit, op, text, pair, &all);
    if (status == BL_OK && all > INT32_MAX)
        status = bl_fail(BL_ERROR_FORMAT, "%s: %s has %lld tokens: split it", op,
                         name_of(name, sizeof name, "text", number), (long long) all);
    else if (status == BL_OK && !whole && all > limit && encoder->options.refuse_long)
        status = bl_fail(BL_ERROR_FORMAT,
                         "%s: %s has %lld tokens, expected at most %lld: shorten it, or do not set "
                         "refuse_long",
                         op, name_of(name, sizeof name, "text", number), (long long) all, (long long) limit);
    if (status != BL_OK) {
        ids->count = before;
        ids->sequences = sequences;
    }
    if (status == BL_OK && length) *length = (int32_t) all;
    return status;
}

bl_status bl_ids_add(bl_ids *ids, const bl_encoder *encoder, const char *op, int64_t number, const char *text,
                     const char *pair, int32_t *length) {
    return add(ids, encoder, op, number, text, pair, false, length);
}

BL_API bl_status bl_encoder_lengths(bl_encoder *encoder, const char *const *texts, const char *const *pairs, int64_t n,
                                    int32_t *lengths) {
    if (!encoder || n < 0 || (n > 0 && (!texts || !lengths)))
        return bl_fail(BL_ERROR_ARGUMENT, "lengths: encoder, texts or lengths is NULL, or n is negative");
    bl_ids ids;
    BL_TRY(bl_ids_create(&ids));
    bl_status status = BL_OK;
    for (int64_t i = 0; status == BL_OK && i < n; i++) {
        bl_ids_clear(&ids);
        status = add(&ids, encoder, "lengths", i, texts[i], pairs ? pairs[i] : NULL, true, &lengths[i]);
    }
    bl_ids_free(&ids);
    return status;
}
