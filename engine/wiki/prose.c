/*
 * prose.c - lines to paragraphs: headings, lists, preformatted lines and table
 * rows go, lines of prose that follow each other are joined, and what removed
 * markup leaves behind (empty parentheses, doubled spaces) is tidied up.
 */
#include "wiki/markup.h"

/*
 * Shortest paragraph worth keeping, in bytes and in words. What does not end like a sentence (a caption, the line
 * before a list or formula) must be longer.
 */
enum { MIN_BYTES = 20, MIN_WORDS = 3, MIN_OPEN_BYTES = 60 };

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

static bool ends_sentence(const char *p, const char *end) {
    while (end > p && (end[-1] == '"' || end[-1] == '\'' || end[-1] == ')' || end[-1] == ']'))
        end--;
    if (end == p) return false;
    if (end[-1] == '.' || end[-1] == '!' || end[-1] == '?') return true;
    /* Typographic closing quotes, the ellipsis, and the full stops of Chinese, Japanese, Hindi and Urdu. */
    static const char *const marks[] = {"\xe2\x80\x9d", "\xe2\x80\x99", "\xe2\x80\xa6", "\xc2\xbb", "\xe3\x80\x82",
                                        "\xef\xbc\x81", "\xef\xbc\x9f", "\xe0\xa5\xa4", "\xdb\x94", "\xd8\x9f"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        size_t length = strlen(marks[i]);
        if ((size_t) (end - p) >= length && memcmp(end - length, marks[i], length) == 0) return true;
    }
    return false;
}

static bool worth_keeping(const char *p, const char *end) {
    size_t words = 0;
    bool inside = false, letters = false;
    for (const char *q = p; q < end; q++) {
        unsigned char c = (unsigned char) *q;
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
        letters |= letter;
        if (letter && !inside) words++;
        inside = c != ' ';
        /* Scripts that do not put spaces between words. */
        if (c >= 0xe3) words += 1;
    }
    return letters && words >= MIN_WORDS && end - p >= (ends_sentence(p, end) ? MIN_BYTES : MIN_OPEN_BYTES);
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
    case 0xef:
        return false;
    default:
        return (unsigned char) c > ' ';
    }
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
