/*
 * layernorm.cu - dropout, residual and layer normalisation in one pass over
 * memory, forward and backward. Mapping and order of sums: normalize.cuh.
 *
 * Bytes per element of bf16 [T,H]: forward 8 (x and residual in, z and y out),
 * backward 8 (dy and z in, dx and dresidual out), and 24 bytes per column and
 * chunk of rows for dgamma, dbeta and the sums of dx in transit. Bound by memory,
 * dropout (5 instructions of Philox per element, and 4 that apply it) included.
 */
#include "cuda/normalize.cuh"

template <typename T> struct LayernormRow {
    static constexpr int PACK = Pack<T>::N;
    static constexpr bool CENTERED = true;
    T *y;
    T *z; /* may be NULL, may be x */
    const T *x;
    const T *residual; /* may be NULL */
    Dropout dropout;
    int64_t width;

    __device__ __forceinline__ DropoutStream begin() const {
        return DropoutStream(dropout);
    }

    /* z rounded as it is stored, so that the backward sees what the forward normalised. */
    template <int N> struct Held { Raw<N, T> x, residual; };

    template <int N> __device__ __forceinline__ Held<N> fetch(int64_t t, int column) const {
        const int64_t at = t * width + column;
        Held<N> raw;
        raw.x = fetch_elements<N>(x + at);
        if (residual) raw.residual = fetch_elements<N>(residual + at);
        return raw;
    }

    template <int N>
    __device__ __forceinline__ void read(const DropoutStream &drop, const Held<N> &raw, int64_t t, int column,
                                         float (&sum)[N]) const {
        float added[N] = {};
        widen_elements<N, T>(raw.x, sum);
        if (residual) widen_elements<N, T>(raw.residual, added);
        drop_elements<N>(drop, t * width + column, sum);
#pragma unroll
        for (int i = 0; i < N; i++)
            sum[i] = round_to<T>(residual ? sum[i] + added[i] : sum[i]);
    }

    template <int N>
    __device__ __forceinline__ void write(const DropoutStream &, int64_t t, int column, const float (&sum)[N],
                                          const float (&out)[N]) const {
        const int64_t at = t * width + column;
        if (z) write_elements<N>(z + at, sum);
        write_elements<N>(y + at, out);
    }
};

template <typename T> struct LayernormGradientRow {
    static constexpr int PACK = Pack<T>::N;
    static constexpr bool CENTERED = true, SUMS = true;
    T *dx;        /* may be NULL */
    T *dresidual; /* may be NULL, may be dy */
    const T *dy;
    const T *z;
    Dropout dropout;
    int64_t width;

    __device__ __forceinline__ DropoutStream begin() const {
        return DropoutStream(dropout);
    }

    template <int N> struct Held { Raw<N, T> dy, z; };

    template <int N> __device__ __forceinline__ Held<N> fetch(int64_t t, int column) const {
        const int64_t at = t * width + column;
        Held<N> raw;
        raw.dy = fetch_elements<N>(dy + at);
        raw.z = fetch_elements<N>(z + at);
        return raw;
    }

    template <int N>
    __device__ __forceinline__ void read(const DropoutStream &, const Held<N> &raw, int64_t, int, float (&gradient)[N],
                                         float (&sum)[N]) const {
        widen_elements<N, T>(raw.dy, gradient);
        widen_elements<N, T>(raw.z, sum);
    }

    template <int N>
    __device__ __forceinline__ void write(const DropoutStream &drop, int64_t t, int column, float (&dz)[N]) const {
        const int64_t at = t * width + column;
        if (dresidual) write_elements<N>(dresidual + at, dz);
        if (!dx) return;
        drop_elements<N>(drop, at, dz);
        write_elements<N>(dx + at, dz);
    }
};

bl_status bl_cuda_layernorm_forward(bl_context *ctx, bl_tensor *y, bl_tensor *z, bl_tensor *mean, bl_tensor *rstd,
                                    const bl_tensor *x, const bl_tensor *residual, const bl_tensor *gamma,
                                    const bl_tensor *beta, float eps, const bl_dropout *dropout) {
    const int64_t rows = x->shape[0], width = x->shape[1];
    const float *scale = bl_data<float>(gamma), *shift = bl_data<float>(beta);
    BL_DISPATCH_FLOAT(x->dtype, T, {
        LayernormRow<T> row = {
            bl_data<T>(y), bl_data<T>(z), bl_data<T>(x), bl_data<T>(residual), bl_cuda_dropout(dropout), width};
        const bool packed = rows_packed<T>(width, row.y, row.z, row.x, row.residual, scale, shift);
        return normalize_forward(bl_cuda_of(ctx), row, bl_data<float>(mean), bl_data<float>(rstd), scale, shift, eps,
                                 rows, static_cast<int>(width), packed);
    });
}

bl_status bl_cuda_layernorm_backward(bl_context *ctx, bl_tensor *dx, bl_tensor *dresidual, bl_tensor *dgamma,
                                     bl_tensor *dbeta, const bl_tensor *dy, const bl_tensor *z, const bl_tensor *mean,
                                     const bl_tensor *rstd, const bl_tensor *gamma, const bl_dropout *dropout,
                                     bl_tensor *sums) {
    const int64_t rows = dy->shape[0], width = dy->shape[1];
    const float *scale = bl_data<float>(gamma);
    if (rows == 0) return sums ? bl_cuda_fill(ctx, sums, 0.0) : BL_OK;
    bl_cuda *cuda = bl_cuda_of(ctx);
    void *partial;
    BL_TRY(
        bl_cuda_scratch(ctx, static_cast<size_t>(normalize_partial_size(cuda, rows, width)) * sizeof(float), &partial));
    BL_DISPATCH_FLOAT(dy->dtype, T, {
        LayernormGradientRow<T> row = {bl_data<T>(dx), bl_data<T>(dresidual),    bl_data<T>(dy),
                                       bl_data<T>(z),  bl_cuda_dropout(dropout), width};
        const bool packed = rows_packed<T>(width, row.dx, row.dresidual, row.dy, row.z, scale);
        return normalize_backward(cuda, row, bl_data<float>(dgamma), bl_data<float>(dbeta), bl_data<float>(sums),
                                  static_cast<float *>(partial), bl_data<float>(mean), bl_data<float>(rstd), scale,
                                  rows, static_cast<int>(width), packed);
    });
}
