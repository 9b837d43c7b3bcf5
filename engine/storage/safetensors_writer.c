/*
 * safetensors_writer.c - writer of safetensors files: wide elements first,
 * then by name, so that every tensor is aligned and equal input gives equal
 * bytes. Streams from any device through one small buffer.
 */
#include "storage/file.h"
#include "storage/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    char *name;
    bl_tensor tensor;
    const bl_stored_type *type;
    uint64_t bytes;
} entry;

struct bl_safetensors_writer {
    char *path;
    bl_file_output out; /* open from begin to finish */
    char *buffer;
    size_t next; /* entry that put writes next */
    bool open;
    entry *entries;
    size_t count;
    size_t capacity;
    bl_safetensors_pair *metadata;
    size_t metadata_count;
    size_t metadata_capacity;
};

/* Growing header text; `failed` once memory ran out. */
typedef struct text {
    char *data;
    size_t length;
    size_t capacity;
    bool failed;
} text;

enum { CHUNK_BYTES = 1 << 20 };

static void append(text *out, const char *data, size_t bytes) {
    if (out->failed) return;
    if (bytes > out->capacity - out->length) {
        size_t wanted = (out->length + bytes) * 2 + 256;
        char *moved = realloc(out->data, wanted);
        if (!moved) {
            out->failed = true;
            return;
        }
        out->data = moved;
        out->capacity = wanted;
    }
    memcpy(out->data + out->length, data, bytes);
    out->length += bytes;
}

static void append_text(text *out, const char *string) {
    append(out, string, strlen(string));
}

static void append_quoted(text *out, const char *string) {
    append_text(out, "\"");
    for (const char *p = string; *p; p++) {
        unsigned char c = (unsigned char) *p;
        char escape[8];
        if (c == '"' || c == '\\')
            append(out, (char[]){'\\', *p}, 2);
        else if (c < 0x20)
            append(out, escape, (size_t) snprintf(escape, sizeof escape, "\\u%04x", c));
        else
            append(out, p, 1);
    }
    append_text(out, "\"");
}

static void append_integer(text *out, uint64_t value) {
    char digits[24];
    append(out, digits, (size_t) snprintf(digits, sizeof digits, "%llu", (unsigned long long) value));
}

BL_API bl_status bl_safetensors_writer_create(bl_safetensors_writer **out, const char *path) {
    if (!out || !path) return bl_fail(BL_ERROR_ARGUMENT, "safetensors_writer_create: an argument is NULL");
    bl_safetensors_writer *writer = calloc(1, sizeof *writer);
    if (writer) writer->path = strdup(path);
    if (!writer || !writer->path) {
        free(writer);
        return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for a writer", path);
    }
    *out = writer;
    return BL_OK;
}

BL_API void bl_safetensors_writer_free(bl_safetensors_writer *writer) {
    if (!writer) return;
    if (writer->open) bl_file_output_discard(&writer->out);
    for (size_t i = 0; i < writer->count; i++)
        free(writer->entries[i].name);
    free(writer->buffer);
    for (size_t i = 0; i < writer->metadata_count; i++) {
        free(writer->metadata[i].key);
        free(writer->metadata[i].value);
    }
    free(writer->entries);
    free(writer->metadata);
    free(writer->path);
    free(writer);
}

static bl_status grow(const char *path, void **items, size_t count, size_t *capacity, size_t bytes) {
    if (count < *capacity) return BL_OK;
    size_t wanted = *capacity ? *capacity * 2 : 32;
    void *moved = realloc(*items, wanted * bytes);
    if (!moved) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for the list of tensors", path);
    *items = moved;
    *capacity = wanted;
    return BL_OK;
}

BL_API bl_status bl_safetensors_writer_metadata(bl_safetensors_writer *writer, const char *key, const char *value) {
    if (!writer || !key || !value)
        return bl_fail(BL_ERROR_ARGUMENT, "safetensors_writer_metadata: an argument is NULL");
    for (size_t i = 0; i < writer->metadata_count; i++)
        if (strcmp(writer->metadata[i].key, key) == 0)
            return bl_fail(BL_ERROR_ARGUMENT, "%s: metadata key %.200s is given twice", writer->path, key);
    void *items = writer->metadata;
    BL_TRY(grow(writer->path, &items, writer->metadata_count, &writer->metadata_capacity, sizeof *writer->metadata));
    writer->metadata = items;
    bl_safetensors_pair pair = {strdup(key), strdup(value)};
    if (!pair.key || !pair.value) {
        free(pair.key);
        free(pair.value);
        return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for metadata", writer->path);
    }
    writer->metadata[writer->metadata_count++] = pair;
    return BL_OK;
}

