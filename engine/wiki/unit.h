/*
 * unit.h - units as {{convert}} knows and shows them.
 */
#ifndef BERTLUA_WIKI_UNIT_H
#define BERTLUA_WIKI_UNIT_H

#include <stdbool.h>
#include <stddef.h>

enum {
    BL_UNIT_NAMED = 1, /* written in words unless abbr=on asks for the symbol */
    BL_UNIT_SCALED = 2 /* k, M, G, T before its code stand for thousand, million, billion, trillion */
};

typedef struct bl_unit {
    const char *code;
    const char *symbol; /* NULL: its name, also with abbr=on */
    const char *singular, *plural;
    int flags;
} bl_unit;

/* The unit of that code, NULL if the code is its own symbol. */
const bl_unit *bl_unit_find(const char *code, size_t length);
/* Whether a quantity may be given in both units together: 5 ft 11 in. */
bool bl_unit_divides(const char *large, size_t large_length, const char *small, size_t small_length);

#endif
