/*
 * matmul.cu - matrix products on cuBLASLt: descriptors and an algorithm per
 * shape, kept in the context; see matmul.h.
 */
#include "cuda/matmul.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* CANDIDATES are timed REPEATS times each, after one run that is not counted. */
enum { BUCKETS = 256, CAPACITY = 2048, CANDIDATES = 8, REPEATS = 5 };

struct bl_cuda_plan {
    struct bl_cuda_plan *next;
    bl_cuda_matmul_key key;
    bool available; /* false: cuBLASLt has no such product with this epilogue */
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulAlgo_t algorithm;
};

typedef struct matmul_state {
    struct bl_cuda_plan *buckets[BUCKETS];
    int64_t count;
    int32_t version; /* of the context's choice of files that `choices` were read for */
    bool timed;      /* algorithms are timed and kept */
    bl_cuda_choices choices;
    char shared[2048]; /* file in the context's folder; "" for none */
    char device[224];  /* GPU, driver and library, as the files name them */
} matmul_state;

static const char WHAT[] = "matmul";

static void plan_free(struct bl_cuda_plan *plan) {
    if (plan->operation) (void) cublasLtMatmulDescDestroy(plan->operation);
    if (plan->a) (void) cublasLtMatrixLayoutDestroy(plan->a);
    if (plan->b) (void) cublasLtMatrixLayoutDestroy(plan->b);
    if (plan->d) (void) cublasLtMatrixLayoutDestroy(plan->d);
    free(plan);
}

static void clear(matmul_state *state) {
    for (int i = 0; i < BUCKETS; i++) {
        while (state->buckets[i]) {
            struct bl_cuda_plan *plan = state->buckets[i];
            state->buckets[i] = plan->next;
            plan_free(plan);
        }
    }
    state->count = 0;
}

static void close_state(bl_cuda *cuda) {
    matmul_state *state = (matmul_state *) cuda->blas_state;
    clear(state);
    bl_cuda_choices_free(&state->choices);
    free(state);
    cuda->blas_state = NULL;
}

/* The choices that the context's files hold. */
static bl_status read_choices(bl_context *ctx, matmul_state *state) {
    const char *own = ctx->matmul_choices;
    state->timed = own[0] || ctx->matmul_folder[0];
    state->shared[0] = 0;
    if (own[0]) BL_TRY(bl_cuda_choices_read(&state->choices, own, state->device));
    if (!ctx->matmul_folder[0]) return BL_OK;
    BL_TRY(bl_cuda_choices_name(state->shared, sizeof state->shared, ctx->matmul_folder, state->device));
    /* What cannot be read is done without, and replaced at the first choice. */
    bl_cuda_choices others;
    (void) bl_cuda_choices_read(&others, state->shared, state->device);
    const int64_t before = state->choices.count;
    bl_status status = BL_OK;
    for (int64_t i = 0; i < others.count && status == BL_OK; i++)
        if (!bl_cuda_choices_find(&state->choices, &others.items[i].key))
            status = bl_cuda_choices_add(&state->choices, &others.items[i]);
    bl_cuda_choices_free(&others);
    BL_TRY(status);
    /* At once: the shared file may be gone, or say otherwise, when the run that `own` belongs to goes on. */
    return own[0] && state->choices.count > before ? bl_cuda_choices_write(&state->choices, own, state->device) : BL_OK;
}

/* The state; reread if other files of choices were named since the last product. */
static bl_status open_state(bl_context *ctx, matmul_state **out) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    matmul_state *state = (matmul_state *) cuda->blas_state;
    if (!state) {
        struct cudaDeviceProp device;
        BL_CUDA_TRY(cudaGetDeviceProperties(&device, cuda->device), WHAT);
        state = (matmul_state *) calloc(1, sizeof *state);
        if (!state) return bl_fail(BL_ERROR_MEMORY, "matmul: out of memory");
        int driver = 0;
        (void) cudaDriverGetVersion(&driver);
        snprintf(state->device, sizeof state->device,
                 "%.120s, %d multiprocessors, driver for CUDA %d.%d, cuBLASLt %zu, workspace %zu", device.name,
                 (int) cuda->sm_count, driver / 1000, driver % 1000 / 10, cublasLtGetVersion(),
                 cuda->blas_workspace_bytes);
        cuda->blas_state = state;
        cuda->blas_close = close_state;
    }
    if (state->version != ctx->matmul_choices_version) {
        clear(state);
        bl_cuda_choices_free(&state->choices);
        BL_TRY(read_choices(ctx, state));
        state->version = ctx->matmul_choices_version;
    }
    *out = state;
    return BL_OK;
}

