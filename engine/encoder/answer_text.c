/*
 * answer_text.c - the characters of a context that a span of tokens stands for:
 * the alignment of Google's run_squad.py (get_final_text), as in
 * lua/bertlua/squad/final_text.lua. The words of the context are tokenized
 * again without a vocabulary, the prediction is looked up in the result, and its
 * ends are mapped back by counting the characters that are no spaces. Beside
 * the text, which is the reference's, the bytes of the context are found: of
 * several places with the same text, the one where the tokens are.
 */
#include "encoder/answer.h"

#include <stdlib.h>
#include <string.h>

struct bl_aligner {
    const bl_passage *passage;
    bl_words *words;
    /* Of the context's bytes [begin, end): */
    int64_t begin, end;
    char *original; /* with one space between words */
    int64_t length;
    int64_t *places; /* [length] byte of the context */
    char *tokenized;
    int64_t tokenized_length;
    int64_t *tokenized_letters; /* [tokenized_length] letters up to and with this byte */
    int64_t *letters;           /* byte of original at which each letter begins */
    int64_t letter_count;
    int64_t capacity, tokenized_capacity;
    char *predicted;
    size_t predicted_capacity;
};

static bl_status out_of_memory(void) {
    return bl_fail(BL_ERROR_MEMORY, "answer: out of memory");
}

/* Bytes of SQuAD's white space at a place: space, tab, line ends, U+202F; 0 if there is none. */
static int space_at(const char *text) {
    if (*text == ' ' || *text == '\t' || *text == '\n' || *text == '\r') return 1;
    return strncmp(text, "\xe2\x80\xaf", 3) == 0 ? 3 : 0;
}

/* A byte that begins a character other than " ". */
static bool is_letter(char byte) {
    unsigned char b = (unsigned char) byte;
    return b != ' ' && (b < 0x80 || b >= 0xc0);
}

bl_status bl_passage_read(bl_passage *p, const bl_tokenizer *tokenizer, bl_encoding *encoding, const char *text) {
    *p = (bl_passage){.text = text, .tokenizer = tokenizer};
    BL_TRY(bl_tokenizer_encode(tokenizer, encoding, text, strlen(text), true));
    size_t bytes = (size_t) (encoding->count ? encoding->count : 1) * sizeof(int32_t);
    p->count = encoding->count;
    p->ids = malloc(bytes);
    p->starts = malloc(bytes);
    p->word_starts = malloc(bytes);
    p->word_ends = malloc(bytes);
    if (!p->ids || !p->starts || !p->word_starts || !p->word_ends) return out_of_memory();
    if (p->count == 0) return BL_OK;
    memcpy(p->ids, encoding->ids, bytes);
    memcpy(p->starts, encoding->starts, bytes);
    int64_t begin = 0, end = 0;
    for (int64_t k = 0; k < p->count; k++) {
        while (p->starts[k] >= end && text[end]) {
            begin = end;
            for (int width; (width = space_at(text + begin)) > 0;)
                begin += width;
            end = begin;
            while (text[end] && !space_at(text + end))
                end++;
        }
        p->word_starts[k] = (int32_t) begin;
        p->word_ends[k] = (int32_t) end;
    }
    return BL_OK;
}

void bl_passage_free(bl_passage *p) {
    free(p->ids);
    free(p->starts);
    free(p->word_starts);
    free(p->word_ends);
    memset(p, 0, sizeof *p);
}

bl_status bl_aligner_create(bl_aligner **out, const bl_passage *passage) {
    bl_aligner *a = calloc(1, sizeof *a);
    if (!a) return out_of_memory();
    a->passage = passage;
    a->begin = -1;
    bl_status status = bl_words_create(&a->words);
    if (status == BL_OK)
        *out = a;
    else
        free(a);
    return status;
}

void bl_aligner_free(bl_aligner *a) {
    if (!a) return;
    bl_words_free(a->words);
    free(a->original);
    free(a->places);
    free(a->letters);
    free(a->tokenized);
    free(a->tokenized_letters);
    free(a->predicted);
    free(a);
}

