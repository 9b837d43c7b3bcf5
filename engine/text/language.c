/*
 * language.c - the languages that ICU knows, for checking and suggesting codes.
 */
#include <stdio.h>
#include <unicode/uloc.h>
#include <unicode/ustring.h>

#include "core/internal.h"

/* Name of a language in another; "" if ICU has none. */
static void language_name(const char *code, const char *in, char *out, int32_t capacity) {
    UChar name[64];
    int32_t bytes = 0;
    UErrorCode error = U_ZERO_ERROR;
    int32_t length = uloc_getDisplayLanguage(code, in, name, 64, &error);
    if (U_SUCCESS(error)) u_strToUTF8(out, capacity - 1, &bytes, name, length, &error);
    out[U_SUCCESS(error) ? bytes : 0] = 0;
}

BL_API bool bl_language_at(int32_t index, bl_language *out) {
    if (index < 0 || !out) return false;
    const char *const *codes = uloc_getISOLanguages();
    for (int32_t i = 0; i <= index; i++) {
        if (!codes[i]) return false;
    }
    snprintf(out->code, sizeof out->code, "%s", codes[index]);
    language_name(out->code, "en", out->name, (int32_t) sizeof out->name);
    language_name(out->code, out->code, out->own_name, (int32_t) sizeof out->own_name);
    return true;
}
