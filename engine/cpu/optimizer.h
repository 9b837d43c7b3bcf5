/*
 * optimizer.h - what the optimizers share: the cut of the flat buffers into
 * chunks, and the arithmetic of one update on a run of elements. Formulas:
 * api/optim.h.
 */
#ifndef BERTLUA_CPU_OPTIMIZER_H
#define BERTLUA_CPU_OPTIMIZER_H

#include <math.h>

#include "core/half.h"
#include "core/internal.h"

/* Elements of a unit of work, and of what stays in the first cache between two loops over it. */
enum { CHUNK = 1 << 14, BLOCK = 512 };

/* What one update needs, with the step's factors worked out. */
typedef struct update {
    float *p;
    void *low;
    int32_t low_dtype;
    float *m;
    float *v;
    const float *g;
    float factor; /* of the gradient */
    float beta1;
    float beta2;
    float correct1; /* 1 / (1 - beta1^t) */
    float correct2;
    float eps;
    float rate;
    int32_t decayed_only;
} update;

/* A run of elements within one segment. */
typedef struct chunk {
    int64_t begin;
    int64_t end;
    int64_t segment;
    double p_square;
    double u_square;
} chunk;

/* 1 / (1 - beta^t) of the current step. */
static inline float bias_correction(const float *scalars, float beta) {
    return (float) (1.0 / (1.0 - pow((double) beta, (double) scalars[BL_SCALAR_STEP] + 1.0)));
}

/* The update whose element 0 is the first of the buffers. */
static inline update update_open(const bl_optim *o) {
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
                    .rate = s[BL_SCALAR_LEARNING_RATE],
                    .decayed_only = o->decayed_only};
}

static inline int64_t count_chunks(const int64_t *segments, int64_t count) {
    int64_t chunks = 0;
    for (int64_t i = 0; i < count; i++)
        chunks += (segments[2 * i + 1] + CHUNK - 1) / CHUNK;
    return chunks;
}

/* Cuts every segment at multiples of CHUNK from its start. */
static inline void list_chunks(chunk *list, const int64_t *segments, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        int64_t end = segments[2 * i] + segments[2 * i + 1];
        for (int64_t begin = segments[2 * i]; begin < end; begin += CHUNK)
            *list++ = (chunk){.begin = begin, .end = begin + CHUNK < end ? begin + CHUNK : end, .segment = i};
    }
}

/* True if this update is to be skipped; counts it either way. */
static inline bool skip_update(bl_tensor *scalars) {
    float *s = scalars->data;
    bool skip = s[BL_SCALAR_OVERFLOW] != 0.0f;
    s[skip ? BL_SCALAR_SKIPPED : BL_SCALAR_STEP] += 1.0f;
    return skip;
}

/* |p| / |u| of a segment, 1 where either is 0 or the segment is not to be adapted. */
static inline float lamb_trust(double p_square, double u_square, bool adapts) {
    return adapts && p_square > 0.0 && u_square > 0.0 ? (float) sqrt(p_square / u_square) : 1.0f;
}

/* Whether a segment with this weight decay has a trust ratio of its own. */
static inline bool lamb_adapts(int32_t decayed_only, float decay) {
    return !decayed_only || decay != 0.0f;
}

/* The learning rate of one segment. */
static inline float segment_rate(float rate, const bl_tensor *lr_scale, int64_t segment) {
    return lr_scale ? rate * ((const float *) lr_scale->data)[segment] : rate;
}

static inline float direction(const update *u, float p, float m, float v, float decay) {
    return m * u->correct1 / (sqrtf(v * u->correct2) + u->eps) + decay * p;
}

static inline void update_moments(const update *u, int64_t begin, int64_t end) {
    float *m = u->m, *v = u->v;
    const float *gradient = u->g;
    float factor = u->factor, beta1 = u->beta1, beta2 = u->beta2;
#pragma omp simd
    for (int64_t i = begin; i < end; i++) {
        float g = gradient[i] * factor;
        m[i] = beta1 * m[i] + (1.0f - beta1) * g;
        v[i] = beta2 * v[i] + (1.0f - beta2) * g * g;
    }
}

static inline void lamb_first_pass(const update *u, chunk *c, float decay) {
    update own = *u; /* a copy that stores through m and v cannot reach */
    const float *p = u->p, *m = u->m, *v = u->v;
    double p_square = 0.0, u_square = 0.0;
    for (int64_t begin = c->begin; begin < c->end; begin += BLOCK) {
        int64_t end = begin + BLOCK < c->end ? begin + BLOCK : c->end;
        update_moments(&own, begin, end);
#pragma omp simd reduction(+ : p_square, u_square)
        for (int64_t i = begin; i < end; i++) {
            float step = direction(&own, p[i], m[i], v[i], decay);
            p_square += (double) p[i] * (double) p[i];
            u_square += (double) step * (double) step;
        }
    }
    c->p_square = p_square;
    c->u_square = u_square;
}

static inline void lamb_second_pass(const update *u, const chunk *c, float decay, float rate) {
    update own = *u;
    float *p = u->p;
    const float *m = u->m, *v = u->v;
#pragma omp simd
    for (int64_t i = c->begin; i < c->end; i++)
        p[i] -= rate * direction(&own, p[i], m[i], v[i], decay);
    if (u->low)
        bl_row_from_f32(bl_element(u->low, u->low_dtype, c->begin), u->low_dtype, p + c->begin, c->end - c->begin);
}

#endif
