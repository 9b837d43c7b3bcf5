/*
 * markup.h - the state that the wikitext files share, and who does what:
 * pairs.c finds which brackets belong together, wikitext.c walks the text and
 * hands each construct to template.c, tag.c or link.c, prose.c makes
 * paragraphs of what is left; page_kind.c tells which pages are not articles.
 */
#ifndef BERTLUA_WIKI_MARKUP_H
#define BERTLUA_WIKI_MARKUP_H

#include "core/bytes.h"

/*
 * Stands in the intermediate text where something invisible was: a line that
 * begins with it is prose, whatever its next character would mean in wikitext.
 */
#define BL_MARK_HIDDEN '\x02'

enum { BL_MARKUP_MAX_DEPTH = 40, BL_TAG_MAX = 128, BL_TEMPLATE_NAME = 64 };

/* An open bracket that waits for its partner. */
typedef struct bl_open_bracket {
    int32_t at;
    int32_t count; /* of braces */
    char kind;     /* '{', '[' or '|' for a table */
} bl_open_bracket;

struct bl_wikitext {
    bl_bytes dropped; /* names of the file, category and media namespaces, lower case, each ended by \n */
    /* of the present text */
    const char *text, *end;
    int32_t *close; /* [bytes] offset just past the partner of the bracket that opens here; 0 if there is none */
    size_t close_capacity;
    bl_open_bracket *stack;
    size_t stack_capacity;
    bool no_close[BL_TAG_MAX]; /* a search for this tag's end has failed already */
    bl_bytes out;              /* after the walk: lines of text and markers */
    bl_bytes prose;            /* the result */
    bl_bytes paragraph;        /* joined lines */
    bl_bytes line;             /* the same, tidied */
    const char *no_link_end;   /* no "]" stands between the last failed [link and here */
    bool bold, italic;
    int depth;
};

/* Fill close[]. */
bool bl_markup_pair(bl_wikitext *w);
/* Walk [p, end), appending to w->out. */
void bl_markup_walk(bl_wikitext *w, const char *p, const char *end);
/* {{...}}: p at the first brace, close just past the last. */
void bl_markup_template(bl_wikitext *w, const char *p, const char *close);
/* Name of the template between p and end: lower case, "_" as space, without comments. Its length; 0 if too long. */
size_t bl_markup_template_name(const char *p, const char *end, char name[BL_TEMPLATE_NAME]);
/* [[...]] likewise. */
void bl_markup_link(bl_wikitext *w, const char *p, const char *close);
/* "[http... label]" at p: its length, or 0 if it is not such a link. */
size_t bl_markup_external_link(bl_wikitext *w, const char *p, const char *end);
/* A comment or tag at p ('<'): the number of bytes dealt with, 0 if it is only text. */
size_t bl_markup_tag(bl_wikitext *w, const char *p, const char *end);
/* Raised text [p, end) comes next: "^" if a number comes and the text so far ends in one, so that 10^24 is not 1024. */
void bl_markup_raise(bl_wikitext *w, const char *p, const char *end);
/* End of a comment, or of an element whose content is not wikitext, that begins at p ('<'); NULL if none does. */
const char *bl_markup_opaque_end(bl_wikitext *w, const char *p, const char *end);
/* Lines of w->out into paragraphs in w->prose. */
void bl_markup_prose(bl_wikitext *w);

/* Note that something invisible stood here. */
static inline void bl_markup_hidden(bl_wikitext *w) {
    if (w->out.size == 0 || w->out.data[w->out.size - 1] == '\n') bl_bytes_put(&w->out, BL_MARK_HIDDEN);
}

static inline bool bl_markup_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline char bl_markup_lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char) (c + 32) : c;
}

/* Where the brackets opened at p close; NULL if they do not, or beyond end. */
static inline const char *bl_markup_close(const bl_wikitext *w, const char *p, const char *end) {
    int32_t close = w->close[p - w->text];
    return close > 0 && w->text + close <= end ? w->text + close : NULL;
}

/* The next '|' of [p, end) outside inner brackets, or end. */
static inline const char *bl_markup_bar(const bl_wikitext *w, const char *p, const char *end) {
    while (p < end && *p != '|') {
        const char *close = *p == '{' || *p == '[' ? bl_markup_close(w, p, end) : NULL;
        p = close ? close : p + 1;
    }
    return p;
}

static inline void bl_markup_trim(const char **p, const char **end) {
    while (*p < *end && bl_markup_space(**p))
        (*p)++;
    while (*p < *end && bl_markup_space((*end)[-1]))
        (*end)--;
}

#endif
