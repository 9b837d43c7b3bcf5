/*
 * record.h - with BERTLUA_EMULATION_RECORD=FILE the watched build (races.h)
 * writes down what a GPU would be given to do, one JSON object a line, and does
 * of it only what decides what comes next: bench/gpu_model.lua reads the file.
 *
 * Memory is neither filled nor watched, so that a step of any size fits into a
 * machine: untouched, it takes no pages and reads as zeros. Products, and
 * transfers of more than BL_RECORD_TRANSFER bytes, are not done. Of a launch of
 * many blocks only some run, and what they touch stands for the others: of
 * thousands two windows of eight neighbours, else four single blocks. A launch of the same kernel, grid and
 * parameters as one before it, addresses and what structures hold aside, is that one again.
 *
 * Events take the number of lines for the time, in microseconds: of two ways to
 * compute the same, the one with fewer launches is timed to be the faster one,
 * so that what the engine chooses by timing does not depend on chance.
 */
#ifndef BERTLUA_EMULATION_RECORD_H
#define BERTLUA_EMULATION_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime.h"

enum { BL_RECORD_TRANSFER = 1 << 20 };

typedef struct bl_record_launch {
    const void *kernel;
    const char *name;
    unsigned grid[3], block[3];
    size_t shared;
    const char *parameters; /* as the device's code finds them */
    size_t parameters_bytes;
    const char *key; /* tells launches of one kernel apart */
    size_t key_bytes;
} bl_record_launch;

/* COPY: a read that passes by the first-level cache. */
enum bl_record_access { BL_RECORD_READ, BL_RECORD_WRITE, BL_RECORD_ATOMIC, BL_RECORD_COPY };

#ifdef BL_EMULATION_RACES

#ifdef __cplusplus
extern "C" {
#endif

/* A line of the file. */
void bl_record_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* How many lines there are so far. */
size_t bl_record_lines(void);
/* Writes the transfer down; true if it is too large to be done. Without a file: false. */
bool bl_record_transfer(const char *kind, size_t bytes);

/* False if there was such a launch before, which is written down then. */
bool bl_record_begins(const bl_record_launch *launch);
/* The number of the i-th block to run, -1 behind the last one. */
long bl_record_block(unsigned i);
void bl_record_touches(size_t p, size_t bytes, enum bl_record_access access, bool shared);
/* What a warp does together, by its name in the emulation. */
void bl_record_warp(const char *what);
void bl_record_ends(void);

#ifdef __cplusplus
}
#endif

#else

__attribute__((unused)) static inline void bl_record_nothing(int zero, ...) {
    (void) zero;
}
#define bl_record_line(...) bl_record_nothing(0, __VA_ARGS__)
#define bl_record_lines() ((size_t) 0)
#define bl_record_transfer(...) (bl_record_nothing(0, __VA_ARGS__), false)
#define bl_record_begins(...) (bl_record_nothing(0, __VA_ARGS__), false)
#define bl_record_block(...) (bl_record_nothing(0, __VA_ARGS__), -1L)
#define bl_record_warp(...) bl_record_nothing(0, __VA_ARGS__)
#define bl_record_ends() ((void) 0)

#endif

#endif
