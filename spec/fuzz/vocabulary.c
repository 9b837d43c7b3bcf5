/* vocabulary.c - a vocab.txt, and a text tokenized with it. */
#include "harness.h"

static const char text[] = "Hello, wor\xc3\xa9ld! unaffable 12345 \xe4\xbd\xa0 [MASK] a b c ab abc";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static bl_encoding *encoding;
    if (!encoding) CHECK(bl_encoding_create(&encoding) == BL_OK);
    bl_fuzz_input in = {data, bytes};
    bool lower_case = take(&in, 1) & 1;
    bl_tokenizer *tokenizer = NULL;
    bl_status status = bl_tokenizer_create(&tokenizer, as_file(in.data, in.bytes), lower_case);
    if (status != BL_OK) {
        CHECK_REFUSED(status);
        return 0;
    }
    int32_t size = bl_tokenizer_size(tokenizer);
    for (int32_t i = 0; i < size; i++) {
        const char *token = bl_tokenizer_token(tokenizer, i);
        /* A line without a token has none; of lines that repeat one, the last gives its id. */
        int32_t id = bl_tokenizer_id(tokenizer, token, strlen(token));
        CHECK(token[0] ? id >= i && id < size && strcmp(bl_tokenizer_token(tokenizer, id), token) == 0 : id < 0);
    }
    CHECK(!bl_tokenizer_token(tokenizer, size));
    CHECK(bl_tokenizer_encode(tokenizer, encoding, text, sizeof text - 1, true) == BL_OK);
    for (int64_t i = 0; i < encoding->count; i++)
        CHECK(encoding->ids[i] >= 0 && encoding->ids[i] < size);
    bl_tokenizer_free(tokenizer);
    return 0;
}
