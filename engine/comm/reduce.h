/*
 * reduce.h - reductions of the ranks' contributions, element by element.
 */
#ifndef BERTLUA_COMM_REDUCE_H
#define BERTLUA_COMM_REDUCE_H

#include "core/internal.h"

/*
 * out[i] = op over r of parts[r][i], for i < n, in the order of r; f32 inside
 * for bf16 and f16. out may be one of the parts.
 */
void bl_comm_reduce(void *out, const void *const *parts, int32_t ranks, int64_t n, int32_t dtype, int32_t op);

#endif
