/*
 * template.c - {{templates}}: left out, but for a table of those that only
 * format a phrase, whose text a sentence would miss. Names are those of the
 * English Wikipedia; other wikis share many of them.
 */
#include <strings.h>

#include "wiki/markup.h"

typedef enum template_kind {
    KEEP_ARGUMENT, /* positional argument number `argument` */
    KEEP_LAST,     /* the last positional argument */
    KEEP_ALL,      /* all of them, joined */
    KEEP_BLOCK,    /* argument as a paragraph of its own */
    KEEP_PREFIX,   /* text, then the argument */
    KEEP_TEXT,     /* text */
    KEEP_CONVERT,  /* numbers and their unit */
    KEEP_FRACTION  /* a/b */
} template_kind;

typedef struct kept_template {
    const char *name; /* lower case, "_" as space */
    template_kind kind;
    int argument;
    const char *text;
} kept_template;

/* In byte order of the names. */
static const kept_template kept[] = {
    {"!", KEEP_TEXT, 0, "|"},
    {"'", KEEP_TEXT, 0, "'"},
    {"'\"", KEEP_TEXT, 0, "'\""},
    {"'s", KEEP_TEXT, 0, "'s"},
    {"-", KEEP_TEXT, 0, " "},
    {"=", KEEP_TEXT, 0, "="},
    {"abbr", KEEP_ARGUMENT, 1, ""},
    {"abbrv", KEEP_ARGUMENT, 1, ""},
    {"angbr", KEEP_ARGUMENT, 1, ""},
    {"angle bracket", KEEP_ARGUMENT, 1, ""},
    {"as of", KEEP_PREFIX, 1, "As of "},
    {"big", KEEP_ARGUMENT, 1, ""},
    {"blockquote", KEEP_BLOCK, 1, ""},
    {"bold", KEEP_ARGUMENT, 1, ""},
    {"c.", KEEP_PREFIX, 1, "c. "},
    {"ca.", KEEP_PREFIX, 1, "c. "},
    {"chem", KEEP_ALL, 0, ""},
    {"chem2", KEEP_ALL, 0, ""},
    {"circa", KEEP_PREFIX, 1, "c. "},
    {"convert", KEEP_CONVERT, 0, ""},
    {"cquote", KEEP_BLOCK, 1, ""},
    {"cvt", KEEP_CONVERT, 0, ""},
    {"em", KEEP_ARGUMENT, 1, ""},
    {"em dash", KEEP_TEXT, 0, "\xe2\x80\x94"},
    {"emdash", KEEP_TEXT, 0, "\xe2\x80\x94"},
    {"en dash", KEEP_TEXT, 0, "\xe2\x80\x93"},
    {"endash", KEEP_TEXT, 0, "\xe2\x80\x93"},
    {"flag", KEEP_ARGUMENT, 1, ""},
    {"flagcountry", KEEP_ARGUMENT, 1, ""},
    {"flagu", KEEP_ARGUMENT, 1, ""},
    {"frac", KEEP_FRACTION, 0, ""},
    {"fraction", KEEP_FRACTION, 0, ""},
    {"gbp", KEEP_PREFIX, 1, "\xc2\xa3"},
    {"hms", KEEP_PREFIX, 1, "HMS "},
    {"ill", KEEP_ARGUMENT, 1, ""},
    {"illm", KEEP_ARGUMENT, 1, ""},
    {"interlanguage link", KEEP_ARGUMENT, 1, ""},
    {"interlanguage link multi", KEEP_ARGUMENT, 1, ""},
    {"italic", KEEP_ARGUMENT, 1, ""},
    {"lang", KEEP_ARGUMENT, 2, ""},
    {"large", KEEP_ARGUMENT, 1, ""},
    {"linktext", KEEP_LAST, 0, ""},
    {"lj", KEEP_ARGUMENT, 1, ""},
    {"mdash", KEEP_TEXT, 0, "\xe2\x80\x94"},
    {"mono", KEEP_ARGUMENT, 1, ""},
    {"mvar", KEEP_ARGUMENT, 1, ""},
    {"nbsp", KEEP_TEXT, 0, " "},
    {"ndash", KEEP_TEXT, 0, "\xe2\x80\x93"},
    {"nihongo", KEEP_ARGUMENT, 1, ""},
    {"nobold", KEEP_ARGUMENT, 1, ""},
    {"nobr", KEEP_ARGUMENT, 1, ""},
    {"not a typo", KEEP_ARGUMENT, 1, ""},
    {"nowrap", KEEP_ARGUMENT, 1, ""},
    {"nts", KEEP_ARGUMENT, 1, ""},
    {"num", KEEP_ARGUMENT, 1, ""},
    {"okina", KEEP_TEXT, 0, "\xca\xbb"},
    {"proper name", KEEP_ARGUMENT, 1, ""},
    {"quotation", KEEP_BLOCK, 1, ""},
    {"quote", KEEP_BLOCK, 1, ""},
    {"resize", KEEP_LAST, 0, ""},
    {"sc", KEEP_ARGUMENT, 1, ""},
    {"sic", KEEP_ARGUMENT, 1, ""},
    {"small", KEEP_ARGUMENT, 1, ""},
    {"smallcaps", KEEP_ARGUMENT, 1, ""},
    {"smaller", KEEP_ARGUMENT, 1, ""},
    {"snd", KEEP_TEXT, 0, " \xe2\x80\x93 "},
    {"spaced en dash", KEEP_TEXT, 0, " \xe2\x80\x93 "},
    {"spaced ndash", KEEP_TEXT, 0, " \xe2\x80\x93 "},
    {"ss", KEEP_PREFIX, 1, "SS "},
    {"strong", KEEP_ARGUMENT, 1, ""},
    {"sub", KEEP_ARGUMENT, 1, ""},
    {"sup", KEEP_ARGUMENT, 1, ""},
    {"tooltip", KEEP_ARGUMENT, 1, ""},
    {"transl", KEEP_LAST, 0, ""},
    {"transliteration", KEEP_LAST, 0, ""},
    {"us$", KEEP_PREFIX, 1, "US$"},
    {"uss", KEEP_PREFIX, 1, "USS "},
    {"val", KEEP_ARGUMENT, 1, ""},
    {"vanchor", KEEP_ARGUMENT, 1, ""},
    {"visible anchor", KEEP_ARGUMENT, 1, ""},
    {"zwj", KEEP_TEXT, 0, ""},
};

