/*
 * queue_batch.c - what a worker of the queue does with the requests that it has
 * taken: count their tokens, refuse what is too long, call the encoder once for
 * those that can be joined, and share out the results.
 *
 * If a joined call fails, each request is computed by itself: one of them must
 * not fail for the texts of another.
 */
#include <stdlib.h>
#include <string.h>

#include "queue.h"

static int32_t minimum(int64_t a, int64_t b) {
    return (int32_t) (a < b ? a : b);
}

/* A token takes at least one byte, and there are [CLS] and [SEP]. */
static int64_t most_tokens(const bl_queue_limits *limits, const char *text) {
    return minimum((int64_t) strlen(text) + 2, limits->max_length);
}

static int64_t count_masks(const char *text) {
    int64_t masks = 0;
    for (const char *at = text; (at = strstr(at, "[MASK]")); at++)
        masks++;
    return masks;
}

bool bl_queue_result_bytes(const bl_queue_limits *limits, const bl_request *request, uint64_t *bytes) {
    uint64_t rows = 0, row_bytes = sizeof(float) * (uint64_t) limits->hidden_size;
    switch (request->ask) {
    case BL_ASK_HIDDEN:
        for (int32_t i = 0; i < request->count; i++)
            rows += (uint64_t) most_tokens(limits, request->texts[i]);
        break;
    case BL_ASK_FILL_MASK:
        for (int32_t i = 0; i < request->count; i++)
            rows += (uint64_t) minimum(count_masks(request->texts[i]), limits->max_length);
        row_bytes = sizeof(bl_guess) * (uint64_t) request->top;
        break;
    case BL_ASK_ANSWER:
        rows = (uint64_t) request->count;
        row_bytes = sizeof(bl_encoder_answer) * (uint64_t) request->top;
        break;
    case BL_ASK_CLASSIFY:
        row_bytes = sizeof(float) * (uint64_t) limits->labels;
        rows = (uint64_t) request->count;
        break;
    default:
        rows = (uint64_t) request->count;
        break;
    }
    /* lengths and rows too */
    uint64_t counts = (uint64_t) request->count * (sizeof(int32_t) + sizeof(int64_t));
    return !__builtin_mul_overflow(rows, row_bytes, bytes) && !__builtin_add_overflow(*bytes, counts, bytes);
}

bool bl_queue_joins(const bl_request *a, const bl_request *b) {
    if (a->ask != b->ask) return false;
    if (a->ask == BL_ASK_CLASSIFY) return !a->pairs == !b->pairs;
    return a->ask == BL_ASK_EMBED && a->pooling == b->pooling;
}

static void fail(bl_queue_job *job, bl_status status, const char *message) {
    job->reply.status = status;
    free(job->message);
    job->message = strdup(message);
    job->reply.message = job->message ? job->message : "out of memory";
}

static void fail_for_memory(bl_queue_job *job, uint64_t bytes) {
    bl_fail(BL_ERROR_MEMORY, "encoder_queue: no memory for results of %llu bytes", (unsigned long long) bytes);
    fail(job, BL_ERROR_MEMORY, bl_last_error());
}

/* ---------------------------------------------------------------- lengths */

static void measure(const bl_queue_limits *limits, bl_queue_job *job) {
    const bl_request *request = &job->request;
    size_t count = (size_t) request->count;
    job->lengths = calloc(count, sizeof *job->lengths);
    if (!job->lengths) {
        fail_for_memory(job, count * sizeof *job->lengths);
        return;
    }
    bl_status status =
        bl_encoder_lengths(limits->encoder, request->texts, request->pairs, request->count, job->lengths);
    if (status != BL_OK) {
        fail(job, status, bl_last_error());
        return;
    }
    bl_reply *reply = &job->reply;
    reply->lengths = job->lengths;
    bool windows = request->ask == BL_ASK_ANSWER, cut = request->truncate && request->ask != BL_ASK_FILL_MASK;
    for (int32_t i = 0; i < request->count; i++) {
        int32_t length = job->lengths[i];
        reply->tokens += windows ? length : minimum(length, limits->max_length);
        if (windows || cut || length <= limits->max_length || reply->too_long) continue;
        reply->too_long = i + 1;
        bl_fail(BL_ERROR_ARGUMENT, "text %d has %d tokens, the model takes at most %d; %s", (int) i + 1, (int) length,
                (int) limits->max_length,
                request->ask == BL_ASK_FILL_MASK ? "shorten it" : "shorten it, or ask to truncate");
        fail(job, BL_ERROR_ARGUMENT, bl_last_error());
    }
}

