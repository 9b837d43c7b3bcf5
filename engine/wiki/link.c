/*
 * link.c - [[links]] and [external links] to their text.
 */
#include <strings.h>

#include "wiki/markup.h"

/* The target's prefix before ':' as lower case into name; its length, 0 if there is none or it is too long. */
static size_t prefix_of(const char *p, const char *end, char name[64]) {
    size_t n = 0;
    for (; p < end && *p != ':'; p++) {
        if (n == 63 || *p == '\n') return 0;
        name[n++] = *p == '_' ? ' ' : bl_markup_lower(*p);
    }
    if (p == end) return 0;
    while (n > 0 && name[n - 1] == ' ')
        n--;
    name[n] = 0;
    return n;
}

static bool is_dropped_namespace(const bl_wikitext *w, const char *name, size_t length) {
    const char *p = w->dropped.data;
    while ((p = memmem(p, w->dropped.size - (size_t) (p - w->dropped.data), name, length))) {
        if (p[-1] == '\n' && p[length] == '\n') return true;
        p++;
    }
    return false;
}

/* A language code such as "de", "nds-nl", "simple": such a link stands in the margin. */
static bool is_language(const char *name, size_t length) {
    static const char *const longer[] = {"simple",    "be-x-old", "zh-min-nan", "zh-classical", "zh-yue",
                                         "map-bms",   "roa-rup",  "fiu-vro",    "cbk-zam",      "roa-tara",
                                         "be-tarask", "bat-smg",  "nds-nl"};
    for (size_t i = 0; i < sizeof longer / sizeof *longer; i++) {
        if (strcmp(name, longer[i]) == 0) return true;
    }
    if (length < 2 || length > 3 || strcmp(name, "mw") == 0) return false;
    for (size_t i = 0; i < length; i++) {
        if (name[i] < 'a' || name[i] > 'z') return false;
    }
    return true;
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
    char name[64];
    size_t length = prefix_of(target, target_end, name);
    if (length > 0 && !shown && (is_dropped_namespace(w, name, length) || is_language(name, length))) return;
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
