/*
 * convert.c - {{convert}} and {{cvt}} of the English Wikipedia: the quantity
 * that an author gave, as a reader sees it, without the conversion. Units keep
 * their symbol, which is shorter than their name, where a reader knows it.
 * Reference: Template:Convert and Module:Convert.
 */
#include "wiki/arguments.h"
#include "wiki/entity.h"
#include "wiki/unit.h"

enum { MAX_VALUES = 24 };

typedef struct span {
    const char *p, *end;
} span;

typedef struct conversion {
    bl_wikitext *w;
    span values[MAX_VALUES]; /* positional arguments */
    int count;
    bool symbols;                /* abbr=on */
    bool adjective;              /* adj=on */
    bool american;               /* sp=us */
    const char *group, *decimal; /* between digits */
    int group_from;              /* digits of the whole part from which they are grouped; 0: never */
    bool one;                    /* the last number takes a unit in the singular */
} conversion;

static size_t bytes_of(span s) {
    return (size_t) (s.end - s.p);
}

static bool is(span s, const char *word) {
    return bl_markup_is_word(s.p, s.end, word);
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Bytes of the minus sign at p: "-", U+2212 or "&minus;"; 0 if it is none. */
static size_t minus_at(const char *p, const char *end) {
    static const char *const signs[] = {"-", "−", "&minus;"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        size_t n = strlen(signs[i]);
        if ((size_t) (end - p) >= n && memcmp(p, signs[i], n) == 0) return n;
    }
    return 0;
}

/* "1,500", "-4.5", "1/2", "5+1/2", "5-1/2", "1.2e6". */
static bool is_number(span s) {
    const char *p = s.p + minus_at(s.p, s.end);
    bool digits = false;
    for (; p < s.end; p++) {
        if (is_digit(*p)) {
            digits = true;
        } else if (*p == 'e' && digits && p + 1 < s.end) {
            if (p[1] == '-' || p[1] == '+') p++;
        } else if (!*p || !strchr(".,/+-", *p)) {
            return false;
        }
    }
    return digits;
}

/* What stands between the numbers of a range; NULL if s is no such word. */
static const char *range_word(const conversion *x, span s) {
    static const char *const words[][2] = {
        {"-", "–"},
        {"–", "–"},
        {"&ndash;", "–"},
        {"to", " to "},
        {"to(-)", " to "},
        {"and", " and "},
        {"and(-)", " and "},
        {"or", " or "},
        {"or(-)", " or "},
        {"by", " by "},
        {"by(x)", " by "},
        {"×", " × "},
        {"xx", " × "},
        {"*", "×"},
        {"&times;", " × "},
        {"+/-", " ± "},
        {"±", " ± "},
        {"&plusmn;", " ± "},
        {"+", " + "},
        {"&", " & "},
        {",", ", "},
        {", and", ", and "},
        {", or", ", or "},
        {"to about", " to about "},
        {"through", " through "},
        {"till", " till "},
        {"then", " then "},
        {"and about", " and about "},
    };
    if (is(s, "x")) return x->symbols ? " × " : " by ";
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (is(s, words[i][0])) return words[i][1];
    }
    return NULL;
}

/* The digits of [p, end) without commas, grouped by threes where there are enough. */
static void put_whole(const conversion *x, const char *p, const char *end) {
    int digits = 0;
    for (const char *q = p; q < end; q++)
        digits += is_digit(*q);
    bool grouped = x->group_from > 0 && digits >= x->group_from;
    for (; p < end; p++) {
        if (!is_digit(*p)) continue;
        bl_bytes_put(&x->w->out, *p);
        digits--;
        if (grouped && digits > 0 && digits % 3 == 0) bl_bytes_text(&x->w->out, x->group);
    }
}

