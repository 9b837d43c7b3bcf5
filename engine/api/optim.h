/*
 * optim.h - global norm, loss scaling and multi-tensor optimizers over flat
 * buffers.
 *
 * Part of the public C API (include "bertlua.h"). Parameters, gradients and
 * optimizer state of a model lie in flat f32 buffers of the same layout; each
 * parameter tensor is a segment {offset, length}. Everything that changes from
 * step to step is read from `scalars`, which lives on the device, so that an
 * update needs no host synchronisation and can be replayed.
 */
#ifndef BERTLUA_API_OPTIM_H
#define BERTLUA_API_OPTIM_H

#include "core.h"

/* CDEF-BEGIN */

/* Slots of the f32 scalars tensor. */
enum {
    BL_SCALAR_LEARNING_RATE = 0, /* set by the host each step */
    BL_SCALAR_STEP = 1,          /* updates done; +1 by an update that is not skipped */
    BL_SCALAR_LOSS_SCALE = 2,    /* the loss was multiplied by this */
    BL_SCALAR_GOOD_STEPS = 3,    /* updates since the scale last changed */
    BL_SCALAR_OVERFLOW = 4,      /* 1: the gradient has an inf or NaN and this update is skipped */
    BL_SCALAR_GRAD_NORM = 5,     /* global L2 norm after unscaling, before clipping */
    BL_SCALAR_GRAD_FACTOR = 6,   /* multiplies the raw gradient: unscale, average and clip */
    BL_SCALAR_SKIPPED = 7,       /* updates skipped so far */
    BL_SCALAR_COUNT = 8
};

/*
 * Global norm, overflow check and clipping in one pass over grad f32 [N]:
 *   u = 1 / (LOSS_SCALE * accumulation);  GRAD_NORM = |grad| * u
 *   GRAD_FACTOR = u * (max_norm > 0 && GRAD_NORM > max_norm ? max_norm / GRAD_NORM : 1)
 *   OVERFLOW = any element is inf or NaN.
 * The sum of squares is accumulated in f64 in a fixed order.
 */
bl_status bl_grad_norm(bl_context *ctx, bl_tensor *scalars, const bl_tensor *grad, int32_t accumulation,
                       float max_norm);

typedef struct bl_optim {
    bl_tensor *param;          /* f32 [N] master weights, updated */
    bl_tensor *param_low;      /* bf16 or f16 [N], rewritten from param; may be NULL */
    bl_tensor *m;              /* f32 [N] first moment, updated */
    bl_tensor *v;              /* f32 [N] second moment, updated */
    const bl_tensor *grad;     /* f32 [N], multiplied by GRAD_FACTOR when read */
    const bl_tensor *segments; /* i64 [n,2]: offset and length of each parameter tensor, ascending */
    const bl_tensor *decay;    /* f32 [n]: weight decay of each parameter tensor */
    const bl_tensor *lr_scale; /* f32 [n]: multiplies the learning rate of each parameter tensor; NULL: 1 */
    bl_tensor *scalars;        /* f32 [BL_SCALAR_COUNT] */
    bl_tensor *trust;          /* f32 [n] or NULL: LAMB's trust ratios, for the log */
    float beta1;
    float beta2;
    float eps;
    int32_t decayed_only; /* of LAMB: 1: trust ratio 1 where decay is 0 */
} bl_optim;

/*
 * LAMB (arXiv 1904.00962, algorithm 2), t = STEP + 1:
 *   m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2
 *   u = (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps) + decay * p
 *   trust = |p| / |u| per segment (1 where either norm is 0, and, if decayed_only, where decay is)
 *   p = p - lr * lr_scale * trust * u
 * Does nothing but SKIPPED += 1 when OVERFLOW is set; else STEP += 1.
 */
bl_status bl_lamb_update(bl_context *ctx, const bl_optim *optim);
/*
 * AdamW (arXiv 1711.05101), t = STEP + 1, r = lr * lr_scale: p = p - r * decay * p, then
 *   p = p - r * (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps).
 */
