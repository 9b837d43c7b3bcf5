/*
 * read.c - open an HDF5 file and read integer datasets out of it, trusting
 * nothing the file says.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/shard_frames.h"
#include "hdf5/reader.h"

/* Without a file lock: network file systems may not have any, and a shard at its final name never changes. */
static hid_t open_read_only(const char *path) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access < 0) return access;
    hid_t file = H5I_INVALID_HID;
    if (H5Pset_file_locking(access, false, true) >= 0) file = H5Fopen(path, H5F_ACC_RDONLY, access);
    H5Pclose(access);
    return file;
}

bl_status bl_hdf5_input_open(bl_hdf5_input *input, int descriptor) {
    struct stat status;
    char path[64];
    *input = (bl_hdf5_input){.id = H5I_INVALID_HID};
    if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode))
        return bl_fail(BL_ERROR_IO, "not a regular file, expected an HDF5 shard");
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    input->file_bytes = (int64_t) status.st_size;
    /* By its descriptor, so that it is the file that was checked. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    htri_t is_hdf5 = H5Fis_hdf5(path);
    if (is_hdf5 < 0)
        return bl_fail(BL_ERROR_IO, "cannot read the file; check its permissions, and that /proc is there");
    if (is_hdf5 == 0) {
        return bl_fail(BL_ERROR_FORMAT,
                       "not an HDF5 file (%lld bytes without its signature); is it truncated or another kind of file? "
                       "recreate it with create_pretraining_data",
                       (long long) input->file_bytes);
    }
    input->id = open_read_only(path);
    if (input->id < 0) {
        return bl_fail(BL_ERROR_FORMAT,
                       "HDF5 cannot open it: the file is truncated or damaged (%lld bytes); copy it again or recreate "
                       "it",
                       (long long) input->file_bytes);
    }
    return BL_OK;
}

/* "float64" and the like, for messages. */
static const char *type_name(hid_t type, char *buffer, size_t bytes) {
    H5T_class_t kind = H5Tget_class(type);
    int bits = (int) H5Tget_size(type) * 8;
    if (kind == H5T_INTEGER) {
        snprintf(buffer, bytes, "%sint%d", H5Tget_sign(type) == H5T_SGN_NONE ? "u" : "", bits);
    } else if (kind == H5T_FLOAT) {
        snprintf(buffer, bytes, "float%d", bits);
    } else {
        snprintf(buffer, bytes, "%s", kind == H5T_STRING ? "string" : "a compound or other type");
    }
    return buffer;
}

static bl_status check_type(bl_hdf5_dataset *dataset) {
    hid_t type = H5Dget_type(dataset->id);
    if (type < 0) return bl_fail(BL_ERROR_FORMAT, "dataset %s: its type is damaged", dataset->name);
    char buffer[64];
    bl_status status = BL_OK;
    dataset->element_bytes = H5Tget_size(type);
    if (H5Tget_class(type) != H5T_INTEGER || dataset->element_bytes > 8 || dataset->element_bytes == 0) {
        status = bl_fail(BL_ERROR_FORMAT, "dataset %s is %s, expected int8 or int32; convert it", dataset->name,
                         type_name(type, buffer, sizeof buffer));
    }
    H5Tclose(type);
    return status;
}

