/*
 * shard_read.c - read a shard of pre-training samples into memory and check
 * every value, so that nothing past this file has to.
 */
#include <stdlib.h>
#include <string.h>

#include "io/hdf5_file.h"

enum { INPUT_IDS, INPUT_MASK, SEGMENT_IDS, POSITIONS, LABELS, NEXT_LABELS, DATASETS };

/* Names and dtypes are those of NVIDIA's create_pretraining_data. */
static const struct {
    const char *name;
    int32_t ndim;
    int32_t dtype;
} LAYOUT[DATASETS] = {
    [INPUT_IDS] = {"input_ids", 2, BL_I32},    [INPUT_MASK] = {"input_mask", 2, BL_I8},
    [SEGMENT_IDS] = {"segment_ids", 2, BL_I8}, [POSITIONS] = {"masked_lm_positions", 2, BL_I32},
    [LABELS] = {"masked_lm_ids", 2, BL_I32},   [NEXT_LABELS] = {"next_sentence_labels", 1, BL_I8},
};

typedef struct shard_file {
    bl_hdf5_input input;
    bl_hdf5_dataset datasets[DATASETS];
    bl_shard_info info;
} shard_file;

static void shard_file_close(shard_file *file) {
    for (int32_t k = 0; k < DATASETS; k++)
        bl_hdf5_dataset_close(&file->datasets[k]);
    bl_hdf5_input_close(&file->input);
}

static bl_status check_shapes(shard_file *file) {
    const bl_hdf5_dataset *sets = file->datasets;
    const char *path = file->input.path;
    for (int32_t k = 1; k < DATASETS; k++) {
        if (sets[k].shape[0] != sets[INPUT_IDS].shape[0]) {
            return bl_fail(BL_ERROR_FORMAT, "%s: dataset %s has %lld samples, input_ids has %lld; make the file again",
                           path, sets[k].name, (long long) sets[k].shape[0], (long long) sets[INPUT_IDS].shape[0]);
        }
    }
    for (int32_t k = INPUT_MASK; k <= SEGMENT_IDS; k++) {
        if (sets[k].shape[1] != sets[INPUT_IDS].shape[1]) {
            return bl_fail(BL_ERROR_FORMAT, "%s: dataset %s has length %lld, input_ids has %lld; make the file again",
                           path, sets[k].name, (long long) sets[k].shape[1], (long long) sets[INPUT_IDS].shape[1]);
        }
    }
    if (sets[LABELS].shape[1] != sets[POSITIONS].shape[1]) {
        return bl_fail(BL_ERROR_FORMAT, "%s: masked_lm_ids has %lld slots, masked_lm_positions has %lld", path,
                       (long long) sets[LABELS].shape[1], (long long) sets[POSITIONS].shape[1]);
    }
    file->info = (bl_shard_info){.samples = sets[INPUT_IDS].shape[0],
                                 .max_seq_length = sets[INPUT_IDS].shape[1],
                                 .max_predictions_per_seq = sets[POSITIONS].shape[1]};
    if (file->info.samples == 0 || file->info.max_seq_length == 0) {
        return bl_fail(BL_ERROR_FORMAT, "%s: dataset input_ids is [%lld,%lld]: a shard without samples; remove it",
                       path, (long long) file->info.samples, (long long) file->info.max_seq_length);
    }
    return BL_OK;
}

static bl_status check_limits(const shard_file *file, const bl_shard_limits *limits) {
    const char *path = file->input.path;
    if (limits->max_seq_length > 0 && file->info.max_seq_length != limits->max_seq_length) {
        return bl_fail(BL_ERROR_FORMAT,
                       "%s: its samples are %lld tokens long, max_seq_length is %lld; set it to %lld or make the data "
                       "again",
                       path, (long long) file->info.max_seq_length, (long long) limits->max_seq_length,
                       (long long) file->info.max_seq_length);
    }
    if (limits->max_predictions_per_seq > 0 && file->info.max_predictions_per_seq > limits->max_predictions_per_seq) {
        return bl_fail(BL_ERROR_FORMAT,
                       "%s: it has %lld masked slots a sample, max_predictions_per_seq is %lld; set it to at least "
                       "%lld or make the data again",
                       path, (long long) file->info.max_predictions_per_seq,
                       (long long) limits->max_predictions_per_seq, (long long) file->info.max_predictions_per_seq);
    }
    return BL_OK;
}

