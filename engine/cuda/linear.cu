/*
 * linear.cu - linear layers: the products go to cuBLASLt (matmul.h), the
 * activations and what no epilogue does are one pass each here.
 *
 * Row-major tensors as column-major matrices: x [T,K] is K x T, w [N,K] is
 * K x N, y [T,N] is N x T. So
 *     y  = w^T x    m N, n T, k K, A = w^T, B = x;  epilogue: bias [N]
 *     dx = w dy     m K, n T, k N;  += where it holds a gradient of x already
 *     dw += x dy^T  m K, n N, k T, B = dy^T;        epilogue: sum of dy
 *
 * Bias: cuBLASLt adds a bias of D's dtype. With bf16 or f16 results it is
 * rounded to that first, as automatic mixed precision does in PyTorch, unless
 * the caller already has it so and saves the launch. Where there is no such epilogue (odd row
 * lengths or addresses) the bias is added in a pass of its own.
 *
 * GELU: a pass over 2 T N elements after the product. The tanh form of 16-bit
 * results can also ride on the product (GELU_AUX_BIAS); the erf form cannot, see
 * activation.cuh.
 *
 * dbias: one pass over dy that at the same time multiplies by the activation's
 * derivative and converts f32 gradients (linear_gradient_kernel). None where the
 * op that computed dy has the sums (dy_sums). Else, without an activation, the sum
 * can also ride on the product of dw (BGRADB).
 *
 * dx of a layer behind GELU in its tanh form: that function's derivative and the
 * sums for the bias before it can ride on the product of dx (DGELU_BGRAD), which
 * has them in the dtype of dx, where a pass of our own has f32.
 *
 * An epilogue saves a pass over memory, but restricts cuBLASLt to kernels that
 * have it, which may be slower ones. But for the bias, which they all have, it is
 * used where it was timed to be faster (bl_context_matmul_choices), never by
 * guessing.
 */
#include "cuda/activation.cuh"
#include "cuda/matmul.h"

enum { GRADIENT_WARPS = 8, GRADIENT_BLOCKS = 2048, SUM_WARPS = 32 };

/* ---- forward ---- */

template <typename To, typename From> __global__ void convert_bias_kernel(To *to, const From *from, int64_t n) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n) to[i] = from_float<To>(to_float(from[i]));
}

/* For the shapes that cuBLASLt adds no bias to, all of them small: one element per thread. */
template <typename T, typename B>
__global__ void add_bias_kernel(T *y, const B *bias, int64_t count, int64_t columns, int64_t stride) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= count) return;
    T *const at = y + i / columns * stride + i % columns;
    *at = from_float<T>(to_float(*at) + to_float(bias[i % columns]));
}

/* GELU from a 16-bit `pre` to an f32 y; the kernels of elementwise.cu and unary.cu are for one dtype. */
template <typename T> __global__ void widening_gelu_kernel(float *y, const T *pre, int64_t count, bool tanh_form) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= count) return;
    float slope;
    y[i] = tanh_form ? gelu_tanh(to_float(pre[i]), &slope) : gelu<float>(to_float(pre[i]));
}

static int64_t row_stride(const bl_tensor *t) {
    /* The stride of a single row may be anything. */
    return t->shape[0] > 1 ? t->stride[0] : t->shape[1];
}

template <typename B> static bl_status add_bias_of(bl_context *ctx, bl_tensor *y, const bl_tensor *bias) {
    const int64_t count = bl_tensor_numel(y);
    BL_DISPATCH_FLOAT(y->dtype, T, {
        BL_LAUNCH((add_bias_kernel<T, B>), bl_blocks(count, 256), 256, 0, bl_cuda_of(ctx)->stream, bl_data<T>(y),
                  bl_data<B>(bias), count, y->shape[1], row_stride(y));
    });
    return BL_OK;
}

