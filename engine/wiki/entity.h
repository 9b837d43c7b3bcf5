/*
 * entity.h - character references: "&lt;", "&#8211;", "&#x2013;", "&ndash;".
 */
#ifndef BERTLUA_WIKI_ENTITY_H
#define BERTLUA_WIKI_ENTITY_H

#include "core/bytes.h"

/*
 * Append what the reference at p ('&') stands for. Returns its length, 0 if
 * there is no known reference. xml: only XML's own five names and numbers.
 */
size_t bl_entity_decode(const char *p, const char *end, bool xml, bl_bytes *out);

#endif
