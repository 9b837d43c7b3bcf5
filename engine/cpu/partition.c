/*
 * partition.c - LAMB over the runs of the flat buffers that one rank
 * owns (api/optim.h). Pieces are cut into chunks at fixed places, and sums are
 * added in their order: they do not depend on the thread count.
 */
#include "cpu.h"
#include "optimizer.h"

/* A row of the pieces tensor. */
typedef struct piece {
    int64_t segment;
    int64_t state;
    int64_t param;
    int64_t flat;
    int64_t length;
} piece;

/* A chunk of work within one piece; begin and end count from the piece's start. */
typedef struct share {
    const piece *piece;
    chunk run;
} share;

static int64_t count_shares(const bl_tensor *pieces) {
    const piece *list = pieces->data;
    int64_t total = 0;
    for (int64_t i = 0; i < pieces->shape[0]; i++)
        total += (list[i].length + CHUNK - 1) / CHUNK;
    return total;
}

static bl_status list_shares(bl_context *ctx, const bl_tensor *pieces, share **out, int64_t *count) {
    *count = count_shares(pieces);
    void *scratch;
    BL_TRY(bl_scratch(ctx, (size_t) *count * sizeof(share), &scratch));
    share *next = *out = scratch;
    const piece *list = pieces->data;
    for (int64_t i = 0; i < pieces->shape[0]; i++)
        for (int64_t begin = 0; begin < list[i].length; begin += CHUNK) {
            int64_t end = begin + CHUNK < list[i].length ? begin + CHUNK : list[i].length;
            *next++ = (share){.piece = &list[i], .run = {.begin = begin, .end = end, .segment = list[i].segment}};
        }
    return BL_OK;
}

bl_status bl_cpu_partition_grad_norm(bl_context *ctx, bl_tensor *square, const bl_tensor *scalars,
                                     const bl_tensor *grad, const bl_tensor *pieces, int32_t accumulation) {
    share *shares;
    int64_t count;
    BL_TRY(list_shares(ctx, pieces, &shares, &count));
#pragma omp parallel for num_threads(ctx->threads) schedule(static)
    for (int64_t c = 0; c < count; c++) {
        const float *g = (const float *) grad->data + shares[c].piece->flat;
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = shares[c].run.begin; i < shares[c].run.end; i++)
            sum += (double) g[i] * (double) g[i];
        shares[c].run.p_square = sum;
    }
    double total = 0.0;
    for (int64_t c = 0; c < count; c++)
        total += shares[c].run.p_square;
    double scale = (double) ((const float *) scalars->data)[BL_SCALAR_LOSS_SCALE] * (double) accumulation;
    *(float *) square->data = (float) (total / (scale * scale));
    return BL_OK;
}

bl_status bl_cpu_partition_grad_factor(bl_context *ctx, bl_tensor *scalars, const bl_tensor *square,
                                       int32_t accumulation, float max_norm) {
    (void) ctx;
    float *s = scalars->data;
    float total = *(const float *) square->data;
    double unscale = 1.0 / ((double) s[BL_SCALAR_LOSS_SCALE] * (double) accumulation);
    double norm = sqrt((double) total);
    double clip = max_norm > 0.0f && norm > (double) max_norm ? (double) max_norm / norm : 1.0;
    s[BL_SCALAR_GRAD_NORM] = (float) norm;
    s[BL_SCALAR_GRAD_FACTOR] = (float) (unscale * clip);
    s[BL_SCALAR_OVERFLOW] = isfinite(total) ? 0.0f : 1.0f;
    return BL_OK;
}

/* The update whose element 0 is the first of a piece. */
static update update_of(const bl_partition_optim *o, const piece *p) {
    const float *s = o->scalars->data;
    int32_t low_dtype = o->param_low ? o->param_low->dtype : BL_F32;
    return (update){.p = (float *) o->param->data + p->param,
                    .low = o->param_low ? bl_element(o->param_low->data, low_dtype, p->flat) : NULL,
                    .low_dtype = low_dtype,
                    .m = (float *) o->m->data + p->state,
                    .v = (float *) o->v->data + p->state,
                    .g = (const float *) o->grad->data + p->flat,
                    .factor = s[BL_SCALAR_GRAD_FACTOR],
                    .beta1 = o->beta1,
                    .beta2 = o->beta2,
                    .correct1 = bias_correction(s, o->beta1),
                    .correct2 = bias_correction(s, o->beta2),
                    .eps = o->eps,
                    .rate = s[BL_SCALAR_LEARNING_RATE]};
}

bl_status bl_cpu_partition_lamb_moments(bl_context *ctx, const bl_partition_optim *o) {
    share *shares;
    int64_t count, segments = o->decay->shape[0];
    BL_TRY(list_shares(ctx, o->pieces, &shares, &count));
    float *sums = o->sums->data;
    const float *decay = o->decay->data;
    for (int64_t i = 0; i < 2 * segments; i++)
        sums[i] = 0.0f;
    if (((const float *) o->scalars->data)[BL_SCALAR_OVERFLOW] != 0.0f) return BL_OK;
#pragma omp parallel for num_threads(ctx->threads) schedule(static)
    for (int64_t c = 0; c < count; c++) {
        update u = update_of(o, shares[c].piece);
        lamb_first_pass(&u, &shares[c].run, decay[shares[c].run.segment]);
    }
    /* In f64 as long as pieces of one segment follow each other. */
    for (int64_t c = 0; c < count;) {
        int64_t segment = shares[c].run.segment;
        double p_square = 0.0, u_square = 0.0;
        for (; c < count && shares[c].run.segment == segment; c++) {
            p_square += shares[c].run.p_square;
            u_square += shares[c].run.u_square;
        }
        sums[2 * segment] += (float) p_square;
        sums[2 * segment + 1] += (float) u_square;
    }
    return BL_OK;
}

/* From whole sums. */
static float trust_of(const bl_partition_optim *o, int64_t segment) {
    const float *sums = o->sums->data, *decay = o->decay->data;
    return lamb_trust(sums[2 * segment], sums[2 * segment + 1], lamb_adapts(o->decayed_only, decay[segment]));
}

bl_status bl_cpu_partition_lamb_apply(bl_context *ctx, const bl_partition_optim *o) {
    share *shares;
    int64_t count, segments = o->decay->shape[0];
    BL_TRY(list_shares(ctx, o->pieces, &shares, &count));
    const float *decay = o->decay->data;
    bool skip = ((const float *) o->scalars->data)[BL_SCALAR_OVERFLOW] != 0.0f;
    if (!skip) {
#pragma omp parallel for num_threads(ctx->threads) schedule(static)
        for (int64_t c = 0; c < count; c++) {
            int64_t i = shares[c].run.segment;
            update u = update_of(o, shares[c].piece);
            float rate = segment_rate(u.rate, o->lr_scale, i);
            lamb_second_pass(&u, &shares[c].run, decay[i], rate * trust_of(o, i));
        }
        if (o->trust)
            for (int64_t i = 0; i < segments; i++)
                ((float *) o->trust->data)[i] = trust_of(o, i);
    }
    /* Last: the bias correction above reads STEP. */
    skip_update(o->scalars);
    return BL_OK;
}