static bl_status add_bias(bl_context *ctx, bl_tensor *y, const bl_tensor *bias) {
    BL_DISPATCH_FLOAT(bias->dtype, B, { BL_TRY(add_bias_of<B>(ctx, y, bias)); });
    return BL_OK;
}

/* The bias in the dtype that the epilogue takes: itself, or rounded (or, for f32 results, widened) into scratch. */
static bl_status epilogue_bias(bl_context *ctx, const bl_tensor *bias, int32_t dtype, void **out) {
    *out = bias->data;
    if (dtype == bias->dtype) return BL_OK;
    const int64_t n = bias->shape[0];
    const cudaStream_t stream = bl_cuda_of(ctx)->stream;
    BL_TRY(bl_cuda_scratch(ctx, static_cast<size_t>(n) * bl_dtype_size(dtype), out));
    if (dtype == BL_F32) {
        BL_DISPATCH_FLOAT(bias->dtype, B, {
            BL_LAUNCH((convert_bias_kernel<float, B>), bl_blocks(n, 256), 256, 0, stream, static_cast<float *>(*out),
                      bl_data<B>(bias), n);
        });
    } else {
        BL_DISPATCH_FLOAT(dtype, T, {
            BL_LAUNCH((convert_bias_kernel<T, float>), bl_blocks(n, 256), 256, 0, stream, static_cast<T *>(*out),
                      bl_data<float>(bias), n);
        });
    }
    return BL_OK;
}

/* GELU in its tanh form, of two tensors of one dtype. */
typedef struct gelu_pass {
    bl_tensor *y;
    const bl_tensor *pre;
} gelu_pass;

static bl_status run_gelu(bl_context *ctx, void *argument) {
    const gelu_pass *pass = static_cast<const gelu_pass *>(argument);
    return bl_cuda_unary_forward(ctx, pass->y, pass->pre, BL_UNARY_GELU_TANH, 0.0f);
}

/* Whether a product with GELU in its epilogue is to take the place of one with the bias only, and a pass. */
static bl_status prefer_gelu(bl_context *ctx, bl_cuda_product *fused, const bl_cuda_product *with_bias, bl_tensor *y,
                             bl_tensor *product, bool *prefer) {
    *fused = *with_bias;
    *prefer = false;
    if (y->dtype == BL_F32 || y->dtype != product->dtype || y->shape[1] % 8 != 0) return BL_OK;
    fused->d = y->data;
    fused->epilogue = y == product ? BL_EPILOGUE_GELU_BIAS : BL_EPILOGUE_GELU_AUX_BIAS;
    fused->aux = y == product ? NULL : product->data;
    gelu_pass pass = {y, product};
    return bl_cuda_matmul_prefer(ctx, prefer, fused, with_bias, run_gelu, &pass);
}

/*
 * product = x w^T + bias; and y = GELU of it in the tanh form, unless y is NULL, where an epilogue is to do that:
 * *activated says whether it did. product may be y.
 */
static bl_status multiply(bl_context *ctx, bool *activated, bl_tensor *y, bl_tensor *product, const bl_tensor *x,
                          const bl_tensor *w, const bl_tensor *bias) {
    bl_cuda_product p = {};
    *activated = false;
    p.m = w->shape[0], p.n = x->shape[0], p.k = w->shape[1];
    p.a = w->data, p.lda = w->shape[1], p.transpose_a = true;
    p.b = x->data, p.ldb = row_stride(x);
    p.d = product->data, p.ldd = row_stride(product);
    p.operand = x->dtype, p.result = product->dtype;
    if (bias) {
        bl_cuda_product with_bias = p;
        with_bias.epilogue = BL_EPILOGUE_BIAS;
        BL_TRY(epilogue_bias(ctx, bias, product->dtype, &with_bias.vector));
        bl_cuda_product fused = {};
        if (y) BL_TRY(prefer_gelu(ctx, &fused, &with_bias, y, product, activated));
        const bl_cuda_product *chosen = *activated ? &fused : &with_bias;
        struct bl_cuda_plan *plan = NULL;
        BL_TRY(bl_cuda_matmul_plan(ctx, &plan, chosen));
        if (plan) return bl_cuda_matmul_run(ctx, plan, chosen);
    }
    BL_TRY(bl_cuda_matmul_plain(ctx, &p));
    return bias ? add_bias(ctx, product, bias) : BL_OK;
}

