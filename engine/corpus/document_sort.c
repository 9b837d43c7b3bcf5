/*
 * document_sort.c - external merge sort: see document_sort.h.
 */
#include "corpus/document_sort.h"

#include <stdlib.h>
#include <string.h>

enum {
    /* Fewer documents than this are never worth a file. */
    MIN_DOCUMENTS = 1024,
    MAX_RUNS = 1 << 20
};

static bl_status no_memory(const bl_document_sort *sort) {
    return bl_fail(BL_ERROR_MEMORY, "%s: no memory to sort documents", sort->folder);
}

void bl_document_sort_init(bl_document_sort *sort, const char *folder, int64_t memory_bytes,
                           int (*compare)(const void *, const void *)) {
    /* qsort may take as much again as what it sorts. */
    int64_t limit = memory_bytes / 2 / (int64_t) sizeof(bl_corpus_document);
    *sort = (bl_document_sort){
        .folder = folder, .compare = compare, .limit = limit > MIN_DOCUMENTS ? limit : MIN_DOCUMENTS};
}

static bl_status grow(bl_document_sort *sort) {
    int64_t capacity = sort->capacity > 0 ? sort->capacity * 2 : MIN_DOCUMENTS;
    if (capacity > sort->limit) capacity = sort->limit;
    bl_corpus_document *buffer = realloc(sort->buffer, (size_t) capacity * sizeof *buffer);
    if (!buffer) return no_memory(sort);
    sort->buffer = buffer;
    sort->capacity = capacity;
    return BL_OK;
}

/* The buffer becomes a run of the file. */
static bl_status write_run(bl_document_sort *sort) {
    if (!sort->spill.name) BL_TRY(bl_spill_open(&sort->spill, sort->folder, "documents"));
    if (sort->run_count == sort->run_capacity) {
        int32_t capacity = sort->run_capacity > 0 ? sort->run_capacity * 2 : 16;
        bl_document_run *runs = realloc(sort->runs, (size_t) capacity * sizeof *runs);
        if (!runs || capacity > MAX_RUNS) {
            if (runs) sort->runs = runs;
            return no_memory(sort);
        }
        sort->runs = runs;
        sort->run_capacity = capacity;
    }
    qsort(sort->buffer, (size_t) sort->used, sizeof *sort->buffer, sort->compare);
    sort->runs[sort->run_count++] =
        (bl_document_run){.at = sort->spill.bytes / (int64_t) sizeof *sort->buffer, .left = sort->used};
    BL_TRY(bl_spill_append(&sort->spill, sort->buffer, (size_t) sort->used * sizeof *sort->buffer));
    sort->used = 0;
    return BL_OK;
}

bl_status bl_document_sort_add(bl_document_sort *sort, const bl_corpus_document *document) {
    if (sort->used == sort->limit) BL_TRY(write_run(sort));
    if (sort->used == sort->capacity) BL_TRY(grow(sort));
    sort->buffer[sort->used++] = *document;
    return BL_OK;
}

static bl_status fill_window(bl_document_sort *sort, bl_document_run *run, int64_t size) {
    run->held = run->left < size ? run->left : size;
    run->next = 0;
    BL_TRY(bl_spill_read(&sort->spill, run->at * (int64_t) sizeof *run->window, run->window,
                         (size_t) run->held * sizeof *run->window));
    run->at += run->held;
    run->left -= run->held;
    return BL_OK;
}

static int64_t window_size(const bl_document_sort *sort) {
    return sort->capacity / sort->run_count;
}

static bool before(const bl_document_sort *sort, int32_t a, int32_t b) {
    const bl_document_run *x = &sort->runs[a], *y = &sort->runs[b];
    return sort->compare(&x->window[x->next], &y->window[y->next]) < 0;
}

static void sink(bl_document_sort *sort, int32_t at) {
    for (;;) {
        int32_t child = 2 * at + 1;
        if (child >= sort->heap_count) return;
        if (child + 1 < sort->heap_count && before(sort, sort->heap[child + 1], sort->heap[child])) child++;
        if (!before(sort, sort->heap[child], sort->heap[at])) return;
        int32_t run = sort->heap[at];
        sort->heap[at] = sort->heap[child];
        sort->heap[child] = run;
        at = child;
    }
}

bl_status bl_document_sort_finish(bl_document_sort *sort) {
    if (sort->run_count == 0) {
        if (sort->used > 0) qsort(sort->buffer, (size_t) sort->used, sizeof *sort->buffer, sort->compare);
        return BL_OK;
    }
    BL_TRY(write_run(sort));
    BL_TRY(bl_spill_flush(&sort->spill));
    sort->heap = malloc((size_t) sort->run_count * sizeof *sort->heap);
    /* The buffer is cut into a window for each run. */
    if (!sort->heap || window_size(sort) < 1) return no_memory(sort);
    for (int32_t i = 0; i < sort->run_count; i++) {
        sort->runs[i].window = sort->buffer + i * window_size(sort);
        BL_TRY(fill_window(sort, &sort->runs[i], window_size(sort)));
        sort->heap[i] = i;
    }
    sort->heap_count = sort->run_count;
    for (int32_t i = sort->heap_count / 2; i-- > 0;)
        sink(sort, i);
    return BL_OK;
}

bl_status bl_document_sort_next(bl_document_sort *sort, bl_corpus_document *document, bool *found) {
    *found = false;
    if (sort->run_count == 0) {
        if (sort->next == sort->used) return BL_OK;
        *document = sort->buffer[sort->next++];
        *found = true;
        return BL_OK;
    }
    if (sort->heap_count == 0) return BL_OK;
    bl_document_run *run = &sort->runs[sort->heap[0]];
    *document = run->window[run->next++];
    *found = true;
    if (run->next == run->held) {
        if (run->left > 0) {
            BL_TRY(fill_window(sort, run, window_size(sort)));
        } else {
            sort->heap[0] = sort->heap[--sort->heap_count];
        }
    }
    sink(sort, 0);
    return BL_OK;
}

void bl_document_sort_clear(bl_document_sort *sort) {
    bl_spill_close(&sort->spill);
    free(sort->buffer);
    free(sort->runs);
    free(sort->heap);
    *sort = (bl_document_sort){0};
}
