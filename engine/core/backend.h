/*
 * backend.h - the table of functions a device implements.
 *
 * Ops are listed in op_list.h, which also says how to add one. Table functions
 * have the signatures of the public ops, but may assume that the arguments were
 * validated.
 */
#ifndef BERTLUA_CORE_BACKEND_H
#define BERTLUA_CORE_BACKEND_H

#include "internal.h"
#include "op_list.h"

/* The ops of the list; NULL where a kind of device has no kernel. */
typedef struct bl_ops {
#define BL_MEMBER(op, file) __typeof__(bl_##op) *op;
    BL_OP_LIST(BL_MEMBER, BL_MEMBER, BL_MEMBER)
#undef BL_MEMBER
} bl_ops;

typedef struct bl_backend {
    const char *name;

    /* Before any context is open: devices of this kind, and lines about them and their libraries (api/core.h). */
    bl_status (*count)(int32_t *count);
    void (*report)(char *text, size_t bytes);

    bl_status (*open)(bl_context *ctx);
    void (*close)(bl_context *ctx);
    bl_status (*synchronize)(bl_context *ctx);
    bool (*fast_dtype)(const bl_context *ctx, int32_t dtype);

    /* Memory. reserve/unreserve back arenas: address space that costs nothing until touched. */
    bl_status (*allocate)(bl_context *ctx, size_t bytes, void **out); /* zero-filled */
    void (*deallocate)(bl_context *ctx, void *data, size_t bytes);
    bl_status (*reserve)(bl_context *ctx, size_t bytes, void **out);
    /* False where a reservation takes its memory at once; NULL where it never does. */
    bl_status (*arenas_grow)(bl_context *ctx, bool *grow);
    /* The first `bytes` of a reservation are about to be used; NULL where touching memory is enough. */
    bl_status (*commit)(bl_context *ctx, void *data, size_t bytes);
    void (*unreserve)(bl_context *ctx, void *data, size_t bytes);
    bl_status (*upload)(bl_context *ctx, bl_tensor *dst, const void *src, size_t bytes);
    bl_status (*download)(bl_context *ctx, void *dst, const bl_tensor *src, size_t bytes);

    /* Work that overlaps (api/device.h). A mark is what an event records; streams are numbers of bl_stream. */
    bl_status (*event_create)(bl_context *ctx, bool timed, void **mark);
    void (*event_destroy)(bl_context *ctx, void *mark);
    bl_status (*event_record)(bl_context *ctx, void *mark, int32_t stream);
    bl_status (*event_wait)(bl_context *ctx, void *mark, int32_t stream);
    bl_status (*event_synchronize)(bl_context *ctx, void *mark);
    bl_status (*event_query)(bl_context *ctx, void *mark, bool *done);
    bl_status (*event_elapsed)(bl_context *ctx, void *begin, void *end, double *seconds);
    bl_status (*pinned_allocate)(bl_context *ctx, size_t bytes, void **out); /* zero-filled */
    void (*pinned_free)(bl_context *ctx, void *data);
    bl_status (*upload_async)(bl_context *ctx, bl_tensor *dst, const void *src, size_t bytes, int32_t stream);
    bl_status (*download_async)(bl_context *ctx, void *dst, const bl_tensor *src, size_t bytes, int32_t stream);
    bl_status (*memory_info)(bl_context *ctx, uint64_t *free_bytes, uint64_t *total_bytes);
    /* Scratch memory; NULL where ops take none. */
    bl_status (*step_workspace)(bl_context *ctx, const bl_step_shape *shape, uint64_t *scratch, uint64_t *slack);
    bl_status (*reserve_scratch)(bl_context *ctx, size_t bytes);

    /* Recorded work (api/graph.h); NULL where there is none. graph_end with a NULL out drops the recording. */
    bl_status (*graph_begin)(bl_context *ctx);
    bl_status (*graph_end)(bl_context *ctx, void **out);
    bl_status (*graph_launch)(bl_context *ctx, void *graph);
    void (*graph_destroy)(bl_context *ctx, void *graph);

    bl_ops ops;

    /* Collectives between devices of this kind (engine/comm); NULL where there are none. */
    const struct bl_comm_driver *comm;
} bl_backend;

/*
 * A backend in a shared object of its own (libbertlua-cuda.so) exports a
 * function of this type, bl_cuda_entry: it hands out its table, or NULL if it
 * was built with another layout of what both sides use. It links to
 * libbertlua.so for what internal.h marks BL_API.
 */
typedef const bl_backend *bl_backend_entry(uint64_t layout);

/* The ops, and the sizes of the table and of the structures that its functions are given, in one number. */
static inline uint64_t bl_backend_layout(void) {
#define BL_NAME(op, file) #op " "
    static const char ops[] = BL_OP_LIST(BL_NAME, BL_NAME, BL_NAME);
#undef BL_NAME
    uint64_t sizes[] = {sizeof(bl_backend), sizeof(bl_context), sizeof(bl_tensor),
                        sizeof(bl_dropout), sizeof(bl_optim),   sizeof(bl_step_shape)};
    uint64_t layout = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        layout = layout * 4099u + sizes[i];
    for (size_t i = 0; i < sizeof ops; i++)
        layout = layout * 31u + (unsigned char) ops[i];
    return layout;
}

/* The table of a bl_device; fails with what is missing and the fix. */
bl_status bl_backend_open(int32_t device, const bl_backend **out);

/*
 * The CPU backend: oneDNN for matrix products, OpenMP for the rest; of its
 * levels (cpu/levels.h) the highest that this CPU runs and BERTLUA_MAX_CPU allows.
 */
bl_status bl_cpu_backend_open(const bl_backend **out);

#endif
