/*
 * language_table.c - namespaces of Wikipedias beside the English names, which
 * every wiki knows, and the codes of all Wikipedias. A dump's own <namespaces>
 * has one name for each; the others are aliases, of which pages are full.
 * Reference: languages/messages of MediaWiki, $wgNamespaceAliases of the wikis.
 */
#include "wiki/language.h"

/* In byte order of the codes. */
static const bl_wiki_language languages[] = {
    {"ar", "ملف|صورة|تصنيف|وسائط|ميديا", "قالب"},
    {"arz", "ملف|صورة|تصنيف|وسائط|ميديا", "قالب"},
    {"az", "Fayl|Şəkil|Kateqoriya", "Şablon"},
    {"be", "Файл|Выява|Катэгорыя|Мультымедыя", "Шаблон"},
    {"bg", "Файл|Картинка|Категория|Медия", "Шаблон"},
    {"ca", "Fitxer|Imatge|Categoria", "Plantilla"},
    {"ce", "Файл|Хlум|Изображение|Категори|Кадегар|Медиа", "Кеп|Куцкеп|Шаблон"},
    {"ceb", "Payl|Kategoriya|Medya", "Plantilya"},
    {"cs", "Soubor|Kategorie|Média", "Šablona"},
    {"da", "Fil|Billede|Kategori", "Skabelon"},
    {"de", "Datei|Bild|Kategorie|Medium", "Vorlage"},
    {"el", "Αρχείο|Εικόνα|Κατηγορία|Μέσο|Μέσον", "Πρότυπο"},
    {"eo", "Dosiero|Bildo|Kategorio|Aŭdvidaĵo", "Ŝablono"},
    {"es", "Archivo|Imagen|Categoría|Medio", "Plantilla"},
    {"et", "Pilt|Fail|Kategooria|Meedia", "Mall"},
    {"eu", "Fitxategi|Irudi|Kategoria", "Txantiloi"},
    {"fa", "پرونده|تصویر|رده|مدیا|رسانه|رسانه‌ای", "الگو"},
    {"fi", "Tiedosto|Kuva|Luokka", "Malline"},
    {"fr", "Fichier|Catégorie|Média", "Modèle"},
    {"gl", "Ficheiro|Arquivo|Imaxe|Categoría", "Modelo"},
    {"he", "קובץ|תמונה|קטגוריה|מדיה", "תבנית"},
    {"hi", "चित्र|फ़ाइल|श्रेणी|मीडिया", "साँचा"},
    {"hr", "Datoteka|Slika|Kategorija|Mediji", "Predložak"},
    {"hu", "Fájl|Kép|Kategória|Média", "Sablon"},
    {"hy", "Պատկեր|Ֆայլ|Կատեգորիա|Մեդիա", "Կաղապար"},
    {"id", "Berkas|Gambar|Kategori", "Templat"},
    {"it", "Immagine|Categoria", "Template"},
    {"ja", "ファイル|画像|カテゴリ|カテゴリー|メディア", "テンプレート"},
    {"ka", "ფაილი|სურათი|კატეგორია|მედია", "თარგი"},
    {"ko", "파일|그림|분류|미디어", "틀"},
    {"lt", "Vaizdas|Kategorija|Medija", "Šablonas"},
    {"ms", "Fail|Imej|Gambar|Kategori", "Templat"},
    {"nl", "Bestand|Afbeelding|Categorie", "Sjabloon"},
    {"nn", "Fil|Bilde|Kategori|Filpeikar", "Mal"},
    {"no", "Fil|Bilde|Kategori|Medium", "Mal"},
    {"pl", "Plik|Grafika|Kategoria", "Szablon"},
    {"pt", "Ficheiro|Arquivo|Imagem|Categoria|Multimédia|Mídia", "Predefinição"},
    {"ro", "Fișier|Fişier|Imagine|Categorie", "Format"},
    {"ru", "Файл|Изображение|Категория|К|Медиа", "Шаблон|Ш"},
    {"sh", "Datoteka|Slika|Датотека|Слика|Kategorija|Категорија|Mediji", "Šablon|Шаблон"},
    {"sk", "Súbor|Obrázok|Kategória|Médiá", "Šablóna"},
    {"sl", "Slika|Datoteka|Kategorija", "Predloga"},
    {"sr", "Датотека|Слика|Datoteka|Slika|Категорија|Kategorija|Медиј|Medij", "Шаблон|Šablon"},
    {"sv", "Fil|Bild|Kategori", "Mall"},
    {"th", "ไฟล์|ภาพ|หมวดหมู่|สื่อ", "แม่แบบ"},
    {"tr", "Dosya|Resim|Kategori|Medya|Ortam", "Şablon"},
    {"tt", "Файл|Fayl|Рәсем|Төркем|Törkem|Медиа|Изображение|Категория", "Калып|Үрнәк|Шаблон"},
    {"uk", "Файл|Зображення|Изображение|Категорія|Категория|Медіа|Медиа", "Шаблон|Ш"},
    {"vi", "Tập tin|Hình|Thể loại|Phương tiện", "Bản mẫu|Tiêu bản"},
    {"war", "Paypay|Fayl|Kaarangay|Medya", "Batakan"},
    {"zh", "文件|档案|檔案|图像|圖像|分类|分類|媒体|媒體|媒体文件", "模板|样板|樣板|T"},
};

