/*
 * template.c - {{templates}}: left out, but for those of template_table.c, that
 * only format a phrase.
 */
#include <strings.h>

#include "wiki/markup.h"
#include "wiki/template.h"

size_t bl_markup_template_name(const char *p, const char *end, char name[BL_TEMPLATE_NAME]) {
    const char *comment = memmem(p, (size_t) (end - p), "<!--", 4);
    if (comment) end = comment;
    bl_markup_trim(&p, &end);
    if (end - p > 9 && strncasecmp(p, "template:", 9) == 0) p += 9;
    bl_markup_trim(&p, &end);
    size_t length = (size_t) (end - p);
    if (length == 0 || length >= BL_TEMPLATE_NAME) return 0;
    for (size_t i = 0; i < length; i++)
        name[i] = p[i] == '_' ? ' ' : bl_markup_lower(p[i]);
    name[length] = 0;
    return length;
}

/* The arguments of a template, from the first bar on. */
typedef struct arguments {
    const bl_wikitext *w;
    const char *p, *end;
    int position; /* of the last positional one */
} arguments;

typedef struct argument {
    const char *value, *end;
    const char *key, *key_end; /* equal for a positional one */
    int number;                /* of a positional one, also "1=value"; 0 if it is named */
} argument;

static bool is_word(const char *p, const char *end, const char *word) {
    return strlen(word) == (size_t) (end - p) && memcmp(p, word, (size_t) (end - p)) == 0;
}

/* The next argument; false at the end. A named "text=" or "quote=" counts as the first. */
static bool next_argument(arguments *list, argument *found) {
    if (list->p >= list->end) return false;
    const char *begin = list->p + 1;
    const char *stop = bl_markup_bar(list->w, begin, list->end);
    list->p = stop;
    const char *equals = begin;
    while (equals < stop && *equals != '=' && *equals != '[' && *equals != '{' && *equals != '<')
        equals++;
    *found = (argument){.value = begin, .end = stop, .key = begin, .key_end = begin};
    if (equals == stop || *equals != '=') {
        found->number = ++list->position;
        return true;
    }
    found->key_end = equals;
    bl_markup_trim(&found->key, &found->key_end);
    if (found->key_end - found->key == 1 && *found->key >= '1' && *found->key <= '9') found->number = *found->key - '0';
    if (is_word(found->key, found->key_end, "text") || is_word(found->key, found->key_end, "quote")) found->number = 1;
    found->value = equals + 1;
    bl_markup_trim(&found->value, &found->end);
    return true;
}

/*
 * The positional argument with this number, 0 for the last one, or the one of this name, without spaces around it;
 * false if there is none or it is empty.
 */
static bool pick(arguments list, int wanted, const char *name, argument *picked) {
    argument next;
    bool found = false;
    while (next_argument(&list, &next)) {
        bool same =
            name ? is_word(next.key, next.key_end, name) : next.number > 0 && (wanted == 0 || next.number == wanted);
        if (!same) continue;
        *picked = next;
        found = true;
    }
    if (found) bl_markup_trim(&picked->value, &picked->end);
    return found && picked->value < picked->end;
}

static bool has(arguments list, const char *name) {
    argument found;
    return pick(list, 0, name, &found);
}

/* A text before and after the argument of this name, if it is given. */
static void put_named(bl_wikitext *w, arguments list, const char *name, const char *before, const char *after) {
    argument found;
    if (!pick(list, 0, name, &found)) return;
    bl_bytes_text(&w->out, before);
    bl_markup_walk(w, found.value, found.end);
    bl_bytes_text(&w->out, after);
}

/* All positional arguments, joined. */
static void put_all(bl_wikitext *w, arguments list) {
    argument next;
    while (next_argument(&list, &next)) {
        if (next.number == 0) continue;
        bl_markup_trim(&next.value, &next.end);
        bl_markup_walk(w, next.value, next.end);
    }
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

static bool is_range_word(const char *p, const char *end) {
    static const char *const words[] = {"-", "to", "and", "or", "by", "x", "to about", "+/-", "\xe2\x80\x93", "&", "+"};
    bl_markup_trim(&p, &end);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (is_word(p, end, words[i])) return true;
    }
    return false;
}

