/*
 * shard_read.c - read a shard of pre-training samples, or the rows of it that
 * one process needs, into memory and check every value, so that nothing past
 * this file has to.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "data/shard.h"

typedef struct shard_file {
    bl_shard_source source;
    bl_seal seal;
    bool sealed;
    int64_t shape[BL_SHARD_DATASETS][2];
    bl_shard_info info;
} shard_file;

static const char *name_of(int32_t k) {
    return BL_SHARD_LAYOUT[k].name;
}

/* What no sound file can say; the process that reads it is not trusted to have looked. */
static bl_status check_sizes(const shard_file *file) {
    for (int32_t k = 0; k < BL_SHARD_DATASETS; k++) {
        double bytes = (double) bl_dtype_size(BL_SHARD_LAYOUT[k].dtype);
        bool good = true;
        for (int32_t d = 0; d < 2; d++) {
            good = good && file->shape[k][d] >= 0 && file->shape[k][d] <= INT32_MAX;
            bytes *= (double) file->shape[k][d];
        }
        /* Four times: a file may hold int8 where int32 is in memory. */
        if (!good || bytes > 4.0 * (double) file->source.file_bytes * BL_DEFLATE_MAX_RATIO) {
            return bl_fail(BL_ERROR_FORMAT, "%s: dataset %s claims [%lld,%lld] in a file of %lld bytes: it is damaged",
                           file->source.path, name_of(k), (long long) file->shape[k][0], (long long) file->shape[k][1],
                           (long long) file->source.file_bytes);
        }
    }
    return BL_OK;
}

static bl_status check_shapes(shard_file *file) {
    const int64_t(*shape)[2] = (const int64_t(*)[2]) file->shape;
    const char *path = file->source.path;
    BL_TRY(check_sizes(file));
    for (int32_t k = 1; k < BL_SHARD_DATASETS; k++) {
        if (shape[k][0] != shape[BL_SHARD_INPUT_IDS][0]) {
            return bl_fail(BL_ERROR_FORMAT, "%s: dataset %s has %lld samples, input_ids has %lld; recreate the file",
                           path, name_of(k), (long long) shape[k][0], (long long) shape[BL_SHARD_INPUT_IDS][0]);
        }
    }
    for (int32_t k = BL_SHARD_INPUT_MASK; k <= BL_SHARD_SEGMENT_IDS; k++) {
        if (shape[k][1] != shape[BL_SHARD_INPUT_IDS][1]) {
            return bl_fail(BL_ERROR_FORMAT, "%s: dataset %s has length %lld, input_ids has %lld; recreate the file",
                           path, name_of(k), (long long) shape[k][1], (long long) shape[BL_SHARD_INPUT_IDS][1]);
        }
    }
    if (shape[BL_SHARD_LABELS][1] != shape[BL_SHARD_POSITIONS][1]) {
        return bl_fail(BL_ERROR_FORMAT, "%s: masked_lm_ids has %lld slots, masked_lm_positions has %lld", path,
                       (long long) shape[BL_SHARD_LABELS][1], (long long) shape[BL_SHARD_POSITIONS][1]);
    }
    file->info.samples = shape[BL_SHARD_INPUT_IDS][0];
    file->info.max_seq_length = shape[BL_SHARD_INPUT_IDS][1];
    file->info.max_predictions_per_seq = shape[BL_SHARD_POSITIONS][1];
    if (file->info.samples == 0 || file->info.max_seq_length == 0) {
        return bl_fail(BL_ERROR_FORMAT, "%s: dataset input_ids is [%lld,%lld]: a shard without samples; remove it",
                       path, (long long) file->info.samples, (long long) file->info.max_seq_length);
    }
    return BL_OK;
}

