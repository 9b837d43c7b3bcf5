/*
 * runtime.h - what the emulation's files and the stand-ins for CUDA libraries
 * (cublaslt.c) share. Plain C.
 *
 * Work is put into streams and runs when somebody waits for it, so that a
 * missing wait shows; device memory can be touched only while work runs.
 */
#ifndef BERTLUA_EMULATION_RUNTIME_H
#define BERTLUA_EMULATION_RUNTIME_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Puts a call of run(arguments) at the end of a stream, or into the graph that
 * is being captured from it. The `bytes` at arguments are copied now; what they
 * point at on the device may be touched in run only.
 */
cudaError_t bl_emulated_enqueue(cudaStream_t stream, const char *name, void (*run)(void *arguments),
                                const void *arguments, size_t bytes);

/* Keeps a message for cudaGetErrorString and returns error. */
cudaError_t bl_emulated_fail(cudaError_t error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same from within running work: the next cudaGetLastError reports it. */
void bl_emulated_fault(cudaError_t error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whether this process writes a record (record.h). */
#ifdef BL_EMULATION_RACES
bool bl_records(void);
#else
#define bl_records() false
#endif

/* Behind what is in the stream, the contents of this memory are undefined: who watches memory minds (races.h). */
void bl_emulated_undefined(cudaStream_t stream, void *p, size_t bytes);

/* memory.cc: device memory becomes accessible, and is hidden again; calls nest. */
void bl_emulated_open_memory(const char *who);
void bl_emulated_close_memory(void);
/* True if [p, p + bytes) is allocated device memory. */
bool bl_emulated_on_device(const void *p, size_t bytes);
bool bl_emulated_pinned(const void *p, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
