/*
 * memory.cc - device memory that the host cannot touch: two ranges of
 * addresses without access rights, opened while work runs.
 *
 * The first holds cudaMalloc's blocks, each followed by a fence of known bytes
 * that is checked after every piece of work; the second the address space
 * reserved by cuMemAddressReserve, of which only the mapped part is opened. A
 * touch at any other time ends the process with a line that says who did it.
 */
#include <cuda.h>
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <vector>

#include "races.h"
#include "record.h"
#include "runtime.h"
#include "state.h"

/* Addresses are never given out twice, and a tape reserves 32 GiB of them. */
static const size_t RANGE = static_cast<size_t>(16) << 40;
static const size_t PAGE = static_cast<size_t>(2) << 20;
static const size_t FENCE = 256;
enum { FENCE_BYTE = 0xa7, FRESH_BYTE = 0xa5 };

struct Block {
    size_t bytes;
    size_t room; /* with the fence */
};

struct Range {
    char *base;
    size_t used;
};

/* Address space for an arena, and how much of it is mapped from its front. */
struct Reservation {
    size_t bytes;
    size_t mapped;
};

/* What the device has: 8 GiB, or BERTLUA_EMULATION_MEMORY_MIB. */
static size_t total() {
    static const char *given = getenv("BERTLUA_EMULATION_MEMORY_MIB");
    static const size_t bytes =
        given && atoll(given) > 0 ? static_cast<size_t>(atoll(given)) << 20 : static_cast<size_t>(8) << 30;
    return bytes;
}

static struct {
    Range blocks;
    std::map<char *, Block> live;
    std::multimap<size_t, char *> free;
    std::map<char *, Reservation> reservations;
    std::map<char *, size_t> pinned;
    size_t taken;
    int open;
    const char *who;
} memory;

/* The reservation that an address lies in. */
static std::map<char *, Reservation>::iterator reservation_of(const void *p) {
    auto next = memory.reservations.upper_bound(const_cast<char *>(static_cast<const char *>(p)));
    if (next == memory.reservations.begin()) return memory.reservations.end();
    --next;
    return p < next->first + next->second.bytes ? next : memory.reservations.end();
}

/* Where device memory is, or may come to be. */
static bool is_device_address(const void *p) {
    return (memory.blocks.base && p >= memory.blocks.base && p < memory.blocks.base + RANGE) ||
           reservation_of(p) != memory.reservations.end();
}

static void say(const char *text) {
    if (write(STDERR_FILENO, text, strlen(text)) < 0) return;
}

static void on_fault(int signal_number, siginfo_t *info, void *) {
    char text[400];
    const void *at = info->si_addr;
    if (is_device_address(at)) {
        if (memory.open)
            snprintf(text, sizeof text, "emulated CUDA: %s touched device memory that is not allocated, at %p\n",
                     memory.who, at);
        else
            snprintf(text, sizeof text, "emulated CUDA: the host touched device memory at %p\n", at);
    } else {
        snprintf(text, sizeof text, "emulated CUDA: fault at %p%s%s\n", at, memory.open ? " in " : "",
                 memory.open ? memory.who : "");
    }
    say(text);
    void *frames[32];
    backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
    signal(signal_number, SIG_DFL);
}

