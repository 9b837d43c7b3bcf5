/*
 * answer.c - the part of a context that answers a question: windows over the
 * context, the best spans over all of them, their texts and probabilities.
 * Google's run_squad.py, operation by operation, as in lua/bertlua/squad
 * (windows.lua, extraction.lua, reader.lua).
 */
#include "encoder/answer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Windows computed at a time, as a rule: their scores are held. */
enum { AT_ONCE = 32 };

typedef struct window {
    int64_t start, length; /* tokens of the context */
    int64_t first, last;   /* those that have their maximum context here; first > last: none */
} window;

typedef struct candidate {
    double score;
    float start_logit, end_logit;
    int64_t order;
    int64_t first, last; /* tokens of the context; last < first: no answer */
} candidate;

/* One of the best answers. */
typedef struct choice {
    bl_answer_text place;
    double score, probability;
    bool none;
} choice;

typedef struct question {
    bl_encoder *encoder;
    bl_answer_settings settings;
    bl_ids ids;
    bl_passage passage;
    bl_aligner *aligner;
    int32_t *query;
    int64_t query_length;
    window *windows;
    int64_t window_count;
    candidate *candidates;
    int64_t candidate_count, candidate_capacity;
    candidate null; /* the lowest score of "no answer" over the windows */
    choice *choices;
    int64_t choice_count;
    int32_t *start_places, *end_places; /* [n_best_size] */
    float *scores;
} question;

static bl_status out_of_memory(void) {
    return bl_fail(BL_ERROR_MEMORY, "answer: out of memory");
}

/* Windows of at most `room` tokens, each `stride` behind the one before, the last reaching the end. */
static bl_status cut_windows(question *q, int64_t room, int64_t stride) {
    int64_t count = q->passage.count, step = room < stride ? room : stride;
    int64_t beyond = count > room ? count - room : 0;
    q->window_count = 1 + (beyond + step - 1) / step;
    q->windows = malloc((size_t) q->window_count * sizeof *q->windows);
    if (!q->windows) return out_of_memory();
    for (int64_t i = 0; i < q->window_count; i++) {
        int64_t left = count - i * step;
        q->windows[i] = (window){.start = i * step, .length = left < room ? left : room, .first = 1, .last = 0};
    }
    return BL_OK;
}

/*
 * In each window that holds it, a token scores the smaller of its left and
 * right context plus a hundredth of the window's length; it belongs to the
 * first window with the best score.
 */
static void mark_max_context(question *q) {
    window *w = q->windows;
    for (int64_t at = 0, low = 0; at < q->passage.count; at++) {
        double most = -1;
        while (w[low].start + w[low].length <= at)
            low++;
        int64_t best = low;
        for (int64_t i = low; i < q->window_count && w[i].start <= at; i++) {
            int64_t left = at - w[i].start, right = w[i].start + w[i].length - 1 - at;
            double score = (double) (left < right ? left : right) + 0.01 * (double) w[i].length;
            if (score > most) {
                most = score;
                best = i;
            }
        }
        if (w[best].first > w[best].last) w[best].first = at;
        w[best].last = at;
    }
}

/* Places of the n best of `count` logits, two apart; ties in order of place. Returns how many; -1 if one is NaN. */
static int64_t best_places(const float *logits, int64_t count, int64_t n, int32_t *places) {
    int64_t filled = 0;
    for (int64_t i = 0; i < count; i++) {
        float score = logits[2 * i];
        if (isnan(score)) return -1;
        if (filled == n && !(score > logits[2 * places[n - 1]])) continue;
        int64_t at = filled < n ? filled++ : n - 1;
        for (; at > 0 && logits[2 * places[at - 1]] < score; at--)
            places[at] = places[at - 1];
        places[at] = (int32_t) i;
    }
    return filled;
}

static bl_status add_candidate(question *q, candidate c) {
    if (q->candidate_count == q->candidate_capacity) {
        int64_t capacity = 2 * q->candidate_capacity + 512;
        candidate *grown = realloc(q->candidates, (size_t) capacity * sizeof *grown);
        if (!grown) return out_of_memory();
        q->candidates = grown;
        q->candidate_capacity = capacity;
    }
    c.order = q->candidate_count;
    c.score = (double) c.start_logit + c.end_logit;
    q->candidates[q->candidate_count++] = c;
    return BL_OK;
}

