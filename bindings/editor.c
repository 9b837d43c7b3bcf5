/*
 * editor.c - a line editor for Lua on libedit: editing, history, completion.
 * What is completed and what a line means is Lua's affair (repl.lua).
 *
 *   editor = host.editor(complete)   complete(text before the cursor) returns
 *                                    what to insert and a list to show, or nil
 *   editor:read(prompt)              line, or a pasted block of lines; false
 *                                    after Ctrl-C; nil at the end
 *   editor:remember(line)            add to the history
 *   editor:load(path), editor:save(path)   the history; false if it can't be
 *   editor:columns()                 width of the terminal
 *   editor:close()
 *
 * libedit knows nothing of bracketed paste: terminals mark what was pasted with
 * ESC [ 200 ~ and ESC [ 201 ~ once they are told to (ESC [ ? 2004 h). The
 * function that hands characters to libedit takes the block out of the stream
 * and hands it a key instead, whose function inserts the block as it is: its
 * line breaks don't end the line, and its tabs don't complete.
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

/* The key that stands for a pasted block, in the notation of EL_BIND: Ctrl-^, which libedit leaves unused. */
static const char PASTE_KEY[] = "^^";
enum { PASTE_KEY_CODE = 0x1e };
static const char PASTE_BEGINS[] = "\033[200~", PASTE_ENDS[] = "\033[201~";

typedef struct editor {
    EditLine *line;
    History *history;
    lua_State *L; /* the state that is in read(), for completion */
    int complete; /* reference to the completion function */
    char prompt[128];
    bool marking;   /* the terminal marks what is pasted */
    char queue[16]; /* bytes already read that libedit gets next */
    int queued;     /* their number */
    int taken;      /* how many of them it got */
    char *block;    /* what was pasted, ending in 0 */
    size_t length;  /* without the 0 */
    size_t capacity;
} editor;

static editor *client(EditLine *line) {
    void *data = NULL;
    el_get(line, EL_CLIENTDATA, &data);
    return data;
}

static char *editor_prompt(EditLine *line) {
    return client(line)->prompt;
}

/* Tell the terminal whether to mark what is pasted. */
static void mark_pastes(editor *e, bool on) {
    if (on == e->marking) return;
    const char *type = getenv("TERM");
    if (!isatty(STDOUT_FILENO) || !type || strcmp(type, "dumb") == 0) return;
    e->marking = on;
    fputs(on ? "\033[?2004h" : "\033[?2004l", stdout);
    fflush(stdout);
}

/* One byte from the terminal: 1; 0 at the end, -1 when Ctrl-C came. */
static int read_byte(char *byte) {
    for (;;) {
        if (signals_reading_interrupted()) return -1;
        ssize_t got = read(STDIN_FILENO, byte, 1);
        if (got >= 0) return (int) got;
        if (errno != EINTR) return -1;
    }
}

static bool append(editor *e, char byte) {
    if (e->length + 1 >= e->capacity) {
        size_t capacity = e->capacity ? e->capacity * 2 : 4096;
        char *block = realloc(e->block, capacity);
        if (!block) return false;
        e->block = block;
        e->capacity = capacity;
    }
    e->block[e->length++] = byte;
    e->block[e->length] = '\0';
    return true;
}

static bool ends_with(const editor *e, const char *text) {
    size_t length = strlen(text);
    return e->length >= length && memcmp(e->block + e->length - length, text, length) == 0;
}

/* Read a pasted block up to its end mark; as read_byte(). Terminals send a line break as CR. */
static int read_block(editor *e) {
    bool after_cr = false;
    e->length = 0;
    while (!ends_with(e, PASTE_ENDS)) {
        char byte;
        int got = read_byte(&byte);
        if (got != 1) return got;
        bool second_half = after_cr && byte == '\n';
        after_cr = byte == '\r';
        if (second_half || byte == '\0') continue;
        if (!append(e, byte == '\r' ? '\n' : byte)) return -1;
    }
    e->length -= strlen(PASTE_ENDS);
    bool complete = false;
    while (e->length > 0 && e->block[e->length - 1] == '\n') {
        e->length--;
        complete = true;
    }
    e->block[e->length] = '\0';
    /* A block of whole lines runs at once, as it would if it were typed. */
    e->taken = 0;
    e->queued = complete ? 1 : 0;
    e->queue[0] = '\n';
    return 1;
}

