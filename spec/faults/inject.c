/*
 * inject.c - a library for LD_PRELOAD that lets one call fail, or kills the
 * process before it. Counted are the calls that change files: open for
 * writing, write, fsync, ftruncate, rename, unlink, rmdir, remove, mkdir, and
 * their stdio forms; not those on descriptors 0 to 2, /dev and /proc.
 *
 *   FAULT_AT=N         the Nth call, counted from 1; nothing happens without it
 *   FAULT_KIND=kill    SIGKILL before the call
 *   FAULT_KIND=half    of a write only half arrives, then SIGKILL; else as kill
 *   FAULT_KIND=ENOSPC, EIO  the call fails with that error, and does nothing
 *   FAULT_LOG=PATH     a line "call path" for each counted call
 *   FAULT_AFTER=S      SIGKILL so many seconds after the process began, whatever it does then
 *   FAULT_UNDER=PATH   only calls on files below this folder are counted: MPI has files of its own
 *   FAULT_RANK=R       only in the process of this rank of a job of MPI
 *   FAULT_PROCESS=P    only in the Pth process that the first one forked; 0: only in the first
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PASS, FAIL, HALF };

static atomic_long calls, forks;
/* Which fork of the first process this one is; 0 is the first, and what was started by exec. */
static long process;

static void *next(const char *name) {
    return dlsym(RTLD_NEXT, name);
}

static void note(const char *call, const char *path) {
    const char *log = getenv("FAULT_LOG");
    if (!log) return;
    int (*open_file)(const char *, int, ...);
    ssize_t (*write_file)(int, const void *, size_t);
    *(void **) &open_file = next("open");
    *(void **) &write_file = next("write");
    char line[4352];
    int length = snprintf(line, sizeof line, "%s %s\n", call, path);
    int descriptor = open_file(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (descriptor < 0 || length <= 0) return;
    ssize_t written = write_file(descriptor, line, (size_t) length);
    (void) written;
    close(descriptor);
}

static bool is_chosen_process(void) {
    const char *rank = getenv("FAULT_RANK"), *number = getenv("FAULT_PROCESS");
    const char *own = getenv("OMPI_COMM_WORLD_RANK");
    if (rank && (!own || strcmp(rank, own) != 0)) return false;
    return !number || atol(number) == process;
}

/* Whether this process, and this file, is one that counts. */
static bool is_chosen(const char *path, int descriptor) {
    const char *under = getenv("FAULT_UNDER");
    if (!is_chosen_process()) return false;
    if (!under) return true;
    char link[64], file[4096];
    if (descriptor >= 0) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
        ssize_t length = readlink(link, file, sizeof file - 1);
        if (length < 0) return false;
        file[length] = 0;
        path = file;
    }
    return strncmp(path, under, strlen(under)) == 0;
}

/* What happens to this call: on a path, or on a descriptor where there is no path. */
static int fate_of(const char *call, const char *path, int descriptor) {
    int saved = errno;
    if (!is_chosen(path, descriptor)) {
        errno = saved;
        return PASS;
    }
    long number = atomic_fetch_add(&calls, 1) + 1;
    note(call, path);
    const char *at = getenv("FAULT_AT"), *kind = getenv("FAULT_KIND");
    errno = saved;
    if (!at || !kind || number != atol(at)) return PASS;
    if (strcmp(kind, "half") == 0 && strcmp(call, "write") == 0) return HALF;
    if (strcmp(kind, "kill") == 0 || strcmp(kind, "half") == 0) kill(getpid(), SIGKILL);
    errno = strcmp(kind, "EIO") == 0 ? EIO : ENOSPC;
    return FAIL;
}

static int fate(const char *call, const char *path) {
    return fate_of(call, path, -1);
}

static bool is_file(const char *path) {
    if (strncmp(path, "/dev/shm/", 9) == 0) return true;
    return strncmp(path, "/dev/", 5) != 0 && strncmp(path, "/proc/", 6) != 0;
}

static bool for_writing(int flags) {
    return (flags & (O_WRONLY | O_RDWR | O_CREAT)) != 0;
}

/* The next library's function of this name, as REAL. */
#define LOOK_UP(name, type)                                                                                            \
    static type real;                                                                                                  \
    if (!real) *(void **) &real = next(#name)

typedef int (*open_type)(const char *, int, ...);
#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        LOOK_UP(name, open_type);                                                                                      \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        int mode = (flags & O_CREAT) ? va_arg(rest, int) : 0;                                                          \
        va_end(rest);                                                                                                  \
        if (for_writing(flags) && is_file(path) && fate("open", path) == FAIL) return -1;                              \
        return real(path, flags, mode);                                                                                \
    }
