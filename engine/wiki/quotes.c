/*
 * quotes.c - '' and ''' as MediaWiki's Parser::doQuotes reads them, line by
 * line: four in a row are one apostrophe and bold, more than five are text up to
 * the last five, and where a line leaves both bold and italics open, one of its
 * ''' was an apostrophe and italics: "l'''Odyssée''".
 */
#include "wiki/markup.h"

typedef struct line_state {
    size_t italics, bolds;
    size_t single, several, space; /* candidates: offset of a run of three + 1 */
} line_state;

/* Length of the run at p; BL_MARK_HIDDEN ends it. */
static size_t run_at(const char *p, const char *end) {
    const char *q = p;
    while (q < end && *q == BL_MARK_QUOTE)
        q++;
    return (size_t) (q - p);
}

/* Apostrophes of a run that are text. */
static size_t kept_of(size_t run) {
    return run == 4 ? 1 : run > 5 ? run - 5 : 0;
}

/* Note a run of three in whose place an apostrophe and italics may stand; the text since the last run begins at `from`.
 */
static void note(line_state *s, const char *line, const char *from, const char *p, size_t kept) {
    size_t place = (size_t) (p - line) + 1;
    char last = kept > 0 ? '\'' : p > from ? p[-1] : 0;
    char before = kept > 0 ? (p > from ? p[-1] : last) : p - from >= 2 ? p[-2] : last;
    if (last == ' ') {
        if (!s->space) s->space = place;
    } else if (before == ' ') {
        if (!s->single) s->single = place;
    } else if (!s->several) {
        s->several = place;
    }
}

/* Which run of three is an apostrophe and italics: its offset + 1, or 0. */
static size_t mistaken(const char *line, const char *end) {
    line_state s = {0};
    const char *from = line;
    for (const char *p = line; (p = memchr(p, BL_MARK_QUOTE, (size_t) (end - p)));) {
        size_t run = run_at(p, end), kept = kept_of(run), marks = run - kept;
        if (marks == 2 || marks == 5) s.italics++;
        if (marks == 3 || marks == 5) s.bolds++;
        while (from < p && *from == BL_MARK_HIDDEN)
            from++;
        if (marks == 3) note(&s, line, from, p, kept);
        p += run + (p + run < end && p[run] == BL_MARK_HIDDEN);
        from = p;
        if (p >= end) break;
    }
    if (s.italics % 2 == 0 || s.bolds % 2 == 0) return 0;
    return s.single ? s.single : s.several ? s.several : s.space;
}

void bl_markup_quotes(bl_bytes *text) {
    if (text->size == 0) return;
    char *to = memchr(text->data, BL_MARK_QUOTE, text->size);
    if (!to) return;
    const char *p = to, *end = text->data + text->size;
    /* The line of the first mark begins before it. */
    const char *line = p;
    while (line > text->data && line[-1] != '\n')
        line--;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t) (end - p));
        stop = stop ? stop + 1 : end;
        size_t wrong = mistaken(line, stop);
        while (p < stop) {
            const char *mark = memchr(p, BL_MARK_QUOTE, (size_t) (stop - p));
            size_t plain = (size_t) ((mark ? mark : stop) - p);
            memmove(to, p, plain);
            to += plain;
            p += plain;
            if (!mark) break;
            size_t run = run_at(p, stop), kept = kept_of(run);
            if (wrong == (size_t) (p - line) + 1) kept++;
            memset(to, '\'', kept);
            to += kept;
            p += run + (p + run < stop && p[run] == BL_MARK_HIDDEN);
        }
        line = p = stop;
    }
    text->size = (size_t) (to - text->data);
}
