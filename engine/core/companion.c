/*
 * companion.c - where the files are that belong to libbertlua.so.
 */
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/companion.h"

/* Folder of a path, with its slash; "" of a bare name. */
static int folder_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (int) (slash - path) + 1 : 0;
}

bl_status bl_companion_find(const char *what, const char *name, char *path, size_t bytes, bool *found) {
    Dl_info engine;
    if (!dladdr((const void *) &bl_companion_find, &engine) || !engine.dli_fname)
        return bl_fail(BL_ERROR_INTERNAL, "%s: cannot tell where libbertlua.so is", what);
    /* A link to the library may lie anywhere: then what it leads to counts. */
    char real[PATH_MAX];
    const char *libraries[2] = {engine.dli_fname, realpath(engine.dli_fname, real)};
    char own[64];
    snprintf(own, sizeof own, "bertlua-%s/", bl_version());
    const char *const below[2] = {"", own};
    for (int i = 0; i < 2 && libraries[i]; i++) {
        for (int k = 0; k < 2; k++) {
            int folder = folder_length(libraries[i]);
            int length = snprintf(path, bytes, "%.*s%s%s", folder, libraries[i], below[k], name);
            if (length < 0 || (size_t) length >= bytes)
                return bl_fail(BL_ERROR_ARGUMENT, "%s: the path of %s is longer than %zu bytes", what, name, bytes - 1);
            *found = access(path, R_OK) == 0;
            if (*found) return BL_OK;
        }
    }
    snprintf(path, bytes, "%.*s%s", folder_length(engine.dli_fname), engine.dli_fname, name);
    return BL_OK;
}