static cudaDataType_t data_type(int32_t dtype) {
    return dtype == BL_BF16 ? CUDA_R_16BF : dtype == BL_F16 ? CUDA_R_16F : CUDA_R_32F;
}

/* 256, 64, 16 or the largest smaller power of 2 that divides the address: all that buffers promise or kernels ask for.
 */
static int32_t alignment(const void *data) {
    uintptr_t address = (uintptr_t) data;
    if (address % 256 == 0) return 256;
    if (address % 64 == 0) return 64;
    if (address % 16 == 0) return 16;
    return (int32_t) (address & (~address + 1));
}

/* Of all matrices of a batch: an address, and a step in elements of a dtype. */
static int32_t batch_alignment(const void *data, int64_t step, int32_t dtype) {
    const int32_t first = alignment(data);
    if (step == 0) return first;
    const uintptr_t bytes = (uintptr_t) step * bl_dtype_size(dtype);
    const int32_t next = alignment((const void *) bytes);
    return next < first ? next : first;
}

static bl_cuda_matmul_key key_of(const bl_context *ctx, const bl_cuda_product *p) {
    const bool batched = p->batch > 1;
    bl_cuda_matmul_key key;
    memset(&key, 0, sizeof key);
    key.m = p->m, key.n = p->n, key.k = p->k;
    key.lda = p->lda, key.ldb = p->ldb, key.ldd = p->ldd;
    if (batched) key.batch = p->batch, key.batch_a = p->batch_a, key.batch_b = p->batch_b, key.batch_d = p->batch_d;
    key.transpose_a = p->transpose_a, key.transpose_b = p->transpose_b;
    key.operand = p->operand, key.result = p->result;
    key.accumulate = p->accumulate, key.epilogue = p->epilogue;
    key.tf32 = p->operand == BL_F32 && ctx->allow_tf32;
    key.align_a = batch_alignment(p->a, key.batch_a, p->operand);
    key.align_b = batch_alignment(p->b, key.batch_b, p->operand);
    key.align_d = batch_alignment(p->d, key.batch_d, p->result);
    if (p->aux && alignment(p->aux) < key.align_d) key.align_d = alignment(p->aux);
    key.align_vector = p->epilogue == BL_EPILOGUE_NONE ? 0 : alignment(p->vector);
    return key;
}

static bl_status describe_batch(cublasLtMatrixLayout_t layout, int64_t batch, int64_t step) {
    const int32_t count = (int32_t) batch;
    BL_BLAS_TRY(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
                WHAT);
    BL_BLAS_TRY(
        cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step),
        WHAT);
    return BL_OK;
}

static uint32_t library_epilogue(int32_t epilogue) {
    switch (epilogue) {
    case BL_EPILOGUE_BIAS:
        return CUBLASLT_EPILOGUE_BIAS;
    case BL_EPILOGUE_SUM_B:
        return CUBLASLT_EPILOGUE_BGRADB;
    case BL_EPILOGUE_GELU_BIAS:
        return CUBLASLT_EPILOGUE_GELU_BIAS;
    case BL_EPILOGUE_GELU_AUX_BIAS:
        return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    case BL_EPILOGUE_DGELU_SUM:
        return CUBLASLT_EPILOGUE_DGELU_BGRAD;
    default:
        return CUBLASLT_EPILOGUE_DEFAULT;
    }
}

