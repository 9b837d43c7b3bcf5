/*
 * failure.c - the end of a process whose job has failed on some rank. Called
 * by the engine on a thread of its own while Lua may be anywhere, so nothing
 * of Lua or stdio is touched.
 */
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <lauxlib.h>

#include "host.h"

static void on_failure(int32_t code, const char *line, bool print) {
    char text[640];
    if (print) {
        /* A progress bar may stand in the terminal's last line. */
        int n = snprintf(text, sizeof text, "%sbertlua: %s; the job ends\n", isatty(STDERR_FILENO) ? "\n" : "", line);
        size_t length = n < 0 ? 0 : (size_t) n < sizeof text ? (size_t) n : sizeof text - 1;
        /* Nothing can be done about a terminal that is gone. */
        ssize_t written = write(STDERR_FILENO, text, length);
        (void) written;
    }
    _exit(code);
}

/* quit(code): end at once, without exit handlers. */
static int host_quit(lua_State *L) {
    _exit((int) luaL_checkinteger(L, 1));
}

void failure_open(lua_State *L) {
    lua_pushlightuserdata(L, (void *) (uintptr_t) on_failure);
    lua_setfield(L, -2, "on_failure");
    lua_pushcfunction(L, host_quit);
    lua_setfield(L, -2, "quit");
}
