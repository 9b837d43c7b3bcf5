/*
 * matmul.c - matrix products on oneDNN's matmul primitive; see matmul.h.
 *
 * Creating a primitive generates code and costs far more than a small
 * product, so primitives live in a cache keyed by everything that shapes the
 * code: dims, strides, dtypes, bias and accumulation. The key never holds
 * addresses: these are set on the memory objects before each run.
 */
#include "matmul.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "core/half.h"
#include "onednn.h"

enum { BUCKETS = 256, CAPACITY = 1024, ALIGNMENT = 64 };

/* How B of a product lies in memory. */
enum {
    B_STRIDED,   /* as the caller's strides say */
    B_REORDERED, /* so too, but it is copied to oneDNN's own layout before each product */
    B_PACKED     /* in oneDNN's own layout (packed.c) */
};

static size_t padded(size_t bytes) {
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Plain integers without padding, so that keys compare as bytes. */
typedef struct matmul_key {
    int64_t m, n, k;
    int64_t batch[2]; /* 0, 0: no batch */
    int64_t a_row, a_column, b_row, b_column, c_row;
    int64_t a_batch[2], b_batch[2], c_batch[2];
    int32_t operand; /* dtype of a and b; BL_OPERAND_U8: b is s8 and c is s32 */
    int32_t result;  /* dtype of c */
    int32_t bias;
    int32_t accumulate;
    int32_t b_layout;
    int32_t unused; /* 0 */
} matmul_key;

typedef struct matmul_entry {
    struct matmul_entry *next;
    matmul_key key;
    dnnl_primitive_t primitive;
    dnnl_memory_t a, b, c, bias, scratchpad;
    size_t scratchpad_bytes;
    dnnl_primitive_t reorder; /* strided b to b; NULL: b is read where it lies */
    dnnl_memory_t strided;
    size_t reordered_bytes;
    bool is_blocked;   /* b lies in blocks */
    bool is_reference; /* it is oneDNN's plain loop, which is slow */
} matmul_entry;

typedef struct matmul_state {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    matmul_entry *buckets[BUCKETS];
    int64_t count;
} matmul_state;

struct bl_packed_matrix {
    int32_t operand; /* as in a key */
    dnnl_memory_desc_t layout;
    bl_buffer *memory;
};

static bl_status fail_dnnl(dnnl_status_t status, const char *what) {
    if (status == dnnl_out_of_memory) return bl_fail(BL_ERROR_MEMORY, "matmul: out of memory in %s", what);
    return bl_fail(BL_ERROR_INTERNAL, "matmul: oneDNN returned %d from %s", (int) status, what);
}

#define TRY_DNNL(call, what)                                                                                           \
    do {                                                                                                               \
        dnnl_status_t dnnl_result_ = (call);                                                                           \
        if (dnnl_result_ != dnnl_success) return fail_dnnl(dnnl_result_, what);                                        \
    } while (0)

static void entry_free(matmul_entry *entry) {
    if (entry->a) dnnl_memory_destroy(entry->a);
    if (entry->b) dnnl_memory_destroy(entry->b);
    if (entry->c) dnnl_memory_destroy(entry->c);
    if (entry->bias) dnnl_memory_destroy(entry->bias);
    if (entry->scratchpad) dnnl_memory_destroy(entry->scratchpad);
    if (entry->strided) dnnl_memory_destroy(entry->strided);
    if (entry->reorder) dnnl_primitive_destroy(entry->reorder);
    if (entry->primitive) dnnl_primitive_destroy(entry->primitive);
    free(entry);
}

static void state_clear(matmul_state *state) {
    for (size_t i = 0; i < BUCKETS; i++) {
        while (state->buckets[i]) {
            matmul_entry *entry = state->buckets[i];
            state->buckets[i] = entry->next;
            entry_free(entry);
        }
    }
    state->count = 0;
}

void bl_cpu_matmul_close(bl_context *ctx) {
    matmul_state *state = ctx->backend_state;
    if (!state) return;
    state_clear(state);
    if (state->stream) dnnl_stream_destroy(state->stream);
    if (state->engine) dnnl_engine_destroy(state->engine);
    free(state);
    ctx->backend_state = NULL;
}

static bl_status state_open(bl_context *ctx) {
    if (ctx->backend_state) return BL_OK;
    matmul_state *state = calloc(1, sizeof *state);
    if (!state) return bl_fail(BL_ERROR_MEMORY, "matmul: out of memory");
    ctx->backend_state = state;
    dnnl_status_t status = dnnl_engine_create(&state->engine, dnnl_cpu, 0);
    if (status == dnnl_success) status = dnnl_stream_create(&state->stream, state->engine, dnnl_stream_in_order);
    if (status == dnnl_success) return BL_OK;
    bl_cpu_matmul_close(ctx);
    return fail_dnnl(status, "opening the CPU engine");
}

static dnnl_data_type_t dnnl_dtype(int32_t dtype) {
    switch (dtype) {
    case BL_BF16:
        return dnnl_bf16;
    case BL_I32:
        return dnnl_s32;
    case BL_I8:
        return dnnl_s8;
    case BL_OPERAND_U8:
        return dnnl_u8;
    default:
        return dnnl_f32;
    }
}

/* The dtype of B beside an A of this one. */
static int32_t b_dtype(int32_t operand) {
    return operand == BL_OPERAND_U8 ? BL_I8 : operand;
}

static dnnl_status_t describe(dnnl_memory_desc_t *desc, int64_t rows, int64_t columns, int32_t dtype, int64_t row,
                              int64_t column) {
    const dnnl_dims_t dims = {rows, columns};
    const dnnl_dims_t strides = {row, column};
    return onednn_describe(desc, 2, dims, dnnl_dtype(dtype), strides);
}

/* The matrices of one side of the product; `batch` are its strides, 0 for a dimension that it lacks. */
static dnnl_status_t describe_batch(dnnl_memory_desc_t *desc, const matmul_key *key, int64_t rows, int64_t columns,
                                    int32_t dtype, int64_t row, int64_t column, const int64_t batch[2]) {
    if (key->batch[0] == 0) return describe(desc, rows, columns, dtype, row, column);
    /* A dimension of one matrix has no step, but wants a stride. */
    int64_t any = row == 1 ? column * columns : row * rows;
    const dnnl_dims_t dims = {batch[0] ? key->batch[0] : 1, batch[1] ? key->batch[1] : 1, rows, columns};
    const dnnl_dims_t strides = {batch[0] ? batch[0] : any, batch[1] ? batch[1] : any, row, column};
    return onednn_describe(desc, 4, dims, dnnl_dtype(dtype), strides);
}

/* The attributes: scratch memory is ours, and C += is a sum post-op. */
static dnnl_status_t make_attributes(dnnl_primitive_attr_t *out, const matmul_key *key) {
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_post_ops_t post = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attributes);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success && key->accumulate) {
        status = dnnl_post_ops_create(&post);
        if (status == dnnl_success) status = onednn_append_sum(post);
        if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attributes, post);
    }
    if (post) dnnl_post_ops_destroy(post);
    if (status == dnnl_success)
        *out = attributes;
    else if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    return status;
}

