/*
 * ptx_memory.cc - loads, stores, atomics and cp.async, each access checked for
 * its bounds and alignment.
 *
 * Shared memory is watched besides: two accesses of which one writes need a
 * barrier between them, of the block or, within a warp, of the warp; a read
 * needs a write before it. Lanes run in step here, which no GPU promises.
 */
#include <algorithm>
#include <type_traits>

#include "ptx.h"
#include "state.h"

namespace ptx {

static void add(Opcodes &table, const std::string &name, Handler run, int operands) {
    Opcode row;
    row.run = run;
    row.operands = operands;
    table[name] = row;
}

/* ---- the watch ---- */

/* Below ATOMIC: an atomic of the warp ATOMIC - writer. */
enum { NOBODY = -1, COPY = -2, SEVERAL = -2, ATOMIC = -16 };
enum Access { READ, WRITE, UPDATE };
static const char *const names[] = {"read", "write", "atomic"};

[[noreturn]] static void race(Access access, int thread, uint64_t address, const char *with, int other) {
    if (other >= 0)
        fail("%s by thread %d of shared memory at %llu, in no order with the %s by thread %d", names[access], thread,
             static_cast<unsigned long long>(address), with, other);
    fail("%s by thread %d of shared memory at %llu, in no order with the %s by others", names[access], thread,
         static_cast<unsigned long long>(address), with);
}

/* Against the last write. */
static void watch_writer(const Warp &w, const Cell &cell, int thread, uint64_t address, Access access) {
    if (cell.writer == COPY) fail("%s by thread %d of what a cp.async copies into", names[access], thread);
    if (cell.writer == NOBODY) {
        if (access == WRITE) return;
        fail("%s by thread %d of shared memory at %llu that the block has not written", names[access], thread,
             static_cast<unsigned long long>(address));
    }
    const bool atomic = cell.writer <= ATOMIC;
    const int warp = atomic ? ATOMIC - cell.writer : cell.writer / LANES;
    if (cell.writer == thread || (atomic && access == UPDATE) || cell.write_epoch != w.block->epoch) return;
    if (warp != w.index || cell.write_warp_epoch == w.epoch)
        race(access, thread, address, atomic ? "atomic" : "write", cell.writer);
}

static void watch(Warp &w, int lane, uint64_t address, unsigned bytes, Access access) {
    Block &b = *w.block;
    const int thread = w.index * LANES + lane;
    const uint32_t own = 1u << w.index;
    for (uint64_t half = address / 2; half < (address + bytes + 1) / 2; half++) {
        Cell &cell = b.cells[half];
        watch_writer(w, cell, thread, 2 * half, access);
        if (access == READ) {
            if (cell.read_epoch != b.epoch) cell.readers = 0, cell.reader = NOBODY;
            const bool alone = cell.reader == thread || cell.reader == NOBODY || !(cell.readers & own) ||
                               cell.read_warp_epoch != w.epoch;
            cell.reader = alone ? thread : SEVERAL;
            cell.readers |= own;
            cell.read_epoch = b.epoch;
            cell.read_warp_epoch = w.epoch;
            continue;
        }
        if (cell.readers && cell.read_epoch == b.epoch) {
            const bool others = cell.readers & ~own;
            if (others || (cell.reader != thread && cell.read_warp_epoch == w.epoch))
                race(access, thread, 2 * half, "read", cell.reader);
        }
        cell.writer = access == UPDATE ? ATOMIC - w.index : thread;
        cell.write_epoch = b.epoch;
        cell.write_warp_epoch = w.epoch;
    }
}

/* ---- addresses ---- */

static void check_alignment(uint64_t address, unsigned bytes) {
    if (address % bytes) fail("a misaligned access of %u bytes", bytes);
}

static char *watched_at(Warp &w, int lane, uint64_t address, unsigned bytes, Access access) {
    Block &b = *w.block;
    check_alignment(address, bytes);
    bool inside = address >= b.kernel->dynamic_start && address + bytes <= b.shared_end;
    for (size_t i = 0; i < b.kernel->shared.size() && !inside; i++)
        inside = address >= b.kernel->shared[i].first &&
                 address + bytes <= b.kernel->shared[i].first + b.kernel->shared[i].second;
    if (!inside)
        fail("%s of %u bytes outside of the shared memory, at %llu", names[access], bytes,
             static_cast<unsigned long long>(address));
    watch(w, lane, address, bytes, access);
    return &b.shared[address];
}

char *shared_at(Warp &w, int lane, uint64_t address, unsigned bytes, bool write) {
    return watched_at(w, lane, address, bytes, write ? WRITE : READ);
}

static char *global_at(Warp &w, uint64_t address, unsigned bytes, bool write) {
    Block &b = *w.block;
    check_alignment(address, bytes);
    for (const auto &table : b.kernel->tables)
        if (!write && address >= table.first && address + bytes <= table.second)
            return reinterpret_cast<char *>(address);
    if (address < b.region_begin || address + bytes > b.region_end) {
        const void *p = reinterpret_cast<const void *>(address);
        if (!bl_emulated_bounds(p, &b.region_begin, &b.region_end) || address + bytes > b.region_end) {
            b.region_begin = b.region_end = 0;
            fail("%s of %u bytes outside of what is allocated, at %p", names[write ? WRITE : READ], bytes, p);
        }
    }
    return reinterpret_cast<char *>(address);
}

static char *address_of(Warp &w, int lane, const Operand &operand, Space space, unsigned bytes, bool write) {
    uint64_t address = w.slots[operand.slots[0]][lane];
    /* Addresses of shared memory may be held in 32 bits. */
    if (space == SHARED) address &= 0xffffffffu;
    address += static_cast<uint64_t>(operand.offset);
    if (space == GENERIC) {
        space = address >> 56 == SHARED_WINDOW >> 56 ? SHARED : address >> 56 == LOCAL_WINDOW >> 56 ? LOCAL : GLOBAL;
        if (space != GLOBAL) address &= (1ull << 56) - 1;
    }
    switch (space) {
    case SHARED:
        return shared_at(w, lane, address, bytes, write);
    case LOCAL:
        check_alignment(address, bytes);
        if (address + bytes > w.block->kernel->local_bytes) fail("an access outside of the local memory");
        return &w.local[static_cast<size_t>(lane) * w.block->kernel->local_bytes + address];
    case PARAM:
        check_alignment(address, bytes);
        if (write || address + bytes > w.block->kernel->parameter_bytes) fail("an access outside of the parameters");
        return const_cast<char *>(w.block->parameters) + address;
    default:
        return global_at(w, address, bytes, write);
    }
}

/* ---- loads and stores ---- */

template <typename T, Space SPACE> static void load(Warp &w, const Instruction &i, uint32_t mask) {
    const std::vector<uint32_t> &to = i.operands[0].slots;
    EACH_LANE(lane, mask) {
        const unsigned bytes = static_cast<unsigned>(to.size() * sizeof(T));
        const char *from = address_of(w, lane, i.operands[1], SPACE, bytes, false);
        for (size_t k = 0; k < to.size(); k++) {
            T value;
            memcpy(&value, from + k * sizeof(T), sizeof value);
            /* Into a wider register: extended. */
            if constexpr (std::is_signed<T>::value && std::is_integral<T>::value)
                put<int64_t>(w, to[k], lane, value);
            else
                put<T>(w, to[k], lane, value);
        }
    }
}

template <typename T, Space SPACE> static void store(Warp &w, const Instruction &i, uint32_t mask) {
    const std::vector<uint32_t> &from = i.operands[1].slots;
    EACH_LANE(lane, mask) {
        const unsigned bytes = static_cast<unsigned>(from.size() * sizeof(T));
        char *to = address_of(w, lane, i.operands[0], SPACE, bytes, true);
        for (size_t k = 0; k < from.size(); k++) {
            const T value = get<T>(w, from[k], lane);
            memcpy(to + k * sizeof(T), &value, sizeof value);
        }
    }
}

/* The number of registers must be that of the form. */
template <Handler RUN, size_t COUNT, int OPERAND> static void counted(Warp &w, const Instruction &i, uint32_t mask) {
    if (i.operands[OPERAND].slots.size() != COUNT) fail("a vector of %zu registers", i.operands[OPERAND].slots.size());
    RUN(w, i, mask);
}

template <typename T, Space SPACE>
static void add_type(Opcodes &table, const std::string &space, const std::string &type) {
    const char *read_only[] = {"", ".nc", ".cs", ".cg", ".ca"}, *written[] = {"", ".wb", ".cs", ".cg"};
    for (const char *cache : read_only) {
        if (SPACE != GLOBAL && *cache) continue;
        const std::string form = "ld" + space + cache;
        add(table, form + type, counted<load<T, SPACE>, 1, 0>, 2);
        add(table, form + ".v2" + type, counted<load<T, SPACE>, 2, 0>, 2);
        if (sizeof(T) <= 4) add(table, form + ".v4" + type, counted<load<T, SPACE>, 4, 0>, 2);
    }
    if (SPACE == PARAM) return;
    for (const char *cache : written) {
        if (SPACE != GLOBAL && *cache) continue;
        const std::string form = "st" + space + cache;
        add(table, form + type, counted<store<T, SPACE>, 1, 1>, 2);
        add(table, form + ".v2" + type, counted<store<T, SPACE>, 2, 1>, 2);
        if (sizeof(T) <= 4) add(table, form + ".v4" + type, counted<store<T, SPACE>, 4, 1>, 2);
    }
}

template <Space SPACE> static void add_space(Opcodes &table, const std::string &space) {
    if (SPACE != SHARED) { /* which is watched in units of two bytes */
        add_type<int8_t, SPACE>(table, space, ".s8");
        add_type<uint8_t, SPACE>(table, space, ".u8");
        add_type<uint8_t, SPACE>(table, space, ".b8");
    }
    add_type<int16_t, SPACE>(table, space, ".s16");
    add_type<uint16_t, SPACE>(table, space, ".u16");
    add_type<uint16_t, SPACE>(table, space, ".b16");
    add_type<int32_t, SPACE>(table, space, ".s32");
    add_type<uint32_t, SPACE>(table, space, ".u32");
    add_type<uint32_t, SPACE>(table, space, ".b32");
    add_type<float, SPACE>(table, space, ".f32");
    add_type<uint64_t, SPACE>(table, space, ".u64");
    add_type<int64_t, SPACE>(table, space, ".s64");
    add_type<uint64_t, SPACE>(table, space, ".b64");
    add_type<double, SPACE>(table, space, ".f64");
}

/* ---- atomics ---- */

/* Threads take turns. */
template <typename T> static void add_to_shared(Warp &w, const Instruction &i, uint32_t mask) {
    EACH_LANE(lane, mask) {
        const uint64_t address =
            (w.slots[i.operands[1].slots[0]][lane] & 0xffffffffu) + static_cast<uint64_t>(i.operands[1].offset);
        char *p = watched_at(w, lane, address, sizeof(T), UPDATE);
        T old;
        memcpy(&old, p, sizeof old);
        const T sum = static_cast<T>(old + get<T>(w, i.operands[2].slots[0], lane));
        memcpy(p, &sum, sizeof sum);
        put<T>(w, i.operands[0].slots[0], lane, old);
    }
}

/* ---- cp.async ---- */

/* What it copies arrives when the thread waits, as late as it may; until then nobody may touch its destination. */
static void copy_async(Warp &w, const Instruction &i, uint32_t mask, unsigned bytes) {
    EACH_LANE(lane, mask) {
        Copy copy;
        copy.to = (w.slots[i.operands[0].slots[0]][lane] & 0xffffffffu) + static_cast<uint64_t>(i.operands[0].offset);
        copy.from = w.slots[i.operands[1].slots[0]][lane] + static_cast<uint64_t>(i.operands[1].offset);
        copy.bytes = get<uint32_t>(w, i.operands[2].slots[0], lane);
        copy.valid = get<uint32_t>(w, i.operands[3].slots[0], lane);
        if (bytes ? copy.bytes != bytes : copy.bytes != 4 && copy.bytes != 8 && copy.bytes != 16)
            fail("a cp.async of %u bytes", copy.bytes);
        if (copy.valid > copy.bytes) fail("a cp.async of %u bytes from %u", copy.bytes, copy.valid);
        check_alignment(copy.from, copy.bytes);
        if (copy.valid) global_at(w, copy.from, copy.valid, false);
        shared_at(w, lane, copy.to, copy.bytes, true);
        for (uint64_t half = copy.to / 2; half < (copy.to + copy.bytes) / 2; half++)
            w.block->cells[half].writer = COPY;
        w.block->copies[static_cast<size_t>(w.index * LANES + lane)].push_back(copy);
    }
}
static void copy_async_any(Warp &w, const Instruction &i, uint32_t mask) {
    copy_async(w, i, mask, 0);
}
static void copy_async_16(Warp &w, const Instruction &i, uint32_t mask) {
    copy_async(w, i, mask, 16);
}

void finish_copies(Warp &w, int lane) {
    const int thread = w.index * LANES + lane;
    std::vector<Copy> &copies = w.block->copies[static_cast<size_t>(thread)];
    for (const Copy &copy : copies) {
        char *to = &w.block->shared[copy.to];
        memset(to, 0, copy.bytes);
        if (copy.valid) memcpy(to, global_at(w, copy.from, 1, false), copy.valid);
        for (uint64_t half = copy.to / 2; half < (copy.to + copy.bytes) / 2; half++) {
            Cell &cell = w.block->cells[half];
            cell.writer = thread;
            cell.write_epoch = w.block->epoch;
            cell.write_warp_epoch = w.epoch;
        }
    }
    copies.clear();
}

static void wait_copies(Warp &w, const Instruction &, uint32_t mask) {
    EACH_LANE(lane, mask) finish_copies(w, lane);
}

void add_memory(Opcodes &table) {
    add_space<GENERIC>(table, "");
    add_space<GLOBAL>(table, ".global");
    add_space<SHARED>(table, ".shared");
    add_space<LOCAL>(table, ".local");
    add_space<PARAM>(table, ".param");
    add(table, "atom.shared.add.u32", add_to_shared<uint32_t>, 3);
    add(table, "cp.async.cg.shared.global", copy_async_16, 4);
    add(table, "cp.async.ca.shared.global", copy_async_any, 4);
    add(table, "cp.async.wait_all", wait_copies, 0);
}

} // namespace ptx
