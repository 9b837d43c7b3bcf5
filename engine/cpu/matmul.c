/*
 * matmul.c - matrix products: which operands are converted, and how oneDNN is
 * asked; see matmul.h.
 */
#include "matmul.h"

#include "core/half.h"
#include "onednn.h"
#include "primitives.h"

#if defined(__x86_64__)
static bool has_isa(dnnl_cpu_isa_t isa) {
    return (dnnl_get_effective_cpu_isa() & isa) == isa;
}
#endif

bool bl_cpu_matmul_native(int32_t dtype) {
#if defined(__x86_64__)
    /* Without the instructions oneDNN either refuses bf16 or emulates it slower than f32. */
    if (dtype == BL_BF16) return has_isa(dnnl_cpu_isa_avx512_core_bf16);
#endif
    return dtype == BL_F32;
}

float bl_cpu_int8_levels(void) {
#if defined(__x86_64__)
    return has_isa(dnnl_cpu_isa_avx512_core_vnni) ? 255.0f : 127.0f;
#else
    return 255.0f;
#endif
}

bool bl_cpu_best_is_vnni(void) {
#if defined(__x86_64__)
    return has_isa(dnnl_cpu_isa_avx512_core_vnni) && !has_isa(dnnl_cpu_isa_avx512_core_amx);
#else
    return false;
#endif
}

/* Rows and row length of an operand as it lies in memory. */
static void stored_shape(const bl_matrix *matrix, int64_t rows, int64_t columns, int64_t *count, int64_t *length) {
    bool transposed = matrix->column != 1;
    *count = transposed ? columns : rows;
    *length = transposed ? rows : columns;
}

/* Matrices that a side of the product has along batch dimension d. */
static int64_t matrices(const bl_matrix *matrix, const int64_t batch[2], int d) {
    return matrix->batch[d] && batch[d] > 1 ? batch[d] : 1;
}

/* Points a matrix to a copy without gaps, of a dtype, in the same order of rows and columns. */
static void point_to_copy(bl_matrix *matrix, int64_t rows, int64_t columns, const int64_t batch[2], int32_t dtype,
                          void *to) {
    if (matrix->column != 1)
        matrix->column = rows;
    else
        matrix->row = columns;
    int64_t inner = matrices(matrix, batch, 1), outer = matrices(matrix, batch, 0);
    matrix->batch[1] = inner > 1 ? rows * columns : 0;
    matrix->batch[0] = outer > 1 ? inner * rows * columns : 0;
    matrix->data = to;
    matrix->dtype = dtype;
}

/* Copies an operand to `copy`, which point_to_copy has made of it. */
static void convert_operand(const bl_context *ctx, const bl_matrix *matrix, const bl_matrix *copy, int64_t rows,
                            int64_t columns, const int64_t batch[2]) {
    int64_t count, length;
    stored_shape(matrix, rows, columns, &count, &length);
    int64_t stride = matrix->column != 1 ? matrix->column : matrix->row;
    int64_t inner = matrices(matrix, batch, 1), total = matrices(matrix, batch, 0) * inner * count;
#pragma omp parallel for num_threads(ctx->threads) if (total * length > 4096)
    for (int64_t i = 0; i < total; i++) {
        int64_t which = i / count;
        int64_t begin = which / inner * matrix->batch[0] + which % inner * matrix->batch[1] + i % count * stride;
        const void *row = bl_element(matrix->data, matrix->dtype, begin);
        void *to = bl_element(copy->data, copy->dtype, i * length);
        if (copy->dtype == BL_F32)
            bl_row_to_f32(to, row, matrix->dtype, length);
        else
            bl_row_from_f32(to, copy->dtype, row, length);
    }
}

/* A single row or column may carry any stride; give it the one of a gapless matrix, which oneDNN accepts. */
static void normalise(bl_matrix *matrix, int64_t rows, int64_t columns) {
    if (matrix->column == 1 && rows == 1) matrix->row = columns;
    if (matrix->column != 1 && columns == 1) matrix->column = rows;
}

