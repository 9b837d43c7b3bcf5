/*
 * loader_prefetch.c - read the next shard in a thread while the caller trains
 * on the current one. One thread per shard, joined by wait or free.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "data/shard.h"

struct bl_prefetch {
    pthread_t thread;
    char *path;
    bl_shard_limits limits;
    bl_shard_part part; /* its own copy of the rows; NULL for all */
    atomic_bool cancelled;
    atomic_bool done;
    /* written by the thread, read after the join */
    bl_shard *shard;
    bl_status status;
    char *message;
};

static void *read_thread(void *argument) {
    bl_prefetch *prefetch = argument;
    prefetch->status = bl_shard_read_cancellable(&prefetch->shard, prefetch->path, &prefetch->limits,
                                                 prefetch->part.rows ? &prefetch->part : NULL, &prefetch->cancelled);
    /* The message belongs to this thread: carry it over. */
    if (prefetch->status != BL_OK) prefetch->message = strdup(bl_last_error());
    atomic_store(&prefetch->done, true);
    return NULL;
}

static void prefetch_release(bl_prefetch *prefetch) {
    if (!prefetch) return;
    bl_shard_free(prefetch->shard);
    free((void *) prefetch->part.rows);
    free(prefetch->path);
    free(prefetch->message);
    free(prefetch);
}

/* rows copied, as the caller's need not outlive the call. */
static bl_status copy_part(bl_prefetch *prefetch, const bl_shard_part *part) {
    size_t bytes = (size_t) part->count * sizeof *part->rows;
    int64_t *rows = malloc(bytes + 1); /* never NULL for an empty part */
    if (!rows) return BL_ERROR_MEMORY;
    memcpy(rows, part->rows, bytes);
    prefetch->part = (bl_shard_part){.rows = rows, .count = part->count};
    return BL_OK;
}

BL_API bl_status bl_prefetch_start(bl_prefetch **out, const char *path, const bl_shard_limits *limits,
                                   const bl_shard_part *part) {
    if (!out || !path || !limits || (part && (part->count < 0 || !part->rows)))
        return bl_fail(BL_ERROR_ARGUMENT, "prefetch_start: an argument is NULL, or the part's count negative");
    bl_prefetch *prefetch = calloc(1, sizeof *prefetch);
    if (prefetch) prefetch->path = strdup(path);
    if (!prefetch || !prefetch->path || (part && copy_part(prefetch, part) != BL_OK)) {
        prefetch_release(prefetch);
        return bl_fail(BL_ERROR_MEMORY, "%s: no memory to start reading", path);
    }
    prefetch->limits = *limits;
    atomic_init(&prefetch->cancelled, false);
    atomic_init(&prefetch->done, false);
    int error = pthread_create(&prefetch->thread, NULL, read_thread, prefetch);
    if (error != 0) {
        prefetch_release(prefetch);
        return bl_fail(BL_ERROR_IO, "%s: cannot start a thread to read it: %s", path, strerror(error));
    }
    *out = prefetch;
    return BL_OK;
}

BL_API bl_status bl_prefetch_wait(bl_prefetch **prefetch, bl_shard **out) {
    if (!prefetch || !*prefetch || !out) return bl_fail(BL_ERROR_ARGUMENT, "prefetch_wait: nothing was started");
    bl_prefetch *p = *prefetch;
    *prefetch = NULL;
    pthread_join(p->thread, NULL);
    bl_status status = p->status;
    if (status == BL_OK) {
        *out = p->shard;
        p->shard = NULL;
    } else {
        bl_fail(status, "%s", p->message ? p->message : "prefetch: no memory for the message");
    }
    prefetch_release(p);
    return status;
}

BL_API bool bl_prefetch_ready(const bl_prefetch *prefetch) {
    return atomic_load(&prefetch->done);
}

BL_API void bl_prefetch_free(bl_prefetch *prefetch) {
    if (!prefetch) return;
    atomic_store(&prefetch->cancelled, true);
    pthread_join(prefetch->thread, NULL);
    prefetch_release(prefetch);
}
