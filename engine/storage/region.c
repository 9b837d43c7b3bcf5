/*
 * region.c - tensors out of files. Data are read with pread, not mapped: a
 * file cut short under a mapping would kill the process.
 */
#include "storage/region.h"
#include "storage/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK_BYTES = 1 << 20, CHUNK_ELEMENTS = CHUNK_BYTES / 8 };

bl_status bl_region_read_at(const char *path, int descriptor, void *out, size_t bytes, uint64_t offset) {
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

/* "[2,8]" into buffer. */
static const char *format_shape(char *buffer, size_t bytes, const int64_t *shape, int32_t ndim) {
    size_t used = 0;
    used += (size_t) snprintf(buffer, bytes, "[");
    for (int32_t i = 0; i < ndim && used < bytes; i++)
        used += (size_t) snprintf(buffer + used, bytes - used, i ? ",%lld" : "%lld", (long long) shape[i]);
    if (used < bytes) snprintf(buffer + used, bytes - used, "]");
    return buffer;
}

static bl_status check_target(const bl_context *ctx, const bl_region *r, const bl_tensor *dst) {
    if (!dst || !dst->data) return bl_fail(BL_ERROR_ARGUMENT, "%s: %s: dst is NULL", r->path, r->name);
    if (dst->ndim < 0 || dst->ndim > BL_MAX_DIMS) {
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %.200s: dst has %d dimensions, expected at most %d", r->path, r->name,
                       (int) dst->ndim, BL_MAX_DIMS);
    }
    bool same = r->ndim == dst->ndim;
    for (int32_t i = 0; same && i < r->ndim; i++)
        same = r->shape[i] == dst->shape[i];
    if (!same) {
        char got[160], wanted[160];
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %.200s is %s, expected %s", r->path, r->name,
                       format_shape(got, sizeof got, r->shape, r->ndim),
                       format_shape(wanted, sizeof wanted, dst->shape, dst->ndim));
    }
    if (!bl_tensor_is_contiguous(dst))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %.200s: dst is not contiguous", r->path, r->name);
    if (dst->device != BL_CPU && !ctx)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %.200s: a context is needed for a tensor that is not on the CPU",
                       r->path, r->name);
    return BL_OK;
}

static bl_status convert_chunk(const bl_region *r, void *to, int32_t dtype, const void *from, size_t count) {
    int reason = bl_stored_convert(to, dtype, from, r->type->element, count);
    if (r->type->element == BL_STORED_OTHER)
        return bl_fail(BL_ERROR_UNSUPPORTED,
                       "%s: %.200s is %s, which is not implemented; convert the file to F32 first", r->path, r->name,
                       r->dtype);
    if (reason == 1)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %.200s is %s, which does not convert to %s", r->path, r->name,
                       r->type->name, bl_dtype_name(dtype));
    if (reason == 2)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %.200s holds a value that does not fit %s", r->path, r->name,
                       bl_dtype_name(dtype));
    return BL_OK;
}

/* Whether the elements lie in the file in the order of dst. */
static bool is_row_major(const bl_region *r) {
    int64_t expected = 1;
    for (int32_t i = r->ndim - 1; i >= 0; i--) {
        if (r->shape[i] != 1 && r->stride[i] != expected) return false;
        expected *= r->shape[i];
    }
    return true;
}

/* Number of elements from the first to the last; 0 and a message if they do not all lie in the storage. */
static bl_status find_span(const bl_region *r, uint64_t *span) {
    uint64_t last = r->first;
    bool fits = true;
    for (int32_t i = 0; fits && i < r->ndim; i++) {
        int64_t reach = 0;
        fits = r->shape[i] > 0 && r->stride[i] >= 0 && !__builtin_mul_overflow(r->shape[i] - 1, r->stride[i], &reach) &&
               !__builtin_add_overflow(last, (uint64_t) reach, &last);
    }
    /* A storage in UTF-8 has at least one byte of the file for each byte of its own. */
    if (!fits || last >= r->bytes / bl_stored_bytes(r->type))
        return bl_fail(BL_ERROR_FORMAT, "%s: %.200s reaches beyond its storage of %llu bytes", r->path, r->name,
                       (unsigned long long) r->bytes);
    *span = last - r->first + 1;
    return BL_OK;
}

