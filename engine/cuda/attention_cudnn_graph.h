/*
 * attention_cudnn_graph.h - attention as graphs of cuDNN's operations, which
 * its fused engines recognise: products, softmax over the keys of each
 * sequence, dropout by cuDNN's own random numbers, and the backward pass that
 * recomputes the scores (FlashAttention, arXiv 2205.14135, algorithm 4).
 *
 * Graphs can be made on a machine without a GPU, so this file knows nothing of
 * CUDA's runtime: spec/cuda/emulation/cudnn.cc asks cuDNN for the engines that
 * take them. cuDNN 9.19 has an operation for the whole forward pass too, and
 * one for the backward pass that its graphs refuse; dropout is in neither.
 */
#ifndef BERTLUA_CUDA_ATTENTION_CUDNN_GRAPH_H
#define BERTLUA_CUDA_ATTENTION_CUDNN_GRAPH_H

#include <cudnn_graph.h>
#include <float.h>
#include <stdint.h>

extern "C" {
#include "core/internal.h"
}

/* ---- the library ---- */

#define BL_DNN_FUNCTIONS(entry)                                                                                        \
    entry(cudnnCreate) entry(cudnnDestroy) entry(cudnnSetStream) entry(cudnnGetVersion) entry(cudnnGetErrorString)     \
        entry(cudnnGetLastErrorString) entry(cudnnBackendCreateDescriptor) entry(cudnnBackendDestroyDescriptor)        \
            entry(cudnnBackendSetAttribute) entry(cudnnBackendGetAttribute) entry(cudnnBackendFinalize)                \
                entry(cudnnBackendExecute)

/* Numbers by which a plan knows the tensors that it is given; those between its operations follow. */
enum Uid {
    UID_Q = 1,
    UID_K,
    UID_V,
    UID_OUT,
    UID_STATS,
    UID_SCALE,
    UID_LOWEST,
    UID_LENGTHS,
    UID_QKV_OFFSETS,
    UID_OUT_OFFSETS,
    UID_SEED,
    UID_OFFSET,
    UID_KEEP_SCALE,
    UID_DOUT,
    UID_DQ,
    UID_DK,
    UID_DV,
    UID_END
};

struct Shape {
    int64_t batch, heads, size, length, hidden;
    int32_t dtype;
    bool backward;
    uint32_t threshold; /* of dropout; 0 for none */
};

/* Descriptors live as long as the plan made of them. */
enum { MOST_DESCRIPTORS = 192 };

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

