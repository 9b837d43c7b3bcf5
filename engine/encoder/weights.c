/*
 * weights.c - packs matrices; see weights.h.
 */
#include "encoder/weights.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What is packed is not read from the file again: a model is in memory once. */
static void forget(const bl_weight_place *place) {
    uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t) place->data + page - 1) / page * page;
    uintptr_t end = ((uintptr_t) place->data + place->bytes) / page * page;
    /* Advice only. */
    if (place->mapped && end > begin) (void) madvise((void *) begin, end - begin, MADV_DONTNEED);
}

bl_status bl_weights_pack(bl_context *ctx, bl_packed **out, const bl_weight_place *places, int32_t parts, int32_t dtype,
                          const int64_t shape[2], const bl_tensor *scales) {
    const int64_t whole[2] = {shape[0] * parts, shape[1]};
    bl_buffer *joined = NULL;
    bl_tensor w;
    bl_status status = BL_OK;
    if (parts == 1) {
        status = bl_tensor_wrap(&w, (void *) (uintptr_t) places[0].data, dtype, 2, whole);
    } else {
        size_t bytes = places[0].bytes;
        status = bl_buffer_create(&joined, ctx, bytes * (size_t) parts);
        for (int32_t i = 0; status == BL_OK && i < parts; i++)
            memcpy((char *) bl_buffer_data(joined) + bytes * (size_t) i, places[i].data, bytes);
        if (status == BL_OK) status = bl_buffer_tensor(joined, &w, 0, dtype, 2, whole);
    }
    if (status == BL_OK) status = bl_pack(ctx, out, &w, scales);
    bl_buffer_free(joined);
    for (int32_t i = 0; status == BL_OK && *out && i < parts; i++)
        forget(&places[i]);
    return status;
}