/* The memory of one product; a new one is zero, so that what was not described is not released. */
typedef struct matmul_memory {
    dnnl_memory_desc_t a, b, c, bias;
} matmul_memory;

static dnnl_status_t describe_b(dnnl_memory_desc_t *desc, const matmul_key *key, const bl_packed_matrix *packed) {
    const dnnl_dims_t dims = {key->k, key->n};
    int32_t dtype = b_dtype(key->operand);
    if (packed) return onednn_copy(desc, onednn_layout_of(&packed->layout));
    if (key->b_layout == B_REORDERED) return onednn_describe_any(desc, dims, dnnl_dtype(dtype));
    return describe_batch(desc, key, key->k, key->n, dtype, key->b_row, key->b_column, key->b_batch);
}

static dnnl_status_t describe_memory(matmul_memory *memory, const matmul_key *key, const bl_packed_matrix *packed) {
    dnnl_status_t status =
        describe_batch(&memory->a, key, key->m, key->k, key->operand, key->a_row, key->a_column, key->a_batch);
    if (status == dnnl_success) status = describe_b(&memory->b, key, packed);
    if (status == dnnl_success)
        status = describe_batch(&memory->c, key, key->m, key->n, key->result, key->c_row, 1, key->c_batch);
    if (status == dnnl_success) status = describe(&memory->bias, 1, key->n, BL_F32, key->n, 1);
    return status;
}

static dnnl_status_t make_description(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const matmul_key *key,
                                      const bl_packed_matrix *packed) {
    matmul_memory memory;
    memset(&memory, 0, sizeof memory);
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t status = describe_memory(&memory, key, packed);
    if (status == dnnl_success) status = make_attributes(&attributes, key);
    if (status == dnnl_success)
        status =
            onednn_matmul(out, engine, &memory.a, &memory.b, key->bias ? &memory.bias : NULL, &memory.c, attributes);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    onednn_release(&memory.a);
    onednn_release(&memory.b);
    onednn_release(&memory.c);
    onednn_release(&memory.bias);
    return status;
}

