/*
 * backend.cu - the CUDA backend's table, opening and closing a device, scratch
 * memory and messages for what went wrong.
 */
#include "cuda/cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef BL_CUDA_EMULATION
#include "emulation.h"
#endif

/* Errors that stay: the process has lost the device, whichever call is the first to say so. */
static bool is_lost(cudaError_t error) {
    switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorAssert:
    case cudaErrorExternalDevice:
        return true;
    default:
        return false;
    }
}

bl_status bl_cuda_fail(cudaError_t error, const char *what) {
    /* Taken out of the runtime, so that the next call does not report it again. */
    (void) cudaGetLastError();
    const char *text = cudaGetErrorString(error), *name = cudaGetErrorName(error);
    if (is_lost(error))
        return bl_fail(BL_ERROR_DEVICE,
                       "%s: the GPU failed: %s (%s); restart from the last checkpoint (--last-step-of-checkpoint "
                       "auto); if it fails again, look for hardware faults (Xid) in dmesg",
                       what, text, name);
    if (error == cudaErrorMemoryAllocation)
        return bl_fail(
            BL_ERROR_MEMORY,
            "%s: the GPU has no memory left; use a smaller batch, or see nvidia-smi for other programs on it", what);
    return bl_fail(BL_ERROR_INTERNAL, "%s: CUDA: %s (%s)", what, text, name);
}

bl_status bl_cuda_fail_blas(cublasStatus_t status, const char *what) {
    const cudaError_t error = cudaPeekAtLastError();
    if (is_lost(error)) return bl_cuda_fail(error, what);
    return bl_fail(status == CUBLAS_STATUS_ALLOC_FAILED ? BL_ERROR_MEMORY : BL_ERROR_INTERNAL, "%s: cuBLASLt: %s", what,
                   cublasLtGetStatusString(status));
}

bool bl_cuda_capturing(const bl_context *ctx) {
    cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
    return cudaStreamIsCapturing(bl_cuda_of(ctx)->stream, &capture) == cudaSuccess &&
           capture != cudaStreamCaptureStatusNone;
}

bl_status bl_cuda_scratch(bl_context *ctx, size_t bytes, void **out) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    if (bytes > cuda->scratch_bytes) {
        if (bl_cuda_capturing(ctx))
            return bl_fail(BL_ERROR_UNSUPPORTED,
                           "scratch: %zu bytes requested inside a captured step, %zu available; run one step of this "
                           "shape before capturing",
                           bytes, cuda->scratch_bytes);
        /* Grow by half at least, so that all outgrown blocks together stay below twice the last one. */
        size_t grown = cuda->scratch_bytes + cuda->scratch_bytes / 2;
        if (grown < bytes) grown = bytes;
        if (cuda->scratch) {
            struct bl_cuda_retired *retired = (struct bl_cuda_retired *) malloc(sizeof *retired);
            if (!retired) return bl_fail(BL_ERROR_MEMORY, "scratch: out of memory");
            retired->data = cuda->scratch;
            retired->next = cuda->retired;
            cuda->retired = retired;
            cuda->scratch = NULL;
            cuda->scratch_bytes = 0;
        }
        BL_TRY(bl_cuda_allocate(ctx, grown, &cuda->scratch));
        cuda->scratch_bytes = grown;
    }
    *out = cuda->scratch;
#ifdef BL_CUDA_EMULATION
    bl_emulated_undefined(cuda->stream, cuda->scratch, cuda->scratch_bytes);
#endif
    return BL_OK;
}

