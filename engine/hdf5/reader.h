/*
 * reader.h - what the program bertlua-hdf5 consists of: a file with its
 * datasets (read.c), the checks of where they lie (layout.c), and the process
 * itself (main.c).
 */
#ifndef BERTLUA_HDF5_READER_H
#define BERTLUA_HDF5_READER_H

#include <hdf5.h>

#include "core/internal.h"

typedef struct bl_hdf5_input {
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

/* Messages of these functions start with what is wrong: the caller knows the file's path. */

/* Open the file that lies open as `descriptor`. */
bl_status bl_hdf5_input_open(bl_hdf5_input *input, int descriptor);
/* Open a dataset of an integer type with ndim dimensions, all at most INT32_MAX long, and check where it lies. */
bl_status bl_hdf5_dataset_open(bl_hdf5_dataset *dataset, const bl_hdf5_input *input, const char *name, int32_t ndim);
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

/* ---- layout.c ---- */

/* The name must be a hard link: no other file, no other place of this one. */
bl_status bl_hdf5_check_link(const bl_hdf5_input *input, const char *name);
/* Refuse data outside of this file, before anything about the data is asked. */
bl_status bl_hdf5_check_inside(const bl_hdf5_dataset *dataset);
/* Every block of the dataset is there, of a possible size, unskipped filters, and inside the file. */
bl_status bl_hdf5_check_layout(const bl_hdf5_dataset *dataset);

#endif
