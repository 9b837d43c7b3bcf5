/*
 * link.c - [[links]] and [external links] to their text.
 */
#include <strings.h>

#include "wiki/markup.h"

/* Titles do not count U+200E, U+200F and U+202A to U+202E, which pages from right to left put before them. */
static const char *skip_direction_marks(const char *p, const char *end) {
    while (end - p >= 3 && p[0] == '\xe2' && p[1] == '\x80' &&
           (p[2] == '\x8e' || p[2] == '\x8f' || ((unsigned char) p[2] >= 0xaa && (unsigned char) p[2] <= 0xae)))
        p += 3;
    return p;
}

/*
 * Whether the target begins with a namespace of files or categories, or with the code of a Wikipedia: "[[de:Mühle]]"
 * stands in the margin. Those links are written in lower case, or without a space; "[[War: A History]]" is a title.
 */
static bool is_dropped(bl_wikitext *w, const char *p, const char *end) {
    p = skip_direction_marks(p, end);
    const char *colon = memchr(p, ':', end - p < 128 ? (size_t) (end - p) : 128);
    if (!colon || colon == p) return false;
    const char *stop = colon;
    bl_markup_trim(&p, &stop);
    bl_bytes *name = &w->folded;
    name->size = 0;
    bl_wiki_fold(name, p, (size_t) (stop - p));
    for (size_t i = 0; i < name->size; i++)
        if (name->data[i] == '_') name->data[i] = ' ';
    if (name->size == 0) return false;
    if (bl_markup_listed(&w->dropped, name->data, name->size)) return true;
    if (!bl_wiki_is_code(name->data, name->size) || bl_markup_is_word(name->data, name->data + name->size, w->language))
        return false;
    bool capital = *p >= 'A' && *p <= 'Z';
    return !(capital && end - colon > 1 && colon[1] == ' ');
}

/* "[[Help:Contents (page), part|]]" shows "Contents": without the prefix and what only tells namesakes apart. */
static void pipe_trick(bl_wikitext *w, const char *p, const char *end) {
    const char *colon = memchr(p, ':', (size_t) (end - p));
    if (colon) p = colon + 1;
    const char *stop = end;
    if (end > p && end[-1] == ')') {
        for (const char *q = end - 1; q > p; q--) {
            if (*q == '(') {
                stop = q;
                break;
            }
        }
    } else if (end > p) {
        const char *comma = memmem(p, (size_t) (end - p), ", ", 2);
        if (comma) stop = comma;
    }
    bl_markup_trim(&p, &stop);
    bl_bytes_append(&w->out, p, (size_t) (stop - p));
}

void bl_markup_link(bl_wikitext *w, const char *p, const char *close) {
    const char *begin = p + 2, *end = close - 2;
    const char *bar = bl_markup_bar(w, begin, end);
    const char *target = begin, *target_end = bar;
    bl_markup_trim(&target, &target_end);
    bl_markup_hidden(w);
    bool shown = target < target_end && *target == ':';
    if (shown) target++;
    if (!shown && is_dropped(w, target, target_end)) return;
    if (bar == end) {
        bl_markup_walk(w, target, target_end);
        return;
    }
    const char *label = bar + 1, *label_end = end;
    bl_markup_trim(&label, &label_end);
    if (label == label_end) {
        pipe_trick(w, target, target_end);
    } else {
        bl_markup_walk(w, bar + 1, end);
    }
}

size_t bl_markup_external_link(bl_wikitext *w, const char *p, const char *end) {
    static const char *const schemes[] = {"http://", "https://", "//", "ftp://", "mailto:", "news:", "irc://"};
    const char *url = p + 1;
    bool known = false;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes && !known; i++) {
        size_t n = strlen(schemes[i]);
        known = (size_t) (end - url) > n && strncasecmp(url, schemes[i], n) == 0;
    }
    if (!known || p < w->no_link_end) return 0;
    const char *label = NULL, *q = url;
    /* The label may hold [[links]]. */
    for (; q < end && *q != ']' && *q != '\n'; q++) {
        if (!label && (*q == ' ' || *q == '\t')) label = q + 1;
        const char *close = *q == '[' || *q == '{' ? bl_markup_close(w, q, end) : NULL;
        if (close) q = close - 1;
    }
    if (q >= end || *q != ']') {
        w->no_link_end = q;
        return 0;
    }
    bl_markup_hidden(w);
    if (label && label < q) bl_markup_walk(w, label, q);
    return (size_t) (q + 1 - p);
}
