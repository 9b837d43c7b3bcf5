/*
 * bzip2.c - find blocks by their markers, and decompress each with libbz2 as a
 * stream of its own. Format: Seward's bzip2 1.0; numbers are big-endian bits.
 */
#include "wiki/bzip2.h"

#include <bzlib.h>
#include <errno.h>
#include <unistd.h>

#include "storage/file.h"

#define BLOCK_MARK 0x314159265359ull /* digits of pi */
#define END_MARK 0x177245385090ull   /* and of its square root */
#define MARK_MASK 0xffffffffffffull
enum {
    MARK_BITS = 48,
    /* A block holds at most 900,000 bytes after run-length coding; compressed it is never much larger. */
    MAX_BLOCK_BYTES = 1 << 21,
    WINDOW_BYTES = 1 << 22,
    OUTPUT_STEP = 1 << 20,
    /* Compressed data may hold the 48 bits of a marker by chance, but not this often in a row. */
    MAX_FALSE_MARKS = 3
};

/* Make the window hold [from, from + bytes), as far as the file goes. */
static bl_status window_load(bl_bzip2 *reader, int64_t from, int64_t bytes) {
    int64_t have_end = reader->window_at + reader->window_size;
    if (from >= reader->window_at && (from + bytes <= have_end || have_end == reader->file_bytes)) return BL_OK;
    if (bytes > reader->window_capacity) {
        return bl_fail(BL_ERROR_INTERNAL, "%s: a window of %lld bytes was requested", reader->path, (long long) bytes);
    }
    int64_t keep = 0;
    if (from >= reader->window_at && from < have_end) {
        keep = have_end - from;
        memmove(reader->window, reader->window + (from - reader->window_at), (size_t) keep);
    }
    reader->window_at = from;
    reader->window_size = keep;
    while (reader->window_size < reader->window_capacity) {
        ssize_t n = pread(reader->descriptor, reader->window + reader->window_size,
                          (size_t) (reader->window_capacity - reader->window_size), from + reader->window_size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return bl_file_fail(reader->path, "read", errno);
        if (n == 0) break;
        reader->window_size += n;
    }
    return BL_OK;
}

/* `count` bits at a bit position that the window holds. */
static uint64_t window_bits(const bl_bzip2 *reader, int64_t bit, int count) {
    uint64_t value = 0;
    for (int i = 0; i < count; i++, bit++) {
        unsigned char byte = reader->window[bit / 8 - reader->window_at];
        value = value << 1 | (byte >> (7 - bit % 8) & 1u);
    }
    return value;
}

static bool is_mark(uint64_t bits) {
    return bits == BLOCK_MARK || bits == END_MARK;
}

/* For each 16 bits whether they are bits k to k+15 of a marker, k = 17..24: nowhere else need the search look closer.
 */
static void middle_table(unsigned char table[1 << 13]) {
    memset(table, 0, 1 << 13);
    const uint64_t marks[] = {BLOCK_MARK, END_MARK};
    for (int m = 0; m < 2; m++) {
        for (int k = 0; k < 8; k++) {
            uint32_t middle = (uint32_t) (marks[m] >> (17 + k) & 0xffff);
            table[middle >> 3] |= (unsigned char) (1u << (middle & 7));
        }
    }
}

/* Bit position of the first marker at or after `bit`, within `bytes` bytes of it; -1 if there is none. */
static bl_status find_mark(bl_bzip2 *reader, int64_t bit, int64_t bytes, int64_t *found) {
    unsigned char table[1 << 13];
    middle_table(table);
    *found = -1;
    int64_t first = bit / 8;
    BL_TRY(window_load(reader, first, bytes));
    int64_t last = reader->window_at + reader->window_size;
    if (last > first + bytes) last = first + bytes;
    uint64_t recent = 0;
    for (int64_t at = first; at < last; at++) {
        recent = recent << 8 | reader->window[at - reader->window_at];
        uint32_t middle = (uint32_t) (recent >> 24 & 0xffff);
        if (!(table[middle >> 3] >> (middle & 7) & 1)) continue;
        /* recent ends at bit 8 * (at + 1); a marker that ends s bits earlier. */
        for (int s = 7; s >= 0; s--) {
            int64_t start = 8 * (at + 1) - s - MARK_BITS;
            if (start >= bit && is_mark(recent >> s & MARK_MASK)) {
                *found = start;
                return BL_OK;
            }
        }
    }
    return BL_OK;
}

static bl_status damaged(const bl_bzip2 *reader, int64_t bit, const char *what) {
    return bl_fail(BL_ERROR_FORMAT, "%s: byte %lld: %s; fetch the file again", reader->path, (long long) (bit / 8),
                   what);
}

/* Reads "BZh1".."BZh9" at a byte position; the marker after it becomes the next one. */
static bl_status stream_begin(bl_bzip2 *reader, int64_t byte) {
    BL_TRY(window_load(reader, byte, 16));
    int64_t left = reader->window_at + reader->window_size - byte;
    const unsigned char *p = reader->window + (byte - reader->window_at);
    if (left < 10) return damaged(reader, 8 * byte, "the bzip2 stream is cut off at its header");
    if (memcmp(p, "BZh", 3) != 0 || p[3] < '1' || p[3] > '9' ||
        !is_mark(window_bits(reader, 8 * byte + 32, MARK_BITS))) {
        return damaged(reader, 8 * byte, "no bzip2 stream begins here");
    }
    reader->at = 8 * byte + 32;
    reader->stream_crc = 0;
    reader->whole_stream = true;
    return BL_OK;
}

bl_status bl_bzip2_open(bl_bzip2 *reader, const char *path, int descriptor, int64_t file_bytes, int64_t begin) {
    *reader = (bl_bzip2){.path = path, .descriptor = descriptor, .file_bytes = file_bytes, .block_at = -1};
    reader->window = malloc(WINDOW_BYTES);
    reader->window_capacity = WINDOW_BYTES;
    if (!reader->window) return bl_fail(BL_ERROR_MEMORY, "%s: no memory for a read buffer", path);
    if (begin == 0) return stream_begin(reader, 0);
    int64_t found;
    BL_TRY(find_mark(reader, 8 * begin, MAX_BLOCK_BYTES, &found));
    if (found < 0 && file_bytes - begin > MAX_BLOCK_BYTES)
        return damaged(reader, 8 * begin, "no bzip2 block begins within 2 MB");
    reader->at = found;
    return BL_OK;
}

void bl_bzip2_close(bl_bzip2 *reader) {
    free(reader->window);
    bl_bytes_free(&reader->scratch);
    *reader = (bl_bzip2){.descriptor = -1};
}

bl_status bl_bzip2_next(bl_bzip2 *reader, int64_t *bit) {
    while (reader->at >= 0) {
        BL_TRY(window_load(reader, reader->at / 8, 32));
        uint64_t mark = window_bits(reader, reader->at, MARK_BITS);
        if (mark == BLOCK_MARK) break;
        /* End of a stream: its checksum, then bits up to the byte, then another stream or nothing. */
        int64_t end = (reader->at + MARK_BITS + 32 + 7) / 8;
        if (end > reader->file_bytes) return damaged(reader, reader->at, "the bzip2 stream is cut off at its end");
        uint32_t crc = (uint32_t) window_bits(reader, reader->at + MARK_BITS, 32);
        if (reader->whole_stream && crc != reader->stream_crc)
            return damaged(reader, reader->at, "the bzip2 stream does not match its checksum");
        if (end == reader->file_bytes) {
            reader->at = -1;
        } else {
            BL_TRY(stream_begin(reader, end));
        }
    }
    *bit = reader->at;
    return BL_OK;
}

/* Bits [bit, bit + count) of the window into the scratch buffer, which ends at a byte border. */
static void put_bits(bl_bzip2 *reader, int64_t bit, int64_t count) {
    int shift = (int) (bit % 8);
    const unsigned char *p = reader->window + (bit / 8 - reader->window_at);
    size_t bytes = (size_t) (count / 8);
    if (!bl_bytes_reserve(&reader->scratch, bytes + 16)) return;
    unsigned char *out = (unsigned char *) reader->scratch.data + reader->scratch.size;
    if (shift == 0) {
        memcpy(out, p, bytes);
    } else {
        for (size_t i = 0; i < bytes; i++)
            out[i] = (unsigned char) (p[i] << shift | p[i + 1] >> (8 - shift));
    }
    reader->scratch.size += bytes;
}

/* The tail of the one-block stream: its last bits, the end marker and the checksum, which is the block's own. */
static void put_tail(bl_bzip2 *reader, uint64_t rest, int rest_bits, uint32_t crc) {
    const struct {
        uint64_t value;
        int bits;
    } parts[] = {{rest, rest_bits}, {END_MARK, MARK_BITS}, {crc, 32}};
    unsigned int byte = 0;
    int filled = 0;
    for (int i = 0; i < 3; i++) {
        for (int k = parts[i].bits - 1; k >= 0; k--) {
            byte = byte << 1 | (unsigned int) (parts[i].value >> k & 1);
            if (++filled == 8) {
                bl_bytes_put(&reader->scratch, (char) byte);
                byte = 0;
                filled = 0;
            }
        }
    }
    if (filled > 0) bl_bytes_put(&reader->scratch, (char) (byte << (8 - filled)));
}

/* Decompress scratch; false if the data are bad. Appends to out. */
static bl_status inflate(bl_bzip2 *reader, bl_bytes *out, bool *good) {
    bz_stream stream = {0};
    *good = false;
    if (BZ2_bzDecompressInit(&stream, 0, 0) != BZ_OK)
        return bl_fail(BL_ERROR_MEMORY, "%s: no memory for bzip2", reader->path);
    stream.next_in = reader->scratch.data;
    stream.avail_in = (unsigned int) reader->scratch.size;
    int result;
    do {
        if (!bl_bytes_reserve(out, OUTPUT_STEP)) {
            BZ2_bzDecompressEnd(&stream);
            return bl_fail(BL_ERROR_MEMORY, "%s: no memory for a bzip2 block", reader->path);
        }
        stream.next_out = out->data + out->size;
        stream.avail_out = OUTPUT_STEP;
        result = BZ2_bzDecompress(&stream);
        out->size += OUTPUT_STEP - stream.avail_out;
        /* All input taken and room left: the data end too early. */
        if (result == BZ_OK && stream.avail_in == 0 && stream.avail_out > 0) break;
    } while (result == BZ_OK);
    BZ2_bzDecompressEnd(&stream);
    *good = result == BZ_STREAM_END && stream.avail_in == 0;
    return BL_OK;
}

bl_status bl_bzip2_read(bl_bzip2 *reader, bl_bytes *out) {
    int64_t begin = reader->at, stop = begin + MARK_BITS;
    size_t before = out->size;
    for (int tries = 0; tries <= MAX_FALSE_MARKS; tries++) {
        int64_t from = stop;
        BL_TRY(window_load(reader, begin / 8, MAX_BLOCK_BYTES));
        int64_t room = begin / 8 + MAX_BLOCK_BYTES - from / 8;
        if (room <= 0) break;
        BL_TRY(find_mark(reader, from, room, &stop));
        if (stop < 0) {
            if (tries > 0) break;
            bool at_end = begin / 8 + MAX_BLOCK_BYTES >= reader->file_bytes;
            return damaged(reader, begin,
                           at_end ? "the bzip2 block that begins here is cut off by the end of the file"
                                  : "the bzip2 block that begins here has no end");
        }
        /* find_mark may have moved the window on. */
        BL_TRY(window_load(reader, begin / 8, MAX_BLOCK_BYTES));
        reader->scratch.size = 0;
        bl_bytes_append(&reader->scratch, "BZh9", 4);
        uint32_t crc = (uint32_t) window_bits(reader, begin + MARK_BITS, 32);
        int rest = (int) ((stop - begin) % 8);
        put_bits(reader, begin, stop - begin);
        put_tail(reader, rest ? window_bits(reader, stop - rest, rest) : 0, rest, crc);
        if (reader->scratch.failed) return bl_fail(BL_ERROR_MEMORY, "%s: no memory for a bzip2 block", reader->path);
        bool good;
        BL_TRY(inflate(reader, out, &good));
        if (good) {
            reader->stream_crc = (reader->stream_crc << 1 | reader->stream_crc >> 31) ^ crc;
            reader->block_at = begin;
            reader->at = stop;
            return BL_OK;
        }
        out->size = before;
        stop += 1;
    }
    return damaged(reader, begin, "the bzip2 block that begins here is damaged");
}
