/*
 * ptx_convert.cc - moves and conversions: integers of all sizes, f32, f64, f16
 * and bf16, generic addresses.
 */
#include <math.h>

#include <limits>
#include <type_traits>

#include "ptx.h"

namespace ptx {

static void add(Opcodes &table, const std::string &name, Handler run) {
    Opcode row;
    row.run = run;
    row.operands = 2;
    table[name] = row;
}

/* ---- 16-bit formats ---- */

float from_bf16(uint16_t bits) {
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float x;
    memcpy(&x, &wide, sizeof x);
    return x;
}

uint16_t to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x) return 0x7fff;
    return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

float from_f16(uint16_t bits) {
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    float x;
    if (exponent == 31)
        x = mantissa ? NAN : INFINITY;
    else
        x = exponent ? ldexpf(static_cast<float>(1024 + mantissa), exponent - 25)
                     : ldexpf(static_cast<float>(mantissa), -24);
    return bits & 0x8000 ? -x : x;
}

uint16_t to_f16(float x) {
    if (x != x) return 0x7fff;
    const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
    const float size = std::fabs(x);
    if (size >= 65520.0f) return sign | 0x7c00;
    if (size == 0.0f) return sign;
    int exponent = 0;
    frexpf(size, &exponent);
    /* The last bit is 2^(exponent - 11), or 2^-24 below the normal numbers. */
    const int last = exponent - 11 < -24 ? -24 : exponent - 11;
    const long steps = lrintf(ldexpf(size, -last));
    /* 1,024 to 2,048 steps: a carry into the exponent comes out right. */
    return static_cast<uint16_t>(sign | (static_cast<long>(last + 24) * 1024 + steps));
}

/* ---- numbers ---- */

enum Rounding { NONE, NEAREST, ZERO, DOWN, UP };

template <typename F> static F round_whole(F x, Rounding rounding) {
    switch (rounding) {
    case NEAREST:
        return std::nearbyint(x);
    case ZERO:
        return std::trunc(x);
    case DOWN:
        return std::floor(x);
    case UP:
        return std::ceil(x);
    default:
        return x;
    }
}

/* The result is extended to the width of its register. */
template <typename D> static void put_wide(Warp &w, uint32_t slot, int lane, D value) {
    if constexpr (std::is_signed<D>::value && std::is_integral<D>::value)
        put<int64_t>(w, slot, lane, value);
    else
        put<D>(w, slot, lane, value);
}

/* Out of range: the nearest number that there is. */
template <typename D, typename F> static D saturate(F x) {
    if (x != x) return sizeof(D) == 8 ? static_cast<D>(1ull << 63) : static_cast<D>(0);
    const F limit = std::ldexp(static_cast<F>(1), std::numeric_limits<D>::digits);
    if (x >= limit) return std::numeric_limits<D>::max();
    if (x < static_cast<F>(std::numeric_limits<D>::min())) return std::numeric_limits<D>::min();
    return static_cast<D>(x);
}

template <typename D, typename A, int R> static void convert(Warp &w, const Instruction &i, uint32_t mask) {
    const uint32_t d = i.operands[0].slots[0], a = i.operands[1].slots[0];
    EACH_LANE(lane, mask) {
        const A x = get<A>(w, a, lane);
        if constexpr (std::is_floating_point<A>::value && std::is_integral<D>::value)
            put_wide<D>(w, d, lane, saturate<D>(round_whole(x, static_cast<Rounding>(R))));
        else if constexpr (std::is_same<A, D>::value && std::is_floating_point<A>::value)
            put<D>(w, d, lane, round_whole(x, static_cast<Rounding>(R)));
        else
            put_wide<D>(w, d, lane, static_cast<D>(x));
    }
}

template <typename D, typename A> static void add_rounded(Opcodes &table, const std::string &types) {
    add(table, "cvt.rni" + types, convert<D, A, NEAREST>);
    add(table, "cvt.rzi" + types, convert<D, A, ZERO>);
    add(table, "cvt.rmi" + types, convert<D, A, DOWN>);
    add(table, "cvt.rpi" + types, convert<D, A, UP>);
}

template <typename D> static void add_to_integer(Opcodes &table, const std::string &type) {
    add(table, "cvt" + type + ".s8", convert<D, int8_t, NONE>);
    add(table, "cvt" + type + ".u8", convert<D, uint8_t, NONE>);
    add(table, "cvt" + type + ".s16", convert<D, int16_t, NONE>);
    add(table, "cvt" + type + ".u16", convert<D, uint16_t, NONE>);
    add(table, "cvt" + type + ".s32", convert<D, int32_t, NONE>);
    add(table, "cvt" + type + ".u32", convert<D, uint32_t, NONE>);
    add(table, "cvt" + type + ".s64", convert<D, int64_t, NONE>);
    add(table, "cvt" + type + ".u64", convert<D, uint64_t, NONE>);
    add_rounded<D, float>(table, type + ".f32");
    add_rounded<D, double>(table, type + ".f64");
    add(table, "cvt.rn.f32" + type, convert<float, D, NONE>);
    add(table, "cvt.rn.f64" + type, convert<double, D, NONE>);
}

