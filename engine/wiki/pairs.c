/*
 * pairs.c - which brackets of a wikitext belong together: {{ }}, {{{ }}},
 * [[ ]] and {| |}. One pass with a stack, as MediaWiki's preprocessor does it,
 * so that the walk never searches for an end.
 */
#include "wiki/markup.h"

typedef struct pairing {
    bl_wikitext *w;
    size_t depth;
    bool failed;
} pairing;

static void push(pairing *x, size_t at, size_t count, char kind) {
    bl_wikitext *w = x->w;
    if (x->depth == w->stack_capacity) {
        size_t capacity = w->stack_capacity ? w->stack_capacity * 2 : 64;
        bl_open_bracket *stack = realloc(w->stack, capacity * sizeof *stack);
        if (!stack) {
            x->failed = true;
            return;
        }
        w->stack = stack;
        w->stack_capacity = capacity;
    }
    w->stack[x->depth++] = (bl_open_bracket){(int32_t) at, (int32_t) count, kind};
}

static size_t run_length(const char *p, const char *end) {
    const char *q = p;
    while (q < end && *q == *p)
        q++;
    return (size_t) (q - p);
}

/* How many brackets are open below `depth`, links not counted that are open above the last other one. */
static size_t below_links(const bl_wikitext *w, size_t depth) {
    while (depth > 0 && w->stack[depth - 1].kind == '[')
        depth--;
    return depth;
}

/* The "-{" that the last of n braces at p closes, together with a hyphen: its place in the stack + 1, or 0. */
static size_t variant_closed(const pairing *x, const char *p, size_t n) {
    const bl_wikitext *w = x->w;
    if ((n != 1 && n != 3) || p + n >= w->end || p[n] != '-') return 0;
    size_t d = below_links(w, x->depth);
    if (n == 3) {
        /* "-{...{{name}}}-" */
        if (d == 0 || w->stack[d - 1].kind != '{' || w->stack[d - 1].count != 2) return 0;
        d = below_links(w, d - 1);
    }
    return d > 0 && w->stack[d - 1].kind == '-' ? d : 0;
}

/* Close braces: `count` of them at p. Links and variants left open above them are given up. */
static void close_braces(pairing *x, const char *p, size_t count) {
    bl_wikitext *w = x->w;
    while (count >= 2) {
        size_t d = x->depth;
        while (d > 0 && (w->stack[d - 1].kind == '[' || w->stack[d - 1].kind == '-'))
            d--;
        if (d == 0 || w->stack[d - 1].kind != '{') return;
        x->depth = d;
        bl_open_bracket *open = &w->stack[d - 1];
        int32_t taken = open->count >= 3 && count >= 3 ? 3 : 2;
        p += taken;
        count -= (size_t) taken;
        open->count -= taken;
        w->close[open->at + open->count] = (int32_t) (p - w->text);
        if (open->count < 2) x->depth--;
    }
}

/* Close the innermost table; false if a template that began inside the table is still open. */
static bool close_table(pairing *x, const char *p) {
    bl_wikitext *w = x->w;
    size_t d = x->depth;
    while (d > 0 && w->stack[d - 1].kind != '|')
        d--;
    if (d == 0) return false;
    w->close[w->stack[d - 1].at] = (int32_t) (p + 2 - w->text);
    x->depth = d - 1;
    return true;
}

static bool at_line_start(const bl_wikitext *w, const char *p) {
    while (p > w->text && (p[-1] == ' ' || p[-1] == '\t' || p[-1] == ':'))
        p--;
    return p == w->text || p[-1] == '\n';
}

/* The characters that open or close something. */
static const bool matters[256] = {['<'] = true, ['{'] = true, ['}'] = true, ['|'] = true, ['['] = true, [']'] = true};

bool bl_markup_pair(bl_wikitext *w) {
    pairing x = {.w = w};
    const char *p = w->text;
    while (!x.failed) {
        while (p < w->end && !matters[(unsigned char) *p])
            p++;
        if (p >= w->end) break;
        const char *skip;
        size_t n, variant;
        switch (*p) {
        case '<':
            skip = bl_markup_opaque_end(w, p, w->end);
            p = skip ? skip : p + 1;
            break;
        case '{':
            n = run_length(p, w->end);
            if (w->variants && (n == 1 || n == 3) && p > w->text && p[-1] == '-') {
                push(&x, (size_t) (p - w->text), 1, '-');
                if (n == 3) push(&x, (size_t) (p + 1 - w->text), 2, '{');
            } else if (n >= 2) {
                push(&x, (size_t) (p - w->text), n, '{');
            } else if (w->end - p >= 2 && p[1] == '|' && at_line_start(w, p)) {
                push(&x, (size_t) (p - w->text), 1, '|');
                n = 2;
            }
            p += n;
            break;
        case '}':
            n = run_length(p, w->end);
            variant = w->variants ? variant_closed(&x, p, n) : 0;
            close_braces(&x, p, variant > 0 ? n - 1 : n);
            if (variant > 0) {
                w->close[w->stack[variant - 1].at] = (int32_t) (p + n + 1 - w->text);
                x.depth = variant - 1;
            }
            p += n;
            break;
        case '|':
            /* "|}}" ends the last argument of a template. */
            n = 1;
            if (w->end - p >= 2 && p[1] == '}' && !(w->end - p >= 3 && p[2] == '}') && at_line_start(w, p) &&
                close_table(&x, p))
                n = 2;
            p += n;
            break;
        case '[':
            if (w->end - p >= 2 && p[1] == '[') {
                push(&x, (size_t) (p - w->text), 1, '[');
                p++;
            }
            p++;
            break;
        case ']':
            if (w->end - p >= 2 && p[1] == ']' && x.depth > 0 && w->stack[x.depth - 1].kind == '[') {
                w->close[w->stack[--x.depth].at] = (int32_t) (p + 2 - w->text);
                p++;
            }
            p++;
            break;
        default:
            p++;
        }
    }
    return !x.failed;
}
