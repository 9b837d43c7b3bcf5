/*
 * cublaslt.c - a stand-in for the cuBLASLt calls that engine/cuda makes, for
 * the emulated device: naive products in f32, from the descriptors as NVIDIA's
 * cublasLt.h documents them. What is not implemented is refused, so that a
 * spec sees it.
 *
 * Three algorithms are suggested. They differ in the order of their sums, so
 * that specs can tell which one ran, and each is valid only for the alignment
 * that was asked for:
 *     1 in order, 2 two halves of k, the second through the workspace,
 *     3 from the last to the first.
 * Epilogues want rows of D and vectors on 16 bytes; the library is not always
 * that strict, but the way without them has to run somewhere. GELU is the tanh
 * form, as in the library; its auxiliary matrix is of D's type, on 16 bytes, with
 * a leading dimension of its own that 8 divides and D's rows do not exceed. The
 * epilogues with GELU are for 16-bit matrices and beta = 0 here.
 */
#include <cublasLt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/half.h"
#include "races.h"
#include "record.h"
#include "runtime.h"

enum { ALGORITHMS = 3, MAGIC = 0xb1a5 };

struct cublasLtContext {
    int open;
};

typedef struct operation {
    int32_t compute, scale;
    int32_t transpose_a, transpose_b;
    uint32_t epilogue;
    void *vector, *aux;
    int64_t aux_ld;
} operation;

typedef struct layout {
    int32_t type;
    uint64_t rows, columns;
    int64_t ld;
    int32_t batch; /* matrices, */
    int64_t step;  /* and elements from one to the next: 0 for the same one */
} layout;

typedef struct preference {
    uint64_t workspace;
    uint32_t schemes;
    uint32_t align_a, align_b, align_c, align_d;
} preference;

/* How an algorithm record is filled in: magic, number, then the alignments it was suggested for. */
enum { WORD_MAGIC, WORD_NUMBER, WORD_A, WORD_B, WORD_D };

/* All that a product needs when its turn comes in the stream. */
typedef struct job {
    operation what;
    layout a, b, d;
    const void *a_data, *b_data;
    void *d_data, *workspace;
    float alpha, beta;
    int32_t number;
} job;

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
    *handle = calloc(1, sizeof **handle);
    return *handle ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    free(handle);
    return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion(void) {
    return CUBLAS_VERSION;
}

const char *cublasLtGetStatusString(cublasStatus_t status) {
    return status == CUBLAS_STATUS_SUCCESS         ? "success"
           : status == CUBLAS_STATUS_NOT_SUPPORTED ? "not supported"
           : status == CUBLAS_STATUS_INVALID_VALUE ? "invalid value"
                                                   : "failed";
}

/* ---- descriptors ---- */

