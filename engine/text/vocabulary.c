/*
 * vocabulary.c - reads and checks a vocab.txt: one token per line, distinct,
 * valid UTF-8, the special tokens among them.
 */
#include "text/vocabulary.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Cut the file into lines and check each. */
static bl_status split_lines(bl_vocabulary *v, const char *path, int64_t size, bl_trie_key **keys) {
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
    for (int32_t id = 0; id < lines; id++) {
        char *stop = memchr(line, '\n', (size_t) (end - line));
        if (!stop) stop = end;
        char *next = stop + 1;
        if (stop > line && stop[-1] == '\r') stop--;
        *stop = '\0';
        int32_t length = (int32_t) (stop - line);
        if (length == 0)
            return bl_fail(BL_ERROR_FORMAT, "vocabulary %s: line %d is empty, expected one token per line", path,
                           id + 1);
        if (strlen(line) != (size_t) length || !is_utf8(line, length))
            return bl_fail(BL_ERROR_FORMAT, "vocabulary %s: line %d is not UTF-8 text", path, id + 1);
        v->token[id] = line;
        (*keys)[id] = (bl_trie_key){line, length, id};
        v->upper_case_pieces += has_upper_case(line);
        line = next;
    }
    v->size = (int32_t) lines;
    return BL_OK;
}

/* Keys are sorted by now, so equal ones are neighbours. */
static bl_status check_distinct(const bl_vocabulary *v, const char *path, const bl_trie_key *keys) {
    for (int32_t i = 1; i < v->size; i++) {
        if (bl_trie_compare_keys(&keys[i - 1], &keys[i]) != 0) continue;
        int32_t a = keys[i - 1].id, b = keys[i].id;
        return bl_fail(BL_ERROR_FORMAT, "vocabulary %s: line %d repeats \"%s\" of line %d; remove one", path,
                       (a > b ? a : b) + 1, keys[i].bytes, (a > b ? b : a) + 1);
    }
    return BL_OK;
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

bl_status bl_vocabulary_load(bl_vocabulary *v, const char *path) {
    memset(v, 0, sizeof *v);
    bl_trie_key *keys = NULL;
    int64_t size = 0;
    bl_status status = read_file(path, &v->bytes, &size);
    if (status == BL_OK) status = split_lines(v, path, size, &keys);
    if (status == BL_OK) {
        qsort(keys, (size_t) v->size, sizeof *keys, bl_trie_compare_keys);
        status = check_distinct(v, path, keys);
    }
    if (status == BL_OK) status = bl_trie_init(&v->trie, keys, v->size);
    free(keys);
    if (status == BL_OK) status = find_special(v, path);
    if (status != BL_OK) {
        bl_vocabulary_clear(v);
        return status;
    }
    v->continuation = bl_trie_descend(&v->trie, "##", 2);
    return BL_OK;
}

void bl_vocabulary_clear(bl_vocabulary *v) {
    bl_trie_clear(&v->trie);
    free(v->token);
    free(v->bytes);
    v->token = NULL;
    v->bytes = NULL;
    v->size = 0;
}