/* Bytes [skip, skip + bytes) of what a Latin-1 storage decodes to. */
static bl_status read_latin1(const bl_region *r, unsigned char *out, size_t bytes, uint64_t skip,
                             unsigned char *chunk) {
    uint64_t at = r->offset, end = r->offset + r->bytes;
    unsigned char lead = 0;
    while (bytes > 0 && at < end) {
        size_t n = end - at < CHUNK_BYTES ? (size_t) (end - at) : CHUNK_BYTES;
        BL_TRY(bl_region_read_at(r->path, r->descriptor, chunk, n, at));
        at += n;
        for (size_t i = 0; i < n && bytes > 0; i++) {
            unsigned char c = chunk[i];
            if (!lead && (c == 0xC2 || c == 0xC3)) {
                lead = c;
                continue;
            }
            if (lead ? (c & 0xC0) != 0x80 : c >= 0x80)
                return bl_fail(BL_ERROR_FORMAT, "%s: %.200s: its storage is not bytes written as text", r->path,
                               r->name);
            if (lead) c = (unsigned char) ((lead & 3) << 6 | (c & 0x3F));
            lead = 0;
            if (skip > 0) {
                skip--;
            } else {
                *out++ = c;
                bytes--;
            }
        }
    }
    if (bytes > 0) return bl_fail(BL_ERROR_FORMAT, "%s: %.200s reaches beyond its storage", r->path, r->name);
    return BL_OK;
}

/* Write count converted elements at element `done` of dst. */
static bl_status deliver(bl_context *ctx, bl_tensor *dst, size_t done, const void *values, size_t count) {
    size_t size = bl_dtype_size(dst->dtype);
    char *target = (char *) dst->data + done * size;
    if (dst->device == BL_CPU) {
        memcpy(target, values, count * size);
        return BL_OK;
    }
    bl_tensor part = *dst;
    part.data = target;
    part.ndim = 1;
    part.shape[0] = (int64_t) count;
    part.stride[0] = 1;
    for (int i = 1; i < BL_MAX_DIMS; i++) {
        part.shape[i] = 1;
        part.stride[i] = 0;
    }
    return bl_upload(ctx, &part, values, count * size);
}

static bl_status convert_and_deliver(bl_context *ctx, const bl_region *r, bl_tensor *dst, size_t done, char *raw,
                                     char *ready, size_t count) {
    if (r->type->native == dst->dtype) return deliver(ctx, dst, done, raw, count);
    BL_TRY(convert_chunk(r, ready, dst->dtype, raw, count));
    return deliver(ctx, dst, done, ready, count);
}

/* Chunk by chunk from the file, where the order is that of dst. */
static bl_status stream(bl_context *ctx, const bl_region *r, bl_tensor *dst, char *raw, char *ready) {
    size_t in = bl_stored_bytes(r->type), total = (size_t) bl_tensor_numel(dst);
    for (size_t done = 0; done < total; done += CHUNK_ELEMENTS) {
        size_t count = total - done < CHUNK_ELEMENTS ? total - done : CHUNK_ELEMENTS;
        BL_TRY(bl_region_read_at(r->path, r->descriptor, raw, count * in, r->offset + (r->first + done) * in));
        BL_TRY(convert_and_deliver(ctx, r, dst, done, raw, ready, count));
    }
    return BL_OK;
}

/* Elements of dst in its order, picked from the span held in `span`. */
static bl_status gather(bl_context *ctx, const bl_region *r, bl_tensor *dst, const char *span, char *raw, char *ready) {
    size_t in = bl_stored_bytes(r->type), total = (size_t) bl_tensor_numel(dst), count = 0;
    int64_t index[BL_SAFETENSORS_MAX_DIMS] = {0}, at = 0;
    for (size_t done = 0; done < total; done++) {
        memcpy(raw + count++ * in, span + (size_t) at * in, in);
        if (count == CHUNK_ELEMENTS || done + 1 == total) {
            BL_TRY(convert_and_deliver(ctx, r, dst, done + 1 - count, raw, ready, count));
            count = 0;
        }
        for (int32_t i = r->ndim - 1; i >= 0; i--) {
            at += r->stride[i];
            if (++index[i] < r->shape[i]) break;
            at -= index[i] * r->stride[i];
            index[i] = 0;
        }
    }
    return BL_OK;
}

