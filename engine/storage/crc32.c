/*
 * crc32.c - CRC-32 (ISO 3309, as in zip and gzip) of a part of a file; zlib
 * computes it. Our own files have CRC32C (crc32c.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "storage/file.h"

BL_API bl_status bl_file_crc32(const char *path, uint64_t offset, uint64_t bytes, uint32_t *crc) {
    if (!path || !crc) return bl_fail(BL_ERROR_ARGUMENT, "file_crc32: an argument is NULL");
    if (offset > INT64_MAX || bytes > INT64_MAX - offset)
        return bl_fail(BL_ERROR_ARGUMENT, "file_crc32: %llu bytes at %llu of %s are beyond any file",
                       (unsigned long long) bytes, (unsigned long long) offset, path);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return bl_file_fail(path, "open", errno);
    const size_t chunk = 1u << 20;
    unsigned char *buffer = malloc(chunk);
    if (!buffer) {
        close(descriptor);
        return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for a read buffer of %zu bytes", path, chunk);
    }
    uLong state = crc32(0, NULL, 0);
    bl_status status = BL_OK;
    while (bytes > 0) {
        ssize_t n = pread(descriptor, buffer, bytes < chunk ? (size_t) bytes : chunk, (off_t) offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) status = bl_file_fail(path, "read", errno);
        if (n == 0)
            status = bl_fail(BL_ERROR_IO, "%s: ends at byte %llu, expected %llu more", path,
                             (unsigned long long) offset, (unsigned long long) bytes);
        if (n <= 0) break;
        state = crc32_z(state, buffer, (z_size_t) n);
        offset += (uint64_t) n;
        bytes -= (uint64_t) n;
    }
    free(buffer);
    close(descriptor);
    if (status == BL_OK) *crc = (uint32_t) state;
    return status;
}
