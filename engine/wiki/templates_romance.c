/*
 * templates_romance.c - templates of the French, Spanish, Italian and
 * Portuguese Wikipedias without which a sentence has a gap: see template.h.
 * Examples: spec/fixtures/wiki/languages.lua.
 */
#include "wiki/language.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))

static const bl_template french[] = {
    /* dates and times */
    {"date|date-|date de naissance|date de naissance-|date de décès|date de décès-|date rapide|date sport|date-sport",
     BL_TEMPLATE_PATTERN, "{$%1}{ $@2}{ $3}"},
    {"heure|heure-", BL_TEMPLATE_PATTERN, "$1 h{ $2}"},
    {"durée", BL_TEMPLATE_PATTERN, "{$1 h }{$2 min }{$3 s}"},
    {"an|an-|année|année-", BL_TEMPLATE_PATTERN, "$1"},
    {"ca|circa", BL_TEMPLATE_PATTERN, "ca{ $1}"},
    {"av jc|av. jc|av. j.-c.|avjc|avant jc", BL_TEMPLATE_PATTERN, "{$1 }av. J.-C."},
    {"apr jc|ap jc|apr. j.-c.|aprjc|après jc", BL_TEMPLATE_PATTERN, "{$1 }apr. J.-C."},
    /* centuries */
    {"s|s-|s mini|s mini-|siècle", BL_TEMPLATE_PATTERN, "$1$(2/=e) siècle"},
    {"sp|sp-", BL_TEMPLATE_PATTERN, "$1$(2/=e) $(3/=siècle)"},
    {"s2|s2-", BL_TEMPLATE_PATTERN, "$1$(2/=e) et $3$(4/=e) siècles"},
    {"sav|sav-|-s|-s-", BL_TEMPLATE_PATTERN, "$1$(2/=e) siècle av. J.-C."},
    {"-s2|-s2-|s2av|s2av-", BL_TEMPLATE_PATTERN, "$1$(2/=e) et $3$(4/=e) siècles av. J.-C."},
    {"-m|-m-|mav", BL_TEMPLATE_PATTERN, "$1$(2/=e) millénaire av. J.-C."},
    {"m-|millénaire", BL_TEMPLATE_PATTERN, "$1$(2/=e) millénaire"},
    /* numbers */
    {"unité|unite|unité/2|nombre|nb|tmp|température|unités", BL_TEMPLATE_PATTERN,
     "$#1{×10^$(e)}{ $2}{$3}{ $4}{$5}{ $6}{$7}"},
    {"dunité", BL_TEMPLATE_PATTERN, "$#1 × $#2 $3"},
    {"tunité", BL_TEMPLATE_PATTERN, "$#1 × $#2 × $#3 $4"},
    {"conversion|convertir", BL_TEMPLATE_CONVERT, ""},
    {"grec ancien|grec|latin|arabe|russe|hébreu", BL_TEMPLATE_PATTERN, "$1"},
    {"nombre en romain|rom|rom-maj|rom-maj-titre|romain|chiffre romain", BL_TEMPLATE_PATTERN, "$1"},
    {"e|ème|eme", BL_TEMPLATE_PATTERN, "e"},
    {"er", BL_TEMPLATE_PATTERN, "er"},
    {"ers", BL_TEMPLATE_PATTERN, "ers"},
    {"es", BL_TEMPLATE_PATTERN, "es"},
    {"re", BL_TEMPLATE_PATTERN, "re"},
    {"nd", BL_TEMPLATE_PATTERN, "nd"},
    {"nde", BL_TEMPLATE_PATTERN, "nde"},
    {"o", BL_TEMPLATE_PATTERN, "o"},
    {"n°|no|numéro|nº", BL_TEMPLATE_PATTERN, "no{ $1}"},
    {"nos|n°s", BL_TEMPLATE_PATTERN, "nos{ $1}"},
    {"exp|exposant", BL_TEMPLATE_RAISED, "$1"},
    {"ind|indice", BL_TEMPLATE_PATTERN, "$1"},
    {"fchim|fch|formule chimique", BL_TEMPLATE_PATTERN, "$*"},
    {"p.|page", BL_TEMPLATE_PATTERN, "p. $1"},
    {"vol.|vol", BL_TEMPLATE_PATTERN, "vol. $1"},
    {"t.|tome", BL_TEMPLATE_PATTERN, "t. $1"},
    /* titles */
    {"mme", BL_TEMPLATE_PATTERN, "Mme{ $1}"},
    {"mmes", BL_TEMPLATE_PATTERN, "Mmes{ $1}"},
    {"mlle", BL_TEMPLATE_PATTERN, "Mlle{ $1}"},
    {"m.", BL_TEMPLATE_PATTERN, "M.{ $1}"},
    {"mm.", BL_TEMPLATE_PATTERN, "MM.{ $1}"},
    {"mgr", BL_TEMPLATE_PATTERN, "Mgr{ $1}"},
    {"dr", BL_TEMPLATE_PATTERN, "Dr{ $1}"},
    {"pr", BL_TEMPLATE_PATTERN, "Pr{ $1}"},
    {"me", BL_TEMPLATE_PATTERN, "Me{ $1}"},
    {"cie", BL_TEMPLATE_PATTERN, "Cie"},
    {"ste", BL_TEMPLATE_PATTERN, "Ste{ $1}"},
    {"souverain|souverain-|souverain2|souverain2-|souverain3|souverain3-|pape|pape-", BL_TEMPLATE_PATTERN, "$1"},
    {"nom de famille|patronyme de personne|prénom|pays|drapeau2", BL_TEMPLATE_PATTERN, "$1"},
    /* other languages, quotations, letters */
    {"lang|langue|lang-|étranger", BL_TEMPLATE_PATTERN, "$(2/texte)"},
    {"lien|lien interwiki", BL_TEMPLATE_PATTERN, "$(texte/fr/1)"},
    {"japonais|nihongo", BL_TEMPLATE_PATTERN, "$1 ($2, $3)"},
    {"citation|citation-|guillemets|guil|« »|\"", BL_TEMPLATE_PATTERN, "« $(1/texte) »"},
    {"citation étrangère|citation langue", BL_TEMPLATE_PATTERN, "« $(2/1) »"},
    {"citation bloc|citation longue|bloc citation|cita bloc", BL_TEMPLATE_BLOCK, "$1"},
    {"incise", BL_TEMPLATE_PATTERN, " – $1 – "},
    {"tiret|--|tiret cadratin", BL_TEMPLATE_PATTERN, " – "},
    {"nobr|nobr romains|lnobr|petites capitales|petites caps|pc|taille|souligner|surligner|term|abréviation|abrév|"
     "abréviation discrète|terme défini|formule|texte",
     BL_TEMPLATE_PATTERN, "$1"},
    /* text that an editor doubts */
    {"référence nécessaire|refnec|référence souhaitée|référence à confirmer|citation nécessaire|passage non neutre|"
     "pas clair|passage à actualiser|passage évasif|quand|qui|quoi",
     BL_TEMPLATE_PATTERN, "$1"},
};

