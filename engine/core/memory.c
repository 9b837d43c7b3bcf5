/*
 * memory.c - buffers (parameters, optimizer state) and the step arena. Both
 * get their bytes from the context's backend.
 */
#include <stdlib.h>
#include <string.h>

#include "backend.h"

enum { ALIGNMENT = 64, DEVICE_ALIGNMENT = 256 };

/* Bytes that a tensor of an arena starts at a multiple of: a vector's, or the most that products of a GPU ask for. */
static size_t aligned(const bl_context *ctx, size_t bytes) {
    size_t alignment = ctx->device == BL_CPU ? ALIGNMENT : DEVICE_ALIGNMENT;
    return (bytes + alignment - 1) / alignment * alignment;
}

struct bl_buffer {
    bl_context *ctx;
    void *data;
    size_t bytes;
};

BL_API bl_status bl_buffer_create(bl_buffer **out, bl_context *ctx, size_t bytes) {
    if (!out || !ctx) return bl_fail(BL_ERROR_ARGUMENT, "buffer: %s is NULL", out ? "ctx" : "out");
    bl_buffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer) return bl_fail(BL_ERROR_MEMORY, "buffer: out of memory");
    buffer->ctx = ctx;
    buffer->bytes = bytes;
    bl_status status = ctx->backend->allocate(ctx, bytes ? bytes : ALIGNMENT, &buffer->data);
    if (status != BL_OK) {
        free(buffer);
        return status;
    }
    *out = buffer;
    return BL_OK;
}

BL_API void bl_buffer_free(bl_buffer *buffer) {
    if (!buffer) return;
    buffer->ctx->backend->deallocate(buffer->ctx, buffer->data, buffer->bytes ? buffer->bytes : ALIGNMENT);
    free(buffer);
}

BL_API void *bl_buffer_data(bl_buffer *buffer) {
    return buffer->data;
}

BL_API size_t bl_buffer_bytes(const bl_buffer *buffer) {
    return buffer->bytes;
}

BL_API bl_status bl_buffer_tensor(bl_buffer *buffer, bl_tensor *out, size_t byte_offset, int32_t dtype, int32_t ndim,
                                  const int64_t *shape) {
    size_t bytes = 0;
    BL_TRY(bl_shape_bytes("buffer", dtype, ndim, shape, &bytes));
    if (byte_offset > buffer->bytes || bytes > buffer->bytes - byte_offset)
        return bl_fail(BL_ERROR_ARGUMENT, "buffer: %zu bytes at offset %zu do not fit in %zu", bytes, byte_offset,
                       buffer->bytes);
    if (byte_offset % bl_dtype_size(dtype) != 0)
        return bl_fail(BL_ERROR_ARGUMENT, "buffer: offset is %zu, expected a multiple of %zu for %s", byte_offset,
                       bl_dtype_size(dtype), bl_dtype_name(dtype));
    bl_tensor_describe(out, (char *) buffer->data + byte_offset, dtype, ndim, shape, buffer->ctx->device,
                       buffer->ctx->device_index);
    return BL_OK;
}

/* A run of the arena's address space; blocks are sorted by offset and cover [0, capacity) without gaps. */
typedef struct arena_block {
    size_t offset;
    size_t bytes;
    bool live;
} arena_block;

struct bl_arena {
    bl_context *ctx;
    char *base;
    size_t capacity;
    size_t used;
    size_t peak; /* highest end of a live block so far: the bytes that were touched */
    arena_block *blocks;
    size_t count;
    size_t room;
};

static void arena_clear(bl_arena *arena) {
    arena->blocks[0] = (arena_block){.offset = 0, .bytes = arena->capacity, .live = false};
    arena->count = 1;
    arena->used = 0;
}

BL_API bl_status bl_arena_create(bl_arena **out, bl_context *ctx, size_t capacity) {
    if (!out || !ctx) return bl_fail(BL_ERROR_ARGUMENT, "arena: %s is NULL", out ? "ctx" : "out");
    if (capacity == 0 || capacity > SIZE_MAX / 2)
        return bl_fail(BL_ERROR_ARGUMENT, "arena: capacity is %zu bytes, expected 1 or more", capacity);
    bl_arena *arena = calloc(1, sizeof *arena);
    if (!arena) return bl_fail(BL_ERROR_MEMORY, "arena: out of memory");
    arena->ctx = ctx;
    arena->capacity = aligned(ctx, capacity);
    arena->room = 256;
    arena->blocks = malloc(arena->room * sizeof *arena->blocks);
    if (!arena->blocks) {
        free(arena);
        return bl_fail(BL_ERROR_MEMORY, "arena: out of memory");
    }
    void *base = NULL;
    bl_status status = ctx->backend->reserve(ctx, arena->capacity, &base);
    if (status != BL_OK) {
        free(arena->blocks);
        free(arena);
        return status;
    }
    arena->base = base;
    arena_clear(arena);
    *out = arena;
    return BL_OK;
}

