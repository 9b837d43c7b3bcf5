/*
 * document_sort.h - documents in a given order, however many: sorted in
 * memory while they fit, else in runs of a temporary file that are merged.
 */
#ifndef BERTLUA_CORPUS_DOCUMENT_SORT_H
#define BERTLUA_CORPUS_DOCUMENT_SORT_H

#include "storage/spill.h"

/* A run of sorted documents in the file, and the part of it that is in memory. */
typedef struct bl_document_run {
    int64_t at;   /* number of the next document to read from the file */
    int64_t left; /* documents still in the file */
    bl_corpus_document *window;
    int64_t next, held; /* in the window */
} bl_document_run;

typedef struct bl_document_sort {
    const char *folder; /* of the temporary file */
    int (*compare)(const void *, const void *);
    bl_corpus_document *buffer;
    int64_t used, capacity, limit; /* documents */
    bl_spill spill;
    bl_document_run *runs;
    int32_t run_count, run_capacity;
    int32_t *heap; /* numbers of the runs that are not empty, that with the first document on top */
    int32_t heap_count;
    int64_t next; /* without runs: in the buffer */
} bl_document_sort;

/* No two documents may compare as equal. memory_bytes: what buffer and sorting take together. */
void bl_document_sort_init(bl_document_sort *sort, const char *folder, int64_t memory_bytes,
                           int (*compare)(const void *, const void *));
bl_status bl_document_sort_add(bl_document_sort *sort, const bl_corpus_document *document);
/* Nothing is added after this. */
bl_status bl_document_sort_finish(bl_document_sort *sort);
/* The documents in order, each once. */
bl_status bl_document_sort_next(bl_document_sort *sort, bl_corpus_document *document, bool *found);
void bl_document_sort_clear(bl_document_sort *sort);

#endif
