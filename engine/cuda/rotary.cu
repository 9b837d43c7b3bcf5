/*
 * rotary.cu - rotary position embeddings (arXiv 2104.09864) of queries and keys
 * that stand side by side with the values.
 *
 * One block per row: the sines of its position, once for all heads, go to
 * shared memory; then a thread turns 16 bytes of a head's first half with 16 of
 * its second. Angles are reduced to one turn in f64, D/2 per row, since an
 * angle of many turns would lose in f32 what the sine is made of. Bytes per
 * element of bf16 [T,3H]: 4, in place 2.7.
 */
#include "cuda/elements.cuh"

enum { THREADS = 128 };

/* Cosines, then sines, of the row's position; NaN for a position below 0, which the host could not refuse. */
static __device__ __forceinline__ void fill_entry(float *entry, int half, int32_t position, double exponent,
                                                  bool inverse) {
    constexpr double TURN = 6.283185307179586477;
    for (int i = threadIdx.x; i < half; i += THREADS) {
        const double angle = static_cast<double>(position) * exp2(exponent * static_cast<double>(i));
        const float rest =
            position < 0 ? static_cast<float>(NAN) : static_cast<float>(angle - TURN * rint(angle / TURN));
        const float sine = sinf(rest);
        entry[i] = cosf(rest);
        entry[half + i] = inverse ? -sine : sine;
    }
}

/* exponent: of base^(-2i/D) as a power of 2, for i = 1. */
template <int N, typename T>
static __global__ void __launch_bounds__(THREADS)
    rotary_kernel(T *y, const T *x, const int32_t *positions, int hidden, int half, double exponent, bool inverse) {
    BL_SHARED(float, entry);
    const int64_t t = blockIdx.x;
    fill_entry(entry, half, positions[t], exponent, inverse);
    __syncthreads();
    const T *in = x + 3 * t * hidden;
    T *out = y + 3 * t * hidden;
    /* Of queries and keys, `half` columns per head are first halves. */
    for (int j = threadIdx.x * N; j < hidden; j += THREADS * N) {
        const int head = j / half, i = j % half;
        const int first = head * 2 * half + i;
        float a[N], b[N];
        widen_elements<N, T>(fetch_elements<N>(in + first), a);
        widen_elements<N, T>(fetch_elements<N>(in + first + half), b);
#pragma unroll
        for (int k = 0; k < N; k++) {
            const float cosine = entry[i + k], sine = entry[half + i + k];
            const float turned = a[k] * cosine - b[k] * sine;
            b[k] = b[k] * cosine + a[k] * sine;
            a[k] = turned;
        }
        write_elements<N>(out + first, a);
        write_elements<N>(out + first + half, b);
    }
    if (out == in) return;
    for (int j = threadIdx.x * N; j < hidden; j += THREADS * N) {
        float value[N];
        widen_elements<N, T>(fetch_elements<N>(in + 2 * hidden + j), value);
        write_elements<N>(out + 2 * hidden + j, value);
    }
}

bl_status bl_cuda_rotary(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_tensor *positions, int32_t heads,
                         float base, bool inverse) {
    const int64_t rows = x->shape[0], hidden = x->shape[1] / 3, half = hidden / heads / 2;
    if (rows == 0) return BL_OK;
    const cudaStream_t stream = bl_cuda_of(ctx)->stream;
    const double exponent = -log2(static_cast<double>(base)) / static_cast<double>(half);
    const size_t shared = static_cast<size_t>(2 * half) * sizeof(float);
    BL_DISPATCH_FLOAT(x->dtype, T, {
        T *out = bl_data<T>(y);
        const T *in = bl_data<T>(x);
        if (rows_packed<T>(half, out, in))
            BL_LAUNCH((rotary_kernel<Pack<T>::N, T>), static_cast<unsigned>(rows), THREADS, shared, stream, out, in,
                      bl_data<int32_t>(positions), static_cast<int>(hidden), static_cast<int>(half), exponent, inverse);
        else
            BL_LAUNCH((rotary_kernel<1, T>), static_cast<unsigned>(rows), THREADS, shared, stream, out, in,
                      bl_data<int32_t>(positions), static_cast<int>(hidden), static_cast<int>(half), exponent, inverse);
    });
    return BL_OK;
}
