/*
 * vocabulary.c - reads and checks a vocab.txt: one token per line, valid UTF-8,
 * the special tokens among them. What published files have and other programs
 * read is read here too, with the same ids: a byte order mark, white space at
 * the end of a line, lines without a token, and lines that repeat one, of which
 * the last gives its id.
 */
#include "text/vocabulary.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/uchar.h>

#include "text/unicode_table.h"

static const int64_t MAX_FILE = (int64_t) 1 << 30;

static bl_status read_file(const char *path, char **bytes, int64_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file)
        return bl_fail(BL_ERROR_IO, "vocabulary %s: %s; give the path of a vocab.txt (vocab/ has BERT's)", path,
                       strerror(errno));
    char *data = NULL;
    int64_t used = 0, capacity = 0;
    bl_status status = BL_OK;
    while (status == BL_OK) {
        if (used + 1 >= capacity) {
            capacity = capacity ? capacity * 2 : 1 << 20;
            char *grown = capacity <= MAX_FILE ? realloc(data, (size_t) capacity) : NULL;
            if (!grown) {
                status = capacity <= MAX_FILE
                             ? bl_fail(BL_ERROR_MEMORY, "vocabulary %s: out of memory", path)
                             : bl_fail(BL_ERROR_FORMAT, "vocabulary %s: larger than 512 MiB, not a vocab.txt", path);
                break;
            }
            data = grown;
        }
        size_t got = fread(data + used, 1, (size_t) (capacity - used - 1), file);
        used += (int64_t) got;
        if (got == 0) break;
    }
    if (status == BL_OK && ferror(file)) status = bl_fail(BL_ERROR_IO, "vocabulary %s: %s", path, strerror(errno));
    fclose(file);
    if (status != BL_OK) {
        free(data);
        return status;
    }
    data[used] = '\0';
    *bytes = data;
    *size = used;
    return BL_OK;
}

static bool is_utf8(const char *bytes, int32_t size) {
    for (int32_t at = 0, length; at < size; at += length) {
        uint32_t c = bl_utf8_decode((const uint8_t *) bytes, at, size, &length);
        if (c == 0xfffd && length == 1) return false;
    }
    return true;
}

static bool has_upper_case(const char *token) {
    if (token[0] == '[' && token[strlen(token) - 1] == ']') return false;
    for (; *token; token++)
        if (*token >= 'A' && *token <= 'Z') return true;
    return false;
}

/* Bytes of a line without the white space at its end: no word of a text has any. */
static int32_t trimmed_length(const char *line, int32_t length) {
    while (length > 0) {
        int32_t at = length - 1, width;
        while (at > 0 && length - at < 4 && ((uint8_t) line[at] & 0xc0) == 0x80)
            at--;
        uint32_t c = bl_utf8_decode((const uint8_t *) line, at, length, &width);
        if (at + width != length || !u_isUWhiteSpace((UChar32) c)) break;
        length = at;
    }
    return length;
}

/* Cut the file into lines and check each. */
static bl_status split_lines(bl_vocabulary *v, const char *path, int64_t size, bl_trie_key **keys, int32_t *count) {
    int64_t lines = 0;
    while (size > 0 && (v->bytes[size - 1] == '\n' || v->bytes[size - 1] == '\r'))
        size--;
    if (size == 0) return bl_fail(BL_ERROR_FORMAT, "vocabulary %s: empty, expected one token per line", path);
    v->bytes[size] = '\0';
    for (int64_t i = 0; i < size; i++)
        lines += v->bytes[i] == '\n';
    lines++;
    if (lines > 1 << 24)
        return bl_fail(BL_ERROR_FORMAT, "vocabulary %s: %lld lines, expected at most 2^24", path, (long long) lines);
    v->token = malloc((size_t) lines * sizeof *v->token);
    *keys = malloc((size_t) lines * sizeof **keys);
    if (!v->token || !*keys) return bl_fail(BL_ERROR_MEMORY, "vocabulary %s: out of memory", path);
    char *line = v->bytes, *end = v->bytes + size;
    if (size >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) line += 3;
    *count = 0;
    for (int32_t id = 0; id < lines; id++) {
        char *stop = memchr(line, '\n', (size_t) (end - line));
        if (!stop) stop = end;
        char *next = stop + 1;
        int32_t length = trimmed_length(line, (int32_t) (stop - line));
        line[length] = '\0';
        if (strlen(line) != (size_t) length || !is_utf8(line, length))
            return bl_fail(BL_ERROR_FORMAT, "vocabulary %s: line %d is not UTF-8 text", path, id + 1);
        v->token[id] = line;
        if (length > 0) {
            (*keys)[(*count)++] = (bl_trie_key){line, length, id};
            v->upper_case_pieces += has_upper_case(line);
        } else if (v->report.blank++ == 0) {
            v->report.blank_line = id + 1;
        }
        line = next;
    }
    v->size = (int32_t) lines;
    return BL_OK;
}