static void *copied(const void *value, size_t bytes) {
    void *copy = malloc(bytes);
    if (copy) memcpy(copy, value, bytes);
    return copy;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute, cudaDataType_t scale) {
    operation what = {.compute = (int32_t) compute,
                      .scale = (int32_t) scale,
                      .transpose_a = CUBLAS_OP_N,
                      .transpose_b = CUBLAS_OP_N,
                      .epilogue = CUBLASLT_EPILOGUE_DEFAULT};
    *out = copied(&what, sizeof what);
    return *out ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t descriptor) {
    free(descriptor);
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t set(void *field, size_t size, const void *value, size_t bytes) {
    if (!value || bytes != size) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(field, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t descriptor, cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes) {
    operation *what = (operation *) descriptor;
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return set(&what->transpose_a, sizeof what->transpose_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return set(&what->transpose_b, sizeof what->transpose_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return set(&what->epilogue, sizeof what->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return set(&what->vector, sizeof what->vector, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
        return set(&what->aux, sizeof what->aux, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
        return set(&what->aux_ld, sizeof what->aux_ld, value, bytes);
    default:
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t ld) {
    layout matrix = {.type = (int32_t) type, .rows = rows, .columns = columns, .ld = ld, .batch = 1};
    *out = copied(&matrix, sizeof matrix);
    return *out ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t descriptor,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void *value,
                                                size_t bytes) {
    layout *matrix = (layout *) descriptor;
    switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
        return set(&matrix->batch, sizeof matrix->batch, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
        return set(&matrix->step, sizeof matrix->step, value, bytes);
    default:
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t matrix) {
    free(matrix);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out) {
    preference wish = {
        .schemes = CUBLASLT_REDUCTION_SCHEME_MASK, .align_a = 256, .align_b = 256, .align_c = 256, .align_d = 256};
    *out = copied(&wish, sizeof wish);
    return *out ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t wish) {
    free(wish);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t descriptor,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                                                    size_t bytes) {
    preference *wish = (preference *) descriptor;
    switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return set(&wish->workspace, sizeof wish->workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        return set(&wish->schemes, sizeof wish->schemes, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
        return set(&wish->align_a, sizeof wish->align_a, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
        return set(&wish->align_b, sizeof wish->align_b, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
        return set(&wish->align_c, sizeof wish->align_c, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return set(&wish->align_d, sizeof wish->align_d, value, bytes);
    default:
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
}

/* ---- checks ---- */

static size_t size_of(int32_t type) {
    return type == CUDA_R_32F ? 4 : 2;
}

static bool is_float(int32_t type) {
    return type == CUDA_R_32F || type == CUDA_R_16BF || type == CUDA_R_16F;
}

/* Bytes from the first element to the last. */
static size_t extent(const layout *matrix) {
    if (matrix->rows == 0 || matrix->columns == 0) return 0;
    uint64_t last = (uint64_t) (matrix->batch - 1) * (uint64_t) matrix->step;
    return (last + (matrix->columns - 1) * (uint64_t) matrix->ld + matrix->rows) * size_of(matrix->type);
}

static bool on_16_bytes(const void *p) {
    return (uintptr_t) p % 16 == 0;
}

/* What an epilogue consists of. */
static bool adds_bias(const operation *what) {
    return what->epilogue == CUBLASLT_EPILOGUE_BIAS || what->epilogue == CUBLASLT_EPILOGUE_GELU_BIAS ||
           what->epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
}

static bool has_gelu(const operation *what) {
    return what->epilogue == CUBLASLT_EPILOGUE_GELU_BIAS || what->epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
}

static bool has_aux(const operation *what) {
    return what->epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS || what->epilogue == CUBLASLT_EPILOGUE_DGELU_BGRAD;
}

/* Elements of the vector: one for each column of D of the sums over B, else one for each row. */
static size_t vector_length(const operation *what, const layout *d) {
    if (what->epilogue == CUBLASLT_EPILOGUE_DEFAULT) return 0;
    return what->epilogue == CUBLASLT_EPILOGUE_BGRADB ? d->columns : d->rows;
}

static layout aux_layout(const operation *what, const layout *d) {
    layout aux = *d;
    aux.ld = what->aux_ld;
    return aux;
}

static cublasStatus_t check_epilogue(const operation *what, const layout *d) {
    if (what->epilogue == CUBLASLT_EPILOGUE_DEFAULT) return CUBLAS_STATUS_SUCCESS;
    if (!adds_bias(what) && !has_aux(what) && what->epilogue != CUBLASLT_EPILOGUE_BGRADB)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if ((has_gelu(what) || has_aux(what)) && d->type == CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (has_aux(what)) {
        if (!what->aux || what->aux_ld % 8 != 0 || what->aux_ld < (int64_t) d->rows) return CUBLAS_STATUS_INVALID_VALUE;
        if (!on_16_bytes(what->aux)) return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    bool aligned = on_16_bytes(what->vector) && d->ld * (int64_t) size_of(d->type) % 16 == 0;
    return what->vector && aligned ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

/* Shapes, types and epilogue against each other. D's address is not known to the heuristics: its rows must do. */
static cublasStatus_t check(const operation *what, const layout *a, const layout *b, const layout *c, const layout *d) {
    bool turn_a = what->transpose_a == CUBLAS_OP_T, turn_b = what->transpose_b == CUBLAS_OP_T;
    uint64_t m = turn_a ? a->columns : a->rows, k = turn_a ? a->rows : a->columns;
    uint64_t n = turn_b ? b->rows : b->columns, depth = turn_b ? b->columns : b->rows;
    if (k != depth || d->rows != m || d->columns != n || c->rows != m || c->columns != n)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (m == 0 || n == 0 || k == 0 || a->ld < (int64_t) a->rows || b->ld < (int64_t) b->rows || d->ld < (int64_t) m)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (a->batch != d->batch || b->batch != d->batch || c->batch != d->batch || d->batch < 1)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (d->batch > 1 && (what->epilogue != CUBLASLT_EPILOGUE_DEFAULT || d->step < d->ld * (int64_t) n))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    bool tf32 = what->compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    if ((what->compute != CUBLAS_COMPUTE_32F && !tf32) || what->scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (!is_float(a->type) || a->type != b->type || c->type != d->type || (tf32 && a->type != CUDA_R_32F))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (d->type != a->type && d->type != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    return check_epilogue(what, d);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t descriptor,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t wished, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int *count) {
    (void) handle;
    const preference *wish = (const preference *) wished;
    const layout *result = (const layout *) d;
    *count = 0;
    if (wanted < 1) return CUBLAS_STATUS_INVALID_VALUE;
    cublasStatus_t status =
        check((const operation *) descriptor, (const layout *) a, (const layout *) b, (const layout *) c, result);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    for (int number = 1; number <= ALGORITHMS && *count < wanted; number++) {
        size_t workspace = number == 2 ? result->rows * result->columns * sizeof(float) : 0;
        bool allowed = number != 2 || (wish->schemes & CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
        if (!allowed || workspace > wish->workspace) continue;
        cublasLtMatmulHeuristicResult_t *r = &results[(*count)++];
        memset(r, 0, sizeof *r);
        r->algo.data[WORD_MAGIC] = MAGIC;
        r->algo.data[WORD_NUMBER] = (uint64_t) number;
        r->algo.data[WORD_A] = wish->align_a;
        r->algo.data[WORD_B] = wish->align_b;
        r->algo.data[WORD_D] = wish->align_d < wish->align_c ? wish->align_d : wish->align_c;
        r->workspaceSize = workspace;
        r->wavesCount = 1.0f;
        r->state = CUBLAS_STATUS_SUCCESS;
    }
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- the product ---- */

static float read_element(const void *data, int32_t type, size_t i) {
    if (type == CUDA_R_16BF) return bl_bf16_to_f32(((const uint16_t *) data)[i]);
    if (type == CUDA_R_16F) return bl_f16_to_f32(((const uint16_t *) data)[i]);
    return ((const float *) data)[i];
}

static void write_element(void *data, int32_t type, size_t i, float x) {
    if (type == CUDA_R_16BF)
        ((uint16_t *) data)[i] = bl_f32_to_bf16(x);
    else if (type == CUDA_R_16F)
        ((uint16_t *) data)[i] = bl_f32_to_f16(x);
    else
        ((float *) data)[i] = x;
}

/* To 10 bits of mantissa, ties away from zero. */
static float round_tf32(float x) {
    return x != x ? x : bl_bits_float((bl_float_bits(x) + 0x1000u) & 0xffffe000u);
}

/* op(matrix) as f32 [k][count], k being the summed dimension; `k_is_column` says which of the stored two it is. */
static float *unpacked(const void *data, const layout *matrix, bool k_is_column, bool tf32) {
    size_t k = k_is_column ? matrix->columns : matrix->rows, count = k_is_column ? matrix->rows : matrix->columns;
    float *out = malloc(k * count * sizeof *out);
    if (!out) return NULL;
    for (size_t j = 0; j < k; j++) {
        for (size_t i = 0; i < count; i++) {
            size_t row = k_is_column ? i : j, column = k_is_column ? j : i;
            float x = read_element(data, matrix->type, column * (size_t) matrix->ld + row);
            out[j * count + i] = tf32 ? round_tf32(x) : x;
        }
    }
    return out;
}

/* sum [m] += A [k][m] times column n of B [k][n], over [begin, end) of k, forwards or backwards. */
static void add_products(float *restrict sum, const float *a, const float *b, size_t m, size_t n, size_t begin,
                         size_t end, bool backwards) {
    for (size_t step = begin; step < end; step++) {
        size_t j = backwards ? end - 1 - (step - begin) : step;
        const float *restrict row = a + j * m;
        float factor = b[j * n];
        for (size_t i = 0; i < m; i++)
            sum[i] += row[i] * factor;
    }
}

static void multiply_column(const job *w, const float *a, const float *b, size_t column, float *sum) {
    size_t m = w->d.rows, n = w->d.columns, k = w->what.transpose_a == CUBLAS_OP_T ? w->a.rows : w->a.columns;
    memset(sum, 0, m * sizeof *sum);
    if (w->number == 2) {
        float *second = (float *) w->workspace + column * m;
        memset(second, 0, m * sizeof *second);
        add_products(sum, a, b + column, m, n, 0, k / 2, false);
        add_products(second, a, b + column, m, n, k / 2, k, false);
        for (size_t i = 0; i < m; i++)
            sum[i] += second[i];
    } else {
        add_products(sum, a, b + column, m, n, 0, k, w->number == 3);
    }
    if (w->what.epilogue == CUBLASLT_EPILOGUE_BGRADB) {
        float total = 0;
        for (size_t j = 0; j < k; j++)
            total += b[j * n + column];
        write_element(w->what.vector, w->d.type, column, total);
    }
}

/* GELU (arXiv 1606.08415) in its tanh form, and its derivative. */
static float gelu(float x, float *slope) {
    double t = tanh(0.7978845608028654 * (x + 0.044715 * (double) x * x * x));
    *slope = (float) (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.7978845608028654 * (1 + 0.134145 * (double) x * x));
    return (float) (0.5 * x * (1 + t));
}

/* One element of D from its product; `total` gathers what goes to the vector of sums. */
static float finish(const job *w, size_t row, size_t column, float x, float *total) {
    size_t at = column * (size_t) w->what.aux_ld + row;
    float slope;
    if (adds_bias(&w->what)) x += read_element(w->what.vector, w->d.type, row);
    if (w->what.epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS) write_element(w->what.aux, w->d.type, at, x);
    if (has_gelu(&w->what)) return gelu(x, &slope);
    if (w->what.epilogue != CUBLASLT_EPILOGUE_DGELU_BGRAD) return x;
    gelu(read_element(w->what.aux, w->d.type, at), &slope);
    total[row] += x * slope;
    return x * slope;
}

/* Where matrix number i of a batch begins. */
static const void *matrix_at(const void *data, const layout *matrix, int32_t i) {
    return (const char *) data + (int64_t) i * matrix->step * (int64_t) size_of(matrix->type);
}

/* What the watch over memory has to know of a product. */
static void report(const job *w) {
    const char *who = "cublasLtMatmul";
    const layout *d = &w->d;
    size_t size = size_of(d->type);
    for (uint64_t j = 0; j < w->a.columns; j++)
        bl_watch_library_reads(who, (const char *) w->a_data + j * w->a.ld * size_of(w->a.type),
                               w->a.rows * size_of(w->a.type));
    for (uint64_t j = 0; j < w->b.columns; j++)
        bl_watch_library_reads(who, (const char *) w->b_data + j * w->b.ld * size_of(w->b.type),
                               w->b.rows * size_of(w->b.type));
    for (uint64_t j = 0; j < d->columns; j++) {
        char *column = (char *) w->d_data + j * d->ld * size;
        if (w->beta != 0.0f) bl_watch_library_reads(who, column, d->rows * size);
        bl_watch_library_writes(column, d->rows * size);
    }
    size_t vector_bytes = vector_length(&w->what, d) * size;
    if (adds_bias(&w->what))
        bl_watch_library_reads(who, w->what.vector, vector_bytes);
    else if (vector_bytes)
        bl_watch_library_writes(w->what.vector, vector_bytes);
    for (uint64_t j = 0; has_aux(&w->what) && j < d->columns; j++) {
        char *column = (char *) w->what.aux + j * w->what.aux_ld * size;
        if (has_gelu(&w->what))
            bl_watch_library_writes(column, d->rows * size);
        else
            bl_watch_library_reads(who, column, d->rows * size);
    }
}

static void run_one(const job *w) {
    report(w);
    size_t m = w->d.rows, n = w->d.columns;
    bool tf32 = w->what.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    float *a = unpacked(w->a_data, &w->a, w->what.transpose_a == CUBLAS_OP_N, tf32);
    float *b = unpacked(w->b_data, &w->b, w->what.transpose_b == CUBLAS_OP_T, tf32);
    float *sum = malloc(m * sizeof *sum), *total = calloc(m, sizeof *total);
    if (a && b && sum && total) {
        for (size_t column = 0; column < n; column++) {
            multiply_column(w, a, b, column, sum);
            for (size_t i = 0; i < m; i++) {
                size_t at = column * (size_t) w->d.ld + i;
                float x = w->alpha * sum[i];
                if (w->beta != 0.0f) x += w->beta * read_element(w->d_data, w->d.type, at);
                write_element(w->d_data, w->d.type, at, finish(w, i, column, x, total));
            }
        }
        for (size_t i = 0; w->what.epilogue == CUBLASLT_EPILOGUE_DGELU_BGRAD && i < m; i++)
            write_element(w->what.vector, w->d.type, i, total[i]);
    } else {
        bl_emulated_fault(cudaErrorMemoryAllocation, "cuBLASLt: no host memory for a product");
    }
    free(a);
    free(b);
    free(sum);
    free(total);
}

/* True where the product is written down in place of being done. */
static bool is_recorded(const job *w) {
    if (!bl_records()) return false;
    uint64_t k = w->what.transpose_a == CUBLAS_OP_T ? w->a.rows : w->a.columns;
    bl_record_line("{\"is\":\"product\",\"m\":%llu,\"n\":%llu,\"k\":%llu,\"batch\":%d,\"in\":%zu,\"out\":%zu,"
                   "\"accumulates\":%s,\"epilogue\":%u,\"transposes\":\"%c%c\"}",
                   (unsigned long long) w->d.rows, (unsigned long long) w->d.columns, (unsigned long long) k,
                   (int) w->d.batch, size_of(w->a.type), size_of(w->d.type), w->beta != 0.0f ? "true" : "false",
                   (unsigned) w->what.epilogue, w->what.transpose_a == CUBLAS_OP_T ? 'T' : 'N',
                   w->what.transpose_b == CUBLAS_OP_T ? 'T' : 'N');
    return true;
}

static void run(void *arguments) {
    const job *w = arguments;
    if (is_recorded(w)) return;
    for (int32_t i = 0; i < w->d.batch; i++) {
        job one = *w;
        one.a_data = matrix_at(w->a_data, &w->a, i);
        one.b_data = matrix_at(w->b_data, &w->b, i);
        one.d_data = (char *) w->d_data + ((const char *) matrix_at(w->d_data, &w->d, i) - (const char *) w->d_data);
        run_one(&one);
    }
}

static bool divides(uint64_t alignment, const void *p) {
    return alignment != 0 && (uintptr_t) p % alignment == 0;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t descriptor, const void *alpha,
                              const void *a_data, cublasLtMatrixLayout_t a, const void *b_data,
                              cublasLtMatrixLayout_t b, const void *beta, const void *c_data, cublasLtMatrixLayout_t c,
                              void *d_data, cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t *algorithm,
                              void *workspace, size_t workspace_bytes, cudaStream_t stream) {
    if (!handle || !algorithm || c_data != d_data) return CUBLAS_STATUS_NOT_SUPPORTED;
    job w = {.what = *(const operation *) descriptor,
             .a = *(const layout *) a,
             .b = *(const layout *) b,
             .d = *(const layout *) d,
             .a_data = a_data,
             .b_data = b_data,
             .d_data = d_data,
             .workspace = workspace,
             .alpha = *(const float *) alpha,
             .beta = *(const float *) beta,
             .number = (int32_t) algorithm->data[WORD_NUMBER]};
    cublasStatus_t status = check(&w.what, &w.a, &w.b, (const layout *) c, &w.d);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    if (algorithm->data[WORD_MAGIC] != MAGIC || w.number < 1 || w.number > ALGORITHMS ||
        !divides(algorithm->data[WORD_A], a_data) || !divides(algorithm->data[WORD_B], b_data) ||
        !divides(algorithm->data[WORD_D], d_data))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (w.number == 2 && workspace_bytes < w.d.rows * w.d.columns * sizeof(float)) return CUBLAS_STATUS_INVALID_VALUE;
    if (w.beta != 0.0f && (has_gelu(&w.what) || has_aux(&w.what))) return CUBLAS_STATUS_NOT_SUPPORTED;
    size_t vector_bytes = vector_length(&w.what, &w.d) * size_of(w.d.type);
    layout aux = aux_layout(&w.what, &w.d);
    if (!bl_emulated_on_device(a_data, extent(&w.a)) || !bl_emulated_on_device(b_data, extent(&w.b)) ||
        !bl_emulated_on_device(d_data, extent(&w.d)) ||
        (vector_bytes && !bl_emulated_on_device(w.what.vector, vector_bytes)) ||
        (has_aux(&w.what) && !bl_emulated_on_device(w.what.aux, extent(&aux))) ||
        (w.number == 2 && !bl_emulated_on_device(workspace, workspace_bytes))) {
        bl_emulated_fail(cudaErrorIllegalAddress, "cuBLASLt: a matrix is not wholly in device memory");
        return CUBLAS_STATUS_EXECUTION_FAILED;
    }
    return bl_emulated_enqueue(stream, "cublasLtMatmul", run, &w, sizeof w) == cudaSuccess
               ? CUBLAS_STATUS_SUCCESS
               : CUBLAS_STATUS_EXECUTION_FAILED;
}