/* Codes of Wikipedias, open and closed ones, in byte order. */
static const char *const codes[] = {
    "aa",      "ab",      "ace", "ady",     "af",       "ak",        "als",          "alt",        "am",     "ami",
    "an",      "ang",     "ann", "anp",     "ar",       "arc",       "ary",          "arz",        "as",     "ast",
    "atj",     "av",      "avk", "awa",     "ay",       "az",        "azb",          "ba",         "ban",    "bar",
    "bat-smg", "bbc",     "bcl", "bdr",     "be",       "be-tarask", "be-x-old",     "ber",        "bew",    "bg",
    "bh",      "bi",      "bjn", "blk",     "bm",       "bn",        "bo",           "bpy",        "br",     "bs",
    "btm",     "bug",     "bxr", "ca",      "cbk-zam",  "cdo",       "ce",           "ceb",        "ch",     "cho",
    "chr",     "chy",     "ckb", "co",      "cr",       "crh",       "cs",           "csb",        "cu",     "cv",
    "cy",      "da",      "dag", "de",      "dga",      "din",       "diq",          "dsb",        "dtp",    "dty",
    "dv",      "dz",      "ee",  "el",      "eml",      "en",        "eo",           "es",         "et",     "eu",
    "ext",     "fa",      "fat", "ff",      "fi",       "fiu-vro",   "fj",           "fo",         "fon",    "fr",
    "frp",     "frr",     "fur", "fy",      "ga",       "gag",       "gan",          "gcr",        "gd",     "gl",
    "glk",     "gn",      "gom", "gor",     "got",      "gpe",       "gsw",          "gu",         "guc",    "gur",
    "guw",     "gv",      "ha",  "hak",     "haw",      "he",        "hi",           "hif",        "ho",     "hr",
    "hsb",     "ht",      "hu",  "hy",      "hyw",      "hz",        "ia",           "iba",        "id",     "ie",
    "ig",      "igl",     "ii",  "ik",      "ilo",      "inh",       "io",           "is",         "it",     "iu",
    "ja",      "jam",     "jbo", "jv",      "ka",       "kaa",       "kab",          "kaj",        "kbd",    "kbp",
    "kcg",     "kg",      "kge", "ki",      "kj",       "kk",        "kl",           "km",         "kn",     "knc",
    "ko",      "koi",     "kr",  "krc",     "ks",       "ksh",       "ku",           "kus",        "kv",     "kw",
    "ky",      "la",      "lad", "lb",      "lbe",      "lez",       "lfn",          "lg",         "li",     "lij",
    "lld",     "lmo",     "ln",  "lo",      "lrc",      "lt",        "ltg",          "lv",         "lzh",    "mad",
    "mai",     "map-bms", "mdf", "mg",      "mh",       "mhr",       "mi",           "min",        "mk",     "ml",
    "mn",      "mni",     "mnw", "mo",      "mos",      "mr",        "mrj",          "ms",         "mt",     "mus",
    "mwl",     "my",      "myv", "mzn",     "na",       "nah",       "nan",          "nap",        "nds",    "nds-nl",
    "ne",      "new",     "ng",  "nia",     "nl",       "nn",        "no",           "nov",        "nqo",    "nr",
    "nrm",     "nso",     "nup", "nv",      "ny",       "oc",        "olo",          "om",         "or",     "os",
    "pa",      "pag",     "pam", "pap",     "pcd",      "pcm",       "pdc",          "pfl",        "pi",     "pih",
    "pl",      "pms",     "pnb", "pnt",     "ps",       "pt",        "pwn",          "qu",         "rgn",    "rm",
    "rmy",     "rn",      "ro",  "roa-rup", "roa-tara", "rsk",       "ru",           "rue",        "rup",    "rw",
    "sa",      "sah",     "sat", "sc",      "scn",      "sco",       "sd",           "se",         "sg",     "sgs",
    "sh",      "shi",     "shn", "shy",     "si",       "simple",    "sk",           "skr",        "sl",     "sm",
    "smn",     "sn",      "so",  "sq",      "sr",       "srn",       "ss",           "st",         "stq",    "su",
    "sv",      "sw",      "syl", "szl",     "szy",      "ta",        "tay",          "tcy",        "tdd",    "te",
    "tet",     "tg",      "th",  "ti",      "tig",      "tk",        "tl",           "tly",        "tn",     "to",
    "tok",     "tpi",     "tr",  "trv",     "ts",       "tt",        "tum",          "tw",         "ty",     "tyv",
    "udm",     "ug",      "uk",  "ur",      "uz",       "ve",        "vec",          "vep",        "vi",     "vls",
    "vo",      "vro",     "wa",  "war",     "wo",       "wuu",       "xal",          "xh",         "xmf",    "yi",
    "yo",      "yue",     "za",  "zea",     "zgh",      "zh",        "zh-classical", "zh-min-nan", "zh-yue", "zu",
};