static void saturate_unit(Warp &w, const Instruction &i, uint32_t mask) {
    EACH_LANE(lane, mask) {
        const float x = get<float>(w, i.operands[1].slots[0], lane);
        put<float>(w, i.operands[0].slots[0], lane, x > 0 ? std::fmin(x, 1.0f) : 0.0f);
    }
}

template <float (*From)(uint16_t)> static void widen(Warp &w, const Instruction &i, uint32_t mask) {
    EACH_LANE(lane, mask)
    put<float>(w, i.operands[0].slots[0], lane, From(get<uint16_t>(w, i.operands[1].slots[0], lane)));
}
template <uint16_t (*To)(float)> static void narrow(Warp &w, const Instruction &i, uint32_t mask) {
    EACH_LANE(lane, mask)
    put<uint16_t>(w, i.operands[0].slots[0], lane, To(get<float>(w, i.operands[1].slots[0], lane)));
}
/* The first goes into the upper half. */
template <uint16_t (*To)(float)> static void narrow_pair(Warp &w, const Instruction &i, uint32_t mask) {
    EACH_LANE(lane, mask) {
        const uint32_t high = To(get<float>(w, i.operands[1].slots[0], lane));
        const uint32_t low = To(get<float>(w, i.operands[2].slots[0], lane));
        put<uint32_t>(w, i.operands[0].slots[0], lane, high << 16 | low);
    }
}

/* ---- moves ---- */

/* One vector becomes another of the same width in total. */
template <int BYTES> static void move(Warp &w, const Instruction &i, uint32_t mask) {
    const std::vector<uint32_t> &to = i.operands[0].slots, &from = i.operands[1].slots;
    const size_t from_bytes = BYTES / from.size(), to_bytes = BYTES / to.size();
    EACH_LANE(lane, mask) {
        char whole[BYTES];
        for (size_t k = 0; k < from.size(); k++)
            memcpy(whole + k * from_bytes, &w.slots[from[k]][lane], from_bytes);
        for (size_t k = 0; k < to.size(); k++) {
            uint64_t bits = 0;
            memcpy(&bits, whole + k * to_bytes, to_bytes);
            w.slots[to[k]][lane] = bits;
        }
    }
}

/* From an address of a space to a generic one and back. */
template <uint64_t WINDOW, bool BACK> static void convert_address(Warp &w, const Instruction &i, uint32_t mask) {
    EACH_LANE(lane, mask) {
        const uint64_t address = get<uint64_t>(w, i.operands[1].slots[0], lane);
        if (BACK && WINDOW ? address >> 56 != WINDOW >> 56 : address >> 56 != 0)
            fail("a generic address of another space");
        put<uint64_t>(w, i.operands[0].slots[0], lane, BACK ? address - WINDOW : address + WINDOW);
    }
}

void add_conversions(Opcodes &table) {
    add_to_integer<int8_t>(table, ".s8");
    add_to_integer<uint8_t>(table, ".u8");
    add_to_integer<int16_t>(table, ".s16");
    add_to_integer<uint16_t>(table, ".u16");
    add_to_integer<int32_t>(table, ".s32");
    add_to_integer<uint32_t>(table, ".u32");
    add_to_integer<int64_t>(table, ".s64");
    add_to_integer<uint64_t>(table, ".u64");
    add_rounded<float, float>(table, ".f32.f32");
    add_rounded<double, double>(table, ".f64.f64");
    add(table, "cvt.f64.f32", convert<double, float, NONE>);
    add(table, "cvt.rn.f32.f64", convert<float, double, NONE>);
    add(table, "cvt.sat.f32.f32", saturate_unit);
    add(table, "cvt.f32.f16", widen<from_f16>);
    add(table, "cvt.f32.bf16", widen<from_bf16>);
    add(table, "cvt.rn.f16.f32", narrow<to_f16>);
    add(table, "cvt.rn.bf16.f32", narrow<to_bf16>);
    add(table, "cvt.rn.f16x2.f32", narrow_pair<to_f16>);
    add(table, "cvt.rn.bf16x2.f32", narrow_pair<to_bf16>);
    table["cvt.rn.f16x2.f32"].operands = table["cvt.rn.bf16x2.f32"].operands = 3;
    for (const char *type : {"b", "u", "s"}) {
        add(table, std::string("mov.") + type + "16", move<2>);
        add(table, std::string("mov.") + type + "32", move<4>);
        add(table, std::string("mov.") + type + "64", move<8>);
    }
    add(table, "mov.f32", move<4>);
    add(table, "mov.f64", move<8>);
    add(table, "mov.pred", move<1>);
    add(table, "cvta.to.global.u64", convert_address<0, true>);
    add(table, "cvta.global.u64", convert_address<0, false>);
    add(table, "cvta.to.shared.u64", convert_address<SHARED_WINDOW, true>);
    add(table, "cvta.shared.u64", convert_address<SHARED_WINDOW, false>);
    add(table, "cvta.to.local.u64", convert_address<LOCAL_WINDOW, true>);
    add(table, "cvta.local.u64", convert_address<LOCAL_WINDOW, false>);
}

} // namespace ptx
