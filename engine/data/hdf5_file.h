/*
 * hdf5_file.h - the engine's own thin layer over writing HDF5: quiet, every
 * call checked, messages that name file and dataset. What a shard is made of
 * is known in shard_*.c, not here. Reading is done by a program of its own,
 * engine/hdf5.
 */
#ifndef BERTLUA_DATA_HDF5_FILE_H
#define BERTLUA_DATA_HDF5_FILE_H

#include <hdf5.h>

#include "data/shard.h"

/* Dataset of a file being written, for row blocks. */
typedef struct bl_hdf5_rows {
    bl_hdf5_writer *writer;
    const char *name;
    hid_t dataset;
    hid_t type; /* in memory */
    int32_t ndim;
    hsize_t shape[4];
} bl_hdf5_rows;

/* chunk_rows: rows of one chunk; 0 chooses it. */
bl_status bl_hdf5_rows_create(bl_hdf5_rows *rows, bl_hdf5_writer *writer, const char *name, int32_t dtype, int32_t ndim,
                              const int64_t *shape, int64_t chunk_rows, int32_t gzip, bool checksum);
/* Rows [first, first + count) of the first dimension. */
bl_status bl_hdf5_rows_write(bl_hdf5_rows *rows, int64_t first, int64_t count, const void *data);
bl_status bl_hdf5_rows_close(bl_hdf5_rows *rows);
/* hdf5_image.c: make the copy of a file in memory one that readers open. */
bl_status bl_hdf5_image_finish(const char *path, void *image, size_t bytes);
/* As bl_hdf5_writer_commit, with the sizes of a shard for the seal; body_bytes and crc are filled in. */
bl_status bl_hdf5_writer_commit_sealed(bl_hdf5_writer *writer, bl_seal seal);

#endif
