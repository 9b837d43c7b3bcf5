/*
 * carver.h - parts of one scratch block. The same function takes the parts
 * twice: first from no block, which only counts, then from the one that was
 * requested:
 *
 *     Carver carver = {0, 0};
 *     carve(&parts, &carver);
 *     BL_TRY(bl_cuda_scratch(ctx, carver.used, &block));
 *     carver = carver_open(block);
 *     carve(&parts, &carver);
 */
#ifndef BERTLUA_CUDA_CARVER_H
#define BERTLUA_CUDA_CARVER_H

#include <stddef.h>
#include <stdint.h>

struct Carver {
    uintptr_t base;
    size_t used;

    /* `count` elements on a 256-byte boundary. */
    template <typename T> T *take(int64_t count) {
        T *part = reinterpret_cast<T *>(base + used);
        used += (static_cast<size_t>(count) * sizeof(T) + 255) / 256 * 256;
        return part;
    }
};

static inline Carver carver_open(void *block) {
    return {reinterpret_cast<uintptr_t>(block), 0};
}

#endif
