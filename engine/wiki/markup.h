/*
 * markup.h - the state that the wikitext files share, and who does what:
 * comment.c takes comments out, pairs.c finds which brackets belong together,
 * wikitext.c walks the text and hands each construct to template.c, tag.c,
 * link.c or variant.c, quotes.c reads the apostrophes, prose.c makes paragraphs
 * of what is left; page_kind.c tells which pages are not articles.
 */
#ifndef BERTLUA_WIKI_MARKUP_H
#define BERTLUA_WIKI_MARKUP_H

#include "core/bytes.h"
#include "wiki/language.h"

/*
 * Stands in the intermediate text where something invisible was: a line that
 * begins with it is prose, whatever its next character would mean in wikitext.
 */
#define BL_MARK_HIDDEN '\x02'
/* Stands for each apostrophe of a run of two or more, until quotes.c has read the line. A BL_MARK_HIDDEN ends the run.
 */
#define BL_MARK_QUOTE '\x03'

enum { BL_MARKUP_MAX_DEPTH = 40, BL_TAG_MAX = 128, BL_TEMPLATE_NAME = 256 /* MediaWiki allows a title 255 bytes */ };

/* An open bracket that waits for its partner. */
typedef struct bl_open_bracket {
    int32_t at;
    int32_t count; /* of braces */
    char kind;     /* '{', '[', '|' for a table or '-' for a -{ variant }- */
} bl_open_bracket;

/* A template of the wiki's own language, by one of its names. */
typedef struct bl_local_template {
    size_t name, length; /* in the names of the converter */
    const bl_template *template;
} bl_local_template;

struct bl_wikitext {
    bl_bytes dropped;             /* names of the file, category and media namespaces, case-folded, each ended by \n */
    bl_bytes template;            /* names of the template namespace likewise */
    char language[24];            /* "zh-tw", "" if it is not known */
    bool english;                 /* or not known */
    bool variants;                /* -{ }- is markup */
    const bl_wiki_customs *known; /* of the language; NULL for English and where there is no table */
    bl_bytes names;               /* of the language's templates */
    bl_local_template *local;     /* in byte order of the names */
    size_t local_count;
    /* of the present text */
    const char *text, *end;
    int32_t *close; /* [bytes] offset just past the partner of the bracket that opens here; 0 if there is none */
    size_t close_capacity;
    bl_open_bracket *stack;
    size_t stack_capacity;
    const char *no_close[BL_TAG_MAX]; /* a search for this tag's end up to here has failed already */
    bl_bytes stripped;                /* the text without comments, if it had any */
    bl_bytes folded;                  /* scratch of names */
    bl_bytes out;                     /* after the walk: lines of text and markers */
    bl_bytes prose;                   /* the result */
    bl_bytes paragraph;               /* joined lines */
    bl_bytes line;                    /* the same, tidied */
    const char *no_link_end;          /* no "]" stands between the last failed [link and here */
    int depth;
};

/* Make text and end those of the text without comments; false if there is no memory. */
bool bl_markup_strip_comments(bl_wikitext *w, const char *text, const char *end);
/* Fill close[]. */
bool bl_markup_pair(bl_wikitext *w);
/* Walk [p, end), appending to w->out. */
void bl_markup_walk(bl_wikitext *w, const char *p, const char *end);
/* {{...}}: p at the first brace, close just past the last. */
void bl_markup_template(bl_wikitext *w, const char *p, const char *close);
/*
 * Name of the template between p and end: case-folded, "_" as space, without comments and namespace. Its length; 0 if
 * it is too long.
 */
size_t bl_markup_template_name(const bl_wikitext *w, const char *p, const char *end, char name[BL_TEMPLATE_NAME]);
/* The template of that name and length; NULL if it is to be left out. */
const bl_template *bl_markup_template_find(const bl_wikitext *w, const char *name, size_t length);
/* Bytes of a name such as "calcio milan" before the text that it shows; 0 if it shows none. */
size_t bl_markup_titled(const bl_wikitext *w, const char *name);
/* Whether a name such as "xixe siècle" is its own text in the wiki's language. */
bool bl_markup_is_ordinal(const bl_wikitext *w, const char *name, size_t length);
/* -{...}-: p at the brace, close just past the hyphen. */
void bl_markup_variant(bl_wikitext *w, const char *p, const char *close);
/* Fill what depends on the language; false if there is no memory. */
bool bl_markup_set_language(bl_wikitext *w, const char *namespaces, const char *language);
/* Marks of apostrophes to apostrophes, or to nothing where they are markup. */
void bl_markup_quotes(bl_bytes *text);
/* Whether a name stands in a list of lines. */
bool bl_markup_listed(const bl_bytes *list, const char *name, size_t length);
/* [[...]] likewise. */
void bl_markup_link(bl_wikitext *w, const char *p, const char *close);
/* "[http... label]" at p: its length, or 0 if it is not such a link. */
size_t bl_markup_external_link(bl_wikitext *w, const char *p, const char *end);
/* A tag at p ('<'): the number of bytes dealt with, 0 if it is only text. */
size_t bl_markup_tag(bl_wikitext *w, const char *p, const char *end);
/* Raised text [p, end) comes next: "^" if a number comes and the text so far ends in one, so that 10^24 is not 1024. */
void bl_markup_raise(bl_wikitext *w, const char *p, const char *end);
/* End of an element whose content is not wikitext, that begins at p ('<'); NULL if none does. */
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

static inline bool bl_markup_is_word(const char *p, const char *end, const char *word) {
    return strlen(word) == (size_t) (end - p) && memcmp(p, word, (size_t) (end - p)) == 0;
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
