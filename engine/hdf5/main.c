/*
 * main.c - bertlua-hdf5: decodes the HDF5 file at descriptor 3 and sends what
 * is in it through descriptor 1 (data/shard_frames.h). A program of its own,
 * because the HDF5 library crashes on some damaged files and can be made to by
 * hostile ones; started by engine/data/shard_source.c, once per file.
 *
 *     bertlua-hdf5 sizes    the datasets' sizes
 *     bertlua-hdf5 rows     sizes, then every row
 *
 * Once the file is open it can open no other, nor take unlimited memory or
 * time.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "data/shard_frames.h"
#include "hdf5/reader.h"

enum { FILE_DESCRIPTOR = 3 };
/* Rows are read about this many bytes at a time, or a chunk of the file if that is more. */
enum { BLOCK_BYTES = 1 << 20 };

typedef struct shard {
    bl_hdf5_input input;
    bl_hdf5_dataset datasets[BL_SHARD_DATASETS];
    bl_shard_sizes sizes;
} shard;

/* All of it, or the process ends: nobody is left to hear why. */
static void send(const void *data, size_t bytes) {
    const char *from = data;
    while (bytes > 0) {
        ssize_t n = write(STDOUT_FILENO, from, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) _Exit(3);
        from += n;
        bytes -= (size_t) n;
    }
}

static void send_frame(int32_t kind, int64_t value, const void *payload, size_t bytes) {
    bl_shard_frame frame = {.magic = BL_FRAME_MAGIC, .kind = kind, .value = value, .bytes = (int64_t) bytes};
    send(&frame, sizeof frame);
    send(payload, bytes);
}

/* A soft limit: for time, its signal tells that apart from being killed. */
static void limit(int what, double most) {
    struct rlimit now;
    if (getrlimit(what, &now) != 0) return;
    rlim_t wanted = (rlim_t) most;
    if (now.rlim_cur == RLIM_INFINITY || now.rlim_cur > wanted) now.rlim_cur = wanted;
    setrlimit(what, &now);
}

/* What a sound file of this size needs, many times over. */
static void limit_process(int64_t file_bytes) {
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, 60 + (double) file_bytes / 1e5);
#ifndef __SANITIZE_ADDRESS__ /* which reserves terabytes of addresses */
    limit(RLIMIT_AS, 4e9 + 16.0 * (double) file_bytes);
#endif
}

static bl_status open_shard(shard *s) {
    BL_TRY(bl_hdf5_input_open(&s->input, FILE_DESCRIPTOR));
    limit_process(s->input.file_bytes);
    /* From here on no name is opened, whatever the file says. */
    limit(RLIMIT_NOFILE, 0);
    for (int32_t k = 0; k < BL_SHARD_DATASETS; k++) {
        bl_hdf5_dataset *dataset = &s->datasets[k];
        BL_TRY(bl_hdf5_dataset_open(dataset, &s->input, BL_SHARD_LAYOUT[k].name, BL_SHARD_LAYOUT[k].ndim));
        s->sizes.shape[k][0] = dataset->shape[0];
        s->sizes.shape[k][1] = dataset->ndim > 1 ? dataset->shape[1] : 1;
    }
    return bl_hdf5_input_note(&s->input, "vocabulary", s->sizes.vocabulary, sizeof s->sizes.vocabulary);
}

static void send_rows(int32_t k, const char *values, int64_t count, size_t row_bytes) {
    size_t rows = row_bytes > 0 ? BL_FRAME_ROWS_BYTES / row_bytes : (size_t) count;
    if (rows < 1) rows = 1;
    for (size_t first = 0; first < (size_t) count; first += rows) {
        size_t part = (size_t) count - first < rows ? (size_t) count - first : rows;
        send_frame(BL_FRAME_ROWS, k, values + first * row_bytes, part * row_bytes);
    }
}

static bl_status send_dataset(const shard *s, int32_t k) {
    const bl_hdf5_dataset *dataset = &s->datasets[k];
    int64_t samples = dataset->shape[0];
    size_t row_bytes = (size_t) s->sizes.shape[k][1] * bl_dtype_size(BL_SHARD_LAYOUT[k].dtype);
    int64_t step = row_bytes > 0 ? bl_hdf5_dataset_block_rows(dataset, BLOCK_BYTES) : samples;
    if (step < 1) step = 1; /* no samples */
    char *block = malloc((size_t) step * row_bytes + 1);
    if (!block)
        return bl_fail(BL_ERROR_MEMORY, "no memory for a block of dataset %s; use smaller shards", dataset->name);
    bl_status status = BL_OK;
    for (int64_t first = 0; status == BL_OK && first < samples; first += step) {
        int64_t count = samples - first < step ? samples - first : step;
        status = bl_hdf5_dataset_read(dataset, BL_SHARD_LAYOUT[k].dtype, first, count, block);
        if (status == BL_OK) send_rows(k, block, count, row_bytes);
    }
    free(block);
    return status;
}

int main(int argc, char **argv) {
    static shard s;
    if (argc != 2 || (strcmp(argv[1], "sizes") != 0 && strcmp(argv[1], "rows") != 0)) return 2;
    /* With whoever started it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* Filters are what HDF5 was built with: no plugin of a folder that the environment names. */
    setenv("HDF5_PLUGIN_PRELOAD", "::", 1);
    bl_status status = open_shard(&s);
    if (status == BL_OK) send_frame(BL_FRAME_SIZES, 0, &s.sizes, sizeof s.sizes);
    bool rows = strcmp(argv[1], "rows") == 0;
    for (int32_t k = 0; rows && status == BL_OK && k < BL_SHARD_DATASETS; k++)
        status = send_dataset(&s, BL_SHARD_ORDER[k]);
    if (status == BL_OK) {
        send_frame(BL_FRAME_END, 0, NULL, 0);
    } else {
        const char *text = bl_last_error();
        size_t bytes = strlen(text);
        send_frame(BL_FRAME_FAILED, status, text, bytes < BL_FRAME_TEXT_BYTES ? bytes : BL_FRAME_TEXT_BYTES);
    }
    /* Without HDF5's own end: it has been known to crash over what it could not read, and nothing is left to do. */
    _exit(0);
}
