/*
 * pair_table.c - a hash table of pairs and a heap over it. A count that falls
 * leaves its claim in the heap too high; pop notices and puts it back where it
 * belongs, which is cheaper than keeping the heap exact.
 */
#include "text/pair_table.h"

#include <stdlib.h>
#include <string.h>

static bl_status no_memory(void) {
    return bl_fail(BL_ERROR_MEMORY, "vocab_trainer: out of memory for symbol pairs; train on less text");
}

static uint32_t hash_pair(int32_t left, int32_t right) {
    uint64_t key = (uint64_t) (uint32_t) left << 32 | (uint32_t) right;
    key *= 0x9e3779b97f4a7c15u;
    key ^= key >> 32;
    key *= 0xbf58476d1ce4e5b9u;
    return (uint32_t) (key >> 32);
}

static uint32_t find_slot(const bl_pair_table *t, int32_t left, int32_t right) {
    uint32_t mask = t->slot_count - 1, slot = hash_pair(left, right) & mask;
    while (t->slots[slot] >= 0) {
        const bl_pair *p = &t->pairs[t->slots[slot]];
        if (p->left == left && p->right == right) break;
        slot = (slot + 1) & mask;
    }
    return slot;
}

static bl_status grow_slots(bl_pair_table *t) {
    uint32_t slot_count = t->slot_count ? t->slot_count * 2 : 1u << 12;
    if (slot_count > 1u << 30) return bl_fail(BL_ERROR_UNSUPPORTED, "vocab_trainer: more than 2^29 symbol pairs");
    int32_t *slots = malloc(slot_count * sizeof *slots);
    if (!slots) return no_memory();
    memset(slots, 0xff, slot_count * sizeof *slots);
    free(t->slots);
    t->slots = slots;
    t->slot_count = slot_count;
    for (int32_t i = 0; i < t->count; i++)
        slots[find_slot(t, t->pairs[i].left, t->pairs[i].right)] = i;
    return BL_OK;
}

/* Number of a pair, added if new. */
static bl_status intern(bl_pair_table *t, int32_t left, int32_t right, int32_t *index) {
    if ((uint32_t) t->count >= t->slot_count / 2) BL_TRY(grow_slots(t));
    uint32_t slot = find_slot(t, left, right);
    if (t->slots[slot] < 0) {
        if (t->count == t->capacity) {
            int32_t capacity = t->capacity ? t->capacity * 2 : 1024;
            bl_pair *grown = realloc(t->pairs, (size_t) capacity * sizeof *grown);
            if (!grown) return no_memory();
            t->pairs = grown;
            t->capacity = capacity;
        }
        t->pairs[t->count] = (bl_pair){.left = left, .right = right, .round = -1};
        t->slots[slot] = t->count++;
    }
    *index = t->slots[slot];
    return BL_OK;
}

static bl_status remember_word(bl_pair *p, int32_t word) {
    int32_t n = p->word_count;
    if (n && bl_pair_words(p)[n - 1] == word) return BL_OK;
    if (n < BL_PAIR_FEW) {
        p->words.few[p->word_count++] = word;
        return BL_OK;
    }
    /* A list is full when its length is a power of two. */
    if ((n & (n - 1)) == 0) {
        int32_t *grown = realloc(n > BL_PAIR_FEW ? p->words.list : NULL, 2 * (size_t) n * sizeof *grown);
        if (!grown) return no_memory();
        if (n == BL_PAIR_FEW) memcpy(grown, p->words.few, sizeof p->words.few);
        p->words.list = grown;
    }
    p->words.list[p->word_count++] = word;
    return BL_OK;
}

void bl_pair_forget_words(bl_pair *p) {
    if (p->word_count > BL_PAIR_FEW) free(p->words.list);
    p->word_count = 0;
}

bl_status bl_pair_table_increase(bl_pair_table *t, int32_t left, int32_t right, int32_t word, int64_t amount) {
    int32_t index = -1;
    BL_TRY(intern(t, left, right, &index));
    bl_pair *p = &t->pairs[index];
    p->count += amount;
    BL_TRY(remember_word(p, word));
    if (p->round == t->round) return BL_OK;
    p->round = t->round;
    if (t->risen_count == t->risen_capacity) {
        int32_t capacity = t->risen_capacity ? t->risen_capacity * 2 : 1024;
        int32_t *grown = realloc(t->risen, (size_t) capacity * sizeof *grown);
        if (!grown) return no_memory();
        t->risen = grown;
        t->risen_capacity = capacity;
    }
    t->risen[t->risen_count++] = index;
    return BL_OK;
}

void bl_pair_table_decrease(bl_pair_table *t, int32_t left, int32_t right, int64_t amount) {
    int32_t index = t->slots[find_slot(t, left, right)];
    if (index < 0) return;
    bl_pair *p = &t->pairs[index];
    p->count -= amount;
    if (p->count > 0) return;
    /* No word has it: should it come again, its words come with it. */
    bl_pair_forget_words(p);
}

/* True if a comes before b. */
static bool before(const bl_pair_claim *a, const bl_pair_claim *b) {
    if (a->count != b->count) return a->count > b->count;
    if (a->left != b->left) return a->left < b->left;
    return a->right < b->right;
}

static void sift_up(bl_pair_table *t, int64_t at, bl_pair_claim claim) {
    while (at > 0) {
        int64_t parent = (at - 1) / 2;
        if (!before(&claim, &t->heap[parent])) break;
        t->heap[at] = t->heap[parent];
        at = parent;
    }
    t->heap[at] = claim;
}

static void sift_down(bl_pair_table *t, bl_pair_claim claim) {
    int64_t at = 0;
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= t->heap_count) break;
        if (child + 1 < t->heap_count && before(&t->heap[child + 1], &t->heap[child])) child++;
        if (!before(&t->heap[child], &claim)) break;
        t->heap[at] = t->heap[child];
        at = child;
    }
    t->heap[at] = claim;
}

bl_status bl_pair_table_settle(bl_pair_table *t) {
    for (int32_t i = 0; i < t->risen_count; i++) {
        const bl_pair *p = &t->pairs[t->risen[i]];
        if (p->count <= 0 || p->count < t->least) continue;
        if (t->heap_count == t->heap_capacity) {
            int64_t capacity = t->heap_capacity ? t->heap_capacity * 2 : 4096;
            bl_pair_claim *grown = realloc(t->heap, (size_t) capacity * sizeof *grown);
            if (!grown) return no_memory();
            t->heap = grown;
            t->heap_capacity = capacity;
        }
        sift_up(t, t->heap_count++, (bl_pair_claim){p->count, p->left, p->right, t->risen[i]});
    }
    t->risen_count = 0;
    t->round++;
    return BL_OK;
}

int32_t bl_pair_table_pop(bl_pair_table *t) {
    while (t->heap_count) {
        bl_pair_claim top = t->heap[0];
        int64_t count = t->pairs[top.pair].count;
        if (count > 0 && count < top.count) {
            top.count = count;
            sift_down(t, top);
            continue;
        }
        t->heap_count--;
        if (t->heap_count) sift_down(t, t->heap[t->heap_count]);
        /* Else the pair is gone, or a younger claim stands for it. */
        if (count == top.count) return top.pair;
    }
    return -1;
}

void bl_pair_table_clear(bl_pair_table *t) {
    for (int32_t i = 0; i < t->count; i++)
        bl_pair_forget_words(&t->pairs[i]);
    free(t->pairs);
    free(t->slots);
    free(t->heap);
    free(t->risen);
    memset(t, 0, sizeof *t);
}
