/*
 * prose.c - lines to paragraphs: headings, lists, preformatted lines and table
 * rows go, lines of prose that follow each other are joined, and what removed
 * markup leaves behind (empty parentheses, doubled spaces) is tidied up.
 */
#include "wiki/markup.h"

/*
 * Shortest paragraph worth keeping, in letters and in words. What does not end like a sentence (a caption, the line
 * before a list or formula) must be longer. An ideograph or a syllable of Korean says as much as several letters, and
 * Thai and its kin have no full stop to end with: their characters count as DENSE_LETTERS letters each. Where no spaces
 * stand between words, each character counts as a word.
 */
enum { MIN_LETTERS = 20, MIN_WORDS = 3, MIN_OPEN_LETTERS = 60, DENSE_LETTERS = 3 };

static bool is_space_at(const char *p, const char *end) {
    return p < end && bl_markup_space(*p);
}

/* Whether a line of wikitext is something other than prose. */
static bool is_other(const char *p, const char *end) {
    switch (*p) {
    case '*':
    case '#':
    case ':':
    case ';':
    case ' ':
    case '\t':
    case '|':
        return true;
    case '!':
        return is_space_at(p + 1, end) || memmem(p, (size_t) (end - p), "!!", 2) != NULL;
    case '=':
        while (end > p && (bl_markup_space(end[-1]) || end[-1] == BL_MARK_HIDDEN))
            end--;
        return end - p >= 3 && end[-1] == '=';
    case '-':
        return end - p >= 4 && memcmp(p, "----", 4) == 0;
    default:
        return false;
    }
}

/* Bytes of an invisible or odd space character at p: 0 if it is none. *space tells which becomes a space. */
static size_t odd_space(const char *p, const char *end, bool *space) {
    const unsigned char *u = (const unsigned char *) p;
    *space = false;
    if (u[0] < 0x20) {
        *space = u[0] == '\t' || u[0] == '\n' || u[0] == '\r';
        return 1;
    }
    if (u[0] == 0xc2 && end - p >= 2) {
        *space = u[1] == 0xa0;                                      /* no-break space */
        return u[1] == 0xa0 || u[1] == 0xad || u[1] < 0xa0 ? 2 : 0; /* soft hyphen, C1 controls */
    }
    if (u[0] == 0xe2 && end - p >= 3 && u[1] == 0x80) {
        *space = (u[2] >= 0x80 && u[2] <= 0x8a) || u[2] == 0xa8 || u[2] == 0xa9 || u[2] == 0xaf;
        bool hidden = u[2] == 0x8b || u[2] == 0x8e || u[2] == 0x8f || (u[2] >= 0xaa && u[2] <= 0xae);
        return *space || hidden ? 3 : 0;
    }
    if (u[0] == 0xe2 && end - p >= 3 && u[1] == 0x81 && u[2] >= 0xa0 && u[2] <= 0xaf) return 3; /* word joiner ... */
    if (u[0] == 0xef && end - p >= 3 && u[1] == 0xbb && u[2] == 0xbf) return 3;
    return 0;
}

/* Undo "(", spaces and separators at the end of out when nothing came between the parentheses: true if undone. */
static bool close_parenthesis(bl_bytes *out) {
    size_t n = out->size;
    while (n > 0 && (out->data[n - 1] == ' ' || out->data[n - 1] == ',' || out->data[n - 1] == ';'))
        n--;
    if (n > 0 && out->data[n - 1] == '(') {
        n--;
        while (n > 0 && out->data[n - 1] == ' ')
            n--;
        out->size = n;
        /* What stood on both sides must not run together. */
        if (n > 0) bl_bytes_put(out, ' ');
        return true;
    }
    out->size = n;
    return false;
}

static bool is_separator(char c) {
    return c == ',' || c == ';' || c == ':';
}

/* One character of a paragraph, after tidying, to out. */
static void tidy(bl_bytes *out, char c, char next) {
    char last = out->size > 0 ? out->data[out->size - 1] : ' ';
    bool after_open = last == '(' || (last == ' ' && out->size > 1 && out->data[out->size - 2] == '(');
    switch (c) {
    case ' ':
        if (last == ' ' || last == '(') return;
        break;
    case ')':
        if (close_parenthesis(out)) return;
        break;
    case ',':
    case ';':
    case ':':
    case '.':
        if (after_open && is_separator(c)) return;
        if (out->size > 0 && last == ' ' && c != ':' && !(c == '.' && next != ' ' && next != 0)) {
            out->size--;
            last = out->size > 0 ? out->data[out->size - 1] : ' ';
        }
        if (c == ',' && last == ',') return;
        /* A formula at the end of a clause leaves ",.". */
        if (c == '.' && out->size > 0 && (last == ',' || last == ';')) out->size--;
        break;
    default:
        break;
    }
    bl_bytes_put(out, c);
}

/* Whether the character before `end` is one of a list. */
static bool is_one_of(const char *p, const char *end, const char *const *list, size_t count, size_t *length) {
    for (size_t i = 0; i < count; i++) {
        *length = strlen(list[i]);
        if ((size_t) (end - p) >= *length && memcmp(end - *length, list[i], *length) == 0) return true;
    }
    return false;
}

