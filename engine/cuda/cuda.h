/*
 * cuda.h - the CUDA backend's state and what its files share on the host:
 * error mapping, scratch memory, and the functions behind the backend table.
 * What kernels share is in kernel.cuh.
 *
 * Rules of every op: its arguments were validated; it launches on
 * bl_cuda_of(ctx)->stream and returns; it never allocates (scratch grows in
 * the first, eager step), never waits for the device, and gives the same bits
 * each time. A step can then be captured as a graph and replayed.
 *
 * The backend is a shared object of its own, libbertlua-cuda.so, that
 * libbertlua.so opens when a CUDA context is requested. It uses what
 * core/internal.h marks BL_API from there, and exports bl_cuda_entry alone.
 */
#ifndef BERTLUA_CUDA_CUDA_H
#define BERTLUA_CUDA_CUDA_H

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {
#include "core/backend.h"
}

/* A block that scratch outgrew: captured graphs may still point at it, so it lives as long as the context. */
struct bl_cuda_retired {
    struct bl_cuda_retired *next;
    void *data;
};

typedef struct bl_cuda {
    int32_t device;
    int32_t sm_count;
    int32_t capability;      /* 10 * major + minor: 80, 89, 90 */
    size_t shared_per_block; /* most dynamic shared memory a kernel may ask for */
    int32_t l2_bytes;

    cudaStream_t stream;      /* all ops, in order */
    cudaStream_t copy_stream; /* input batches from pinned memory */

    cublasLtHandle_t blas;
    void *blas_workspace; /* for cuBLASLt alone */
    size_t blas_workspace_bytes;
    void *blas_state; /* linear.cu's: chosen algorithms by shape; freed by blas_close */
    void (*blas_close)(struct bl_cuda *cuda);

    void *dnn_state; /* attention over cuDNN: library, handle, plans; freed by dnn_close */
    void (*dnn_close)(struct bl_cuda *cuda);

    void *scratch;
    size_t scratch_bytes;
    struct bl_cuda_retired *retired;

    struct bl_cuda_staging *staging; /* memory.cu's: pinned memory that uploads pass through */
    void *memory_state;              /* memory.cu's: reservations of address space */
} bl_cuda;

static inline bl_cuda *bl_cuda_of(const bl_context *ctx) {
    return (bl_cuda *) ctx->backend_state;
}

/*
 * One line for a failed CUDA call; returns BL_ERROR_MEMORY when memory ran out, BL_ERROR_DEVICE when the device failed
 * for good, else BL_ERROR_INTERNAL.
 */
bl_status bl_cuda_fail(cudaError_t error, const char *what);
bl_status bl_cuda_fail_blas(cublasStatus_t status, const char *what);

/* Return from the function if a CUDA runtime (or cuBLAS) call fails. `what` names the op: "layernorm". */
#define BL_CUDA_TRY(call, what)                                                                                        \
    do {                                                                                                               \
        cudaError_t bl_cuda_error_ = (call);                                                                           \
        if (bl_cuda_error_ != cudaSuccess) return bl_cuda_fail(bl_cuda_error_, what);                                  \
    } while (0)
#define BL_BLAS_TRY(call, what)                                                                                        \
    do {                                                                                                               \
        cublasStatus_t bl_blas_status_ = (call);                                                                       \
        if (bl_blas_status_ != CUBLAS_STATUS_SUCCESS) return bl_cuda_fail_blas(bl_blas_status_, what);                 \
    } while (0)

/*
 * 256-byte aligned device memory of at least `bytes`, contents undefined,
 * until the next call on this context: one op at a time uses it, and because
 * ops run in order on one stream, the next may take it while this one still
 * runs. Grows only outside a capture; inside one, a larger demand fails and
 * says to run one step eagerly first.
 */
bl_status bl_cuda_scratch(bl_context *ctx, size_t bytes, void **out);

/* True while the context's stream is being captured into a graph. */
bool bl_cuda_capturing(const bl_context *ctx);

/* The one exported symbol: the table if `layout` is the caller's bl_backend_layout() too, else NULL. */
extern "C" const bl_backend *bl_cuda_entry(uint64_t layout);

/* False if no kernel of this build runs on the current device; else *error is that of looking for one. */
bool bl_cuda_has_kernels(cudaError_t *error);

