/*
 * template.c - {{templates}}: left out, but for those of template_table.c, that
 * only format a phrase.
 */
#include <strings.h>

#include "wiki/arguments.h"

/* Case-folded text with "_" as space; 0 if it does not fit. */
static size_t fold(const char *p, const char *end, char *out, size_t capacity) {
    size_t n = 0;
    for (const char *q = p; q < end; q++) {
        if ((unsigned char) *q >= 0x80 || n == capacity) {
            bl_bytes folded = {0};
            bl_wiki_fold(&folded, p, (size_t) (end - p));
            n = folded.failed || folded.size > capacity ? 0 : folded.size;
            for (size_t i = 0; i < n; i++)
                out[i] = folded.data[i] == '_' ? ' ' : folded.data[i];
            bl_bytes_free(&folded);
            return n;
        }
        out[n++] = *q == '_' ? ' ' : bl_markup_lower(*q);
    }
    return n;
}

size_t bl_markup_template_name(const bl_wikitext *w, const char *p, const char *end, char name[BL_TEMPLATE_NAME]) {
    const char *comment = memmem(p, (size_t) (end - p), "<!--", 4);
    if (comment) end = comment;
    bl_markup_trim(&p, &end);
    if (end - p >= 2 * BL_TEMPLATE_NAME) return 0;
    const char *colon = memchr(p, ':', (size_t) (end - p));
    char folded[3 * BL_TEMPLATE_NAME];
    size_t length = fold(p, end, folded, sizeof folded);
    if (colon && length > 0) {
        /* The namespace; a first colon may stand before it. */
        char *stop = memchr(folded, ':', length);
        if (stop && bl_markup_listed(&w->template, folded, (size_t) (stop - folded))) {
            size_t skip = (size_t) (stop + 1 - folded);
            while (skip < length && folded[skip] == ' ')
                skip++;
            length -= skip;
            memmove(folded, folded + skip, length);
        }
    }
    if (length == 0 || length >= BL_TEMPLATE_NAME) return 0;
    memcpy(name, folded, length);
    name[length] = 0;
    return length;
}

/* A text before and after the argument of this name, if it is given. */
static void put_named(bl_wikitext *w, bl_arguments list, const char *name, const char *before, const char *after) {
    bl_argument found;
    if (!bl_arguments_named(list, name, &found)) return;
    bl_bytes_text(&w->out, before);
    bl_markup_walk(w, found.value, found.end);
    bl_bytes_text(&w->out, after);
}

static bool is_number(const char *p, const char *end) {
    bl_markup_trim(&p, &end);
    if (p == end) return false;
    for (const char *q = p; q < end; q++) {
        bool digit = *q >= '0' && *q <= '9';
        if (!digit && *q != '.' && *q != ',' && *q != '/' && *q != '+' && !(q == p && *q == '-')) return false;
    }
    return true;
}

static bool ends_in_digit(const bl_bytes *out) {
    return out->size > 0 && out->data[out->size - 1] >= '0' && out->data[out->size - 1] <= '9';
}

/* "3" -> "1/3", "1|3" -> "1/3", "2|1|3" -> "2 1/3"; after a whole number with a space. */
static void fraction(bl_wikitext *w, bl_arguments list) {
    bl_argument next;
    int total = bl_arguments_count(list), seen = 0;
    if (total > 0 && ends_in_digit(&w->out)) bl_bytes_put(&w->out, ' ');
    if (total == 1) bl_bytes_text(&w->out, "1/");
    while (bl_arguments_next(&list, &next)) {
        if (next.number == 0) continue;
        bl_markup_trim(&next.value, &next.end);
        if (seen > 0) bl_bytes_put(&w->out, seen == total - 1 ? '/' : ' ');
        bl_markup_walk(w, next.value, next.end);
        seen++;
    }
}

