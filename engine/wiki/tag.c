/*
 * tag.c - HTML tags and the tags of MediaWiki's extensions.
 */
#include <strings.h>

#include "wiki/entity.h"
#include "wiki/markup.h"

typedef enum tag_kind {
    TAG_INLINE,  /* the tag goes, its content stays */
    TAG_RAISED,  /* likewise, raised */
    TAG_SPACE,   /* stands for white space */
    TAG_BREAK,   /* ends a paragraph */
    TAG_DROP,    /* goes with its content */
    TAG_OPAQUE,  /* likewise, and the content is not wikitext */
    TAG_FORMULA, /* likewise, but a formula without commands is text */
    TAG_NOWIKI   /* content is plain text */
} tag_kind;

typedef struct tag {
    const char *name;
    tag_kind kind;
} tag;

/* In byte order of the names; at most BL_TAG_MAX. */
static const tag tags[] = {
    {"abbr", TAG_INLINE},
    {"b", TAG_INLINE},
    {"bdi", TAG_INLINE},
    {"bdo", TAG_INLINE},
    {"big", TAG_INLINE},
    {"blockquote", TAG_BREAK},
    {"br", TAG_SPACE},
    {"caption", TAG_DROP},
    {"categorytree", TAG_OPAQUE},
    {"ce", TAG_FORMULA},
    {"center", TAG_BREAK},
    {"chem", TAG_FORMULA},
    {"cite", TAG_INLINE},
    {"code", TAG_DROP},
    {"data", TAG_INLINE},
    {"del", TAG_DROP},
    {"dfn", TAG_INLINE},
    {"div", TAG_BREAK},
    {"dl", TAG_DROP},
    {"em", TAG_INLINE},
    {"font", TAG_INLINE},
    {"gallery", TAG_DROP},
    {"graph", TAG_OPAQUE},
    {"h1", TAG_DROP},
    {"h2", TAG_DROP},
    {"h3", TAG_DROP},
    {"h4", TAG_DROP},
    {"h5", TAG_DROP},
    {"h6", TAG_DROP},
    {"hiero", TAG_OPAQUE},
    {"hr", TAG_BREAK},
    {"i", TAG_INLINE},
    {"imagemap", TAG_DROP},
    {"includeonly", TAG_DROP},
    {"indicator", TAG_DROP},
    {"inputbox", TAG_OPAQUE},
    {"ins", TAG_INLINE},
    {"kbd", TAG_INLINE},
    {"li", TAG_BREAK},
    {"mapframe", TAG_OPAQUE},
    {"maplink", TAG_OPAQUE},
    {"mark", TAG_INLINE},
    {"math", TAG_FORMULA},
    {"noinclude", TAG_INLINE},
    {"nowiki", TAG_NOWIKI},
    {"ol", TAG_DROP},
    {"onlyinclude", TAG_INLINE},
    {"p", TAG_BREAK},
    {"poem", TAG_DROP},
    {"pre", TAG_OPAQUE},
    {"q", TAG_INLINE},
    {"ref", TAG_DROP},
    {"references", TAG_DROP},
    {"rp", TAG_DROP},
    {"rt", TAG_DROP},
    {"s", TAG_DROP},
    {"samp", TAG_INLINE},
    {"score", TAG_OPAQUE},
    {"section", TAG_INLINE},
    {"small", TAG_INLINE},
    {"source", TAG_OPAQUE},
    {"span", TAG_INLINE},
    {"strike", TAG_DROP},
    {"strong", TAG_INLINE},
    {"style", TAG_OPAQUE},
    {"sub", TAG_INLINE},
    {"sup", TAG_RAISED},
    {"syntaxhighlight", TAG_OPAQUE},
    {"table", TAG_DROP},
    {"templatedata", TAG_OPAQUE},
    {"templatestyles", TAG_OPAQUE},
    {"time", TAG_INLINE},
    {"timeline", TAG_OPAQUE},
    {"tt", TAG_INLINE},
    {"u", TAG_INLINE},
    {"ul", TAG_DROP},
    {"var", TAG_INLINE},
    {"wbr", TAG_INLINE},
};
enum { TAG_COUNT = sizeof tags / sizeof *tags };

/* A tag as it stands in the text. */
typedef struct found_tag {
    const char *end;  /* just past '>' */
    int number;       /* in tags; -1 for an unknown name */
    bool closing;     /* </name> */
    bool self_closed; /* <name/> */
} found_tag;