OPEN(open)
OPEN(open64)

typedef FILE *(*fopen_type)(const char *, const char *);
#define FOPEN(name)                                                                                                    \
    FILE *name(const char *path, const char *mode) {                                                                   \
        LOOK_UP(name, fopen_type);                                                                                     \
        if (strpbrk(mode, "wa+") && is_file(path) && fate("fopen", path) == FAIL) return NULL;                         \
        return real(path, mode);                                                                                       \
    }
FOPEN(fopen)
FOPEN(fopen64)

typedef ssize_t (*write_type)(int, const void *, size_t);
ssize_t write(int descriptor, const void *data, size_t bytes) {
    LOOK_UP(write, write_type);
    if (descriptor > 2) {
        int what = fate_of("write", "", descriptor);
        if (what == FAIL) return -1;
        if (what == HALF) {
            ssize_t written = real(descriptor, data, bytes / 2);
            (void) written;
            kill(getpid(), SIGKILL);
        }
    }
    return real(descriptor, data, bytes);
}

typedef ssize_t (*pwrite_type)(int, const void *, size_t, off_t);
#define PWRITE(name)                                                                                                   \
    ssize_t name(int descriptor, const void *data, size_t bytes, off_t offset) {                                       \
        LOOK_UP(name, pwrite_type);                                                                                    \
        int what = fate_of("write", "", descriptor);                                                                   \
        if (what == FAIL) return -1;                                                                                   \
        if (what == HALF) {                                                                                            \
            ssize_t written = real(descriptor, data, bytes / 2, offset);                                               \
            (void) written;                                                                                            \
            kill(getpid(), SIGKILL);                                                                                   \
        }                                                                                                              \
        return real(descriptor, data, bytes, offset);                                                                  \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

typedef int (*flush_type)(FILE *);
int fflush(FILE *file) {
    LOOK_UP(fflush, flush_type);
    if (file && file != stdout && file != stderr && fate_of("fflush", "", fileno(file)) == FAIL) return EOF;
    return real(file);
}

typedef int (*descriptor_type)(int);
#define SYNC(name)                                                                                                     \
    int name(int descriptor) {                                                                                         \
        LOOK_UP(name, descriptor_type);                                                                                \
        return fate_of(#name, "", descriptor) == FAIL ? -1 : real(descriptor);                                         \
    }
SYNC(fsync)
SYNC(fdatasync)

typedef int (*truncate_type)(int, off_t);
int ftruncate(int descriptor, off_t length) {
    LOOK_UP(ftruncate, truncate_type);
    return fate_of("ftruncate", "", descriptor) == FAIL ? -1 : real(descriptor, length);
}

typedef int (*rename_type)(const char *, const char *);
int rename(const char *from, const char *to) {
    LOOK_UP(rename, rename_type);
    return fate("rename", to) == FAIL ? -1 : real(from, to);
}

typedef int (*path_type)(const char *);
#define PATH(name)                                                                                                     \
    int name(const char *path) {                                                                                       \
        LOOK_UP(name, path_type);                                                                                      \
        return fate(#name, path) == FAIL ? -1 : real(path);                                                            \
    }
PATH(unlink)
PATH(rmdir)
PATH(remove)

typedef int (*mkdir_type)(const char *, mode_t);
int mkdir(const char *path, mode_t mode) {
    LOOK_UP(mkdir, mkdir_type);
    return fate("mkdir", path) == FAIL ? -1 : real(path, mode);
}

/* A timer is no thread, and outlives whatever the program does with its signals. */
__attribute__((constructor)) static void start_timer(void) {
    const char *after = getenv("FAULT_AFTER");
    if (!after || !is_chosen_process()) return;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    double seconds = atof(after);
    struct itimerspec when = {.it_value.tv_sec = (time_t) seconds};
    /* All zeros would mean never. */
    when.it_value.tv_nsec = (long) ((seconds - (double) when.it_value.tv_sec) * 1e9) + 1;
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime(timer, 0, &when, NULL) != 0) abort();
}

typedef pid_t (*fork_type)(void);
pid_t fork(void) {
    LOOK_UP(fork, fork_type);
    long number = atomic_fetch_add(&forks, 1) + 1;
    pid_t child = real();
    if (child == 0) {
        process = process == 0 ? number : -1;
        atomic_store(&calls, 0);
        start_timer();
    }
    return child;
}
