/*
 * pattern.c - what a template of the tables says, by its pattern: see
 * template.h.
 */
#include "wiki/arguments.h"
#include "wiki/language.h"

/* A placeholder of a pattern, taken apart. */
typedef struct placeholder {
    const char *end;  /* just past it */
    char form;        /* '#', '@', '%', '?' or 0 */
    const char *name; /* "*", "-", "1" or what stands in parentheses */
    size_t length;
} placeholder;

static bool read_placeholder(const char *p, placeholder *found) {
    if (*p != '$') return false;
    p++;
    found->form = 0;
    if (*p && strchr("#@%?", *p)) found->form = *p++;
    if (*p == '(') {
        const char *close = strchr(p, ')');
        if (!close) return false;
        found->name = p + 1;
        found->length = (size_t) (close - p - 1);
        found->end = close + 1;
        return true;
    }
    if (*p != '*' && *p != '-' && !(*p >= '1' && *p <= '9')) return false;
    found->name = p;
    found->length = 1;
    found->end = p + 1;
    return true;
}

/* The first of the alternatives "2/text" that is given; false if none is. A default, "=e", is not given. */
static bool pick_placeholder(bl_arguments list, const placeholder *x, bl_argument *found) {
    const char *p = x->name, *end = p + x->length;
    if (*p == '*') return bl_arguments_pick(list, 0, NULL, 0, found) || bl_arguments_count(list) > 1;
    while (p < end && *p != '=') {
        const char *stop = memchr(p, '/', (size_t) (end - p));
        if (!stop) stop = end;
        bool number = stop - p == 1 && ((*p >= '1' && *p <= '9') || *p == '-');
        if (number ? bl_arguments_pick(list, *p == '-' ? 0 : *p - '0', NULL, 0, found)
                   : bl_arguments_pick(list, 0, p, (size_t) (stop - p), found))
            return true;
        p = stop + 1;
    }
    return false;
}

bool bl_markup_pattern_applies(const char *pattern, bl_arguments list) {
    bool asked = false, given = false;
    int depth = 0;
    bl_argument found;
    placeholder x;
    for (const char *p = pattern; *p;) {
        if (*p == '{') depth++;
        if (*p == '}') depth--;
        if (!read_placeholder(p, &x)) {
            p++;
            continue;
        }
        if (depth == 0) {
            asked = true;
            given = given || pick_placeholder(list, &x, &found);
        }
        p = x.end;
    }
    return given || !asked;
}

/* A part in braces, at p, is left out if the arguments in it are empty. *end: just past it. */
static bool part_applies(const char *p, bl_arguments list, const char **end) {
    bl_argument found;
    placeholder x;
    bool applies = false;
    int depth = 0;
    do {
        if (*p == '{') depth++;
        if (*p == '}') depth--;
        if (!read_placeholder(p, &x)) {
            p++;
            continue;
        }
        applies = applies || pick_placeholder(list, &x, &found);
        p = x.end;
    } while (depth > 0 && *p);
    *end = p;
    return applies;
}

void bl_markup_number(bl_wikitext *w, const char *p, const char *end) {
    bl_markup_trim(&p, &end);
    /* How a wiki without a table writes numbers is not known: as they stand. */
    const char *group = w->known ? w->known->group : w->english ? "," : "";
    const char *decimal = w->known ? w->known->decimal : ".";
    int digits = 0;
    const char *q = p;
    if (q < end && (*q == '-' || *q == '+')) q++;
    for (; q < end && *q >= '0' && *q <= '9'; q++)
        digits++;
    bool plain = digits > 0;
    for (const char *r = q; r < end && plain; r++)
        plain = (*r >= '0' && *r <= '9') || (r == q && *r == '.');
    if (!plain) {
        bl_markup_walk(w, p, end);
        return;
    }
    bool grouped = digits >= (w->known && w->known->group_from ? w->known->group_from : 4);
    if (*p == '-') bl_bytes_text(&w->out, "−");
    if (*p == '-' || *p == '+') p++;
    for (; p < q; p++) {
        bl_bytes_put(&w->out, *p);
        digits--;
        if (grouped && digits > 0 && digits % 3 == 0) bl_bytes_text(&w->out, group);
    }
    if (q == end) return;
    bl_bytes_text(&w->out, decimal);
    bl_bytes_append(&w->out, q + 1, (size_t) (end - q - 1));
}

/* A month by its number, anything else as it is. */
static void put_month(bl_wikitext *w, const char *p, const char *end) {
    int number = 0;
    const char *q = p;
    for (; q < end && *q >= '0' && *q <= '9' && q - p < 3; q++)
        number = number * 10 + (*q - '0');
    const char *name = w->known ? w->known->months : NULL;
    if (q != end || number < 1 || number > 12 || !name) {
        bl_markup_walk(w, p, end);
        return;
    }
    while (--number > 0)
        name = strchr(name, '|') + 1;
    bl_bytes_append(&w->out, name, strcspn(name, "|"));
}

/* A day of the month without a zero before it; the first one as the language writes it. */
static void put_day(bl_wikitext *w, const char *p, const char *end) {
    if (end - p == 2 && *p == '0') p++;
    if (end - p == 1 && *p == '1' && w->known && w->known->first_day) {
        bl_bytes_text(&w->out, w->known->first_day);
    } else {
        bl_markup_walk(w, p, end);
    }
}

/* All positional arguments, joined. */
static void put_all(bl_wikitext *w, bl_arguments list) {
    bl_argument next;
    while (bl_arguments_next(&list, &next)) {
        if (next.number == 0) continue;
        bl_markup_trim(&next.value, &next.end);
        bl_markup_walk(w, next.value, next.end);
    }
}

static void put_placeholder(bl_wikitext *w, const placeholder *x, bl_arguments list) {
    bl_argument found;
    if (*x->name == '*') {
        put_all(w, list);
    } else if (x->form == '?') {
        return;
    } else if (!pick_placeholder(list, x, &found)) {
        const char *fallback = memchr(x->name, '=', x->length);
        if (fallback) bl_bytes_append(&w->out, fallback + 1, x->length - (size_t) (fallback + 1 - x->name));
    } else if (x->form == '#') {
        bl_markup_number(w, found.value, found.end);
    } else if (x->form == '@') {
        put_month(w, found.value, found.end);
    } else if (x->form == '%') {
        put_day(w, found.value, found.end);
    } else {
        bl_markup_walk(w, found.value, found.end);
    }
}

void bl_markup_pattern(bl_wikitext *w, const char *p, bl_arguments list) {
    placeholder x;
    while (*p) {
        if (read_placeholder(p, &x)) {
            put_placeholder(w, &x, list);
            p = x.end;
        } else if (*p == '{') {
            const char *part_end;
            p = part_applies(p, list, &part_end) ? p + 1 : part_end;
        } else {
            if (*p != '}') bl_bytes_put(&w->out, *p);
            p++;
        }
    }
}
