/*
 * sentences.c - how a folder makes one vector of a text: modules.json and
 * 1_Pooling/config.json of sentence-transformers, in the form of its versions 2
 * to 6, or the settings of a run that trained such vectors. The rules are those
 * of lua/bertlua/weights/sentence_transformers.lua and train/text_vectors.lua.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encoder/folder.h"

/* Why the folder's vectors cannot be computed; the first reason stays. */
static bl_status problem(bl_model_folder *folder, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bl_status problem(bl_model_folder *folder, const char *format, ...) {
    if (folder->pooling_problem) return BL_OK;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&folder->pooling_problem, format, args);
    va_end(args);
    if (length >= 0) return BL_OK;
    folder->pooling_problem = NULL;
    return bl_fail(BL_ERROR_MEMORY, "%s: out of memory", folder->path);
}

/* The modes that a 1_Pooling/config.json turns on: their number; names. */
static int modes_of(const json_t *config, bl_remarks *names, const char **first) {
    const json_t *given = json_object_get(config, "pooling_mode");
    const char *key;
    json_t *value;
    int count = 0;
    if (given) {
        size_t list = json_is_array(given) ? json_array_size(given) : 1;
        for (size_t i = 0; i < list; i++) {
            const json_t *item = json_is_array(given) ? json_array_get(given, i) : given;
            char shown[60];
            if (count++ == 0) *first = json_string_value(item);
            if (json_is_string(item))
                bl_remark(names, " with ", "%.60s", json_string_value(item));
            else
                bl_remark(names, " with ", "%s", bl_json_shown(item, shown, sizeof shown));
        }
        return count;
    }
    json_object_foreach((json_t *) config, key, value) {
        if (strncmp(key, "pooling_mode_", 13) != 0 || !json_is_true(value)) continue;
        const char *mode = key + 13;
        if (strcmp(mode, "mean_tokens") == 0) mode = "mean";
        if (strcmp(mode, "cls_token") == 0) mode = "cls";
        if (count++ == 0) *first = mode;
        bl_remark(names, " with ", "%.60s", mode);
    }
    return count;
}

static bl_status read_pooling(bl_model_folder *folder, const char *name) {
    char *home = bl_path_join(folder->path, name);
    if (!home) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory", folder->path);
    json_t *config;
    bl_status status = bl_json_beside(home, "config.json", &config);
    if (status == BL_OK && !config) {
        status = problem(folder, "%s/config.json is missing", home);
    } else if (status == BL_OK) {
        bl_remarks names = {0};
        const char *mode = NULL;
        int count = modes_of(config, &names, &mode);
        bool mean = count == 1 && mode && strcmp(mode, "mean") == 0;
        bool cls = count == 1 && mode && strcmp(mode, "cls") == 0;
        if (mean || cls) {
            folder->pooling = mean ? BL_POOL_MEAN : BL_POOL_CLS;
            folder->pooling_said = true;
        } else {
            status = problem(folder, "%s/config.json: pooling %s is not implemented, only mean or cls", home,
                             count == 0 ? "of no kind" : names.text);
        }
    }
    json_decref(config);
    free(home);
    return status;
}

static bl_status read_modules(bl_model_folder *folder, const json_t *modules) {
    size_t i;
    json_t *module;
    bool normalized = false;
    json_array_foreach(modules, i, module) {
        const char *type = bl_json_text(module, "type"), *path = bl_json_text(module, "path");
        if (!type || !path)
            return bl_fail(BL_ERROR_FORMAT, "%s/modules.json: module %zu has no type or no path", folder->path, i + 1);
        const char *dot = strrchr(type, '.'), *kind = dot ? dot + 1 : type;
        if (strcmp(kind, "Pooling") == 0) {
            if (!bl_is_plain_name(path))
                return bl_fail(BL_ERROR_FORMAT, "%s/modules.json: the path of module %zu names no folder beside it",
                               folder->path, i + 1);
            BL_TRY(read_pooling(folder, path));
        } else if (strcmp(kind, "Normalize") == 0) {
            normalized = true;
        } else if (strcmp(kind, "Transformer") != 0) {
            BL_TRY(problem(folder, "%s/modules.json: module %.80s is not implemented", folder->path, type));
        }
    }
    if (!folder->pooling_said)
        BL_TRY(
            problem(folder, "%s/modules.json: it has no Pooling: one vector of a text is not defined", folder->path));
    if (normalized) folder->pooling |= BL_POOL_NORMALIZED;
    return BL_OK;
}

