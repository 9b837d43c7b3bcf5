/*
 * templates_slavic.c - templates of the Russian and Polish Wikipedias without
 * which a sentence has a gap: see template.h. Examples:
 * spec/fixtures/wiki/languages.lua.
 */
#include "wiki/language.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))

static const bl_template russian[] = {
    {"дата|date|дата рождения|дата смерти|датарождения|датасмерти", BL_TEMPLATE_PATTERN, "{$%1}{ $@2}{ $3}"},
    {"сс|сс2|сс3|старый стиль", BL_TEMPLATE_PATTERN, "$%1{ $@2}{ $3}"},
    {"oldstyledate|старстиль", BL_TEMPLATE_PATTERN, "$3 ($1) $2"},
    {"век", BL_TEMPLATE_PATTERN, "$1 век"},
    {"год", BL_TEMPLATE_PATTERN, "$1 год"},
    {"до н. э.", BL_TEMPLATE_PATTERN, "{$1 }до н. э."},
    {"н. э.", BL_TEMPLATE_PATTERN, "{$1 }н. э."},
    {"число|num|nts|формат числа", BL_TEMPLATE_PATTERN, "$#1{ $2}"},
    {"s|nobr|nowrap|nobreak|comment|коммент|подсказка|abbr|аббр|нб|малый|мелкий|капитель|подчеркнуть|флагификация|"
     "unicode|lang-text",
     BL_TEMPLATE_PATTERN, "$1"},
    {"ударение|udar", BL_TEMPLATE_PATTERN, "\xcc\x81"},
    {"не переведено|не переведено 2|не переведено 3|не переведено 4|не переведено 5|непереведено|непереведено 2|"
     "непереведено 3|непереведено 4|непереведено 5|нп|нп1|нп2|нп3|нп4|нп5|нп6|translate|iw",
     BL_TEMPLATE_PATTERN, "$(2/текст/1/надо/есть)"},
    {"цитата|начало цитаты|цитата2|quote|cquote|врезка цитата", BL_TEMPLATE_BLOCK, "$(1/Текст/текст)"},
    {"нет аи 2|нет аи2|нет в источнике 2|уточнить 2|прояснить 2|стиль 2", BL_TEMPLATE_PATTERN, "$1"},
    {"перевод|tr|translation", BL_TEMPLATE_PATTERN, "«$1»"},
    {"рубль|руб", BL_TEMPLATE_PATTERN, "{$1 }₽"},
    {"тире|--", BL_TEMPLATE_PATTERN, " — "},
};

static const bl_template polish[] = {
    {"data|dts", BL_TEMPLATE_PATTERN, "$1"},
    {"wiek", BL_TEMPLATE_PATTERN, "$1 wiek"},
    {"wartość|liczba|jednostka|formatnum", BL_TEMPLATE_PATTERN, "$#1{ $2}"},
    {"ułamek", BL_TEMPLATE_FRACTION, ""},
    {"cytat|cytat d|cytatd|cytat blok|cytat2", BL_TEMPLATE_BLOCK, "$1"},
    {"link-interwiki|link interwiki|li", BL_TEMPLATE_PATTERN, "$(tekst/1)"},
    {"nobr|nie dziel|kapitaliki|u|mała|podkreślenie|skrót", BL_TEMPLATE_PATTERN, "$1"},
    {"j|język", BL_TEMPLATE_PATTERN, "$2"},
    {"indeks górny", BL_TEMPLATE_RAISED, "$1"},
    {"indeks dolny", BL_TEMPLATE_PATTERN, "$1"},
};

const bl_wiki_customs bl_customs_ru = {
    .code = "ru",
    .group = " ",
    .decimal = ",",
    .months = "января|февраля|марта|апреля|мая|июня|июля|августа|сентября|октября|ноября|декабря",
    .templates = russian,
    .count = COUNT(russian),
};
const bl_wiki_customs bl_customs_pl = {
    .code = "pl",
    .group = " ",
    .decimal = ",",
    .group_from = 5,
    .months = "stycznia|lutego|marca|kwietnia|maja|czerwca|lipca|sierpnia|września|października|listopada|grudnia",
    .templates = polish,
    .count = COUNT(polish),
};
