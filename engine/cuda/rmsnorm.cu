/*
 * rmsnorm.cu - root mean square normalisation (arXiv 1910.07467) in one pass
 * over memory, forward and backward. Mapping and order of sums: normalize.cuh.
 *
 * Bytes per element of bf16 [T,H]: forward 4 (x in, y out), backward 6 (dy and
 * x in, dx out), and 16 bytes per column and chunk of rows for dgamma in
 * transit. Bound by memory.
 */
#include "cuda/normalize.cuh"

/* No dropout here. */
static __device__ __forceinline__ DropoutStream no_dropout() {
    return DropoutStream(Dropout{nullptr, 0, 0, 1.0f});
}

template <typename T> struct RmsnormRow {
    static constexpr int PACK = Pack<T>::N;
    static constexpr bool CENTERED = false;
    T *y; /* may be x */
    const T *x;
    int64_t width;

    __device__ __forceinline__ DropoutStream begin() const {
        return no_dropout();
    }

    template <int N> struct Held { Raw<N, T> x; };

    template <int N> __device__ __forceinline__ Held<N> fetch(int64_t t, int column) const {
        Held<N> raw;
        raw.x = fetch_elements<N>(x + t * width + column);
        return raw;
    }

    template <int N>
    __device__ __forceinline__ void read(const DropoutStream &, const Held<N> &raw, int64_t, int, float (&z)[N]) const {
        widen_elements<N, T>(raw.x, z);
    }

    template <int N>
    __device__ __forceinline__ void write(const DropoutStream &, int64_t t, int column, const float (&)[N],
                                          const float (&out)[N]) const {
        write_elements<N>(y + t * width + column, out);
    }
};

template <typename T> struct RmsnormGradientRow {
    static constexpr int PACK = Pack<T>::N;
    static constexpr bool CENTERED = false, SUMS = false;
    T *dx; /* may be NULL, may be dy */
    const T *dy;
    const T *x;
    int64_t width;

    __device__ __forceinline__ DropoutStream begin() const {
        return no_dropout();
    }

    template <int N> struct Held { Raw<N, T> dy, x; };

    template <int N> __device__ __forceinline__ Held<N> fetch(int64_t t, int column) const {
        const int64_t at = t * width + column;
        Held<N> raw;
        raw.dy = fetch_elements<N>(dy + at);
        raw.x = fetch_elements<N>(x + at);
        return raw;
    }

    template <int N>
    __device__ __forceinline__ void read(const DropoutStream &, const Held<N> &raw, int64_t, int, float (&gradient)[N],
                                         float (&z)[N]) const {
        widen_elements<N, T>(raw.dy, gradient);
        widen_elements<N, T>(raw.x, z);
    }

    template <int N>
    __device__ __forceinline__ void write(const DropoutStream &, int64_t t, int column, float (&dz)[N]) const {
        if (dx) write_elements<N>(dx + t * width + column, dz);
    }
};

bl_status bl_cuda_rmsnorm_forward(bl_context *ctx, bl_tensor *y, bl_tensor *rstd, const bl_tensor *x,
                                  const bl_tensor *gamma, float eps) {
    const int64_t rows = x->shape[0], width = x->shape[1];
    const float *scale = bl_data<float>(gamma);
    BL_DISPATCH_FLOAT(x->dtype, T, {
        RmsnormRow<T> row = {bl_data<T>(y), bl_data<T>(x), width};
        const bool packed = rows_packed<T>(width, row.y, row.x, scale);
        return normalize_forward(bl_cuda_of(ctx), row, static_cast<float *>(nullptr), bl_data<float>(rstd), scale,
                                 static_cast<const float *>(nullptr), eps, rows, static_cast<int>(width), packed);
    });
}

bl_status bl_cuda_rmsnorm_backward(bl_context *ctx, bl_tensor *dx, bl_tensor *dgamma, const bl_tensor *dy,
                                   const bl_tensor *x, const bl_tensor *rstd, const bl_tensor *gamma) {
    const int64_t rows = x->shape[0], width = x->shape[1];
    const float *scale = bl_data<float>(gamma);
    void *partial;
    bl_cuda *cuda = bl_cuda_of(ctx);
    BL_TRY(
        bl_cuda_scratch(ctx, static_cast<size_t>(normalize_partial_size(cuda, rows, width)) * sizeof(float), &partial));
    BL_DISPATCH_FLOAT(x->dtype, T, {
        RmsnormGradientRow<T> row = {bl_data<T>(dx), bl_data<T>(dy), bl_data<T>(x), width};
        const bool packed = rows_packed<T>(width, row.dx, row.dy, row.x, scale);
        return normalize_backward(cuda, row, bl_data<float>(dgamma), static_cast<float *>(nullptr),
                                  static_cast<float *>(nullptr), static_cast<float *>(partial),
                                  static_cast<const float *>(nullptr), bl_data<float>(rstd), scale, rows,
                                  static_cast<int>(width), packed);
    });
}
