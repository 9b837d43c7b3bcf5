/*
 * queue.c - requests that wait, the threads that take them, and replies that
 * wait for the program.
 *
 * A worker takes the oldest request and with it those behind that can be
 * computed by the same call. Nobody waits for company: under load the queue
 * fills while a batch is computed, and the next batch is larger.
 *
 * The lock guards the lists, the counts, and of each job `next`, `cancelled` and
 * the ticket; the rest of a job belongs to the worker that took it, which also
 * may read `next` of its own batch without the lock: nobody else writes it. The
 * lock is never held while texts are counted or computed.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "queue.h"

enum { DEFAULT_MAX_TEXTS = 512, DEFAULT_BATCH_TEXTS = 32, DEFAULT_BATCH_TOKENS = 8192, MAX_WORKERS = 256 };
static const uint64_t DEFAULT_MEMORY = 256u << 20;

typedef struct job_list {
    bl_queue_job *first;
    bl_queue_job **end; /* where the next one goes */
} job_list;

typedef struct worker {
    struct bl_encoder_queue *queue;
    pthread_t thread;
    job_list batch; /* what it has taken */
} worker;

struct bl_encoder_queue {
    bl_queue_limits limits;
    int32_t max_texts;
    uint64_t memory;
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    job_list waiting;
    job_list done;
    int64_t last_ticket;
    bool stopped; /* takes no more */
    bool quit;    /* workers end */
    bl_encoder_queue_info info;
    int pipe[2]; /* one byte is in it while `done` has a job */
    worker *workers;
    int32_t worker_count; /* whose threads run */
};

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t) time.tv_sec * 1000000000 + time.tv_nsec;
}

static void list_clear(job_list *list) {
    list->first = NULL;
    list->end = &list->first;
}

static void list_append(job_list *list, bl_queue_job *job) {
    job->next = NULL;
    *list->end = job;
    list->end = &job->next;
}

/* Take the job at *place, a pointer within the list, out of it. */
static bl_queue_job *list_take(job_list *list, bl_queue_job **place) {
    bl_queue_job *job = *place;
    *place = job->next;
    if (list->end == &job->next) list->end = place;
    job->next = NULL;
    return job;
}

/* Put all jobs of `front`, in their order, before those of the list. */
static void list_prepend(job_list *list, job_list *front) {
    if (!front->first) return;
    *front->end = list->first;
    if (!list->first) list->end = front->end;
    list->first = front->first;
    list_clear(front);
}

/* Where the job with this ticket is; NULL if it is not in the list. */
static bl_queue_job **list_find(job_list *list, int64_t ticket) {
    for (bl_queue_job **place = &list->first; *place; place = &(*place)->next)
        if ((*place)->reply.ticket == ticket) return place;
    return NULL;
}

static void job_free(bl_queue_job *job) {
    if (!job) return;
    free(job->texts);
    free(job->lengths);
    free(job->rows);
    free(job->results);
    free(job->message);
    free(job);
}

static void list_free(job_list *list) {
    while (list->first)
        job_free(list_take(list, &list->first));
}

/* Under the lock: free a job whose bytes were counted. */
static void drop(bl_encoder_queue *queue, bl_queue_job *job) {
    queue->info.bytes -= job->text_bytes + job->result_bytes;
    job_free(job);
}

/* ---------------------------------------------------------------- workers */

/* Under the lock: the oldest job and those that can be computed with it. */
static void take_batch(bl_encoder_queue *queue, job_list *batch) {
    const bl_queue_limits *limits = &queue->limits;
    int64_t texts = 0, tokens = 0;
    bl_queue_job **place = &queue->waiting.first;
    while (*place && texts < limits->batch_texts) {
        bl_queue_job *job = *place;
        bool fits =
            texts + job->request.count <= limits->batch_texts && tokens + job->reply.tokens <= limits->batch_tokens;
        if (batch->first && (!fits || !bl_queue_joins(&batch->first->request, &job->request))) {
            place = &job->next;
            continue;
        }
        texts += job->request.count;
        tokens += job->reply.tokens;
        list_append(batch, list_take(&queue->waiting, place));
    }
}

