/*
 * trie.h - double-array trie over bytes (Aoe 1989, with XOR for the sum):
 * longest match of a vocabulary in one table access per byte.
 */
#ifndef BERTLUA_TEXT_TRIE_H
#define BERTLUA_TEXT_TRIE_H

#include "core/internal.h"

/* On byte c, state s goes to t = base ^ c, provided that unit t has parent s. */
typedef struct bl_trie_unit {
    int32_t base;
    int32_t parent; /* -1: free */
    int32_t id;     /* of the key that ends here, -1 if none does */
} bl_trie_unit;

typedef struct bl_trie {
    bl_trie_unit *units; /* size is a multiple of 256, so base ^ c never leaves it; the root is unit 0 */
    int32_t size;
} bl_trie;

typedef struct bl_trie_key {
    const char *bytes;
    int32_t length; /* at least 1 */
    int32_t id;
} bl_trie_key;

/* keys are sorted (bl_trie_compare_keys) and distinct. */
bl_status bl_trie_init(bl_trie *trie, const bl_trie_key *keys, int32_t count);
void bl_trie_clear(bl_trie *trie);

/* Next state, -1 if there is none. */
static inline int32_t bl_trie_step(const bl_trie *trie, int32_t state, uint8_t byte) {
    int32_t next = trie->units[state].base ^ byte;
    return trie->units[next].parent == state ? next : -1;
}

/* Id of an exact key, -1 if absent. */
int32_t bl_trie_find(const bl_trie *trie, const char *bytes, size_t length);
/* State after a prefix, -1 if no key has it. */
int32_t bl_trie_descend(const bl_trie *trie, const char *bytes, size_t length);

/* Byte order, shorter first; for qsort. */
int bl_trie_compare_keys(const void *a, const void *b);

#endif
