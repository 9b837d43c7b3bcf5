/*
 * races.cc - the watch over memory that races.h describes.
 *
 * The compiler's -fsanitize=thread calls __tsan_read4 and its like before each
 * access (its library is not linked), -fsanitize=alignment,bounds what is named
 * __ubsan here. A cell is 16 bytes of memory where all accesses so far were
 * that wide and aligned, and is split down to single bytes where they were not.
 * It holds the last write and, as sets, the reads and atomics since: whether
 * one that is not ordered before the access at hand is among them is all that
 * has to be known of a set.
 *
 * Besides: accesses outside of allocated and of shared memory, misaligned ones,
 * and reads of what was never written. In shared memory that means in this
 * block; in device memory one bit per byte says so, cleared by allocation and
 * by bl_watch_forget.
 */
#ifdef BL_EMULATION_RACES

#include "races.h"

#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "emulation.h"
#include "record.h"

/* places.cc: lines of the sources behind a return address, as an offset into the library at `base`. */
const std::string &bl_watch_lines(uintptr_t base, uint32_t offset);

namespace {

enum Kind : uint8_t { READ, WRITE, ATOMIC, ASYNC };
const char *const NAMES[] = {"read", "write", "atomic", "cp.async"};

/* One access, or the set of those since the last write. */
struct Mark {
    uint32_t barrier; /* how many of the block's barriers, */
    uint32_t sync;    /* of the warp's __syncwarps came before */
    uint32_t place;   /* in the code: an offset into this library */
    int16_t thread;   /* of the warp as a whole: -1 - its number */
    bool set;
    uint8_t several; /* of a set: since that barrier and __syncwarp also OTHER_LANES, since that barrier OTHER_WARPS */
};
enum { OTHER_LANES = 1, OTHER_WARPS = 2 };

struct Cell {
    uint32_t block;  /* numbered through the life of the process; older than the launch: empty */
    uint8_t foreign; /* what other blocks of the launch did: bits of Kind */
    bool pending;    /* a cp.async into it is under way */
    Mark mark[3];    /* the last write, reads, atomics: by Kind */
};

enum { PAGE = 4096, FASTEST = 512 };

struct Page {
    int shift; /* of the bytes of a cell */
    std::unique_ptr<Cell[]> cells;
};

struct Span {
    uintptr_t begin, end;
    bool holds(uintptr_t p) const {
        return p >= begin && p < end;
    }
    bool holds(uintptr_t p, size_t bytes) const {
        return p >= begin && p <= end && bytes <= end - p;
    }
};

Span span_of(const void *p, size_t bytes) {
    const uintptr_t begin = reinterpret_cast<uintptr_t>(p);
    return {begin, begin + bytes};
}

enum Where : uint8_t { NOWHERE, DEVICE, PINNED, SHARED, PAST_SHARED, CONSTANT, UNSEEN };

struct {
    bool on;
    int thread, warp;
    uint32_t block, first_block, barrier;
    uint32_t sync[32];
    bl_watch_launch launch;
    Span stacks, shared, shared_room, arguments, function;
    Span writable, constant, place; /* of this library */
    std::unordered_map<uintptr_t, Page> pages;
    size_t cells;
    struct {
        uintptr_t number;
        Page *page;
    } fast[FASTEST];
    struct {
        Span span;
        Where where;
    } regions[FASTEST];
    std::set<std::tuple<std::string, std::string, uint32_t>> told;
    uint8_t *written; /* one bit per byte of all address space */
} watch;

int find_library(dl_phdr_info *info, size_t, void *) {
    const uintptr_t own = reinterpret_cast<uintptr_t>(&watch);
    bool found = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) &part = info->dlpi_phdr[i];
        if (part.p_type == PT_LOAD && own - (info->dlpi_addr + part.p_vaddr) < part.p_memsz) found = true;
    }
    if (!found) return 0;
    watch.constant = {UINTPTR_MAX, 0};
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) &part = info->dlpi_phdr[i];
        if (part.p_type != PT_LOAD) continue;
        const Span span = {info->dlpi_addr + part.p_vaddr, info->dlpi_addr + part.p_vaddr + part.p_memsz};
        if (part.p_flags & PF_W)
            watch.writable = span;
        else
            watch.constant = {span.begin < watch.constant.begin ? span.begin : watch.constant.begin,
                              span.end > watch.constant.end ? span.end : watch.constant.end};
    }
    return 1;
}

