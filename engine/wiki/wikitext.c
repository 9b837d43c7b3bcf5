/*
 * wikitext.c - wikitext to prose: the public functions, and the walk over the
 * text that hands each construct to the file that knows it (see markup.h).
 * Reference: MediaWiki's markup specification (mediawiki.org/wiki/Markup_spec).
 */
#include <strings.h>

#include "wiki/entity.h"
#include "wiki/markup.h"

BL_API bl_status bl_wikitext_create(bl_wikitext **out, const char *namespaces, const char *language) {
    if (!out) return bl_fail(BL_ERROR_ARGUMENT, "wikitext_create: out is NULL");
    bl_wikitext *w = calloc(1, sizeof *w);
    if (!w) return bl_fail(BL_ERROR_MEMORY, "wikitext_create: no memory");
    /* The walk and the paragraphs begin with memory, so that no pointer into them is ever NULL. */
    if (!bl_markup_set_language(w, namespaces, language) || !bl_bytes_reserve(&w->out, 0) ||
        !bl_bytes_reserve(&w->paragraph, 0) || !bl_bytes_reserve(&w->folded, 0)) {
        bl_wikitext_free(w);
        return bl_fail(BL_ERROR_MEMORY, "wikitext_create: no memory");
    }
    *out = w;
    return BL_OK;
}

BL_API void bl_wikitext_free(bl_wikitext *w) {
    if (!w) return;
    free(w->close);
    free(w->stack);
    free(w->local);
    bl_bytes_free(&w->dropped);
    bl_bytes_free(&w->template);
    bl_bytes_free(&w->names);
    bl_bytes_free(&w->stripped);
    bl_bytes_free(&w->folded);
    bl_bytes_free(&w->out);
    bl_bytes_free(&w->prose);
    bl_bytes_free(&w->paragraph);
    bl_bytes_free(&w->line);
    free(w);
}

/*
 * Length of "__NOTOC__", "__БЕЗ_ОГЛ__" and the like at p, 0 if it is none: capitals, letters beyond ASCII, and single
 * "_" between them.
 */
static size_t magic_word(const char *p, const char *end) {
    const char *q = p + 2, *limit = end - p > 100 ? p + 100 : end;
    while (q < limit && ((*q >= 'A' && *q <= 'Z') || (unsigned char) *q >= 0x80 ||
                         (*q == '_' && q > p + 2 && limit - q > 1 && q[1] != '_')))
        q++;
    if (q - p < 5 || end - q < 2 || q[0] != '_' || q[1] != '_') return 0;
    return (size_t) (q + 2 - p);
}

/* An unclosed table at p: it reaches to the next heading. */
static const char *unclosed_table(const char *p, const char *end) {
    const char *heading = memmem(p, (size_t) (end - p), "\n==", 3);
    return heading ? heading : end;
}

static bool at_line_start(const bl_wikitext *w) {
    size_t n = w->out.size;
    while (n > 0 && (w->out.data[n - 1] == ' ' || w->out.data[n - 1] == ':' || w->out.data[n - 1] == BL_MARK_HIDDEN))
        n--;
    return n == 0 || w->out.data[n - 1] == '\n';
}

static const char *braces(bl_wikitext *w, const char *p, const char *end) {
    const char *close = bl_markup_close(w, p, end);
    bool table = end - p >= 2 && p[1] == '|' && at_line_start(w);
    if (close && close[-1] == '-') {
        /* The hyphen of "-{" is not text. */
        if (w->out.size > 0 && w->out.data[w->out.size - 1] == '-') w->out.size--;
        bl_markup_variant(w, p, close);
        return close;
    }
    if (close && p[1] == '{') {
        bl_markup_template(w, p, close);
        return close;
    }
    if (close || table) {
        bl_bytes_put(&w->out, '\n');
        return close ? close : unclosed_table(p, end);
    }
    if (end - p >= 2 && p[1] == '{') {
        /* A brace that nothing closes; one inside a longer run may still open a template. */
        bl_markup_hidden(w);
        return end - p >= 3 && p[2] == '{' ? p + 1 : p + 2;
    }
    bl_bytes_put(&w->out, '{');
    return p + 1;
}

static const char *brackets(bl_wikitext *w, const char *p, const char *end) {
    if (end - p >= 2 && p[1] == '[') {
        const char *close = bl_markup_close(w, p, end);
        if (close) {
            bl_markup_link(w, p, close);
            return close;
        }
        bl_markup_hidden(w);
        return p + 2;
    }
    size_t length = bl_markup_external_link(w, p, end);
    if (length > 0) return p + length;
    bl_bytes_put(&w->out, '[');
    return p + 1;
}

