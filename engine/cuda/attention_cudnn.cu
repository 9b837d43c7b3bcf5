/*
 * attention_cudnn.cu - attention by cuDNN's own fused kernels, for bf16 and f16,
 * through its backend API: the graphs of attention_cudnn_graph.h, with sequence
 * lengths and ragged offsets, so that padded and packed batches are the same
 * to it. Dropout is drawn by cuDNN, from a seed that (seed, step, op) give: its
 * masks are not those of the CPU, but the same again after a restart.
 *
 * The library is opened on first use; nothing here is linked with
 * it. A plan is made for each shape, outside of captures, and kept: making one
 * is slow. Only engines that repeat their results bit for bit are taken. A
 * forward that is to be differentiated makes the plan of the backward too, so
 * that what cuDNN cannot do is reported before a step has begun.
 *
 * cuDNN 9.19 was asked on a machine without a GPU for the engines that take
 * these graphs (docs/gpu.md). Its kernels have never run through this file;
 * where GPUs are emulated a stand-in for its API computes the graphs.
 */
#include "cuda/attention.cuh"

#include <dlfcn.h>
#include <stdlib.h>

#if __has_include(<cudnn_graph.h>)
#include <cudnn_graph.h>
#endif

#if !defined(CUDNN_VERSION) || CUDNN_VERSION < 91900

static bl_status refuse(void) {
    return bl_fail(BL_ERROR_UNSUPPORTED, "attention: cudnn: not part of this build, which had no headers of cuDNN 9.19 "
                                         "or newer; use --attention native or unfused, or leave it unset");
}
bl_status bl_cuda_attention_cudnn_bytes(bl_context *, const Attention &, int32_t, size_t *) {
    return refuse();
}
bl_status bl_cuda_attention_cudnn_forward(bl_context *, const Attention &, int32_t) {
    return refuse();
}
bl_status bl_cuda_attention_cudnn_backward(bl_context *, const Attention &, int32_t) {
    return refuse();
}

#else

#include "cuda/attention_cudnn_graph.h"
#include "cuda/carver.h"

/* ---- the library ---- */

static void free_plan(const Dnn *dnn, Plan *plan) {
    free_plan_descriptors(dnn, plan);
    free(plan);
}

static void close_dnn(bl_cuda *cuda) {
    Dnn *dnn = static_cast<Dnn *>(cuda->dnn_state);
    while (dnn->plans) {
        Plan *next = dnn->plans->next;
        free_plan(dnn, dnn->plans);
        dnn->plans = next;
    }
    if (dnn->handle) (void) dnn->cudnnDestroy(dnn->handle);
    free(dnn); /* the library stays: it does not survive being closed and opened again */
    cuda->dnn_state = nullptr;
}

static bl_status load(Dnn *dnn) {
#ifdef BL_CUDA_EMULATION
#define BL_DNN_LOAD(name) dnn->name = name;
    BL_DNN_FUNCTIONS(BL_DNN_LOAD)
#undef BL_DNN_LOAD
    return BL_OK;
#else
    dnn->library = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!dnn->library)
        return bl_fail(BL_ERROR_UNSUPPORTED,
                       "attention: cudnn: libcudnn.so.9 was not found; install cuDNN 9 or add its "
                       "folder to LD_LIBRARY_PATH, or leave --attention unset");