uintptr_t library_base() {
    static const uintptr_t base = []() {
        dl_iterate_phdr(find_library, nullptr);
        watch.place = span_of(&bl_emulated_here, sizeof bl_emulated_here);
        return watch.constant.begin;
    }();
    return base;
}

uint8_t *written_bits() {
    if (watch.written) return watch.written;
    const size_t bytes = static_cast<size_t>(1) << 44;
    void *bits = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bits == MAP_FAILED) {
        fprintf(stderr, "emulated CUDA: no address space to watch memory with\n");
        abort();
    }
    /* It is touched here and there. */
    (void) madvise(bits, bytes, MADV_NOHUGEPAGE);
    watch.written = static_cast<uint8_t *>(bits);
    return watch.written;
}

void set_written(uintptr_t p, size_t bytes, bool value) {
    if (bl_records()) return;
    uint8_t *bits = written_bits();
    const uintptr_t end = p + bytes;
    while (p < end && (p % 8 || end - p < 8)) {
        const uint8_t bit = static_cast<uint8_t>(1u << p % 8);
        bits[p / 8] = static_cast<uint8_t>(value ? bits[p / 8] | bit : bits[p / 8] & ~bit);
        p++;
    }
    if (p >= end) return;
    memset(bits + p / 8, value ? 0xff : 0, (end - p) / 8);
    if (end % 8) set_written(end / 8 * 8, end % 8, value);
}

/* The first byte that was never written, or `bytes`. */
size_t first_unwritten(uintptr_t p, size_t bytes) {
    if (bl_records()) return bytes;
    const uint8_t *bits = written_bits();
    for (size_t i = 0; i < bytes; i++) {
        if ((p + i) % 8 == 0 && bytes - i >= 8 && bits[(p + i) / 8] == 0xff)
            i += 7;
        else if (!(bits[(p + i) / 8] >> (p + i) % 8 & 1u))
            return i;
    }
    return bytes;
}

/* ---- reports ---- */

std::string describe_thread(int thread) {
    char text[40];
    snprintf(text, sizeof text, thread < 0 ? "warp %d" : "thread %d", thread < 0 ? -1 - thread : thread);
    return text;
}

/* For cudaGetLastError, which keeps one message; what comes behind it is printed. */
void report(const char *text) {
    if (cudaPeekAtLastError() != cudaSuccess) fprintf(stderr, "emulated CUDA: %s\n", text);
    bl_emulated_fault(cudaErrorLaunchFailure, "%s", text);
}

/* Once per kernel, kind and place. */
void tell(const std::string &what, uint32_t place, const std::string &more) {
    if (!watch.told.insert(std::make_tuple(std::string(watch.launch.kernel), what, place)).second) return;
    const char *seed = getenv("BERTLUA_EMULATION_SEED");
    const std::string at = place ? " at " + bl_watch_lines(library_base(), place) : "";
    char text[500];
    snprintf(text, sizeof text, "%s: %s%s by %s of block (%u,%u,%u)%s%s%s", watch.launch.kernel, what.c_str(),
             at.c_str(), describe_thread(watch.thread).c_str(), blockIdx.x, blockIdx.y, blockIdx.z, more.c_str(),
             seed ? "; BERTLUA_EMULATION_SEED=" : "", seed ? seed : "");
    report(text);
}

std::string sized(const char *what, size_t bytes) {
    char text[80];
    snprintf(text, sizeof text, "%s of %zu bytes", what, bytes);
    return text;
}

/* ---- cells ---- */

