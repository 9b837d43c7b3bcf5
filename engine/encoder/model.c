/*
 * model.c - the parameters of a model: mapped from its files where they lie
 * there as ops read them, else copied; and which heads there are.
 */
#include "encoder/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "encoder/names.h"
#include "encoder/weights.h"
#include "storage/safetensors.h"

typedef struct mapping {
    void *base;
    size_t bytes;
    bool used;
} mapping;

struct bl_model_store {
    mapping *maps; /* one a file */
    int32_t map_count;
    bl_buffer **buffers;
    int64_t buffer_count, buffer_room;
};

/* What opening a model works with. */
typedef struct opening {
    struct bl_model *model;
    const bl_model_folder *folder;
    const bl_encoder_parameters *parameters; /* in memory, in place of the files; NULL */
    bool packs;                              /* matrices of layers, for the CPU's products */
    bl_buffer *joined;                       /* of weights.h */
    bl_safetensors **files;
    bl_names names;
} opening;

/* Parameters that only one head has (lua/bertlua/weights/heads.lua). */
static const char words_tell[] = "cls.predictions.transform.dense.weight", spans_tell[] = "qa_outputs.weight",
                  labels_tell[] = "classifier.weight";

/* Names of transformers' for what is the same tensor. */
static const char *const twins[][2] = {
    {"bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"},
    {"cls.predictions.bias", "cls.predictions.decoder.bias"},
};

static const char *twin_of(const char *name) {
    for (size_t i = 0; i < sizeof twins / sizeof *twins; i++)
        if (strcmp(name, twins[i][0]) == 0) return twins[i][1];
    return NULL;
}

/* A parameter's tensor, or its twin where a program has left out either. */
static const bl_named *find_tensor(const opening *o, const char *name) {
    const bl_named *found = bl_names_find(&o->names, name);
    const char *twin = twin_of(name);
    return found || !twin ? found : bl_names_find(&o->names, twin);
}

/* What messages call the place of a tensor. */
static const char *path_of(const opening *o, const bl_named *named) {
    return o->parameters ? o->folder->path : o->folder->weight_files[named->file];
}

static bl_status describe(const opening *o, const bl_named *named, bl_safetensors_info *info) {
    if (!o->parameters) return bl_safetensors_describe(o->files[named->file], named->index, info);
    const bl_tensor *t = &o->parameters->tensors[named->index];
    *info = (bl_safetensors_info){.name = named->ours, .ndim = t->ndim, .native = t->dtype};
    info->dtype = t->dtype == BL_F32    ? "F32"
                  : t->dtype == BL_BF16 ? "BF16"
                  : t->dtype == BL_F16  ? "F16"
                                        : "not of a floating-point dtype:";
    for (int32_t i = 0; i < t->ndim; i++)
        info->shape[i] = t->shape[i];
    size_t bytes = 0;
    BL_TRY(bl_shape_bytes("encoder", t->dtype, t->ndim, t->shape, &bytes));
    info->bytes = bytes;
    return BL_OK;
}

/* ---- heads ---- */

static bl_status find_heads(opening *o) {
    struct bl_model *model = o->model;
    const char *class = o->folder->architecture;
    model->has[BL_HEAD_HIDDEN] = model->has[BL_HEAD_MEAN] = model->has[BL_HEAD_CLS] = true;
    model->has[BL_HEAD_WORDS] = find_tensor(o, words_tell) != NULL;
    model->has[BL_HEAD_SPANS] = find_tensor(o, spans_tell) != NULL;
    const bl_named *classifier = find_tensor(o, labels_tell);
    if (!classifier) return BL_OK;
    /* Other models have a head of this name that scores something else: tokens, choices. */
    model->has[BL_HEAD_TAGS] = class && strcmp(class, "BertForTokenClassification") == 0;
    model->has[BL_HEAD_LABELS] = !class || strcmp(class, "BertForSequenceClassification") == 0;
    bl_safetensors_info info;
    BL_TRY(describe(o, classifier, &info));
    model->sizes[BL_SIZE_LABELS] = info.ndim > 0 ? info.shape[0] : 0;
    return BL_OK;
}

/* ---- one tensor ---- */

