/*
 * data.h - pre-training data: HDF5 files, shards, masking, batches, prefetch,
 * and the documents of text files that instances are made of.
 *
 * Part of the public C API (include "bertlua.h"). N samples, S tokens per
 * sample, P masked slots per sample, B samples per batch, T rows of a batch.
 * Every message about a file starts with its path.
 */
#ifndef BERTLUA_API_DATA_H
#define BERTLUA_API_DATA_H

#include "core.h"

/* CDEF-BEGIN */

/*
 * Writer of an HDF5 file with plain datasets. The file grows in memory; commit
 * writes it to "<path>.tmp-<pid>", syncs and renames it to path. free without
 * a commit removes the temporary file; an older file at path stays untouched.
 */
typedef struct bl_hdf5_writer bl_hdf5_writer;
bl_status bl_hdf5_writer_create(bl_hdf5_writer **out, const char *path);
/*
 * Add dataset name: ndim 1..4, any dtype but bf16 and f16, data contiguous.
 * gzip 0..9 (0 stores as is); checksum adds HDF5's fletcher32 filter.
 */
bl_status bl_hdf5_writer_add(bl_hdf5_writer *writer, const char *name, int32_t dtype, int32_t ndim,
                             const int64_t *shape, const void *data, int32_t gzip, bool checksum);
/* Attach a text to the file as a whole (an attribute of its root). */
bl_status bl_hdf5_writer_note(bl_hdf5_writer *writer, const char *name, const char *text);
bl_status bl_hdf5_writer_commit(bl_hdf5_writer *writer);
void bl_hdf5_writer_free(bl_hdf5_writer *writer);

/* What a shard is checked against; 0 leaves a check out. */
typedef struct bl_shard_limits {
    int64_t max_seq_length;          /* S must equal it */
    int64_t max_predictions_per_seq; /* P must not exceed it */
    int64_t vocab_size;              /* token ids and labels lie below it */
    int64_t type_vocab_size;         /* segment ids lie below it */
    int64_t samples;                 /* N when it was probed: files must not change in between */
} bl_shard_limits;

/* Sizes of a shard. */
typedef struct bl_shard_info {
    int64_t samples; /* in the file */
    int64_t held;    /* in memory; 0 from a probe */
    int64_t max_seq_length;
    int64_t max_predictions_per_seq;
    int64_t file_bytes;
    uint32_t checksum;   /* CRC32C of all of the file that HDF5 reads, or of three places in shards made elsewhere */
    char vocabulary[96]; /* as given in bl_shard_options; "" in shards made elsewhere */
} bl_shard_info;

/* One shard in memory, or the part of it that one process reads; every value of the file checked. */
typedef struct bl_shard bl_shard;

/* Rows of a file to keep, each once: held row k is row rows[k] of the file. */
typedef struct bl_shard_part {
    const int64_t *rows;
    int64_t count;
} bl_shard_part;

/* Names, dtypes, shapes and limits only: no sample is read. */
bl_status bl_shard_probe(bl_shard_info *out, const char *path, const bl_shard_limits *limits);
/*
 * Put a seal behind a shard that has none, so that any later change of a byte
 * is noticed (engine/data/shard_seal.c). Every value is read and checked first.
 * *added is false if the file had one, which is then compared with its bytes.
 */
bl_status bl_shard_seal(const char *path, bool *added);
/*
 * Read and check a whole shard: input_ids, masked_lm_positions, masked_lm_ids
 * int32, input_mask, segment_ids, next_sentence_labels int8 in the file (any
 * other integer type is taken if its values fit). input_mask must be ones and
 * then zeros; a masked slot counts up to the first masked_lm_ids of 0. Given a
 * part, only its rows are kept, in that order; memory is what they take, about
 * 1 MiB or a chunk of the file for reading, and 12 bytes per sample meanwhile.
 */
bl_status bl_shard_read(bl_shard **out, const char *path, const bl_shard_limits *limits, const bl_shard_part *part);
void bl_shard_free(bl_shard *shard);
void bl_shard_describe(const bl_shard *shard, bl_shard_info *out);