static bl_status check_space(bl_hdf5_dataset *dataset, int32_t ndim) {
    hid_t space = H5Dget_space(dataset->id);
    if (space < 0) return bl_fail(BL_ERROR_FORMAT, "dataset %s: its shape is damaged", dataset->name);
    int rank = H5Sget_simple_extent_ndims(space);
    hsize_t dims[H5S_MAX_RANK] = {0};
    if (rank == ndim && H5Sget_simple_extent_dims(space, dims, NULL) < 0) rank = -1;
    H5Sclose(space);
    if (rank != ndim) {
        return bl_fail(BL_ERROR_FORMAT, "dataset %s has %d dimensions, expected %d (%s)", dataset->name, rank, ndim,
                       ndim == 1 ? "[samples]" : "[samples, length]");
    }
    double claimed = (double) dataset->element_bytes;
    for (int32_t d = 0; d < ndim; d++) {
        if (dims[d] > INT32_MAX) {
            return bl_fail(BL_ERROR_FORMAT, "dataset %s: dimension %d is %llu, expected at most %d", dataset->name,
                           d + 1, (unsigned long long) dims[d], INT32_MAX);
        }
        dataset->shape[d] = (int64_t) dims[d];
        claimed *= (double) dims[d];
    }
    dataset->ndim = ndim;
    if (claimed > (double) dataset->input->file_bytes * BL_DEFLATE_MAX_RATIO) {
        return bl_fail(BL_ERROR_FORMAT, "dataset %s claims %.0f bytes in a file of %lld: the file is damaged",
                       dataset->name, claimed, (long long) dataset->input->file_bytes);
    }
    return BL_OK;
}

bl_status bl_hdf5_dataset_open(bl_hdf5_dataset *dataset, const bl_hdf5_input *input, const char *name, int32_t ndim) {
    *dataset = (bl_hdf5_dataset){.input = input, .name = name, .id = H5I_INVALID_HID};
    htri_t exists = H5Lexists(input->id, name, H5P_DEFAULT);
    if (exists < 0) return bl_fail(BL_ERROR_FORMAT, "its table of datasets is damaged; recreate it");
    if (exists == 0) {
        return bl_fail(BL_ERROR_FORMAT,
                       "no dataset %s; a shard needs input_ids, input_mask, segment_ids, "
                       "masked_lm_positions, masked_lm_ids and next_sentence_labels",
                       name);
    }
    BL_TRY(bl_hdf5_check_link(input, name));
    dataset->id = H5Dopen2(input->id, name, H5P_DEFAULT);
    if (dataset->id < 0) return bl_fail(BL_ERROR_FORMAT, "%s is not a dataset or is damaged; recreate the file", name);
    BL_TRY(bl_hdf5_check_inside(dataset));
    BL_TRY(check_type(dataset));
    BL_TRY(check_space(dataset, ndim));
    return bl_hdf5_check_layout(dataset);
}

static bl_status read_failed(const bl_hdf5_dataset *dataset) {
    return bl_fail(BL_ERROR_FORMAT,
                   "dataset %s cannot be read: the file is truncated or damaged (or its checksum does not match); "
                   "copy it again or recreate it",
                   dataset->name);
}

static int64_t row_elements(const bl_hdf5_dataset *dataset) {
    int64_t n = 1;
    for (int32_t d = 1; d < dataset->ndim; d++)
        n *= dataset->shape[d];
    return n;
}

int64_t bl_hdf5_dataset_block_rows(const bl_hdf5_dataset *dataset, int64_t bytes) {
    int64_t row_bytes = row_elements(dataset) * (int64_t) dataset->element_bytes;
    int64_t rows = row_bytes > 0 ? bytes / row_bytes : dataset->shape[0];
    hsize_t chunk[H5S_MAX_RANK] = {0};
    hid_t plist = H5Dget_create_plist(dataset->id);
    if (plist >= 0 && H5Pget_layout(plist) == H5D_CHUNKED &&
        H5Pget_chunk(plist, dataset->ndim, chunk) == dataset->ndim && chunk[0] > 0) {
        int64_t chunk_rows = chunk[0] < INT32_MAX ? (int64_t) chunk[0] : INT32_MAX;
        rows = rows > chunk_rows ? rows / chunk_rows * chunk_rows : chunk_rows;
    }
    if (plist >= 0) H5Pclose(plist);
    if (rows > dataset->shape[0]) rows = dataset->shape[0];
    return rows > 0 ? rows : 1;
}

