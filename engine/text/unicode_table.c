/*
 * unicode_table.c - fills the table from ICU. The classes are those of
 * Google's BERT tokenizer: control characters are Cc and Cf, punctuation is P*
 * and every ASCII symbol, lower-casing is followed by NFD and removal of Mn.
 */
#include "text/unicode_table.h"

#include <stdlib.h>
#include <string.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf16.h>

enum { CAPITAL_SIGMA = 0x3a3 };

typedef struct builder {
    bl_unicode_table *table;
    const UNormalizer2 *nfd;
    bl_status status;
} builder;

static bool is_ideograph(uint32_t c) {
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
           (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b820 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

static bool is_punctuation(uint32_t c, int8_t type) {
    if (c < 0x80) return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
    return (U_MASK(type) & U_GC_P_MASK) != 0;
}

/* Flags of a code point that stands in the text that comes out. */
static uint32_t item_flags(const builder *b, uint32_t c) {
    int8_t type = u_charType((UChar32) c);
    uint32_t flags = is_punctuation(c, type) ? BL_CHAR_ALONE : 0;
    if (!b->table->rules.strip_accents) return flags;
    if (type == U_NON_SPACING_MARK) flags |= BL_CHAR_STRIP;
    if (u_getCombiningClass((UChar32) c)) flags |= BL_CHAR_MARK;
    return flags;
}

static uint32_t *page_for_write(builder *b, uint32_t c) {
    bl_unicode_table *t = b->table;
    uint16_t *page = &t->page_of[c >> BL_CHAR_PAGE_BITS];
    if (*page == 0) {
        if (t->page_count == t->page_capacity) {
            uint32_t capacity = t->page_capacity * 2;
            uint32_t *grown = realloc(t->pages, (size_t) capacity * BL_CHAR_PAGE_SIZE * sizeof *grown);
            if (!grown) {
                b->status = bl_fail(BL_ERROR_MEMORY, "tokenizer: out of memory for the character table");
                return NULL;
            }
            t->pages = grown;
            t->page_capacity = capacity;
        }
        memset(t->pages + (size_t) t->page_count * BL_CHAR_PAGE_SIZE, 0, BL_CHAR_PAGE_SIZE * sizeof *t->pages);
        *page = (uint16_t) t->page_count++;
    }
    return t->pages + (size_t) *page * BL_CHAR_PAGE_SIZE + (c & (BL_CHAR_PAGE_SIZE - 1));
}

static void set_entry(builder *b, uint32_t c, uint32_t flags, uint32_t value) {
    uint32_t *entry = page_for_write(b, c);
    if (entry) *entry = flags | value << BL_CHAR_VALUE_SHIFT;
}

/* Append count items to expansions; returns the index of the first word. */
static uint32_t add_expansion(builder *b, const uint32_t *items, uint32_t count) {
    bl_unicode_table *t = b->table;
    if (t->expansion_count + count + 1 > t->expansion_capacity) {
        uint32_t capacity = t->expansion_capacity ? t->expansion_capacity * 2 : 4096;
        uint32_t *grown = realloc(t->expansions, capacity * sizeof *grown);
        if (!grown) {
            b->status = bl_fail(BL_ERROR_MEMORY, "tokenizer: out of memory for the character table");
            return 0;
        }
        t->expansions = grown;
        t->expansion_capacity = capacity;
    }
    uint32_t at = t->expansion_count;
    t->expansions[at] = count;
    memcpy(t->expansions + at + 1, items, count * sizeof *items);
    t->expansion_count = at + 1 + count;
    return at;
}

/* Lower-case one code point whose accents stay. */
static void add_with_accents(builder *b, uint32_t c, uint32_t flags) {
    enum { CAPITAL_I_WITH_DOT = 0x130, DOT_ABOVE = 0x307 };
    bool lower_case = b->table->rules.lower_case;
    if (lower_case && c == CAPITAL_I_WITH_DOT) {
        /* The only code point whose lower case is two. */
        uint32_t items[] = {'i' << BL_CHAR_VALUE_SHIFT, DOT_ABOVE << BL_CHAR_VALUE_SHIFT};
        set_entry(b, c, flags | BL_CHAR_MULTI, add_expansion(b, items, 2));
        return;
    }
    uint32_t lower = lower_case ? (uint32_t) u_tolower((UChar32) c) : c;
    flags |= item_flags(b, lower);
    if (lower_case && c == CAPITAL_SIGMA) flags |= BL_CHAR_SIGMA;
    if (flags || lower != c) set_entry(b, c, flags, lower);
}

/* Decompose and strip one code point that is not dropped and no space, and lower-case it if asked. */
static void add_without_accents(builder *b, uint32_t c, uint32_t flags) {
    bool lower_case = b->table->rules.lower_case;
    uint32_t lower = lower_case ? (uint32_t) u_tolower((UChar32) c) : c;
    UChar units[64];
    UErrorCode error = U_ZERO_ERROR;
    int32_t length = unorm2_getDecomposition(b->nfd, (UChar32) lower, units, 64, &error);
    if (U_FAILURE(error)) {
        b->status = bl_fail(BL_ERROR_INTERNAL, "tokenizer: ICU cannot decompose U+%04X: %s", (unsigned) lower,
                            u_errorName(error));
        return;
    }
    if (length < 0) {
        flags |= item_flags(b, lower);
        if (lower_case && c == CAPITAL_SIGMA) flags |= BL_CHAR_SIGMA;
        if (flags || lower != c) set_entry(b, c, flags, lower);
        return;
    }
    uint32_t items[64], kept[64], count = 0, kept_count = 0;
    bool odd = false;
    for (int32_t i = 0; i < length;) {
        UChar32 part;
        U16_NEXT(units, i, length, part);
        uint32_t part_flags = item_flags(b, (uint32_t) part);
        uint32_t item = part_flags | (uint32_t) part << BL_CHAR_VALUE_SHIFT;
        items[count++] = item;
        if (!(part_flags & BL_CHAR_STRIP)) kept[kept_count++] = item;
        /* A mark that stays takes part in canonical ordering, so its neighbours must be seen too. */
        if ((part_flags & (BL_CHAR_STRIP | BL_CHAR_MARK)) == BL_CHAR_MARK) odd = true;
    }
    if (!odd && !(items[0] & BL_CHAR_STRIP)) {
        memcpy(items, kept, kept_count * sizeof *kept);
        count = kept_count;
    }
    if (count == 1)
        set_entry(b, c, flags | (items[0] & 0xff), items[0] >> BL_CHAR_VALUE_SHIFT);
    else
        set_entry(b, c, flags | BL_CHAR_MULTI, add_expansion(b, items, count));
}

static void add_code_point(builder *b, uint32_t c, int8_t type) {
    uint32_t category = U_MASK(type);
    bl_text_rules rules = b->table->rules;
    bool blank = rules.clean ? c == '\t' || c == '\n' || c == '\r' : u_isUWhiteSpace((UChar32) c);
    if (rules.clean && (c == 0 || c == 0xfffd || (!blank && (category & (U_GC_CC_MASK | U_GC_CF_MASK))))) {
        set_entry(b, c, BL_CHAR_DROP, 0);
    } else if (blank || (category & (U_GC_ZS_MASK | U_GC_ZL_MASK | U_GC_ZP_MASK))) {
        set_entry(b, c, BL_CHAR_SPACE, 0);
    } else {
        uint32_t flags = rules.split_ideographs && is_ideograph(c) ? BL_CHAR_ALONE : 0;
        if (rules.strip_accents)
            add_without_accents(b, c, flags);
        else
            add_with_accents(b, c, flags);
    }
}

/* ICU reports ranges of equal category; those without any property of interest are skipped whole. */
static UBool add_range(const void *context, UChar32 start, UChar32 limit, UCharCategory type) {
    builder *b = (builder *) context;
    bool plain = type == U_UNASSIGNED || type == U_PRIVATE_USE_CHAR || type == U_SURROGATE;
    for (UChar32 c = start; c < limit && b->status == BL_OK; c++)
        if (!plain || is_ideograph((uint32_t) c)) add_code_point(b, (uint32_t) c, (int8_t) type);
    return b->status == BL_OK;
}

bl_status bl_unicode_table_init(bl_unicode_table *table, bl_text_rules rules) {
    memset(table, 0, sizeof *table);
    table->rules = rules;
    table->page_count = 1;
    table->page_capacity = 1024;
    table->pages = calloc((size_t) table->page_capacity * BL_CHAR_PAGE_SIZE, sizeof *table->pages);
    if (!table->pages) return bl_fail(BL_ERROR_MEMORY, "tokenizer: out of memory for the character table");
    UErrorCode error = U_ZERO_ERROR;
    builder b = {table, unorm2_getNFDInstance(&error), BL_OK};
    if (U_FAILURE(error)) {
        b.status = bl_fail(BL_ERROR_INTERNAL, "tokenizer: ICU has no NFD data: %s", u_errorName(error));
    } else {
        u_enumCharTypes(add_range, &b);
    }
    if (b.status != BL_OK) {
        bl_unicode_table_clear(table);
        return b.status;
    }
    for (uint32_t c = 1; c < 0x80; c++) {
        uint32_t entry = bl_unicode_entry(table, c);
        if (!(entry & 0xff)) table->simple[c] = (uint8_t) (entry ? entry >> BL_CHAR_VALUE_SHIFT : c);
    }
    return BL_OK;
}

void bl_unicode_table_clear(bl_unicode_table *table) {
    free(table->pages);
    free(table->expansions);
    table->pages = NULL;
    table->expansions = NULL;
}