static dnnl_status_t make_memory(dnnl_memory_t *out, dnnl_engine_t engine, const_dnnl_primitive_desc_t description,
                                 dnnl_query_t query, int index) {
    return dnnl_memory_create(out, dnnl_primitive_desc_query_md(description, query, index), engine, DNNL_MEMORY_NONE);
}

/* Of an entry whose B is reordered: from the strides of its key to the layout that the product wants. */
static dnnl_status_t make_reorder(matmul_entry *entry, dnnl_engine_t engine, onednn_layout layout) {
    const matmul_key *key = &entry->key;
    dnnl_memory_desc_t strided;
    memset(&strided, 0, sizeof strided);
    dnnl_primitive_desc_t description = NULL;
    dnnl_status_t status = describe(&strided, key->k, key->n, b_dtype(key->operand), key->b_row, key->b_column);
    if (status == dnnl_success)
        status =
            dnnl_reorder_primitive_desc_create(&description, onednn_layout_of(&strided), engine, layout, engine, NULL);
    if (status == dnnl_success) status = dnnl_primitive_create(&entry->reorder, description);
    if (status == dnnl_success)
        status = dnnl_memory_create(&entry->strided, onednn_layout_of(&strided), engine, DNNL_MEMORY_NONE);
    if (description) dnnl_primitive_desc_destroy(description);
    onednn_release(&strided);
    entry->reordered_bytes = padded(onednn_bytes(layout));
    entry->is_blocked = onednn_is_blocked(layout);
    return status;
}

static bl_status entry_create(matmul_entry **out, matmul_state *state, const matmul_key *key,
                              const bl_packed_matrix *packed) {
    dnnl_primitive_desc_t description = NULL;
    TRY_DNNL(make_description(&description, state->engine, key, packed), "describing a product");
    matmul_entry *entry = calloc(1, sizeof *entry);
    if (!entry) {
        dnnl_primitive_desc_destroy(description);
        return bl_fail(BL_ERROR_MEMORY, "matmul: out of memory");
    }
    entry->key = *key;
    entry->scratchpad_bytes = onednn_queried_bytes(description, dnnl_query_scratchpad_md);
    dnnl_engine_t engine = state->engine;
    dnnl_status_t status = dnnl_primitive_create(&entry->primitive, description);
    if (status == dnnl_success) status = make_memory(&entry->a, engine, description, dnnl_query_src_md, 0);
    if (status == dnnl_success) status = make_memory(&entry->b, engine, description, dnnl_query_weights_md, 0);
    if (status == dnnl_success) status = make_memory(&entry->c, engine, description, dnnl_query_dst_md, 0);
    if (status == dnnl_success && key->bias)
        status = make_memory(&entry->bias, engine, description, dnnl_query_weights_md, 1);
    if (status == dnnl_success && entry->scratchpad_bytes)
        status = make_memory(&entry->scratchpad, engine, description, dnnl_query_scratchpad_md, 0);
    if (status == dnnl_success && key->b_layout == B_REORDERED)
        status = make_reorder(entry, engine, dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0));
    entry->is_reference = onednn_is_reference(description);
    dnnl_primitive_desc_destroy(description);
    if (status != dnnl_success) {
        entry_free(entry);
        return fail_dnnl(status, "preparing a product");
    }
    *out = entry;
    return BL_OK;
}

static size_t hash_key(const matmul_key *key) {
    const unsigned char *bytes = (const unsigned char *) key;
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < sizeof *key; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    return (size_t) (hash >> 32) % BUCKETS;
}

static bl_status entry_find(matmul_entry **out, matmul_state *state, const matmul_key *key,
                            const bl_packed_matrix *packed) {
    size_t bucket = hash_key(key);
    for (matmul_entry *entry = state->buckets[bucket]; entry; entry = entry->next) {
        if (memcmp(&entry->key, key, sizeof *key) == 0) {
            *out = entry;
            return BL_OK;
        }
    }
    /* Endless variety of shapes must not eat memory; refilling the few that recur is cheap. */
    if (state->count >= CAPACITY) state_clear(state);
    BL_TRY(entry_create(out, state, key, packed));
    (*out)->next = state->buckets[bucket];
    state->buckets[bucket] = *out;
    state->count++;
    return BL_OK;
}

