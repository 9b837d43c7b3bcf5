/*
 * compute.c - token ids of many sequences to numbers: sorted by length, packed
 * without padding into batches that fit a workspace, results in their order.
 */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encoder/model.h"
#include "encoder/workspace.h"

/*
 * A batch of this many tokens, or this many a thread, keeps what one op leaves to
 * the next in the second cache level; more tokens only make calls slower.
 */
enum { MOST_TOKENS = 512, THREAD_TOKENS = 256 };
/*
 * A few threads with enough for each take batches of their own: none waits for
 * another between ops, and what one leaves to the next is in its own cache. More
 * threads would each read all weights from memory that they share.
 */
enum { LANES = 8, LANE_TOKENS = 256, LEAST_LANE_TOKENS = 96 };
/* Products of fewer multiplications than this are too few for several threads. */
enum { SMALL = 20 * 1000 * 1000 };
/* A GPU wants more of them at once. */
enum { DEVICE_TOKENS = 4096 };

/* One sequence, and its part of `places`. */
typedef struct item {
    int64_t number, length;
    int64_t first_place, places;
} item;

typedef struct job {
    bl_encoder *encoder;
    const struct bl_model *model;
    bl_head head;
    const bl_sequences *sequences;
    item *items; /* longest first */
    int64_t count;
    int32_t threads, lanes; /* of a batch; batches at the same time */
    int64_t lane_tokens;    /* tokens of a batch of a lane */
    float *out;
    int64_t width; /* numbers of a row of out */
} job;

/* What a batch has: items [begin, begin + sequences); and the memory that it needs. */
typedef struct outline {
    int64_t begin, sequences, tokens, places, longest;
    size_t need;
} outline;

static const char *const head_names[BL_HEADS] = {
    [BL_HEAD_HIDDEN] = "hidden",   [BL_HEAD_MEAN] = "embed",  [BL_HEAD_CLS] = "embed",
    [BL_HEAD_LABELS] = "classify", [BL_HEAD_TAGS] = "tokens", [BL_HEAD_SPANS] = "answer",
    [BL_HEAD_WORDS] = "fill_mask",
};

/* ---- sizes ---- */

/*
 * Products are made ready for a number of rows, once, and kept (some 150 KiB
 * for a model of 6 layers or 24): so there are few numbers.
 */
static int64_t rounded_tokens(int64_t tokens) {
    int64_t step = tokens <= 64 ? 8 : tokens <= 256 ? 16 : tokens <= 512 ? 32 : tokens <= 1024 ? 64 : 128;
    return (tokens + step - 1) / step * step;
}

/* The same of the rows of a head that multiplies them; one is the usual number. */
static int64_t rounded_rows(int64_t rows) {
    return rows <= 8 ? rows : (rows + 7) / 8 * 8;
}

static int64_t batch_sequences(const job *j, const outline *b) {
    return j->head == BL_HEAD_LABELS ? rounded_rows(b->sequences) : b->sequences;
}

static int64_t result_rows(const job *j, const outline *b) {
    switch (j->head) {
    case BL_HEAD_WORDS:
        return rounded_rows(b->places);
    case BL_HEAD_HIDDEN:
    case BL_HEAD_TAGS:
    case BL_HEAD_SPANS:
        return rounded_tokens(b->tokens);
    default:
        return batch_sequences(j, b);
    }
}

/*
 * Scratch memory of the CPU's ops, of which one at a time uses it. Attention
 * has for each thread three panels of a head and a block of 64 rows of scores
 * (cpu/attention.c). Products have 257 KiB a thread (oneDNN 2.6, measured); in
 * half precision also f32 sums, and copies in f32 where the CPU has no
 * instructions for it; of int8, a chunk of rows in integers (cpu/packed_linear.c).
 */
