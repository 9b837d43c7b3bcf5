/*
 * templates_germanic.c - templates of the German and Dutch Wikipedias without
 * which a sentence has a gap: see template.h. Examples:
 * spec/fixtures/wiki/languages.lua.
 */
#include "wiki/language.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))

static const bl_template german[] = {
    {"datum|julgregdatum", BL_TEMPLATE_PATTERN, "{$%1. }{$@2 }$3"},
    {"zahl|fnum|formatzahl", BL_TEMPLATE_PATTERN, "$#1"},
    {"höhe", BL_TEMPLATE_PATTERN, "$#1 m"},
    {"eur", BL_TEMPLATE_PATTERN, "{$#1 }EUR"},
    {"bruch", BL_TEMPLATE_FRACTION, ""},
    {"zitat|zitat-en|zitat-fr|zitat-es|zitat-it|zitat-la|zitat-ru|zitat-grc|zitatblock", BL_TEMPLATE_BLOCK,
     "$(1/Text/text/Übersetzung)"},
    {"\"", BL_TEMPLATE_PATTERN, "„$(1/Text)“"},
    {"§", BL_TEMPLATE_PATTERN, "§ $1"},
    {"§§", BL_TEMPLATE_PATTERN, "§§ $1"},
    {"art.", BL_TEMPLATE_PATTERN, "Art. $1"},
    {"bibel|b|bb", BL_TEMPLATE_PATTERN, "$1 $2{,$3}"},
    {"sperrschrift|kapitälchen|sc|frakturschrift|fraktur|schriftfarbe|tooltip|polytonisch|latn|unicode",
     BL_TEMPLATE_PATTERN, "$1"},
    {"farbe", BL_TEMPLATE_PATTERN, "$2"},
    {"hoch", BL_TEMPLATE_RAISED, "$1"},
    {"tief", BL_TEMPLATE_PATTERN, "$1"},
    {"interlanguage|ill|linktext", BL_TEMPLATE_PATTERN, "$1"},
    /* "englisch mill" */
    {"ars|arf", BL_TEMPLATE_PATTERN, "arabisch $1"},
    {"bgs", BL_TEMPLATE_PATTERN, "bulgarisch $1"},
    {"css", BL_TEMPLATE_PATTERN, "tschechisch $1"},
    {"das", BL_TEMPLATE_PATTERN, "dänisch $1"},
    {"els", BL_TEMPLATE_PATTERN, "griechisch $1"},
    {"ens", BL_TEMPLATE_PATTERN, "englisch $1"},
    {"ess", BL_TEMPLATE_PATTERN, "spanisch $1"},
    {"fas", BL_TEMPLATE_PATTERN, "persisch $1"},
    {"fis", BL_TEMPLATE_PATTERN, "finnisch $1"},
    {"frs", BL_TEMPLATE_PATTERN, "französisch $1"},
    {"grcs", BL_TEMPLATE_PATTERN, "altgriechisch $1"},
    {"hes", BL_TEMPLATE_PATTERN, "hebräisch $1"},
    {"hrs", BL_TEMPLATE_PATTERN, "kroatisch $1"},
    {"hus", BL_TEMPLATE_PATTERN, "ungarisch $1"},
    {"its", BL_TEMPLATE_PATTERN, "italienisch $1"},
    {"jas", BL_TEMPLATE_PATTERN, "japanisch $1"},
    {"kos", BL_TEMPLATE_PATTERN, "koreanisch $1"},
    {"las", BL_TEMPLATE_PATTERN, "lateinisch $1"},
    {"nls", BL_TEMPLATE_PATTERN, "niederländisch $1"},
    {"nos", BL_TEMPLATE_PATTERN, "norwegisch $1"},
    {"pls", BL_TEMPLATE_PATTERN, "polnisch $1"},
    {"pts", BL_TEMPLATE_PATTERN, "portugiesisch $1"},
    {"ros", BL_TEMPLATE_PATTERN, "rumänisch $1"},
    {"rus", BL_TEMPLATE_PATTERN, "russisch $1"},
    {"srs", BL_TEMPLATE_PATTERN, "serbisch $1"},
    {"svs", BL_TEMPLATE_PATTERN, "schwedisch $1"},
    {"trs", BL_TEMPLATE_PATTERN, "türkisch $1"},
    {"uks", BL_TEMPLATE_PATTERN, "ukrainisch $1"},
    {"zhs", BL_TEMPLATE_PATTERN, "chinesisch $1"},
};

static const bl_template dutch[] = {
    {"datum", BL_TEMPLATE_PATTERN, "{$%1 }{$@2 }$3"},
    {"eeuw", BL_TEMPLATE_PATTERN, "$1e eeuw"},
    {"getal|formatnum|eenheid", BL_TEMPLATE_PATTERN, "$#1{ $2}"},
    {"citaat|citaat blok|citeer|cquote", BL_TEMPLATE_BLOCK, "$(1/tekst)"},
    {"afkorting|afk|klein|kleinkapitaal|kleinkapitalen|onderstreept|nobr", BL_TEMPLATE_PATTERN, "$1"},
    {"link interwiki|intern interwiki|ill", BL_TEMPLATE_LINK, ""},
    {"breuk", BL_TEMPLATE_FRACTION, ""},
};

const bl_wiki_customs bl_customs_de = {
    .code = "de",
    .group = ".",
    .decimal = ",",
    .months = "Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember",
    .templates = german,
    .count = COUNT(german),
};
const bl_wiki_customs bl_customs_nl = {
    .code = "nl",
    .group = ".",
    .decimal = ",",
    .months = "januari|februari|maart|april|mei|juni|juli|augustus|september|oktober|november|december",
    .ordinals = "e|de|ste",
    .templates = dutch,
    .count = COUNT(dutch),
};
