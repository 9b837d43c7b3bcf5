/*
 * file.c - durable files: atomic replacement, sync, checksum, free space, and
 * the messages for what the operating system refuses.
 */
#include "storage/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

bl_status bl_file_fail(const char *path, const char *action, int error) {
    const char *hint = "";
    char reason[128];
    switch (error) {
    case ENOSPC:
        snprintf(reason, sizeof reason, "no space left on the device");
        hint = ": free some space or choose another output folder";
        break;
    case EDQUOT:
        snprintf(reason, sizeof reason, "no space left in the user's disk quota");
        hint = ": free some space or choose another output folder";
        break;
    case EFBIG:
        snprintf(reason, sizeof reason, "no space left under the file size limit");
        hint = ": raise it with ulimit -f";
        break;
    case ENOENT:
        snprintf(reason, sizeof reason, "no such file or folder");
        break;
    case EACCES:
    case EPERM:
        snprintf(reason, sizeof reason, "permission denied");
        break;
    case EROFS:
        snprintf(reason, sizeof reason, "the file system is read-only");
        break;
    case EIO:
        snprintf(reason, sizeof reason, "input/output error (EIO)");
        hint = ": the disk, or the way to it, fails: see the system's log";
        break;
    case ELOOP:
        snprintf(reason, sizeof reason, "a link is in its place");
        hint = ": remove the link";
        break;
    default: {
        /* The GNU form returns the text, which may or may not lie in the buffer. */
        char text[96];
        snprintf(reason, sizeof reason, "%s", strerror_r(error, text, sizeof text));
    }
    }
    return bl_fail(BL_ERROR_IO, "%s: cannot %s: %s%s", path, action, reason, hint);
}

/* The folder that holds path, to be freed by the caller; NULL without memory. */
static char *parent_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return strdup(".");
    if (slash == path) return strdup("/");
    return strndup(path, (size_t) (slash - path));
}

static bl_status sync_parent(const char *path) {
    char *parent = parent_of(path);
    if (!parent) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for the folder's name", path);
    bl_status status = bl_file_sync(parent);
    free(parent);
    return status;
}

