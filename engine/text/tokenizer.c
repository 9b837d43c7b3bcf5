/*
 * tokenizer.c - the public tokenizer: the scanner's words, each cut into the
 * longest pieces of the vocabulary, front to back.
 */
#include <stdlib.h>
#include <string.h>

#include "text/scanner.h"
#include "text/vocabulary.h"

enum { MAX_WORD_CHARACTERS = 200 };

struct bl_tokenizer {
    bl_vocabulary vocabulary;
    bl_unicode_table table;
    int32_t max_word_characters;
};

BL_API bl_status bl_tokenizer_create(bl_tokenizer **out, const char *vocab_path, bool do_lower_case) {
    bl_tokenizer_options options = {.lower_case = do_lower_case,
                                    .strip_accents = do_lower_case,
                                    .split_ideographs = true,
                                    .clean = true,
                                    .max_word_characters = MAX_WORD_CHARACTERS};
    return bl_tokenizer_create_with(out, vocab_path, &options);
}

BL_API bl_status bl_tokenizer_create_with(bl_tokenizer **out, const char *vocab_path,
                                          const bl_tokenizer_options *options) {
    if (!out || !vocab_path || !options)
        return bl_fail(BL_ERROR_ARGUMENT, "tokenizer: out, vocab_path or options is NULL");
    if (options->max_word_characters < 1 || options->max_word_characters > MAX_WORD_CHARACTERS)
        return bl_fail(BL_ERROR_ARGUMENT, "tokenizer: max_word_characters is %d, expected 1 to %d",
                       (int) options->max_word_characters, (int) MAX_WORD_CHARACTERS);
    bl_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return bl_fail(BL_ERROR_MEMORY, "tokenizer: out of memory");
    t->max_word_characters = options->max_word_characters;
    bl_text_rules rules = {options->lower_case, options->strip_accents, options->split_ideographs, options->clean};
    bl_status status = options->text ? bl_vocabulary_parse(&t->vocabulary, vocab_path, options->text, options->bytes)
                                     : bl_vocabulary_load(&t->vocabulary, vocab_path);
    if (status == BL_OK) status = bl_unicode_table_init(&t->table, rules);
    if (status != BL_OK) {
        bl_vocabulary_clear(&t->vocabulary);
        free(t);
        return status;
    }
    *out = t;
    return BL_OK;
}

BL_API void bl_tokenizer_free(bl_tokenizer *tokenizer) {
    if (!tokenizer) return;
    bl_vocabulary_clear(&tokenizer->vocabulary);
    bl_unicode_table_clear(&tokenizer->table);
    free(tokenizer);
}

BL_API int32_t bl_tokenizer_size(const bl_tokenizer *tokenizer) {
    return tokenizer->vocabulary.size;
}

BL_API bl_special_ids bl_tokenizer_special(const bl_tokenizer *tokenizer) {
    return tokenizer->vocabulary.special;
}

BL_API bl_vocabulary_report bl_tokenizer_report(const bl_tokenizer *tokenizer) {
    return tokenizer->vocabulary.report;
}

BL_API int32_t bl_tokenizer_upper_case_pieces(const bl_tokenizer *tokenizer) {
    return tokenizer->vocabulary.upper_case_pieces;
}

BL_API const char *bl_tokenizer_token(const bl_tokenizer *tokenizer, int32_t id) {
    if (id < 0 || id >= tokenizer->vocabulary.size) return NULL;
    return tokenizer->vocabulary.token[id];
}

BL_API int32_t bl_tokenizer_id(const bl_tokenizer *tokenizer, const char *token, size_t bytes) {
    return bl_trie_find(&tokenizer->vocabulary.trie, token, bytes);
}

BL_API bl_status bl_encoding_create(bl_encoding **out) {
    if (!out) return bl_fail(BL_ERROR_ARGUMENT, "tokenizer: out is NULL");
    bl_encoding *e = calloc(1, sizeof *e);
    bl_scanner *scanner = calloc(1, sizeof *scanner);
    if (!e || !scanner) {
        free(e);
        free(scanner);
        return bl_fail(BL_ERROR_MEMORY, "tokenizer: out of memory for an encoding");
    }
    e->scanner = scanner;
    *out = e;
    return BL_OK;
}