/* Whether separate passes can take an epilogue's place, so that it has to be worth it. */
static bool is_optional(int32_t epilogue) {
    return epilogue != BL_EPILOGUE_NONE && epilogue != BL_EPILOGUE_BIAS;
}

/* What an epilogue reads and writes besides D. */
static bl_status set_addresses(const struct bl_cuda_plan *plan, const bl_cuda_product *p) {
    BL_BLAS_TRY(cublasLtMatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->vector,
                                               sizeof p->vector),
                WHAT);
    if (p->aux)
        BL_BLAS_TRY(cublasLtMatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &p->aux,
                                                   sizeof p->aux),
                    WHAT);
    return BL_OK;
}

static bl_status describe(struct bl_cuda_plan *plan, const bl_cuda_product *p) {
    const cublasComputeType_t compute = plan->key.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    const int32_t turned = CUBLAS_OP_T;
    BL_BLAS_TRY(cublasLtMatmulDescCreate(&plan->operation, compute, CUDA_R_32F), WHAT);
    if (p->transpose_a)
        BL_BLAS_TRY(
            cublasLtMatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_TRANSA, &turned, sizeof turned), WHAT);
    if (p->transpose_b)
        BL_BLAS_TRY(
            cublasLtMatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_TRANSB, &turned, sizeof turned), WHAT);
    if (p->epilogue != BL_EPILOGUE_NONE) {
        const uint32_t epilogue = library_epilogue(p->epilogue);
        BL_BLAS_TRY(
            cublasLtMatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue),
            WHAT);
        if (p->aux)
            BL_BLAS_TRY(cublasLtMatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &p->ldd,
                                                       sizeof p->ldd),
                        WHAT);
        /* The suggestions look at the addresses for their alignment. */
        BL_TRY(set_addresses(plan, p));
    }
    const uint64_t m = (uint64_t) p->m, n = (uint64_t) p->n, k = (uint64_t) p->k;
    const cudaDataType_t operand = data_type(p->operand);
    BL_BLAS_TRY(cublasLtMatrixLayoutCreate(&plan->a, operand, p->transpose_a ? k : m, p->transpose_a ? m : k, p->lda),
                WHAT);
    BL_BLAS_TRY(cublasLtMatrixLayoutCreate(&plan->b, operand, p->transpose_b ? n : k, p->transpose_b ? k : n, p->ldb),
                WHAT);
    BL_BLAS_TRY(cublasLtMatrixLayoutCreate(&plan->d, data_type(p->result), m, n, p->ldd), WHAT);
    if (p->batch > 1) {
        BL_TRY(describe_batch(plan->a, p->batch, p->batch_a));
        BL_TRY(describe_batch(plan->b, p->batch, p->batch_b));
        BL_TRY(describe_batch(plan->d, p->batch, p->batch_d));
    }
    return BL_OK;
}

static bl_status set_preference(cublasLtMatmulPreference_t preference, const bl_cuda *cuda,
                                const bl_cuda_matmul_key *key) {
    const uint64_t workspace = cuda->blas_workspace_bytes;
    const uint32_t schemes =
        key->result == BL_F32 ? CUBLASLT_REDUCTION_SCHEME_MASK : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const uint32_t aligned[3] = {(uint32_t) key->align_a, (uint32_t) key->align_b, (uint32_t) key->align_d};
    const struct {
        cublasLtMatmulPreferenceAttributes_t attribute;
        const void *value;
        size_t bytes;
    } wishes[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace},
        {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &aligned[0], sizeof aligned[0]},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &aligned[1], sizeof aligned[1]},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &aligned[2], sizeof aligned[2]},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &aligned[2], sizeof aligned[2]},
    };
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++)
        BL_BLAS_TRY(
            cublasLtMatmulPreferenceSetAttribute(preference, wishes[i].attribute, wishes[i].value, wishes[i].bytes),
            WHAT);
    return BL_OK;
}

