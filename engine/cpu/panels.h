/*
 * panels.h - products of a few hundred rows with a matrix that was packed once,
 * in loops of our own: for the forwards of a trained model, whose weights come
 * from outside the caches in every call.
 */
#ifndef BERTLUA_CPU_PANELS_H
#define BERTLUA_CPU_PANELS_H

#include "core/internal.h"

/* B [k,n], packed: f32, or s8 beside an A of u8. It is only read afterwards. */
typedef struct bl_panels bl_panels;

/* True where these loops are the fastest for f32, or for the products of an s8 matrix (BL_I8), on this CPU. */
bool bl_cpu_has_panels(int32_t dtype);

/* Pack w [n,k], gapless, f32 or s8, whose transpose is B. */
bl_status bl_cpu_panels_pack(bl_context *ctx, bl_panels **out, const void *w, int64_t n, int64_t k, int32_t dtype);
void bl_cpu_panels_free(bl_panels *panels);

/* Bytes of a gapless row of A: u8 rows are filled up with zeros to whole words. */
int64_t bl_cpu_panels_row(const bl_panels *panels);

/* What is done to elements [row, row + rows) x [column, column + columns) of C once they are sums, in any order. */
typedef void bl_panels_finish(const void *data, int64_t row, int64_t rows, int64_t column, int64_t columns);

/*
 * C [m,n] = A B (+ bias), in f32, or in s32 for integers. Each element is summed
 * in the same order, whatever the number of threads and of rows.
 */
typedef struct bl_panels_product {
    int64_t m;
    const void *a;
    int64_t a_row; /* bytes from row to row; of u8 a multiple of 4 */
    void *c;
    int64_t c_row;            /* elements */
    const float *bias;        /* [n] or NULL; for f32 */
    bl_panels_finish *finish; /* NULL for nothing */
    const void *data;
} bl_panels_product;

void bl_cpu_panels_multiply(const bl_context *ctx, const bl_panels *panels, const bl_panels_product *product);

#endif
