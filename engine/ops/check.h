/*
 * check.h - validation of op arguments with uniform messages, such as
 * "layernorm: gamma is f32 [5], expected f32 [8]".
 *
 * In an op, with `op` its name and `ctx` the context:
 *
 *     BL_CHECK_CONTEXT(op, ctx, layernorm_forward);
 *     BL_CHECK(op, ctx, x, BL_SET_ACT, "TH", BL_ANY, BL_ANY);
 *     BL_CHECK(op, ctx, gamma, BL_SET(BL_F32), "H", x->shape[1]);
 *
 * One letter per dimension names it where any size will do.
 */
#ifndef BERTLUA_OPS_CHECK_H
#define BERTLUA_OPS_CHECK_H

#include "core/backend.h"

enum { BL_ANY = -1 };

/* Sets of dtypes as bits. */
#define BL_SET(dtype) (1u << (dtype))
#define BL_SET_ACT (BL_SET(BL_F32) | BL_SET(BL_BF16) | BL_SET(BL_F16))
#define BL_SET_ALL (BL_SET_ACT | BL_SET(BL_I32) | BL_SET(BL_I64) | BL_SET(BL_I8))

/*
 * t is not NULL, lies on the context's device, has one of the dtypes, the
 * dimensions (BL_ANY: any size) and is contiguous; strlen(letters) dimensions.
 */
bl_status bl_check_tensor(const char *op, const bl_context *ctx, const char *name, const bl_tensor *t, uint32_t dtypes,
                          const char *letters, const int64_t *dims);
/* The same without the demand for contiguity. */
bl_status bl_check_strided(const char *op, const bl_context *ctx, const char *name, const bl_tensor *t, uint32_t dtypes,
                           const char *letters, const int64_t *dims);
/* Of any shape and with any strides. */
bl_status bl_check_view(const char *op, const bl_context *ctx, const char *name, const bl_tensor *t, uint32_t dtypes);
/* Contiguous, of any shape. */
bl_status bl_check_flat(const char *op, const bl_context *ctx, const char *name, const bl_tensor *t, uint32_t dtypes);
/* Flat like `model`: its shape, and its dtype unless dtypes says otherwise. */
bl_status bl_check_like(const char *op, const bl_context *ctx, const char *name, const bl_tensor *t, uint32_t dtypes,
                        const bl_tensor *model);
/* `first` is flat and of any shape, the others (NULL name: none) have its shape and dtype. */
bl_status bl_check_same(const char *op, const bl_context *ctx, const char *const names[3], const bl_tensor *first,
                        const bl_tensor *second, const bl_tensor *third);
/* The output y shares no memory with t; with in_place, unless t lies in it as y does, element upon element. */
bl_status bl_check_apart(const char *op, const char *name_y, const bl_tensor *y, const char *name, const bl_tensor *t,
                         bool in_place);
/* [T,N] with rows that have no gaps but may lie further apart than they are long (linear.c). */
bl_status bl_check_row_stride(const char *op, const char *name, const bl_tensor *t);
/* A bl_activation (linear.c). */
bl_status bl_check_activation(const char *op, int32_t activation);
/* Every element of an i32 tensor in [low, high); only where the host can read it. */
bl_status bl_check_index(const char *op, const bl_context *ctx, const char *name, const bl_tensor *index, int64_t low,
                         int64_t high);
/* Rows of segments i32 [B,2] = {begin, length} lie in [0, rows). */
bl_status bl_check_segments(const char *op, const bl_context *ctx, const bl_tensor *segments, int64_t rows);
/* No two of checked segments share a row: gradients would be written twice. Only where the host can read them. */
bl_status bl_check_disjoint(const char *op, const bl_context *ctx, const bl_tensor *segments);
/* A dropout (or NULL) has 0 <= p < 1 and a state i64 [2]. */
bl_status bl_check_dropout(const char *op, const bl_context *ctx, const bl_dropout *dropout);
/* x act [T,H] with H of at least 1. */
bl_status bl_check_rows(const char *op, const bl_context *ctx, const char *name, const bl_tensor *x);
/* eps of a normalisation: 0 or more. */
bl_status bl_check_eps(const char *op, float eps);
bl_status bl_check_context(const char *op, const bl_context *ctx);
/* BL_ERROR_UNSUPPORTED: the device has no kernel for `function`, an op of the list; or it has no `what` at all. */
bl_status bl_fail_no_kernel(const char *op, const bl_context *ctx, const char *function);
bl_status bl_fail_no_feature(const char *what, const bl_context *ctx);

/* The context exists, and its device has a kernel for `function`: a name of core/op_list.h. */
#define BL_CHECK_CONTEXT(op, ctx, function)                                                                            \
    do {                                                                                                               \
        BL_TRY(bl_check_context(op, ctx));                                                                             \
        if (!(ctx)->backend->ops.function) return bl_fail_no_kernel(op, ctx, #function);                               \
    } while (0)

/* The same for what is not an op: events, graphs. */
#define BL_CHECK_FEATURE(what, ctx, function)                                                                          \
    do {                                                                                                               \
        BL_TRY(bl_check_context(what, ctx));                                                                           \
        if (!(ctx)->backend->function) return bl_fail_no_feature(what, ctx);                                           \
    } while (0)

#define BL_CHECK(op, ctx, t, dtypes, letters, ...)                                                                     \
    BL_TRY(bl_check_tensor(op, ctx, #t, t, dtypes, letters, (const int64_t[]){__VA_ARGS__}))

/* For an argument that may be NULL. */
#define BL_CHECK_OPTIONAL(op, ctx, t, dtypes, letters, ...)                                                            \
    do {                                                                                                               \
        if (t) BL_CHECK(op, ctx, t, dtypes, letters, __VA_ARGS__);                                                     \
    } while (0)

#endif