static void put_number(conversion *x, span s) {
    bl_bytes *out = &x->w->out;
    size_t sign = minus_at(s.p, s.end);
    if (sign > 0) bl_bytes_text(out, "−");
    const char *p = s.p + sign;
    x->one = (s.end - p == 1 && *p == '1') ||
             (memchr(p, '/', (size_t) (s.end - p)) && !memchr(p, '+', (size_t) (s.end - p)));
    while (p < s.end) {
        const char *whole = p;
        while (p < s.end && (is_digit(*p) || *p == ','))
            p++;
        put_whole(x, whole, p);
        if (p < s.end && *p == '.') {
            bl_bytes_text(out, x->decimal);
            p++;
            while (p < s.end && is_digit(*p))
                bl_bytes_put(out, *p++);
        } else if (p < s.end && *p == 'e') {
            bl_bytes_text(out, "×10^");
            for (p++; p < s.end; p++)
                bl_bytes_put(out, *p);
        } else if (p < s.end && *p == '/') {
            bl_bytes_put(out, '/');
            while (p < s.end && *p == '/')
                p++;
        } else if (p < s.end) {
            /* "5+1/2" and "5-1/2" are five and a half. */
            bl_bytes_put(out, ' ');
            p++;
        }
    }
}

/* A unit's code without what multiplies it. */
typedef struct scaled_unit {
    const bl_unit *unit; /* NULL: the code is its own symbol */
    span code;
    const char *word; /* "million", or "" */
    int power;        /* of ten; 0 if nothing multiplies it */
    char letter;      /* k, M, G or T of "Moilbbl"; 0 */
} scaled_unit;

static const char *power_word(int power) {
    switch (power) {
    case 2:
        return "hundred ";
    case 3:
        return "thousand ";
    case 6:
        return "million ";
    case 9:
        return "billion ";
    case 12:
        return "trillion ";
    case 15:
        return "quadrillion ";
    default:
        return "";
    }
}

static scaled_unit read_unit(span code) {
    scaled_unit s = {.code = code, .word = "", .unit = bl_unit_find(code.p, bytes_of(code))};
    if (s.unit || bytes_of(code) < 2) return s;
    const char *p = code.p + 1;
    int power = 0;
    while (p < code.end && p - code.p < 3 && is_digit(*p))
        power = power * 10 + (*p++ - '0');
    if (*code.p == 'e' && p < code.end && *power_word(power)) {
        s.power = power;
        s.word = power_word(power);
        s.code.p = p;
        s.unit = bl_unit_find(p, bytes_of(s.code));
        return s;
    }
    static const char letters[] = "kMGT";
    const char *letter = *code.p ? strchr(letters, *code.p) : NULL;
    const bl_unit *unit = letter ? bl_unit_find(code.p + 1, bytes_of(code) - 1) : NULL;
    if (!unit || !(unit->flags & BL_UNIT_SCALED)) return s;
    s.unit = unit;
    s.code.p++;
    s.letter = *letter;
    s.word = power_word(3 * (int) (letter - letters + 1));
    return s;
}

/* A unit's name, spelled as sp=us asks. */
static void put_name(const conversion *x, const char *name, char gap) {
    for (; *name; name++) {
        if (*name == ' ') {
            bl_bytes_put(&x->w->out, gap);
            continue;
        }
        bool swap = x->american && (strncmp(name, "tre", 3) == 0) && (name[3] == 0 || name[3] == 's' || name[3] == ' ');
        bl_bytes_text(&x->w->out, swap ? "ter" : (char[]){*name, 0});
        if (swap) name += 2;
    }
}

static bool in_words(const conversion *x, const scaled_unit *s) {
    if (!s->unit) return false;
    return !s->unit->symbol || (!x->symbols && ((s->unit->flags & BL_UNIT_NAMED) || *s->word));
}

static void put_symbol(conversion *x, const scaled_unit *s, bool one) {
    if (s->letter) bl_bytes_put(&x->w->out, s->letter);
    if (s->unit) {
        const char *name = one ? s->unit->singular : s->unit->plural;
        bl_bytes_text(&x->w->out, s->unit->symbol ? s->unit->symbol : name);
    } else {
        bl_markup_walk(x->w, s->code.p, s->code.end);
    }
}