/* Rows [first, first + count) as `memory`, the type in dst. */
static bl_status read_rows(const bl_hdf5_dataset *dataset, hid_t memory, int64_t first, int64_t count, void *dst) {
    hsize_t start[4] = {(hsize_t) first}, block[4] = {(hsize_t) count};
    for (int32_t d = 1; d < dataset->ndim; d++)
        block[d] = (hsize_t) dataset->shape[d];
    hid_t in_file = H5Dget_space(dataset->id);
    hid_t in_memory = H5Screate_simple(dataset->ndim, block, NULL);
    bool good =
        in_file >= 0 && in_memory >= 0 && H5Sselect_hyperslab(in_file, H5S_SELECT_SET, start, NULL, block, NULL) >= 0;
    good = good && H5Dread(dataset->id, memory, in_memory, in_file, H5P_DEFAULT, dst) >= 0;
    if (in_memory >= 0) H5Sclose(in_memory);
    if (in_file >= 0) H5Sclose(in_file);
    return good ? BL_OK : read_failed(dataset);
}

/* Through int64, so that a value that does not fit is seen and not clipped by HDF5. */
static bl_status read_narrowed(const bl_hdf5_dataset *dataset, int32_t dtype, int64_t first, int64_t count, void *dst) {
    int64_t n = count * row_elements(dataset), before = first * row_elements(dataset);
    int64_t *wide = malloc((size_t) n * sizeof *wide);
    if (!wide) {
        return bl_fail(BL_ERROR_MEMORY, "dataset %s: no memory for %lld values; use smaller shards", dataset->name,
                       (long long) n);
    }
    bl_status status = read_rows(dataset, H5T_NATIVE_INT64, first, count, wide);
    int64_t low = dtype == BL_I8 ? INT8_MIN : INT32_MIN;
    int64_t high = dtype == BL_I8 ? INT8_MAX : INT32_MAX;
    for (int64_t i = 0; status == BL_OK && i < n; i++) {
        if (wide[i] < low || wide[i] > high) {
            status = bl_fail(BL_ERROR_FORMAT, "dataset %s: value %lld at index %lld does not fit %s", dataset->name,
                             (long long) wide[i], (long long) (before + i), dtype == BL_I8 ? "int8" : "int32");
        } else if (dtype == BL_I8) {
            ((int8_t *) dst)[i] = (int8_t) wide[i];
        } else {
            ((int32_t *) dst)[i] = (int32_t) wide[i];
        }
    }
    free(wide);
    return status;
}

bl_status bl_hdf5_dataset_read(const bl_hdf5_dataset *dataset, int32_t dtype, int64_t first, int64_t count, void *dst) {
    if (count * row_elements(dataset) == 0) return BL_OK;
    size_t wanted = bl_dtype_size(dtype);
    hid_t type = H5Dget_type(dataset->id);
    if (type < 0) return read_failed(dataset);
    bool fits = dataset->element_bytes < wanted || (dataset->element_bytes == wanted && H5Tget_sign(type) == H5T_SGN_2);
    H5Tclose(type);
    if (!fits) return read_narrowed(dataset, dtype, first, count, dst);
    return read_rows(dataset, dtype == BL_I8 ? H5T_NATIVE_INT8 : H5T_NATIVE_INT32, first, count, dst);
}

bl_status bl_hdf5_input_note(const bl_hdf5_input *input, const char *name, char *buffer, size_t bytes) {
    memset(buffer, 0, bytes);
    htri_t exists = H5Aexists(input->id, name);
    if (exists < 0) return bl_fail(BL_ERROR_FORMAT, "its notes are damaged; recreate it");
    if (exists == 0) return BL_OK;
    hid_t note = H5Aopen(input->id, name, H5P_DEFAULT);
    hid_t type = note >= 0 ? H5Aget_type(note) : H5I_INVALID_HID;
    hid_t space = note >= 0 ? H5Aget_space(note) : H5I_INVALID_HID;
    /* One text of fixed length that leaves room for the final 0; anything else is not ours. */
    bool good = type >= 0 && space >= 0 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
                H5Tget_size(type) < bytes && H5Sget_simple_extent_npoints(space) == 1;
    good = good && H5Aread(note, type, buffer) >= 0;
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (note >= 0) H5Aclose(note);
    if (good) return BL_OK;
    return bl_fail(BL_ERROR_FORMAT, "its note %s is not a short text; recreate it", name);
}
