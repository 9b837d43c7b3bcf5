/*
 * hdf5.c - what bertlua-hdf5 does with a file, without the process around it.
 * Crashes of the HDF5 library itself are known and are what that process is
 * for; run.lua tells them from ours by the stack.
 */
#include <fcntl.h>

#include "data/shard_frames.h"
#include "harness.h"
#include "hdf5/reader.h"

enum { MOST_BYTES = 1 << 22 };

static void read_rows(const bl_hdf5_dataset *dataset, int32_t dtype) {
    int64_t row_elements = dataset->ndim > 1 ? dataset->shape[1] : 1;
    int64_t step = bl_hdf5_dataset_block_rows(dataset, 1 << 16);
    CHECK(step >= 1);
    int64_t bytes = step * row_elements * (int64_t) bl_dtype_size(dtype);
    if (bytes > MOST_BYTES) return;
    char *block = malloc((size_t) bytes + 1);
    CHECK(block);
    bl_status status = BL_OK;
    for (int64_t first = 0; status == BL_OK && first < dataset->shape[0]; first += step) {
        int64_t count = dataset->shape[0] - first < step ? dataset->shape[0] - first : step;
        status = bl_hdf5_dataset_read(dataset, dtype, first, count, block);
    }
    if (status != BL_OK) CHECK_REFUSED(status);
    free(block);
}

static bl_status read_all(bl_hdf5_input *input, int descriptor) {
    char note[96];
    BL_TRY(bl_hdf5_input_open(input, descriptor));
    for (int32_t k = 0; k < BL_SHARD_DATASETS; k++) {
        bl_hdf5_dataset dataset;
        bl_status status = bl_hdf5_dataset_open(&dataset, input, BL_SHARD_LAYOUT[k].name, BL_SHARD_LAYOUT[k].ndim);
        if (status == BL_OK) {
            CHECK(dataset.shape[0] >= 0 && dataset.shape[0] <= INT32_MAX);
            CHECK(dataset.element_bytes >= 1 && dataset.element_bytes <= 8);
            read_rows(&dataset, BL_SHARD_LAYOUT[k].dtype);
        }
        if (dataset.id >= 0) H5Dclose(dataset.id);
        BL_TRY(status);
    }
    BL_TRY(bl_hdf5_input_note(input, "vocabulary", note, sizeof note));
    CHECK(memchr(note, 0, sizeof note));
    return BL_OK;
}

/* HDF5 opens no file without a name. In TMPDIR, which run.lua removes: a crash leaves the file behind. */
static int open_file(const uint8_t *data, size_t bytes) {
    static int descriptor = -1;
    if (descriptor < 0) {
        char path[256];
        const char *folder = getenv("TMPDIR");
        snprintf(path, sizeof path, "%s/bertlua-fuzz-%d.hdf5", folder ? folder : "/tmp", (int) getpid());
        descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    }
    CHECK(descriptor >= 0 && ftruncate(descriptor, 0) == 0);
    CHECK(pwrite(descriptor, data, bytes, 0) == (ssize_t) bytes);
    return descriptor;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    bl_hdf5_input input;
    bl_status status = read_all(&input, open_file(data, bytes));
    if (status != BL_OK) CHECK_REFUSED(status);
    if (input.id >= 0) H5Fclose(input.id);
    return 0;
}