/* Templates by which a page says that it only lists the meanings of its title. */
static const char *const disambiguations[] = {
    "airport disambiguation",
    "begriffsklärung",
    "biology disambiguation",
    "call sign disambiguation",
    "chinese title disambiguation",
    "church disambiguation",
    "dab",
    "desambiguación",
    "desambiguação",
    "disambig",
    "disambig-cleanup",
    "disambiguation",
    "disambiguation cleanup",
    "disamb",
    "disambigua",
    "dp",
    "dmbox",
    "genus disambiguation",
    "geodab",
    "geodis",
    "hndis",
    "homonymie",
    "hospital disambiguation",
    "human name disambiguation",
    "letter disambiguation",
    "letter-number combination disambiguation",
    "letter–number combination disambiguation",
    "mathematical disambiguation",
    "mathdab",
    "military unit disambiguation",
    "mil-unit-dis",
    "numberdis",
    "number disambiguation",
    "opus disambiguation",
    "phonetics disambiguation",
    "place name disambiguation",
    "political party disambiguation",
    "road disambiguation",
    "roaddis",
    "school disambiguation",
    "schooldis",
    "species latin name abbreviation disambiguation",
    "station disambiguation",
    "synagogue disambiguation",
    "taxonomic authority disambiguation",
    "taxonomy disambiguation",
    "wp disambig",
    "неоднозначность",
};