BL_API bl_status bl_safetensors_writer_add(bl_safetensors_writer *writer, const char *name, const bl_tensor *t) {
    if (!writer || !name || !t) return bl_fail(BL_ERROR_ARGUMENT, "safetensors_writer_add: an argument is NULL");
    if (writer->open) return bl_fail(BL_ERROR_ARGUMENT, "%s: %.200s is added after begin", writer->path, name);
    if (strcmp(name, "__metadata__") == 0)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: a tensor cannot be called __metadata__", writer->path);
    if (!bl_tensor_is_contiguous(t))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %.200s is not contiguous: copy it first", writer->path, name);
    const bl_stored_type *type = bl_stored_type_of(t->dtype);
    if (!type)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %.200s has the unknown dtype %d", writer->path, name, (int) t->dtype);
    void *items = writer->entries;
    BL_TRY(grow(writer->path, &items, writer->count, &writer->capacity, sizeof *writer->entries));
    writer->entries = items;
    entry e = {.name = strdup(name), .tensor = *t, .type = type};
    if (!e.name) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for a tensor's name", writer->path);
    e.bytes = (uint64_t) bl_tensor_numel(t) * bl_stored_bytes(type);
    writer->entries[writer->count++] = e;
    return BL_OK;
}

static int compare_entries(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->type != y->type) return x->type < y->type ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int compare_pairs(const void *a, const void *b) {
    return strcmp(((const bl_safetensors_pair *) a)->key, ((const bl_safetensors_pair *) b)->key);
}

static void append_metadata(text *out, const bl_safetensors_writer *writer) {
    append_quoted(out, "__metadata__");
    append_text(out, ":{");
    for (size_t i = 0; i < writer->metadata_count; i++) {
        if (i > 0) append_text(out, ",");
        append_quoted(out, writer->metadata[i].key);
        append_text(out, ":");
        append_quoted(out, writer->metadata[i].value);
    }
    append_text(out, "}");
}

static void append_entry(text *out, const entry *e, uint64_t begin) {
    append_quoted(out, e->name);
    append_text(out, ":{\"dtype\":");
    append_quoted(out, e->type->name);
    append_text(out, ",\"shape\":[");
    for (int32_t i = 0; i < e->tensor.ndim; i++) {
        if (i > 0) append_text(out, ",");
        append_integer(out, (uint64_t) e->tensor.shape[i]);
    }
    append_text(out, "],\"data_offsets\":[");
    append_integer(out, begin);
    append_text(out, ",");
    append_integer(out, begin + e->bytes);
    append_text(out, "]}");
}

/* The padded header, checked by the reader's own parser (names that are not UTF-8, duplicates). */
static bl_status build_header(bl_safetensors_writer *writer, text *out) {
    if (writer->count > 1) qsort(writer->entries, writer->count, sizeof *writer->entries, compare_entries);
    if (writer->metadata_count > 1)
        qsort(writer->metadata, writer->metadata_count, sizeof *writer->metadata, compare_pairs);
    uint64_t offset = 0;
    append_text(out, "{");
    if (writer->metadata_count > 0) append_metadata(out, writer);
    for (size_t i = 0; i < writer->count; i++) {
        if (i > 0 || writer->metadata_count > 0) append_text(out, ",");
        append_entry(out, &writer->entries[i], offset);
        offset += writer->entries[i].bytes;
    }
    append_text(out, "}");
    while (!out->failed && out->length % 8 != 0)
        append_text(out, " ");
    if (out->failed) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for the header", writer->path);
    if (out->length > BL_SAFETENSORS_MAX_HEADER)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: the header would have %zu bytes, at most %u are allowed", writer->path,
                       out->length, BL_SAFETENSORS_MAX_HEADER);
    bl_safetensors_header check;
    BL_TRY(bl_safetensors_header_parse(&check, writer->path, out->data, out->length, offset));
    bl_safetensors_header_free(&check);
    return BL_OK;
}

