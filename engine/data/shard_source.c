/*
 * shard_source.c - one shard file, read by a process of its own: bertlua-hdf5
 * (engine/hdf5) decodes it and sends rows through a pipe. The HDF5 library
 * crashes on some damaged or hostile files; it then takes that process with it
 * and not the training.
 *
 * posix_spawn, never fork: this process has threads, a GPU and MPI.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/companion.h"
#include "data/shard.h"
#include "storage/file.h"

extern char **environ;

/* While the process computes, look this often whether the read was cancelled. */
enum { CANCEL_MILLISECONDS = 100 };
/* Above every number that the process gets: dup2 then never overwrites one still needed. */
enum { FIRST_DESCRIPTOR = 10 };
/* Fewer wake-ups on both sides than with the usual 64 KiB. */
enum { PIPE_BYTES = 1 << 20 };

bl_status bl_shard_source_open(bl_shard_source *source, const char *path, const atomic_bool *cancelled) {
    struct stat info;
    *source = (bl_shard_source){.path = path, .descriptor = -1, .cancelled = cancelled, .child = -1, .pipe = -1};
    /* O_NONBLOCK: a FIFO opens at once, to be refused below. */
    int opened = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (opened < 0) return bl_file_fail(path, "open", errno);
    source->descriptor = fcntl(opened, F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR);
    int error = source->descriptor < 0 || fstat(source->descriptor, &info) != 0 ? errno : 0;
    close(opened);
    if (error != 0) {
        bl_shard_source_close(source);
        return bl_file_fail(path, "open", error);
    }
    if (!S_ISREG(info.st_mode)) {
        bl_shard_source_close(source);
        return bl_fail(BL_ERROR_IO, "%s: not a regular file, expected an HDF5 shard", path);
    }
    source->file_bytes = (int64_t) info.st_size;
    return BL_OK;
}

static bl_status find_program(char *program, size_t bytes) {
    bool found = false;
    BL_TRY(bl_companion_find("shard", "bertlua-hdf5", program, bytes, &found));
    if (!found || access(program, X_OK) != 0) {
        return bl_fail(BL_ERROR_IO, "%s: not there or not executable; it reads HDF5 files: run make (or make install)",
                       program);
    }
    return BL_OK;
}

/*
 * Signals for the whole group (Ctrl-C, the batch system's SIGTERM) are not for
 * it: the run stops after its step, which may need the rows.
 */
static int set_signals(posix_spawnattr_t *attributes) {
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP, SIGPIPE, SIGXCPU};
    sigset_t blocked, plain;
    sigfillset(&blocked);
    sigemptyset(&plain);
    for (size_t k = 0; k < sizeof own / sizeof own[0]; k++) {
        sigdelset(&blocked, own[k]);
        sigaddset(&plain, own[k]);
    }
    int error = posix_spawnattr_setsigmask(attributes, &blocked);
    if (error == 0) error = posix_spawnattr_setsigdefault(attributes, &plain);
    if (error == 0) error = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    return error;
}

/* Its descriptors: 1 the pipe, 3 the file; nothing else of ours. */
static int set_files(posix_spawn_file_actions_t *actions, int output, int file) {
    int error = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    if (error == 0) error = posix_spawn_file_actions_addopen(actions, 2, "/dev/null", O_WRONLY, 0);
    if (error == 0) error = posix_spawn_file_actions_adddup2(actions, output, 1);
    if (error == 0) error = posix_spawn_file_actions_adddup2(actions, file, 3);
    if (error == 0) error = posix_spawn_file_actions_addclosefrom_np(actions, 4);
    return error;
}

static int spawn(bl_shard_source *source, const char *program, bool rows, int output) {
    char *const arguments[] = {(char *) "bertlua-hdf5", (char *) (rows ? "rows" : "sizes"), NULL};
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    int error = posix_spawnattr_init(&attributes);
    if (error != 0) return error;
    error = posix_spawn_file_actions_init(&actions);
    if (error == 0) {
        error = set_signals(&attributes);
        if (error == 0) error = set_files(&actions, output, source->descriptor);
        if (error == 0) error = posix_spawn(&source->child, program, &actions, &attributes, arguments, environ);
        if (error != 0) source->child = -1;
        posix_spawn_file_actions_destroy(&actions);
    }
    posix_spawnattr_destroy(&attributes);
    return error;
}

