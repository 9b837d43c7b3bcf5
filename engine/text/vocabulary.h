/*
 * vocabulary.h - the tokens of a vocab.txt: id to token, and a trie for token
 * to id and for longest match.
 */
#ifndef BERTLUA_TEXT_VOCABULARY_H
#define BERTLUA_TEXT_VOCABULARY_H

#include "text/trie.h"

typedef struct bl_vocabulary {
    char *bytes;        /* the file; line ends became NUL */
    const char **token; /* [size] */
    int32_t size;
    int32_t upper_case_pieces;
    int32_t continuation; /* trie state after "##", -1 if no piece has it */
    bl_special_ids special;
    bl_vocabulary_report report;
    bl_trie trie;
} bl_vocabulary;

bl_status bl_vocabulary_load(bl_vocabulary *vocabulary, const char *path);
/* The same from memory; path is for messages. */
bl_status bl_vocabulary_parse(bl_vocabulary *vocabulary, const char *path, const char *text, size_t bytes);
void bl_vocabulary_clear(bl_vocabulary *vocabulary);

#endif