bl_status bl_cuda_linear_forward(bl_context *ctx, bl_tensor *y, bl_tensor *pre, const bl_tensor *x, const bl_tensor *w,
                                 const bl_tensor *bias, int32_t activation) {
    if (x->shape[0] == 0) return BL_OK;
    bl_tensor *product = pre ? pre : y;
    bool activated = false;
    BL_TRY(multiply(ctx, &activated, activation == BL_GELU_TANH ? y : NULL, product, x, w, bias));
    if (activation == BL_LINEAR || activated) return BL_OK;
    if (activation == BL_TANH) return bl_cuda_tanh_forward(ctx, y, product);
    if (y->dtype == product->dtype)
        return activation == BL_GELU ? bl_cuda_gelu_forward(ctx, y, product)
                                     : bl_cuda_unary_forward(ctx, y, product, BL_UNARY_GELU_TANH, 0.0f);
    const int64_t count = bl_tensor_numel(y);
    BL_DISPATCH_FLOAT(product->dtype, T, {
        BL_LAUNCH((widening_gelu_kernel<T>), bl_blocks(count, 256), 256, 0, bl_cuda_of(ctx)->stream, bl_data<float>(y),
                  bl_data<T>(product), count, activation == BL_GELU_TANH);
    });
    return BL_OK;
}

/* ---- backward ---- */

template <typename T, int VEC> struct Row {
    static __device__ __forceinline__ void load(const T *p, float (&x)[VEC]) {
        load8<T>(p, x);
    }
    static __device__ __forceinline__ void store(T *p, const float (&x)[VEC]) {
        store8<T>(p, x);
    }
};

template <typename T> struct Row<T, 1> {
    static __device__ __forceinline__ void load(const T *p, float (&x)[1]) {
        x[0] = to_float(p[0]);
    }
    static __device__ __forceinline__ void store(T *p, const float (&x)[1]) {
        p[0] = from_float<T>(x[0]);
    }
};

/*
 * g = dy f'(saved): written to out, unless that is NULL, and summed over rows
 * into partial [chunks, columns], unless that is NULL. out may be dy.
 *
 * A warp takes rows of 32 * VEC columns, so of 512 bytes in bf16; a block's 8
 * warps take every eighth row of its chunk and are summed through shared
 * memory at the end. STEP rows are loaded at once. Bytes moved: dy, saved
 * and out once; partial is below 1 % of them. Sums run in an order that the
 * shape fixes.
 */