static const bl_template spanish[] = {
    {"fecha|fecha de nacimiento|fecha de fallecimiento|fecha de defunción", BL_TEMPLATE_PATTERN,
     "{$%1 de }{$@2 de }$3"},
    {"siglo", BL_TEMPLATE_PATTERN, "{$?(3)siglo }$1{ $2. C.}"},
    {"siglos", BL_TEMPLATE_PATTERN, "siglos $1 y $2"},
    {"a. c.|ac|a.c.", BL_TEMPLATE_PATTERN, "{$1 }a. C."},
    {"d. c.|dc|d.c.", BL_TEMPLATE_PATTERN, "{$1 }d. C."},
    {"unidad|número|numero|num", BL_TEMPLATE_PATTERN, "$#1{ $2}{/$3}"},
    {"convertir|conversión", BL_TEMPLATE_CONVERT, ""},
    {"esd|nowrap|sin salto|versalita|versalitas|versal|subrayado|bandera2|geodatos|nombre", BL_TEMPLATE_PATTERN, "$1"},
    {"cita|cita destacada|citas|cita bloque", BL_TEMPLATE_BLOCK, "$1"},
    {"comillas", BL_TEMPLATE_PATTERN, "«$1»"},
    {"cita requerida|cr|sin referencias-frase|aclarar|aclaración requerida|demostrar", BL_TEMPLATE_PATTERN, "$1"},
    {"idioma|lang", BL_TEMPLATE_PATTERN, "$2"},
    {"enlace interlingüístico|enlace pendiente|enlace multi idioma|ill", BL_TEMPLATE_LINK, ""},
    {"peso|euro", BL_TEMPLATE_PATTERN, "$#1"},
    {"ord|ordinal", BL_TEMPLATE_PATTERN, "$*"},
};

