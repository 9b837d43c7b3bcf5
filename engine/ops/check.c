/*
 * check.c - validation of op arguments; see check.h.
 */
#include "check.h"

#include <stdio.h>
#include <string.h>

static const char *format_set(uint32_t dtypes, char *buffer, size_t bytes) {
    size_t used = 0;
    buffer[0] = '\0';
    for (int32_t dtype = BL_F32; dtype <= BL_I8 && used < bytes; dtype++) {
        if (!(dtypes & BL_SET(dtype))) continue;
        bool last = (dtypes >> (dtype + 1)) == 0;
        used += (size_t) snprintf(buffer + used, bytes - used, "%s%s",
                                  used == 0 ? ""
                                  : last    ? " or "
                                            : ", ",
                                  bl_dtype_name(dtype));
    }
    return buffer;
}

static const char *format_dims(const char *letters, const int64_t *dims, char *buffer, size_t bytes) {
    size_t used = (size_t) snprintf(buffer, bytes, "[");
    for (size_t i = 0; letters[i] && used < bytes; i++) {
        if (i && used < bytes) used += (size_t) snprintf(buffer + used, bytes - used, ",");
        if (used >= bytes) break;
        if (dims[i] == BL_ANY)
            used += (size_t) snprintf(buffer + used, bytes - used, "%c", letters[i]);
        else
            used += (size_t) snprintf(buffer + used, bytes - used, "%lld", (long long) dims[i]);
    }
    if (used < bytes) snprintf(buffer + used, bytes - used, "]");
    return buffer;
}

static bl_status fail_shape(const char *op, const char *name, const bl_tensor *t, uint32_t dtypes, const char *letters,
                            const int64_t *dims) {
    char got[128], set[64], shape[128];
    return bl_fail(BL_ERROR_ARGUMENT, "%s: %s is %s, expected %s %s", op, name, bl_tensor_format(t, got, sizeof got),
                   format_set(dtypes, set, sizeof set), format_dims(letters, dims, shape, sizeof shape));
}

static bl_status check_device(const char *op, const bl_context *ctx, const char *name, const bl_tensor *t) {
    static const char *const names[] = {"cpu", "cuda"};
    if (t->device != ctx->device || t->device_index != ctx->device_index)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %s is on %s:%d, expected %s:%d", op, name,
                       t->device >= 0 && t->device <= BL_CUDA ? names[t->device] : "an unknown device",
                       (int) t->device_index, names[ctx->device], (int) ctx->device_index);
    if (!t->data && bl_tensor_numel(t) > 0)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %s has no data; was its arena reset?", op, name);
    return BL_OK;
}

static bl_status check_contiguous(const char *op, const char *name, const bl_tensor *t) {
    char got[128], strides[128];
    if (bl_tensor_is_contiguous(t)) return BL_OK;
    const char *letters = &"xxxx"[BL_MAX_DIMS - t->ndim];
    return bl_fail(BL_ERROR_ARGUMENT, "%s: %s is %s with strides %s, expected contiguous; copy it first", op, name,
                   bl_tensor_format(t, got, sizeof got), format_dims(letters, t->stride, strides, sizeof strides));
}

bl_status bl_check_strided(const char *op, const bl_context *ctx, const char *name, const bl_tensor *t, uint32_t dtypes,
                           const char *letters, const int64_t *dims) {
    int32_t ndim = (int32_t) strlen(letters);
    if (!t || t->dtype < 0 || t->dtype > BL_I8 || !(dtypes & BL_SET(t->dtype)) || t->ndim != ndim)
        return fail_shape(op, name, t, dtypes, letters, dims);
    for (int32_t i = 0; i < ndim; i++)
        if (dims[i] != BL_ANY && t->shape[i] != dims[i]) return fail_shape(op, name, t, dtypes, letters, dims);
    return check_device(op, ctx, name, t);
}

bl_status bl_check_tensor(const char *op, const bl_context *ctx, const char *name, const bl_tensor *t, uint32_t dtypes,
                          const char *letters, const int64_t *dims) {
    BL_TRY(bl_check_strided(op, ctx, name, t, dtypes, letters, dims));
    return check_contiguous(op, name, t);
}

