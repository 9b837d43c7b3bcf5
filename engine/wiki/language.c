/*
 * language.c - a converter's language: names of its namespaces and templates,
 * from the tables and from the dump, made ready for look-ups.
 */
#include "wiki/language.h"

#include <stdio.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include "wiki/markup.h"

/* Wikis in which -{ }- is markup. */
static const char *const with_variants[] = {"ban", "crh", "gan", "iu",  "kk", "ku",  "mni", "sh",
                                            "shi", "sr",  "tg",  "tly", "uz", "wuu", "zh"};

void bl_wiki_fold(bl_bytes *out, const char *text, size_t length) {
    for (size_t i = 0; i < length;) {
        UChar32 c;
        U8_NEXT_OR_FFFD(text, i, length, c);
        bl_bytes_code_point(out, (uint32_t) u_foldCase(c, U_FOLD_CASE_DEFAULT));
    }
}

bool bl_markup_listed(const bl_bytes *list, const char *name, size_t length) {
    const char *p = list->data, *end = p + list->size;
    while (p < end && (p = memmem(p, (size_t) (end - p), name, length))) {
        if ((p == list->data || p[-1] == '\n') && p + length < end && p[length] == '\n') return true;
        p++;
    }
    return false;
}

static void add_name(bl_bytes *list, const char *name, size_t length) {
    size_t begin = list->size;
    bl_wiki_fold(list, name, length);
    for (size_t i = begin; i < list->size; i++)
        if (list->data[i] == '_') list->data[i] = ' ';
    bl_bytes_put(list, '\n');
}

/* The next of the names between bars; *p moves behind it. */
static const char *next_name(const char **p, size_t *length) {
    const char *name = *p;
    if (!name || !*name) return NULL;
    *length = strcspn(name, "|");
    *p = name + *length + (name[*length] == '|');
    return name;
}

static void add_names(bl_bytes *list, const char *names) {
    size_t length;
    for (const char *name; (name = next_name(&names, &length));)
        add_name(list, name, length);
}

/* Lines "number name" of the dump: media, file, category and template. */
static void add_namespaces(bl_wikitext *w, const char *lines) {
    for (const char *line = lines; line && *line;) {
        const char *stop = line + strcspn(line, "\n");
        char *name;
        long number = strtol(line, &name, 10);
        if (name < stop && *name == ' ') {
            name++;
            if (number == -2 || number == 6 || number == 14) add_name(&w->dropped, name, (size_t) (stop - name));
            if (number == 10) add_name(&w->template, name, (size_t) (stop - name));
        }
        line = *stop ? stop + 1 : stop;
    }
}

static int compare(const char *a, size_t a_length, const char *b, size_t b_length) {
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order ? order : (a_length > b_length) - (a_length < b_length);
}

static int compare_local(const void *a, const void *b, void *names) {
    const bl_local_template *x = a, *y = b;
    const char *data = names;
    return compare(data + x->name, x->length, data + y->name, y->length);
}

static bool index_templates(bl_wikitext *w) {
    size_t total = 0;
    for (size_t i = 0; i < w->known->count; i++) {
        const char *p = w->known->templates[i].name;
        for (size_t length; next_name(&p, &length);)
            total++;
    }
    w->local = calloc(total, sizeof *w->local);
    if (!w->local) return false;
    for (size_t i = 0; i < w->known->count; i++) {
        const char *p = w->known->templates[i].name;
        size_t length;
        for (const char *name; (name = next_name(&p, &length));) {
            size_t begin = w->names.size;
            bl_wiki_fold(&w->names, name, length);
            w->local[w->local_count++] = (bl_local_template){begin, w->names.size - begin, &w->known->templates[i]};
        }
    }
    if (!bl_bytes_close(&w->names)) return false;
    qsort_r(w->local, w->local_count, sizeof *w->local, compare_local, w->names.data);
    return true;
}

