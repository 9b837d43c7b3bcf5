/*
 * characters.c - what Unicode says of single characters of a text: what kind
 * one is, and how many columns a text takes.
 */
#include <unicode/uchar.h>

#include "text/unicode_table.h"

static int32_t kind_of(uint32_t code_point) {
    if (code_point < 0x80) {
        if (code_point >= 'a' && code_point <= 'z') return BL_CHARACTER_LOWER;
        if (code_point >= 'A' && code_point <= 'Z') return BL_CHARACTER_UPPER;
        if (code_point >= '0' && code_point <= '9') return BL_CHARACTER_DIGIT;
        if (code_point == ' ' || (code_point >= '\t' && code_point <= '\r')) return BL_CHARACTER_SPACE;
    }
    UChar32 c = (UChar32) code_point;
    switch (u_charType(c)) {
    case U_LOWERCASE_LETTER:
        /* Georgian has capitals since Unicode 11, but sentences do not begin with them. */
        return c >= 0x10d0 && c <= 0x10ff ? BL_CHARACTER_LETTER : BL_CHARACTER_LOWER;
    case U_UPPERCASE_LETTER:
    case U_TITLECASE_LETTER:
        return BL_CHARACTER_UPPER;
    case U_MODIFIER_LETTER:
    case U_OTHER_LETTER:
        return BL_CHARACTER_LETTER;
    case U_DECIMAL_DIGIT_NUMBER:
        return BL_CHARACTER_DIGIT;
    case U_NON_SPACING_MARK:
    case U_ENCLOSING_MARK:
    case U_COMBINING_SPACING_MARK:
        return BL_CHARACTER_MARK;
    case U_START_PUNCTUATION:
    case U_INITIAL_PUNCTUATION:
        return BL_CHARACTER_OPENING;
    case U_END_PUNCTUATION:
    case U_FINAL_PUNCTUATION:
        return BL_CHARACTER_CLOSING;
    case U_FORMAT_CHAR:
        /* Zero-width space and byte order mark: they separate or mean nothing. */
        return c == 0x200b || c == 0xfeff ? BL_CHARACTER_SPACE : BL_CHARACTER_OTHER;
    default:
        return u_isUWhiteSpace(c) ? BL_CHARACTER_SPACE : BL_CHARACTER_OTHER;
    }
}

BL_API bool bl_text_character(const char *text, int64_t bytes, int64_t at, bl_character *out) {
    if (!text || !out || at < 0 || at >= bytes || bytes > INT32_MAX) return false;
    int32_t length;
    uint32_t code_point = bl_utf8_decode((const uint8_t *) text, (int32_t) at, (int32_t) bytes, &length);
    *out = (bl_character){(int32_t) code_point, (int32_t) at, (int32_t) at + length, kind_of(code_point)};
    return true;
}

BL_API bool bl_text_character_before(const char *text, int64_t bytes, int64_t at, bl_character *out) {
    if (!text || !out || at <= 0 || at > bytes || bytes > INT32_MAX) return false;
    int64_t begin = at - 1;
    while (begin > 0 && at - begin < 4 && ((uint8_t) text[begin] & 0xc0) == 0x80)
        begin--;
    if (bl_text_character(text, bytes, begin, out) && out->end == at) return true;
    /* Not UTF-8: the byte alone. */
    *out = (bl_character){0xfffd, (int32_t) at - 1, (int32_t) at, BL_CHARACTER_OTHER};
    return true;
}

BL_API int64_t bl_text_columns(const char *text, int64_t bytes) {
    if (!text || bytes < 0 || bytes > INT32_MAX) return 0;
    int64_t columns = 0;
    for (int32_t at = 0; at < (int32_t) bytes;) {
        if ((uint8_t) text[at] < 0x80) {
            columns++;
            at++;
            continue;
        }
        int32_t length;
        UChar32 c = (UChar32) bl_utf8_decode((const uint8_t *) text, at, (int32_t) bytes, &length);
        at += length;
        int8_t type = u_charType(c);
        if (type == U_NON_SPACING_MARK || type == U_ENCLOSING_MARK || type == U_FORMAT_CHAR) continue;
        int32_t width = u_getIntPropertyValue(c, UCHAR_EAST_ASIAN_WIDTH);
        columns += width == U_EA_WIDE || width == U_EA_FULLWIDTH ? 2 : 1;
    }
    return columns;
}

BL_API bool bl_text_is_unspaced(int32_t code_point) {
    if (code_point < 0xe00) return false;
    switch (u_getIntPropertyValue(code_point, UCHAR_LINE_BREAK)) {
    case U_LB_COMPLEX_CONTEXT:
    case U_LB_IDEOGRAPHIC:
    case U_LB_CONDITIONAL_JAPANESE_STARTER:
        return u_isalpha(code_point) || u_getCombiningClass(code_point) > 0 ||
               u_charType(code_point) == U_NON_SPACING_MARK || u_charType(code_point) == U_COMBINING_SPACING_MARK;
    case U_LB_NONSTARTER:
        return u_isalpha(code_point); /* iteration marks, the long vowel mark */
    default:
        return code_point >= 0xf00 && code_point < 0x1000; /* Tibetan: a mark between syllables, none between words */
    }
}
