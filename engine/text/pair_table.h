/*
 * pair_table.h - neighbouring symbol pairs: how often each occurs, in which
 * words, and which is the most frequent.
 */
#ifndef BERTLUA_TEXT_PAIR_TABLE_H
#define BERTLUA_TEXT_PAIR_TABLE_H

#include "core/internal.h"

/* Most pairs are rare: their words need no list of their own. */
enum { BL_PAIR_FEW = 2 };

typedef struct bl_pair {
    int32_t left;
    int32_t right;
    int64_t count;
    union {
        int32_t few[BL_PAIR_FEW]; /* up to this many words */
        int32_t *list;            /* more: room for the next power of two */
    } words;                      /* numbers of words that have or had the pair */
    int32_t word_count;
    int32_t round; /* the round in which its count last rose */
} bl_pair;

/* A promise that the pair occurred `count` times when it was queued. */
typedef struct bl_pair_claim {
    int64_t count;
    int32_t left;
    int32_t right;
    int32_t pair;
} bl_pair_claim;

typedef struct bl_pair_table {
    bl_pair *pairs; /* [count] */
    int32_t count;
    int32_t capacity;
    int32_t *slots; /* open addressing, power of two; -1 is empty */
    uint32_t slot_count;
    bl_pair_claim *heap; /* largest count first, then smallest pair */
    int64_t heap_count;
    int64_t heap_capacity;
    int32_t *risen; /* pairs whose count rose in this round */
    int32_t risen_count;
    int32_t risen_capacity;
    int32_t round;
    int64_t least; /* pairs that occur less often are not put in order */
} bl_pair_table;

/* `amount` more occurrences of a pair in a word (a zeroed table is an empty one). */
bl_status bl_pair_table_increase(bl_pair_table *table, int32_t left, int32_t right, int32_t word, int64_t amount);
/* `amount` fewer; the pair must be known. */
void bl_pair_table_decrease(bl_pair_table *table, int32_t left, int32_t right, int64_t amount);
/* End a round of changes: the pairs that rose take their new place in the order. */
bl_status bl_pair_table_settle(bl_pair_table *table);
static inline const int32_t *bl_pair_words(const bl_pair *pair) {
    return pair->word_count <= BL_PAIR_FEW ? pair->words.few : pair->words.list;
}
/* Let go of a pair's words. */
void bl_pair_forget_words(bl_pair *pair);
/* Number of the most frequent pair, taken out of the order; -1 if no pair is left. */
int32_t bl_pair_table_pop(bl_pair_table *table);
void bl_pair_table_clear(bl_pair_table *table);

#endif
