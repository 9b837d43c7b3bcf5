/*
 * cpu_needs.c - what the compiler was told to compile for, by the macros that
 * it defines for it. Holds data only: it is compiled with the flags of the
 * engine, and must be read on CPUs that cannot run what these flags make.
 */
#include "cpu_needs.h"

#define NEED(feature) | UINT64_C(1) << BL_CPU_##feature

// clang-format off
const uint64_t bl_cpu_needs = 0
#if defined(__x86_64__)
#ifdef __GCC_HAVE_SYNC_COMPARE_AND_SWAP_16
    NEED(CX16)
#endif
#ifdef __PCLMUL__
    NEED(PCLMUL)
#endif
#ifdef __POPCNT__
    NEED(POPCNT)
#endif
#ifdef __SSE3__
    NEED(SSE3)
#endif
#ifdef __SSSE3__
    NEED(SSSE3)
#endif
#ifdef __SSE4_1__
    NEED(SSE4_1)
#endif
#ifdef __SSE4_2__
    NEED(SSE4_2)
#endif
#ifdef __AVX__
    NEED(AVX)
#endif
#ifdef __AVX2__
    NEED(AVX2)
#endif
#ifdef __BMI__
    NEED(BMI1)
#endif
#ifdef __BMI2__
    NEED(BMI2)
#endif
#ifdef __F16C__
    NEED(F16C)
#endif
#ifdef __FMA__
    NEED(FMA)
#endif
#ifdef __LZCNT__
    NEED(LZCNT)
#endif
#ifdef __MOVBE__
    NEED(MOVBE)
#endif
#ifdef __AVX512F__
    NEED(AVX512F)
#endif
#ifdef __AVX512BW__
    NEED(AVX512BW)
#endif
#ifdef __AVX512CD__
    NEED(AVX512CD)
#endif
#ifdef __AVX512DQ__
    NEED(AVX512DQ)
#endif
#ifdef __AVX512VL__
    NEED(AVX512VL)
#endif
#ifdef __AVX512IFMA__
    NEED(AVX512IFMA)
#endif
#ifdef __AVX512VBMI__
    NEED(AVX512VBMI)
#endif
#ifdef __AVX512VBMI2__
    NEED(AVX512VBMI2)
#endif
#ifdef __AVX512VNNI__
    NEED(AVX512VNNI)
#endif
#ifdef __AVX512BITALG__
    NEED(AVX512BITALG)
#endif
#ifdef __AVX512VPOPCNTDQ__
    NEED(AVX512VPOPCNTDQ)
#endif
#ifdef __AVX512BF16__
    NEED(AVX512BF16)
#endif
#ifdef __AVX512FP16__
    NEED(AVX512FP16)
#endif
#ifdef __AVXVNNI__
    NEED(AVXVNNI)
#endif
#ifdef __AVXIFMA__
    NEED(AVXIFMA)
#endif
#ifdef __AVXNECONVERT__
    NEED(AVXNECONVERT)
#endif
#ifdef __AVXVNNIINT8__
    NEED(AVXVNNIINT8)
#endif
#ifdef __GFNI__
    NEED(GFNI)
#endif
#ifdef __XOP__
    NEED(XOP)
#endif
#ifdef __FMA4__
    NEED(FMA4)
#endif
#ifdef __TBM__
    NEED(TBM)
#endif
#ifdef __APX_F__
    NEED(APX)
#endif
#elif defined(__aarch64__)
#ifdef __ARM_FEATURE_ATOMICS
    NEED(ATOMICS)
#endif
#ifdef __ARM_FEATURE_QRDMX
    NEED(RDM)
#endif
#ifdef __ARM_FEATURE_FP16_VECTOR_ARITHMETIC
    NEED(FP16)
#endif
#ifdef __ARM_FEATURE_DOTPROD
    NEED(DOTPROD)
#endif
#ifdef __ARM_FEATURE_RCPC
    NEED(RCPC)
#endif
#ifdef __ARM_FEATURE_COMPLEX
    NEED(COMPLEX)
#endif
#ifdef __ARM_FEATURE_FP16_FML
    NEED(FP16FML)
#endif
#ifdef __ARM_FEATURE_FRINT
    NEED(FRINT)
#endif
#ifdef __ARM_FEATURE_BF16_VECTOR_ARITHMETIC
    NEED(BF16)
#endif
#ifdef __ARM_FEATURE_MATMUL_INT8
    NEED(I8MM)
#endif
#ifdef __ARM_FEATURE_SVE
    NEED(SVE)
#endif
#ifdef __ARM_FEATURE_SVE2
    NEED(SVE2)
#endif
#endif
    ;
// clang-format on
