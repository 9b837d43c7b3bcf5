/*
 * queue_threads.c - many threads that ask a queue at once, cancel every seventh
 * request, and one that takes the replies; built with encoder_stub.c under
 * ThreadSanitizer. Prints what became of the requests, and fails if one was lost
 * or was answered with the results of another.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/internal.h"

enum { THREADS = 4, REQUESTS = 1000, TOKENS = 19 };

bl_encoder *stub_open(void);

static bl_encoder_queue *queue;
static atomic_int accepted, refused, cancelled;
/* Length of the text of each ticket. */
static atomic_int expected[THREADS * REQUESTS + 1];

/* The length of the first text, as the stub's result tells it; where it does not, what must stand there instead. */
static int result_of(const bl_reply *reply) {
    int length = atomic_load(&expected[reply->ticket]);
    if (reply->ask == BL_ASK_HIDDEN) return (int) reply->rows[0];
    if (reply->ask == BL_ASK_ANSWER) return reply->rows[0] == 2 && reply->answers[1].end == 9 ? length : -1;
    if (reply->ask == BL_ASK_FILL_MASK) return reply->rows[0] == 1 && reply->guesses[1].id == 1 ? length : -1;
    return (int) reply->values[0];
}

static void *ask(void *argument) {
    int seed = *(int *) argument;
    for (int i = 0; i < REQUESTS; i++) {
        char text[TOKENS + 1];
        int length = 1 + (i * 7 + seed) % TOKENS;
        memset(text, 'x', (size_t) length);
        text[length] = 0;
        const char *texts[] = {text, "[MASK] y"}, *pairs[] = {"a context", "another"};
        bl_request request = {.ask = (i + seed) % 5, .count = 1 + i % 2, .texts = texts, .top = 2};
        if (request.ask == BL_ASK_FILL_MASK) texts[0] = texts[1];
        if (request.ask == BL_ASK_ANSWER) request.pairs = pairs;
        int64_t ticket = 0;
        do {
            if (bl_encoder_queue_submit(queue, &request, &ticket) != BL_OK) return "submit failed";
            if (ticket == 0) atomic_fetch_add(&refused, 1);
            if (ticket == 0) nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
        } while (ticket == 0);
        atomic_fetch_add(&accepted, 1);
        atomic_store(&expected[ticket], length);
        if (i % 7 == 0 && bl_encoder_queue_cancel(queue, ticket)) atomic_fetch_add(&cancelled, 1);
    }
    return NULL;
}

static void take_replies(int *answered, int *wrong) {
    bl_reply *reply;
    while ((reply = bl_encoder_queue_next(queue))) {
        ++*answered;
        int length = 0;
        /* Its thread may not have noted it yet. */
        while (!(length = atomic_load(&expected[reply->ticket]))) {
        }
        *wrong += reply->status != BL_OK || result_of(reply) != length;
        bl_encoder_queue_release(queue, reply);
    }
}

int main(void) {
    bl_encoder_queue_options options = {.workers = 3, .max_texts = 64, .batch_texts = 8, .batch_tokens = 60};
    if (bl_encoder_queue_create(&queue, stub_open(), &options) != BL_OK) return 1;
    pthread_t threads[THREADS];
    int seeds[THREADS];
    for (int i = 0; i < THREADS; i++) {
        seeds[i] = i;
        pthread_create(&threads[i], NULL, ask, &seeds[i]);
    }
    /* Until each was answered or cancelled, however slow the machine is; nothing for 20 s, and one was lost. */
    int answered = 0, wrong = 0, idle = 0;
    while (idle < 200 && answered + atomic_load(&cancelled) < THREADS * REQUESTS) {
        struct pollfd descriptor = {.fd = bl_encoder_queue_descriptor(queue), .events = POLLIN};
        idle = poll(&descriptor, 1, 100) == 0 ? idle + 1 : 0;
        take_replies(&answered, &wrong);
    }
    const char *problem = NULL;
    for (int i = 0; i < THREADS; i++) {
        void *said = NULL;
        pthread_join(threads[i], &said);
        if (said) problem = said;
    }
    /* Nothing more comes. */
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    take_replies(&answered, &wrong);
    bl_encoder_queue_info info;
    bl_encoder_queue_describe(queue, &info);
    bl_encoder_queue_free(queue);
    bool kept = info.bytes == 0 && info.waiting == 0 && info.computing == 0 && info.replies == 0;
    bool whole = answered + cancelled == accepted && accepted == THREADS * REQUESTS && refused > 0;
    if (problem || wrong || !kept || !whole) {
        printf("%s: accepted %d, refused %d, cancelled %d, answered %d, wrong %d, bytes %llu\n",
               problem ? problem : "lost", accepted, refused, cancelled, answered, wrong,
               (unsigned long long) info.bytes);
        return 1;
    }
    printf("ok\n");
    return 0;
}
