/*
 * language.h - what is different in a Wikipedia of another language: names of
 * namespaces, numbers, dates and templates. Data of language_table.c and
 * templates_*.c.
 */
#ifndef BERTLUA_WIKI_LANGUAGE_H
#define BERTLUA_WIKI_LANGUAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/bytes.h"
#include "wiki/template.h"

/* How a wiki writes numbers and dates, and its templates. */
typedef struct bl_wiki_customs {
    const char *code;
    const char *group, *decimal; /* between groups of three digits, before the fraction */
    int group_from;              /* digits of a whole part that is grouped; 0: 4 */
    const char *months;          /* as dates have them, between bars */
    const char *first_day;       /* what stands for day 1 of a month; NULL: 1 */
    const char *ordinals;        /* endings of templates such as {{1er}}, {{XIXe siècle}}, between bars; NULL: none */
    const char *titled;          /* beginnings of templates whose name goes on with their text; NULL: none */
    const char *link_prefix;     /* of a family of templates that link to other wikis; NULL: none */
    const bl_template *templates;
    size_t count;
} bl_wiki_customs;

extern const bl_wiki_customs bl_customs_fr, bl_customs_de, bl_customs_es, bl_customs_it, bl_customs_pt, bl_customs_nl,
    bl_customs_ru, bl_customs_pl, bl_customs_ja, bl_customs_zh;

typedef struct bl_wiki_language {
    const char *code;
    const char *dropped;  /* names of the file, category and media namespaces besides the English ones, between bars */
    const char *template; /* names of the template namespace likewise */
} bl_wiki_language;

/* The row of a wiki's code ("de", "zh-tw"), NULL if there is none. */
const bl_wiki_language *bl_wiki_language_find(const char *code);
const bl_wiki_customs *bl_wiki_customs_find(const char *code);
/* Whether a prefix is the code of a Wikipedia: a link with it stands in the margin. */
bool bl_wiki_is_code(const char *name, size_t length);
/* Append the case-folded text (Unicode, without a locale). */
void bl_wiki_fold(bl_bytes *out, const char *text, size_t length);

/* Byte order of a word of a table and the text [p, p + length), which may hold any bytes. */
static inline int bl_wiki_compare(const char *word, const char *p, size_t length) {
    size_t n = strlen(word);
    int order = memcmp(word, p, n < length ? n : length);
    return order ? order : (n > length) - (n < length);
}

#endif
