/* wikitext.c - wikitext to prose, which depends on nothing but the text and the wiki's language. */
#include "harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char *const languages[] = {NULL, "zh", "fr", "ru"};
    static bl_wikitext *converters[4];
    /* One language for each text. */
    size_t which = bytes > 0 ? (data[0] + bytes) % 4 : 0;
    bl_wikitext **made = &converters[which];
    if (!*made) CHECK(bl_wikitext_create(made, "6 Datei\n14 Kategorie\n-2 Medium\n", languages[which]) == BL_OK);
    bl_wikitext *w = *made;
    char *text = exact_copy(data, bytes);
    const char *prose;
    int64_t prose_bytes;
    CHECK(bl_wikitext_convert(w, text, (int64_t) bytes, &prose, &prose_bytes) == BL_OK);
    CHECK(prose[prose_bytes] == 0);
    bool utf8 = bl_utf8_check(text, (int64_t) bytes) < 0;
    if (utf8) CHECK(bl_utf8_check(prose, prose_bytes) < 0);
    char *first = exact_copy((const uint8_t *) prose, (size_t) prose_bytes);
    int64_t first_bytes = prose_bytes;
    CHECK(bl_wikitext_convert(w, text, (int64_t) bytes, &prose, &prose_bytes) == BL_OK);
    CHECK(prose_bytes == first_bytes && (first_bytes == 0 || memcmp(prose, first, (size_t) first_bytes) == 0));
    (void) bl_wikitext_is_redirect(w, text, (int64_t) bytes);
    (void) bl_wikitext_is_disambiguation(w, "Mill", text, (int64_t) bytes);
    free(first);
    free(text);
    return 0;
}
