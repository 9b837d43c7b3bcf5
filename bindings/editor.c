/*
 * editor.c - a line editor for Lua on libedit: editing, history, completion.
 * What is completed and what a line means is Lua's affair (repl.lua).
 *
 *   editor = host.editor(complete)   complete(text before the cursor) returns
 *                                    what to insert and a list to show, or nil
 *   editor:read(prompt)              line; false after Ctrl-C; nil at the end
 *   editor:remember(line)            add to the history
 *   editor:load(path), editor:save(path)   the history; false if it can't be
 *   editor:columns()                 width of the terminal
 *   editor:close()
 */
#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include <lauxlib.h>

#include "host.h"

static const char EDITOR_TYPE[] = "bertlua.editor";
enum { HISTORY_SIZE = 2000 };

typedef struct editor {
    EditLine *line;
    History *history;
    lua_State *L; /* the state that is in read(), for completion */
    int complete; /* reference to the completion function */
    char prompt[128];
} editor;

static editor *client(EditLine *line) {
    void *data = NULL;
    el_get(line, EL_CLIENTDATA, &data);
    return data;
}

static char *editor_prompt(EditLine *line) {
    return client(line)->prompt;
}

/* One character from the terminal; -1 when Ctrl-C came, 0 at the end. */
static int editor_getc(EditLine *line, wchar_t *out) {
    mbstate_t state;
    memset(&state, 0, sizeof state);
    (void) line;
    for (;;) {
        char byte;
        if (signals_reading_interrupted()) return -1;
        ssize_t got = read(STDIN_FILENO, &byte, 1);
        if (got == 0) return 0;
        if (got < 0) {
            if (errno == EINTR) continue;
            return -1;
        }
        size_t used = mbrtowc(out, &byte, 1, &state);
        if (used == (size_t) -2) continue;
        /* A byte that is not a character of the locale: drop it and start over. */
        if (used == (size_t) -1) {
            memset(&state, 0, sizeof state);
            continue;
        }
        return 1;
    }
}

static unsigned char editor_complete(EditLine *line, int key) {
    (void) key;
    editor *e = client(line);
    lua_State *L = e->L;
    const LineInfo *info = el_line(line);
    int top = lua_gettop(L);
    unsigned char result = CC_ERROR;

    lua_rawgeti(L, LUA_REGISTRYINDEX, e->complete);
    lua_pushlstring(L, info->buffer, (size_t) (info->cursor - info->buffer));
    /* A fault of the completion must not end the session: it only beeps. */
    if (lua_pcall(L, 1, 2, 0) == 0) {
        const char *insert = lua_tostring(L, -2);
        const char *listing = lua_tostring(L, -1);
        if (insert && *insert && el_insertstr(line, insert) == 0) result = CC_REFRESH;
        if (listing) {
            printf("\n%s", listing);
            fflush(stdout);
            result = CC_REDISPLAY;
        }
    }
    lua_settop(L, top);
    return result;
}

static int editor_close(lua_State *L) {
    editor *e = luaL_checkudata(L, 1, EDITOR_TYPE);
    if (e->line) el_end(e->line);
    if (e->history) history_end(e->history);
    e->line = NULL;
    e->history = NULL;
    luaL_unref(L, LUA_REGISTRYINDEX, e->complete);
    e->complete = LUA_NOREF;
    return 0;
}

static editor *check_editor(lua_State *L) {
    editor *e = luaL_checkudata(L, 1, EDITOR_TYPE);
    if (!e->line) luaL_error(L, "editor: it is already closed");
    return e;
}

static int host_editor(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    /* libedit takes characters from the locale; only the character type is the user's, numbers stay "1.5". */
    setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");

    editor *e = lua_newuserdata(L, sizeof *e);
    memset(e, 0, sizeof *e);
    e->complete = LUA_NOREF;
    luaL_getmetatable(L, EDITOR_TYPE);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, 1);
    e->complete = luaL_ref(L, LUA_REGISTRYINDEX);

    e->history = history_init();
    e->line = el_init("bertlua", stdin, stdout, stderr);
    if (!e->history || !e->line) return luaL_error(L, "editor: the terminal cannot be opened");
    HistEvent event;
    history(e->history, &event, H_SETSIZE, HISTORY_SIZE);
    history(e->history, &event, H_SETUNIQUE, 1);
    el_set(e->line, EL_CLIENTDATA, e);
    el_set(e->line, EL_PROMPT, editor_prompt);
    el_set(e->line, EL_EDITOR, "emacs");
    el_set(e->line, EL_SIGNAL, 1);
    el_set(e->line, EL_HIST, history, e->history);
    el_set(e->line, EL_GETCFN, editor_getc);
    el_set(e->line, EL_ADDFN, "bertlua-complete", "Complete the name or path before the cursor", editor_complete);
    el_set(e->line, EL_BIND, "^I", "bertlua-complete", NULL);
    el_set(e->line, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(e->line, EL_BIND, "\033[1~", "ed-move-to-beg", NULL);
    el_set(e->line, EL_BIND, "\033[4~", "ed-move-to-end", NULL);
    el_set(e->line, EL_BIND, "\033[3~", "ed-delete-next-char", NULL);
    el_set(e->line, EL_BIND, "\033[1;5C", "em-next-word", NULL);
    el_set(e->line, EL_BIND, "\033[1;5D", "ed-prev-word", NULL);
    el_source(e->line, NULL); /* the user's ~/.editrc, if there is one */
    return 1;
}

static int editor_read(lua_State *L) {
    editor *e = check_editor(L);
    const char *prompt = luaL_checkstring(L, 2);
    snprintf(e->prompt, sizeof e->prompt, "%s", prompt);
    e->L = L;
    int length = 0;
    fflush(stdout);
    signals_begin_reading();
    const char *line = el_gets(e->line, &length);
    bool interrupted = signals_end_reading();
    if (interrupted) {
        /* What was typed is dropped, also inside libedit. */
        el_reset(e->line);
        lua_pushboolean(L, 0);
    } else if (!line || length <= 0) {
        lua_pushnil(L);
    } else {
        if (line[length - 1] == '\n') length--;
        lua_pushlstring(L, line, (size_t) length);
    }
    return 1;
}

static int editor_remember(lua_State *L) {
    editor *e = check_editor(L);
    HistEvent event;
    history(e->history, &event, H_ENTER, luaL_checkstring(L, 2));
    return 0;
}

static int editor_history(lua_State *L, int operation) {
    editor *e = check_editor(L);
    HistEvent event;
    lua_pushboolean(L, history(e->history, &event, operation, luaL_checkstring(L, 2)) >= 0);
    return 1;
}

static int editor_load(lua_State *L) {
    return editor_history(L, H_LOAD);
}

static int editor_save(lua_State *L) {
    return editor_history(L, H_SAVE);
}

static int editor_columns(lua_State *L) {
    editor *e = check_editor(L);
    int columns = 0;
    if (el_get(e->line, EL_GETTC, "co", &columns, NULL) != 0 || columns <= 0) columns = 80;
    lua_pushinteger(L, columns);
    return 1;
}

void editor_open(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"read", editor_read},       {"remember", editor_remember}, {"load", editor_load},  {"save", editor_save},
        {"columns", editor_columns}, {"close", editor_close},       {"__gc", editor_close}, {NULL, NULL},
    };
    luaL_newmetatable(L, EDITOR_TYPE);
    luaL_register(L, NULL, methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    lua_pushcfunction(L, host_editor);
    lua_setfield(L, -2, "editor");
}