/* Valid spans of a window with scores [length, 2]: the best places may lie in the question or on a special token. */
static bl_status add_candidates(question *q, const window *w, const float *scores, int64_t length) {
    int64_t n = q->settings.n_best_size, shift = q->query_length + 2;
    int64_t starts = best_places(scores, length, n, q->start_places);
    int64_t ends = best_places(scores + 1, length, n, q->end_places);
    if (starts < 0 || ends < 0)
        return bl_fail(BL_ERROR_FORMAT, "answer: the scores are NaN: the parameters of the model hold inf or NaN");
    double none = (double) scores[0] + scores[1];
    if (none < q->null.score) q->null = (candidate){none, scores[0], scores[1], 0, 0, -1};
    for (int64_t i = 0; i < starts; i++) {
        int64_t start = q->start_places[i] - shift + w->start;
        if (start < w->first || start > w->last) continue;
        int64_t limit = start + q->settings.max_answer_length - 1, last = w->start + w->length - 1;
        if (limit > last) limit = last;
        for (int64_t j = 0; j < ends; j++) {
            int64_t end = q->end_places[j] - shift + w->start;
            if (end >= start && end <= limit)
                BL_TRY(add_candidate(q, (candidate){.start_logit = scores[2 * q->start_places[i]],
                                                    .end_logit = scores[2 * q->end_places[j] + 1],
                                                    .first = start,
                                                    .last = end}));
        }
    }
    return BL_OK;
}

/* Compute windows [begin, end). */
static bl_status read_windows(question *q, int64_t begin, int64_t end) {
    bl_special_ids special = bl_tokenizer_special(q->passage.tokenizer);
    bl_ids *ids = &q->ids;
    bl_ids_clear(ids);
    for (int64_t i = begin; i < end; i++) {
        BL_TRY(bl_ids_append(ids, "answer", &special.cls, 1));
        BL_TRY(bl_ids_append(ids, "answer", q->query, q->query_length));
        BL_TRY(bl_ids_append(ids, "answer", &special.sep, 1));
        BL_TRY(bl_ids_append(ids, "answer", q->passage.ids + q->windows[i].start, q->windows[i].length));
        BL_TRY(bl_ids_append(ids, "answer", &special.sep, 1));
        BL_TRY(bl_ids_close(ids, "answer", q->query_length + 2));
    }
    bl_sequences sequences = bl_ids_sequences(ids);
    BL_TRY(bl_encoder_compute(q->encoder, BL_HEAD_SPANS, &sequences, q->scores));
    for (int64_t i = begin; i < end; i++) {
        int64_t at = ids->offsets[i - begin], length = ids->offsets[i - begin + 1] - at;
        BL_TRY(add_candidates(q, &q->windows[i], q->scores + 2 * at, length));
    }
    return BL_OK;
}

