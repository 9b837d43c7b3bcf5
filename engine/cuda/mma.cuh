/*
 * mma.cuh - tensor-core products of 16-bit matrices: the few instructions that
 * C++ cannot express, each with a twin in plain loads for the emulation.
 *
 * A warp multiplies A [16,16] by B [16,8] into C [16,8] of f32. With g =
 * lane / 4 and t = lane % 4, a lane holds
 *
 *   A: a[0] = (g, 2t..2t+1)   a[1] = (g+8, 2t..)   a[2] = (g, 2t+8..)   a[3] = (g+8, 2t+8..)
 *   B: b0 = (2t..2t+1, g)     b1 = (2t+8..2t+9, g)
 *   C: c[0..1] = (g, 2t..2t+1)                     c[2..3] = (g+8, 2t..2t+1)
 *
 * (PTX ISA, "Matrix fragments for mma.m16n8k16"). So C of one product, rounded
 * in pairs, is A of the next: attention keeps its probabilities in registers.
 */
#ifndef BERTLUA_CUDA_MMA_CUH
#define BERTLUA_CUDA_MMA_CUH

#include "cuda/kernel.cuh"

/* Two f32 as two T in one word, the first in the low half. */
template <typename T> __device__ __forceinline__ uint32_t pack_pair(float low, float high);

template <> __device__ __forceinline__ uint32_t pack_pair<bl_bf16>(float low, float high) {
    union {
        __nv_bfloat162 pair;
        uint32_t word;
    } bits;
    bits.pair = __floats2bfloat162_rn(low, high);
    return bits.word;
}

template <> __device__ __forceinline__ uint32_t pack_pair<bl_f16>(float low, float high) {
    union {
        __half2 pair;
        uint32_t word;
    } bits;
    bits.pair = __floats2half2_rn(low, high);
    return bits.word;
}

#ifndef BL_CUDA_EMULATION

/* 16, 8 bytes from global to shared memory, past the registers; zeros when not valid (then p is not read). */
__device__ __forceinline__ void copy_async16(void *shared, const void *p, bool valid) {
    const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(p), "r"(valid ? 16 : 0) : "memory");
}
__device__ __forceinline__ void copy_async8(void *shared, const void *p, bool valid) {
    const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(to), "l"(p), "r"(valid ? 8 : 0) : "memory");
}
/* Waits for this thread's copies; others see them after a __syncthreads. */
__device__ __forceinline__ void copy_async_wait() {
    asm volatile("cp.async.wait_all;" ::: "memory");
}

/*
 * Four 8 x 8 matrices from shared memory, one per register; lane i points at
 * row i % 8 of matrix i / 8, 16 bytes. The lane gets elements (g, 2t..2t+1) of
 * each; transposed: (2t, g) and (2t+1, g).
 */
__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const void *row) {
    const unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(from)
                 : "memory");
}
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&r)[4], const void *row) {
    const unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(from)
                 : "memory");
}

/* An 8 x 8 matrix of 16 bits transposed: the lane gives elements (g, 2t..2t+1) and gets (2t, g) and (2t+1, g). */
__device__ __forceinline__ uint32_t transpose_pairs(uint32_t pair) {
    uint32_t turned;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(turned) : "r"(pair));
    return turned;
}

/*
 * Four bytes of the eight of low and high: byte i is that of the number in the
 * lower three bits of nibble i of `choice`; its sign eight times where the
 * fourth bit is set.
 */
__device__ __forceinline__ uint32_t choose_bytes(uint32_t low, uint32_t high, uint32_t choice) {
    uint32_t chosen;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(chosen) : "r"(low), "r"(high), "r"(choice));
    return chosen;
}

/* c += a b. */
template <typename T>
__device__ __forceinline__ void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

template <>
__device__ __forceinline__ void multiply_add<bl_bf16>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ __forceinline__ void multiply_add<bl_f16>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#else

/* A thread's copies are held back until it waits, as late as they may come on a GPU. */
struct bl_mma_copy {
    void *to;
    const void *from; /* NULL: zeros */
    size_t bytes;
};

struct bl_mma_copies {
    int count;
    bl_mma_copy copies[256];
};

BL_UNWATCHED static inline void bl_mma_hold(bl_mma_copies *held, const bl_mma_copy &copy) {
    if (held->count == static_cast<int>(sizeof held->copies / sizeof held->copies[0]))
        bl_emulated_fault(cudaErrorLaunchFailure, "copy_async: more copies under way than the emulation keeps");
    else
        held->copies[held->count++] = copy;
}

BL_UNWATCHED static inline void bl_mma_release(bl_mma_copies *held) {
    for (int i = 0; i < held->count; i++) {
        const bl_mma_copy &copy = held->copies[i];
        if (copy.from)
            memcpy(copy.to, copy.from, copy.bytes);
        else
            memset(copy.to, 0, copy.bytes);
        bl_watch_copy_ends(copy.to, copy.from, copy.bytes);
    }
    held->count = 0;
}

static inline bl_mma_copies *bl_mma_own_copies() {
    static bl_mma_copies of_threads[1024];
    return &of_threads[threadIdx.x];
}

__device__ __forceinline__ void copy_async16(void *shared, const void *p, bool valid) {
    bl_watch_copy_begins(shared, valid ? p : nullptr, 16);
    bl_mma_hold(bl_mma_own_copies(), {shared, valid ? p : nullptr, 16});
}
__device__ __forceinline__ void copy_async8(void *shared, const void *p, bool valid) {
    bl_watch_copy_begins(shared, valid ? p : nullptr, 8);
    bl_mma_hold(bl_mma_own_copies(), {shared, valid ? p : nullptr, 8});
}
__device__ __forceinline__ void copy_async_wait() {
    bl_mma_release(bl_mma_own_copies());
}