#define BL_DNN_LOAD(name)                                                                                              \
    dnn->name = reinterpret_cast<__typeof__(&::name)>(dlsym(dnn->library, #name));                                     \
    if (!dnn->name) return bl_fail(BL_ERROR_UNSUPPORTED, "attention: cudnn: libcudnn.so.9 has no " #name);
    BL_DNN_FUNCTIONS(BL_DNN_LOAD)
#undef BL_DNN_LOAD
    if (dnn->cudnnGetVersion() < 91900)
        return bl_fail(BL_ERROR_UNSUPPORTED,
                       "attention: cudnn: libcudnn.so.9 is version %zu.%zu, 9.19 is required; install a newer one, or "
                       "leave --attention unset",
                       dnn->cudnnGetVersion() / 10000, dnn->cudnnGetVersion() / 100 % 100);
    return BL_OK;
#endif
}

static bl_status open_dnn(bl_context *ctx, Dnn **out) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    if (!cuda->dnn_state) {
        Dnn *dnn = static_cast<Dnn *>(calloc(1, sizeof *dnn));
        if (!dnn) return bl_fail(BL_ERROR_MEMORY, "attention: cudnn: out of memory");
        const bl_status status = load(dnn);
        if (status != BL_OK) {
            free(dnn);
            return status;
        }
        cuda->dnn_state = dnn;
        cuda->dnn_close = close_dnn;
    }
    Dnn *dnn = static_cast<Dnn *>(cuda->dnn_state);
    if (!dnn->handle) {
        DNN_TRY(dnn->cudnnCreate(&dnn->handle), "opening");
        DNN_TRY(dnn->cudnnSetStream(dnn->handle, cuda->stream), "stream");
    }
    *out = dnn;
    return BL_OK;
}

/* ---- building a plan ---- */

/* plan->plan: the first engine that takes the graph and repeats itself; NULL if none does. */
static bl_status find_engine(const Dnn *dnn, Plan *plan, Node graph, cudnnBackendHeurMode_t mode) {
    Node configs[MOST_CONFIGS];
    int64_t count = 0;
    BL_TRY(ask_engines(dnn, plan, graph, mode, nullptr, configs, &count));
    for (int64_t i = 0; i < count; i++) {
        Node candidate = nullptr;
        BL_TRY(create(dnn, plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &candidate));
        BL_TRY(set(dnn, candidate, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &dnn->handle));
        BL_TRY(link(dnn, candidate, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configs[i]));
        if (dnn->cudnnBackendFinalize(candidate) != CUDNN_STATUS_SUCCESS) continue;
        int64_t one = 0;
        DNN_TRY(dnn->cudnnBackendGetAttribute(candidate, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
                                              &one, &plan->workspace),
                "workspace");
        plan->plan = candidate;
        return BL_OK;
    }
    return BL_OK;
}

static bl_status fill_plan(const Dnn *dnn, Plan *plan) {
    Node graph = nullptr;
    BL_TRY(make_attention_graph(dnn, plan, &graph));
    BL_TRY(find_engine(dnn, plan, graph, CUDNN_HEUR_MODE_A));
    if (!plan->plan) BL_TRY(find_engine(dnn, plan, graph, CUDNN_HEUR_MODE_FALLBACK));
    if (plan->plan) return BL_OK;
    const size_t version = dnn->cudnnGetVersion();
    return bl_fail(BL_ERROR_UNSUPPORTED,
                   "attention: cudnn: version %zu.%zu has no engine for the %s of %lld heads of %lld on this GPU that "
                   "repeats its results (its backward needs Hopper or newer); use --attention native or unfused, or "
                   "leave it unset",
                   version / 10000, version / 100 % 100, plan->shape.backward ? "backward" : "forward",
                   (long long) plan->shape.heads, (long long) plan->shape.size);
}

static bool same_shape(const Shape &a, const Shape &b) {
    return a.batch == b.batch && a.heads == b.heads && a.size == b.size && a.length == b.length &&
           a.hidden == b.hidden && a.dtype == b.dtype && a.backward == b.backward && a.threshold == b.threshold;
}

static bl_status find_plan(bl_context *ctx, Dnn *dnn, const Shape &shape, Plan **out) {
    for (Plan *plan = dnn->plans; plan; plan = plan->next) {
        if (!same_shape(plan->shape, shape)) continue;
        *out = plan;
        return BL_OK;
    }
    if (bl_cuda_capturing(ctx))
        return bl_fail(BL_ERROR_UNSUPPORTED, "attention: cudnn: a shape is new inside a captured step; run one step of "
                                             "this shape before capturing");
    Plan *plan = static_cast<Plan *>(calloc(1, sizeof *plan));
    if (!plan) return bl_fail(BL_ERROR_MEMORY, "attention: cudnn: out of memory");
    plan->shape = shape;
    const bl_status status = fill_plan(dnn, plan);
    if (status != BL_OK) {
        free_plan(dnn, plan);
        return status;
    }
    plan->next = dnn->plans;
    dnn->plans = plan;
    *out = plan;
    return BL_OK;
}

/* ---- running it ---- */

/*
 * Lengths of the sequences, and where in qkv and in out each one's first element lies; seed and offset of dropout. Of
 * these only the seed changes, by a bijection of 64 bits (SplitMix64's): offsets nearby would give numbers in common.
 */
__global__ void attention_offsets_kernel(const Attention call, int32_t *lengths, int32_t *qkv, int32_t *out,
                                         int64_t *drawn) {
    if (threadIdx.x == 0 && call.dropout.state) {
        uint64_t x = static_cast<uint64_t>(call.dropout.state[0]);
        const uint64_t parts[2] = {static_cast<uint64_t>(call.dropout.state[1]), call.dropout.op};
        for (int i = 0; i < 2; i++) {
            x += 0x9e3779b97f4a7c15u + parts[i];
            x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
            x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
            x ^= x >> 31;
        }
        drawn[0] = static_cast<int64_t>(x >> 1);
        drawn[1] = 0;
    }
    for (int b = threadIdx.x; b <= call.batch; b += blockDim.x) {
        int64_t begin = call.rows;
        if (b < call.batch) {
            const Segment segment(call, b);
            lengths[b] = segment.length;
            begin = segment.length > 0 ? segment.begin : 0;
        }
        qkv[b] = static_cast<int32_t>(begin * 3 * call.hidden);
        out[b] = static_cast<int32_t>(begin * call.hidden);
    }
}

/* Scratch memory of one call; the same calls count and carve. */
struct Parts {
    int32_t *lengths, *qkv_offsets, *out_offsets;
    int64_t *drawn;
    float *stats;
    void *workspace;
};

static void carve(Parts *parts, Carver *carver, const Plan *plan, const Attention &call) {
    parts->lengths = carver->take<int32_t>(call.batch + 1);
    parts->qkv_offsets = carver->take<int32_t>(call.batch + 1);
    parts->out_offsets = carver->take<int32_t>(call.batch + 1);
    parts->drawn = carver->take<int64_t>(2);
    const int64_t sums = static_cast<int64_t>(call.batch) * call.heads * call.max_length;
    parts->stats = call.stats ? call.stats : carver->take<float>(sums);
    parts->workspace = carver->take<char>(plan->workspace);
}

static bl_status execute(bl_context *ctx, const Dnn *dnn, Plan *plan, const Attention &call) {
    const size_t apart = static_cast<size_t>(call.hidden) * 2; /* bytes from q to k to v */
    Parts parts;
    Carver carver = {0, 0};
    carve(&parts, &carver, plan, call);
    void *memory;
    BL_TRY(bl_cuda_scratch(ctx, carver.used, &memory));
    carver = carver_open(memory);
    carve(&parts, &carver, plan, call);
    BL_LAUNCH(attention_offsets_kernel, 1, 256, 0, bl_cuda_of(ctx)->stream, call, parts.lengths, parts.qkv_offsets,
              parts.out_offsets, parts.drawn);

    float scale = call.scale, lowest = -FLT_MAX, keep_scale = call.dropout.scale;
    char *qkv = static_cast<char *>(const_cast<void *>(call.qkv)), *dqkv = static_cast<char *>(call.dqkv);
    int64_t uids[UID_END];
    void *pointers[UID_END];
    int64_t count = 0;
    const auto add = [&](int64_t uid, void *p) {
        uids[count] = uid;
        pointers[count++] = p;
    };
    add(UID_Q, qkv);
    add(UID_K, qkv + apart);
    add(UID_V, qkv + 2 * apart);
    add(UID_OUT, call.out);
    add(UID_SCALE, &scale);
    add(UID_LOWEST, &lowest);
    add(UID_LENGTHS, parts.lengths);
    add(UID_QKV_OFFSETS, parts.qkv_offsets);
    add(UID_OUT_OFFSETS, parts.out_offsets);
    add(UID_STATS, parts.stats);
    if (plan->shape.threshold) {
        add(UID_SEED, parts.drawn);
        add(UID_OFFSET, parts.drawn + 1);
        add(UID_KEEP_SCALE, &keep_scale);
    }
    if (plan->shape.backward) {
        add(UID_DOUT, const_cast<void *>(call.dout));
        add(UID_DQ, dqkv);
        add(UID_DK, dqkv + apart);
        add(UID_DV, dqkv + 2 * apart);
    }
    /* A pack is rebuilt each time: once finalised it cannot be changed. */
    cudnnBackendDescriptor_t pack;
    DNN_TRY(dnn->cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack), "pack");
    bl_status status = set(dnn, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, uids);
    if (status == BL_OK)
        status = set(dnn, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, pointers);
    if (status == BL_OK)
        status = set(dnn, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &parts.workspace);
    if (status == BL_OK) {
        cudnnStatus_t result = dnn->cudnnBackendFinalize(pack);
        if (result == CUDNN_STATUS_SUCCESS) result = dnn->cudnnBackendExecute(dnn->handle, plan->plan, pack);
        if (result != CUDNN_STATUS_SUCCESS) status = fail_dnn(dnn, result, "running");
    }
    (void) dnn->cudnnBackendDestroyDescriptor(pack);
    return status;
}

