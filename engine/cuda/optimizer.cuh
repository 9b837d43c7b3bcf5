/*
 * optimizer.cuh - what LAMB and AdamW share on the device: the factors of a
 * step, and the cut of the flat buffers into blocks.
 *
 * Blocks are cut at fixed places of the flat buffer, OPTIM_CHUNK elements each,
 * so that the host need not know the segments, which lie on the device. A block
 * finds the first segment in its range by bisection and continues from there:
 * one launch covers a 31-million-element table and a hundred biases. A piece is
 * what one block and one segment have in common; block + segment numbers the
 * pieces without gaps that matter, ascending, so that the pieces of a segment
 * stand side by side: sums over them have one order.
 */
#ifndef BERTLUA_CUDA_OPTIMIZER_CUH
#define BERTLUA_CUDA_OPTIMIZER_CUH

#include "cuda/kernel.cuh"

enum {
    OPTIM_THREADS = 256,
    OPTIM_EACH = 8, /* elements a thread takes together: 32 bytes of each f32 buffer, 16 of the copy */
    OPTIM_CHUNK = 1 << 14
};

/* Worked out by one thread before anything else, so that no other computes a power. */
struct StepFactors {
    float gradient; /* of the raw gradient */
    float correct1; /* 1 / (1 - beta1^t) */
    float correct2;
    float rate;
    int32_t skip; /* the gradient overflowed */
};

/* Pointers and constants of an update. */
template <typename Low> struct Update {
    float *p;
    Low *low; /* may be NULL */
    float *m;
    float *v;
    const float *g;
    const int64_t *segments; /* [count, 2]: offset, length; ascending */
    const float *decay;      /* [count] */
    const float *lr_scale;   /* [count]; NULL: 1 */
    const StepFactors *factors;
    int64_t count;
    int64_t size; /* of the flat buffers */
    float beta1, beta2, eps;
    int32_t decayed_only; /* LAMB's trust ratio is 1 where decay is 0 */
    bool packed;          /* every buffer starts on 16 bytes */
};

/* What bl_optim and bl_partition_optim have in common; where the segments are is left to the caller. */
template <typename Low, class Optim> static inline Update<Low> update_buffers(const Optim *o, const StepFactors *f) {
    Update<Low> u;
    u.p = bl_data<float>(o->param);
    u.low = bl_data<Low>(o->param_low);
    u.m = bl_data<float>(o->m);
    u.v = bl_data<float>(o->v);
    u.g = bl_data<float>(o->grad);
    u.segments = NULL;
    u.decay = bl_data<float>(o->decay);
    u.lr_scale = bl_data<float>(o->lr_scale);
    u.factors = f;
    u.count = o->decay->shape[0];
    u.size = o->m->shape[0];
    u.beta1 = o->beta1;
    u.beta2 = o->beta2;
    u.eps = o->eps;
    u.decayed_only = o->decayed_only;
    u.packed = bl_aligned16(u.p) && bl_aligned16(u.low) && bl_aligned16(u.m) && bl_aligned16(u.v) && bl_aligned16(u.g);
    return u;
}

template <typename Low> static inline Update<Low> update_open(const bl_optim *o, const StepFactors *factors) {
    Update<Low> u = update_buffers<Low>(o, factors);
    u.segments = bl_data<int64_t>(o->segments);
    return u;
}

/* |p| / |u| of segment s, 1 where either is 0 or the segment is not to be adapted. */
__device__ __forceinline__ float lamb_trust(double p_square, double u_square, const float *decay, int32_t decayed_only,
                                            int64_t s) {
    const bool adapts = !decayed_only || decay[s] != 0.0f;
    return adapts && p_square > 0.0 && u_square > 0.0 ? static_cast<float>(sqrt(p_square / u_square)) : 1.0f;
}

static inline int64_t optim_chunks(int64_t size) {
    return (size + OPTIM_CHUNK - 1) / OPTIM_CHUNK;
}

/* Launched first, with one thread: fills in the factors and, if `count`, counts the update or the skip. */
static __global__ void step_factors_kernel(StepFactors *factors, float *scalars, float beta1, float beta2, bool count) {
    const double t = static_cast<double>(scalars[BL_SCALAR_STEP]) + 1.0;
    const int32_t skip = scalars[BL_SCALAR_OVERFLOW] != 0.0f;
    factors->gradient = scalars[BL_SCALAR_GRAD_FACTOR];
    factors->correct1 = static_cast<float>(1.0 / (1.0 - pow(static_cast<double>(beta1), t)));
    factors->correct2 = static_cast<float>(1.0 / (1.0 - pow(static_cast<double>(beta2), t)));
    factors->rate = scalars[BL_SCALAR_LEARNING_RATE];
    factors->skip = skip;
    if (count) scalars[skip ? BL_SCALAR_SKIPPED : BL_SCALAR_STEP] += 1.0f;
}