bl_status bl_check_view(const char *op, const bl_context *ctx, const char *name, const bl_tensor *t, uint32_t dtypes) {
    char got[128], set[64];
    if (!t || t->dtype < 0 || t->dtype > BL_I8 || !(dtypes & BL_SET(t->dtype)) || t->ndim < 0 || t->ndim > BL_MAX_DIMS)
        return bl_fail(BL_ERROR_ARGUMENT, "%s: %s is %s, expected %s of any shape", op, name,
                       bl_tensor_format(t, got, sizeof got), format_set(dtypes, set, sizeof set));
    return check_device(op, ctx, name, t);
}

bl_status bl_check_flat(const char *op, const bl_context *ctx, const char *name, const bl_tensor *t, uint32_t dtypes) {
    BL_TRY(bl_check_view(op, ctx, name, t, dtypes));
    return check_contiguous(op, name, t);
}

bl_status bl_check_like(const char *op, const bl_context *ctx, const char *name, const bl_tensor *t, uint32_t dtypes,
                        const bl_tensor *model) {
    return bl_check_tensor(op, ctx, name, t, dtypes, &"ABCD"[BL_MAX_DIMS - model->ndim], model -> shape);
}

bl_status bl_check_same(const char *op, const bl_context *ctx, const char *const names[3], const bl_tensor *first,
                        const bl_tensor *second, const bl_tensor *third) {
    BL_TRY(bl_check_flat(op, ctx, names[0], first, BL_SET_ACT));
    BL_TRY(bl_check_like(op, ctx, names[1], second, BL_SET(first->dtype), first));
    return names[2] ? bl_check_like(op, ctx, names[2], third, BL_SET(first->dtype), first) : BL_OK;
}

/* One address behind a tensor's last element; its first is where `data` points, as strides are 0 or more. */
static uintptr_t end_of(const bl_tensor *t) {
    int64_t last = 0;
    for (int32_t d = 0; d < t->ndim; d++)
        last += (t->shape[d] - 1) * t->stride[d];
    return (uintptr_t) t->data + (uintptr_t) (last + 1) * bl_dtype_size(t->dtype);
}

bl_status bl_check_apart(const char *op, const char *name_y, const bl_tensor *y, const char *name, const bl_tensor *t,
                         bool in_place) {
    if (bl_tensor_numel(y) == 0 || bl_tensor_numel(t) == 0) return BL_OK;
    if ((uintptr_t) y->data >= end_of(t) || (uintptr_t) t->data >= end_of(y)) return BL_OK;
    if (in_place && y->data == t->data && y->dtype == t->dtype && bl_tensor_numel(y) == bl_tensor_numel(t) &&
        bl_tensor_is_contiguous(t))
        return BL_OK;
    return bl_fail(BL_ERROR_ARGUMENT, "%s: %s is memory of %s, expected memory of its own%s", op, name_y, name,
                   in_place ? ", or all of it" : "");
}

bl_status bl_check_index(const char *op, const bl_context *ctx, const char *name, const bl_tensor *index, int64_t low,
                         int64_t high) {
    if (ctx->device != BL_CPU) return BL_OK;
    const int32_t *values = index->data;
    int64_t n = bl_tensor_numel(index);
    for (int64_t i = 0; i < n; i++)
        if (values[i] < low || values[i] >= high)
            return bl_fail(BL_ERROR_ARGUMENT, "%s: %s[%lld] (from 0) is %d, expected %lld to %lld", op, name,
                           (long long) i, (int) values[i], (long long) low, (long long) high - 1);
    return BL_OK;
}