static bool ends_sentence(const char *p, const char *end) {
    static const char *const closing[] = {"\"", "'", ")", "]", "）", "】", "》", "〉", "〕", "］", "’", "›"};
    /* Quotation marks, the ellipsis, and the full stops of all scripts. */
    static const char *const marks[] = {".",  "!", "?", "”", "’", "…", "»", "«", "“", "」", "』", "。", "．", "｡", "！",
                                        "？", "।", "॥", "۔", "؟", "։", "።", "፧", "၊", "။",  "។",  "៕",  "།",  "༎"};
    size_t length, skip;
    while (end > p && is_one_of(p, end, closing, sizeof closing / sizeof *closing, &skip)) {
        if (skip > 1 && is_one_of(p, end, marks, sizeof marks / sizeof *marks, &length)) return true;
        end -= skip;
    }
    return end > p && is_one_of(p, end, marks, sizeof marks / sizeof *marks, &length);
}

static bool worth_keeping(const char *p, const char *end) {
    int64_t letters = 0, words = 0;
    bool inside = false, any = false;
    for (const char *q = p; q < end; q++) {
        unsigned char c = (unsigned char) *q;
        if ((c & 0xc0) == 0x80) continue;
        bl_character here;
        bool unspaced = c >= 0xe0 && bl_text_character(q, end - q, 0, &here) && bl_text_is_unspaced(here.code_point);
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
        any |= letter;
        if (letter && (!inside || unspaced)) words++;
        bool syllable = c >= 0xea && c <= 0xed; /* U+A000 to U+DFFF: Hangul, and Yi */
        letters += unspaced || syllable ? DENSE_LETTERS : 1;
        inside = c != ' ';
    }
    return any && words >= MIN_WORDS && letters >= (ends_sentence(p, end) ? MIN_LETTERS : MIN_OPEN_LETTERS);
}

/* Whether a byte goes through as it is: neither tidy nor odd_space has to look at it. */
static bool is_plain(char c) {
    switch ((unsigned char) c) {
    case ')':
    case ',':
    case ';':
    case ':':
    case '.':
    case 0xc2:
    case 0xe2:
    case 0xe3:
    case 0xef:
        return false;
    default:
        return (unsigned char) c > ' ';
    }
}

static bool is_at(const char *p, const char *end, const char *mark) {
    return end - p >= 3 && memcmp(p, mark, 3) == 0;
}

static bool ends_in(const bl_bytes *out, const char *mark) {
    return out->size >= 3 && memcmp(out->data + out->size - 3, mark, 3) == 0;
}

/* Full-width punctuation, of three bytes: whether to leave it out, as tidy does with its ASCII forms. */
static bool drops_wide(bl_bytes *out, const char *p, const char *end) {
    bool separator = is_at(p, end, "、") || is_at(p, end, "，") || is_at(p, end, "；") || is_at(p, end, "：");
    if (separator) return ends_in(out, "（");
    if (!is_at(p, end, "）")) return false;
    for (;;) {
        if (out->size > 0 && (out->data[out->size - 1] == ' ' || is_separator(out->data[out->size - 1]))) {
            out->size--;
        } else if (ends_in(out, "、") || ends_in(out, "，") || ends_in(out, "；") || ends_in(out, "：")) {
            out->size -= 3;
        } else {
            break;
        }
    }
    if (!ends_in(out, "（")) return false;
    out->size -= 3;
    return true;
}

/* The paragraph at hand is complete: tidy it and, if it says something, keep it. */
static void finish(bl_wikitext *w) {
    const char *p = w->paragraph.data, *end = p + w->paragraph.size;
    bl_bytes *line = &w->line;
    line->size = 0;
    /* Tidying makes no line longer. */
    if (!bl_bytes_reserve(line, w->paragraph.size)) p = end;
    while (p < end) {
        while (p < end && is_plain(*p))
            line->data[line->size++] = *p++;
        if (p == end) break;
        if (drops_wide(line, p, end)) {
            p += 3;
            continue;
        }
        bool space;
        size_t odd = odd_space(p, end, &space);
        if (odd == 0) {
            tidy(line, *p, p + 1 < end ? p[1] : 0);
            p++;
            continue;
        }
        if (space) tidy(line, ' ', ' ');
        p += odd;
    }
    w->paragraph.size = 0;
    while (line->size > 0 && line->data[line->size - 1] == ' ')
        line->size--;
    size_t skip = 0;
    while (skip < line->size && (line->data[skip] == ' ' || is_separator(line->data[skip])))
        skip++;
    if (line->size > skip && worth_keeping(line->data + skip, line->data + line->size)) {
        bl_bytes_append(&w->prose, line->data + skip, line->size - skip);
        bl_bytes_put(&w->prose, '\n');
    }
}

static bool is_blank(const char *p, const char *end) {
    while (p < end && (bl_markup_space(*p) || *p == BL_MARK_HIDDEN))
        p++;
    return p == end;
}

void bl_markup_prose(bl_wikitext *w) {
    const char *p = w->out.data, *end = p + w->out.size;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t) (end - p));
        if (!stop) stop = end;
        if (is_blank(p, stop) || is_other(p, stop)) {
            finish(w);
        } else {
            if (w->paragraph.size > 0) bl_bytes_put(&w->paragraph, ' ');
            bl_bytes_append(&w->paragraph, p, (size_t) (stop - p));
        }
        p = stop + 1;
    }
    finish(w);
}