template <typename D, typename S, typename O, int ACTIVATION, int VEC>
__global__ void __launch_bounds__(BL_WARP *GRADIENT_WARPS)
    linear_gradient_kernel(O *out, float *partial, const D *dy, const S *saved, int64_t rows, int64_t columns,
                           int64_t chunk) {
    constexpr int STEP = ACTIVATION == BL_LINEAR ? 4 : 2;
    __shared__ float tile[GRADIENT_WARPS][BL_WARP * VEC];
    const int lane = threadIdx.x % BL_WARP, warp = threadIdx.x / BL_WARP;
    const int64_t strip = static_cast<int64_t>(blockIdx.x) * BL_WARP * VEC, column = strip + lane * VEC;
    const int64_t begin = blockIdx.y * chunk, end = begin + chunk < rows ? begin + chunk : rows;
    float sum[VEC];
#pragma unroll
    for (int i = 0; i < VEC; i++)
        sum[i] = 0.0f;
    if (column < columns) {
        for (int64_t row = begin + warp; row < end; row += STEP * GRADIENT_WARPS) {
            float g[STEP][VEC], s[STEP][VEC];
#pragma unroll
            for (int r = 0; r < STEP; r++) {
                const int64_t at = row + r * GRADIENT_WARPS;
                if (at >= end) break;
                Row<D, VEC>::load(dy + at * columns + column, g[r]);
                if (ACTIVATION != BL_LINEAR) Row<S, VEC>::load(saved + at * columns + column, s[r]);
            }
#pragma unroll
            for (int r = 0; r < STEP; r++) {
                const int64_t at = row + r * GRADIENT_WARPS;
                if (at >= end) break;
#pragma unroll
                for (int i = 0; i < VEC; i++) {
                    if (ACTIVATION == BL_GELU) g[r][i] *= gelu_derivative<S>(s[r][i]);
                    if (ACTIVATION == BL_GELU_TANH) {
                        float slope;
                        gelu_tanh(s[r][i], &slope);
                        g[r][i] *= slope;
                    }
                    if (ACTIVATION == BL_TANH) g[r][i] *= 1.0f - s[r][i] * s[r][i];
                    sum[i] += g[r][i];
                }
                if (out) Row<O, VEC>::store(out + at * columns + column, g[r]);
            }
        }
    }
    if (!partial) return;
#pragma unroll
    for (int i = 0; i < VEC; i++)
        tile[warp][lane * VEC + i] = sum[i];
    __syncthreads();
    for (int i = threadIdx.x; i < BL_WARP * VEC; i += blockDim.x) {
        if (strip + i >= columns) return;
        float total = 0.0f;
#pragma unroll
        for (int w = 0; w < GRADIENT_WARPS; w++)
            total += tile[w][i];
        partial[blockIdx.y * columns + strip + i] = total;
    }
}

/* sum = the rows of partial [chunks, columns], or += with `add`: 32 columns per block, every 32nd row per warp. */
__global__ void __launch_bounds__(BL_WARP *SUM_WARPS)
    add_partial_sums_kernel(float *sum, const float *partial, int64_t chunks, int64_t columns, bool add) {
    __shared__ float tile[SUM_WARPS][BL_WARP];
    const int lane = threadIdx.x % BL_WARP, warp = threadIdx.x / BL_WARP;
    const int64_t column = static_cast<int64_t>(blockIdx.x) * BL_WARP + lane;
    float total = 0.0f;
    if (column < columns) {
#pragma unroll 4
        for (int64_t chunk = warp; chunk < chunks; chunk += SUM_WARPS)
            total += partial[chunk * columns + column];
    }
    tile[warp][lane] = total;
    __syncthreads();
    if (warp > 0 || column >= columns) return;
    total = 0.0f;
#pragma unroll
    for (int w = 0; w < SUM_WARPS; w++)
        total += tile[w][lane];
    sum[column] = add ? sum[column] + total : total;
}

static bl_status add_partial_sums(bl_context *ctx, float *sum, const float *partial, int64_t chunks, int64_t columns,
                                  bool add) {
    BL_LAUNCH(add_partial_sums_kernel, bl_blocks(columns, BL_WARP), BL_WARP * SUM_WARPS, 0, bl_cuda_of(ctx)->stream,
              sum, partial, chunks, columns, add);
    return BL_OK;
}

bl_status bl_cuda_add_partial_sums(bl_context *ctx, bl_tensor *sums, const float *partial, int64_t rows) {
    return add_partial_sums(ctx, bl_data<float>(sums), partial, rows, sums->shape[0], false);
}

/* What one backward works on. */
typedef struct gradient {
    bl_tensor *dy;
    const bl_tensor *saved;
    int32_t activation;
    void *out;      /* where dy f'(saved) goes; NULL: nowhere, it is dy itself */
    float *partial; /* [chunks, N]; NULL: no sums */
    float *sum;     /* [N], of the partial sums */
    bool add;       /* to what it holds */
    int64_t chunk, chunks;
    bool vector; /* 8 elements at a time */
} gradient;

