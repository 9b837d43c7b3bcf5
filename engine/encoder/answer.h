/*
 * answer.h - from a span of tokens of a context to its characters
 * (answer_text.c), which answer.c asks for.
 */
#ifndef BERTLUA_ENCODER_ANSWER_H
#define BERTLUA_ENCODER_ANSWER_H

#include "encoder/encoder.h"

/* A context cut into tokens; each knows its own bytes and those of its word, by SQuAD's white space. */
typedef struct bl_passage {
    const char *text;
    const bl_tokenizer *tokenizer;
    int64_t count;
    int32_t *ids;
    int32_t *starts;
    int32_t *word_starts;
    int32_t *word_ends;
} bl_passage;
bl_status bl_passage_read(bl_passage *passage, const bl_tokenizer *tokenizer, bl_encoding *encoding, const char *text);
void bl_passage_free(bl_passage *passage);

/* Workspace of the alignment; it keeps what it knows of the words it saw last. */
typedef struct bl_aligner bl_aligner;
bl_status bl_aligner_create(bl_aligner **out, const bl_passage *passage);
void bl_aligner_free(bl_aligner *aligner);

/* Text with one space between words, as SQuAD's answers have it, to be freed; and its bytes [begin, end) of the
 * context. */
typedef struct bl_answer_text {
    char *text;
    int64_t begin, end;
} bl_answer_text;
/* The characters that tokens [first, last] of the passage stand for; the whole words where they cannot be told. */
bl_status bl_aligner_find(bl_aligner *aligner, int64_t first, int64_t last, bl_answer_text *out);

#endif
