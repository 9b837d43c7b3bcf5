/*
 * cpu_needs.h - the CPU features that compilers use on their own, or that our
 * kernels use where they are there: what a build may need, and what
 * cpu_check.c looks for. Features that no compiler uses unasked (AES, SHA,
 * random numbers) are not among them.
 */
#ifndef BERTLUA_CORE_CPU_NEEDS_H
#define BERTLUA_CORE_CPU_NEEDS_H

#include <stdint.h>

/* Rows of the table in cpu_check.c, in its order. */
#if defined(__x86_64__)
enum bl_cpu_feature {
    BL_CPU_CX16,
    BL_CPU_PCLMUL,
    BL_CPU_POPCNT,
    BL_CPU_SSE3,
    BL_CPU_SSSE3,
    BL_CPU_SSE4_1,
    BL_CPU_SSE4_2,
    BL_CPU_AVX,
    BL_CPU_AVX2,
    BL_CPU_BMI1,
    BL_CPU_BMI2,
    BL_CPU_F16C,
    BL_CPU_FMA,
    BL_CPU_LZCNT,
    BL_CPU_MOVBE,
    BL_CPU_AVX512F,
    BL_CPU_AVX512BW,
    BL_CPU_AVX512CD,
    BL_CPU_AVX512DQ,
    BL_CPU_AVX512VL,
    BL_CPU_AVX512IFMA,
    BL_CPU_AVX512VBMI,
    BL_CPU_AVX512VBMI2,
    BL_CPU_AVX512VNNI,
    BL_CPU_AVX512BITALG,
    BL_CPU_AVX512VPOPCNTDQ,
    BL_CPU_AVX512BF16,
    BL_CPU_AVX512FP16,
    BL_CPU_AVXVNNI,
    BL_CPU_AVXIFMA,
    BL_CPU_AVXNECONVERT,
    BL_CPU_AVXVNNIINT8,
    BL_CPU_GFNI,
    BL_CPU_XOP,
    BL_CPU_FMA4,
    BL_CPU_TBM,
    BL_CPU_APX,
    BL_CPU_FEATURES
};
#elif defined(__aarch64__)
enum bl_cpu_feature {
    BL_CPU_ATOMICS,
    BL_CPU_RDM,
    BL_CPU_FP16,
    BL_CPU_DOTPROD,
    BL_CPU_RCPC,
    BL_CPU_COMPLEX,
    BL_CPU_FP16FML,
    BL_CPU_FRINT,
    BL_CPU_BF16,
    BL_CPU_I8MM,
    BL_CPU_SVE,
    BL_CPU_SVE2,
    BL_CPU_FEATURES
};
#else
enum bl_cpu_feature { BL_CPU_FEATURES };
#endif

/*
 * Bit F is set if this build was compiled for CPUs with feature F. Kernels for
 * higher levels (cpu/levels.h) have sets of their own.
 */
extern const uint64_t bl_cpu_needs;

/* Bit F is set if this CPU and its system have feature F (cpu_check.c). */
uint64_t bl_cpu_features(void);

#endif