/* " million barrels per day", "-acre", " ft/s", " km²": the unit behind a number. */
static void put_unit(conversion *x, span code) {
    bl_bytes *out = &x->w->out;
    const char *slash = code.end;
    while (slash > code.p && *slash != '/')
        slash--;
    bool rate = slash > code.p || (bytes_of(code) > 1 && *code.p == '/');
    scaled_unit above = read_unit(rate ? (span){code.p, slash} : code);
    scaled_unit below = rate ? read_unit((span){slash + 1, code.end}) : above;
    if (!in_words(x, &above)) {
        if (above.power && (x->symbols || !above.unit)) {
            bl_bytes_text(out, "×10^");
            if (above.power >= 10) bl_bytes_put(out, '1');
            bl_bytes_put(out, (char) ('0' + above.power % 10));
        }
        bool empty = above.unit && above.unit->symbol && !*above.unit->symbol;
        if (!empty) bl_bytes_put(out, ' ');
        put_symbol(x, &above, x->one);
        if (!rate) return;
        bl_bytes_put(out, '/');
        put_symbol(x, &below, true);
        return;
    }
    char gap = x->adjective ? '-' : ' ';
    bl_bytes_put(out, gap);
    if (*above.word) {
        bl_bytes_append(out, above.word, strlen(above.word) - 1);
        bl_bytes_put(out, gap);
    }
    bool singular = x->adjective || (x->one && !*above.word);
    put_name(x, singular ? above.unit->singular : above.unit->plural, gap);
    if (!rate) return;
    bl_bytes_text(out, " per ");
    if (below.unit) {
        put_name(x, below.unit->singular, ' ');
    } else {
        put_symbol(x, &below, true);
    }
}

/* The unit of the values from `first` on. */
static int unit_after(const conversion *x, int first) {
    while (first < x->count && (is_number(x->values[first]) || range_word(x, x->values[first])))
        first++;
    return first;
}

static void put_quantity(conversion *x) {
    int i = 0;
    for (;;) {
        if (is_number(x->values[i])) {
            put_number(x, x->values[i]);
        } else {
            x->one = false;
            bl_markup_walk(x->w, x->values[i].p, x->values[i].end);
        }
        if (++i >= x->count) return;
        const char *between = range_word(x, x->values[i]);
        if (between && i + 1 < x->count) {
            /* "3 m × 6 m" has its unit twice. */
            int unit = unit_after(x, i);
            if (x->symbols && strstr(between, "×") && unit < x->count) put_unit(x, x->values[unit]);
            bl_bytes_text(&x->w->out, between);
            i++;
            continue;
        }
        span unit = x->values[i++];
        put_unit(x, unit);
        if (i + 1 >= x->count) return;
        /* Another number belongs to the quantity if its unit divides this one; else it is the precision. */
        span next = x->values[i + 1];
        if (is_number(x->values[i]) && bl_unit_divides(unit.p, bytes_of(unit), next.p, bytes_of(next))) {
            bl_bytes_put(&x->w->out, ' ');
        } else {
            between = is_number(next) ? range_word(x, x->values[i]) : NULL;
            if (!between) return;
            bl_bytes_text(&x->w->out, between);
            i++;
        }
    }
}

void bl_markup_convert(bl_wikitext *w, bl_arguments list, bool abbreviated) {
    /* Names of units are English: other wikis show the symbol. */
    conversion x = {.w = w, .symbols = abbreviated || !w->english, .group_from = 4};
    x.group = w->known ? w->known->group : w->english ? "," : "";
    x.decimal = w->known ? w->known->decimal : ".";
    if (w->known && w->known->group_from) x.group_from = w->known->group_from;
    span display = {NULL, NULL};
    bl_argument next;
    while (bl_arguments_next(&list, &next)) {
        span value = {next.value, next.end}, key = {next.key, next.key_end};
        bl_markup_trim(&value.p, &value.end);
        if (is(key, "abbr")) {
            x.symbols = !w->english || is(value, "on") || is(value, "in") || is(value, "h") || is(value, "h0");
        } else if (is(key, "adj")) {
            x.adjective = is(value, "on") || is(value, "1");
        } else if (is(key, "sp")) {
            x.american = is(value, "us");
        } else if (is(key, "comma")) {
            x.group_from = is(value, "5") ? 5 : 0;
        } else if (is(key, "disp")) {
            display = value;
        } else if (next.number > 0 && x.count < MAX_VALUES) {
            x.values[x.count++] = value;
        }
    }
    if (x.count == 0 || bytes_of(x.values[0]) == 0) return;
    if (display.p && (is(display, "output number only") || is(display, "unit2"))) return;
    if (display.p && (is(display, "number") || is(display, "table") || is(display, "tablecen"))) x.count = 1;
    put_quantity(&x);
}
