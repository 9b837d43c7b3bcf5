/*
 * template.h - the templates whose text a sentence would miss, and what of it
 * stays: data of template_table.c, carried out by template.c.
 */
#ifndef BERTLUA_WIKI_TEMPLATE_H
#define BERTLUA_WIKI_TEMPLATE_H

typedef enum bl_template_kind {
    BL_TEMPLATE_PATTERN,  /* as its pattern says */
    BL_TEMPLATE_BLOCK,    /* the same as a paragraph of its own */
    BL_TEMPLATE_SINGLE,   /* the same, unless there is a second argument */
    BL_TEMPLATE_RAISED,   /* the same, raised: "^" after a number */
    BL_TEMPLATE_AS_OF,    /* "As of 21 April 2010" */
    BL_TEMPLATE_AUTHORS,  /* "Boole & Mill (1854)" */
    BL_TEMPLATE_CONVERT,  /* numbers and their unit */
    BL_TEMPLATE_FRACTION, /* "2 1/3" */
    BL_TEMPLATE_LINK,     /* the label of a link to another wiki */
    BL_TEMPLATE_MUSIC,    /* flat, sharp or natural */
    BL_TEMPLATE_VALUE     /* "6.2×10^18 C" */
} bl_template_kind;

/*
 * A pattern is text in which $1 to $9 stand for positional arguments, $- for the
 * last and $* for all of them, joined; $(2/text/=e) for the first of these that
 * is given, by number or name, else for "e". $#1 shows a number in groups of
 * digits, $@2 a month by its number, $%1 a day, $?3 nothing. What is in braces is
 * left out if all its arguments are empty; everything is, if arguments outside
 * braces are expected and none is given.
 */
typedef struct bl_template {
    const char *name; /* case-folded, "_" as space; in the tables of other languages names between bars */
    bl_template_kind kind;
    const char *pattern;
} bl_template;

/* The template of that name on the English Wikipedia, NULL if it is to be left out. */
const bl_template *bl_template_find(const char *name);

#endif