/* "6.241|e=18|u=C" -> "6.241×10^18 C", "1.5|0.2" -> "1.5±0.2", "1.53|(7)" -> "1.53(7)". */
static void value(bl_wikitext *w, bl_arguments list) {
    bl_argument first, error;
    put_named(w, list, "p", "", "");
    if (bl_arguments_pick(list, 1, NULL, 0, &first)) bl_markup_walk(w, first.value, first.end);
    if (bl_arguments_pick(list, 2, NULL, 0, &error)) {
        if (*error.value != '(') bl_bytes_text(&w->out, "\xc2\xb1");
        bl_markup_walk(w, error.value, error.end);
    }
    put_named(w, list, "e",
              "\xc3\x97"
              "10^",
              "");
    put_named(w, list, "u", " ", "");
    put_named(w, list, "ul", " ", "");
    put_named(w, list, "up", "/", "");
    put_named(w, list, "upl", "/", "");
}

/* "2010" -> "As of 2010", "2010|4|21|lc=y" -> "as of 21 April 2010". */
static void as_of(bl_wikitext *w, bl_arguments list) {
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    bl_argument year, month, day, instead;
    if (bl_arguments_named(list, "alt", &instead)) {
        bl_markup_walk(w, instead.value, instead.end);
        return;
    }
    if (!bl_arguments_pick(list, 1, NULL, 0, &year)) return;
    bool small = bl_arguments_has(list, "lc");
    bl_bytes_text(&w->out, bl_arguments_has(list, "since") ? (small ? "since " : "Since ")
                           : small                         ? "as of "
                                                           : "As of ");
    put_named(w, list, "pre", "", " ");
    if (bl_arguments_pick(list, 2, NULL, 0, &month)) {
        bool american = bl_arguments_named(list, "df", &instead) && strncasecmp(instead.value, "us", 2) == 0;
        bool with_day = bl_arguments_pick(list, 3, NULL, 0, &day);
        if (with_day && !american) {
            bl_markup_walk(w, day.value, day.end);
            bl_bytes_put(&w->out, ' ');
        }
        long number = is_number(month.value, month.end) ? strtol(month.value, NULL, 10) : 0;
        if (number >= 1 && number <= 12) {
            bl_bytes_text(&w->out, months[number - 1]);
        } else {
            bl_markup_walk(w, month.value, month.end);
        }
        bl_bytes_put(&w->out, ' ');
        if (with_day && american) {
            bl_markup_walk(w, day.value, day.end);
            bl_bytes_text(&w->out, ", ");
        }
    }
    bl_markup_walk(w, year.value, year.end);
    put_named(w, list, "post", "", "");
}

/* Authors and a year: "Boole|1854" -> "Boole (1854)", "Boole|Mill|1854" -> "Boole & Mill (1854)". */
static void authors(bl_wikitext *w, bl_arguments list) {
    bl_argument next;
    int total = bl_arguments_count(list), seen = 0;
    while (bl_arguments_next(&list, &next)) {
        if (next.number == 0) continue;
        seen++;
        if (seen == total) {
            bl_bytes_text(&w->out, " (");
        } else if (seen > 1 && total > 4) {
            if (seen == 2) bl_bytes_text(&w->out, " et al.");
            continue;
        } else if (seen > 1) {
            bl_bytes_text(&w->out, seen == total - 1 ? " & " : ", ");
        }
        bl_markup_trim(&next.value, &next.end);
        bl_markup_walk(w, next.value, next.end);
    }
    if (seen > 0) bl_bytes_put(&w->out, ')');
}

/* "Mill|de|Mühle" -> "Mill", also with the language first as in older pages; "lt=the mill" comes before. */
static void other_link(bl_wikitext *w, bl_arguments list) {
    bl_argument label;
    if (!bl_arguments_named(list, "lt", &label)) {
        if (!bl_arguments_pick(list, 1, NULL, 0, &label)) return;
        bool code = label.end - label.value >= 2 && label.end - label.value <= 3;
        for (const char *p = label.value; p < label.end; p++)
            code = code && *p >= 'a' && *p <= 'z';
        bl_argument second;
        if (code && bl_arguments_pick(list, 2, NULL, 0, &second)) label = second;
    }
    bl_markup_walk(w, label.value, label.end);
}

