/*
 * bytes.h - a growing string of bytes. A failed allocation is remembered in
 * `failed`, so that writers check once at the end.
 */
#ifndef BERTLUA_CORE_BYTES_H
#define BERTLUA_CORE_BYTES_H

#include <stdlib.h>
#include <string.h>

#include "core/internal.h"

typedef struct bl_bytes {
    char *data;
    size_t size;
    size_t capacity;
    bool failed;
} bl_bytes;

/* Room for `more` bytes and a NUL. */
static inline bool bl_bytes_reserve(bl_bytes *buffer, size_t more) {
    if (buffer->failed) return false;
    if (buffer->capacity - buffer->size > more) return true;
    size_t capacity = buffer->capacity ? buffer->capacity : 4096;
    while (capacity - buffer->size <= more)
        capacity *= 2;
    char *data = realloc(buffer->data, capacity);
    if (!data) {
        buffer->failed = true;
        return false;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

static inline void bl_bytes_append(bl_bytes *buffer, const char *data, size_t bytes) {
    if (bytes == 0 || !bl_bytes_reserve(buffer, bytes)) return;
    memcpy(buffer->data + buffer->size, data, bytes);
    buffer->size += bytes;
}

static inline void bl_bytes_put(bl_bytes *buffer, char c) {
    if (!bl_bytes_reserve(buffer, 1)) return;
    buffer->data[buffer->size++] = c;
}

static inline void bl_bytes_text(bl_bytes *buffer, const char *text) {
    bl_bytes_append(buffer, text, strlen(text));
}

/* Ends the string with a NUL that does not count. */
static inline bool bl_bytes_close(bl_bytes *buffer) {
    if (!bl_bytes_reserve(buffer, 1)) return false;
    buffer->data[buffer->size] = 0;
    return true;
}

static inline void bl_bytes_free(bl_bytes *buffer) {
    free(buffer->data);
    *buffer = (bl_bytes){0};
}

/* Append a code point as UTF-8; false for what Unicode does not allow (surrogates, above 10FFFF, 0). */
static inline bool bl_bytes_code_point(bl_bytes *buffer, uint32_t c) {
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return false;
    char bytes[4];
    size_t n = 0;
    if (c < 0x80) {
        bytes[n++] = (char) c;
    } else if (c < 0x800) {
        bytes[n++] = (char) (0xc0 | c >> 6);
        bytes[n++] = (char) (0x80 | (c & 63));
    } else if (c < 0x10000) {
        bytes[n++] = (char) (0xe0 | c >> 12);
        bytes[n++] = (char) (0x80 | (c >> 6 & 63));
        bytes[n++] = (char) (0x80 | (c & 63));
    } else {
        bytes[n++] = (char) (0xf0 | c >> 18);
        bytes[n++] = (char) (0x80 | (c >> 12 & 63));
        bytes[n++] = (char) (0x80 | (c >> 6 & 63));
        bytes[n++] = (char) (0x80 | (c & 63));
    }
    bl_bytes_append(buffer, bytes, n);
    return true;
}

#endif
