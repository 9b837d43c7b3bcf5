/*
 * ptx.cc - runs a launch from its PTX: blocks one after another, the warps of
 * a block from barrier to barrier, the lanes of a warp in step as long as they
 * are at the same instruction.
 *
 * Of lanes at different ones those that are furthest behind run first, so that
 * they meet again where their ways join. Every other launch runs blocks and
 * warps backwards, so that a missing barrier shows in one order or the other.
 */
#include "ptx.h"

#include <algorithm>

#include "emulation.h"
#include "ptx_symbols.h"
#include "state.h"

namespace ptx {

/* So many instructions of a warp in one launch: it does not end. */
static const uint64_t ENDLESS = 4000000000ull;

static struct {
    bool backwards = false;
    std::vector<uint64_t> memory; /* registers of a block */
    std::map<std::string, uint64_t> launches;
} state;

/* ---- a warp ---- */

struct Running {
    const Kernel *kernel;
    Block block;
    std::vector<Warp> warps;
    uint64_t steps = 0;
};

static uint32_t allowed(const Warp &w, const Instruction &i, uint32_t mask) {
    if (i.guard < 0) return mask;
    uint32_t lanes = 0;
    for (int lane = 0; lane < LANES; lane++)
        lanes |= static_cast<uint32_t>((w.slots[i.guard][lane] & 1) != i.guard_negated) << lane;
    return mask & lanes;
}

static void move_to(Warp &w, uint32_t mask, uint32_t pc) {
    EACH_LANE(lane, mask) w.pc[lane] = pc;
}

/* Lanes that have all come to the instruction where `lane` waits; 0: some are missing. */
static uint32_t met(const Warp &w, const Instruction &i, uint32_t pc, int lane) {
    const auto members = [&](int of) {
        return i.members < 0 ? 0xffffffffu : get<uint32_t>(w, i.operands[static_cast<size_t>(i.members)].slots[0], of);
    };
    const uint32_t mask = members(lane);
    if (!(mask >> lane & 1u)) fail("lane %d is not in the mask %08x that it names", lane, mask);
    const uint32_t needed = mask & w.live;
    for (int other = 0; other < LANES; other++) {
        if (!(needed >> other & 1u)) continue;
        if (!(w.waiting >> other & 1u) || w.pc[other] != pc || members(other) != mask) return 0;
    }
    return needed;
}

/* Runs what waiting lanes have met for, and says which have; 0: none. */
static uint32_t release(Warp &w, const Kernel &kernel) {
    EACH_LANE(lane, w.waiting) {
        const uint32_t pc = w.pc[lane];
        const Instruction &i = kernel.code[pc];
        const uint32_t mask = met(w, i, pc, lane);
        if (!mask) continue;
        w.line = i.line;
        i.run(w, i, mask);
        w.waiting &= ~mask;
        move_to(w, mask, pc + 1);
        return mask;
    }
    return 0;
}

/* Runs lanes that are together at pc until they part, wait, or come to where others are. */
static void run_together(Warp &w, const Kernel &kernel, uint32_t mask, uint32_t pc, uint32_t others, uint64_t *steps) {
    while (mask && pc < others) {
        const Instruction &i = kernel.code[pc];
        w.line = i.line;
        ++*steps;
        const uint32_t active = allowed(w, i, mask);
        switch (i.control) {
        case PLAIN:
            if (active) i.run(w, i, active);
            pc++;
            break;
        case BRANCH:
            if (active == mask) {
                pc = i.target;
            } else if (!active) {
                pc++;
            } else {
                move_to(w, active, i.target);
                move_to(w, mask & ~active, pc + 1);
                return;
            }
            if (*steps > ENDLESS) fail("it does not end");
            break;
        case RETURN:
            w.live &= ~active;
            mask &= ~active;
            pc++;
            break;
        case BARRIER:
            if (kernel.slots[i.operands[0].slots[0]].kind != CONSTANT || kernel.slots[i.operands[0].slots[0]].value)
                fail("a barrier other than 0 is unknown to the interpreter");
            w.at_barrier |= active;
            move_to(w, active, ++pc);
            mask &= ~active;
            break;
        case MEETING:
            w.waiting |= active;
            move_to(w, active, pc);
            if (active != mask) {
                move_to(w, mask & ~active, pc + 1);
                return;
            }
            if (release(w, kernel) != mask || w.waiting) return;
            pc++;
            break;
        }
    }
    move_to(w, mask, pc);
}

/* Runs a warp until its lanes have ended or stand at the block's barrier. */
static void run_warp(Warp &w, const Kernel &kernel, uint64_t *steps) {
    for (;;) {
        const uint32_t ready = w.live & ~w.waiting & ~w.at_barrier;
        if (!ready) {
            if (!w.waiting) return;
            if (release(w, kernel)) continue;
            const int lane = __builtin_ctz(w.waiting);
            w.line = kernel.code[w.pc[lane]].line;
            fail("lanes %08x wait for ever for others of their warp", w.waiting);
        }
        uint32_t first = UINT32_MAX, others = UINT32_MAX, mask = 0;
        EACH_LANE(lane, ready) first = std::min(first, w.pc[lane]);
        EACH_LANE(lane, ready) {
            if (w.pc[lane] == first)
                mask |= 1u << lane;
            else
                others = std::min(others, w.pc[lane]);
        }
        run_together(w, kernel, mask, first, others, steps);
    }
}

/* ---- a block ---- */

static uint64_t initial(const Kernel &kernel, const Slot &slot, unsigned thread, const bl_emulated_place &here) {
    switch (slot.kind) {
    case CONSTANT:
        return slot.value;
    case LAUNCH_SHARED:
        return kernel.dynamic_start;
    case TID_X:
        return thread % here.threads.x;
    case TID_Y:
        return thread / here.threads.x % here.threads.y;
    case TID_Z:
        return thread / (here.threads.x * here.threads.y);
    case NTID_X:
        return here.threads.x;
    case NTID_Y:
        return here.threads.y;
    case NTID_Z:
        return here.threads.z;
    case CTAID_X:
        return here.block.x;
    case CTAID_Y:
        return here.block.y;
    case CTAID_Z:
        return here.block.z;
    case NCTAID_X:
        return here.blocks.x;
    case NCTAID_Y:
        return here.blocks.y;
    case NCTAID_Z:
        return here.blocks.z;
    case LANE:
        return thread % LANES;
    default:
        return UINT64_MAX; /* what nobody has set is a NaN and no address */
    }
}

static void begin_block(Running &running, const bl_emulated_place &here) {
    const Kernel &kernel = *running.kernel;
    Block &block = running.block;
    std::fill(block.shared.begin(), block.shared.end(), static_cast<char>(0xff));
    std::fill(block.cells.begin(), block.cells.end(), Cell());
    block.epoch = 0;
    for (auto &copies : block.copies)
        copies.clear();
    for (size_t k = 0; k < running.warps.size(); k++) {
        Warp &w = running.warps[k];
        const unsigned first = static_cast<unsigned>(k) * LANES, lanes = std::min(block.threads - first, 32u);
        w.block = &block;
        w.index = static_cast<int>(k);
        w.slots = reinterpret_cast<uint64_t(*)[LANES]>(&state.memory[k * kernel.slots.size() * LANES]);
        w.local.assign(LANES * kernel.local_bytes, static_cast<char>(0xff));
        w.live = lanes == LANES ? 0xffffffffu : (1u << lanes) - 1;
        w.waiting = w.at_barrier = w.epoch = 0;
        move_to(w, 0xffffffffu, 0);
        for (size_t slot = 0; slot < kernel.slots.size(); slot++)
            for (unsigned lane = 0; lane < LANES; lane++)
                w.slots[slot][lane] = initial(kernel, kernel.slots[slot], first + lane, here);
    }
}

static void run_block(Running &running, Warp **at) {
    for (;;) {
        for (size_t k = 0; k < running.warps.size(); k++) {
            Warp &w = running.warps[state.backwards ? running.warps.size() - 1 - k : k];
            *at = &w;
            run_warp(w, *running.kernel, &running.steps);
        }
        bool live = false;
        for (Warp &w : running.warps) {
            live = live || w.live;
            w.at_barrier = 0; /* all that live stand there */
        }
        if (!live) return;
        running.block.epoch++;
    }
}

/* ---- a launch ---- */

static void fill_parameters(const Kernel &kernel, std::vector<char> *out, const bl_emulated_value *arguments,
                            int count) {
    if (kernel.parameters.size() != static_cast<size_t>(count))
        fail("takes %zu parameters and is given %d", kernel.parameters.size(), count);
    out->assign(kernel.parameter_bytes, 0);
    for (size_t i = 0; i < kernel.parameters.size(); i++) {
        const Parameter &parameter = kernel.parameters[i];
        if (parameter.bytes != arguments[i].bytes)
            fail("parameter %zu has %zu bytes and is given %zu", i, parameter.bytes, arguments[i].bytes);
        memcpy(out->data() + parameter.offset, arguments[i].p, parameter.bytes);
    }
}

static void launch(const Kernel &kernel, dim3 grid, dim3 size, size_t shared, const bl_emulated_value *arguments,
                   int count) {
    std::vector<char> parameters;
    fill_parameters(kernel, &parameters, arguments, count);
    Running running;
    running.kernel = &kernel;
    running.block.kernel = &kernel;
    running.block.parameters = parameters.data();
    running.block.threads = size.x * size.y * size.z;
    if (running.block.threads > kernel.max_threads)
        fail("is compiled for %u threads and launched with %u", kernel.max_threads, running.block.threads);
    if (kernel.static_bytes + shared > (227u << 10))
        fail("takes %zu bytes of shared memory", kernel.static_bytes + shared);
    running.block.shared_end = kernel.dynamic_start + shared;
    running.block.shared.resize(running.block.shared_end);
    running.block.cells.resize(running.block.shared_end / 2 + 1);
    running.block.copies.resize(running.block.threads);
    running.block.region_begin = running.block.region_end = 0;
    running.warps.resize((running.block.threads + LANES - 1) / LANES);
    state.memory.resize(running.warps.size() * kernel.slots.size() * LANES);
    state.backwards = !state.backwards;
    bl_emulated_place here = {};
    here.threads = size;
    here.blocks = grid;
    const unsigned blocks = grid.x * grid.y * grid.z;
    for (unsigned n = 0; n < blocks; n++) {
        const unsigned i = state.backwards ? blocks - 1 - n : n;
        here.block = make_uint3(i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y);
        Warp *at = nullptr;
        begin_block(running, here);
        try {
            run_block(running, &at);
        } catch (const Fault &fault) {
            const size_t slash = kernel.file.rfind('/');
            std::string opcode;
            for (const Instruction &each : kernel.code)
                if (each.line == at->line) opcode = each.opcode;
            fail("%s, in block (%u,%u,%u) at %s:%d: %s", fault.text.c_str(), here.block.x, here.block.y, here.block.z,
                 kernel.file.c_str() + (slash == std::string::npos ? 0 : slash + 1), at->line, opcode.c_str());
        }
    }
}

/* The folder of PTX; empty: kernels run as the emulation compiled them. */
static const std::string &folder() {
    static const std::string given = []() {
        const char *text = getenv("BERTLUA_EMULATION_PTX");
        return std::string(text ? text : "");
    }();
    return given;
}

/* engine/cuda/lamb.cu -> lamb.ptx of the folder. */
static std::string file_of(const char *source) {
    const char *slash = strrchr(source, '/');
    const std::string name = slash ? slash + 1 : source;
    return folder() + "/" + name.substr(0, name.rfind('.')) + ".ptx";
}

} // namespace ptx