Page *page_of(uintptr_t number) {
    auto &fast = watch.fast[number % FASTEST];
    if (fast.page && fast.number == number) return fast.page;
    Page &page = watch.pages[number];
    if (!page.cells) {
        page.shift = 4;
        page.cells.reset(new Cell[PAGE >> page.shift]());
        watch.cells += PAGE >> page.shift;
    }
    fast.number = number;
    fast.page = &page;
    return &page;
}

void split(Page *page, int shift) {
    std::unique_ptr<Cell[]> cells(new Cell[PAGE >> shift]);
    for (int i = 0; i < PAGE >> shift; i++)
        cells[i] = page->cells[i >> (page->shift - shift)];
    watch.cells += static_cast<size_t>((PAGE >> shift) - (PAGE >> page->shift));
    page->cells = std::move(cells);
    page->shift = shift;
}

/* Cells that hold no byte beside the access; those of 8 bytes are rare enough to be two of 4. */
int shift_of(uintptr_t p, size_t bytes) {
    const uintptr_t both = p | bytes;
    return both % 16 == 0 ? 4 : both % 4 == 0 ? 2 : both % 2 == 0 ? 1 : 0;
}

int warp_of(int thread) {
    return thread < 0 ? -1 - thread : thread / 32;
}

/* Whether some access of the mark is in no order before one of the running thread. */
bool unordered(const Mark &mark) {
    if (!mark.set || mark.barrier < watch.barrier) return false;
    if (mark.several & OTHER_WARPS || warp_of(mark.thread) != watch.warp) return true;
    if (mark.sync < watch.sync[watch.warp]) return false;
    return mark.several & OTHER_LANES || mark.thread != watch.thread || watch.thread < 0;
}

void add(Mark *mark, uint32_t place) {
    const Mark mine = {watch.barrier, watch.sync[watch.warp], place, static_cast<int16_t>(watch.thread), true, 0};
    uint8_t several = 0;
    if (mark->set && mark->barrier == mine.barrier) {
        several = mark->several & OTHER_WARPS;
        if (warp_of(mark->thread) != watch.warp)
            several |= OTHER_WARPS;
        else if (mark->sync == mine.sync && (mark->thread != mine.thread || mark->several & OTHER_LANES))
            several |= OTHER_LANES;
    }
    *mark = mine;
    mark->several = several;
}

void tell_race(Kind kind, size_t bytes, Where where, uint32_t place, Kind other, const Mark *mark) {
    const std::string what = sized(NAMES[kind], bytes) + (where == DEVICE   ? " of device memory"
                                                          : where == PINNED ? " of pinned memory"
                                                                            : " of shared memory");
    std::string more = std::string(", in no order with the ") + NAMES[other];
    if (mark)
        more += " by " + describe_thread(mark->thread) + (mark->several ? " and others at " : " at ") +
                bl_watch_lines(library_base(), mark->place);
    else
        more += " by another block";
    tell(what, place, more);
}

/* Of a cell: what conflicts with an access of this kind. */
void meet(Cell *cell, Kind kind, size_t bytes, Where where, uint32_t place) {
    if (cell->block != watch.block) {
        uint8_t foreign = 0;
        if (cell->block >= watch.first_block && where != SHARED) {
            foreign = cell->foreign;
            for (int k = READ; k <= ATOMIC; k++)
                if (cell->mark[k].set) foreign = static_cast<uint8_t>(foreign | 1u << k);
        }
        memset(cell, 0, sizeof *cell);
        cell->block = watch.block;
        cell->foreign = foreign;
    }
    if (cell->pending && kind != ASYNC) {
        tell_race(kind, bytes, where, place, ASYNC, &cell->mark[WRITE]);
        cell->pending = false;
    }
    if (kind == READ && where == SHARED && !cell->mark[WRITE].set && !cell->mark[ATOMIC].set)
        tell(sized("read", bytes) + " of shared memory that the block has not written", place, "");
    for (int k = READ; k <= ATOMIC; k++) {
        if (kind == k && kind != WRITE) continue;
        if (cell->foreign >> k & 1u) {
            tell_race(kind, bytes, where, place, static_cast<Kind>(k), nullptr);
            cell->foreign = 0;
        }
        if (unordered(cell->mark[k])) {
            tell_race(kind, bytes, where, place, static_cast<Kind>(k), &cell->mark[k]);
            cell->mark[k].set = k == WRITE; /* once is enough; written it stays */
            cell->mark[k].barrier = cell->mark[k].sync = 0;
        }
    }
    if (kind == READ || kind == ATOMIC) {
        add(&cell->mark[kind], place);
    } else {
        memset(cell->mark, 0, sizeof cell->mark);
        add(&cell->mark[WRITE], place);
        cell->pending = kind == ASYNC;
    }
}

