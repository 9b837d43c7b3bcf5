/*
 * adamw.c - AdamW over flat buffers, in one pass.
 */
#include "cpu.h"
#include "optimizer.h"

static void adamw_chunk(const update *u, const chunk *c, float decay, float rate) {
    update own = *u;
    float *p = u->p;
    const float *m = u->m, *v = u->v;
    float shrink = 1.0f - rate * decay;
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
        adamw_chunk(&u, &list[c], decay[list[c].segment], segment_rate(u.rate, o->lr_scale, list[c].segment));
    return BL_OK;
}