BL_API void bl_encoding_free(bl_encoding *encoding) {
    if (!encoding) return;
    bl_scanner_clear(encoding->scanner);
    free(encoding->scanner);
    free(encoding->ids);
    free(encoding->starts);
    free(encoding->ends);
    free(encoding);
}

static bl_status grow_array(int32_t **array, int64_t capacity) {
    int32_t *grown = realloc(*array, (size_t) capacity * sizeof *grown);
    if (!grown) return bl_fail(BL_ERROR_MEMORY, "tokenizer: out of memory for %lld tokens", (long long) capacity);
    *array = grown;
    return BL_OK;
}

/* Room for `more` tokens. */
static bl_status reserve(bl_encoding *e, int64_t more, bool offsets) {
    int64_t need = e->count + more;
    if (need > e->capacity) {
        int64_t capacity = need + need / 2 + 256;
        BL_TRY(grow_array(&e->ids, capacity));
        e->capacity = capacity;
    }
    if (offsets && need > e->offset_capacity) {
        BL_TRY(grow_array(&e->starts, e->capacity));
        BL_TRY(grow_array(&e->ends, e->capacity));
        e->offset_capacity = e->capacity;
    }
    return BL_OK;
}

/*
 * Longest-match-first pieces of a word. Writes ids, and to piece_ends the
 * offset in the word at which each ends (NULL to leave out); returns their
 * number, 0 if some part of the word is in no piece.
 */
static int32_t match_pieces(const bl_vocabulary *v, const uint8_t *word, int32_t length, int32_t *ids,
                            int32_t *piece_ends) {
    const bl_trie_unit *units = v->trie.units;
    int32_t count = 0, state = 0;
    for (int32_t at = 0; at < length;) {
        int32_t id = -1, stop = at;
        if (state < 0) return 0;
        for (int32_t i = at; i < length; i++) {
            int32_t next = units[state].base ^ word[i];
            if (units[next].parent != state) break;
            state = next;
            if (units[state].id >= 0) {
                id = units[state].id;
                stop = i + 1;
            }
        }
        if (id < 0) return 0;
        if (piece_ends) piece_ends[count] = stop;
        ids[count++] = id;
        at = stop;
        state = v->continuation;
    }
    return count;
}

/* Append the pieces of the scanner's word. */
static bl_status append_word(const bl_tokenizer *t, bl_encoding *e, const bl_scanner *s, bool offsets) {
    const bl_vocabulary *v = &t->vocabulary;
    BL_TRY(reserve(e, s->length + 1, offsets));
    int32_t *ids = e->ids + e->count;
    int32_t *ends = offsets ? e->ends + e->count : NULL;
    int32_t count = s->characters > t->max_word_characters ? 0 : match_pieces(v, s->word, s->length, ids, ends);
    if (count == 0) {
        ids[0] = v->special.unk;
        if (offsets) {
            e->starts[e->count] = s->begin;
            ends[0] = s->end;
        }
        e->count++;
        return BL_OK;
    }
    if (offsets) {
        int32_t from = 0;
        for (int32_t i = 0; i < count; i++) {
            int32_t to = ends[i];
            e->starts[e->count + i] = s->byte_begin[from];
            ends[i] = s->byte_end[to - 1];
            from = to;
        }
    }
    e->count += count;
    return BL_OK;
}

static bl_status check_arguments(const bl_tokenizer *tokenizer, const void *out, const char *text, size_t bytes) {
    if (!tokenizer) return bl_fail(BL_ERROR_ARGUMENT, "tokenizer: tokenizer is NULL");
    if (!out) return bl_fail(BL_ERROR_ARGUMENT, "tokenizer: the result is NULL");
    if (!text && bytes) return bl_fail(BL_ERROR_ARGUMENT, "tokenizer: text is NULL, %zu bytes announced", bytes);
    return BL_OK;
}

BL_API bl_status bl_tokenizer_encode(const bl_tokenizer *tokenizer, bl_encoding *encoding, const char *text,
                                     size_t bytes, bool with_offsets) {
    BL_TRY(check_arguments(tokenizer, encoding, text, bytes));
    bl_scanner *s = encoding->scanner;
    encoding->count = 0;
    BL_TRY(bl_scanner_begin(s, &tokenizer->table, text, bytes, MAX_WORD_CHARACTERS, with_offsets));
    for (;;) {
        bool found;
        BL_TRY(bl_scanner_next(s, &found));
        if (!found) return BL_OK;
        BL_TRY(append_word(tokenizer, encoding, s, with_offsets));
    }
}

