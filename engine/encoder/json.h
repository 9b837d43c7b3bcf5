/*
 * json.h - JSON files beside a model's parameters, read with jansson. What they
 * hold was written by anybody: sizes and depth are bounded, keys that repeat and
 * NUL characters refused.
 */
#ifndef BERTLUA_ENCODER_JSON_H
#define BERTLUA_ENCODER_JSON_H

#include <jansson.h>

#include "core/internal.h"

/* A tokenizer.json of half a million tokens has 10 MiB. */
#define BL_JSON_MOST ((size_t) 32 << 20)

/* "folder/name", to be freed; NULL without memory. */
char *bl_path_join(const char *folder, const char *name);
bool bl_is_file(const char *path);
bool bl_is_folder(const char *path);
/* Whether a name from a file is that of something directly in a folder: no slash, not "." or "..", nothing hidden. */
bool bl_is_plain_name(const char *name);

/*
 * A plain file of at most `most` bytes and a NUL behind them, to be freed. *text is NULL if there is no such file.
 * bytes may be NULL.
 */
bl_status bl_file_text(const char *path, size_t most, char **text, size_t *bytes);

/* A JSON object or list; *out is NULL if there is no such file. All numbers are reals. json_decref frees it. */
bl_status bl_json_parse(const char *path, const char *text, size_t bytes, json_t **out);
bl_status bl_json_read(const char *path, json_t **out);
/* The object in folder/name. */
bl_status bl_json_beside(const char *folder, const char *name, json_t **out);

/* Values of keys; object may be NULL. null counts as absent. */
const json_t *bl_json_get(const json_t *object, const char *key);
const char *bl_json_text(const json_t *object, const char *key);         /* NULL unless it is text */
bool bl_json_number(const json_t *object, const char *key, double *out); /* false unless it is a number */
int bl_json_truth(const json_t *object, const char *key);                /* 1, 0; -1 unless it is true or false */
/* A value for messages, into buffer; returns buffer. */
const char *bl_json_shown(const json_t *value, char *buffer, size_t bytes);

/* Remarks parted by "; ", cut where the room ends. */
typedef struct bl_remarks {
    char text[400];
    size_t used;
} bl_remarks;
void bl_remark(bl_remarks *remarks, const char *separator, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
