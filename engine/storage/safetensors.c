/*
 * safetensors.c - reader of safetensors files: the header and the mapping here, the data in region.c.
 */
#include "storage/safetensors.h"
#include "storage/file.h"
#include "storage/region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct bl_safetensors {
    char *path;
    int descriptor;
    uint64_t data_start;
    bl_safetensors_header header;
};

/* Length of the header, checked against the size of the file. */
static bl_status read_header_length(const char *path, int descriptor, uint64_t size, uint64_t *length) {
    unsigned char prefix[8];
    if (size < sizeof prefix + 2)
        return bl_fail(BL_ERROR_FORMAT, "%s: not a safetensors file: %llu bytes are too few for a header", path,
                       (unsigned long long) size);
    BL_TRY(bl_region_read_at(path, descriptor, prefix, sizeof prefix, 0));
    *length = 0;
    for (int i = 7; i >= 0; i--)
        *length = *length << 8 | prefix[i];
    if (*length > BL_SAFETENSORS_MAX_HEADER)
        return bl_fail(BL_ERROR_FORMAT,
                       "%s: not a safetensors file: its header would have %llu bytes, at most %u are allowed", path,
                       (unsigned long long) *length, BL_SAFETENSORS_MAX_HEADER);
    if (*length > size - sizeof prefix)
        return bl_fail(BL_ERROR_FORMAT,
                       "%s: truncated, or not a safetensors file: the header has %llu bytes, the file only %llu; "
                       "fetch or save it again",
                       path, (unsigned long long) *length, (unsigned long long) size);
    return BL_OK;
}

static bl_status open_header(bl_safetensors *file) {
    struct stat info;
    if (fstat(file->descriptor, &info) != 0) return bl_file_fail(file->path, "look at", errno);
    if (!S_ISREG(info.st_mode)) return bl_fail(BL_ERROR_FORMAT, "%s: not a regular file", file->path);
    uint64_t size = (uint64_t) info.st_size, length = 0;
    BL_TRY(read_header_length(file->path, file->descriptor, size, &length));
    char *text = malloc((size_t) length + 1);
    if (!text) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for the safetensors header", file->path);
    bl_status status = bl_region_read_at(file->path, file->descriptor, text, (size_t) length, 8);
    file->data_start = 8 + length;
    if (status == BL_OK)
        status = bl_safetensors_header_parse(&file->header, file->path, text, (size_t) length, size - file->data_start);
    free(text);
    return status;
}

BL_API bl_status bl_safetensors_open(bl_safetensors **out, const char *path) {
    if (!out || !path) return bl_fail(BL_ERROR_ARGUMENT, "safetensors_open: an argument is NULL");
    bl_safetensors *file = calloc(1, sizeof *file);
    if (!file) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for a file handle", path);
    file->path = strdup(path);
    file->descriptor = file->path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    bl_status status = BL_OK;
    if (!file->path)
        status = bl_fail(BL_ERROR_MEMORY, "%s: out of memory for a file handle", path);
    else if (file->descriptor < 0)
        status = bl_file_fail(path, "open", errno);
    else
        status = open_header(file);
    if (status != BL_OK) {
        bl_safetensors_close(file);
        return status;
    }
    *out = file;
    return BL_OK;
}

BL_API void bl_safetensors_close(bl_safetensors *file) {
    if (!file) return;
    if (file->descriptor >= 0) close(file->descriptor);
    bl_safetensors_header_free(&file->header);
    free(file->path);
    free(file);
}

BL_API int64_t bl_safetensors_count(const bl_safetensors *file) {
    return file ? (int64_t) file->header.count : 0;
}

static bl_status find_tensor(const bl_safetensors *file, int64_t index, const bl_safetensors_tensor **out) {
    if (!file) return bl_fail(BL_ERROR_ARGUMENT, "safetensors: file is NULL");
    if (index < 0 || (uint64_t) index >= file->header.count)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: tensor number %lld of %zu", file->path, (long long) index,
                       file->header.count);
    *out = &file->header.tensors[index];
    return BL_OK;
}

BL_API bl_status bl_safetensors_describe(const bl_safetensors *file, int64_t index, bl_safetensors_info *out) {
    const bl_safetensors_tensor *t = NULL;
    BL_TRY(find_tensor(file, index, &t));
    if (!out) return bl_fail(BL_ERROR_ARGUMENT, "safetensors_describe: out is NULL");
    *out = (bl_safetensors_info){
        .name = t->name, .dtype = t->dtype, .ndim = t->ndim, .native = t->type->native, .bytes = t->end - t->begin};
    memcpy(out->shape, t->shape, sizeof out->shape);
    return BL_OK;
}

BL_API int64_t bl_safetensors_find(const bl_safetensors *file, const char *name) {
    if (!file || !name) return -1;
    size_t low = 0, high = file->header.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, file->header.tensors[middle].name);
        if (order == 0) return (int64_t) middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

BL_API int64_t bl_safetensors_metadata_count(const bl_safetensors *file) {
    return file ? (int64_t) file->header.metadata_count : 0;
}

BL_API bl_status bl_safetensors_metadata(const bl_safetensors *file, int64_t index, const char **key,
                                         const char **value) {
    if (!file || !key || !value) return bl_fail(BL_ERROR_ARGUMENT, "safetensors_metadata: an argument is NULL");
    if (index < 0 || (uint64_t) index >= file->header.metadata_count)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: metadata entry %lld of %zu", file->path, (long long) index,
                       file->header.metadata_count);
    *key = file->header.metadata[index].key;
    *value = file->header.metadata[index].value;
    return BL_OK;
}

BL_API bl_status bl_safetensors_read(bl_context *ctx, const bl_safetensors *file, int64_t index, bl_tensor *dst) {
    const bl_safetensors_tensor *t = NULL;
    BL_TRY(find_tensor(file, index, &t));
    bl_region region = {.path = file->path,
                        .name = t->name,
                        .descriptor = file->descriptor,
                        .offset = file->data_start + t->begin,
                        .bytes = t->end - t->begin,
                        .type = t->type,
                        .dtype = t->dtype,
                        .ndim = t->ndim};
    int64_t stride = 1;
    for (int32_t i = t->ndim - 1; i >= 0; i--) {
        region.shape[i] = t->shape[i];
        region.stride[i] = stride;
        stride *= t->shape[i];
    }
    return bl_region_read(ctx, &region, dst);
}

bl_status bl_safetensors_map(const bl_safetensors *file, void **base, size_t *bytes) {
    struct stat info;
    if (fstat(file->descriptor, &info) != 0) return bl_file_fail(file->path, "look at", errno);
    uint64_t need = file->data_start;
    for (size_t i = 0; i < file->header.count; i++)
        if (file->data_start + file->header.tensors[i].end > need)
            need = file->data_start + file->header.tensors[i].end;
    if ((uint64_t) info.st_size < need)
        return bl_fail(BL_ERROR_FORMAT, "%s: it has become shorter since it was opened; fetch or save it again",
                       file->path);
    void *data = mmap(NULL, (size_t) need, PROT_READ, MAP_SHARED, file->descriptor, 0);
    if (data == MAP_FAILED) return bl_file_fail(file->path, "map", errno);
    *base = data;
    *bytes = (size_t) need;
    return BL_OK;
}

bl_status bl_safetensors_offset(const bl_safetensors *file, int64_t index, uint64_t *offset) {
    const bl_safetensors_tensor *t = NULL;
    BL_TRY(find_tensor(file, index, &t));
    *offset = file->data_start + t->begin;
    return BL_OK;
}