static int number_of(const char *name, size_t length) {
    size_t low = 0, high = TAG_COUNT;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strncasecmp(tags[middle].name, name, length);
        if (order == 0 && tags[middle].name[length] != 0) order = 1;
        if (order == 0) return (int) middle;
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return -1;
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Read the tag at p ('<'). An attribute's value may hold '>' between quotes, but no tag is longer than 2000 bytes. */
static bool read_tag(const char *p, const char *end, found_tag *found) {
    const char *name = p + 1;
    found->closing = name < end && *name == '/';
    if (found->closing) name++;
    const char *q = name;
    while (q < end && (is_letter(*q) || (q > name && *q >= '0' && *q <= '9')))
        q++;
    if (q == name || q - name > 20 || q >= end) return false;
    if (*q != '>' && *q != '/' && !bl_markup_space(*q)) return false;
    found->number = number_of(name, (size_t) (q - name));
    const char *limit = end - p > 2000 ? p + 2000 : end;
    const char *close = memchr(q, '>', (size_t) (limit - q));
    if (!close) return false;
    const char *again = memchr(q, '<', (size_t) (close - q));
    /* "a <b and c" is not a tag; a template or comment among the attributes is. */
    if (again && found->number < 0) return false;
    found->end = close + 1;
    found->self_closed = close[-1] == '/';
    return true;
}

/* The end tag of the element with this number whose content begins at p: inner elements of that name are passed. */
static bool find_end(bl_wikitext *w, int number, const char *p, const char *end, const char **content_end,
                     const char **after) {
    /* A tag that was not closed once is not closed later either: the search stays linear. */
    if (w->no_close[number] && p < w->no_close[number] && end <= w->no_close[number]) return false;
    const char *name = tags[number].name;
    size_t length = strlen(name);
    bool nests = tags[number].kind == TAG_DROP && strcmp(name, "ref") != 0;
    int depth = 1;
    while (p < end && (p = memchr(p, '<', (size_t) (end - p)))) {
        bool closing = end - p > 1 && p[1] == '/';
        const char *q = p + (closing ? 2 : 1);
        bool same = (size_t) (end - q) > length && strncasecmp(q, name, length) == 0 &&
                    (q[length] == '>' || q[length] == '/' || bl_markup_space(q[length]));
        const char *stop = same ? memchr(q, '>', (size_t) (end - q)) : NULL;
        /* Nor is there an end behind this one. */
        if (same && !stop) break;
        if (stop && closing && --depth == 0) {
            *content_end = p;
            *after = stop + 1;
            return true;
        }
        if (stop && !closing && nests && stop[-1] != '/') depth++;
        p++;
    }
    w->no_close[number] = end;
    return false;
}

const char *bl_markup_opaque_end(bl_wikitext *w, const char *p, const char *end) {
    found_tag found;
    if (!read_tag(p, end, &found) || found.number < 0 || found.closing || found.self_closed) return NULL;
    tag_kind kind = tags[found.number].kind;
    if (kind != TAG_OPAQUE && kind != TAG_FORMULA && kind != TAG_NOWIKI) return NULL;
    const char *content_end, *after;
    return find_end(w, found.number, found.end, end, &content_end, &after) ? after : NULL;
}

void bl_markup_raise(bl_wikitext *w, const char *p, const char *end) {
    if (w->out.size == 0 || w->out.data[w->out.size - 1] < '0' || w->out.data[w->out.size - 1] > '9') return;
    static const char *const signs[] = {"-", "+", "\xe2\x88\x92", "\xe2\x80\x93", "&minus;", "&ndash;"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        size_t length = strlen(signs[i]);
        if ((size_t) (end - p) > length && memcmp(p, signs[i], length) == 0) {
            p += length;
            break;
        }
    }
    if (p < end && *p >= '0' && *p <= '9') bl_bytes_put(&w->out, '^');
}

/* Whether a formula reads the same as plain text: "CO2", "n", "x + 1". */
static bool is_plain_formula(const char *p, const char *end) {
    if (end - p > 40) return false;
    for (; p < end; p++) {
        if (!is_letter(*p) && !(*p >= '0' && *p <= '9') && !strchr(" +-=<>,.()|/!", *p)) return false;
    }
    return true;
}

/* Text in which only character references mean something. */
static void put_plain(bl_wikitext *w, const char *p, const char *end) {
    while (p < end) {
        const char *stop = memchr(p, '&', (size_t) (end - p));
        if (!stop) stop = end;
        bl_bytes_append(&w->out, p, (size_t) (stop - p));
        if (stop == end) return;
        size_t length = bl_entity_decode(stop, end, false, &w->out);
        if (length == 0) bl_bytes_put(&w->out, '&');
        p = stop + (length > 0 ? length : 1);
    }
}

size_t bl_markup_tag(bl_wikitext *w, const char *p, const char *end) {
    found_tag found;
    if (!read_tag(p, end, &found)) return 0;
    tag_kind kind = found.number < 0 ? TAG_INLINE : tags[found.number].kind;
    const char *content_end, *after;
    bool has_content = kind >= TAG_DROP && !found.closing && !found.self_closed;
    bool closed = has_content && find_end(w, found.number, found.end, end, &content_end, &after);
    if (kind == TAG_BREAK) bl_bytes_text(&w->out, "\n\n");
    /* A space that comes next does not begin a preformatted line. */
    bl_markup_hidden(w);
    if (kind == TAG_SPACE) bl_bytes_put(&w->out, ' ');
    if (kind == TAG_RAISED && !found.closing) bl_markup_raise(w, found.end, end);
    if (!has_content) return (size_t) (found.end - p);
    if (!closed) {
        /* Not closed: it reaches to the end of the paragraph. */
        if (kind == TAG_NOWIKI) return (size_t) (found.end - p);
        const char *blank = memmem(found.end, (size_t) (end - found.end), "\n\n", 2);
        return (size_t) ((blank ? blank : end) - p);
    }
    if (kind == TAG_NOWIKI) put_plain(w, found.end, content_end);
    if (kind == TAG_FORMULA && is_plain_formula(found.end, content_end))
        bl_bytes_append(&w->out, found.end, (size_t) (content_end - found.end));
    return (size_t) (after - p);
}
