/*
 * file_lock.h - files that only one process may have.
 *
 * Part of the public C API (include "bertlua.h"). Every message starts with the
 * file's path.
 */
#ifndef BERTLUA_API_FILE_LOCK_H
#define BERTLUA_API_FILE_LOCK_H

#include "core.h"

/* CDEF-BEGIN */

/*
 * A file that stands for something only one process may have: a lock of the
 * kernel on it (F_OFD_SETLK) ends with the process, however it ends, is seen
 * from every PID namespace, and on network file systems by other machines.
 */
typedef struct bl_lock bl_lock;
enum { BL_LOCK_HELD = 0, BL_LOCK_TAKEN = 1, BL_LOCK_UNSUPPORTED = 2 };
/*
 * Open path, creating it, and lock it; links are not followed. answer says
 * whether the lock is held, another has it, or the file system has no such
 * locks; only if it is held is *out set. created: whether the file is new.
 */
bl_status bl_lock_take(bl_lock **out, const char *path, int32_t *answer, int32_t *created);
/* Create path, without a lock of the kernel; BL_LOCK_TAKEN if there is such a file. */
bl_status bl_lock_claim(bl_lock **out, const char *path, int32_t *answer);
/* Replace the file's contents. */
bl_status bl_lock_write(bl_lock *lock, const void *text, size_t bytes);
/* From now on a thread sets the file's time to now every so many seconds, whatever the process is doing. */
bl_status bl_lock_keep(bl_lock *lock, double seconds);
/* Whether path still names the file of this lock: 1 or 0. */
int32_t bl_lock_is_current(const bl_lock *lock);
/* Remove the file, if it is still that of this lock, and give it up. In a process forked later: only forget it. */
void bl_lock_release(bl_lock *lock);
/* Give it up, but leave the file as it is. */
void bl_lock_abandon(bl_lock *lock);

/* CDEF-END */

#endif
