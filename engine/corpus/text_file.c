/*
 * text_file.c - a text that is written to disk as it grows and gets its name
 * when it is complete, so that memory does not grow with it.
 */
#include "core/bytes.h"
#include "storage/file.h"

enum { BUFFER_BYTES = 256 << 10 };

struct bl_text_file {
    bl_file_output output;
    bl_bytes buffer;
    int64_t bytes;
};

BL_API bl_status bl_text_file_create(bl_text_file **out, const char *path) {
    if (!out || !path) return bl_fail(BL_ERROR_ARGUMENT, "text_file_create: an argument is NULL");
    bl_text_file *file = calloc(1, sizeof *file);
    if (!file || !bl_bytes_reserve(&file->buffer, BUFFER_BYTES)) {
        free(file);
        return bl_fail(BL_ERROR_MEMORY, "%s: no memory to write it", path);
    }
    bl_status status = bl_file_output_open(&file->output, path);
    if (status != BL_OK) {
        bl_bytes_free(&file->buffer);
        free(file);
        return status;
    }
    *out = file;
    return BL_OK;
}

static bl_status flush(bl_text_file *file) {
    bl_status status = bl_file_output_write(&file->output, file->buffer.data, file->buffer.size);
    file->buffer.size = 0;
    return status;
}

BL_API bl_status bl_text_file_add(bl_text_file *file, const char *text, int64_t bytes) {
    if (!file || (!text && bytes > 0) || bytes < 0)
        return bl_fail(BL_ERROR_ARGUMENT, "text_file_add: an argument is NULL or negative");
    file->bytes += bytes;
    if (file->buffer.size + (size_t) bytes >= BUFFER_BYTES) {
        BL_TRY(flush(file));
        if (bytes >= BUFFER_BYTES) return bl_file_output_write(&file->output, text, (size_t) bytes);
    }
    bl_bytes_append(&file->buffer, text, (size_t) bytes);
    return BL_OK;
}

BL_API int64_t bl_text_file_bytes(const bl_text_file *file) {
    return file ? file->bytes : 0;
}

BL_API bl_status bl_text_file_commit(bl_text_file *file) {
    if (!file) return bl_fail(BL_ERROR_ARGUMENT, "text_file_commit: file is NULL");
    BL_TRY(flush(file));
    return bl_file_output_commit(&file->output);
}

BL_API void bl_text_file_free(bl_text_file *file) {
    if (!file) return;
    bl_file_output_discard(&file->output);
    bl_bytes_free(&file->buffer);
    free(file);
}
