/*
 * shard_write.c - turn instances (spans of a flat token array) into masked
 * rows and write them as a shard, block by block.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/hdf5_file.h"

/* Rows made at once; a multiple of every chunk length below, so that HDF5 gets whole chunks. */
enum { BLOCK_ROWS = 4096, ID_CHUNK_ROWS = 512, SMALL_CHUNK_ROWS = 2048 };

typedef struct shard_output {
    int64_t s, p;
    bl_hdf5_rows input_ids, input_mask, segment_ids, positions, labels, next_labels;
    /* one block of rows */
    int32_t *ids_block, *positions_block, *labels_block;
    int8_t *mask_block, *segments_block, *next_block;
} shard_output;

static bl_status output_create(shard_output *out, bl_hdf5_writer *writer, const bl_shard_options *options, int64_t n,
                               int64_t p) {
    int64_t s = options->max_seq_length;
    int64_t long_rows[2] = {n, s}, short_rows[2] = {n, p};
    int32_t gzip = options->gzip;
    bool checksum = options->checksum;
    BL_TRY(
        bl_hdf5_rows_create(&out->input_ids, writer, "input_ids", BL_I32, 2, long_rows, ID_CHUNK_ROWS, gzip, checksum));
    BL_TRY(bl_hdf5_rows_create(&out->input_mask, writer, "input_mask", BL_I8, 2, long_rows, SMALL_CHUNK_ROWS, gzip,
                               checksum));
    BL_TRY(bl_hdf5_rows_create(&out->segment_ids, writer, "segment_ids", BL_I8, 2, long_rows, SMALL_CHUNK_ROWS, gzip,
                               checksum));
    BL_TRY(bl_hdf5_rows_create(&out->positions, writer, "masked_lm_positions", BL_I32, 2, short_rows, SMALL_CHUNK_ROWS,
                               gzip, checksum));
    BL_TRY(bl_hdf5_rows_create(&out->labels, writer, "masked_lm_ids", BL_I32, 2, short_rows, SMALL_CHUNK_ROWS, gzip,
                               checksum));
    return bl_hdf5_rows_create(&out->next_labels, writer, "next_sentence_labels", BL_I8, 1, long_rows, BLOCK_ROWS, gzip,
                               checksum);
}

static bl_status output_write(shard_output *out, int64_t first, int64_t count) {
    BL_TRY(bl_hdf5_rows_write(&out->input_ids, first, count, out->ids_block));
    BL_TRY(bl_hdf5_rows_write(&out->input_mask, first, count, out->mask_block));
    BL_TRY(bl_hdf5_rows_write(&out->segment_ids, first, count, out->segments_block));
    BL_TRY(bl_hdf5_rows_write(&out->positions, first, count, out->positions_block));
    BL_TRY(bl_hdf5_rows_write(&out->labels, first, count, out->labels_block));
    return bl_hdf5_rows_write(&out->next_labels, first, count, out->next_block);
}

/* Closes all datasets; the first failure counts. */
static bl_status output_close(shard_output *out) {
    bl_hdf5_rows *all[] = {&out->input_ids, &out->input_mask, &out->segment_ids,
                           &out->positions, &out->labels,     &out->next_labels};
    bl_status status = BL_OK;
    for (size_t k = 0; k < sizeof all / sizeof all[0]; k++) {
        if (status == BL_OK) {
            status = bl_hdf5_rows_close(all[k]);
        } else {
            bl_hdf5_rows_close(all[k]);
        }
    }
    return status;
}

static bl_status check_instance(const bl_instance *in, int64_t s, int64_t token_count, int64_t number) {
    bool inside = in->first_length > 0 && in->second_length > 0 && in->first_begin >= 0 && in->second_begin >= 0 &&
                  (int64_t) in->first_begin + in->first_length <= token_count &&
                  (int64_t) in->second_begin + in->second_length <= token_count;
    if (inside && (int64_t) in->first_length + in->second_length <= s - 3) return BL_OK;
    return bl_fail(BL_ERROR_ARGUMENT,
                   "shard_write: instance %lld has spans [%d,+%d) and [%d,+%d) of %lld tokens, at most %lld together",
                   (long long) number, in->first_begin, in->first_length, in->second_begin, in->second_length,
                   (long long) token_count, (long long) s - 3);
}

/* Row r of the block: [CLS] A [SEP] B [SEP], padding, mask. */
static bl_status make_row(shard_output *out, int64_t r, const bl_instance *in, const int32_t *tokens,
                          const bl_masking *masking, bl_rng *rng) {
    int32_t *ids = out->ids_block + r * out->s;
    int8_t *mask = out->mask_block + r * out->s, *segments = out->segments_block + r * out->s;
    int32_t second = in->first_length + 2;
    int32_t length = second + in->second_length + 1;
    ids[0] = masking->cls_id;
    memcpy(ids + 1, tokens + in->first_begin, (size_t) in->first_length * sizeof *ids);
    ids[second - 1] = masking->sep_id;
    memcpy(ids + second, tokens + in->second_begin, (size_t) in->second_length * sizeof *ids);
    ids[length - 1] = masking->sep_id;
    memset(ids + length, 0, (size_t) (out->s - length) * sizeof *ids);
    memset(mask, 1, (size_t) length);
    memset(mask + length, 0, (size_t) (out->s - length));
    memset(segments, 0, (size_t) out->s);
    memset(segments + second, 1, (size_t) (length - second));
    out->next_block[r] = (int8_t) in->random_next;
    int32_t count = 0;
    return bl_mask_tokens(rng, masking, ids, length, out->positions_block + r * out->p, out->labels_block + r * out->p,
                          &count);
}

