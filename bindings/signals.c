/*
 * signals.c - signals as Lua sees them. Three modes: interrupting (SIGINT
 * raises an error in the running Lua code; the default), trapping (SIGINT,
 * SIGTERM, SIGUSR1, SIGHUP and SIGPIPE set a flag that a training loop asks
 * for) and reading (SIGINT cancels a line at the prompt).
 *
 * At the prompt an impatient second SIGINT must not cost the user's values: it
 * interrupts what runs. Only a third one, where code never looks, ends the
 * process.
 *
 * The state is static because a handler has no other way to reach it; every
 * variable the handler writes is a sig_atomic_t.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>

#include "host.h"

enum { EXIT_INTERRUPTED = 130 };

static lua_State *interrupted_state;
static volatile sig_atomic_t trapping;
static volatile sig_atomic_t reading;
static volatile sig_atomic_t at_prompt;
static volatile sig_atomic_t pending_signal;    /* trapping: the first that came */
static volatile sig_atomic_t interrupt_waiting; /* interrupting: requested, not yet served */
static volatile sig_atomic_t interrupt_served;
static volatile sig_atomic_t reading_cancelled;
static char heard[160]; /* trapping: what the first SIGINT is answered; written while nothing is trapped */

static void interrupt_hook(lua_State *L, lua_Debug *activation) {
    (void) activation;
    lua_sethook(L, NULL, 0, 0);
    interrupt_waiting = 0;
    interrupt_served = 1;
    luaL_error(L, "interrupted");
}

static void announce(const char *text) {
    /* Nothing can be done about a terminal that is gone. */
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void) written;
}

/* Raise an error in the running Lua code as soon as it looks. */
static void interrupt(void) {
    if (!interrupt_waiting) {
        interrupt_waiting = 1;
        lua_sethook(interrupted_state, interrupt_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
        return;
    }
    /* Neither compiled traces nor C code look at hooks: another Ctrl-C must not depend on one. */
    if (!at_prompt || interrupt_waiting == 2) _exit(EXIT_INTERRUPTED);
    interrupt_waiting = 2;
    announce("\nbertlua: it stops after this operation; Ctrl-C again leaves bertlua\n");
}

/* A step may take minutes: say at once that the first Ctrl-C was heard. */
static void interrupt_training(void) {
    if (pending_signal != SIGINT) {
        if (pending_signal) return;
        announce(at_prompt ? "\nbertlua: saving after this step; Ctrl-C again stops without saving\n" : heard);
        pending_signal = SIGINT;
    } else if (at_prompt) {
        interrupt();
    } else {
        _exit(EXIT_INTERRUPTED);
    }
}

static void handle_signal(int number) {
    int saved_errno = errno;
    if (number == SIGINT && reading) {
        reading_cancelled = 1;
    } else if (trapping) {
        if (number == SIGINT)
            interrupt_training();
        else if (!pending_signal)
            pending_signal = number;
    } else if (number == SIGINT) {
        interrupt();
    }
    errno = saved_errno;
}

static void catch_signal(int number, void (*handler)(int)) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    sigemptyset(&action.sa_mask);
    /* Interrupted file reads are restarted; the line editor asks again by itself. */
    action.sa_flags = SA_RESTART;
    sigaction(number, &action, NULL);
}

void signals_install(lua_State *L) {
    interrupted_state = L;
    catch_signal(SIGINT, handle_signal);
}

void signals_begin_reading(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handle_signal;
    sigemptyset(&action.sa_mask);
    /* What came too late to interrupt anything must not hit the prompt itself. */
    if (interrupt_waiting) lua_sethook(interrupted_state, NULL, 0, 0);
    interrupt_waiting = 0;
    reading_cancelled = 0;
    reading = 1;
    sigaction(SIGINT, &action, NULL);
}

bool signals_reading_interrupted(void) {
    return reading_cancelled != 0;
}

bool signals_end_reading(void) {
    catch_signal(SIGINT, handle_signal);
    reading = 0;
    return reading_cancelled != 0;
}

/* What is trapped besides SIGINT: the terminal is gone (SIGHUP), or whoever read the output (SIGPIPE). */
static const struct {
    int number;
    const char *name;
} trapped[] = {
    {SIGTERM, "SIGTERM"},
    {SIGUSR1, "SIGUSR1"},
    {SIGHUP, "SIGHUP"},
    {SIGPIPE, "SIGPIPE"},
};
enum { TRAPPED = sizeof trapped / sizeof trapped[0] };

static bool is_ignored(int number) {
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* trap(on, what): flags only, or back to interrupting; what: happens after the first SIGINT, as the user is told. */
static int host_trap(lua_State *L) {
    bool on = lua_toboolean(L, 1);
    int came = pending_signal;
    pending_signal = 0;
    trapping = 0;
    if (on) {
        const char *what = luaL_optstring(L, 2, "finishing this step, then saving");
        snprintf(heard, sizeof heard, "\nbertlua: %s; press Ctrl-C again to quit at once\n", what);
    }
    trapping = on;
    for (int i = 0; i < TRAPPED; i++) {
        int number = trapped[i].number;
        /* Whoever started this with nohup wants it to go on. */
        if (is_ignored(number)) continue;
        /* The output is still gone: what a run prints at its end must not kill it. */
        bool gone = !on && number == came && (number == SIGPIPE || number == SIGHUP);
        catch_signal(number, on ? handle_signal : gone ? SIG_IGN : SIG_DFL);
    }
    return 0;
}

static int host_pending(lua_State *L) {
    int pending = pending_signal;
    if (pending == SIGINT) {
        lua_pushliteral(L, "SIGINT");
        return 1;
    }
    for (int i = 0; i < TRAPPED; i++) {
        if (pending == trapped[i].number) {
            lua_pushstring(L, trapped[i].name);
            return 1;
        }
    }
    lua_pushnil(L);
    return 1;
}

static int host_clear(lua_State *L) {
    (void) L;
    pending_signal = 0;
    return 0;
}

/* True if Lua code was interrupted since the last call. */
static int host_interrupted(lua_State *L) {
    lua_pushboolean(L, interrupt_served);
    interrupt_served = 0;
    return 1;
}

/* prompt(on): whether what runs was started at the prompt. */
static int host_prompt(lua_State *L) {
    at_prompt = lua_toboolean(L, 1);
    return 0;
}

void signals_open(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"trap", host_trap},     {"pending", host_pending},
        {"clear", host_clear},   {"interrupted", host_interrupted},
        {"prompt", host_prompt}, {NULL, NULL},
    };
    luaL_register(L, NULL, functions);
}
