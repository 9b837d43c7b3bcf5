/*
 * unicode_table.h - what the tokenizer needs to know of a code point, in one
 * table lookup: its class and its lower-cased, accent-free form. Built from
 * ICU once per tokenizer; read-only afterwards.
 */
#ifndef BERTLUA_TEXT_UNICODE_TABLE_H
#define BERTLUA_TEXT_UNICODE_TABLE_H

#include "core/internal.h"

enum {
    BL_CHAR_DROP = 1,   /* NUL, U+FFFD, Cc and Cf: as if it were not in the text */
    BL_CHAR_SPACE = 2,  /* ends a word */
    BL_CHAR_ALONE = 4,  /* punctuation or CJK ideograph: a word of its own */
    BL_CHAR_STRIP = 8,  /* Mn, removed with the accents */
    BL_CHAR_MARK = 16,  /* canonical combining class above 0 */
    BL_CHAR_MULTI = 32, /* becomes several code points: the value indexes expansions */
    BL_CHAR_SIGMA = 64, /* capital sigma: lower-cased by its place in the word */
    BL_CHAR_VALUE_SHIFT = 8,
    BL_CHAR_PAGE_BITS = 7,
    BL_CHAR_PAGE_SIZE = 1 << BL_CHAR_PAGE_BITS,
    BL_CHAR_PAGES = 0x110000 >> BL_CHAR_PAGE_BITS
};

/* What is done to a text before it is cut into words. */
typedef struct bl_text_rules {
    bool lower_case;
    bool strip_accents;    /* decompose (NFD) and leave out Mn */
    bool split_ideographs; /* each CJK ideograph is a word */
    bool clean;            /* leave out NUL, U+FFFD, Cc and Cf */
} bl_text_rules;

/* BERT's own: accents go when the text is lower-cased. */
static inline bl_text_rules bl_text_rules_of_bert(bool lower_case) {
    return (bl_text_rules){lower_case, lower_case, true, true};
}

/* An entry or item: flags in the low 8 bits, code point (or index into expansions) above. */
typedef struct bl_unicode_table {
    uint32_t *pages;      /* page 0 is shared by all pages without anything special */
    uint32_t *expansions; /* count, then that many items */
    uint32_t expansion_count;
    uint32_t expansion_capacity;
    uint32_t page_count;
    uint32_t page_capacity;
    uint16_t page_of[BL_CHAR_PAGES];
    uint8_t simple[256]; /* lower-cased byte of an ASCII character inside words; 0 for all else */
    bl_text_rules rules;
} bl_unicode_table;

bl_status bl_unicode_table_init(bl_unicode_table *table, bl_text_rules rules);
void bl_unicode_table_clear(bl_unicode_table *table);

/* Entry of a code point below 0x110000; the value 0 with no flag means "itself". */
static inline uint32_t bl_unicode_entry(const bl_unicode_table *table, uint32_t code_point) {
    size_t page = table->page_of[code_point >> BL_CHAR_PAGE_BITS];
    return table->pages[page * BL_CHAR_PAGE_SIZE + (code_point & (BL_CHAR_PAGE_SIZE - 1))];
}

/*
 * Decode the code point at text[at]; *length is set to the bytes it takes.
 * Bytes that are not UTF-8 (overlong forms and surrogates included) give
 * U+FFFD and a length of 1.
 */
static inline uint32_t bl_utf8_decode(const uint8_t *text, int32_t at, int32_t size, int32_t *length) {
    uint32_t lead = text[at];
    *length = 1;
    if (lead < 0x80) return lead;
    int32_t left = size - at;
    if (lead >= 0xc2 && lead < 0xe0) {
        if (left < 2 || (text[at + 1] & 0xc0) != 0x80) return 0xfffd;
        *length = 2;
        return (lead & 0x1f) << 6 | (text[at + 1] & 0x3f);
    }
    if (lead >= 0xe0 && lead < 0xf0) {
        if (left < 3 || (text[at + 1] & 0xc0) != 0x80 || (text[at + 2] & 0xc0) != 0x80) return 0xfffd;
        uint32_t c = (lead & 0x0f) << 12 | (uint32_t) (text[at + 1] & 0x3f) << 6 | (text[at + 2] & 0x3f);
        if (c < 0x800 || (c >= 0xd800 && c < 0xe000)) return 0xfffd;
        *length = 3;
        return c;
    }
    if (lead >= 0xf0 && lead < 0xf5) {
        if (left < 4 || (text[at + 1] & 0xc0) != 0x80 || (text[at + 2] & 0xc0) != 0x80 || (text[at + 3] & 0xc0) != 0x80)
            return 0xfffd;
        uint32_t c = (lead & 0x07) << 18 | (uint32_t) (text[at + 1] & 0x3f) << 12 |
                     (uint32_t) (text[at + 2] & 0x3f) << 6 | (text[at + 3] & 0x3f);
        if (c < 0x10000 || c > 0x10ffff) return 0xfffd;
        *length = 4;
        return c;
    }
    return 0xfffd;
}

/* Write a code point as UTF-8 (up to 4 bytes); returns the bytes written. */
static inline int32_t bl_utf8_encode(uint8_t *out, uint32_t c) {
    if (c < 0x80) {
        out[0] = (uint8_t) c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t) (0xc0 | c >> 6);
        out[1] = (uint8_t) (0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t) (0xe0 | c >> 12);
        out[1] = (uint8_t) (0x80 | (c >> 6 & 0x3f));
        out[2] = (uint8_t) (0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (uint8_t) (0xf0 | c >> 18);
    out[1] = (uint8_t) (0x80 | (c >> 12 & 0x3f));
    out[2] = (uint8_t) (0x80 | (c >> 6 & 0x3f));
    out[3] = (uint8_t) (0x80 | (c & 0x3f));
    return 4;
}

#endif
