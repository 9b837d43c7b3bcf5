/*
 * unpack.h - the bytes of a file, decompressed if it is compressed: gzip and
 * bzip2 by their libraries, xz and zstd by their programs.
 */
#ifndef BERTLUA_CORPUS_UNPACK_H
#define BERTLUA_CORPUS_UNPACK_H

#include <bzlib.h>
#include <sys/types.h>
#include <zlib.h>

#include "core/internal.h"

typedef enum bl_packing {
    BL_PACKING_NONE,
    BL_PACKING_GZIP,
    BL_PACKING_BZIP2,
    BL_PACKING_XZ,
    BL_PACKING_ZSTD
} bl_packing;

typedef struct bl_unpack {
    const char *path; /* the owner's, for messages */
    int descriptor;
    bool regular; /* a plain file */
    int64_t file_bytes;
    bl_packing packing;
    unsigned char *window; /* bytes of the file: [at, have) are not used yet */
    size_t at, have;
    int64_t taken; /* bytes of the file read so far */
    bool ended;    /* all of the file is in the window */
    bool member;   /* inside a gzip member or bzip2 stream */
    z_stream gzip;
    bz_stream bzip2;
    pid_t child; /* of xz and zstd; -1 if there is none */
    int pipe;    /* its output */
} bl_unpack;

/* Open the file at path, "-" for standard input, and look at its first bytes. Close it after a failure too. */
bl_status bl_unpack_open(bl_unpack *unpack, const char *path);
/* Up to `room` bytes to out; *got is 0 at the end only. */
bl_status bl_unpack_read(bl_unpack *unpack, void *out, size_t room, size_t *got);
/* Bytes of the file used so far. */
int64_t bl_unpack_position(const bl_unpack *unpack);
void bl_unpack_close(bl_unpack *unpack);
/* "gzip", ...; "" for none. */
const char *bl_packing_name(bl_packing packing);

#endif
