/*
 * names.c - names of tensors in other programs' files; see names.h.
 */
#include "encoder/names.h"

#include <stdlib.h>
#include <string.h>

/* Modules that programs put around a model, and those that they put around its parts too. */
static const char *const outer[] = {"module", "model", "base_model", "auto_model", "0"};
static const char *const wrappers[] = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
                                       "_forward_module"};

/* Whether the part of a name before its next dot is one of a list; its length then, else 0. */
static size_t part_in(const char *name, const char *const *list, size_t count) {
    size_t length = strcspn(name, ".");
    if (name[length] != '.') return 0;
    for (size_t i = 0; i < count; i++)
        if (strlen(list[i]) == length && memcmp(list[i], name, length) == 0) return length;
    return 0;
}

static bool begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

static bool ends(const char *text, const char *with) {
    size_t length = strlen(text), tail = strlen(with);
    return length >= tail && strcmp(text + length - tail, with) == 0;
}

/* A name without the modules around the model, into `to`, which has room for it. */
static void unwrap(char *to, const char *name) {
    char *begin = to;
    while (*name) {
        size_t skipped = part_in(name, wrappers, sizeof wrappers / sizeof *wrappers);
        if (skipped) {
            name += skipped + 1;
            continue;
        }
        size_t length = strcspn(name, ".");
        if (name[length] == '.') length++;
        memcpy(to, name, length);
        to += length;
        name += length;
    }
    *to = 0;
    size_t skipped;
    while ((skipped = part_in(begin, outer, sizeof outer / sizeof *outer)))
        memmove(begin, begin + skipped + 1, strlen(begin + skipped + 1) + 1);
}

/* Our name of a tensor, allocated; `bare`: the file holds a BERT without the prefix of a larger model. */
static char *ours_of(const char *name, bool bare) {
    static const char prefix[] = "bert.";
    char *ours = malloc(strlen(name) + sizeof prefix + sizeof "weight");
    if (!ours) return NULL;
    char *text = ours + sizeof prefix - 1;
    unwrap(text, name);
    if (ends(text, "LayerNorm.gamma")) strcpy(text + strlen(text) - 5, "weight");
    if (ends(text, "LayerNorm.beta")) strcpy(text + strlen(text) - 4, "bias");
    if (bare && (begins(text, "embeddings.") || begins(text, "encoder.") || begins(text, "pooler.")))
        memcpy(ours, prefix, sizeof prefix - 1);
    else
        memmove(ours, text, strlen(text) + 1);
    return ours;
}

/* What bertlua wrote has our names. */
static bool is_ours(const bl_safetensors *file) {
    const char *key, *value;
    for (int64_t i = 0; i < bl_safetensors_metadata_count(file); i++) {
        if (bl_safetensors_metadata(file, i, &key, &value) != BL_OK) return false;
        if (strcmp(key, "optimizer") == 0 || (strcmp(key, "writer") == 0 && begins(value, "bertlua "))) return true;
    }
    return false;
}

/* Whether no tensor has the prefix of a larger model. */
static bl_status find_bare(bool *bare, bl_safetensors *const *files, int32_t count) {
    bl_safetensors_info info;
    *bare = true;
    for (int32_t f = 0; f < count; f++) {
        for (int64_t i = 0; i < bl_safetensors_count(files[f]); i++) {
            BL_TRY(bl_safetensors_describe(files[f], i, &info));
            char *name = ours_of(info.name, false);
            if (!name) return bl_fail(BL_ERROR_MEMORY, "encoder: out of memory for names of tensors");
            if (begins(name, "bert.")) *bare = false;
            free(name);
        }
    }
    return BL_OK;
}

static int compare_named(const void *a, const void *b) {
    return strcmp(((const bl_named *) a)->ours, ((const bl_named *) b)->ours);
}

