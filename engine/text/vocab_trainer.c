/*
 * vocab_trainer.c - learns a WordPiece vocabulary from word counts. A word
 * starts as its first character followed by "##" characters; every join makes
 * one symbol of two neighbours in all words that have them. Under a memory
 * limit the counts are still exact (word_counts.h); only as many of the rarest
 * words are left out as it takes for the others to fit.
 */
#include <stdlib.h>
#include <string.h>

#include "text/pair_table.h"
#include "text/scanner.h"
#include "text/word_counts.h"

enum {
    MAX_WORD_CHARACTERS = 200,
    MAX_WORD_BYTES = 4 * MAX_WORD_CHARACTERS,
    CODE_POINTS = 0x110000,
    /* Words that occur this often are never left out. */
    COUNT_CLASSES = 1 << 16,
    /*
     * What two neighbouring symbols of a word take while it is learned from, and a pair more than its neighbours:
     * from measurements with random words, which took 2 to 40 % less.
     */
    NEIGHBOUR_BYTES = 28,
    PAIR_BYTES = 100
};

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
    bl_word_counts words;
    bl_string_table tokens; /* number: id */
    char *folder;           /* of temporary files, when memory is limited */
    int64_t limit;          /* bytes; 0 is none */
    bl_pair_table pairs;
    int32_t *symbols;
    symbol_run *runs;
    int32_t run_count;
    int32_t vocab_size;
    int64_t min_frequency;
    int64_t rarest; /* words that occur less often are not learned from */
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
    bl_status status = bl_unicode_table_init(&t->table, bl_text_rules_of_bert(do_lower_case));
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
    bl_word_counts_clear(&t->words);
    bl_string_table_clear(&t->tokens);
    bl_pair_table_clear(&t->pairs);
    free(t->symbols);
    free(t->runs);
    free(t->folder);
    free(t);
}