static const char *reference(bl_wikitext *w, const char *p, const char *end) {
    size_t before = w->out.size;
    bl_markup_hidden(w);
    size_t length = bl_entity_decode(p, end, false, &w->out);
    if (length > 0) return p + length;
    w->out.size = before;
    bl_bytes_put(&w->out, '&');
    return p + 1;
}

/* The characters at which a run of text stops. */
static const bool is_special[256] = {
    ['<'] = true,           ['{'] = true, ['}'] = true, ['['] = true, [']'] = true,
    ['\''] = true,          ['&'] = true, ['_'] = true, ['~'] = true, [BL_MARK_HIDDEN] = true,
    [BL_MARK_QUOTE] = true,
};

/* A pair of c that means nothing is left out, a single one is text. */
static const char *leftover(bl_wikitext *w, const char *p, const char *end) {
    if (end - p >= 2 && p[1] == *p) return p + 2;
    bl_bytes_put(&w->out, *p);
    return p + 1;
}

static const char *special(bl_wikitext *w, const char *p, const char *end) {
    size_t n = 0;
    switch (*p) {
    case '<':
        n = bl_markup_tag(w, p, end);
        break;
    case '{':
        return braces(w, p, end);
    case '[':
        return brackets(w, p, end);
    case '}':
    case ']':
        return leftover(w, p, end);
    case '&':
        return reference(w, p, end);
    case '\'':
        while (p + n < end && p[n] == '\'')
            n++;
        if (n >= 2) {
            bl_markup_hidden(w);
            for (size_t i = 0; i < n; i++)
                bl_bytes_put(&w->out, BL_MARK_QUOTE);
            /* Ends the run, also where what comes next is left out. */
            bl_bytes_put(&w->out, BL_MARK_HIDDEN);
        } else {
            n = 0;
        }
        break;
    case '_':
        if (end - p >= 2 && p[1] == '_') n = magic_word(p, end);
        if (n > 0) bl_markup_hidden(w);
        break;
    case '~':
        /* "~~~~" is a signature; fewer than three are text. */
        while (p + n < end && p[n] == '~')
            n++;
        if (n < 3) {
            n = 0;
        } else {
            bl_markup_hidden(w);
        }
        break;
    default:
        n = 1;
    }
    if (n > 0) return p + n;
    bl_bytes_put(&w->out, *p);
    return p + 1;
}

void bl_markup_walk(bl_wikitext *w, const char *p, const char *end) {
    if (w->depth >= BL_MARKUP_MAX_DEPTH) return;
    w->depth++;
    while (p < end) {
        const char *run = p;
        while (p < end && !is_special[(unsigned char) *p])
            p++;
        bl_bytes_append(&w->out, run, (size_t) (p - run));
        if (p < end) p = special(w, p, end);
    }
    w->depth--;
}

/* close[] for every byte of the text, all 0. */
static bool make_room(bl_wikitext *w) {
    size_t bytes = (size_t) (w->end - w->text) + 1;
    if (bytes > w->close_capacity) {
        int32_t *close = realloc(w->close, bytes * sizeof *close);
        if (!close) return false;
        w->close = close;
        w->close_capacity = bytes;
    }
    memset(w->close, 0, bytes * sizeof *w->close);
    return true;
}

BL_API bl_status bl_wikitext_convert(bl_wikitext *w, const char *text, int64_t bytes, const char **prose,
                                     int64_t *prose_bytes) {
    if (!w || !text || !prose || !prose_bytes || bytes < 0 || bytes > INT32_MAX - 8)
        return bl_fail(BL_ERROR_ARGUMENT, "wikitext_convert: an argument is NULL or the text is 2 GB or larger");
    memset(w->no_close, 0, sizeof w->no_close);
    w->text = text;
    w->end = text + bytes;
    bool paired = bl_markup_strip_comments(w, text, text + bytes) && make_room(w);
    memset(w->no_close, 0, sizeof w->no_close);
    w->out.size = w->prose.size = w->paragraph.size = 0;
    w->no_link_end = w->text;
    w->depth = 0;
    paired = paired && bl_markup_pair(w);
    if (paired) {
        bl_markup_walk(w, w->text, w->end);
        bl_markup_quotes(&w->out);
        bl_markup_prose(w);
    }
    bl_bytes_close(&w->prose);
    if (!paired || w->out.failed || w->prose.failed || w->paragraph.failed || w->line.failed || w->stripped.failed ||
        w->folded.failed) {
        w->out.failed = w->prose.failed = w->paragraph.failed = w->line.failed = false;
        w->stripped.failed = w->folded.failed = false;
        return bl_fail(BL_ERROR_MEMORY, "wikitext_convert: no memory for %lld bytes", (long long) bytes);
    }
    *prose = w->prose.data;
    *prose_bytes = (int64_t) w->prose.size;
    return BL_OK;
}