/* The first segment that ends past `position`; `count` if there is none. */
__device__ __forceinline__ int64_t first_segment(const int64_t *segments, int64_t count, int64_t position) {
    int64_t low = 0, high = count;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (segments[2 * middle] + segments[2 * middle + 1] <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* OPTIM_EACH elements from `at`, those outside [begin, end) as 0; `whole`: all inside and on 16 bytes. */
__device__ __forceinline__ void load_each(const float *p, int64_t at, int64_t begin, int64_t end, bool whole,
                                          float (&x)[OPTIM_EACH]) {
    if (whole) {
        load8<float>(p + at, x);
        return;
    }
#pragma unroll
    for (int i = 0; i < OPTIM_EACH; i++)
        x[i] = at + i >= begin && at + i < end ? p[at + i] : 0.0f;
}

template <typename T>
__device__ __forceinline__ void store_each(T *p, int64_t at, int64_t begin, int64_t end, bool whole,
                                           const float (&x)[OPTIM_EACH]) {
    if (whole) {
        store8<T>(p + at, x);
        return;
    }
#pragma unroll
    for (int i = 0; i < OPTIM_EACH; i++)
        if (at + i >= begin && at + i < end) p[at + i] = from_float<T>(x[i]);
}

/*
 * Calls body(segment, begin, end) for each piece of the flat range of chunk
 * `chunk`; all threads of the block go through the same calls.
 */
template <typename Low, class Body>
__device__ __forceinline__ void each_piece(const Update<Low> &u, int64_t chunk, Body body) {
    const int64_t low = chunk * OPTIM_CHUNK, high = low + OPTIM_CHUNK < u.size ? low + OPTIM_CHUNK : u.size;
    for (int64_t s = first_segment(u.segments, u.count, low); s < u.count; s++) {
        const int64_t offset = u.segments[2 * s], limit = offset + u.segments[2 * s + 1];
        if (offset >= high) return;
        const int64_t begin = offset > low ? offset : low, end = limit < high ? limit : high;
        if (begin < end) body(s, begin, end);
    }
}

/* Calls body(at, whole) for this thread's groups of OPTIM_EACH elements of [begin, end). */
template <class Body> __device__ __forceinline__ void each_group(int64_t begin, int64_t end, bool packed, Body body) {
    const int64_t first = begin / OPTIM_EACH * OPTIM_EACH;
    for (int64_t at = first + threadIdx.x * OPTIM_EACH; at < end; at += OPTIM_THREADS * OPTIM_EACH)
        body(at, packed && at >= begin && at + OPTIM_EACH <= end);
}

/* The learning rate of one segment. */
template <typename Low>
__device__ __forceinline__ float segment_rate(const Update<Low> &u, const StepFactors &f, int64_t segment) {
    return u.lr_scale ? f.rate * u.lr_scale[segment] : f.rate;
}

/* m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2, g unscaled and clipped. */
template <typename Low>
__device__ __forceinline__ void moments(const Update<Low> &u, float factor, float raw, float &m, float &v) {
    const float g = raw * factor;
    m = u.beta1 * m + (1.0f - u.beta1) * g;
    v = u.beta2 * v + (1.0f - u.beta2) * g * g;
}

/* (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps) */
__device__ __forceinline__ float direction(const StepFactors &f, float eps, float m, float v) {
    return m * f.correct1 / (sqrtf(v * f.correct2) + eps);
}

/*
 * LAMB's first pass over the OPTIM_EACH elements at `at`: the moments are
 * updated, |p|^2 and |u|^2 added up. p and g start where m and v do.
 */
template <typename Low>
__device__ __forceinline__ void lamb_moments(const Update<Low> &u, const StepFactors &f, const float *param,
                                             const float *grad, float decay, int64_t at, int64_t begin, int64_t end,
                                             bool whole, double &p_square, double &u_square) {
    float p[OPTIM_EACH], m[OPTIM_EACH], v[OPTIM_EACH], g[OPTIM_EACH];
    load_each(param, at, begin, end, whole, p);
    load_each(u.m, at, begin, end, whole, m);
    load_each(u.v, at, begin, end, whole, v);
    load_each(grad, at, begin, end, whole, g);
#pragma unroll
    for (int i = 0; i < OPTIM_EACH; i++) {
        moments(u, f.gradient, g[i], m[i], v[i]);
        /* Outside the piece all are 0, and 0 / 0 where eps is: that lane must not count. */
        const float step = direction(f, u.eps, m[i], v[i]) + decay * p[i];
        const bool inside = whole || (at + i >= begin && at + i < end);
        const double wide = inside ? static_cast<double>(step) : 0.0;
        p_square += static_cast<double>(p[i]) * static_cast<double>(p[i]);
        u_square += wide * wide;
    }
    store_each<float>(u.m, at, begin, end, whole, m);
    store_each<float>(u.v, at, begin, end, whole, v);
}

#endif