/*
 * Under the lock, when tokens have been counted: what is too much goes back to
 * the head of the queue, in its order, and what nobody waits for is dropped.
 * Returns the number of texts that stay in the batch.
 */
static int64_t settle_batch(bl_encoder_queue *queue, job_list *batch) {
    int64_t texts = 0, tokens = 0;
    job_list kept, back;
    list_clear(&kept);
    list_clear(&back);
    while (batch->first) {
        bl_queue_job *job = list_take(batch, &batch->first);
        if (job->cancelled) {
            queue->info.waiting -= job->request.count;
            drop(queue, job);
        } else if (kept.first && tokens + job->reply.tokens > queue->limits.batch_tokens) {
            list_append(&back, job);
        } else {
            texts += job->request.count;
            tokens += job->reply.tokens;
            list_append(&kept, job);
        }
    }
    if (back.first) pthread_cond_signal(&queue->arrived);
    list_prepend(&queue->waiting, &back);
    list_prepend(batch, &kept);
    return texts;
}

static void count_batch(bl_encoder_queue_info *info, const job_list *batch, int64_t texts, int64_t spent) {
    int32_t slot = 0;
    while (slot + 1 < BL_BATCH_SIZES && ((int64_t) 1 << slot) < texts)
        slot++;
    info->batches++;
    info->batch_sizes[slot]++;
    info->texts += (uint64_t) texts;
    info->busy += (double) spent * 1e-9;
    for (const bl_queue_job *job = batch->first; job; job = job->next)
        info->tokens += job->reply.status == BL_OK ? (uint64_t) job->reply.tokens : 0;
}

/* Under the lock. */
static void hand_over(bl_encoder_queue *queue, bl_queue_job *job) {
    if (job->cancelled) {
        drop(queue, job);
        return;
    }
    if (!queue->done.first) {
        /* The pipe never holds more than this byte, so there is room. */
        while (write(queue->pipe[1], "", 1) < 0 && errno == EINTR) {
        }
    }
    queue->info.replies++;
    list_append(&queue->done, job);
}

/* Begins and ends under the lock. */
static void run_batch(bl_encoder_queue *queue, job_list *batch) {
    pthread_mutex_unlock(&queue->lock);
    int64_t begin = now();
    bl_queue_measure(&queue->limits, batch->first);
    pthread_mutex_lock(&queue->lock);
    int64_t texts = settle_batch(queue, batch);
    if (!batch->first) return;
    queue->info.waiting -= texts;
    queue->info.computing += texts;
    pthread_mutex_unlock(&queue->lock);
    for (bl_queue_job *job = batch->first; job; job = job->next) {
        job->reply.batch_texts = (int32_t) texts;
        job->reply.waited = begin - job->arrived;
    }
    bl_queue_compute(&queue->limits, batch->first);
    int64_t spent = now() - begin;
    pthread_mutex_lock(&queue->lock);
    queue->info.computing -= texts;
    count_batch(&queue->info, batch, texts, spent);
    while (batch->first) {
        bl_queue_job *job = list_take(batch, &batch->first);
        job->reply.computed = spent;
        hand_over(queue, job);
    }
}