bool bl_emulated_ptx(const char *source, const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared,
                     const bl_emulated_value *arguments, int count) {
    using namespace ptx;
    /* The emulation has kernels of its own, for its specs. */
    if (folder().empty() || strncmp(source, "spec/", 5) == 0) return false;
    try {
        const std::string file = file_of(source);
        const Kernel *found = nullptr;
        for (const std::string &symbol : symbols_at(kernel)) {
            const Kernel *candidate = find_kernel(file, symbol);
            if (candidate && found) fail("two kernels of this name are in %s", file.c_str());
            if (candidate) found = candidate;
        }
        if (!found) fail("there is no PTX of it in %s", file.c_str());
        state.launches[found->name]++;
        launch(*found, grid, block, shared, arguments, count);
    } catch (const Fault &fault) {
        bl_emulated_fault(cudaErrorLaunchFailure, "%s: %s", name, fault.text.c_str());
    }
    return true;
}

/* Launches so far that ran from PTX, of kernels whose mangled name contains the text. */
extern "C" __attribute__((visibility("default"))) double bl_emulated_ptx_launches(const char *text) {
    uint64_t count = 0;
    for (const auto &each : ptx::state.launches)
        if (each.first.find(text) != std::string::npos) count += each.second;
    return static_cast<double>(count);
}

/*
 * For specs: runs the kernel of a file on `bytes` at data, to which its one parameter points on the device. Returns ""
 * or what was wrong.
 */
extern "C" __attribute__((visibility("default"))) const char *
bl_emulated_ptx_try(const char *path, const char *kernel, unsigned threads, void *data, size_t bytes) {
    static std::string message;
    void *device = nullptr;
    message.clear();
    if (cudaMalloc(&device, bytes) != cudaSuccess) return "no memory";
    bl_emulated_open_memory(kernel);
    memcpy(device, data, bytes);
    try {
        const ptx::Kernel *found = ptx::find_kernel(path, kernel);
        const bl_emulated_value argument = {&device, sizeof device};
        if (!found) ptx::fail("there is no PTX of it");
        ptx::launch(*found, dim3(1), dim3(threads), 0, &argument, 1);
    } catch (const ptx::Fault &fault) {
        message = fault.text;
    }
    memcpy(data, device, bytes);
    bl_emulated_close_memory();
    if (cudaFree(device) != cudaSuccess && message.empty()) message = "the memory cannot be freed";
    return message.c_str();
}
