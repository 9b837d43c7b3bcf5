/*
 * names.h - which tensor of a model's files is which parameter: names as
 * transformers, its wrappers and bertlua write them. The Lua side of it is
 * lua/bertlua/weights/names.lua, which knows more programs.
 */
#ifndef BERTLUA_ENCODER_NAMES_H
#define BERTLUA_ENCODER_NAMES_H

#include "core/internal.h"

/* A tensor under our name. */
typedef struct bl_named {
    char *ours;
    int32_t file;  /* which of the files; 0 in memory */
    int64_t index; /* in that file, or in memory */
} bl_named;

typedef struct bl_names {
    bl_named *list; /* ascending by ours */
    int64_t count;
} bl_names;

/* Index the tensors of files. Two tensors that are the same parameter are an error. */
bl_status bl_names_open(bl_names *out, bl_safetensors *const *files, char *const *paths, int32_t count);
/* The same of tensors in memory, which have our names: their index is that in `list`. */
bl_status bl_names_of(bl_names *out, const char *const *list, int64_t count);
void bl_names_close(bl_names *names);
/* NULL if there is none. */
const bl_named *bl_names_find(const bl_names *names, const char *ours);
/* The first whose name begins so, or NULL. */
const bl_named *bl_names_begin(const bl_names *names, const char *prefix);

#endif
