/* text.c - any bytes as text: tokens and their places, words, lower case, sentences, words of a vocabulary's trainer.
 */
#include "harness.h"

static bl_tokenizer *cased, *uncased;
static bl_encoding *plain, *placed;
static bl_words *words;
static bl_sentences *sentences;

static void set_up(void) {
    CHECK(bl_tokenizer_create(&cased, "vocab/bert-base-cased-vocab.txt", false) == BL_OK);
    CHECK(bl_tokenizer_create(&uncased, "vocab/bert-base-uncased-vocab.txt", true) == BL_OK);
    CHECK(bl_encoding_create(&plain) == BL_OK && bl_encoding_create(&placed) == BL_OK);
    CHECK(bl_words_create(&words) == BL_OK);
    CHECK(bl_sentences_create(&sentences, "en@ss=standard") == BL_OK);
}

static void tokenize(const bl_tokenizer *t, const char *text, size_t bytes) {
    CHECK(bl_tokenizer_encode(t, plain, text, bytes, false) == BL_OK);
    CHECK(bl_tokenizer_encode(t, placed, text, bytes, true) == BL_OK);
    CHECK(plain->count == placed->count);
    for (int64_t i = 0; i < placed->count; i++) {
        CHECK(plain->ids[i] == placed->ids[i] && placed->ids[i] >= 0 && placed->ids[i] < bl_tokenizer_size(t));
        CHECK(placed->starts[i] >= 0 && placed->starts[i] <= placed->ends[i]);
        CHECK((size_t) placed->ends[i] <= bytes);
    }
    CHECK(bl_tokenizer_words(t, words, text, bytes) == BL_OK);
    for (int64_t i = 0; i < words->count; i++) {
        CHECK(words->text_offsets[i] < words->text_offsets[i + 1]);
        CHECK(words->starts[i] >= 0 && words->starts[i] < words->ends[i] && (size_t) words->ends[i] <= bytes);
    }
    if (words->count > 0) CHECK(bl_utf8_check(words->text, words->text_offsets[words->count]) < 0);
    CHECK(bl_tokenizer_pieces(t, plain, text, bytes, true) == BL_OK);
}

static void lower(const char *text, size_t bytes) {
    char *out = malloc(3 * bytes + 1);
    size_t out_bytes = 0;
    CHECK(out && bl_text_lower(text, bytes, out, 3 * bytes, &out_bytes) == BL_OK && out_bytes <= 3 * bytes);
    if (bl_utf8_check(text, (int64_t) bytes) < 0) CHECK(bl_utf8_check(out, (int64_t) out_bytes) < 0);
    free(out);
}

/* Forwards and backwards over the same characters, wherever there are whole ones. */
static void walk(const char *text, size_t bytes) {
    bool utf8 = bl_utf8_check(text, (int64_t) bytes) < 0;
    bl_character next, before;
    int64_t at = 0;
    while (bl_text_character(text, (int64_t) bytes, at, &next)) {
        CHECK(next.begin == at && next.end > at && (size_t) next.end <= bytes && next.kind >= 0 && next.kind <= 8);
        CHECK(bl_text_character_before(text, (int64_t) bytes, next.end, &before) && before.end == next.end);
        if (utf8) CHECK(before.begin == next.begin && before.code_point == next.code_point);
        at = next.end;
    }
    CHECK(at == (int64_t) bytes);
    int64_t columns = bl_text_columns(text, (int64_t) bytes);
    CHECK(columns >= 0 && columns <= 2 * (int64_t) bytes);
}

static void split(const char *text, size_t bytes) {
    const int64_t *ends;
    int64_t count, at = 0;
    CHECK(bl_sentences_split(sentences, text, (int64_t) bytes, &ends, &count) == BL_OK);
    for (int64_t i = 0; i < count; i++) {
        CHECK(ends[i] > at);
        at = ends[i];
    }
    CHECK(at == (int64_t) bytes);
}

static void train(const char *text, size_t bytes) {
    bl_vocab_trainer *trainer = NULL;
    CHECK(bl_vocab_trainer_create(&trainer, true) == BL_OK);
    CHECK(bl_vocab_trainer_add(trainer, text, bytes) == BL_OK);
    bool done = false;
    bl_status status = bl_vocab_trainer_begin(trainer, 400, 1, 100);
    if (status == BL_OK) status = bl_vocab_trainer_step(trainer, 1000, &done);
    if (status != BL_OK) CHECK_REFUSED(status);
    bl_vocab_trainer_free(trainer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (!cased) set_up();
    char *text = exact_copy(data, bytes);
    if (text) {
        tokenize(cased, text, bytes);
        tokenize(uncased, text, bytes);
        lower(text, bytes);
        walk(text, bytes);
        split(text, bytes);
        /* Making a trainer takes longer than all else together. */
        if (bytes % 64 == 1) train(text, bytes);
    }
    free(text);
    return 0;
}