/* Room for `bytes` of the original; what it held is lost. */
static bl_status reserve(bl_aligner *a, int64_t bytes) {
    if (bytes <= a->capacity) return BL_OK;
    free(a->original);
    free(a->places);
    free(a->letters);
    a->capacity = 0;
    int64_t capacity = bytes + bytes / 2;
    a->original = malloc((size_t) capacity);
    a->places = malloc((size_t) capacity * sizeof *a->places);
    a->letters = malloc((size_t) capacity * sizeof *a->letters);
    if (!a->original || !a->places || !a->letters) return out_of_memory();
    a->capacity = capacity;
    return BL_OK;
}

static bl_status reserve_tokenized(bl_aligner *a, int64_t bytes) {
    if (bytes <= a->tokenized_capacity) return BL_OK;
    free(a->tokenized);
    free(a->tokenized_letters);
    a->tokenized_capacity = 0;
    int64_t capacity = bytes + bytes / 2;
    a->tokenized = malloc((size_t) capacity);
    a->tokenized_letters = malloc((size_t) capacity * sizeof *a->tokenized_letters);
    if (!a->tokenized || !a->tokenized_letters) return out_of_memory();
    a->tokenized_capacity = capacity;
    return BL_OK;
}

/* Copy the words with one space between them. */
static void join_words(bl_aligner *a, int64_t begin, int64_t end) {
    const char *text = a->passage->text;
    a->length = a->letter_count = 0;
    for (int64_t at = begin; at < end;) {
        int width = space_at(text + at);
        if (width > 0 && a->length > 0 && a->original[a->length - 1] == ' ') {
            at += width;
            continue;
        }
        char byte = text[at];
        if (width > 0) byte = ' ';
        if (is_letter(byte)) a->letters[a->letter_count++] = a->length;
        a->places[a->length] = at;
        a->original[a->length++] = byte;
        at += width > 0 ? width : 1;
    }
}

/* The words of the basic tokenizer with a space between them. */
static bl_status join_tokenized(bl_aligner *a) {
    BL_TRY(bl_tokenizer_words(a->passage->tokenizer, a->words, a->original, (size_t) a->length));
    const bl_words *w = a->words;
    int64_t bytes = w->count > 0 ? w->text_offsets[w->count] + w->count : 1, letters = 0;
    BL_TRY(reserve_tokenized(a, bytes));
    a->tokenized_length = 0;
    for (int64_t i = 0; i < w->count; i++) {
        int32_t from = w->text_offsets[i], length = w->text_offsets[i + 1] - from;
        if (i > 0) a->tokenized[a->tokenized_length++] = ' ';
        memcpy(a->tokenized + a->tokenized_length, w->text + from, (size_t) length);
        a->tokenized_length += length;
    }
    for (int64_t i = 0; i < a->tokenized_length; i++) {
        letters += is_letter(a->tokenized[i]);
        a->tokenized_letters[i] = letters;
    }
    return BL_OK;
}

/* Consecutive candidates often have the same words. */
static bl_status prepare(bl_aligner *a, int64_t begin, int64_t end) {
    if (a->begin == begin && a->end == end) return BL_OK;
    a->begin = -1;
    BL_TRY(reserve(a, end - begin + 1));
    join_words(a, begin, end);
    BL_TRY(join_tokenized(a));
    a->begin = begin;
    a->end = end;
    return BL_OK;
}

/* Remove what is found, from left to right; returns the new length. */
static size_t without(char *text, size_t length, const char *what) {
    size_t bytes = strlen(what), to = 0;
    for (size_t at = 0; at < length;) {
        if (length - at >= bytes && memcmp(text + at, what, bytes) == 0)
            at += bytes;
        else
            text[to++] = text[at++];
    }
    return to;
}

