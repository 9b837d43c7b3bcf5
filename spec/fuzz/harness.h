/*
 * harness.h - what the harnesses of spec/fuzz share. Each is one file with one
 * LLVMFuzzerTestOneInput, which hands arbitrary bytes to one parser of the
 * engine and checks what the parser promises of its results; the sanitizers
 * check the rest. Run by spec/fuzz/run.lua from the root of the sources.
 */
#ifndef BERTLUA_FUZZ_HARNESS_H
#define BERTLUA_FUZZ_HARNESS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bertlua.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A refusal, which must say why in one line. */
#define CHECK_REFUSED(status)                                                                                          \
    do {                                                                                                               \
        CHECK((status) != BL_OK && (status) != BL_ERROR_INTERNAL);                                                     \
        CHECK(bl_last_error()[0] != 0 && !strchr(bl_last_error(), '\n'));                                              \
    } while (0)

/* The bytes at the very end of a block of their own size, so that a read behind them is seen. Freed by the caller. */
static inline char *exact_copy(const uint8_t *data, size_t bytes) {
    char *copy = malloc(bytes);
    CHECK(copy || bytes == 0);
    if (bytes > 0) memcpy(copy, data, bytes);
    return copy;
}

/* The bytes as a file: its path, the same one each time. */
static inline const char *as_file(const uint8_t *data, size_t bytes) {
    static int descriptor = -1;
    static char path[64];
    if (descriptor < 0) {
        descriptor = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    }
    CHECK(descriptor >= 0 && ftruncate(descriptor, 0) == 0);
    CHECK(pwrite(descriptor, data, bytes, 0) == (ssize_t) bytes);
    return path;
}

/* Where a harness needs numbers besides the file: taken from the front of the input. */
typedef struct bl_fuzz_input {
    const uint8_t *data;
    size_t bytes;
} bl_fuzz_input;

/* A little-endian number of `width` bytes; missing bytes are 0. */
static inline uint64_t take(bl_fuzz_input *in, size_t width) {
    uint64_t value = 0;
    for (size_t i = 0; i < width && in->bytes > 0; i++, in->data++, in->bytes--)
        value |= (uint64_t) *in->data << (8 * i);
    return value;
}

#endif
