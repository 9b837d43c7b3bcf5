/*
 * shard_seal.c - the seal behind the HDF5 part of a file: 168 bytes, little-
 * endian, in a layout that any program can check:
 *
 *     0  8  "BLSEAL1\n"            40  8  max_seq_length
 *     8  8  bytes before the seal  48  8  max_predictions_per_seq
 *    16  4  their CRC32C           56 96  vocabulary, padded with zeros
 *    20  4  zero                  152  4  CRC32C of the first 152 bytes
 *    24  8  zero                  156  4  zero
 *    32  8  samples               160  8  "BLSEAL1\n" again
 *
 * The mark stands at both ends, so that a file with one damaged mark, or
 * without its last bytes, is not taken for one without a seal.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/shard.h"
#include "storage/file.h"

enum { MARK = 8, CHECKED = 152, BLOCK = 1 << 20, SAMPLE = 64 * 1024 };

static const char mark[MARK + 1] = "BLSEAL1\n";

static void put(unsigned char *to, uint64_t value, int32_t bytes) {
    for (int32_t k = 0; k < bytes; k++)
        to[k] = (unsigned char) (value >> (8 * k));
}

static uint64_t get(const unsigned char *from, int32_t bytes) {
    uint64_t value = 0;
    for (int32_t k = bytes - 1; k >= 0; k--)
        value = value << 8 | from[k];
    return value;
}

void bl_seal_encode(const bl_seal *seal, unsigned char bytes[BL_SEAL_BYTES]) {
    memset(bytes, 0, BL_SEAL_BYTES);
    memcpy(bytes, mark, MARK);
    put(bytes + 8, (uint64_t) seal->body_bytes, 8);
    put(bytes + 16, seal->crc, 4);
    put(bytes + 32, (uint64_t) seal->samples, 8);
    put(bytes + 40, (uint64_t) seal->max_seq_length, 8);
    put(bytes + 48, (uint64_t) seal->max_predictions_per_seq, 8);
    memcpy(bytes + 56, seal->vocabulary, strnlen(seal->vocabulary, sizeof seal->vocabulary - 1));
    put(bytes + CHECKED, bl_crc32c(0, bytes, CHECKED), 4);
    memcpy(bytes + BL_SEAL_BYTES - MARK, mark, MARK);
}

/* bytes at offset, all of them. */
static bl_status read_at(const char *path, int descriptor, void *out, size_t bytes, int64_t offset) {
    char *to = out;
    while (bytes > 0) {
        ssize_t n = pread(descriptor, to, bytes, (off_t) offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return bl_file_fail(path, "read", errno);
        if (n == 0)
            return bl_fail(BL_ERROR_IO, "%s: ends at byte %lld while it is being read; is it still being written?",
                           path, (long long) offset);
        to += n;
        bytes -= (size_t) n;
        offset += n;
    }
    return BL_OK;
}

/*
 * Where the HDF5 part says that it ends, for superblocks of version 2 and 3, which we write, and 0, which h5py writes;
 * -1 if it does not.
 */
static bl_status end_of_body(const char *path, int descriptor, int64_t file_bytes, int64_t *end) {
    static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    unsigned char block[48];
    *end = -1;
    if (file_bytes < (int64_t) sizeof block) return BL_OK;
    BL_TRY(read_at(path, descriptor, block, sizeof block, 0));
    bool ours = memcmp(block, signature, 8) == 0 && (block[8] == 2 || block[8] == 3) && block[9] == 8;
    if (ours && get(block + 28, 8) <= INT64_MAX) *end = (int64_t) get(block + 28, 8);
    bool old = memcmp(block, signature, 8) == 0 && block[8] == 0 && block[13] == 8;
    if (old && get(block + 40, 8) <= INT64_MAX) *end = (int64_t) get(block + 40, 8);
    return BL_OK;
}

static bl_status cut_off(const char *path, int64_t file_bytes) {
    return bl_fail(BL_ERROR_FORMAT,
                   "%s: cut off or damaged: its last bytes, which vouch for the %lld before, are not whole; copy it "
                   "again or recreate it",
                   path, (long long) file_bytes);
}

static bl_status decode(const char *path, const unsigned char *bytes, int64_t file_bytes, bl_seal *seal) {
    unsigned char again[BL_SEAL_BYTES];
    *seal = (bl_seal){.body_bytes = (int64_t) get(bytes + 8, 8),
                      .crc = (uint32_t) get(bytes + 16, 4),
                      .samples = (int64_t) get(bytes + 32, 8),
                      .max_seq_length = (int64_t) get(bytes + 40, 8),
                      .max_predictions_per_seq = (int64_t) get(bytes + 48, 8)};
    memcpy(seal->vocabulary, bytes + 56, sizeof seal->vocabulary - 1);
    /* Only one form of each: what does not come out as it went in was not written by us. */
    bl_seal_encode(seal, again);
    bool whole = memcmp(bytes, again, BL_SEAL_BYTES) == 0;
    if (!whole || seal->samples < 0 || seal->samples > INT32_MAX || seal->max_seq_length < 0 ||
        seal->max_seq_length > INT32_MAX || seal->max_predictions_per_seq < 0 ||
        seal->max_predictions_per_seq > INT32_MAX)
        return cut_off(path, file_bytes);
    if (seal->body_bytes != file_bytes - BL_SEAL_BYTES) {
        return bl_fail(BL_ERROR_FORMAT, "%s: has %lld bytes, was written with %lld; copy it again or recreate it", path,
                       (long long) file_bytes, (long long) seal->body_bytes + BL_SEAL_BYTES);
    }
    return BL_OK;
}

/* Whether something follows the HDF5 part that begins as a seal does. */
static bl_status begins(const char *path, int descriptor, int64_t end, int64_t file_bytes, bool *begun) {
    unsigned char tail[MARK];
    *begun = false;
    if (end < 0 || end >= file_bytes) return BL_OK;
    int64_t left = file_bytes - end < MARK ? file_bytes - end : MARK;
    BL_TRY(read_at(path, descriptor, tail, (size_t) left, end));
    *begun = memcmp(tail, mark, (size_t) left) == 0;
    return BL_OK;
}

bl_status bl_seal_find(const char *path, int descriptor, int64_t file_bytes, bl_seal *seal, bool *sealed) {
    unsigned char bytes[BL_SEAL_BYTES] = {0};
    bool begun;
    int64_t end;
    *sealed = false;
    BL_TRY(end_of_body(path, descriptor, file_bytes, &end));
    bool whole = file_bytes >= BL_SEAL_BYTES;
    if (whole) BL_TRY(read_at(path, descriptor, bytes, BL_SEAL_BYTES, file_bytes - BL_SEAL_BYTES));
    *sealed = whole && (memcmp(bytes, mark, MARK) == 0 || memcmp(bytes + BL_SEAL_BYTES - MARK, mark, MARK) == 0);
    if (*sealed) return decode(path, bytes, file_bytes, seal);
    BL_TRY(begins(path, descriptor, end, file_bytes, &begun));
    return begun ? cut_off(path, file_bytes) : BL_OK;
}

/* CRC32C of the first body_bytes bytes. */
static bl_status crc_of(const char *path, int descriptor, int64_t body_bytes, const atomic_bool *cancelled,
                        uint32_t *crc) {
    unsigned char *block = malloc(BLOCK);
    if (!block) return bl_fail(BL_ERROR_MEMORY, "%s: no memory for a read buffer of %d bytes", path, BLOCK);
    *crc = 0;
    bl_status status = BL_OK;
    for (int64_t at = 0; status == BL_OK && at < body_bytes; at += BLOCK) {
        size_t bytes = body_bytes - at < BLOCK ? (size_t) (body_bytes - at) : BLOCK;
        if (cancelled && atomic_load(cancelled)) status = bl_fail(BL_ERROR_IO, "%s: reading cancelled", path);
        if (status == BL_OK) status = read_at(path, descriptor, block, bytes, at);
        if (status == BL_OK) *crc = bl_crc32c(*crc, block, bytes);
    }
    free(block);
    return status;
}

bl_status bl_seal_verify(const char *path, int descriptor, const bl_seal *seal, const atomic_bool *cancelled) {
    uint32_t crc;
    bl_status status = crc_of(path, descriptor, seal->body_bytes, cancelled, &crc);
    if (status == BL_OK && crc != seal->crc) {
        status = bl_fail(BL_ERROR_FORMAT,
                         "%s: damaged: the CRC32C of its bytes is %08x, %08x when it was written; copy it again or "
                         "recreate it",
                         path, crc, seal->crc);
    }
    return status;
}

bl_status bl_seal_sample(const char *path, int descriptor, int64_t file_bytes, uint32_t *crc) {
    static const double places[3] = {0, 0.5, 1};
    unsigned char *block = malloc(SAMPLE);
    if (!block) return bl_fail(BL_ERROR_MEMORY, "%s: no memory for a read buffer of %d bytes", path, SAMPLE);
    bl_status status = BL_OK;
    size_t bytes = file_bytes < SAMPLE ? (size_t) file_bytes : SAMPLE;
    *crc = 0;
    for (int32_t k = 0; status == BL_OK && k < 3; k++) {
        int64_t at = (int64_t) ((double) (file_bytes - (int64_t) bytes) * places[k]);
        status = read_at(path, descriptor, block, bytes, at);
        if (status == BL_OK) *crc = bl_crc32c(*crc, block, bytes);
    }
    free(block);
    return status;
}

/* Bytes of the HDF5 part of a file without a seal: what a killed bl_shard_seal left behind it is cut off. */
static bl_status body_of(const char *path, int descriptor, int64_t *bytes) {
    struct stat found;
    int64_t end = -1;
    bool begun = false;
    if (fstat(descriptor, &found) != 0) return bl_file_fail(path, "look at", errno);
    *bytes = (int64_t) found.st_size;
    BL_TRY(end_of_body(path, descriptor, *bytes, &end));
    BL_TRY(begins(path, descriptor, end, *bytes, &begun));
    if (!begun || *bytes - end >= BL_SEAL_BYTES) return BL_OK;
    if (ftruncate(descriptor, (off_t) end) != 0) return bl_file_fail(path, "shorten", errno);
    *bytes = end;
    return BL_OK;
}

/* Write a seal behind the file's bytes, durably; on a failure the file is as before. */
static bl_status append(const char *path, int descriptor, const bl_seal *seal) {
    unsigned char bytes[BL_SEAL_BYTES];
    bl_seal_encode(seal, bytes);
    for (int32_t done = 0; done < BL_SEAL_BYTES;) {
        ssize_t n =
            pwrite(descriptor, bytes + done, (size_t) (BL_SEAL_BYTES - done), (off_t) (seal->body_bytes + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            int error = n < 0 ? errno : ENOSPC;
            if (ftruncate(descriptor, (off_t) seal->body_bytes) != 0) return bl_file_fail(path, "shorten", errno);
            return bl_file_fail(path, "write the seal of", error);
        }
        done += (int32_t) n;
    }
    return fsync(descriptor) == 0 ? BL_OK : bl_file_fail(path, "sync", errno);
}

/* Seal an open file, unless it has a seal, which is then compared with its bytes. */
static bl_status seal_file(const char *path, int descriptor, bool *added) {
    int64_t bytes = 0;
    bl_seal seal;
    BL_TRY(body_of(path, descriptor, &bytes));
    BL_TRY(bl_seal_find(path, descriptor, bytes, &seal, added));
    *added = !*added;
    if (!*added) return bl_seal_verify(path, descriptor, &seal, NULL);
    /* What is damaged already must not get a seal: every value is checked. */
    bl_shard *shard;
    bl_shard_info info;
    bl_shard_limits any = {0};
    BL_TRY(bl_shard_read(&shard, path, &any, NULL));
    bl_shard_describe(shard, &info);
    bl_shard_free(shard);
    seal = (bl_seal){.body_bytes = bytes,
                     .samples = info.samples,
                     .max_seq_length = info.max_seq_length,
                     .max_predictions_per_seq = info.max_predictions_per_seq};
    memcpy(seal.vocabulary, info.vocabulary, strnlen(info.vocabulary, sizeof seal.vocabulary - 1));
    BL_TRY(crc_of(path, descriptor, bytes, NULL, &seal.crc));
    return append(path, descriptor, &seal);
}

BL_API bl_status bl_shard_seal(const char *path, bool *added) {
    if (!path || !added) return bl_fail(BL_ERROR_ARGUMENT, "shard_seal: an argument is NULL");
    int descriptor = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return bl_file_fail(path, "open for writing", errno);
    bl_status status = seal_file(path, descriptor, added);
    close(descriptor);
    return status;
}
