/*
 * emulation.h - CUDA C++ for the host compiler: the words kernels are written
 * in, with the meaning they have on a GPU. engine/cuda/kernel.cuh includes it
 * under BL_CUDA_EMULATION in place of cuda_runtime.h.
 *
 * A thread of a block is a fiber; blocks run one after another (fibers.cc).
 * Types and declarations come from the CUDA toolkit's own headers; the runtime
 * functions behind them are in runtime.cc and memory.cc.
 */
#ifndef BERTLUA_EMULATION_H
#define BERTLUA_EMULATION_H

#include <cuda_runtime_api.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <vector_functions.h>

#include <functional>
#include <string>
#include <tuple>
#include <type_traits>

#include "races.h"
#include "runtime.h"

/* ---- words ---- */

/* Blocks run one after another, so what a block shares is one static variable. */
#undef __shared__
#define __shared__ static
#undef __launch_bounds__
#define __launch_bounds__(...)
#undef __constant__
#define __constant__ static
#undef __forceinline__
#define __forceinline__ inline __attribute__((always_inline))

/* ---- where a thread is ---- */

struct bl_emulated_place {
    uint3 thread;
    uint3 block;
    dim3 threads;
    dim3 blocks;
    void *shared;
};
extern bl_emulated_place bl_emulated_here;

#define threadIdx (bl_emulated_here.thread)
#define blockIdx (bl_emulated_here.block)
#define blockDim (bl_emulated_here.threads)
#define gridDim (bl_emulated_here.blocks)
static constexpr int warpSize = 32;

#define BL_SHARED(type, name) type *name = static_cast<type *>(bl_emulated_here.shared)

/* ---- launching ---- */

/*
 * Runs every thread of every block; a fault is kept for cudaGetLastError. `arguments` is what `thread` passes to the
 * kernel.
 */
void bl_emulated_grid(const char *name, dim3 grid, dim3 block, size_t shared, const std::function<void()> &thread,
                      const void *arguments, size_t arguments_bytes);
/* The same for the blocks that a record takes for all (record.h). */
void bl_emulated_sample(const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared,
                        const std::function<void()> &thread, const std::string &parameters, const std::string &key);
/* Puts work at the end of a stream, or into the graph that is being captured from it. */
cudaError_t bl_emulated_push(cudaStream_t stream, const char *name, std::function<void()> work);
cudaError_t bl_emulated_check_launch(const char *name, dim3 grid, dim3 block, size_t shared);

/* One argument of a launch. */
struct bl_emulated_value {
    const void *p;
    size_t bytes;
};
/*
 * Where BERTLUA_EMULATION_PTX names a folder with the PTX that nvcc made of the source file, runs that instead of the
 * kernel (ptx.h), and keeps a fault like bl_emulated_grid; false elsewhere.
 */
bool bl_emulated_ptx(const char *source, const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared,
                     const bl_emulated_value *arguments, int count);
/* A pointer that a kernel may be given: into device or pinned memory, or NULL. */
bool bl_emulated_reachable(const void *p);

template <typename T> bool bl_emulated_argument(const T &) {
    return true;
}
template <typename T> bool bl_emulated_argument(T *const &p) {
    return bl_emulated_reachable(reinterpret_cast<const void *>(p));
}

/* A parameter as the device's code finds it behind those before it, and what tells launches that differ apart. */
template <typename T> void bl_emulated_pack(const T &value, std::string *parameters, std::string *key) {
    const char *bytes = reinterpret_cast<const char *>(&value);
    parameters->resize((parameters->size() + alignof(T) - 1) / alignof(T) * alignof(T));
    parameters->append(bytes, sizeof value);
    if (std::is_arithmetic<T>::value) {
        key->append(bytes, sizeof value);
        return;
    }
    /* Of pointers and structures: which words are 0. */
    for (size_t i = 0; i + 8 <= sizeof value; i += 8)
        key->push_back(memcmp(bytes + i, "\0\0\0\0\0\0\0\0", 8) == 0 ? '0' : '1');
}

/* Arguments are converted and copied at the call, as a real launch does: the work may run much later, and often. */
template <typename... Parameters, typename... Arguments>
cudaError_t bl_emulated_launch(const char *source, const char *name, void (*kernel)(Parameters...), dim3 grid,
                               dim3 block, size_t shared, cudaStream_t stream, Arguments &&...arguments) {
    const cudaError_t error = bl_emulated_check_launch(name, grid, block, shared);
    if (error != cudaSuccess) return error;
    std::tuple<Parameters...> values(static_cast<Arguments &&>(arguments)...);
    const bool reachable =
        std::apply([](const auto &...value) { return (bl_emulated_argument(value) && ...); }, values);
    if (!reachable) return bl_emulated_fail(cudaErrorIllegalAddress, "%s: an argument points at host memory", name);
    return bl_emulated_push(stream, name, [=]() {
        const auto thread = [&values, kernel]() { std::apply(kernel, values); };
        if (bl_records()) {
            std::string parameters, key;
            std::apply([&](const auto &...value) { (bl_emulated_pack(value, &parameters, &key), ...); }, values);
            bl_emulated_sample(name, reinterpret_cast<const void *>(kernel), grid, block, shared, thread, parameters,
                               key);
            return;
        }
        const bool done = std::apply(
            [=](const auto &...value) {
                const bl_emulated_value list[] = {{&value, sizeof value}..., {nullptr, 0}};
                return bl_emulated_ptx(source, name, reinterpret_cast<const void *>(kernel), grid, block, shared, list,
                                       static_cast<int>(sizeof...(value)));
            },
            values);
        if (!done) bl_emulated_grid(name, grid, block, shared, thread, &values, sizeof values);
    });
}

