/*
 * intrinsics.h - functions of one thread that CUDA C++ has and C++ lacks: bits,
 * cached loads and stores, approximate arithmetic (exact here), atomics
 * (threads take turns, so plain arithmetic). Included by emulation.h.
 */
#ifndef BERTLUA_EMULATION_INTRINSICS_H
#define BERTLUA_EMULATION_INTRINSICS_H

template <typename To, typename From> static inline To bl_emulated_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "same size");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

static inline unsigned __float_as_uint(float x) {
    return bl_emulated_bits<unsigned>(x);
}
static inline int __float_as_int(float x) {
    return bl_emulated_bits<int>(x);
}
static inline float __uint_as_float(unsigned x) {
    return bl_emulated_bits<float>(x);
}
static inline float __int_as_float(int x) {
    return bl_emulated_bits<float>(x);
}
static inline long long __double_as_longlong(double x) {
    return bl_emulated_bits<long long>(x);
}
static inline double __longlong_as_double(long long x) {
    return bl_emulated_bits<double>(x);
}

static inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32);
}
static inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
static inline int __ffs(int x) {
    return __builtin_ffs(x);
}
static inline int __clz(int x) {
    return x ? __builtin_clz(static_cast<unsigned>(x)) : 32;
}

template <typename T> static inline T __ldg(const T *p) {
    return *p;
}
template <typename T> static inline T __ldcs(const T *p) {
    return *p;
}
template <typename T> static inline T __ldcg(const T *p) {
    return *p;
}
template <typename T> static inline void __stwb(T *p, T value) {
    *p = value;
}
template <typename T> static inline void __stcg(T *p, T value) {
    *p = value;
}

/* The C library has functions of these names. */
#define __expf expf
#define __logf logf
static inline float rsqrtf(float x) {
    return 1.0f / sqrtf(x);
}
static inline float __frsqrt_rn(float x) {
    return 1.0f / sqrtf(x);
}
static inline float __fsqrt_rn(float x) {
    return sqrtf(x);
}
static inline float __frcp_rn(float x) {
    return 1.0f / x;
}
static inline float __fmaf_rn(float a, float b, float c) {
    return fmaf(a, b, c);
}
static inline float __fadd_rn(float a, float b) {
    return a + b;
}
static inline float __fmul_rn(float a, float b) {
    return a * b;
}
static inline float __fdiv_rn(float a, float b) {
    return a / b;
}
static inline double __fma_rn(double a, double b, double c) {
    return fma(a, b, c);
}

#define BL_EMULATED_MINMAX(type)                                                                                       \
    static inline type min(type a, type b) {                                                                           \
        return b < a ? b : a;                                                                                          \
    }                                                                                                                  \
    static inline type max(type a, type b) {                                                                           \
        return a < b ? b : a;                                                                                          \
    }
BL_EMULATED_MINMAX(int)
BL_EMULATED_MINMAX(unsigned)
BL_EMULATED_MINMAX(long)
BL_EMULATED_MINMAX(long long)
BL_EMULATED_MINMAX(unsigned long)
BL_EMULATED_MINMAX(unsigned long long)
#undef BL_EMULATED_MINMAX
static inline float min(float a, float b) {
    return fminf(a, b);
}
static inline float max(float a, float b) {
    return fmaxf(a, b);
}
static inline double min(double a, double b) {
    return fmin(a, b);
}
static inline double max(double a, double b) {
    return fmax(a, b);
}

template <typename T> BL_UNWATCHED static inline T atomicAdd(T *p, T value) {
    bl_watch_atomic(p, sizeof *p, __builtin_return_address(0));
    const T old = *p;
    *p = static_cast<T>(old + value);
    return old;
}
template <typename T> BL_UNWATCHED static inline T atomicSub(T *p, T value) {
    bl_watch_atomic(p, sizeof *p, __builtin_return_address(0));
    const T old = *p;
    *p = static_cast<T>(old - value);
    return old;
}
template <typename T> BL_UNWATCHED static inline T atomicMax(T *p, T value) {
    bl_watch_atomic(p, sizeof *p, __builtin_return_address(0));
    const T old = *p;
    if (old < value) *p = value;
    return old;
}
template <typename T> BL_UNWATCHED static inline T atomicMin(T *p, T value) {
    bl_watch_atomic(p, sizeof *p, __builtin_return_address(0));
    const T old = *p;
    if (value < old) *p = value;
    return old;
}
template <typename T> BL_UNWATCHED static inline T atomicOr(T *p, T value) {
    bl_watch_atomic(p, sizeof *p, __builtin_return_address(0));
    const T old = *p;
    *p = old | value;
    return old;
}
template <typename T> BL_UNWATCHED static inline T atomicExch(T *p, T value) {
    bl_watch_atomic(p, sizeof *p, __builtin_return_address(0));
    const T old = *p;
    *p = value;
    return old;
}
template <typename T> BL_UNWATCHED static inline T atomicCAS(T *p, T expected, T value) {
    bl_watch_atomic(p, sizeof *p, __builtin_return_address(0));
    const T old = *p;
    if (old == expected) *p = value;
    return old;
}
/* Counts up to `limit`, then starts again at 0. */
BL_UNWATCHED static inline unsigned atomicInc(unsigned *p, unsigned limit) {
    bl_watch_atomic(p, sizeof *p, __builtin_return_address(0));
    const unsigned old = *p;
    *p = old >= limit ? 0 : old + 1;
    return old;
}

#endif