/* comm.cu: NCCL. */
extern "C" const struct bl_comm_driver bl_comm_nccl_driver;

/* report.cu: the lines of bl_device_report */
void bl_cuda_report(char *text, size_t bytes);

/* memory.cu */
bl_status bl_cuda_allocate(bl_context *ctx, size_t bytes, void **out);
void bl_cuda_deallocate(bl_context *ctx, void *data, size_t bytes);
bl_status bl_cuda_reserve(bl_context *ctx, size_t bytes, void **out);
bl_status bl_cuda_arenas_grow(bl_context *ctx, bool *grow);
bl_status bl_cuda_commit(bl_context *ctx, void *data, size_t bytes);
/* By how much the memory behind an arena whose peak is `bytes` may exceed it. */
size_t bl_cuda_commit_slack(size_t bytes);
void bl_cuda_memory_close(bl_cuda *cuda);
void bl_cuda_unreserve(bl_context *ctx, void *data, size_t bytes);
bl_status bl_cuda_upload(bl_context *ctx, bl_tensor *dst, const void *src, size_t bytes);
bl_status bl_cuda_download(bl_context *ctx, void *dst, const bl_tensor *src, size_t bytes);

/* device.cu */
bl_status bl_cuda_event_create(bl_context *ctx, bool timed, void **out);
void bl_cuda_event_destroy(bl_context *ctx, void *mark);
bl_status bl_cuda_event_record(bl_context *ctx, void *mark, int32_t stream);
bl_status bl_cuda_event_wait(bl_context *ctx, void *mark, int32_t stream);
bl_status bl_cuda_event_synchronize(bl_context *ctx, void *mark);
bl_status bl_cuda_event_query(bl_context *ctx, void *mark, bool *done);
bl_status bl_cuda_event_elapsed(bl_context *ctx, void *begin, void *end, double *seconds);
bl_status bl_cuda_pinned_allocate(bl_context *ctx, size_t bytes, void **out);
void bl_cuda_pinned_free(bl_context *ctx, void *data);
bl_status bl_cuda_upload_async(bl_context *ctx, bl_tensor *dst, const void *src, size_t bytes, int32_t stream);
bl_status bl_cuda_download_async(bl_context *ctx, void *dst, const bl_tensor *src, size_t bytes, int32_t stream);
bl_status bl_cuda_memory_info(bl_context *ctx, uint64_t *free_bytes, uint64_t *total_bytes);
bl_status bl_cuda_graph_begin(bl_context *ctx);
bl_status bl_cuda_graph_end(bl_context *ctx, void **out);
bl_status bl_cuda_graph_launch(bl_context *ctx, void *graph);
void bl_cuda_graph_destroy(bl_context *ctx, void *graph);

/* workspace.cu */
bl_status bl_cuda_step_workspace(bl_context *ctx, const bl_step_shape *shape, uint64_t *scratch, uint64_t *slack);
bl_status bl_cuda_reserve_scratch(bl_context *ctx, size_t bytes);

/* linear.cu: sums f32 [N] = the sums over the rows of t [T,N]; or over those of partial f32 [rows,N]. */
bl_status bl_cuda_column_sums(bl_context *ctx, bl_tensor *sums, bl_tensor *t);
bl_status bl_cuda_add_partial_sums(bl_context *ctx, bl_tensor *sums, const float *partial, int64_t rows);

/* The most scratch that ops ask for; each defined with its op. */
size_t bl_cuda_embedding_backward_bytes(const bl_cuda *cuda, int64_t rows, int64_t width);
bl_status bl_cuda_attention_bytes(bl_context *ctx, const bl_step_shape *shape, size_t *bytes);
size_t bl_cuda_linear_bytes(int64_t rows, int64_t columns);
size_t bl_cuda_lamb_bytes(int64_t parameters, int64_t tensors);
size_t bl_cuda_grad_norm_bytes(int64_t parameters);

/* Kernels: the ops of the list that CUDA has, with their signatures. */
#define BL_KERNEL(op, file) __typeof__(bl_##op) bl_cuda_##op;
BL_OP_LIST(BL_KERNEL, BL_NO_ROW, BL_KERNEL)
#undef BL_KERNEL

#endif