BL_API bl_status bl_tokenizer_pieces(const bl_tokenizer *tokenizer, bl_encoding *encoding, const char *word,
                                     size_t bytes, bool with_offsets) {
    BL_TRY(check_arguments(tokenizer, encoding, word, bytes));
    encoding->count = 0;
    if (bytes == 0) return BL_OK;
    const bl_vocabulary *v = &tokenizer->vocabulary;
    int32_t characters = 0, count = 0, most = tokenizer->max_word_characters;
    for (size_t i = 0; i < bytes && characters <= most; i++)
        characters += ((uint8_t) word[i] & 0xc0) != 0x80;
    bool matchable = characters <= most && bytes <= 4 * MAX_WORD_CHARACTERS;
    BL_TRY(reserve(encoding, matchable ? (int64_t) bytes : 1, with_offsets));
    if (matchable)
        count = match_pieces(v, (const uint8_t *) word, (int32_t) bytes, encoding->ids,
                             with_offsets ? encoding->ends : NULL);
    encoding->count = count ? count : 1;
    if (!count) encoding->ids[0] = v->special.unk;
    if (with_offsets) {
        if (!count) encoding->ends[0] = bytes < INT32_MAX ? (int32_t) bytes : INT32_MAX;
        encoding->starts[0] = 0;
        for (int32_t i = 1; i < count; i++)
            encoding->starts[i] = encoding->ends[i - 1];
    }
    return BL_OK;
}

BL_API bl_status bl_words_create(bl_words **out) {
    if (!out) return bl_fail(BL_ERROR_ARGUMENT, "tokenizer: out is NULL");
    bl_words *w = calloc(1, sizeof *w);
    bl_scanner *scanner = calloc(1, sizeof *scanner);
    if (!w || !scanner) {
        free(w);
        free(scanner);
        return bl_fail(BL_ERROR_MEMORY, "tokenizer: out of memory for words");
    }
    w->scanner = scanner;
    *out = w;
    return BL_OK;
}

BL_API void bl_words_free(bl_words *words) {
    if (!words) return;
    bl_scanner_clear(words->scanner);
    free(words->scanner);
    free(words->text);
    free(words->text_offsets);
    free(words->starts);
    free(words->ends);
    free(words);
}

static bl_status append_basic(bl_words *w, const bl_scanner *s, int64_t text_bytes) {
    if (text_bytes + s->length > INT32_MAX)
        return bl_fail(BL_ERROR_UNSUPPORTED, "tokenizer: the words take more than 2 GiB; split the text");
    if (w->count + 2 > w->capacity) {
        int64_t capacity = w->capacity ? w->capacity * 2 : 256;
        BL_TRY(grow_array(&w->text_offsets, capacity));
        BL_TRY(grow_array(&w->starts, capacity));
        BL_TRY(grow_array(&w->ends, capacity));
        w->capacity = capacity;
    }
    if (text_bytes + s->length > w->text_capacity) {
        int64_t capacity = (text_bytes + s->length) * 2;
        char *grown = realloc(w->text, (size_t) capacity);
        if (!grown) return bl_fail(BL_ERROR_MEMORY, "tokenizer: out of memory for words");
        w->text = grown;
        w->text_capacity = capacity;
    }
    memcpy(w->text + text_bytes, s->word, (size_t) s->length);
    w->text_offsets[w->count] = (int32_t) text_bytes;
    w->text_offsets[w->count + 1] = (int32_t) text_bytes + s->length;
    w->starts[w->count] = s->begin;
    w->ends[w->count] = s->end;
    w->count++;
    return BL_OK;
}

BL_API bl_status bl_tokenizer_words(const bl_tokenizer *tokenizer, bl_words *words, const char *text, size_t bytes) {
    BL_TRY(check_arguments(tokenizer, words, text, bytes));
    bl_scanner *s = words->scanner;
    words->count = 0;
    BL_TRY(bl_scanner_begin(s, &tokenizer->table, text, bytes, INT32_MAX, false));
    for (int64_t text_bytes = 0;; text_bytes += s->length) {
        bool found;
        BL_TRY(bl_scanner_next(s, &found));
        if (!found) return BL_OK;
        BL_TRY(append_basic(words, s, text_bytes));
    }
}
