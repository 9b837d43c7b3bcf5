/*
 * spill.h - a nameless temporary file for what does not fit in memory: written
 * once from front to back, read anywhere. It has no name in its folder, so
 * that a killed process leaves nothing behind.
 */
#ifndef BERTLUA_STORAGE_SPILL_H
#define BERTLUA_STORAGE_SPILL_H

#include "core/internal.h"

typedef struct bl_spill {
    char *name; /* "FOLDER/(temporary WHAT)", for messages */
    int descriptor;
    int64_t bytes; /* written so far, the buffer included */
    char *buffer;
    size_t used;
} bl_spill;

/* what: "words", ...: only messages show it. Nothing needs closing after a failure. */
bl_status bl_spill_open(bl_spill *spill, const char *folder, const char *what);
/* A full disk is BL_ERROR_IO with name and offset. */
bl_status bl_spill_append(bl_spill *spill, const void *data, size_t bytes);
bl_status bl_spill_flush(bl_spill *spill);
/* Exactly `bytes` from `offset` on, which were flushed; processes that share the descriptor may all read. */
bl_status bl_spill_read(const bl_spill *spill, int64_t offset, void *out, size_t bytes);
/* Harmless on a zeroed one. */
void bl_spill_close(bl_spill *spill);

#endif