/* Name of the template between p and end: lower case, "_" as space, without comments. Its length; 0 if too long. */
static size_t template_name(const char *p, const char *end, char name[64]) {
    const char *comment = memmem(p, (size_t) (end - p), "<!--", 4);
    if (comment) end = comment;
    bl_markup_trim(&p, &end);
    if (end - p > 9 && strncasecmp(p, "template:", 9) == 0) p += 9;
    bl_markup_trim(&p, &end);
    size_t length = (size_t) (end - p);
    if (length == 0 || length > 63) return 0;
    for (size_t i = 0; i < length; i++)
        name[i] = p[i] == '_' ? ' ' : bl_markup_lower(p[i]);
    name[length] = 0;
    return length;
}

static const kept_template *find_kept(const char *name) {
    static const kept_template language = {"lang-", KEEP_ARGUMENT, 1, ""};
    if (strncmp(name, "lang-", 5) == 0) return &language;
    size_t low = 0, high = sizeof kept / sizeof *kept;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(kept[middle].name, name);
        if (order == 0) return &kept[middle];
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* The arguments of a template, from the first bar on. */
typedef struct arguments {
    const bl_wikitext *w;
    const char *p, *end;
    int position; /* of the last positional one */
} arguments;

/*
 * The next argument: its value, and its number if it is positional (also "1=value"), 0 if it is named. False at the
 * end. A named "text=" or "quote=" counts as the first.
 */
static bool next_argument(arguments *list, const char **value, const char **value_end, int *number) {
    if (list->p >= list->end) return false;
    const char *begin = list->p + 1;
    const char *stop = bl_markup_bar(list->w, begin, list->end);
    list->p = stop;
    const char *equals = begin;
    while (equals < stop && *equals != '=' && *equals != '[' && *equals != '{' && *equals != '<')
        equals++;
    if (equals < stop && *equals == '=') {
        const char *key = begin, *key_end = equals;
        bl_markup_trim(&key, &key_end);
        size_t length = (size_t) (key_end - key);
        *number = length == 1 && *key >= '1' && *key <= '9' ? *key - '0' : 0;
        if ((length == 4 && memcmp(key, "text", 4) == 0) || (length == 5 && memcmp(key, "quote", 5) == 0)) *number = 1;
        begin = equals + 1;
        bl_markup_trim(&begin, &stop);
    } else {
        *number = ++list->position;
    }
    *value = begin;
    *value_end = stop;
    return true;
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
        if (strlen(words[i]) == (size_t) (end - p) && memcmp(p, words[i], (size_t) (end - p)) == 0) return true;
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
        if (strlen(units[i][0]) == (size_t) (end - p) && memcmp(p, units[i][0], (size_t) (end - p)) == 0) {
            bl_bytes_text(&w->out, units[i][1]);
            return;
        }
    }
    bl_markup_walk(w, p, end);
}