template <typename Visit> void each_cell(uintptr_t p, size_t bytes, Visit visit) {
    const int shift = shift_of(p, bytes);
    for (const uintptr_t end = p + bytes; p < end;) {
        Page *page = page_of(p / PAGE);
        if (page->shift > shift) split(page, shift);
        const uintptr_t stop = end < (p / PAGE + 1) * PAGE ? end : (p / PAGE + 1) * PAGE;
        for (; p < stop; p += static_cast<uintptr_t>(1) << page->shift)
            visit(&page->cells[p % PAGE >> page->shift]);
    }
}

/* ---- where an address lies ---- */

Where find_region(uintptr_t p, size_t bytes, Span *span) {
    library_base();
    bl_watch_region region;
    *span = {p, p + bytes};
    if (watch.shared.holds(p, bytes)) return *span = watch.shared, SHARED;
    if (watch.shared_room.holds(p)) return PAST_SHARED;
    if (bl_emulated_find(reinterpret_cast<const void *>(p), &region)) {
        if (!Span{region.begin, region.end}.holds(p, bytes)) return NOWHERE;
        *span = {region.begin, region.end};
        return region.device ? DEVICE : PINNED;
    }
    /* What the kernels declare __shared__ is static here, and they have no other variables. */
    if (watch.writable.holds(p, bytes)) return *span = watch.writable, SHARED;
    if (watch.constant.holds(p, bytes)) return *span = watch.constant, CONSTANT;
    if (watch.arguments.holds(p, bytes) || watch.function.holds(p, bytes)) return UNSEEN;
    return NOWHERE;
}

Where where_is(uintptr_t p, size_t bytes) {
    auto &region = watch.regions[p / PAGE % FASTEST];
    if (region.where != NOWHERE && region.span.holds(p, bytes)) return region.where;
    const Where where = find_region(p, bytes, &region.span);
    region.where = where == PAST_SHARED ? NOWHERE : where;
    return where;
}

uint32_t offset_of(const void *code) {
    return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(code) - library_base());
}

void look(uintptr_t p, size_t bytes, Kind kind, const void *code) {
    const Where where = where_is(p, bytes);
    if (where == UNSEEN || (where == CONSTANT && kind == READ)) return;
    if (bl_records()) {
        if (where == DEVICE || where == PINNED || where == SHARED)
            bl_record_touches(p, bytes, static_cast<bl_record_access>(kind), where == SHARED);
        return;
    }
    const uint32_t place = offset_of(code);
    if (where == NOWHERE || where == CONSTANT || where == PAST_SHARED) {
        char outside[100] = " outside of what is allocated";
        if (where == PAST_SHARED)
            snprintf(outside, sizeof outside, " past the %zu bytes of shared memory", watch.launch.shared_bytes);
        tell(sized(NAMES[kind], bytes) + outside, place, "");
        return;
    }
    if (where == DEVICE) {
        if (kind == WRITE || kind == ASYNC)
            set_written(p, bytes, true);
        else if (first_unwritten(p, bytes) < bytes)
            tell(sized(NAMES[kind], bytes) + " of device memory that nobody has written", place, "");
    }
    each_cell(p, bytes, [=](Cell *cell) { meet(cell, kind, bytes, where, place); });
}

inline void touch(const void *address, size_t bytes, Kind kind, const void *code) {
    if (!watch.on) return;
    const uintptr_t p = reinterpret_cast<uintptr_t>(address);
    if (watch.stacks.holds(p) || watch.place.holds(p)) return;
    look(p, bytes, kind, code);
}