static size_t scratch_bytes(const job *j, const outline *b) {
    const struct bl_model *model = j->model;
    const int64_t *sizes = model->sizes;
    int64_t threads = j->threads;
    int64_t width = (sizes[BL_SIZE_HIDDEN] / model->attention_heads + 15) / 16 * 16;
    int64_t padded = (b->longest + 15) / 16 * 16, tokens = rounded_tokens(b->tokens);
    int64_t attention = threads * 4 * (3 * padded * width + 64 * (padded + width) + padded) + tokens;
    int64_t product = threads * 288 * 1024;
    if (model->dtype != BL_F32) {
        int64_t hidden = sizes[BL_SIZE_HIDDEN], vocabulary = sizes[BL_SIZE_VOCABULARY];
        int64_t wider = sizes[BL_SIZE_INTERMEDIATE] > 3 * hidden ? sizes[BL_SIZE_INTERMEDIATE] : 3 * hidden;
        int64_t sums = tokens * wider, matrix = hidden * wider;
        int64_t words = j->head == BL_HEAD_WORDS ? rounded_rows(b->places) * (hidden + vocabulary) : 0;
        if (words) matrix = vocabulary * hidden;
        if (words > sums) sums = words;
        product += 4 * (bl_context_fast_dtype(model->ctx, model->dtype) ? sums : 2 * sums + matrix);
    }
    if (model->integers) {
        int64_t rows = tokens < 256 ? tokens : 256;
        product += rows * (sizes[BL_SIZE_INTERMEDIATE] + (int64_t) (2 * sizeof(float))) + 256;
    }
    return (size_t) (attention > product ? attention : product);
}

static int64_t id_count(const job *j, const outline *b) {
    return 3 * rounded_tokens(b->tokens) + 3 * batch_sequences(j, b) + rounded_rows(b->places);
}

static size_t need_of(const job *j, const outline *b) {
    size_t bytes =
        bl_plan_bytes(j->model, j->head, rounded_tokens(b->tokens), batch_sequences(j, b), rounded_rows(b->places));
    bytes += scratch_bytes(j, b) + (size_t) id_count(j, b) * sizeof(int32_t);
    if (j->encoder->options.device != BL_CPU) bytes += (size_t) (result_rows(j, b) * j->width) * sizeof(float);
    return bytes;
}

/* ---- a batch ---- */

/* Tokens of a batch, unless a sequence has more. */
static int64_t most_tokens(const job *j) {
    if (j->encoder->options.device != BL_CPU) return DEVICE_TOKENS;
    if (j->lanes > 1) return j->lane_tokens;
    int64_t tokens = THREAD_TOKENS * (int64_t) j->threads;
    return tokens > MOST_TOKENS ? tokens : MOST_TOKENS;
}

/* Cuts the next batch off the items: as many as its share of the memory takes, at least one. */
static outline next_batch(const job *j, int64_t begin) {
    const item *first = &j->items[begin];
    outline b = {begin, 1, first->length, first->places, first->length, 0};
    size_t share = bl_workspaces_share(j->encoder->workspaces) / (size_t) j->lanes;
    int64_t most = most_tokens(j);
    b.need = need_of(j, &b);
    for (int64_t i = begin + 1; i < j->count; i++) {
        outline more = {begin, b.sequences + 1, b.tokens + j->items[i].length, b.places + j->items[i].places, b.longest,
                        0};
        if (more.tokens > most) break;
        more.need = need_of(j, &more);
        if (more.need > share) break;
        b = more;
    }
    return b;
}

static void fill_sequence(const job *j, const item *it, int64_t row, int32_t *ids, int32_t *positions, int32_t *types,
                          int32_t *masked) {
    const bl_sequences *s = j->sequences;
    int64_t begin = s->offsets[it->number];
    memcpy(ids + row, s->ids + begin, (size_t) it->length * sizeof *ids);
    for (int64_t i = 0; i < it->length; i++) {
        positions[row + i] = (int32_t) i;
        types[row + i] = i >= s->first_lengths[it->number];
    }
    for (int64_t p = 0; p < it->places; p++)
        masked[p] = (int32_t) (row + s->places[it->first_place + p] - begin);
}