static bl_status write_blocks(shard_output *out, const bl_shard_options *options, const bl_masking *masking,
                              const int32_t *tokens, int64_t token_count, const bl_instance *instances,
                              const int64_t *order, int64_t count) {
    for (int64_t first = 0; first < count; first += BLOCK_ROWS) {
        int64_t rows = count - first < BLOCK_ROWS ? count - first : BLOCK_ROWS;
        for (int64_t r = 0; r < rows; r++) {
            int64_t number = order ? order[first + r] : first + r;
            if (number < 0 || number >= count) {
                return bl_fail(BL_ERROR_ARGUMENT, "shard_write: order[%lld] is %lld, expected 0..%lld",
                               (long long) (first + r), (long long) number, (long long) count - 1);
            }
            BL_TRY(check_instance(&instances[number], out->s, token_count, number));
            bl_rng rng;
            bl_rng_init(&rng, options->seed, options->stream + (uint64_t) number);
            BL_TRY(make_row(out, r, &instances[number], tokens, masking, &rng));
        }
        BL_TRY(output_write(out, first, rows));
    }
    return BL_OK;
}

static bl_status blocks_allocate(shard_output *out) {
    size_t s = (size_t) out->s, p = (size_t) out->p;
    out->ids_block = malloc(BLOCK_ROWS * s * sizeof(int32_t));
    out->positions_block = malloc(BLOCK_ROWS * p * sizeof(int32_t));
    out->labels_block = malloc(BLOCK_ROWS * p * sizeof(int32_t));
    out->mask_block = malloc(BLOCK_ROWS * s);
    out->segments_block = malloc(BLOCK_ROWS * s);
    out->next_block = malloc(BLOCK_ROWS);
    if (out->ids_block && out->positions_block && out->labels_block && out->mask_block && out->segments_block &&
        out->next_block) {
        return BL_OK;
    }
    return bl_fail(BL_ERROR_MEMORY, "shard_write: no memory for a block of %d rows", BLOCK_ROWS);
}

static void blocks_free(shard_output *out) {
    free(out->ids_block);
    free(out->positions_block);
    free(out->labels_block);
    free(out->mask_block);
    free(out->segments_block);
    free(out->next_block);
}

BL_API bl_status bl_shard_write(const char *path, const bl_shard_options *options, const bl_masking *masking,
                                const int32_t *tokens, int64_t token_count, const bl_instance *instances,
                                const int64_t *order, int64_t count) {
    if (!path || !options || !masking || !tokens || !instances) {
        return bl_fail(BL_ERROR_ARGUMENT, "shard_write: an argument is NULL");
    }
    if (count < 1 || options->max_seq_length < 5 || options->max_seq_length > 4096 || masking->max_predictions < 1 ||
        masking->max_predictions > options->max_seq_length) {
        return bl_fail(BL_ERROR_ARGUMENT,
                       "shard_write: %lld instances, max_seq_length %lld (5..4096), max_predictions_per_seq %d "
                       "(1..max_seq_length)",
                       (long long) count, (long long) options->max_seq_length, masking->max_predictions);
    }
    shard_output out = {.s = options->max_seq_length, .p = masking->max_predictions};
    bl_hdf5_rows *all[] = {&out.input_ids, &out.input_mask, &out.segment_ids,
                           &out.positions, &out.labels,     &out.next_labels};
    for (size_t k = 0; k < sizeof all / sizeof all[0]; k++)
        all[k]->dataset = H5I_INVALID_HID;
    bl_hdf5_writer *writer = NULL;
    BL_TRY(bl_hdf5_writer_create(&writer, path));
    bl_status status = blocks_allocate(&out);
    if (status == BL_OK) status = output_create(&out, writer, options, count, out.p);
    if (status == BL_OK) {
        status = write_blocks(&out, options, masking, tokens, token_count, instances, order, count);
    }
    bl_status closed = output_close(&out);
    if (status == BL_OK) status = closed;
    if (status == BL_OK && options->vocabulary) {
        status = bl_hdf5_writer_note(writer, "vocabulary", options->vocabulary);
    }
    if (status == BL_OK) {
        bl_seal seal = {.samples = count, .max_seq_length = out.s, .max_predictions_per_seq = out.p};
        if (options->vocabulary) snprintf(seal.vocabulary, sizeof seal.vocabulary, "%s", options->vocabulary);
        status = bl_hdf5_writer_commit_sealed(writer, seal);
    }
    bl_hdf5_writer_free(writer);
    blocks_free(&out);
    return status;
}
