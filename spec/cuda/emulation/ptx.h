/*
 * ptx.h - an interpreter of PTX, so that what nvcc makes of a kernel runs
 * without a GPU: on the emulation's memory, launched by the same host code,
 * judged by the same specs.
 *
 *   ptx_parse.cc   text into instructions
 *   ptx_ops.cc     what an instruction of one thread computes
 *   ptx_memory.cc  loads, stores, atomics, copies, and the watch over shared memory
 *   ptx_warp.cc    instructions of a whole warp: shuffles, votes, ldmatrix, mma
 *   ptx.cc         blocks, warps, which lanes run next, launches
 *
 * What it does not know is an error that names the instruction and its line.
 */
#ifndef BERTLUA_EMULATION_PTX_H
#define BERTLUA_EMULATION_PTX_H

#include <stdint.h>
#include <string.h>

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace ptx {

enum { LANES = 32 };
enum Space { GENERIC, GLOBAL, SHARED, LOCAL, PARAM };

/* Where generic addresses of shared and local memory lie; those of global memory are the host's, below 2^47. */
static const uint64_t SHARED_WINDOW = 1ull << 56, LOCAL_WINDOW = 1ull << 57;
/* Shared memory starts here, as on Hopper: address 0 is nobody's. */
enum : uint64_t { SHARED_BASE = 1024 };

/* What ends a launch; the text goes to cudaGetLastError. */
struct Fault {
    std::string text;
};
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct Warp;
struct Instruction;
/* Runs the instruction for the lanes of the mask. */
typedef void (*Handler)(Warp &warp, const Instruction &instruction, uint32_t mask);

/* One register, constant or special register; a vector of them; or an address: the first slot plus an offset. */
struct Operand {
    std::vector<uint32_t> slots;
    int64_t offset = 0;
    bool address = false;
};

enum Control { PLAIN, BRANCH, RETURN, BARRIER, MEETING };

struct Instruction {
    Handler run = nullptr;
    Control control = PLAIN;
    std::vector<Operand> operands;
    int guard = -1; /* slot of a predicate, or -1 */
    bool guard_negated = false;
    uint32_t target = 0; /* of a branch */
    int members = -1;    /* of a meeting: the operand that holds the mask of lanes, or -1: all */
    int line = 0;
    std::string opcode;
};

/* What a slot holds before a thread starts. */
enum Special {
    REGISTER,
    ARGUMENT,
    CONSTANT,
    LAUNCH_SHARED,
    TID_X,
    TID_Y,
    TID_Z,
    NTID_X,
    NTID_Y,
    NTID_Z,
    CTAID_X,
    CTAID_Y,
    CTAID_Z,
    NCTAID_X,
    NCTAID_Y,
    NCTAID_Z,
    LANE
};

struct Slot {
    Special kind;
    uint64_t value;
};

struct Parameter {
    std::string name;
    size_t offset, bytes;
};

/* A kernel ready to run. */
struct Kernel {
    std::string name, file;
    std::vector<Instruction> code;
    std::vector<Slot> slots;
    std::vector<Parameter> parameters;
    size_t parameter_bytes = 0;
    /* Static shared memory: first byte and size of each array that the kernel uses, gaps between them. */
    std::vector<std::pair<size_t, size_t>> shared;
    std::vector<std::pair<uint64_t, uint64_t>> tables; /* addresses of constants: first, end */
    size_t static_bytes = 0;                           /* as the GPU lays them out */
    size_t dynamic_start = 0;                          /* behind the arrays and a gap */
    size_t local_bytes = 0;
    unsigned max_threads = 1024;
};

/* The file's kernel of this name, parsed on first use; NULL: it has none. */
const Kernel *find_kernel(const std::string &file, const std::string &name);

/* The handler of an opcode with all its suffixes; NULL: unknown. */
struct Opcode {
    Handler run = nullptr;
    Control control = PLAIN;
    int members = -1;
    int operands = 0; /* how many there must be */
};
typedef std::unordered_map<std::string, Opcode> Opcodes;
void add_arithmetic(Opcodes &table);
void add_conversions(Opcodes &table);
void add_memory(Opcodes &table);
void add_warp(Opcodes &table);
const Opcode *find_opcode(const std::string &opcode);

/* ---- running ---- */

/* Who last touched two bytes of shared memory. */
struct Cell {
    int writer = -1; /* thread; -1: nobody; -2: a cp.async that nobody has waited for */
    uint32_t write_epoch = 0, write_warp_epoch = 0;
    uint32_t readers = 0; /* warps that read in read_epoch */
    uint32_t read_epoch = 0, read_warp_epoch = 0;
    int reader = -1; /* thread of the last warp that read; -2: several of its threads */
};

struct Copy {
    uint64_t to, from;
    unsigned bytes, valid;
};

struct Block {
    const Kernel *kernel;
    const char *parameters;
    std::vector<char> shared;
    std::vector<Cell> cells; /* of two bytes each */
    size_t shared_end;
    std::vector<std::vector<Copy>> copies; /* of each thread */
    uint32_t epoch;                        /* barriers passed */
    unsigned threads;
    /* The allocation touched last. */
    size_t region_begin, region_end;
};

struct Warp {
    Block *block;
    uint64_t (*slots)[LANES];
    std::vector<char> local; /* of each lane in turn */
    uint32_t pc[LANES];
    uint32_t live, waiting, at_barrier; /* masks of lanes */
    int index;
    uint32_t epoch; /* bar.warp.sync of the whole warp passed, in this block's epoch or before */
    int line;       /* of the instruction that runs */
};

template <typename T> static inline T get(const Warp &warp, uint32_t slot, int lane) {
    T value;
    memcpy(&value, &warp.slots[slot][lane], sizeof value);
    return value;
}
template <> inline bool get<bool>(const Warp &warp, uint32_t slot, int lane) {
    return warp.slots[slot][lane] & 1;
}
template <typename T> static inline void put(Warp &warp, uint32_t slot, int lane, T value) {
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    warp.slots[slot][lane] = bits;
}

#define EACH_LANE(lane, mask)                                                                                          \
    for (int lane = 0; lane < LANES; lane++)                                                                           \
        if ((mask) >> lane & 1u)

/* `bytes` of shared memory at an address within it, for a thread; checked. */
char *shared_at(Warp &warp, int lane, uint64_t address, unsigned bytes, bool write);
/* A thread's copies land. */
void finish_copies(Warp &warp, int lane);

/* 16-bit formats, as their bits. */
float from_f16(uint16_t bits);
float from_bf16(uint16_t bits);
uint16_t to_f16(float x);
uint16_t to_bf16(float x);

} // namespace ptx

#endif
