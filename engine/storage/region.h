/*
 * region.h - read a tensor whose elements lie somewhere in a file, in any
 * float or integer type and with any strides. The formats' readers only find
 * out where: safetensors here, pickles and zip archives in Lua.
 */
#ifndef BERTLUA_STORAGE_REGION_H
#define BERTLUA_STORAGE_REGION_H

#include "storage/safetensors.h"

typedef struct bl_region {
    const char *path; /* for messages */
    const char *name; /* the tensor's, for messages */
    int descriptor;
    uint64_t offset; /* of the storage in the file */
    uint64_t bytes;  /* of the storage in the file */
    bool latin1;     /* the bytes are code points 0 to 255 in UTF-8 */
    const bl_stored_type *type;
    const char *dtype; /* its name in the file */
    int32_t ndim;
    int64_t shape[BL_SAFETENSORS_MAX_DIMS];
    int64_t stride[BL_SAFETENSORS_MAX_DIMS]; /* in elements, 0 or more */
    uint64_t first;                          /* element of the storage where the tensor begins */
} bl_region;

/* All of bytes at offset of a file, or a message that says where it ends. */
bl_status bl_region_read_at(const char *path, int descriptor, void *out, size_t bytes, uint64_t offset);

/*
 * Read into dst: contiguous, the same shape, of a dtype that the elements
 * convert to (bl_stored_convert). Row-major raw storage is streamed; any other
 * costs a temporary copy of this one tensor. ctx may be NULL for a CPU tensor.
 */
bl_status bl_region_read(bl_context *ctx, const bl_region *region, bl_tensor *dst);

#endif