/* Rows that a block sums: enough blocks for any GPU, and few partial sums. Depends on the shape alone. */
static int64_t chunk_rows(int64_t rows, int64_t columns, bool vector) {
    const int64_t width = BL_WARP * (vector ? 8 : 1), step = 4 * GRADIENT_WARPS;
    const int64_t strips = (columns + width - 1) / width;
    int64_t chunk = rows * strips / GRADIENT_BLOCKS;
    const int64_t least = rows / 65535 + 1; /* blocks in the grid's second dimension */
    chunk = chunk < least ? least : chunk;
    return (chunk + 2 * step - 1) / (2 * step) * (2 * step);
}

static void divide(gradient *g) {
    const int64_t rows = g->dy->shape[0];
    g->chunk = chunk_rows(rows, g->dy->shape[1], g->vector);
    g->chunks = (rows + g->chunk - 1) / g->chunk;
}

template <typename D, typename S, typename O, int ACTIVATION, int VEC>
static bl_status launch_gradient(bl_context *ctx, const gradient *g) {
    const int64_t rows = g->dy->shape[0], columns = g->dy->shape[1];
    const dim3 grid(bl_blocks(columns, BL_WARP * VEC), static_cast<unsigned>(g->chunks));
    BL_LAUNCH((linear_gradient_kernel<D, S, O, ACTIVATION, VEC>), grid, BL_WARP * GRADIENT_WARPS, 0,
              bl_cuda_of(ctx)->stream, static_cast<O *>(g->out), g->partial, bl_data<D>(g->dy), bl_data<S>(g->saved),
              rows, columns, g->chunk);
    return g->partial ? add_partial_sums(ctx, g->sum, g->partial, g->chunks, columns, g->add) : BL_OK;
}

template <typename T, typename D, int ACTIVATION> static bl_status launch_widths(bl_context *ctx, const gradient *g) {
    return g->vector ? launch_gradient<D, T, T, ACTIVATION, 8>(ctx, g)
                     : launch_gradient<D, T, T, ACTIVATION, 1>(ctx, g);
}

/* T: the activation dtype, of out and of GELU's saved; D: of dy. tanh is the pooler's, on B rows: it needs no vectors.
 */
template <typename T, typename D> static bl_status run_gradient_of(bl_context *ctx, const gradient *g) {
    if (g->activation == BL_GELU) return launch_widths<T, D, BL_GELU>(ctx, g);
    if (g->activation == BL_GELU_TANH) return launch_widths<T, D, BL_GELU_TANH>(ctx, g);
    if (g->activation == BL_LINEAR) return launch_widths<T, D, BL_LINEAR>(ctx, g);
    return g->saved->dtype == BL_F32 ? launch_gradient<D, float, T, BL_TANH, 1>(ctx, g)
                                     : launch_gradient<D, T, T, BL_TANH, 1>(ctx, g);
}

static bl_status run_gradient(bl_context *ctx, const gradient *g, int32_t dtype) {
    BL_DISPATCH_FLOAT(dtype, T, {
        BL_TRY(g->dy->dtype == BL_F32 ? (run_gradient_of<T, float>(ctx, g)) : (run_gradient_of<T, T>(ctx, g)));
    });
    return BL_OK;
}

/* For timing: the same work with its sums going nowhere that matters. */
static bl_status run_gradient_idly(bl_context *ctx, void *argument) {
    const gradient *g = static_cast<const gradient *>(argument);
    return run_gradient(ctx, g, g->dy->dtype);
}

static size_t padded(size_t bytes) {
    return (bytes + 255) / 256 * 256;
}

size_t bl_cuda_linear_bytes(int64_t rows, int64_t columns) {
    const int64_t chunk = chunk_rows(rows, columns, columns % 8 == 0);
    const size_t partial = padded(static_cast<size_t>((rows + chunk - 1) / chunk * columns) * sizeof(float));
    /* The forward's bias in another dtype is not larger than the spare sums. */
    return partial + static_cast<size_t>(columns) * sizeof(float);
}

