/*
 * records.c - what bertlua wrote beside a model: progress.json of a checkpoint
 * and checksums.json of an export, each of which holds a CRC32C of its own text
 * and of the files; and which checkpoint of a run stands for it.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "encoder/folder.h"

enum { PROGRESS_FORMAT = 2 };

static bl_status out_of_memory(const char *path) {
    return bl_fail(BL_ERROR_MEMORY, "%s: out of memory", path);
}

/* The eight digits of the text's own CRC32C; NULL if it has none. */
static char *own_digits(char *text) {
    static const char NAME[] = "\"self_crc32c\":";
    for (char *at = text; (at = strstr(at, NAME)); at++) {
        char *digits = at + sizeof NAME - 1;
        if (*digits == ' ') digits++;
        if (*digits++ == '"' && strspn(digits, "0123456789abcdefABCDEF") >= 8 && digits[8] == '"') return digits;
    }
    return NULL;
}

/* Compare a text with the checksum in it, which becomes zeros. *has: whether there is one. */
static bl_status check_own(const char *path, char *text, size_t bytes, bool *has) {
    char *digits = own_digits(text), written[9] = "", found[9];
    *has = digits != NULL;
    if (!digits) {
        if (!strstr(text, "\"self_crc32c\"")) return BL_OK;
        return bl_fail(BL_ERROR_FORMAT, "%s: is damaged: its checksum is missing", path);
    }
    memcpy(written, digits, 8);
    memset(digits, '0', 8);
    snprintf(found, sizeof found, "%08x", (unsigned) bl_crc32c(0, text, bytes));
    if (strcmp(found, written) == 0) return BL_OK;
    return bl_fail(BL_ERROR_FORMAT, "%s: is damaged: its CRC32C is %s, expected %s", path, found, written);
}

/* An object that vouches for itself; *out is NULL if there is no such file. */
static bl_status read_sealed(const char *path, json_t **out, bool *sealed) {
    char *text;
    size_t bytes;
    *out = NULL;
    BL_TRY(bl_file_text(path, BL_JSON_MOST, &text, &bytes));
    if (!text) return BL_OK;
    bl_status status = check_own(path, text, bytes, sealed);
    if (status == BL_OK) status = bl_json_parse(path, text, bytes, out);
    free(text);
    if (status == BL_OK && !json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        status = bl_fail(BL_ERROR_FORMAT, "%s: not a JSON object", path);
    }
    return status;
}

static bool is_count(const json_t *object, const char *key, double *out) {
    return bl_json_number(object, key, out) && *out >= 0 && *out == floor(*out) && *out < 9007199254740992.0;
}

/* {name: {bytes, crc32c}} */
static bl_status check_files(const char *path, const json_t *files) {
    const char *name;
    json_t *record;
    double number;
    if (!json_is_object(files)) return bl_fail(BL_ERROR_FORMAT, "%s: contains no list of files", path);
    json_object_foreach((json_t *) files, name, record) {
        if (!bl_is_plain_name(name))
            return bl_fail(BL_ERROR_FORMAT, "%s: \"%.80s\" is not the name of a file beside it", path, name);
        if (!is_count(record, "bytes", &number) || !is_count(record, "crc32c", &number))
            return bl_fail(BL_ERROR_FORMAT, "%s: contains no size and checksum of %.80s", path, name);
    }
    return BL_OK;
}

