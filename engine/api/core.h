/*
 * core.h - status, tensors, memory, context, random numbers, and the machine the
 * process runs on.
 *
 * Part of the public C API (include "bertlua.h"). The text between the two
 * CDEF markers is plain C without macros: the Lua bindings feed it to ffi.cdef
 * as it stands, so this header is the only declaration of the interface.
 */
#ifndef BERTLUA_API_CORE_H
#define BERTLUA_API_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* CDEF-BEGIN */

/*
 * Result of every fallible call. On anything but BL_OK, bl_last_error() holds
 * one line for the calling thread: op, argument, what was got, what was
 * expected, and the fix. Outputs are untouched when validation fails.
 */
typedef enum bl_status {
    BL_OK = 0,
    BL_ERROR_ARGUMENT = 1,    /* shape, dtype, device or value out of contract */
    BL_ERROR_MEMORY = 2,      /* an allocation failed or an arena is full */
    BL_ERROR_IO = 3,          /* the operating system refused: see the message */
    BL_ERROR_FORMAT = 4,      /* a file is not what it claims to be */
    BL_ERROR_UNSUPPORTED = 5, /* valid, but not available on this backend */
    BL_ERROR_INTERNAL = 6,    /* a library we call failed */
    BL_ERROR_DEVICE = 7       /* the device failed: nothing on it can be used any more in this process */
} bl_status;

/* Message of the calling thread's last failure; "" if there was none. Valid until the next failure. */
const char *bl_last_error(void);
/* "MAJOR.MINOR.PATCH" of the engine. */
const char *bl_version(void);

typedef enum bl_dtype { BL_F32 = 0, BL_BF16 = 1, BL_F16 = 2, BL_I32 = 3, BL_I64 = 4, BL_I8 = 5 } bl_dtype;

typedef enum bl_device { BL_CPU = 0, BL_CUDA = 1 } bl_device;

enum { BL_MAX_DIMS = 4 };

/*
 * A view of memory: shape and strides (in elements) of ndim dimensions, row
 * major unless a stride says otherwise. A bl_tensor never owns its memory; it
 * is valid as long as the buffer or arena it was carved from. ndim 0 is a
 * scalar with one element. Unused shape and stride slots are 1 and 0.
 */
typedef struct bl_tensor {
    void *data;
    int64_t shape[4];
    int64_t stride[4];
    int32_t ndim;
    int32_t dtype;  /* bl_dtype */
    int32_t device; /* bl_device */
    int32_t device_index;
} bl_tensor;

/* Bytes of one element; 0 for an unknown dtype. */
size_t bl_dtype_size(int32_t dtype);
/* "f32", "bf16", "f16", "i32", "i64", "i8"; "?" for an unknown dtype. */
const char *bl_dtype_name(int32_t dtype);
/* Number of elements (product of shape). */
int64_t bl_tensor_numel(const bl_tensor *t);
/* True if elements lie in row-major order without gaps. */
bool bl_tensor_is_contiguous(const bl_tensor *t);
/* Describe memory the caller owns as a contiguous CPU tensor. */
bl_status bl_tensor_wrap(bl_tensor *out, void *data, int32_t dtype, int32_t ndim, const int64_t *shape);
/* View of the same elements in another shape; the input must be contiguous and numel must agree. */
bl_status bl_tensor_reshape(bl_tensor *out, const bl_tensor *t, int32_t ndim, const int64_t *shape);
/* View of [begin, end) along dimension dim. */
bl_status bl_tensor_slice(bl_tensor *out, const bl_tensor *t, int32_t dim, int64_t begin, int64_t end);
/* View with dimensions a and b swapped. */
bl_status bl_tensor_transpose(bl_tensor *out, const bl_tensor *t, int32_t a, int32_t b);

/*
 * How many devices of a kind there are. Fails where none can be used, and says
 * why and what to do: the backend is not built, the driver is missing or old.
 */
bl_status bl_device_count(int32_t device, int32_t *count);
/*
 * What a backend found and what is missing, one line each, of four fields
 * separated by tabs: state ("ok" or "note"), name, detail, fix. Lines that do
 * not fit are left out.
 */
bl_status bl_device_report(int32_t device, char *text, size_t bytes);

