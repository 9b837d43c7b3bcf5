/*
 * affinity_process.c - the cores that a whole process may run on, so that the
 * ranks of one machine divide its cores among them.
 */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static bl_status check_words(const uint64_t *words, int32_t count) {
    if (!words || count < 1 || count > CPU_SETSIZE / 64)
        return bl_fail(BL_ERROR_ARGUMENT, "affinity: %d words, expected 1 to %d", words ? (int) count : 0,
                       CPU_SETSIZE / 64);
    return BL_OK;
}

BL_API bl_status bl_affinity_get(uint64_t *words, int32_t count) {
    BL_TRY(check_words(words, count));
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return bl_fail(BL_ERROR_IO, "affinity: cannot read the allowed cores: %s", strerror(errno));
    memset(words, 0, (size_t) count * sizeof *words);
    for (int core = 0; core < count * 64; core++)
        if (CPU_ISSET(core, &set)) words[core / 64] |= UINT64_C(1) << (core % 64);
    return BL_OK;
}

BL_API bl_status bl_affinity_set(const uint64_t *words, int32_t count) {
    BL_TRY(check_words(words, count));
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int core = 0; core < count * 64; core++)
        if (words[core / 64] >> (core % 64) & 1) CPU_SET(core, &set);
    DIR *threads = opendir("/proc/self/task");
    if (!threads) return bl_fail(BL_ERROR_IO, "affinity: /proc/self/task: %s", strerror(errno));
    int failure = 0;
    for (struct dirent *entry; (entry = readdir(threads));) {
        int id = atoi(entry->d_name);
        /* A thread that ended meanwhile is not a failure. */
        if (id > 0 && sched_setaffinity(id, sizeof set, &set) != 0 && errno != ESRCH) failure = errno;
    }
    closedir(threads);
    if (failure) return bl_fail(BL_ERROR_IO, "affinity: cannot bind a thread: %s", strerror(failure));
    return BL_OK;
}
