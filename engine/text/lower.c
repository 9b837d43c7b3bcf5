/*
 * lower.c - lower case and word characters as Unicode defines them, for
 * comparing answers. The tokenizer has tables of its own: unicode_table.c.
 */
#include <unicode/ucasemap.h>
#include <unicode/uchar.h>

#include "core/internal.h"

BL_API bl_status bl_text_lower(const char *text, size_t bytes, char *out, size_t capacity, size_t *out_bytes) {
    if (!text || !out || !out_bytes) return bl_fail(BL_ERROR_ARGUMENT, "text_lower: text, out or out_bytes is NULL");
    if (bytes > INT32_MAX || capacity > INT32_MAX)
        return bl_fail(BL_ERROR_ARGUMENT, "text_lower: got %zu bytes, expected at most 2^31 - 1", bytes);
    UErrorCode error = U_ZERO_ERROR;
    UCaseMap *map = ucasemap_open("", 0, &error);
    int32_t length = 0;
    if (U_SUCCESS(error)) length = ucasemap_utf8ToLower(map, out, (int32_t) capacity, text, (int32_t) bytes, &error);
    ucasemap_close(map);
    if (error == U_BUFFER_OVERFLOW_ERROR)
        return bl_fail(BL_ERROR_ARGUMENT, "text_lower: capacity is %zu, expected at least %d", capacity, length);
    if (U_FAILURE(error)) return bl_fail(BL_ERROR_MEMORY, "text_lower: %s", u_errorName(error));
    *out_bytes = (size_t) length;
    return BL_OK;
}

BL_API bool bl_text_is_word_character(int32_t code_point) {
    return code_point == '_' || u_isalpha(code_point) || u_getNumericValue(code_point) != U_NO_NUMERIC_VALUE;
}