static bl_status check_limits(const shard_file *file, const bl_shard_limits *limits) {
    const char *path = file->source.path;
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

/* Open the file and read its seal, if it has one. */
static bl_status shard_file_open(shard_file *file, const char *path, const atomic_bool *cancelled) {
    memset(file, 0, sizeof *file);
    BL_TRY(bl_shard_source_open(&file->source, path, cancelled));
    int64_t bytes = file->source.file_bytes;
    file->info.file_bytes = bytes;
    BL_TRY(bl_seal_find(path, file->source.descriptor, bytes, &file->seal, &file->sealed));
    file->info.checksum = file->seal.crc;
    if (!file->sealed) BL_TRY(bl_seal_sample(path, file->source.descriptor, bytes, &file->info.checksum));
    return BL_OK;
}

/* Sizes as the process finds them in the file, which must be those of the seal. */
static bl_status receive_sizes(shard_file *file) {
    bl_shard_frame frame;
    bl_shard_sizes sizes;
    BL_TRY(bl_shard_source_next(&file->source, BL_FRAME_SIZES, &frame));
    if (frame.bytes != (int64_t) sizeof sizes)
        return bl_fail(BL_ERROR_INTERNAL, "%s: bertlua-hdf5 is of another build; run make", file->source.path);
    BL_TRY(bl_shard_source_payload(&file->source, &sizes, sizeof sizes));
    memcpy(file->shape, sizes.shape, sizeof file->shape);
    memcpy(file->info.vocabulary, sizes.vocabulary, sizeof file->info.vocabulary - 1);
    BL_TRY(check_shapes(file));
    const bl_seal *seal = &file->seal;
    if (file->sealed && seal->samples > 0 &&
        (seal->samples != file->info.samples || seal->max_seq_length != file->info.max_seq_length ||
         seal->max_predictions_per_seq != file->info.max_predictions_per_seq ||
         strcmp(seal->vocabulary, file->info.vocabulary) != 0)) {
        return bl_fail(BL_ERROR_FORMAT, "%s: its datasets are not what its last bytes say; recreate it",
                       file->source.path);
    }
    return BL_OK;
}

static bl_status probe(shard_file *file) {
    const bl_seal *seal = &file->seal;
    if (!file->sealed || seal->samples == 0) {
        BL_TRY(bl_shard_source_start(&file->source, false));
        return receive_sizes(file);
    }
    /* Every byte is compared with the seal before a row is used. */
    file->info.samples = seal->samples;
    file->info.max_seq_length = seal->max_seq_length;
    file->info.max_predictions_per_seq = seal->max_predictions_per_seq;
    memcpy(file->info.vocabulary, seal->vocabulary, sizeof seal->vocabulary);
    return BL_OK;
}

BL_API bl_status bl_shard_probe(bl_shard_info *out, const char *path, const bl_shard_limits *limits) {
    if (!out || !path || !limits) return bl_fail(BL_ERROR_ARGUMENT, "shard_probe: an argument is NULL");
    shard_file file;
    bl_status status = shard_file_open(&file, path, NULL);
    if (status == BL_OK) status = probe(&file);
    if (status == BL_OK) status = check_limits(&file, limits);
    if (status == BL_OK) *out = file.info;
    bl_shard_source_close(&file.source);
    return status;
}

/*
 * One read of a shard, dataset by dataset and in blocks of rows, so that rows
 * which are not kept take no more memory than a block. Every value is checked,
 * kept or not: all readers of a damaged shard say the same.
 */
typedef struct shard_reader {
    shard_file file;
    const bl_shard_limits *limits;
    bl_shard *shard;
    int32_t *places;  /* [N] where a row of the file is kept, -1: nowhere; NULL: all rows, in the file's order */
    int32_t *lengths; /* [N] of the file, as masked: what the checks of one dataset need of another */
    int32_t *masked;
} shard_reader;

/* "PATH: dataset D, sample N: what" in one place. */
#define BAD(set, row, format, ...)                                                                                     \
    bl_fail(BL_ERROR_FORMAT, "%s: dataset %s, sample %lld: " format, r->file.source.path, name_of(set),                \
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
                return BAD(BL_SHARD_INPUT_MASK, first + row,
                           "value %d at %lld, expected ones for the tokens and then zeros", m[i], (long long) i);
            }
        }
        if (length == 0) return BAD(BL_SHARD_INPUT_MASK, first + row, "no token (all zeros), expected at least %d", 1);
        r->lengths[first + row] = (int32_t) length;
    }
    return BL_OK;
}