void tell_misaligned(const void *p, size_t bytes, Kind kind, const void *code) {
    if (reinterpret_cast<uintptr_t>(p) % bytes == 0) return;
    tell(sized((std::string("misaligned ") + NAMES[kind]).c_str(), bytes), offset_of(code), "");
}

} // namespace

/* ---- what the emulation tells ---- */

void bl_watch_launches(const bl_watch_launch *launch) {
    library_base();
    watch.launch = *launch;
    watch.stacks = span_of(launch->stacks, launch->stacks_bytes);
    watch.shared = span_of(launch->shared, launch->shared_bytes);
    watch.shared_room = span_of(launch->shared, launch->shared_room);
    watch.arguments = span_of(launch->arguments, launch->arguments_bytes);
    watch.function = span_of(launch->function, launch->function_bytes);
    watch.first_block = watch.block + 1;
    for (auto &region : watch.regions)
        region.where = NOWHERE;
    if (watch.cells > (static_cast<size_t>(1) << 22)) {
        watch.pages.clear();
        watch.cells = 0;
        memset(watch.fast, 0, sizeof watch.fast);
    }
}

void bl_watch_block(void) {
    watch.block++;
    watch.barrier = 1;
    for (uint32_t &sync : watch.sync)
        sync = 1;
}

void bl_watch_resume(int thread) {
    watch.thread = thread;
    watch.warp = thread / 32;
    watch.on = true;
}

void bl_watch_pause(void) {
    watch.on = false;
}

void bl_watch_barrier(void) {
    watch.barrier++;
}

void bl_watch_syncwarp(int warp) {
    watch.sync[warp]++;
}

__attribute__((noinline)) const void *bl_watch_here(void) {
    return __builtin_return_address(0);
}

void bl_watch_warp_reads(const void *p, size_t bytes, const void *here) {
    const int thread = watch.thread;
    watch.thread = -1 - watch.warp;
    tell_misaligned(p, bytes, READ, here);
    look(reinterpret_cast<uintptr_t>(p), bytes, READ, here);
    watch.thread = thread;
}

void bl_watch_atomic(const void *p, size_t bytes, const void *here) {
    touch(p, bytes, ATOMIC, here);
}

void bl_watch_copy_begins(const void *to, const void *from, size_t bytes) {
    const void *here = __builtin_return_address(0);
    if (bl_records()) {
        if (from) bl_record_touches(reinterpret_cast<uintptr_t>(from), bytes, BL_RECORD_COPY, false);
        return bl_record_touches(reinterpret_cast<uintptr_t>(to), bytes, BL_RECORD_WRITE, true);
    }
    tell_misaligned(to, bytes, ASYNC, here);
    if (from) {
        tell_misaligned(from, bytes, ASYNC, here);
        touch(from, bytes, READ, here);
    }
    touch(to, bytes, ASYNC, here);
}

void bl_watch_copy_ends(const void *to, const void *from, size_t bytes) {
    if (bl_records()) return;
    if (from) touch(from, bytes, READ, __builtin_return_address(0));
    each_cell(reinterpret_cast<uintptr_t>(to), bytes, [](Cell *cell) {
        cell->pending = false;
        if (cell->mark[WRITE].set) add(&cell->mark[WRITE], cell->mark[WRITE].place);
    });
}

void bl_watch_library_reads(const char *who, const void *p, size_t bytes) {
    const uintptr_t begin = reinterpret_cast<uintptr_t>(p);
    if (!bl_emulated_on_device(p, bytes)) return;
    const size_t at = first_unwritten(begin, bytes);
    if (at == bytes) return;
    char text[160];
    snprintf(text, sizeof text, "%s: read of device memory that nobody has written: byte %zu of %zu", who, at, bytes);
    if (!watch.told.insert(std::make_tuple(std::string(who), std::string(text), 0u)).second) return;
    report(text);
}

