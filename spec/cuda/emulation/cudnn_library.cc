/*
 * cudnn_library.cc - as much of cuDNN's backend API as attention_cudnn.cu
 * calls: descriptors that keep what is set on them, one engine that takes every
 * graph, and its execution, operation by operation, in f32 with results rounded
 * to the dtype of their tensors. BERTLUA_EMULATION_FAIL=no-engine takes none.
 *
 * Ragged tensors have zeros beyond the end of a sequence, and nothing is
 * written there.
 */
#if __has_include(<cudnn_graph.h>)
#include <cudnn_graph.h>
#endif

#if defined(CUDNN_VERSION) && CUDNN_VERSION >= 91900

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <map>
#include <memory>
#include <vector>

#include "emulation.h"
#include "state.h"

namespace {

struct Descriptor {
    cudnnBackendDescriptorType_t type;
    std::map<int, std::vector<char>> attributes;

    template <typename T> std::vector<T> list(int name) const {
        auto found = attributes.find(name);
        if (found == attributes.end()) return {};
        const T *first = reinterpret_cast<const T *>(found->second.data());
        return std::vector<T>(first, first + found->second.size() / sizeof(T));
    }
    template <typename T> T get(int name, T otherwise = T()) const {
        const std::vector<T> all = list<T>(name);
        return all.empty() ? otherwise : all[0];
    }
    const Descriptor *link(int name) const {
        return static_cast<const Descriptor *>(get<void *>(name));
    }
};

size_t size_of(cudnnBackendAttributeType_t type) {
    switch (type) {
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
        return 1;
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
        return 8;
    default:
        return 4;
    }
}

/* ---- tensors ---- */

typedef std::map<int64_t, void *> Pointers;

struct Run {
    Pointers pointers;
    std::map<int64_t, float> scalars; /* passed by value */
    std::map<int64_t, std::vector<float>> values;
    const int32_t *lengths = nullptr;
};

struct Tensor {
    std::vector<int64_t> dims, strides;
    int64_t uid;
    cudnnDataType_t type;
    bool inside, by_value;
    const Descriptor *ragged;

    explicit Tensor(const Descriptor *d)
        : dims(d->list<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS)), strides(d->list<int64_t>(CUDNN_ATTR_TENSOR_STRIDES)),
          uid(d->get<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID)), type(d->get<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE)),
          inside(d->get<bool>(CUDNN_ATTR_TENSOR_IS_VIRTUAL)), by_value(d->get<bool>(CUDNN_ATTR_TENSOR_IS_BY_VALUE)),
          ragged(d->link(CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC)) {
    }

    int64_t count() const {
        return dims[0] * dims[1] * dims[2] * dims[3];
    }

    /* Where an element lies; false beyond the end of a ragged sequence. */
    bool place(const Run &run, const int64_t (&at)[4], int64_t *offset) const {
        *offset = at[1] * strides[1] + at[2] * strides[2] + at[3] * strides[3];
        if (!ragged) {
            *offset += at[0] * strides[0];
            return true;
        }
        const int64_t row = strides[2] > strides[3] ? at[2] : at[3];
        const int32_t *offsets =
            static_cast<const int32_t *>(run.pointers.at(ragged->get<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID)));
        *offset += offsets[at[0]];
        return row < run.lengths[at[0]];
    }
};

template <typename Visit> void each(const Tensor &t, Visit visit) {
    int64_t at[4], i = 0;
    for (at[0] = 0; at[0] < t.dims[0]; at[0]++)
        for (at[1] = 0; at[1] < t.dims[1]; at[1]++)
            for (at[2] = 0; at[2] < t.dims[2]; at[2]++)
                for (at[3] = 0; at[3] < t.dims[3]; at[3]++)
                    visit(at, i++);
}

float rounded(cudnnDataType_t type, float x) {
    if (type == CUDNN_DATA_BFLOAT16) return __bfloat162float(__float2bfloat16(x));
    if (type == CUDNN_DATA_HALF) return __half2float(__float2half(x));
    return x;
}