static bl_status read_span(bl_context *ctx, const bl_region *r, bl_tensor *dst, uint64_t elements, char *raw,
                           char *ready) {
    size_t bytes = (size_t) elements * bl_stored_bytes(r->type);
    char *span = malloc(bytes);
    if (!span) return bl_fail(BL_ERROR_MEMORY, "%s: %.200s: out of memory for a copy of it", r->path, r->name);
    uint64_t skip = r->first * bl_stored_bytes(r->type);
    bl_status status = r->latin1 ? read_latin1(r, (unsigned char *) span, bytes, skip, (unsigned char *) raw)
                                 : bl_region_read_at(r->path, r->descriptor, span, bytes, r->offset + skip);
    if (status == BL_OK) status = gather(ctx, r, dst, span, raw, ready);
    free(span);
    return status;
}

bl_status bl_region_read(bl_context *ctx, const bl_region *r, bl_tensor *dst) {
    BL_TRY(check_target(ctx, r, dst));
    BL_TRY(convert_chunk(r, NULL, dst->dtype, NULL, 0)); /* only asks whether the pair converts */
    if (bl_tensor_numel(dst) == 0) return BL_OK;
    uint64_t span = 0;
    BL_TRY(find_span(r, &span));
    bool in_order = !r->latin1 && is_row_major(r);
    if (in_order && r->type->native == dst->dtype && dst->device == BL_CPU)
        return bl_region_read_at(r->path, r->descriptor, dst->data, (size_t) span * bl_stored_bytes(r->type),
                                 r->offset + r->first * bl_stored_bytes(r->type));
    char *buffer = malloc(2 * CHUNK_BYTES);
    if (!buffer) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for a read buffer", r->path);
    char *ready = buffer + CHUNK_BYTES;
    bl_status status = in_order ? stream(ctx, r, dst, buffer, ready) : read_span(ctx, r, dst, span, buffer, ready);
    free(buffer);
    return status;
}

static bl_status describe(const bl_file_region *in, const char *path, bl_region *out) {
    if (!in || !path || !in->name || !in->dtype)
        return bl_fail(BL_ERROR_ARGUMENT, "file_read_tensor: an argument is NULL");
    if (in->ndim < 0 || in->ndim > BL_SAFETENSORS_MAX_DIMS)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %.200s has %d dimensions, at most %d are allowed", path, in->name,
                       (int) in->ndim, BL_SAFETENSORS_MAX_DIMS);
    const bl_stored_type *type = bl_stored_type_find(in->dtype, strlen(in->dtype));
    if (!type) return bl_fail(BL_ERROR_ARGUMENT, "%s: %.200s has the unknown dtype %.20s", path, in->name, in->dtype);
    *out = (bl_region){.path = path,
                       .name = in->name,
                       .descriptor = -1,
                       .offset = in->offset,
                       .bytes = in->bytes,
                       .latin1 = in->latin1 != 0,
                       .type = type,
                       .dtype = in->dtype,
                       .ndim = in->ndim,
                       .first = in->first};
    memcpy(out->shape, in->shape, sizeof out->shape);
    memcpy(out->stride, in->stride, sizeof out->stride);
    return BL_OK;
}

static bl_status check_bounds(const bl_region *r) {
    struct stat info;
    if (fstat(r->descriptor, &info) != 0) return bl_file_fail(r->path, "look at", errno);
    uint64_t size = (uint64_t) info.st_size;
    if (!S_ISREG(info.st_mode)) return bl_fail(BL_ERROR_FORMAT, "%s: not a regular file", r->path);
    if (r->offset > size || r->bytes > size - r->offset)
        return bl_fail(BL_ERROR_FORMAT, "%s: truncated: the data of %.200s end at byte %.0f, the file at %llu", r->path,
                       r->name, (double) r->offset + (double) r->bytes, (unsigned long long) size);
    return BL_OK;
}

BL_API bl_status bl_file_read_tensor(bl_context *ctx, const char *path, const bl_file_region *where, bl_tensor *dst) {
    bl_region region;
    BL_TRY(describe(where, path, &region));
    region.descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (region.descriptor < 0) return bl_file_fail(path, "open", errno);
    bl_status status = check_bounds(&region);
    if (status == BL_OK) status = bl_region_read(ctx, &region, dst);
    close(region.descriptor);
    return status;
}