bl_status bl_shard_source_start(bl_shard_source *source, bool rows) {
    char program[PATH_MAX];
    int both[2];
    BL_TRY(find_program(program, sizeof program));
    if (pipe2(both, O_CLOEXEC) != 0) return bl_file_fail(source->path, "make a pipe to read", errno);
    source->pipe = both[0];
    int output = fcntl(both[1], F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR);
    int error = output < 0 ? errno : 0;
    close(both[1]);
    if (error == 0) {
        fcntl(output, F_SETPIPE_SZ, PIPE_BYTES); /* a wish */
        error = spawn(source, program, rows, output);
        close(output);
    }
    return error == 0 ? BL_OK : bl_file_fail(source->path, "start bertlua-hdf5 to read", error);
}

/* The process ended without a word: why. */
static bl_status died(bl_shard_source *source) {
    int status = 0;
    pid_t ended;
    do
        ended = waitpid(source->child, &status, 0);
    while (ended < 0 && errno == EINTR);
    source->child = -1;
    if (ended >= 0 && WIFSIGNALED(status)) {
        int number = WTERMSIG(status);
        if (number == SIGXCPU) {
            return bl_fail(BL_ERROR_FORMAT,
                           "%s: the HDF5 library does not come to an end with it: the file is damaged or made to do "
                           "harm; copy it again or recreate it",
                           source->path);
        }
        if (number == SIGKILL) {
            return bl_fail(BL_ERROR_MEMORY,
                           "%s: the process that reads it was killed; is there no memory left? use smaller shards",
                           source->path);
        }
        return bl_fail(BL_ERROR_FORMAT,
                       "%s: the HDF5 library crashed over it (signal %d): the file is damaged or made to do harm; copy "
                       "it again or recreate it",
                       source->path, number);
    }
    return bl_fail(BL_ERROR_FORMAT,
                   "%s: the process that reads it ended early (status %d): the file is damaged, or bertlua-hdf5 is of "
                   "another build",
                   source->path, ended >= 0 ? WEXITSTATUS(status) : -1);
}

bl_status bl_shard_source_payload(bl_shard_source *source, void *out, size_t bytes) {
    char *to = out;
    while (bytes > 0) {
        struct pollfd ready = {.fd = source->pipe, .events = POLLIN};
        if (source->cancelled && atomic_load(source->cancelled))
            return bl_fail(BL_ERROR_IO, "%s: reading cancelled", source->path);
        int n = poll(&ready, 1, CANCEL_MILLISECONDS);
        if (n == 0 || (n < 0 && errno == EINTR)) continue;
        ssize_t got = n < 0 ? -1 : read(source->pipe, to, bytes);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return bl_file_fail(source->path, "read from bertlua-hdf5", errno);
        if (got == 0) return died(source);
        to += got;
        bytes -= (size_t) got;
    }
    return BL_OK;
}

static bl_status nonsense(const bl_shard_source *source) {
    return bl_fail(BL_ERROR_FORMAT,
                   "%s: what the HDF5 library makes of it contradicts itself: the file is damaged or made to do harm; "
                   "copy it again or recreate it",
                   source->path);
}

/* The process's own message, which starts with what is wrong. */
static bl_status reported(bl_shard_source *source, const bl_shard_frame *frame) {
    char text[BL_FRAME_TEXT_BYTES + 1];
    if (frame->bytes < 1 || frame->bytes > BL_FRAME_TEXT_BYTES || frame->value <= BL_OK ||
        frame->value > BL_ERROR_INTERNAL)
        return nonsense(source);
    BL_TRY(bl_shard_source_payload(source, text, (size_t) frame->bytes));
    text[frame->bytes] = 0;
    for (char *c = text; *c; c++) {
        if ((unsigned char) *c < ' ' || *c == 127) *c = '?';
    }
    return bl_fail((bl_status) frame->value, "%s: %s", source->path, text);
}

bl_status bl_shard_source_next(bl_shard_source *source, int32_t kind, bl_shard_frame *frame) {
    BL_TRY(bl_shard_source_payload(source, frame, sizeof *frame));
    if (frame->magic != BL_FRAME_MAGIC) return nonsense(source);
    if (frame->kind == BL_FRAME_FAILED) return reported(source, frame);
    return frame->kind == kind ? BL_OK : nonsense(source);
}

void bl_shard_source_close(bl_shard_source *source) {
    if (source->pipe >= 0) close(source->pipe);
    if (source->child >= 0) {
        kill(source->child, SIGKILL);
        while (waitpid(source->child, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    if (source->descriptor >= 0) close(source->descriptor);
    source->descriptor = source->pipe = -1;
    source->child = -1;
}