/* All elements, row after row. */
std::vector<float> read(const Run &run, const Descriptor *d) {
    const Tensor t(d);
    if (t.inside) return run.values.at(t.uid);
    if (t.by_value) return {run.scalars.at(t.uid)};
    std::vector<float> all(static_cast<size_t>(t.count()), 0.0f);
    const void *data = run.pointers.at(t.uid);
    each(t, [&](const int64_t(&at)[4], int64_t i) {
        int64_t o = 0;
        if (!t.place(run, at, &o)) return;
        float &x = all[static_cast<size_t>(i)];
        const size_t size = t.type == CUDNN_DATA_BFLOAT16 || t.type == CUDNN_DATA_HALF ? 2 : 4;
        bl_watch_library_reads("cuDNN", static_cast<const char *>(data) + static_cast<size_t>(o) * size, size);
        if (t.type == CUDNN_DATA_BFLOAT16) x = __bfloat162float(static_cast<const __nv_bfloat16 *>(data)[o]);
        if (t.type == CUDNN_DATA_HALF) x = __half2float(static_cast<const __half *>(data)[o]);
        if (t.type == CUDNN_DATA_FLOAT) x = static_cast<const float *>(data)[o];
        if (t.type == CUDNN_DATA_INT32) x = static_cast<float>(static_cast<const int32_t *>(data)[o]);
    });
    return all;
}

void write(Run &run, const Descriptor *d, std::vector<float> all) {
    const Tensor t(d);
    for (float &x : all)
        x = rounded(t.type, x);
    if (t.inside) {
        run.values[t.uid] = std::move(all);
        return;
    }
    void *data = run.pointers.at(t.uid);
    each(t, [&](const int64_t(&at)[4], int64_t i) {
        int64_t o = 0;
        if (!t.place(run, at, &o)) return;
        const float x = all[static_cast<size_t>(i)];
        const size_t size = t.type == CUDNN_DATA_BFLOAT16 || t.type == CUDNN_DATA_HALF ? 2 : 4;
        bl_watch_library_writes(static_cast<char *>(data) + static_cast<size_t>(o) * size, size);
        if (t.type == CUDNN_DATA_BFLOAT16) static_cast<__nv_bfloat16 *>(data)[o] = __float2bfloat16(x);
        if (t.type == CUDNN_DATA_HALF) static_cast<__half *>(data)[o] = __float2half(x);
        if (t.type == CUDNN_DATA_FLOAT) static_cast<float *>(data)[o] = x;
    });
}

/* ---- operations ---- */

/* Index of an element in a tensor whose dimensions of size 1 are repeated. */
size_t broadcast(const std::vector<int64_t> &dims, const int64_t (&at)[4]) {
    int64_t i = 0;
    for (int k = 0; k < 4; k++)
        i = i * dims[k] + (dims[k] == 1 ? 0 : at[k]);
    return static_cast<size_t>(i);
}

void run_pointwise(Run &run, const Descriptor *op) {
    const Descriptor *what = op->link(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    const auto mode = what->get<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE);
    const int64_t axis = what->get<int64_t>(CUDNN_ATTR_POINTWISE_AXIS, -1);
    const Descriptor *to = op->link(CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
    const int names[] = {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                         CUDNN_ATTR_OPERATION_POINTWISE_TDESC};
    std::vector<float> in[3];
    std::vector<int64_t> dims[3];
    for (int k = 0; k < 3; k++) {
        const Descriptor *from = op->link(names[k]);
        if (!from) continue;
        in[k] = read(run, from);
        dims[k] = Tensor(from).dims;
    }
    const Tensor t(to);
    std::vector<float> out(static_cast<size_t>(t.count()));
    each(t, [&](const int64_t(&at)[4], int64_t i) {
        float v[3] = {};
        for (int k = 0; k < 3; k++)
            if (!in[k].empty()) v[k] = in[k][broadcast(dims[k], at)];
        float &y = out[static_cast<size_t>(i)];
        switch (mode) {
        case CUDNN_POINTWISE_MUL:
            y = v[0] * v[1];
            break;
        case CUDNN_POINTWISE_ADD:
            y = v[0] + v[1];
            break;
        case CUDNN_POINTWISE_SUB:
            y = v[0] - v[1];
            break;
        case CUDNN_POINTWISE_DIV:
            y = v[0] / v[1];
            break;
        case CUDNN_POINTWISE_EXP:
            y = expf(v[0]);
            break;
        case CUDNN_POINTWISE_LOG:
            y = logf(v[0]);
            break;
        case CUDNN_POINTWISE_GEN_INDEX:
            y = static_cast<float>(at[axis]);
            break;
        case CUDNN_POINTWISE_CMP_LT:
            y = v[0] < v[1] ? 1.0f : 0.0f;
            break;
        case CUDNN_POINTWISE_LOGICAL_AND:
            y = v[0] != 0.0f && v[1] != 0.0f ? 1.0f : 0.0f;
            break;
        case CUDNN_POINTWISE_BINARY_SELECT:
            y = v[2] != 0.0f ? v[0] : v[1];
            break;
        default:
            bl_emulated_fault(cudaErrorInvalidValue, "cuDNN: pointwise mode %d", static_cast<int>(mode));
        }
    });
    write(run, to, std::move(out));
}

void run_matmul(Run &run, const Descriptor *op) {
    const Descriptor *da = op->link(CUDNN_ATTR_OPERATION_MATMUL_ADESC),
                     *db = op->link(CUDNN_ATTR_OPERATION_MATMUL_BDESC);
    const Descriptor *dc = op->link(CUDNN_ATTR_OPERATION_MATMUL_CDESC);
    const std::vector<float> a = read(run, da), b = read(run, db);
    const Tensor ta(da), tc(dc);
    const int64_t m = tc.dims[2], n = tc.dims[3], depth = ta.dims[3];
    std::vector<float> c(static_cast<size_t>(tc.count()));
    for (int64_t pair = 0; pair < tc.dims[0] * tc.dims[1]; pair++)
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                float sum = 0.0f;
                for (int64_t k = 0; k < depth; k++)
                    sum += a[static_cast<size_t>((pair * m + i) * depth + k)] *
                           b[static_cast<size_t>((pair * depth + k) * n + j)];
                c[static_cast<size_t>((pair * m + i) * n + j)] = sum;
            }
    write(run, dc, std::move(c));
}

