/*
 * primitives.c - makes, keeps and runs oneDNN's matmul primitives; see
 * primitives.h.
 *
 * Creating a primitive generates code and costs far more than a small
 * product, so primitives live in a cache keyed by everything that shapes the
 * code: dims, strides, dtypes, bias and accumulation. The key never holds
 * addresses: these are set on the memory objects before each run.
 */
#include "primitives.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "onednn.h"

enum { BUCKETS = 256, CAPACITY = 1024 };

struct bl_primitive {
    bl_primitive *next;
    bl_primitive_key key;
    dnnl_primitive_t primitive;
    dnnl_memory_t a, b, c, bias, scratchpad;
    size_t scratchpad_bytes;
    dnnl_primitive_t reorder; /* strided b to b; NULL: b is read where it lies */
    dnnl_memory_t strided;
    size_t reordered_bytes;
    bool is_blocked;   /* b lies in blocks */
    bool is_reference; /* it is oneDNN's plain loop, which is slow */
};

typedef struct matmul_state {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    bl_primitive *buckets[BUCKETS];
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

static void entry_free(bl_primitive *entry) {
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
            bl_primitive *entry = state->buckets[i];
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
static dnnl_status_t describe_batch(dnnl_memory_desc_t *desc, const bl_primitive_key *key, int64_t rows,
                                    int64_t columns, int32_t dtype, int64_t row, int64_t column,
                                    const int64_t batch[2]) {
    if (key->batch[0] == 0) return describe(desc, rows, columns, dtype, row, column);
    /* A dimension of one matrix has no step, but wants a stride. */
    int64_t any = row == 1 ? column * columns : row * rows;
    const dnnl_dims_t dims = {batch[0] ? key->batch[0] : 1, batch[1] ? key->batch[1] : 1, rows, columns};
    const dnnl_dims_t strides = {batch[0] ? batch[0] : any, batch[1] ? batch[1] : any, row, column};
    return onednn_describe(desc, 4, dims, dnnl_dtype(dtype), strides);
}

/* The attributes: scratch memory is ours, and C += is a sum post-op. */
static dnnl_status_t make_attributes(dnnl_primitive_attr_t *out, const bl_primitive_key *key) {
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

static dnnl_status_t describe_b(dnnl_memory_desc_t *desc, const bl_primitive_key *key, const bl_packed_matrix *packed) {
    const dnnl_dims_t dims = {key->k, key->n};
    int32_t dtype = b_dtype(key->operand);
    if (packed) return onednn_copy(desc, onednn_layout_of(&packed->layout));
    if (key->b_layout == BL_B_REORDERED) return onednn_describe_any(desc, dims, dnnl_dtype(dtype));
    return describe_batch(desc, key, key->k, key->n, dtype, key->b_row, key->b_column, key->b_batch);
}

static dnnl_status_t describe_memory(matmul_memory *memory, const bl_primitive_key *key,
                                     const bl_packed_matrix *packed) {
    dnnl_status_t status =
        describe_batch(&memory->a, key, key->m, key->k, key->operand, key->a_row, key->a_column, key->a_batch);
    if (status == dnnl_success) status = describe_b(&memory->b, key, packed);
    if (status == dnnl_success)
        status = describe_batch(&memory->c, key, key->m, key->n, key->result, key->c_row, 1, key->c_batch);
    if (status == dnnl_success) status = describe(&memory->bias, 1, key->n, BL_F32, key->n, 1);
    return status;
}

static dnnl_status_t make_description(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const bl_primitive_key *key,
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
static dnnl_status_t make_reorder(bl_primitive *entry, dnnl_engine_t engine, onednn_layout layout) {
    const bl_primitive_key *key = &entry->key;
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
    entry->reordered_bytes = bl_cpu_padded(onednn_bytes(layout));
    entry->is_blocked = onednn_is_blocked(layout);
    return status;
}

static bl_status entry_create(bl_primitive **out, matmul_state *state, const bl_primitive_key *key,
                              const bl_packed_matrix *packed) {
    dnnl_primitive_desc_t description = NULL;
    TRY_DNNL(make_description(&description, state->engine, key, packed), "describing a product");
    bl_primitive *entry = calloc(1, sizeof *entry);
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
    if (status == dnnl_success && key->b_layout == BL_B_REORDERED)
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

static size_t hash_key(const bl_primitive_key *key) {
    const unsigned char *bytes = (const unsigned char *) key;
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < sizeof *key; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    return (size_t) (hash >> 32) % BUCKETS;
}

bl_status bl_primitive_find(bl_context *ctx, bl_primitive **out, const bl_primitive_key *key,
                            const bl_packed_matrix *packed) {
    BL_TRY(state_open(ctx));
    matmul_state *state = ctx->backend_state;
    size_t bucket = hash_key(key);
    for (bl_primitive *entry = state->buckets[bucket]; entry; entry = entry->next) {
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

/* B, which lies at `from`, to `to` in the layout of the product. */
static bl_status reorder(matmul_state *state, bl_primitive *entry, const void *from, void *to) {
    TRY_DNNL(dnnl_memory_set_data_handle(entry->strided, (void *) (uintptr_t) from), "setting b");
    TRY_DNNL(dnnl_memory_set_data_handle(entry->b, to), "setting the reordered b");
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, entry->strided}, {DNNL_ARG_TO, entry->b}};
    TRY_DNNL(dnnl_primitive_execute(entry->reorder, state->stream, 2, arguments), "reordering b");
    TRY_DNNL(dnnl_stream_wait(state->stream), "waiting for the reordering of b");
    return BL_OK;
}

bl_status bl_primitive_run(bl_context *ctx, bl_primitive *entry, const bl_cpu_product *p, void *scratchpad) {
    matmul_state *state = ctx->backend_state;
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

size_t bl_primitive_scratch(const bl_primitive *primitive) {
    return primitive->reordered_bytes + primitive->scratchpad_bytes;
}

int bl_primitive_threads(int count) {
    int before = omp_get_max_threads();
    if (before != count) omp_set_num_threads(count);
    return before;
}

/* ---- packing ---- */

/* True if oneDNN's fastest code for the product wants B otherwise than in rows or columns, or it is of int8. */
static bool is_worth_packing(const bl_primitive *entry) {
    if (entry->is_reference) return false;
    return entry->key.operand == BL_OPERAND_U8 || entry->is_blocked;
}

static bl_status pack(bl_context *ctx, bl_packed_matrix *matrix, bl_primitive *entry, const void *w) {
    matmul_state *state = ctx->backend_state;
    TRY_DNNL(onednn_copy(&matrix->layout, onednn_layout_of_memory(entry->b)), "copying a layout");
    BL_TRY(bl_buffer_create(&matrix->memory, ctx, entry->reordered_bytes));
    return reorder(state, entry, w, bl_buffer_data(matrix->memory));
}

bl_status bl_cpu_matrix_pack(bl_context *ctx, bl_packed_matrix **out, const void *w, int64_t n, int64_t k,
                             int32_t dtype) {
    *out = NULL;
    if (dtype != BL_OPERAND_U8 && !bl_cpu_matmul_native(dtype)) return BL_OK;
    /* The layout does not depend on the number of rows of A. */
    const bl_primitive_key key = {.m = 256,
                                  .n = n,
                                  .k = k,
                                  .a_row = k,
                                  .a_column = 1,
                                  .b_row = 1,
                                  .b_column = k,
                                  .c_row = n,
                                  .operand = dtype,
                                  .result = dtype == BL_OPERAND_U8 ? BL_I32 : dtype,
                                  .b_layout = BL_B_REORDERED};
    int before = bl_primitive_threads(ctx->threads);
    bl_primitive *entry = NULL;
    bl_packed_matrix *matrix = NULL;
    bl_status status = bl_primitive_find(ctx, &entry, &key, NULL);
    if (status == BL_OK && is_worth_packing(entry)) {
        matrix = calloc(1, sizeof *matrix);
        if (!matrix) status = bl_fail(BL_ERROR_MEMORY, "matmul: out of memory");
    }
    if (status == BL_OK && matrix) {
        matrix->operand = dtype;
        status = pack(ctx, matrix, entry, w);
    }
    bl_primitive_threads(before);
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

int32_t bl_packed_operand(const bl_packed_matrix *packed) {
    return packed->operand;
}
