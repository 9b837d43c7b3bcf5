/*
 * internal.h - what engine files share and programs never see: the context,
 * the error helper and the visibility mark. The backend table is in backend.h.
 */
#ifndef BERTLUA_CORE_INTERNAL_H
#define BERTLUA_CORE_INTERNAL_H

#include "bertlua.h"

/*
 * Exported from libbertlua; everything else is hidden. Functions of this header
 * that carry it are for backends in shared objects of their own (backend.h),
 * not for programs.
 */
#define BL_API __attribute__((visibility("default")))

struct bl_backend;

struct bl_context {
    const struct bl_backend *backend;
    int32_t device;
    int32_t device_index;
    int32_t threads;
    void *scratch; /* grows on demand through bl_scratch(); one user at a time */
    size_t scratch_bytes;
    void *backend_state; /* the backend's own: primitive caches, streams, handles */
    char description[256];
    bool allow_tf32;
    int32_t attention;              /* bl_attention */
    int32_t matmul_choices_version; /* counts changes of the names below */
    char matmul_choices[1024];      /* file of timed algorithms; "" for none */
    char matmul_folder[1024];       /* of files that runs share; "" for none */
};

/* Sets the calling thread's message (printf form, one line) and returns status. */
BL_API bl_status bl_fail(bl_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "f32 [2,8]" into buffer, for messages; returns buffer. */
BL_API const char *bl_tensor_format(const bl_tensor *t, char *buffer, size_t bytes);

/*
 * 64-byte aligned scratch of at least `bytes`, valid until the next
 * bl_scratch call on this context; contents undefined.
 */
bl_status bl_scratch(bl_context *ctx, size_t bytes, void **out);

/* Bytes of a contiguous tensor of this shape; fails, naming `what`, on a bad dtype, rank, dim or on overflow. */
bl_status bl_shape_bytes(const char *what, int32_t dtype, int32_t ndim, const int64_t *shape, size_t *bytes);
/* Fills in a contiguous tensor; the arguments were checked by bl_shape_bytes. */
void bl_tensor_describe(bl_tensor *out, void *data, int32_t dtype, int32_t ndim, const int64_t *shape, int32_t device,
                        int32_t device_index);

#define BL_TRY(call)                                                                                                   \
    do {                                                                                                               \
        bl_status bl_try_status_ = (call);                                                                             \
        if (bl_try_status_ != BL_OK) return bl_try_status_;                                                            \
    } while (0)

#endif
