/*
 * templates_asian.c - templates of the Japanese and Chinese Wikipedias without
 * which a sentence has a gap: see template.h. Examples:
 * spec/fixtures/wiki/languages.lua.
 */
#include "wiki/language.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))

static const bl_template japanese[] = {
    {"読み仮名|読み仮名 ruby不使用|読み仮名_ruby不使用|読み|よみ", BL_TEMPLATE_PATTERN, "$1{（$2{、$3}）}"},
    {"ruby|ルビ|振り仮名|ふりがな|ruby-ja", BL_TEMPLATE_PATTERN, "$1"},
    {"仮リンク|link-interwiki|内部リンクの仮リンク", BL_TEMPLATE_PATTERN, "$(label/1)"},
    {"和暦", BL_TEMPLATE_PATTERN, "$1年"},
    {"生年月日と年齢|生年月日|日付", BL_TEMPLATE_PATTERN, "$1年{$2月}{$3日}"},
    {"死亡年月日と没年齢", BL_TEMPLATE_PATTERN, "$4年{$5月}{$6日}"},
    {"没年齢|享年", BL_TEMPLATE_PATTERN, ""},
    {"要出典範囲|独自研究範囲|信頼性要検証範囲|要検証範囲|要追加記述範囲|要説明範囲|誰範囲|誰範囲2|いつ範囲|"
     "要ページ番号範囲|正確性範囲",
     BL_TEMPLATE_PATTERN, "$1"},
    {"補助漢字フォント|jisx0213フォント|jis2004フォント|jis90フォント|拡張漢字|補助漢字|環境依存文字|機種依存文字|"
     "unicodefont|変体仮名フォント|下線|太字|underline|nowrap|color box|縦書き|cjk|jis2004",
     BL_TEMPLATE_PATTERN, "$1"},
    {"fontsize|color|font color|font-size|フォント", BL_TEMPLATE_PATTERN, "$2"},
    {"引用|引用文|quotation|quote", BL_TEMPLATE_BLOCK, "$1"},
    {"通貨", BL_TEMPLATE_PATTERN, "$#1"},
    {"as of", BL_TEMPLATE_PATTERN, "$1年{$2月}{$3日}時点"},
};

static const bl_template chinese[] = {
    {"le|ill|ilh|internal link helper|link", BL_TEMPLATE_PATTERN, "$(3/1)"},
    {"tsl", BL_TEMPLATE_PATTERN, "$(4/3/2)"},
    {"bd|生卒", BL_TEMPLATE_PATTERN, "（$1$2－{$3$4}）"},
    {"日期|date|年月日", BL_TEMPLATE_PATTERN, "$1年{$2月}{$3日}"},
    {"as of|截至", BL_TEMPLATE_PATTERN, "截至$1年{$2月}{$3日}"},
    {"ruby|僻字|专名号|專名號|书名号|註音|unihan|nowrap|nobr|underline|kai|楷体|楷體|genealogy", BL_TEMPLATE_PATTERN,
     "$1"},
    {"color|font color|fontsize|fs", BL_TEMPLATE_PATTERN, "$2"},
    {"rmb|cny", BL_TEMPLATE_PATTERN, "{$1}元"},
    {"ntd|nt$", BL_TEMPLATE_PATTERN, "{$1}元"},
    {"hkd|hk$", BL_TEMPLATE_PATTERN, "{$1}港元"},
    {"引文|引用|quote|cquote|quotation", BL_TEMPLATE_BLOCK, "$1"},
    {"jpn", BL_TEMPLATE_PATTERN, "{$(j)}"},
    {"来源请求范围|事实范围", BL_TEMPLATE_PATTERN, "$1"},
};

const bl_wiki_customs bl_customs_ja = {
    .code = "ja", .group = ",", .decimal = ".", .templates = japanese, .count = COUNT(japanese)};
const bl_wiki_customs bl_customs_zh = {
    .code = "zh", .group = ",", .decimal = ".", .link_prefix = "link-", .templates = chinese, .count = COUNT(chinese)};