static bl_status shard_file_open(shard_file *file, const char *path, const bl_shard_limits *limits) {
    memset(file, 0, sizeof *file);
    for (int32_t k = 0; k < DATASETS; k++)
        file->datasets[k].id = H5I_INVALID_HID;
    BL_TRY(bl_hdf5_input_open(&file->input, path));
    bl_status status = BL_OK;
    for (int32_t k = 0; status == BL_OK && k < DATASETS; k++) {
        status = bl_hdf5_dataset_open(&file->datasets[k], &file->input, LAYOUT[k].name, LAYOUT[k].ndim);
    }
    if (status == BL_OK) status = check_shapes(file);
    if (status == BL_OK) status = check_limits(file, limits);
    if (status == BL_OK) {
        status = bl_hdf5_input_note(&file->input, "vocabulary", file->info.vocabulary, sizeof file->info.vocabulary);
    }
    if (status != BL_OK) shard_file_close(file);
    return status;
}

BL_API bl_status bl_shard_probe(bl_shard_info *out, const char *path, const bl_shard_limits *limits) {
    if (!out || !path || !limits) return bl_fail(BL_ERROR_ARGUMENT, "shard_probe: an argument is NULL");
    shard_file file;
    BL_TRY(shard_file_open(&file, path, limits));
    *out = file.info;
    shard_file_close(&file);
    return BL_OK;
}

/* "PATH: dataset D, sample N: what" in one place. */
#define BAD(set, row, format, ...)                                                                                     \
    bl_fail(BL_ERROR_FORMAT, "%s: dataset %s, sample %lld: " format, path, LAYOUT[set].name, (long long) (row),        \
            __VA_ARGS__)

static bl_status check_mask(bl_shard *shard, const int8_t *mask, const char *path) {
    int64_t s = shard->info.max_seq_length;
    for (int64_t row = 0; row < shard->info.samples; row++) {
        const int8_t *m = mask + row * s;
        int64_t length = 0;
        while (length < s && m[length] == 1)
            length++;
        for (int64_t i = length; i < s; i++) {
            if (m[i] != 0) {
                return BAD(INPUT_MASK, row, "value %d at %lld, expected ones for the tokens and then zeros", m[i],
                           (long long) i);
            }
        }
        if (length == 0) return BAD(INPUT_MASK, row, "no token (all zeros), expected at least %d", 1);
        shard->lengths[row] = (int32_t) length;
    }
    return BL_OK;
}

static bl_status check_tokens(const bl_shard *shard, const bl_shard_limits *limits, const char *path) {
    int64_t s = shard->info.max_seq_length;
    int64_t words = limits->vocab_size > 0 ? limits->vocab_size : INT32_MAX;
    int64_t types = limits->type_vocab_size > 0 ? limits->type_vocab_size : INT8_MAX;
    for (int64_t row = 0; row < shard->info.samples; row++) {
        for (int64_t i = row * s; i < (row + 1) * s; i++) {
            int64_t id = shard->input_ids[i], type = shard->segment_ids[i];
            if (id < 0 || id >= words) {
                return BAD(INPUT_IDS, row, "token id %lld at %lld, expected 0..%lld; is it another vocabulary's?",
                           (long long) id, (long long) (i - row * s), (long long) words - 1);
            }
            if (type < 0 || type >= types) {
                return BAD(SEGMENT_IDS, row, "segment %lld at %lld, expected 0..%lld", (long long) type,
                           (long long) (i - row * s), (long long) types - 1);
            }
        }
        int next = shard->next_labels[row];
        if (next != 0 && next != 1) return BAD(NEXT_LABELS, row, "label %d, expected 0 or 1", next);
    }
    return BL_OK;
}

static bl_status check_masked(bl_shard *shard, const bl_shard_limits *limits, const char *path) {
    int64_t p = shard->info.max_predictions_per_seq;
    int64_t words = limits->vocab_size > 0 ? limits->vocab_size : INT32_MAX;
    for (int64_t row = 0; row < shard->info.samples; row++) {
        const int32_t *labels = shard->labels + row * p;
        int32_t *positions = shard->positions + row * p;
        int64_t used = 0;
        while (used < p && labels[used] != 0)
            used++;
        for (int64_t i = 0; i < p; i++) {
            if (labels[i] < 0 || labels[i] >= words) {
                return BAD(LABELS, row, "label %d at %lld, expected 0..%lld; is it another vocabulary's?", labels[i],
                           (long long) i, (long long) words - 1);
            }
            if (i > used && labels[i] != 0) {
                return BAD(LABELS, row, "label %d at %lld after an unused slot (0)", labels[i], (long long) i);
            }
            if (positions[i] < 0 || positions[i] >= shard->info.max_seq_length) {
                return BAD(POSITIONS, row, "position %d at %lld, expected 0..%lld", positions[i], (long long) i,
                           (long long) shard->info.max_seq_length - 1);
            }
            if (i < used && positions[i] >= shard->lengths[row]) {
                return BAD(POSITIONS, row, "position %d at %lld lies in the padding (%d tokens)", positions[i],
                           (long long) i, shard->lengths[row]);
            }
        }
        shard->masked[row] = (int32_t) used;
    }
    return BL_OK;
}