BL_API bl_status bl_arenas_grow(bl_context *ctx, bool *grow) {
    if (!ctx || !grow) return bl_fail(BL_ERROR_ARGUMENT, "arena: %s is NULL", ctx ? "grow" : "ctx");
    *grow = true;
    return ctx->backend->arenas_grow ? ctx->backend->arenas_grow(ctx, grow) : BL_OK;
}

BL_API void bl_arena_free(bl_arena *arena) {
    if (!arena) return;
    arena->ctx->backend->unreserve(arena->ctx, arena->base, arena->capacity);
    free(arena->blocks);
    free(arena);
}

/* Cuts `bytes` off the front of the free block at `index`; the rest stays free behind it. */
static bl_status arena_split(bl_arena *arena, size_t index, size_t bytes) {
    if (arena->blocks[index].bytes > bytes) {
        if (arena->count == arena->room) {
            arena_block *grown = realloc(arena->blocks, 2 * arena->room * sizeof *grown);
            if (!grown) return bl_fail(BL_ERROR_MEMORY, "arena: out of memory for %zu blocks", 2 * arena->room);
            arena->blocks = grown;
            arena->room *= 2;
        }
        arena_block *block = &arena->blocks[index];
        memmove(block + 2, block + 1, (arena->count - index - 1) * sizeof *block);
        block[1] = (arena_block){.offset = block->offset + bytes, .bytes = block->bytes - bytes, .live = false};
        block->bytes = bytes;
        arena->count++;
    }
    arena->blocks[index].live = true;
    return BL_OK;
}

BL_API bl_status bl_arena_tensor(bl_arena *arena, bl_tensor *out, int32_t dtype, int32_t ndim, const int64_t *shape) {
    size_t bytes = 0;
    BL_TRY(bl_shape_bytes("arena", dtype, ndim, shape, &bytes));
    size_t need = bytes ? bytes : 1;
    if (need <= arena->capacity) {
        need = aligned(arena->ctx, need);
        for (size_t i = 0; i < arena->count; i++) {
            if (arena->blocks[i].live || arena->blocks[i].bytes < need) continue;
            size_t offset = arena->blocks[i].offset;
            const bl_backend *backend = arena->ctx->backend;
            if (offset + need > arena->peak && backend->commit)
                BL_TRY(backend->commit(arena->ctx, arena->base, offset + need));
            BL_TRY(arena_split(arena, i, need));
            arena->used += need;
            if (offset + need > arena->peak) arena->peak = offset + need;
            bl_tensor_describe(out, arena->base + offset, dtype, ndim, shape, arena->ctx->device,
                               arena->ctx->device_index);
            return BL_OK;
        }
    }
    return bl_fail(BL_ERROR_MEMORY,
                   "arena: no room for %zu bytes (%zu of %zu in use); use a smaller batch or a larger arena", bytes,
                   arena->used, arena->capacity);
}

static void arena_merge_with_next(bl_arena *arena, size_t index) {
    arena_block *block = &arena->blocks[index];
    block->bytes += block[1].bytes;
    memmove(block + 1, block + 2, (arena->count - index - 2) * sizeof *block);
    arena->count--;
}

BL_API bl_status bl_arena_release(bl_arena *arena, const bl_tensor *t) {
    size_t low = 0;
    size_t high = arena->count;
    uintptr_t data = (uintptr_t) t->data, base = (uintptr_t) arena->base;
    if (data >= base && data - base < arena->capacity) {
        size_t offset = data - base;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (arena->blocks[middle].offset < offset)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < arena->count && arena->blocks[low].offset == offset && arena->blocks[low].live) {
            arena->blocks[low].live = false;
            arena->used -= arena->blocks[low].bytes;
            if (low + 1 < arena->count && !arena->blocks[low + 1].live) arena_merge_with_next(arena, low);
            if (low > 0 && !arena->blocks[low - 1].live) arena_merge_with_next(arena, low - 1);
            return BL_OK;
        }
    }
    char text[128];
    return bl_fail(BL_ERROR_ARGUMENT, "arena: %s does not start a live block of this arena",
                   bl_tensor_format(t, text, sizeof text));
}

BL_API void bl_arena_reset(bl_arena *arena) {
    arena_clear(arena);
}

BL_API size_t bl_arena_used(const bl_arena *arena) {
    return arena->used;
}

BL_API size_t bl_arena_peak(const bl_arena *arena) {
    return arena->peak;
}
