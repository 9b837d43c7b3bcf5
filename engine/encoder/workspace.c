/*
 * workspace.c - workspaces of an encoder; see workspace.h.
 *
 * The lock guards the list of idle ones and the sum of bytes; nobody computes
 * or allocates while holding it.
 */
#include "encoder/workspace.h"

#include <pthread.h>
#include <stdlib.h>

struct bl_workspaces {
    int32_t device, device_index, threads;
    size_t memory;
    size_t share;
    pthread_mutex_t lock;
    pthread_cond_t given; /* a workspace came back, or memory became free */
    bl_workspace *idle;
    size_t held;  /* of all workspaces */
    int64_t busy; /* of them in use */
    int64_t waiting;
};

static const size_t DEFAULT_MEMORY = (size_t) 1 << 30;

static void workspace_free(bl_workspace *workspace) {
    if (!workspace) return;
    bl_arena_free(workspace->arena);
    bl_context_free(workspace->ctx);
    free(workspace->ids);
    free(workspace->rows);
    free(workspace);
}

static void free_list(bl_workspace *list) {
    while (list) {
        bl_workspace *next = list->next;
        workspace_free(list);
        list = next;
    }
}

void bl_workspaces_close(struct bl_workspaces *all) {
    if (!all) return;
    free_list(all->idle);
    pthread_cond_destroy(&all->given);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

size_t bl_workspaces_share(const struct bl_workspaces *all) {
    return all->share;
}

size_t bl_workspaces_memory(const struct bl_workspaces *all) {
    return all->memory;
}

int32_t bl_workspaces_threads(const struct bl_workspaces *all) {
    return all->threads;
}

size_t bl_workspaces_held(struct bl_workspaces *all) {
    pthread_mutex_lock(&all->lock);
    size_t held = all->held;
    pthread_mutex_unlock(&all->lock);
    return held;
}

static bl_status workspace_create(bl_workspace **out, const struct bl_workspaces *all) {
    bl_workspace *workspace = calloc(1, sizeof *workspace);
    if (!workspace) return bl_fail(BL_ERROR_MEMORY, "encoder: out of memory for a workspace");
    bl_status status = bl_context_create(&workspace->ctx, all->device, all->device_index, all->threads);
    /* Address space for the largest call; what a batch does not touch is not taken. */
    if (status == BL_OK && bl_arena_create(&workspace->arena, workspace->ctx, all->memory) != BL_OK)
        status =
            bl_fail(BL_ERROR_MEMORY,
                    "encoder: no %zu MiB of address space for a call (%s); lower the options' memory, or raise the "
                    "limit (ulimit -v)",
                    all->memory >> 20, bl_last_error());
    if (status != BL_OK) {
        workspace_free(workspace);
        return status;
    }
    *out = workspace;
    return BL_OK;
}

bl_status bl_workspaces_open(struct bl_workspaces **out, const bl_encoder_options *options) {
    struct bl_workspaces *all = calloc(1, sizeof *all);
    if (!all) return bl_fail(BL_ERROR_MEMORY, "encoder: out of memory");
    all->device = options->device;
    all->device_index = options->device_index;
    all->memory = options->memory ? (size_t) options->memory : DEFAULT_MEMORY;
    if (pthread_mutex_init(&all->lock, NULL) != 0 || pthread_cond_init(&all->given, NULL) != 0) {
        free(all);
        return bl_fail(BL_ERROR_INTERNAL, "encoder: the system refuses a lock");
    }
    all->threads = options->threads;
    /* The first one, idle: whether the system has room for it shows now. A context knows what 0 threads stand for. */
    bl_status status = workspace_create(&all->idle, all);
    if (status != BL_OK) {
        bl_workspaces_close(all);
        return status;
    }
    all->threads = bl_context_threads(all->idle->ctx);
    int32_t calls = bl_processors() / all->threads;
    all->share = all->memory / (size_t) (calls < 1 ? 1 : calls);
    *out = all;
    return BL_OK;
}

/* What it has touched. */
static size_t bytes_of(const bl_workspace *workspace) {
    return bl_arena_peak(workspace->arena) + workspace->ctx->scratch_bytes +
           (size_t) workspace->id_count * sizeof *workspace->ids +
           (size_t) workspace->row_count * sizeof *workspace->rows;
}

/* Takes from the list the smallest that is large enough, else the largest. NULL if there is none. */
static bl_workspace *unlink_best(struct bl_workspaces *all, size_t bytes) {
    bl_workspace **best = NULL;
    for (bl_workspace **at = &all->idle; *at; at = &(*at)->next) {
        size_t held = (*at)->held, before = best ? (*best)->held : 0;
        bool better = before < bytes ? held > before : held >= bytes && held < before;
        if (!best || better) best = at;
    }
    if (!best) return NULL;
    bl_workspace *workspace = *best;
    *best = workspace->next;
    return workspace;
}

static size_t growth_of(const bl_workspace *workspace, size_t bytes) {
    size_t held = workspace ? workspace->held : 0;
    return bytes > held ? bytes - held : 0;
}

/*
 * With the lock held: an idle workspace (*out, or NULL: a new one is to be
 * made) for which the bytes are now set aside; *spare are idle ones that had to
 * make room, for the caller to free. False if there is no room at present.
 */
static bool reserve(struct bl_workspaces *all, size_t bytes, bl_workspace **out, bl_workspace **spare) {
    bl_workspace *workspace = unlink_best(all, bytes);
    while (all->held + growth_of(workspace, bytes) > all->memory && all->idle) {
        bl_workspace *other = all->idle;
        all->idle = other->next;
        all->held -= other->held;
        other->next = *spare;
        *spare = other;
    }
    if (all->held + growth_of(workspace, bytes) > all->memory) {
        if (workspace) {
            workspace->next = all->idle;
            all->idle = workspace;
        }
        return false;
    }
    all->held += growth_of(workspace, bytes);
    all->busy++;
    *out = workspace;
    return true;
}

static void give_up(struct bl_workspaces *all, size_t bytes) {
    pthread_mutex_lock(&all->lock);
    all->held -= bytes;
    all->busy--;
    if (all->waiting) pthread_cond_broadcast(&all->given);
    pthread_mutex_unlock(&all->lock);
}

bl_status bl_workspaces_take(struct bl_workspaces *all, const char *what, size_t bytes, bl_workspace **out) {
    bl_workspace *workspace = NULL, *spare = NULL;
    if (bytes > all->memory)
        return bl_fail(BL_ERROR_MEMORY,
                       "%s: the text takes %zu MiB of working memory, but the options' memory is %zu MiB; raise it, or "
                       "lower max_length",
                       what, (bytes >> 20) + 1, all->memory >> 20);
    pthread_mutex_lock(&all->lock);
    while (!reserve(all, bytes, &workspace, &spare)) {
        if (spare) {
            /* They no longer count: gone before anything else takes their place. */
            pthread_mutex_unlock(&all->lock);
            free_list(spare);
            spare = NULL;
            pthread_mutex_lock(&all->lock);
            continue;
        }
        all->waiting++;
        pthread_cond_wait(&all->given, &all->lock);
        all->waiting--;
    }
    pthread_mutex_unlock(&all->lock);
    free_list(spare);
    if (!workspace) {
        bl_status status = workspace_create(&workspace, all);
        if (status != BL_OK) {
            give_up(all, bytes);
            return status;
        }
    }
    if (workspace->held < bytes) workspace->held = bytes;
    *out = workspace;
    return BL_OK;
}

void bl_workspaces_give(struct bl_workspaces *all, bl_workspace *workspace) {
    bl_arena_reset(workspace->arena);
    size_t bytes = bytes_of(workspace);
    pthread_mutex_lock(&all->lock);
    all->held = all->held - workspace->held + bytes;
    workspace->held = bytes;
    workspace->next = all->idle;
    all->idle = workspace;
    all->busy--;
    if (all->waiting) pthread_cond_broadcast(&all->given);
    pthread_mutex_unlock(&all->lock);
}

bl_status bl_workspace_ids(bl_workspace *workspace, int64_t count) {
    if (count <= workspace->id_count) return BL_OK;
    int32_t *grown = realloc(workspace->ids, (size_t) count * sizeof *grown);
    if (!grown) return bl_fail(BL_ERROR_MEMORY, "encoder: out of memory for a batch of %lld ids", (long long) count);
    workspace->ids = grown;
    workspace->id_count = count;
    return BL_OK;
}

bl_status bl_workspace_rows(bl_workspace *workspace, int64_t count) {
    if (count <= workspace->row_count) return BL_OK;
    float *grown = realloc(workspace->rows, (size_t) count * sizeof *grown);
    if (!grown) return bl_fail(BL_ERROR_MEMORY, "encoder: out of memory for %lld results", (long long) count);
    workspace->rows = grown;
    workspace->row_count = count;
    return BL_OK;
}
