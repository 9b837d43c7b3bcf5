/*
 * attention.cu - self-attention on the device: which implementation a call
 * takes, and rows that belong to no sequence.
 *
 * native   bf16 and f16, heads of 32 or 64: attention_native.cu
 * cudnn    bf16 and f16 without dropout: attention_cudnn.cu
 * unfused  whatever the others do not take: attention_unfused.cu
 *
 * Unless the context names one, native is taken where it fits: it alone has
 * the CPU's dropout mask, and needs no library.
 */
#include "cuda/attention.cuh"

/* Rows that a block of threads handles. */
enum { CLEAR_ROWS = 64, CLEAR_THREADS = 128 };

/*
 * Zeroes the rows that no sequence covers. Sequences may come in any order, so
 * each block scans all of them, 8 bytes each and mostly from the L2 cache, and
 * writes what is left of its 64 rows. Nothing is written for a packed batch.
 */
__global__ void __launch_bounds__(CLEAR_THREADS)
    attention_clear_kernel(const Attention call, unsigned char *t, int64_t row_bytes) {
    __shared__ int covered[CLEAR_ROWS];
    const int64_t first = static_cast<int64_t>(blockIdx.x) * CLEAR_ROWS;
    if (threadIdx.x < CLEAR_ROWS) covered[threadIdx.x] = 0;
    __syncthreads();
    for (int b = threadIdx.x; b < call.batch; b += CLEAR_THREADS) {
        const Segment segment(call, b);
        int64_t from = segment.begin - first, to = from + segment.length;
        if (from < 0) from = 0;
        if (to > CLEAR_ROWS) to = CLEAR_ROWS;
        for (int64_t i = from; i < to; i++)
            covered[i] = 1;
    }
    __syncthreads();
    const int warp = threadIdx.x / BL_WARP, lane = threadIdx.x % BL_WARP;
    for (int row = warp; row < CLEAR_ROWS && first + row < call.rows; row += CLEAR_THREADS / BL_WARP) {
        if (covered[row]) continue;
        unsigned char *p = t + (first + row) * row_bytes;
        if (row_bytes % 16 == 0) {
            for (int64_t i = lane; i < row_bytes / 16; i += BL_WARP)
                reinterpret_cast<uint4 *>(p)[i] = make_uint4(0, 0, 0, 0);
        } else {
            for (int64_t i = lane; i < row_bytes / 2; i += BL_WARP)
                reinterpret_cast<uint16_t *>(p)[i] = 0;
        }
    }
}

static bl_status clear_gaps(bl_context *ctx, const Attention &call, bl_tensor *t) {
    if (call.rows == 0) return BL_OK;
    const int64_t row_bytes = t->shape[1] * static_cast<int64_t>(bl_dtype_size(t->dtype));
    BL_LAUNCH(attention_clear_kernel, bl_blocks(call.rows, CLEAR_ROWS), CLEAR_THREADS, 0, bl_cuda_of(ctx)->stream, call,
              static_cast<unsigned char *>(t->data), row_bytes);
    return BL_OK;
}

static Attention make_call(const bl_tensor *qkv, const bl_tensor *segments, int32_t heads, int32_t max_length,
                           float scale, const bl_dropout *dropout) {
    Attention call = {};
    call.qkv = qkv->data;
    call.segments = static_cast<const int32_t *>(segments->data);
    call.rows = qkv->shape[0];
    call.hidden = qkv->shape[1] / 3;
    call.batch = static_cast<int32_t>(segments->shape[0]);
    call.heads = heads;
    call.size = static_cast<int32_t>(call.hidden / heads);
    call.max_length = max_length;
    call.scale = scale;
    call.dropout = bl_cuda_dropout(dropout);
    return call;
}

/* The fused kernels fold the scale into the maximum, so it must be positive. */
static bool native_fits(const Attention &call, int32_t dtype) {
    return dtype != BL_F32 && (call.size == 64 || call.size == 32) && call.scale > 0.0f && bl_aligned16(call.qkv) &&
           bl_aligned16(call.out) && bl_aligned16(call.dout) && bl_aligned16(call.dqkv) && bl_aligned16(call.kept);
}

