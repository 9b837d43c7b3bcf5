/*
 * hdf5_file.h - the engine's own thin layer over HDF5: quiet, every call
 * checked, messages that name file and dataset. What a shard is made of is
 * known in shard_*.c, not here.
 */
#ifndef BERTLUA_DATA_HDF5_FILE_H
#define BERTLUA_DATA_HDF5_FILE_H

#include <hdf5.h>
#include <stdatomic.h>

#include "core/internal.h"

/* ---- reading (hdf5_read.c) ---- */

typedef struct bl_hdf5_input {
    const char *path; /* the caller's string */
    hid_t id;
    int64_t file_bytes;
} bl_hdf5_input;

/* One open dataset of integers. */
typedef struct bl_hdf5_dataset {
    const bl_hdf5_input *input;
    const char *name;
    hid_t id;
    int32_t ndim;
    int64_t shape[4];
    size_t element_bytes; /* in the file */
} bl_hdf5_dataset;

/* No message of HDF5's own from this thread. */
void bl_hdf5_quiet(void);
bl_status bl_hdf5_input_open(bl_hdf5_input *input, const char *path);
void bl_hdf5_input_close(bl_hdf5_input *input);
/* Open a dataset of an integer type with ndim dimensions, all at most INT32_MAX long. */
bl_status bl_hdf5_dataset_open(bl_hdf5_dataset *dataset, const bl_hdf5_input *input, const char *name, int32_t ndim);
void bl_hdf5_dataset_close(bl_hdf5_dataset *dataset);
/*
 * Rows [first, first + count) of the first dimension into dst of dtype BL_I8
 * or BL_I32. Wider or unsigned types in the file are narrowed only where every
 * value fits.
 */
bl_status bl_hdf5_dataset_read(const bl_hdf5_dataset *dataset, int32_t dtype, int64_t first, int64_t count, void *dst);
/*
 * Rows to read at a time, at least 1: about `bytes` of the file's values, but
 * whole chunks, so that each is decompressed once.
 */
int64_t bl_hdf5_dataset_block_rows(const bl_hdf5_dataset *dataset, int64_t bytes);
/* Text attribute of the file's root into buffer; "" if there is none. */
bl_status bl_hdf5_input_note(const bl_hdf5_input *input, const char *name, char *buffer, size_t bytes);

/* ---- writing (hdf5_write.c) ---- */

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

/* ---- shards ---- */

/* A shard in memory (shard_read.c), K rows of it held; rows are contiguous. */
struct bl_shard {
    bl_shard_info info;
    int32_t *input_ids;  /* [K,S] */
    int8_t *segment_ids; /* [K,S] */
    int32_t *positions;  /* [K,P] */
    int32_t *labels;     /* [K,P] */
    int8_t *next_labels; /* [K] */
    int32_t *lengths;    /* [K] */
    int32_t *masked;     /* [K] */
};

/* As bl_shard_read; gives up between blocks of rows once *cancelled is true (BL_ERROR_IO "cancelled"). */
bl_status bl_shard_read_cancellable(bl_shard **out, const char *path, const bl_shard_limits *limits,
                                    const bl_shard_part *part, const atomic_bool *cancelled);

#endif
