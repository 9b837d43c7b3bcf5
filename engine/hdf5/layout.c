/*
 * layout.c - where the data of a dataset lie, checked before any is read: in
 * this file, all of it, and within its bytes. HDF5 itself follows links into
 * other files, reads external and virtual datasets, and gives zeros for what
 * was never written.
 */
#include <limits.h>

#include "hdf5/reader.h"

/* Numbers of filters that are part of HDF5; others would be loaded as plugins. */
enum { BUILT_IN_FILTERS = 255 };
/*
 * Where each chunk lies is asked up to this number of chunks: HDF5 1.10 walks
 * through all chunks to find one. It checks places itself when it reads.
 */
enum { LOOKED_UP = 2048 };

bl_status bl_hdf5_check_link(const bl_hdf5_input *input, const char *name) {
    H5L_info_t link;
    if (H5Lget_info(input->id, name, &link, H5P_DEFAULT) < 0)
        return bl_fail(BL_ERROR_FORMAT, "its table of datasets is damaged; recreate it");
    if (link.type == H5L_TYPE_HARD) return BL_OK;
    const char *kind = link.type == H5L_TYPE_SOFT       ? "a soft link"
                       : link.type == H5L_TYPE_EXTERNAL ? "an external link, into another file"
                                                        : "a link of another program";
    return bl_fail(BL_ERROR_FORMAT,
                   "%s is %s, which is not followed: a shard must hold its data itself; copy them into one file", name,
                   kind);
}

bl_status bl_hdf5_check_inside(const bl_hdf5_dataset *dataset) {
    hid_t plist = H5Dget_create_plist(dataset->id);
    if (plist < 0) return bl_fail(BL_ERROR_FORMAT, "dataset %s: its layout is damaged; recreate it", dataset->name);
    H5D_layout_t layout = H5Pget_layout(plist);
    /* Only a contiguous dataset can have external files. */
    int files = layout == H5D_CONTIGUOUS ? H5Pget_external_count(plist) : 0;
    bl_status status = BL_OK;
    if (layout == H5D_VIRTUAL || files > 0) {
        status =
            bl_fail(BL_ERROR_FORMAT,
                    "dataset %s %s, which is not followed: a shard must hold its data itself; copy them into one "
                    "file",
                    dataset->name,
                    files > 0 ? "lies in external storage (another file)" : "is virtual, a view of other datasets");
    } else if ((layout != H5D_COMPACT && layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED) || files < 0) {
        status = bl_fail(BL_ERROR_FORMAT, "dataset %s: its layout is damaged; recreate it", dataset->name);
    }
    int filters = status == BL_OK && layout == H5D_CHUNKED ? H5Pget_nfilters(plist) : 0;
    for (int k = 0; status == BL_OK && k < filters; k++) {
        unsigned flags, config;
        size_t values = 0;
        H5Z_filter_t filter = H5Pget_filter2(plist, (unsigned) k, &flags, &values, NULL, 0, NULL, &config);
        if (filter < 1 || filter > BUILT_IN_FILTERS) {
            status = bl_fail(BL_ERROR_FORMAT,
                             "dataset %s is compressed with filter %d, which is not part of HDF5; rewrite it with gzip",
                             dataset->name, (int) filter);
        }
    }
    H5Pclose(plist);
    return status;
}

static bl_status outside(const bl_hdf5_dataset *dataset, haddr_t address, hsize_t bytes) {
    return bl_fail(BL_ERROR_FORMAT,
                   "dataset %s: %llu bytes at %llu lie outside of the file's %lld: it is truncated or damaged; copy it "
                   "again or recreate it",
                   dataset->name, (unsigned long long) bytes, (unsigned long long) address,
                   (long long) dataset->input->file_bytes);
}

static bool within(const bl_hdf5_dataset *dataset, haddr_t address, hsize_t bytes) {
    hsize_t size = (hsize_t) dataset->input->file_bytes;
    return address != HADDR_UNDEF && bytes <= size && address <= size - bytes;
}

static bl_status never_written(const bl_hdf5_dataset *dataset, long long row) {
    return bl_fail(BL_ERROR_FORMAT,
                   "dataset %s: its values from sample %lld on were never written, or its index of chunks is damaged; "
                   "recreate it",
                   dataset->name, row);
}

