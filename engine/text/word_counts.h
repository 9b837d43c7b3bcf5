/*
 * word_counts.h - how often each word occurs, exactly, for any number of
 * distinct words: when the table in memory is full, it goes as a sorted run to
 * a temporary file; in the end the runs are merged.
 */
#ifndef BERTLUA_TEXT_WORD_COUNTS_H
#define BERTLUA_TEXT_WORD_COUNTS_H

#include "storage/spill.h"
#include "text/string_table.h"

/* No word is longer. */
enum { BL_WORD_COUNTS_MAX_BYTES = 1000 };

/* A sorted part of a file, and where reading it stands. */
typedef struct bl_word_run {
    int64_t at, end; /* of what is still in the file */
    char *window;
    size_t next, held; /* in the window */
} bl_word_run;

/* A zeroed one counts in memory only. */
typedef struct bl_word_counts {
    int64_t limit;      /* bytes of the table; 0 is none */
    const char *folder; /* of the temporary files */
    bl_string_table table;
    bl_spill spill;  /* the runs */
    bl_spill merged; /* all words, sorted, each once */
    bl_word_run *runs;
    int32_t run_count, run_capacity;
    bl_word_run reader; /* of merged */
    int32_t next;       /* of the table, when nothing was spilled */
    int64_t distinct;   /* known after finish */
} bl_word_counts;

bl_status bl_word_counts_add(bl_word_counts *counts, const char *word, int32_t length);
/* Ends counting; nothing happens the second time. */
bl_status bl_word_counts_finish(bl_word_counts *counts);
/* The next call of next gives the first word again. */
void bl_word_counts_rewind(bl_word_counts *counts);
/* The words, each once, in no promised order; word lives until the next call. *word is NULL after the last. */
bl_status bl_word_counts_next(bl_word_counts *counts, const char **word, int32_t *length, int64_t *count);
void bl_word_counts_clear(bl_word_counts *counts);

#endif
