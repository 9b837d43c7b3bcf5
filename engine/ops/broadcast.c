/*
 * broadcast.c - validation and dispatch of ops whose operands broadcast.
 */
#include "check.h"

static const char *const BINARY[] = {"add", "sub", "mul", "div", "pow", "maximum", "minimum"};
static const char *const COMPARE[] = {"eq", "ne", "lt", "le", "gt", "ge"};

/* The shape that operands broadcast to, grown by one of them; false if it does not fit. */
static bool widen(bl_tensor *shape, const bl_tensor *t) {
    bl_tensor wide = *shape;
    int32_t ndim = t->ndim > shape->ndim ? t->ndim : shape->ndim;
    for (int32_t d = 1; d <= ndim; d++) {
        int64_t have = d <= shape->ndim ? shape->shape[shape->ndim - d] : 1;
        int64_t more = d <= t->ndim ? t->shape[t->ndim - d] : 1;
        if (have != more && have != 1 && more != 1) return false;
        wide.shape[ndim - d] = have == 1 ? more : have;
    }
    wide.ndim = ndim;
    *shape = wide;
    return true;
}

static bl_status fail_sizes(const char *op, const char *name_a, const bl_tensor *a, const char *name_b,
                            const bl_tensor *b) {
    char first[128], second[128];
    return bl_fail(BL_ERROR_ARGUMENT,
                   "%s: %s is %s, %s is %s: counted from the last dimension, sizes must be equal or 1; reshape one", op,
                   name_a, bl_tensor_format(a, first, sizeof first), name_b,
                   bl_tensor_format(b, second, sizeof second));
}

/* a and b are views of one of the dtypes; *shape becomes what they broadcast to. */
static bl_status check_pair(const char *op, const bl_context *ctx, const bl_tensor *a, const bl_tensor *b,
                            uint32_t dtypes, bl_tensor *shape) {
    char first[128], second[128];
    BL_TRY(bl_check_view(op, ctx, "a", a, dtypes));
    BL_TRY(bl_check_view(op, ctx, "b", b, dtypes));
    if (a->dtype != b->dtype)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: a is %s, b is %s, expected one dtype; convert one of them", op,
                       bl_tensor_format(a, first, sizeof first), bl_tensor_format(b, second, sizeof second));
    *shape = *a;
    return widen(shape, b) ? BL_OK : fail_sizes(op, "a", a, "b", b);
}

/* y may be the memory of an operand only where its elements are read no later than they are written. */
static bl_status check_places(const char *op, const char *name_y, const bl_tensor *y, const bl_tensor *a,
                              const bl_tensor *b, bool in_place) {
    BL_TRY(bl_check_apart(op, name_y, y, "a", a, in_place));
    return bl_check_apart(op, name_y, y, "b", b, in_place);
}

/* A name that is in range, or NULL after bl_fail. */
static const char *kind_name(const char *op, const char *const *names, int32_t kind, int32_t last) {
    if (kind >= 0 && kind <= last) return names[kind];
    bl_fail(BL_ERROR_ARGUMENT, "%s: kind is %d, expected 0 to %d", op, (int) kind, (int) last);
    return NULL;
}

BL_API bl_status bl_binary(bl_context *ctx, bl_tensor *y, const bl_tensor *a, const bl_tensor *b, int32_t kind) {
    const char *op = kind_name("binary", BINARY, kind, BL_BINARY_MINIMUM);
    if (!op) return BL_ERROR_ARGUMENT;
    BL_CHECK_CONTEXT(op, ctx, binary);
    bool fraction = kind == BL_BINARY_DIV || kind == BL_BINARY_POW;
    bl_tensor shape;
    BL_TRY(check_pair(op, ctx, a, b, fraction ? BL_SET_ACT : BL_SET_ACT | BL_SET(BL_I32) | BL_SET(BL_I64), &shape));
    BL_TRY(bl_check_like(op, ctx, "y", y, BL_SET(a->dtype), &shape));
    BL_TRY(check_places(op, "y", y, a, b, true));
    return ctx->backend->ops.binary(ctx, y, a, b, kind);
}

BL_API bl_status bl_binary_backward(bl_context *ctx, bl_tensor *da, bl_tensor *db, const bl_tensor *dy,
                                    const bl_tensor *a, const bl_tensor *b, int32_t kind) {
    const char *op = kind_name("binary_backward", BINARY, kind, BL_BINARY_MINIMUM);
    if (!op) return BL_ERROR_ARGUMENT;
    BL_CHECK_CONTEXT(op, ctx, binary_backward);
    bl_tensor shape;
    BL_TRY(check_pair(op, ctx, a, b, BL_SET_ACT, &shape));
    BL_TRY(bl_check_like(op, ctx, "dy", dy, BL_SET(a->dtype), &shape));
    uint32_t dtypes = BL_SET(a->dtype) | BL_SET(BL_F32);
    if (da) BL_TRY(bl_check_like(op, ctx, "da", da, dtypes, dy));
    if (db) BL_TRY(bl_check_like(op, ctx, "db", db, dtypes, dy));
    if (da) BL_TRY(check_places(op, "da", da, a, b, false));
    if (db) BL_TRY(check_places(op, "db", db, a, b, false));
    if (da) BL_TRY(bl_check_apart(op, "da", da, "dy", dy, false));
    if (db) BL_TRY(bl_check_apart(op, "db", db, "dy", dy, false));
    return da || db ? ctx->backend->ops.binary_backward(ctx, da, db, dy, a, b, kind) : BL_OK;
}

BL_API bl_status bl_compare(bl_context *ctx, bl_tensor *mask, const bl_tensor *a, const bl_tensor *b, int32_t kind) {
    const char *op = kind_name("compare", COMPARE, kind, BL_COMPARE_GE);
    if (!op) return BL_ERROR_ARGUMENT;
    BL_CHECK_CONTEXT(op, ctx, compare);
    bl_tensor shape;
    BL_TRY(check_pair(op, ctx, a, b, BL_SET_ALL, &shape));
    BL_TRY(bl_check_like(op, ctx, "mask", mask, BL_SET(BL_I8), &shape));
    BL_TRY(check_places(op, "mask", mask, a, b, true));
    return ctx->backend->ops.compare(ctx, mask, a, b, kind);
}

BL_API bl_status bl_where(bl_context *ctx, bl_tensor *y, const bl_tensor *mask, const bl_tensor *a,
                          const bl_tensor *b) {
    static const char op[] = "where";
    BL_CHECK_CONTEXT(op, ctx, where);
    BL_TRY(bl_check_view(op, ctx, "mask", mask, BL_SET(BL_I8)));
    bl_tensor shape;
    BL_TRY(check_pair(op, ctx, a, b, BL_SET_ACT | BL_SET(BL_I32) | BL_SET(BL_I64), &shape));
    if (!widen(&shape, mask)) return fail_sizes(op, "mask", mask, "what it chooses from", &shape);
    BL_TRY(bl_check_like(op, ctx, "y", y, BL_SET(a->dtype), &shape));
    BL_TRY(check_places(op, "y", y, a, b, true));
    BL_TRY(bl_check_apart(op, "y", y, "mask", mask, false));
    return ctx->backend->ops.where(ctx, y, mask, a, b);
}
