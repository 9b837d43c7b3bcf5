/*
 * vocab_trainer.c - learns a WordPiece vocabulary from word counts. A word
 * starts as its first character followed by "##" characters; every join makes
 * one symbol of two neighbours in all words that have them.
 */
#include <stdlib.h>
#include <string.h>

#include "text/pair_table.h"
#include "text/scanner.h"
#include "text/string_table.h"

enum { MAX_WORD_CHARACTERS = 200, MAX_WORD_BYTES = 4 * MAX_WORD_CHARACTERS };

static const char *const SPECIAL_TOKENS[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

/* The symbols of a word as they stand now. */
typedef struct symbol_run {
    int64_t begin; /* into symbols */
    int32_t length;
    int64_t count; /* of the word in the text */
} symbol_run;

struct bl_vocab_trainer {
    bl_unicode_table table;
    bl_scanner scanner;
    bl_string_table words;  /* value: count */
    bl_string_table tokens; /* number: id */
    bl_pair_table pairs;
    int32_t *symbols;
    symbol_run *runs;
    int32_t run_count;
    int32_t vocab_size;
    int64_t min_frequency;
    bool begun;
    bl_vocab_trainer_stats stats;
};

/* A character of the text, while the alphabet is chosen. */
typedef struct character {
    uint32_t code_point;
    int64_t count;
    bool inside; /* met after the first character of a word */
} character;

BL_API bl_status bl_vocab_trainer_create(bl_vocab_trainer **out, bool do_lower_case) {
    if (!out) return bl_fail(BL_ERROR_ARGUMENT, "vocab_trainer: out is NULL");
    bl_vocab_trainer *t = calloc(1, sizeof *t);
    if (!t) return bl_fail(BL_ERROR_MEMORY, "vocab_trainer: out of memory");
    bl_status status = bl_unicode_table_init(&t->table, do_lower_case);
    if (status != BL_OK) {
        free(t);
        return status;
    }
    *out = t;
    return BL_OK;
}

BL_API void bl_vocab_trainer_free(bl_vocab_trainer *t) {
    if (!t) return;
    bl_unicode_table_clear(&t->table);
    bl_scanner_clear(&t->scanner);
    bl_string_table_clear(&t->words);
    bl_string_table_clear(&t->tokens);
    bl_pair_table_clear(&t->pairs);
    free(t->symbols);
    free(t->runs);
    free(t);
}

BL_API bl_status bl_vocab_trainer_add(bl_vocab_trainer *t, const char *text, size_t bytes) {
    if (!t || (!text && bytes)) return bl_fail(BL_ERROR_ARGUMENT, "vocab_trainer: trainer or text is NULL");
    if (t->begun) return bl_fail(BL_ERROR_ARGUMENT, "vocab_trainer: text added after begin; add all text first");
    BL_TRY(bl_scanner_begin(&t->scanner, &t->table, text, bytes, MAX_WORD_CHARACTERS, false));
    for (;;) {
        bool found;
        BL_TRY(bl_scanner_next(&t->scanner, &found));
        if (!found) return BL_OK;
        if (t->scanner.characters > MAX_WORD_CHARACTERS) continue;
        int32_t index;
        BL_TRY(bl_string_table_intern(&t->words, (const char *) t->scanner.word, t->scanner.length, &index));
        t->words.entries[index].value++;
        t->stats.words++;
        t->stats.distinct_words = t->words.count;
    }
}

static bl_status no_memory(void) {
    return bl_fail(BL_ERROR_MEMORY, "vocab_trainer: out of memory; train on less text");
}

/* Most frequent first, then by code point. */
static int compare_frequency(const void *a, const void *b) {
    const character *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return (x->code_point > y->code_point) - (x->code_point < y->code_point);
}

static int compare_code_point(const void *a, const void *b) {
    uint32_t x = ((const character *) a)->code_point, y = ((const character *) b)->code_point;
    return (x > y) - (x < y);
}

/* Count characters over all words; `of` has room for every code point. */
static void count_characters(const bl_vocab_trainer *t, character *of) {
    for (int32_t w = 0; w < t->words.count; w++) {
        const bl_string_entry *e = &t->words.entries[w];
        const uint8_t *word = (const uint8_t *) bl_string_at(&t->words, w);
        for (int32_t at = 0, length; at < e->length; at += length) {
            character *c = &of[bl_utf8_decode(word, at, e->length, &length)];
            c->count += e->value;
            c->inside |= at > 0;
        }
    }
}

/* Move the characters that occur to the front, the most frequent first; returns their number. */
static int32_t rank_characters(character *all) {
    int32_t met = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (!all[c].count) continue;
        character one = all[c];
        one.code_point = c;
        all[met++] = one;
    }
    qsort(all, (size_t) met, sizeof *all, compare_frequency);
    return met;
}