bool bl_cpu_matmul_native(int32_t dtype) {
#if defined(__x86_64__)
    /* Without the instructions oneDNN either refuses bf16 or emulates it slower than f32. */
    if (dtype == BL_BF16)
        return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
#endif
    return dtype == BL_F32;
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

/* B, which lies at `from`, to `to` in the layout of the product. */
static bl_status reorder(matmul_state *state, matmul_entry *entry, const void *from, void *to) {
    TRY_DNNL(dnnl_memory_set_data_handle(entry->strided, (void *) (uintptr_t) from), "setting b");
    TRY_DNNL(dnnl_memory_set_data_handle(entry->b, to), "setting the reordered b");
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, entry->strided}, {DNNL_ARG_TO, entry->b}};
    TRY_DNNL(dnnl_primitive_execute(entry->reorder, state->stream, 2, arguments), "reordering b");
    TRY_DNNL(dnnl_stream_wait(state->stream), "waiting for the reordering of b");
    return BL_OK;
}

static bl_status run(matmul_state *state, matmul_entry *entry, const bl_cpu_product *p, void *scratchpad) {
    TRY_DNNL(dnnl_memory_set_data_handle(entry->a, p->a.data), "setting a");
    if (entry->reorder) {
        BL_TRY(reorder(state, entry, p->b.data, scratchpad));
        scratchpad = (char *) scratchpad + entry->reordered_bytes;
    } else {
        void *b = p->packed ? bl_buffer_data(p->packed->memory) : p->b.data;
        TRY_DNNL(dnnl_memory_set_data_handle(entry->b, b), "setting b");
    }
    TRY_DNNL(dnnl_memory_set_data_handle(entry->c, p->c.data), "setting c");
    dnnl_exec_arg_t arguments[5] = {{DNNL_ARG_SRC, entry->a}, {DNNL_ARG_WEIGHTS, entry->b}, {DNNL_ARG_DST, entry->c}};
    int count = 3;
    if (entry->bias) {
        TRY_DNNL(dnnl_memory_set_data_handle(entry->bias, (void *) (uintptr_t) p->bias), "setting the bias");
        arguments[count++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, entry->bias};
    }
    if (entry->scratchpad) {
        TRY_DNNL(dnnl_memory_set_data_handle(entry->scratchpad, scratchpad), "setting the scratchpad");
        arguments[count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, entry->scratchpad};
    }
    TRY_DNNL(dnnl_primitive_execute(entry->primitive, state->stream, count, arguments), "a product");
    TRY_DNNL(dnnl_stream_wait(state->stream), "waiting for a product");
    return BL_OK;
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
    return padded((size_t) (matrices(matrix, batch, 0) * matrices(matrix, batch, 1) * elements) * size);
}