void run_reduction(Run &run, const Descriptor *op) {
    const Descriptor *from = op->link(CUDNN_ATTR_OPERATION_REDUCTION_XDESC);
    const Descriptor *to = op->link(CUDNN_ATTR_OPERATION_REDUCTION_YDESC);
    const bool largest =
        op->link(CUDNN_ATTR_OPERATION_REDUCTION_DESC)->get<cudnnReduceTensorOp_t>(CUDNN_ATTR_REDUCTION_OPERATOR) ==
        CUDNN_REDUCE_TENSOR_MAX;
    const std::vector<float> x = read(run, from);
    const Tensor tx(from), ty(to);
    std::vector<float> y(static_cast<size_t>(ty.count()), largest ? -INFINITY : 0.0f);
    each(tx, [&](const int64_t(&at)[4], int64_t i) {
        float &sum = y[broadcast(ty.dims, at)];
        const float v = x[static_cast<size_t>(i)];
        sum = largest ? fmaxf(sum, v) : sum + v;
    });
    write(run, to, std::move(y));
}

/* The same elements under other strides. */
void run_reshape(Run &run, const Descriptor *op) {
    const Descriptor *to = op->link(CUDNN_ATTR_OPERATION_RESHAPE_YDESC);
    const std::vector<float> x = read(run, op->link(CUDNN_ATTR_OPERATION_RESHAPE_XDESC));
    const Tensor t(to);
    std::vector<float> y(x.size());
    each(t, [&](const int64_t(&at)[4], int64_t i) {
        int64_t o = 0;
        for (int k = 0; k < 4; k++)
            o += at[k] * t.strides[k];
        y[static_cast<size_t>(i)] = x[static_cast<size_t>(o)];
    });
    write(run, to, std::move(y));
}

void run_rng(Run &run, const Descriptor *op) {
    const auto given = [&](int name) {
        return static_cast<uint64_t>(
            *static_cast<const int64_t *>(run.pointers.at(op->link(name)->get<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID))));
    };
    const uint64_t seed = given(CUDNN_ATTR_OPERATION_RNG_SEED), offset = given(CUDNN_ATTR_OPERATION_RNG_OFFSET_DESC);
    const double p = op->link(CUDNN_ATTR_OPERATION_RNG_DESC)->get<double>(CUDNN_ATTR_RNG_BERNOULLI_DIST_PROBABILITY);
    const Descriptor *to = op->link(CUDNN_ATTR_OPERATION_RNG_YDESC);
    std::vector<float> y(static_cast<size_t>(Tensor(to).count()));
    for (size_t i = 0; i < y.size(); i++) {
        uint64_t x = seed + (offset + i + 1) * 0x9e3779b97f4a7c15u;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
        y[i] = static_cast<double>((x ^ (x >> 31)) >> 11) < p * 9007199254740992.0 ? 1.0f : 0.0f;
    }
    write(run, to, std::move(y));
}

