/*
 * variant.c - -{ }- of wikis that write one language in several scripts or
 * spellings (Chinese, Serbian ...): the text of one variant.
 * Reference: mediawiki.org/wiki/Writing_systems/Syntax.
 */
#include "wiki/markup.h"

/* Variants in whose place a reader of the first sees the next ones; each begins a row. */
static const char *const fallbacks[][6] = {
    {"zh-hans", "zh-cn", "zh-sg", "zh-my", "zh"},
    {"zh-cn", "zh-hans", "zh-sg", "zh-my", "zh"},
    {"zh-sg", "zh-hans", "zh-cn", "zh-my", "zh"},
    {"zh-my", "zh-hans", "zh-sg", "zh-cn", "zh"},
    {"zh-hant", "zh-tw", "zh-hk", "zh-mo", "zh"},
    {"zh-tw", "zh-hant", "zh-hk", "zh-mo", "zh"},
    {"zh-hk", "zh-hant", "zh-mo", "zh-tw", "zh"},
    {"zh-mo", "zh-hant", "zh-hk", "zh-tw", "zh"},
    {"sr", "sr-ec", "sr-cyrl", "sr-el", "sr-latn"},
    {"sr-el", "sr-latn", "sr", "sr-ec", "sr-cyrl"},
    {"sh", "sh-latn", "sh-cyrl"},
    {"kk", "kk-cyrl", "kk-kz", "kk-latn", "kk-arab"},
    {"gan", "gan-hans", "gan-hant"},
    {"wuu", "wuu-hans", "wuu-hant"},
};

static bool is_code_char(char c) {
    return (c >= 'a' && c <= 'z') || c == '-';
}

/* "zh-hans" at p, where the wiki's language is zh: its end; NULL if no such code stands there. */
static const char *code_end(const bl_wikitext *w, const char *p, const char *end) {
    size_t base = strcspn(w->language, "-");
    if ((size_t) (end - p) < base || memcmp(p, w->language, base) != 0) return NULL;
    const char *q = p + base;
    if (q < end && *q != '-') return is_code_char(*q) ? NULL : q;
    while (q < end && is_code_char(*q))
        q++;
    return q;
}

/* Where "code:" of a rule begins and its text; false if there is none at p. */
static bool rule_at(const bl_wikitext *w, const char *p, const char *end, const char **code_stop, const char **text) {
    while (p < end && bl_markup_space(*p))
        p++;
    const char *q = code_end(w, p, end);
    if (!q) return false;
    *code_stop = q;
    while (q < end && bl_markup_space(*q))
        q++;
    if (q >= end || *q != ':') return false;
    *text = q + 1;
    return true;
}

/* How near the variant is to the one wanted: 0 is best. */
static int distance(const bl_wikitext *w, const char *p, const char *end) {
    /* Who asks for no variant of Chinese gets the simplified one. */
    const char *wanted = strcmp(w->language, "zh") == 0 ? "zh-hans" : w->language;
    if (bl_markup_is_word(p, end, wanted)) return 0;
    for (size_t i = 0; i < sizeof fallbacks / sizeof *fallbacks; i++) {
        if (strcmp(fallbacks[i][0], wanted) != 0) continue;
        for (int k = 1; k < 6 && fallbacks[i][k]; k++) {
            if (bl_markup_is_word(p, end, fallbacks[i][k])) return k;
        }
    }
    return 6;
}

/* "zh-hans:A;zh-hant:B" -> the text of the nearest variant; any other text as it is. */
static void put_rules(bl_wikitext *w, const char *p, const char *end) {
    const char *code_stop, *text;
    if (!rule_at(w, p, end, &code_stop, &text)) {
        bl_markup_walk(w, p, end);
        return;
    }
    const char *best = NULL, *best_end = NULL;
    int best_distance = 7;
    while (rule_at(w, p, end, &code_stop, &text)) {
        while (bl_markup_space(*p))
            p++;
        const char *code = p, *stop = text, *ignored;
        /* A ";" ends the text only where another rule or nothing follows. */
        for (; stop < end; stop++) {
            const char *close = *stop == '{' || *stop == '[' ? bl_markup_close(w, stop, end) : NULL;
            if (close) stop = close - 1;
            if (*stop != ';') continue;
            const char *next = stop + 1;
            while (next < end && bl_markup_space(*next))
                next++;
            if (next == end || rule_at(w, next, end, &code_stop, &ignored)) break;
        }
        int d = distance(w, code, code_end(w, code, end));
        if (d < best_distance) {
            best = text;
            best_end = stop;
            best_distance = d;
        }
        if (stop >= end) break;
        p = stop + 1;
    }
    bl_markup_trim(&best, &best_end);
    bl_markup_walk(w, best, best_end);
}

/* Whether [p, end) are flags: capital letters, "-", "+" or codes of variants between ";". */
static bool are_flags(const bl_wikitext *w, const char *p, const char *end) {
    while (p < end) {
        while (p < end && (bl_markup_space(*p) || *p == ';'))
            p++;
        if (p == end) break;
        const char *q = code_end(w, p, end);
        if (!q && ((*p >= 'A' && *p <= 'Z') || *p == '-' || *p == '+')) q = p + 1;
        if (!q) return false;
        while (q < end && bl_markup_space(*q))
            q++;
        if (q < end && *q != ';') return false;
        p = q;
    }
    return true;
}

void bl_markup_variant(bl_wikitext *w, const char *p, const char *close) {
    const char *begin = p + 1, *end = close - 2;
    if (w->depth >= BL_MARKUP_MAX_DEPTH) return;
    bl_markup_hidden(w);
    const char *bar = bl_markup_bar(w, begin, end);
    if (bar == end || !are_flags(w, begin, bar)) {
        put_rules(w, begin, end);
        return;
    }
    /* T sets the title, H and D only define or describe rules, - takes one back, N names a variant. */
    for (const char *q = begin; q < bar; q++) {
        if (*q == 'T' || *q == 'H' || *q == 'D' || *q == 'N') return;
        if (*q == '-' && (q == begin || !is_code_char(q[-1]))) return;
    }
    put_rules(w, bar + 1, end);
}
