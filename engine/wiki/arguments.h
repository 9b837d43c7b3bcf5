/*
 * arguments.h - the arguments of a template as MediaWiki reads them: numbered
 * and named ones, of which the last of a name counts.
 */
#ifndef BERTLUA_WIKI_ARGUMENTS_H
#define BERTLUA_WIKI_ARGUMENTS_H

#include "wiki/markup.h"

/* The arguments of a template, from the first bar on. */
typedef struct bl_arguments {
    const bl_wikitext *w;
    const char *p, *end;
    int position; /* of the last positional one */
} bl_arguments;

typedef struct bl_argument {
    const char *value, *end;
    const char *key, *key_end; /* equal for a positional one */
    int number;                /* of a positional one, also "1=value"; 0 if it is named */
} bl_argument;

/* The next argument; false at the end. A named "text=" or "quote=" counts as the first. */
bool bl_arguments_next(bl_arguments *list, bl_argument *found);
/*
 * The positional argument with this number, 0 for the last one, or the one of this name, without spaces around it;
 * false if there is none or it is empty.
 */
bool bl_arguments_pick(bl_arguments list, int wanted, const char *name, size_t length, bl_argument *picked);
bool bl_arguments_named(bl_arguments list, const char *name, bl_argument *picked);
bool bl_arguments_has(bl_arguments list, const char *name);
/* Number of positional arguments. */
int bl_arguments_count(bl_arguments list);

/* {{convert}}: the quantity that was given, without its conversion; abbreviated: as {{cvt}} does. */
void bl_markup_convert(bl_wikitext *w, bl_arguments list, bool abbreviated);
/* A template by its pattern: see template.h. False if it has nothing to say. */
bool bl_markup_pattern_applies(const char *pattern, bl_arguments list);
void bl_markup_pattern(bl_wikitext *w, const char *pattern, bl_arguments list);
/* A number with the digits of its whole part in groups, as {{formatnum:}} of this wiki shows it. */
void bl_markup_number(bl_wikitext *w, const char *p, const char *end);

#endif
