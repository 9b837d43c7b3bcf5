/*
 * matmul_choices.cu - the file that keeps which algorithm was timed fastest
 * for each product; see matmul.h.
 *
 * Text, one product per line: the key, then what was chosen, then, for a batch,
 * its size and steps. An algorithm is
 * cuBLASLt's own record, valid for one version of the library and one kind of
 * GPU; both are in the second line, with the driver's version, and a file for
 * others is rebuilt.
 */
#include "cuda/matmul.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char TITLE[] = "bertlua matmul choices 1";
static const char COLUMNS[] = "# m n k lda ldb ldd transpose_a transpose_b operand result accumulate epilogue tf32 "
                              "align_a align_b align_d align_vector : workspace microseconds use : algorithm "
                              "[: batch batch_a batch_b batch_d]";

void bl_cuda_choices_free(bl_cuda_choices *choices) {
    free(choices->items);
    memset(choices, 0, sizeof *choices);
}

bl_status bl_cuda_choices_add(bl_cuda_choices *choices, const bl_cuda_choice *choice) {
    if (choices->count == choices->capacity) {
        int64_t capacity = choices->capacity ? 2 * choices->capacity : 64;
        void *items = realloc(choices->items, (size_t) capacity * sizeof *choices->items);
        if (!items) return bl_fail(BL_ERROR_MEMORY, "matmul: out of memory");
        choices->items = (bl_cuda_choice *) items;
        choices->capacity = capacity;
    }
    choices->items[choices->count++] = *choice;
    return BL_OK;
}

bl_cuda_choice *bl_cuda_choices_find(const bl_cuda_choices *choices, const bl_cuda_matmul_key *key) {
    for (int64_t i = 0; i < choices->count; i++)
        if (memcmp(&choices->items[i].key, key, sizeof *key) == 0) return &choices->items[i];
    return NULL;
}

static bool parse(bl_cuda_choice *choice, const char *line) {
    memset(choice, 0, sizeof *choice);
    bl_cuda_matmul_key *k = &choice->key;
    uint64_t *w = choice->algorithm.data;
    int end = 0;
    int fields = sscanf(line,
                        "%" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64
                        " %d %d %d %d %d %d %d %d %d %d %d : %" SCNu64 " %lf %d : %" SCNx64 " %" SCNx64 " %" SCNx64
                        " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 "%n",
                        &k->m, &k->n, &k->k, &k->lda, &k->ldb, &k->ldd, &k->transpose_a, &k->transpose_b, &k->operand,
                        &k->result, &k->accumulate, &k->epilogue, &k->tf32, &k->align_a, &k->align_b, &k->align_d,
                        &k->align_vector, &choice->workspace, &choice->microseconds, &choice->use, &w[0], &w[1], &w[2],
                        &w[3], &w[4], &w[5], &w[6], &w[7], &end);
    if (fields == 28 && line[end] == ' ') {
        const char *rest = line + end;
        end = 0;
        fields += sscanf(rest, " : %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 "%n", &k->batch, &k->batch_a,
                         &k->batch_b, &k->batch_d, &end);
        return fields == 32 && rest[end] == '\n';
    }
    return fields == 28 && line[end] == '\n';
}

static bl_status read_lines(bl_cuda_choices *choices, FILE *file, const char *path, const char *device) {
    char line[1024];
    if (!fgets(line, sizeof line, file) || strncmp(line, TITLE, strlen(TITLE)) != 0)
        return bl_fail(BL_ERROR_FORMAT, "%s: not a file of matmul choices; give another name or remove it", path);
    if (!fgets(line, sizeof line, file)) return bl_fail(BL_ERROR_FORMAT, "%s: line 2: no device", path);
    line[strcspn(line, "\n")] = 0;
    if (strcmp(line, device) != 0) return BL_OK;
    for (int number = 3; fgets(line, sizeof line, file); number++) {
        bl_cuda_choice choice;
        if (line[0] == '#') continue;
        if (!parse(&choice, line))
            return bl_fail(BL_ERROR_FORMAT, "%s: line %d: not a choice of an algorithm; remove the line", path, number);
        BL_TRY(bl_cuda_choices_add(choices, &choice));
    }
    return ferror(file) ? bl_fail(BL_ERROR_IO, "%s: %s", path, strerror(errno)) : BL_OK;
}