static const char *format_shape(const int64_t *shape, int32_t ndim, char *text, size_t bytes) {
    size_t used = (size_t) snprintf(text, bytes, "[");
    for (int32_t i = 0; i < ndim && used < bytes; i++)
        used += (size_t) snprintf(text + used, bytes - used, i ? ",%lld" : "%lld", (long long) shape[i]);
    if (used < bytes) snprintf(text + used, bytes - used, "]");
    return text;
}

static bool is_floating(const bl_safetensors_info *info) {
    return info->native == BL_F32 || info->native == BL_BF16 || info->native == BL_F16 ||
           strcmp(info->dtype, "F64") == 0;
}

/* A matrix of the layers, which only linear maps read. */
static bool is_matrix(const bl_plan_parameter *p) {
    return p->layered && p->columns != BL_SIZE_NONE;
}

static bl_status check_tensor(const opening *o, const bl_named *named, const bl_safetensors_info *info, int32_t ndim,
                              const int64_t *shape, bool integers) {
    char got[128], want[128];
    bool same = info->ndim == ndim;
    for (int32_t i = 0; same && i < ndim; i++)
        same = info->shape[i] == shape[i];
    bool number = is_floating(info) || (integers && info->native == BL_I8);
    if (same && number) return BL_OK;
    return bl_fail(BL_ERROR_FORMAT, "%s: %.100s is %s %s, expected %s by the config.json beside it; is this its model?",
                   path_of(o, named), info->name, info->dtype, format_shape(info->shape, info->ndim, got, sizeof got),
                   number ? format_shape(shape, ndim, want, sizeof want) : "floating-point numbers");
}

/* Memory for a copy on the model's device; freed with the model. */
static bl_status keep_buffer(struct bl_model *model, bl_tensor *out, int32_t dtype, int32_t ndim,
                             const int64_t *shape) {
    struct bl_model_store *store = model->store;
    size_t bytes = 0;
    BL_TRY(bl_shape_bytes("encoder", dtype, ndim, shape, &bytes));
    if (store->buffer_count == store->buffer_room) {
        int64_t room = store->buffer_room ? 2 * store->buffer_room : 64;
        bl_buffer **grown = realloc(store->buffers, (size_t) room * sizeof *grown);
        if (!grown) return bl_fail(BL_ERROR_MEMORY, "encoder: out of memory for parameters");
        store->buffers = grown;
        store->buffer_room = room;
    }
    bl_buffer *buffer = NULL;
    BL_TRY(bl_buffer_create(&buffer, model->ctx, bytes));
    store->buffers[store->buffer_count++] = buffer;
    return bl_buffer_tensor(buffer, out, 0, dtype, ndim, shape);
}

static bool is_contiguous(const bl_tensor *t) {
    int64_t step = 1;
    for (int32_t i = t->ndim - 1; i >= 0; step *= t->shape[i--])
        if (t->shape[i] != 1 && t->stride[i] != step) return false;
    return true;
}

/* A tensor in memory; NULL if it has to be copied. */
static bl_status find_in_memory(const opening *o, const bl_named *named, int32_t dtype, void **out) {
    const bl_tensor *t = &o->parameters->tensors[named->index];
    const bl_context *ctx = o->model->ctx;
    *out = NULL;
    if (t->device != ctx->device || t->device_index != ctx->device_index)
        return bl_fail(BL_ERROR_ARGUMENT,
                       "encoder: %.100s of parameters is on device %d:%d, expected the encoder's, %d:%d", named->ours,
                       (int) t->device, (int) t->device_index, (int) ctx->device, (int) ctx->device_index);
    if (t->dtype == dtype && is_contiguous(t)) *out = t->data;
    return BL_OK;
}

/* The place of a tensor in its mapped file; NULL if ops cannot read it there. */
static bl_status find_place(opening *o, const bl_named *named, const bl_safetensors_info *info, int32_t dtype,
                            void **out) {
    if (o->parameters) return find_in_memory(o, named, dtype, out);
    struct bl_model *model = o->model;
    mapping *map = &model->store->maps[named->file];
    uint64_t offset = 0;
    *out = NULL;
    BL_TRY(bl_safetensors_offset(o->files[named->file], named->index, &offset));
    /* Kernels want what C wants of an array; headers of other lengths than multiples of 4 are rare. */
    if (bl_context_device(model->ctx) != BL_CPU || info->native != dtype || offset % bl_dtype_size(dtype)) return BL_OK;
    if (!map->base) BL_TRY(bl_safetensors_map(o->files[named->file], &map->base, &map->bytes));
    map->used = true;
    *out = (char *) map->base + offset;
    return BL_OK;
}

