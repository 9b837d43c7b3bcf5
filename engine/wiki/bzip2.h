/*
 * bzip2.h - blocks of a bzip2 file one by one, from any place in it.
 *
 * A bzip2 stream is a row of blocks that depend on nothing but themselves, each
 * beginning with the same 48 bits at any bit position. So a reader can start
 * anywhere, and a file of one stream is read in parallel just as one of many.
 */
#ifndef BERTLUA_WIKI_BZIP2_H
#define BERTLUA_WIKI_BZIP2_H

#include "core/bytes.h"

typedef struct bl_bzip2 {
    const char *path; /* the owner's */
    int descriptor;
    int64_t file_bytes;
    unsigned char *window; /* compressed bytes [window_at, window_at + window_size) */
    int64_t window_at;
    int64_t window_size;
    int64_t window_capacity;
    int64_t at;          /* bit position of the next marker; -1 after the last stream */
    int64_t block_at;    /* bit position of the block read last */
    uint32_t stream_crc; /* of the blocks so far */
    bool whole_stream;   /* the present stream was read from its start */
    bl_bytes scratch;    /* one block as a stream of its own */
} bl_bzip2;

/* Position at the first block or end of stream at or after byte `begin`; the descriptor stays the owner's. */
bl_status bl_bzip2_open(bl_bzip2 *reader, const char *path, int descriptor, int64_t file_bytes, int64_t begin);
void bl_bzip2_close(bl_bzip2 *reader);
/* Bit position of the next block, -1 at the end of the file: ends of streams are passed and checked. */
bl_status bl_bzip2_next(bl_bzip2 *reader, int64_t *bit);
/* Append the bytes of the block that bl_bzip2_next announced. */
bl_status bl_bzip2_read(bl_bzip2 *reader, bl_bytes *out);

#endif