bl_status bl_cuda_choices_read(bl_cuda_choices *choices, const char *path, const char *device) {
    memset(choices, 0, sizeof *choices);
    FILE *file = fopen(path, "r");
    if (!file) return errno == ENOENT ? BL_OK : bl_fail(BL_ERROR_IO, "%s: %s", path, strerror(errno));
    bl_status status = read_lines(choices, file, path, device);
    fclose(file);
    if (status != BL_OK) bl_cuda_choices_free(choices);
    return status;
}

static void write_line(FILE *file, const bl_cuda_choice *choice) {
    const bl_cuda_matmul_key *k = &choice->key;
    fprintf(file,
            "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %d %d %d %d %d %d %d %d %d %d %d",
            k->m, k->n, k->k, k->lda, k->ldb, k->ldd, k->transpose_a, k->transpose_b, k->operand, k->result,
            k->accumulate, k->epilogue, k->tf32, k->align_a, k->align_b, k->align_d, k->align_vector);
    fprintf(file, " : %" PRIu64 " %.2f %d :", choice->workspace, choice->microseconds, choice->use);
    for (int i = 0; i < 8; i++)
        fprintf(file, " %" PRIx64, choice->algorithm.data[i]);
    if (k->batch)
        fprintf(file, " : %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64, k->batch, k->batch_a, k->batch_b, k->batch_d);
    fputc('\n', file);
}

/* The file is written under another name beside it, with this ending, first. */
static bl_status replace(const bl_cuda_choices *choices, const char *path, const char *ending, const char *device) {
    char beside[4096];
    if ((size_t) snprintf(beside, sizeof beside, "%s%s", path, ending) >= sizeof beside)
        return bl_fail(BL_ERROR_IO, "%.200s...: the name is too long", path);
    /* What is left over at this name is removed, never written to, and a link is not followed. */
    unlink(beside);
    int descriptor = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "w");
    if (!file) {
        int error = errno;
        if (descriptor >= 0) close(descriptor);
        return bl_fail(BL_ERROR_IO, "%s: %s", beside, strerror(error));
    }
    fprintf(file, "%s\n%s\n%s\n", TITLE, device, COLUMNS);
    for (int64_t i = 0; i < choices->count; i++)
        write_line(file, &choices->items[i]);
    bool bad = ferror(file) != 0;
    if (fclose(file) != 0 || bad) return bl_fail(BL_ERROR_IO, "%s: %s", beside, strerror(errno));
    if (rename(beside, path) != 0) return bl_fail(BL_ERROR_IO, "%s: %s", path, strerror(errno));
    return BL_OK;
}

bl_status bl_cuda_choices_write(const bl_cuda_choices *choices, const char *path, const char *device) {
    return replace(choices, path, ".tmp", device);
}

bl_status bl_cuda_choices_name(char *path, size_t bytes, const char *folder, const char *device) {
    int length = snprintf(path, bytes, "%s/matmul-%s.txt", folder, device);
    if (length < 0 || (size_t) length >= bytes) return bl_fail(BL_ERROR_IO, "%.200s...: the name is too long", folder);
    /* What is neither letter nor digit nor point becomes one hyphen. */
    char *to = path + strlen(folder) + 1;
    for (const char *from = to; *from; from++) {
        if (isalnum((unsigned char) *from) || *from == '.')
            *to++ = *from;
        else if (to[-1] != '-')
            *to++ = '-';
    }
    *to = 0;
    return BL_OK;
}

void bl_cuda_choices_share(const bl_cuda_choice *choice, const char *path, const char *device) {
    bl_cuda_choices all;
    /* A damaged file counts as an empty one. */
    (void) bl_cuda_choices_read(&all, path, device);
    bl_cuda_choice *known = bl_cuda_choices_find(&all, &choice->key);
    const bool decides = known && known->use < 0 && choice->use >= 0;
    bl_status status = BL_OK;
    if (decides)
        known->use = choice->use;
    else if (!known)
        status = bl_cuda_choices_add(&all, choice);
    if (status == BL_OK && (decides || !known)) {
        char ending[32]; /* processes that write at once have a file each */
        snprintf(ending, sizeof ending, ".%ld.tmp", (long) getpid());
        (void) replace(&all, path, ending, device);
    }
    bl_cuda_choices_free(&all);
}
