/*
 * product.h - a matrix product of tensors, batched, broadcast and of views, as
 * sizes and strides: what the check and the kernels of every backend need of
 * it (bl_matmul, api/ops.h).
 */
#ifndef BERTLUA_CORE_PRODUCT_H
#define BERTLUA_CORE_PRODUCT_H

#include "internal.h"

/* Element (i, j) of matrix (p, q) lies at p * batch[0] + q * batch[1] + i * row + j * column. */
typedef struct bl_product_side {
    int64_t row, column;
    int64_t batch[2]; /* 0: one matrix for the whole dimension */
} bl_product_side;

/* c [m,n] = a [m,k] b [k,n] for each of batch[0] x batch[1] pairs of matrices. */
typedef struct bl_product {
    int64_t m, n, k;
    int64_t batch[2];
    bl_product_side a, b, c;
} bl_product;

/* Strides as products take them: column is 1, or row is, and the other spans what lies between. False if neither. */
static inline bool bl_product_strides(const bl_tensor *t, int64_t *row, int64_t *column) {
    int64_t rows = t->shape[t->ndim - 2], columns = t->shape[t->ndim - 1];
    *row = t->stride[t->ndim - 2];
    *column = t->stride[t->ndim - 1];
    /* A dimension of one element has no step: give it the one of a matrix without gaps. */
    if (columns == 1) *column = 1;
    if (rows == 1) *row = *column == 1 ? columns : 1;
    return (*column == 1 && *row >= columns) || (*row == 1 && *column >= rows);
}

/* Size of batch dimension d, of 2, counted from the left of 4 dimensions. */
static inline int64_t bl_product_batch(const bl_tensor *t, int32_t d) {
    int32_t at = d - (BL_MAX_DIMS - t->ndim);
    return at < 0 ? 1 : t->shape[at];
}

static inline void bl_product_describe_side(bl_product_side *side, const bl_tensor *t) {
    (void) bl_product_strides(t, &side->row, &side->column);
    for (int32_t d = 0; d < 2; d++) {
        int32_t at = d - (BL_MAX_DIMS - t->ndim);
        side->batch[d] = at < 0 || t->shape[at] == 1 ? 0 : t->stride[at];
    }
}

/* True if the outer batch dimension goes on where the inner one ends. */
static inline bool bl_product_continues(const bl_product_side *side, int64_t inner) {
    return side->batch[0] == inner * side->batch[1];
}

/* Rows of a that go on from one matrix to the next, with one b for all: then a is one tall matrix. */
static inline bool bl_product_fold_rows(bl_product *p) {
    bl_product_side *a = &p->a;
    int64_t step = p->m == 1 ? a->batch[1] : a->row;
    if (p->batch[1] == 1 || p->b.batch[1] != 0 || a->column != 1) return false;
    if (step < p->k || a->batch[1] != p->m * step || p->c.batch[1] != p->m * p->c.row) return false;
    a->row = step;
    p->m *= p->batch[1];
    p->batch[1] = 1;
    a->batch[1] = p->c.batch[1] = 0;
    return true;
}

/* Of tensors that the check has let through, none of them empty. As few and as large matrices as the strides allow. */
static inline bl_product bl_product_of(const bl_tensor *y, const bl_tensor *a, const bl_tensor *b) {
    bl_product p;
    p.m = y->shape[y->ndim - 2];
    p.n = y->shape[y->ndim - 1];
    p.k = a->shape[a->ndim - 1];
    for (int32_t d = 0; d < 2; d++)
        p.batch[d] = bl_product_batch(y, d);
    bl_product_describe_side(&p.a, a);
    bl_product_describe_side(&p.b, b);
    bl_product_describe_side(&p.c, y);
    /* Row-major, even where y is one column. */
    p.c.row = p.n;
    p.c.column = 1;
    if (bl_product_continues(&p.a, p.batch[1]) && bl_product_continues(&p.b, p.batch[1]) &&
        bl_product_continues(&p.c, p.batch[1])) {
        p.batch[1] *= p.batch[0];
        p.batch[0] = 1;
    } else if (p.batch[1] == 1) {
        bl_product_side *sides[3] = {&p.a, &p.b, &p.c};
        for (int i = 0; i < 3; i++)
            sides[i]->batch[1] = sides[i]->batch[0];
        p.batch[1] = p.batch[0];
        p.batch[0] = 1;
    }
    if (p.batch[0] == 1) {
        p.a.batch[0] = p.b.batch[0] = p.c.batch[0] = 0;
        (void) bl_product_fold_rows(&p);
    }
    return p;
}

#endif
