/*
 * scanner.c - one pass over the text. Google's reference cleans the whole
 * text, splits it at white space, then lower-cases, decomposes and strips each
 * part and splits it at punctuation; since all of that looks at one code point
 * at a time, it is done here as the code points come. Two things look around:
 * the final sigma, and the canonical order of combining marks that survive.
 */
#include "text/scanner.h"

#include <stdlib.h>
#include <string.h>
#include <unicode/uchar.h>

enum { FINAL_SIGMA = 0x3c2 };

static bl_status grow_word(bl_scanner *s) {
    int32_t capacity = s->word_capacity ? s->word_capacity : 512;
    if (s->word_capacity) {
        if (capacity > INT32_MAX / 2) return bl_fail(BL_ERROR_UNSUPPORTED, "tokenizer: a word is longer than 1 GiB");
        capacity *= 2;
    }
    uint8_t *word = realloc(s->word, (size_t) capacity);
    if (!word) return bl_fail(BL_ERROR_MEMORY, "tokenizer: out of memory for a word");
    s->word = word;
    if (s->has_offset_arrays || s->offsets) {
        int32_t *begin = realloc(s->byte_begin, (size_t) capacity * sizeof *begin);
        if (begin) s->byte_begin = begin;
        int32_t *end = realloc(s->byte_end, (size_t) capacity * sizeof *end);
        if (end) s->byte_end = end;
        if (!begin || !end) return bl_fail(BL_ERROR_MEMORY, "tokenizer: out of memory for offsets");
        s->has_offset_arrays = true;
    }
    s->word_capacity = capacity;
    return BL_OK;
}

bl_status bl_scanner_begin(bl_scanner *s, const bl_unicode_table *table, const char *text, size_t bytes,
                           int32_t max_characters, bool offsets) {
    if (bytes > INT32_MAX - 8)
        return bl_fail(BL_ERROR_ARGUMENT, "tokenizer: text of %zu bytes, expected at most 2^31 - 9; split it", bytes);
    s->table = table;
    s->text = (const uint8_t *) text;
    s->size = (int32_t) bytes;
    s->at = 0;
    s->queue_left = 0;
    s->pending_count = 0;
    s->max_characters = max_characters;
    s->offsets = offsets;
    if (offsets && !s->has_offset_arrays) {
        /* Start over, with offset arrays beside the word. */
        free(s->word);
        s->word = NULL;
        s->word_capacity = 0;
    }
    if (!s->word_capacity) BL_TRY(grow_word(s));
    return BL_OK;
}

void bl_scanner_clear(bl_scanner *s) {
    free(s->word);
    free(s->byte_begin);
    free(s->byte_end);
    free(s->pending);
    memset(s, 0, sizeof *s);
}

static bl_status emit(bl_scanner *s, uint32_t code_point, int32_t begin, int32_t end) {
    if (s->characters == 0) s->begin = begin;
    if (end > s->end) s->end = end;
    if (s->characters++ >= s->max_characters) return BL_OK;
    if (s->length + 4 > s->word_capacity) BL_TRY(grow_word(s));
    int32_t from = s->length;
    s->length += bl_utf8_encode(s->word + from, code_point);
    if (s->offsets) {
        for (int32_t i = from; i < s->length; i++) {
            s->byte_begin[i] = begin;
            s->byte_end[i] = end;
        }
    }
    return BL_OK;
}

/* A removed accent belongs to the source of the character it stood on. */
static void extend(bl_scanner *s, int32_t end) {
    if (!s->characters || s->pending_count || end <= s->end) return;
    s->end = end;
    if (!s->offsets || s->characters > s->max_characters) return;
    int32_t at = s->length;
    do {
        at--;
        s->byte_end[at] = end;
    } while ((s->word[at] & 0xc0) == 0x80);
}

static bl_status push_pending(bl_scanner *s, uint32_t code_point, int32_t begin, int32_t end) {
    if (s->pending_count == s->pending_capacity) {
        int32_t capacity = s->pending_capacity ? s->pending_capacity * 2 : 16;
        bl_pending_mark *grown = realloc(s->pending, (size_t) capacity * sizeof *grown);
        if (!grown) return bl_fail(BL_ERROR_MEMORY, "tokenizer: out of memory for combining marks");
        s->pending = grown;
        s->pending_capacity = capacity;
    }
    uint32_t combining_class = u_getCombiningClass((UChar32) code_point);
    /* 24 bits of arrival: a run of more than 16 million marks may come out in another order. */
    uint32_t arrival = (uint32_t) s->pending_count < 0xffffff ? (uint32_t) s->pending_count : 0xffffff;
    s->pending[s->pending_count++] = (bl_pending_mark){combining_class << 24 | arrival, code_point, begin, end};
    return BL_OK;
}

static int compare_marks(const void *a, const void *b) {
    uint32_t x = ((const bl_pending_mark *) a)->order, y = ((const bl_pending_mark *) b)->order;
    return (x > y) - (x < y);
}

static bl_status flush_pending(bl_scanner *s) {
    int32_t count = s->pending_count;
    s->pending_count = 0;
    if (count > 1) qsort(s->pending, (size_t) count, sizeof *s->pending, compare_marks);
    for (int32_t i = 0; i < count; i++)
        BL_TRY(emit(s, s->pending[i].code_point, s->pending[i].begin, s->pending[i].end));
    return BL_OK;
}

