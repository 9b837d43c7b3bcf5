/*
 * page_kind.c - what a page's text says about the page: that it redirects to
 * another, or only lists the meanings of its title.
 */
#include "wiki/markup.h"

/* Templates by which a page says that it only lists the meanings of its title: case-folded, in byte order. */
static const char *const disambiguations[] = {
    "aimai",
    "airport disambiguation",
    "anlam ayrımı",
    "apartigilo",
    "argipen",
    "argipen orri",
    "begriffsklärung",
    "biology disambiguation",
    "call sign disambiguation",
    "chinese title disambiguation",
    "church disambiguation",
    "dab",
    "des",
    "desambig",
    "desambiguacion",
    "desambiguació",
    "desambiguación",
    "desambiguação",
    "dezambiguizare",
    "disamb",
    "disambig",
    "disambig-cleanup",
    "disambigua",
    "disambiguasi",
    "disambiguation",
    "disambiguation cleanup",
    "dmbox",
    "doorverwijspagina",
    "dp",
    "dəqiqləşdirmə",
    "egyért",
    "egyértelműsítés",
    "egyértelműsítő lap",
    "flertydig",
    "förgrening",
    "genus disambiguation",
    "geodab",
    "geodis",
    "gren",
    "hndis",
    "homonymie",
    "homonymie de patronyme",
    "homonymie de toponyme",
    "homónimos",
    "hospital disambiguation",
    "human name disambiguation",
    "letter disambiguation",
    "letter-number combination disambiguation",
    "letter–number combination disambiguation",
    "mathdab",
    "mathematical disambiguation",
    "mil-unit-dis",
    "military unit disambiguation",
    "number disambiguation",
    "numberdis",
    "nuorodinis straipsnis",
    "nyahkekaburan",
    "opus disambiguation",
    "paronymie",
    "patronymie",
    "peker",
    "pekerside",
    "phonetics disambiguation",
    "place name disambiguation",
    "political party disambiguation",
    "razdvojba",
    "razločitev",
    "road disambiguation",
    "roaddis",
    "rozcestník",
    "rozlišovacia stránka",
    "school disambiguation",
    "schooldis",
    "species latin name abbreviation disambiguation",
    "station disambiguation",
    "synagogue disambiguation",
    "taxonomic authority disambiguation",
    "taxonomy disambiguation",
    "trang định hướng",
    "täpsustuslehekülg",
    "täsmennyssivu",
    "ujednoznacznienie",
    "višeznačna odrednica",
    "wp disambig",
    "čvor",
    "định hướng",
    "αποσαφήνιση",
    "багатозначність",
    "вишезначна",
    "вишезначна одредница",
    "күп мәгънәлелек",
    "многозначность",
    "неадназначнасць",
    "неоднозначность",
    "пояснителна страница",
    "список однофамильцев",
    "բազմիմաստություն",
    "פירושונים",
    "ابهام‌زدایی",
    "توضيح",
    "बहुविकल्पी शब्द",
    "แก้กำกวม",
    "მრავალმნიშვნელოვანი",
    "人名の曖昧さ回避",
    "人名消歧义",
    "人名消歧義",
    "地名の曖昧さ回避",
    "地名消歧义",
    "地名消歧義",
    "曖昧さ回避",
    "消歧义",
    "消歧义页",
    "消歧義",
    "消歧義頁",
    "동명이인",
    "동음이의",
    "동음이의어",
};