/*
 * The context: the device, its backend table, worker threads and scratch
 * memory. It is the only mutable state of the engine; one context is used by
 * one thread at a time. threads = 0 takes OMP_NUM_THREADS or all cores.
 */
typedef struct bl_context bl_context;
bl_status bl_context_create(bl_context **out, int32_t device, int32_t device_index, int32_t threads);
void bl_context_free(bl_context *ctx);
int32_t bl_context_device(const bl_context *ctx);
int32_t bl_context_threads(const bl_context *ctx);
/*
 * True if the device multiplies this dtype at least as fast as f32: bf16 and f16
 * on GPUs; bf16 on a CPU that has instructions for it, if a measurement of some
 * 0.05 s, taken by the first call of a process, says so. The environment
 * variable BERTLUA_CPU_BF16, fast or slow, takes the measurement's place.
 */
bool bl_context_fast_dtype(const bl_context *ctx, int32_t dtype);
/* One line for people: CPU model, cores, vector extensions, oneDNN version; or the GPU's. */
const char *bl_context_describe(const bl_context *ctx);
/*
 * Pin worker thread i to the i-th core this process may run on. Done only when
 * the context uses all of these cores, so that programs with fewer threads
 * side by side never fight over the first ones; *pinned says whether it was.
 * Threads that the calling thread starts later inherit its core.
 */
bl_status bl_context_pin_threads(bl_context *ctx, bool *pinned);
/*
 * Allow matrix products of f32 tensors to round their operands to TF32 (10 bits
 * of mantissa; sums stay f32) where the device has it: GPUs from Ampere on.
 * Elsewhere they are computed in f32 all the same. Off by default.
 */
bl_status bl_context_allow_tf32(bl_context *ctx, bool allow);
/*
 * Time the algorithms of each matrix product at its first use and keep the
 * fastest, in the file `path`, which later contexts read instead of timing
 * again: the choice decides in which order sums are taken, so runs that are to
 * agree bit for bit must share the file. A file for another GPU, driver or
 * library version is rebuilt. `folder` has a file for each of these, which
 * `path` begins with and adds to; where it cannot be read or written it is done
 * without. With `folder` alone its file is all there is. Both NULL, the default:
 * no timing, always the library's first suggestion. BL_ERROR_UNSUPPORTED on the
 * CPU.
 */
bl_status bl_context_matmul_choices(bl_context *ctx, const char *path, const char *folder);
/*
 * Which kernels attention takes. BL_ATTENTION_AUTO, the default: the fastest
 * that fits the call. NATIVE: the engine's own fused kernels; on a GPU for bf16
 * and f16 with head size 32 or 64. UNFUSED: on a GPU, for any call, in f32
 * arithmetic. CUDNN: cuDNN's fused kernels, on a GPU, bf16 or f16, no dropout.
 * A later call that the chosen kernels do not support fails with
 * BL_ERROR_UNSUPPORTED; so does naming any but AUTO and NATIVE on the CPU.
 */
typedef enum bl_attention {
    BL_ATTENTION_AUTO = 0,
    BL_ATTENTION_NATIVE = 1,
    BL_ATTENTION_UNFUSED = 2,
    BL_ATTENTION_CUDNN = 3
} bl_attention;
bl_status bl_context_attention(bl_context *ctx, int32_t implementation);
/* Wait until all work queued on the device has finished (no-op on the CPU). */
bl_status bl_context_synchronize(bl_context *ctx);

/* A flat, zero-filled, 64-byte aligned allocation on the context's device. */
typedef struct bl_buffer bl_buffer;
bl_status bl_buffer_create(bl_buffer **out, bl_context *ctx, size_t bytes);
void bl_buffer_free(bl_buffer *buffer);
void *bl_buffer_data(bl_buffer *buffer);
size_t bl_buffer_bytes(const bl_buffer *buffer);
/* Contiguous tensor at byte_offset (a multiple of 64 for tensors that ops read). */
bl_status bl_buffer_tensor(bl_buffer *buffer, bl_tensor *out, size_t byte_offset, int32_t dtype, int32_t ndim,
                           const int64_t *shape);

/*
 * Step arena for activations and their gradients. Address space of `capacity`
 * bytes is reserved at once and touched only as used. Allocation is first fit
 * over a coalescing free list: the same sequence of calls yields the same
 * addresses. Memory is NOT zeroed. reset drops everything but keeps the peak.
 */
