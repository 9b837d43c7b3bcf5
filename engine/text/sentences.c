/*
 * sentences.c - cut prose into sentences with ICU's break iterator (UAX #29),
 * straight over UTF-8.
 */
#include <stdlib.h>
#include <unicode/ubrk.h>
#include <unicode/utext.h>

#include "core/internal.h"

struct bl_sentences {
    UBreakIterator *iterator;
    UText *text;
    int64_t *ends;
    int64_t capacity;
};

BL_API bl_status bl_sentences_create(bl_sentences **out, const char *locale) {
    if (!out || !locale) return bl_fail(BL_ERROR_ARGUMENT, "sentences_create: an argument is NULL");
    bl_sentences *sentences = calloc(1, sizeof *sentences);
    if (!sentences) return bl_fail(BL_ERROR_MEMORY, "sentences_create: no memory");
    UErrorCode error = U_ZERO_ERROR;
    sentences->iterator = ubrk_open(UBRK_SENTENCE, locale, NULL, 0, &error);
    if (U_FAILURE(error)) {
        free(sentences);
        return bl_fail(BL_ERROR_ARGUMENT, "sentences_create: ICU has no sentence rules for locale \"%s\": %s", locale,
                       u_errorName(error));
    }
    *out = sentences;
    return BL_OK;
}

BL_API void bl_sentences_free(bl_sentences *sentences) {
    if (!sentences) return;
    ubrk_close(sentences->iterator);
    utext_close(sentences->text);
    free(sentences->ends);
    free(sentences);
}

static bl_status keep_end(bl_sentences *sentences, int64_t number, int64_t end) {
    if (number == sentences->capacity) {
        int64_t capacity = number > 0 ? number * 2 : 64;
        int64_t *ends = realloc(sentences->ends, (size_t) capacity * sizeof *ends);
        if (!ends)
            return bl_fail(BL_ERROR_MEMORY, "sentences_split: no memory for %lld sentences", (long long) capacity);
        sentences->ends = ends;
        sentences->capacity = capacity;
    }
    sentences->ends[number] = end;
    return BL_OK;
}

BL_API bl_status bl_sentences_split(bl_sentences *sentences, const char *text, int64_t bytes, const int64_t **ends,
                                    int64_t *count) {
    if (!sentences || !text || !ends || !count || bytes < 0) {
        return bl_fail(BL_ERROR_ARGUMENT, "sentences_split: an argument is NULL or bytes is negative");
    }
    if (bytes > INT32_MAX) {
        return bl_fail(BL_ERROR_ARGUMENT, "sentences_split: %lld bytes at once, expected at most %d", (long long) bytes,
                       INT32_MAX);
    }
    UErrorCode error = U_ZERO_ERROR;
    sentences->text = utext_openUTF8(sentences->text, text, bytes, &error);
    ubrk_setUText(sentences->iterator, sentences->text, &error);
    if (U_FAILURE(error)) return bl_fail(BL_ERROR_INTERNAL, "sentences_split: ICU: %s", u_errorName(error));
    int64_t number = 0;
    (void) ubrk_first(sentences->iterator);
    for (int32_t end = ubrk_next(sentences->iterator); end != UBRK_DONE; end = ubrk_next(sentences->iterator)) {
        BL_TRY(keep_end(sentences, number++, end));
    }
    *ends = sentences->ends;
    *count = number;
    return BL_OK;
}
