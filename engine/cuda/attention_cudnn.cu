/*
 * attention_cudnn.cu - attention by cuDNN's own fused kernels, for bf16 and f16
 * without dropout, through its backend API: one operation descriptor each for
 * forward and backward, both with sequence lengths and ragged offsets, so that
 * padded and packed batches are the same to it.
 *
 * The library is opened when it is first asked for; nothing here is linked
 * with it. A plan is made for each shape, outside of captures, and kept: making
 * one takes long. Only engines that repeat their results bit for bit are taken.
 * A forward that is to be differentiated makes the plan of the backward too,
 * so that what cuDNN cannot do is said before a step has begun.
 *
 * cuDNN 9.19 takes the forward's graph, but refuses every graph with its
 * backward operation (tried on a machine without a GPU, where graphs can be
 * made but not run): with it, only inference is possible. Kernels have never
 * run through this file.
 */
#include "cuda/attention.cuh"

#include <dlfcn.h>
#include <stdlib.h>

#if __has_include(<cudnn_graph.h>)
#include <cudnn_graph.h>
#endif

#if !defined(CUDNN_VERSION) || CUDNN_VERSION < 91900 || defined(BL_CUDA_EMULATION)

static bl_status refuse(void) {
    return bl_fail(BL_ERROR_UNSUPPORTED, "attention: cudnn: not part of this build, which had no headers of cuDNN 9.19 "
                                         "or newer; leave --attention unset");
}
bl_status bl_cuda_attention_cudnn_forward(bl_context *, const Attention &, int32_t) {
    return refuse();
}
bl_status bl_cuda_attention_cudnn_backward(bl_context *, const Attention &, int32_t) {
    return refuse();
}

#else

/* ---- the library ---- */

#define BL_DNN_FUNCTIONS(entry)                                                                                        \
    entry(cudnnCreate) entry(cudnnDestroy) entry(cudnnSetStream) entry(cudnnGetVersion) entry(cudnnGetErrorString)     \
        entry(cudnnGetLastErrorString) entry(cudnnBackendCreateDescriptor) entry(cudnnBackendDestroyDescriptor)        \
            entry(cudnnBackendSetAttribute) entry(cudnnBackendGetAttribute) entry(cudnnBackendFinalize)                \
                entry(cudnnBackendExecute)

/* Numbers by which a plan knows its tensors. */
enum Uid {
    UID_Q = 1,
    UID_K,
    UID_V,
    UID_OUT,
    UID_STATS,
    UID_SCALE,
    UID_LENGTHS,
    UID_QKV_OFFSETS,
    UID_OUT_OFFSETS,
    UID_DOUT,
    UID_DQ,
    UID_DK,
    UID_DV,
    UID_END
};

struct Shape {
    int64_t batch, heads, size, length, hidden;
    int32_t dtype;
    bool stats, backward;
};

/* Descriptors live as long as the plan that was made of them. */
enum { MOST_DESCRIPTORS = 96 };

struct Plan {
    Shape shape;
    Plan *next;
    cudnnBackendDescriptor_t plan;
    int64_t workspace;
    cudnnBackendDescriptor_t all[MOST_DESCRIPTORS];
    int count;
};

struct Dnn {
    void *library;
    cudnnHandle_t handle;
    Plan *plans;
#define BL_DNN_MEMBER(name) __typeof__(&::name) name;
    BL_DNN_FUNCTIONS(BL_DNN_MEMBER)
#undef BL_DNN_MEMBER
};

static bl_status fail_dnn(const Dnn *dnn, cudnnStatus_t status, const char *what) {
    char detail[256] = "";
    dnn->cudnnGetLastErrorString(detail, sizeof detail);
    for (char *p = detail; *p; p++)
        if (*p == '\n') *p = ' ';
    return bl_fail(BL_ERROR_INTERNAL, "attention: cudnn: %s: %s %s", what, dnn->cudnnGetErrorString(status), detail);
}

#define DNN_TRY(call, what)                                                                                            \
    do {                                                                                                               \
        cudnnStatus_t dnn_status_ = (call);                                                                            \
        if (dnn_status_ != CUDNN_STATUS_SUCCESS) return fail_dnn(dnn, dnn_status_, what);                              \
    } while (0)

