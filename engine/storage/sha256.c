/*
 * sha256.c - SHA-256 of a file (FIPS 180-4): the identity of vocabularies and
 * downloads. Not used where speed matters; checkpoints use CRC32C.
 */
#include "storage/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* First 32 bits of the fractional parts of the cube roots of the first 64 primes (section 4.2.2). */
static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, int n) {
    return (x >> n) | (x << (32 - n));
}

/* One 64-byte block (section 6.2.2). */
static void compress(uint32_t state[8], const unsigned char *block) {
    uint32_t w[64];
    for (int t = 0; t < 16; t++, block += 4)
        w[t] = (uint32_t) block[0] << 24 | (uint32_t) block[1] << 16 | (uint32_t) block[2] << 8 | block[3];
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ (w[t - 15] >> 3);
        uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ (w[t - 2] >> 10);
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 64; t++) {
        uint32_t s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
        uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + round_constants[t] + w[t];
        uint32_t s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
        uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    uint32_t sums[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++)
        state[i] += sums[i];
}

/* Bytes that fill the buffer, fewer only at the end of the file; -1 with errno. */
static ssize_t read_fully(int descriptor, unsigned char *buffer, size_t bytes) {
    size_t done = 0;
    while (done < bytes) {
        ssize_t n = read(descriptor, buffer + done, bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        if (n == 0) break;
        done += (size_t) n;
    }
    return (ssize_t) done;
}

/* Padding of the last, partial block: bit 1, zeros, length in bits (section 5.1.1). */
static void finish(uint32_t state[8], const unsigned char *rest, size_t bytes, uint64_t total) {
    unsigned char tail[128] = {0};
    memcpy(tail, rest, bytes);
    tail[bytes] = 0x80;
    size_t length = bytes < 56 ? 64 : 128;
    for (int i = 0; i < 8; i++)
        tail[length - 1 - (size_t) i] = (unsigned char) (total * 8 >> (8 * i));
    for (size_t at = 0; at < length; at += 64)
        compress(state, tail + at);
}

static bl_status hash_descriptor(const char *path, int descriptor, unsigned char *buffer, size_t capacity,
                                 uint32_t state[8]) {
    uint64_t total = 0;
    for (;;) {
        ssize_t n = read_fully(descriptor, buffer, capacity);
        if (n < 0) return bl_file_fail(path, "read", errno);
        total += (uint64_t) n;
        size_t whole = (size_t) n / 64 * 64;
        for (size_t at = 0; at < whole; at += 64)
            compress(state, buffer + at);
        if ((size_t) n < capacity) {
            finish(state, buffer + whole, (size_t) n - whole, total);
            return BL_OK;
        }
    }
}

BL_API bl_status bl_file_sha256(const char *path, char *hex) {
    if (!path || !hex) return bl_fail(BL_ERROR_ARGUMENT, "file_sha256: an argument is NULL");
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return bl_file_fail(path, "open", errno);
    const size_t capacity = 1u << 18;
    unsigned char *buffer = malloc(capacity);
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    bl_status status = buffer ? hash_descriptor(path, descriptor, buffer, capacity, state)
                              : bl_fail(BL_ERROR_MEMORY, "%s: out of memory for a read buffer", path);
    free(buffer);
    close(descriptor);
    if (status != BL_OK) return status;
    for (int i = 0; i < 64; i++)
        hex[i] = "0123456789abcdef"[state[i / 8] >> (28 - 4 * (i % 8)) & 15];
    hex[64] = 0;
    return BL_OK;
}
