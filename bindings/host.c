/*
 * host.c - the module bertlua.host: what only the executable knows, for Lua.
 * Also finds the folder of bertlua's own files.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lauxlib.h>

#include "host.h"

/* path/suffix into buffer; false if it does not fit. */
static bool join(char *buffer, size_t bytes, const char *path, const char *suffix) {
    int length = snprintf(buffer, bytes, "%s/%s", path, suffix);
    return length >= 0 && (size_t) length < bytes;
}

static bool is_root(const char *path) {
    char command[PATH_MAX];
    struct stat info;
    return join(command, sizeof command, path, "lua/bertlua/prompt/command.lua") && stat(command, &info) == 0;
}

static void parent(char *path) {
    char *slash = strrchr(path, '/');
    if (slash && slash != path)
        *slash = '\0';
    else if (slash)
        slash[1] = '\0';
}

bool host_find_paths(host_paths *paths) {
    ssize_t length = readlink("/proc/self/exe", paths->executable, sizeof paths->executable - 1);
    if (length < 0) length = 0;
    paths->executable[length] = '\0';

    /* BUILD/bertlua in the source tree, or PREFIX/bin/bertlua. */
    char prefix[PATH_MAX];
    snprintf(prefix, sizeof prefix, "%s", paths->executable);
    parent(prefix);
    parent(prefix);
    snprintf(paths->root, sizeof paths->root, "%s", prefix);
    if (is_root(paths->root)) return true;
    return join(paths->root, sizeof paths->root, prefix, "share/bertlua") && is_root(paths->root);
}

/* isatty(descriptor) */
static int host_isatty(lua_State *L) {
    lua_pushboolean(L, isatty((int) luaL_checkinteger(L, 1)));
    return 1;
}

/* flush(): true, or nil and a message if standard output could not be written. */
static int host_flush(lua_State *L) {
    const char *problem = output_problem();
    if (!problem) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, problem);
    return 2;
}

void host_open(lua_State *L, const host_paths *paths) {
    static const luaL_Reg functions[] = {{"isatty", host_isatty}, {"flush", host_flush}, {NULL, NULL}};
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    lua_pushstring(L, paths->root);
    lua_setfield(L, -2, "root");
    lua_pushstring(L, paths->executable);
    lua_setfield(L, -2, "executable");
    /* BUILD may be any folder: the library beside the executable is the one it was built with. */
    char library[PATH_MAX];
    char folder[PATH_MAX];
    struct stat info;
    snprintf(folder, sizeof folder, "%s", paths->executable);
    parent(folder);
    if (join(library, sizeof library, folder, "libbertlua.so") && stat(library, &info) == 0) {
        lua_pushstring(L, library);
        lua_setfield(L, -2, "library");
    }
    failure_open(L);
    signals_open(L);
    editor_open(L);
}
