/*
 * encoder_stub.c - an encoder for specs of the queue: its vectors say what it was
 * given, and it can be held, so that a spec decides when a computation ends.
 * Built into a library of its own with engine/encoder/queue*.c.
 *
 * A text has as many tokens as characters. The vector of a text is {its length,
 * the texts of the call, the pooling}; the text "bad" is refused, a text that
 * begins with "die" fails as if a library had.
 */
#include <pthread.h>
#include <string.h>

#include "core/internal.h"

enum { HIDDEN = 3, LABELS = 2, MAX_LENGTH = 20 };

struct bl_encoder {
    int unused;
};

static struct bl_encoder stub;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int held, inside, calls;

BL_API bl_encoder *stub_open(void);
BL_API void stub_hold(int on);
BL_API void stub_await(int count);
BL_API int stub_calls(void);

bl_encoder *stub_open(void) {
    return &stub;
}

/* From now on computations do not end, or do. */
void stub_hold(int on) {
    pthread_mutex_lock(&lock);
    held = on;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* Until so many computations are held. */
void stub_await(int count) {
    pthread_mutex_lock(&lock);
    while (inside < count)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

/* Computations since the library was loaded. */
int stub_calls(void) {
    pthread_mutex_lock(&lock);
    int count = calls;
    pthread_mutex_unlock(&lock);
    return count;
}

static bl_status compute(const char *const *texts, int64_t n) {
    pthread_mutex_lock(&lock);
    calls++;
    inside++;
    pthread_cond_broadcast(&changed);
    while (held)
        pthread_cond_wait(&changed, &lock);
    inside--;
    pthread_mutex_unlock(&lock);
    for (int64_t i = 0; i < n; i++) {
        if (strcmp(texts[i], "bad") == 0) return bl_fail(BL_ERROR_ARGUMENT, "stub: text %d is bad", (int) i);
        if (strncmp(texts[i], "die", 3) == 0) return bl_fail(BL_ERROR_INTERNAL, "stub: broken");
    }
    return BL_OK;
}

BL_API bl_status bl_encoder_describe(bl_encoder *encoder, bl_encoder_info *out) {
    (void) encoder;
    *out = (bl_encoder_info){.hidden_size = HIDDEN, .labels = LABELS, .max_length = MAX_LENGTH};
    return BL_OK;
}

BL_API bl_status bl_encoder_lengths(bl_encoder *encoder, const char *const *texts, const char *const *pairs, int64_t n,
                                    int32_t *lengths) {
    (void) encoder;
    for (int64_t i = 0; i < n; i++)
        lengths[i] = (int32_t) (strlen(texts[i]) + (pairs && pairs[i] ? strlen(pairs[i]) : 0));
    return BL_OK;
}

BL_API bl_status bl_encoder_embed(bl_encoder *encoder, const char *const *texts, int64_t n, int32_t pooling,
                                  float *out) {
    (void) encoder;
    BL_TRY(compute(texts, n));
    for (int64_t i = 0; i < n; i++) {
        out[HIDDEN * i] = (float) strlen(texts[i]);
        out[HIDDEN * i + 1] = (float) n;
        out[HIDDEN * i + 2] = (float) pooling;
    }
    return BL_OK;
}

BL_API bl_status bl_encoder_hidden(bl_encoder *encoder, const char *text, const char *pair, int64_t capacity,
                                   float *out, int64_t *rows) {
    (void) encoder, (void) pair;
    BL_TRY(compute(&text, 1));
    int64_t length = (int64_t) strlen(text);
    *rows = length < MAX_LENGTH ? length : MAX_LENGTH;
    if (*rows > capacity) return bl_fail(BL_ERROR_ARGUMENT, "stub: no room");
    for (int64_t i = 0; i < *rows * HIDDEN; i++)
        out[i] = (float) i;
    return BL_OK;
}

BL_API bl_status bl_encoder_classify(bl_encoder *encoder, const char *const *texts, const char *const *pairs, int64_t n,
                                     float *scores) {
    (void) encoder;
    BL_TRY(compute(texts, n));
    for (int64_t i = 0; i < n; i++) {
        scores[LABELS * i] = (float) strlen(texts[i]);
        scores[LABELS * i + 1] = pairs && pairs[i] ? (float) strlen(pairs[i]) : -1;
    }
    return BL_OK;
}

BL_API bl_status bl_encoder_answer_question(bl_encoder *encoder, const char *question, const char *context,
                                            bool allow_none, int32_t capacity, bl_encoder_answer *answers,
                                            int32_t *count) {
    (void) encoder;
    BL_TRY(compute(&question, 1));
    *count = capacity > 2 ? 2 : capacity;
    for (int32_t i = 0; i < *count; i++)
        answers[i] = (bl_encoder_answer){i, (int64_t) strlen(context), allow_none ? 1 : 0.5f};
    return BL_OK;
}

BL_API bl_status bl_encoder_fill_mask(bl_encoder *encoder, const char *text, int32_t k, int64_t capacity,
                                      bl_guess *guesses, int64_t *masks) {
    (void) encoder;
    BL_TRY(compute(&text, 1));
    *masks = 0;
    for (const char *at = text; (at = strstr(at, "[MASK]")); at++)
        ++*masks;
    if (!*masks) return bl_fail(BL_ERROR_ARGUMENT, "stub: no [MASK]");
    if (*masks * k > capacity) return bl_fail(BL_ERROR_ARGUMENT, "stub: no room");
    for (int64_t i = 0; i < *masks * k; i++)
        guesses[i] = (bl_guess){(int32_t) i, 0.5f, "word"};
    return BL_OK;
}
