/*
 * file_lock.c - files that only one process may have: locks of the kernel that
 * belong to an open file (F_OFD_SETLK), and a thread that keeps the file's time
 * recent. Whom a file names, and when a lock without the kernel's help no
 * longer counts, is the caller's matter (lua/bertlua/util/lock.lua).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "storage/file.h"

struct bl_lock {
    char *path;
    int descriptor;
    pid_t owner; /* a forked process inherits the descriptor, but neither the thread nor the right to remove the file */
    bool keeping;
    pthread_t keeper;
    pthread_mutex_t mutex;
    pthread_cond_t stop_requested;
    bool stop;
    double seconds;
};

/* Taken before locking: another process may have removed the file in between. */
static bool names(const char *path, int descriptor) {
    struct stat there, here;
    return lstat(path, &there) == 0 && fstat(descriptor, &here) == 0 && there.st_dev == here.st_dev &&
           there.st_ino == here.st_ino;
}

static bl_status make(bl_lock **out, const char *path, int descriptor) {
    bl_lock *lock = calloc(1, sizeof *lock);
    char *copy = strdup(path);
    if (!lock || !copy) {
        free(lock);
        free(copy);
        close(descriptor);
        return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for a lock", path);
    }
    lock->path = copy;
    lock->descriptor = descriptor;
    lock->owner = getpid();
    pthread_mutex_init(&lock->mutex, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&lock->stop_requested, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *out = lock;
    return BL_OK;
}

/* 0, or an errno; EAGAIN if another has it. */
static int lock_whole(int descriptor) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    while (fcntl(descriptor, F_OFD_SETLK, &whole) != 0) {
        if (errno == EINTR) continue;
        return errno == EACCES ? EAGAIN : errno;
    }
    return 0;
}

static bool without_locks(int error) {
    return error == EINVAL || error == ENOSYS || error == ENOLCK || error == EOPNOTSUPP;
}

BL_API bl_status bl_lock_take(bl_lock **out, const char *path, int32_t *answer, int32_t *created) {
    if (!out || !path || !answer || !created) return bl_fail(BL_ERROR_ARGUMENT, "lock_take: an argument is NULL");
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;
    for (;;) {
        int descriptor = open(path, flags | O_CREAT | O_EXCL, 0644);
        *created = descriptor >= 0;
        if (descriptor < 0 && errno == EEXIST) {
            descriptor = open(path, flags);
            /* Its owner has just removed it. */
            if (descriptor < 0 && errno == ENOENT) continue;
        }
        if (descriptor < 0) return bl_file_fail(path, "open", errno);
        int error = lock_whole(descriptor);
        if (error == 0 && names(path, descriptor)) {
            *answer = BL_LOCK_HELD;
            return make(out, path, descriptor);
        }
        close(descriptor);
        if (error == EAGAIN) {
            *answer = BL_LOCK_TAKEN;
            return BL_OK;
        }
        if (without_locks(error)) {
            /* An empty file would be taken for a lock that is just being written. */
            if (*created) unlink(path);
            *answer = BL_LOCK_UNSUPPORTED;
            return BL_OK;
        }
        if (error != 0) return bl_file_fail(path, "lock", error);
    }
}

BL_API bl_status bl_lock_claim(bl_lock **out, const char *path, int32_t *answer) {
    if (!out || !path || !answer) return bl_fail(BL_ERROR_ARGUMENT, "lock_claim: an argument is NULL");
    int descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_CREAT | O_EXCL, 0644);
    if (descriptor < 0 && errno == EEXIST) {
        *answer = BL_LOCK_TAKEN;
        return BL_OK;
    }
    if (descriptor < 0) return bl_file_fail(path, "create", errno);
    *answer = BL_LOCK_HELD;
    return make(out, path, descriptor);
}

BL_API bl_status bl_lock_write(bl_lock *lock, const void *text, size_t bytes) {
    if (!lock || (!text && bytes > 0)) return bl_fail(BL_ERROR_ARGUMENT, "lock_write: an argument is NULL");
    size_t done = 0;
    if (ftruncate(lock->descriptor, 0) != 0) return bl_file_fail(lock->path, "write", errno);
    while (done < bytes) {
        ssize_t n = pwrite(lock->descriptor, (const char *) text + done, bytes - done, (off_t) done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return bl_file_fail(lock->path, "write", n < 0 ? errno : ENOSPC);
        done += (size_t) n;
    }
    return BL_OK;
}

static void *keep(void *argument) {
    bl_lock *lock = argument;
    pthread_mutex_lock(&lock->mutex);
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    while (!lock->stop) {
        next.tv_sec += (time_t) lock->seconds;
        next.tv_nsec += (long) ((lock->seconds - (double) (time_t) lock->seconds) * 1e9);
        if (next.tv_nsec >= 1000000000) {
            next.tv_sec++;
            next.tv_nsec -= 1000000000;
        }
        int result = 0;
        while (!lock->stop && result != ETIMEDOUT)
            result = pthread_cond_timedwait(&lock->stop_requested, &lock->mutex, &next);
        /* Through the descriptor: a file that another process has put in its place is not ours to touch. A failure
         * shows when the owner next looks whether it still has the lock. */
        if (!lock->stop) (void) futimens(lock->descriptor, NULL);
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        /* A process that was stopped for long must not make up for what it missed. */
        if (now.tv_sec > next.tv_sec) next = now;
    }
    pthread_mutex_unlock(&lock->mutex);
    return NULL;
}

BL_API bl_status bl_lock_keep(bl_lock *lock, double seconds) {
    if (!lock || !(seconds > 0)) return bl_fail(BL_ERROR_ARGUMENT, "lock_keep: lock is NULL, or seconds not above 0");
    if (lock->keeping) return BL_OK;
    lock->seconds = seconds;
    /* Signals are for the thread that runs Lua. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&lock->keeper, NULL, keep, lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) return bl_file_fail(lock->path, "start a thread for it", error);
    lock->keeping = true;
    return BL_OK;
}

BL_API int32_t bl_lock_is_current(const bl_lock *lock) {
    return lock && names(lock->path, lock->descriptor);
}

static void give_up(bl_lock *lock, bool remove) {
    if (!lock) return;
    if (lock->owner == getpid()) {
        if (lock->keeping) {
            pthread_mutex_lock(&lock->mutex);
            lock->stop = true;
            pthread_cond_signal(&lock->stop_requested);
            pthread_mutex_unlock(&lock->mutex);
            pthread_join(lock->keeper, NULL);
        }
        pthread_cond_destroy(&lock->stop_requested);
        pthread_mutex_destroy(&lock->mutex);
        /* Removed while it is locked: whoever opened it meanwhile finds that path no longer names it. */
        if (remove && names(lock->path, lock->descriptor)) unlink(lock->path);
        /* A forked process may still have the descriptor open, and with it the lock. */
        struct flock whole = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
        (void) fcntl(lock->descriptor, F_OFD_SETLK, &whole);
    }
    close(lock->descriptor);
    free(lock->path);
    free(lock);
}

BL_API void bl_lock_release(bl_lock *lock) {
    give_up(lock, true);
}

BL_API void bl_lock_abandon(bl_lock *lock) {
    give_up(lock, false);
}