/* The tensors of a batch, on the device. Rows and sequences that fill up have length 0, and id 0. */
static bl_status fill_batch(const job *j, const outline *b, bl_workspace *w, bl_plan_batch *out) {
    int64_t tokens = rounded_tokens(b->tokens), sequences = batch_sequences(j, b), places = rounded_rows(b->places);
    int64_t total = id_count(j, b);
    BL_TRY(bl_workspace_ids(w, total));
    memset(w->ids, 0, (size_t) total * sizeof *w->ids);
    int32_t *ids = w->ids, *positions = ids + tokens, *types = positions + tokens, *segments = types + tokens;
    int32_t *first_rows = segments + 2 * sequences, *masked = first_rows + sequences;
    int64_t row = 0, place = 0;
    for (int64_t i = 0; i < b->sequences; i++) {
        const item *it = &j->items[b->begin + i];
        fill_sequence(j, it, row, ids, positions, types, masked + place);
        segments[2 * i] = (int32_t) row;
        segments[2 * i + 1] = (int32_t) it->length;
        first_rows[i] = (int32_t) row;
        row += it->length;
        place += it->places;
    }
    out->max_length = (int32_t) b->longest;
    struct {
        bl_tensor *tensor;
        const int32_t *from;
        int64_t shape[2];
        int32_t ndim;
    } parts[] = {
        {&out->ids, ids, {tokens, 0}, 1},
        {&out->positions, positions, {tokens, 0}, 1},
        {&out->types, types, {tokens, 0}, 1},
        {&out->segments, segments, {sequences, 2}, 2},
        {&out->cls_index, first_rows, {sequences, 0}, 1},
        {&out->masked_index, masked, {places, 0}, 1},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        BL_TRY(bl_arena_tensor(w->arena, parts[i].tensor, BL_I32, parts[i].ndim, parts[i].shape));
        size_t bytes = (size_t) bl_tensor_numel(parts[i].tensor) * sizeof(int32_t);
        BL_TRY(bl_upload(w->ctx, parts[i].tensor, parts[i].from, bytes));
    }
    return BL_OK;
}

/* The result as f32 on the host. */
static bl_status fetch(const job *j, bl_workspace *w, bl_tensor *result, const float **rows) {
    bl_tensor wide = *result;
    if (result->dtype != BL_F32) {
        BL_TRY(bl_arena_tensor(w->arena, &wide, BL_F32, 2, result->shape));
        BL_TRY(bl_copy(w->ctx, &wide, result));
    }
    *rows = wide.data;
    if (j->encoder->options.device == BL_CPU) return BL_OK;
    int64_t numel = bl_tensor_numel(&wide);
    BL_TRY(bl_workspace_rows(w, numel));
    *rows = w->rows;
    return bl_download(w->ctx, w->rows, &wide, (size_t) numel * sizeof(float));
}

