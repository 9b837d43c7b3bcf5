/*
 * page.c - the fields of a page: see page.h.
 */
#include "wiki/page.h"

#include "wiki/entity.h"

enum { MAX_DEPTH = 16 };

typedef struct element {
    const char *name;
    size_t length;
} element;

typedef struct parser {
    const char *xml, *p, *end;
    element stack[MAX_DEPTH];
    int depth;
    const char *wrong;
    const char *wrong_at;
} parser;

static bool bad(parser *x, const char *at, const char *what) {
    x->wrong = what;
    x->wrong_at = at;
    return false;
}

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == ':';
}

static bool same(element e, const char *name) {
    return strlen(name) == e.length && memcmp(e.name, name, e.length) == 0;
}

/* Character data [p, end) into out. */
static bool decode(parser *x, const char *p, const char *end, bl_bytes *out) {
    while (p < end) {
        const char *amp = memchr(p, '&', (size_t) (end - p));
        if (!amp) amp = end;
        bl_bytes_append(out, p, (size_t) (amp - p));
        if (amp == end) break;
        size_t length = bl_entity_decode(amp, end, true, out);
        if (length == 0) return bad(x, amp, "bad XML: & does not begin a character reference");
        p = amp + length;
    }
    return true;
}

/* Attributes of the tag at x->p up to its end; *closed for "/>". */
static bool skip_attributes(parser *x, bool *closed) {
    for (;;) {
        while (x->p < x->end && is_space(*x->p))
            x->p++;
        if (x->p >= x->end) return bad(x, x->end - 1, "bad XML: a tag has no end");
        if (*x->p == '>') {
            x->p++;
            *closed = false;
            return true;
        }
        if (x->end - x->p >= 2 && x->p[0] == '/' && x->p[1] == '>') {
            x->p += 2;
            *closed = true;
            return true;
        }
        const char *name = x->p;
        while (x->p < x->end && is_name(*x->p))
            x->p++;
        if (x->p == name || x->end - x->p < 2 || *x->p != '=' || (x->p[1] != '"' && x->p[1] != '\''))
            return bad(x, name, "bad XML: expected an attribute name=\"value\"");
        const char *close = memchr(x->p + 2, x->p[1], (size_t) (x->end - x->p - 2));
        if (!close) return bad(x, x->p, "bad XML: an attribute has no closing quote");
        x->p = close + 1;
    }
}

/* What an element's character data go to, by its place; NULL if nobody asks. */
static bl_bytes *destination(bl_page_text *text, const parser *x) {
    element top = x->stack[x->depth - 1];
    if (x->depth == 2) {
        if (same(top, "title")) return &text->title;
        if (same(top, "ns") || same(top, "id")) return &text->field;
    } else if (x->depth == 3 && same(x->stack[1], "revision")) {
        if (same(top, "text")) return &text->text;
        if (same(top, "model")) return &text->field;
    }
    return NULL;
}

static bool to_integer(const bl_bytes *field, int64_t *value) {
    size_t i = 0;
    bool negative = field->size > 0 && field->data[0] == '-';
    if (negative) i = 1;
    if (i == field->size || field->size > 18) return false;
    int64_t sum = 0;
    for (; i < field->size; i++) {
        if (field->data[i] < '0' || field->data[i] > '9') return false;
        sum = sum * 10 + (field->data[i] - '0');
    }
    *value = negative ? -sum : sum;
    return true;
}

/* A field of the page is complete: take it over. */
static bool close_field(bl_page_text *text, parser *x, bl_dump_page *page) {
    element top = x->stack[x->depth - 1];
    if (x->depth == 2 && (same(top, "ns") || same(top, "id"))) {
        int64_t value;
        if (!to_integer(&text->field, &value)) return bad(x, x->p, "bad XML: <ns> or <id> is not a number");
        if (same(top, "ns")) {
            page->ns = (int32_t) value;
        } else {
            page->id = value;
        }
    } else if (x->depth == 3 && same(x->stack[1], "revision") && same(top, "model")) {
        page->wikitext = text->field.size == 8 && memcmp(text->field.data, "wikitext", 8) == 0;
    }
    return true;
}