void run_operation(Run &run, const Descriptor *op) {
    switch (op->type) {
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
        return run_pointwise(run, op);
    case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR:
        return run_matmul(run, op);
    case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR:
        return run_reduction(run, op);
    case CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR:
        return run_reshape(run, op);
    case CUDNN_BACKEND_OPERATION_RNG_DESCRIPTOR:
        return run_rng(run, op);
    default:
        bl_emulated_fault(cudaErrorInvalidValue, "cuDNN: operation %d", static_cast<int>(op->type));
    }
}

/* Lengths of the sequences: what a row's or a key's number is compared with. */
const Descriptor *find_lengths(const std::vector<void *> &operations) {
    for (void *p : operations) {
        const Descriptor *op = static_cast<const Descriptor *>(p), *what = nullptr;
        if (op->type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR)
            what = op->link(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
        if (what && what->get<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE) == CUDNN_POINTWISE_CMP_LT)
            return op->link(CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
    }
    return nullptr;
}

cudaStream_t stream_of_all;

} // namespace

/* ---- the library ---- */

size_t cudnnGetVersion() {
    return 91900;
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) {
    static char one;
    *handle = reinterpret_cast<cudnnHandle_t>(&one);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t) {
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t, cudaStream_t stream) {
    stream_of_all = stream;
    return CUDNN_STATUS_SUCCESS;
}

const char *cudnnGetErrorString(cudnnStatus_t status) {
    return status == CUDNN_STATUS_SUCCESS ? "CUDNN_STATUS_SUCCESS" : "emulated cuDNN error";
}

void cudnnGetLastErrorString(char *message, size_t bytes) {
    if (bytes) message[0] = '\0';
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out) {
    *out = new Descriptor{type, {}};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
    bl_emulated_drain_all();
    delete static_cast<Descriptor *>(descriptor);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    const char *first = static_cast<const char *>(values);
    static_cast<Descriptor *>(descriptor)
        ->attributes[name]
        .assign(first, first + static_cast<size_t>(count) * size_of(type));
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
    const char *fails = getenv("BERTLUA_EMULATION_FAIL");
    const bool heuristics = static_cast<Descriptor *>(descriptor)->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR;
    return heuristics && fails && !strcmp(fails, "no-engine") ? CUDNN_STATUS_NOT_SUPPORTED : CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t, int64_t, int64_t *count, void *values) {
    const Descriptor *from = static_cast<const Descriptor *>(descriptor);
    *count = 1;
    if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS) {
        Descriptor *config = static_cast<Descriptor *>(static_cast<cudnnBackendDescriptor_t *>(values)[0]);
        config->attributes[CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH] =
            from->attributes.at(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    } else if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) {
        *static_cast<int64_t *>(values) = 512;
    } else if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE) {
        *count = 0;
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
    const Descriptor *given = static_cast<const Descriptor *>(pack);
    const Descriptor *config = static_cast<const Descriptor *>(plan)->link(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    const std::vector<void *> operations =
        config->link(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH)->list<void *>(CUDNN_ATTR_OPERATIONGRAPH_OPS);
    const std::vector<int64_t> uids = given->list<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const std::vector<void *> pointers = given->list<void *>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    void *workspace = given->get<void *>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    if (!bl_emulated_on_device(workspace, 512)) return CUDNN_STATUS_BAD_PARAM;
    Run run;
    for (size_t i = 0; i < uids.size(); i++) {
        if (bl_emulated_on_device(pointers[i], 4))
            run.pointers[uids[i]] = pointers[i];
        else
            run.scalars[uids[i]] = *static_cast<const float *>(pointers[i]);
    }
    const Descriptor *lengths = find_lengths(operations);
    if (!lengths) return CUDNN_STATUS_NOT_SUPPORTED;
    const int64_t lengths_uid = lengths->get<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID);
    const cudaError_t error = bl_emulated_push(stream_of_all, "cudnn", [operations, run, lengths_uid, workspace]() {
        Run own = run;
        own.lengths = static_cast<const int32_t *>(own.pointers.at(lengths_uid));
        memset(workspace, 0x5a, 512);
        for (void *operation : operations)
            run_operation(own, static_cast<const Descriptor *>(operation));
    });
    return error == cudaSuccess ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
}

#endif