void bl_watch_library_writes(const void *p, size_t bytes) {
    if (bl_emulated_on_device(p, bytes)) set_written(reinterpret_cast<uintptr_t>(p), bytes, true);
}

void bl_watch_copied(const void *to, const void *from, size_t bytes) {
    if (bl_records()) return;
    const uintptr_t begin = reinterpret_cast<uintptr_t>(from), end = begin + bytes;
    const uintptr_t target = reinterpret_cast<uintptr_t>(to);
    if (!bl_emulated_on_device(to, bytes)) return bl_watch_library_reads("copy to the host", from, bytes);
    if (!bl_emulated_on_device(from, bytes)) return set_written(target, bytes, true);
    const uint8_t *bits = written_bits();
    for (uintptr_t p = begin; p < end; p++)
        set_written(target + (p - begin), 1, bits[p / 8] >> p % 8 & 1u);
}

void bl_watch_forget(const void *p, size_t bytes) {
    set_written(reinterpret_cast<uintptr_t>(p), bytes, false);
}

/* ---- what the compiler calls ---- */

#define HERE __builtin_return_address(0)
#define BL_TSAN(name, bytes)                                                                                           \
    void __tsan_read##name(void *p) {                                                                                  \
        touch(p, bytes, READ, HERE);                                                                                   \
    }                                                                                                                  \
    void __tsan_write##name(void *p) {                                                                                 \
        touch(p, bytes, WRITE, HERE);                                                                                  \
    }                                                                                                                  \
    void __tsan_unaligned_read##name(void *p) {                                                                        \
        touch(p, bytes, READ, HERE);                                                                                   \
    }                                                                                                                  \
    void __tsan_unaligned_write##name(void *p) {                                                                       \
        touch(p, bytes, WRITE, HERE);                                                                                  \
    }                                                                                                                  \
    void __tsan_volatile_read##name(void *p) {                                                                         \
        touch(p, bytes, READ, HERE);                                                                                   \
    }                                                                                                                  \
    void __tsan_volatile_write##name(void *p) {                                                                        \
        touch(p, bytes, WRITE, HERE);                                                                                  \
    }

/* As the compiler's sanitizers lay out what they tell of a check. */
struct SourceLocation {
    const char *file;
    uint32_t line, column;
};
struct TypeMismatch {
    SourceLocation location;
    const void *type;
    unsigned char log_alignment, kind;
};

static void tell_check(const SourceLocation &at, const std::string &what) {
    if (!watch.on) return;
    const char *name = strrchr(at.file, '/') ? strrchr(at.file, '/') + 1 : at.file;
    tell(what + " in " + name + ":" + std::to_string(at.line), 0, "");
}

extern "C" {

BL_TSAN(1, 1)
BL_TSAN(2, 2)
BL_TSAN(4, 4)
BL_TSAN(8, 8)
BL_TSAN(16, 16)

void __tsan_init() {
}
void __tsan_func_entry(void *) {
}
void __tsan_func_exit() {
}
void __tsan_vptr_update(void **, void *) {
}
void __tsan_vptr_read(void **) {
}
void __tsan_read_range(void *p, unsigned long bytes) {
    touch(p, bytes, READ, HERE);
}
void __tsan_write_range(void *p, unsigned long bytes) {
    touch(p, bytes, WRITE, HERE);
}
/* The host's: counters of shared_ptr, guards of static variables. */
int __tsan_atomic32_fetch_add(volatile int *p, int value, int) {
    return __atomic_fetch_add(p, value, __ATOMIC_SEQ_CST);
}
unsigned char __tsan_atomic8_load(const volatile unsigned char *p, int) {
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

void __ubsan_handle_type_mismatch_v1(const TypeMismatch *check, uintptr_t) {
    tell_check(check->location, sized("misaligned access", static_cast<size_t>(1) << check->log_alignment));
}
void __ubsan_handle_out_of_bounds(const SourceLocation *at, uintptr_t index) {
    tell_check(*at, "index " + std::to_string(static_cast<intptr_t>(index)) + " outside of its array");
}
}

#endif
