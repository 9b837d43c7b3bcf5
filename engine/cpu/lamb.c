/*
 * lamb.c - LAMB over flat buffers.
 *
 * Bound by memory, so it makes two passes: moments and both norms (24 bytes per
 * parameter), then the step, with the direction recomputed from m and v (16
 * bytes) rather than stored and read back. The second pass follows the first
 * segment by segment and often finds its data in cache. Work is cut at fixed
 * places: sums do not depend on the thread count.
 */
#include "cpu.h"
#include "optimizer.h"

static float trust_ratio(const update *u, const chunk *list, int64_t first, int64_t last, float decay) {
    double p_square = 0.0, u_square = 0.0;
    for (int64_t c = first; c < last; c++) {
        p_square += list[c].p_square;
        u_square += list[c].u_square;
    }
    return lamb_trust(p_square, u_square, lamb_adapts(u->decayed_only, decay));
}

/* Called by every thread of a team: its members share the chunks [first, last) of one segment. */
static void lamb_segment_shared(const update *u, chunk *list, int64_t first, int64_t last, float decay, float rate,
                                float *trust) {
#pragma omp for schedule(static)
    for (int64_t c = first; c < last; c++)
        lamb_first_pass(u, &list[c], decay);
#pragma omp single
    *trust = trust_ratio(u, list, first, last, decay);
#pragma omp for schedule(static)
    for (int64_t c = first; c < last; c++)
        lamb_second_pass(u, &list[c], decay, rate * *trust);
}

static void lamb_segment_alone(const update *u, chunk *list, int64_t first, int64_t last, float decay, float rate,
                               float *trust) {
    for (int64_t c = first; c < last; c++)
        lamb_first_pass(u, &list[c], decay);
    *trust = trust_ratio(u, list, first, last, decay);
    for (int64_t c = first; c < last; c++)
        lamb_second_pass(u, &list[c], decay, rate * *trust);
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
    /* Threads share segments too large for one; the rest they take one each, without waiting for each other. */
    int64_t share = chunks / (4 * ctx->threads);
#pragma omp parallel num_threads(ctx->threads)
    {
        for (int64_t i = 0; i < count; i++)
            if (first[i + 1] - first[i] > share)
                lamb_segment_shared(&u, list, first[i], first[i + 1], decay[i], segment_rate(u.rate, o->lr_scale, i),
                                    &trust[i]);
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < count; i++)
            if (first[i + 1] - first[i] <= share)
                lamb_segment_alone(&u, list, first[i], first[i + 1], decay[i], segment_rate(u.rate, o->lr_scale, i),
                                   &trust[i]);
    }
    if (o->trust)
        for (int64_t i = 0; i < count; i++)
            ((float *) o->trust->data)[i] = trust[i];
    return BL_OK;
}
