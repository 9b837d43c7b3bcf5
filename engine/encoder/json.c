/*
 * json.c - files of text, and JSON in them.
 */
#include "encoder/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A list or object takes some hundred bytes of memory where the file has two. */
enum { MOST_CONTAINERS = 1 << 18, MOST_VALUES = 1 << 21 };

char *bl_path_join(const char *folder, const char *name) {
    size_t length = strlen(folder), more = strlen(name);
    char *path = malloc(length + more + 2);
    if (!path) return NULL;
    memcpy(path, folder, length);
    if (length > 0 && path[length - 1] != '/') path[length++] = '/';
    memcpy(path + length, name, more + 1);
    return path;
}

static bool is_kind(const char *path, mode_t kind) {
    struct stat info;
    return stat(path, &info) == 0 && (info.st_mode & S_IFMT) == kind;
}

bool bl_is_file(const char *path) {
    return is_kind(path, S_IFREG);
}

bool bl_is_folder(const char *path) {
    return is_kind(path, S_IFDIR);
}

bool bl_is_plain_name(const char *name) {
    if (!name || !name[0] || name[0] == '.') return false;
    for (; *name; name++)
        if (*name == '/' || *name == '\\' || (unsigned char) *name < 0x20 || *name == 0x7f) return false;
    return true;
}

static bl_status read_open(const char *path, int descriptor, size_t most, char **text, size_t *bytes) {
    struct stat info;
    if (fstat(descriptor, &info) != 0) return bl_fail(BL_ERROR_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode)) return bl_fail(BL_ERROR_FORMAT, "%s: not a plain file", path);
    if ((uint64_t) info.st_size > most)
        return bl_fail(BL_ERROR_FORMAT, "%s: has %.1f MiB, expected at most %zu", path,
                       (double) info.st_size / (1 << 20), most >> 20);
    size_t size = (size_t) info.st_size, used = 0;
    char *data = malloc(size + 1);
    if (!data) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory", path);
    while (used < size) {
        ssize_t got = read(descriptor, data + used, size - used);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            free(data);
            return bl_fail(BL_ERROR_IO, "%s: %s", path, strerror(errno));
        }
        if (got == 0) break;
        used += (size_t) got;
    }
    data[used] = '\0';
    *text = data;
    if (bytes) *bytes = used;
    return BL_OK;
}

bl_status bl_file_text(const char *path, size_t most, char **text, size_t *bytes) {
    *text = NULL;
    if (bytes) *bytes = 0;
    /* A pipe must not be waited for. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) {
        if (errno == ENOENT || errno == ENOTDIR) return BL_OK;
        return bl_fail(BL_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    bl_status status = read_open(path, descriptor, most, text, bytes);
    close(descriptor);
    return status;
}

/* Bound the memory before any of it is taken. */
static bl_status check_amount(const char *path, const char *text, size_t bytes) {
    int64_t containers = 0, values = 0;
    bool quoted = false;
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        if (quoted) {
            if (c == '\\') i++;
            if (c == '"') quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            containers++;
        } else if (c == ',') {
            values++;
        }
    }
    if (containers <= MOST_CONTAINERS && values <= MOST_VALUES) return BL_OK;
    return bl_fail(BL_ERROR_FORMAT, "%s: %lld lists and objects, %lld values: more than a BERT's files have", path,
                   (long long) containers, (long long) values);
}

bl_status bl_json_parse(const char *path, const char *text, size_t bytes, json_t **out) {
    *out = NULL;
    BL_TRY(check_amount(path, text, bytes));
    json_error_t problem;
    json_t *value = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &problem);
    if (!value) {
        if (json_error_code(&problem) == json_error_out_of_memory)
            return bl_fail(BL_ERROR_MEMORY, "%s: out of memory", path);
        return bl_fail(BL_ERROR_FORMAT, "%s:%d:%d: not valid JSON: %s", path, problem.line, problem.column,
                       problem.text);
    }
    *out = value;
    return BL_OK;
}

bl_status bl_json_read(const char *path, json_t **out) {
    *out = NULL;
    char *text;
    size_t bytes;
    BL_TRY(bl_file_text(path, BL_JSON_MOST, &text, &bytes));
    if (!text) return BL_OK;
    bl_status status = bl_json_parse(path, text, bytes, out);
    free(text);
    return status;
}

bl_status bl_json_beside(const char *folder, const char *name, json_t **out) {
    *out = NULL;
    char *path = bl_path_join(folder, name);
    if (!path) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory", folder);
    bl_status status = bl_json_read(path, out);
    if (status == BL_OK && *out && !json_is_object(*out)) {
        status = bl_fail(BL_ERROR_FORMAT, "%s: not a JSON object", path);
        json_decref(*out);
        *out = NULL;
    }
    free(path);
    return status;
}

const json_t *bl_json_get(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

const char *bl_json_text(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

bool bl_json_number(const json_t *object, const char *key, double *out) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) return false;
    *out = json_number_value(value);
    return true;
}

int bl_json_truth(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : -1;
}

const char *bl_json_shown(const json_t *value, char *buffer, size_t bytes) {
    switch (value ? (int) json_typeof(value) : -1) {
    case JSON_STRING:
        snprintf(buffer, bytes, "\"%s\"", json_string_value(value));
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        snprintf(buffer, bytes, "%.14g", json_number_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        snprintf(buffer, bytes, json_is_true(value) ? "true" : "false");
        break;
    case JSON_ARRAY:
        snprintf(buffer, bytes, "a list");
        break;
    case JSON_OBJECT:
        snprintf(buffer, bytes, "an object");
        break;
    case JSON_NULL:
        snprintf(buffer, bytes, "null");
        break;
    default:
        snprintf(buffer, bytes, "missing");
    }
    return buffer;
}

void bl_remark(bl_remarks *remarks, const char *separator, const char *format, ...) {
    size_t room = sizeof remarks->text - remarks->used;
    if (remarks->used > 0 && room > 1) {
        int wrote = snprintf(remarks->text + remarks->used, room, "%s", separator);
        size_t more = (size_t) wrote < room ? (size_t) wrote : room - 1;
        remarks->used += more;
        room -= more;
    }
    va_list args;
    va_start(args, format);
    int wrote = vsnprintf(remarks->text + remarks->used, room, format, args);
    va_end(args);
    if (wrote > 0) remarks->used += (size_t) wrote < room ? (size_t) wrote : room - 1;
}
