/*
 * control_group.c - limits of control groups; see control_group.h.
 *
 * /proc/self/cgroup names the process's group in each hierarchy, as seen from
 * its namespace, and /proc/self/mountinfo says which part of a hierarchy is
 * mounted where. In a container the mounted part often begins at its own group
 * while the name is the whole one, or the name is just "/". See cgroups(7);
 * files: "Control Group v2" and "CPU bandwidth control" of the kernel's
 * documentation.
 */
#include "control_group.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096, LINE_BYTES = 3 * PATH_BYTES };

static FILE *open_file(const char *root, const char *folder, const char *name) {
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s%s/%s", root, folder, name);
    return length > 0 && (size_t) length < sizeof path ? fopen(path, "r") : NULL;
}

/* A file's first line, without its end. */
static bool first_line(const char *root, const char *folder, const char *name, char *line, size_t bytes) {
    FILE *file = open_file(root, folder, name);
    if (!file) return false;
    bool got = fgets(line, (int) bytes, file) != NULL;
    fclose(file);
    if (got) line[strcspn(line, "\n")] = '\0';
    return got;
}

/* The whole number that a file holds; anything else ("max", or no file) is UINT64_MAX: no limit. */
static uint64_t number_of(const char *root, const char *folder, const char *name) {
    char line[64], *end = line;
    if (!first_line(root, folder, name, line, sizeof line) || line[0] < '0' || line[0] > '9') return UINT64_MAX;
    unsigned long long value = strtoull(line, &end, 10);
    return *end == '\0' ? value : UINT64_MAX;
}

static void lower(uint64_t *limit, uint64_t value) {
    if (value < *limit) *limit = value;
}

/* Bytes of the group's memory that the kernel gives up before the limit hurts: files that are cached. */
static uint64_t reclaimable(const char *root, const char *folder, const char *const keys[3]) {
    FILE *file = open_file(root, folder, "memory.stat");
    if (!file) return 0;
    uint64_t sum = 0;
    char key[64];
    unsigned long long value;
    while (fscanf(file, "%63s %llu", key, &value) == 2)
        for (int i = 0; i < 3; i++)
            if (keys[i] && strcmp(key, keys[i]) == 0) sum += value;
    fclose(file);
    return sum;
}

static void apply_memory(bl_control_group *group, const char *root, const char *folder, uint64_t limit,
                         const char *usage, const char *const keys[3]) {
    if (limit == UINT64_MAX) return;
    lower(&group->memory, limit);
    uint64_t used = number_of(root, folder, usage);
    if (used == UINT64_MAX) return;
    uint64_t cached = reclaimable(root, folder, keys);
    used = cached < used ? used - cached : 0;
    lower(&group->left, used < limit ? limit - used : 0);
}

static void apply_quota(bl_control_group *group, double quota, double period) {
    if (quota <= 0 || period <= 0) return;
    double processors = quota / period;
    if (group->processors == 0 || processors < group->processors) group->processors = processors;
}

/* What one group of version 2 allows. */
static void look_at_unified(bl_control_group *group, const char *root, const char *folder) {
    static const char *const keys[3] = {"inactive_file", "active_file", "slab_reclaimable"};
    char line[64];
    double quota = 0, period = 0;
    if (first_line(root, folder, "cpu.max", line, sizeof line) && sscanf(line, "%lf %lf", &quota, &period) == 2)
        apply_quota(group, quota, period);
    /* Above memory.high a group is slowed down until it hardly moves; above memory.max it is killed. */
    uint64_t limit = number_of(root, folder, "memory.max");
    lower(&limit, number_of(root, folder, "memory.high"));
    apply_memory(group, root, folder, limit, "memory.current", keys);
}

static void look_at_cpu(bl_control_group *group, const char *root, const char *folder) {
    uint64_t quota = number_of(root, folder, "cpu.cfs_quota_us"), period = number_of(root, folder, "cpu.cfs_period_us");
    if (quota != UINT64_MAX && period != UINT64_MAX) apply_quota(group, (double) quota, (double) period);
}

