/*
 * shard.c - the side of bertlua that reads shards: the seal at a file's end,
 * and what comes through the pipe from bertlua-hdf5, which may be anything
 * once a hostile file has taken that process over. This file stands in for
 * data/shard_source.c: the pipe is the input.
 */
#include <errno.h>
#include <fcntl.h>

#include "data/shard.h"
#include "harness.h"

static bl_fuzz_input file_bytes, pipe_bytes;

bl_status bl_shard_source_open(bl_shard_source *source, const char *path, const atomic_bool *cancelled) {
    *source = (bl_shard_source){.path = path, .cancelled = cancelled, .child = -1, .pipe = -1};
    source->descriptor = open(as_file(file_bytes.data, file_bytes.bytes), O_RDONLY | O_CLOEXEC);
    source->file_bytes = (int64_t) file_bytes.bytes;
    CHECK(source->descriptor >= 0);
    return BL_OK;
}

bl_status bl_shard_source_start(bl_shard_source *source, bool rows) {
    (void) source, (void) rows;
    return BL_OK;
}

bl_status bl_shard_source_payload(bl_shard_source *source, void *out, size_t bytes) {
    if (bytes > pipe_bytes.bytes) return bl_fail(BL_ERROR_FORMAT, "%s: the process ended early", source->path);
    if (bytes > 0) memcpy(out, pipe_bytes.data, bytes);
    pipe_bytes.data += bytes;
    pipe_bytes.bytes -= bytes;
    return BL_OK;
}

bl_status bl_shard_source_next(bl_shard_source *source, int32_t kind, bl_shard_frame *frame) {
    /* The mark and the kind are given, so that the fuzzer need not find them; the rest is the process's. */
    *frame = (bl_shard_frame){.magic = BL_FRAME_MAGIC, .kind = kind};
    frame->value = (int8_t) take(&pipe_bytes, 1);
    frame->bytes = (int32_t) take(&pipe_bytes, 4);
    if (pipe_bytes.bytes == 0 && kind != BL_FRAME_END)
        return bl_fail(BL_ERROR_FORMAT, "%s: the process ended early", source->path);
    return BL_OK;
}

void bl_shard_source_close(bl_shard_source *source) {
    if (source->descriptor >= 0) close(source->descriptor);
    source->descriptor = -1;
}

static void check_rows(const bl_shard *shard, const bl_shard_limits *limits, int64_t held) {
    bl_shard_info info;
    bl_shard_describe(shard, &info);
    CHECK(info.held == (held >= 0 ? held : info.samples) && info.samples > 0);
    CHECK(info.vocabulary[sizeof info.vocabulary - 1] == 0);
    for (int64_t i = 0; i < info.held; i++) {
        bl_shard_row row;
        CHECK(bl_shard_row_get(shard, i, &row) == BL_OK);
        CHECK(row.length > 0 && row.length <= info.max_seq_length);
        CHECK(row.masked >= 0 && row.masked <= info.max_predictions_per_seq);
        CHECK(row.next_sentence_label == 0 || row.next_sentence_label == 1);
        for (int64_t k = 0; k < info.max_seq_length; k++) {
            CHECK(row.input_ids[k] >= 0 && row.input_ids[k] < limits->vocab_size);
            CHECK(row.segment_ids[k] >= 0 && row.segment_ids[k] < limits->type_vocab_size);
        }
        for (int32_t k = 0; k < row.masked; k++) {
            CHECK(row.positions[k] >= 0 && row.positions[k] < row.length);
            CHECK(row.labels[k] > 0 && row.labels[k] < limits->vocab_size);
        }
    }
}

/* A seal that fits the file, with sizes from the input. */
static uint8_t *with_seal(bl_fuzz_input *in, const uint8_t *body, size_t bytes) {
    bl_seal seal = {.body_bytes = (int64_t) bytes, .crc = bl_crc32c(0, body, bytes)};
    seal.samples = (int64_t) take(in, 1);
    seal.max_seq_length = (int64_t) take(in, 1);
    seal.max_predictions_per_seq = (int64_t) take(in, 1);
    uint8_t *whole = malloc(bytes + BL_SEAL_BYTES);
    CHECK(whole);
    if (bytes > 0) memcpy(whole, body, bytes);
    bl_seal_encode(&seal, whole + bytes);
    return whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    bl_fuzz_input in = {data, bytes};
    uint64_t how = take(&in, 1);
    size_t body = (size_t) take(&in, 2);
    bl_shard_limits limits = {.vocab_size = 100, .type_vocab_size = 2};
    if (body > in.bytes) body = in.bytes;
    bl_fuzz_input rest = {in.data + body, in.bytes - body};
    uint8_t *sealed = how & 1 ? with_seal(&rest, in.data, body) : NULL;
    file_bytes = sealed ? (bl_fuzz_input){sealed, body + BL_SEAL_BYTES} : (bl_fuzz_input){in.data, body};
    pipe_bytes = rest;
    const int64_t rows[] = {1, 0};
    bl_shard_part part = {.rows = rows, .count = how & 4 ? 2 : 1};
    bl_shard *shard = NULL;
    bl_status status;
    if (how & 8) {
        bl_shard_info info;
        status = bl_shard_probe(&info, "FILE", &limits);
    } else {
        status = bl_shard_read(&shard, "FILE", &limits, how & 2 ? &part : NULL);
        if (status == BL_OK) check_rows(shard, &limits, how & 2 ? part.count : -1);
        bl_shard_free(shard);
    }
    /* Internal: only where the two programs are not of one build. */
    if (status != BL_OK && status != BL_ERROR_INTERNAL) CHECK_REFUSED(status);
    free(sealed);
    return 0;
}
