/*
 * cross_entropy.cu - mean softmax cross-entropy over labelled rows, its
 * gradient in place, and the share of rows that were right.
 *
 * Masked language model: 5120 rows of 30528 bf16, 313 MB read by the forward
 * (one pass, log-sum-exp kept), 625 MB read and written by the backward; one
 * block per row, four packs of 16 bytes in flight per thread. Next sentence:
 * two columns, one warp per row. Rows' losses are added up in f64 by one block
 * in an order fixed by their number.
 *
 * A label outside -1 .. classes - 1 cannot be reported from a kernel: it makes
 * the loss NaN, and nothing outside the row is read.
 */
#include "cuda/softmax.cuh"

enum { FINISH_THREADS = 1024 };

template <int N, bool BLOCK, typename T>
static __global__ void __launch_bounds__(SOFTMAX_THREADS)
    cross_entropy_forward_kernel(double *losses, int32_t *hits, float *lse, const T *logits, const int32_t *labels,
                                 int64_t rows, int64_t pitch, int classes) {
    const int64_t row = RowTeam<BLOCK>::row();
    if (row >= rows) return;
    const T *in = logits + row * pitch;
    float max;
    const double sum = row_exp_sum<N, BLOCK>(in, classes, &max);
    if (RowTeam<BLOCK>::rank() != 0) return;
    const double log_sum = log(sum);
    const int32_t label = labels[row];
    double loss = 0.0;
    int32_t hit = 0;
    if (label >= 0 && label < classes) {
        const float value = to_float(in[label]);
        /* Maximum and label first: near certainty they cancel, exactly. */
        loss = (static_cast<double>(max) - static_cast<double>(value)) + log_sum;
        hit = value == max;
    } else if (label != -1) {
        loss = static_cast<double>(NAN);
    }
    losses[row] = loss;
    hits[row] = hit;
    if (lse) lse[row] = static_cast<float>(static_cast<double>(max) + log_sum);
}

static __global__ void __launch_bounds__(FINISH_THREADS)
    cross_entropy_finish_kernel(float *loss, float *correct, const double *losses, const int32_t *hits,
                                const int32_t *labels, int64_t rows) {
    double total = 0.0;
    int32_t right = 0, counted = 0;
    for (int64_t row = threadIdx.x; row < rows; row += FINISH_THREADS) {
        total += losses[row];
        right += hits[row];
        counted += labels[row] != -1;
    }
    total = block_sum(total);
    right = block_sum(right);
    counted = block_sum(counted);
    if (threadIdx.x != 0) return;
    if (loss) *loss = counted > 0 ? static_cast<float>(total / counted) : 0.0f;
    if (correct) *correct = counted > 0 ? static_cast<float>(static_cast<double>(right) / counted) : 0.0f;
}

/* factor = dloss / rows that count. */
static __global__ void __launch_bounds__(FINISH_THREADS)
    cross_entropy_factor_kernel(float *factor, const float *dloss, const int32_t *labels, int64_t rows) {
    int32_t counted = 0;
    for (int64_t row = threadIdx.x; row < rows; row += FINISH_THREADS)
        counted += labels[row] != -1;
    counted = block_sum(counted);
    if (threadIdx.x == 0) *factor = *dloss / static_cast<float>(counted > 0 ? counted : 1);
}

/* (softmax - one-hot) * factor over the classes, 0 past them and where the label is none of them. */
template <int N, bool BLOCK, typename T>
static __global__ void __launch_bounds__(SOFTMAX_THREADS)
    cross_entropy_backward_kernel(T *dlogits, const T *logits, const int32_t *labels, const float *lse,
                                  const float *factor, int64_t rows, int64_t pitch, int classes) {
    constexpr int STRIDE = RowTeam<BLOCK>::THREADS * N;
    const int64_t row = RowTeam<BLOCK>::row();
    if (row >= rows) return;
    const T *in = logits + row * pitch;
    T *out = dlogits + row * pitch;
    const int32_t label = labels[row];
    const float scale = *factor, log_sum = lse[row];
    const int live = label >= 0 && label < classes ? classes : 0;
    for (int first = RowTeam<BLOCK>::rank() * N; first < pitch; first += SOFTMAX_BATCH * STRIDE) {
        Raw<N, T> raw[SOFTMAX_BATCH];
#pragma unroll
        for (int k = 0; k < SOFTMAX_BATCH; k++)
            if (first + k * STRIDE < live) raw[k] = fetch_elements<N>(in + first + k * STRIDE);
#pragma unroll
        for (int k = 0; k < SOFTMAX_BATCH; k++) {
            const int column = first + k * STRIDE;
            if (column >= pitch) break;
            float x[N];
            if (column < live) widen_elements<N, T>(raw[k], x);
#pragma unroll
            for (int i = 0; i < N; i++) {
                if (column + i >= live)
                    x[i] = 0.0f;
                else
                    x[i] = exp_of(x[i] - log_sum) * scale - (column + i == label ? scale : 0.0f);
            }
            write_elements<N>(out + column, x);
        }
    }
}