static void free_plan(const Dnn *dnn, Plan *plan) {
    for (int i = plan->count - 1; i >= 0; i--)
        (void) dnn->cudnnBackendDestroyDescriptor(plan->all[i]);
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
    dnn->library = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!dnn->library)
        return bl_fail(BL_ERROR_UNSUPPORTED, "attention: cudnn: libcudnn.so.9 is not found; install cuDNN 9 or add its "
                                             "folder to LD_LIBRARY_PATH, or leave --attention unset");
#define BL_DNN_LOAD(name)                                                                                              \
    dnn->name = reinterpret_cast<__typeof__(&::name)>(dlsym(dnn->library, #name));                                     \
    if (!dnn->name) return bl_fail(BL_ERROR_UNSUPPORTED, "attention: cudnn: libcudnn.so.9 has no " #name);
    BL_DNN_FUNCTIONS(BL_DNN_LOAD)
#undef BL_DNN_LOAD
    if (dnn->cudnnGetVersion() < 91900)
        return bl_fail(BL_ERROR_UNSUPPORTED,
                       "attention: cudnn: libcudnn.so.9 is version %zu.%zu, 9.19 is needed; install a newer one, or "
                       "leave --attention unset",
                       dnn->cudnnGetVersion() / 10000, dnn->cudnnGetVersion() / 100 % 100);
    return BL_OK;
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

static bl_status create(const Dnn *dnn, Plan *plan, cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out) {
    if (plan->count == MOST_DESCRIPTORS) return bl_fail(BL_ERROR_INTERNAL, "attention: cudnn: too many descriptors");
    DNN_TRY(dnn->cudnnBackendCreateDescriptor(type, out), "descriptor");
    plan->all[plan->count++] = *out;
    return BL_OK;
}

static bl_status set(const Dnn *dnn, cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name,
                     cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    DNN_TRY(dnn->cudnnBackendSetAttribute(to, name, type, count, values), "attribute");
    return BL_OK;
}

static bl_status link(const Dnn *dnn, cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name,
                      cudnnBackendDescriptor_t descriptor) {
    return set(dnn, to, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &descriptor);
}

/* A tensor of four dimensions; `offsets` may be NULL. */
static bl_status make_tensor(const Dnn *dnn, Plan *plan, int64_t uid, cudnnDataType_t type, const int64_t (&dims)[4],
                             const int64_t (&strides)[4], cudnnBackendDescriptor_t offsets,
                             cudnnBackendDescriptor_t *out) {
    const int64_t alignment = uid == UID_SCALE || type == CUDNN_DATA_INT32 ? 4 : 16;
    const bool by_value = uid == UID_SCALE;
    BL_TRY(create(dnn, plan, CUDNN_BACKEND_TENSOR_DESCRIPTOR, out));
    BL_TRY(set(dnn, *out, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type));
    BL_TRY(set(dnn, *out, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims));
    BL_TRY(set(dnn, *out, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides));
    BL_TRY(set(dnn, *out, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid));
    BL_TRY(set(dnn, *out, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment));
    if (by_value) BL_TRY(set(dnn, *out, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &by_value));
    if (offsets) BL_TRY(link(dnn, *out, CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC, offsets));
    DNN_TRY(dnn->cudnnBackendFinalize(*out), "tensor");
    return BL_OK;
}

/* An attribute of the operation and the tensor it takes. */
struct Port {
    cudnnBackendAttributeName_t name;
    int uid;
};

static const Port FORWARD[] = {
    {CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, UID_Q},
    {CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, UID_K},
    {CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, UID_V},
    {CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, UID_OUT},
    {CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC, UID_STATS},
    {CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, UID_SCALE},
    {CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_QDESC, UID_LENGTHS},
    {CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_KVDESC, UID_LENGTHS},
};

static const Port BACKWARD[] = {
    {CUDNN_ATTR_OPERATION_SDPA_BWD_QDESC, UID_Q},
    {CUDNN_ATTR_OPERATION_SDPA_BWD_KDESC, UID_K},
    {CUDNN_ATTR_OPERATION_SDPA_BWD_VDESC, UID_V},
    {CUDNN_ATTR_OPERATION_SDPA_BWD_ODESC, UID_OUT},
    {CUDNN_ATTR_OPERATION_SDPA_BWD_DODDESC, UID_DOUT},
    {CUDNN_ATTR_OPERATION_SDPA_BWD_STATSDESC, UID_STATS},
    {CUDNN_ATTR_OPERATION_SDPA_BWD_SCALEDESC, UID_SCALE},
    {CUDNN_ATTR_OPERATION_SDPA_BWD_SEQ_LEN_QDESC, UID_LENGTHS},
    {CUDNN_ATTR_OPERATION_SDPA_BWD_SEQ_LEN_KVDESC, UID_LENGTHS},
    {CUDNN_ATTR_OPERATION_SDPA_BWD_DQDESC, UID_DQ},
    {CUDNN_ATTR_OPERATION_SDPA_BWD_DKDESC, UID_DK},
    {CUDNN_ATTR_OPERATION_SDPA_BWD_DVDESC, UID_DV},
};

/* The operation of a shape, with all its tensors. */
static bl_status make_operation(const Dnn *dnn, Plan *plan, cudnnBackendDescriptor_t *out) {
    const Shape &s = plan->shape;
    const cudnnDataType_t act = s.dtype == BL_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF;
    const int64_t one[4] = {1, 1, 1, 1}, list[4] = {s.batch, 1, 1, 1}, longer[4] = {s.batch + 1, 1, 1, 1};
    const int64_t rows[4] = {s.batch, s.heads, s.length, s.size}, sums[4] = {s.batch, s.heads, s.length, 1};
    /* Of ragged tensors, the first stride has no meaning. */
    const int64_t qkv_strides[4] = {s.length * 3 * s.hidden, s.size, 3 * s.hidden, 1};
    const int64_t out_strides[4] = {s.length * s.hidden, s.size, s.hidden, 1};
    const int64_t sums_strides[4] = {s.heads * s.length, s.length, 1, 1};
    cudnnBackendDescriptor_t t[UID_END] = {};
    BL_TRY(make_tensor(dnn, plan, UID_SCALE, CUDNN_DATA_FLOAT, one, one, nullptr, &t[UID_SCALE]));
    BL_TRY(make_tensor(dnn, plan, UID_LENGTHS, CUDNN_DATA_INT32, list, one, nullptr, &t[UID_LENGTHS]));
    BL_TRY(make_tensor(dnn, plan, UID_QKV_OFFSETS, CUDNN_DATA_INT32, longer, one, nullptr, &t[UID_QKV_OFFSETS]));
    BL_TRY(make_tensor(dnn, plan, UID_OUT_OFFSETS, CUDNN_DATA_INT32, longer, one, nullptr, &t[UID_OUT_OFFSETS]));
    if (s.stats || s.backward)
        BL_TRY(make_tensor(dnn, plan, UID_STATS, CUDNN_DATA_FLOAT, sums, sums_strides, nullptr, &t[UID_STATS]));
    for (int uid : {UID_Q, UID_K, UID_V, UID_DQ, UID_DK, UID_DV})
        if (uid <= UID_V || s.backward)
            BL_TRY(make_tensor(dnn, plan, uid, act, rows, qkv_strides, t[UID_QKV_OFFSETS], &t[uid]));
    for (int uid : {UID_OUT, UID_DOUT})
        if (uid == UID_OUT || s.backward)
            BL_TRY(make_tensor(dnn, plan, uid, act, rows, out_strides, t[UID_OUT_OFFSETS], &t[uid]));

    BL_TRY(create(
        dnn, plan,
        s.backward ? CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR : CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, out));
    const Port *ports = s.backward ? BACKWARD : FORWARD;
    const size_t count = s.backward ? sizeof BACKWARD / sizeof *BACKWARD : sizeof FORWARD / sizeof *FORWARD;
    for (size_t i = 0; i < count; i++)
        if (t[ports[i].uid]) BL_TRY(link(dnn, *out, ports[i].name, t[ports[i].uid]));
    DNN_TRY(dnn->cudnnBackendFinalize(*out), s.backward ? "backward operation" : "forward operation");
    return BL_OK;
}

/* True if an engine says that it may give other bits the next time. */
static bool wavers(const Dnn *dnn, Plan *plan, cudnnBackendDescriptor_t config) {
    cudnnBackendDescriptor_t engine;
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t count = 0;
    if (create(dnn, plan, CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) != BL_OK ||
        dnn->cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count,
                                      &engine) != CUDNN_STATUS_SUCCESS ||
        dnn->cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                      CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes) != CUDNN_STATUS_SUCCESS)
        return true;
    for (int64_t i = 0; i < count && i < CUDNN_NUMERICAL_NOTE_TYPE_COUNT; i++)
        if (notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) return true;
    return false;
}

/* plan->plan: the first engine that takes the graph and repeats itself; NULL if none does. */
static bl_status find_engine(const Dnn *dnn, Plan *plan, cudnnBackendDescriptor_t graph, cudnnBackendHeurMode_t mode) {
    enum { MOST_CONFIGS = 12 };
    cudnnBackendDescriptor_t heuristics, configs[MOST_CONFIGS];
    int64_t count = 0;
    BL_TRY(create(dnn, plan, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics));
    BL_TRY(link(dnn, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph));
    BL_TRY(set(dnn, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode));
    if (dnn->cudnnBackendFinalize(heuristics) != CUDNN_STATUS_SUCCESS) return BL_OK; /* it knows no engine */
    for (int i = 0; i < MOST_CONFIGS; i++)
        BL_TRY(create(dnn, plan, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[i]));
    if (dnn->cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                      MOST_CONFIGS, &count, configs) != CUDNN_STATUS_SUCCESS)
        return BL_OK;
    for (int64_t i = 0; i < count && i < MOST_CONFIGS; i++) {
        cudnnBackendDescriptor_t candidate;
        if (wavers(dnn, plan, configs[i])) continue;
        BL_TRY(create(dnn, plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &candidate));
        BL_TRY(set(dnn, candidate, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &dnn->handle));
        BL_TRY(link(dnn, candidate, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configs[i]));
        if (dnn->cudnnBackendFinalize(candidate) != CUDNN_STATUS_SUCCESS) continue;
        DNN_TRY(dnn->cudnnBackendGetAttribute(candidate, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
                                              &count, &plan->workspace),
                "workspace");
        plan->plan = candidate;
        return BL_OK;
    }
    return BL_OK;
}