/* What is the same tensor as another in the model must be the same in its file. */
static bl_status check_twin(opening *o, const char *name, const bl_named *named, const bl_safetensors_info *info) {
    const char *twin_name = twin_of(name);
    const bl_named *twin = twin_name ? bl_names_find(&o->names, twin_name) : NULL;
    if (!twin || twin == named || !o->model->has[BL_HEAD_WORDS]) return BL_OK;
    bl_safetensors_info other;
    BL_TRY(describe(o, twin, &other));
    bool same = other.bytes == info->bytes && strcmp(other.dtype, info->dtype) == 0;
    if (o->parameters) {
        const bl_tensor *a = &o->parameters->tensors[named->index], *b = &o->parameters->tensors[twin->index];
        same = a->data == b->data || (same && a->device == BL_CPU && is_contiguous(a) && is_contiguous(b) &&
                                      memcmp(a->data, b->data, (size_t) info->bytes) == 0);
    } else if (same && info->native >= 0) {
        void *a = NULL, *b = NULL;
        mapping *maps = o->model->store->maps;
        uint64_t at_a = 0, at_b = 0;
        BL_TRY(bl_safetensors_offset(o->files[named->file], named->index, &at_a));
        BL_TRY(bl_safetensors_offset(o->files[twin->file], twin->index, &at_b));
        for (int i = 0; i < 2; i++) {
            int32_t file = i ? twin->file : named->file;
            if (!maps[file].base) BL_TRY(bl_safetensors_map(o->files[file], &maps[file].base, &maps[file].bytes));
        }
        a = (char *) maps[named->file].base + at_a;
        b = (char *) maps[twin->file].base + at_b;
        same = memcmp(a, b, (size_t) info->bytes) == 0;
    }
    if (same) return BL_OK;
    return bl_fail(BL_ERROR_UNSUPPORTED,
                   "%s: %.100s is not the same as %s: a decoder of its own is not implemented; BERT scores words with "
                   "their embeddings",
                   path_of(o, twin), other.name, name);
}

/* ---- parameters of the plan ---- */

static bl_status fail_missing(const opening *o, const char *name) {
    const bl_model_folder *folder = o->folder;
    return bl_fail(BL_ERROR_FORMAT,
                   "%s: no tensor %s%s; the file is not that of the BERT which config.json beside it describes (%d "
                   "layers, hidden size %d)",
                   o->parameters ? folder->path : folder->weight_files[0], name,
                   folder->weight_file_count > 1 ? " here or in the files after it" : "", (int) folder->size.layers,
                   (int) folder->size.hidden_size);
}

/* '#' in a pattern is the layer. */
static void name_of(char *name, size_t bytes, const char *pattern, int32_t layer) {
    const char *mark = strchr(pattern, '#');
    if (mark)
        snprintf(name, bytes, "%.*s%d%s", (int) (mark - pattern), pattern, (int) layer, mark + 1);
    else
        snprintf(name, bytes, "%s", pattern);
}

/* Copies of all parts, one below the other. */
static bl_status copy_parts(opening *o, bl_model_tensor *out, const bl_named *const *named, int32_t parts,
                            int32_t dtype, int32_t ndim, const int64_t *shape) {
    struct bl_model *model = o->model;
    int64_t whole[2] = {shape[0] * parts, shape[1]};
    BL_TRY(keep_buffer(model, &out->part[0], dtype, ndim, whole));
    for (int32_t i = 0; i < parts; i++) {
        bl_tensor part;
        BL_TRY(bl_tensor_slice(&part, &out->part[0], 0, i * shape[0], (i + 1) * shape[0]));
        if (o->parameters)
            BL_TRY(bl_copy(model->ctx, &part, &o->parameters->tensors[named[i]->index]));
        else
            BL_TRY(bl_safetensors_read(model->ctx, o->files[named[i]->file], named[i]->index, &part));
    }
    out->parts = 1;
    return BL_OK;
}