static bl_status add_files(bl_names *names, bl_safetensors *const *files, int32_t count) {
    bool bare = true;
    BL_TRY(find_bare(&bare, files, count));
    for (int32_t f = 0; f < count; f++) {
        bool kept = is_ours(files[f]);
        for (int64_t i = 0; i < bl_safetensors_count(files[f]); i++) {
            bl_safetensors_info info;
            BL_TRY(bl_safetensors_describe(files[f], i, &info));
            char *ours = kept ? strdup(info.name) : ours_of(info.name, bare);
            if (!ours) return bl_fail(BL_ERROR_MEMORY, "encoder: out of memory for names of tensors");
            names->list[names->count++] = (bl_named){.ours = ours, .file = f, .index = i};
        }
    }
    return BL_OK;
}

static bl_status check_unique(const bl_names *names, bl_safetensors *const *files, char *const *paths) {
    for (int64_t i = 1; i < names->count; i++) {
        const bl_named *a = &names->list[i - 1], *b = &names->list[i];
        if (strcmp(a->ours, b->ours) != 0) continue;
        bl_safetensors_info one, other;
        BL_TRY(bl_safetensors_describe(files[a->file], a->index, &one));
        BL_TRY(bl_safetensors_describe(files[b->file], b->index, &other));
        return bl_fail(BL_ERROR_FORMAT, "%s: %.80s and %.80s%s%s are the same parameter; remove one of them",
                       paths[a->file], one.name, other.name, a->file == b->file ? "" : " of ",
                       a->file == b->file ? "" : paths[b->file]);
    }
    return BL_OK;
}

bl_status bl_names_open(bl_names *out, bl_safetensors *const *files, char *const *paths, int32_t count) {
    int64_t total = 0;
    for (int32_t f = 0; f < count; f++)
        total += bl_safetensors_count(files[f]);
    *out = (bl_names){.list = calloc((size_t) total + 1, sizeof(bl_named))};
    if (!out->list) return bl_fail(BL_ERROR_MEMORY, "encoder: out of memory for names of tensors");
    bl_status status = add_files(out, files, count);
    if (status == BL_OK) {
        qsort(out->list, (size_t) out->count, sizeof *out->list, compare_named);
        status = check_unique(out, files, paths);
    }
    if (status != BL_OK) bl_names_close(out);
    return status;
}

static bl_status add_names(bl_names *names, const char *const *list, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        if (!list[i])
            return bl_fail(BL_ERROR_ARGUMENT, "encoder: the name of parameters->tensors[%lld] is NULL", (long long) i);
        char *ours = strdup(list[i]);
        if (!ours) return bl_fail(BL_ERROR_MEMORY, "encoder: out of memory for names of tensors");
        names->list[names->count++] = (bl_named){.ours = ours, .index = i};
    }
    qsort(names->list, (size_t) names->count, sizeof *names->list, compare_named);
    for (int64_t i = 1; i < names->count; i++)
        if (strcmp(names->list[i].ours, names->list[i - 1].ours) == 0)
            return bl_fail(BL_ERROR_ARGUMENT, "encoder: parameters has %.80s twice", names->list[i].ours);
    return BL_OK;
}

bl_status bl_names_of(bl_names *out, const char *const *list, int64_t count) {
    *out = (bl_names){.list = calloc((size_t) count + 1, sizeof(bl_named))};
    if (!out->list) return bl_fail(BL_ERROR_MEMORY, "encoder: out of memory for names of tensors");
    bl_status status = add_names(out, list, count);
    if (status != BL_OK) bl_names_close(out);
    return status;
}

void bl_names_close(bl_names *names) {
    for (int64_t i = 0; i < names->count; i++)
        free(names->list[i].ours);
    free(names->list);
    *names = (bl_names){0};
}

/* The first that is not less than a name. */
static int64_t lower_bound(const bl_names *names, const char *ours) {
    int64_t low = 0, high = names->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (strcmp(names->list[middle].ours, ours) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const bl_named *bl_names_find(const bl_names *names, const char *ours) {
    int64_t at = lower_bound(names, ours);
    return at < names->count && strcmp(names->list[at].ours, ours) == 0 ? &names->list[at] : NULL;
}

const bl_named *bl_names_begin(const bl_names *names, const char *prefix) {
    int64_t at = lower_bound(names, prefix);
    return at < names->count && begins(names->list[at].ours, prefix) ? &names->list[at] : NULL;
}
