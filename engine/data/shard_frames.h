/*
 * shard_frames.h - what bertlua-hdf5, the process that reads an HDF5 file,
 * writes into its pipe, and what a shard's datasets are called. Both sides are
 * of one build, so structs go as they are.
 *
 * The reading side trusts none of it: the process decodes files from anywhere
 * with a library that may go wrong.
 */
#ifndef BERTLUA_DATA_SHARD_FRAMES_H
#define BERTLUA_DATA_SHARD_FRAMES_H

#include "core/internal.h"

enum {
    BL_SHARD_INPUT_IDS,
    BL_SHARD_INPUT_MASK,
    BL_SHARD_SEGMENT_IDS,
    BL_SHARD_POSITIONS,
    BL_SHARD_LABELS,
    BL_SHARD_NEXT_LABELS,
    BL_SHARD_DATASETS
};

/* Names and dtypes are those of NVIDIA's create_pretraining_data. */
static const struct {
    const char *name;
    int32_t ndim;
    int32_t dtype;
} BL_SHARD_LAYOUT[BL_SHARD_DATASETS] = {
    [BL_SHARD_INPUT_IDS] = {"input_ids", 2, BL_I32},    [BL_SHARD_INPUT_MASK] = {"input_mask", 2, BL_I8},
    [BL_SHARD_SEGMENT_IDS] = {"segment_ids", 2, BL_I8}, [BL_SHARD_POSITIONS] = {"masked_lm_positions", 2, BL_I32},
    [BL_SHARD_LABELS] = {"masked_lm_ids", 2, BL_I32},   [BL_SHARD_NEXT_LABELS] = {"next_sentence_labels", 1, BL_I8},
};

/* The order in which rows come: what the checks of one dataset need of another comes first. */
static const int32_t BL_SHARD_ORDER[BL_SHARD_DATASETS] = {
    BL_SHARD_INPUT_MASK, BL_SHARD_INPUT_IDS, BL_SHARD_SEGMENT_IDS,
    BL_SHARD_LABELS,     BL_SHARD_POSITIONS, BL_SHARD_NEXT_LABELS,
};

enum { BL_FRAME_MAGIC = 0x424c5346 };

enum {
    BL_FRAME_SIZES = 1, /* payload: bl_shard_sizes */
    BL_FRAME_ROWS,      /* payload: the next rows of dataset `value`, as the dtype of the layout */
    BL_FRAME_FAILED,    /* value: a bl_status; payload: the message, without a final 0 */
    BL_FRAME_END
};

typedef struct bl_shard_frame {
    uint32_t magic;
    int32_t kind;
    int64_t value;
    int64_t bytes; /* of the payload, which follows */
} bl_shard_frame;

typedef struct bl_shard_sizes {
    int64_t shape[BL_SHARD_DATASETS][2]; /* the second is 1 where a dataset has one dimension */
    char vocabulary[96];
} bl_shard_sizes;

/* Rows are sent in frames of at most this, or of one row. */
enum { BL_FRAME_ROWS_BYTES = 1 << 20, BL_FRAME_TEXT_BYTES = 1000 };

/* deflate never shrinks data by more than this; a larger claim is a damaged header. */
enum { BL_DEFLATE_MAX_RATIO = 1040 };

#endif