static void cuda_close(bl_context *ctx) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    if (!cuda) return;
    if (cuda->stream) (void) cudaStreamSynchronize(cuda->stream);
    if (cuda->copy_stream) (void) cudaStreamSynchronize(cuda->copy_stream);
    if (cuda->blas_close) cuda->blas_close(cuda);
    if (cuda->dnn_close) cuda->dnn_close(cuda);
    if (cuda->blas) (void) cublasLtDestroy(cuda->blas);
    if (cuda->blas_workspace) (void) cudaFree(cuda->blas_workspace);
    if (cuda->scratch) (void) cudaFree(cuda->scratch);
    while (cuda->retired) {
        struct bl_cuda_retired *next = cuda->retired->next;
        (void) cudaFree(cuda->retired->data);
        free(cuda->retired);
        cuda->retired = next;
    }
    bl_cuda_memory_close(cuda);
    if (cuda->copy_stream) (void) cudaStreamDestroy(cuda->copy_stream);
    if (cuda->stream) (void) cudaStreamDestroy(cuda->stream);
    free(cuda);
    ctx->backend_state = NULL;
}

/* Why no device can be used, with the fix; `error` is what counting them gave. */
static bl_status fail_device(cudaError_t error, int count, int32_t index) {
    int driver = 0, runtime = 0;
    (void) cudaDriverGetVersion(&driver);
    (void) cudaRuntimeGetVersion(&runtime);
    (void) cudaGetLastError();
    if (driver == 0)
        return bl_fail(BL_ERROR_UNSUPPORTED, "cuda: no NVIDIA driver (libcuda.so.1) on this machine; install one for "
                                             "its GPU, or use --device cpu");
    if (error == cudaErrorInsufficientDriver)
        return bl_fail(BL_ERROR_UNSUPPORTED,
                       "cuda: the NVIDIA driver is for CUDA %d.%d, this build needs %d.%d; install a newer driver, or "
                       "use --device cpu",
                       driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
        return bl_fail(BL_ERROR_UNSUPPORTED,
                       "cuda: no GPU found (see nvidia-smi and CUDA_VISIBLE_DEVICES); use --device cpu");
    if (error != cudaSuccess)
        return bl_fail(BL_ERROR_UNSUPPORTED, "cuda: %s (%s); use --device cpu", cudaGetErrorString(error),
                       cudaGetErrorName(error));
    return bl_fail(BL_ERROR_ARGUMENT, "cuda: device_index is %d, expected 0 to %d", (int) index, count - 1);
}

__global__ void bl_probe_kernel(int *out) {
    if (out) *out = 1;
}

static bl_status cuda_count(int32_t *count) {
    int found = 0;
    cudaError_t error = cudaGetDeviceCount(&found);
    if (error != cudaSuccess || found == 0) return fail_device(error, found, 0);
    *count = found;
    return BL_OK;
}

bool bl_cuda_has_kernels(cudaError_t *error) {
    struct cudaFuncAttributes attributes;
    *error = cudaFuncGetAttributes(&attributes, (const void *) bl_probe_kernel);
    if (*error != cudaErrorNoKernelImageForDevice && *error != cudaErrorInvalidDeviceFunction) return true;
    (void) cudaGetLastError();
    return false;
}

static bl_status open_device(bl_context *ctx, bl_cuda *cuda) {
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || ctx->device_index >= count) return fail_device(error, count, ctx->device_index);
    cuda->device = ctx->device_index;
    BL_CUDA_TRY(cudaSetDevice(cuda->device), "cuda: opening the device");
    struct cudaDeviceProp device;
    BL_CUDA_TRY(cudaGetDeviceProperties(&device, cuda->device), "cuda: opening the device");
    cuda->sm_count = device.multiProcessorCount;
    cuda->capability = 10 * device.major + device.minor;
    cuda->shared_per_block = device.sharedMemPerBlockOptin;
    cuda->l2_bytes = device.l2CacheSize;
    if (!bl_cuda_has_kernels(&error))
        return bl_fail(BL_ERROR_UNSUPPORTED,
                       "cuda: %s has compute capability %d.%d, for which libbertlua-cuda.so has no kernels; run make "
                       "cuda CUDA_ARCHS=%d%d, or use --device cpu",
                       device.name, device.major, device.minor, device.major, device.minor);
    BL_CUDA_TRY(error, "cuda: opening the device");
    BL_CUDA_TRY(cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking), "cuda: stream");
    BL_CUDA_TRY(cudaStreamCreateWithFlags(&cuda->copy_stream, cudaStreamNonBlocking), "cuda: stream");
    BL_BLAS_TRY(cublasLtCreate(&cuda->blas), "cuda: opening the device");
    /* Hopper's fastest products want 32 MiB. */
    cuda->blas_workspace_bytes = (size_t) 32 << 20;
    BL_CUDA_TRY(cudaMalloc(&cuda->blas_workspace, cuda->blas_workspace_bytes), "cuda: workspace");
    int blas = (int) (cublasLtGetVersion() % 1000000);
    snprintf(ctx->description, sizeof ctx->description,
             "%.100s, %.1f GiB, compute capability %d.%d, %d multiprocessors, cuBLASLt %d.%d.%d", device.name,
             (double) device.totalGlobalMem / (1 << 30), device.major, device.minor, (int) cuda->sm_count, blas / 10000,
             blas / 100 % 100, blas % 100);
    return BL_OK;
}

