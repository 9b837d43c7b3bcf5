/*
 * machine.c - what a program asks of the machine it runs on: processors, memory
 * used so far, the width of its terminal. Pinning to cores is in affinity*.c.
 */
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "internal.h"

BL_API int32_t bl_processors(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? count : 1;
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