bl_status bl_check_segments(const char *op, const bl_context *ctx, const bl_tensor *segments, int64_t rows) {
    BL_CHECK(op, ctx, segments, BL_SET(BL_I32), "B2", BL_ANY, 2);
    if (ctx->device != BL_CPU) return BL_OK;
    const int32_t *values = segments->data;
    for (int64_t b = 0; b < segments->shape[0]; b++) {
        int64_t begin = values[2 * b], length = values[2 * b + 1];
        if (begin < 0 || length < 0 || begin + length > rows)
            return bl_fail(BL_ERROR_ARGUMENT,
                           "%s: segments[%lld] (from 0) is {begin %lld, length %lld}, expected within %lld rows", op,
                           (long long) b, (long long) begin, (long long) length, (long long) rows);
    }
    return BL_OK;
}

bl_status bl_check_disjoint(const char *op, const bl_context *ctx, const bl_tensor *t) {
    if (ctx->device != BL_CPU) return BL_OK;
    const int32_t *segments = t->data;
    int64_t count = t->shape[0], end = 0;
    bool ordered = true;
    /* Quick when they are in order, as usual. */
    for (int64_t b = 0; b < count && ordered; b++) {
        if (segments[2 * b + 1] == 0) continue;
        ordered = segments[2 * b] >= end;
        end = (int64_t) segments[2 * b] + segments[2 * b + 1];
    }
    if (ordered) return BL_OK;
    for (int64_t b = 0; b < count; b++) {
        for (int64_t c = b + 1; c < count; c++) {
            int64_t begin = segments[2 * b] > segments[2 * c] ? segments[2 * b] : segments[2 * c];
            int64_t end_b = (int64_t) segments[2 * b] + segments[2 * b + 1];
            int64_t end_c = (int64_t) segments[2 * c] + segments[2 * c + 1];
            if (begin < (end_b < end_c ? end_b : end_c))
                return bl_fail(BL_ERROR_ARGUMENT, "%s: segments[%lld] and segments[%lld] (from 0) share row %lld", op,
                               (long long) b, (long long) c, (long long) begin);
        }
    }
    return BL_OK;
}

bl_status bl_check_dropout(const char *op, const bl_context *ctx, const bl_dropout *dropout) {
    if (!dropout) return BL_OK;
    if (!(dropout->p >= 0.0f && dropout->p < 1.0f))
        return bl_fail(BL_ERROR_ARGUMENT, "%s: dropout p is %g, expected 0 <= p < 1", op, (double) dropout->p);
    if (dropout->p == 0.0f) return BL_OK;
    const bl_tensor *state = dropout->state;
    return bl_check_tensor(op, ctx, "dropout state", state, BL_SET(BL_I64), "2", (const int64_t[]){2});
}

bl_status bl_check_eps(const char *op, float eps) {
    if (!(eps >= 0.0f)) return bl_fail(BL_ERROR_ARGUMENT, "%s: eps is %g, expected 0 or more", op, (double) eps);
    return BL_OK;
}

bl_status bl_check_rows(const char *op, const bl_context *ctx, const char *name, const bl_tensor *x) {
    BL_TRY(bl_check_tensor(op, ctx, name, x, BL_SET_ACT, "TH", (const int64_t[]){BL_ANY, BL_ANY}));
    if (x->shape[1] < 1) return bl_fail(BL_ERROR_ARGUMENT, "%s: %s has 0 columns, expected 1 or more", op, name);
    return BL_OK;
}

bl_status bl_check_context(const char *op, const bl_context *ctx) {
    return ctx ? BL_OK : bl_fail(BL_ERROR_ARGUMENT, "%s: the context is NULL", op);
}

static const char *other_device(const bl_context *ctx) {
    return ctx->device == BL_CPU ? "cuda" : "cpu";
}

bl_status bl_fail_no_kernel(const char *op, const bl_context *ctx, const char *function) {
    return bl_fail(BL_ERROR_UNSUPPORTED, "%s: there is no %s kernel for %s; use --device %s", op, ctx->backend->name,
                   function, other_device(ctx));
}

bl_status bl_fail_no_feature(const char *what, const bl_context *ctx) {
    return bl_fail(BL_ERROR_UNSUPPORTED, "%s: not available on %s; use --device %s", what, ctx->backend->name,
                   other_device(ctx));
}