/* The result from its f32 copy, rounded. */
static void write_back(const bl_context *ctx, const bl_matrix *matrix, const bl_matrix *copy, int64_t rows,
                       int64_t columns, const int64_t batch[2]) {
    int64_t inner = matrices(matrix, batch, 1), total = matrices(matrix, batch, 0) * inner * rows;
#pragma omp parallel for num_threads(ctx->threads) if (total * columns > 4096)
    for (int64_t i = 0; i < total; i++) {
        int64_t which = i / rows;
        int64_t begin = which / inner * matrix->batch[0] + which % inner * matrix->batch[1] + i % rows * matrix->row;
        bl_row_from_f32(bl_element(matrix->data, matrix->dtype, begin), matrix->dtype,
                        (const float *) copy->data + i * columns, columns);
    }
}

/* Bytes of an operand's copy. */
static size_t copy_bytes(const bl_matrix *matrix, int64_t elements, const int64_t batch[2], size_t size) {
    return bl_cpu_padded((size_t) (matrices(matrix, batch, 0) * matrices(matrix, batch, 1) * elements) * size);
}

/* True where oneDNN has f32 products that want B in blocks. */
static bool has_blocked_f32(void) {
#if defined(__x86_64__)
    return has_isa(dnnl_cpu_isa_avx512_core);
#else
    return false;
#endif
}

/*
 * Some f32 products run at half of oneDNN's speed or less, if B lies in rows of
 * these lengths (version 2.6 on AVX-512, where it reads B in place): copied to a
 * layout of its own first, they run at nearly the full speed. Not chosen by
 * timing, so that a run that is resumed computes the same bits.
 */
static bool is_slow_in_place(const bl_cpu_product *p, int32_t operand, bool batched) {
    return operand == BL_F32 && !batched && p->b.column == 1 && p->b.row >= 2560 && p->b.row % 512 == 0 && p->m >= 64 &&
           has_blocked_f32();
}

/*
 * Version 2.2 adds the bias, and rounds to bf16, as if the rows of C followed
 * each other: it writes between them. Version 2.6 does not.
 */
static bool writes_between_rows(const bl_cpu_product *p, int32_t operand) {
    if (p->c.row == p->n || operand == BL_OPERAND_U8 || (operand == BL_F32 && !p->bias)) return false;
    const dnnl_version_t *version = dnnl_version();
    return version->major == 2 && version->minor < 6;
}

static bl_primitive_key key_of(const bl_cpu_product *p, int32_t operand, int32_t result, bool batched) {
    bl_primitive_key key = {.m = p->m,
                            .n = p->n,
                            .k = p->k,
                            .a_row = p->a.row,
                            .a_column = p->a.column,
                            .b_row = p->b.row,
                            .b_column = p->b.column,
                            .c_row = p->c.row,
                            .operand = operand,
                            .result = result,
                            .bias = p->bias != NULL,
                            .accumulate = p->accumulate};
    if (p->packed)
        key.b_layout = BL_B_PACKED;
    else if (is_slow_in_place(p, operand, batched))
        key.b_layout = BL_B_REORDERED;
    for (int d = 0; batched && d < 2; d++) {
        key.batch[d] = p->batch[d] > 1 ? p->batch[d] : 1;
        key.a_batch[d] = matrices(&p->a, p->batch, d) > 1 ? p->a.batch[d] : 0;
        key.b_batch[d] = matrices(&p->b, p->batch, d) > 1 ? p->b.batch[d] : 0;
        key.c_batch[d] = matrices(&p->c, p->batch, d) > 1 ? p->c.batch[d] : 0;
    }
    return key;
}

