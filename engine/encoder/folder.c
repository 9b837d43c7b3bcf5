/*
 * folder.c - a model's folder: where its parameters are, and what the files
 * beside them say. Nothing of the parameters themselves is read here.
 */
#include "encoder/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Parameter files of a folder. */
enum { MOST_FILES = 4096 };
static const char INDEX[] = "model.safetensors.index.json";

static bl_status out_of_memory(const char *path) {
    return bl_fail(BL_ERROR_MEMORY, "%s: out of memory", path);
}

bl_status bl_folder_note(bl_model_folder *folder, const char *format, ...) {
    char **grown = realloc(folder->notes, (size_t) (folder->note_count + 1) * sizeof *grown);
    if (!grown) return out_of_memory(folder->path);
    folder->notes = grown;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&grown[folder->note_count], format, args);
    va_end(args);
    if (length < 0) return out_of_memory(folder->path);
    /* Names from files may hold control characters; a note is one line. */
    for (char *at = grown[folder->note_count]; *at; at++)
        if ((unsigned char) *at < 0x20 || *at == 0x7f) *at = '?';
    folder->note_count++;
    return BL_OK;
}

BL_API const char *bl_encoder_note(const bl_encoder *encoder, int32_t index) {
    if (!encoder || index < 0 || index >= encoder->folder.note_count) return NULL;
    return encoder->folder.notes[index];
}

static bl_status add_file(bl_model_folder *folder, const char *path) {
    char **grown = realloc(folder->weight_files, (size_t) (folder->weight_file_count + 1) * sizeof *grown);
    if (!grown) return out_of_memory(folder->path);
    folder->weight_files = grown;
    char *copy = strdup(path);
    if (!copy) return out_of_memory(folder->path);
    grown[folder->weight_file_count++] = copy;
    return BL_OK;
}

static bool holds(const char *folder, const char *name) {
    char *path = bl_path_join(folder, name);
    bool found = path && bl_is_file(path);
    free(path);
    return found;
}

static bool ends_in(const char *name, const char *ending) {
    size_t length = strlen(name), bytes = strlen(ending);
    return length > bytes && strcmp(name + length - bytes, ending) == 0;
}

/* Whether a folder has parameters that are read here. */
static bool has_parameters(const char *folder) {
    return holds(folder, "model.safetensors") || holds(folder, INDEX);
}

/* Whether a file of this name has parameters in a format that is not read here. */
static bool has_other_format(const char *name) {
    static const char *const ENDINGS[] = {".pdparams", ".npz", ".bin", ".bin.index.json", ".pt", ".pkl", ".h5"};
    for (size_t i = 0; i < sizeof ENDINGS / sizeof *ENDINGS; i++)
        if (ends_in(name, ENDINGS[i])) return true;
    return false;
}

/* Refuse a folder whose parameters are in a format that is not read here, naming the file. */
static bl_status refuse_other_formats(const char *path) {
    DIR *folder = opendir(path);
    if (!folder) return bl_fail(BL_ERROR_IO, "%s: %s", path, strerror(errno));
    char found[256] = "";
    for (struct dirent *entry; !found[0] && (entry = readdir(folder));) {
        const char *name = entry->d_name;
        if (name[0] != '.' && has_other_format(name)) snprintf(found, sizeof found, "%s", name);
    }
    closedir(folder);
    if (!found[0]) return BL_OK;
    return bl_fail(BL_ERROR_UNSUPPORTED,
                   "%s: its parameters are in %s, expected model.safetensors: make a folder of it with bertlua convert "
                   "from-huggingface --input %s --output-dir FOLDER",
                   path, found, path);
}

/* Take a folder for *home if it has parameters. */
static bool take(char **home, char *path) {
    if (path && has_parameters(path)) {
        *home = path;
        return true;
    }
    free(path);
    return false;
}

/*
 * The folder of parameters that a path means: itself, `model` of a run's
 * OUTPUT_DIR, or the checkpoint of its run, which is noted where that model or
 * another checkpoint was to be expected.
 */
