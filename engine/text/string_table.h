/*
 * string_table.h - distinct byte strings numbered from 0 in the order they
 * came, each with a value: word counts, token ids.
 */
#ifndef BERTLUA_TEXT_STRING_TABLE_H
#define BERTLUA_TEXT_STRING_TABLE_H

#include "core/internal.h"

typedef struct bl_string_entry {
    uint64_t hash;
    size_t offset; /* into bytes; a NUL follows the string */
    int32_t length;
    int64_t value;
} bl_string_entry;

typedef struct bl_string_table {
    char *bytes;
    size_t used;
    size_t byte_capacity;
    bl_string_entry *entries; /* [count] */
    int32_t count;
    int32_t capacity;
    int32_t *slots; /* open addressing, power of two; -1 is empty */
    uint32_t slot_count;
} bl_string_table;

/* Number of a string, which is added with value 0 if it is new. A zeroed table is an empty one. */
bl_status bl_string_table_intern(bl_string_table *table, const char *bytes, int32_t length, int32_t *index);
void bl_string_table_clear(bl_string_table *table);

static inline const char *bl_string_at(const bl_string_table *table, int32_t index) {
    return table->bytes + table->entries[index].offset;
}

#endif
