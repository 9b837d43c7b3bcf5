/*
 * word_counts.c - exact word counts on disk: see word_counts.h. In a file a
 * word is its count, its length and its bytes.
 */
#include "text/word_counts.h"

#include <stdlib.h>
#include <string.h>

enum {
    HEAD_BYTES = sizeof(int64_t) + sizeof(int32_t),
    RECORD_BYTES = HEAD_BYTES + BL_WORD_COUNTS_MAX_BYTES,
    WINDOW_BYTES = 256 << 10,
    MIN_WINDOW_BYTES = 4096,
    /* What the table holds for a word besides its bytes: entry, slots (also while they grow), order for sorting. */
    WORD_OVERHEAD = sizeof(bl_string_entry) + 6 * sizeof(int32_t) + 2 * sizeof(int32_t)
};

static bl_status no_memory(void) {
    return bl_fail(BL_ERROR_MEMORY, "vocab_trainer: out of memory for words; train on less text");
}

static int compare_bytes(const char *a, int32_t a_length, const char *b, int32_t b_length) {
    int order = memcmp(a, b, (size_t) (a_length < b_length ? a_length : b_length));
    return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

static int compare_entries(const void *a, const void *b, void *context) {
    const bl_string_table *table = context;
    int32_t i = *(const int32_t *) a, j = *(const int32_t *) b;
    return compare_bytes(bl_string_at(table, i), table->entries[i].length, bl_string_at(table, j),
                         table->entries[j].length);
}

static bl_status write_word(bl_spill *spill, const char *word, int32_t length, int64_t count) {
    char head[HEAD_BYTES];
    memcpy(head, &count, sizeof count);
    memcpy(head + sizeof count, &length, sizeof length);
    BL_TRY(bl_spill_append(spill, head, sizeof head));
    return bl_spill_append(spill, word, (size_t) length);
}

/* The table becomes a run of the file and is empty again. */
static bl_status write_run(bl_word_counts *c) {
    if (!c->spill.name) BL_TRY(bl_spill_open(&c->spill, c->folder, "word counts"));
    if (c->run_count == c->run_capacity) {
        int32_t capacity = c->run_capacity > 0 ? c->run_capacity * 2 : 16;
        bl_word_run *runs = realloc(c->runs, (size_t) capacity * sizeof *runs);
        if (!runs) return no_memory();
        c->runs = runs;
        c->run_capacity = capacity;
    }
    bl_string_table *table = &c->table;
    int32_t *order = malloc((size_t) table->count * sizeof *order);
    if (!order) return no_memory();
    for (int32_t i = 0; i < table->count; i++)
        order[i] = i;
    qsort_r(order, (size_t) table->count, sizeof *order, compare_entries, table);
    int64_t begin = c->spill.bytes;
    bl_status status = BL_OK;
    for (int32_t i = 0; i < table->count && status == BL_OK; i++) {
        const bl_string_entry *e = &table->entries[order[i]];
        status = write_word(&c->spill, bl_string_at(table, order[i]), e->length, e->value);
    }
    free(order);
    BL_TRY(status);
    c->runs[c->run_count++] = (bl_word_run){.at = begin, .end = c->spill.bytes};
    bl_string_table_clear(table);
    return BL_OK;
}

bl_status bl_word_counts_add(bl_word_counts *c, const char *word, int32_t length) {
    int32_t index;
    BL_TRY(bl_string_table_intern(&c->table, word, length, &index));
    c->table.entries[index].value++;
    if (c->limit > 0 && (int64_t) c->table.used + (int64_t) c->table.count * WORD_OVERHEAD > c->limit)
        return write_run(c);
    return BL_OK;
}

/* At least one whole word in the window, unless the run has ended. */
static bl_status fill(const bl_spill *spill, bl_word_run *run, size_t size) {
    size_t have = run->held - run->next;
    if (have >= RECORD_BYTES || run->at == run->end) return BL_OK;
    memmove(run->window, run->window + run->next, have);
    size_t more = size - have;
    if ((int64_t) more > run->end - run->at) more = (size_t) (run->end - run->at);
    BL_TRY(bl_spill_read(spill, run->at, run->window + have, more));
    run->at += (int64_t) more;
    run->next = 0;
    run->held = have + more;
    return BL_OK;
}

/* The word that a run stands at. */
static const char *peek(const bl_word_run *run, int32_t *length, int64_t *count) {
    const char *head = run->window + run->next;
    memcpy(count, head, sizeof *count);
    memcpy(length, head + sizeof *count, sizeof *length);
    return head + HEAD_BYTES;
}

static bool before(const bl_word_run *a, const bl_word_run *b) {
    int32_t a_length, b_length;
    int64_t count;
    const char *x = peek(a, &a_length, &count), *y = peek(b, &b_length, &count);
    return compare_bytes(x, a_length, y, b_length) < 0;
}

static void sink(bl_word_run *heap, int32_t count, int32_t at) {
    for (;;) {
        int32_t child = 2 * at + 1;
        if (child >= count) return;
        if (child + 1 < count && before(&heap[child + 1], &heap[child])) child++;
        if (!before(&heap[child], &heap[at])) return;
        bl_word_run run = heap[at];
        heap[at] = heap[child];
        heap[child] = run;
        at = child;
    }
}

/* Merge the runs, whose windows have `size` bytes. */
static bl_status merge_windows(bl_word_counts *c, size_t size) {
    bl_word_run *heap = c->runs;
    int32_t left = c->run_count;
    for (int32_t i = 0; i < left; i++)
        BL_TRY(fill(&c->spill, &heap[i], size));
    for (int32_t i = left / 2; i-- > 0;)
        sink(heap, left, i);
    char word[BL_WORD_COUNTS_MAX_BYTES];
    int32_t length = -1;
    int64_t sum = 0, distinct = 0;
    while (left > 0) {
        int32_t next_length;
        int64_t count;
        const char *next = peek(&heap[0], &next_length, &count);
        if (next_length != length || memcmp(next, word, (size_t) length) != 0) {
            if (length >= 0) BL_TRY(write_word(&c->merged, word, length, sum));
            distinct++;
            length = next_length;
            memcpy(word, next, (size_t) length);
            sum = 0;
        }
        sum += count;
        heap[0].next += HEAD_BYTES + (size_t) next_length;
        BL_TRY(fill(&c->spill, &heap[0], size));
        if (heap[0].next == heap[0].held) heap[0] = heap[--left];
        sink(heap, left, 0);
    }
    if (length >= 0) BL_TRY(write_word(&c->merged, word, length, sum));
    BL_TRY(bl_spill_flush(&c->merged));
    c->distinct = distinct;
    return BL_OK;
}

bl_status bl_word_counts_finish(bl_word_counts *c) {
    if (c->distinct > 0) return BL_OK;
    if (c->run_count == 0) {
        c->distinct = c->table.count;
        return BL_OK;
    }
    if (c->table.count > 0) BL_TRY(write_run(c));
    BL_TRY(bl_spill_flush(&c->spill));
    BL_TRY(bl_spill_open(&c->merged, c->folder, "word counts"));
    int64_t share = c->limit / c->run_count;
    size_t size = share > WINDOW_BYTES ? WINDOW_BYTES : share < MIN_WINDOW_BYTES ? MIN_WINDOW_BYTES : (size_t) share;
    char *windows = malloc((size_t) c->run_count * size);
    c->reader.window = malloc(WINDOW_BYTES);
    if (!windows || !c->reader.window) {
        free(windows);
        return no_memory();
    }
    for (int32_t i = 0; i < c->run_count; i++)
        c->runs[i].window = windows + (size_t) i * size;
    bl_status status = merge_windows(c, size);
    free(windows);
    bl_spill_close(&c->spill);
    bl_word_counts_rewind(c);
    return status;
}

void bl_word_counts_rewind(bl_word_counts *c) {
    c->next = 0;
    c->reader = (bl_word_run){.window = c->reader.window, .end = c->merged.bytes};
}

bl_status bl_word_counts_next(bl_word_counts *c, const char **word, int32_t *length, int64_t *count) {
    *word = NULL;
    if (c->run_count == 0) {
        if (c->next == c->table.count) return BL_OK;
        const bl_string_entry *e = &c->table.entries[c->next];
        *word = bl_string_at(&c->table, c->next++);
        *length = e->length;
        *count = e->value;
        return BL_OK;
    }
    BL_TRY(fill(&c->merged, &c->reader, WINDOW_BYTES));
    if (c->reader.next == c->reader.held) return BL_OK;
    *word = peek(&c->reader, length, count);
    c->reader.next += HEAD_BYTES + (size_t) *length;
    return BL_OK;
}

void bl_word_counts_clear(bl_word_counts *c) {
    bl_string_table_clear(&c->table);
    bl_spill_close(&c->spill);
    bl_spill_close(&c->merged);
    free(c->runs);
    free(c->reader.window);
    *c = (bl_word_counts){0};
}
