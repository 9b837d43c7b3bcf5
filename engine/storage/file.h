/*
 * file.h - durable writes for the engine's own files: a temporary file beside
 * the target, synced, then renamed over it.
 */
#ifndef BERTLUA_STORAGE_FILE_H
#define BERTLUA_STORAGE_FILE_H

#include "core/internal.h"

/*
 * BL_ERROR_IO with the path, the system's reason for `error` (an errno) and
 * the fix for the common ones: "PATH: cannot ACTION: no space left ...".
 */
bl_status bl_file_fail(const char *path, const char *action, int error);

/*
 * Descriptor of a new, empty file, for temporary files whose names others can
 * guess: what a killed process left there, or somebody put there, is removed,
 * never written to, and a link is not followed. -1 and errno on failure.
 */
int bl_file_create(const char *path);

typedef struct bl_file_output {
    char *path;      /* final name */
    char *temporary; /* "<path>.tmp-<pid>" */
    int descriptor;
    int64_t written; /* bytes so far */
} bl_file_output;

bl_status bl_file_output_open(bl_file_output *out, const char *path);
/* A full disk is BL_ERROR_IO with path and offset. */
bl_status bl_file_output_write(bl_file_output *out, const void *data, size_t bytes);
/* Sync, close, rename, sync the folder. The temporary file is removed on failure. */
bl_status bl_file_output_commit(bl_file_output *out);
/* Drop an output that was not committed; harmless after a commit. */
void bl_file_output_discard(bl_file_output *out);

/* CRC32C of data whose first part has the one and whose second part, of `bytes`, the other. */
uint32_t bl_crc32c_join(uint32_t first, uint32_t second, uint64_t bytes);

#endif