static int by_score(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static bool is_chosen(const question *q, const char *text) {
    for (int64_t i = 0; i < q->choice_count; i++)
        if (!q->choices[i].none && strcmp(q->choices[i].place.text, text) == 0) return true;
    return false;
}

/* The n best distinct answers. */
static bl_status choose(question *q, bool allow_none) {
    bool none = false;
    if (allow_none) BL_TRY(add_candidate(q, q->null));
    if (q->candidate_count > 1) qsort(q->candidates, (size_t) q->candidate_count, sizeof *q->candidates, by_score);
    for (int64_t i = 0; i < q->candidate_count && q->choice_count < q->settings.n_best_size; i++) {
        const candidate *c = &q->candidates[i];
        choice chosen = {.score = c->score, .none = c->last < c->first};
        if (!chosen.none) {
            BL_TRY(bl_aligner_find(q->aligner, c->first, c->last, &chosen.place));
            if (is_chosen(q, chosen.place.text)) {
                free(chosen.place.text);
                continue;
            }
        }
        none = none || chosen.none;
        q->choices[q->choice_count++] = chosen;
    }
    if (allow_none && !none)
        q->choices[q->choice_count++] =
            (choice){.score = (double) q->null.start_logit + q->null.end_logit, .none = true};
    return BL_OK;
}

/* Softmax over the scores; then the answer that the threshold of "no answer" picks comes first. */
static void weigh(question *q, bool allow_none) {
    double top = -INFINITY, sum = 0;
    for (int64_t i = 0; i < q->choice_count; i++)
        top = q->choices[i].score > top ? q->choices[i].score : top;
    for (int64_t i = 0; i < q->choice_count; i++)
        sum += q->choices[i].probability = exp(q->choices[i].score - top);
    int64_t best = -1, none = -1;
    for (int64_t i = 0; i < q->choice_count; i++) {
        q->choices[i].probability /= sum;
        if (q->choices[i].none)
            none = i;
        else if (best < 0)
            best = i;
    }
    if (!allow_none || best < 0 || none < 0) return;
    double odds = q->null.score - q->choices[best].score;
    int64_t picked = odds > q->settings.null_score_diff_threshold ? none : best;
    choice first = q->choices[picked];
    memmove(q->choices + 1, q->choices, (size_t) picked * sizeof first);
    q->choices[0] = first;
}

static bl_status check_options(const bl_answer_options *o, int32_t positions) {
    const struct {
        const char *name;
        int32_t value;
    } sizes[] = {{"max_seq_length", o->max_seq_length},       {"doc_stride", o->doc_stride},
                 {"max_query_length", o->max_query_length},   {"n_best_size", o->n_best_size},
                 {"max_answer_length", o->max_answer_length}, {"batch_size", o->batch_size}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < 0)
            return bl_fail(BL_ERROR_ARGUMENT, "answer: %s is %d, expected 0 or more", sizes[i].name,
                           (int) sizes[i].value);
    if (o->max_seq_length > positions)
        return bl_fail(BL_ERROR_ARGUMENT, "answer: max_seq_length is %d, but the model has max_position_embeddings %d",
                       (int) o->max_seq_length, (int) positions);
    return BL_OK;
}

/* What is asked for, else as the model was fine-tuned. */
static bl_status take_settings(question *q, const bl_answer_options *o) {
    const bl_model_folder *folder = &q->encoder->folder;
    bl_answer_settings *s = &q->settings;
    BL_TRY(check_options(o, folder->size.positions));
    *s = folder->answers;
    if (o->max_seq_length > 0)
        s->max_seq_length = o->max_seq_length;
    else if (q->encoder->options.max_length > 0 && s->max_seq_length > folder->max_length)
        /* Asked for by the program, the limit holds here too. */
        s->max_seq_length = folder->max_length;
    if (o->max_query_length > 0)
        s->max_query_length = o->max_query_length;
    else if (s->max_query_length > s->max_seq_length / 2)
        s->max_query_length = s->max_seq_length / 2;
    if (o->doc_stride > 0) s->doc_stride = o->doc_stride;
    if (o->n_best_size > 0) s->n_best_size = o->n_best_size;
    if (o->max_answer_length > 0) s->max_answer_length = o->max_answer_length;
    if (o->has_threshold) s->null_score_diff_threshold = o->null_score_diff_threshold;
    return BL_OK;
}

/* Tokens of question and context, and windows over the latter. */
static bl_status prepare(question *q, const char *text, const char *context) {
    const bl_model_folder *folder = &q->encoder->folder;
    bl_answer_settings *s = &q->settings;
    bl_encoding *encoding = q->ids.encoding;
    BL_TRY(bl_text_check("answer", "question", -1, text));
    BL_TRY(bl_text_check("answer", "context", -1, context));
    BL_TRY(bl_tokenizer_encode(folder->tokenizer, encoding, text, strlen(text), false));
    q->query_length = encoding->count;
    if (q->query_length == 0) return bl_fail(BL_ERROR_FORMAT, "answer: the question is empty");
    if (q->query_length > s->max_query_length)
        return bl_fail(BL_ERROR_FORMAT, "answer: the question has %lld tokens, expected at most %d: shorten it",
                       (long long) q->query_length, s->max_query_length);
    int64_t room = s->max_seq_length - q->query_length - 3;
    if (room < 1)
        return bl_fail(BL_ERROR_FORMAT,
                       "answer: sequences of %d tokens leave no room for context beside a question of %lld",
                       s->max_seq_length, (long long) q->query_length);
    q->query = malloc((size_t) q->query_length * sizeof *q->query);
    if (!q->query) return out_of_memory();
    memcpy(q->query, encoding->ids, (size_t) q->query_length * sizeof *q->query);
    BL_TRY(bl_passage_read(&q->passage, folder->tokenizer, encoding, context));
    if (q->passage.count == 0)
        return bl_fail(BL_ERROR_FORMAT, "answer: the context is empty: there is nothing to find an answer in");
    BL_TRY(cut_windows(q, room, s->doc_stride));
    mark_max_context(q);
    return bl_aligner_create(&q->aligner, &q->passage);
}

static bl_status reserve(question *q, int64_t at_once) {
    size_t n = (size_t) q->settings.n_best_size;
    q->start_places = malloc(n * sizeof *q->start_places);
    q->end_places = malloc(n * sizeof *q->end_places);
    q->choices = calloc(n + 1, sizeof *q->choices);
    q->scores = malloc((size_t) at_once * (size_t) q->settings.max_seq_length * 2 * sizeof *q->scores);
    return q->start_places && q->end_places && q->choices && q->scores ? BL_OK : out_of_memory();
}

static bl_status answer(question *q, const char *text, const char *context, const bl_answer_options *options) {
    BL_TRY(take_settings(q, options));
    BL_TRY(bl_ids_create(&q->ids));
    BL_TRY(prepare(q, text, context));
    int64_t most = options->batch_size > 0 ? options->batch_size : AT_ONCE;
    int64_t at_once = q->window_count < most ? q->window_count : most;
    BL_TRY(reserve(q, at_once));
    q->null = (candidate){.score = 1000000, .last = -1};
    for (int64_t begin = 0; begin < q->window_count; begin += at_once)
        BL_TRY(read_windows(q, begin, begin + at_once < q->window_count ? begin + at_once : q->window_count));
    BL_TRY(choose(q, options->allow_none));
    weigh(q, options->allow_none);
    return BL_OK;
}

static void free_question(question *q) {
    for (int64_t i = 0; i < q->choice_count; i++)
        free(q->choices[i].place.text);
    free(q->choices);
    free(q->candidates);
    free(q->windows);
    free(q->query);
    free(q->start_places);
    free(q->end_places);
    free(q->scores);
    bl_aligner_free(q->aligner);
    bl_passage_free(&q->passage);
    bl_ids_free(&q->ids);
}

BL_API bl_status bl_encoder_answer_question(bl_encoder *encoder, const char *question_text, const char *context,
                                            bool allow_none, int32_t capacity, bl_encoder_answer *answers,
                                            int32_t *count) {
    const bl_answer_options options = {.allow_none = allow_none};
    return bl_encoder_answer_with(encoder, question_text, context, &options, capacity, answers, count);
}

BL_API bl_status bl_encoder_answer_with(bl_encoder *encoder, const char *question_text, const char *context,
                                        const bl_answer_options *options, int32_t capacity, bl_encoder_answer *answers,
                                        int32_t *count) {
    static const bl_answer_options DEFAULTS;
    if (!encoder || !count || capacity < 1 || !answers)
        return bl_fail(BL_ERROR_ARGUMENT, "answer: encoder, answers or count is NULL, or capacity is not positive");
    bl_encoder_info info;
    BL_TRY(bl_encoder_describe(encoder, &info));
    if (!info.answers) return bl_encoder_lacks(&info, "answer", "question-answering");
    question q = {.encoder = encoder};
    bl_status status = answer(&q, question_text, context, options ? options : &DEFAULTS);
    if (status == BL_OK) {
        *count = q.choice_count < capacity ? (int32_t) q.choice_count : capacity;
        for (int32_t i = 0; i < *count; i++)
            answers[i] =
                (bl_encoder_answer){q.choices[i].place.begin, q.choices[i].place.end, (float) q.choices[i].probability};
    }
    free_question(&q);
    return status;
}