/* Packs a matrix that was copied last, and lets go of the copy. */
static bl_status pack_copy(opening *o, bl_model_tensor *out) {
    struct bl_model_store *store = o->model->store;
    BL_TRY(bl_pack(o->model->ctx, &out->packed, &out->part[0], NULL));
    if (out->packed) bl_buffer_free(store->buffers[--store->buffer_count]);
    return BL_OK;
}

/* The scales of the rows of a part; `pattern` is the name of its int8 matrix. */
static bl_status read_scales(opening *o, const char *pattern, int32_t layer, bl_tensor *out) {
    char name[256], scale_name[272];
    bl_safetensors_info info;
    name_of(name, sizeof name, pattern, layer);
    snprintf(scale_name, sizeof scale_name, "%s_scale", name);
    const bl_named *named = find_tensor(o, scale_name);
    if (!named) return fail_missing(o, scale_name);
    BL_TRY(describe(o, named, &info));
    const int64_t column[2] = {out->shape[0], 1};
    BL_TRY(check_tensor(o, named, &info, info.ndim == 1 ? 1 : 2, column, false));
    bl_tensor shaped = *out;
    if (info.ndim == 2) BL_TRY(bl_tensor_wrap(&shaped, out->data, BL_F32, 2, column));
    return bl_safetensors_read(o->model->ctx, o->files[named->file], named->index, &shaped);
}

/* A matrix whose parts are int8, each with a scale a row. */
static bl_status open_int8(opening *o, bl_model_tensor *out, const bl_plan_parameter *p, int32_t layer,
                           const bl_named *const *named, int32_t integers, const int64_t shape[2]) {
    struct bl_model *model = o->model;
    const int64_t whole[2] = {shape[0] * p->parts, shape[1]};
    if (integers < p->parts)
        return bl_fail(BL_ERROR_FORMAT, "%s: some of the matrices of layer %d are int8, and some are not",
                       path_of(o, named[0]), (int) layer);
    if (model->ctx->device != BL_CPU || model->dtype != BL_F32)
        return bl_fail(BL_ERROR_UNSUPPORTED,
                       "%s: an int8 model runs on the CPU, in fp32 but for its products: leave out the device and the "
                       "precision, or open the model that it was made from",
                       path_of(o, named[0]));
    bl_buffer *matrix = NULL, *scales = NULL;
    bl_tensor w, s, part;
    bl_status status = bl_buffer_create(&matrix, model->ctx, (size_t) (whole[0] * whole[1]));
    if (status == BL_OK) status = bl_buffer_create(&scales, model->ctx, (size_t) whole[0] * sizeof(float));
    if (status == BL_OK) status = bl_buffer_tensor(matrix, &w, 0, BL_I8, 2, whole);
    if (status == BL_OK) status = bl_buffer_tensor(scales, &s, 0, BL_F32, 1, whole);
    for (int32_t i = 0; status == BL_OK && i < p->parts; i++) {
        status = bl_tensor_slice(&part, &w, 0, i * shape[0], (i + 1) * shape[0]);
        if (status == BL_OK) status = bl_safetensors_read(model->ctx, o->files[named[i]->file], named[i]->index, &part);
        if (status == BL_OK) status = bl_tensor_slice(&part, &s, 0, i * shape[0], (i + 1) * shape[0]);
        if (status == BL_OK) status = read_scales(o, p->names[i], layer, &part);
    }
    if (status == BL_OK) status = bl_pack(model->ctx, &out->packed, &w, &s);
    bl_buffer_free(matrix);
    bl_buffer_free(scales);
    out->parts = 1;
    model->integers = true;
    return status;
}