static bl_status add_token(bl_vocab_trainer *t, const char *token, int32_t length, int32_t *id) {
    BL_TRY(bl_string_table_intern(&t->tokens, token, length, id));
    t->stats.tokens = t->tokens.count;
    return BL_OK;
}

/* Special tokens, then characters, then characters inside words, each by code point. */
static bl_status add_alphabet(bl_vocab_trainer *t, const character *alphabet, int32_t count) {
    int32_t special = (int32_t) (sizeof SPECIAL_TOKENS / sizeof *SPECIAL_TOKENS);
    int64_t need = (int64_t) special + count;
    for (int32_t i = 0; i < count; i++)
        need += alphabet[i].inside;
    if (need > t->vocab_size)
        return bl_fail(BL_ERROR_ARGUMENT,
                       "vocab_trainer: vocab_size is %d, expected at least %lld for special tokens and %d characters; "
                       "raise it or lower the alphabet limit",
                       t->vocab_size, (long long) need, count);
    int32_t id;
    for (int32_t i = 0; i < special; i++)
        BL_TRY(add_token(t, SPECIAL_TOKENS[i], (int32_t) strlen(SPECIAL_TOKENS[i]), &id));
    for (int32_t inside = 0; inside <= 1; inside++) {
        for (int32_t i = 0; i < count; i++) {
            if (inside && !alphabet[i].inside) continue;
            uint8_t token[8] = "##";
            int32_t from = inside ? 2 : 0;
            int32_t length = from + bl_utf8_encode(token + from, alphabet[i].code_point);
            BL_TRY(add_token(t, (const char *) token, length, &id));
        }
    }
    return BL_OK;
}

/* Append the symbols of one word at *used; a word with a character outside the alphabet is left out. */
static bl_status spell(bl_vocab_trainer *t, const character *alphabet, int32_t alphabet_count, int32_t word,
                       int64_t *used) {
    const bl_string_entry *e = &t->words.entries[word];
    const uint8_t *bytes = (const uint8_t *) bl_string_at(&t->words, word);
    int32_t *symbols = t->symbols + *used, count = 0;
    for (int32_t at = 0, length; at < e->length; at += length) {
        character key = {bl_utf8_decode(bytes, at, e->length, &length), 0, false};
        if (!bsearch(&key, alphabet, (size_t) alphabet_count, sizeof *alphabet, compare_code_point)) {
            /* WordPiece gives [UNK] for such a word as a whole, so none of it is worth learning. */
            t->stats.uncovered_words += e->value;
            return BL_OK;
        }
        char token[8] = "##";
        int32_t from = at ? 2 : 0, id;
        memcpy(token + from, bytes + at, (size_t) length);
        BL_TRY(bl_string_table_intern(&t->tokens, token, from + length, &id));
        symbols[count++] = id;
    }
    t->runs[t->run_count++] = (symbol_run){*used, count, e->value};
    *used += count;
    return BL_OK;
}

/* Words become runs of symbols, and their pairs are counted. */
static bl_status spell_words(bl_vocab_trainer *t, const character *alphabet, int32_t count) {
    int64_t bytes = 0, used = 0;
    for (int32_t w = 0; w < t->words.count; w++)
        bytes += t->words.entries[w].length;
    t->symbols = malloc((size_t) (bytes + 1) * sizeof *t->symbols);
    t->runs = malloc((size_t) t->words.count * sizeof *t->runs);
    if (!t->symbols || !t->runs) return no_memory();
    for (int32_t w = 0; w < t->words.count; w++)
        BL_TRY(spell(t, alphabet, count, w, &used));
    for (int32_t r = 0; r < t->run_count; r++) {
        const int32_t *s = t->symbols + t->runs[r].begin;
        for (int32_t i = 0; i + 1 < t->runs[r].length; i++)
            BL_TRY(bl_pair_table_increase(&t->pairs, s[i], s[i + 1], r, t->runs[r].count));
    }
    return bl_pair_table_settle(&t->pairs);
}