BL_API bool bl_wikitext_is_redirect(const bl_wikitext *w, const char *text, int64_t bytes) {
    /* The wikis' own words for it, case-folded; the dump's <redirect> says the same. */
    static const char *const words[] = {"redirect",
                                        "weiterleitung",
                                        "redirection",
                                        "redirección",
                                        "redireccion",
                                        "rinvia",
                                        "перенаправление",
                                        "перенапр",
                                        "doorverwijzing",
                                        "redirecionamento",
                                        "patrz",
                                        "przekieruj",
                                        "tam",
                                        "転送",
                                        "リダイレクト",
                                        "重定向",
                                        "omdirigering",
                                        "перенаправлення",
                                        "đổi",
                                        "تحويل",
                                        "تغییرمسیر",
                                        "تغییر_مسیر",
                                        "alih",
                                        "lencong",
                                        "преусмери",
                                        "preusmjeri",
                                        "넘겨주기",
                                        "yönlendirme",
                                        "yönlendir",
                                        "yönlendİrme",
                                        "yönlendİr",
                                        "ohjaus",
                                        "uudelleenohjaus",
                                        "přesměruj",
                                        "átirányítás",
                                        "redirecteaza",
                                        "birzuzendu",
                                        "alidirektu",
                                        "הפניה",
                                        "վերահղում",
                                        "пренасочване",
                                        "виж",
                                        "presmeruj",
                                        "ανακατευθυνση",
                                        "перанакіраванне",
                                        "peradresavimas",
                                        "suuna",
                                        "preusmeritev",
                                        "เปลี่ยนทาง",
                                        "पुनर्प्रेषित",
                                        "გადამისამართება",
                                        "İstİqamətləndİrmə",
                                        "юнәлтү"};
    (void) w;
    const char *p = text, *end = text + bytes;
    while (p < end && bl_markup_space(*p))
        p++;
    /* The full-width sign of Japanese keyboards too. */
    if (end - p > 3 && memcmp(p, "＃", 3) == 0) {
        p += 3;
    } else if (p < end && *p == '#') {
        p++;
    } else {
        return false;
    }
    while (p < end && bl_markup_space(*p))
        p++;
    const char *stop = p;
    while (stop < end && stop - p < 64 && *stop != '[' && *stop != ':' && !bl_markup_space(*stop))
        stop++;
    bl_bytes folded = {0};
    bl_wiki_fold(&folded, p, (size_t) (stop - p));
    bool found = false;
    for (size_t i = 0; i < sizeof words / sizeof *words && !found; i++)
        found = folded.size == strlen(words[i]) && memcmp(folded.data, words[i], folded.size) == 0;
    bl_bytes_free(&folded);
    return found;
}

/* Endings of titles that say it. */
static const char *const suffixes[] = {"(disambiguation)",
                                       "(Begriffsklärung)",
                                       "(homonymie)",
                                       "(desambiguación)",
                                       "(disambigua)",
                                       "(desambiguação)",
                                       "(doorverwijspagina)",
                                       "(ujednoznacznienie)",
                                       "(значения)",
                                       "(olika betydelser)",
                                       "(曖昧さ回避)",
                                       "(消歧义)",
                                       "(消歧義)",
                                       "(значення)",
                                       "(định hướng)",
                                       "(توضيح)",
                                       "(ابهام‌زدایی)",
                                       "(desambiguació)",
                                       "(disambiguasi)",
                                       "(nyahkekaburan)",
                                       "(вишезначна одредница)",
                                       "(višeznačna odrednica)",
                                       "(razdvojba)",
                                       "(동음이의)",
                                       "(andre betydninger)",
                                       "(anlam ayrımı)",
                                       "(täsmennyssivu)",
                                       "(rozcestník)",
                                       "(egyértelműsítő lap)",
                                       "(dezambiguizare)",
                                       "(argipena)",
                                       "(apartigilo)",
                                       "(פירושונים)",
                                       "(այլ կիրառումներ)",
                                       "(flertydig)",
                                       "(пояснение)",
                                       "(rozlišovacia stránka)",
                                       "(αποσαφήνιση)",
                                       "(значэнні)",
                                       "(reikšmės)",
                                       "(täpsustus)",
                                       "(razločitev)",
                                       "(แก้ความกำกวม)",
                                       "(बहुविकल्पी)",
                                       "(მრავალმნიშვნელოვანი)",
                                       "(dəqiqləşdirmə)",
                                       "(homónimos)"};

static bool has_suffix(const char *title) {
    size_t bytes = strlen(title);
    if (bytes == 0 || title[bytes - 1] != ')') return false;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t length = strlen(suffixes[i]);
        if (bytes >= length && strcmp(title + bytes - length, suffixes[i]) == 0) return true;
    }
    return false;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

BL_API bool bl_wikitext_is_disambiguation(const bl_wikitext *w, const char *title, const char *text, int64_t bytes) {
    if (has_suffix(title)) return true;
    const char *p = text, *end = text + bytes;
    if (memmem(p, (size_t) bytes, "__DISAMBIG__", 12)) return true;
    while ((p = memmem(p, (size_t) (end - p), "{{", 2))) {
        p += 2;
        const char *stop = p;
        while (stop < end && stop - p < BL_TEMPLATE_NAME && *stop != '|' && *stop != '}' && *stop != '{' &&
               *stop != '<')
            stop++;
        char name[BL_TEMPLATE_NAME];
        const char *key = name;
        if (stop < end && bl_markup_template_name(w, p, stop, name) > 0 &&
            bsearch(&key, disambiguations, sizeof disambiguations / sizeof *disambiguations, sizeof *disambiguations,
                    compare_names))
            return true;
    }
    return false;
}
