/*
 * optimizer.c - global norm, LAMB, AdamW and loss scaling over flat buffers.
 *
 * Everything here is bound by memory, so LAMB makes two passes: moments and
 * both norms (24 bytes a parameter), then the step, with the direction made
 * again from m and v (16 bytes) rather than stored and read back. The second
 * pass follows the first segment by segment and often finds its data in cache.
 * Work is cut at fixed places: sums do not depend on the thread count.
 */
#include "optimizer.h"
#include "cpu.h"

bl_status bl_cpu_grad_norm(bl_context *ctx, bl_tensor *scalars, const bl_tensor *grad, int32_t accumulation,
                           float max_norm) {
    int64_t n = bl_tensor_numel(grad), chunks = (n + CHUNK - 1) / CHUNK;
    void *scratch;
    BL_TRY(bl_scratch(ctx, (size_t) chunks * sizeof(double), &scratch));
    double *parts = scratch;
    const float *g = grad->data;
#pragma omp parallel for num_threads(ctx->threads) schedule(static)
    for (int64_t c = 0; c < chunks; c++) {
        int64_t begin = c * CHUNK, end = begin + CHUNK < n ? begin + CHUNK : n;
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = begin; i < end; i++)
            sum += (double) g[i] * (double) g[i];
        parts[c] = sum;
    }
    /* Squares of finite f32 values cannot overflow f64, so the sum is finite exactly when every element is. */
    double total = 0.0;
    for (int64_t c = 0; c < chunks; c++)
        total += parts[c];
    float *s = scalars->data;
    double unscale = 1.0 / ((double) s[BL_SCALAR_LOSS_SCALE] * (double) accumulation);
    double norm = sqrt(total) * unscale;
    double clip = max_norm > 0.0f && norm > (double) max_norm ? (double) max_norm / norm : 1.0;
    s[BL_SCALAR_GRAD_NORM] = (float) norm;
    s[BL_SCALAR_GRAD_FACTOR] = (float) (unscale * clip);
    s[BL_SCALAR_OVERFLOW] = isfinite(total) ? 0.0f : 1.0f;
    return BL_OK;
}

static update update_open(const bl_optim *o) {
    const float *s = o->scalars->data;
    return (update){.p = o->param->data,
                    .low = o->param_low ? o->param_low->data : NULL,
                    .low_dtype = o->param_low ? o->param_low->dtype : BL_F32,
                    .m = o->m->data,
                    .v = o->v->data,
                    .g = o->grad->data,
                    .factor = s[BL_SCALAR_GRAD_FACTOR],
                    .beta1 = o->beta1,
                    .beta2 = o->beta2,
                    .correct1 = bias_correction(s, o->beta1),
                    .correct2 = bias_correction(s, o->beta2),
                    .eps = o->eps,
                    .rate = s[BL_SCALAR_LEARNING_RATE]};
}

static int64_t count_chunks(const int64_t *segments, int64_t count) {
    int64_t chunks = 0;
    for (int64_t i = 0; i < count; i++)
        chunks += (segments[2 * i + 1] + CHUNK - 1) / CHUNK;
    return chunks;
}

/* Cuts every segment at multiples of CHUNK from its start. */
static void list_chunks(chunk *list, const int64_t *segments, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        int64_t end = segments[2 * i] + segments[2 * i + 1];
        for (int64_t begin = segments[2 * i]; begin < end; begin += CHUNK)
            *list++ = (chunk){.begin = begin, .end = begin + CHUNK < end ? begin + CHUNK : end, .segment = i};
    }
}

static float trust_ratio(const chunk *list, int64_t first, int64_t last) {
    double p_square = 0.0, u_square = 0.0;
    for (int64_t c = first; c < last; c++) {
        p_square += list[c].p_square;
        u_square += list[c].u_square;
    }
    return lamb_trust(p_square, u_square);
}

/* Called by every thread of a team: its members share the chunks [first, last) of one segment. */
static void lamb_segment_shared(const update *u, chunk *list, int64_t first, int64_t last, float decay, float *trust) {
#pragma omp for schedule(static)
    for (int64_t c = first; c < last; c++)
        lamb_first_pass(u, &list[c], decay);
#pragma omp single
    *trust = trust_ratio(list, first, last);
#pragma omp for schedule(static)
    for (int64_t c = first; c < last; c++)
        lamb_second_pass(u, &list[c], decay, u->rate * *trust);
}

static void lamb_segment_alone(const update *u, chunk *list, int64_t first, int64_t last, float decay, float *trust) {
    for (int64_t c = first; c < last; c++)
        lamb_first_pass(u, &list[c], decay);
    *trust = trust_ratio(list, first, last);
    for (int64_t c = first; c < last; c++)
        lamb_second_pass(u, &list[c], decay, u->rate * *trust);
}

