/*
 * state.h - what the emulation's C++ files share among themselves.
 */
#ifndef BERTLUA_EMULATION_STATE_H
#define BERTLUA_EMULATION_STATE_H

#include <cuda_runtime_api.h>

#include <mutex>

/* Every runtime call holds it: threads that read data ahead call in as well. */
extern std::recursive_mutex bl_emulated_mutex;

struct Guard {
    std::lock_guard<std::recursive_mutex> lock;
    Guard() : lock(bl_emulated_mutex) {
    }
};

/* Runs everything that was put into any stream. */
void bl_emulated_drain_all();
/* True (and the capture is spoilt) if this thread captures a graph, which must not hold such a call. */
bool bl_emulated_capture_forbids(const char *what);
bool bl_emulated_reachable(const void *p);
/* memory.cc: the allocated memory that an address lies in; false where there is none. */
bool bl_emulated_bounds(const void *p, size_t *begin, size_t *end);

/* failures.cc: why no device can be used, and the driver's version; whether kernels can run on it. */
cudaError_t bl_emulated_no_device(int *driver);
bool bl_emulated_has_image();
/* Whether the driver has functions that map memory, and whether this process may not use them. */
bool bl_emulated_has_mapping();
bool bl_emulated_forbids_mapping();
/* Whether this allocation, this piece of work fails. */
bool bl_emulated_memory_is_out();
bool bl_emulated_work_fails(const char *name);
/* What work failed with: the device answers every call so from then on. */
cudaError_t bl_emulated_lost();
/* As the runtime names and words its errors; NULL for a name it lacks. */
const char *bl_emulated_name(cudaError_t error);
const char *bl_emulated_text(cudaError_t error);

#define BL_EMULATED_ALIVE()                                                                                            \
    do {                                                                                                               \
        if (bl_emulated_lost() != cudaSuccess) return bl_emulated_lost();                                              \
    } while (0)

#endif