static bl_status find(bl_model_folder *folder, const char *path) {
    char **home = &folder->path, skipped[300];
    if (take(home, strdup(path)) || take(home, bl_path_join(path, "model"))) return BL_OK;
    BL_TRY(refuse_other_formats(path));
    char *root = bl_path_join(path, "checkpoints");
    if (!root) return out_of_memory(path);
    bool is_run = bl_is_folder(root);
    bl_status status = bl_records_preferred(is_run ? root : path, home, skipped, sizeof skipped);
    free(root);
    BL_TRY(status);
    if (*home && skipped[0]) BL_TRY(bl_folder_note(folder, "%s; taking %s", skipped, *home));
    if (*home && is_run)
        BL_TRY(bl_folder_note(folder, "%s holds no finished model; taking the checkpoint %s", path, *home));
    if (*home && has_parameters(*home)) return BL_OK;
    return bl_fail(BL_ERROR_IO, "%s: contains no model.safetensors, no %s, and no complete checkpoint", path, INDEX);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Add the files that an index lists, each once. */
static bl_status add_listed(bl_model_folder *folder, const char *path, const json_t *map) {
    const char *tensor;
    json_t *value;
    size_t count = 0, size = json_object_size(map);
    if (size == 0) return bl_fail(BL_ERROR_FORMAT, "%s: contains no weight_map", path);
    const char **names = malloc(size * sizeof *names);
    if (!names) return out_of_memory(path);
    bl_status status = BL_OK;
    json_object_foreach((json_t *) map, tensor, value) {
        const char *name = json_string_value(value);
        if (!bl_is_plain_name(name) || !ends_in(name, ".safetensors")) {
            char shown[80];
            status = bl_fail(BL_ERROR_FORMAT, "%s: %s is not the name of a safetensors file in the same folder", path,
                             bl_json_shown(value, shown, sizeof shown));
            break;
        }
        names[count++] = name;
    }
    if (status == BL_OK) qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; status == BL_OK && i < count; i++) {
        if (i > 0 && strcmp(names[i], names[i - 1]) == 0) continue;
        char *file = bl_path_join(folder->path, names[i]);
        if (!file)
            status = out_of_memory(path);
        else if (!bl_is_file(file))
            status = bl_fail(BL_ERROR_IO, "%s: missing, but listed in %s", file, INDEX);
        else if (folder->weight_file_count == MOST_FILES)
            status = bl_fail(BL_ERROR_FORMAT, "%s: lists more than %d files", path, (int) MOST_FILES);
        else
            status = add_file(folder, file);
        free(file);
    }
    free(names);
    return status;
}

static bl_status read_index(bl_model_folder *folder, const char *path) {
    json_t *index;
    BL_TRY(bl_json_read(path, &index));
    if (!index) return bl_fail(BL_ERROR_IO, "%s: no such file", path);
    bl_status status = add_listed(folder, path, json_object_get(index, "weight_map"));
    json_decref(index);
    return status;
}

/*
 * Whether a file's first bytes are those of a text, such as a table of data or
 * a page that says why there was no download. A safetensors file begins with a
 * length of eight bytes, of which the last are zero.
 */
static bool is_text(const char *head, ssize_t bytes) {
    for (ssize_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char) head[i];
        if (c == 0x7f || (c < 0x20 && c != 0x1b && (c < '\t' || c > '\r'))) return false;
    }
    return bytes > 0;
}

