/*
 * shard_read.c - read a shard of pre-training samples, or the rows of it that
 * one process needs, into memory and check every value, so that nothing past
 * this file has to.
 */
#include <stdlib.h>
#include <string.h>

#include "data/hdf5_file.h"

/* Rows are read about this many bytes at a time, or a chunk of the file if that is more. */
enum { BLOCK_BYTES = 1 << 20 };

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
            return bl_fail(BL_ERROR_FORMAT, "%s: dataset %s has %lld samples, input_ids has %lld; recreate the file",
                           path, sets[k].name, (long long) sets[k].shape[0], (long long) sets[INPUT_IDS].shape[0]);
        }
    }
    for (int32_t k = INPUT_MASK; k <= SEGMENT_IDS; k++) {
        if (sets[k].shape[1] != sets[INPUT_IDS].shape[1]) {
            return bl_fail(BL_ERROR_FORMAT, "%s: dataset %s has length %lld, input_ids has %lld; recreate the file",
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
    if (limits->samples > 0 && file->info.samples != limits->samples) {
        return bl_fail(BL_ERROR_FORMAT,
                       "%s: has %lld samples now, had %lld at the start; don't change shards during "
                       "a run",
                       path, (long long) file->info.samples, (long long) limits->samples);
    }
    if (limits->max_seq_length > 0 && file->info.max_seq_length != limits->max_seq_length) {
        return bl_fail(BL_ERROR_FORMAT,
                       "%s: its samples are %lld tokens long, max_seq_length is %lld; set it to %lld or recreate the "
                       "data",
                       path, (long long) file->info.max_seq_length, (long long) limits->max_seq_length,
                       (long long) file->info.max_seq_length);
    }
    if (limits->max_predictions_per_seq > 0 && file->info.max_predictions_per_seq > limits->max_predictions_per_seq) {
        return bl_fail(BL_ERROR_FORMAT,
                       "%s: it has %lld masked slots per sample, max_predictions_per_seq is %lld; set it to at least "
                       "%lld or recreate the data",
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

/*
 * One read of a shard, dataset by dataset and in blocks of rows, so that rows
 * which are not kept take no more memory than a block. Every value is checked,
 * kept or not: all readers of a damaged shard say the same.
 */
typedef struct shard_reader {
    shard_file file;
    const bl_shard_limits *limits;
    const atomic_bool *cancelled; /* NULL: never */
    bl_shard *shard;
    int32_t *places;  /* [N] where a row of the file is kept, -1: nowhere; NULL: all rows, in the file's order */
    int32_t *lengths; /* [N] of the file, as masked: what the checks of one dataset need of another */
    int32_t *masked;
} shard_reader;

/* "PATH: dataset D, sample N: what" in one place. */
#define BAD(set, row, format, ...)                                                                                     \
    bl_fail(BL_ERROR_FORMAT, "%s: dataset %s, sample %lld: " format, r->file.input.path, LAYOUT[set].name,             \
            (long long) (row), __VA_ARGS__)

static int64_t word_limit(const shard_reader *r) {
    return r->limits->vocab_size > 0 ? r->limits->vocab_size : INT32_MAX;
}

/* Checks of rows [first, first + count) of the file, whose values are given. */

static bl_status check_mask(shard_reader *r, int64_t first, int64_t count, const void *values) {
    int64_t s = r->file.info.max_seq_length;
    for (int64_t row = 0; row < count; row++) {
        const int8_t *m = (const int8_t *) values + row * s;
        int64_t length = 0;
        while (length < s && m[length] == 1)
            length++;
        for (int64_t i = length; i < s; i++) {
            if (m[i] != 0) {
                return BAD(INPUT_MASK, first + row, "value %d at %lld, expected ones for the tokens and then zeros",
                           m[i], (long long) i);
            }
        }
        if (length == 0) return BAD(INPUT_MASK, first + row, "no token (all zeros), expected at least %d", 1);
        r->lengths[first + row] = (int32_t) length;
    }
    return BL_OK;
}

static bl_status check_tokens(shard_reader *r, int64_t first, int64_t count, const void *values) {
    int64_t s = r->file.info.max_seq_length, words = word_limit(r);
    const int32_t *ids = values;
    for (int64_t i = 0; i < count * s; i++) {
        if (ids[i] < 0 || ids[i] >= words) {
            return BAD(INPUT_IDS, first + i / s,
                       "token id %d at %lld, expected 0..%lld; was it made with another vocabulary?", ids[i],
                       (long long) (i % s), (long long) words - 1);
        }
    }
    return BL_OK;
}

static bl_status check_segments(shard_reader *r, int64_t first, int64_t count, const void *values) {
    int64_t s = r->file.info.max_seq_length;
    int64_t types = r->limits->type_vocab_size > 0 ? r->limits->type_vocab_size : INT8_MAX;
    const int8_t *segments = values;
    for (int64_t i = 0; i < count * s; i++) {
        if (segments[i] < 0 || segments[i] >= types) {
            return BAD(SEGMENT_IDS, first + i / s, "segment %d at %lld, expected 0..%lld", segments[i],
                       (long long) (i % s), (long long) types - 1);
        }
    }
    return BL_OK;
}

static bl_status check_labels(shard_reader *r, int64_t first, int64_t count, const void *values) {
    int64_t p = r->file.info.max_predictions_per_seq, words = word_limit(r);
    for (int64_t row = 0; row < count; row++) {
        const int32_t *labels = (const int32_t *) values + row * p;
        int64_t used = 0;
        while (used < p && labels[used] != 0)
            used++;
        for (int64_t i = 0; i < p; i++) {
            if (labels[i] < 0 || labels[i] >= words) {
                return BAD(LABELS, first + row,
                           "label %d at %lld, expected 0..%lld; was it made with another vocabulary?", labels[i],
                           (long long) i, (long long) words - 1);
            }
            if (i > used && labels[i] != 0) {
                return BAD(LABELS, first + row, "label %d at %lld after an unused slot (0)", labels[i], (long long) i);
            }
        }
        r->masked[first + row] = (int32_t) used;
    }
    return BL_OK;
}

static bl_status check_positions(shard_reader *r, int64_t first, int64_t count, const void *values) {
    int64_t p = r->file.info.max_predictions_per_seq, s = r->file.info.max_seq_length;
    for (int64_t row = 0; row < count; row++) {
        const int32_t *positions = (const int32_t *) values + row * p;
        int32_t length = r->lengths[first + row], used = r->masked[first + row];
        for (int64_t i = 0; i < p; i++) {
            if (positions[i] < 0 || positions[i] >= s) {
                return BAD(POSITIONS, first + row, "position %d at %lld, expected 0..%lld", positions[i], (long long) i,
                           (long long) s - 1);
            }
            if (i < used && positions[i] >= length) {
                return BAD(POSITIONS, first + row, "position %d at %lld lies in the padding (%d tokens)", positions[i],
                           (long long) i, length);
            }
        }
    }
    return BL_OK;
}

static bl_status check_next_labels(shard_reader *r, int64_t first, int64_t count, const void *values) {
    const int8_t *labels = values;
    for (int64_t row = 0; row < count; row++) {
        if (labels[row] != 0 && labels[row] != 1)
            return BAD(NEXT_LABELS, first + row, "label %d, expected 0 or 1", labels[row]);
    }
    return BL_OK;
}

#undef BAD

static bl_status no_memory(const shard_reader *r) {
    return bl_fail(BL_ERROR_MEMORY, "%s: no memory for its %lld samples of %lld tokens; use smaller shards",
                   r->file.input.path, (long long) r->file.info.samples, (long long) r->file.info.max_seq_length);
}

static bl_status shard_allocate(shard_reader *r, int64_t held) {
    size_t n = (size_t) held, s = (size_t) r->file.info.max_seq_length;
    size_t p = (size_t) r->file.info.max_predictions_per_seq;
    bl_shard *shard = r->shard = calloc(1, sizeof *shard);
    if (!shard) return no_memory(r);
    shard->info = r->file.info;
    shard->info.held = held;
    /* n or p may be 0, and malloc(0) may be NULL */
    shard->input_ids = malloc(n * s * sizeof(int32_t) + 1);
    shard->segment_ids = malloc(n * s + 1);
    shard->positions = malloc(n * p * sizeof(int32_t) + 1);
    shard->labels = malloc(n * p * sizeof(int32_t) + 1);
    shard->next_labels = malloc(n + 1);
    shard->lengths = malloc(n * sizeof(int32_t) + 1);
    shard->masked = malloc(n * sizeof(int32_t) + 1);
    if (shard->input_ids && shard->segment_ids && shard->positions && shard->labels && shard->next_labels &&
        shard->lengths && shard->masked)
        return BL_OK;
    return no_memory(r);
}

/* Where each row of the file goes, and memory for what is known of the others. */
static bl_status plan_part(shard_reader *r, const bl_shard_part *part) {
    int64_t n = r->file.info.samples;
    r->places = malloc((size_t) n * sizeof *r->places);
    r->lengths = malloc((size_t) n * sizeof *r->lengths);
    r->masked = malloc((size_t) n * sizeof *r->masked);
    if (!r->places || !r->lengths || !r->masked) return no_memory(r);
    for (int64_t row = 0; row < n; row++)
        r->places[row] = -1;
    for (int64_t k = 0; k < part->count; k++) {
        int64_t row = part->rows[k];
        if (row < 0 || row >= n || r->places[row] >= 0) {
            return bl_fail(BL_ERROR_ARGUMENT, "%s: rows[%lld] is %lld, expected 0..%lld and each once",
                           r->file.input.path, (long long) k, (long long) row, (long long) n - 1);
        }
        r->places[row] = (int32_t) k;
    }
    return BL_OK;
}

/* Copy what is kept of rows [first, first + count) to its places; nothing where there is no target. */
static void keep_rows(const int32_t *places, int64_t first, int64_t count, const char *values, char *target,
                      size_t row_bytes) {
    for (int64_t i = 0; target && i < count; i++) {
        int64_t place = places[first + i];
        if (place >= 0) memcpy(target + (size_t) place * row_bytes, values + (size_t) i * row_bytes, row_bytes);
    }
}

typedef bl_status check_function(shard_reader *r, int64_t first, int64_t count, const void *values);

/* One dataset: read, checked and kept in `target`; NULL keeps nothing. */
static bl_status read_dataset(shard_reader *r, int32_t k, check_function *check, void *target) {
    const bl_hdf5_dataset *set = &r->file.datasets[k];
    int64_t samples = r->file.info.samples, step = bl_hdf5_dataset_block_rows(set, BLOCK_BYTES);
    size_t row_bytes = (size_t) (set->ndim > 1 ? set->shape[1] : 1) * bl_dtype_size(LAYOUT[k].dtype);
    bool in_place = target && !r->places;
    char *block = NULL;
    if (!in_place) block = malloc((size_t) step * row_bytes + 1);
    if (!in_place && !block) return no_memory(r);
    bl_status status = BL_OK;
    for (int64_t first = 0; status == BL_OK && first < samples; first += step) {
        int64_t count = samples - first < step ? samples - first : step;
        char *values = in_place ? (char *) target + (size_t) first * row_bytes : block;
        if (r->cancelled && atomic_load(r->cancelled)) {
            status = bl_fail(BL_ERROR_IO, "%s: reading cancelled", r->file.input.path);
            break;
        }
        status = bl_hdf5_dataset_read(set, LAYOUT[k].dtype, first, count, values);
        if (status == BL_OK) status = check(r, first, count, values);
        if (status == BL_OK && !in_place) keep_rows(r->places, first, count, values, target, row_bytes);
    }
    free(block);
    return status;
}

static bl_status read_all(shard_reader *r, const bl_shard_part *part) {
    bl_shard *shard = r->shard;
    BL_TRY(read_dataset(r, INPUT_MASK, check_mask, NULL));
    BL_TRY(read_dataset(r, INPUT_IDS, check_tokens, shard->input_ids));
    BL_TRY(read_dataset(r, SEGMENT_IDS, check_segments, shard->segment_ids));
    BL_TRY(read_dataset(r, LABELS, check_labels, shard->labels));
    BL_TRY(read_dataset(r, POSITIONS, check_positions, shard->positions));
    BL_TRY(read_dataset(r, NEXT_LABELS, check_next_labels, shard->next_labels));
    for (int64_t k = 0; part && k < part->count; k++) {
        shard->lengths[k] = r->lengths[part->rows[k]];
        shard->masked[k] = r->masked[part->rows[k]];
    }
    return BL_OK;
}

bl_status bl_shard_read_cancellable(bl_shard **out, const char *path, const bl_shard_limits *limits,
                                    const bl_shard_part *part, const atomic_bool *cancelled) {
    if (!out || !path || !limits || (part && (part->count < 0 || !part->rows)))
        return bl_fail(BL_ERROR_ARGUMENT, "shard_read: an argument is NULL, or the part's count negative");
    shard_reader r = {.limits = limits, .cancelled = cancelled};
    BL_TRY(shard_file_open(&r.file, path, limits));
    bl_status status = part ? plan_part(&r, part) : BL_OK;
    if (status == BL_OK) status = shard_allocate(&r, part ? part->count : r.file.info.samples);
    if (status == BL_OK) {
        if (!part) {
            r.lengths = r.shard->lengths;
            r.masked = r.shard->masked;
        }
        status = read_all(&r, part);
    }
    shard_file_close(&r.file);
    if (part) {
        free(r.places);
        free(r.lengths);
        free(r.masked);
    }
    if (status == BL_OK) {
        *out = r.shard;
    } else {
        bl_shard_free(r.shard);
    }
    return status;
}

BL_API bl_status bl_shard_read(bl_shard **out, const char *path, const bl_shard_limits *limits,
                               const bl_shard_part *part) {
    return bl_shard_read_cancellable(out, path, limits, part, NULL);
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
    if (!shard || !out || row < 0 || row >= shard->info.held) {
        return bl_fail(BL_ERROR_ARGUMENT, "shard_row_get: row %lld, expected 0..%lld", (long long) row,
                       shard ? (long long) shard->info.held - 1 : -1LL);
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