static const bl_wiki_customs *const customs[] = {&bl_customs_de, &bl_customs_es, &bl_customs_fr, &bl_customs_it,
                                                 &bl_customs_ja, &bl_customs_nl, &bl_customs_pl, &bl_customs_pt,
                                                 &bl_customs_ru, &bl_customs_zh};

/* Whether the code is `known`, or a variant of it such as zh-tw. */
static bool is_code_of(const char *code, const char *known) {
    size_t n = strlen(known);
    return strncmp(code, known, n) == 0 && (code[n] == 0 || (code[n] == '-' && !bl_wiki_is_code(code, strlen(code))));
}

const bl_wiki_language *bl_wiki_language_find(const char *code) {
    for (size_t i = 0; i < sizeof languages / sizeof *languages; i++) {
        if (is_code_of(code, languages[i].code)) return &languages[i];
    }
    return NULL;
}

const bl_wiki_customs *bl_wiki_customs_find(const char *code) {
    for (size_t i = 0; i < sizeof customs / sizeof *customs; i++) {
        if (is_code_of(code, customs[i]->code)) return customs[i];
    }
    return NULL;
}

bool bl_wiki_is_code(const char *name, size_t length) {
    size_t low = 0, high = sizeof codes / sizeof *codes;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = bl_wiki_compare(codes[middle], name, length);
        if (order == 0) return true;
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}