template <int N, typename T>
static bl_status forward_rows(bl_cuda *cuda, double *losses, int32_t *hits, float *lse, const T *logits,
                              const int32_t *labels, int64_t rows, int64_t pitch, int classes) {
    if (classes > SOFTMAX_SHORT)
        BL_LAUNCH((cross_entropy_forward_kernel<N, true, T>), RowTeam<true>::grid(rows), SOFTMAX_THREADS, 0,
                  cuda->stream, losses, hits, lse, logits, labels, rows, pitch, classes);
    else
        BL_LAUNCH((cross_entropy_forward_kernel<N, false, T>), RowTeam<false>::grid(rows), SOFTMAX_THREADS, 0,
                  cuda->stream, losses, hits, lse, logits, labels, rows, pitch, classes);
    return BL_OK;
}

template <int N, typename T>
static bl_status backward_rows(bl_cuda *cuda, T *dlogits, const T *logits, const int32_t *labels, const float *lse,
                               const float *factor, int64_t rows, int64_t pitch, int classes) {
    if (pitch > SOFTMAX_SHORT)
        BL_LAUNCH((cross_entropy_backward_kernel<N, true, T>), RowTeam<true>::grid(rows), SOFTMAX_THREADS, 0,
                  cuda->stream, dlogits, logits, labels, lse, factor, rows, pitch, classes);
    else
        BL_LAUNCH((cross_entropy_backward_kernel<N, false, T>), RowTeam<false>::grid(rows), SOFTMAX_THREADS, 0,
                  cuda->stream, dlogits, logits, labels, lse, factor, rows, pitch, classes);
    return BL_OK;
}

bl_status bl_cuda_cross_entropy_forward(bl_context *ctx, bl_tensor *loss, bl_tensor *lse, bl_tensor *correct,
                                        const bl_tensor *logits, const bl_tensor *labels, int64_t classes) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    const int64_t rows = logits->shape[0], pitch = logits->shape[1];
    void *scratch;
    BL_TRY(bl_cuda_scratch(ctx, static_cast<size_t>(rows + 1) * (sizeof(double) + sizeof(int32_t)), &scratch));
    double *losses = static_cast<double *>(scratch);
    int32_t *hits = reinterpret_cast<int32_t *>(losses + rows);
    const int32_t *label = bl_data<int32_t>(labels);
    if (rows > 0) {
        BL_DISPATCH_FLOAT(logits->dtype, T, {
            const T *in = bl_data<T>(logits);
            if (rows_packed<T>(pitch, in))
                BL_TRY(forward_rows<Pack<T>::N>(cuda, losses, hits, bl_data<float>(lse), in, label, rows, pitch,
                                                static_cast<int>(classes)));
            else
                BL_TRY(forward_rows<1>(cuda, losses, hits, bl_data<float>(lse), in, label, rows, pitch,
                                       static_cast<int>(classes)));
        });
    }
    BL_LAUNCH(cross_entropy_finish_kernel, 1, FINISH_THREADS, 0, cuda->stream, bl_data<float>(loss),
              bl_data<float>(correct), losses, hits, label, rows);
    return BL_OK;
}

bl_status bl_cuda_cross_entropy_backward(bl_context *ctx, bl_tensor *dlogits, const bl_tensor *logits,
                                         const bl_tensor *labels, const bl_tensor *lse, const bl_tensor *dloss,
                                         int64_t classes) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    const int64_t rows = logits->shape[0], pitch = logits->shape[1];
    if (rows == 0) return BL_OK;
    void *scratch;
    BL_TRY(bl_cuda_scratch(ctx, sizeof(float), &scratch));
    float *factor = static_cast<float *>(scratch);
    const int32_t *label = bl_data<int32_t>(labels);
    const float *log_sums = bl_data<float>(lse);
    BL_LAUNCH(cross_entropy_factor_kernel, 1, FINISH_THREADS, 0, cuda->stream, factor, bl_data<float>(dloss), label,
              rows);
    BL_DISPATCH_FLOAT(logits->dtype, T, {
        T *out = bl_data<T>(dlogits);
        const T *in = bl_data<T>(logits);
        if (rows_packed<T>(pitch, out, in))
            return backward_rows<Pack<T>::N>(cuda, out, in, label, log_sums, factor, rows, pitch,
                                             static_cast<int>(classes));
        return backward_rows<1>(cuda, out, in, label, log_sums, factor, rows, pitch, static_cast<int>(classes));
    });
}