static bl_status read_progress(const char *folder, json_t **out) {
    *out = NULL;
    char *path = bl_path_join(folder, "progress.json");
    if (!path) return out_of_memory(folder);
    bool sealed = false;
    double format, step;
    bl_status status = read_sealed(path, out, &sealed);
    const json_t *number = *out ? json_object_get(*out, "format") : NULL;
    /* Checkpoints of the very first versions have no number. */
    format = number ? json_number_value(number) : 1;
    if (status == BL_OK && *out && format != 1 && format != PROGRESS_FORMAT) {
        char shown[80];
        status = bl_fail(BL_ERROR_FORMAT, "%s: is of format %s, but this version of bertlua reads up to %d", path,
                         bl_json_shown(number, shown, sizeof shown), (int) PROGRESS_FORMAT);
    }
    if (status == BL_OK && *out && sealed != (format == PROGRESS_FORMAT))
        status = bl_fail(BL_ERROR_FORMAT, "%s: is damaged: it is not of the format that it states", path);
    if (status == BL_OK && *out && !is_count(*out, "step", &step))
        status = bl_fail(BL_ERROR_FORMAT, "%s: contains no step", path);
    if (status == BL_OK && *out) status = check_files(path, json_object_get(*out, "files"));
    if (status != BL_OK) {
        json_decref(*out);
        *out = NULL;
    }
    free(path);
    return status;
}

static bool is_parameters(const char *name) {
    size_t length = strlen(name), ending = sizeof ".safetensors" - 1;
    return length > ending && strcmp(name + length - ending, ".safetensors") == 0;
}

/* Compare a file with its record: *differs, and if it does, a message. */
static bl_status compare(const char *path, const json_t *record, bool *differs) {
    double bytes = 0, crc = 0;
    uint32_t found = 0;
    uint64_t size = 0;
    bl_json_number(record, "bytes", &bytes);
    bl_json_number(record, "crc32c", &crc);
    BL_TRY(bl_file_crc32c(path, &found, &size));
    *differs = (double) size != bytes || (double) found != crc;
    if (!*differs) return BL_OK;
    return bl_fail(BL_ERROR_FORMAT, "%s: is damaged: it has %llu bytes and CRC32C %08x, expected %.0f and %08x", path,
                   (unsigned long long) size, (unsigned) found, bytes, (unsigned) (crc < 4294967296.0 ? crc : 0));
}

/*
 * Compare files of a folder with their records. Parameters that differ are an
 * error: of an export only where they have the size that was recorded, as
 * other programs may write there. The optimizer's are not read here.
 */
static bl_status compare_all(bl_model_folder *folder, const char *home, const json_t *files, bool checkpoint) {
    const char *name;
    json_t *record;
    json_object_foreach((json_t *) files, name, record) {
        struct stat info;
        double bytes = 0;
        if (strcmp(name, "optimizer.safetensors") == 0) continue;
        char *path = bl_path_join(home, name);
        if (!path) return out_of_memory(home);
        bool there = stat(path, &info) == 0 && S_ISREG(info.st_mode), differs = false;
        bl_json_number(record, "bytes", &bytes);
        bl_status status = BL_OK;
        if (!there && is_parameters(name) && checkpoint)
            status = bl_fail(BL_ERROR_IO, "%s: is missing, but listed in progress.json", path);
        else if (there)
            status = compare(path, record, &differs);
        bool foreign = !checkpoint && there && (double) info.st_size != bytes;
        if (differs && (!is_parameters(name) || foreign)) {
            status = folder
                         ? bl_folder_note(folder, "%s: is not as bertlua wrote it: it was edited, or is damaged", path)
                         : BL_OK;
        }
        free(path);
        BL_TRY(status);
    }
    return BL_OK;
}

/* checksums.json of an export; what is wrong with the file itself is noted. */
static bl_status check_export(bl_model_folder *folder) {
    char *path = bl_path_join(folder->path, "checksums.json");
    if (!path) return out_of_memory(folder->path);
    json_t *value = NULL;
    bool sealed;
    bl_status status = read_sealed(path, &value, &sealed);
    if (status == BL_OK && value) status = check_files(path, json_object_get(value, "files"));
    if (status == BL_ERROR_FORMAT)
        status = bl_folder_note(folder, "%s: the model's files are not compared with it", bl_last_error());
    else if (status == BL_OK && value)
        status = compare_all(folder, folder->path, json_object_get(value, "files"), false);
    json_decref(value);
    free(path);
    return status;
}

bl_status bl_records_read(bl_model_folder *folder, json_t **progress) {
    BL_TRY(read_progress(folder->path, progress));
    /* Parameters that come from memory were read by somebody else. */
    if (folder->weight_file_count == 0) return BL_OK;
    if (!*progress) return check_export(folder);
    return compare_all(folder, folder->path, json_object_get(*progress, "files"), true);
}

