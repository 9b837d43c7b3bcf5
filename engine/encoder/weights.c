/*
 * weights.c - packs matrices; see weights.h.
 */
#include "encoder/weights.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What is packed is not read from the file again: a model is in memory once. */
static void forget(const void *data, size_t bytes) {
    uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t) data + page - 1) / page * page;
    uintptr_t end = ((uintptr_t) data + bytes) / page * page;
    /* Advice only. */
    if (end > begin) (void) madvise((void *) begin, end - begin, MADV_DONTNEED);
}

bl_status bl_weights_pack(bl_context *ctx, bl_packed **out, bl_buffer **joined, void *const *places, int32_t parts,
                          bool mapped, int32_t dtype, const int64_t shape[2]) {
    const int64_t whole[2] = {shape[0] * parts, shape[1]};
    size_t bytes = 0;
    BL_TRY(bl_shape_bytes("encoder", dtype, 2, shape, &bytes));
    bl_tensor w;
    if (parts == 1) {
        BL_TRY(bl_tensor_wrap(&w, places[0], dtype, 2, whole));
    } else {
        if (*joined && bl_buffer_bytes(*joined) < bytes * (size_t) parts) {
            bl_buffer_free(*joined);
            *joined = NULL;
        }
        if (!*joined) BL_TRY(bl_buffer_create(joined, ctx, bytes * (size_t) parts));
        for (int32_t i = 0; i < parts; i++)
            memcpy((char *) bl_buffer_data(*joined) + bytes * (size_t) i, places[i], bytes);
        BL_TRY(bl_buffer_tensor(*joined, &w, 0, dtype, 2, whole));
    }
    BL_TRY(bl_pack(ctx, out, &w, NULL));
    for (int32_t i = 0; mapped && *out && i < parts; i++)
        forget(places[i], bytes);
    return BL_OK;
}
