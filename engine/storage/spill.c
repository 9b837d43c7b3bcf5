/*
 * spill.c - nameless temporary files: see spill.h.
 */
#include "storage/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/file.h"

enum { BUFFER_BYTES = 256 << 10 };

/* A descriptor of a new file without a name, or -1 and errno. */
static int open_nameless(const char *folder) {
    int descriptor = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (descriptor >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return descriptor;
    /* A file system without such files: the name goes as soon as the file is open. */
    size_t bytes = strlen(folder) + 32;
    char *path = malloc(bytes);
    if (!path) {
        errno = ENOMEM;
        return -1;
    }
    snprintf(path, bytes, "%s/.part-spill-XXXXXX", folder);
    descriptor = mkostemp(path, O_CLOEXEC);
    if (descriptor >= 0) unlink(path);
    free(path);
    return descriptor;
}

bl_status bl_spill_open(bl_spill *spill, const char *folder, const char *what) {
    *spill = (bl_spill){.descriptor = -1};
    size_t bytes = strlen(folder) + strlen(what) + 16;
    spill->name = malloc(bytes);
    spill->buffer = malloc(BUFFER_BYTES);
    if (!spill->name || !spill->buffer) {
        bl_spill_close(spill);
        return bl_fail(BL_ERROR_MEMORY, "%s: no memory for a temporary file's buffer", folder);
    }
    snprintf(spill->name, bytes, "%s/(temporary %s)", folder, what);
    spill->descriptor = open_nameless(folder);
    if (spill->descriptor < 0) {
        bl_status status = bl_file_fail(folder, "create a temporary file in it", errno);
        bl_spill_close(spill);
        return status;
    }
    return BL_OK;
}

static bl_status write_failed(const bl_spill *spill, int64_t offset, int error) {
    char action[64];
    snprintf(action, sizeof action, "write at byte %lld", (long long) offset);
    return bl_file_fail(spill->name, action, error);
}

bl_status bl_spill_flush(bl_spill *spill) {
    size_t done = 0;
    while (done < spill->used) {
        int64_t offset = spill->bytes - (int64_t) (spill->used - done);
        ssize_t n = pwrite(spill->descriptor, spill->buffer + done, spill->used - done, offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return write_failed(spill, offset, n < 0 ? errno : ENOSPC);
        done += (size_t) n;
    }
    spill->used = 0;
    return BL_OK;
}

bl_status bl_spill_append(bl_spill *spill, const void *data, size_t bytes) {
    const char *p = data;
    while (bytes > 0) {
        if (spill->used == BUFFER_BYTES) BL_TRY(bl_spill_flush(spill));
        size_t n = BUFFER_BYTES - spill->used < bytes ? BUFFER_BYTES - spill->used : bytes;
        memcpy(spill->buffer + spill->used, p, n);
        spill->used += n;
        spill->bytes += (int64_t) n;
        p += n;
        bytes -= n;
    }
    return BL_OK;
}

bl_status bl_spill_read(const bl_spill *spill, int64_t offset, void *out, size_t bytes) {
    char *p = out;
    while (bytes > 0) {
        ssize_t n = pread(spill->descriptor, p, bytes, offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return bl_file_fail(spill->name, "read", errno);
        if (n == 0) return bl_fail(BL_ERROR_IO, "%s: it ends at byte %lld", spill->name, (long long) offset);
        p += n;
        offset += n;
        bytes -= (size_t) n;
    }
    return BL_OK;
}

void bl_spill_close(bl_spill *spill) {
    if (spill->name && spill->descriptor >= 0) close(spill->descriptor);
    free(spill->name);
    free(spill->buffer);
    *spill = (bl_spill){.descriptor = -1};
}
