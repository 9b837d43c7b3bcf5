/*
 * scanner.h - cuts text into BERT's basic tokens, one at a time: cleaning,
 * white space, CJK, lower-casing, accents, punctuation. No vocabulary here.
 */
#ifndef BERTLUA_TEXT_SCANNER_H
#define BERTLUA_TEXT_SCANNER_H

#include "text/unicode_table.h"

/* A combining mark that waits for canonical ordering. */
typedef struct bl_pending_mark {
    uint32_t order; /* combining class, then arrival */
    uint32_t code_point;
    int32_t begin;
    int32_t end;
} bl_pending_mark;

/* Buffers are kept from text to text; everything else is set by bl_scanner_begin. */
typedef struct bl_scanner {
    const bl_unicode_table *table;
    const uint8_t *text;
    int32_t size;
    int32_t at;
    /* Items of a code point that becomes several, and its place in the text. */
    const uint32_t *queue;
    uint32_t queue_left;
    int32_t queue_begin;
    int32_t queue_end;
    bl_pending_mark *pending;
    int32_t pending_count;
    int32_t pending_capacity;
    /* The word found last. */
    uint8_t *word;
    int32_t length;     /* bytes in word; characters after max_chars are counted, not stored */
    int32_t characters; /* code points */
    int32_t begin;      /* its source in the text: [begin, end) */
    int32_t end;
    int32_t *byte_begin; /* [length] source of each byte's code point; only with offsets */
    int32_t *byte_end;
    int32_t word_capacity;
    int32_t max_characters;
    bool offsets;
    bool has_offset_arrays;
} bl_scanner;

/* Text stays the caller's. max_characters bounds what is stored of a word. */
bl_status bl_scanner_begin(bl_scanner *s, const bl_unicode_table *table, const char *text, size_t bytes,
                           int32_t max_characters, bool offsets);
/* Find the next word; *found is false at the end of the text. */
bl_status bl_scanner_next(bl_scanner *s, bool *found);
void bl_scanner_clear(bl_scanner *s);

#endif
