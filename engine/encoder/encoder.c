/*
 * encoder.c - opening a model folder, and what there is to know of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encoder/folder.h"
#include "encoder/model.h"
#include "encoder/workspace.h"

static bl_status check_options(const bl_encoder_options *o) {
    if (o->dtype != BL_F32 && o->dtype != BL_BF16 && o->dtype != BL_F16)
        return bl_fail(BL_ERROR_ARGUMENT, "encoder: dtype is %d, expected 0 (f32), 1 (bf16) or 2 (f16)",
                       (int) o->dtype);
    if (o->threads < 0)
        return bl_fail(BL_ERROR_ARGUMENT, "encoder: threads is %d, expected 0 (all cores) or more", (int) o->threads);
    if (o->max_length < 0 || o->max_length == 1 || o->max_length == 2)
        return bl_fail(BL_ERROR_ARGUMENT, "encoder: max_length is %d, expected 3 or more, or 0", (int) o->max_length);
    if (o->lower_case < -1 || o->lower_case > 1)
        return bl_fail(BL_ERROR_ARGUMENT, "encoder: lower_case is %d, expected -1, 0 or 1", (int) o->lower_case);
    const bl_encoder_parameters *p = o->parameters;
    if (p && (p->count < 0 || !p->names || !p->tensors))
        return bl_fail(BL_ERROR_ARGUMENT,
                       "encoder: names or tensors of parameters is NULL, or their count is negative");
    return BL_OK;
}

/* Names LABEL_0 ... where config.json has others than the classifier has outputs, as in transformers. */
static bl_status name_labels(bl_model_folder *folder, int32_t count) {
    if (folder->labels && folder->label_count == count) return BL_OK;
    char **labels = calloc((size_t) count + 1, sizeof *labels);
    bool ok = labels != NULL;
    for (int32_t i = 0; ok && i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "LABEL_%d", (int) i);
        labels[i] = strdup(name);
        ok = labels[i] != NULL;
    }
    char **old = ok ? folder->labels : labels;
    int32_t old_count = ok ? folder->label_count : count;
    for (int32_t i = 0; old && i < old_count; i++)
        free(old[i]);
    free(old);
    if (!ok) return bl_fail(BL_ERROR_MEMORY, "encoder: out of memory for the names of labels");
    folder->labels = labels;
    folder->label_count = count;
    return BL_OK;
}

/* What only the parameters tell of the classifier. */
static bl_status settle_labels(bl_encoder *encoder) {
    bl_model_folder *folder = &encoder->folder;
    const struct bl_model *model = encoder->model;
    int32_t count = (int32_t) model->sizes[BL_SIZE_LABELS];
    if (!model->has[BL_HEAD_LABELS] && !model->has[BL_HEAD_TAGS]) count = 0;
    BL_TRY(name_labels(folder, count));
    if (folder->problem < 0) folder->problem = count == 1 ? BL_PROBLEM_VALUES : BL_PROBLEM_SINGLE;
    return BL_OK;
}

/* What is computed otherwise than it was asked for. */
static bl_status note_dtype(bl_encoder *encoder) {
    int32_t asked = encoder->options.dtype, got = encoder->model->dtype;
    if (asked == got) return BL_OK;
    const char *name = bl_dtype_name(asked);
    return bl_folder_note(&encoder->folder, "this CPU computes %s slower than f32: the model computes in f32", name);
}

static bl_status open_encoder(bl_encoder *encoder, const char *path) {
    bl_encoder_options *options = &encoder->options;
    BL_TRY(bl_folder_open(&encoder->folder, path, options));
    BL_TRY(bl_model_open(&encoder->model, &encoder->folder, options));
    BL_TRY(note_dtype(encoder));
    /* The caller's, and read by now. */
    options->vocab_file = options->config_file = NULL;
    options->parameters = NULL;
    BL_TRY(settle_labels(encoder));
    BL_TRY(bl_workspaces_open(&encoder->workspaces, options));
    return bl_encoder_check_memory(encoder);
}

BL_API bl_status bl_encoder_open(bl_encoder **out, const char *folder, const bl_encoder_options *options) {
    if (!out || !folder)
        return bl_fail(BL_ERROR_ARGUMENT, "encoder: %s is NULL, expected %s", out ? "folder" : "out",
                       out ? "the path of a model folder" : "a place for the encoder");
    if (!*folder) return bl_fail(BL_ERROR_ARGUMENT, "encoder: the path is empty, expected that of a model folder");
    bl_encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder) return bl_fail(BL_ERROR_MEMORY, "encoder: out of memory");
    if (options) encoder->options = *options;
    bl_status status = check_options(&encoder->options);
    if (status == BL_OK) status = open_encoder(encoder, folder);
    if (status != BL_OK) {
        bl_encoder_free(encoder);
        return status;
    }
    *out = encoder;
    return BL_OK;
}

BL_API void bl_encoder_free(bl_encoder *encoder) {
    if (!encoder) return;
    bl_workspaces_close(encoder->workspaces);
    bl_model_close(encoder->model);
    bl_folder_close(&encoder->folder);
    free(encoder);
}

BL_API bl_status bl_encoder_describe(bl_encoder *encoder, bl_encoder_info *out) {
    if (!encoder || !out)
        return bl_fail(BL_ERROR_ARGUMENT, "encoder_describe: %s is NULL", encoder ? "out" : "encoder");
    const bl_model_folder *folder = &encoder->folder;
    const struct bl_model *model = encoder->model;
    *out = (bl_encoder_info){
        .hidden_size = folder->size.hidden_size,
        .layers = folder->size.layers,
        .attention_heads = folder->size.attention_heads,
        .vocab_size = folder->size.vocab_size,
        .max_length = folder->max_length,
        .labels = folder->label_count,
        .problem = folder->problem,
        .pooling = folder->pooling,
        .fills_masks = model->has[BL_HEAD_WORDS],
        .classifies = model->has[BL_HEAD_LABELS],
        .tags = model->has[BL_HEAD_TAGS],
        .answers = model->has[BL_HEAD_SPANS],
        .parameters = model->numel,
        .bytes_of_calls = bl_workspaces_held(encoder->workspaces),
        .lower_case = folder->lower_case,
        .dtype = model->dtype,
        .int8 = model->integers,
    };
    return BL_OK;
}

bl_status bl_encoder_lacks(const bl_encoder_info *info, const char *op, const char *head) {
    const char *other = info->fills_masks  ? "an MLM head"
                        : info->classifies ? "a classification head"
                        : info->tags       ? "a token-classification head"
                        : info->answers    ? "a question-answering head"
                                           : "none";
    return bl_fail(BL_ERROR_UNSUPPORTED, "%s: this encoder has no %s head (it has %s): open a model that has one", op,
                   head, other);
}

BL_API const char *bl_encoder_label(const bl_encoder *encoder, int32_t index) {
    if (!encoder || index < 0 || index >= encoder->folder.label_count) return NULL;
    return encoder->folder.labels[index];
}

BL_API const struct bl_tokenizer *bl_encoder_tokenizer(const bl_encoder *encoder) {
    return encoder ? encoder->folder.tokenizer : NULL;
}