static bl_status check_chunk(const bl_hdf5_dataset *dataset, const hsize_t *place) {
    unsigned skipped = 0;
    haddr_t address = HADDR_UNDEF;
    hsize_t bytes = 0;
    if (H5Dget_chunk_info_by_coord(dataset->id, place, &skipped, &address, &bytes) < 0)
        return bl_fail(BL_ERROR_FORMAT, "dataset %s: its index of chunks is damaged; recreate it", dataset->name);
    if (address == HADDR_UNDEF || bytes == 0) return never_written(dataset, (long long) place[0]);
    if (!within(dataset, address, bytes)) return outside(dataset, address, bytes);
    if (skipped == 0) return BL_OK;
    return bl_fail(BL_ERROR_FORMAT,
                   "dataset %s: the chunk of sample %llu skips filters (mask %x): it is damaged; recreate it",
                   dataset->name, (unsigned long long) place[0], skipped);
}

/* Whether all are there, and no more bytes than the file has: what HDF5 answers in one walk over its index. */
static bl_status check_chunk_count(const bl_hdf5_dataset *dataset, hsize_t expected) {
    hid_t space = H5Dget_space(dataset->id);
    hsize_t count = 0;
    bool good = space >= 0 && H5Dget_num_chunks(dataset->id, space, &count) >= 0;
    if (space >= 0) H5Sclose(space);
    if (!good)
        return bl_fail(BL_ERROR_FORMAT, "dataset %s: its index of chunks is damaged; recreate it", dataset->name);
    if (count != expected) {
        return bl_fail(
            BL_ERROR_FORMAT,
            "dataset %s has %llu chunks of its %llu: the others were never written, or its index is damaged; "
            "recreate it",
            dataset->name, (unsigned long long) count, (unsigned long long) expected);
    }
    hsize_t stored = H5Dget_storage_size(dataset->id);
    return within(dataset, 0, stored) ? BL_OK : outside(dataset, 0, stored);
}

static bl_status check_chunks(const bl_hdf5_dataset *dataset, const hsize_t *chunk) {
    hsize_t place[2] = {0, 0}, expected = 1;
    hsize_t columns = dataset->ndim > 1 ? (hsize_t) dataset->shape[1] : 1, width = dataset->ndim > 1 ? chunk[1] : 1;
    for (int32_t d = 0; d < dataset->ndim; d++)
        expected *= ((hsize_t) dataset->shape[d] + chunk[d] - 1) / chunk[d];
    /* One by one first where that is cheap: its messages say which. */
    for (place[0] = 0; expected <= LOOKED_UP && place[0] < (hsize_t) dataset->shape[0]; place[0] += chunk[0]) {
        for (place[1] = 0; place[1] < columns; place[1] += width)
            BL_TRY(check_chunk(dataset, place));
    }
    return check_chunk_count(dataset, expected);
}

static bl_status check_chunked(const bl_hdf5_dataset *dataset, hid_t plist) {
    hsize_t chunk[H5S_MAX_RANK] = {0};
    if (H5Pget_chunk(plist, dataset->ndim, chunk) != dataset->ndim)
        return bl_fail(BL_ERROR_FORMAT, "dataset %s: its chunks are damaged; recreate it", dataset->name);
    double bytes = (double) dataset->element_bytes;
    for (int32_t d = 0; d < dataset->ndim; d++) {
        if (chunk[d] == 0 || chunk[d] > INT32_MAX)
            return bl_fail(BL_ERROR_FORMAT, "dataset %s: a chunk is %llu long; it is damaged; recreate it",
                           dataset->name, (unsigned long long) chunk[d]);
        bytes *= (double) chunk[d];
    }
    if (bytes > (double) UINT32_MAX)
        return bl_fail(BL_ERROR_FORMAT, "dataset %s: its chunks take %.0f bytes, expected less than 4 GiB",
                       dataset->name, bytes);
    return check_chunks(dataset, chunk);
}

bl_status bl_hdf5_check_layout(const bl_hdf5_dataset *dataset) {
    hsize_t wanted = dataset->element_bytes;
    for (int32_t d = 0; d < dataset->ndim; d++)
        wanted *= (hsize_t) dataset->shape[d];
    if (wanted == 0) return BL_OK;
    hid_t plist = H5Dget_create_plist(dataset->id);
    H5D_layout_t layout = plist >= 0 ? H5Pget_layout(plist) : H5D_LAYOUT_ERROR;
    bl_status status = BL_OK;
    if (layout == H5D_CHUNKED) {
        status = check_chunked(dataset, plist);
    } else {
        hsize_t stored = H5Dget_storage_size(dataset->id);
        haddr_t address = layout == H5D_CONTIGUOUS ? H5Dget_offset(dataset->id) : 0;
        if (layout == H5D_CONTIGUOUS && address == HADDR_UNDEF) {
            status = never_written(dataset, 0);
        } else if (stored != wanted || !within(dataset, address, stored)) {
            status = outside(dataset, address, wanted);
        }
    }
    if (plist >= 0) H5Pclose(plist);
    return status;
}