BL_API bl_status bl_vocab_trainer_limit(bl_vocab_trainer *t, int64_t bytes, const char *folder) {
    if (!t || !folder || bytes < 1)
        return bl_fail(BL_ERROR_ARGUMENT, "vocab_trainer: a limit of %lld bytes, or an argument is NULL",
                       (long long) bytes);
    if (t->begun || t->stats.words > 0)
        return bl_fail(BL_ERROR_ARGUMENT, "vocab_trainer: the limit comes before the text");
    free(t->folder);
    t->folder = strdup(folder);
    if (!t->folder) return bl_fail(BL_ERROR_MEMORY, "vocab_trainer: out of memory");
    t->limit = bytes;
    /* While words become symbols, both are held. */
    t->words.limit = bytes / 2;
    t->words.folder = t->folder;
    return BL_OK;
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
        BL_TRY(bl_word_counts_add(&t->words, (const char *) t->scanner.word, t->scanner.length));
        t->stats.words++;
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

/* Characters of a UTF-8 word. */
static int32_t count_code_points(const char *word, int32_t length) {
    int32_t count = 0;
    for (int32_t i = 0; i < length; i++)
        count += ((uint8_t) word[i] & 0xc0) != 0x80;
    return count;
}

/* The words of one count. */
typedef struct count_class {
    int64_t words;
    int64_t symbols; /* in all of them */
} count_class;

/* What learning from words takes, at most. */
static int64_t learning_bytes(int64_t words, int64_t symbols, int64_t alphabet) {
    int64_t neighbours = symbols - words, pairs = 2 * alphabet * alphabet;
    if (pairs > neighbours) pairs = neighbours;
    return words * (int64_t) sizeof(symbol_run) + symbols * (int64_t) sizeof(int32_t) + neighbours * NEIGHBOUR_BYTES +
           pairs * PAIR_BYTES;
}

/* Count characters over all words, and words by their count; `of` has room for every code point. */
static bl_status count_characters(bl_vocab_trainer *t, character *of, count_class *classes) {
    bl_word_counts_rewind(&t->words);
    for (;;) {
        const char *word;
        int32_t length;
        int64_t count;
        BL_TRY(bl_word_counts_next(&t->words, &word, &length, &count));
        if (!word) return BL_OK;
        for (int32_t at = 0, step; at < length; at += step) {
            character *c = &of[bl_utf8_decode((const uint8_t *) word, at, length, &step)];
            c->count += count;
            c->inside |= at > 0;
        }
        count_class *its = &classes[count < COUNT_CLASSES ? count : COUNT_CLASSES];
        its->words++;
        its->symbols += count_code_points(word, length);
    }
}

/* Under a limit: how often a word must occur, so that all such words fit. */
static bl_status choose_rarest(bl_vocab_trainer *t, const count_class *classes, int32_t alphabet) {
    t->rarest = 1;
    if (t->limit == 0) return BL_OK;
    int64_t words = 0, symbols = 0;
    for (int32_t count = COUNT_CLASSES; count > 0; count--) {
        words += classes[count].words;
        symbols += classes[count].symbols;
        int64_t bytes = learning_bytes(words, symbols, alphabet);
        if (bytes <= t->limit) continue;
        if (count == COUNT_CLASSES)
            return bl_fail(BL_ERROR_MEMORY,
                           "vocab_trainer: %lld MB is not enough: the words that occur %d times or more take %lld MB; "
                           "raise the memory limit",
                           (long long) (t->limit / 1000000), COUNT_CLASSES, (long long) (bytes / 1000000 + 1));
        t->rarest = count + 1;
        break;
    }
    for (int32_t count = 1; count < t->rarest; count++) {
        t->stats.rare_words += count * classes[count].words;
        t->stats.rare_distinct_words += classes[count].words;
    }
    t->stats.rare_count = t->stats.rare_distinct_words > 0 ? t->rarest - 1 : 0;
    return BL_OK;
}

/* Move the characters that occur to the front, the most frequent first; returns their number. */
static int32_t rank_characters(character *all) {
    int32_t met = 0;
    for (uint32_t c = 0; c < CODE_POINTS; c++) {
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

static bool in_alphabet(const character *alphabet, int32_t alphabet_count, const char *word, int32_t length) {
    for (int32_t at = 0, step; at < length; at += step) {
        character key = {bl_utf8_decode((const uint8_t *) word, at, length, &step), 0, false};
        if (!bsearch(&key, alphabet, (size_t) alphabet_count, sizeof *alphabet, compare_code_point)) return false;
    }
    return true;
}

/* Append the symbols of one word at *used. */
static bl_status spell(bl_vocab_trainer *t, const char *word, int32_t length, int64_t word_count, int64_t *used) {
    int32_t *symbols = t->symbols + *used, count = 0;
    for (int32_t at = 0, step; at < length; at += step) {
        bl_utf8_decode((const uint8_t *) word, at, length, &step);
        char token[8] = "##";
        int32_t from = at ? 2 : 0, id;
        memcpy(token + from, word + at, (size_t) step);
        BL_TRY(bl_string_table_intern(&t->tokens, token, from + step, &id));
        symbols[count++] = id;
    }
    t->runs[t->run_count++] = (symbol_run){*used, count, word_count};
    *used += count;
    return BL_OK;
}

/* Words that are learned from become runs of symbols. */
static bl_status spell_words(bl_vocab_trainer *t, const character *alphabet, int32_t alphabet_count) {
    int64_t used = 0;
    bl_word_counts_rewind(&t->words);
    for (;;) {
        const char *word;
        int32_t length;
        int64_t count;
        BL_TRY(bl_word_counts_next(&t->words, &word, &length, &count));
        if (!word) return BL_OK;
        if (!in_alphabet(alphabet, alphabet_count, word, length)) {
            /* WordPiece gives [UNK] for such a word as a whole, so nothing in it is worth learning. */
            t->stats.uncovered_words += count;
        } else if (count >= t->rarest) {
            BL_TRY(spell(t, word, length, count, &used));
        }
    }
}

static bl_status count_pairs(bl_vocab_trainer *t) {
    for (int32_t r = 0; r < t->run_count; r++) {
        const int32_t *s = t->symbols + t->runs[r].begin;
        for (int32_t i = 0; i + 1 < t->runs[r].length; i++)
            BL_TRY(bl_pair_table_increase(&t->pairs, s[i], s[i + 1], r, t->runs[r].count));
    }
    return bl_pair_table_settle(&t->pairs);
}

/* Room for the symbols of the words that are learned from. */
static bl_status reserve_symbols(bl_vocab_trainer *t) {
    int64_t words = 0, symbols = 0;
    bl_word_counts_rewind(&t->words);
    for (;;) {
        const char *word;
        int32_t length;
        int64_t count;
        BL_TRY(bl_word_counts_next(&t->words, &word, &length, &count));
        if (!word) break;
        if (count < t->rarest) continue;
        words++;
        symbols += count_code_points(word, length);
    }
    if (words > INT32_MAX)
        return bl_fail(BL_ERROR_UNSUPPORTED, "vocab_trainer: %lld distinct words, expected at most 2^31 - 1",
                       (long long) words);
    t->symbols = malloc((size_t) (symbols + 1) * sizeof *t->symbols);
    t->runs = malloc((size_t) (words + 1) * sizeof *t->runs);
    return t->symbols && t->runs ? BL_OK : no_memory();
}

/* The alphabet, then what is learned from. */
static bl_status begin(bl_vocab_trainer *t, int32_t alphabet_limit, character *characters, count_class *classes) {
    BL_TRY(count_characters(t, characters, classes));
    int32_t met = rank_characters(characters);
    int32_t kept = met < alphabet_limit ? met : alphabet_limit;
    BL_TRY(choose_rarest(t, classes, kept));
    t->stats.characters = met;
    t->stats.alphabet = kept;
    qsort(characters, (size_t) kept, sizeof *characters, compare_code_point);
    BL_TRY(add_alphabet(t, characters, kept));
    t->begun = true;
    BL_TRY(reserve_symbols(t));
    BL_TRY(spell_words(t, characters, kept));
    bl_word_counts_clear(&t->words);
    return BL_OK;
}

BL_API bl_status bl_vocab_trainer_begin(bl_vocab_trainer *t, int32_t vocab_size, int64_t min_frequency,
                                        int32_t alphabet_limit) {
    if (!t) return bl_fail(BL_ERROR_ARGUMENT, "vocab_trainer: trainer is NULL");
    if (t->begun) return bl_fail(BL_ERROR_ARGUMENT, "vocab_trainer: begin has already been called");
    if (!t->stats.words) return bl_fail(BL_ERROR_ARGUMENT, "vocab_trainer: the text has no words");
    if (min_frequency < 1 || alphabet_limit < 1)
        return bl_fail(BL_ERROR_ARGUMENT, "vocab_trainer: min_frequency is %lld, alphabet limit %d, expected 1 or more",
                       (long long) min_frequency, alphabet_limit);
    t->vocab_size = vocab_size;
    t->min_frequency = t->pairs.least = min_frequency;
    t->stats.rare_words = t->stats.rare_distinct_words = 0;
    BL_TRY(bl_word_counts_finish(&t->words));
    t->stats.distinct_words = t->words.distinct;
    character *characters = calloc(CODE_POINTS, sizeof *characters);
    count_class *classes = calloc(COUNT_CLASSES + 1, sizeof *classes);
    bl_status status = characters && classes ? begin(t, alphabet_limit, characters, classes) : no_memory();
    free(characters);
    free(classes);
    return status == BL_OK ? count_pairs(t) : status;
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
    /* The words are taken over: pairs move in memory when new ones come, and this one will not be needed again. */
    bl_pair taken = t->pairs.pairs[index];
    t->pairs.pairs[index].word_count = 0;
    bl_status status = BL_OK;
    for (int32_t i = 0; i < taken.word_count && status == BL_OK; i++)
        status = join_in_word(t, bl_pair_words(&taken)[i], left, right, joined);
    bl_pair_forget_words(&taken);
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
