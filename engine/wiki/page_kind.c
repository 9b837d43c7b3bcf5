/*
 * page_kind.c - what a page's text says about the page: that it redirects to
 * another, or only lists the meanings of its title.
 */
#include <strings.h>

#include "wiki/markup.h"

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
        char name[BL_TEMPLATE_NAME];
        if (stop < end && bl_markup_template_name(p, stop, name) > 0) {
            for (size_t i = 0; i < sizeof disambiguations / sizeof *disambiguations; i++) {
                if (strcmp(name, disambiguations[i]) == 0) return true;
            }
        }
    }
    return false;
}
