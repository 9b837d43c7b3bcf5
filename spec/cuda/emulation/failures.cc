/*
 * failures.cc - failures of machines: BERTLUA_EMULATION_FAIL names one, so
 * that specs see what is reported (spec/cuda/failures_spec.lua).
 *
 *     no-driver       no libcuda.so.1
 *     old-driver      a driver for CUDA 11.4
 *     no-device       a driver and no GPU
 *     no-image        kernels for other GPUs only
 *     no-mapping      a driver without functions that map memory to addresses
 *     sandbox         a driver that has them, in a process that may not use them
 *     malloc:N        the Nth allocation of device memory finds none left
 *     kernel:NAME:N   the Nth run of work whose name holds NAME touches what it must not: every call fails from then on
 *     launch:NAME:N   the same for another reason
 */
#include <stdlib.h>
#include <string.h>

#include <string>

#include "runtime.h"
#include "state.h"

struct Plan {
    std::string kind, name;
    long turn = 1; /* which run or allocation */
};

static Plan read_plan() {
    Plan plan;
    const char *text = getenv("BERTLUA_EMULATION_FAIL");
    if (!text) return plan;
    const std::string all = text;
    const size_t first = all.find(':'), last = all.rfind(':');
    plan.kind = all.substr(0, first);
    if (first == std::string::npos) return plan;
    plan.turn = atol(all.c_str() + last + 1);
    if (last > first) plan.name = all.substr(first + 1, last - first - 1);
    return plan;
}

static const Plan &plan() {
    static const Plan read = read_plan();
    return read;
}

static cudaError_t lost = cudaSuccess;
static long runs = 0, allocations = 0;

cudaError_t bl_emulated_no_device(int *driver) {
    *driver = CUDART_VERSION;
    if (plan().kind == "no-driver") *driver = 0;
    if (plan().kind == "old-driver") *driver = 11040;
    if (*driver != CUDART_VERSION) return cudaErrorInsufficientDriver;
    return plan().kind == "no-device" ? cudaErrorNoDevice : cudaSuccess;
}

bool bl_emulated_has_image() {
    return plan().kind != "no-image";
}

bool bl_emulated_has_mapping() {
    return plan().kind != "no-mapping";
}

bool bl_emulated_forbids_mapping() {
    return plan().kind == "sandbox";
}

bool bl_emulated_memory_is_out() {
    return plan().kind == "malloc" && ++allocations == plan().turn;
}

bool bl_emulated_work_fails(const char *name) {
    const bool launch = plan().kind == "launch";
    if (lost != cudaSuccess) return true;
    if ((!launch && plan().kind != "kernel") || !strstr(name, plan().name.c_str()) || ++runs != plan().turn)
        return false;
    lost = launch ? cudaErrorLaunchFailure : cudaErrorIllegalAddress;
    return true;
}

cudaError_t bl_emulated_lost() {
    return lost;
}

static const struct {
    cudaError_t error;
    const char *name, *text;
} NAMES[] = {
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime "
     "version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on "
     "the device"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is "
     "capturing"},
};

const char *bl_emulated_name(cudaError_t error) {
    for (const auto &entry : NAMES)
        if (entry.error == error) return entry.name;
    return nullptr;
}

const char *bl_emulated_text(cudaError_t error) {
    for (const auto &entry : NAMES)
        if (entry.error == error) return entry.text;
    return error == cudaSuccess ? "no error" : "emulated error";
}
