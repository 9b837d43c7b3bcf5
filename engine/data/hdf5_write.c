/*
 * hdf5_write.c - write an HDF5 file: HDF5 builds it in memory and the engine's
 * own file layer puts it on the disk, synced and renamed. So a shard at its
 * final name is always whole, and HDF5 never sees a full disk (it crashes at
 * exit over a file that it could not flush).
 */
#include <stdlib.h>
#include <string.h>

#include "data/hdf5_file.h"
#include "storage/file.h"

/* Aim for chunks of this size: large enough for gzip, small enough for HDF5's 1 MiB chunk cache. */
enum { CHUNK_BYTES = 256 * 1024 };
/* Steps in which the file in memory grows. */
enum { GROWTH_BYTES = 4 * 1024 * 1024 };

struct bl_hdf5_writer {
    char *path;
    hid_t file;            /* in memory */
    bl_file_output output; /* open from the start, so that a missing folder is found before the work is done */
    bool output_open;
};

/*
 * In the format of HDF5 1.10, which checksums what it says about the data too;
 * older ones checksum the data only.
 */
static hid_t create_in_memory(const char *path) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE);
    hid_t file = H5I_INVALID_HID;
    bool good = access >= 0 && creation >= 0 && H5Pset_fapl_core(access, GROWTH_BYTES, false) >= 0 &&
                H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0 &&
                /* No time stamps: the same data gives the same bytes. */
                H5Pset_obj_track_times(creation, false) >= 0;
    if (good) file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
    if (creation >= 0) H5Pclose(creation);
    if (access >= 0) H5Pclose(access);
    return file;
}

BL_API bl_status bl_hdf5_writer_create(bl_hdf5_writer **out, const char *path) {
    if (!out || !path || !path[0]) return bl_fail(BL_ERROR_ARGUMENT, "hdf5_writer_create: path is empty");
    bl_hdf5_writer *writer = calloc(1, sizeof *writer);
    if (writer) {
        writer->file = H5I_INVALID_HID;
        writer->path = strdup(path);
    }
    if (!writer || !writer->path) {
        bl_hdf5_writer_free(writer);
        return bl_fail(BL_ERROR_MEMORY, "%s: no memory for a writer", path);
    }
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* no message of HDF5's own from this thread */
    bl_status status = bl_file_output_open(&writer->output, path);
    writer->output_open = status == BL_OK;
    if (status == BL_OK) {
        writer->file = create_in_memory(path);
        if (writer->file < 0) status = bl_fail(BL_ERROR_INTERNAL, "%s: HDF5 cannot create a file in memory", path);
    }
    if (status == BL_OK) {
        *out = writer;
    } else {
        bl_hdf5_writer_free(writer);
    }
    return status;
}

BL_API void bl_hdf5_writer_free(bl_hdf5_writer *writer) {
    if (!writer) return;
    if (writer->file >= 0) H5Fclose(writer->file);
    if (writer->output_open) bl_file_output_discard(&writer->output);
    free(writer->path);
    free(writer);
}

bl_status bl_hdf5_writer_commit_sealed(bl_hdf5_writer *writer, bl_seal seal) {
    if (!writer || writer->file < 0) return bl_fail(BL_ERROR_ARGUMENT, "hdf5_writer_commit: no open file");
    ssize_t bytes = -1;
    if (H5Fflush(writer->file, H5F_SCOPE_GLOBAL) >= 0) bytes = H5Fget_file_image(writer->file, NULL, 0);
    if (bytes <= 0) return bl_fail(BL_ERROR_INTERNAL, "%s: HDF5 could not finish the file", writer->path);
    void *image = malloc((size_t) bytes);
    if (!image) return bl_fail(BL_ERROR_MEMORY, "%s: no memory for its %zd bytes", writer->path, bytes);
    bl_status status = BL_OK;
    if (H5Fget_file_image(writer->file, image, (size_t) bytes) != bytes) {
        status = bl_fail(BL_ERROR_INTERNAL, "%s: HDF5 could not finish the file", writer->path);
    }
    H5Fclose(writer->file);
    writer->file = H5I_INVALID_HID;
    if (status == BL_OK) status = bl_hdf5_image_finish(writer->path, image, (size_t) bytes);
    if (status == BL_OK) status = bl_file_output_write(&writer->output, image, (size_t) bytes);
    if (status == BL_OK) {
        unsigned char tail[BL_SEAL_BYTES];
        seal.body_bytes = (int64_t) bytes;
        seal.crc = bl_crc32c(0, image, (size_t) bytes);
        bl_seal_encode(&seal, tail);
        status = bl_file_output_write(&writer->output, tail, sizeof tail);
    }
    free(image);
    if (status != BL_OK) return status;
    writer->output_open = false; /* commit ends it either way */
    return bl_file_output_commit(&writer->output);
}