/* A unit's symbol as {{convert}} shows it. */
static void put_unit(bl_wikitext *w, const char *p, const char *end) {
    static const char *const units[][2] = {{"C", "\xc2\xb0"
                                                 "C"},
                                           {"F", "\xc2\xb0"
                                                 "F"},
                                           {"sqmi", "sq mi"},
                                           {"km2", "km\xc2\xb2"},
                                           {"m2", "m\xc2\xb2"},
                                           {"sqft", "sq ft"},
                                           {"m3", "m\xc2\xb3"},
                                           {"km3", "km\xc2\xb3"},
                                           {"lbs", "lb"},
                                           {"mi2", "sq mi"},
                                           {"foot", "foot"},
                                           {"nmi", "nautical miles"},
                                           {"cuft", "cu ft"},
                                           {"lb-f", "pounds-force"},
                                           {"kn", "knots"}};
    bl_markup_trim(&p, &end);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (is_word(p, end, units[i][0])) {
            bl_bytes_text(&w->out, units[i][1]);
            return;
        }
    }
    bl_markup_walk(w, p, end);
}

/* "10|km" -> "10 km", "10|to|20|km|mi" -> "10 to 20 km", "5|ft|11|in" -> "5 ft 11 in". */
static void convert(bl_wikitext *w, arguments list) {
    argument next;
    int pairs = 0;
    bool after_number = false;
    while (next_argument(&list, &next)) {
        if (next.number == 0) continue;
        const char *value = next.value, *end = next.end;
        bl_markup_trim(&value, &end);
        if (value == end) break;
        if (is_number(value, end)) {
            if (after_number) break;
            if (pairs > 0) {
                /* Another number counts only with a unit of its own: else it is the precision. */
                arguments ahead = list;
                if (pairs > 1 || !next_argument(&ahead, &next) || is_number(next.value, next.end)) break;
                bl_bytes_put(&w->out, ' ');
            }
            bl_bytes_append(&w->out, value, (size_t) (end - value));
            after_number = true;
        } else if (after_number && is_range_word(value, end)) {
            bl_bytes_put(&w->out, ' ');
            bl_bytes_append(&w->out, value, (size_t) (end - value));
            bl_bytes_put(&w->out, ' ');
            after_number = false;
        } else if (after_number) {
            bl_bytes_put(&w->out, ' ');
            put_unit(w, value, end);
            after_number = false;
            pairs++;
        } else if (pairs > 0) {
            break;
        } else {
            bl_markup_walk(w, value, end);
            after_number = true;
        }
    }
}

static int count_positional(arguments list) {
    argument next;
    int total = 0;
    while (next_argument(&list, &next))
        total += next.number > 0;
    return total;
}

static bool ends_in_digit(const bl_bytes *out) {
    return out->size > 0 && out->data[out->size - 1] >= '0' && out->data[out->size - 1] <= '9';
}

/* "3" -> "1/3", "1|3" -> "1/3", "2|1|3" -> "2 1/3"; after a whole number with a space. */
static void fraction(bl_wikitext *w, arguments list) {
    argument next;
    int total = count_positional(list), seen = 0;
    if (total > 0 && ends_in_digit(&w->out)) bl_bytes_put(&w->out, ' ');
    if (total == 1) bl_bytes_text(&w->out, "1/");
    while (next_argument(&list, &next)) {
        if (next.number == 0) continue;
        bl_markup_trim(&next.value, &next.end);
        if (seen > 0) bl_bytes_put(&w->out, seen == total - 1 ? '/' : ' ');
        bl_markup_walk(w, next.value, next.end);
        seen++;
    }
}

