/*
 * workspace.h - what a batch is computed in: a context, an arena and host
 * memory. Taken for a batch and given back, so that all together stay within
 * the memory that the options allow.
 */
#ifndef BERTLUA_ENCODER_WORKSPACE_H
#define BERTLUA_ENCODER_WORKSPACE_H

#include "encoder/encoder.h"

typedef struct bl_workspace {
    bl_context *ctx;
    bl_arena *arena;
    int32_t *ids; /* the batch on the host: [id_count] */
    int64_t id_count;
    float *rows; /* results on their way from a device: [row_count] */
    int64_t row_count;
    size_t held; /* bytes that count against the options' memory */
    struct bl_workspace *next;
} bl_workspace;

bl_status bl_workspaces_open(struct bl_workspaces **out, const bl_encoder_options *options);
/* All must have been given back. NULL is allowed. */
void bl_workspaces_close(struct bl_workspaces *all);

/*
 * A workspace that may grow to `bytes`. Waits while others hold the memory; an
 * error if there is not as much in all. `what` begins the message.
 */
bl_status bl_workspaces_take(struct bl_workspaces *all, const char *what, size_t bytes, bl_workspace **out);
void bl_workspaces_give(struct bl_workspaces *all, bl_workspace *workspace);

/* Host memory of a workspace; grows. */
bl_status bl_workspace_ids(bl_workspace *workspace, int64_t count);
bl_status bl_workspace_rows(bl_workspace *workspace, int64_t count);

/* Bytes that one call should not exceed, so that as many run at once as there are cores for. */
size_t bl_workspaces_share(const struct bl_workspaces *all);
/* Bytes that all calls together may hold. */
size_t bl_workspaces_memory(const struct bl_workspaces *all);
/* Bytes held now, idle ones included. */
size_t bl_workspaces_held(struct bl_workspaces *all);
/* Threads of one call. */
int32_t bl_workspaces_threads(const struct bl_workspaces *all);

#endif
