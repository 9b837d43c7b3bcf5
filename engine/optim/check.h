/*
 * check.h - checks of what every optimizer is given: scalars, constants,
 * buffers. They come on top of those of all ops, ops/check.h.
 */
#ifndef BERTLUA_OPTIM_CHECK_H
#define BERTLUA_OPTIM_CHECK_H

#include "ops/check.h"

/* scalars f32 [BL_SCALAR_COUNT]. */
bl_status bl_check_scalars(const char *op, const bl_context *ctx, const bl_tensor *scalars);
/* An optimizer's constants: 0 <= beta < 1, eps 0 or more. */
bl_status bl_check_moments(const char *op, float beta1, float beta2, float eps);
/* All of a bl_optim. */
bl_status bl_check_optim(const char *op, const bl_context *ctx, const bl_optim *o);

#endif
