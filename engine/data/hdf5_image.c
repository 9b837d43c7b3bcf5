/*
 * hdf5_image.c - finish the image of a file that HDF5 built in memory. HDF5
 * 1.10.8 clears the mark "open for writing" in the copy that it hands out, but
 * leaves the checksum of the superblock as it was with the mark; no reader
 * then opens the file.
 */
#include <string.h>

#include "data/hdf5_file.h"

/* Superblock of version 3 with 8-byte offsets (HDF5 File Format Specification 3.0, section II.A). */
enum { VERSION = 8, OFFSET_BYTES = 9, FLAGS = 11, CHECKSUM = 44, SUPERBLOCK_BYTES = 48 };

static uint32_t rotate(uint32_t x, int bits) {
    return x << bits | x >> (32 - bits);
}

static uint32_t word(const unsigned char *p) {
    return (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;
}

/*
 * Bob Jenkins' lookup3 (hashlittle, in the public domain) with initial value
 * 0, which HDF5 checksums its metadata with; for a length that is a multiple
 * of 4, such as that of the superblock.
 */
static uint32_t lookup3(const unsigned char *bytes, uint32_t length) {
    uint32_t a = 0xdeadbeefu + length, b = a, c = a;
    for (; length > 12; length -= 12, bytes += 12) {
        a += word(bytes), b += word(bytes + 4), c += word(bytes + 8);
        a -= c, a ^= rotate(c, 4), c += b;
        b -= a, b ^= rotate(a, 6), a += c;
        c -= b, c ^= rotate(b, 8), b += a;
        a -= c, a ^= rotate(c, 16), c += b;
        b -= a, b ^= rotate(a, 19), a += c;
        c -= b, c ^= rotate(b, 4), b += a;
    }
    a += word(bytes); /* 12, 8 or 4 bytes are left */
    if (length > 4) b += word(bytes + 4);
    if (length > 8) c += word(bytes + 8);
    c ^= b, c -= rotate(b, 14);
    a ^= c, a -= rotate(c, 11);
    b ^= a, b -= rotate(a, 25);
    c ^= b, c -= rotate(b, 16);
    a ^= c, a -= rotate(c, 4);
    b ^= a, b -= rotate(a, 14);
    c ^= b, c -= rotate(b, 24);
    return c;
}

bl_status bl_hdf5_image_finish(const char *path, void *image, size_t bytes) {
    unsigned char *superblock = image;
    if (bytes < SUPERBLOCK_BYTES || memcmp(superblock + 1, "HDF", 3) != 0 || superblock[VERSION] != 3 ||
        superblock[OFFSET_BYTES] != 8)
        return bl_fail(BL_ERROR_INTERNAL, "%s: HDF5 made a file of another format than asked for", path);
    superblock[FLAGS] = 0;
    uint32_t checksum = lookup3(superblock, CHECKSUM);
    for (int32_t k = 0; k < 4; k++)
        superblock[CHECKSUM + k] = (unsigned char) (checksum >> (8 * k));
    return BL_OK;
}