static bl_status open_parameter(opening *o, int32_t row, int32_t layer) {
    struct bl_model *model = o->model;
    const bl_plan_parameter *p = &bl_plan_parameters[row];
    bl_model_tensor *out = &model->tensors[row * model->layers + layer];
    if (out->parts) return BL_OK;
    const int64_t shape[2] = {model->sizes[p->rows], model->sizes[p->columns]};
    int32_t ndim = p->columns == BL_SIZE_NONE ? 1 : 2, dtype = p->low ? model->dtype : BL_F32;
    const bl_named *named[BL_PLAN_PARTS];
    void *places[BL_PLAN_PARTS];
    int32_t placed = 0, integers = 0;
    for (int32_t i = 0; i < p->parts; i++) {
        char name[256];
        bl_safetensors_info info;
        name_of(name, sizeof name, p->names[i], layer);
        named[i] = find_tensor(o, name);
        if (!named[i]) return fail_missing(o, name);
        BL_TRY(describe(o, named[i], &info));
        BL_TRY(check_tensor(o, named[i], &info, ndim, shape, is_matrix(p)));
        BL_TRY(check_twin(o, name, named[i], &info));
        integers += info.native == BL_I8;
        BL_TRY(find_place(o, named[i], &info, dtype, &places[i]));
        placed += places[i] != NULL;
    }
    size_t bytes = 0;
    BL_TRY(bl_shape_bytes("encoder", dtype, ndim, shape, &bytes));
    model->numel += (uint64_t) p->parts * bytes / bl_dtype_size(dtype);
    if (integers) return open_int8(o, out, p, layer, named, integers, shape);
    bool packs = o->packs && is_matrix(p);
    if (packs && placed == p->parts)
        BL_TRY(bl_weights_pack(model->ctx, &out->packed, &o->joined, places, p->parts, !o->parameters, dtype, shape));
    if (out->packed) {
        out->parts = 1;
        return BL_OK;
    }
    if (placed < p->parts) {
        BL_TRY(copy_parts(o, out, named, p->parts, dtype, ndim, shape));
        return packs ? pack_copy(o, out) : BL_OK;
    }
    bool joined = true;
    for (int32_t i = 1; i < p->parts; i++)
        joined = joined && (char *) places[i] == (char *) places[i - 1] + bytes;
    /* Packed matrices are one, and so must be what is added to their products. */
    if (!joined && ndim == 1) return copy_parts(o, out, named, p->parts, dtype, ndim, shape);
    out->parts = joined ? 1 : p->parts;
    int64_t rows[2] = {joined ? shape[0] * p->parts : shape[0], shape[1]};
    for (int32_t i = 0; i < out->parts; i++) {
        BL_TRY(bl_tensor_wrap(&out->part[i], places[i], dtype, ndim, rows));
        /* What is mapped is on the CPU, but memory of the caller's may be elsewhere. */
        out->part[i].device = model->ctx->device;
        out->part[i].device_index = model->ctx->device_index;
    }
    return BL_OK;
}

static bl_status open_part(opening *o, const bl_plan_part *part, int32_t layers) {
    for (int32_t s = 0; s < part->count; s++) {
        for (int32_t i = 0; i < BL_PLAN_INPUTS; i++) {
            bl_plan_operand operand = part->steps[s].in[i];
            if (operand < BL_PLAN_PARAMETER || operand >= BL_PLAN_IDS) continue;
            for (int32_t layer = 0; layer < layers; layer++)
                BL_TRY(open_parameter(o, operand - BL_PLAN_PARAMETER, layer));
        }
    }
    return BL_OK;
}

/* A file with more layers is another model's. */
static bl_status check_layers(const opening *o) {
    char prefix[64];
    snprintf(prefix, sizeof prefix, "bert.encoder.layer.%d.", (int) o->model->layers);
    const bl_named *more = bl_names_begin(&o->names, prefix);
    if (!more) return BL_OK;
    return bl_fail(BL_ERROR_FORMAT, "%s: it has %.100s, but config.json beside it says num_hidden_layers %d",
                   path_of(o, more), more->ours, (int) o->model->layers);
}

static bl_status open_parameters(opening *o) {
    struct bl_model *model = o->model;
    if (o->parameters)
        BL_TRY(bl_names_of(&o->names, o->parameters->names, o->parameters->count));
    else
        BL_TRY(bl_names_open(&o->names, o->files, o->folder->weight_files, o->folder->weight_file_count));
    BL_TRY(find_heads(o));
    BL_TRY(check_layers(o));
    BL_TRY(open_part(o, &bl_plan_embeddings, 1));
    BL_TRY(open_part(o, &bl_plan_layer, model->layers));
    for (int32_t head = 0; head < BL_HEADS; head++)
        if (model->has[head]) BL_TRY(open_part(o, &bl_plan_heads[head], 1));
    for (int32_t i = 0; i < model->store->map_count; i++) {
        mapping *map = &model->store->maps[i];
        if (map->base && !map->used) munmap(map->base, map->bytes);
        if (!map->used) map->base = NULL;
    }
    return bl_context_synchronize(model->ctx);
}

