/*
 * text.h - WordPiece tokenizer, basic tokenization, vocabulary trainer, and what
 * Unicode says of text: UTF-8, lower case, languages, sentences.
 *
 * Part of the public C API (include "bertlua.h"). Text is UTF-8 of a given
 * length (NUL bytes allowed, at most 2^31 - 1 bytes); bytes that are not UTF-8
 * count as absent. All offsets are byte offsets into the text as it was given.
 */
#ifndef BERTLUA_API_TEXT_H
#define BERTLUA_API_TEXT_H

#include "core.h"

/* CDEF-BEGIN */

/*
 * BERT's WordPiece tokenizer (arXiv 1810.04805; longest match first as in
 * Google's reference implementation). Read-only after creation: any number of
 * threads may use one tokenizer, each with an encoding of its own.
 */
typedef struct bl_tokenizer bl_tokenizer;

/* Ids of the tokens every BERT vocabulary has. */
typedef struct bl_special_ids {
    int32_t pad;
    int32_t unk;
    int32_t cls;
    int32_t sep;
    int32_t mask;
} bl_special_ids;

/*
 * vocab_path: one token per line; its line number, from 0, is its id. A byte
 * order mark and white space at the end of a line are skipped; an empty line is
 * an id without a token; of lines that are the same, the last gives the id (see
 * bl_tokenizer_report). Fails on a missing or unreadable file, a line that is
 * not UTF-8, and when a special token is missing.
 */
bl_status bl_tokenizer_create(bl_tokenizer **out, const char *vocab_path, bool do_lower_case);

/* How a tokenizer is made otherwise than by Google's reference. */
typedef struct bl_tokenizer_options {
    const char *text; /* the lines of the vocabulary; NULL: read vocab_path, which else is for messages only */
    size_t bytes;
    bool lower_case;
    bool strip_accents;          /* decompose (NFD) and leave out nonspacing marks; the reference: as lower_case */
    bool split_ideographs;       /* each CJK ideograph is a word of its own; the reference: true */
    bool clean;                  /* leave out control characters and U+FFFD; the reference: true */
    int32_t max_word_characters; /* longer words are [UNK]; the reference: 200, which is the most */
} bl_tokenizer_options;
bl_status bl_tokenizer_create_with(bl_tokenizer **out, const char *vocab_path, const bl_tokenizer_options *options);
void bl_tokenizer_free(bl_tokenizer *tokenizer);

/* What a vocabulary has that it should not. Lines count from 1; 0 where there is none. */
typedef struct bl_vocabulary_report {
    int32_t blank; /* lines without a token */
    int32_t blank_line;
    int32_t repeated;      /* lines whose token comes again further down, and never comes out of a text */
    int32_t repeated_line; /* the first of them */
    int32_t repeating_line;
} bl_vocabulary_report;
bl_vocabulary_report bl_tokenizer_report(const bl_tokenizer *tokenizer);
int32_t bl_tokenizer_size(const bl_tokenizer *tokenizer);
bl_special_ids bl_tokenizer_special(const bl_tokenizer *tokenizer);
/* Pieces with an upper-case ASCII letter, special and [unusedN] tokens left out: 0 in an uncased vocabulary. */
int32_t bl_tokenizer_upper_case_pieces(const bl_tokenizer *tokenizer);
/* NUL-terminated token of an id, valid as long as the tokenizer; NULL for an id outside the vocabulary. */
const char *bl_tokenizer_token(const bl_tokenizer *tokenizer, int32_t id);
/* Id of a token, -1 if the vocabulary lacks it. */
int32_t bl_tokenizer_id(const bl_tokenizer *tokenizer, const char *token, size_t bytes);

/*
 * Result and workspace of one thread; every call with it overwrites the
 * arrays, which may move. starts and ends are filled only on request.
 */
typedef struct bl_encoding {
    int32_t *ids;    /* [count] */
    int32_t *starts; /* [count] first byte of the token's source */
    int32_t *ends;   /* [count] one past its last byte */
    int64_t count;
    int64_t capacity; /* of ids */
    int64_t offset_capacity;
    void *scanner; /* private */
} bl_encoding;
bl_status bl_encoding_create(bl_encoding **out);
void bl_encoding_free(bl_encoding *encoding);

/* Text to token ids, no [CLS] or [SEP] added; a word of more than 200 characters is [UNK]. */
bl_status bl_tokenizer_encode(const bl_tokenizer *tokenizer, bl_encoding *encoding, const char *text, size_t bytes,
                              bool with_offsets);
/* One word as it stands (no cleaning or lower-casing) to its pieces; offsets are offsets into the word. */
bl_status bl_tokenizer_pieces(const bl_tokenizer *tokenizer, bl_encoding *encoding, const char *word, size_t bytes,
                              bool with_offsets);

/* Basic tokenization alone: words, punctuation and CJK characters, cleaned and, on request, lower-cased. */
typedef struct bl_words {
    char *text;            /* the words one after the other, not separated */
    int32_t *text_offsets; /* [count+1] word i is text[text_offsets[i] .. text_offsets[i+1]) */
    int32_t *starts;       /* [count] first byte of the word's source */
    int32_t *ends;         /* [count] one past its last byte */
    int64_t count;
    int64_t capacity;      /* of the arrays */
    int64_t text_capacity; /* of text */
    void *scanner;         /* private */
} bl_words;
bl_status bl_words_create(bl_words **out);
void bl_words_free(bl_words *words);
/* Casing is the tokenizer's; the vocabulary plays no part. */
bl_status bl_tokenizer_words(const bl_tokenizer *tokenizer, bl_words *words, const char *text, size_t bytes);

/*
 * Lower case of a whole text by Unicode's full mappings, without rules of a language, final sigma included; bytes that
 * are not UTF-8 stay as they are. out does not overlap text; room for 3 * bytes is always enough. *out_bytes is set.
 */