/* One held row of a shard as it stands in the file; pointers live as long as the shard. */
typedef struct bl_shard_row {
    const int32_t *input_ids;    /* [S] */
    const int8_t *segment_ids;   /* [S] */
    const int32_t *positions;    /* [P] */
    const int32_t *labels;       /* [P] */
    int32_t length;              /* real tokens */
    int32_t masked;              /* used slots of positions and labels */
    int32_t next_sentence_label; /* 1 = random next */
} bl_shard_row;
bl_status bl_shard_row_get(const bl_shard *shard, int64_t row, bl_shard_row *out);

/*
 * Reads one shard, or a part of it, in a thread of its own while the caller
 * keeps working. start begins and copies its arguments; wait blocks until the
 * shard is there and hands it out, or reports the thread's error. free stops a
 * running read at the next block.
 */
typedef struct bl_prefetch bl_prefetch;
bl_status bl_prefetch_start(bl_prefetch **out, const char *path, const bl_shard_limits *limits,
                            const bl_shard_part *part);
/* Ends the prefetch: *prefetch is freed and set to NULL whatever the result. */
bl_status bl_prefetch_wait(bl_prefetch **prefetch, bl_shard **out);
/* True once wait would not block. */
bool bl_prefetch_ready(const bl_prefetch *prefetch);
void bl_prefetch_free(bl_prefetch *prefetch);

/*
 * Masked language model (arXiv 1810.04805, section 3.1): of the n tokens of a
 * sample min(P, max(1, round(n * probability))) are chosen among those that
 * are not [CLS] or [SEP]; 80 % become [MASK], 10 % stay, 10 % become a random
 * word of the vocabulary.
 *
 * With `continues`, whole words are chosen, as in Google's BERT: a piece that
 * goes on with a word ("##ing") belongs to the token before it. Words are drawn
 * at random; one with more tokens than are still to be chosen is passed over,
 * so that the number of tokens is the same as above or, at the end, smaller.
 * Each token of a word meets its own fate. A piece behind [CLS] or [SEP] begins
 * a word.
 */
typedef struct bl_masking {
    double probability;
    int32_t max_predictions; /* P */
    int32_t vocab_size;
    int32_t cls_id;
    int32_t sep_id;
    int32_t mask_id;
    const uint8_t *continues; /* [vocab_size] 1: the token goes on with a word; NULL: tokens are chosen one by one */
} bl_masking;
/* Mask ids [length] in place; positions (ascending) and labels have P slots; count = slots used. */
bl_status bl_mask_tokens(bl_rng *rng, const bl_masking *masking, int32_t *ids, int32_t length, int32_t *positions,
                         int32_t *labels, int32_t *count);

/*
 * A batch in host memory, made once and filled again and again. Padded: T =
 * B * S, sample b starts at row b * S. Packed: samples follow each other and T
 * is rounded up to row_multiple with rows of id 0 in no segment. M is the
 * number of masked tokens rounded up to masked_multiple; filler has index 0
 * and label -1. Neither passes what B full samples need. The tensors are views
 * of the batch's memory, always at the same places.
 */
typedef struct bl_batch {
    int64_t batch_size;              /* B */
    int64_t max_seq_length;          /* S */
    int64_t max_predictions_per_seq; /* P */
    int64_t samples;                 /* filled so far */
    int64_t tokens;                  /* real tokens so far */
    int64_t masked;                  /* masked tokens so far */
    int32_t packed;
    int32_t row_multiple;    /* 64 by default; the caller may set a multiple of that */
    int32_t masked_multiple; /* 16 by default; the caller may set a multiple of that */
    bl_tensor ids;           /* i32 [T] */
    bl_tensor positions;     /* i32 [T] */
    bl_tensor types;         /* i32 [T] */
    bl_tensor segments;      /* i32 [B,2] first row, length */
    bl_tensor cls_index;     /* i32 [B] */
    bl_tensor masked_index;  /* i32 [M] rows */
    bl_tensor masked_labels; /* i32 [M] */
    bl_tensor nsp_labels;    /* i32 [B] */
} bl_batch;
bl_status bl_batch_create(bl_batch **out, int64_t batch_size, int64_t max_seq_length, int64_t max_predictions_per_seq,
                          bool packed);
/*
 * The same in memory that the caller owns and keeps (pinned, for instance): at
 * least bl_batch_bytes, 64-byte aligned. 0 bytes for arguments that
 * bl_batch_create refuses.
 */