/* Up to `wanted` algorithms, the one thought fastest first; *found is 0 if there is none. */
static bl_status suggest(const bl_cuda *cuda, const struct bl_cuda_plan *plan, int wanted,
                         cublasLtMatmulHeuristicResult_t *results, int *found) {
    cublasLtMatmulPreference_t preference;
    BL_BLAS_TRY(cublasLtMatmulPreferenceCreate(&preference), WHAT);
    bl_status status = set_preference(preference, cuda, &plan->key);
    int count = 0;
    cublasStatus_t answer = CUBLAS_STATUS_SUCCESS;
    if (status == BL_OK)
        answer = cublasLtMatmulAlgoGetHeuristic(cuda->blas, plan->operation, plan->a, plan->b, plan->d, plan->d,
                                                preference, wanted, results, &count);
    (void) cublasLtMatmulPreferenceDestroy(preference);
    BL_TRY(status);
    *found = 0;
    /* "Not supported" and "invalid value" are both said of an epilogue that does not go with these types or strides. */
    if (answer == CUBLAS_STATUS_NOT_SUPPORTED || answer == CUBLAS_STATUS_INVALID_VALUE) return BL_OK;
    BL_BLAS_TRY(answer, WHAT);
    for (int i = 0; i < count; i++)
        if (results[i].state == CUBLAS_STATUS_SUCCESS && results[i].workspaceSize <= cuda->blas_workspace_bytes)
            results[(*found)++] = results[i];
    return BL_OK;
}

static bl_status launch(bl_context *ctx, const struct bl_cuda_plan *plan, const cublasLtMatmulAlgo_t *algorithm,
                        const bl_cuda_product *p) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    const float one = 1.0f, beta = p->accumulate ? 1.0f : 0.0f;
    if (p->epilogue != BL_EPILOGUE_NONE) BL_TRY(set_addresses(plan, p));
    BL_BLAS_TRY(cublasLtMatmul(cuda->blas, plan->operation, &one, p->a, plan->a, p->b, plan->b, &beta, p->d, plan->d,
                               p->d, plan->d, algorithm, cuda->blas_workspace, cuda->blas_workspace_bytes,
                               cuda->stream),
                WHAT);
    return BL_OK;
}

/* ---- timing ---- */

typedef struct trial {
    const struct bl_cuda_plan *plan;
    const cublasLtMatmulAlgo_t *algorithm;
    const bl_cuda_product *product;
} trial;

static bl_status run_trial(bl_context *ctx, void *argument) {
    const trial *t = (const trial *) argument;
    return launch(ctx, t->plan, t->algorithm, t->product);
}

/* Microseconds of one work(ctx, argument), the mean of REPEATS. */
static bl_status measure(bl_context *ctx, bl_status (*work)(bl_context *, void *), void *argument, double *result) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    cudaEvent_t begin = NULL, end = NULL;
    BL_TRY(work(ctx, argument));
    cudaError_t error = cudaEventCreate(&begin);
    if (error == cudaSuccess) error = cudaEventCreate(&end);
    if (error == cudaSuccess) error = cudaEventRecord(begin, cuda->stream);
    bl_status status = BL_OK;
    for (int i = 0; i < REPEATS && error == cudaSuccess && status == BL_OK; i++)
        status = work(ctx, argument);
    if (error == cudaSuccess) error = cudaEventRecord(end, cuda->stream);
    if (error == cudaSuccess) error = cudaEventSynchronize(end);
    float milliseconds = 0;
    if (error == cudaSuccess) error = cudaEventElapsedTime(&milliseconds, begin, end);
    if (begin) (void) cudaEventDestroy(begin);
    if (end) (void) cudaEventDestroy(end);
    BL_TRY(status);
    BL_CUDA_TRY(error, WHAT);
    *result = milliseconds * 1000.0 / REPEATS;
    return BL_OK;
}

static bl_status time_candidates(bl_context *ctx, const struct bl_cuda_plan *plan, const bl_cuda_product *p,
                                 const cublasLtMatmulHeuristicResult_t *results, int found, bl_cuda_choice *choice) {
    choice->microseconds = -1;
    for (int i = 0; i < found; i++) {
        trial t = {plan, &results[i].algo, p};
        double microseconds = 0;
        BL_TRY(measure(ctx, run_trial, &t, &microseconds));
        if (choice->microseconds >= 0 && microseconds >= choice->microseconds) continue;
        choice->microseconds = microseconds;
        choice->algorithm = results[i].algo;
        choice->workspace = results[i].workspaceSize;
    }
    return BL_OK;
}