const json_t *bl_records_settings(const json_t *progress) {
    const json_t *settings = json_object_get(json_object_get(progress, "began"), "settings");
    return json_is_object(settings) ? settings : NULL;
}

static int descending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Steps that name a folder, newest first. */
static bl_status list_steps(const char *root, uint64_t **steps, size_t *count) {
    *steps = NULL;
    *count = 0;
    DIR *folder = opendir(root);
    if (!folder) return bl_fail(BL_ERROR_IO, "%s: %s", root, strerror(errno));
    size_t capacity = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        size_t length = strlen(entry->d_name);
        if (length == 0 || length > 18 || strspn(entry->d_name, "0123456789") != length) continue;
        /* "007" is no folder of ours. */
        if (entry->d_name[0] == '0' && length > 1) continue;
        if (*count == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            uint64_t *grown = realloc(*steps, capacity * sizeof *grown);
            if (!grown) {
                closedir(folder);
                free(*steps);
                *steps = NULL;
                return out_of_memory(root);
            }
            *steps = grown;
        }
        (*steps)[(*count)++] = strtoull(entry->d_name, NULL, 10);
    }
    closedir(folder);
    if (*count > 1) qsort(*steps, *count, sizeof **steps, descending);
    return BL_OK;
}

static char *step_path(const char *root, uint64_t step) {
    char name[32];
    snprintf(name, sizeof name, "%llu", (unsigned long long) step);
    return bl_path_join(root, name);
}

/* Whether a checkpoint is complete and its parameters undamaged; else the reason is the last error. */
static bl_status check_step(const char *path, uint64_t step, json_t **progress) {
    double recorded = -1;
    BL_TRY(read_progress(path, progress));
    if (!*progress) return bl_fail(BL_ERROR_FORMAT, "%s: progress.json is missing", path);
    bl_json_number(*progress, "step", &recorded);
    bl_status status = recorded == (double) step
                           ? compare_all(NULL, path, json_object_get(*progress, "files"), true)
                           : bl_fail(BL_ERROR_FORMAT, "%s: progress.json is for step %.0f", path, recorded);
    if (status == BL_OK) return BL_OK;
    json_decref(*progress);
    *progress = NULL;
    return status;
}

/* The best step of the newest checkpoint's run, if it keeps one. */
static bool best_step(const json_t *progress, uint64_t newest, uint64_t *best) {
    const json_t *state = json_object_get(progress, "evaluation");
    double number;
    if (bl_json_truth(state, "kept") != 1 || !is_count(state, "best_step", &number)) return false;
    *best = (uint64_t) number;
    return *best != newest;
}

bl_status bl_records_preferred(const char *root, char **out, char *skipped, size_t room) {
    uint64_t *steps, best;
    size_t count;
    *out = NULL;
    BL_TRY(list_steps(root, &steps, &count));
    bl_status status = BL_OK;
    skipped[0] = 0;
    for (size_t i = 0; i < count && !*out; i++) {
        char *path = step_path(root, steps[i]);
        json_t *progress = NULL, *other = NULL;
        status = path ? check_step(path, steps[i], &progress) : out_of_memory(root);
        if (status == BL_OK) {
            *out = path;
            char *better = best_step(progress, steps[i], &best) ? step_path(root, best) : NULL;
            if (better && check_step(better, best, &other) == BL_OK) {
                free(path);
                *out = better;
            } else {
                free(better);
            }
            json_decref(other);
            json_decref(progress);
            break;
        }
        if (!skipped[0]) snprintf(skipped, room, "%s", bl_last_error());
        free(path);
        if (status == BL_ERROR_MEMORY) break;
    }
    free(steps);
    if (*out || count == 0 || status == BL_ERROR_MEMORY) return *out ? BL_OK : status;
    return bl_fail(BL_ERROR_FORMAT, "none of the checkpoints in %s can be used: %s", root, skipped);
}