void bl_queue_measure(const bl_queue_limits *limits, bl_queue_job *jobs) {
    for (bl_queue_job *job = jobs; job; job = job->next)
        if (!job->lengths && job->reply.status == BL_OK) measure(limits, job);
}

/* ---------------------------------------------------------------- computing */

/* One call for the vectors or scores of n texts: out [n, width]. */
static bl_status call(const bl_queue_limits *limits, const bl_request *like, const char *const *texts,
                      const char *const *pairs, int64_t n, float *out) {
    if (like->ask == BL_ASK_EMBED) return bl_encoder_embed(limits->encoder, texts, n, like->pooling, out);
    return bl_encoder_classify(limits->encoder, texts, pairs, n, out);
}

/* Floats of a job of vectors or scores: made and entered into its reply; NULL and failed if there is no memory. */
static float *make_values(const bl_queue_limits *limits, bl_queue_job *job, int64_t rows) {
    int64_t width = job->request.ask == BL_ASK_CLASSIFY ? limits->labels : limits->hidden_size;
    size_t bytes = (size_t) rows * (size_t) width * sizeof(float);
    job->results = malloc(bytes ? bytes : 1);
    if (!job->results) {
        fail_for_memory(job, bytes);
        return NULL;
    }
    job->reply.width = width;
    job->reply.values = job->results;
    return job->results;
}

static void compute_values(const bl_queue_limits *limits, bl_queue_job *job) {
    const bl_request *request = &job->request;
    float *out = make_values(limits, job, request->count);
    if (!out) return;
    bl_status status = call(limits, request, request->texts, request->pairs, request->count, out);
    if (status != BL_OK) fail(job, status, bl_last_error());
}

/* The texts of several jobs, and their results before they are shared out. */
typedef struct joined {
    const char **texts;
    const char **pairs; /* NULL without */
    float *values;
    int64_t count;
} joined;

static void join_texts(const bl_queue_job *jobs, joined *all) {
    int64_t at = 0;
    for (const bl_queue_job *job = jobs; job; job = job->next) {
        if (job->reply.status != BL_OK) continue;
        size_t count = (size_t) job->request.count;
        memcpy(all->texts + at, job->request.texts, count * sizeof *all->texts);
        if (all->pairs) memcpy(all->pairs + at, job->request.pairs, count * sizeof *all->pairs);
        at += job->request.count;
    }
}

static void share_out(const bl_queue_limits *limits, bl_queue_job *jobs, const float *values) {
    for (bl_queue_job *job = jobs; job; job = job->next) {
        if (job->reply.status != BL_OK) continue;
        float *out = make_values(limits, job, job->request.count);
        int64_t width = job->request.ask == BL_ASK_CLASSIFY ? limits->labels : limits->hidden_size;
        if (out) memcpy(out, values, (size_t) (job->request.count * width) * sizeof *out);
        values += job->request.count * width;
    }
}

/* False if the jobs have to be computed one by one: out of memory, or the texts of one of them are to blame. */
static bool compute_joined(const bl_queue_limits *limits, bl_queue_job *jobs, int64_t count) {
    int64_t width = jobs->request.ask == BL_ASK_CLASSIFY ? limits->labels : limits->hidden_size;
    joined all = {.count = count};
    all.texts = malloc((size_t) count * sizeof *all.texts);
    all.pairs = jobs->request.pairs ? malloc((size_t) count * sizeof *all.pairs) : NULL;
    all.values = malloc((size_t) (count * width) * sizeof *all.values + 1);
    bool done = all.texts && all.values && (all.pairs || !jobs->request.pairs);
    if (done) {
        join_texts(jobs, &all);
        done = call(limits, &jobs->request, all.texts, all.pairs, count, all.values) == BL_OK;
    }
    if (done) share_out(limits, jobs, all.values);
    free(all.texts);
    free(all.pairs);
    free(all.values);
    return done;
}

