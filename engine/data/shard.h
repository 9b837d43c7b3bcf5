/*
 * shard.h - what the files of this room share about shards: how one is held in
 * memory, the seal at a file's end, and the process that reads a file.
 */
#ifndef BERTLUA_DATA_SHARD_H
#define BERTLUA_DATA_SHARD_H

#include <stdatomic.h>
#include <sys/types.h>

#include "data/shard_frames.h"

/* A shard in memory (shard_read.c), K rows of it held; rows are contiguous. */
struct bl_shard {
    bl_shard_info info;
    int32_t *input_ids;  /* [K,S] */
    int8_t *segment_ids; /* [K,S] */
    int32_t *positions;  /* [K,P] */
    int32_t *labels;     /* [K,P] */
    int8_t *next_labels; /* [K] */
    int32_t *lengths;    /* [K] */
    int32_t *masked;     /* [K] */
};

/* As bl_shard_read; gives up soon after *cancelled is true (BL_ERROR_IO "cancelled"). */
bl_status bl_shard_read_cancellable(bl_shard **out, const char *path, const bl_shard_limits *limits,
                                    const bl_shard_part *part, const atomic_bool *cancelled);

/* ---- the seal (shard_seal.c) ---- */

/*
 * Behind the HDF5 part of each file that we write, where no reader of HDF5
 * looks: how many bytes it has, their CRC32C, and the sizes of the shard, so
 * that a file can be checked before a library that trusts it opens it. A
 * program that changes the file in place cuts the seal off.
 */
typedef struct bl_seal {
    int64_t body_bytes;
    uint32_t crc;
    /* of a shard; samples is 0 in any other file */
    int64_t samples, max_seq_length, max_predictions_per_seq;
    char vocabulary[96];
} bl_seal;

enum { BL_SEAL_BYTES = 168 };

void bl_seal_encode(const bl_seal *seal, unsigned char bytes[BL_SEAL_BYTES]);
/*
 * Read the seal of a file of file_bytes; *sealed is false if it has none. A
 * file that was cut off or extended, or whose seal is damaged, is refused.
 */
bl_status bl_seal_find(const char *path, int descriptor, int64_t file_bytes, bl_seal *seal, bool *sealed);
/* Compare every byte before the seal with it. */
bl_status bl_seal_verify(const char *path, int descriptor, const bl_seal *seal, const atomic_bool *cancelled);
/* CRC32C of the first, middle and last 64 KiB: enough to tell two files of other data apart, damage aside. */
bl_status bl_seal_sample(const char *path, int descriptor, int64_t file_bytes, uint32_t *crc);

/* ---- a file, read by a process of its own (shard_source.c) ---- */

typedef struct bl_shard_source {
    const char *path; /* the caller's string */
    int descriptor;
    int64_t file_bytes;
    const atomic_bool *cancelled; /* NULL: never */
    /* the process, once started */
    pid_t child;
    int pipe;
} bl_shard_source;

/* Open a regular file; anything else (a folder, a FIFO, a device) is refused without waiting for it. */
bl_status bl_shard_source_open(bl_shard_source *source, const char *path, const atomic_bool *cancelled);
/* Start the process that reads the file: sizes only, or sizes and then every row. */
bl_status bl_shard_source_start(bl_shard_source *source, bool rows);
/* The next frame, which must be of this kind; what the process reports instead is the error. */
bl_status bl_shard_source_next(bl_shard_source *source, int32_t kind, bl_shard_frame *frame);
/* All of the frame's payload. */
bl_status bl_shard_source_payload(bl_shard_source *source, void *out, size_t bytes);
/* Ends the process, if it still runs. Harmless after a failed open. */
void bl_shard_source_close(bl_shard_source *source);

#endif
