/*
 * folder.c - the files of a model's folder, one of them arbitrary: config.json,
 * the tokenizer's, sentence-transformers', what bertlua recorded. What is opened
 * has sizes that make sense, notes of one line, and cuts texts within its limit.
 */
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

#include "encoder/encoder.h"
#include "harness.h"

static const char vocabulary[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\n";
static const char config[] =
    "{\"model_type\": \"bert\", \"vocab_size\": 7, \"hidden_size\": 4, \"num_hidden_layers\": 1, "
    "\"num_attention_heads\": 2, \"intermediate_size\": 8, \"max_position_embeddings\": 16}";
static const char tokenizer[] =
    "{\"model\": {\"type\": \"WordPiece\", \"vocab\": {\"[PAD]\": 0, \"[UNK]\": 1, \"[CLS]\": 2, \"[SEP]\": 3, "
    "\"[MASK]\": 4, \"a\": 5, \"##b\": 6}}, \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}}";
static const char modules[] = "[{\"type\": \"x.Transformer\", \"path\": \"\"}, {\"type\": \"x.Pooling\", \"path\": "
                              "\"1_Pooling\"}, {\"type\": \"x.Normalize\", \"path\": \"2\"}]";
static const char pooling[] = "{\"pooling_mode_cls_token\": true}";

/* The first byte of the input chooses one; NULL: there is none unless it is the arbitrary one. */
static const struct {
    const char *name, *text;
} files[] = {
    {"config.json", config},
    {"tokenizer.json", tokenizer},
    {"tokenizer_config.json", NULL},
    {"modules.json", modules},
    {"1_Pooling/config.json", pooling},
    {"sentence_bert_config.json", NULL},
    {"config_sentence_transformers.json", NULL},
    {"progress.json", NULL},
    {"checksums.json", NULL},
    {"squad_settings.json", NULL},
    {"added_tokens.json", NULL},
    {"vocab.txt", vocabulary},
    {"model.safetensors.index.json", NULL},
};
enum { COUNT = sizeof files / sizeof *files };

static char folder[PATH_MAX];

static const char *path_of(const char *name) {
    static char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const void *data, size_t bytes) {
    FILE *file = fopen(path_of(name), "wb");
    CHECK(file && (bytes == 0 || fwrite(data, 1, bytes, file) == bytes) && fclose(file) == 0);
}

static void remove_folder(void) {
    for (int i = 0; i < COUNT; i++)
        unlink(path_of(files[i].name));
    unlink(path_of("model.safetensors"));
    rmdir(path_of("1_Pooling"));
    rmdir(folder);
}

/* A file as it is when it is not the arbitrary one. */
static void restore(int i) {
    if (files[i].text)
        write_file(files[i].name, files[i].text, strlen(files[i].text));
    else
        unlink(path_of(files[i].name));
}

static void make_folder(void) {
    const char *home = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/bertlua-fuzz-XXXXXX", home ? home : "/tmp");
    CHECK(mkdtemp(folder) && mkdir(path_of("1_Pooling"), 0700) == 0);
    atexit(remove_folder);
    for (int i = 0; i < COUNT; i++)
        restore(i);
    write_file("model.safetensors", "", 0);
}

/* Texts with the folder's tokenizer, alone and in pairs. */
static void check_texts(bl_encoder *encoder) {
    static const char *const texts[] = {"", "ab a[MASK]bb", "[SEP][[CLS]] \xc3\xa9",
                                        "aaaaaaaaaaaaa b c d e f g h i j k l m n"};
    bl_ids ids;
    int32_t length, size = bl_tokenizer_size(encoder->folder.tokenizer), limit = encoder->folder.max_length;
    CHECK(bl_ids_create(&ids) == BL_OK);
    for (int i = 0; i < 16; i++)
        CHECK(bl_ids_add(&ids, encoder, "fuzz", i, texts[i / 4], i % 4 ? texts[i % 4] : NULL, &length) == BL_OK);
    for (int i = 0; i < 16; i++) {
        int64_t bytes = ids.offsets[i + 1] - ids.offsets[i];
        CHECK(bytes >= 2 && bytes <= limit && ids.first_lengths[i] >= 2 && ids.first_lengths[i] <= bytes);
    }
    for (int64_t i = 0; i < ids.count; i++)
        CHECK(ids.ids[i] >= 0 && ids.ids[i] < size);
    bl_ids_free(&ids);
}

static void check_folder(const bl_model_folder *f) {
    const bl_model_size *s = &f->size;
    CHECK(s->hidden_size > 0 && s->layers > 0 && s->attention_heads > 0 && s->hidden_size % s->attention_heads == 0);
    CHECK(s->intermediate_size > 0 && s->types > 0 && s->layer_norm_eps >= 0);
    CHECK(s->vocab_size >= bl_tokenizer_size(f->tokenizer));
    CHECK(f->max_length >= 3 && f->max_length <= s->positions);
    CHECK(f->weight_file_count > 0 && f->problem >= -1 && f->problem <= BL_PROBLEM_VALUES);
    CHECK((f->pooling & ~BL_POOL_NORMALIZED) == BL_POOL_MEAN || (f->pooling & ~BL_POOL_NORMALIZED) == BL_POOL_CLS);
    for (int32_t i = 0; i < f->label_count; i++)
        CHECK(f->labels[i]);
    for (int32_t i = 0; i < f->note_count; i++)
        CHECK(f->notes[i][0] && !strpbrk(f->notes[i], "\n\r\033"));
    /* Nothing outside of the folder is ever opened. */
    for (int32_t i = 0; i < f->weight_file_count; i++)
        CHECK(strncmp(f->weight_files[i], folder, strlen(folder)) == 0 &&
              !strchr(f->weight_files[i] + strlen(folder) + 1, '/'));
    const bl_answer_settings *a = &f->answers;
    CHECK(a->max_seq_length > 0 && a->max_seq_length <= s->positions && a->doc_stride > 0);
    CHECK(a->n_best_size > 0 && a->max_answer_length > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (!folder[0]) make_folder();
    bl_fuzz_input in = {data, bytes};
    uint64_t chosen = take(&in, 1);
    int i = (int) (chosen % COUNT);
    bool json_alone = chosen >= 128;
    write_file(files[i].name, in.data, in.bytes);
    /* The vocabulary may also be the tokenizer.json alone, the parameters the files of an index. */
    if (json_alone) unlink(path_of("vocab.txt"));
    if (strstr(files[i].name, ".index.json")) unlink(path_of("model.safetensors"));
    bl_encoder encoder = {0};
    bl_status status = bl_folder_open(&encoder.folder, folder, NULL);
    if (status == BL_OK) {
        check_folder(&encoder.folder);
        check_texts(&encoder);
        bl_folder_close(&encoder.folder);
    } else {
        CHECK_REFUSED(status);
        CHECK(!encoder.folder.path);
    }
    restore(i);
    restore(11);
    if (strstr(files[i].name, ".index.json")) write_file("model.safetensors", "", 0);
    return 0;
}
