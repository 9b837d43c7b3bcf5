/*
 * comment.c - comments go before anything else is read, as in MediaWiki's
 * preprocessor: they may stand within a name, a link or "&n<!-- -->bsp;". In
 * elements whose content is not wikitext they are content.
 */
#include "wiki/markup.h"

static bool is_comment(const char *p, const char *end) {
    return end - p >= 4 && memcmp(p, "<!--", 4) == 0;
}

/* Just past the comment at p; one that nobody closed reaches to the end. */
static const char *comment_end(const char *p, const char *end) {
    const char *close = memmem(p + 4, (size_t) (end - p - 4), "-->", 3);
    return close ? close + 3 : end;
}

/* The comments from p on with the spaces between them. Alone on their line they take it with them. */
static const char *skip_comments(bl_bytes *out, const char *p, const char *end) {
    size_t before = out->size;
    while (before > 0 && (out->data[before - 1] == ' ' || out->data[before - 1] == '\t'))
        before--;
    bool alone = before == 0 || out->data[before - 1] == '\n';
    do {
        p = comment_end(p, end);
        while (p < end && (*p == ' ' || *p == '\t'))
            bl_bytes_put(out, *p++);
    } while (is_comment(p, end));
    if (!alone || p >= end || *p != '\n') return p;
    out->size = before;
    return p + 1;
}

bool bl_markup_strip_comments(bl_wikitext *w, const char *text, const char *end) {
    const char *p = memmem(text, (size_t) (end - text), "<!--", 4);
    if (!p) return true;
    bl_bytes *out = &w->stripped;
    out->size = 0;
    if (!bl_bytes_reserve(out, (size_t) (end - text))) return false;
    w->end = end;
    /* An element that is not wikitext may begin before the first comment. */
    const char *from = text;
    for (p = text; p < end && (p = memchr(p, '<', (size_t) (end - p)));) {
        if (is_comment(p, end)) {
            bl_bytes_append(out, from, (size_t) (p - from));
            from = p = skip_comments(out, p, end);
        } else {
            const char *skip = bl_markup_opaque_end(w, p, end);
            p = skip ? skip : p + 1;
        }
    }
    bl_bytes_append(out, from, (size_t) (end - from));
    w->text = out->data;
    w->end = out->data + out->size;
    return true;
}
