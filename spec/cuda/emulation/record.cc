/*
 * record.cc - the record of launches, products and transfers that record.h
 * describes.
 *
 * Bytes of a launch are counted three times: as its threads access them; by what
 * a block has to get through its first-level cache; and by sectors of 32 bytes
 * that the launch has to fetch from memory and to write back, each once. A sector
 * that only one window of blocks touches stands for as many as there are blocks;
 * one that several windows touch is common to all blocks. What a block reads
 * after writing it is not fetched.
 *
 * Of one block, the first of the second window, the record also has values that
 * its first loads found in global memory, so that the machine code can be
 * followed where it depends on them.
 */
#ifdef BL_EMULATION_RACES

#include "record.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <map>
#include <string>
#include <unordered_map>

namespace {

enum { SECTOR = 32, NARROW = 8, MOST_BYTES = 64, MOST_WIDE = 1 << 10, MOST_NARROW = 1 << 14 };

/* Windows that have read a sector before writing it, and that have written it: a bit each. */
struct Sector {
    uint8_t read, written;
    uint32_t block; /* that was the last to read it */
};

struct Counts {
    uint64_t bytes[4];        /* of global memory, by bl_record_access */
    uint64_t shared[4];       /* the same of shared memory */
    uint64_t through;         /* bytes that a multiprocessor has to read: of a block each sector once, and copies */
    uint64_t mma, ldsm, meet; /* of warps: products, loads of matrices, shuffles and votes */
};

struct {
    bl_record_launch launch;
    long traced; /* the block whose loads are kept */
    bool traces;
    uint64_t blocks;
    unsigned run; /* blocks so far */
    uint8_t window;
    Counts counts;
    std::unordered_map<uintptr_t, Sector> sectors;
    std::map<uintptr_t, std::string> values;
    std::map<std::string, size_t> seen; /* launches by key: their numbers */
    size_t lines;
} record;

FILE *file() {
    static FILE *const out = []() {
        const char *path = getenv("BERTLUA_EMULATION_RECORD");
        FILE *opened = path && *path ? fopen(path, "w") : nullptr;
        if (path && *path && !opened) {
            fprintf(stderr, "emulated CUDA: cannot write %s\n", path);
            abort();
        }
        if (opened) setvbuf(opened, nullptr, _IOLBF, 1 << 16);
        return opened;
    }();
    return out;
}

/* How many windows of blocks run, and blocks in each. */
struct Windows {
    unsigned count, blocks;
};

Windows windows() {
    return record.blocks > 2048 ? Windows{2, 8} : Windows{4, 1};
}

bool is_sampled() {
    return record.blocks > windows().count * windows().blocks;
}

/* Bytes of sectors, of which the masks say which windows have touched them. */
double bytes_of(uint8_t Sector::*mask, double scale) {
    uint64_t own = 0, common = 0;
    for (const auto &entry : record.sectors) {
        const uint8_t windows = entry.second.*mask;
        if (windows & (windows - 1))
            common++;
        else if (windows)
            own++;
    }
    return SECTOR * (static_cast<double>(own) * scale + static_cast<double>(common));
}

long choose_block(unsigned i) {
    if (!is_sampled()) return i < record.blocks ? static_cast<long>(i) : -1;
    const Windows all = windows();
    const unsigned window = i / all.blocks;
    if (window == all.count) return -1;
    record.window = static_cast<uint8_t>(1u << window);
    /* Windows begin at multiples of their size: blocks that share what they read stay together. */
    const uint64_t middle = record.blocks * (2 * window + 1) / (2 * all.count);
    return static_cast<long>(middle / all.blocks * all.blocks + i % all.blocks);
}

std::string hex(const char *bytes, size_t n) {
    static const char digits[] = "0123456789abcdef";
    std::string text;
    for (size_t i = 0; i < n; i++) {
        text.push_back(digits[static_cast<unsigned char>(bytes[i]) >> 4]);
        text.push_back(digits[static_cast<unsigned char>(bytes[i]) & 15]);
    }
    return text;
}

} // namespace

bool bl_records(void) {
    return file() != nullptr;
}

void bl_record_line(const char *format, ...) {
    if (!file()) return;
    va_list args;
    va_start(args, format);
    vfprintf(file(), format, args);
    va_end(args);
    fputc('\n', file());
    record.lines++;
}

size_t bl_record_lines(void) {
    return record.lines;
}

bool bl_record_transfer(const char *kind, size_t bytes) {
    if (!file()) return false;
    bl_record_line("{\"is\":\"%s\",\"bytes\":%zu}", kind, bytes);
    return bytes > BL_RECORD_TRANSFER;
}