/* Rows of each text, entered into the reply; false and failed if there is no memory. */
static bool make_rows(bl_queue_job *job) {
    size_t count = (size_t) job->request.count;
    job->rows = calloc(count, sizeof *job->rows);
    if (!job->rows) fail_for_memory(job, count * sizeof *job->rows);
    job->reply.rows = job->rows;
    return job->rows != NULL;
}

static void compute_hidden(const bl_queue_limits *limits, bl_queue_job *job) {
    float *out = make_rows(job) ? make_values(limits, job, job->reply.tokens) : NULL;
    int64_t left = job->reply.tokens;
    for (int32_t i = 0; out && job->reply.status == BL_OK && i < job->request.count; i++) {
        bl_status status = bl_encoder_hidden(limits->encoder, job->request.texts[i], NULL, left, out, &job->rows[i]);
        if (status != BL_OK) {
            fail(job, status, bl_last_error());
            return;
        }
        out += job->rows[i] * limits->hidden_size;
        left -= job->rows[i];
    }
}

/* Room for rows and for all results of a request; NULL and failed if there is no memory. */
static void *make_results(const bl_queue_limits *limits, bl_queue_job *job) {
    uint64_t bytes = 0;
    bl_queue_result_bytes(limits, &job->request, &bytes);
    if (!make_rows(job)) return NULL;
    job->results = malloc(bytes);
    if (!job->results) fail_for_memory(job, bytes);
    return job->results;
}

static void compute_answers(const bl_queue_limits *limits, bl_queue_job *job) {
    const bl_request *request = &job->request;
    bl_encoder_answer *out = make_results(limits, job);
    job->reply.answers = out;
    for (int32_t i = 0; out && job->reply.status == BL_OK && i < request->count; i++) {
        int32_t count = 0;
        bl_status status = bl_encoder_answer_question(limits->encoder, request->texts[i], request->pairs[i],
                                                      request->allow_none, request->top, out, &count);
        if (status != BL_OK) fail(job, status, bl_last_error());
        job->rows[i] = count;
        out += count;
    }
}

static void compute_masks(const bl_queue_limits *limits, bl_queue_job *job) {
    const bl_request *request = &job->request;
    bl_guess *out = make_results(limits, job);
    job->reply.guesses = out;
    for (int32_t i = 0; out && job->reply.status == BL_OK && i < request->count; i++) {
        int64_t masks = minimum(count_masks(request->texts[i]), limits->max_length);
        bl_status status = bl_encoder_fill_mask(limits->encoder, request->texts[i], request->top, masks * request->top,
                                                out, &job->rows[i]);
        if (status != BL_OK) fail(job, status, bl_last_error());
        out += job->rows[i] * request->top;
    }
}

void bl_queue_compute(const bl_queue_limits *limits, bl_queue_job *jobs) {
    static void (*const alone[])(const bl_queue_limits *, bl_queue_job *) = {
        [BL_ASK_EMBED] = compute_values,   [BL_ASK_HIDDEN] = compute_hidden,   [BL_ASK_CLASSIFY] = compute_values,
        [BL_ASK_ANSWER] = compute_answers, [BL_ASK_FILL_MASK] = compute_masks,
    };
    int64_t texts = 0, ready = 0;
    for (const bl_queue_job *job = jobs; job; job = job->next) {
        if (job->reply.status != BL_OK) continue;
        texts += job->request.count;
        ready++;
    }
    if (ready > 1 && compute_joined(limits, jobs, texts)) return;
    for (bl_queue_job *job = jobs; job; job = job->next)
        if (job->reply.status == BL_OK) alone[job->request.ask](limits, job);
}
