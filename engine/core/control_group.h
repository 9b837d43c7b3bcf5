/*
 * control_group.h - what Linux's control groups let this process use:
 * containers, systemd's services and batch systems limit processors and memory
 * with them, of which the usual calls say nothing.
 */
#ifndef BERTLUA_CORE_CONTROL_GROUP_H
#define BERTLUA_CORE_CONTROL_GROUP_H

#include <stdint.h>

typedef struct bl_control_group {
    double processors; /* time of as many; 0: no limit */
    uint64_t memory;   /* bytes; UINT64_MAX: no limit */
    uint64_t left;     /* bytes until a limit is reached, with file caches given up; UINT64_MAX: no limit */
} bl_control_group;

/*
 * The smallest limits on the way from the process's own groups, of version 1
 * and 2, up to the highest that is visible. `root` is put before every path
 * ("" or, for specs, a folder with files like the kernel's). What cannot be
 * read is no limit.
 */
bl_control_group bl_control_group_read(const char *root);

#endif