static bl_status check_tokens(shard_reader *r, int64_t first, int64_t count, const void *values) {
    int64_t s = r->file.info.max_seq_length, words = word_limit(r);
    const int32_t *ids = values;
    for (int64_t i = 0; i < count * s; i++) {
        if (ids[i] < 0 || ids[i] >= words) {
            return BAD(BL_SHARD_INPUT_IDS, first + i / s,
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
            return BAD(BL_SHARD_SEGMENT_IDS, first + i / s, "segment %d at %lld, expected 0..%lld", segments[i],
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
                return BAD(BL_SHARD_LABELS, first + row,
                           "label %d at %lld, expected 0..%lld; was it made with another vocabulary?", labels[i],
                           (long long) i, (long long) words - 1);
            }
            if (i > used && labels[i] != 0) {
                return BAD(BL_SHARD_LABELS, first + row, "label %d at %lld after an unused slot (0)", labels[i],
                           (long long) i);
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
                return BAD(BL_SHARD_POSITIONS, first + row, "position %d at %lld, expected 0..%lld", positions[i],
                           (long long) i, (long long) s - 1);
            }
            if (i < used && positions[i] >= length) {
                return BAD(BL_SHARD_POSITIONS, first + row, "position %d at %lld lies in the padding (%d tokens)",
                           positions[i], (long long) i, length);
            }
        }
    }
    return BL_OK;
}

static bl_status check_next_labels(shard_reader *r, int64_t first, int64_t count, const void *values) {
    const int8_t *labels = values;
    for (int64_t row = 0; row < count; row++) {
        if (labels[row] != 0 && labels[row] != 1)
            return BAD(BL_SHARD_NEXT_LABELS, first + row, "label %d, expected 0 or 1", labels[row]);
    }
    return BL_OK;
}

#undef BAD

static bl_status no_memory(const shard_reader *r) {
    return bl_fail(BL_ERROR_MEMORY, "%s: no memory for its %lld samples of %lld tokens; use smaller shards",
                   r->file.source.path, (long long) r->file.info.samples, (long long) r->file.info.max_seq_length);
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
                           r->file.source.path, (long long) k, (long long) row, (long long) n - 1);
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

/* The next block of dataset k into values, which has room for `room` bytes; its number of rows. */
static bl_status receive_rows(shard_reader *r, int32_t k, size_t row_bytes, int64_t rows_left, size_t room,
                              char *values, int64_t *count) {
    bl_shard_frame frame;
    BL_TRY(bl_shard_source_next(&r->file.source, BL_FRAME_ROWS, &frame));
    *count = row_bytes > 0 ? frame.bytes / (int64_t) row_bytes : rows_left;
    if (frame.value != k || *count < 1 || *count > rows_left || frame.bytes != *count * (int64_t) row_bytes ||
        frame.bytes > (int64_t) room)
        return bl_fail(BL_ERROR_FORMAT,
                       "%s: dataset %s: the HDF5 library gave other rows than asked for: it is damaged",
                       r->file.source.path, name_of(k));
    return bl_shard_source_payload(&r->file.source, values, (size_t) frame.bytes);
}

/* One dataset: received, checked and kept in `target`; NULL keeps nothing. */
static bl_status read_dataset(shard_reader *r, int32_t k, check_function *check, void *target) {
    int64_t samples = r->file.info.samples;
    size_t row_bytes = (size_t) r->file.shape[k][1] * bl_dtype_size(BL_SHARD_LAYOUT[k].dtype);
    size_t room = row_bytes > BL_FRAME_ROWS_BYTES ? row_bytes : BL_FRAME_ROWS_BYTES;
    bool in_place = target && !r->places;
    char *block = NULL;
    if (!in_place) block = malloc(room);
    if (!in_place && !block) return no_memory(r);
    bl_status status = BL_OK;
    for (int64_t first = 0, count = 0; status == BL_OK && first < samples; first += count) {
        char *values = in_place ? (char *) target + (size_t) first * row_bytes : block;
        status = receive_rows(r, k, row_bytes, samples - first, room, values, &count);
        if (status == BL_OK) status = check(r, first, count, values);
        if (status == BL_OK && !in_place) keep_rows(r->places, first, count, values, target, row_bytes);
    }
    free(block);
    return status;
}

static bl_status read_all(shard_reader *r, const bl_shard_part *part) {
    static check_function *const checks[BL_SHARD_DATASETS] = {
        [BL_SHARD_INPUT_IDS] = check_tokens,     [BL_SHARD_INPUT_MASK] = check_mask,
        [BL_SHARD_SEGMENT_IDS] = check_segments, [BL_SHARD_POSITIONS] = check_positions,
        [BL_SHARD_LABELS] = check_labels,        [BL_SHARD_NEXT_LABELS] = check_next_labels,
    };
    bl_shard *shard = r->shard;
    void *const targets[BL_SHARD_DATASETS] = {
        [BL_SHARD_INPUT_IDS] = shard->input_ids,     [BL_SHARD_INPUT_MASK] = NULL,
        [BL_SHARD_SEGMENT_IDS] = shard->segment_ids, [BL_SHARD_POSITIONS] = shard->positions,
        [BL_SHARD_LABELS] = shard->labels,           [BL_SHARD_NEXT_LABELS] = shard->next_labels,
    };
    for (int32_t k = 0; k < BL_SHARD_DATASETS; k++)
        BL_TRY(read_dataset(r, BL_SHARD_ORDER[k], checks[BL_SHARD_ORDER[k]], targets[BL_SHARD_ORDER[k]]));
    for (int64_t k = 0; part && k < part->count; k++) {
        shard->lengths[k] = r->lengths[part->rows[k]];
        shard->masked[k] = r->masked[part->rows[k]];
    }
    bl_shard_frame frame;
    return bl_shard_source_next(&r->file.source, BL_FRAME_END, &frame);
}

/* Everything before the first row: the seal verified, the process started, sizes checked. */
static bl_status begin(shard_file *file, const char *path, const bl_shard_limits *limits,
                       const atomic_bool *cancelled) {
    BL_TRY(shard_file_open(file, path, cancelled));
    if (file->sealed) BL_TRY(bl_seal_verify(path, file->source.descriptor, &file->seal, cancelled));
    BL_TRY(bl_shard_source_start(&file->source, true));
    BL_TRY(receive_sizes(file));
    return check_limits(file, limits);
}

bl_status bl_shard_read_cancellable(bl_shard **out, const char *path, const bl_shard_limits *limits,
                                    const bl_shard_part *part, const atomic_bool *cancelled) {
    if (!out || !path || !limits || (part && (part->count < 0 || !part->rows)))
        return bl_fail(BL_ERROR_ARGUMENT, "shard_read: an argument is NULL, or the part's count negative");
    shard_reader r = {.limits = limits};
    bl_status status = begin(&r.file, path, limits, cancelled);
    if (status == BL_OK && part) status = plan_part(&r, part);
    if (status == BL_OK) status = shard_allocate(&r, part ? part->count : r.file.info.samples);
    if (status == BL_OK) {
        if (!part) {
            r.lengths = r.shard->lengths;
            r.masked = r.shard->masked;
        }
        status = read_all(&r, part);
    }
    bl_shard_source_close(&r.file.source);
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
