/*
 * crc32c.c - CRC32C (Castagnoli polynomial, RFC 3720 appendix B.4), by the
 * SSE4.2 instruction where the compiler may use it, else by a table.
 */
#include "core/internal.h"

#include <string.h>

#ifdef __SSE4_2__
#include <nmmintrin.h>

BL_API uint32_t bl_crc32c(uint32_t crc, const void *data, size_t bytes) {
    const unsigned char *p = data;
    uint64_t state = crc ^ 0xFFFFFFFFu;
    for (; bytes >= 8; bytes -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        state = _mm_crc32_u64(state, word);
    }
    for (; bytes > 0; bytes--, p++)
        state = _mm_crc32_u8((uint32_t) state, *p);
    return (uint32_t) state ^ 0xFFFFFFFFu;
}

#else

/* Remainders of the 16 half-bytes under the reflected polynomial 0x82F63B78. */
static const uint32_t nibble_table[16] = {
    0x00000000u, 0x105EC76Fu, 0x20BD8EDEu, 0x30E349B1u, 0x417B1DBCu, 0x5125DAD3u, 0x61C69362u, 0x7198540Du,
    0x82F63B78u, 0x92A8FC17u, 0xA24BB5A6u, 0xB21572C9u, 0xC38D26C4u, 0xD3D3E1ABu, 0xE330A81Au, 0xF36E6F75u,
};

BL_API uint32_t bl_crc32c(uint32_t crc, const void *data, size_t bytes) {
    const unsigned char *p = data;
    uint32_t state = crc ^ 0xFFFFFFFFu;
    for (; bytes > 0; bytes--, p++) {
        state ^= *p;
        state = (state >> 4) ^ nibble_table[state & 15];
        state = (state >> 4) ^ nibble_table[state & 15];
    }
    return state ^ 0xFFFFFFFFu;
}

#endif

BL_API uint32_t bl_crc32c_mask(uint32_t crc) {
    return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}
