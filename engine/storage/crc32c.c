/*
 * crc32c.c - CRC32C (Castagnoli polynomial, RFC 3720 appendix B.4), by the
 * CPU's instruction where it has one, else by a table. Lanes of long data are
 * put together by the algebra of zlib's crc32_combine.
 */
#include <string.h>

#include "storage/file.h"

/* Asked when it runs: packages are built for CPUs without the instruction. */
#if defined(__x86_64__)
#include <nmmintrin.h>
#define BL_CRC_TARGET __attribute__((target("sse4.2")))
#define BL_CRC_WORD(state, word) _mm_crc32_u64(state, word)
#define BL_CRC_BYTE(state, byte) _mm_crc32_u8((uint32_t) (state), byte)
static bool has_instruction(void) {
    return __builtin_cpu_supports("sse4.2");
}
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#define BL_CRC_TARGET __attribute__((target("+crc")))
#define BL_CRC_WORD(state, word) __crc32cd((uint32_t) (state), word)
#define BL_CRC_BYTE(state, byte) __crc32cb((uint32_t) (state), byte)
static bool has_instruction(void) {
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}
#endif

/* a b modulo the polynomial, which is reflected as they are: bit 31 is x^0. */
static uint32_t multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (uint32_t bit = 1u << 31; bit; bit >>= 1) {
        if (a & bit) product ^= b;
        b = (b >> 1) ^ (b & 1 ? 0x82F63B78u : 0);
    }
    return product;
}

/* x^(8 bytes): what a state is multiplied by to go on as if that many zeros had followed. */
static uint32_t power(uint64_t bytes) {
    uint32_t result = 1u << 31, square = 1u << 23;
    for (; bytes > 0; bytes >>= 1) {
        if (bytes & 1) result = multiply(result, square);
        square = multiply(square, square);
    }
    return result;
}

uint32_t bl_crc32c_join(uint32_t first, uint32_t second, uint64_t bytes) {
    return multiply(power(bytes), first) ^ second;
}

#if defined(BL_CRC_TARGET)
/* Fewer bytes than this are one lane. */
enum { LANES_FROM = 1 << 14 };

static uint64_t word_at(const unsigned char *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* Three lanes of the same number of words: an instruction takes three times as long as the next one has to wait. */
static BL_CRC_TARGET uint64_t add_lanes(uint64_t state, const unsigned char *p, size_t lane) {
    uint64_t second = 0, third = 0;
    for (size_t i = 0; i < lane; i += 8) {
        state = BL_CRC_WORD(state, word_at(p + i));
        second = BL_CRC_WORD(second, word_at(p + lane + i));
        third = BL_CRC_WORD(third, word_at(p + 2 * lane + i));
    }
    uint32_t factor = power(lane);
    uint32_t two = multiply((uint32_t) state, factor) ^ (uint32_t) second;
    return multiply(two, factor) ^ (uint32_t) third;
}

/* As bl_crc32c. */
static BL_CRC_TARGET uint32_t by_instruction(uint32_t crc, const unsigned char *p, size_t bytes) {
    uint64_t state = crc ^ 0xFFFFFFFFu;
    if (bytes >= LANES_FROM) {
        size_t lane = bytes / 3 / 8 * 8;
        state = add_lanes(state, p, lane);
        p += 3 * lane;
        bytes -= 3 * lane;
    }
    for (; bytes >= 8; bytes -= 8, p += 8)
        state = BL_CRC_WORD(state, word_at(p));
    for (; bytes > 0; bytes--, p++)
        state = BL_CRC_BYTE(state, *p);
    return (uint32_t) state ^ 0xFFFFFFFFu;
}
#endif

/* Remainders of the 16 half-bytes under the reflected polynomial 0x82F63B78. */
static const uint32_t nibble_table[16] = {
    0x00000000u, 0x105EC76Fu, 0x20BD8EDEu, 0x30E349B1u, 0x417B1DBCu, 0x5125DAD3u, 0x61C69362u, 0x7198540Du,
    0x82F63B78u, 0x92A8FC17u, 0xA24BB5A6u, 0xB21572C9u, 0xC38D26C4u, 0xD3D3E1ABu, 0xE330A81Au, 0xF36E6F75u,
};

BL_API uint32_t bl_crc32c(uint32_t crc, const void *data, size_t bytes) {
    const unsigned char *p = data;
#if defined(BL_CRC_TARGET)
    if (has_instruction()) return by_instruction(crc, p, bytes);
#endif
    uint32_t state = crc ^ 0xFFFFFFFFu;
    for (; bytes > 0; bytes--, p++) {
        state ^= *p;
        state = (state >> 4) ^ nibble_table[state & 15];
        state = (state >> 4) ^ nibble_table[state & 15];
    }
    return state ^ 0xFFFFFFFFu;
}

BL_API uint32_t bl_crc32c_mask(uint32_t crc) {
    return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}
