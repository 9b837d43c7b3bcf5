/*
 * cudnn.cc - asks the real cuDNN, without a GPU, which of its engines take the
 * graphs of engine/cuda/attention_cudnn_graph.h on a GPU with given properties
 * (spec/cuda/cudnn_spec.lua). Nothing is run.
 *
 * Its engines compile their kernels through functions of libcuda.so.1, which
 * need no device for that: the toolkit's stub of that library will do.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if __has_include(<cudnn_graph.h>)
#include <cudnn_graph.h>
#endif

#if defined(CUDNN_VERSION) && CUDNN_VERSION >= 91900

#include "cuda/attention_cudnn_graph.h"

static bool load(Dnn *dnn, const char *folder, char *text, size_t bytes) {
    char path[1024];
    snprintf(path, sizeof path, "%s/lib64/stubs/libcuda.so", folder);
    /* Its name inside is libcuda.so.1: whoever asks for that afterwards gets this one, unless there is a driver. */
    if (!dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) && !dlopen(path, RTLD_NOW | RTLD_GLOBAL)) {
        snprintf(text, bytes, "neither a driver nor %s", path);
        return false;
    }
    dnn->library = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
    const char *parts[] = {"lib64", "lib"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s/libcudnn.so.9", folder, parts[i]);
        if (!dnn->library) dnn->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    if (!dnn->library) {
        snprintf(text, bytes, "no libcudnn.so.9");
        return false;
    }
#define BL_DNN_LOAD(name)                                                                                              \
    dnn->name = reinterpret_cast<__typeof__(&::name)>(dlsym(dnn->library, #name));                                     \
    if (!dnn->name) return false;
    BL_DNN_FUNCTIONS(BL_DNN_LOAD)
#undef BL_DNN_LOAD
    const size_t version = dnn->cudnnGetVersion();
    snprintf(text, bytes, "version %zu.%zu", version / 10000, version / 100 % 100);
    return version >= 91900;
}

static bl_status count_engines(const Dnn *dnn, Plan *plan, const char *properties, int *engines) {
    Node device = nullptr, graph = nullptr, configs[MOST_CONFIGS];
    int64_t found = 0;
    BL_TRY(create(dnn, plan, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &device));
    BL_TRY(set(dnn, device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
               static_cast<int64_t>(strlen(properties)) + 1, properties));
    DNN_TRY(dnn->cudnnBackendFinalize(device), "properties of the GPU");
    BL_TRY(make_attention_graph(dnn, plan, &graph));
    BL_TRY(ask_engines(dnn, plan, graph, CUDNN_HEUR_MODE_A, device, configs, &found));
    *engines = static_cast<int>(found);
    return BL_OK;
}

/*
 * Number of configurations that take the graph of a shape; -1 where there is no cuDNN of that kind, -2 on failure;
 * text: which cuDNN, or what failed. sizes: batch, heads, size, length.
 */
extern "C" __attribute__((visibility("default"))) int
bl_emulated_cudnn_engines(const char *folder, const char *properties, const int64_t *sizes, int32_t dtype,
                          bool backward, float p, char *text, size_t bytes) {
    static Dnn dnn;
    static bool loaded = load(&dnn, folder, text, bytes);
    if (!loaded) return -1;
    Plan *plan = static_cast<Plan *>(calloc(1, sizeof *plan));
    if (!plan) return -2;
    plan->shape = {sizes[0],
                   sizes[1],
                   sizes[2],
                   sizes[3],
                   sizes[1] * sizes[2],
                   dtype,
                   backward,
                   static_cast<uint32_t>(static_cast<double>(p) * 4294967296.0)};
    int engines = 0;
    const bl_status status = count_engines(&dnn, plan, properties, &engines);
    free_plan_descriptors(&dnn, plan);
    free(plan);
    if (status == BL_OK) return engines;
    snprintf(text, bytes, "%s", bl_last_error());
    return -2;
}

#else

extern "C" __attribute__((visibility("default"))) int
bl_emulated_cudnn_engines(const char *, const char *, const int64_t *, int32_t, bool, float, char *text, size_t bytes) {
    snprintf(text, bytes, "no headers of cuDNN 9.19");
    return -1;
}

#endif
