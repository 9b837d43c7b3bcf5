/*
 * trie.c - builds the double array from sorted keys. Free units form a list
 * in ascending order; only those of the last few blocks stay in it, which
 * bounds the search for a place and costs little space.
 */
#include "text/trie.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256, OPEN_BLOCKS = 16 };

/* Keys [low, high) share `depth` bytes, which lead to `state`. */
typedef struct task {
    int32_t low;
    int32_t high;
    int32_t depth;
    int32_t state;
} task;

typedef struct builder {
    bl_trie *trie;
    const bl_trie_key *keys;
    int32_t capacity;
    int32_t head; /* first and last free unit, -1 if none; links: base = next, id = previous */
    int32_t tail;
    task *tasks;
    int32_t task_count;
    int32_t task_capacity;
} builder;

int bl_trie_compare_keys(const void *a, const void *b) {
    const bl_trie_key *x = a, *y = b;
    int32_t shorter = x->length < y->length ? x->length : y->length;
    int order = memcmp(x->bytes, y->bytes, (size_t) shorter);
    return order ? order : (x->length > y->length) - (x->length < y->length);
}

static void unlink_free(builder *b, int32_t unit) {
    bl_trie_unit *units = b->trie->units;
    int32_t next = units[unit].base, previous = units[unit].id;
    if (previous >= 0)
        units[previous].base = next;
    else
        b->head = next;
    if (next >= 0)
        units[next].id = previous;
    else
        b->tail = previous;
}

static bl_status add_block(builder *b) {
    bl_trie *t = b->trie;
    if (t->size > INT32_MAX / 2 - BLOCK) return bl_fail(BL_ERROR_UNSUPPORTED, "tokenizer: the vocabulary is too large");
    if (t->size + BLOCK > b->capacity) {
        int32_t capacity = b->capacity ? b->capacity * 2 : 64 * BLOCK;
        bl_trie_unit *grown = realloc(t->units, (size_t) capacity * sizeof *grown);
        if (!grown) return bl_fail(BL_ERROR_MEMORY, "tokenizer: out of memory for the vocabulary");
        t->units = grown;
        b->capacity = capacity;
    }
    int32_t first = t->size;
    t->size += BLOCK;
    for (int32_t i = first; i < t->size; i++) {
        t->units[i] = (bl_trie_unit){-1, -1, b->tail};
        if (b->tail >= 0)
            t->units[b->tail].base = i;
        else
            b->head = i;
        b->tail = i;
    }
    while (b->head >= 0 && b->head < t->size - OPEN_BLOCKS * BLOCK)
        unlink_free(b, b->head);
    return BL_OK;
}

static bool fits(const bl_trie *t, int32_t base, const uint8_t *labels, int32_t count) {
    for (int32_t i = 0; i < count; i++)
        if (t->units[base ^ labels[i]].parent != -1) return false;
    return true;
}

/* A base at which all labels fall on free units. */
static bl_status find_base(builder *b, const uint8_t *labels, int32_t count, int32_t *base) {
    for (int32_t unit = b->head; unit >= 0; unit = b->trie->units[unit].base) {
        *base = unit ^ labels[0];
        if (fits(b->trie, *base, labels, count)) return BL_OK;
    }
    int32_t first = b->trie->size;
    BL_TRY(add_block(b));
    *base = first; /* an empty block takes any labels */
    return BL_OK;
}

static bl_status push(builder *b, task t) {
    if (b->task_count == b->task_capacity) {
        int32_t capacity = b->task_capacity ? b->task_capacity * 2 : 1024;
        task *grown = realloc(b->tasks, (size_t) capacity * sizeof *grown);
        if (!grown) return bl_fail(BL_ERROR_MEMORY, "tokenizer: out of memory for the vocabulary");
        b->tasks = grown;
        b->task_capacity = capacity;
    }
    b->tasks[b->task_count++] = t;
    return BL_OK;
}

static bl_status place_children(builder *b, task t) {
    const bl_trie_key *keys = b->keys;
    if (keys[t.low].length == t.depth) b->trie->units[t.state].id = keys[t.low++].id;
    if (t.low == t.high) return BL_OK;
    uint8_t labels[BLOCK];
    int32_t begins[BLOCK + 1], count = 0;
    for (int32_t i = t.low; i < t.high; i++) {
        uint8_t label = (uint8_t) keys[i].bytes[t.depth];
        if (count && labels[count - 1] == label) continue;
        labels[count] = label;
        begins[count++] = i;
    }
    begins[count] = t.high;
    int32_t base;
    BL_TRY(find_base(b, labels, count, &base));
    b->trie->units[t.state].base = base;
    for (int32_t i = 0; i < count; i++) {
        int32_t child = base ^ labels[i];
        unlink_free(b, child);
        b->trie->units[child] = (bl_trie_unit){0, t.state, -1};
    }
    for (int32_t i = 0; i < count; i++)
        BL_TRY(push(b, (task){begins[i], begins[i + 1], t.depth + 1, base ^ labels[i]}));
    return BL_OK;
}

bl_status bl_trie_init(bl_trie *trie, const bl_trie_key *keys, int32_t count) {
    memset(trie, 0, sizeof *trie);
    builder b = {.trie = trie, .keys = keys, .head = -1, .tail = -1};
    bl_status status = add_block(&b);
    if (status == BL_OK) {
        unlink_free(&b, 0);
        trie->units[0] = (bl_trie_unit){0, 0, -1}; /* a parent, so that nothing is placed on it */
        if (count) status = push(&b, (task){0, count, 0, 0});
    }
    while (status == BL_OK && b.task_count)
        status = place_children(&b, b.tasks[--b.task_count]);
    free(b.tasks);
    if (status != BL_OK) {
        bl_trie_clear(trie);
        return status;
    }
    trie->units[0].parent = -1; /* no byte leads back to the root */
    return BL_OK;
}

void bl_trie_clear(bl_trie *trie) {
    free(trie->units);
    trie->units = NULL;
    trie->size = 0;
}

int32_t bl_trie_descend(const bl_trie *trie, const char *bytes, size_t length) {
    int32_t state = 0;
    for (size_t i = 0; i < length && state >= 0; i++)
        state = bl_trie_step(trie, state, (uint8_t) bytes[i]);
    return state;
}

int32_t bl_trie_find(const bl_trie *trie, const char *bytes, size_t length) {
    int32_t state = bl_trie_descend(trie, bytes, length);
    return state < 0 ? -1 : trie->units[state].id;
}
