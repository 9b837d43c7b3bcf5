/*
 * safetensors.c - reader of safetensors files. Data are read with pread, not
 * mapped: a file cut short under a mapping would kill the process.
 */
#include "io/safetensors.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct bl_safetensors {
    char *path;
    int descriptor;
    uint64_t data_start;
    bl_safetensors_header header;
};

enum { CHUNK_BYTES = 1 << 20 };

static bl_status read_at(const char *path, int descriptor, void *out, size_t bytes, uint64_t offset) {
    char *p = out;
    while (bytes > 0) {
        ssize_t n = pread(descriptor, p, bytes < (1u << 30) ? bytes : (1u << 30), (off_t) offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return bl_file_fail(path, "read", errno);
        if (n == 0) return bl_fail(BL_ERROR_FORMAT, "%s: truncated at byte %llu", path, (unsigned long long) offset);
        p += n;
        bytes -= (size_t) n;
        offset += (uint64_t) n;
    }
    return BL_OK;
}

/* Length of the header, checked against the size of the file. */
static bl_status read_header_length(const char *path, int descriptor, uint64_t size, uint64_t *length) {
    unsigned char prefix[8];
    if (size < sizeof prefix + 2)
        return bl_fail(BL_ERROR_FORMAT, "%s: not a safetensors file: %llu bytes are too few for a header", path,
                       (unsigned long long) size);
    BL_TRY(read_at(path, descriptor, prefix, sizeof prefix, 0));
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
    bl_status status = read_at(file->path, file->descriptor, text, (size_t) length, 8);
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
    *out = (bl_safetensors_info){.name = t->name,
                                 .dtype = t->type->name,
                                 .ndim = t->ndim,
                                 .native = t->type->native,
                                 .bytes = t->end - t->begin};
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

/* "[2,8]" into buffer. */
static const char *format_shape(char *buffer, size_t bytes, const int64_t *shape, int32_t ndim) {
    size_t used = 0;
    used += (size_t) snprintf(buffer, bytes, "[");
    for (int32_t i = 0; i < ndim && used < bytes; i++)
        used += (size_t) snprintf(buffer + used, bytes - used, i ? ",%lld" : "%lld", (long long) shape[i]);
    if (used < bytes) snprintf(buffer + used, bytes - used, "]");
    return buffer;
}

static bl_status check_target(const bl_context *ctx, const bl_safetensors *file, const bl_safetensors_tensor *t,
                              const bl_tensor *dst) {
    if (!dst || !dst->data) return bl_fail(BL_ERROR_ARGUMENT, "%s: %s: dst is NULL", file->path, t->name);
    bool same = t->ndim == dst->ndim;
    for (int32_t i = 0; same && i < t->ndim; i++)
        same = t->shape[i] == dst->shape[i];
    if (!same) {
        char got[160], wanted[160];
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %.200s is %s, expected %s", file->path, t->name,
                       format_shape(got, sizeof got, t->shape, t->ndim),
                       format_shape(wanted, sizeof wanted, dst->shape, dst->ndim));
    }
    if (!bl_tensor_is_contiguous(dst))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %.200s: dst is not contiguous", file->path, t->name);
    if (dst->device != BL_CPU && !ctx)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %.200s: a context is needed for a tensor that is not on the CPU",
                       file->path, t->name);
    return BL_OK;
}

static bl_status convert_chunk(const bl_safetensors *file, const bl_safetensors_tensor *t, void *to, int32_t dtype,
                               const void *from, size_t count) {
    int reason = bl_stored_convert(to, dtype, from, t->type->element, count);
    if (reason == 1)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %.200s is %s, which does not convert to %s", file->path, t->name,
                       t->type->name, bl_dtype_name(dtype));
    if (reason == 2)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %.200s holds a value that does not fit %s", file->path, t->name,
                       bl_dtype_name(dtype));
    return BL_OK;
}

/* Chunk by chunk: read into `raw`, convert into `ready` unless dtypes agree, then to dst. */
static bl_status read_chunks(bl_context *ctx, const bl_safetensors *file, const bl_safetensors_tensor *t,
                             bl_tensor *dst, char *raw, char *ready) {
    size_t in = t->type->bytes, out = bl_dtype_size(dst->dtype);
    size_t step = CHUNK_BYTES / 8;
    size_t total = (size_t) bl_tensor_numel(dst);
    for (size_t done = 0; done < total; done += step) {
        size_t count = total - done < step ? total - done : step;
        BL_TRY(read_at(file->path, file->descriptor, raw, count * in, file->data_start + t->begin + done * in));
        char *values = raw;
        if (t->type->native != dst->dtype) {
            BL_TRY(convert_chunk(file, t, ready, dst->dtype, raw, count));
            values = ready;
        }
        char *target = (char *) dst->data + done * out;
        if (dst->device == BL_CPU) {
            memcpy(target, values, count * out);
        } else {
            bl_tensor part = *dst;
            part.data = target;
            part.ndim = 1;
            part.shape[0] = (int64_t) count;
            part.stride[0] = 1;
            for (int i = 1; i < BL_MAX_DIMS; i++) {
                part.shape[i] = 1;
                part.stride[i] = 0;
            }
            BL_TRY(bl_upload(ctx, &part, values, count * out));
        }
    }
    return BL_OK;
}

BL_API bl_status bl_safetensors_read(bl_context *ctx, const bl_safetensors *file, int64_t index, bl_tensor *dst) {
    const bl_safetensors_tensor *t = NULL;
    BL_TRY(find_tensor(file, index, &t));
    BL_TRY(check_target(ctx, file, t, dst));
    BL_TRY(convert_chunk(file, t, NULL, dst->dtype, NULL, 0)); /* only asks whether the pair converts */
    if (t->type->native == dst->dtype && dst->device == BL_CPU)
        return read_at(file->path, file->descriptor, dst->data, (size_t) (t->end - t->begin),
                       file->data_start + t->begin);
    char *buffer = malloc(2 * CHUNK_BYTES);
    if (!buffer) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for a read buffer", file->path);
    bl_status status = read_chunks(ctx, file, t, dst, buffer, buffer + CHUNK_BYTES);
    free(buffer);
    return status;
}