static bool close_tag(bl_page_text *text, parser *x, bl_dump_page *page) {
    const char *name = x->p + 2;
    element top = x->stack[x->depth - 1];
    if ((size_t) (x->end - name) <= top.length || memcmp(name, top.name, top.length) != 0 || name[top.length] != '>')
        return bad(x, x->p, "bad XML: a closing tag does not match the element that is open");
    if (!close_field(text, x, page)) return false;
    x->p = name + top.length + 1;
    x->depth--;
    return true;
}

static bool open_tag(bl_page_text *text, parser *x, bl_dump_page *page) {
    const char *name = x->p + 1;
    x->p = name;
    while (x->p < x->end && is_name(*x->p))
        x->p++;
    if (x->p == name) return bad(x, name - 1, "bad XML: < does not begin a tag");
    if (x->depth == MAX_DEPTH) return bad(x, name - 1, "bad XML: elements are nested too deeply");
    element e = {name, (size_t) (x->p - name)};
    x->stack[x->depth++] = e;
    bool closed;
    if (!skip_attributes(x, &closed)) return false;
    if (x->depth == 2 && same(e, "redirect")) page->redirect = 1;
    bl_bytes *out = destination(text, x);
    if (out) out->size = 0;
    if (closed) x->depth--;
    return true;
}

static bool parse(bl_page_text *text, parser *x, bl_dump_page *page) {
    do {
        if (*x->p == '<') {
            bool closing = x->end - x->p > 1 && x->p[1] == '/';
            if (!(closing ? close_tag(text, x, page) : open_tag(text, x, page))) return false;
        } else {
            const char *next = memchr(x->p, '<', (size_t) (x->end - x->p));
            if (!next) next = x->end;
            bl_bytes *out = destination(text, x);
            if (out) {
                if (!decode(x, x->p, next, out)) return false;
            }
            x->p = next;
        }
    } while (x->depth > 0 && x->p < x->end);
    if (x->depth > 0) return bad(x, x->end - 1, "bad XML: <page> is closed within another element");
    return true;
}

bool bl_page_parse(bl_page_text *text, const char *xml, size_t length, bl_dump_page *page, const char **wrong,
                   size_t *at) {
    int64_t invalid = bl_utf8_check(xml, (int64_t) length);
    if (invalid >= 0) {
        *wrong = "invalid UTF-8";
        *at = (size_t) invalid;
        return false;
    }
    parser x = {.xml = xml, .p = xml, .end = xml + length};
    *page = (bl_dump_page){.wikitext = 1};
    text->title.size = text->text.size = text->field.size = 0;
    if (!parse(text, &x, page)) {
        *wrong = x.wrong;
        *at = (size_t) (x.wrong_at - xml);
        return false;
    }
    *wrong = NULL;
    if (!bl_bytes_close(&text->title) || !bl_bytes_close(&text->text) || text->field.failed) return false;
    page->title = text->title.data;
    page->text = text->text.data;
    page->title_bytes = (int64_t) text->title.size;
    page->text_bytes = (int64_t) text->text.size;
    return true;
}

void bl_page_free(bl_page_text *text) {
    bl_bytes_free(&text->title);
    bl_bytes_free(&text->text);
    bl_bytes_free(&text->field);
}

bl_status bl_page_namespaces(const char *p, const char *end, bl_bytes *out) {
    static const char open[] = "<namespace key=\"";
    while ((p = memmem(p, (size_t) (end - p), open, sizeof open - 1))) {
        p += sizeof open - 1;
        const char *quote = memchr(p, '"', (size_t) (end - p));
        const char *close = quote ? memchr(quote, '>', (size_t) (end - quote)) : NULL;
        if (!close) break;
        const char *stop = memchr(close, '<', (size_t) (end - close));
        if (close[-1] != '/' && stop) {
            bl_bytes_append(out, p, (size_t) (quote - p));
            bl_bytes_put(out, ' ');
            for (const char *c = close + 1; c < stop;) {
                size_t length = *c == '&' ? bl_entity_decode(c, stop, true, out) : 0;
                if (length == 0) {
                    bl_bytes_put(out, *c);
                    length = 1;
                }
                c += length;
            }
            bl_bytes_put(out, '\n');
        }
        p = close;
    }
    return bl_bytes_close(out) ? BL_OK : BL_ERROR_MEMORY;
}