/*
 * The fastest candidate, timed on the operands themselves. What they are added
 * to is saved first: tried on anything else, the sums would not run in place.
 */
static bl_status time_in_place(bl_context *ctx, const struct bl_cuda_plan *plan, const bl_cuda_product *p,
                               const cublasLtMatmulHeuristicResult_t *results, int found, bl_cuda_choice *choice) {
    if (!p->accumulate) return time_candidates(ctx, plan, p, results, found, choice);
    bl_cuda *cuda = bl_cuda_of(ctx);
    const int64_t before = p->batch > 1 ? (p->batch - 1) * p->batch_d : 0;
    const size_t bytes = (size_t) (before + p->ldd * (p->n - 1) + p->m) * bl_dtype_size(p->result);
    void *saved = NULL;
    cudaError_t error = cudaMalloc(&saved, bytes);
    if (error == cudaErrorMemoryAllocation) {
        /* The plan of the memory leaves no room for trials: the first suggestion then, as without timing. */
        (void) cudaGetLastError();
        return BL_OK;
    }
    BL_CUDA_TRY(error, WHAT);
    error = cudaMemcpyAsync(saved, p->d, bytes, cudaMemcpyDeviceToDevice, cuda->stream);
    bl_status status = error == cudaSuccess ? time_candidates(ctx, plan, p, results, found, choice) : BL_OK;
    if (error == cudaSuccess) error = cudaMemcpyAsync(p->d, saved, bytes, cudaMemcpyDeviceToDevice, cuda->stream);
    if (error == cudaSuccess) error = cudaStreamSynchronize(cuda->stream);
    (void) cudaFree(saved);
    BL_TRY(status);
    BL_CUDA_TRY(error, WHAT);
    return BL_OK;
}

/* Keeps a choice that was made or changed; what was not timed is no use to others. */
static bl_status save(const bl_context *ctx, const matmul_state *state, const bl_cuda_choice *choice) {
    if (state->shared[0] && choice->microseconds > 0) bl_cuda_choices_share(choice, state->shared, state->device);
    if (!ctx->matmul_choices[0]) return BL_OK;
    return bl_cuda_choices_write(&state->choices, ctx->matmul_choices, state->device);
}

/* ---- plans ---- */

/* The algorithm of a new plan. */
static bl_status choose(bl_context *ctx, matmul_state *state, struct bl_cuda_plan *plan, const bl_cuda_product *p) {
    const bool timed = state->timed && !bl_cuda_capturing(ctx);
    const bl_cuda_choice *known = state->timed ? bl_cuda_choices_find(&state->choices, &plan->key) : NULL;
    if (known) {
        plan->available = true;
        plan->algorithm = known->algorithm;
        return BL_OK;
    }
    cublasLtMatmulHeuristicResult_t results[CANDIDATES];
    int found = 0;
    BL_TRY(suggest(bl_cuda_of(ctx), plan, timed ? CANDIDATES : 1, results, &found));
    if (found == 0 && p->epilogue == BL_EPILOGUE_NONE)
        return bl_fail(BL_ERROR_UNSUPPORTED, "matmul: cuBLASLt has no %s product of m %lld, n %lld, k %lld here",
                       bl_dtype_name(p->operand), (long long) p->m, (long long) p->n, (long long) p->k);
    plan->available = found > 0;
    if (found == 0) return BL_OK;
    plan->algorithm = results[0].algo;
    if (!state->timed) return BL_OK;
    bl_cuda_choice choice;
    memset(&choice, 0, sizeof choice);
    choice.key = plan->key;
    choice.algorithm = results[0].algo;
    choice.workspace = results[0].workspaceSize;
    choice.use = is_optional(p->epilogue) ? -1 : 1;
    if (timed) BL_TRY(time_in_place(ctx, plan, p, results, found, &choice));
    plan->algorithm = choice.algorithm;
    BL_TRY(bl_cuda_choices_add(&state->choices, &choice));
    return save(ctx, state, &choice);
}

