/*
 * index.c - the index of a multistream dump: where its streams begin.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/file.h"
#include "wiki/bzip2.h"

/* Longer than any title: what has no line end by then is not an index, and must not fill the memory. */
enum { MAX_LINE_BYTES = 1 << 16 };

typedef struct index_reader {
    const char *path;
    int64_t *offsets;
    int64_t count, capacity;
    int64_t line;  /* number, from 1 */
    bl_bytes rest; /* an unfinished line */
} index_reader;

static bl_status keep(index_reader *index, int64_t offset) {
    if (index->count > 0 && index->offsets[index->count - 1] == offset) return BL_OK;
    if (index->count > 0 && index->offsets[index->count - 1] > offset) {
        return bl_fail(BL_ERROR_FORMAT, "%s: line %lld: offset %lld is below the one before it", index->path,
                       (long long) index->line, (long long) offset);
    }
    if (index->count == index->capacity) {
        int64_t capacity = index->capacity ? index->capacity * 2 : 1024;
        int64_t *offsets = realloc(index->offsets, (size_t) capacity * sizeof *offsets);
        if (!offsets) return bl_fail(BL_ERROR_MEMORY, "%s: no memory for the index", index->path);
        index->offsets = offsets;
        index->capacity = capacity;
    }
    index->offsets[index->count++] = offset;
    return BL_OK;
}

static bl_status take_lines(index_reader *index, bool last) {
    const char *p = index->rest.data, *end = p + index->rest.size;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t) (end - p));
        if (!stop && !last) break;
        if (!stop) stop = end;
        index->line++;
        int64_t offset = 0;
        const char *q = p;
        for (; q < stop && *q >= '0' && *q <= '9' && q - p < 18; q++)
            offset = offset * 10 + (*q - '0');
        if (q == p || q == stop || *q != ':') {
            return bl_fail(BL_ERROR_FORMAT,
                           "%s: line %lld is not \"offset:page:title\": not the index of a multistream dump",
                           index->path, (long long) index->line);
        }
        BL_TRY(keep(index, offset));
        p = stop < end ? stop + 1 : end;
    }
    index->rest.size = (size_t) (end - p);
    memmove(index->rest.data, p, index->rest.size);
    if (index->rest.size <= MAX_LINE_BYTES) return BL_OK;
    return bl_fail(BL_ERROR_FORMAT, "%s: line %lld is longer than %d bytes: not the index of a multistream dump",
                   index->path, (long long) index->line + 1, MAX_LINE_BYTES);
}

static bl_status read_compressed(index_reader *index, int descriptor, int64_t bytes) {
    bl_bzip2 reader;
    bl_status status = bl_bzip2_open(&reader, index->path, descriptor, bytes, 0);
    int64_t bit = 0;
    while (status == BL_OK && bit >= 0) {
        status = bl_bzip2_next(&reader, &bit);
        if (status == BL_OK && bit >= 0) status = bl_bzip2_read(&reader, &index->rest);
        if (status == BL_OK && bit >= 0) status = take_lines(index, false);
    }
    bl_bzip2_close(&reader);
    return status;
}

static bl_status read_plain(index_reader *index, int descriptor) {
    for (;;) {
        if (!bl_bytes_reserve(&index->rest, 1 << 20))
            return bl_fail(BL_ERROR_MEMORY, "%s: no memory for a read buffer", index->path);
        ssize_t n = read(descriptor, index->rest.data + index->rest.size, 1 << 20);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return bl_file_fail(index->path, "read", errno);
        if (n == 0) return BL_OK;
        index->rest.size += (size_t) n;
        BL_TRY(take_lines(index, false));
    }
}

BL_API bl_status bl_dump_index_read(const char *path, int64_t **offsets, int64_t *count) {
    if (!path || !offsets || !count) return bl_fail(BL_ERROR_ARGUMENT, "dump_index_read: an argument is NULL");
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return bl_file_fail(path, "open", errno);
    index_reader index = {.path = path};
    struct stat info;
    char magic[3] = {0};
    bl_status status = BL_OK;
    if (fstat(descriptor, &info) != 0 || pread(descriptor, magic, 3, 0) < 0) status = bl_file_fail(path, "read", errno);
    if (status == BL_OK) {
        status = memcmp(magic, "BZh", 3) == 0 ? read_compressed(&index, descriptor, info.st_size)
                                              : read_plain(&index, descriptor);
    }
    if (status == BL_OK && index.rest.size > 0) status = take_lines(&index, true);
    if (status == BL_OK && index.count == 0) status = bl_fail(BL_ERROR_FORMAT, "%s: the index is empty", path);
    close(descriptor);
    bl_bytes_free(&index.rest);
    if (status != BL_OK) {
        free(index.offsets);
        return status;
    }
    *offsets = index.offsets;
    *count = index.count;
    return BL_OK;
}

BL_API void bl_dump_offsets_free(int64_t *offsets) {
    free(offsets);
}
