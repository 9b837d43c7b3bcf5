/*
 * span_loss.cu - (CE(start) + CE(end)) / 2 over the tokens of each sequence,
 * and its gradient. A few thousand numbers: what counts is that the launches
 * are few. One block per sequence and column, then one block for the mean;
 * backward, one thread per element of [T,2].
 *
 * A segment outside the rows makes the loss NaN and is not read.
 */
#include "cuda/softmax.cuh"

enum { SPAN_THREADS = 128, SPAN_FINISH_THREADS = 256, SPAN_GRADIENT_THREADS = 256 };

/* Whether the answer counts: it lies within its sequence. */
static __device__ __forceinline__ bool span_counts(const int32_t *segments, const int32_t *answers, int64_t b) {
    return answers[b] >= 0 && answers[b] < segments[2 * b + 1];
}

/* grid [B, 2]; losses [2, B], 0 where the answer does not count. */
template <typename T>
static __global__ void __launch_bounds__(SPAN_THREADS)
    span_forward_kernel(double *losses, float *lse, const T *logits, const int32_t *segments, const int32_t *starts,
                        const int32_t *ends, int64_t rows) {
    const int64_t b = blockIdx.x;
    const int column = blockIdx.y;
    const int64_t begin = segments[2 * b], length = segments[2 * b + 1];
    const bool inside = begin >= 0 && length >= 0 && begin + length <= rows;
    const T *in = logits + 2 * begin + column;
    float max = -INFINITY;
    if (inside)
        for (int64_t i = threadIdx.x; i < length; i += SPAN_THREADS)
            max = fmaxf(max, to_float(in[2 * i]));
    max = block_max(max);
    const float from = exp_origin(max);
    double sum = 0.0;
    if (inside)
        for (int64_t i = threadIdx.x; i < length; i += SPAN_THREADS)
            sum += static_cast<double>(exp_of(to_float(in[2 * i]) - from));
    sum = block_sum(sum);
    if (threadIdx.x != 0) return;
    /* 0: an empty segment. */
    float log_sum = sum == 0.0 ? -INFINITY : static_cast<float>(static_cast<double>(max) + log(sum));
    if (!inside) log_sum = NAN;
    if (lse) lse[2 * b + column] = log_sum;
    const int32_t *answers = column == 0 ? starts : ends;
    double loss = 0.0;
    if (!inside)
        loss = static_cast<double>(NAN);
    else if (span_counts(segments, answers, b))
        loss = static_cast<double>(log_sum) - static_cast<double>(to_float(in[2 * static_cast<int64_t>(answers[b])]));
    losses[column * gridDim.x + b] = loss;
}

static __global__ void __launch_bounds__(SPAN_FINISH_THREADS)
    span_finish_kernel(float *loss, const double *losses, const int32_t *segments, const int32_t *starts,
                       const int32_t *ends, int64_t count) {
    double mean = 0.0;
    for (int column = 0; column < 2; column++) {
        double total = 0.0;
        int32_t counted = 0;
        for (int64_t b = threadIdx.x; b < count; b += SPAN_FINISH_THREADS) {
            total += losses[column * count + b];
            counted += span_counts(segments, column == 0 ? starts : ends, b);
        }
        total = block_sum(total);
        counted = block_sum(counted);
        mean += counted > 0 ? total / counted : total; /* a NaN stays one */
    }
    if (threadIdx.x == 0) *loss = static_cast<float>(mean / 2.0);
}

/* Each thread writes the one element that it read: dlogits may be logits. */
template <typename T>
static __global__ void __launch_bounds__(SPAN_GRADIENT_THREADS)
    span_backward_kernel(T *dlogits, const T *logits, const int32_t *segments, const int32_t *starts,
                         const int32_t *ends, const float *lse, const float *dloss, int64_t count, int64_t rows) {
    int32_t counted[2] = {0, 0};
    for (int64_t b = threadIdx.x; b < count; b += SPAN_GRADIENT_THREADS) {
        counted[0] += span_counts(segments, starts, b);
        counted[1] += span_counts(segments, ends, b);
    }
    counted[0] = block_sum(counted[0]);
    counted[1] = block_sum(counted[1]);
    const int64_t at = static_cast<int64_t>(blockIdx.x) * SPAN_GRADIENT_THREADS + threadIdx.x, row = at / 2;
    if (row >= rows) return;
    const int column = static_cast<int>(at % 2);
    const int32_t *answers = column == 0 ? starts : ends;
    const float factor = 0.5f * *dloss / static_cast<float>(column == 0 ? counted[0] : counted[1]);
    const float x = to_float(logits[at]);
    float gradient = 0.0f;
    for (int64_t b = 0; b < count; b++) {
        const int64_t i = row - segments[2 * b];
        if (i < 0 || i >= segments[2 * b + 1] || !span_counts(segments, answers, b)) continue;
        const float probability = exp_of(x - lse[2 * b + column]);
        gradient += factor * (i == answers[b] ? probability - 1.0f : probability);
    }
    dlogits[at] = from_float<T>(gradient);
}

bl_status bl_cuda_span_loss_forward(bl_context *ctx, bl_tensor *loss, bl_tensor *lse, const bl_tensor *logits,
                                    const bl_tensor *segments, const bl_tensor *starts, const bl_tensor *ends) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    const int64_t count = segments->shape[0], rows = logits->shape[0];
    const int32_t *pieces = bl_data<int32_t>(segments), *first = bl_data<int32_t>(starts),
                  *last = bl_data<int32_t>(ends);
    void *scratch;
    BL_TRY(bl_cuda_scratch(ctx, static_cast<size_t>(2 * count + 1) * sizeof(double), &scratch));
    double *losses = static_cast<double *>(scratch);
    if (count > 0) {
        BL_DISPATCH_FLOAT(logits->dtype, T, {
            BL_LAUNCH((span_forward_kernel<T>), dim3(static_cast<unsigned>(count), 2), SPAN_THREADS, 0, cuda->stream,
                      losses, bl_data<float>(lse), bl_data<T>(logits), pieces, first, last, rows);
        });
    }
    BL_LAUNCH(span_finish_kernel, 1, SPAN_FINISH_THREADS, 0, cuda->stream, bl_data<float>(loss), losses, pieces, first,
              last, count);
    return BL_OK;
}

bl_status bl_cuda_span_loss_backward(bl_context *ctx, bl_tensor *dlogits, const bl_tensor *logits,
                                     const bl_tensor *segments, const bl_tensor *starts, const bl_tensor *ends,
                                     const bl_tensor *lse, const bl_tensor *dloss) {
    const int64_t count = segments->shape[0], rows = logits->shape[0];
    if (rows == 0) return BL_OK;
    BL_DISPATCH_FLOAT(logits->dtype, T, {
        BL_LAUNCH((span_backward_kernel<T>), bl_blocks(2 * rows, SPAN_GRADIENT_THREADS), SPAN_GRADIENT_THREADS, 0,
                  bl_cuda_of(ctx)->stream, bl_data<T>(dlogits), bl_data<T>(logits), bl_data<int32_t>(segments),
                  bl_data<int32_t>(starts), bl_data<int32_t>(ends), bl_data<float>(lse), bl_data<float>(dloss), count,
                  rows);
    });
    return BL_OK;
}