/*
 * Decides what the pass over dy has to do and where, and lays out its scratch:
 * dy in the activation dtype where it is f32, partial sums, and N spare floats.
 */
static bl_status prepare(bl_context *ctx, gradient *g, float **spare, const bl_tensor *dbias, const bl_tensor *x,
                         bl_tensor *dy, const bl_tensor *saved, int32_t activation) {
    const int64_t columns = dy->shape[1];
    const bool converts = dy->dtype != x->dtype;
    g->dy = dy;
    g->saved = saved;
    g->activation = activation;
    g->vector =
        columns % 8 == 0 && bl_aligned16(dy->data) && (!saved || bl_aligned16(saved->data)) && activation != BL_TANH;
    divide(g);
    const size_t converted = converts ? padded(static_cast<size_t>(bl_tensor_numel(dy)) * bl_dtype_size(x->dtype)) : 0;
    const size_t partial = dbias ? padded(static_cast<size_t>(g->chunks * columns) * sizeof(float)) : 0;
    void *scratch = NULL;
    if (converted + partial) BL_TRY(bl_cuda_scratch(ctx, converted + partial + columns * sizeof(float), &scratch));
    char *base = static_cast<char *>(scratch);
    g->out = converts ? scratch : activation != BL_LINEAR ? dy->data : NULL;
    g->partial = dbias ? reinterpret_cast<float *>(base + converted) : NULL;
    g->sum = dbias ? static_cast<float *>(dbias->data) : NULL;
    *spare = dbias ? reinterpret_cast<float *>(base + converted + partial) : NULL;
    return BL_OK;
}

bl_status bl_cuda_column_sums(bl_context *ctx, bl_tensor *sums, bl_tensor *t) {
    gradient g = {};
    float *spare = NULL;
    BL_TRY(prepare(ctx, &g, &spare, sums, t, t, NULL, BL_LINEAR));
    return run_gradient(ctx, &g, t->dtype);
}

/* dw += dy^T x (= without g->add), and dbias as an epilogue of it if that was timed to be faster; *summed says whether.
 */
static bl_status weight_gradient(bl_context *ctx, bool *summed, bl_tensor *dw, const gradient *g, float *spare,
                                 const void *dy, const bl_tensor *x) {
    const int64_t outputs = dw->shape[0];
    bl_cuda_product p = {};
    p.m = dw->shape[1], p.n = outputs, p.k = x->shape[0];
    p.a = x->data, p.lda = row_stride(x);
    p.b = dy, p.ldb = outputs, p.transpose_b = true;
    p.d = dw->data, p.ldd = dw->shape[1];
    p.operand = x->dtype, p.result = BL_F32, p.accumulate = g->add;
    *summed = false;
    if (!g->partial || g->out) return bl_cuda_matmul_plain(ctx, &p);
    bl_cuda_product fused = p;
    fused.epilogue = BL_EPILOGUE_SUM_B;
    fused.vector = spare;
    gradient idle = *g;
    idle.sum = spare;
    BL_TRY(bl_cuda_matmul_prefer(ctx, summed, &fused, &p, run_gradient_idly, &idle));
    if (!*summed) return bl_cuda_matmul_plain(ctx, &p);
    struct bl_cuda_plan *plan = NULL;
    BL_TRY(bl_cuda_matmul_plan(ctx, &plan, &fused));
    BL_TRY(bl_cuda_matmul_run(ctx, plan, &fused));
    return add_partial_sums(ctx, g->sum, spare, 1, outputs, g->add);
}

