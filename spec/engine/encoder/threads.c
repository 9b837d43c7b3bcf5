/*
 * threads.c - a C program with an encoder, for what specs in Lua cannot show.
 *
 *     threads check FOLDER TEXTS THREADS ROUNDS [MEMORY]
 *     threads soak FOLDER TEXTS CALLS
 *
 * check: each of THREADS threads embeds every line of TEXTS, alone and all
 * together, ROUNDS times, each in an order of its own; every vector has the
 * bits that one thread computed before. MEMORY bytes for the encoder make them
 * wait for each other. soak: CALLS calls, of which none may leave memory
 * behind. The exit status is 0 if all is well; one line says why not.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bertlua.h"

/* How much the process may grow after the first tenth of the calls. */
enum { ALLOWED_KIB = 1024 };

static bl_encoder *encoder;
static char **texts;
static int64_t count;
static int32_t width;
static float *expected; /* [count, width] */
static float *expected_together;
static int rounds;

static void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, bl_last_error());
    exit(1);
}

static void read_texts(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) die(path);
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    while ((length = getline(&line, &room, file)) > 0) {
        if (line[length - 1] == '\n') line[length - 1] = 0;
        char **more = realloc(texts, (size_t) (count + 1) * sizeof *texts);
        if (!more) exit(1);
        texts = more;
        texts[count++] = strdup(line);
    }
    free(line);
    fclose(file);
}

static void open_encoder(const char *folder, uint64_t memory) {
    bl_encoder_options options = {.threads = 1, .memory = memory};
    bl_encoder_info info;
    if (bl_encoder_open(&encoder, folder, &options) != BL_OK) die("open");
    if (bl_encoder_describe(encoder, &info) != BL_OK) die("describe");
    width = info.hidden_size;
}

static void embed(const char *const *list, int64_t n, float *out) {
    if (bl_encoder_embed(encoder, list, n, BL_POOL_MEAN, out) != BL_OK) die("embed");
}

/* NULL if every vector is as one thread computed it. */
static void *run_thread(void *argument) {
    size_t number = (size_t) argument;
    float *out = malloc((size_t) (count * width) * sizeof *out);
    bl_rng random;
    bl_rng_init(&random, 1, number);
    for (int round = 0; round < rounds; round++) {
        for (int64_t i = 0; i < count; i++) {
            int64_t which = bl_rng_integer(&random, 0, count - 1);
            int32_t length;
            const char *text = texts[which];
            embed(&text, 1, out);
            if (memcmp(out, expected + which * width, (size_t) width * sizeof *out) != 0) return "one text";
            if (bl_encoder_lengths(encoder, &text, NULL, 1, &length) != BL_OK) die("lengths");
            if (length < 2) return "lengths";
            /* A failure is the thread's own. */
            if (bl_encoder_embed(encoder, &text, -1 - (int64_t) number, BL_POOL_MEAN, out) == BL_OK) return "n";
            char message[64];
            snprintf(message, sizeof message, "embed: n is %lld,", -1 - (long long) number);
            if (strncmp(bl_last_error(), message, strlen(message)) != 0) return "messages";
        }
        embed((const char *const *) texts, count, out);
        if (memcmp(out, expected_together, (size_t) (count * width) * sizeof *out) != 0) return "all texts";
    }
    free(out);
    return NULL;
}

static int check(int threads) {
    size_t bytes = (size_t) (count * width) * sizeof(float);
    expected = malloc(bytes);
    expected_together = malloc(bytes);
    for (int64_t i = 0; i < count; i++)
        embed((const char *const *) &texts[i], 1, expected + i * width);
    embed((const char *const *) texts, count, expected_together);
    pthread_t *list = malloc((size_t) threads * sizeof *list);
    int wrong = 0;
    for (int i = 0; i < threads; i++)
        if (pthread_create(&list[i], NULL, run_thread, (void *) (size_t) i) != 0) die("pthread_create");
    for (int i = 0; i < threads; i++) {
        void *result;
        pthread_join(list[i], &result);
        if (!result) continue;
        fprintf(stderr, "thread %d: other bits than one thread computes: %s\n", i, (const char *) result);
        wrong = 1;
    }
    bl_encoder_info info;
    if (bl_encoder_describe(encoder, &info) != BL_OK) die("describe");
    if (!wrong)
        printf("%d threads, %lld calls each, the same bits; %llu bytes held\n", threads,
               (long long) (rounds * (count + 1)), (unsigned long long) info.bytes_of_calls);
    free(list);
    free(expected);
    free(expected_together);
    return wrong;
}

static long resident_kib(void) {
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &pages, &resident) != 2) die("/proc/self/statm");
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static int soak(int64_t calls) {
    float *out = malloc((size_t) width * sizeof *out);
    long first = 0, last = 0;
    size_t in_use = 0;
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int64_t call = 1; call <= calls; call++) {
        embed((const char *const *) &texts[call % count], 1, out);
        if (call == calls / 10) {
            first = resident_kib();
            in_use = mallinfo2().uordblks;
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    last = resident_kib();
    double seconds = (double) (end.tv_sec - begin.tv_sec) + 1e-9 * (double) (end.tv_nsec - begin.tv_nsec);
    printf("%lld calls in %.1f s; resident %ld KiB after a tenth, %ld KiB at the end; malloc %zu and %zu bytes\n",
           (long long) calls, seconds, first, last, in_use, mallinfo2().uordblks);
    free(out);
    if (last - first <= ALLOWED_KIB) return 0;
    fprintf(stderr, "grew by %ld KiB, expected at most %d\n", last - first, ALLOWED_KIB);
    return 1;
}

int main(int argc, char **argv) {
    int status;
    if (argc < 5) {
        fprintf(stderr, "threads check FOLDER TEXTS THREADS ROUNDS [MEMORY] | threads soak FOLDER TEXTS CALLS\n");
        return 2;
    }
    read_texts(argv[3]);
    open_encoder(argv[2], argc > 6 ? strtoull(argv[6], NULL, 10) : 0);
    if (strcmp(argv[1], "check") == 0) {
        rounds = argc > 5 ? atoi(argv[5]) : 1;
        status = check(atoi(argv[4]));
    } else {
        status = soak(atoll(argv[4]));
    }
    bl_encoder_free(encoder);
    for (int64_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
    return status;
}