bl_status bl_text_lower(const char *text, size_t bytes, char *out, size_t capacity, size_t *out_bytes);
/* A letter, a character with a numeric value, or '_': what regular expressions call a word character. */
bool bl_text_is_word_character(int32_t code_point);

/* What a character is. */
enum {
    BL_CHARACTER_OTHER = 0,
    BL_CHARACTER_SPACE = 1,   /* white space, zero-width space, byte order mark */
    BL_CHARACTER_LOWER = 2,   /* letters: of lower case, */
    BL_CHARACTER_UPPER = 3,   /* of upper or title case, */
    BL_CHARACTER_LETTER = 4,  /* of scripts without case */
    BL_CHARACTER_DIGIT = 5,   /* decimal, of any script */
    BL_CHARACTER_MARK = 6,    /* combining */
    BL_CHARACTER_OPENING = 7, /* brackets and quotation marks, by Unicode's categories Ps and Pi */
    BL_CHARACTER_CLOSING = 8  /* Pe and Pf */
};
typedef struct bl_character {
    int32_t code_point; /* U+FFFD for a byte that is not UTF-8 */
    int32_t begin;      /* its bytes are [begin, end) */
    int32_t end;
    int32_t kind;
} bl_character;
/* The character that begins at a byte, or the one that ends there; false if there is none. */
bool bl_text_character(const char *text, int64_t bytes, int64_t at, bl_character *out);
bool bl_text_character_before(const char *text, int64_t bytes, int64_t at, bl_character *out);
/* Columns of a text in a fixed-width font: 2 for what East Asia writes wide, 0 for combining and invisible characters.
 */
int64_t bl_text_columns(const char *text, int64_t bytes);
/* A letter or mark of a script that puts no spaces between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese ... */
bool bl_text_is_unspaced(int32_t code_point);

/* Offset of the first byte that is not UTF-8 (RFC 3629); -1 if all of it is. */
int64_t bl_utf8_check(const char *text, int64_t bytes);

/* A language of ISO 639. */
typedef struct bl_language {
    char code[16];
    char name[128];     /* English; "" if there is none */
    char own_name[128]; /* in the language itself */
} bl_language;
/* Language number index of those that ICU knows; false past the last one. */
bool bl_language_at(int32_t index, bl_language *out);

/*
 * Sentences of prose by Unicode's rules (UAX #29) for a locale such as
 * "en@ss=standard" (which does not break after "Mr."). ends [count] are byte
 * offsets just past each sentence, valid until the next split.
 */
typedef struct bl_sentences bl_sentences;
bl_status bl_sentences_create(bl_sentences **out, const char *locale);
bl_status bl_sentences_split(bl_sentences *sentences, const char *text, int64_t bytes, const int64_t **ends,
                             int64_t *count);
void bl_sentences_free(bl_sentences *sentences);

/*
 * Learns a WordPiece vocabulary: counts the words of all text added, starts
 * from single characters and repeatedly joins the most frequent neighbouring
 * pair (byte-pair encoding, arXiv 1508.07909, on WordPiece symbols), ties going
 * to the pair with the older symbols. The result depends only on the word
 * counts, not on the order of the text.
 */
typedef struct bl_vocab_trainer bl_vocab_trainer;

typedef struct bl_vocab_trainer_stats {
    int64_t words;               /* counted */
    int64_t distinct_words;      /* of them; known after begin */
    int64_t uncovered_words;     /* counted words with a character outside the alphabet */
    int64_t rare_words;          /* counted words left out because of the limit of memory */
    int64_t rare_distinct_words; /* of them */
    int64_t rare_count;          /* each of these occurs at most this often */
    int32_t characters;          /* distinct characters met */
    int32_t alphabet;            /* characters kept */
    int32_t tokens;              /* learned so far, special tokens included */
    int64_t last_pair_count;     /* frequency of the pair joined last */
} bl_vocab_trainer_stats;

bl_status bl_vocab_trainer_create(bl_vocab_trainer **out, bool do_lower_case);
void bl_vocab_trainer_free(bl_vocab_trainer *trainer);
/*
 * Keep within about `bytes` of memory, at any number of distinct words; before
 * any text. Counts that do not fit go to nameless temporary files in folder
 * and stay exact; so does the alphabet. If the words do not fit for learning,
 * all that occur less than some number of times are left out, see rare_words:
 * the count of a pair lacks only its occurrences in these.
 */
bl_status bl_vocab_trainer_limit(bl_vocab_trainer *trainer, int64_t bytes, const char *folder);
/* Count the words of a text; words of more than 200 characters are left out. Not after begin. */
bl_status bl_vocab_trainer_add(bl_vocab_trainer *trainer, const char *text, size_t bytes);
/*
 * Choose the alphabet (the alphabet_limit most frequent characters) and lay
 * down [PAD] [UNK] [CLS] [SEP] [MASK], each character c, each "##c" met inside
 * a word. Fails if there is no word or vocab_size does not hold these.
 */
bl_status bl_vocab_trainer_begin(bl_vocab_trainer *trainer, int32_t vocab_size, int64_t min_frequency,
                                 int32_t alphabet_limit);
/* Up to `joins` joins; *done is set when the vocabulary is full or no pair occurs min_frequency times. */
bl_status bl_vocab_trainer_step(bl_vocab_trainer *trainer, int32_t joins, bool *done);
void bl_vocab_trainer_describe(const bl_vocab_trainer *trainer, bl_vocab_trainer_stats *out);
/* Token number id; NULL outside [0, tokens). Valid until the next step. */
const char *bl_vocab_trainer_token(const bl_vocab_trainer *trainer, int32_t id);

/* CDEF-END */

#endif