/* Which implementation runs, or why the requested one cannot. */
static bl_status choose(const bl_context *ctx, const Attention &call, int32_t dtype, int32_t *out) {
    const bool native = native_fits(call, dtype);
    switch (ctx->attention) {
    case BL_ATTENTION_UNFUSED:
        *out = BL_ATTENTION_UNFUSED;
        return BL_OK;
    case BL_ATTENTION_NATIVE:
        if (!native)
            return bl_fail(BL_ERROR_UNSUPPORTED,
                           "attention: native takes bf16 or f16, head size 32 or 64, a scale above 0 and tensors on "
                           "16-byte boundaries, got %s, %d and %g; use --attention unfused, or leave it unset",
                           bl_dtype_name(dtype), (int) call.size, (double) call.scale);
        *out = BL_ATTENTION_NATIVE;
        return BL_OK;
    case BL_ATTENTION_CUDNN:
        if (dtype == BL_F32 || call.size % 8 != 0 || call.size > 128)
            return bl_fail(BL_ERROR_UNSUPPORTED,
                           "attention: cudnn takes bf16 or f16 and a head size that is a multiple of 8 up to 128, got "
                           "%s and %d; use --attention unfused, or leave it unset",
                           bl_dtype_name(dtype), (int) call.size);
        *out = BL_ATTENTION_CUDNN;
        return BL_OK;
    default:
        *out = native ? BL_ATTENTION_NATIVE : BL_ATTENTION_UNFUSED;
        return BL_OK;
    }
}

bl_status bl_cuda_attention_bytes(bl_context *ctx, const bl_step_shape *shape, size_t *bytes) {
    Attention call = {};
    call.rows = shape->rows;
    call.hidden = shape->hidden;
    call.batch = static_cast<int32_t>(shape->sequences);
    call.heads = shape->heads;
    call.size = static_cast<int32_t>(shape->hidden / shape->heads);
    call.max_length = static_cast<int32_t>(shape->max_length);
    call.scale = 1.0f;
    call.dropout.threshold = bl_cuda_dropout_threshold(shape->dropout);
    int32_t chosen = BL_ATTENTION_AUTO;
    *bytes = 0;
    BL_TRY(choose(ctx, call, shape->dtype, &chosen));
    if (call.batch == 0 || call.rows == 0) return BL_OK;
    if (chosen == BL_ATTENTION_CUDNN) return bl_cuda_attention_cudnn_bytes(ctx, call, shape->dtype, bytes);
    *bytes = chosen == BL_ATTENTION_NATIVE ? bl_cuda_attention_native_bytes(bl_cuda_of(ctx), call)
                                           : bl_cuda_attention_unfused_bytes(ctx, call);
    return BL_OK;
}

bl_status bl_cuda_attention_forward(bl_context *ctx, bl_tensor *out, bl_tensor *stats, bl_tensor *kept,
                                    const bl_tensor *qkv, const bl_tensor *segments, int32_t heads, int32_t max_length,
                                    float scale, const bl_dropout *dropout) {
    Attention call = make_call(qkv, segments, heads, max_length, scale, dropout);
    call.out = out->data;
    call.stats = bl_data<float>(stats);
    call.kept = bl_data<uint32_t>(kept);
    int32_t chosen = BL_ATTENTION_AUTO;
    BL_TRY(choose(ctx, call, qkv->dtype, &chosen));
    BL_TRY(clear_gaps(ctx, call, out));
    if (call.batch == 0 || call.rows == 0) return BL_OK;
    if (chosen == BL_ATTENTION_CUDNN) return bl_cuda_attention_cudnn_forward(ctx, call, qkv->dtype);
    if (chosen == BL_ATTENTION_NATIVE) return bl_cuda_attention_native_forward(ctx, call, qkv->dtype);
    return bl_cuda_attention_unfused_forward(ctx, call, qkv->dtype);
}

bl_status bl_cuda_attention_backward(bl_context *ctx, bl_tensor *dqkv, const bl_tensor *dout, const bl_tensor *out,
                                     const bl_tensor *stats, const bl_tensor *kept, const bl_tensor *qkv,
                                     const bl_tensor *segments, int32_t heads, int32_t max_length, float scale,
                                     const bl_dropout *dropout, bl_tensor *sums) {
    Attention call = make_call(qkv, segments, heads, max_length, scale, dropout);
    call.out = out->data;
    call.stats = static_cast<float *>(stats->data);
    call.kept = kept ? static_cast<uint32_t *>(kept->data) : nullptr;
    call.dout = dout->data;
    call.dqkv = dqkv->data;
    int32_t chosen = BL_ATTENTION_AUTO;
    BL_TRY(choose(ctx, call, qkv->dtype, &chosen));
    BL_TRY(clear_gaps(ctx, call, dqkv));
    if (call.batch == 0 || call.rows == 0) return sums ? bl_cuda_fill(ctx, sums, 0.0) : BL_OK;
    if (chosen == BL_ATTENTION_NATIVE) return bl_cuda_attention_native_backward(ctx, call, qkv->dtype, sums);
    BL_TRY(chosen == BL_ATTENTION_CUDNN ? bl_cuda_attention_cudnn_backward(ctx, call, qkv->dtype)
                                        : bl_cuda_attention_unfused_backward(ctx, call, qkv->dtype));
    return sums ? bl_cuda_column_sums(ctx, sums, dqkv) : BL_OK;
}