/* Of equal keys, which are neighbours by now, the last line's stays. Returns how many are left. */
static int32_t keep_last(bl_vocabulary *v, bl_trie_key *keys, int32_t count) {
    int32_t kept = 0;
    for (int32_t i = 0; i < count; i++) {
        if (kept == 0 || bl_trie_compare_keys(&keys[kept - 1], &keys[i]) != 0) {
            keys[kept++] = keys[i];
            continue;
        }
        int32_t a = keys[kept - 1].id, b = keys[i].id;
        int32_t earlier = a < b ? a : b, later = a < b ? b : a;
        keys[kept - 1].id = later;
        if (v->report.repeated++ == 0 || earlier + 1 < v->report.repeated_line) v->report.repeated_line = earlier + 1;
    }
    return kept;
}

static bl_status find_special(bl_vocabulary *v, const char *path) {
    const char *names[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    int32_t *ids[] = {&v->special.pad, &v->special.unk, &v->special.cls, &v->special.sep, &v->special.mask};
    char missing[64] = "";
    for (int i = 0; i < 5; i++) {
        *ids[i] = bl_trie_find(&v->trie, names[i], strlen(names[i]));
        if (*ids[i] >= 0) continue;
        if (missing[0]) strcat(missing, ", ");
        strcat(missing, names[i]);
    }
    if (missing[0])
        return bl_fail(BL_ERROR_FORMAT,
                       "vocabulary %s: %s missing; BERT needs [PAD] [UNK] [CLS] [SEP] [MASK], one per line", path,
                       missing);
    return BL_OK;
}

/* v->bytes holds size bytes and room for a NUL. */
static bl_status index_lines(bl_vocabulary *v, const char *path, int64_t size) {
    bl_trie_key *keys = NULL;
    int32_t count = 0;
    bl_status status = split_lines(v, path, size, &keys, &count);
    if (status == BL_OK && count == 0)
        status = bl_fail(BL_ERROR_FORMAT, "vocabulary %s: empty, expected one token per line", path);
    if (status == BL_OK) {
        qsort(keys, (size_t) count, sizeof *keys, bl_trie_compare_keys);
        count = keep_last(v, keys, count);
        status = bl_trie_init(&v->trie, keys, count);
    }
    free(keys);
    if (status == BL_OK && v->report.repeated) {
        const char *token = v->token[v->report.repeated_line - 1];
        v->report.repeating_line = bl_trie_find(&v->trie, token, strlen(token)) + 1;
    }
    if (status == BL_OK) status = find_special(v, path);
    if (status != BL_OK) {
        bl_vocabulary_clear(v);
        return status;
    }
    v->continuation = bl_trie_descend(&v->trie, "##", 2);
    return BL_OK;
}

bl_status bl_vocabulary_load(bl_vocabulary *v, const char *path) {
    memset(v, 0, sizeof *v);
    int64_t size = 0;
    BL_TRY(read_file(path, &v->bytes, &size));
    return index_lines(v, path, size);
}

bl_status bl_vocabulary_parse(bl_vocabulary *v, const char *path, const char *text, size_t bytes) {
    memset(v, 0, sizeof *v);
    if (bytes > (size_t) MAX_FILE) return bl_fail(BL_ERROR_FORMAT, "vocabulary %s: larger than 512 MiB", path);
    v->bytes = malloc(bytes + 1);
    if (!v->bytes) return bl_fail(BL_ERROR_MEMORY, "vocabulary %s: out of memory", path);
    memcpy(v->bytes, text, bytes);
    v->bytes[bytes] = '\0';
    return index_lines(v, path, (int64_t) bytes);
}

void bl_vocabulary_clear(bl_vocabulary *v) {
    bl_trie_clear(&v->trie);
    free(v->token);
    free(v->bytes);
    v->token = NULL;
    v->bytes = NULL;
    v->size = 0;
}