static const bl_template italian[] = {
    {"data|data nascita|data di nascita|data di morte|data morte", BL_TEMPLATE_PATTERN, "{$%1}{ $@2}{ $3}"},
    {"secolo", BL_TEMPLATE_PATTERN, "$1 secolo{ $2}"},
    {"m|unità|unità di misura|um", BL_TEMPLATE_PATTERN, "$#1{×10^$(e)}{ $2}{$3}{ $(ul)}{ $(u)}"},
    {"converti|convert", BL_TEMPLATE_CONVERT, ""},
    {"formatnum|cifra", BL_TEMPLATE_PATTERN, "$#1"},
    {"citazione|quote|q|cit", BL_TEMPLATE_BLOCK, "$1"},
    {"citazione necessaria|senza fonte|chiarire|non chiaro|cn|sf|recentismo", BL_TEMPLATE_PATTERN, "$1"},
    {"maiuscoletto|sc|tutto attaccato|ta|nobr|abbr|tooltip|sottolineato|simbolo", BL_TEMPLATE_PATTERN, "$1"},
    {"nihongo", BL_TEMPLATE_PATTERN, "$1 ($2, $3)"},
    {"collegamento interlingua|ill|interlink", BL_TEMPLATE_PATTERN, "$(lt/1)"},
    {"exp|apice", BL_TEMPLATE_RAISED, "$1"},
    {"pedice", BL_TEMPLATE_PATTERN, "$1"},
    {"chem|formula chimica", BL_TEMPLATE_PATTERN, "$*"},
    {"a.c.|ac", BL_TEMPLATE_PATTERN, "{$1 }a.C."},
    {"d.c.|dc", BL_TEMPLATE_PATTERN, "{$1 }d.C."},
};

static const bl_template portuguese[] = {
    {"data|dni|dnibr|nascimento|data de nascimento|data de nascimento e idade|dtlink|dtext|morte|falecimento|"
     "data de morte|data de falecimento|morte e idade",
     BL_TEMPLATE_PATTERN, "{$%1 de }{$@2 de }$3"},
    {"séc|século", BL_TEMPLATE_PATTERN, "século $1{ $2}"},
    {"ac|a.c.", BL_TEMPLATE_PATTERN, "{$1 }a.C."},
    {"dc|d.c.", BL_TEMPLATE_PATTERN, "{$1 }d.C."},
    {"converter|convert", BL_TEMPLATE_CONVERT, ""},
    {"fmtn|fmtnum|unidade|número|numero", BL_TEMPLATE_PATTERN, "$#1{ $2}"},
    {"citação|citação2|citação bloco|quote1|quote2|quote3", BL_TEMPLATE_BLOCK, "$1"},
    {"versalete|small-caps|nobreak|nobr|sublinhado|negrito|itálico|abreviatura", BL_TEMPLATE_PATTERN, "$1"},
    {"ligação interlíngua|link interlíngua|ill", BL_TEMPLATE_LINK, ""},
    {"língua|lang|idioma", BL_TEMPLATE_PATTERN, "$2"},
    {"carece de fontes2", BL_TEMPLATE_PATTERN, "$1"},
    {"nihongo", BL_TEMPLATE_PATTERN, "$1 ($2, $3)"},
    {"ordinal", BL_TEMPLATE_PATTERN, "$1"},
};

const bl_wiki_customs bl_customs_fr = {
    .code = "fr",
    .group = " ",
    .decimal = ",",
    .months = "janvier|février|mars|avril|mai|juin|juillet|août|septembre|octobre|novembre|décembre",
    .first_day = "1er",
    .ordinals = "er|re|ère|e|ème|nd|nde|d|de|ers|res|es",
    .templates = french,
    .count = COUNT(french),
};
const bl_wiki_customs bl_customs_es = {
    .code = "es",
    .group = " ",
    .decimal = ",",
    .group_from = 5,
    .months = "enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre",
    .ordinals = ".er|.ª|.º|.°|ª|º",
    .templates = spanish,
    .count = COUNT(spanish),
};
const bl_wiki_customs bl_customs_it = {
    .code = "it",
    .group = ".",
    .decimal = ",",
    .months = "gennaio|febbraio|marzo|aprile|maggio|giugno|luglio|agosto|settembre|ottobre|novembre|dicembre",
    .first_day = "1º",
    .ordinals = "º|ª",
    .titled = "calcio |pallacanestro |basket |pallavolo |rugby |hockey |pallanuoto |ciclismo ",
    .templates = italian,
    .count = COUNT(italian),
};
const bl_wiki_customs bl_customs_pt = {
    .code = "pt",
    .group = " ",
    .decimal = ",",
    .group_from = 5,
    .months = "janeiro|fevereiro|março|abril|maio|junho|julho|agosto|setembro|outubro|novembro|dezembro",
    .first_day = "1.º",
    .ordinals = ".º|.ª|º|ª",
    .templates = portuguese,
    .count = COUNT(portuguese),
};
