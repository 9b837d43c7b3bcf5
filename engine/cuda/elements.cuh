/*
 * elements.cuh - N elements of a row at a time, a pack of 16 bytes or one: what
 * lets a kernel be written once for rows that lie on 16-byte boundaries and for
 * those that do not.
 */
#ifndef BERTLUA_CUDA_ELEMENTS_CUH
#define BERTLUA_CUDA_ELEMENTS_CUH

#include <type_traits>

#include "cuda/kernel.cuh"

/* Rows of `width` elements of T start on 16-byte boundaries in every tensor given; NULL counts as such. */
template <typename T, typename... Pointers> static bool rows_packed(int64_t width, Pointers... pointers) {
    return width % Pack<T>::N == 0 && (bl_aligned16(pointers) && ...);
}

/* As they lie in memory: loading many before using one keeps many loads in flight. */
template <int N, typename T> using Raw = std::conditional_t<N == 1, T, uint4>;

template <int N, typename T> __device__ __forceinline__ Raw<N, T> fetch_elements(const T *p) {
    return *reinterpret_cast<const Raw<N, T> *>(p);
}

/* What stands for elements that do not exist: NaN, in every dtype. */
template <int N, typename T> __device__ __forceinline__ Raw<N, T> missing_elements() {
    if constexpr (N == 1)
        return from_float<T>(NAN);
    else
        return make_uint4(~0u, ~0u, ~0u, ~0u);
}

template <int N, typename T> __device__ __forceinline__ void widen_elements(const Raw<N, T> &raw, float (&x)[N]) {
    if constexpr (N == 1)
        x[0] = to_float(raw);
    else
        unpack<T>(raw, x);
}

template <int N, typename T> __device__ __forceinline__ void write_elements(T *p, const float (&x)[N]) {
    if constexpr (N == 1)
        *p = from_float<T>(x[0]);
    else
        store_pack<T>(p, x);
}

/* N floats, a multiple of 4, from a 16-byte boundary. */
template <int N> __device__ __forceinline__ void load_floats(const float *p, float (&x)[N]) {
#pragma unroll
    for (int i = 0; i < N; i += 4) {
        const float4 four = *reinterpret_cast<const float4 *>(p + i);
        x[i] = four.x, x[i + 1] = four.y, x[i + 2] = four.z, x[i + 3] = four.w;
    }
}

template <int N>
__device__ __forceinline__ void drop_elements(const DropoutStream &drop, int64_t first, float (&x)[N]) {
    if constexpr (N == 1) {
        if (drop.active) x[0] *= drop.keep(first);
    } else {
        drop.apply<N>(first, x);
    }
}

#endif