/* One lane's part in a load of matrices; what all lanes contribute makes everyone's result. */
struct bl_mma_load {
    const void *row;
    uint32_t *r;
    const void *here;

    static void watch(void *const lanes[32]) {
        for (int lane = 0; lane < 32; lane++) {
            const bl_mma_load *load = static_cast<const bl_mma_load *>(lanes[lane]);
            bl_watch_warp_reads(load->row, 16, load->here);
        }
    }
    static const uint16_t *at(void *const lanes[32], int lane) {
        return static_cast<const uint16_t *>(static_cast<const bl_mma_load *>(lanes[lane])->row);
    }
    static void straight(void *const lanes[32]) {
        watch(lanes);
        for (int lane = 0; lane < 32; lane++)
            for (int i = 0; i < 4; i++)
                memcpy(&static_cast<bl_mma_load *>(lanes[lane])->r[i], at(lanes, 8 * i + lane / 4) + lane % 4 * 2, 4);
    }
    static void transposed(void *const lanes[32]) {
        watch(lanes);
        for (int lane = 0; lane < 32; lane++) {
            const int g = lane / 4, t = lane % 4;
            for (int i = 0; i < 4; i++) {
                const uint32_t low = at(lanes, 8 * i + 2 * t)[g], high = at(lanes, 8 * i + 2 * t + 1)[g];
                static_cast<bl_mma_load *>(lanes[lane])->r[i] = low | high << 16;
            }
        }
    }
};

__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const void *row) {
    bl_mma_load mine = {row, r, bl_watch_here()};
    bl_emulated_warp(BL_FULL_WARP, "load_matrices", &mine, bl_mma_load::straight);
}
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&r)[4], const void *row) {
    bl_mma_load mine = {row, r, bl_watch_here()};
    bl_emulated_warp(BL_FULL_WARP, "load_matrices_transposed", &mine, bl_mma_load::transposed);
}

static inline uint32_t choose_bytes(uint32_t low, uint32_t high, uint32_t choice) {
    const uint64_t bytes = low | static_cast<uint64_t>(high) << 32;
    uint32_t chosen = 0;
    for (int i = 0; i < 4; i++) {
        const uint32_t nibble = choice >> 4 * i & 15u, byte = bytes >> 8 * (nibble & 7u) & 0xffu;
        chosen |= (nibble < 8 ? byte : byte >= 128 ? 0xffu : 0u) << 8 * i;
    }
    return chosen;
}

struct bl_mma_turn {
    uint32_t given, got;

    static void run(void *const lanes[32]) {
        for (int lane = 0; lane < 32; lane++) {
            const int g = lane / 4, t = lane % 4, half = 16 * (g % 2);
            const uint32_t low = static_cast<const bl_mma_turn *>(lanes[8 * t + g / 2])->given >> half & 0xffffu;
            const uint32_t high = static_cast<const bl_mma_turn *>(lanes[8 * t + 4 + g / 2])->given >> half & 0xffffu;
            static_cast<bl_mma_turn *>(lanes[lane])->got = low | high << 16;
        }
    }
};

__device__ __forceinline__ uint32_t transpose_pairs(uint32_t pair) {
    bl_mma_turn mine = {pair, 0};
    bl_emulated_warp(BL_FULL_WARP, "transpose_pairs", &mine, bl_mma_turn::run);
    return mine.got;
}

template <typename T> struct bl_mma_product {
    float *c;
    const uint32_t *a;
    uint32_t b[2];

    static float element(uint32_t word, int half) {
        const uint16_t bits = static_cast<uint16_t>(word >> 16 * half);
        T value;
        memcpy(static_cast<void *>(&value), &bits, sizeof value);
        return to_float(value);
    }
    static bl_mma_product &of(void *const lanes[32], int lane) {
        return *static_cast<bl_mma_product *>(lanes[lane]);
    }
    static void run(void *const lanes[32]) {
        float a[16][16], b[8][16]; /* b by columns */
        for (int lane = 0; lane < 32; lane++) {
            const int g = lane / 4, t = lane % 4;
            for (int i = 0; i < 8; i++) {
                const int half = i % 2, word = i / 2, k = 2 * t + half + word / 2 * 8;
                a[g + word % 2 * 8][k] = element(of(lanes, lane).a[word], half);
                if (word < 2) b[g][2 * t + half + word * 8] = element(of(lanes, lane).b[word], half);
            }
        }
        for (int lane = 0; lane < 32; lane++) {
            for (int i = 0; i < 4; i++) {
                const float *left = a[lane / 4 + i / 2 * 8], *right = b[lane % 4 * 2 + i % 2];
                float sum = 0.0f;
                for (int k = 0; k < 16; k++)
                    sum += left[k] * right[k];
                of(lanes, lane).c[i] += sum;
            }
        }
    }
};

template <typename T>
__device__ __forceinline__ void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    bl_mma_product<T> mine = {c, a, {b0, b1}};
    bl_emulated_warp(BL_FULL_WARP, "multiply_add", &mine, bl_mma_product<T>::run);
}

#endif

/* Each half all ones where its bit `index` is set, else 0. */
__device__ __forceinline__ uint32_t half_masks(uint32_t bits, int index) {
    return choose_bytes(bits << (7 - index % 8), 0, index < 8 ? 0xaa88 : 0xbb99);
}

#endif