/* Most tokens of a text by a field of a file; 0 where it has none. */
static bl_status length_of(const char *home, const char *name, const json_t *object, const char *key, int32_t *out) {
    const json_t *value = bl_json_get(object, key);
    char shown[60];
    *out = 0;
    if (!value) return BL_OK;
    double number = json_is_number(value) ? json_number_value(value) : 0;
    /* Room for [CLS], a token and [SEP]. */
    if (!(number >= 3))
        return bl_fail(BL_ERROR_FORMAT, "%s/%s: the maximum length is %s, expected a number of at least 3", home, name,
                       bl_json_shown(value, shown, sizeof shown));
    /* transformers writes 1e30 where there is no limit. */
    *out = number < INT32_MAX ? (int32_t) number : INT32_MAX;
    return BL_OK;
}

/* A prompt before every text; NULL if there is none. */
static const char *prompt_of(const json_t *config) {
    const char *name = bl_json_text(config, "default_prompt_name");
    const char *prompt = name ? bl_json_text(json_object_get(config, "prompts"), name) : NULL;
    return prompt && prompt[0] ? prompt : NULL;
}

static bl_status read_rest(bl_model_folder *folder, const json_t *encoder, const json_t *tokenizer, const json_t *whole,
                           int32_t *limit) {
    BL_TRY(length_of(folder->path, "sentence_bert_config.json", encoder, "max_seq_length", limit));
    if (*limit == 0) BL_TRY(length_of(folder->path, "tokenizer_config.json", tokenizer, "model_max_length", limit));
    const char *prompt = prompt_of(whole);
    if (prompt)
        BL_TRY(problem(
            folder, "%s/config_sentence_transformers.json puts \"%.60s\" before every text, which is not implemented",
            folder->path, prompt));
    if (bl_json_truth(encoder, "do_lower_case") == 1 && bl_json_truth(tokenizer, "do_lower_case") == 0)
        BL_TRY(problem(folder,
                       "%s/sentence_bert_config.json lower-cases the texts of a cased vocabulary, which is not "
                       "implemented",
                       folder->path));
    return BL_OK;
}

static bl_status read_files(bl_model_folder *folder, const json_t *modules, int32_t *limit) {
    static const char *const NAMES[] = {"sentence_bert_config.json", "tokenizer_config.json",
                                        "config_sentence_transformers.json"};
    if (!json_is_array(modules))
        return bl_fail(BL_ERROR_FORMAT, "%s/modules.json: not a list of modules", folder->path);
    BL_TRY(read_modules(folder, modules));
    json_t *files[3] = {NULL, NULL, NULL};
    bl_status status = BL_OK;
    for (int i = 0; i < 3 && status == BL_OK; i++)
        status = bl_json_beside(folder->path, NAMES[i], &files[i]);
    if (status == BL_OK) status = read_rest(folder, files[0], files[1], files[2], limit);
    for (int i = 0; i < 3; i++)
        json_decref(files[i]);
    return status;
}

/* A checkpoint of a run that trained vectors of texts. */
static bool take_run(bl_model_folder *folder, const json_t *settings, int32_t *limit) {
    const char *pooling = bl_json_text(settings, "pooling");
    double length;
    if (!pooling || (strcmp(pooling, "mean") != 0 && strcmp(pooling, "cls") != 0)) return false;
    folder->pooling = strcmp(pooling, "mean") == 0 ? BL_POOL_MEAN : BL_POOL_CLS;
    folder->pooling_said = true;
    if (bl_json_truth(settings, "normalize") == 1) folder->pooling |= BL_POOL_NORMALIZED;
    if (bl_json_number(settings, "max_seq_length", &length) && length >= 1 && length < INT32_MAX)
        *limit = (int32_t) length;
    return true;
}

bl_status bl_sentences_read(bl_model_folder *folder, const json_t *progress, int32_t *limit, bool *said) {
    *limit = 0;
    *said = true;
    folder->pooling = BL_POOL_MEAN;
    if (take_run(folder, bl_records_settings(progress), limit)) return BL_OK;
    char *path = bl_path_join(folder->path, "modules.json");
    if (!path) return bl_fail(BL_ERROR_MEMORY, "%s: out of memory", folder->path);
    json_t *modules;
    bl_status status = bl_json_read(path, &modules);
    free(path);
    *said = modules != NULL;
    if (status == BL_OK && modules) status = read_files(folder, modules, limit);
    json_decref(modules);
    return status;
}