BL_API bl_status bl_hdf5_writer_commit(bl_hdf5_writer *writer) {
    return bl_hdf5_writer_commit_sealed(writer, (bl_seal){.samples = 0});
}

/* Types in the file are little-endian whatever the machine; in memory they are native. */
static bool types_of(int32_t dtype, hid_t *file, hid_t *memory) {
    switch (dtype) {
    case BL_F32:
        *file = H5T_IEEE_F32LE, *memory = H5T_NATIVE_FLOAT;
        return true;
    case BL_I8:
        *file = H5T_STD_I8LE, *memory = H5T_NATIVE_INT8;
        return true;
    case BL_I32:
        *file = H5T_STD_I32LE, *memory = H5T_NATIVE_INT32;
        return true;
    case BL_I64:
        *file = H5T_STD_I64LE, *memory = H5T_NATIVE_INT64;
        return true;
    default:
        return false;
    }
}

/* Creation properties: chunks of whole rows, shuffled bytes, gzip, checksum. */
static hid_t properties(const bl_hdf5_rows *rows, int64_t chunk_rows, size_t element_bytes, int32_t gzip,
                        bool checksum) {
    hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    if (plist < 0) return plist;
    hsize_t chunk[4] = {1, 1, 1, 1};
    hsize_t row_bytes = element_bytes;
    for (int32_t d = 0; d < rows->ndim; d++) {
        chunk[d] = rows->shape[d] > 0 ? rows->shape[d] : 1;
        if (d > 0) row_bytes *= chunk[d];
    }
    hsize_t wanted = chunk_rows > 0 ? (hsize_t) chunk_rows : CHUNK_BYTES / row_bytes;
    if (wanted < 1) wanted = 1;
    if (chunk[0] > wanted) chunk[0] = wanted;
    /* No time stamps: the same data gives the same bytes. */
    bool good = H5Pset_obj_track_times(plist, false) >= 0;
    /* Without a filter there is no need for chunks; HDF5 requires them only with one. */
    if (gzip > 0 || checksum) good = good && H5Pset_chunk(plist, rows->ndim, chunk) >= 0;
    if (gzip > 0) {
        if (element_bytes > 1) good = good && H5Pset_shuffle(plist) >= 0;
        good = good && H5Pset_deflate(plist, (unsigned) gzip) >= 0;
    }
    if (checksum) good = good && H5Pset_fletcher32(plist) >= 0;
    if (good) return plist;
    H5Pclose(plist);
    return H5I_INVALID_HID;
}