/* The next byte for libedit: one from the terminal, or the paste key in place of a pasted block; as read_byte(). */
static int next_byte(editor *e, char *byte) {
    if (e->taken < e->queued) {
        *byte = e->queue[e->taken++];
        return 1;
    }
    e->taken = e->queued = 0;
    const char *mark = PASTE_BEGINS;
    for (;;) {
        int got = read_byte(byte);
        if (got != 1) return got;
        if (*byte != *mark) break;
        e->queue[e->queued++] = *byte;
        if (*++mark) continue;
        *byte = PASTE_KEY_CODE;
        return read_block(e);
    }
    if (e->queued == 0) return 1;
    /* Another escape sequence: libedit gets all of it. */
    e->queue[e->queued++] = *byte;
    *byte = e->queue[e->taken++];
    return 1;
}

/* One character for libedit; -1 when Ctrl-C came, 0 at the end. */
static int editor_getc(EditLine *line, wchar_t *out) {
    editor *e = client(line);
    mbstate_t state;
    memset(&state, 0, sizeof state);
    for (;;) {
        char byte;
        int got = next_byte(e, &byte);
        if (got != 1) return got;
        size_t used = mbrtowc(out, &byte, 1, &state);
        if (used == (size_t) -2) continue;
        /* A byte that is not a character of the locale: drop it and start over. */
        if (used == (size_t) -1) {
            memset(&state, 0, sizeof state);
            continue;
        }
        /* Before the line break is echoed, so that output starts in a clean line. */
        if (*out == L'\n' || *out == L'\r') mark_pastes(e, false);
        return 1;
    }
}

static unsigned char editor_paste(EditLine *line, int key) {
    (void) key;
    editor *e = client(line);
    if (e->length == 0) return CC_NORM;
    int inserted = el_insertstr(line, e->block);
    e->length = 0;
    if (inserted == 0) return CC_REFRESH;
    e->taken = e->queued = 0;
    printf("\nbertlua: the paste is not UTF-8, or too long: put it into a file and :run it\n");
    fflush(stdout);
    return CC_REDISPLAY;
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
    free(e->block);
    e->line = NULL;
    e->history = NULL;
    e->block = NULL;
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
    el_set(e->line, EL_ADDFN, "bertlua-paste", "Insert what was pasted", editor_paste);
    el_set(e->line, EL_BIND, "^I", "bertlua-complete", NULL);
    el_set(e->line, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(e->line, EL_BIND, "\033[1~", "ed-move-to-beg", NULL);
    el_set(e->line, EL_BIND, "\033[4~", "ed-move-to-end", NULL);
    el_set(e->line, EL_BIND, "\033[3~", "ed-delete-next-char", NULL);
    el_set(e->line, EL_BIND, "\033[1;5C", "em-next-word", NULL);
    el_set(e->line, EL_BIND, "\033[1;5D", "ed-prev-word", NULL);
    el_source(e->line, NULL); /* the user's ~/.editrc, if there is one */
    el_set(e->line, EL_BIND, PASTE_KEY, "bertlua-paste", NULL);
    return 1;
}

static int editor_read(lua_State *L) {
    editor *e = check_editor(L);
    const char *prompt = luaL_checkstring(L, 2);
    snprintf(e->prompt, sizeof e->prompt, "%s", prompt);
    e->L = L;
    int length = 0;
    fflush(stdout);
    mark_pastes(e, true);
    signals_begin_reading();
    const char *line = el_gets(e->line, &length);
    bool interrupted = signals_end_reading();
    mark_pastes(e, false);
    if (interrupted) {
        /* What was typed is dropped, also inside libedit. */
        el_reset(e->line);
        e->taken = e->queued = 0;
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