static bool is_finite(const float *x, int64_t n) {
    uint32_t bad = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

/* Rows of a batch's result to the places of their sequences. */
static bl_status scatter(const job *j, const outline *b, const float *rows) {
    const bl_sequences *s = j->sequences;
    for (int64_t i = 0; i < b->sequences; i++) {
        const item *it = &j->items[b->begin + i];
        int64_t count = 1, to = it->number;
        if (j->head == BL_HEAD_WORDS) {
            count = it->places;
            to = it->first_place;
        } else if (j->head == BL_HEAD_HIDDEN || j->head == BL_HEAD_TAGS || j->head == BL_HEAD_SPANS) {
            count = it->length;
            to = s->offsets[it->number];
        }
        if (!is_finite(rows, count * j->width))
            return bl_fail(BL_ERROR_FORMAT,
                           "%s: the model in %s computes inf or NaN (text %lld, from 0): its parameters are damaged, "
                           "or too large for this dtype",
                           head_names[j->head], j->encoder->folder.path, (long long) it->number);
        memcpy(j->out + to * j->width, rows, (size_t) (count * j->width) * sizeof *rows);
        rows += count * j->width;
    }
    return BL_OK;
}

static bl_status run_batch(const job *j, const outline *b) {
    struct bl_workspaces *all = j->encoder->workspaces;
    bl_workspace *w = NULL;
    BL_TRY(bl_workspaces_take(all, head_names[j->head], b->need, &w));
    if (j->encoder->options.device == BL_CPU) w->ctx->threads = j->threads;
    bl_plan_batch batch;
    bl_tensor result;
    const float *rows = NULL;
    bl_status status = fill_batch(j, b, w, &batch);
    if (status == BL_OK) status = bl_plan_run(w->ctx, w->arena, j->model, j->head, &batch, &result);
    if (status == BL_OK) status = fetch(j, w, &result, &rows);
    if (status == BL_OK) status = scatter(j, b, rows);
    bl_workspaces_give(all, w);
    return status;
}

/* ---- all of them ---- */

static int compare_items(const void *a, const void *b) {
    const item *x = a, *y = b;
    if (x->length != y->length) return x->length < y->length ? 1 : -1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static bl_status list_items(job *j) {
    const bl_sequences *s = j->sequences;
    int64_t place = 0;
    for (int64_t i = 0; i < s->count; i++) {
        int64_t begin = s->offsets[i], end = s->offsets[i + 1], first = place;
        if (end - begin < 1 || end - begin > j->model->sizes[BL_SIZE_POSITIONS])
            return bl_fail(BL_ERROR_ARGUMENT, "%s: sequence %lld (from 0) has %lld tokens, expected 1 to %lld",
                           head_names[j->head], (long long) i, (long long) (end - begin),
                           (long long) j->model->sizes[BL_SIZE_POSITIONS]);
        while (place < s->place_count && s->places[place] < end)
            place++;
        /* A sequence without places has no result. */
        if (j->head == BL_HEAD_WORDS && place == first) continue;
        j->items[j->count++] = (item){i, end - begin, first, j->head == BL_HEAD_WORDS ? place - first : 0};
    }
    qsort(j->items, (size_t) j->count, sizeof *j->items, compare_items);
    return BL_OK;
}

static int64_t width_of(const struct bl_model *model, bl_head head) {
    switch (head) {
    case BL_HEAD_LABELS:
    case BL_HEAD_TAGS:
        return model->sizes[BL_SIZE_LABELS];
    case BL_HEAD_SPANS:
        return 2;
    case BL_HEAD_WORDS:
        return model->sizes[BL_SIZE_VOCABULARY];
    default:
        return model->sizes[BL_SIZE_HIDDEN];
    }
}

static int64_t total_tokens(const job *j) {
    int64_t tokens = 0;
    for (int64_t i = 0; i < j->count; i++)
        tokens += j->items[i].length;
    return tokens;
}

/* All batches: their number. */
static int64_t cut_batches(const job *j, outline *batches) {
    int64_t count = 0;
    for (int64_t begin = 0; begin < j->count; begin += batches[count++].sequences)
        batches[count] = next_batch(j, begin);
    return count;
}

/* True if lanes, each of which takes the next batch when it is done, end at nearly the same time. */
static bool is_even(const job *j, const outline *batches, int64_t count) {
    int64_t loads[LANES] = {0}, most = 0, total = 0;
    for (int64_t b = 0; b < count; b++) {
        int32_t least = 0;
        for (int32_t lane = 1; lane < j->lanes; lane++)
            if (loads[lane] < loads[least]) least = lane;
        loads[least] += batches[b].tokens;
        total += batches[b].tokens;
        if (loads[least] > most) most = loads[least];
    }
    return most * j->lanes <= total + total / 10;
}

/* The error of the first batch that has one is that of all. */
static bl_status run_lanes(const job *j, const outline *batches, int64_t count) {
    typedef struct failure {
        bl_status status;
        char message[512];
    } failure;
    /* Of each lane its first, as it takes batches in their order. */
    failure failures[LANES] = {{BL_OK, ""}};
    int64_t failed[LANES] = {0};
#pragma omp parallel for num_threads(j->lanes) schedule(monotonic : dynamic)
    for (int64_t b = 0; b < count; b++) {
        failure *mine = &failures[omp_get_thread_num()];
        if (mine->status != BL_OK) continue;
        mine->status = run_batch(j, &batches[b]);
        if (mine->status == BL_OK) continue;
        failed[omp_get_thread_num()] = b;
        snprintf(mine->message, sizeof mine->message, "%s", bl_last_error());
    }
    int32_t first = 0;
    for (int32_t lane = 1; lane < j->lanes; lane++)
        if (failures[lane].status != BL_OK && (failures[first].status == BL_OK || failed[lane] < failed[first]))
            first = lane;
    return failures[first].status == BL_OK ? BL_OK : bl_fail(failures[first].status, "%s", failures[first].message);
}

/*
 * Whether one thread does: for some 0.2 ms of work the others would save little,
 * and cost much where something else has their core, since between any two ops
 * all wait for the last one.
 */
static bool is_small(const job *j, int64_t tokens) {
    const int64_t *sizes = j->model->sizes, hidden = sizes[BL_SIZE_HIDDEN];
    int64_t weights = j->model->layers * (4 * hidden * hidden + 2 * hidden * sizes[BL_SIZE_INTERMEDIATE]);
    return j->encoder->options.device == BL_CPU && j->head != BL_HEAD_WORDS && tokens * weights < SMALL;
}

static bl_status run_batches(job *j) {
    outline *batches = malloc((size_t) (j->count + 1) * sizeof *batches);
    if (!batches)
        return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for %lld texts", head_names[j->head], (long long) j->count);
    const int32_t threads = bl_workspaces_threads(j->encoder->workspaces);
    int64_t tokens = total_tokens(j), count = 0;
    if (j->encoder->options.device == BL_CPU && threads > 1 && threads <= LANES && j->count >= threads &&
        tokens >= LEAST_LANE_TOKENS * (int64_t) threads) {
        j->threads = 1;
        j->lanes = threads;
        /* As many for each, of nearly the same size: with room for what does not divide. */
        int64_t each = (tokens - 1) / ((int64_t) threads * LANE_TOKENS) + 1;
        j->lane_tokens = (tokens - 1) / (threads * each) + 1 + j->items[0].length / 2;
        count = cut_batches(j, batches);
    }
    if (count == 0 || !is_even(j, batches, count)) {
        j->threads = is_small(j, tokens) ? 1 : threads;
        j->lanes = 1;
        count = cut_batches(j, batches);
    }
    bl_status status = BL_OK;
    if (j->lanes > 1)
        status = run_lanes(j, batches, count);
    else
        for (int64_t b = 0; status == BL_OK && b < count; b++)
            status = run_batch(j, &batches[b]);
    free(batches);
    return status;
}

BL_API bl_status bl_encoder_compute(bl_encoder *encoder, bl_head head, const bl_sequences *sequences, float *out) {
    const struct bl_model *model = encoder->model;
    if (!model->has[head])
        return bl_fail(BL_ERROR_UNSUPPORTED, "%s: the model in %s has no head for it", head_names[head],
                       encoder->folder.path);
    job j = {.encoder = encoder, .model = model, .head = head, .sequences = sequences, .out = out};
    j.width = width_of(model, head);
    j.items = malloc((size_t) (sequences->count + 1) * sizeof *j.items);
    if (!j.items)
        return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for %lld texts", head_names[head],
                       (long long) sequences->count);
    bl_status status = list_items(&j);
    if (status == BL_OK) status = run_batches(&j);
    free(j.items);
    return status;
}

bl_status bl_encoder_check_memory(bl_encoder *encoder) {
    job j = {.encoder = encoder, .model = encoder->model, .head = BL_HEAD_HIDDEN, .lanes = 1};
    j.threads = bl_workspaces_threads(encoder->workspaces);
    int32_t length = encoder->folder.max_length;
    outline b = {0, 1, length, 0, length, 0};
    size_t need = need_of(&j, &b), memory = bl_workspaces_memory(encoder->workspaces);
    if (need <= memory) return BL_OK;
    return bl_fail(BL_ERROR_ARGUMENT,
                   "encoder: memory is %zu bytes, expected %zu or more for a text of %d tokens; raise it, or lower "
                   "max_length",
                   memory, need, (int) length);
}