/* "6.241|e=18|u=C" -> "6.241×10^18 C", "1.5|0.2" -> "1.5±0.2", "1.53|(7)" -> "1.53(7)". */
static void value(bl_wikitext *w, arguments list) {
    argument first, error;
    put_named(w, list, "p", "", "");
    if (pick(list, 1, NULL, &first)) bl_markup_walk(w, first.value, first.end);
    if (pick(list, 2, NULL, &error)) {
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
static void as_of(bl_wikitext *w, arguments list) {
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    argument year, month, day, instead;
    if (pick(list, 0, "alt", &instead)) {
        bl_markup_walk(w, instead.value, instead.end);
        return;
    }
    if (!pick(list, 1, NULL, &year)) return;
    bool small = has(list, "lc");
    bl_bytes_text(&w->out, has(list, "since") ? (small ? "since " : "Since ") : small ? "as of " : "As of ");
    put_named(w, list, "pre", "", " ");
    if (pick(list, 2, NULL, &month)) {
        bool american = pick(list, 0, "df", &instead) && strncasecmp(instead.value, "us", 2) == 0;
        bool with_day = pick(list, 3, NULL, &day);
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
static void authors(bl_wikitext *w, arguments list) {
    argument next;
    int total = count_positional(list), seen = 0;
    while (next_argument(&list, &next)) {
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
static void other_link(bl_wikitext *w, arguments list) {
    argument label;
    if (!pick(list, 0, "lt", &label)) {
        if (!pick(list, 1, NULL, &label)) return;
        bool code = label.end - label.value >= 2 && label.end - label.value <= 3;
        for (const char *p = label.value; p < label.end; p++)
            code = code && *p >= 'a' && *p <= 'z';
        argument second;
        if (code && pick(list, 2, NULL, &second)) label = second;
    }
    bl_markup_walk(w, label.value, label.end);
}

static void music(bl_wikitext *w, arguments list) {
    static const char *const signs[][2] = {{"flat", "\xe2\x99\xad"},    {"b", "\xe2\x99\xad"},
                                           {"sharp", "\xe2\x99\xaf"},   {"#", "\xe2\x99\xaf"},
                                           {"natural", "\xe2\x99\xae"}, {"n", "\xe2\x99\xae"}};
    argument sign;
    if (!pick(list, 1, NULL, &sign)) return;
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        if (is_word(sign.value, sign.end, signs[i][0])) bl_bytes_text(&w->out, signs[i][1]);
    }
}

/* What "$X" of a pattern stands for: false if it is empty. */
static bool placeholder(arguments list, char c, argument *found) {
    if (c == '*') return pick(list, 0, NULL, found) || count_positional(list) > 1;
    return pick(list, c == '-' ? 0 : c - '0', NULL, found);
}

static bool is_placeholder(const char *p) {
    return p[0] == '$' && (p[1] == '*' || p[1] == '-' || (p[1] >= '1' && p[1] <= '9'));
}

/* Whether a pattern has something to say: see template.h. */
static bool pattern_applies(const char *pattern, arguments list) {
    bool asked = false, given = false, optional = false;
    argument found;
    for (const char *p = pattern; *p; p++) {
        if (*p == '{' || *p == '}') optional = *p == '{';
        if (optional || !is_placeholder(p)) continue;
        asked = true;
        given = given || placeholder(list, p[1], &found);
    }
    return given || !asked;
}

/* One part in braces is left out if the argument in it is empty. */
static bool part_applies(const char *p, arguments list) {
    argument found;
    for (; *p && *p != '}'; p++) {
        if (is_placeholder(p) && placeholder(list, p[1], &found)) return true;
    }
    return false;
}

static void put_pattern(bl_wikitext *w, const char *p, arguments list) {
    argument found;
    for (; *p; p++) {
        if (is_placeholder(p)) {
            p++;
            if (*p == '*') {
                put_all(w, list);
            } else if (placeholder(list, *p, &found)) {
                bl_markup_walk(w, found.value, found.end);
            }
        } else if (*p == '{') {
            if (!part_applies(p, list)) p = strchr(p, '}');
        } else if (*p != '}') {
            bl_bytes_put(&w->out, *p);
        }
    }
}

static void expand(bl_wikitext *w, const bl_template *template, arguments list) {
    argument found;
    switch (template->kind) {
    case BL_TEMPLATE_CONVERT:
        convert(w, list);
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
        if (pick(list, 2, NULL, &found)) return;
        break;
    case BL_TEMPLATE_RAISED:
        if (pick(list, 1, NULL, &found)) bl_markup_raise(w, found.value, found.end);
        break;
    default:
        break;
    }
    if (!pattern_applies(template->pattern, list)) return;
    bool block = template->kind == BL_TEMPLATE_BLOCK;
    if (block) {
        bl_bytes_text(&w->out, "\n\n");
        bl_markup_hidden(w);
    }
    put_pattern(w, template->pattern, list);
    if (!block) return;
    bl_bytes_text(&w->out, "\n\n");
    bl_markup_hidden(w);
}

void bl_markup_template(bl_wikitext *w, const char *p, const char *close) {
    bl_markup_hidden(w);
    /* {{{parameter}}} has no value here, but perhaps a default; articles hardly have any. */
    if (close - p >= 6 && p[2] == '{' && close[-3] == '}') return;
    const char *begin = p + 2, *end = close - 2;
    const char *bar = bl_markup_bar(w, begin, end);
    char name[BL_TEMPLATE_NAME];
    size_t length = bl_markup_template_name(begin, bar, name);
    if (length == 0) return;
    if (strncmp(name, "formatnum:", 10) == 0) {
        const char *value = memchr(begin, ':', (size_t) (bar - begin));
        if (value) bl_markup_walk(w, value + 1, bar);
        return;
    }
    const bl_template *template = bl_template_find(name);
    if (!template || w->depth >= BL_MARKUP_MAX_DEPTH) return;
    expand(w, template, (arguments){.w = w, .p = bar, .end = end});
}