#define BL_LAUNCH(kernel, grid, block, shared, stream, ...)                                                            \
    do {                                                                                                               \
        BL_CUDA_TRY(bl_emulated_launch(__BASE_FILE__, #kernel, kernel, grid, block, shared, stream, __VA_ARGS__),      \
                    #kernel);                                                                                          \
        BL_CUDA_TRY(cudaGetLastError(), #kernel);                                                                      \
    } while (0)

template <typename... P>
static inline cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute attribute, int value) {
    return cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel), attribute, value);
}

/* ---- threads of a block together ---- */

enum { BL_EMULATED_BARRIER, BL_EMULATED_COUNT, BL_EMULATED_AND, BL_EMULATED_OR };
int bl_emulated_barrier(int kind, int predicate);

static inline void __syncthreads() {
    bl_emulated_barrier(BL_EMULATED_BARRIER, 0);
}
static inline int __syncthreads_count(int predicate) {
    return bl_emulated_barrier(BL_EMULATED_COUNT, predicate);
}
static inline int __syncthreads_and(int predicate) {
    return bl_emulated_barrier(BL_EMULATED_AND, predicate);
}
static inline int __syncthreads_or(int predicate) {
    return bl_emulated_barrier(BL_EMULATED_OR, predicate);
}

/* ---- threads of a warp together ---- */

/*
 * Every lane of the mask calls this with the same `what` and mask; when all are
 * there, `all` is run once over what each of them brought (NULL for lanes
 * outside the mask or already returned), and they continue.
 */
void bl_emulated_warp(unsigned mask, const char *what, void *mine, void (*all)(void *const lanes[32]));

static inline void __syncwarp(unsigned mask = 0xffffffffu) {
    bl_emulated_warp(mask, "__syncwarp", &mask, nullptr);
}

/* Reading a lane that is not there gives the reader's own value, as on the GPU, where it is undefined. */
template <typename T> struct bl_emulated_shuffle {
    T value, result;
    int source;

    static void all(void *const lanes[32]) {
        for (int lane = 0; lane < 32; lane++) {
            bl_emulated_shuffle *mine = static_cast<bl_emulated_shuffle *>(lanes[lane]);
            if (!mine) continue;
            bl_emulated_shuffle *other = static_cast<bl_emulated_shuffle *>(lanes[mine->source]);
            mine->result = other ? other->value : mine->value;
        }
    }

    static T run(unsigned mask, const char *what, T value, int source) {
        bl_emulated_shuffle mine;
        mine.value = value;
        mine.source = source;
        bl_emulated_warp(mask, what, &mine, all);
        return mine.result;
    }
};

static inline int bl_emulated_lane() {
    return static_cast<int>((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32);
}

template <typename T> static inline T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    const int lane = bl_emulated_lane(), base = lane / width * width;
    return bl_emulated_shuffle<T>::run(mask, "__shfl_sync", value, base + (source & (width - 1)));
}
template <typename T> static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
    const int lane = bl_emulated_lane(), source = lane ^ bits;
    return bl_emulated_shuffle<T>::run(mask, "__shfl_xor_sync", value, source / width > lane / width ? lane : source);
}
template <typename T> static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    const int lane = bl_emulated_lane(), source = lane - static_cast<int>(delta);
    return bl_emulated_shuffle<T>::run(mask, "__shfl_up_sync", value, source < lane / width * width ? lane : source);
}
template <typename T> static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    const int lane = bl_emulated_lane(), source = lane + static_cast<int>(delta);
    return bl_emulated_shuffle<T>::run(mask, "__shfl_down_sync", value,
                                       source >= lane / width * width + width ? lane : source);
}

struct bl_emulated_vote {
    bool predicate;
    unsigned ballot;

    static void all(void *const lanes[32]) {
        unsigned ballot = 0;
        for (int lane = 0; lane < 32; lane++)
            if (lanes[lane] && static_cast<bl_emulated_vote *>(lanes[lane])->predicate) ballot |= 1u << lane;
        for (int lane = 0; lane < 32; lane++)
            if (lanes[lane]) static_cast<bl_emulated_vote *>(lanes[lane])->ballot = ballot;
    }
};

static inline unsigned __ballot_sync(unsigned mask, int predicate) {
    bl_emulated_vote mine = {predicate != 0, 0};
    bl_emulated_warp(mask, "__ballot_sync", &mine, bl_emulated_vote::all);
    return mine.ballot;
}
static inline int __any_sync(unsigned mask, int predicate) {
    return __ballot_sync(mask, predicate) != 0;
}
static inline int __all_sync(unsigned mask, int predicate) {
    return __ballot_sync(mask, !predicate) == 0;
}

static inline void __threadfence() {
}
static inline void __threadfence_block() {
}

#include "intrinsics.h"

#endif