static void music(bl_wikitext *w, bl_arguments list) {
    static const char *const signs[][2] = {{"flat", "\xe2\x99\xad"},    {"b", "\xe2\x99\xad"},
                                           {"sharp", "\xe2\x99\xaf"},   {"#", "\xe2\x99\xaf"},
                                           {"natural", "\xe2\x99\xae"}, {"n", "\xe2\x99\xae"}};
    bl_argument sign;
    if (!bl_arguments_pick(list, 1, NULL, 0, &sign)) return;
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        if (bl_markup_is_word(sign.value, sign.end, signs[i][0])) bl_bytes_text(&w->out, signs[i][1]);
    }
}

static void expand(bl_wikitext *w, const bl_template *template, bl_arguments list) {
    bl_argument found;
    switch (template->kind) {
    case BL_TEMPLATE_CONVERT:
        bl_markup_convert(w, list, *template->pattern != 0);
        return;
    case BL_TEMPLATE_FRACTION:
        fraction(w, list);
        return;
    case BL_TEMPLATE_VALUE:
        value(w, list);
        return;
    case BL_TEMPLATE_AS_OF:
        as_of(w, list);
        return;
    case BL_TEMPLATE_AUTHORS:
        authors(w, list);
        return;
    case BL_TEMPLATE_LINK:
        other_link(w, list);
        return;
    case BL_TEMPLATE_MUSIC:
        music(w, list);
        return;
    case BL_TEMPLATE_SINGLE:
        if (bl_arguments_pick(list, 2, NULL, 0, &found)) return;
        break;
    case BL_TEMPLATE_RAISED:
        if (bl_arguments_pick(list, 1, NULL, 0, &found)) bl_markup_raise(w, found.value, found.end);
        break;
    default:
        break;
    }
    if (!bl_markup_pattern_applies(template->pattern, list)) return;
    bool block = template->kind == BL_TEMPLATE_BLOCK;
    if (block) {
        bl_bytes_text(&w->out, "\n\n");
        bl_markup_hidden(w);
    }
    bl_markup_pattern(w, template->pattern, list);
    if (!block) return;
    bl_bytes_text(&w->out, "\n\n");
    bl_markup_hidden(w);
}

/* {{formatnum:...}}, also by its names in other languages. */
static bool is_number_format(const char *name) {
    static const char *const names[] = {"formatnum:",     "zahlenformat:",        "formatonúmero:", "formatearnúmero:",
                                        "formatonumero:", "форматировать число:", "форматчисла:",   "formatanum:"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strncmp(name, names[i], strlen(names[i])) == 0) return true;
    }
    return false;
}

void bl_markup_template(bl_wikitext *w, const char *p, const char *close) {
    bl_markup_hidden(w);
    /* {{{parameter}}} has no value here, but perhaps a default; articles hardly have any. */
    if (close - p >= 6 && p[2] == '{' && close[-3] == '}') return;
    const char *begin = p + 2, *end = close - 2;
    const char *bar = bl_markup_bar(w, begin, end);
    char name[BL_TEMPLATE_NAME];
    size_t length = bl_markup_template_name(w, begin, bar, name);
    if (length == 0) return;
    if (is_number_format(name)) {
        const char *value = memchr(begin, ':', (size_t) (bar - begin));
        if (!value) return;
        bl_arguments list = {.w = w, .p = bar, .end = end};
        bl_argument raw;
        if (bl_arguments_pick(list, 1, NULL, 0, &raw) && bl_markup_is_word(raw.value, raw.end, "R")) {
            bl_markup_walk(w, value + 1, bar);
        } else {
            bl_markup_number(w, value + 1, bar);
        }
        return;
    }
    const bl_template *template = bl_markup_template_find(w, name, length);
    if (!template && bl_markup_is_ordinal(w, name, length)) bl_markup_walk(w, begin, bar);
    size_t before = template ? 0 : bl_markup_titled(w, name);
    if (before > 0) {
        /* {{Calcio Milan|N}}: the prefix is ASCII, so the name has its length as it was written. */
        bl_markup_trim(&begin, &bar);
        if ((size_t) (bar - begin) > before && !memchr(begin, ':', before)) bl_markup_walk(w, begin + before, bar);
        return;
    }
    if (!template || w->depth >= BL_MARKUP_MAX_DEPTH) return;
    expand(w, template, (bl_arguments){.w = w, .p = bar, .end = end});
}
