/*
 * host.h - what the executable's C files share: signals, the line editor and
 * the Lua module bertlua.host that hands both to Lua.
 */
#ifndef BERTLUA_HOST_H
#define BERTLUA_HOST_H

#include <limits.h>
#include <stdbool.h>

#include <lua.h>

/* Where things are, all absolute. */
typedef struct host_paths {
    char executable[PATH_MAX];
    char root[PATH_MAX]; /* holds lua/, bindings/, recipes/ */
} host_paths;

/* Fill in paths from /proc/self/exe; false if bertlua's Lua files are not there (root then says where it looked). */
bool host_find_paths(host_paths *paths);

/* Leaves the module bertlua.host on the stack: signals, paths, editor. */
void host_open(lua_State *L, const host_paths *paths);

/* Catch SIGINT from now on and interrupt Lua code in L. */
void signals_install(lua_State *L);
/* Add trap, pending, clear and interrupted to the table on top of the stack. */
void signals_open(lua_State *L);
/*
 * Between begin and end SIGINT only sets a flag, for a reader of the terminal;
 * end returns true if it came.
 */
void signals_begin_reading(void);
bool signals_reading_interrupted(void);
bool signals_end_reading(void);

/* Why standard output cannot be written, after flushing it; NULL if it can. */
const char *output_problem(void);
/* From now on an exit with code 0 becomes one with EXIT_FAILURE and a line if standard output could not be written. */
void output_watch(void);

/* Add on_failure, the handler of a failed job as a pointer, and quit to the table on top of the stack. */
void failure_open(lua_State *L);

/* Add the constructor `editor` to the table on top of the stack. */
void editor_open(lua_State *L);

#endif
