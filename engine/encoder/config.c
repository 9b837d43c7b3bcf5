/*
 * config.c - config.json: the size of the model and its labels. What asks for
 * another network than BERT's is refused, all of it in one line; keys that
 * nobody knows are noted, or refused where a field may have been meant. The
 * rules, and the lists of keys, are those of lua/bertlua/models/bert_config.lua
 * and config_keys.lua.
 */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "encoder/folder.h"

enum { SIZE, TEXT, PROBABILITY, POSITIVE };
static const char *const EXPECTED[] = {"a positive integer", "a string", "a number in [0, 1)", "a positive number"};

typedef struct field {
    const char *name;
    int kind;
    double fallback; /* NAN: the key is required */
    size_t offset;   /* in bl_model_size; SIZE_MAX: read for its check only */
} field;

static const field FIELDS[] = {
    {"vocab_size", SIZE, NAN, offsetof(bl_model_size, vocab_size)},
    {"hidden_size", SIZE, NAN, offsetof(bl_model_size, hidden_size)},
    {"num_hidden_layers", SIZE, NAN, offsetof(bl_model_size, layers)},
    {"num_attention_heads", SIZE, NAN, offsetof(bl_model_size, attention_heads)},
    {"intermediate_size", SIZE, NAN, offsetof(bl_model_size, intermediate_size)},
    {"max_position_embeddings", SIZE, 512, offsetof(bl_model_size, positions)},
    {"type_vocab_size", SIZE, 2, offsetof(bl_model_size, types)},
    {"hidden_act", TEXT, 0, SIZE_MAX},
    {"hidden_dropout_prob", PROBABILITY, 0.1, SIZE_MAX},
    {"attention_probs_dropout_prob", PROBABILITY, 0.1, SIZE_MAX},
    {"initializer_range", POSITIVE, 0.02, SIZE_MAX},
    {"layer_norm_eps", POSITIVE, 1e-12, offsetof(bl_model_size, layer_norm_eps)},
};
enum { FIELD_COUNT = sizeof FIELDS / sizeof *FIELDS };

/* Keys that say nothing of the network: of BERT's files, then of transformers. */
static const char HARMLESS[] =
    " _name_or_path architectures attn_implementation bos_token_id classifier_dropout directionality dtype eos_token_id"
    " finetuning_task id2label label2id model_type output_past pooler_fc_size pooler_num_attention_heads"
    " pooler_num_fc_layers pooler_size_per_head pooler_type problem_type torch_dtype transformers_version use_cache"
    " _attn_implementation _attn_implementation_autoset _attn_implementation_internal _commit_hash"
    " _experts_implementation _flash_attn_2_enabled _num_labels adapters attribute_map bad_words_ids"
    " base_model_tp_plan begin_suppress_tokens chunk_size_feed_forward cross_attention_hidden_size custom_pipelines"
    " decoder_start_token_id diversity_penalty do_sample early_stopping encoder_no_repeat_ngram_size"
    " exponential_decay_length_penalty forced_bos_token_id forced_eos_token_id gradient_checkpointing is_composition"
    " keys_to_ignore_at_inference length_penalty max_length min_length no_repeat_ngram_size num_beam_groups num_beams"
    " num_labels num_return_sequences output_attentions output_hidden_states output_scores pad_token_id prefix"
    " remove_invalid_values repetition_penalty return_dict return_dict_in_generate sentence_transformers sep_token_id"
    " suppress_tokens task_specific_params temperature tf_legacy_loss tie_encoder_decoder tokenizer_class top_k top_p"
    " torchscript transformers.js_config typical_p use_bfloat16 use_return_dict xla_device ";

