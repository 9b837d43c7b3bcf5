/*
 * fibers.cc - runs the threads of a block as fibers: each runs until it
 * returns or meets the others of its warp or block, then the next one runs.
 *
 * Every other launch runs warps and lanes backwards, so that a missing barrier
 * gives wrong results in one order or the other. With BERTLUA_EMULATION_SEED
 * blocks, warps and lanes run in an order drawn from that number instead, anew
 * each time they are resumed. Threads that wait for each other for ever are
 * reported with the kernel's name, not hung.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <utility>
#include <vector>

#include "emulation.h"
#include "record.h"

bl_emulated_place bl_emulated_here;

/* ---- switching ---- */

#if defined(__x86_64__)

struct Context {
    void *stack;
};

extern "C" void bl_fiber_switch(void **from, void *to);
/* What a call must preserve goes onto the stack that is left, and comes from the one that is entered. */
asm(R"(
.text
.type bl_fiber_switch, @function
bl_fiber_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size bl_fiber_switch, .-bl_fiber_switch
)");

static void switch_to(Context *from, Context *to) {
    bl_fiber_switch(&from->stack, to->stack);
}

static void prepare(Context *context, char *stack, size_t bytes, void (*entry)()) {
    void **top = reinterpret_cast<void **>(stack + bytes);
    top[-1] = nullptr;
    top[-2] = reinterpret_cast<void *>(entry);
    for (int i = 3; i <= 8; i++)
        top[-i] = nullptr;
    context->stack = top - 8;
}

#else

#include <ucontext.h>

struct Context {
    ucontext_t context;
};

static void switch_to(Context *from, Context *to) {
    swapcontext(&from->context, &to->context);
}

static void prepare(Context *context, char *stack, size_t bytes, void (*entry)()) {
    getcontext(&context->context);
    context->context.uc_stack.ss_sp = stack;
    context->context.uc_stack.ss_size = bytes;
    context->context.uc_link = nullptr;
    makecontext(&context->context, entry, 0);
}

#endif

/* ---- fibers ---- */

enum State { READY, IN_WARP, IN_BLOCK, RETURNED };

struct Fiber {
    Context context;
    State state;
    uint3 thread;
    /* Of what it waits for in its warp. */
    unsigned mask;
    const char *what;
    void *mine;
    void (*all)(void *const lanes[32]);
    /* Of the block's barrier; the answer comes back in predicate. */
    int kind;
    int predicate;
};

enum { THREADS = 1024, STACK = 128 << 10, SHARED = 228 << 10, FENCE = 256 };
static const uint64_t CANARY = 0x5ca1ab1e0ddba11ull;

static struct {
    Fiber fibers[THREADS];
    char *stacks;
    char *shared;
    Context scheduler;
    Fiber *running;
    const std::function<void()> *thread;
    bool backwards;
    bool failed;
} block;

/* ---- order ---- */

/* xorshift64*; 0: in order. */
static uint64_t random_state;

static bool shuffles() {
    static const uint64_t seed = []() {
        const char *given = getenv("BERTLUA_EMULATION_SEED");
        /* Neighbouring seeds give unrelated orders. */
        return given ? (strtoull(given, nullptr, 10) + 1) * 0x9e3779b97f4a7c15ull | 1u : 0;
    }();
    if (random_state == 0) random_state = seed;
    return seed != 0;
}

static unsigned random_below(unsigned n) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return static_cast<unsigned>((random_state * 0x2545f4914f6cdd1dull >> 32) * n >> 32);
}

/* The numbers below n in the order in which to run them. */
template <typename T> static void draw_order(T *order, unsigned n, bool backwards) {
    for (unsigned i = 0; i < n; i++)
        order[i] = static_cast<T>(backwards ? n - 1 - i : i);
    if (!shuffles()) return;
    for (unsigned i = n; i > 1; i--)
        std::swap(order[i - 1], order[random_below(i)]);
}