static size_t bucket_of(const bl_cuda_matmul_key *key) {
    const unsigned char *bytes = (const unsigned char *) key;
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < sizeof *key; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    return (size_t) (hash >> 32) % BUCKETS;
}

bl_status bl_cuda_matmul_plan(bl_context *ctx, struct bl_cuda_plan **out, const bl_cuda_product *product) {
    matmul_state *state = NULL;
    BL_TRY(open_state(ctx, &state));
    const bl_cuda_matmul_key key = key_of(ctx, product);
    struct bl_cuda_plan **bucket = &state->buckets[bucket_of(&key)];
    for (struct bl_cuda_plan *plan = *bucket; plan; plan = plan->next) {
        if (memcmp(&plan->key, &key, sizeof key) != 0) continue;
        *out = plan->available ? plan : NULL;
        return BL_OK;
    }
    /* Endless variety of shapes must not eat memory; refilling the few that recur is cheap. */
    if (state->count >= CAPACITY) clear(state);
    struct bl_cuda_plan *plan = (struct bl_cuda_plan *) calloc(1, sizeof *plan);
    if (!plan) return bl_fail(BL_ERROR_MEMORY, "matmul: out of memory");
    plan->key = key;
    bl_status status = describe(plan, product);
    if (status == BL_OK) status = choose(ctx, state, plan, product);
    if (status != BL_OK) {
        plan_free(plan);
        return status;
    }
    plan->next = *bucket;
    *bucket = plan;
    state->count++;
    *out = plan->available ? plan : NULL;
    return BL_OK;
}

bl_status bl_cuda_matmul_run(bl_context *ctx, const struct bl_cuda_plan *plan, const bl_cuda_product *product) {
    return launch(ctx, plan, &plan->algorithm, product);
}

bl_status bl_cuda_matmul_plain(bl_context *ctx, const bl_cuda_product *product) {
    struct bl_cuda_plan *plan = NULL;
    BL_TRY(bl_cuda_matmul_plan(ctx, &plan, product));
    return bl_cuda_matmul_run(ctx, plan, product);
}

bl_status bl_cuda_matmul_prefer(bl_context *ctx, bool *prefer, const bl_cuda_product *fused,
                                const bl_cuda_product *plain, bl_status (*rest)(bl_context *ctx, void *argument),
                                void *argument) {
    *prefer = false;
    matmul_state *state = NULL;
    BL_TRY(open_state(ctx, &state));
    if (!state->timed) return BL_OK;
    struct bl_cuda_plan *plan = NULL;
    BL_TRY(bl_cuda_matmul_plan(ctx, &plan, fused));
    if (!plan) return BL_OK;
    BL_TRY(bl_cuda_matmul_plan(ctx, &plan, plain)); /* the first one may be gone now, its choice is not */
    if (!plan) return BL_OK;
    const bl_cuda_matmul_key with = key_of(ctx, fused), without = key_of(ctx, plain);
    bl_cuda_choice *choice = bl_cuda_choices_find(&state->choices, &with);
    const bl_cuda_choice *other = bl_cuda_choices_find(&state->choices, &without);
    if (!choice || !other) return bl_fail(BL_ERROR_INTERNAL, "matmul: a plan without its choice");
    if (choice->use < 0) {
        double microseconds = 0;
        const bool measured = !bl_cuda_capturing(ctx) && choice->microseconds > 0 && other->microseconds > 0;
        if (measured && !plain->accumulate) BL_TRY(bl_cuda_matmul_run(ctx, plan, plain));
        if (measured) BL_TRY(measure(ctx, rest, argument, &microseconds));
        choice->use = measured && choice->microseconds < other->microseconds + microseconds;
        BL_TRY(save(ctx, state, choice));
    }
    *prefer = choice->use == 1;
    return BL_OK;
}