/* Addresses without access rights, on a border of large pages. */
static char *take_addresses(size_t bytes) {
    void *base = mmap(nullptr, bytes + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return nullptr;
    char *first = static_cast<char *>(base);
    char *aligned = reinterpret_cast<char *>((reinterpret_cast<uintptr_t>(base) + PAGE - 1) / PAGE * PAGE);
    if (aligned > first) munmap(first, static_cast<size_t>(aligned - first));
    if (aligned < first + PAGE) munmap(aligned + bytes, static_cast<size_t>(first + PAGE - aligned));
    /* Large pages make opening and closing cheap; without them it is merely slower. A record touches little of them. */
    (void) madvise(aligned, bytes, bl_records() ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
    return aligned;
}

static bool open_blocks() {
    if (memory.blocks.base) return true;
    memory.blocks.base = take_addresses(RANGE);
    if (!memory.blocks.base) return false;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, nullptr);
    return true;
}

static void protect(int rights) {
    if (memory.blocks.used) mprotect(memory.blocks.base, (memory.blocks.used + PAGE - 1) / PAGE * PAGE, rights);
    for (const auto &entry : memory.reservations)
        if (entry.second.mapped) mprotect(entry.first, entry.second.mapped, rights);
}

void bl_emulated_open_memory(const char *who) {
    if (memory.open++ == 0) {
        memory.who = who;
        protect(PROT_READ | PROT_WRITE);
    }
}

static void check_fences() {
    static const std::vector<char> whole(FENCE, static_cast<char>(FENCE_BYTE));
    for (const auto &entry : memory.live) {
        char *fence = entry.first + entry.second.bytes;
        if (memcmp(fence, whole.data(), FENCE) == 0) continue;
        size_t i = 0;
        while (fence[i] == static_cast<char>(FENCE_BYTE))
            i++;
        memset(fence, FENCE_BYTE, FENCE);
        bl_emulated_fault(cudaErrorIllegalAddress, "%s: wrote %zu bytes past an allocation of %zu bytes", memory.who,
                          i + 1, entry.second.bytes);
    }
}

void bl_emulated_close_memory(void) {
    if (memory.open == 1) {
        check_fences();
        protect(PROT_NONE);
    }
    memory.open--;
}

static bool inside(const std::map<char *, size_t> &blocks, const void *p, size_t bytes) {
    auto next = blocks.upper_bound(const_cast<char *>(static_cast<const char *>(p)));
    if (next == blocks.begin()) return false;
    --next;
    const size_t offset = static_cast<size_t>(static_cast<const char *>(p) - next->first);
    return offset <= next->second && bytes <= next->second - offset;
}

bool bl_emulated_on_device(const void *p, size_t bytes) {
    Guard guard;
    auto next = memory.live.upper_bound(const_cast<char *>(static_cast<const char *>(p)));
    if (next != memory.live.begin()) {
        --next;
        const size_t offset = static_cast<size_t>(static_cast<const char *>(p) - next->first);
        if (offset <= next->second.bytes && bytes <= next->second.bytes - offset) return true;
    }
    auto found = reservation_of(p);
    if (found == memory.reservations.end()) return false;
    const size_t offset = static_cast<size_t>(static_cast<const char *>(p) - found->first);
    return offset <= found->second.mapped && bytes <= found->second.mapped - offset;
}

/* The allocated memory that an address lies in, and whether that is the device's. */
static bool find_region(const void *p, size_t *first, size_t *end, bool *device) {
    char *at = const_cast<char *>(static_cast<const char *>(p));
    auto live = memory.live.upper_bound(at);
    auto pinned = memory.pinned.upper_bound(at);
    auto reservation = reservation_of(p);
    const char *begin = nullptr;
    size_t bytes = 0;
    *device = true;
    if (live != memory.live.begin() && at < (--live)->first + live->second.bytes) {
        begin = live->first, bytes = live->second.bytes;
    } else if (reservation != memory.reservations.end()) {
        begin = reservation->first, bytes = reservation->second.mapped;
    } else if (pinned != memory.pinned.begin() && at < (--pinned)->first + pinned->second) {
        begin = pinned->first, bytes = pinned->second;
        *device = false;
    }
    *first = reinterpret_cast<size_t>(begin);
    *end = *first + bytes;
    return begin && at < begin + bytes;
}

bool bl_emulated_bounds(const void *p, size_t *begin, size_t *end) {
    Guard guard;
    bool device;
    return find_region(p, begin, end, &device);
}

#ifdef BL_EMULATION_RACES
bool bl_emulated_find(const void *p, bl_watch_region *region) {
    return find_region(p, &region->begin, &region->end, &region->device);
}
#endif

bool bl_emulated_pinned(const void *p, size_t bytes) {
    Guard guard;
    return inside(memory.pinned, p, bytes);
}

bool bl_emulated_reachable(const void *p) {
    Guard guard;
    return !p || is_device_address(p) || bl_emulated_pinned(p, 1);
}

/* ---- cudaMalloc and its like ---- */

static cudaError_t out_of_memory(size_t bytes) {
    return bl_emulated_fail(cudaErrorMemoryAllocation, "out of memory: %zu bytes", bytes);
}

cudaError_t cudaMalloc(void **out, size_t bytes) {
    Guard guard;
    BL_EMULATED_ALIVE();
    if (bl_emulated_capture_forbids("cudaMalloc")) return cudaErrorStreamCaptureUnsupported;
    if (bl_emulated_memory_is_out() || bytes > total() - memory.taken || !open_blocks()) return out_of_memory(bytes);
    const size_t room = (bytes + FENCE + 255) / 256 * 256;
    char *data = nullptr;
    auto reuse = memory.free.lower_bound(room);
    size_t got = room;
    if (reuse != memory.free.end() && reuse->first <= 2 * room) {
        data = reuse->second;
        got = reuse->first;
        memory.free.erase(reuse);
    } else {
        if (room > RANGE - memory.blocks.used) return out_of_memory(bytes);
        data = memory.blocks.base + memory.blocks.used;
        memory.blocks.used += room;
    }
    memory.live[data] = Block{bytes, got};
    memory.taken += bytes;
    bl_emulated_open_memory("cudaMalloc");
    if (!bl_records()) memset(data, FRESH_BYTE, bytes);
    memset(data + bytes, FENCE_BYTE, FENCE);
    bl_emulated_close_memory();
    bl_watch_forget(data, bytes);
    *out = data;
    return cudaSuccess;
}

cudaError_t cudaFree(void *data) {
    Guard guard;
    if (bl_emulated_capture_forbids("cudaFree")) return cudaErrorStreamCaptureUnsupported;
    if (!data) return cudaSuccess;
    bl_emulated_drain_all();
    auto found = memory.live.find(static_cast<char *>(data));
    if (found == memory.live.end()) return bl_emulated_fail(cudaErrorInvalidValue, "cudaFree: %p is not a block", data);
    memory.free.emplace(found->second.room, found->first);
    memory.taken -= found->second.bytes;
    memory.live.erase(found);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *all) {
    Guard guard;
    BL_EMULATED_ALIVE();
    *available = total() - memory.taken;
    *all = total();
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **out, size_t bytes) {
    Guard guard;
    if (bl_emulated_capture_forbids("cudaMallocHost")) return cudaErrorStreamCaptureUnsupported;
    void *data = nullptr;
    if (posix_memalign(&data, 256, bytes ? bytes : 1) != 0) return out_of_memory(bytes);
    memset(data, FRESH_BYTE, bytes);
    memory.pinned[static_cast<char *>(data)] = bytes;
    *out = data;
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned) {
    return cudaMallocHost(out, bytes);
}

cudaError_t cudaFreeHost(void *data) {
    Guard guard;
    if (bl_emulated_capture_forbids("cudaFreeHost")) return cudaErrorStreamCaptureUnsupported;
    bl_emulated_drain_all();
    if (memory.pinned.erase(static_cast<char *>(data)) == 0 && data)
        return bl_emulated_fail(cudaErrorInvalidValue, "cudaFreeHost: %p is not a block", data);
    free(data);
    return cudaSuccess;
}

/* ---- the driver's reservations of address space ---- */

static CUresult CUDAAPI granularity(size_t *out, const CUmemAllocationProp *, CUmemAllocationGranularity_flags) {
    *out = PAGE;
    return CUDA_SUCCESS;
}

static CUresult CUDAAPI reserve(CUdeviceptr *out, size_t bytes, size_t, CUdeviceptr, unsigned long long) {
    Guard guard;
    if (bl_emulated_capture_forbids("cuMemAddressReserve")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (bytes % PAGE) return CUDA_ERROR_INVALID_VALUE;
    char *base = take_addresses(bytes);
    if (!base) return CUDA_ERROR_OUT_OF_MEMORY;
    memory.reservations[base] = Reservation{bytes, 0};
    *out = reinterpret_cast<CUdeviceptr>(base);
    return CUDA_SUCCESS;
}

static CUresult CUDAAPI release_addresses(CUdeviceptr base, size_t bytes) {
    Guard guard;
    if (bl_emulated_capture_forbids("cuMemAddressFree")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    char *p = reinterpret_cast<char *>(base);
    auto found = memory.reservations.find(p);
    if (found == memory.reservations.end() || found->second.bytes != bytes || found->second.mapped != 0)
        return CUDA_ERROR_INVALID_VALUE;
    memory.reservations.erase(found);
    munmap(p, bytes);
    return CUDA_SUCCESS;
}

/* A handle is the number of bytes behind it. */
static CUresult CUDAAPI create(CUmemGenericAllocationHandle *out, size_t bytes, const CUmemAllocationProp *,
                               unsigned long long) {
    Guard guard;
    if (bl_emulated_capture_forbids("cuMemCreate")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (bytes % PAGE) return CUDA_ERROR_INVALID_VALUE;
    if (bl_emulated_lost() != cudaSuccess) return CUDA_ERROR_ILLEGAL_ADDRESS;
    if (bl_emulated_forbids_mapping()) return CUDA_ERROR_NOT_PERMITTED;
    if (bl_emulated_memory_is_out() || bytes > total() - memory.taken) return CUDA_ERROR_OUT_OF_MEMORY;
    memory.taken += bytes;
    *out = bytes;
    return CUDA_SUCCESS;
}

static CUresult CUDAAPI release(CUmemGenericAllocationHandle) {
    return CUDA_SUCCESS;
}

static CUresult CUDAAPI map(CUdeviceptr base, size_t bytes, size_t, CUmemGenericAllocationHandle handle,
                            unsigned long long) {
    Guard guard;
    if (bl_emulated_capture_forbids("cuMemMap")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    char *at = reinterpret_cast<char *>(base);
    auto found = reservation_of(at);
    if (handle != bytes || found == memory.reservations.end() || at != found->first + found->second.mapped ||
        bytes > found->second.bytes - found->second.mapped)
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

static CUresult CUDAAPI set_access(CUdeviceptr base, size_t bytes, const CUmemAccessDesc *, size_t) {
    Guard guard;
    if (bl_emulated_capture_forbids("cuMemSetAccess")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    auto found = reservation_of(reinterpret_cast<char *>(base));
    if (found == memory.reservations.end()) return CUDA_ERROR_INVALID_VALUE;
    found->second.mapped += bytes;
    bl_emulated_open_memory("cuMemSetAccess");
    if (!bl_records()) memset(reinterpret_cast<char *>(base), FRESH_BYTE, bytes);
    bl_emulated_close_memory();
    bl_watch_forget(reinterpret_cast<char *>(base), bytes);
    return CUDA_SUCCESS;
}

static CUresult CUDAAPI unmap(CUdeviceptr base, size_t bytes) {
    Guard guard;
    if (bl_emulated_capture_forbids("cuMemUnmap")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    bl_emulated_drain_all();
    char *at = reinterpret_cast<char *>(base);
    auto found = reservation_of(at);
    if (found == memory.reservations.end()) return CUDA_ERROR_INVALID_VALUE;
    /* Its pages go back to the system. */
    madvise(at, bytes, MADV_DONTNEED);
    found->second.mapped -= bytes;
    memory.taken -= bytes;
    return CUDA_SUCCESS;
}

static cudaError_t find_function(const char *symbol, void **out, cudaDriverEntryPointQueryResult *result) {
    static const struct {
        const char *name;
        void *function;
    } functions[] = {
        {"cuMemGetAllocationGranularity", reinterpret_cast<void *>(granularity)},
        {"cuMemAddressReserve", reinterpret_cast<void *>(reserve)},
        {"cuMemAddressFree", reinterpret_cast<void *>(release_addresses)},
        {"cuMemCreate", reinterpret_cast<void *>(create)},
        {"cuMemRelease", reinterpret_cast<void *>(release)},
        {"cuMemMap", reinterpret_cast<void *>(map)},
        {"cuMemUnmap", reinterpret_cast<void *>(unmap)},
        {"cuMemSetAccess", reinterpret_cast<void *>(set_access)},
    };
    *out = nullptr;
    for (const auto &function : functions)
        if (strcmp(function.name, symbol) == 0 && bl_emulated_has_mapping()) *out = function.function;
    if (result) *result = *out ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}

#if CUDART_VERSION >= 12050
cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **out, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult *result) {
    return find_function(symbol, out, result);
}
#else
cudaError_t cudaGetDriverEntryPoint(const char *symbol, void **out, unsigned long long,
                                    cudaDriverEntryPointQueryResult *result) {
    return find_function(symbol, out, result);
}
#endif