static inline bl_status fail_dnn(const Dnn *dnn, cudnnStatus_t status, const char *what) {
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

static inline bl_status create(const Dnn *dnn, Plan *plan, cudnnBackendDescriptorType_t type,
                               cudnnBackendDescriptor_t *out) {
    if (plan->count == MOST_DESCRIPTORS) return bl_fail(BL_ERROR_INTERNAL, "attention: cudnn: too many descriptors");
    DNN_TRY(dnn->cudnnBackendCreateDescriptor(type, out), "descriptor");
    plan->all[plan->count++] = *out;
    return BL_OK;
}

static inline bl_status set(const Dnn *dnn, cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name,
                            cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    DNN_TRY(dnn->cudnnBackendSetAttribute(to, name, type, count, values), "attribute");
    return BL_OK;
}

static inline bl_status link(const Dnn *dnn, cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name,
                             cudnnBackendDescriptor_t descriptor) {
    return set(dnn, to, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &descriptor);
}

static inline void free_plan_descriptors(const Dnn *dnn, Plan *plan) {
    for (int i = plan->count - 1; i >= 0; i--)
        (void) dnn->cudnnBackendDestroyDescriptor(plan->all[i]);
    plan->count = 0;
}

/* ---- the graph ---- */

typedef cudnnBackendDescriptor_t Node;

/* Four dimensions and their strides. */
struct Extent {
    int64_t dims[4], strides[4];
};

/* Builds a graph; after a failure everything else does nothing, and `status` says why. */
struct Builder {
    const Dnn *dnn;
    Plan *plan;
    bl_status status;
    int64_t between; /* number of the last tensor between operations */
    Node operations[40];
    int64_t count;

    bool ok() const {
        return status == BL_OK;
    }

    Node make(cudnnBackendDescriptorType_t type) {
        Node node = nullptr;
        if (ok()) status = create(dnn, plan, type, &node);
        return node;
    }

    void put(Node node, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n,
             const void *values) {
        if (ok()) status = set(dnn, node, name, type, n, values);
    }

    void join(Node node, cudnnBackendAttributeName_t name, Node other) {
        if (other && ok()) status = link(dnn, node, name, other);
    }

    Node finish(Node node, const char *what) {
        if (!ok()) return node;
        const cudnnStatus_t result = dnn->cudnnBackendFinalize(node);
        if (result != CUDNN_STATUS_SUCCESS) status = fail_dnn(dnn, result, what);
        return node;
    }

    Node perform(Node node, const char *what) {
        finish(node, what);
        if (ok() && count == static_cast<int64_t>(sizeof operations / sizeof *operations))
            status = bl_fail(BL_ERROR_INTERNAL, "attention: cudnn: too many operations");
        if (ok()) operations[count++] = node;
        return node;
    }

    /* A tensor that the caller passes: `ragged` says where each sequence begins, or NULL; by_value: on the host. */
    Node given(int64_t uid, cudnnDataType_t type, const Extent &extent, Node ragged = nullptr, bool by_value = false) {
        return tensor(uid, type, extent, ragged, by_value, false);
    }

    /* One without memory behind it. */
    Node value(const Extent &extent, cudnnDataType_t type = CUDNN_DATA_FLOAT) {
        return tensor(++between, type, extent, nullptr, false, true);
    }

    Node tensor(int64_t uid, cudnnDataType_t type, const Extent &extent, Node ragged, bool by_value, bool inside) {
        const int64_t alignment = by_value || type == CUDNN_DATA_INT32 ? 4 : type == CUDNN_DATA_INT64 ? 8 : 16;
        Node node = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
        put(node, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
        put(node, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, extent.dims);
        put(node, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, extent.strides);
        put(node, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
        put(node, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
        if (by_value) put(node, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &by_value);
        if (inside) put(node, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &inside);
        join(node, CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC, ragged);
        return finish(node, "tensor");
    }

    /* y = mode(x, b, t), along an axis if it is 0 or more. Returns y. */
    Node pointwise(cudnnPointwiseMode_t mode, Node x, Node b, Node y, Node t = nullptr, int64_t axis = -1,
                   cudnnDataType_t arithmetic = CUDNN_DATA_FLOAT) {
        Node what = make(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
        put(what, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
        put(what, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &arithmetic);
        if (axis >= 0) put(what, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, 1, &axis);
        finish(what, "pointwise");
        Node node = make(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
        join(node, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, what);
        join(node, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
        join(node, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
        join(node, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, t);
        join(node, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
        perform(node, "pointwise");
        return y;
    }

    Node times(Node x, Node b, Node y) {
        return pointwise(CUDNN_POINTWISE_MUL, x, b, y);
    }

    Node product(Node a, Node b, Node c) {
        const cudnnDataType_t arithmetic = CUDNN_DATA_FLOAT;
        Node what = make(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
        put(what, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &arithmetic);
        finish(what, "product");
        Node node = make(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
        join(node, CUDNN_ATTR_OPERATION_MATMUL_DESC, what);
        join(node, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a);
        join(node, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b);
        join(node, CUDNN_ATTR_OPERATION_MATMUL_CDESC, c);
        perform(node, "product");
        return c;
    }

    Node reduce(cudnnReduceTensorOp_t how, Node x, Node y) {
        const cudnnDataType_t arithmetic = CUDNN_DATA_FLOAT;
        Node what = make(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
        put(what, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &how);
        put(what, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &arithmetic);
        finish(what, "reduction");
        Node node = make(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
        join(node, CUDNN_ATTR_OPERATION_REDUCTION_DESC, what);
        join(node, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
        join(node, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y);
        perform(node, "reduction");
        return y;
    }

    /* The same elements with other strides. */
    Node transpose(Node x, Node y) {
        Node node = make(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
        join(node, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x);
        join(node, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y);
        perform(node, "transposition");
        return y;
    }

    /* 1 with this probability, else 0. */
    Node coins(double probability, Node seed, Node offset, Node y) {
        const cudnnRngDistribution_t kind = CUDNN_RNG_DISTRIBUTION_BERNOULLI;
        Node what = make(CUDNN_BACKEND_RNG_DESCRIPTOR);
        put(what, CUDNN_ATTR_RNG_DISTRIBUTION, CUDNN_TYPE_RNG_DISTRIBUTION, 1, &kind);
        put(what, CUDNN_ATTR_RNG_BERNOULLI_DIST_PROBABILITY, CUDNN_TYPE_DOUBLE, 1, &probability);
        finish(what, "random numbers");
        Node node = make(CUDNN_BACKEND_OPERATION_RNG_DESCRIPTOR);
        join(node, CUDNN_ATTR_OPERATION_RNG_DESC, what);
        join(node, CUDNN_ATTR_OPERATION_RNG_SEED, seed);
        join(node, CUDNN_ATTR_OPERATION_RNG_OFFSET_DESC, offset);
        join(node, CUDNN_ATTR_OPERATION_RNG_YDESC, y);
        perform(node, "random numbers");
        return y;
    }
};

/* What both passes have in common: extents of a shape, and the tensors that either takes. */
struct AttentionGraph : Builder {
    cudnnDataType_t act;
    Extent one, scores, turned, sums, qkv, qkv_turned, rows;
    Node offsets_qkv, offsets_out, lengths, scale, q, keys, out, stats;
    Node coin, keep_scale; /* of dropout */

    AttentionGraph(const Dnn *library, Plan *owner)
        : Builder{library, owner, BL_OK, 1000, {}, 0}, coin(nullptr), keep_scale(nullptr) {
        const Shape &s = owner->shape;
        const int64_t b = s.batch, h = s.heads, l = s.length, d = s.size, w = s.hidden;
        act = s.dtype == BL_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF;
        one = {{1, 1, 1, 1}, {1, 1, 1, 1}};
        scores = {{b, h, l, l}, {h * l * l, l * l, l, 1}};
        turned = {{b, h, l, l}, {h * l * l, l * l, 1, l}};
        sums = {{b, h, l, 1}, {h * l, l, 1, 1}};
        /* Of ragged tensors, the first stride has no meaning. */
        qkv = {{b, h, l, d}, {l * 3 * w, d, 3 * w, 1}};
        qkv_turned = {{b, h, d, l}, {l * 3 * w, d, 1, 3 * w}};
        rows = {{b, h, l, d}, {l * w, d, w, 1}};
        const Extent list = {{b, 1, 1, 1}, {1, 1, 1, 1}}, longer = {{b + 1, 1, 1, 1}, {1, 1, 1, 1}};
        offsets_qkv = given(UID_QKV_OFFSETS, CUDNN_DATA_INT32, longer);
        offsets_out = given(UID_OUT_OFFSETS, CUDNN_DATA_INT32, longer);
        lengths = given(UID_LENGTHS, CUDNN_DATA_INT32, list);
        scale = given(UID_SCALE, CUDNN_DATA_FLOAT, one, nullptr, true);
        q = given(UID_Q, act, qkv, offsets_qkv);
        keys = given(UID_K, act, qkv_turned, offsets_qkv);
        out = given(UID_OUT, act, rows, offsets_out);
        stats = given(UID_STATS, CUDNN_DATA_FLOAT, sums);
    }

    /* scale q k^T, the lowest number where a key or a row is beyond the sequence. */
    Node masked_scores() {
        Node scaled = times(product(q, keys, value(scores)), scale, value(scores));
        Node lowest = given(UID_LOWEST, CUDNN_DATA_FLOAT, one, nullptr, true);
        Node inside[2];
        for (int i = 0; i < 2; i++) {
            Node index = pointwise(CUDNN_POINTWISE_GEN_INDEX, scaled, nullptr, value(scores, CUDNN_DATA_INT32), nullptr,
                                   2 + i, CUDNN_DATA_INT32);
            inside[i] = pointwise(CUDNN_POINTWISE_CMP_LT, index, lengths, value(scores, CUDNN_DATA_BOOLEAN), nullptr,
                                  -1, CUDNN_DATA_BOOLEAN);
        }
        Node both = pointwise(CUDNN_POINTWISE_LOGICAL_AND, inside[0], inside[1], value(scores, CUDNN_DATA_BOOLEAN),
                              nullptr, -1, CUDNN_DATA_BOOLEAN);
        return pointwise(CUDNN_POINTWISE_BINARY_SELECT, scaled, lowest, value(scores), both);
    }

    /* Draws what is dropped: the same in both passes. */
    void draw() {
        const uint32_t threshold = plan->shape.threshold;
        if (!threshold) return;
        Node seed = given(UID_SEED, CUDNN_DATA_INT64, one), offset = given(UID_OFFSET, CUDNN_DATA_INT64, one);
        keep_scale = given(UID_KEEP_SCALE, CUDNN_DATA_FLOAT, one, nullptr, true);
        coin = coins(1.0 - threshold / 4294967296.0, seed, offset, value(scores));
    }

    /* x with elements dropped and the others scaled up. */
    Node drop(Node x, cudnnDataType_t type) {
        if (!coin) return x;
        return times(times(x, coin, value(scores)), keep_scale, value(scores, type));
    }

    void forward() {
        Node v = given(UID_V, act, qkv, offsets_qkv);
        Node s = masked_scores();
        Node most = reduce(CUDNN_REDUCE_TENSOR_MAX, s, value(sums));
        Node powers = pointwise(CUDNN_POINTWISE_SUB, s, most, value(scores));
        powers = pointwise(CUDNN_POINTWISE_EXP, powers, nullptr, value(scores));
        Node sum = reduce(CUDNN_REDUCE_TENSOR_ADD, powers, value(sums));
        /* Written in inference too: without its logarithm cuDNN does not recognise the softmax. */
        Node log = pointwise(CUDNN_POINTWISE_LOG, sum, nullptr, value(sums));
        pointwise(CUDNN_POINTWISE_ADD, most, log, stats);
        Node p =
            pointwise(CUDNN_POINTWISE_DIV, powers, sum, value(scores, plan->shape.threshold ? CUDNN_DATA_FLOAT : act));
        draw();
        product(drop(p, act), v, out);
    }

    void backward() {
        Node values = given(UID_V, act, qkv_turned, offsets_qkv), dout = given(UID_DOUT, act, rows, offsets_out);
        Node dq = given(UID_DQ, act, qkv, offsets_qkv), dk = given(UID_DK, act, qkv, offsets_qkv);
        Node dv = given(UID_DV, act, qkv, offsets_qkv);
        Node keys_as_rows = given(UID_K, act, qkv, offsets_qkv);
        Node delta = reduce(CUDNN_REDUCE_TENSOR_ADD, times(dout, out, value(rows)), value(sums));
        Node p = pointwise(CUDNN_POINTWISE_SUB, masked_scores(), stats, value(scores));
        p = pointwise(CUDNN_POINTWISE_EXP, p, nullptr, value(scores));
        draw();
        product(transpose(drop(p, CUDNN_DATA_FLOAT), value(turned, act)), dout, dv);
        Node ds = drop(product(dout, values, value(scores)), CUDNN_DATA_FLOAT);
        ds = pointwise(CUDNN_POINTWISE_SUB, ds, delta, value(scores));
        ds = times(times(ds, p, value(scores)), scale, value(scores, act));
        product(transpose(ds, value(turned, act)), q, dk);
        product(ds, keys_as_rows, dq);
    }
};

/* The graph of a plan's shape. */
static inline bl_status make_attention_graph(const Dnn *dnn, Plan *plan, Node *out) {
    AttentionGraph graph(dnn, plan);
    if (plan->shape.backward)
        graph.backward();
    else
        graph.forward();
    *out = graph.make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    graph.put(*out, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, graph.count, graph.operations);
    if (dnn->handle) graph.put(*out, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &dnn->handle);
    graph.finish(*out, plan->shape.backward ? "graph of the backward" : "graph of the forward");
    return graph.status;
}

/* ---- engines ---- */

/* True if an engine says that it may give different bits next time. */
static inline bool wavers(const Dnn *dnn, Plan *plan, Node config) {
    Node engine = nullptr;
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

enum { MOST_CONFIGS = 12 };

/*
 * Configurations of engines that take a graph and repeat themselves, best
 * first; *found is 0 where cuDNN knows none. device: properties of a GPU that
 * is not here, NULL for that of the handle.
 */
static inline bl_status ask_engines(const Dnn *dnn, Plan *plan, Node graph, cudnnBackendHeurMode_t mode, Node device,
                                    Node (&configs)[MOST_CONFIGS], int64_t *found) {
    Node heuristics = nullptr;
    int64_t count = 0;
    *found = 0;
    BL_TRY(create(dnn, plan, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics));
    BL_TRY(link(dnn, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph));
    BL_TRY(set(dnn, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode));
    if (device) BL_TRY(link(dnn, heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device));
    if (dnn->cudnnBackendFinalize(heuristics) != CUDNN_STATUS_SUCCESS) return BL_OK;
    for (int i = 0; i < MOST_CONFIGS; i++)
        BL_TRY(create(dnn, plan, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[i]));
    if (dnn->cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                      MOST_CONFIGS, &count, configs) != CUDNN_STATUS_SUCCESS)
        return BL_OK;
    for (int64_t i = 0; i < count && i < MOST_CONFIGS; i++)
        if (!wavers(dnn, plan, configs[i])) configs[(*found)++] = configs[i];
    return BL_OK;
}

#endif