/* Refuse a file in which no program would find parameters. */
static bl_status refuse_texts(const char *path) {
    /* A checkout without git-lfs has small texts in place of the files. */
    static const char POINTER[] = "version https://git-lfs";
    char head[64];
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return bl_fail(BL_ERROR_IO, "%s: %s", path, strerror(errno));
    ssize_t got = read(descriptor, head, sizeof head);
    close(descriptor);
    if (got >= (ssize_t) sizeof POINTER - 1 && memcmp(head, POINTER, sizeof POINTER - 1) == 0)
        return bl_fail(BL_ERROR_FORMAT, "%s: a Git LFS pointer, not the file itself: fetch it with git lfs pull", path);
    if (!is_text(head, got) || has_other_format(path)) return BL_OK;
    if (ends_in(path, ".safetensors"))
        return bl_fail(BL_ERROR_FORMAT, "%s: a text, not a safetensors file: fetch it again", path);
    return bl_fail(BL_ERROR_FORMAT,
                   "%s: a text, not a model: expected a folder with config.json and model.safetensors, or beside a "
                   "config.json a .safetensors file",
                   path);
}

static bl_status find_parameters(bl_model_folder *folder, const char *path, const bl_encoder_options *options) {
    char *file = NULL;
    if (options->parameters) {
        if (!bl_is_folder(path)) return bl_fail(BL_ERROR_IO, "%s: no such folder", path);
        folder->path = strdup(path);
        return folder->path ? BL_OK : out_of_memory(path);
    }
    if (bl_is_file(path)) {
        const char *slash = strrchr(path, '/');
        bool is_index = ends_in(path, ".index.json");
        if (!is_index) BL_TRY(refuse_texts(path));
        if (!ends_in(path, ".safetensors") && (!is_index || has_other_format(path)))
            return bl_fail(BL_ERROR_UNSUPPORTED,
                           "%s: expected a folder or a .safetensors file: make a folder of it with bertlua convert "
                           "from-huggingface --input %s --output-dir FOLDER",
                           path, path);
        folder->path = slash ? strndup(path, slash > path ? (size_t) (slash - path) : 1) : strdup(".");
        file = strdup(path);
    } else if (bl_is_folder(path)) {
        BL_TRY(find(folder, path));
        if (folder->path)
            file = bl_path_join(folder->path, holds(folder->path, "model.safetensors") ? "model.safetensors" : INDEX);
    } else {
        return bl_fail(BL_ERROR_IO, "%s: no such file or folder", path);
    }
    if (!folder->path || !file) {
        free(file);
        return out_of_memory(path);
    }
    bl_status status = ends_in(file, ".index.json") ? read_index(folder, file) : add_file(folder, file);
    free(file);
    for (int32_t i = 0; status == BL_OK && i < folder->weight_file_count; i++)
        status = refuse_texts(folder->weight_files[i]);
    return status;
}

/* A number of tokens in one of the folder's files; 0 if there is none. */
static bl_status recorded(const bl_model_folder *folder, const char *name, const char *key, int32_t *out) {
    json_t *object;
    double number;
    *out = 0;
    BL_TRY(bl_json_beside(folder->path, name, &object));
    /* transformers writes 1e30 where there is no limit. */
    if (bl_json_number(object, key, &number) && number >= 1 && number < INT32_MAX) *out = (int32_t) number;
    json_decref(object);
    return BL_OK;
}

/* The most tokens of a text: as asked for, else the limit that the folder records, else the positions. */
static bl_status take_limit(bl_model_folder *folder, const bl_encoder_options *options, const json_t *progress) {
    int32_t most = folder->size.positions, limit = 0;
    bool said;
    double number;
    BL_TRY(bl_sentences_read(folder, progress, &limit, &said));
    if (!said) BL_TRY(recorded(folder, "sentence_bert_config.json", "max_seq_length", &limit));
    if (limit == 0) BL_TRY(recorded(folder, "tokenizer_config.json", "model_max_length", &limit));
    if (limit == 0 && bl_json_number(bl_records_settings(progress), "max_seq_length", &number) && number >= 1 &&
        number < INT32_MAX)
        limit = (int32_t) number;
    if (options->max_length > most)
        return bl_fail(BL_ERROR_ARGUMENT, "encoder: max_length is %d, but %s has max_position_embeddings %d",
                       options->max_length, folder->path, most);
    if (options->max_length > 0) limit = options->max_length;
    folder->max_length = limit > 0 && limit < most ? limit : most;
    if (folder->max_length >= 3) return BL_OK;
    return bl_fail(options->max_length > 0 ? BL_ERROR_ARGUMENT : BL_ERROR_FORMAT,
                   "%s: texts may have %d tokens, expected at least 3: [CLS], a token and [SEP]; set max_length",
                   folder->path, folder->max_length);
}