bl_status bl_cpu_lamb_update(bl_context *ctx, const bl_optim *o) {
    int64_t count = o->segments->shape[0];
    const int64_t *segments = o->segments->data;
    const float *decay = o->decay->data;
    int64_t chunks = count_chunks(segments, count);
    size_t bytes = (size_t) chunks * sizeof(chunk) + (size_t) (count + 1) * sizeof(int64_t);
    void *scratch;
    BL_TRY(bl_scratch(ctx, bytes + (size_t) count * sizeof(float), &scratch));
    chunk *list = scratch;
    int64_t *first = (int64_t *) (void *) (list + chunks); /* chunks of segment i: [first[i], first[i + 1]) */
    float *trust = (float *) (void *) (first + count + 1);
    update u = update_open(o);
    if (skip_update(o->scalars)) return BL_OK;
    list_chunks(list, segments, count);
    first[0] = 0;
    for (int64_t i = 0; i < count; i++)
        first[i + 1] = first[i] + (segments[2 * i + 1] + CHUNK - 1) / CHUNK;
    /* Threads share what is too much for one; the rest they take by the segment, without waiting for each other. */
    int64_t share = chunks / (4 * ctx->threads);
#pragma omp parallel num_threads(ctx->threads)
    {
        for (int64_t i = 0; i < count; i++)
            if (first[i + 1] - first[i] > share)
                lamb_segment_shared(&u, list, first[i], first[i + 1], decay[i], &trust[i]);
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < count; i++)
            if (first[i + 1] - first[i] <= share)
                lamb_segment_alone(&u, list, first[i], first[i + 1], decay[i], &trust[i]);
    }
    if (o->trust)
        for (int64_t i = 0; i < count; i++)
            ((float *) o->trust->data)[i] = trust[i];
    return BL_OK;
}

static void adamw_chunk(const update *u, const chunk *c, float decay) {
    update own = *u;
    float *p = u->p;
    const float *m = u->m, *v = u->v;
    float shrink = 1.0f - u->rate * decay, rate = u->rate;
    for (int64_t begin = c->begin; begin < c->end; begin += BLOCK) {
        int64_t end = begin + BLOCK < c->end ? begin + BLOCK : c->end;
        update_moments(&own, begin, end);
#pragma omp simd
        for (int64_t i = begin; i < end; i++)
            p[i] = p[i] * shrink - rate * direction(&own, 0.0f, m[i], v[i], 0.0f);
    }
    if (u->low)
        bl_row_from_f32(bl_element(u->low, u->low_dtype, c->begin), u->low_dtype, p + c->begin, c->end - c->begin);
}

bl_status bl_cpu_adamw_update(bl_context *ctx, const bl_optim *o) {
    int64_t count = o->segments->shape[0];
    const int64_t *segments = o->segments->data;
    const float *decay = o->decay->data;
    int64_t chunks = count_chunks(segments, count);
    void *scratch;
    BL_TRY(bl_scratch(ctx, (size_t) chunks * sizeof(chunk), &scratch));
    chunk *list = scratch;
    update u = update_open(o);
    if (skip_update(o->scalars)) return BL_OK;
    list_chunks(list, segments, count);
#pragma omp parallel for num_threads(ctx->threads) schedule(static)
    for (int64_t c = 0; c < chunks; c++)
        adamw_chunk(&u, &list[c], decay[list[c].segment]);
    return BL_OK;
}

bl_status bl_cpu_loss_scale_update(bl_context *ctx, bl_tensor *scalars, float growth, float backoff,
                                   int32_t growth_interval, float min_scale) {
    (void) ctx;
    const float max_scale = 16777216.0f;
    float *s = scalars->data;
    float scale = s[BL_SCALAR_LOSS_SCALE];
    if (s[BL_SCALAR_OVERFLOW] != 0.0f) {
        float lower = scale * backoff;
        s[BL_SCALAR_LOSS_SCALE] = lower > min_scale ? lower : min_scale;
        s[BL_SCALAR_GOOD_STEPS] = 0.0f;
        return BL_OK;
    }
    s[BL_SCALAR_GOOD_STEPS] += 1.0f;
    if (s[BL_SCALAR_GOOD_STEPS] >= (float) growth_interval) {
        float higher = scale * growth < max_scale ? scale * growth : max_scale;
        /* A scale that was set above the limit stays. */
        s[BL_SCALAR_LOSS_SCALE] = higher > scale ? higher : scale;
        s[BL_SCALAR_GOOD_STEPS] = 0.0f;
    }
    return BL_OK;
}