/* "10|km" -> "10 km", "10|to|20|km|mi" -> "10 to 20 km", "5|ft|11|in" -> "5 ft 11 in". */
static void convert(bl_wikitext *w, arguments list) {
    const char *value, *end;
    int number, pairs = 0;
    bool after_number = false;
    while (next_argument(&list, &value, &end, &number)) {
        if (number == 0) continue;
        bl_markup_trim(&value, &end);
        if (value == end) break;
        if (is_number(value, end)) {
            if (after_number) break;
            if (pairs > 0) {
                /* Another number counts only with a unit of its own: else it is the precision. */
                arguments ahead = list;
                const char *unit, *unit_end;
                if (pairs > 1 || !next_argument(&ahead, &unit, &unit_end, &number) || is_number(unit, unit_end)) break;
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

/* Arguments with a text between them; of a fraction the last two are joined by a slash. */
static void join(bl_wikitext *w, arguments list, bool fraction) {
    arguments count = list;
    const char *value, *end;
    int number, total = 0;
    while (next_argument(&count, &value, &end, &number))
        total += number > 0;
    if (fraction && total == 1) bl_bytes_text(&w->out, "1/");
    int seen = 0;
    while (next_argument(&list, &value, &end, &number)) {
        if (number == 0) continue;
        bl_markup_trim(&value, &end);
        if (fraction && seen > 0) bl_bytes_put(&w->out, seen == total - 1 ? '/' : ' ');
        bl_markup_walk(w, value, end);
        seen++;
    }
}

/* Argument number `wanted`, or the last if that is 0. */
static bool pick(arguments list, int wanted, const char **value, const char **value_end) {
    const char *p, *end;
    int number;
    bool found = false;
    while (next_argument(&list, &p, &end, &number)) {
        if (number == 0 || (wanted > 0 && number != wanted)) continue;
        *value = p;
        *value_end = end;
        found = true;
    }
    if (found) bl_markup_trim(value, value_end);
    return found;
}

static void expand(bl_wikitext *w, const kept_template *template, arguments list) {
    const char *value, *end;
    switch (template->kind) {
    case KEEP_CONVERT:
        convert(w, list);
        return;
    case KEEP_ALL:
    case KEEP_FRACTION:
        join(w, list, template->kind == KEEP_FRACTION);
        return;
    case KEEP_TEXT:
        bl_bytes_text(&w->out, template->text);
        return;
    default:
        break;
    }
    if (!pick(list, template->argument, &value, &end) || value == end) return;
    bool block = template->kind == KEEP_BLOCK;
    bl_bytes_text(&w->out, block ? "\n\n" : template->text);
    if (block) bl_markup_hidden(w);
    bl_markup_walk(w, value, end);
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
    char name[64];
    size_t length = template_name(begin, bar, name);
    if (length == 0) return;
    if (strncmp(name, "formatnum:", 10) == 0) {
        const char *value = memchr(begin, ':', (size_t) (bar - begin));
        if (value) bl_markup_walk(w, value + 1, bar);
        return;
    }
    const kept_template *template = find_kept(name);
    if (!template || w->depth >= BL_MARKUP_MAX_DEPTH) return;
    expand(w, template, (arguments){.w = w, .p = bar, .end = end});
}

BL_API bool bl_wikitext_is_redirect(const bl_wikitext *w, const char *text, int64_t bytes) {
    /* The wikis' own words for it; the dump's <redirect> says the same. */
    static const char *const words[] = {"redirect", "weiterleitung",   "redirection",    "redirección",
                                        "rinvia",   "перенаправление", "doorverwijzing", "redirecionamento",
                                        "転送",     "重定向"};
    (void) w;
    const char *p = text, *end = text + bytes;
    while (p < end && bl_markup_space(*p))
        p++;
    if (p == end || *p != '#') return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i]);
        if ((size_t) (end - p - 1) >= length && strncasecmp(p + 1, words[i], length) == 0) return true;
    }
    return false;
}

BL_API bool bl_wikitext_is_disambiguation(const bl_wikitext *w, const char *title, const char *text, int64_t bytes) {
    static const char suffix[] = "(disambiguation)";
    (void) w;
    size_t title_bytes = strlen(title);
    if (title_bytes >= sizeof suffix - 1 && strcmp(title + title_bytes - (sizeof suffix - 1), suffix) == 0) return true;
    const char *p = text, *end = text + bytes;
    if (memmem(p, (size_t) bytes, "__DISAMBIG__", 12)) return true;
    while ((p = memmem(p, (size_t) (end - p), "{{", 2))) {
        p += 2;
        const char *stop = p;
        while (stop < end && stop - p < 80 && *stop != '|' && *stop != '}' && *stop != '{' && *stop != '<')
            stop++;
        char name[64];
        if (stop < end && template_name(p, stop, name) > 0) {
            for (size_t i = 0; i < sizeof disambiguations / sizeof *disambiguations; i++) {
                if (strcmp(name, disambiguations[i]) == 0) return true;
            }
        }
    }
    return false;
}
