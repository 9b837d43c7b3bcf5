/*
 * status.c - the error message of the calling thread, and names of dtypes and
 * tensors for messages.
 */
#include <stdarg.h>
#include <stdio.h>

#include "internal.h"

static _Thread_local char last_error[512];

/* Names from files may hold control characters; a message is one line, and no terminal obeys it. */
static void keep_printable(const char *text) {
    size_t used = 0, room = sizeof last_error;
    for (; *text && used + 5 <= room; text++) {
        unsigned char c = (unsigned char) *text;
        if (c >= 0x20 && c != 0x7f) {
            last_error[used++] = *text;
        } else if (c == '\n' || c == '\r' || c == '\t') {
            last_error[used++] = '\\';
            last_error[used++] = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
        } else {
            used += (size_t) snprintf(last_error + used, room - used, "\\x%02x", c);
        }
    }
    last_error[used] = 0;
}

bl_status bl_fail(bl_status status, const char *format, ...) {
    /* Of its own: an argument may be the message before. */
    char text[sizeof last_error];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    keep_printable(text);
    return status;
}

BL_API const char *bl_last_error(void) {
    return last_error;
}

BL_API const char *bl_version(void) {
    return "0.1.0";
}

BL_API const char *bl_dtype_name(int32_t dtype) {
    switch (dtype) {
    case BL_F32:
        return "f32";
    case BL_BF16:
        return "bf16";
    case BL_F16:
        return "f16";
    case BL_I32:
        return "i32";
    case BL_I64:
        return "i64";
    case BL_I8:
        return "i8";
    default:
        return "?";
    }
}

const char *bl_tensor_format(const bl_tensor *t, char *buffer, size_t bytes) {
    if (bytes == 0) return buffer;
    if (!t) {
        snprintf(buffer, bytes, "NULL");
        return buffer;
    }
    size_t used = (size_t) snprintf(buffer, bytes, "%s [", bl_dtype_name(t->dtype));
    for (int32_t i = 0; i < t->ndim && i < BL_MAX_DIMS && used < bytes; i++)
        used += (size_t) snprintf(buffer + used, bytes - used, i ? ",%lld" : "%lld", (long long) t->shape[i]);
    if (used < bytes) snprintf(buffer + used, bytes - used, "]");
    return buffer;
}