/* ---- the whole ---- */

static void take_sizes(struct bl_model *model, const bl_model_size *size) {
    model->layers = size->layers;
    model->attention_heads = size->attention_heads;
    model->layer_norm_eps = size->layer_norm_eps;
    model->gelu_tanh = size->gelu_tanh;
    model->sizes[BL_SIZE_HIDDEN] = size->hidden_size;
    model->sizes[BL_SIZE_HIDDEN_3] = 3 * (int64_t) size->hidden_size;
    model->sizes[BL_SIZE_INTERMEDIATE] = size->intermediate_size;
    model->sizes[BL_SIZE_VOCABULARY] = size->vocab_size;
    model->sizes[BL_SIZE_POSITIONS] = size->positions;
    model->sizes[BL_SIZE_TYPES] = size->types;
    model->sizes[BL_SIZE_2] = 2;
}

static bl_status prepare(struct bl_model *model, const bl_model_folder *folder, const bl_encoder_options *options) {
    int32_t files = folder->weight_file_count;
    take_sizes(model, &folder->size);
    model->store = calloc(1, sizeof *model->store);
    model->tensors = calloc((size_t) bl_plan_parameter_count * (size_t) folder->size.layers, sizeof *model->tensors);
    if (model->store) model->store->maps = calloc((size_t) files + 1, sizeof *model->store->maps);
    if (!model->store || !model->tensors || !model->store->maps)
        return bl_fail(BL_ERROR_MEMORY, "encoder: out of memory for %d layers", (int) folder->size.layers);
    model->store->map_count = files;
    BL_TRY(bl_context_create(&model->ctx, options->device, options->device_index, options->threads));
    /* What the device multiplies slower than f32 is worth nothing to those who ask for speed. */
    model->dtype = bl_context_fast_dtype(model->ctx, options->dtype) ? options->dtype : BL_F32;
    return BL_OK;
}

static bl_status open_model(struct bl_model *model, const bl_model_folder *folder, const bl_encoder_options *options) {
    BL_TRY(prepare(model, folder, options));
    opening o = {.model = model, .folder = folder, .parameters = options->parameters};
    o.packs = model->ctx->device == BL_CPU && !options->share_parameters;
    o.files = calloc((size_t) folder->weight_file_count + 1, sizeof(bl_safetensors *));
    bl_status status = o.files ? BL_OK : bl_fail(BL_ERROR_MEMORY, "encoder: out of memory for file handles");
    for (int32_t i = 0; status == BL_OK && i < folder->weight_file_count; i++)
        status = bl_safetensors_open(&o.files[i], folder->weight_files[i]);
    if (status == BL_OK) status = open_parameters(&o);
    for (int32_t i = 0; o.files && i < folder->weight_file_count; i++)
        bl_safetensors_close(o.files[i]);
    free(o.files);
    bl_buffer_free(o.joined);
    bl_names_close(&o.names);
    return status;
}

bl_status bl_model_open(struct bl_model **out, const bl_model_folder *folder, const bl_encoder_options *options) {
    struct bl_model *model = calloc(1, sizeof *model);
    if (!model) return bl_fail(BL_ERROR_MEMORY, "encoder: out of memory");
    bl_status status = open_model(model, folder, options);
    if (status != BL_OK) {
        bl_model_close(model);
        return status;
    }
    *out = model;
    return BL_OK;
}

void bl_model_close(struct bl_model *model) {
    if (!model) return;
    struct bl_model_store *store = model->store;
    int64_t tensors = model->tensors ? (int64_t) bl_plan_parameter_count * model->layers : 0;
    for (int64_t i = 0; i < tensors; i++)
        bl_packed_free(model->ctx, model->tensors[i].packed);
    for (int64_t i = 0; store && i < store->buffer_count; i++)
        bl_buffer_free(store->buffers[i]);
    for (int32_t i = 0; store && store->maps && i < store->map_count; i++)
        if (store->maps[i].base) munmap(store->maps[i].base, store->maps[i].bytes);
    if (store) {
        free(store->maps);
        free(store->buffers);
    }
    free(store);
    free(model->tensors);
    bl_context_free(model->ctx);
    free(model);
}