static bl_status cuda_open(bl_context *ctx) {
    bl_cuda *cuda = (bl_cuda *) calloc(1, sizeof *cuda);
    if (!cuda) return bl_fail(BL_ERROR_MEMORY, "cuda: out of memory");
    ctx->backend_state = cuda;
    bl_status status = open_device(ctx, cuda);
    if (status != BL_OK) cuda_close(ctx);
    return status;
}

static bl_status cuda_synchronize(bl_context *ctx) {
    bl_cuda *cuda = bl_cuda_of(ctx);
    BL_CUDA_TRY(cudaStreamSynchronize(cuda->copy_stream), "synchronize");
    BL_CUDA_TRY(cudaStreamSynchronize(cuda->stream), "synchronize");
    return BL_OK;
}

static bool cuda_fast_dtype(const bl_context *ctx, int32_t dtype) {
    (void) ctx;
    return dtype == BL_BF16 || dtype == BL_F16;
}

static bl_backend make_table(void) {
    bl_backend table;
    memset(&table, 0, sizeof table);
    table.name = "cuda";
    table.count = cuda_count;
    table.report = bl_cuda_report;
    table.open = cuda_open;
    table.close = cuda_close;
    table.synchronize = cuda_synchronize;
    table.fast_dtype = cuda_fast_dtype;
    table.allocate = bl_cuda_allocate;
    table.deallocate = bl_cuda_deallocate;
    table.reserve = bl_cuda_reserve;
    table.arenas_grow = bl_cuda_arenas_grow;
    table.commit = bl_cuda_commit;
    table.unreserve = bl_cuda_unreserve;
    table.upload = bl_cuda_upload;
    table.download = bl_cuda_download;
#define BL_ENTRY(name) table.name = bl_cuda_##name
    BL_ENTRY(event_create);
    BL_ENTRY(event_destroy);
    BL_ENTRY(event_record);
    BL_ENTRY(event_wait);
    BL_ENTRY(event_synchronize);
    BL_ENTRY(event_query);
    BL_ENTRY(event_elapsed);
    BL_ENTRY(pinned_allocate);
    BL_ENTRY(pinned_free);
    BL_ENTRY(upload_async);
    BL_ENTRY(download_async);
    BL_ENTRY(memory_info);
    BL_ENTRY(step_workspace);
    BL_ENTRY(reserve_scratch);
    BL_ENTRY(graph_begin);
    BL_ENTRY(graph_end);
    BL_ENTRY(graph_launch);
    BL_ENTRY(graph_destroy);
#undef BL_ENTRY
#define BL_ROW(op, file) table.ops.op = bl_cuda_##op;
    BL_OP_LIST(BL_ROW, BL_NO_ROW, BL_ROW)
#undef BL_ROW
    table.comm = &bl_comm_nccl_driver;
    return table;
}

BL_API const bl_backend *bl_cuda_entry(uint64_t layout) {
    static const bl_backend table = make_table();
    return layout == bl_backend_layout() ? &table : NULL;
}