bl_status bl_adamw_update(bl_context *ctx, const bl_optim *optim);

/*
 * LAMB whose moments and master weights are divided over the ranks of a job
 * (stage 1 of ZeRO, arXiv 1910.02054). A rank owns runs of the flat buffers;
 * pieces i64 [k,5] lists them, one row per run within one parameter tensor:
 * {segment, state, param, flat, length}: `length` elements of tensor number
 * `segment` that lie at `state` in m and v, at `param` in param and at `flat`
 * in grad and param_low. An update is four calls, with a sum over all ranks
 * after the first and the third (R):
 *
 *   bl_partition_grad_norm(square); R(square); bl_partition_grad_factor(square);
 *   bl_partition_lamb_moments(o);   R(o->sums); bl_partition_lamb_apply(o);
 *
 * then every rank gathers the parameters that the others updated. What is
 * decided from R's results (overflow, clipping, trust ratios) is the same on
 * every rank without another message.
 */
typedef struct bl_partition_optim {
    bl_tensor *param;          /* f32 [P] master weights, updated where owned */
    bl_tensor *param_low;      /* bf16 or f16 [N], rewritten where owned; may be NULL */
    bl_tensor *m;              /* f32 [S] first moment, updated */
    bl_tensor *v;              /* f32 [S] second moment, updated */
    const bl_tensor *grad;     /* f32 [N], multiplied by GRAD_FACTOR when read */
    const bl_tensor *pieces;   /* i64 [k,5], ascending in state and in segment */
    const bl_tensor *decay;    /* f32 [n]: weight decay of each parameter tensor */
    const bl_tensor *lr_scale; /* f32 [n]: multiplies the learning rate of each parameter tensor; NULL: 1 */
    bl_tensor *scalars;        /* f32 [BL_SCALAR_COUNT] */
    bl_tensor *sums;           /* f32 [n,2]: |p|^2 and |u|^2 of each parameter tensor */
    bl_tensor *trust;          /* f32 [n] or NULL: trust ratios, for the log */
    float beta1;
    float beta2;
    float eps;
    int32_t decayed_only; /* 1: trust ratio 1 where decay is 0 */
} bl_partition_optim;

/*
 * square f32 [1] = sum over the pieces of (grad / (LOSS_SCALE * accumulation))^2,
 * accumulated in f64 in a fixed order; inf or NaN if an element is, or if the
 * unscaled norm is beyond 1.8e19, which counts as an overflow too.
 */
bl_status bl_partition_grad_norm(bl_context *ctx, bl_tensor *square, const bl_tensor *scalars, const bl_tensor *grad,
                                 const bl_tensor *pieces, int32_t accumulation);
/* GRAD_NORM, GRAD_FACTOR and OVERFLOW as bl_grad_norm sets them, from the sum of square f32 [1] over all ranks. */
bl_status bl_partition_grad_factor(bl_context *ctx, bl_tensor *scalars, const bl_tensor *square, int32_t accumulation,
                                   float max_norm);
/* m, v and this rank's part of sums, as in bl_lamb_update; only zeroes sums when OVERFLOW is set. */
bl_status bl_partition_lamb_moments(bl_context *ctx, const bl_partition_optim *optim);
/* The step, from whole sums. Does nothing but SKIPPED += 1 when OVERFLOW is set; else STEP += 1. */
bl_status bl_partition_lamb_apply(bl_context *ctx, const bl_partition_optim *optim);

/*
 * Dynamic loss scaling (arXiv 1710.03740), after the update: on OVERFLOW
 * LOSS_SCALE = max(LOSS_SCALE * backoff, min_scale), GOOD_STEPS = 0; else
 * GOOD_STEPS += 1 and every growth_interval good steps LOSS_SCALE *= growth
 * (at most 2^24) and GOOD_STEPS = 0.
 */
bl_status bl_loss_scale_update(bl_context *ctx, bl_tensor *scalars, float growth, float backoff,
                               int32_t growth_interval, float min_scale);

/* CDEF-END */

#endif
