/*
 * safetensors.h - the parsed header of a safetensors file, shared by the
 * parser, the reader and the writer. The format: u64 little-endian length of
 * the header, a JSON object {name: {dtype, shape, data_offsets}} with an
 * optional __metadata__ map of strings, padded with spaces, then the data.
 */
#ifndef BERTLUA_STORAGE_SAFETENSORS_H
#define BERTLUA_STORAGE_SAFETENSORS_H

#include "core/internal.h"

enum { BL_SAFETENSORS_MAX_DIMS = 8 };
#define BL_SAFETENSORS_MAX_HEADER 100000000u

/* What an element of a file's dtype is. */
typedef enum bl_stored {
    BL_STORED_F64,
    BL_STORED_F32,
    BL_STORED_F16,
    BL_STORED_BF16,
    BL_STORED_I64,
    BL_STORED_I32,
    BL_STORED_I16,
    BL_STORED_I8,
    BL_STORED_U64,
    BL_STORED_U32,
    BL_STORED_U16,
    BL_STORED_U8,
    BL_STORED_BOOL,
    BL_STORED_OTHER, /* floats of 8 bits and less, complex numbers, unknown ones: listed, never converted */
} bl_stored;

typedef struct bl_stored_type {
    const char *name; /* in the file */
    bl_stored element;
    uint32_t bits;  /* of an element; 0 for a dtype that is not known */
    int32_t native; /* bl_dtype or -1 */
} bl_stored_type;

/* Whole bytes of an element; 0 where it has none. */
static inline uint32_t bl_stored_bytes(const bl_stored_type *type) {
    return type->bits / 8;
}

/* The type of dtypes that are not known: nothing is said of their size. */
extern const bl_stored_type bl_stored_unknown;
/* The type called name (of length bytes), NULL if the format has no such dtype. */
const bl_stored_type *bl_stored_type_find(const char *name, size_t length);
/* The type that stores a bl_dtype as it is, NULL for an unknown one. */
const bl_stored_type *bl_stored_type_of(int32_t dtype);

typedef struct bl_safetensors_tensor {
    char *name;
    const bl_stored_type *type;
    char *dtype; /* in the file */
    int64_t shape[BL_SAFETENSORS_MAX_DIMS];
    int32_t ndim;
    uint64_t begin; /* offsets into the data section */
    uint64_t end;
} bl_safetensors_tensor;

typedef struct bl_safetensors_pair {
    char *key;
    char *value;
} bl_safetensors_pair;

typedef struct bl_safetensors_header {
    bl_safetensors_tensor *tensors; /* ascending by name */
    size_t count;
    size_t capacity;
    bl_safetensors_pair *metadata; /* ascending by key */
    size_t metadata_count;
    size_t metadata_capacity;
} bl_safetensors_header;

/*
 * Parse and check the JSON text of a header whose file holds data_bytes of
 * data. path is for messages only. On failure nothing is left to free.
 */
bl_status bl_safetensors_header_parse(bl_safetensors_header *out, const char *path, const char *text, size_t bytes,
                                      uint64_t data_bytes);
void bl_safetensors_header_free(bl_safetensors_header *header);

/*
 * Map the whole of an open file into memory, to be read only and shared with
 * every process that does so. The caller unmaps it (munmap); it outlives the
 * file's handle. A file that is cut short meanwhile ends the process (SIGBUS).
 */
bl_status bl_safetensors_map(const bl_safetensors *file, void **base, size_t *bytes);
/* Where a tensor's elements begin in the file. */
bl_status bl_safetensors_offset(const bl_safetensors *file, int64_t index, uint64_t *offset);

/*
 * Convert count elements between host arrays: float kinds into float dtypes,
 * integer kinds into integer dtypes. Returns 0, or 1 when the pair is not
 * convertible, or 2 when a value does not fit.
 */
int bl_stored_convert(void *dst, int32_t dtype, const void *src, bl_stored element, size_t count);

#endif
