/*
 * documents.c - borders of documents in text files (one sentence per line, a
 * blank line between documents), and the growing array their tokens go into.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/file.h"

/* Room for one more document; the list doubles. */
static bl_status documents_reserve(bl_documents *documents, const char *path) {
    if (documents->count < documents->capacity) return BL_OK;
    int64_t capacity = documents->capacity > 0 ? documents->capacity * 2 : 256;
    bl_document *list = realloc(documents->list, (size_t) capacity * sizeof *list);
    if (!list) {
        return bl_fail(BL_ERROR_MEMORY, "%s: no memory for the borders of %lld documents", path, (long long) capacity);
    }
    documents->list = list;
    documents->capacity = capacity;
    return BL_OK;
}

static bool is_blank(const char *line, ssize_t length) {
    for (ssize_t i = 0; i < length; i++) {
        if (!isspace((unsigned char) line[i])) return false;
    }
    return true;
}

/* FNV-1a over one more line. */
static uint64_t hash_line(uint64_t hash, const char *line, ssize_t length) {
    for (ssize_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char) line[i]) * 0x100000001b3ull;
    return hash;
}

static bl_status add_document(bl_documents *documents, const char *path, bl_document document) {
    BL_TRY(documents_reserve(documents, path));
    documents->list[documents->count++] = document;
    return BL_OK;
}

static bl_status scan_lines(bl_documents *documents, FILE *file, const char *path, int32_t number) {
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    int64_t offset = 0, begin = -1;
    uint64_t hash = 0;
    bl_status status = BL_OK;
    while (status == BL_OK && (length = getline(&line, &room, file)) > 0) {
        bool blank = is_blank(line, length);
        if (blank && begin >= 0) {
            status = add_document(documents, path,
                                  (bl_document){.begin = begin, .bytes = offset - begin, .hash = hash, .file = number});
            begin = -1;
        } else if (!blank && begin < 0) {
            begin = offset;
            hash = 0xcbf29ce484222325ull;
        }
        if (!blank) hash = hash_line(hash, line, length);
        offset += length;
    }
    if (status == BL_OK && ferror(file)) status = bl_file_fail(path, "read", errno);
    if (status == BL_OK && begin >= 0) {
        status = add_document(documents, path,
                              (bl_document){.begin = begin, .bytes = offset - begin, .hash = hash, .file = number});
    }
    free(line);
    return status;
}

BL_API bl_status bl_documents_scan(bl_documents *documents, const char *path, int32_t file) {
    if (!documents || !path) return bl_fail(BL_ERROR_ARGUMENT, "documents_scan: an argument is NULL");
    FILE *stream = fopen(path, "rb");
    if (!stream) return bl_file_fail(path, "open", errno);
    bl_status status = scan_lines(documents, stream, path, file);
    fclose(stream);
    return status;
}

static int compare_numbers(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
    return (x > y) - (x < y);
}

BL_API bl_status bl_documents_repeated(const bl_documents *documents, int64_t *out) {
    if (!documents || !out) return bl_fail(BL_ERROR_ARGUMENT, "documents_repeated: an argument is NULL");
    size_t count = (size_t) documents->count;
    uint64_t *hashes = malloc((count > 0 ? count : 1) * sizeof *hashes);
    if (!hashes) return bl_fail(BL_ERROR_MEMORY, "documents_repeated: no memory for %zu documents", count);
    for (size_t i = 0; i < count; i++)
        hashes[i] = documents->list[i].hash ^ (uint64_t) documents->list[i].bytes;
    qsort(hashes, count, sizeof *hashes, compare_numbers);
    *out = 0;
    for (size_t i = 1; i < count; i++)
        *out += hashes[i] == hashes[i - 1];
    free(hashes);
    return BL_OK;
}

BL_API void bl_documents_free(bl_documents *documents) {
    if (!documents) return;
    free(documents->list);
    *documents = (bl_documents){0};
}

BL_API bl_status bl_int32_list_append(bl_int32_list *list, const int32_t *values, int64_t count) {
    if (!list || count < 0 || (count > 0 && !values)) {
        return bl_fail(BL_ERROR_ARGUMENT, "int32_list_append: an argument is NULL or count is negative");
    }
    if (count > INT32_MAX - list->count) {
        return bl_fail(BL_ERROR_ARGUMENT, "int32_list_append: more than %d values; use more shards", INT32_MAX);
    }
    if (list->count + count > list->capacity) {
        int64_t capacity = list->capacity > 0 ? list->capacity : 1024;
        while (capacity < list->count + count)
            capacity *= 2;
        int32_t *grown = realloc(list->values, (size_t) capacity * sizeof *grown);
        if (!grown)
            return bl_fail(BL_ERROR_MEMORY, "int32_list_append: no memory for %lld values", (long long) capacity);
        list->values = grown;
        list->capacity = capacity;
    }
    if (count > 0) memcpy(list->values + list->count, values, (size_t) count * sizeof *values);
    list->count += count;
    return BL_OK;
}

BL_API void bl_int32_list_free(bl_int32_list *list) {
    if (!list) return;
    free(list->values);
    *list = (bl_int32_list){0};
}