/* A recorded setting; larger ones than any that our recipes take are cut, for what they would cost. */
static int32_t setting(const json_t *settings, const char *name, int32_t fallback, int32_t most) {
    double number;
    if (!bl_json_number(settings, name, &number) || !(number >= 1)) return fallback;
    return number < most ? (int32_t) number : most;
}

/* How questions are read: squad_settings.json of an export, what the run of a checkpoint began with, else defaults. */
static bl_status take_answers(bl_model_folder *folder, const json_t *progress) {
    json_t *own;
    BL_TRY(bl_json_beside(folder->path, "squad_settings.json", &own));
    const json_t *s = own ? own : bl_records_settings(progress) ? bl_records_settings(progress) : progress;
    bl_answer_settings *a = &folder->answers;
    a->max_seq_length = setting(s, "max_seq_length", 384, 4096);
    a->doc_stride = setting(s, "doc_stride", 128, 4096);
    a->max_query_length = setting(s, "max_query_length", 64, 4096);
    a->n_best_size = setting(s, "n_best_size", 20, 10000);
    a->max_answer_length = setting(s, "max_answer_length", 30, 4096);
    a->null_score_diff_threshold = 0;
    bl_json_number(s, "null_score_diff_threshold", &a->null_score_diff_threshold);
    json_decref(own);
    if (a->max_seq_length > folder->size.positions) a->max_seq_length = folder->size.positions;
    if (a->max_query_length > a->max_seq_length / 2) a->max_query_length = a->max_seq_length / 2;
    return BL_OK;
}

static bl_status read_all(bl_model_folder *folder, const bl_encoder_options *options, json_t **progress) {
    BL_TRY(bl_records_read(folder, progress));
    BL_TRY(bl_config_read(folder, options));
    BL_TRY(take_limit(folder, options, *progress));
    BL_TRY(take_answers(folder, *progress));
    /* The last, as it takes the most time. */
    return bl_words_open(folder, options, *progress);
}

bl_status bl_folder_open(bl_model_folder *out, const char *path, const bl_encoder_options *options) {
    static const bl_encoder_options DEFAULTS;
    json_t *progress = NULL;
    bl_model_folder folder = {0};
    if (!out || !path) return bl_fail(BL_ERROR_ARGUMENT, "encoder: the folder's path is NULL");
    if (!options) options = &DEFAULTS;
    if (options->max_length < 0 || (options->max_length > 0 && options->max_length < 3))
        return bl_fail(BL_ERROR_ARGUMENT,
                       "encoder: max_length is %d, expected 0 or at least 3: [CLS], a token and "
                       "[SEP]",
                       options->max_length);
    size_t length = strlen(path);
    /* Slashes at the end would show up in every message. */
    while (length > 1 && path[length - 1] == '/')
        length--;
    char *given = strndup(path, length);
    bl_status status = given ? find_parameters(&folder, given, options) : out_of_memory(path);
    if (status == BL_OK) status = read_all(&folder, options, &progress);
    json_decref(progress);
    free(given);
    if (status == BL_OK)
        *out = folder;
    else
        bl_folder_close(&folder);
    return status;
}

static void free_texts(char **texts, int32_t count) {
    for (int32_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

void bl_folder_close(bl_model_folder *folder) {
    if (!folder) return;
    free(folder->path);
    free(folder->config_path);
    free(folder->architecture);
    free(folder->pooling_problem);
    free_texts(folder->weight_files, folder->weight_file_count);
    free_texts(folder->labels, folder->label_count);
    free_texts(folder->notes, folder->note_count);
    bl_tokenizer_free(folder->tokenizer);
    memset(folder, 0, sizeof *folder);
}