static bl_status write_tensor(bl_context *ctx, bl_safetensors_writer *writer, const entry *e, const bl_tensor *t) {
    bl_file_output *out = &writer->out;
    if (t->device == BL_CPU) return bl_file_output_write(out, t->data, (size_t) e->bytes);
    if (!ctx)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %.200s is not on the CPU: a context is needed", writer->path, e->name);
    for (uint64_t done = 0; done < e->bytes; done += CHUNK_BYTES) {
        size_t bytes = e->bytes - done < CHUNK_BYTES ? (size_t) (e->bytes - done) : CHUNK_BYTES;
        bl_tensor part = *t;
        part.data = (char *) t->data + done;
        part.ndim = 1;
        part.shape[0] = (int64_t) (bytes / bl_stored_bytes(e->type));
        part.stride[0] = 1;
        for (int i = 1; i < BL_MAX_DIMS; i++) {
            part.shape[i] = 1;
            part.stride[i] = 0;
        }
        BL_TRY(bl_download(ctx, writer->buffer, &part, bytes));
        BL_TRY(bl_file_output_write(out, writer->buffer, bytes));
    }
    return BL_OK;
}

static bl_status write_header(bl_safetensors_writer *writer, const text *header) {
    unsigned char prefix[8];
    for (int i = 0; i < 8; i++)
        prefix[i] = (unsigned char) ((uint64_t) header->length >> (8 * i));
    BL_TRY(bl_file_output_write(&writer->out, prefix, sizeof prefix));
    return bl_file_output_write(&writer->out, header->data, header->length);
}

BL_API bl_status bl_safetensors_writer_begin(bl_safetensors_writer *writer) {
    if (!writer) return bl_fail(BL_ERROR_ARGUMENT, "safetensors_writer_begin: writer is NULL");
    if (writer->open || writer->next > 0)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: begin is called a second time", writer->path);
    if (!writer->buffer) writer->buffer = malloc(CHUNK_BYTES);
    if (!writer->buffer) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for a write buffer", writer->path);
    text header = {0};
    bl_status status = build_header(writer, &header);
    if (status == BL_OK) status = bl_file_output_open(&writer->out, writer->path);
    if (status == BL_OK) {
        writer->open = true;
        status = write_header(writer, &header);
    }
    free(header.data);
    return status;
}

BL_API const char *bl_safetensors_writer_next(const bl_safetensors_writer *writer) {
    return writer && writer->open && writer->next < writer->count ? writer->entries[writer->next].name : NULL;
}

static bool same_shape(const bl_tensor *a, const bl_tensor *b) {
    if (a->dtype != b->dtype || a->ndim != b->ndim) return false;
    for (int32_t i = 0; i < a->ndim; i++)
        if (a->shape[i] != b->shape[i]) return false;
    return true;
}

BL_API bl_status bl_safetensors_writer_put(bl_context *ctx, bl_safetensors_writer *writer, const bl_tensor *t) {
    const char *name = bl_safetensors_writer_next(writer);
    if (!name || !t) return bl_fail(BL_ERROR_ARGUMENT, "safetensors_writer_put: no tensor is expected or given");
    const entry *e = &writer->entries[writer->next];
    if (!same_shape(&e->tensor, t) || !bl_tensor_is_contiguous(t) || (!t->data && e->bytes > 0))
        return bl_fail(BL_ERROR_ARGUMENT,
                       "%s: what is put for %.200s does not have the shape and dtype it was added with", writer->path,
                       name);
    BL_TRY(write_tensor(ctx, writer, e, t));
    writer->next++;
    return BL_OK;
}

BL_API bl_status bl_safetensors_writer_finish(bl_safetensors_writer *writer) {
    if (!writer || !writer->open)
        return bl_fail(BL_ERROR_ARGUMENT, "safetensors_writer_finish: begin was not called or failed");
    if (writer->next < writer->count)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %.200s was not put", writer->path, writer->entries[writer->next].name);
    writer->open = false;
    return bl_file_output_commit(&writer->out);
}

BL_API bl_status bl_safetensors_writer_write(bl_context *ctx, bl_safetensors_writer *writer) {
    BL_TRY(bl_safetensors_writer_begin(writer));
    for (size_t i = 0; i < writer->count; i++)
        BL_TRY(bl_safetensors_writer_put(ctx, writer, &writer->entries[i].tensor));
    return bl_safetensors_writer_finish(writer);
}