#undef BAD

static bl_status shard_allocate(bl_shard **out, const shard_file *file) {
    size_t n = (size_t) file->info.samples, s = (size_t) file->info.max_seq_length;
    size_t p = (size_t) file->info.max_predictions_per_seq;
    bl_shard *shard = calloc(1, sizeof *shard);
    if (shard) {
        shard->info = file->info;
        /* p may be 0, and malloc(0) may be NULL */
        shard->input_ids = malloc(n * s * sizeof(int32_t));
        shard->segment_ids = malloc(n * s);
        shard->positions = malloc(n * p * sizeof(int32_t) + 1);
        shard->labels = malloc(n * p * sizeof(int32_t) + 1);
        shard->next_labels = malloc(n);
        shard->lengths = malloc(n * sizeof(int32_t));
        shard->masked = malloc(n * sizeof(int32_t));
        if (shard->input_ids && shard->segment_ids && shard->positions && shard->labels && shard->next_labels &&
            shard->lengths && shard->masked) {
            *out = shard;
            return BL_OK;
        }
    }
    bl_shard_free(shard);
    return bl_fail(BL_ERROR_MEMORY, "%s: no memory for its %zu samples of %zu tokens; make smaller shards",
                   file->input.path, n, s);
}

static bl_status shard_fill(bl_shard *shard, shard_file *file, int8_t *mask, const bl_shard_limits *limits,
                            const atomic_bool *cancelled) {
    void *targets[DATASETS] = {shard->input_ids, mask,          shard->segment_ids,
                               shard->positions, shard->labels, shard->next_labels};
    for (int32_t k = 0; k < DATASETS; k++) {
        if (cancelled && atomic_load(cancelled)) return bl_fail(BL_ERROR_IO, "%s: reading cancelled", file->input.path);
        BL_TRY(bl_hdf5_dataset_read(&file->datasets[k], LAYOUT[k].dtype, targets[k]));
    }
    BL_TRY(check_mask(shard, mask, file->input.path));
    BL_TRY(check_tokens(shard, limits, file->input.path));
    return check_masked(shard, limits, file->input.path);
}

bl_status bl_shard_read_cancellable(bl_shard **out, const char *path, const bl_shard_limits *limits,
                                    const atomic_bool *cancelled) {
    if (!out || !path || !limits) return bl_fail(BL_ERROR_ARGUMENT, "shard_read: an argument is NULL");
    shard_file file;
    BL_TRY(shard_file_open(&file, path, limits));
    bl_shard *shard = NULL;
    bl_status status = shard_allocate(&shard, &file);
    if (status == BL_OK) {
        int8_t *mask = malloc((size_t) (file.info.samples * file.info.max_seq_length));
        status = mask ? shard_fill(shard, &file, mask, limits, cancelled)
                      : bl_fail(BL_ERROR_MEMORY, "%s: no memory to read the file; make smaller shards", path);
        free(mask);
    }
    shard_file_close(&file);
    if (status == BL_OK) {
        *out = shard;
    } else {
        bl_shard_free(shard);
    }
    return status;
}

BL_API bl_status bl_shard_read(bl_shard **out, const char *path, const bl_shard_limits *limits) {
    return bl_shard_read_cancellable(out, path, limits, NULL);
}

BL_API void bl_shard_free(bl_shard *shard) {
    if (!shard) return;
    free(shard->input_ids);
    free(shard->segment_ids);
    free(shard->positions);
    free(shard->labels);
    free(shard->next_labels);
    free(shard->lengths);
    free(shard->masked);
    free(shard);
}

BL_API void bl_shard_describe(const bl_shard *shard, bl_shard_info *out) {
    *out = shard->info;
}

BL_API bl_status bl_shard_row_get(const bl_shard *shard, int64_t row, bl_shard_row *out) {
    if (!shard || !out || row < 0 || row >= shard->info.samples) {
        return bl_fail(BL_ERROR_ARGUMENT, "shard_row_get: row %lld, expected 0..%lld", (long long) row,
                       shard ? (long long) shard->info.samples - 1 : -1LL);
    }
    int64_t s = shard->info.max_seq_length, p = shard->info.max_predictions_per_seq;
    *out = (bl_shard_row){.input_ids = shard->input_ids + row * s,
                          .segment_ids = shard->segment_ids + row * s,
                          .positions = shard->positions + row * p,
                          .labels = shard->labels + row * p,
                          .length = shard->lengths[row],
                          .masked = shard->masked[row],
                          .next_sentence_label = shard->next_labels[row]};
    return BL_OK;
}