typedef struct bl_arena bl_arena;
bl_status bl_arena_create(bl_arena **out, bl_context *ctx, size_t capacity);
/*
 * Whether arenas take memory as it is used. False on a GPU whose driver does not
 * let this process map memory to addresses (an old one, some sandboxes): there an
 * arena takes its whole capacity at once.
 */
bl_status bl_arenas_grow(bl_context *ctx, bool *grow);
void bl_arena_free(bl_arena *arena);
bl_status bl_arena_tensor(bl_arena *arena, bl_tensor *out, int32_t dtype, int32_t ndim, const int64_t *shape);
/* Give back the block that starts at t->data; an error for any other pointer. */
bl_status bl_arena_release(bl_arena *arena, const bl_tensor *t);
void bl_arena_reset(bl_arena *arena);
size_t bl_arena_used(const bl_arena *arena);
size_t bl_arena_peak(const bl_arena *arena);

/* Copy elements, converting dtype (round to nearest even; float to int truncates). Shapes equal, any strides. */
bl_status bl_copy(bl_context *ctx, bl_tensor *dst, const bl_tensor *src);
/* Host memory to tensor and back; the tensor is contiguous, bytes = numel * element size. */
bl_status bl_upload(bl_context *ctx, bl_tensor *dst, const void *src, size_t bytes);
bl_status bl_download(bl_context *ctx, void *dst, const bl_tensor *src, size_t bytes);
/* Set every element to value (converted to the dtype). */
bl_status bl_fill(bl_context *ctx, bl_tensor *t, double value);
/* Values from N(mean, std^2) or U[low, high), Philox stream (seed, stream); the same on every device. */
bl_status bl_fill_normal(bl_context *ctx, bl_tensor *t, double mean, double std, uint64_t seed, uint64_t stream);
bl_status bl_fill_uniform(bl_context *ctx, bl_tensor *t, double low, double high, uint64_t seed, uint64_t stream);

/*
 * Sequential host generator for shuffles and masking: counter-based
 * Philox4x32-10 (Salmon et al., SC'11), keyed by seed, one independent stream
 * per `stream`. Plain data, so it can be saved and restored by copying.
 */
typedef struct bl_rng {
    uint64_t seed;
    uint64_t stream;
    uint64_t counter; /* numbers drawn so far */
    uint32_t block[4];
} bl_rng;
void bl_rng_init(bl_rng *rng, uint64_t seed, uint64_t stream);
uint32_t bl_rng_u32(bl_rng *rng);
/* Uniform in [0, 1), 53 bits. */
double bl_rng_double(bl_rng *rng);
/* Uniform integer in [low, high], both included, without modulo bias. */
int64_t bl_rng_integer(bl_rng *rng, int64_t low, int64_t high);
/* Fisher-Yates shuffle of n values. */
void bl_rng_shuffle(bl_rng *rng, int64_t *values, int64_t n);

/* Cores the process may run on, as a set of bits: bit i % 64 of words[i / 64]; count words of 64. */
bl_status bl_affinity_get(uint64_t *words, int32_t count);
/* Bind every thread of the process, and the threads they will start, to these cores. */
bl_status bl_affinity_set(const uint64_t *words, int32_t count);

/* Processors that this process may run on, or use the time of (see below), rounded up; at least 1. */
int32_t bl_processors(void);
/*
 * Processors whose time the control groups of this process (containers, services, batch jobs) allow, 0 where they set
 * no limit. Files are read below `root`: NULL for the system's own.
 */
double bl_processor_quota(const char *root);
/*
 * Bytes of host memory that this process may still take, and that it may have altogether: the system's, or less where
 * control groups set a limit. `limited` says whether total is such a limit. BL_ERROR_UNSUPPORTED without /proc.
 */
bl_status bl_memory_left(const char *root, uint64_t *left, uint64_t *total, bool *limited);
/* Peak resident memory in bytes of this process, and of the largest of its ended children. */
void bl_memory_peak(int64_t *own, int64_t *child);
/* Width in columns of the terminal behind a file descriptor; 0 if it is not a terminal. */
int32_t bl_terminal_columns(int32_t descriptor);

/* CDEF-END */

#endif