static bool is_false(const json_t *value) {
    return json_is_false(value);
}
static bool is_true(const json_t *value) {
    return json_is_true(value);
}
static bool is_empty(const json_t *value) {
    return (json_is_object(value) || json_is_array(value)) && json_object_size(value) + json_array_size(value) == 0;
}
static bool is_original(const json_t *value) {
    return json_is_string(value) && strcmp(json_string_value(value), "original") == 0;
}
static bool is_absolute(const json_t *value) {
    return json_is_string(value) && strcmp(json_string_value(value), "absolute") == 0;
}
static bool is_text(const json_t *object, const char *key, const char *expected) {
    const char *text = bl_json_text(object, key);
    return text && strcmp(text, expected) == 0;
}
/* Weights of 8 bits, symmetric, with a scale for each row. Where they are, their file says. */
static bool is_rows_of_int8(const json_t *value) {
    if (is_empty(value)) return true;
    const json_t *groups = bl_json_get(value, "config_groups");
    if (!is_text(value, "quant_method", "compressed-tensors") || !is_text(value, "format", "int-quantized") ||
        !json_is_object(groups) || json_object_size(groups) == 0)
        return false;
    const char *key;
    json_t *group;
    json_object_foreach((json_t *) groups, key, group) {
        const json_t *of = bl_json_get(group, "weights");
        double bits = 0;
        if (!bl_json_number(of, "num_bits", &bits) || bits != 8 || !is_text(of, "type", "int") ||
            bl_json_truth(of, "symmetric") != 1 || !is_text(of, "strategy", "channel") ||
            bl_json_truth(of, "dynamic") == 1)
            return false;
    }
    return true;
}
/* Classes that a folder's own code stands in for may be its configuration and tokenizer, not its model. */
static bool names_no_model(const json_t *value) {
    if (!json_is_object(value)) return is_empty(value);
    const char *key;
    json_t *item;
    json_object_foreach((json_t *) value, key, item) if (strstr(key, "Model")) return false;
    return true;
}

/* Keys that change the network where their value is another than the one implemented. */
static const struct {
    const char *name;
    bool (*implemented)(const json_t *);
    const char *expected;
} NETWORK[] = {
    {"add_cross_attention", is_false, "false: only BERT's encoder"},
    {"auto_map", names_no_model,
     "no class of a model: code of the folder's own is not run; remove the key if the "
     "network is BERT's"},
    {"feed_forward_type", is_original, "\"original\""},
    {"is_decoder", is_false, "false: only BERT's encoder"},
    {"is_encoder_decoder", is_false, "false: only BERT's encoder"},
    {"position_embedding_type", is_absolute, "\"absolute\": positions are looked up in a table"},
    {"pruned_heads", is_empty, "none: attention heads are not pruned"},
    {"quantization_config", is_rows_of_int8,
     "none (parameters as F32, F16, BF16 or F64) or that of bertlua quantize (compressed-tensors, int-quantized: 8 "
     "bits, symmetric, a scale for each row)"},
    {"tie_word_embeddings", is_true, "true: words are scored with the embeddings of the words"},
};
enum { NETWORK_COUNT = sizeof NETWORK / sizeof *NETWORK };

static bool is_harmless(const char *name) {
    size_t length = strlen(name);
    if (length == 0 || strchr(name, ' ')) return false;
    for (const char *at = HARMLESS; (at = strstr(at, name)); at++)
        if (at[-1] == ' ' && at[length] == ' ') return true;
    return false;
}

static bool is_network(const char *name) {
    for (int i = 0; i < NETWORK_COUNT; i++)
        if (strcmp(name, NETWORK[i].name) == 0) return true;
    return false;
}

static bool is_field(const char *name) {
    for (int i = 0; i < FIELD_COUNT; i++)
        if (strcmp(name, FIELDS[i].name) == 0) return true;
    return false;
}

static int least(int a, int b) {
    return a < b ? a : b;
}