bl_status bl_hdf5_rows_create(bl_hdf5_rows *rows, bl_hdf5_writer *writer, const char *name, int32_t dtype, int32_t ndim,
                              const int64_t *shape, int64_t chunk_rows, int32_t gzip, bool checksum) {
    *rows = (bl_hdf5_rows){.writer = writer, .name = name, .dataset = H5I_INVALID_HID, .ndim = ndim};
    hid_t file_type;
    if (!types_of(dtype, &file_type, &rows->type)) {
        return bl_fail(BL_ERROR_ARGUMENT, "hdf5: dataset %s: dtype %s, expected f32, i8, i32 or i64", name,
                       bl_dtype_name(dtype));
    }
    if (ndim < 1 || ndim > 4)
        return bl_fail(BL_ERROR_ARGUMENT, "hdf5: dataset %s: %d dimensions, expected 1..4", name, ndim);
    if (gzip < 0 || gzip > 9)
        return bl_fail(BL_ERROR_ARGUMENT, "hdf5: dataset %s: gzip is %d, expected 0..9", name, gzip);
    for (int32_t d = 0; d < ndim; d++) {
        if (shape[d] < 0) return bl_fail(BL_ERROR_ARGUMENT, "hdf5: dataset %s: a dimension is negative", name);
        rows->shape[d] = (hsize_t) shape[d];
    }
    hid_t space = H5Screate_simple(ndim, rows->shape, NULL);
    hid_t plist = properties(rows, chunk_rows, bl_dtype_size(dtype), gzip, checksum);
    if (space >= 0 && plist >= 0) {
        rows->dataset = H5Dcreate2(writer->file, name, file_type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    }
    if (plist >= 0) H5Pclose(plist);
    if (space >= 0) H5Sclose(space);
    if (rows->dataset < 0) {
        return bl_fail(BL_ERROR_INTERNAL, "%s: HDF5 cannot create dataset %s; is the name taken?", writer->path, name);
    }
    return BL_OK;
}

bl_status bl_hdf5_rows_write(bl_hdf5_rows *rows, int64_t first, int64_t count, const void *data) {
    if (count == 0) return BL_OK;
    hsize_t start[4] = {(hsize_t) first, 0, 0, 0};
    hsize_t block[4] = {(hsize_t) count, rows->shape[1], rows->shape[2], rows->shape[3]};
    hid_t file_space = H5Dget_space(rows->dataset);
    hid_t memory_space = H5Screate_simple(rows->ndim, block, NULL);
    bool good = file_space >= 0 && memory_space >= 0 &&
                H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start, NULL, block, NULL) >= 0;
    good = good && H5Dwrite(rows->dataset, rows->type, memory_space, file_space, H5P_DEFAULT, data) >= 0;
    if (memory_space >= 0) H5Sclose(memory_space);
    if (file_space >= 0) H5Sclose(file_space);
    if (good) return BL_OK;
    return bl_fail(BL_ERROR_INTERNAL, "%s: HDF5 cannot add rows to dataset %s; is there no memory left?",
                   rows->writer->path, rows->name);
}

bl_status bl_hdf5_rows_close(bl_hdf5_rows *rows) {
    if (rows->dataset < 0) return BL_OK;
    herr_t closed = H5Dclose(rows->dataset);
    rows->dataset = H5I_INVALID_HID;
    if (closed >= 0) return BL_OK;
    return bl_fail(BL_ERROR_INTERNAL, "%s: HDF5 cannot finish dataset %s; is there no memory left?", rows->writer->path,
                   rows->name);
}

BL_API bl_status bl_hdf5_writer_add(bl_hdf5_writer *writer, const char *name, int32_t dtype, int32_t ndim,
                                    const int64_t *shape, const void *data, int32_t gzip, bool checksum) {
    if (!writer || writer->file < 0) return bl_fail(BL_ERROR_ARGUMENT, "hdf5_writer_add: no open file");
    bl_hdf5_rows rows;
    bl_status status = bl_hdf5_rows_create(&rows, writer, name, dtype, ndim, shape, 0, gzip, checksum);
    if (status == BL_OK) {
        int64_t total = 1;
        for (int32_t d = 0; d < ndim; d++)
            total *= shape[d];
        if (total > 0) status = bl_hdf5_rows_write(&rows, 0, shape[0], data);
    }
    bl_status closed = bl_hdf5_rows_close(&rows);
    return status != BL_OK ? status : closed;
}

BL_API bl_status bl_hdf5_writer_note(bl_hdf5_writer *writer, const char *name, const char *text) {
    if (!writer || writer->file < 0 || !name || !text || !text[0]) {
        return bl_fail(BL_ERROR_ARGUMENT, "hdf5_writer_note: no open file, or an empty name or text");
    }
    hid_t type = H5Tcopy(H5T_C_S1);
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t note = H5I_INVALID_HID;
    bool good =
        type >= 0 && space >= 0 && H5Tset_size(type, strlen(text)) >= 0 && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0;
    if (good) note = H5Acreate2(writer->file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    good = note >= 0 && H5Awrite(note, type, text) >= 0;
    if (note >= 0) H5Aclose(note);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (good) return BL_OK;
    return bl_fail(BL_ERROR_INTERNAL, "%s: HDF5 cannot add the note %s", writer->path, name);
}