static void look_at_memory(bl_control_group *group, const char *root, const char *folder) {
    static const char *const keys[3] = {"total_inactive_file", "total_active_file"};
    uint64_t limit = number_of(root, folder, "memory.limit_in_bytes");
    /* No limit is the largest number of whole pages. */
    if (limit >= UINT64_C(1) << 62) limit = UINT64_MAX;
    apply_memory(group, root, folder, limit, "memory.usage_in_bytes", keys);
}

/* Whether a word stands in a list with commas. */
static bool lists(const char *list, const char *word) {
    size_t length = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',')) {
        if (*at == ',') at++;
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0')) return true;
    }
    return false;
}

/* The name of the process's group in the hierarchy with this controller; NULL: that of version 2. */
static bool group_name(const char *root, const char *controller, char name[PATH_BYTES]) {
    FILE *file = open_file(root, "/proc/self", "cgroup");
    if (!file) return false;
    char line[LINE_BYTES];
    bool found = false;
    while (!found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path || strlen(path + 1) >= PATH_BYTES) continue;
        *controllers++ = *path++ = '\0';
        found = controller ? lists(controllers, controller) : strcmp(line, "0") == 0 && controllers[0] == '\0';
        if (found) strcpy(name, path);
    }
    fclose(file);
    return found;
}

/* In mountinfo a blank, a tab, a line's end and a backslash are written as \ooo. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from; to++) {
        unsigned code;
        if (from[0] == '\\' && sscanf(from + 1, "%3o", &code) == 1) {
            *to = (char) code;
            from += 4;
        } else
            *to = *from++;
    }
    *to = '\0';
}

typedef void look_function(bl_control_group *group, const char *root, const char *folder);

/* From the process's group, or the mounted one where the name does not say where below it, up to the mounted one. */
static void walk(bl_control_group *group, const char *root, const char *mounted_group, const char *folder,
                 const char *name, look_function *look) {
    char path[PATH_BYTES];
    size_t top = strlen(folder), prefix = strcmp(mounted_group, "/") == 0 ? 0 : strlen(mounted_group);
    bool below = strncmp(name, mounted_group, prefix) == 0 && (name[prefix] == '/' || name[prefix] == '\0');
    /* A group outside the namespace is "/../...". */
    const char *rest = below && !strstr(name, "/..") ? name + prefix : "";
    if (strcmp(rest, "/") == 0) rest = "";
    int length = snprintf(path, sizeof path, "%s%s", folder, rest);
    if (length < 0 || (size_t) length >= sizeof path) return;
    for (;;) {
        look(group, root, path);
        char *slash = strrchr(path, '/');
        if (strlen(path) <= top || !slash) return;
        *slash = '\0';
    }
}

/* One line of mountinfo: ID PARENT DEVICE ROOT FOLDER OPTIONS [TAGS...] - TYPE SOURCE OPTIONS */
static void look_at_mount(bl_control_group *group, const char *root, char *line) {
    char mounted[PATH_BYTES], folder[PATH_BYTES], type[32], options[512], name[PATH_BYTES];
    const char *behind = strstr(line, " - ");
    if (!behind || sscanf(behind, " - %31s %*s %511s", type, options) != 2 || strncmp(type, "cgroup", 6) != 0) return;
    if (sscanf(line, "%*s %*s %*s %4095s %4095s", mounted, folder) != 2) return;
    unescape(mounted);
    unescape(folder);
    if (strcmp(type, "cgroup2") == 0) {
        if (group_name(root, NULL, name)) walk(group, root, mounted, folder, name, look_at_unified);
        return;
    }
    if (lists(options, "cpu") && group_name(root, "cpu", name)) walk(group, root, mounted, folder, name, look_at_cpu);
    if (lists(options, "memory") && group_name(root, "memory", name))
        walk(group, root, mounted, folder, name, look_at_memory);
}

bl_control_group bl_control_group_read(const char *root) {
    bl_control_group group = {.processors = 0, .memory = UINT64_MAX, .left = UINT64_MAX};
    FILE *file = open_file(root, "/proc/self", "mountinfo");
    if (!file) return group;
    char line[LINE_BYTES];
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        look_at_mount(&group, root, line);
    }
    fclose(file);
    return group;
}
