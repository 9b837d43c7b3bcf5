/*
 * page.h - one <page> element of a MediaWiki dump to its fields. A small strict
 * reader of the XML that MediaWiki writes: elements, attributes, the five XML
 * entities and numeric references; no DTD, CDATA or processing instruction.
 */
#ifndef BERTLUA_WIKI_PAGE_H
#define BERTLUA_WIKI_PAGE_H

#include "core/bytes.h"

typedef struct bl_page_text {
    bl_bytes title;
    bl_bytes text;
    bl_bytes field; /* ns, id, model */
    bool started;   /* the reader's: a page was met */
} bl_page_text;

/*
 * Parse length bytes at xml, "<page>" to "</page>". False with *wrong and the
 * offset *at for bad XML or UTF-8; false with *wrong NULL without memory.
 */
bool bl_page_parse(bl_page_text *text, const char *xml, size_t length, bl_dump_page *page, const char **wrong,
                   size_t *at);
void bl_page_free(bl_page_text *text);

/* Lines "number name" of the <namespace> elements in [p, end), ended by a NUL. */
bl_status bl_page_namespaces(const char *p, const char *end, bl_bytes *out);

#endif
