/*
 * races.h - what the emulation tells the watch over memory (races.cc), which is
 * part of `make test-cuda-races` alone: elsewhere these functions are empty.
 *
 * There the kernels are compiled with -fsanitize=thread, so that each access
 * calls the watch, which keeps for every cell of memory who last wrote it and
 * who has read it since. Two accesses of a launch, one of them a write, must be
 * ordered: by a __syncthreads between threads of a block, by a __syncwarp
 * between lanes of a warp, by nothing between blocks. A shuffle, a vote, an
 * ldmatrix or an mma orders no memory.
 */
#ifndef BERTLUA_EMULATION_RACES_H
#define BERTLUA_EMULATION_RACES_H

#include <stdbool.h>
#include <stddef.h>

/* A block that is about to run: its shared memory, and what threads may touch unwatched. */
typedef struct bl_watch_launch {
    const char *kernel;
    const void *shared;
    size_t shared_bytes, shared_room;
    const void *stacks;
    size_t stacks_bytes;
    const void *arguments;
    size_t arguments_bytes;
    const void *function; /* the std::function that calls the kernel */
    size_t function_bytes;
} bl_watch_launch;

/* Allocated memory around an address. */
typedef struct bl_watch_region {
    size_t begin, end;
    bool device;
} bl_watch_region;

#ifdef BL_EMULATION_RACES

#ifdef __cplusplus
extern "C" {
#endif

void bl_watch_launches(const bl_watch_launch *launch);
void bl_watch_block(void);
/* The threads of a block run between these. */
void bl_watch_resume(int thread);
void bl_watch_pause(void);
void bl_watch_barrier(void);
void bl_watch_syncwarp(int warp);

/* Where this is called, for reports. */
const void *bl_watch_here(void);
/* A read by the warp as a whole, in no order with its lanes but by __syncwarp. */
void bl_watch_warp_reads(const void *p, size_t bytes, const void *here);
void bl_watch_atomic(const void *p, size_t bytes, const void *here);
/* cp.async of the running thread: nobody may touch `to` before this thread has waited. */
void bl_watch_copy_begins(const void *to, const void *from, size_t bytes);
void bl_watch_copy_ends(const void *to, const void *from, size_t bytes);

/* What no kernel does: libraries, copies, fills. */
void bl_watch_library_reads(const char *who, const void *p, size_t bytes);
void bl_watch_library_writes(const void *p, size_t bytes);
/* What was never written stays so in the copy. */
void bl_watch_copied(const void *to, const void *from, size_t bytes);
/* Contents are undefined from here on. */
void bl_watch_forget(const void *p, size_t bytes);

/* memory.cc: false where no memory is allocated. */
bool bl_emulated_find(const void *p, bl_watch_region *region);

#ifdef __cplusplus
}
#endif

/* Of functions that do what a GPU has an instruction for: they tell the watch themselves. */
#define BL_UNWATCHED __attribute__((noinline, no_sanitize("thread")))

#else

#define BL_UNWATCHED
__attribute__((unused)) static inline void bl_watch_nothing(int zero, ...) {
    (void) zero;
}
#define bl_watch_launches(...) bl_watch_nothing(0, __VA_ARGS__)
#define bl_watch_block() ((void) 0)
#define bl_watch_resume(...) bl_watch_nothing(0, __VA_ARGS__)
#define bl_watch_pause() ((void) 0)
#define bl_watch_barrier() ((void) 0)
#define bl_watch_syncwarp(...) bl_watch_nothing(0, __VA_ARGS__)
#define bl_watch_warp_reads(...) bl_watch_nothing(0, __VA_ARGS__)
#define bl_watch_atomic(...) bl_watch_nothing(0, __VA_ARGS__)
#define bl_watch_copy_begins(...) bl_watch_nothing(0, __VA_ARGS__)
#define bl_watch_copy_ends(...) bl_watch_nothing(0, __VA_ARGS__)
#define bl_watch_library_reads(...) bl_watch_nothing(0, __VA_ARGS__)
#define bl_watch_library_writes(...) bl_watch_nothing(0, __VA_ARGS__)
#define bl_watch_copied(...) bl_watch_nothing(0, __VA_ARGS__)
#define bl_watch_forget(...) bl_watch_nothing(0, __VA_ARGS__)
#define bl_watch_here() nullptr

#endif

#endif
