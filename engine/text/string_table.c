/*
 * string_table.c - hash table with linear probing, half full at most.
 */
#include "text/string_table.h"

#include <stdlib.h>
#include <string.h>

/* Eight bytes at a time, multiplied and folded; good enough for words, the same on every machine of this order. */
static uint64_t hash_bytes(const char *bytes, int32_t length) {
    const uint64_t factor = 0x9e3779b97f4a7c15u;
    uint64_t hash = (uint64_t) length * factor;
    for (int32_t at = 0; at < length; at += 8) {
        uint64_t chunk = 0;
        memcpy(&chunk, bytes + at, (size_t) (length - at < 8 ? length - at : 8));
        hash = (hash ^ chunk) * factor;
        hash ^= hash >> 29;
    }
    hash *= 0xbf58476d1ce4e5b9u;
    return hash ^ hash >> 32;
}

static bl_status no_memory(void) {
    return bl_fail(BL_ERROR_MEMORY, "vocab_trainer: out of memory for words; train on less text");
}

static bl_status grow_slots(bl_string_table *t) {
    uint32_t slot_count = t->slot_count ? t->slot_count * 2 : 1u << 12;
    if (slot_count > 1u << 30) return bl_fail(BL_ERROR_UNSUPPORTED, "vocab_trainer: more than 2^29 distinct words");
    int32_t *slots = malloc(slot_count * sizeof *slots);
    if (!slots) return no_memory();
    memset(slots, 0xff, slot_count * sizeof *slots);
    for (int32_t i = 0; i < t->count; i++) {
        uint32_t slot = (uint32_t) t->entries[i].hash & (slot_count - 1);
        while (slots[slot] >= 0)
            slot = (slot + 1) & (slot_count - 1);
        slots[slot] = i;
    }
    free(t->slots);
    t->slots = slots;
    t->slot_count = slot_count;
    return BL_OK;
}

static bl_status add(bl_string_table *t, const char *bytes, int32_t length, uint64_t hash, uint32_t slot) {
    size_t need = t->used + (size_t) length + 1;
    if (need > t->byte_capacity) {
        size_t capacity = need * 2 + 4096;
        char *grown = realloc(t->bytes, capacity);
        if (!grown) return no_memory();
        t->bytes = grown;
        t->byte_capacity = capacity;
    }
    if (t->count == t->capacity) {
        int32_t capacity = t->capacity ? t->capacity * 2 : 1024;
        bl_string_entry *grown = realloc(t->entries, (size_t) capacity * sizeof *grown);
        if (!grown) return no_memory();
        t->entries = grown;
        t->capacity = capacity;
    }
    memcpy(t->bytes + t->used, bytes, (size_t) length);
    t->bytes[need - 1] = '\0';
    t->entries[t->count] = (bl_string_entry){hash, t->used, length, 0};
    t->used = need;
    t->slots[slot] = t->count++;
    return BL_OK;
}

bl_status bl_string_table_intern(bl_string_table *t, const char *bytes, int32_t length, int32_t *index) {
    if ((uint32_t) t->count >= t->slot_count / 2) BL_TRY(grow_slots(t));
    uint64_t hash = hash_bytes(bytes, length);
    uint32_t slot = (uint32_t) hash & (t->slot_count - 1);
    for (; t->slots[slot] >= 0; slot = (slot + 1) & (t->slot_count - 1)) {
        const bl_string_entry *e = &t->entries[t->slots[slot]];
        if (e->hash == hash && e->length == length && !memcmp(t->bytes + e->offset, bytes, (size_t) length)) {
            *index = t->slots[slot];
            return BL_OK;
        }
    }
    BL_TRY(add(t, bytes, length, hash, slot));
    *index = t->count - 1;
    return BL_OK;
}

void bl_string_table_clear(bl_string_table *t) {
    free(t->bytes);
    free(t->entries);
    free(t->slots);
    memset(t, 0, sizeof *t);
}
