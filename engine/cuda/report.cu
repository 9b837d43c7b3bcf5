/*
 * report.cu - what `bertlua doctor` says about CUDA: driver, devices, and the
 * libraries, found or missing.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cuda/cuda.h"

/* Where the next line goes. */
struct page {
    char *text;
    size_t bytes;
    size_t used;
};

static void line(struct page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(struct page *page, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(page->text + page->used, page->bytes - page->used, format, args);
    va_end(args);
    /* A line that does not fit is left out entirely. */
    if (length < 0 || (size_t) length >= page->bytes - page->used)
        page->text[page->used] = '\0';
    else
        page->used += (size_t) length;
}

static int report_driver(struct page *page) {
    int driver = 0, runtime = 0;
    (void) cudaDriverGetVersion(&driver);
    (void) cudaRuntimeGetVersion(&runtime);
    const int need = runtime / 1000 * 1000;
    if (driver == 0)
        line(page, "note\tCUDA driver\tno libcuda.so.1\twith a GPU in this machine, install the NVIDIA driver\n");
    else if (driver < need)
        line(page, "note\tCUDA driver\tfor CUDA %d.%d, this build needs %d.0\tinstall a newer NVIDIA driver\n",
             driver / 1000, driver % 1000 / 10, runtime / 1000);
    else
        line(page, "ok\tCUDA driver\tfor CUDA %d.%d, built with %d.%d\t\n", driver / 1000, driver % 1000 / 10,
             runtime / 1000, runtime % 1000 / 10);
    return driver >= need ? driver : 0;
}

static void report_devices(struct page *page) {
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
        (void) cudaGetLastError();
        line(page, "note\tGPU\tnone found\tsee nvidia-smi and CUDA_VISIBLE_DEVICES\n");
    }
    for (int i = 0; i < count; i++) {
        struct cudaDeviceProp device;
        if (cudaGetDeviceProperties(&device, i) != cudaSuccess) continue;
        cudaError_t error = cudaSetDevice(i);
        const bool known = error != cudaSuccess || bl_cuda_has_kernels(&error);
        line(page, "%s\tGPU %d\t%.100s, %.1f GiB, compute capability %d.%d", known && !error ? "ok" : "note", i,
             device.name, (double) device.totalGlobalMem / (1 << 30), device.major, device.minor);
        if (!known)
            line(page, ", for which this build has no kernels\trun make cuda CUDA_ARCHS=%d%d\n", device.major,
                 device.minor);
        else if (error)
            line(page, ": %s\tsee nvidia-smi\n", cudaGetErrorString(error));
        else
            line(page, "\t\n");
        (void) cudaGetLastError();
    }
}

/* The functions that tell a version are looked up, as the libraries may be absent. */
template <typename Function> static Function *find(const char *library, const char *name) {
    void *handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
    void *symbol = handle ? dlsym(handle, name) : NULL;
    Function *function = NULL;
    memcpy(&function, &symbol, sizeof function);
    return function;
}

static void report_libraries(struct page *page) {
    const int blas = (int) (cublasLtGetVersion() % 10000000);
    line(page, "ok\tcuBLASLt\t%d.%d.%d\t\n", blas / 10000, blas / 100 % 100, blas % 100);
    size_t (*dnn)(void) = find<size_t(void)>("libcudnn.so.9", "cudnnGetVersion");
    if (dnn)
        line(page, "ok\tcuDNN\t%d.%d.%d\t\n", (int) (dnn() / 10000), (int) (dnn() / 100 % 100), (int) (dnn() % 100));
    else
        line(page, "note\tcuDNN\tno libcudnn.so.9\tinstall cuDNN 9 for attention = \"cudnn\"; the other kernels do "
                   "without\n");
}

void bl_cuda_report(char *text, size_t bytes) {
    struct page page = {text, bytes, 0};
    text[0] = '\0';
    if (report_driver(&page)) report_devices(&page);
    report_libraries(&page);
}