/* True where oneDNN has f32 products that want B in blocks. */
static bool has_blocked_f32(void) {
#if defined(__x86_64__)
    return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
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

static matmul_key key_of(const bl_cpu_product *p, int32_t operand, int32_t result, bool batched) {
    matmul_key key = {.m = p->m,
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
        key.b_layout = B_PACKED;
    else if (is_slow_in_place(p, operand, batched))
        key.b_layout = B_REORDERED;
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
    int32_t operand = p.packed ? p.packed->operand : bl_cpu_matmul_native(p.compute) ? p.compute : BL_F32;
    if (p.packed) p.b = (bl_matrix){.row = p.n, .column = 1, .dtype = operand};
    const bl_matrix a = p.a, b = p.b, c = p.c;
    /* oneDNN writes f32, or the operands' dtype, or s32 for int8; anything else goes through scratch. */
    int32_t result = operand == BL_OPERAND_U8 ? BL_I32 : c.dtype == operand ? operand : BL_F32;
    size_t size = operand == BL_OPERAND_U8 ? 1 : bl_dtype_size(operand);
    size_t a_bytes = a.dtype != operand ? copy_bytes(&a, p.m * p.k, p.batch, size) : 0;
    size_t b_bytes = b.dtype != operand ? copy_bytes(&b, p.k * p.n, p.batch, size) : 0;
    size_t c_bytes = c.dtype != result ? copy_bytes(&c, p.m * p.n, p.batch, sizeof(float)) : 0;
    size_t bias_bytes = p.bias && p.bias_dtype != BL_F32 ? padded((size_t) p.n * sizeof(float)) : 0;
    /* The primitive depends on how the copies lie, not on where; and it says how much scratch it wants itself. */
    if (a_bytes) point_to_copy(&p.a, p.m, p.k, p.batch, operand, NULL);
    if (b_bytes) point_to_copy(&p.b, p.k, p.n, p.batch, operand, NULL);
    if (c_bytes) point_to_copy(&p.c, p.m, p.n, p.batch, BL_F32, NULL);
    const matmul_key key = key_of(&p, operand, result, batched);
    matmul_entry *entry = NULL;
    BL_TRY(entry_find(&entry, ctx->backend_state, &key, p.packed));

    size_t need = a_bytes + b_bytes + c_bytes + bias_bytes + entry->reordered_bytes + entry->scratchpad_bytes;
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
    BL_TRY(run(ctx->backend_state, entry, &p, next));
    if (c_bytes) write_back(ctx, &c, &p.c, p.m, p.n, p.batch);
    return BL_OK;
}

/* oneDNN takes the calling thread's OpenMP setting, when preparing as well as when running. */
static int set_threads(int count) {
    int before = omp_get_max_threads();
    if (before != count) omp_set_num_threads(count);
    return before;
}

bl_status bl_cpu_multiply(bl_context *ctx, const bl_cpu_product *product) {
    BL_TRY(state_open(ctx));
    int before = set_threads(ctx->threads);
    bl_status status = multiply(ctx, product, NULL);
    set_threads(before);
    return status;
}

bl_status bl_cpu_product_scratch(bl_context *ctx, const bl_cpu_product *product, size_t *bytes) {
    BL_TRY(state_open(ctx));
    int before = set_threads(ctx->threads);
    bl_status status = multiply(ctx, product, bytes);
    set_threads(before);
    return status;
}

float bl_cpu_int8_levels(void) {
#if defined(__x86_64__)
    bool vnni = (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_vnni) == dnnl_cpu_isa_avx512_core_vnni;
    return vnni ? 255.0f : 127.0f;
#else
    return 255.0f;
#endif
}

/* ---- packing ---- */

/* True if oneDNN's fastest code for the product wants B otherwise than in rows or columns, or it is of int8. */
static bool is_worth_packing(const matmul_entry *entry) {
    if (entry->is_reference) return false;
    return entry->key.operand == BL_OPERAND_U8 || entry->is_blocked;
}

static bl_status pack(bl_context *ctx, bl_packed_matrix *matrix, matmul_entry *entry, const void *w) {
    matmul_state *state = ctx->backend_state;
    TRY_DNNL(onednn_copy(&matrix->layout, onednn_layout_of_memory(entry->b)), "copying a layout");
    BL_TRY(bl_buffer_create(&matrix->memory, ctx, entry->reordered_bytes));
    return reorder(state, entry, w, bl_buffer_data(matrix->memory));
}

bl_status bl_cpu_matrix_pack(bl_context *ctx, bl_packed_matrix **out, const void *w, int64_t n, int64_t k,
                             int32_t dtype) {
    *out = NULL;
    BL_TRY(state_open(ctx));
    if (dtype != BL_OPERAND_U8 && !bl_cpu_matmul_native(dtype)) return BL_OK;
    /* The layout does not depend on the number of rows of A. */
    const matmul_key key = {.m = 256,
                            .n = n,
                            .k = k,
                            .a_row = k,
                            .a_column = 1,
                            .b_row = 1,
                            .b_column = k,
                            .c_row = n,
                            .operand = dtype,
                            .result = dtype == BL_OPERAND_U8 ? BL_I32 : dtype,
                            .b_layout = B_REORDERED};
    int before = set_threads(ctx->threads);
    matmul_entry *entry = NULL;
    bl_packed_matrix *matrix = NULL;
    bl_status status = entry_find(&entry, ctx->backend_state, &key, NULL);
    if (status == BL_OK && is_worth_packing(entry)) {
        matrix = calloc(1, sizeof *matrix);
        if (!matrix) status = bl_fail(BL_ERROR_MEMORY, "matmul: out of memory");
    }
    if (status == BL_OK && matrix) {
        matrix->operand = dtype;
        status = pack(ctx, matrix, entry, w);
    }
    set_threads(before);
    if (status != BL_OK) {
        bl_cpu_matrix_free(matrix);
        return status;
    }
    *out = matrix;
    return BL_OK;
}

void bl_cpu_matrix_free(bl_packed_matrix *matrix) {
    if (!matrix) return;
    bl_buffer_free(matrix->memory);
    onednn_release(&matrix->layout);
    free(matrix);
}