static bl_status fill_plan(const Dnn *dnn, Plan *plan) {
    cudnnBackendDescriptor_t operation, graph;
    BL_TRY(make_operation(dnn, plan, &operation));
    BL_TRY(create(dnn, plan, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, &graph));
    BL_TRY(set(dnn, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &dnn->handle));
    BL_TRY(link(dnn, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, operation));
    const cudnnStatus_t status = dnn->cudnnBackendFinalize(graph);
    if (status == CUDNN_STATUS_SUCCESS) {
        BL_TRY(find_engine(dnn, plan, graph, CUDNN_HEUR_MODE_A));
        if (!plan->plan) BL_TRY(find_engine(dnn, plan, graph, CUDNN_HEUR_MODE_FALLBACK));
    }
    if (plan->plan) return BL_OK;
    const size_t version = dnn->cudnnGetVersion();
    return bl_fail(BL_ERROR_UNSUPPORTED,
                   "attention: cudnn: version %zu.%zu has no engine for the %s of %lld heads of %lld on this GPU that "
                   "repeats its results; leave --attention unset",
                   version / 10000, version / 100 % 100, plan->shape.backward ? "backward" : "forward",
                   (long long) plan->shape.heads, (long long) plan->shape.size);
}

static bool same_shape(const Shape &a, const Shape &b) {
    return a.batch == b.batch && a.heads == b.heads && a.size == b.size && a.length == b.length &&
           a.hidden == b.hidden && a.dtype == b.dtype && a.stats == b.stats && a.backward == b.backward;
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

/* Lengths of the sequences, and where in qkv and in out each one's first element lies. */
__global__ void attention_offsets_kernel(const Attention call, int32_t *lengths, int32_t *qkv, int32_t *out) {
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

static bl_status execute(bl_context *ctx, const Dnn *dnn, Plan *plan, const Attention &call) {
    const size_t list = (static_cast<size_t>(call.batch) + 1 + 63) / 64 * 64;
    const size_t parts = static_cast<size_t>(call.hidden) * 2; /* bytes from q to k to v */
    void *memory;
    BL_TRY(bl_cuda_scratch(ctx, 3 * list * sizeof(int32_t) + static_cast<size_t>(plan->workspace), &memory));
    int32_t *lengths = static_cast<int32_t *>(memory), *qkv_offsets = lengths + list, *out_offsets = qkv_offsets + list;
    void *workspace = out_offsets + list;
    BL_LAUNCH(attention_offsets_kernel, 1, 256, 0, bl_cuda_of(ctx)->stream, call, lengths, qkv_offsets, out_offsets);

    float scale = call.scale;
    char *qkv = static_cast<char *>(const_cast<void *>(call.qkv)), *dqkv = static_cast<char *>(call.dqkv);
    int64_t uids[UID_END];
    void *pointers[UID_END];
    int64_t count = 0;
    const auto add = [&](int64_t uid, void *p) {
        uids[count] = uid;
        pointers[count++] = p;
    };
    add(UID_Q, qkv);
    add(UID_K, qkv + parts);
    add(UID_V, qkv + 2 * parts);
    add(UID_OUT, call.out);
    add(UID_SCALE, &scale);
    add(UID_LENGTHS, lengths);
    add(UID_QKV_OFFSETS, qkv_offsets);
    add(UID_OUT_OFFSETS, out_offsets);
    if (plan->shape.stats || plan->shape.backward) add(UID_STATS, call.stats);
    if (plan->shape.backward) {
        add(UID_DOUT, const_cast<void *>(call.dout));
        add(UID_DQ, dqkv);
        add(UID_DK, dqkv + parts);
        add(UID_DV, dqkv + 2 * parts);
    }
    /* A pack is made anew each time: once finalised it cannot be changed. */
    cudnnBackendDescriptor_t pack;
    DNN_TRY(dnn->cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack), "pack");
    bl_status status = set(dnn, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, uids);
    if (status == BL_OK)
        status = set(dnn, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, pointers);
    if (status == BL_OK) status = set(dnn, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    if (status == BL_OK) {
        cudnnStatus_t result = dnn->cudnnBackendFinalize(pack);
        if (result == CUDNN_STATUS_SUCCESS) result = dnn->cudnnBackendExecute(dnn->handle, plan->plan, pack);
        if (result != CUDNN_STATUS_SUCCESS) status = fail_dnn(dnn, result, "running");
    }
    (void) dnn->cudnnBackendDestroyDescriptor(pack);
    return status;
}

static bl_status run(bl_context *ctx, const Attention &call, int32_t dtype, bool backward) {
    if (call.rows * 3 * call.hidden > INT32_MAX)
        return bl_fail(BL_ERROR_UNSUPPORTED,
                       "attention: cudnn: more than 2^31 elements in qkv; use smaller batches, or "
                       "leave --attention unset");
    Dnn *dnn = nullptr;
    Plan *plan = nullptr, *later = nullptr;
    BL_TRY(open_dnn(ctx, &dnn));
    Shape shape = {call.batch, call.heads, call.size, call.max_length, call.hidden, dtype, call.stats != nullptr,
                   backward};
    BL_TRY(find_plan(ctx, dnn, shape, &plan));
    if (shape.stats && !backward) {
        shape.backward = true;
        BL_TRY(find_plan(ctx, dnn, shape, &later));
    }
    return execute(ctx, dnn, plan, call);
}

bl_status bl_cuda_attention_cudnn_forward(bl_context *ctx, const Attention &call, int32_t dtype) {
    return run(ctx, call, dtype, false);
}
bl_status bl_cuda_attention_cudnn_backward(bl_context *ctx, const Attention &call, int32_t dtype) {
    return run(ctx, call, dtype, true);
}

#endif