/* Levenshtein distance with swaps of neighbours; at most 99 for names that are no field's by their length alone. */
static int distance(const char *a, const char *b) {
    enum { MOST = 48 };
    int rows[3][MOST + 1], n = (int) strnlen(a, MOST + 1), m = (int) strlen(b);
    if (n > MOST || m > MOST) return 99;
    int *before = rows[0], *last = rows[1], *row = rows[2];
    for (int j = 0; j <= m; j++)
        row[j] = j;
    for (int i = 1; i <= n; i++) {
        int *old = before;
        before = last;
        last = row;
        row = old;
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            row[j] = least(last[j - 1] + (a[i - 1] != b[j - 1]), least(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
    }
    return row[m];
}

/* The field that a name may have been meant for; NULL. */
static const char *meant(const char *name) {
    int length = (int) strlen(name) / 3, best = (length > 2 ? length : 2) + 1;
    const char *found = NULL;
    for (int i = 0; i < FIELD_COUNT; i++) {
        int d = distance(name, FIELDS[i].name);
        if (d < best) {
            best = d;
            found = FIELDS[i].name;
        }
    }
    return found;
}

static bool fits(int kind, const json_t *value) {
    if (kind == TEXT) return json_is_string(value);
    if (!json_is_number(value)) return false;
    double v = json_number_value(value);
    if (kind == SIZE) return v >= 1 && v == floor(v) && v < 2147483648.0;
    return kind == PROBABILITY ? v >= 0 && v < 1 : v > 0 && isfinite(v);
}

static void take_fields(bl_model_size *size, const json_t *values, bl_remarks *problems) {
    char shown[80];
    for (int i = 0; i < FIELD_COUNT; i++) {
        const field *f = &FIELDS[i];
        const json_t *value = bl_json_get(values, f->name);
        if (!value && isnan(f->fallback)) {
            bl_remark(problems, "; ", "%s is missing, expected %s", f->name, EXPECTED[f->kind]);
        } else if (value && !fits(f->kind, value)) {
            bl_remark(problems, "; ", "%s is %s, expected %s", f->name, bl_json_shown(value, shown, sizeof shown),
                      EXPECTED[f->kind]);
        } else if (f->offset != SIZE_MAX) {
            double number = value ? json_number_value(value) : f->fallback;
            char *place = (char *) size + f->offset;
            int32_t whole = f->kind == SIZE ? (int32_t) number : 0;
            float real = (float) number;
            if (f->kind == SIZE)
                memcpy(place, &whole, sizeof whole);
            else
                memcpy(place, &real, sizeof real);
        }
    }
    const char *activation = bl_json_text(values, "hidden_act");
    size->gelu_tanh =
        activation && (strcmp(activation, "gelu_new") == 0 || strcmp(activation, "gelu_pytorch_tanh") == 0);
    if (activation && !size->gelu_tanh && strcmp(activation, "gelu") != 0 && strcmp(activation, "gelu_python") != 0)
        bl_remark(problems, "; ",
                  "hidden_act is \"%.60s\", expected \"gelu\", \"gelu_new\" or \"gelu_pytorch_tanh\"; other values are "
                  "not implemented",
                  activation);
    if (size->hidden_size > 0 && size->attention_heads > 0 && size->hidden_size % size->attention_heads != 0)
        bl_remark(problems, "; ", "hidden_size is %d, expected a multiple of num_attention_heads (%d)",
                  size->hidden_size, size->attention_heads);
}

static void take_problem(bl_model_folder *folder, const json_t *values, bl_remarks *problems) {
    static const char *const NAMES[] = {"single_label_classification", "multi_label_classification", "regression"};
    folder->problem = -1;
    const json_t *value = bl_json_get(values, "problem_type");
    if (!value) return;
    for (int i = 0; i < 3; i++)
        if (json_is_string(value) && strcmp(json_string_value(value), NAMES[i]) == 0) folder->problem = i;
    char shown[80];
    if (folder->problem < 0)
        bl_remark(problems, "; ",
                  "problem_type is %s, expected single_label_classification, multi_label_classification or regression",
                  bl_json_shown(value, shown, sizeof shown));
}

/* Keys that are no fields; those that nobody knows go to `unknown`, their number is returned. */
static int check_others(const json_t *values, bl_remarks *problems, bl_remarks *unknown) {
    const char *name;
    json_t *value;
    bool foreign = false;
    int count = 0;
    json_object_foreach((json_t *) values, name, value) foreign = foreign || is_harmless(name) || is_network(name);
    json_object_foreach((json_t *) values, name, value) {
        if (is_field(name) || is_network(name) || is_harmless(name)) continue;
        const char *field = meant(name);
        /* A field that the file has cannot have been meant. */
        if (!foreign || (field && !json_object_get(values, field))) {
            if (field)
                bl_remark(problems, "; ", "unknown key \"%.60s\"; did you mean \"%s\"?", name, field);
            else
                bl_remark(problems, "; ", "unknown key \"%.60s\"; remove it", name);
        } else if (count++ < 6) {
            bl_remark(unknown, ", ", "%.60s", name);
        }
    }
    char shown[80];
    for (int i = 0; i < NETWORK_COUNT; i++) {
        value = (json_t *) bl_json_get(values, NETWORK[i].name);
        if (value && !NETWORK[i].implemented(value))
            bl_remark(problems, "; ", "%s is %s, expected %s", NETWORK[i].name,
                      bl_json_shown(value, shown, sizeof shown), NETWORK[i].expected);
    }
    return count;
}

static char *copy_of(const char *text) {
    return text ? strdup(text) : NULL;
}

/* id2label, {"0": ...}, in order; left out if it is no such thing. */
static bl_status take_labels(bl_model_folder *folder, const json_t *id2label) {
    size_t count = json_object_size(id2label);
    if (count == 0 || count > INT32_MAX) return BL_OK;
    char **labels = calloc(count, sizeof *labels);
    if (!labels) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory", folder->path);
    folder->labels = labels;
    folder->label_count = (int32_t) count;
    const char *key;
    json_t *value;
    bool usable = true;
    json_object_foreach((json_t *) id2label, key, value) {
        char *end;
        unsigned long id = strtoul(key, &end, 10);
        usable = key[0] >= '0' && key[0] <= '9' && !*end && id < count && !labels[id] && json_is_string(value);
        if (!usable) break;
        labels[id] = copy_of(json_string_value(value));
        if (!labels[id]) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory", folder->path);
    }
    if (usable) return BL_OK;
    for (size_t i = 0; i < count; i++)
        free(labels[i]);
    free(labels);
    folder->labels = NULL;
    folder->label_count = 0;
    return bl_folder_note(folder,
                          "%s: id2label does not number its names from 0: labels are called "
                          "LABEL_0, LABEL_1, ...",
                          folder->config_path);
}

static bl_status take_values(bl_model_folder *folder, const json_t *values) {
    const json_t *classes = json_object_get(values, "architectures");
    const char *class = json_string_value(json_array_get(classes, 0));
    const json_t *kind = bl_json_get(values, "model_type");
    char shown[80];
    if (json_is_string(kind) && strcmp(json_string_value(kind), "bertlua") == 0)
        return bl_fail(BL_ERROR_UNSUPPORTED,
                       "%s: the model is a %.80s, which the recipe that trained it defines: only that "
                       "recipe can compute it",
                       folder->config_path, class ? class : "class of its own");
    if (kind && (!json_is_string(kind) || strcmp(json_string_value(kind), "bert") != 0))
        return bl_fail(BL_ERROR_UNSUPPORTED, "%s: model_type is %s, expected \"bert\"", folder->config_path,
                       bl_json_shown(kind, shown, sizeof shown));
    bl_remarks problems = {0}, unknown = {0};
    int count = check_others(values, &problems, &unknown);
    take_fields(&folder->size, values, &problems);
    take_problem(folder, values, &problems);
    if (problems.used > 0) return bl_fail(BL_ERROR_FORMAT, "%s: %s", folder->config_path, problems.text);
    if (count > 0)
        BL_TRY(bl_folder_note(folder, "%s: ignored %d %s that bertlua does not know: %s%s", folder->config_path, count,
                              count == 1 ? "key" : "keys", unknown.text, count > 6 ? ", ..." : ""));
    folder->architecture = copy_of(class);
    if (class && !folder->architecture) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory", folder->path);
    const json_t *id2label = bl_json_get(values, "id2label");
    return json_is_object(id2label) ? take_labels(folder, id2label) : BL_OK;
}

bl_status bl_config_read(bl_model_folder *folder, const bl_encoder_options *options) {
    json_t *values;
    folder->config_path =
        options->config_file ? strdup(options->config_file) : bl_path_join(folder->path, "config.json");
    if (!folder->config_path) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory", folder->path);
    BL_TRY(bl_json_read(folder->config_path, &values));
    if (!values && options->config_file) return bl_fail(BL_ERROR_IO, "%s: no such file", folder->config_path);
    if (!values) return bl_fail(BL_ERROR_IO, "%s holds no config.json: copy the model's there", folder->path);
    bl_status status = json_is_object(values) ? take_values(folder, values)
                                              : bl_fail(BL_ERROR_FORMAT, "%s: not a JSON object", folder->config_path);
    json_decref(values);
    return status;
}