/* fsync, restarted when a signal interrupts it; 0 or an errno. */
static int sync_descriptor(int descriptor) {
    int result;
    do
        result = fsync(descriptor);
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

BL_API bl_status bl_file_sync(const char *path) {
    if (!path) return bl_fail(BL_ERROR_ARGUMENT, "file_sync: path is NULL");
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return bl_file_fail(path, "open for sync", errno);
    int error = sync_descriptor(descriptor);
    /* Some network and FUSE file systems cannot fsync a folder; there is nothing better to do there. */
    if (error == EINVAL || error == ENOTSUP) error = 0;
    if (close(descriptor) != 0 && error == 0) error = errno;
    return error == 0 ? BL_OK : bl_file_fail(path, "sync", error);
}

BL_API bl_status bl_file_truncate(const char *path, uint64_t bytes) {
    if (!path) return bl_fail(BL_ERROR_ARGUMENT, "file_truncate: path is NULL");
    if (bytes > INT64_MAX) return bl_fail(BL_ERROR_ARGUMENT, "file_truncate: bytes is above 2^63 - 1");
    int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    if (descriptor < 0) return bl_file_fail(path, "open to shorten", errno);
    int result;
    do
        result = ftruncate(descriptor, (off_t) bytes);
    while (result != 0 && errno == EINTR);
    int error = result == 0 ? 0 : errno;
    if (close(descriptor) != 0 && error == 0) error = errno;
    return error == 0 ? BL_OK : bl_file_fail(path, "shorten", error);
}

BL_API bl_status bl_file_rename(const char *from, const char *to) {
    if (!from || !to) return bl_fail(BL_ERROR_ARGUMENT, "file_rename: path is NULL");
    if (rename(from, to) != 0) return bl_file_fail(to, "rename to this name", errno);
    return sync_parent(to);
}

int bl_file_create(const char *path) {
    if (unlink(path) != 0 && errno != ENOENT) return -1;
    return open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
}

bl_status bl_file_output_open(bl_file_output *out, const char *path) {
    *out = (bl_file_output){.descriptor = -1};
    size_t bytes = strlen(path) + 32;
    out->path = strdup(path);
    out->temporary = malloc(bytes);
    if (!out->path || !out->temporary) {
        bl_file_output_discard(out);
        return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for the file's name", path);
    }
    snprintf(out->temporary, bytes, "%s.tmp-%ld", path, (long) getpid());
    out->descriptor = bl_file_create(out->temporary);
    if (out->descriptor < 0) {
        bl_status status = bl_file_fail(path, "create", errno);
        /* Not ours to remove: it could not be opened. */
        free(out->temporary);
        out->temporary = NULL;
        bl_file_output_discard(out);
        return status;
    }
    return BL_OK;
}

static bl_status write_failed(const bl_file_output *out, int error) {
    char action[64];
    snprintf(action, sizeof action, "write at byte %lld", (long long) out->written);
    return bl_file_fail(out->path, action, error);
}

bl_status bl_file_output_write(bl_file_output *out, const void *data, size_t bytes) {
    const char *p = data;
    while (bytes > 0) {
        /* Linux moves at most 2 GiB per call. */
        ssize_t n = write(out->descriptor, p, bytes < (1u << 30) ? bytes : (1u << 30));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return write_failed(out, n < 0 ? errno : ENOSPC);
        p += n;
        bytes -= (size_t) n;
        out->written += n;
    }
    return BL_OK;
}

bl_status bl_file_output_commit(bl_file_output *out) {
    int error = sync_descriptor(out->descriptor);
    if (close(out->descriptor) != 0 && error == 0) error = errno;
    out->descriptor = -1;
    if (error == 0 && rename(out->temporary, out->path) != 0) error = errno;
    if (error != 0) {
        bl_status status = bl_file_fail(out->path, "write", error);
        bl_file_output_discard(out);
        return status;
    }
    bl_status status = sync_parent(out->path);
    free(out->temporary); /* it has been renamed: discard must not remove a newer one */
    out->temporary = NULL;
    bl_file_output_discard(out);
    return status;
}

void bl_file_output_discard(bl_file_output *out) {
    if (out->descriptor >= 0) close(out->descriptor);
    if (out->temporary) unlink(out->temporary);
    free(out->temporary);
    free(out->path);
    *out = (bl_file_output){.descriptor = -1};
}

BL_API bl_status bl_file_write(const char *path, const void *data, size_t bytes) {
    if (!path || (!data && bytes > 0)) return bl_fail(BL_ERROR_ARGUMENT, "file_write: path or data is NULL");
    bl_file_output out;
    BL_TRY(bl_file_output_open(&out, path));
    bl_status status = bl_file_output_write(&out, data, bytes);
    if (status == BL_OK) return bl_file_output_commit(&out);
    bl_file_output_discard(&out);
    return status;
}

/* Parts of a long file that are read at the same time, and bytes of one. */
enum { MOST_PARTS = 4, LEAST_PART = 1 << 25 };

/* A part of a file: its checksum, and the bytes that were there. */
typedef struct file_part {
    int descriptor;
    bool from_here; /* where the descriptor is, whatever the offset */
    uint64_t offset, bytes;
    uint32_t crc;
    int error;
} file_part;

static void *sum_part(void *argument) {
    file_part *part = argument;
    /* Small enough to be in the second cache level when it is summed. */
    const size_t chunk = 1u << 18;
    char *buffer = malloc(chunk);
    if (!buffer) part->error = ENOMEM;
    uint64_t done = 0;
    while (buffer && done < part->bytes) {
        size_t wanted = part->bytes - done < chunk ? (size_t) (part->bytes - done) : chunk;
        ssize_t n = part->from_here ? read(part->descriptor, buffer, wanted)
                                    : pread(part->descriptor, buffer, wanted, (off_t) (part->offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) part->error = errno;
        if (n <= 0) break;
        part->crc = bl_crc32c(part->crc, buffer, (size_t) n);
        done += (uint64_t) n;
    }
    part->bytes = done;
    free(buffer);
    return NULL;
}

/* All of them at the same time; one after the other where the system has no threads. */
static void sum_parts(file_part *parts, int64_t count) {
    pthread_t threads[MOST_PARTS];
    bool started[MOST_PARTS] = {false};
    for (int64_t i = 1; i < count; i++)
        started[i] = pthread_create(&threads[i], NULL, sum_part, &parts[i]) == 0;
    sum_part(&parts[0]);
    for (int64_t i = 1; i < count; i++) {
        if (started[i])
            pthread_join(threads[i], NULL);
        else
            sum_part(&parts[i]);
    }
}

BL_API bl_status bl_file_crc32c(const char *path, uint32_t *crc, uint64_t *bytes) {
    if (!path || !crc || !bytes) return bl_fail(BL_ERROR_ARGUMENT, "file_crc32c: an argument is NULL");
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return bl_file_fail(path, "open", errno);
    struct stat info;
    bool regular = fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode);
    int64_t size = regular ? (int64_t) info.st_size : 0, count = size / LEAST_PART;
    int32_t processors = bl_processors();
    if (count > processors) count = processors;
    count = count < 1 ? 1 : count > MOST_PARTS ? MOST_PARTS : count;
    file_part parts[MOST_PARTS];
    for (int64_t i = 0; i < count; i++) {
        uint64_t begin = (uint64_t) (size * i / count), end = (uint64_t) (size * (i + 1) / count);
        /* The last goes on to where the file ends by then. */
        parts[i] = (file_part){.descriptor = descriptor,
                               .from_here = count == 1,
                               .offset = begin,
                               .bytes = i + 1 < count ? end - begin : UINT64_MAX};
    }
    sum_parts(parts, count);
    close(descriptor);
    *crc = 0;
    *bytes = 0;
    for (int64_t i = 0; i < count; i++) {
        if (parts[i].error) return bl_file_fail(path, "read", parts[i].error);
        *crc = bl_crc32c_join(*crc, parts[i].crc, parts[i].bytes);
        *bytes += parts[i].bytes;
    }
    return BL_OK;
}

BL_API bl_status bl_file_free_bytes(const char *path, uint64_t *bytes) {
    if (!path || !bytes) return bl_fail(BL_ERROR_ARGUMENT, "file_free_bytes: an argument is NULL");
    struct statvfs info;
    if (statvfs(path, &info) != 0) return bl_file_fail(path, "read the free space", errno);
    *bytes = (uint64_t) info.f_bavail * (uint64_t) info.f_frsize;
    return BL_OK;
}
