/*
 * cpu_check.c - whether this CPU can run this build, before anything else does.
 *
 * Part of the library and of both programs. The loader calls it before main
 * and before the library's user gets to call anything. Without it a build for
 * another CPU dies of an illegal instruction, at its first op or at an
 * arbitrary place. So this is the one place of the engine that prints and ends
 * the process. Compiled for the oldest CPU of its architecture (the Makefile
 * sees to that), and uses nothing else of the engine. What it finds also
 * decides among the kernels of a build for several levels (cpu/levels.c).
 */
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "cpu_needs.h"

/* A feature: its name in /proc/cpuinfo, the level of the architecture that includes it (0: none), and if it is here. */
typedef struct cpu_row {
    const char *name;
    int level;
    bool here;
} cpu_row;

#if defined(__x86_64__)
#include <cpuid.h>

static const char *const LEVELS[] = {"x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"};
enum { EAX = 0, EBX, ECX, EDX };
/* What the system must save of a thread for a feature to be usable: bits of XCR0. */
enum { NOTHING = 0, YMM = 0x6, ZMM = 0xe6, EGPR = 0x80000 };

static const struct {
    const char *name;
    int level;
    unsigned leaf, subleaf;
    int word, bit;
    unsigned saved;
} TABLE[BL_CPU_FEATURES] = {
    [BL_CPU_CX16] = {"cx16", 2, 1, 0, ECX, 13, NOTHING},
    [BL_CPU_PCLMUL] = {"pclmulqdq", 0, 1, 0, ECX, 1, NOTHING},
    [BL_CPU_POPCNT] = {"popcnt", 2, 1, 0, ECX, 23, NOTHING},
    [BL_CPU_SSE3] = {"sse3", 2, 1, 0, ECX, 0, NOTHING},
    [BL_CPU_SSSE3] = {"ssse3", 2, 1, 0, ECX, 9, NOTHING},
    [BL_CPU_SSE4_1] = {"sse4_1", 2, 1, 0, ECX, 19, NOTHING},
    [BL_CPU_SSE4_2] = {"sse4_2", 2, 1, 0, ECX, 20, NOTHING},
    [BL_CPU_AVX] = {"avx", 3, 1, 0, ECX, 28, YMM},
    [BL_CPU_AVX2] = {"avx2", 3, 7, 0, EBX, 5, YMM},
    [BL_CPU_BMI1] = {"bmi1", 3, 7, 0, EBX, 3, NOTHING},
    [BL_CPU_BMI2] = {"bmi2", 3, 7, 0, EBX, 8, NOTHING},
    [BL_CPU_F16C] = {"f16c", 3, 1, 0, ECX, 29, YMM},
    [BL_CPU_FMA] = {"fma", 3, 1, 0, ECX, 12, YMM},
    [BL_CPU_LZCNT] = {"lzcnt", 3, 0x80000001, 0, ECX, 5, NOTHING},
    [BL_CPU_MOVBE] = {"movbe", 3, 1, 0, ECX, 22, NOTHING},
    [BL_CPU_AVX512F] = {"avx512f", 4, 7, 0, EBX, 16, ZMM},
    [BL_CPU_AVX512BW] = {"avx512bw", 4, 7, 0, EBX, 30, ZMM},
    [BL_CPU_AVX512CD] = {"avx512cd", 4, 7, 0, EBX, 28, ZMM},
    [BL_CPU_AVX512DQ] = {"avx512dq", 4, 7, 0, EBX, 17, ZMM},
    [BL_CPU_AVX512VL] = {"avx512vl", 4, 7, 0, EBX, 31, ZMM},
    [BL_CPU_AVX512IFMA] = {"avx512ifma", 0, 7, 0, EBX, 21, ZMM},
    [BL_CPU_AVX512VBMI] = {"avx512vbmi", 0, 7, 0, ECX, 1, ZMM},
    [BL_CPU_AVX512VBMI2] = {"avx512_vbmi2", 0, 7, 0, ECX, 6, ZMM},
    [BL_CPU_AVX512VNNI] = {"avx512_vnni", 0, 7, 0, ECX, 11, ZMM},
    [BL_CPU_AVX512BITALG] = {"avx512_bitalg", 0, 7, 0, ECX, 12, ZMM},
    [BL_CPU_AVX512VPOPCNTDQ] = {"avx512_vpopcntdq", 0, 7, 0, ECX, 14, ZMM},
    [BL_CPU_AVX512BF16] = {"avx512_bf16", 0, 7, 1, EAX, 5, ZMM},
    [BL_CPU_AVX512FP16] = {"avx512_fp16", 0, 7, 0, EDX, 23, ZMM},
    [BL_CPU_AVXVNNI] = {"avx_vnni", 0, 7, 1, EAX, 4, YMM},
    [BL_CPU_AVXIFMA] = {"avx_ifma", 0, 7, 1, EAX, 23, YMM},
    [BL_CPU_AVXNECONVERT] = {"avx_ne_convert", 0, 7, 1, EDX, 5, YMM},
    [BL_CPU_AVXVNNIINT8] = {"avx_vnni_int8", 0, 7, 1, EDX, 4, YMM},
    [BL_CPU_GFNI] = {"gfni", 0, 7, 0, ECX, 8, NOTHING},
    [BL_CPU_XOP] = {"xop", 0, 0x80000001, 0, ECX, 11, YMM},
    [BL_CPU_FMA4] = {"fma4", 0, 0x80000001, 0, ECX, 16, YMM},
    [BL_CPU_TBM] = {"tbm", 0, 0x80000001, 0, ECX, 21, NOTHING},
    [BL_CPU_APX] = {"apx_f", 0, 7, 1, EDX, 21, EGPR},
};