bool bl_markup_set_language(bl_wikitext *w, const char *namespaces, const char *language) {
    if (language) snprintf(w->language, sizeof w->language, "%s", language);
    for (size_t i = 0; i < sizeof with_variants / sizeof *with_variants; i++) {
        size_t n = strlen(with_variants[i]);
        w->variants |= strncmp(w->language, with_variants[i], n) == 0 &&
                       (w->language[n] == 0 || w->language[n] == '-') &&
                       (w->language[n] == 0 || !bl_wiki_is_code(w->language, strlen(w->language)));
    }
    /* Every wiki knows the English names besides its own. */
    add_names(&w->dropped, "file|image|media|category");
    add_names(&w->template, "template");
    const bl_wiki_language *row = bl_wiki_language_find(w->language);
    if (row) {
        add_names(&w->dropped, row->dropped);
        add_names(&w->template, row->template);
    }
    add_namespaces(w, namespaces);
    w->known = bl_wiki_customs_find(w->language);
    size_t base = strcspn(w->language, "-");
    w->english =
        base == 0 || bl_markup_is_word(w->language, w->language + base, "en") || strcmp(w->language, "simple") == 0;
    bool indexed = !w->known || index_templates(w);
    return bl_bytes_close(&w->dropped) && bl_bytes_close(&w->template) && indexed;
}

const bl_template *bl_markup_template_find(const bl_wikitext *w, const char *name, size_t length) {
    size_t low = 0, high = w->local_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const bl_local_template *row = &w->local[middle];
        int order = compare(w->names.data + row->name, row->length, name, length);
        if (order == 0) return row->template;
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    /* {{link-en|...}} links to the English Wikipedia. */
    static const bl_template link = {"", BL_TEMPLATE_PATTERN, "$(3/1)"};
    const char *prefix = w->known ? w->known->link_prefix : NULL;
    if (prefix && strncmp(name, prefix, strlen(prefix)) == 0) return &link;
    const bl_template *shared = bl_template_find(name);
    /* "As of" is English. */
    return shared && !w->english && shared->kind == BL_TEMPLATE_AS_OF ? NULL : shared;
}

size_t bl_markup_titled(const bl_wikitext *w, const char *name) {
    const char *titled = w->known ? w->known->titled : NULL;
    size_t length;
    for (const char *prefix; (prefix = next_name(&titled, &length));) {
        if (strncmp(name, prefix, length) == 0) return length;
    }
    return 0;
}

static bool names_month(const char *months, const char *p, const char *end) {
    size_t length;
    for (const char *month; (month = next_name(&months, &length));) {
        if ((size_t) (end - p) == length && memcmp(p, month, length) == 0) return true;
    }
    return false;
}

bool bl_markup_is_ordinal(const bl_wikitext *w, const char *name, size_t length) {
    const char *endings = w->known ? w->known->ordinals : NULL;
    if (!endings) return false;
    const char *p = name, *end = name + length;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    while (p == name || (p[-1] > '9' && p < end)) {
        if (p == end || !*p || !strchr("ivxlc", *p)) break;
        p++;
    }
    if (p == name) return false;
    size_t ending;
    for (const char *found; (found = next_name(&endings, &ending));) {
        if ((size_t) (end - p) < ending || memcmp(p, found, ending) != 0) continue;
        const char *rest = p + ending;
        /* {{1er janvier}} */
        if (rest < end && *rest == ' ' && names_month(w->known->months, rest + 1, end)) return true;
        static const char *const rests[] = {
            "", " siècle", " siècle av. j.-c.", " millénaire", " millénaire av. j.-c.", " république"};
        for (size_t i = 0; i < sizeof rests / sizeof *rests; i++) {
            if (bl_markup_is_word(rest, end, rests[i])) return true;
        }
    }
    return false;
}

BL_API const char *bl_wikitext_customs(void) {
    return "de en es fr it ja nl pl pt ru zh";
}
