/*
 * ptx_warp.cc - instructions that the lanes of a warp run together: shuffles,
 * votes, bar.warp.sync, ldmatrix, movmatrix, mma. Which lane holds what is written from
 * the PTX ISA, independently of mma.cuh. None but bar.warp.sync orders memory.
 */
#include <math.h>

#include "ptx.h"

namespace ptx {

static void add(Opcodes &table, const std::string &name, Handler run, int operands, int members) {
    Opcode row;
    row.run = run;
    row.operands = operands;
    row.control = MEETING;
    row.members = members;
    table[name] = row;
}

/* ---- shuffles and votes ---- */

enum Mode { UP, DOWN, BUTTERFLY, INDEX };

template <int MODE> static void shuffle(Warp &w, const Instruction &i, uint32_t mask) {
    uint32_t values[LANES];
    for (int lane = 0; lane < LANES; lane++)
        values[lane] = get<uint32_t>(w, i.operands[1].slots[0], lane);
    EACH_LANE(lane, mask) {
        const int b = static_cast<int>(get<uint32_t>(w, i.operands[2].slots[0], lane) & 31u);
        const uint32_t c = get<uint32_t>(w, i.operands[3].slots[0], lane);
        const int clamp = static_cast<int>(c & 31u), segment = static_cast<int>(c >> 8 & 31u);
        const int last = (lane & segment) | (clamp & ~segment);
        int from = MODE == UP          ? lane - b
                   : MODE == DOWN      ? lane + b
                   : MODE == BUTTERFLY ? lane ^ b
                                       : (lane & segment) | (b & ~segment);
        const bool inside = MODE == UP ? from >= last : from <= last;
        if (!inside) from = lane;
        if (!(mask >> from & 1u)) fail("a shuffle from lane %d, which takes no part", from);
        put<uint32_t>(w, i.operands[0].slots[0], lane, values[from]);
        if (i.operands[0].slots.size() > 1) put<bool>(w, i.operands[0].slots[1], lane, inside);
    }
}

enum Vote { BALLOT, ANY, ALL };

template <int KIND> static void vote(Warp &w, const Instruction &i, uint32_t mask) {
    uint32_t ballot = 0;
    EACH_LANE(lane, mask) ballot |= get<bool>(w, i.operands[1].slots[0], lane) ? 1u << lane : 0u;
    EACH_LANE(lane, mask) {
        if (KIND == BALLOT)
            put<uint32_t>(w, i.operands[0].slots[0], lane, ballot);
        else
            put<bool>(w, i.operands[0].slots[0], lane, KIND == ANY ? ballot != 0 : ballot == mask);
    }
}

static void warp_barrier(Warp &w, const Instruction &, uint32_t mask) {
    if (mask == 0xffffffffu) w.epoch++;
}

/* ---- matrices of 8 x 8 from shared memory ---- */

/* Lane 8 m + r holds the address of row r of matrix m; lane l gets two elements of row l / 4, or of that column. */
template <bool TRANSPOSED> static void load_matrices(Warp &w, const Instruction &i, uint32_t mask) {
    if (mask != 0xffffffffu) fail("an ldmatrix without the whole warp");
    if (i.operands[0].slots.size() != 4) fail("an ldmatrix.x4 into %zu registers", i.operands[0].slots.size());
    uint16_t matrix[4][8][8];
    for (int lane = 0; lane < LANES; lane++) {
        const uint64_t address =
            (w.slots[i.operands[1].slots[0]][lane] & 0xffffffffu) + static_cast<uint64_t>(i.operands[1].offset);
        memcpy(matrix[lane / 8][lane % 8], shared_at(w, lane, address, 16, false), 16);
    }
    for (int lane = 0; lane < LANES; lane++) {
        for (int m = 0; m < 4; m++) {
            const int row = lane / 4, column = lane % 4 * 2;
            const uint32_t low = TRANSPOSED ? matrix[m][column][row] : matrix[m][row][column];
            const uint32_t high = TRANSPOSED ? matrix[m][column + 1][row] : matrix[m][row][column + 1];
            put<uint32_t>(w, i.operands[0].slots[static_cast<size_t>(m)], lane, low | high << 16);
        }
    }
}

/* A matrix of 8 x 8 that the warp holds as above, from registers to registers. */
static void transpose(Warp &w, const Instruction &i, uint32_t mask) {
    if (mask != 0xffffffffu) fail("a movmatrix without the whole warp");
    uint16_t matrix[8][8];
    for (int lane = 0; lane < LANES; lane++) {
        const uint32_t word = get<uint32_t>(w, i.operands[1].slots[0], lane);
        matrix[lane / 4][lane % 4 * 2] = static_cast<uint16_t>(word);
        matrix[lane / 4][lane % 4 * 2 + 1] = static_cast<uint16_t>(word >> 16);
    }
    for (int lane = 0; lane < LANES; lane++) {
        const uint32_t low = matrix[lane % 4 * 2][lane / 4], high = matrix[lane % 4 * 2 + 1][lane / 4];
        put<uint32_t>(w, i.operands[0].slots[0], lane, low | high << 16);
    }
}

/* ---- products ---- */

/* Towards zero, as tensor cores have been seen to round; the PTX ISA leaves it open. */
static float truncate(double x) {
    const float near = static_cast<float>(x);
    if (!std::isfinite(near)) return near;
    return fabs(static_cast<double>(near)) > fabs(x) ? nextafterf(near, 0.0f) : near;
}

/*
 * "Matrix fragments for mma.m16n8k16 with floating point type": with group = lane / 4 and member = lane % 4,
 *   a_i, i of 8: row = group + 8 if i is 2, 3, 6 or 7; column = member * 2 + i % 2, + 8 from i = 4 on
 *   b_i, i of 4: row = member * 2 + i % 2, + 8 from i = 2 on; column = group
 *   c_i, i of 4: row = group, + 8 from i = 2 on; column = member * 2 + i % 2
 */
template <float (*From)(uint16_t)> static void multiply(Warp &w, const Instruction &i, uint32_t mask) {
    static const size_t registers[4] = {4, 4, 2, 4};
    if (mask != 0xffffffffu) fail("an mma without the whole warp");
    for (size_t k = 0; k < 4; k++)
        if (i.operands[k].slots.size() != registers[k]) fail("an mma with other registers than 4, 4, 2, 4");
    double a[16][16], b[16][8];
    const auto half = [&](size_t operand, int n, int lane) {
        const uint32_t word = get<uint32_t>(w, i.operands[operand].slots[static_cast<size_t>(n / 2)], lane);
        return static_cast<double>(From(static_cast<uint16_t>(word >> n % 2 * 16)));
    };
    for (int lane = 0; lane < LANES; lane++) {
        const int group = lane / 4, member = lane % 4;
        for (int n = 0; n < 8; n++)
            a[group + (n / 2 % 2 ? 8 : 0)][member * 2 + n % 2 + (n >= 4 ? 8 : 0)] = half(1, n, lane);
        for (int n = 0; n < 4; n++)
            b[member * 2 + n % 2 + (n >= 2 ? 8 : 0)][group] = half(2, n, lane);
    }
    for (int lane = 0; lane < LANES; lane++) {
        float results[4];
        for (int n = 0; n < 4; n++) {
            const int row = lane / 4 + (n >= 2 ? 8 : 0), column = lane % 4 * 2 + n % 2;
            double sum = get<float>(w, i.operands[3].slots[static_cast<size_t>(n)], lane);
            for (int k = 0; k < 16; k++)
                sum += a[row][k] * b[k][column];
            results[n] = truncate(sum);
        }
        for (size_t n = 0; n < 4; n++)
            put<float>(w, i.operands[0].slots[n], lane, results[n]);
    }
}

void add_warp(Opcodes &table) {
    add(table, "shfl.sync.up.b32", shuffle<UP>, 5, 4);
    add(table, "shfl.sync.down.b32", shuffle<DOWN>, 5, 4);
    add(table, "shfl.sync.bfly.b32", shuffle<BUTTERFLY>, 5, 4);
    add(table, "shfl.sync.idx.b32", shuffle<INDEX>, 5, 4);
    add(table, "vote.sync.ballot.b32", vote<BALLOT>, 3, 2);
    add(table, "vote.sync.any.pred", vote<ANY>, 3, 2);
    add(table, "vote.sync.all.pred", vote<ALL>, 3, 2);
    add(table, "bar.warp.sync", warp_barrier, 1, 0);
    add(table, "ldmatrix.sync.aligned.m8n8.x4.shared.b16", load_matrices<false>, 2, -1);
    add(table, "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16", load_matrices<true>, 2, -1);
    add(table, "movmatrix.sync.aligned.m8n8.trans.b16", transpose, 2, -1);
    add(table, "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", multiply<from_bf16>, 4, -1);
    add(table, "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", multiply<from_f16>, 4, -1);
    Opcode row;
    row.control = BARRIER;
    row.operands = 1;
    table["bar.sync"] = row;
    row.control = RETURN;
    row.operands = 0;
    table["ret"] = table["exit"] = row;
}

} // namespace ptx
