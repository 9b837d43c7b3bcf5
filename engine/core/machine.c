/*
 * machine.c - what a program asks of the machine it runs on: processors, memory
 * that is left and that was used so far, the width of its terminal. Pinning to
 * cores is in affinity*.c, limits of containers in control_group.c.
 */
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "control_group.h"
#include "internal.h"

BL_API double bl_processor_quota(const char *root) {
    return bl_control_group_read(root ? root : "").processors;
}

BL_API int32_t bl_processors(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int count = CPU_COUNT(&set);
    /* A part of a processor's time still needs a thread. */
    double quota = bl_processor_quota(NULL);
    if (quota > 0 && quota < count) count = (int) quota + (quota > (int) quota);
    return count > 0 ? count : 1;
}

BL_API bl_status bl_memory_left(const char *root, uint64_t *left, uint64_t *total, bool *limited) {
    if (!left || !total || !limited) return bl_fail(BL_ERROR_ARGUMENT, "memory_left: a result is NULL");
    root = root ? root : "";
    char line[4096];
    int length = snprintf(line, sizeof line, "%s/proc/meminfo", root);
    FILE *file = length > 0 && (size_t) length < sizeof line ? fopen(line, "r") : NULL;
    if (!file) return bl_fail(BL_ERROR_UNSUPPORTED, "memory_left: this system has no %.300s/proc/meminfo", root);
    unsigned long long kib = 0;
    *left = *total = 0;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "MemTotal: %llu kB", &kib) == 1) *total = kib * 1024;
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1) *left = kib * 1024;
    }
    fclose(file);
    bl_control_group group = bl_control_group_read(root);
    *limited = group.memory < *total;
    if (*limited) *total = group.memory;
    if (group.left < *left) *left = group.left;
    return BL_OK;
}

BL_API void bl_memory_peak(int64_t *own, int64_t *child) {
    struct rusage usage;
    /* Linux counts in KiB. */
    *own = getrusage(RUSAGE_SELF, &usage) == 0 ? (int64_t) usage.ru_maxrss * 1024 : 0;
    *child = getrusage(RUSAGE_CHILDREN, &usage) == 0 ? (int64_t) usage.ru_maxrss * 1024 : 0;
}

BL_API int32_t bl_terminal_columns(int32_t descriptor) {
    struct winsize size;
    if (!isatty(descriptor)) return 0;
    /* A terminal that does not report its width (a serial line, some editors) is taken as 80 wide. */
    if (ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return size.ws_col;
}