/* The product dx = dy w (+= with `add`), and what of x_pre and dx_sums (api/ops.h) is asked for. */
static bl_status input_gradient(bl_context *ctx, bl_tensor *dx, bl_tensor *dx_sums, const void *dy, bool in_scratch,
                                const bl_tensor *w, const bl_tensor *x_pre, bool add) {
    bl_cuda_product p = {};
    p.m = w->shape[1], p.n = dx->shape[0], p.k = w->shape[0];
    p.a = w->data, p.lda = w->shape[1];
    p.b = dy, p.ldb = w->shape[0];
    p.d = dx->data, p.ldd = dx->shape[1];
    p.operand = w->dtype, p.result = dx->dtype, p.accumulate = add;
    const bool epilogue = x_pre && dx_sums && dx->dtype != BL_F32 && p.m % 8 == 0 && !in_scratch;
    if (!epilogue) BL_TRY(bl_cuda_matmul_plain(ctx, &p));
    if (!x_pre && !dx_sums) return BL_OK;
    gradient g = {};
    float *spare = NULL;
    BL_TRY(prepare(ctx, &g, &spare, dx_sums, dx, dx, x_pre, x_pre ? BL_GELU_TANH : BL_LINEAR));
    if (!epilogue) return run_gradient(ctx, &g, dx->dtype);
    bl_cuda_product fused = p;
    fused.epilogue = BL_EPILOGUE_DGELU_SUM;
    fused.vector = spare;
    fused.aux = x_pre->data;
    bool prefer = false;
    BL_TRY(bl_cuda_matmul_prefer(ctx, &prefer, &fused, &p, run_gradient_idly, &g));
    if (!prefer) {
        BL_TRY(bl_cuda_matmul_plain(ctx, &p));
        return run_gradient(ctx, &g, dx->dtype);
    }
    struct bl_cuda_plan *plan = NULL;
    BL_TRY(bl_cuda_matmul_plan(ctx, &plan, &fused));
    BL_TRY(bl_cuda_matmul_run(ctx, plan, &fused));
    BL_DISPATCH_FLOAT(dx->dtype, T, {
        BL_LAUNCH((convert_bias_kernel<float, T>), bl_blocks(p.m, 256), 256, 0, bl_cuda_of(ctx)->stream, g.sum,
                  reinterpret_cast<const T *>(spare), p.m);
    });
    return BL_OK;
}

bl_status bl_cuda_linear_backward(bl_context *ctx, bl_tensor *dx, bl_tensor *dw, bl_tensor *dbias, bl_tensor *dy,
                                  const bl_tensor *x, const bl_tensor *w, const bl_tensor *saved, int32_t activation,
                                  bool add, const bl_tensor *dy_sums, const bl_tensor *x_pre, bl_tensor *dx_sums,
                                  bool add_to_dx) {
    if (x->shape[0] == 0) {
        if (dw && !add) BL_TRY(bl_cuda_fill(ctx, dw, 0.0));
        if (dx_sums) BL_TRY(bl_cuda_fill(ctx, dx_sums, 0.0));
        return dbias && !add ? bl_cuda_fill(ctx, dbias, 0.0) : BL_OK;
    }
    if (dbias && dy_sums) {
        BL_TRY(add_partial_sums(ctx, bl_data<float>(dbias), bl_data<float>(dy_sums), 1, dbias->shape[0], add));
        dbias = NULL;
    }
    gradient g = {};
    g.add = add;
    float *spare = NULL;
    BL_TRY(prepare(ctx, &g, &spare, dbias, x, dy, saved, activation));
    if (g.out) BL_TRY(run_gradient(ctx, &g, x->dtype));
    const void *product_dy = g.out ? g.out : dy->data;
    bool summed = g.out != NULL;
    if (dw) BL_TRY(weight_gradient(ctx, &summed, dw, &g, spare, product_dy, x));
    if (dbias && !g.out && !summed) BL_TRY(run_gradient(ctx, &g, x->dtype));
    const bool in_scratch = dy->dtype != x->dtype;
    return dx ? input_gradient(ctx, dx, dx_sums, product_dy, in_scratch, w, x_pre, add_to_dx) : BL_OK;
}