/* WordPiece tokens joined back to words: "un ##aff ##able" is "unaffable". */
static bl_status join_pieces(bl_aligner *a, int64_t first, int64_t last, size_t *length) {
    const bl_passage *p = a->passage;
    size_t used = 0, to = 0, need = 1;
    for (int64_t i = first; i <= last; i++)
        need += strlen(bl_tokenizer_token(p->tokenizer, p->ids[i])) + 1;
    if (need > a->predicted_capacity) {
        char *grown = realloc(a->predicted, 2 * need);
        if (!grown) return out_of_memory();
        a->predicted = grown;
        a->predicted_capacity = 2 * need;
    }
    for (int64_t i = first; i <= last; i++) {
        const char *token = bl_tokenizer_token(p->tokenizer, p->ids[i]);
        size_t bytes = strlen(token);
        if (i > first) a->predicted[used++] = ' ';
        memcpy(a->predicted + used, token, bytes);
        used += bytes;
    }
    used = without(a->predicted, used, " ##");
    used = without(a->predicted, used, "##");
    while (used > 0 && a->predicted[used - 1] == ' ')
        used--;
    for (size_t at = 0; at < used; at++)
        if (a->predicted[at] != ' ' || (to > 0 && a->predicted[to - 1] != ' ')) a->predicted[to++] = a->predicted[at];
    *length = to;
    return BL_OK;
}

/* One past the last byte of a letter of the original. */
static int64_t letter_end(const bl_aligner *a, int64_t letter) {
    int64_t at = a->letters[letter] + 1;
    while (at < a->length && ((unsigned char) a->original[at] & 0xc0) == 0x80)
        at++;
    return at;
}

/* Bytes [*from, *to) of the original for the prediction found at a byte of the tokenized words. */
static bool map_back(const bl_aligner *a, int64_t at, size_t length, int64_t *from, int64_t *to) {
    int64_t first = a->tokenized_letters[at] - 1, last = a->tokenized_letters[at + (int64_t) length - 1] - 1;
    if (first < 0 || last < first || last >= a->letter_count) return false;
    *from = a->letters[first];
    *to = letter_end(a, last);
    return true;
}

/* The first of a rising list that is no less than a value; count if there is none. */
static int64_t lower_bound(const int64_t *list, int64_t count, int64_t value) {
    int64_t low = 0, high = count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (list[middle] < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/*
 * Bytes [*from, *to) of the original for the prediction. The reference takes
 * the first place where it stands; where the tokens are, at byte `start` of the
 * context, is as good if the text is the same there.
 */
static bool align(const bl_aligner *a, size_t length, int64_t start, int64_t *from, int64_t *to) {
    int64_t tokenized_count = a->tokenized_length ? a->tokenized_letters[a->tokenized_length - 1] : 0;
    if (length == 0 || a->letter_count != tokenized_count) return false;
    const char *at = memmem(a->tokenized, (size_t) a->tokenized_length, a->predicted, length);
    if (!at || !map_back(a, at - a->tokenized, length, from, to)) return false;
    int64_t begin = lower_bound(a->places, a->length, start), bytes = *to - *from;
    if (begin + bytes <= a->length && memcmp(a->original + begin, a->original + *from, (size_t) bytes) == 0) {
        *from = begin;
        *to = begin + bytes;
    }
    return true;
}

bl_status bl_aligner_find(bl_aligner *a, int64_t first, int64_t last, bl_answer_text *out) {
    const bl_passage *p = a->passage;
    size_t length = 0;
    int64_t from, to;
    BL_TRY(prepare(a, p->word_starts[first], p->word_ends[last]));
    BL_TRY(join_pieces(a, first, last, &length));
    if (!align(a, length, p->starts[first], &from, &to)) {
        from = 0;
        to = a->length;
    }
    out->text = malloc((size_t) (to - from) + 1);
    if (!out->text) return out_of_memory();
    memcpy(out->text, a->original + from, (size_t) (to - from));
    out->text[to - from] = '\0';
    out->begin = to > from ? a->places[from] : a->begin;
    out->end = to > from ? a->places[to - 1] + 1 : a->begin;
    return BL_OK;
}