static void *work(void *argument) {
    worker *self = argument;
    bl_encoder_queue *queue = self->queue;
    pthread_mutex_lock(&queue->lock);
    while (!queue->quit) {
        if (!queue->waiting.first) {
            pthread_cond_wait(&queue->arrived, &queue->lock);
            continue;
        }
        take_batch(queue, &self->batch);
        run_batch(queue, &self->batch);
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

/* ---------------------------------------------------------------- create and free */

static bl_status check_options(const bl_encoder_queue_options *o) {
    if (o->workers >= 0 && o->workers <= MAX_WORKERS && o->max_texts >= 0 && o->batch_texts >= 0 &&
        o->batch_tokens >= 0)
        return BL_OK;
    return bl_fail(BL_ERROR_ARGUMENT,
                   "encoder_queue_create: workers %d, max_texts %d, batch_texts %d, batch_tokens %d: expected 0 to %d "
                   "workers and nothing negative",
                   (int) o->workers, (int) o->max_texts, (int) o->batch_texts, (int) o->batch_tokens, MAX_WORKERS);
}

/* Not blocking, and closed in programs that are started. */
static bl_status open_pipe(int ends[2]) {
    int made[2];
    bool ok = pipe(made) == 0;
    if (ok) memcpy(ends, made, sizeof made);
    for (int i = 0; ok && i < 2; i++)
        ok = fcntl(ends[i], F_SETFD, FD_CLOEXEC) == 0 && fcntl(ends[i], F_SETFL, O_NONBLOCK) == 0;
    return ok ? BL_OK : bl_fail(BL_ERROR_IO, "encoder_queue_create: cannot make a pipe: %s", strerror(errno));
}

static bl_status start_workers(bl_encoder_queue *queue, int32_t count) {
    queue->workers = calloc((size_t) count, sizeof *queue->workers);
    if (!queue->workers) return bl_fail(BL_ERROR_MEMORY, "encoder_queue_create: out of memory");
    for (int32_t i = 0; i < count; i++) {
        worker *one = &queue->workers[i];
        one->queue = queue;
        list_clear(&one->batch);
        int failure = pthread_create(&one->thread, NULL, work, one);
        if (failure)
            return bl_fail(BL_ERROR_MEMORY, "encoder_queue_create: cannot start thread %d of %d: %s", (int) i + 1,
                           (int) count, strerror(failure));
        queue->worker_count = i + 1;
    }
    return BL_OK;
}

BL_API bl_status bl_encoder_queue_create(bl_encoder_queue **out, bl_encoder *encoder,
                                         const bl_encoder_queue_options *options) {
    static const bl_encoder_queue_options defaults;
    if (!out || !encoder) return bl_fail(BL_ERROR_ARGUMENT, "encoder_queue_create: an argument is NULL");
    const bl_encoder_queue_options *o = options ? options : &defaults;
    BL_TRY(check_options(o));
    bl_encoder_info info;
    BL_TRY(bl_encoder_describe(encoder, &info));
    bl_encoder_queue *queue = calloc(1, sizeof *queue);
    if (!queue) return bl_fail(BL_ERROR_MEMORY, "encoder_queue_create: out of memory");
    queue->limits = (bl_queue_limits){
        .encoder = encoder,
        .max_length = info.max_length,
        .hidden_size = info.hidden_size,
        .labels = info.labels,
        .batch_texts = o->batch_texts ? o->batch_texts : DEFAULT_BATCH_TEXTS,
        .batch_tokens = o->batch_tokens ? o->batch_tokens : DEFAULT_BATCH_TOKENS,
    };
    queue->max_texts = o->max_texts ? o->max_texts : DEFAULT_MAX_TEXTS;
    queue->memory = o->memory ? o->memory : DEFAULT_MEMORY;
    queue->pipe[0] = queue->pipe[1] = -1;
    list_clear(&queue->waiting);
    list_clear(&queue->done);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->arrived, NULL);
    bl_status status = open_pipe(queue->pipe);
    if (status == BL_OK) status = start_workers(queue, o->workers ? o->workers : 1);
    if (status != BL_OK) {
        bl_encoder_queue_free(queue);
        return status;
    }
    *out = queue;
    return BL_OK;
}

BL_API void bl_encoder_queue_free(bl_encoder_queue *queue) {
    if (!queue) return;
    pthread_mutex_lock(&queue->lock);
    queue->quit = true;
    pthread_cond_broadcast(&queue->arrived);
    pthread_mutex_unlock(&queue->lock);
    for (int32_t i = 0; i < queue->worker_count; i++)
        pthread_join(queue->workers[i].thread, NULL);
    list_free(&queue->waiting);
    list_free(&queue->done);
    for (int i = 0; i < 2; i++)
        if (queue->pipe[i] >= 0) close(queue->pipe[i]);
    pthread_cond_destroy(&queue->arrived);
    pthread_mutex_destroy(&queue->lock);
    free(queue->workers);
    free(queue);
}

/* ---------------------------------------------------------------- requests and replies */

static bl_status check_request(const bl_encoder_queue *queue, const bl_request *r) {
    bool pairs = r->ask == BL_ASK_ANSWER, top = r->ask == BL_ASK_ANSWER || r->ask == BL_ASK_FILL_MASK;
    if (r->ask < BL_ASK_EMBED || r->ask > BL_ASK_FILL_MASK)
        return bl_fail(BL_ERROR_ARGUMENT, "encoder_queue_submit: ask is %d, expected a bl_ask", (int) r->ask);
    if (r->count < 1 || !r->texts)
        return bl_fail(BL_ERROR_ARGUMENT, "encoder_queue_submit: %d texts, expected at least 1", (int) r->count);
    if (r->count > queue->max_texts)
        return bl_fail(BL_ERROR_ARGUMENT, "encoder_queue_submit: %d texts in one request, the queue holds %d",
                       (int) r->count, (int) queue->max_texts);
    if (r->pairs && !pairs && r->ask != BL_ASK_CLASSIFY)
        return bl_fail(BL_ERROR_ARGUMENT, "encoder_queue_submit: pairs are for CLASSIFY and ANSWER");
    if (pairs && !r->pairs) return bl_fail(BL_ERROR_ARGUMENT, "encoder_queue_submit: ANSWER needs pairs, the contexts");
    if (top && r->top < 1)
        return bl_fail(BL_ERROR_ARGUMENT, "encoder_queue_submit: top is %d, expected at least 1", (int) r->top);
    for (int32_t i = 0; i < r->count; i++)
        if (!r->texts[i] || (pairs && !r->pairs[i]))
            return bl_fail(BL_ERROR_ARGUMENT, "encoder_queue_submit: text %d is NULL", (int) i);
    return BL_OK;
}

static uint64_t bytes_of(const char *text) {
    return text ? strlen(text) + 1 : 0;
}

/* The pointers of texts and pairs, then the texts themselves, in one block. */
static bool copy_request(bl_queue_job *job, const bl_request *request) {
    size_t count = (size_t) request->count, lists = request->pairs ? 2 : 1;
    size_t bytes = lists * count * sizeof(char *);
    for (size_t i = 0; i < count; i++)
        bytes += bytes_of(request->texts[i]) + (request->pairs ? bytes_of(request->pairs[i]) : 0);
    const char **pointers = malloc(bytes);
    if (!pointers) return false;
    char *text = (char *) (pointers + lists * count);
    for (size_t i = 0; i < lists * count; i++) {
        const char *from = i < count ? request->texts[i] : request->pairs[i - count];
        pointers[i] = from ? text : NULL;
        if (from) text = stpcpy(text, from) + 1;
    }
    job->request = *request;
    job->request.texts = pointers;
    job->request.pairs = request->pairs ? pointers + count : NULL;
    job->texts = pointers;
    job->text_bytes = bytes;
    return true;
}

/* Before anything is copied. */
static uint64_t request_bytes(const bl_request *request) {
    uint64_t bytes = 0;
    for (int32_t i = 0; i < request->count; i++)
        bytes += 2 * sizeof(char *) + bytes_of(request->texts[i]) + (request->pairs ? bytes_of(request->pairs[i]) : 0);
    return bytes;
}

/* Under the lock: whether there is room, and what the ticket says if not. */
static bool has_room(const bl_encoder_queue *queue, const bl_request *request, uint64_t bytes, int64_t *ticket) {
    const bl_encoder_queue_info *info = &queue->info;
    bool full =
        info->waiting + info->computing + request->count > queue->max_texts || info->bytes + bytes > queue->memory;
    *ticket = queue->stopped ? BL_TICKET_STOPPED : BL_TICKET_FULL;
    return !queue->stopped && !full;
}

BL_API bl_status bl_encoder_queue_submit(bl_encoder_queue *queue, const bl_request *request, int64_t *ticket) {
    if (!queue || !request || !ticket) return bl_fail(BL_ERROR_ARGUMENT, "encoder_queue_submit: an argument is NULL");
    BL_TRY(check_request(queue, request));
    uint64_t results = 0, bytes = request_bytes(request);
    if (!bl_queue_result_bytes(&queue->limits, request, &results) || results > queue->memory ||
        bytes > queue->memory - results)
        return bl_fail(
            BL_ERROR_ARGUMENT,
            "encoder_queue_submit: texts and results of this request may take %llu bytes, the queue has %llu; "
            "ask for less at once",
            (unsigned long long) (bytes + results), (unsigned long long) queue->memory);
    /* Asked twice: a full queue must not cost a copy, and there may be less room after it. */
    pthread_mutex_lock(&queue->lock);
    bool room = has_room(queue, request, bytes + results, ticket);
    pthread_mutex_unlock(&queue->lock);
    if (!room) return BL_OK;
    bl_queue_job *job = calloc(1, sizeof *job);
    if (!job || !copy_request(job, request)) {
        job_free(job);
        return bl_fail(BL_ERROR_MEMORY, "encoder_queue_submit: no memory for %d texts", (int) request->count);
    }
    job->result_bytes = results;
    job->arrived = now();
    job->reply.ask = request->ask;
    job->reply.count = request->count;
    pthread_mutex_lock(&queue->lock);
    room = has_room(queue, request, job->text_bytes + results, ticket);
    if (room) {
        *ticket = job->reply.ticket = ++queue->last_ticket;
        queue->info.waiting += request->count;
        queue->info.bytes += job->text_bytes + results;
        list_append(&queue->waiting, job);
        pthread_cond_signal(&queue->arrived);
    }
    pthread_mutex_unlock(&queue->lock);
    if (!room) job_free(job);
    return BL_OK;
}

/* Under the lock: take a job from `done`, whose descriptor falls silent with the last one. */
static bl_queue_job *take_done(bl_encoder_queue *queue, bl_queue_job **place) {
    bl_queue_job *job = list_take(&queue->done, place);
    queue->info.replies--;
    char byte;
    if (!queue->done.first) {
        while (read(queue->pipe[0], &byte, 1) < 0 && errno == EINTR) {
        }
    }
    return job;
}

BL_API bl_reply *bl_encoder_queue_next(bl_encoder_queue *queue) {
    pthread_mutex_lock(&queue->lock);
    bl_queue_job *job = queue->done.first ? take_done(queue, &queue->done.first) : NULL;
    pthread_mutex_unlock(&queue->lock);
    return job ? &job->reply : NULL;
}

BL_API void bl_encoder_queue_release(bl_encoder_queue *queue, bl_reply *reply) {
    if (!reply) return;
    pthread_mutex_lock(&queue->lock);
    drop(queue, (bl_queue_job *) reply);
    pthread_mutex_unlock(&queue->lock);
}

BL_API int32_t bl_encoder_queue_descriptor(const bl_encoder_queue *queue) {
    return queue->pipe[0];
}

BL_API bool bl_encoder_queue_cancel(bl_encoder_queue *queue, int64_t ticket) {
    pthread_mutex_lock(&queue->lock);
    bl_queue_job **place = list_find(&queue->waiting, ticket);
    bool found = place != NULL;
    if (found) {
        bl_queue_job *job = list_take(&queue->waiting, place);
        queue->info.waiting -= job->request.count;
        drop(queue, job);
    } else if ((place = list_find(&queue->done, ticket))) {
        found = true;
        drop(queue, take_done(queue, place));
    }
    for (int32_t i = 0; !found && i < queue->worker_count; i++) {
        place = list_find(&queue->workers[i].batch, ticket);
        found = place && !(*place)->cancelled;
        if (found) (*place)->cancelled = true;
    }
    pthread_mutex_unlock(&queue->lock);
    return found;
}

BL_API void bl_encoder_queue_stop(bl_encoder_queue *queue) {
    pthread_mutex_lock(&queue->lock);
    queue->stopped = true;
    pthread_mutex_unlock(&queue->lock);
}

BL_API void bl_encoder_queue_describe(bl_encoder_queue *queue, bl_encoder_queue_info *out) {
    pthread_mutex_lock(&queue->lock);
    *out = queue->info;
    pthread_mutex_unlock(&queue->lock);
}
