/*
 * utf8.c - is it UTF-8? (RFC 3629: no overlong forms, no surrogates, nothing
 * above U+10FFFF.)
 */
#include <string.h>

#include "core/internal.h"

static bool is_tail(unsigned char c) {
    return (c & 0xc0) == 0x80;
}

/* Length of the character at p, 0 if it is malformed. */
static int character_length(const unsigned char *p, int64_t left) {
    unsigned char c = p[0];
    if (c < 0x80) return 1;
    if (c < 0xc2 || c > 0xf4) return 0;
    if (left < 2 || !is_tail(p[1])) return 0;
    if (c < 0xe0) return 2;
    if (c == 0xe0 && p[1] < 0xa0) return 0;
    if (c == 0xed && p[1] > 0x9f) return 0;
    if (c == 0xf0 && p[1] < 0x90) return 0;
    if (c == 0xf4 && p[1] > 0x8f) return 0;
    if (left < 3 || !is_tail(p[2])) return 0;
    if (c < 0xf0) return 3;
    return left < 4 || !is_tail(p[3]) ? 0 : 4;
}

BL_API int64_t bl_utf8_check(const char *text, int64_t bytes) {
    const unsigned char *p = (const unsigned char *) text;
    int64_t at = 0;
    while (at < bytes) {
        if (bytes - at >= 8) {
            uint64_t word;
            memcpy(&word, p + at, 8);
            if (!(word & 0x8080808080808080ull)) {
                at += 8;
                continue;
            }
        }
        int length = character_length(p + at, bytes - at);
        if (length == 0) return at;
        at += length;
    }
    return -1;
}