/* The plans of a call: of its own pass, and of the backward pass (NULL) if `both`. */
static bl_status find_plans(bl_context *ctx, Dnn **dnn, Plan **plan, Plan **later, const Attention &call, int32_t dtype,
                            bool backward, bool both) {
    if (call.rows * 3 * call.hidden > INT32_MAX)
        return bl_fail(BL_ERROR_UNSUPPORTED,
                       "attention: cudnn: more than 2^31 elements in qkv; use smaller batches, or "
                       "leave --attention unset");
    BL_TRY(open_dnn(ctx, dnn));
    Shape shape = {call.batch,  call.heads, call.size, call.max_length,
                   call.hidden, dtype,      backward,  call.dropout.threshold};
    BL_TRY(find_plan(ctx, *dnn, shape, plan));
    shape.backward = true;
    if (both) BL_TRY(find_plan(ctx, *dnn, shape, later));
    return BL_OK;
}

static bl_status run(bl_context *ctx, const Attention &call, int32_t dtype, bool backward) {
    Dnn *dnn = nullptr;
    Plan *plan = nullptr, *later = nullptr;
    BL_TRY(find_plans(ctx, &dnn, &plan, &later, call, dtype, backward, call.stats && !backward));
    return execute(ctx, dnn, plan, call);
}

bl_status bl_cuda_attention_cudnn_bytes(bl_context *ctx, const Attention &call, int32_t dtype, size_t *bytes) {
    Dnn *dnn = nullptr;
    Plan *plans[2] = {};
    Parts parts;
    BL_TRY(find_plans(ctx, &dnn, &plans[0], &plans[1], call, dtype, false, true));
    for (const Plan *plan : plans) {
        Carver carver = {0, 0};
        carve(&parts, &carver, plan, call);
        if (carver.used > *bytes) *bytes = carver.used;
    }
    return BL_OK;
}

bl_status bl_cuda_attention_cudnn_forward(bl_context *ctx, const Attention &call, int32_t dtype) {
    return run(ctx, call, dtype, false);
}
bl_status bl_cuda_attention_cudnn_backward(bl_context *ctx, const Attention &call, int32_t dtype) {
    return run(ctx, call, dtype, true);
}

#endif