/* Multiplies, or says how much scratch that takes: *wanted, unless it is NULL. */
static bl_status multiply(bl_context *ctx, const bl_cpu_product *product, size_t *wanted) {
    bl_cpu_product p = *product;
    bool batched = p.batch[0] > 1 || p.batch[1] > 1;
    normalise(&p.a, p.m, p.k);
    normalise(&p.b, p.k, p.n);
    normalise(&p.c, p.m, p.n);
    int32_t operand = p.packed ? bl_packed_operand(p.packed) : bl_cpu_matmul_native(p.compute) ? p.compute : BL_F32;
    if (p.packed) p.b = (bl_matrix){.row = p.n, .column = 1, .dtype = operand};
    const bl_matrix a = p.a, b = p.b, c = p.c;
    /* oneDNN writes f32, or the operands' dtype, or s32 for int8; anything else goes through scratch. */
    bool apart = writes_between_rows(&p, operand);
    int32_t result = operand == BL_OPERAND_U8 ? BL_I32 : c.dtype == operand && !apart ? operand : BL_F32;
    size_t size = operand == BL_OPERAND_U8 ? 1 : bl_dtype_size(operand);
    size_t a_bytes = a.dtype != operand ? copy_bytes(&a, p.m * p.k, p.batch, size) : 0;
    size_t b_bytes = b.dtype != operand ? copy_bytes(&b, p.k * p.n, p.batch, size) : 0;
    size_t c_bytes = c.dtype != result || apart ? copy_bytes(&c, p.m * p.n, p.batch, sizeof(float)) : 0;
    size_t bias_bytes = p.bias && p.bias_dtype != BL_F32 ? bl_cpu_padded((size_t) p.n * sizeof(float)) : 0;
    /* The primitive depends on how the copies lie, not on where; and it says how much scratch it wants itself. */
    if (a_bytes) point_to_copy(&p.a, p.m, p.k, p.batch, operand, NULL);
    if (b_bytes) point_to_copy(&p.b, p.k, p.n, p.batch, operand, NULL);
    if (c_bytes) point_to_copy(&p.c, p.m, p.n, p.batch, BL_F32, NULL);
    const bl_primitive_key key = key_of(&p, operand, result, batched);
    bl_primitive *entry = NULL;
    BL_TRY(bl_primitive_find(ctx, &entry, &key, p.packed));

    size_t need = a_bytes + b_bytes + c_bytes + bias_bytes + bl_primitive_scratch(entry);
    if (wanted) {
        *wanted = need;
        return BL_OK;
    }
    void *scratch = p.scratch;
    if (need && !scratch) BL_TRY(bl_scratch(ctx, need, &scratch));
    char *next = scratch;
    if (a_bytes) p.a.data = next;
    next += a_bytes;
    if (b_bytes) p.b.data = next;
    next += b_bytes;
    if (c_bytes) p.c.data = next;
    next += c_bytes;
    if (a_bytes) convert_operand(ctx, &a, &p.a, p.m, p.k, p.batch);
    if (b_bytes) convert_operand(ctx, &b, &p.b, p.k, p.n, p.batch);
    if (c_bytes && p.accumulate) convert_operand(ctx, &c, &p.c, p.m, p.n, p.batch);
    if (bias_bytes) {
        void *wide = next;
        bl_row_to_f32(wide, p.bias, p.bias_dtype, p.n);
        p.bias = wide;
    }
    next += bias_bytes;
    BL_TRY(bl_primitive_run(ctx, entry, &p, next));
    if (c_bytes) write_back(ctx, &c, &p.c, p.m, p.n, p.batch);
    return BL_OK;
}

bl_status bl_cpu_multiply(bl_context *ctx, const bl_cpu_product *product) {
    int before = bl_primitive_threads(ctx->threads);
    bl_status status = multiply(ctx, product, NULL);
    bl_primitive_threads(before);
    return status;
}

bl_status bl_cpu_product_scratch(bl_context *ctx, const bl_cpu_product *product, size_t *bytes) {
    int before = bl_primitive_threads(ctx->threads);
    bl_status status = multiply(ctx, product, bytes);
    bl_primitive_threads(before);
    return status;
}