/* Step back from `at` over one code point (or one stray byte); returns where it starts. */
static int32_t step_back(const bl_scanner *s, int32_t at, uint32_t *code_point) {
    for (int32_t width = 1; width <= 4 && width <= at; width++) {
        int32_t length;
        uint32_t c = bl_utf8_decode(s->text, at - width, s->size, &length);
        if (length == width && (width > 1 || c < 0x80)) {
            *code_point = c;
            return at - width;
        }
    }
    *code_point = 0xfffd;
    return at - 1;
}

/*
 * Unicode's Final_Sigma (chapter 3.13): a cased letter before, none after,
 * case-ignorable ones skipped. White space is neither, so it ends the search.
 */
static bool is_final_sigma(const bl_scanner *s, int32_t begin, int32_t end) {
    uint32_t c = 0;
    bool cased = false;
    for (int32_t at = begin; at > 0;) {
        at = step_back(s, at, &c);
        bool dropped = (bl_unicode_entry(s->table, c) & BL_CHAR_DROP) != 0;
        if (dropped || u_hasBinaryProperty((UChar32) c, UCHAR_CASE_IGNORABLE)) continue;
        cased = u_hasBinaryProperty((UChar32) c, UCHAR_CASED);
        break;
    }
    if (!cased) return false;
    for (int32_t at = end; at < s->size;) {
        int32_t length;
        c = bl_utf8_decode(s->text, at, s->size, &length);
        at += length;
        bool dropped = (bl_unicode_entry(s->table, c) & BL_CHAR_DROP) != 0;
        if (dropped || u_hasBinaryProperty((UChar32) c, UCHAR_CASE_IGNORABLE)) continue;
        return !u_hasBinaryProperty((UChar32) c, UCHAR_CASED);
    }
    return true;
}

/* Copy plain ASCII letters and digits while they last and fit. */
static void take_simple_run(bl_scanner *s) {
    const uint8_t *simple = s->table->simple, *text = s->text;
    int32_t room = s->word_capacity - s->length, at = s->at, begin = at, length = s->length;
    if (room > s->max_characters - s->characters) room = s->max_characters - s->characters;
    if (room <= 0) return;
    int32_t stop = room < s->size - at ? at + room : s->size;
    uint8_t *word = s->word, byte;
    while (at < stop && (byte = simple[text[at]]) != 0) {
        word[length++] = byte;
        at++;
    }
    if (at == begin) return;
    if (s->offsets) {
        for (int32_t i = 0; i < at - begin; i++) {
            s->byte_begin[s->length + i] = begin + i;
            s->byte_end[s->length + i] = begin + i + 1;
        }
    }
    if (s->characters == 0) s->begin = begin;
    s->end = at;
    s->characters += at - begin;
    s->length = length;
    s->at = at;
}

bl_status bl_scanner_next(bl_scanner *s, bool *found) {
    const bl_unicode_table *table = s->table;
    s->length = 0;
    s->characters = 0;
    s->end = 0;
    *found = true;
    for (;;) {
        uint32_t item, code_point;
        int32_t begin, end;
        bool queued = s->queue_left > 0;
        if (queued) {
            item = *s->queue;
            code_point = item >> BL_CHAR_VALUE_SHIFT;
            begin = s->queue_begin;
            end = s->queue_end;
        } else {
            if (!s->pending_count) take_simple_run(s);
            if (s->at >= s->size) break;
            int32_t length;
            begin = s->at;
            code_point = bl_utf8_decode(s->text, begin, s->size, &length);
            end = begin + length;
            item = bl_unicode_entry(table, code_point);
            if (item & (BL_CHAR_DROP | BL_CHAR_SPACE | BL_CHAR_MULTI | BL_CHAR_SIGMA)) {
                if (item & BL_CHAR_DROP) {
                    s->at = end;
                    continue;
                }
                if (item & BL_CHAR_SPACE) {
                    s->at = end;
                    BL_TRY(flush_pending(s));
                    if (s->characters) return BL_OK;
                    continue;
                }
                if (item & BL_CHAR_MULTI) {
                    const uint32_t *expansion = table->expansions + (item >> BL_CHAR_VALUE_SHIFT);
                    s->queue = expansion + 1;
                    s->queue_left = expansion[0];
                    s->queue_begin = begin;
                    s->queue_end = end;
                    s->at = end;
                    continue;
                }
                code_point = is_final_sigma(s, begin, end) ? FINAL_SIGMA : item >> BL_CHAR_VALUE_SHIFT;
            } else if (item) {
                code_point = item >> BL_CHAR_VALUE_SHIFT;
            }
        }
        if (!(item & BL_CHAR_MARK)) BL_TRY(flush_pending(s));
        bool alone = (item & BL_CHAR_ALONE) != 0;
        if (alone && s->characters) return BL_OK; /* comes again as the next word */
        if (queued) {
            s->queue++;
            s->queue_left--;
        } else {
            s->at = end;
        }
        if (item & BL_CHAR_STRIP) {
            extend(s, end);
            continue;
        }
        if (item & BL_CHAR_MARK) {
            BL_TRY(push_pending(s, code_point, begin, end));
            continue;
        }
        BL_TRY(emit(s, code_point, begin, end));
        if (alone) return BL_OK;
    }
    BL_TRY(flush_pending(s));
    *found = s->characters > 0;
    return BL_OK;
}