static unsigned cpuid_word(unsigned leaf, unsigned subleaf, int word) {
    unsigned words[4] = {0, 0, 0, 0};
    if (!__get_cpuid_count(leaf, subleaf, &words[EAX], &words[EBX], &words[ECX], &words[EDX])) return 0;
    return words[word];
}

static unsigned saved_state(void) {
    if (!(cpuid_word(1, 0, ECX) >> 27 & 1u)) return 0;
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static void look(cpu_row rows[BL_CPU_FEATURES]) {
    unsigned saved = saved_state();
    for (int f = 0; f < BL_CPU_FEATURES; f++) {
        bool has = cpuid_word(TABLE[f].leaf, TABLE[f].subleaf, TABLE[f].word) >> TABLE[f].bit & 1u;
        rows[f] = (cpu_row){TABLE[f].name, TABLE[f].level, has && (saved & TABLE[f].saved) == TABLE[f].saved};
    }
}

#elif defined(__aarch64__)
#include <sys/auxv.h>

static const char *const LEVELS[] = {"armv8-a"};

static const struct {
    const char *name;
    unsigned long type, bit; /* AT_HWCAP or AT_HWCAP2 */
} TABLE[BL_CPU_FEATURES] = {
    [BL_CPU_ATOMICS] = {"atomics", AT_HWCAP, 8},   [BL_CPU_RDM] = {"asimdrdm", AT_HWCAP, 12},
    [BL_CPU_FP16] = {"asimdhp", AT_HWCAP, 10},     [BL_CPU_DOTPROD] = {"asimddp", AT_HWCAP, 20},
    [BL_CPU_RCPC] = {"lrcpc", AT_HWCAP, 15},       [BL_CPU_COMPLEX] = {"fcma", AT_HWCAP, 14},
    [BL_CPU_FP16FML] = {"asimdfhm", AT_HWCAP, 23}, [BL_CPU_FRINT] = {"frint", AT_HWCAP2, 8},
    [BL_CPU_BF16] = {"bf16", AT_HWCAP2, 14},       [BL_CPU_I8MM] = {"i8mm", AT_HWCAP2, 13},
    [BL_CPU_SVE] = {"sve", AT_HWCAP, 22},          [BL_CPU_SVE2] = {"sve2", AT_HWCAP2, 1},
};

static void look(cpu_row rows[BL_CPU_FEATURES]) {
    for (int f = 0; f < BL_CPU_FEATURES; f++)
        rows[f] = (cpu_row){TABLE[f].name, 0, getauxval(TABLE[f].type) >> TABLE[f].bit & 1ul};
}
#endif

#if defined(__x86_64__) || defined(__aarch64__)

static uint64_t set_of(const cpu_row rows[BL_CPU_FEATURES]) {
    uint64_t set = 0;
    for (int f = 0; f < BL_CPU_FEATURES; f++)
        set |= (uint64_t) rows[f].here << f;
    return set;
}

uint64_t bl_cpu_features(void) {
    cpu_row rows[BL_CPU_FEATURES];
    look(rows);
    return set_of(rows);
}

typedef struct cpu_text {
    char bytes[1024];
    size_t length;
} cpu_text;

static void append(cpu_text *text, const char *piece) {
    size_t length = strlen(piece), room = sizeof text->bytes - 1 - text->length;
    length = length < room ? length : room;
    memcpy(text->bytes + text->length, piece, length);
    text->length += length;
}

/* The highest level, from 1, of which nothing is missing in a set of features. */
static int level_of(const cpu_row *rows, uint64_t set) {
    int level = sizeof LEVELS / sizeof LEVELS[0];
    for (int f = 0; f < BL_CPU_FEATURES; f++)
        if (rows[f].level && !(set >> f & 1u) && rows[f].level <= level) level = rows[f].level - 1;
    return level;
}

/* At most `most` of the names, and how many more there are; there are fewer than 100. */
static void append_names(cpu_text *text, const cpu_row *rows, uint64_t set, int most) {
    int count = 0, more = __builtin_popcountll(set) - most;
    for (int f = 0; f < BL_CPU_FEATURES; f++) {
        if (!(set >> f & 1u) || count == most) continue;
        if (count++) append(text, ", ");
        append(text, rows[f].name);
    }
    if (more <= 0) return;
    append(text, " and ");
    if (more > 9) append(text, (const char[2]){(char) ('0' + more / 10), '\0'});
    append(text, (const char[2]){(char) ('0' + more % 10), '\0'});
    append(text, " more");
}

__attribute__((constructor(101))) static void check_cpu(void) {
    cpu_row rows[BL_CPU_FEATURES];
    look(rows);
    uint64_t here = set_of(rows);
    uint64_t missing = bl_cpu_needs & ~here, above = missing;
    if (!missing) return;

    /* What the build needs is its level, and what else is missing here. */
    int level = level_of(rows, bl_cpu_needs), own = level_of(rows, here);
    for (int f = 0; f < BL_CPU_FEATURES; f++)
        if (rows[f].level && rows[f].level <= level) above &= ~(UINT64_C(1) << f);
    cpu_text text = {.length = 0};
    append(&text, "bertlua: this build needs a CPU with ");
    append(&text, LEVELS[level - 1]);
    if (above) append(&text, ", ");
    append_names(&text, rows, above, BL_CPU_FEATURES);
    append(&text, "; this one is ");
    append(&text, LEVELS[own - 1]);
    append(&text, " and lacks ");
    append_names(&text, rows, missing, 6);
    append(&text, ": build it here (make), or for CPUs like this one (make ARCH=");
    append(&text, LEVELS[own - 1]);
    append(&text, ")\n");
    ssize_t written = write(STDERR_FILENO, text.bytes, text.length);
    (void) written;
    _exit(1);
}

#else

uint64_t bl_cpu_features(void) {
    return 0;
}

#endif