bl_status bl_batch_create_in(bl_batch **out, int64_t batch_size, int64_t max_seq_length,
                             int64_t max_predictions_per_seq, bool packed, void *memory);
size_t bl_batch_bytes(int64_t batch_size, int64_t max_seq_length, int64_t max_predictions_per_seq);
void bl_batch_free(bl_batch *batch);
/* Empty it for the next fill. */
void bl_batch_begin(bl_batch *batch);
/*
 * Append count held rows of shard, numbers rows[0..count). With masking, the mask
 * of the file is undone and a new one drawn from Philox stream (seed,
 * 2^63 + sample + i) for the i-th row.
 */
bl_status bl_batch_append(bl_batch *batch, const bl_shard *shard, const int64_t *rows, int64_t count,
                          const bl_masking *masking, uint64_t seed, uint64_t sample);
/*
 * Append one sequence that is in no shard: ids [length], special tokens
 * included, of which the first first_length have type 0 and the others type 1.
 * They are not changed; the batch gets them masked, from the same stream as a
 * row of bl_batch_append with this sample number. next_sentence_label -1: none.
 */
bl_status bl_batch_append_ids(bl_batch *batch, const int32_t *ids, int32_t length, int32_t first_length,
                              int32_t next_sentence_label, const bl_masking *masking, uint64_t seed, uint64_t sample);
/*
 * Append one sequence whose masks are chosen already: ids as the model sees
 * them, and the positions [masked], ascending, and labels of what it is to
 * predict. masked is at most P.
 */
bl_status bl_batch_append_masked(bl_batch *batch, const int32_t *ids, int32_t length, int32_t first_length,
                                 int32_t next_sentence_label, const int32_t *positions, const int32_t *labels,
                                 int32_t masked);
/* Round T and M up and set the tensors; all B samples must be there. */
bl_status bl_batch_finish(bl_batch *batch);

/* A growing array of int32 for the tokens of a corpus. */
typedef struct bl_int32_list {
    int32_t *values;
    int64_t count;
    int64_t capacity;
} bl_int32_list;
bl_status bl_int32_list_append(bl_int32_list *list, const int32_t *values, int64_t count);
void bl_int32_list_free(bl_int32_list *list);

/* A sample in the making: two spans of a flat token array. */
typedef struct bl_instance {
    int32_t first_begin;
    int32_t first_length;
    int32_t second_begin;
    int32_t second_length;
    int32_t random_next;
} bl_instance;

/* How instances become rows. */
typedef struct bl_shard_options {
    int64_t max_seq_length;
    int32_t gzip;
    bool checksum;
    const char *vocabulary; /* noted in the file: which vocabulary the ids belong to; NULL for none */
    uint64_t seed;          /* masks come from Philox streams (seed, stream + instance number) */
    uint64_t stream;
} bl_shard_options;
/*
 * Write [CLS] A [SEP] B [SEP], masked, for instances[order[i]], i = 0..count,
 * as a shard with the datasets named at bl_shard_read. Rows are made and
 * compressed block by block, so that memory holds the compressed file only.
 */
bl_status bl_shard_write(const char *path, const bl_shard_options *options, const bl_masking *masking,
                         const int32_t *tokens, int64_t token_count, const bl_instance *instances, const int64_t *order,
                         int64_t count);

/*
 * Documents of text files: runs of lines without a blank line between them.
 * Scanning only finds borders; order is that of the files and within them.
 */
typedef struct bl_document {
    int64_t begin; /* byte offset in its file */
    int64_t bytes;
    uint64_t hash; /* of its lines */
    int32_t file;  /* number of the path, from 0 */
} bl_document;
typedef struct bl_documents {
    bl_document *list;
    int64_t count;
    int64_t capacity;
} bl_documents;
/* Append the documents of the file at path, which gets number `file`. */
bl_status bl_documents_scan(bl_documents *documents, const char *path, int32_t file);
/* How many documents are copies of an earlier one, judging by hash and size. */
bl_status bl_documents_repeated(const bl_documents *documents, int64_t *out);
void bl_documents_free(bl_documents *documents);

/* CDEF-END */

#endif
