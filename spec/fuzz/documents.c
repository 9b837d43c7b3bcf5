/* documents.c - documents of a text file, their division into shards, and a file's checksums. */
#include "harness.h"

static void scan(const char *path, int64_t bytes) {
    bl_documents documents = {0};
    int64_t at = 0;
    CHECK(bl_documents_scan(&documents, path, 3) == BL_OK);
    for (int64_t i = 0; i < documents.count; i++) {
        CHECK(documents.list[i].begin >= at && documents.list[i].bytes > 0 && documents.list[i].file == 3);
        at = documents.list[i].begin + documents.list[i].bytes;
    }
    CHECK(at <= bytes);
    bl_documents_free(&documents);
}

static void deal(bl_corpus *corpus, int32_t training, int32_t test) {
    bl_corpus_counts counts;
    int64_t sizes[8], dealt = 0, total = 0;
    bl_corpus_describe(corpus, &counts);
    bl_status status = bl_corpus_deal(corpus, training, test, sizes);
    if (status != BL_OK) {
        CHECK_REFUSED(status);
        return;
    }
    for (int32_t i = 0; i < training + test; i++) {
        const bl_corpus_document *list;
        int64_t count, sum = 0;
        CHECK(bl_corpus_shard(corpus, i, &list, &count) == BL_OK);
        for (int64_t k = 0; k < count; k++)
            sum += list[k].bytes;
        CHECK(sum == sizes[i]);
        dealt += count;
        total += sum;
    }
    CHECK(dealt == counts.documents && total == counts.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    bl_fuzz_input in = {data, bytes};
    int32_t training = 1 + (int32_t) (take(&in, 1) % 4), test = (int32_t) (take(&in, 1) % 3);
    int64_t max_line = 1 + (int64_t) take(&in, 2);
    const char *path = as_file(in.data, in.bytes);
    scan(path, (int64_t) in.bytes);
    bl_corpus *corpus = NULL;
    CHECK(bl_corpus_create(&corpus, "/tmp", 1 << 16, test ? 0.3 : 0, 5) == BL_OK);
    bl_status status = bl_corpus_scan(corpus, path, 0, max_line);
    if (status == BL_OK) {
        deal(corpus, training, test);
    } else {
        CHECK_REFUSED(status);
    }
    bl_corpus_free(corpus);
    char hex[65];
    CHECK(bl_file_sha256(path, hex) == BL_OK && strlen(hex) == 64);
    CHECK(bl_file_digest(path, "md5", hex) == BL_OK && strlen(hex) == 32);
    return 0;
}
