/*
 * passage.c - any context, and what spans of its tokens stand for: a part of the
 * context whose text, with one space between words, is the answer's.
 */
#include "encoder/answer.h"
#include "harness.h"

static const char vocabulary[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##a\n##b\nab\n##\n#\n.\n(\n\xc3\x9f\n##\xc3\x9f\n"
    "\xe5\x8c\x97\n\xe4\xba\xac\n##\xcc\x81\n";

/* Whether bytes of the context are the text, but for white space. */
static bool is_text(const char *context, int64_t begin, int64_t end, const char *text) {
    for (int64_t at = begin; at < end;) {
        int width = 0, run = 0;
        while (at < end && ((width = strchr(" \t\r\n", context[at]) ? 1 : 0) ||
                            (width = strncmp(context + at, "\xe2\x80\xaf", 3) ? 0 : 3))) {
            at += width;
            run++;
        }
        if (run > 0 && *text++ != ' ') return false;
        if (at < end && *text++ != context[at++]) return false;
    }
    return *text == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static bl_tokenizer *tokenizers[2];
    static bl_encoding *encoding;
    for (int i = 0; i < 2 && !tokenizers[i]; i++)
        CHECK(bl_tokenizer_create(&tokenizers[i], as_file((const uint8_t *) vocabulary, sizeof vocabulary - 1),
                                  i == 1) == BL_OK);
    if (!encoding) CHECK(bl_encoding_create(&encoding) == BL_OK);
    bl_fuzz_input in = {data, bytes};
    bl_tokenizer *tokenizer = tokenizers[take(&in, 1) & 1];
    char *context = malloc(in.bytes + 1);
    CHECK(context);
    memcpy(context, in.data, in.bytes);
    context[in.bytes] = 0;
    bl_passage passage;
    bl_aligner *aligner;
    /* As in bl_encoder_answer_question. */
    if (bl_utf8_check(context, (int64_t) strlen(context)) < 0) {
        CHECK(bl_passage_read(&passage, tokenizer, encoding, context) == BL_OK);
        CHECK(bl_aligner_create(&aligner, &passage) == BL_OK);
        for (int64_t i = 0; i < passage.count; i++) {
            CHECK(passage.word_starts[i] <= passage.starts[i] && passage.starts[i] < passage.word_ends[i]);
            for (int64_t j = i; j < passage.count && j < i + 4; j++) {
                bl_answer_text answer;
                CHECK(bl_aligner_find(aligner, i, j, &answer) == BL_OK);
                CHECK(answer.begin >= 0 && answer.begin <= answer.end && answer.end <= (int64_t) strlen(context));
                CHECK(is_text(context, answer.begin, answer.end, answer.text));
                free(answer.text);
            }
        }
        bl_aligner_free(aligner);
        bl_passage_free(&passage);
    }
    free(context);
    return 0;
}