static bool open_pool() {
    if (block.stacks) return true;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *stacks = mmap(nullptr, static_cast<size_t>(THREADS) * STACK, PROT_READ | PROT_WRITE, flags, -1, 0);
    void *shared = mmap(nullptr, SHARED + FENCE, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (stacks == MAP_FAILED || shared == MAP_FAILED) return false;
    block.stacks = static_cast<char *>(stacks);
    block.shared = static_cast<char *>(shared);
    return true;
}

static void wait_for_others(State state) {
    Fiber *fiber = block.running;
    fiber->state = state;
    switch_to(&fiber->context, &block.scheduler);
}

static void fiber_entry() {
    (*block.thread)();
    wait_for_others(RETURNED);
    __builtin_unreachable();
}

int bl_emulated_barrier(int kind, int predicate) {
    block.running->kind = kind;
    block.running->predicate = predicate;
    wait_for_others(IN_BLOCK);
    return block.running->predicate;
}

void bl_emulated_warp(unsigned mask, const char *what, void *mine, void (*all)(void *const lanes[32])) {
    Fiber *fiber = block.running;
    fiber->mask = mask;
    fiber->what = what;
    fiber->mine = mine;
    fiber->all = all;
    wait_for_others(IN_WARP);
}

static void resume(Fiber *fiber) {
    block.running = fiber;
    bl_emulated_here.thread = fiber->thread;
    bl_watch_resume(static_cast<int>(fiber - block.fibers));
    switch_to(&block.scheduler, &fiber->context);
    bl_watch_pause();
}

/* ---- meeting ---- */

/* The lanes that wait together with `first`, if all of their mask are there. */
static bool release_lanes(Fiber *warp, int lanes, int first) {
    const unsigned mask = warp[first].mask;
    void *posts[32] = {nullptr};
    if (!(mask >> first & 1u)) return false;
    for (int lane = 0; lane < 32; lane++) {
        if (!(mask >> lane & 1u) || lane >= lanes || warp[lane].state == RETURNED) continue;
        if (warp[lane].state != IN_WARP || warp[lane].mask != mask || warp[lane].what != warp[first].what) return false;
        posts[lane] = warp[lane].mine;
    }
    if (bl_records()) bl_record_warp(warp[first].what);
    if (warp[first].all)
        warp[first].all(posts);
    else if (mask == 0xffffffffu) /* only that orders the whole warp; what part of it agrees on, the watch ignores */
        bl_watch_syncwarp(static_cast<int>(warp - block.fibers) / 32);
    for (int lane = 0; lane < lanes; lane++)
        if (posts[lane]) warp[lane].state = READY;
    return true;
}

/* Runs a warp until none of its lanes can continue alone. */
static void run_warp(Fiber *warp, int lanes) {
    for (bool again = true; again;) {
        again = false;
        int order[32];
        draw_order(order, static_cast<unsigned>(lanes), block.backwards);
        for (int i = 0; i < lanes; i++) {
            Fiber *fiber = &warp[order[i]];
            if (fiber->state == READY) resume(fiber);
        }
        for (int lane = 0; lane < lanes; lane++)
            if (warp[lane].state == IN_WARP && release_lanes(warp, lanes, lane)) again = true;
    }
}

/* Opens the block's barrier if every thread that has not returned is there. */
static bool release_block(int threads) {
    int count = 0, waiting = 0, kind = -1;
    for (int t = 0; t < threads; t++) {
        Fiber *fiber = &block.fibers[t];
        if (fiber->state == RETURNED) continue;
        if (fiber->state != IN_BLOCK || (kind >= 0 && fiber->kind != kind)) return false;
        kind = fiber->kind;
        waiting++;
        count += fiber->predicate != 0;
    }
    const int answer = kind == BL_EMULATED_COUNT ? count : kind == BL_EMULATED_AND ? count == waiting : count > 0;
    for (int t = 0; t < threads; t++) {
        if (block.fibers[t].state != IN_BLOCK) continue;
        block.fibers[t].predicate = answer;
        block.fibers[t].state = READY;
    }
    bl_watch_barrier();
    return true;
}

static void report_deadlock(const char *name, int threads) {
    int returned = 0, in_block = 0, in_warp = 0, lane = -1;
    for (int t = 0; t < threads; t++) {
        returned += block.fibers[t].state == RETURNED;
        in_block += block.fibers[t].state == IN_BLOCK;
        if (block.fibers[t].state == IN_WARP && in_warp++ == 0) lane = t;
    }
    char at[128] = "";
    if (lane >= 0)
        snprintf(at, sizeof at, " (thread %d at %s with mask %08x)", lane, block.fibers[lane].what,
                 block.fibers[lane].mask);
    bl_emulated_fault(cudaErrorLaunchFailure,
                      "%s: block (%u,%u,%u) waits for ever: %d threads at __syncthreads, %d within their warp%s, "
                      "%d returned",
                      name, blockIdx.x, blockIdx.y, blockIdx.z, in_block, in_warp, at, returned);
}

static uint64_t *canary(int thread) {
    return reinterpret_cast<uint64_t *>(block.stacks + static_cast<size_t>(thread) * STACK);
}

/* Bytes behind the dynamic shared memory that the launch requested. */
static bool fence_is_whole(size_t shared) {
    for (int i = 0; i < FENCE; i++)
        if (static_cast<unsigned char>(block.shared[shared + i]) != 0xa7) return false;
    return true;
}

static bool run_block(const char *name, int threads, size_t shared) {
    /* What a block before left there must not be relied on. */
    memset(block.shared, 0xff, shared);
    memset(block.shared + shared, 0xa7, FENCE);
    bl_watch_block();
    for (int t = 0; t < threads; t++) {
        Fiber *fiber = &block.fibers[t];
        fiber->state = READY;
        fiber->thread =
            make_uint3(static_cast<unsigned>(t) % blockDim.x, static_cast<unsigned>(t) / blockDim.x % blockDim.y,
                       static_cast<unsigned>(t) / (blockDim.x * blockDim.y));
        *canary(t) = CANARY;
        prepare(&fiber->context, block.stacks + static_cast<size_t>(t) * STACK, STACK, fiber_entry);
    }
    const int warps = (threads + 31) / 32;
    for (;;) {
        int running = 0, order[THREADS / 32];
        draw_order(order, static_cast<unsigned>(warps), block.backwards);
        for (int i = 0; i < warps; i++) {
            const int first = 32 * order[i];
            run_warp(&block.fibers[first], threads - first < 32 ? threads - first : 32);
        }
        for (int t = 0; t < threads; t++)
            running += block.fibers[t].state != RETURNED;
        if (running == 0) break;
        if (!release_block(threads)) {
            report_deadlock(name, threads);
            return false;
        }
    }
    if (!fence_is_whole(shared)) {
        bl_emulated_fault(cudaErrorLaunchFailure, "%s: writes past its %zu bytes of shared memory", name, shared);
        return false;
    }
    for (int t = 0; t < threads; t++) {
        if (*canary(t) == CANARY) continue;
        bl_emulated_fault(cudaErrorLaunchFailure, "%s: a thread needs more than %d bytes of stack", name, STACK);
        return false;
    }
    return true;
}

static bool begin_grid(const char *name, dim3 grid, dim3 size, size_t shared, const std::function<void()> &thread,
                       const void *arguments, size_t arguments_bytes) {
    if (!open_pool()) {
        bl_emulated_fault(cudaErrorMemoryAllocation, "%s: no memory for the emulated block", name);
        return false;
    }
    block.thread = &thread;
    block.backwards = !block.backwards;
    bl_emulated_here.threads = size;
    bl_emulated_here.blocks = grid;
    bl_emulated_here.shared = block.shared;
    const bl_watch_launch watched = {name,      block.shared,    shared,  SHARED + FENCE, block.stacks, THREADS * STACK,
                                     arguments, arguments_bytes, &thread, sizeof thread};
    bl_watch_launches(&watched);
    return true;
}

static bool run_numbered(const char *name, unsigned i, dim3 grid, dim3 size, size_t shared) {
    bl_emulated_here.block = make_uint3(i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y);
    return run_block(name, static_cast<int>(size.x * size.y * size.z), shared);
}

void bl_emulated_sample(const char *name, const void *kernel, dim3 grid, dim3 size, size_t shared,
                        const std::function<void()> &thread, const std::string &parameters, const std::string &key) {
    const bl_record_launch launch = {kernel,
                                     name,
                                     {grid.x, grid.y, grid.z},
                                     {size.x, size.y, size.z},
                                     shared,
                                     parameters.data(),
                                     parameters.size(),
                                     key.data(),
                                     key.size()};
    if (!bl_record_begins(&launch)) return;
    if (!begin_grid(name, grid, size, shared, thread, nullptr, 0)) return;
    unsigned turn = 0;
    for (long i = bl_record_block(turn); i >= 0; i = bl_record_block(++turn))
        if (!run_numbered(name, static_cast<unsigned>(i), grid, size, shared)) return;
    bl_record_ends();
}

void bl_emulated_grid(const char *name, dim3 grid, dim3 size, size_t shared, const std::function<void()> &thread,
                      const void *arguments, size_t arguments_bytes) {
    if (!begin_grid(name, grid, size, shared, thread, arguments, arguments_bytes)) return;
    std::vector<unsigned> order(grid.x * grid.y * grid.z);
    draw_order(order.data(), grid.x * grid.y * grid.z, false);
    for (unsigned i : order)
        if (!run_numbered(name, i, grid, size, shared)) return;
}