BL_API bl_status bl_vocab_trainer_begin(bl_vocab_trainer *t, int32_t vocab_size, int64_t min_frequency,
                                        int32_t alphabet_limit) {
    if (!t) return bl_fail(BL_ERROR_ARGUMENT, "vocab_trainer: trainer is NULL");
    if (t->begun) return bl_fail(BL_ERROR_ARGUMENT, "vocab_trainer: begin was called before");
    if (!t->words.count) return bl_fail(BL_ERROR_ARGUMENT, "vocab_trainer: the text has no words");
    if (min_frequency < 1 || alphabet_limit < 1)
        return bl_fail(BL_ERROR_ARGUMENT, "vocab_trainer: min_frequency is %lld, alphabet limit %d, expected 1 or more",
                       (long long) min_frequency, alphabet_limit);
    character *characters = calloc(0x110000, sizeof *characters);
    if (!characters) return no_memory();
    t->vocab_size = vocab_size;
    t->min_frequency = min_frequency;
    count_characters(t, characters);
    int32_t met = rank_characters(characters);
    int32_t kept = met < alphabet_limit ? met : alphabet_limit;
    t->stats.characters = met;
    t->stats.alphabet = kept;
    qsort(characters, (size_t) kept, sizeof *characters, compare_code_point);
    bl_status status = add_alphabet(t, characters, kept);
    if (status == BL_OK) {
        t->begun = true;
        status = spell_words(t, characters, kept);
    }
    free(characters);
    return status;
}

/* Make one symbol of every `left right` in a word. */
static bl_status join_in_word(bl_vocab_trainer *t, int32_t word, int32_t left, int32_t right, int32_t joined) {
    symbol_run *run = &t->runs[word];
    int32_t *s = t->symbols + run->begin, length = 0;
    for (int32_t i = 0; i < run->length; i++) {
        if (s[i] != left || i + 1 == run->length || s[i + 1] != right) {
            s[length++] = s[i];
            continue;
        }
        if (length) {
            bl_pair_table_decrease(&t->pairs, s[length - 1], left, run->count);
            BL_TRY(bl_pair_table_increase(&t->pairs, s[length - 1], joined, word, run->count));
        }
        if (i + 2 < run->length) {
            bl_pair_table_decrease(&t->pairs, right, s[i + 2], run->count);
            BL_TRY(bl_pair_table_increase(&t->pairs, joined, s[i + 2], word, run->count));
        }
        s[length++] = joined;
        i++;
    }
    run->length = length;
    return BL_OK;
}

static bl_status join(bl_vocab_trainer *t, int32_t index) {
    int32_t left = t->pairs.pairs[index].left, right = t->pairs.pairs[index].right, joined;
    char token[MAX_WORD_BYTES + 8];
    int32_t left_length = t->tokens.entries[left].length, right_length = t->tokens.entries[right].length - 2;
    memcpy(token, bl_string_at(&t->tokens, left), (size_t) left_length);
    memcpy(token + left_length, bl_string_at(&t->tokens, right) + 2, (size_t) right_length);
    BL_TRY(add_token(t, token, left_length + right_length, &joined));
    /* The list is taken over: pairs move in memory when new ones come, and this one will not be needed again. */
    int32_t *words = t->pairs.pairs[index].words, count = t->pairs.pairs[index].word_count;
    t->pairs.pairs[index].words = NULL;
    t->pairs.pairs[index].word_count = 0;
    t->pairs.pairs[index].word_capacity = 0;
    bl_status status = BL_OK;
    for (int32_t i = 0; i < count && status == BL_OK; i++)
        status = join_in_word(t, words[i], left, right, joined);
    free(words);
    BL_TRY(status);
    t->pairs.pairs[index].count = 0; /* every occurrence is gone */
    return bl_pair_table_settle(&t->pairs);
}

BL_API bl_status bl_vocab_trainer_step(bl_vocab_trainer *t, int32_t joins, bool *done) {
    if (!t || !done) return bl_fail(BL_ERROR_ARGUMENT, "vocab_trainer: trainer or done is NULL");
    if (!t->begun) return bl_fail(BL_ERROR_ARGUMENT, "vocab_trainer: step before begin");
    *done = false;
    for (int32_t i = 0; i < joins; i++) {
        int32_t index = t->tokens.count < t->vocab_size ? bl_pair_table_pop(&t->pairs) : -1;
        if (index < 0 || t->pairs.pairs[index].count < t->min_frequency) {
            *done = true;
            return BL_OK;
        }
        t->stats.last_pair_count = t->pairs.pairs[index].count;
        BL_TRY(join(t, index));
    }
    return BL_OK;
}

BL_API void bl_vocab_trainer_describe(const bl_vocab_trainer *t, bl_vocab_trainer_stats *out) {
    *out = t->stats;
}

BL_API const char *bl_vocab_trainer_token(const bl_vocab_trainer *t, int32_t id) {
    if (id < 0 || id >= t->tokens.count) return NULL;
    return bl_string_at(&t->tokens, id);
}