bool bl_record_begins(const bl_record_launch *launch) {
    std::string key(launch->key, launch->key_bytes);
    key.append(reinterpret_cast<const char *>(&launch->kernel), sizeof launch->kernel);
    key.append(reinterpret_cast<const char *>(launch->grid), sizeof launch->grid);
    key.append(reinterpret_cast<const char *>(launch->block), sizeof launch->block);
    key.append(reinterpret_cast<const char *>(&launch->shared), sizeof launch->shared);
    const auto entry = record.seen.emplace(key, record.seen.size() + 1);
    if (!entry.second) {
        bl_record_line("{\"is\":\"again\",\"number\":%zu}", entry.first->second);
        return false;
    }
    record.launch = *launch;
    record.blocks = static_cast<uint64_t>(launch->grid[0]) * launch->grid[1] * launch->grid[2];
    record.run = 0;
    record.window = 1;
    record.traced = choose_block(is_sampled() ? windows().blocks : 0);
    memset(&record.counts, 0, sizeof record.counts);
    record.sectors.clear();
    record.values.clear();
    return true;
}

long bl_record_block(unsigned i) {
    const long chosen = choose_block(i);
    record.run = i;
    record.traces = chosen == record.traced;
    return chosen;
}

void bl_record_touches(size_t p, size_t bytes, enum bl_record_access access, bool shared) {
    (shared ? record.counts.shared : record.counts.bytes)[access] += bytes;
    if (shared) return;
    /* Wide ones are data, as a rule, or structures at the beginning. */
    const size_t most = bytes <= NARROW ? MOST_NARROW : MOST_WIDE;
    if (record.traces && access == BL_RECORD_READ && bytes <= MOST_BYTES && record.values.size() < most)
        record.values.emplace(p, std::string(reinterpret_cast<const char *>(p), bytes));
    for (uintptr_t sector = p / SECTOR; sector <= (p + bytes - 1) / SECTOR; sector++) {
        Sector &one = record.sectors[sector];
        if (access == BL_RECORD_READ && one.block != record.run + 1) {
            record.counts.through += SECTOR;
            one.block = record.run + 1;
        }
        if (access != BL_RECORD_WRITE && !(one.written & record.window)) one.read |= record.window;
        if (access == BL_RECORD_WRITE || access == BL_RECORD_ATOMIC) one.written |= record.window;
    }
}

void bl_record_warp(const char *what) {
    if (strcmp(what, "multiply_add") == 0)
        record.counts.mma++;
    else if (strncmp(what, "load_matrices", 13) == 0)
        record.counts.ldsm++;
    else
        record.counts.meet++;
}

void bl_record_ends(void) {
    const bl_record_launch &launch = record.launch;
    const Counts &counts = record.counts;
    const double scale = record.run ? static_cast<double>(record.blocks) / record.run : 0;
    const auto scaled = [=](uint64_t n) { return static_cast<double>(n) * scale; };
    Dl_info place;
    memset(&place, 0, sizeof place);
    (void) dladdr(launch.kernel, &place);
    const uintptr_t at = reinterpret_cast<uintptr_t>(launch.kernel) - reinterpret_cast<uintptr_t>(place.dli_fbase);
    std::string values;
    for (const auto &entry : record.values) {
        char address[32];
        snprintf(address, sizeof address, "%s\"%zx\":\"", values.empty() ? "" : ",", static_cast<size_t>(entry.first));
        values += address + hex(entry.second.data(), entry.second.size()) + "\"";
    }
    bl_record_line(
        "{\"is\":\"kernel\",\"number\":%zu,\"name\":\"%s\",\"at\":\"%zx\",\"grid\":[%u,%u,%u],\"block\":[%u,%u,%u],"
        "\"shared\":%zu,\"blocks\":%.0f,\"run\":%u,\"loads\":%.0f,\"stores\":%.0f,\"atomics\":%.0f,"
        "\"through\":%.0f,\"fetched\":%.0f,\"written\":%.0f,\"shared_loads\":%.0f,\"shared_stores\":%.0f,\"mma\":%.0f,"
        "\"ldsm\":%.0f,\"meet\":%.0f,\"traced\":%ld,\"parameters\":\"%s\",\"values\":{%s}}",
        record.seen.size(), launch.name, static_cast<size_t>(at), launch.grid[0], launch.grid[1], launch.grid[2],
        launch.block[0], launch.block[1], launch.block[2], launch.shared, static_cast<double>(record.blocks),
        record.run, scaled(counts.bytes[BL_RECORD_READ] + counts.bytes[BL_RECORD_COPY]),
        scaled(counts.bytes[BL_RECORD_WRITE]), scaled(counts.bytes[BL_RECORD_ATOMIC]),
        scaled(counts.through + counts.bytes[BL_RECORD_COPY]), bytes_of(&Sector::read, scale),
        bytes_of(&Sector::written, scale), scaled(counts.shared[BL_RECORD_READ]),
        scaled(counts.shared[BL_RECORD_WRITE]), scaled(counts.mma), scaled(counts.ldsm), scaled(counts.meet),
        record.traced, hex(launch.parameters, launch.parameters_bytes).c_str(), values.c_str());
}

#endif
