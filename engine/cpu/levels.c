/*
 * levels.c - the choice among the levels of levels.h, when a context is opened.
 *
 * The Makefile compiles this for ARCH, whose name is BL_CPU_ARCH, and lists the
 * levels above it in BL_CPU_LEVELS: rows of a suffix of symbols and a name,
 * lowest first. What a level needs of a CPU is what its compiler was told
 * (core/cpu_needs.c).
 */
#include "levels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu_needs.h"

typedef struct cpu_level {
    const char *name;
    const bl_backend *backend;
    const uint64_t *needs;
} cpu_level;

extern const bl_backend bl_cpu_backend;
#ifdef BL_CPU_LEVELS
#define ROW(suffix, name)                                                                                              \
    extern const bl_backend bl_cpu_backend_##suffix;                                                                   \
    extern const uint64_t bl_cpu_needs_##suffix;
BL_CPU_LEVELS(ROW)
#undef ROW
#endif

static const cpu_level LEVELS[] = {{BL_CPU_ARCH, &bl_cpu_backend, &bl_cpu_needs},
#ifdef BL_CPU_LEVELS
#define ROW(suffix, name) {name, &bl_cpu_backend_##suffix, &bl_cpu_needs_##suffix},
                                   BL_CPU_LEVELS(ROW)
#undef ROW
#endif
};
enum { COUNT = sizeof LEVELS / sizeof LEVELS[0] };

const char *bl_cpu_level(const bl_backend *backend) {
    for (int i = 0; COUNT > 1 && i < COUNT; i++)
        if (LEVELS[i].backend == backend) return LEVELS[i].name;
    return NULL;
}

/* One above the highest level that BERTLUA_MAX_CPU allows. */
static bl_status allowed(int *count) {
    const char *most = getenv("BERTLUA_MAX_CPU");
    *count = COUNT;
    if (!most || !most[0]) return BL_OK;
    char names[256] = "";
    size_t length = 0;
    for (int i = 0; i < COUNT; i++) {
        *count = i + 1;
        if (strcmp(LEVELS[i].name, most) == 0) return BL_OK;
        int written = snprintf(names + length, sizeof names - length, "%s%s", i ? ", " : "", LEVELS[i].name);
        if (written > 0 && (size_t) written < sizeof names - length) length += (size_t) written;
    }
    return bl_fail(BL_ERROR_UNSUPPORTED,
                   "cpu: BERTLUA_MAX_CPU is %.64s, but this build has kernels for %s; name one of these, unset it, or "
                   "build with make ARCH=x86-64, which has them for every level",
                   most, names);
}

bl_status bl_cpu_backend_open(const bl_backend **out) {
    int count;
    BL_TRY(allowed(&count));
    uint64_t here = COUNT > 1 ? bl_cpu_features() : 0;
    /* The first needs what all of this build does, and the CPU has that: cpu_check.c looked. */
    const cpu_level *best = LEVELS;
    for (const cpu_level *level = LEVELS + 1; level < LEVELS + count; level++)
        if (!(*level->needs & ~here)) best = level;
    *out = best->backend;
    return BL_OK;
}
