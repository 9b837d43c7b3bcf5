/*
 * digest.c - MD5 (RFC 1321) and SHA-1 (FIPS 180-4) of a file: the checksums
 * that publishers of dumps and data sets give. Not for security; the manifest's
 * own checksum is SHA-256 (sha256.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/file.h"

typedef void (*compress_function)(uint32_t *state, const unsigned char *block, const uint32_t *table);

static uint32_t rotate_left(uint32_t x, int n) {
    return x << n | x >> (32 - n);
}

static void md5_block(uint32_t *state, const unsigned char *block, const uint32_t *table) {
    static const int shifts[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
    uint32_t x[16];
    for (int i = 0; i < 16; i++, block += 4)
        x[i] = (uint32_t) block[3] << 24 | (uint32_t) block[2] << 16 | (uint32_t) block[1] << 8 | block[0];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    for (int i = 0; i < 64; i++) {
        uint32_t f;
        int k;
        if (i < 16) {
            f = (b & c) | (~b & d);
            k = i;
        } else if (i < 32) {
            f = (d & b) | (~d & c);
            k = (5 * i + 1) % 16;
        } else if (i < 48) {
            f = b ^ c ^ d;
            k = (3 * i + 5) % 16;
        } else {
            f = c ^ (b | ~d);
            k = 7 * i % 16;
        }
        uint32_t sum = a + f + x[k] + table[i];
        a = d;
        d = c;
        c = b;
        b += rotate_left(sum, shifts[i / 16][i % 4]);
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
}

static void sha1_block(uint32_t *state, const unsigned char *block, const uint32_t *table) {
    (void) table;
    uint32_t w[80];
    for (int i = 0; i < 16; i++, block += 4)
        w[i] = (uint32_t) block[0] << 24 | (uint32_t) block[1] << 16 | (uint32_t) block[2] << 8 | block[3];
    for (int i = 16; i < 80; i++)
        w[i] = rotate_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20) {
            f = (b & c) | (~b & d);
            k = 0x5a827999;
        } else if (i < 40) {
            f = b ^ c ^ d;
            k = 0x6ed9eba1;
        } else if (i < 60) {
            f = (b & c) | (b & d) | (c & d);
            k = 0x8f1bbcdc;
        } else {
            f = b ^ c ^ d;
            k = 0xca62c1d6;
        }
        uint32_t next = rotate_left(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = rotate_left(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

static bl_status hash_file(const char *path, int descriptor, unsigned char *buffer, size_t capacity, bool md5,
                           uint32_t *state) {
    uint32_t table[64];
    for (int i = 0; i < 64; i++)
        table[i] = (uint32_t) floor(fabs(sin(i + 1.0)) * 4294967296.0);
    compress_function compress = md5 ? md5_block : sha1_block;
    uint64_t total = 0;
    size_t held = 0;
    for (;;) {
        ssize_t n = read(descriptor, buffer + held, capacity - held);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return bl_file_fail(path, "read", errno);
        if (n == 0) break;
        total += (uint64_t) n;
        held += (size_t) n;
        size_t at = 0;
        for (; held - at >= 64; at += 64)
            compress(state, buffer + at, table);
        held -= at;
        memmove(buffer, buffer + at, held);
    }
    unsigned char tail[128] = {0};
    memcpy(tail, buffer, held);
    tail[held] = 0x80;
    size_t length = held < 56 ? 64 : 128;
    for (size_t i = 0; i < 8; i++)
        tail[md5 ? length - 8 + i : length - 1 - i] = (unsigned char) (total * 8 >> (8 * i));
    for (size_t at = 0; at < length; at += 64)
        compress(state, tail + at, table);
    return BL_OK;
}

BL_API bl_status bl_file_digest(const char *path, const char *algorithm, char *hex) {
    if (!path || !algorithm || !hex) return bl_fail(BL_ERROR_ARGUMENT, "file_digest: an argument is NULL");
    bool md5 = strcmp(algorithm, "md5") == 0;
    if (!md5 && strcmp(algorithm, "sha1") != 0)
        return bl_fail(BL_ERROR_ARGUMENT, "file_digest: algorithm is %s, expected md5 or sha1", algorithm);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return bl_file_fail(path, "open", errno);
    const size_t capacity = 1u << 18;
    unsigned char *buffer = malloc(capacity);
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    bl_status status = buffer ? hash_file(path, descriptor, buffer, capacity, md5, state)
                              : bl_fail(BL_ERROR_MEMORY, "%s: no memory for a read buffer", path);
    free(buffer);
    close(descriptor);
    if (status != BL_OK) return status;
    int bytes = md5 ? 16 : 20;
    for (int i = 0; i < bytes; i++) {
        int shift = md5 ? 8 * (i % 4) : 24 - 8 * (i % 4);
        unsigned int byte = state[i / 4] >> shift & 255;
        hex[2 * i] = "0123456789abcdef"[byte >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[byte & 15];
    }
    hex[2 * bytes] = 0;
    return BL_OK;
}
