/*
 * loader_batch.c - put rows of shards together into a batch, padded or packed,
 * in memory allocated once.
 */
#include <stdlib.h>
#include <string.h>

#include "data/shard.h"

enum { ROWS_MULTIPLE = 64, MASKED_MULTIPLE = 16, ALIGNMENT = 64 };

/* The public view first, so that a bl_batch pointer is also ours. */
typedef struct batch_memory {
    bl_batch view;
    void *block;      /* all arrays below; NULL where the caller owns them */
    int32_t *scratch; /* [S + 2P] one sample while it is masked again */
} batch_memory;

static int64_t round_up(int64_t n, int64_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

static void set_tensor(bl_tensor *t, int64_t rows) {
    t->shape[0] = rows;
}

static bl_tensor tensor_i32(int32_t **cursor, int64_t rows, int64_t columns) {
    bl_tensor t = {.data = *cursor, .shape = {rows, columns, 1, 1}, .stride = {columns, columns > 1 ? 1 : 0, 0, 0}};
    t.ndim = columns > 1 ? 2 : 1;
    t.dtype = BL_I32;
    t.device = BL_CPU;
    *cursor += round_up(rows * columns, ALIGNMENT / (int64_t) sizeof(int32_t));
    return t;
}

/* Rows and masked slots that a batch of full samples takes. */
static int64_t row_capacity(int64_t batch_size, int64_t max_seq_length) {
    return round_up(batch_size * max_seq_length, ROWS_MULTIPLE);
}

static int64_t masked_capacity(int64_t batch_size, int64_t max_predictions_per_seq) {
    int64_t masked = round_up(batch_size * max_predictions_per_seq, MASKED_MULTIPLE);
    return masked > 0 ? masked : MASKED_MULTIPLE;
}

BL_API size_t bl_batch_bytes(int64_t batch_size, int64_t max_seq_length, int64_t max_predictions_per_seq) {
    if (batch_size < 1 || max_seq_length < 1 || max_predictions_per_seq < 0 || batch_size > 1 << 20 ||
        max_seq_length > 1 << 12 || max_predictions_per_seq > max_seq_length)
        return 0;
    int64_t rows = row_capacity(batch_size, max_seq_length);
    int64_t masked = masked_capacity(batch_size, max_predictions_per_seq);
    int64_t ints =
        3 * rows + 5 * batch_size + 2 * masked + 9 * (ALIGNMENT / 4) + max_seq_length + 2 * max_predictions_per_seq;
    return (size_t) round_up(ints * 4, ALIGNMENT);
}

static bl_status create(bl_batch **out, int64_t batch_size, int64_t max_seq_length, int64_t max_predictions_per_seq,
                        bool packed, void *given) {
    size_t bytes = bl_batch_bytes(batch_size, max_seq_length, max_predictions_per_seq);
    if (!out || bytes == 0) {
        return bl_fail(
            BL_ERROR_ARGUMENT,
            "batch_create: batch_size %lld, max_seq_length %lld (at most 4096), max_predictions_per_seq %lld",
            (long long) batch_size, (long long) max_seq_length, (long long) max_predictions_per_seq);
    }
    batch_memory *memory = calloc(1, sizeof *memory);
    if (memory && !given) memory->block = aligned_alloc(ALIGNMENT, bytes);
    if (!memory || !(memory->block || given)) {
        free(memory);
        return bl_fail(BL_ERROR_MEMORY, "batch_create: no memory for %lld samples of %lld tokens",
                       (long long) batch_size, (long long) max_seq_length);
    }
    int64_t rows = row_capacity(batch_size, max_seq_length);
    int64_t masked = masked_capacity(batch_size, max_predictions_per_seq);
    if (!packed) rows = batch_size * max_seq_length;
    int32_t *cursor = given ? given : memory->block;
    bl_batch *batch = &memory->view;
    batch->batch_size = batch_size;
    batch->max_seq_length = max_seq_length;
    batch->max_predictions_per_seq = max_predictions_per_seq;
    batch->packed = packed;
    batch->row_multiple = ROWS_MULTIPLE;
    batch->masked_multiple = MASKED_MULTIPLE;
    batch->ids = tensor_i32(&cursor, rows, 1);
    batch->positions = tensor_i32(&cursor, rows, 1);
    batch->types = tensor_i32(&cursor, rows, 1);
    batch->segments = tensor_i32(&cursor, batch_size, 2);
    batch->cls_index = tensor_i32(&cursor, batch_size, 1);
    batch->masked_index = tensor_i32(&cursor, masked, 1);
    batch->masked_labels = tensor_i32(&cursor, masked, 1);
    batch->nsp_labels = tensor_i32(&cursor, batch_size, 1);
    memory->scratch = cursor;
    *out = batch;
    return BL_OK;
}

BL_API bl_status bl_batch_create(bl_batch **out, int64_t batch_size, int64_t max_seq_length,
                                 int64_t max_predictions_per_seq, bool packed) {
    return create(out, batch_size, max_seq_length, max_predictions_per_seq, packed, NULL);
}

BL_API bl_status bl_batch_create_in(bl_batch **out, int64_t batch_size, int64_t max_seq_length,
                                    int64_t max_predictions_per_seq, bool packed, void *memory) {
    if (!memory || (uintptr_t) memory % ALIGNMENT != 0)
        return bl_fail(BL_ERROR_ARGUMENT, "batch_create_in: memory is %p, expected 64-byte aligned", memory);
    return create(out, batch_size, max_seq_length, max_predictions_per_seq, packed, memory);
}

BL_API void bl_batch_free(bl_batch *batch) {
    if (!batch) return;
    batch_memory *memory = (batch_memory *) batch;
    free(memory->block);
    free(memory);
}

BL_API void bl_batch_begin(bl_batch *batch) {
    batch->samples = batch->tokens = batch->masked = 0;
}

/* One sample into its rows: ids [length], masked slots given apart. A row without segment_ids has type 0 up to
 * first_length and 1 after it. */
static void place(bl_batch *batch, const bl_shard_row *row, int32_t first_length, const int32_t *ids,
                  const int32_t *slots, const int32_t *labels, int32_t masked) {
    int64_t sample = batch->samples;
    int64_t s = batch->max_seq_length;
    int64_t first = batch->packed ? batch->tokens : sample * s;
    int64_t width = batch->packed ? row->length : s;
    int32_t *batch_ids = (int32_t *) batch->ids.data + first;
    int32_t *positions = (int32_t *) batch->positions.data + first;
    int32_t *types = (int32_t *) batch->types.data + first;
    memcpy(batch_ids, ids, (size_t) row->length * sizeof *ids);
    for (int64_t i = 0; i < row->length; i++)
        types[i] = row->segment_ids ? row->segment_ids[i] : i >= first_length;
    for (int64_t i = row->length; i < width; i++)
        batch_ids[i] = types[i] = 0;
    for (int64_t i = 0; i < width; i++)
        positions[i] = (int32_t) i;
    int32_t *segment = (int32_t *) batch->segments.data + 2 * sample;
    segment[0] = (int32_t) first;
    segment[1] = row->length;
    ((int32_t *) batch->cls_index.data)[sample] = (int32_t) first;
    ((int32_t *) batch->nsp_labels.data)[sample] = row->next_sentence_label;
    int32_t *index = (int32_t *) batch->masked_index.data + batch->masked;
    for (int32_t k = 0; k < masked; k++)
        index[k] = (int32_t) first + slots[k];
    /* Without masks there may be no array of them. */
    if (masked > 0) {
        memcpy((int32_t *) batch->masked_labels.data + batch->masked, labels, (size_t) masked * sizeof *labels);
    }
    batch->samples++;
    batch->tokens += row->length;
    batch->masked += masked;
}

/* Draw the mask of a sample whose ids lie in the scratch memory: changes them, fills the slots and labels behind. */
static bl_status mask_again(bl_batch *batch, const bl_masking *masking, int32_t length, uint64_t seed, uint64_t sample,
                            int32_t *masked) {
    int32_t *ids = ((batch_memory *) batch)->scratch;
    int32_t *slots = ids + batch->max_seq_length;
    bl_rng rng;
    bl_rng_init(&rng, seed, (UINT64_C(1) << 63) + sample);
    return bl_mask_tokens(&rng, masking, ids, length, slots, slots + batch->max_predictions_per_seq, masked);
}

BL_API bl_status bl_batch_append(bl_batch *batch, const bl_shard *shard, const int64_t *rows, int64_t count,
                                 const bl_masking *masking, uint64_t seed, uint64_t sample) {
    if (!batch || !shard || !rows || count < 0 || count > batch->batch_size - batch->samples) {
        return bl_fail(BL_ERROR_ARGUMENT, "batch_append: %lld rows for a batch of %lld that has %lld",
                       (long long) count, batch ? (long long) batch->batch_size : 0LL,
                       batch ? (long long) batch->samples : 0LL);
    }
    if (shard->info.max_seq_length != batch->max_seq_length ||
        shard->info.max_predictions_per_seq > batch->max_predictions_per_seq ||
        (masking && masking->max_predictions > batch->max_predictions_per_seq)) {
        return bl_fail(BL_ERROR_ARGUMENT, "batch_append: shard of S=%lld, P=%lld, batch of S=%lld, P=%lld",
                       (long long) shard->info.max_seq_length, (long long) shard->info.max_predictions_per_seq,
                       (long long) batch->max_seq_length, (long long) batch->max_predictions_per_seq);
    }
    int32_t *ids = ((batch_memory *) batch)->scratch;
    int32_t *slots = ids + batch->max_seq_length;
    int32_t *labels = slots + batch->max_predictions_per_seq;
    for (int64_t i = 0; i < count; i++) {
        bl_shard_row row;
        BL_TRY(bl_shard_row_get(shard, rows[i], &row));
        if (!masking) {
            place(batch, &row, 0, row.input_ids, row.positions, row.labels, row.masked);
            continue;
        }
        memcpy(ids, row.input_ids, (size_t) row.length * sizeof *ids);
        for (int32_t k = 0; k < row.masked; k++)
            ids[row.positions[k]] = row.labels[k];
        int32_t masked = 0;
        BL_TRY(mask_again(batch, masking, row.length, seed, sample + (uint64_t) i, &masked));
        place(batch, &row, 0, ids, slots, labels, masked);
    }
    return BL_OK;
}

BL_API bl_status bl_batch_append_ids(bl_batch *batch, const int32_t *ids, int32_t length, int32_t first_length,
                                     int32_t next_sentence_label, const bl_masking *masking, uint64_t seed,
                                     uint64_t sample) {
    if (!batch || !ids || !masking || batch->samples >= batch->batch_size) {
        return bl_fail(BL_ERROR_ARGUMENT, "batch_append_ids: ids are %p, masking is %p, the batch of %lld has %lld",
                       (const void *) ids, (const void *) masking, batch ? (long long) batch->batch_size : 0LL,
                       batch ? (long long) batch->samples : 0LL);
    }
    if (length < 1 || length > batch->max_seq_length || first_length < 0 || first_length > length ||
        masking->max_predictions > batch->max_predictions_per_seq) {
        return bl_fail(BL_ERROR_ARGUMENT,
                       "batch_append_ids: length is %d, first_length %d, max_predictions %d, batch of S=%lld, P=%lld",
                       length, first_length, masking->max_predictions, (long long) batch->max_seq_length,
                       (long long) batch->max_predictions_per_seq);
    }
    int32_t *copy = ((batch_memory *) batch)->scratch;
    int32_t *slots = copy + batch->max_seq_length;
    bl_shard_row row = {.length = length, .next_sentence_label = next_sentence_label};
    int32_t masked = 0;
    memcpy(copy, ids, (size_t) length * sizeof *ids);
    BL_TRY(mask_again(batch, masking, length, seed, sample, &masked));
    place(batch, &row, first_length, copy, slots, slots + batch->max_predictions_per_seq, masked);
    return BL_OK;
}

BL_API bl_status bl_batch_append_masked(bl_batch *batch, const int32_t *ids, int32_t length, int32_t first_length,
                                        int32_t next_sentence_label, const int32_t *positions, const int32_t *labels,
                                        int32_t masked) {
    if (!batch || !ids || (masked > 0 && !(positions && labels)) || batch->samples >= batch->batch_size) {
        return bl_fail(BL_ERROR_ARGUMENT,
                       "batch_append_masked: ids are %p, positions %p, labels %p, the batch of %lld has %lld",
                       (const void *) ids, (const void *) positions, (const void *) labels,
                       batch ? (long long) batch->batch_size : 0LL, batch ? (long long) batch->samples : 0LL);
    }
    if (length < 1 || length > batch->max_seq_length || first_length < 0 || first_length > length || masked < 0 ||
        masked > batch->max_predictions_per_seq) {
        return bl_fail(BL_ERROR_ARGUMENT,
                       "batch_append_masked: length is %d, first_length %d, masked %d, batch of S=%lld, P=%lld", length,
                       first_length, masked, (long long) batch->max_seq_length,
                       (long long) batch->max_predictions_per_seq);
    }
    for (int32_t k = 0; k < masked; k++) {
        if (positions[k] <= (k ? positions[k - 1] : -1) || positions[k] >= length) {
            return bl_fail(BL_ERROR_ARGUMENT, "batch_append_masked: position %d is %d, expected ascending below %d", k,
                           positions[k], length);
        }
    }
    bl_shard_row row = {.length = length, .next_sentence_label = next_sentence_label};
    place(batch, &row, first_length, ids, positions, labels, masked);
    return BL_OK;
}

BL_API bl_status bl_batch_finish(bl_batch *batch) {
    if (!batch || batch->samples != batch->batch_size) {
        return bl_fail(BL_ERROR_ARGUMENT, "batch_finish: %lld samples, expected %lld",
                       batch ? (long long) batch->samples : 0LL, batch ? (long long) batch->batch_size : 0LL);
    }
    int64_t rows = batch->batch_size * batch->max_seq_length;
    if (batch->packed) {
        rows = round_up(batch->tokens, batch->row_multiple);
        int64_t most = row_capacity(batch->batch_size, batch->max_seq_length);
        if (rows > most) rows = most;
        for (int64_t i = batch->tokens; i < rows; i++) {
            ((int32_t *) batch->ids.data)[i] = 0;
            ((int32_t *) batch->positions.data)[i] = 0;
            ((int32_t *) batch->types.data)[i] = 0;
        }
    }
    int64_t masked = round_up(batch->masked > 0 ? batch->masked : 1, batch->masked_multiple);
    int64_t most_masked = masked_capacity(batch->batch_size, batch->max_predictions_per_seq);
    if (masked > most_masked) masked = most_masked;
    for (int64_t i = batch->masked; i < masked; i++) {
        ((int32_t *) batch->masked_index.data)[i] = 0;
        ((int32_t *) batch->masked_labels.data)[i] = -1;
    }
    set_tensor(&batch->ids, rows);
    set_tensor(&batch->positions, rows);
    set_tensor(&batch->types, rows);
    set_tensor(&batch->masked_index, masked);
    set_tensor(&batch->masked_labels, masked);
    return BL_OK;
}
