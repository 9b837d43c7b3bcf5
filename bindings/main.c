/*
 * main.c - the bertlua executable: a LuaJIT state with bertlua's own modules
 * on the path. Options, the prompt and everything else a user sees is Lua:
 * lua/bertlua/prompt/command.lua.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lualib.h>

#include "host.h"

/* Put bertlua's folders before, and Debian's behind, the field `path` or `cpath` of package. */
static void extend_path(lua_State *L, const char *field, const char *before, const char *behind) {
    lua_getglobal(L, "package");
    lua_getfield(L, -1, field);
    lua_pushfstring(L, "%s%s%s", before, lua_tostring(L, -1), behind);
    lua_setfield(L, -3, field);
    lua_pop(L, 2);
}

static void set_paths(lua_State *L, const host_paths *paths) {
    const char *root = paths->root;
    lua_pushfstring(L, "%s/lua/?.lua;%s/lua/?/init.lua;%s/bindings/?.lua;", root, root, root);
    /* A LUA_PATH without ";;" hides Debian's folders, where our own dependencies are. */
    extend_path(L, "path", lua_tostring(L, -1), ";/usr/share/lua/5.1/?.lua;/usr/share/lua/5.1/?/init.lua");
    lua_pop(L, 1);
    extend_path(L, "cpath", "", ";" DEBIAN_LUA_CPATH "/?.so");
    /* bertlua's own folders are first, so this is our search.lua; from here on it decides. */
    lua_getglobal(L, "require");
    lua_pushliteral(L, "bertlua.search");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "install");
    lua_pushstring(L, root);
    lua_pushliteral(L, DEBIAN_LUA_CPATH);
    lua_call(L, 2, 0);
    lua_pop(L, 1);
}

/* Whether whoever started this had closed standard output, which is /dev/null since then. */
static bool stdout_was_closed;

/* package.loaded["bertlua.host"] and the global arg. */
static void set_host(lua_State *L, const host_paths *paths, int argc, char **argv) {
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaded");
    host_open(L, paths);
    lua_pushboolean(L, stdout_was_closed);
    lua_setfield(L, -2, "stdout_was_closed");
    lua_setfield(L, -2, "bertlua.host");
    lua_pop(L, 2);

    lua_createtable(L, argc, 1);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i);
    }
    lua_setglobal(L, "arg");
}

typedef struct launch {
    const host_paths *paths;
    int argc;
    char **argv;
    int code;
} launch;

/* Protected part: any failure to start is a message, not a panic. */
static int start(lua_State *L) {
    launch *run = lua_touserdata(L, 1);
    luaL_openlibs(L);
    set_paths(L, run->paths);
    set_host(L, run->paths, run->argc, run->argv);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "bertlua.prompt.command");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "main");
    lua_getglobal(L, "arg");
    lua_call(L, 1, 1);
    run->code = (int) lua_tointeger(L, -1);
    return 0;
}

/*
 * Whoever started this may have closed descriptors 0 to 2: the next file that
 * is opened would get that number, and what is printed would go into it.
 */
static bool open_standard_streams(void) {
    for (int descriptor = 0; descriptor <= 2; descriptor++) {
        if (fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
        /* The lowest free number is this one: those below are open. */
        if (open("/dev/null", O_RDWR) != descriptor) return false;
        if (descriptor == STDOUT_FILENO) stdout_was_closed = true;
    }
    return true;
}

/* Nanoseconds that one round of libgomp's spinning takes: that of the fastest of some, which nothing interrupted. */
static double spin_round(void) {
    enum { SPANS = 8, ROUNDS = 128 };
    double least = 0;
    for (int i = 0; i < SPANS; i++) {
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        for (int round = 0; round < ROUNDS; round++) {
#if defined(__x86_64__)
            __builtin_ia32_pause();
#else
            __asm__ volatile("" : : : "memory");
#endif
        }
        clock_gettime(CLOCK_MONOTONIC, &end);
        double span = 1e9 * (double) (end.tv_sec - begin.tv_sec) + (double) (end.tv_nsec - begin.tv_nsec);
        if (i == 0 || span < least) least = span;
    }
    return least / ROUNDS;
}

/*
 * How long a thread of the engine spins before it sleeps, unless the user says:
 * 0.3 ms, which outlast what lies between two ops. libgomp's own 300,000 rounds
 * are several milliseconds: with two runs on the same cores, each spins through
 * the time slices that the other needs. It counts rounds, one of which takes
 * three times longer on some CPUs than on others, so one is timed. libgomp reads
 * this when it is loaded, which the engine's library does later.
 */
static void limit_spinning(void) {
    enum { NANOSECONDS = 300000, LEAST = 1000, MOST = 300000 };
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT")) return;
    double round = spin_round(), count = round > 0 ? NANOSECONDS / round : MOST;
    char text[16];
    snprintf(text, sizeof text, "%d", (int) (count < LEAST ? LEAST : count > MOST ? MOST : count));
    setenv("GOMP_SPINCOUNT", text, 1);
}

int main(int argc, char **argv) {
    if (!open_standard_streams()) return EXIT_FAILURE;
    limit_spinning();
    output_watch();
    host_paths paths;
    if (!host_find_paths(&paths)) {
        fprintf(stderr, "bertlua: cannot find its Lua files in %s; run make install, or start build/bertlua\n",
                paths.root);
        return EXIT_FAILURE;
    }
    lua_State *L = luaL_newstate();
    if (!L) {
        fprintf(stderr, "bertlua: out of memory\n");
        return EXIT_FAILURE;
    }
    signals_install(L);
    launch run = {.paths = &paths, .argc = argc, .argv = argv, .code = EXIT_FAILURE};
    if (lua_cpcall(L, start, &run) != 0) {
        const char *message = lua_tostring(L, -1);
        fprintf(stderr, "bertlua: %s\n", message ? message : "an error that is not a string");
    }
    lua_close(L);
    return run.code;
}
