/*
 * ptx_ops.cc - instructions of one thread: arithmetic, comparisons, moves,
 * conversions. Each form that nvcc emits is a row of the table; others are
 * unknown.
 *
 * f32 and f64 are the host's, which rounds as IEEE 754 demands and a GPU does.
 * Approximate instructions do not give what the host's library gives, but a
 * result as far from the true one as their bound allows, drawn from the
 * argument's bits.
 */
#include <math.h>

#include <algorithm>
#include <limits>
#include <type_traits>

#include "ptx.h"

namespace ptx {

/* ---- shapes of handlers ---- */

template <typename Op, typename D, typename A> static void unary(Warp &w, const Instruction &i, uint32_t mask) {
    const uint32_t d = i.operands[0].slots[0], a = i.operands[1].slots[0];
    EACH_LANE(lane, mask) put<D>(w, d, lane, Op::run(get<A>(w, a, lane)));
}
template <typename Op, typename D, typename A, typename B>
static void binary(Warp &w, const Instruction &i, uint32_t mask) {
    const uint32_t d = i.operands[0].slots[0], a = i.operands[1].slots[0], b = i.operands[2].slots[0];
    EACH_LANE(lane, mask) put<D>(w, d, lane, Op::run(get<A>(w, a, lane), get<B>(w, b, lane)));
}
template <typename Op, typename D, typename A, typename B, typename C>
static void ternary(Warp &w, const Instruction &i, uint32_t mask) {
    const uint32_t d = i.operands[0].slots[0], a = i.operands[1].slots[0], b = i.operands[2].slots[0],
                   c = i.operands[3].slots[0];
    EACH_LANE(lane, mask)
    put<D>(w, d, lane, Op::run(get<A>(w, a, lane), get<B>(w, b, lane), get<C>(w, c, lane)));
}

static void add(Opcodes &table, const std::string &name, Handler run, int operands) {
    Opcode row;
    row.run = run;
    row.operands = operands;
    table[name] = row;
}
template <typename Op, typename D, typename A = D> static void add1(Opcodes &table, const std::string &name) {
    add(table, name, unary<Op, D, A>, 2);
}
template <typename Op, typename D, typename A = D, typename B = A>
static void add2(Opcodes &table, const std::string &name) {
    add(table, name, binary<Op, D, A, B>, 3);
}
template <typename Op, typename D, typename A = D, typename B = A, typename C = D>
static void add3(Opcodes &table, const std::string &name) {
    add(table, name, ternary<Op, D, A, B, C>, 4);
}

/* ---- integers ---- */

/* Signed arithmetic wraps. */
template <typename T> using Wide = std::conditional_t<(sizeof(T) > 4), unsigned __int128, uint64_t>;
template <typename T> static T wrap(Wide<T> x) {
    return static_cast<T>(static_cast<std::make_unsigned_t<T>>(x));
}
template <typename T>
using Doubled = std::conditional_t<
    sizeof(T) == 2, std::conditional_t<std::is_signed<T>::value, int32_t, uint32_t>,
    std::conditional_t<sizeof(T) == 4, std::conditional_t<std::is_signed<T>::value, int64_t, uint64_t>,
                       std::conditional_t<std::is_signed<T>::value, __int128, unsigned __int128>>>;

struct Add {
    template <typename T> static T run(T a, T b) {
        if constexpr (std::is_floating_point<T>::value)
            return a + b;
        else
            return wrap<T>(static_cast<Wide<T>>(a) + static_cast<Wide<T>>(b));
    }
};
struct Sub {
    template <typename T> static T run(T a, T b) {
        if constexpr (std::is_floating_point<T>::value)
            return a - b;
        else
            return wrap<T>(static_cast<Wide<T>>(a) - static_cast<Wide<T>>(b));
    }
};
struct Mul {
    template <typename T> static T run(T a, T b) {
        if constexpr (std::is_floating_point<T>::value)
            return a * b;
        else
            return wrap<T>(static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b));
    }
};
struct MulHigh {
    template <typename T> static T run(T a, T b) {
        return static_cast<T>(static_cast<Doubled<T>>(a) * static_cast<Doubled<T>>(b) >> 8 * sizeof(T));
    }
};
struct MulWide {
    template <typename T> static Doubled<T> run(T a, T b) {
        return static_cast<Doubled<T>>(a) * static_cast<Doubled<T>>(b);
    }
};
struct Mad {
    template <typename T> static T run(T a, T b, T c) {
        return Add::run(Mul::run(a, b), c);
    }
};
struct MadWide {
    template <typename T> static Doubled<T> run(T a, T b, Doubled<T> c) {
        return Add::run(MulWide::run(a, b), c);
    }
};
/* What dividing by zero gives is not defined. */
template <typename T> static bool overflows(T a, T b) {
    return std::is_signed<T>::value && a == std::numeric_limits<T>::min() && b == static_cast<T>(-1);
}
struct Div {
    template <typename T> static T run(T a, T b) {
        if constexpr (std::is_floating_point<T>::value) return a / b;
        if (b == 0) fail("a division by zero");
        return overflows(a, b) ? a : static_cast<T>(a / b);
    }
};
struct Rem {
    template <typename T> static T run(T a, T b) {
        if (b == 0) fail("a division by zero");
        return overflows(a, b) ? static_cast<T>(0) : static_cast<T>(a % b);
    }
};
struct Min {
    template <typename T> static T run(T a, T b) {
        if constexpr (std::is_floating_point<T>::value) return a == b ? (std::signbit(a) ? a : b) : std::fmin(a, b);
        return b < a ? b : a;
    }
};
struct Max {
    template <typename T> static T run(T a, T b) {
        if constexpr (std::is_floating_point<T>::value) return a == b ? (std::signbit(a) ? b : a) : std::fmax(a, b);
        return a < b ? b : a;
    }
};
struct Neg {
    template <typename T> static T run(T a) {
        if constexpr (std::is_floating_point<T>::value)
            return -a;
        else
            return wrap<T>(0 - static_cast<Wide<T>>(a));
    }
};
struct Abs {
    template <typename T> static T run(T a) {
        if constexpr (std::is_floating_point<T>::value)
            return std::fabs(a);
        else
            return a < 0 ? Neg::run(a) : a;
    }
};
struct And {
    template <typename T> static T run(T a, T b) {
        return static_cast<T>(a & b);
    }
};
struct Or {
    template <typename T> static T run(T a, T b) {
        return static_cast<T>(a | b);
    }
};
struct Xor {
    template <typename T> static T run(T a, T b) {
        return static_cast<T>(a ^ b);
    }
};
struct Not {
    template <typename T> static T run(T a) {
        if constexpr (std::is_same<T, bool>::value)
            return !a;
        else
            return static_cast<T>(~a);
    }
};
/* Distances above the width shift everything out. */
struct Shl {
    template <typename T> static T run(T a, uint32_t n) {
        return n >= 8 * sizeof(T) ? static_cast<T>(0) : static_cast<T>(a << n);
    }
};
struct Shr {
    template <typename T> static T run(T a, uint32_t n) {
        if (n >= 8 * sizeof(T)) return std::is_signed<T>::value && a < 0 ? static_cast<T>(-1) : static_cast<T>(0);
        return static_cast<T>(a >> n);
    }
};
struct Select {
    template <typename T> static T run(T a, T b, bool c) {
        return c ? a : b;
    }
};
struct CountOnes {
    template <typename T> static uint32_t run(T a) {
        return static_cast<uint32_t>(__builtin_popcountll(a));
    }
};
struct LeadingZeros {
    static uint32_t run(uint32_t a) {
        return a ? static_cast<uint32_t>(__builtin_clz(a)) : 32;
    }
};
struct ReverseBits {
    static uint32_t run(uint32_t a) {
        uint32_t b = 0;
        for (int bit = 0; bit < 32; bit++)
            b |= (a >> bit & 1u) << (31 - bit);
        return b;
    }
};
struct Identity {
    template <typename T> static T run(T a) {
        return a;
    }
};

/* d = b with `length` bits of a from bit `start`. */
template <typename T> static void insert_bits(Warp &w, const Instruction &i, uint32_t mask) {
    EACH_LANE(lane, mask) {
        const T a = get<T>(w, i.operands[1].slots[0], lane), b = get<T>(w, i.operands[2].slots[0], lane);
        const uint32_t start = get<uint32_t>(w, i.operands[3].slots[0], lane) & 255u;
        const uint32_t length = get<uint32_t>(w, i.operands[4].slots[0], lane) & 255u;
        const T ones = length >= 8 * sizeof(T) ? static_cast<T>(-1) : static_cast<T>((static_cast<T>(1) << length) - 1);
        const T field = start >= 8 * sizeof(T) ? static_cast<T>(0) : static_cast<T>(ones << start);
        put<T>(w, i.operands[0].slots[0], lane,
               static_cast<T>((b & ~field) |
                              ((start >= 8 * sizeof(T) ? static_cast<T>(0) : static_cast<T>(a << start)) & field)));
    }
}

static void permute_bytes(Warp &w, const Instruction &i, uint32_t mask) {
    EACH_LANE(lane, mask) {
        const uint64_t both = get<uint32_t>(w, i.operands[1].slots[0], lane) |
                              static_cast<uint64_t>(get<uint32_t>(w, i.operands[2].slots[0], lane)) << 32;
        const uint32_t choice = get<uint32_t>(w, i.operands[3].slots[0], lane);
        uint32_t d = 0;
        for (int byte = 0; byte < 4; byte++) {
            const uint32_t pick = choice >> 4 * byte & 15u;
            uint32_t value = static_cast<uint32_t>(both >> 8 * (pick & 7u)) & 255u;
            if (pick & 8u) value = value & 128u ? 255u : 0u;
            d |= value << 8 * byte;
        }
        put<uint32_t>(w, i.operands[0].slots[0], lane, d);
    }
}

/* ---- comparisons ---- */

template <int K> struct Compare {
    template <typename T> static bool run(T a, T b) {
        const bool unordered = a != a || b != b;
        switch (K) {
        case 0:
            return a == b;
        case 1:
            return !unordered && a != b;
        case 2:
            return a < b;
        case 3:
            return a <= b;
        case 4:
            return a > b;
        case 5:
            return a >= b;
        case 6:
            return unordered || a == b;
        case 7:
            return unordered || a != b;
        case 8:
            return unordered || a < b;
        case 9:
            return unordered || a <= b;
        case 10:
            return unordered || a > b;
        case 11:
            return unordered || a >= b;
        case 12:
            return !unordered;
        default:
            return unordered;
        }
    }
};

template <typename T, int K> static void add_compare(Opcodes &table, const char *kind, const std::string &type) {
    add2<Compare<K>, bool, T, T>(table, std::string("setp.") + kind + type);
}
template <typename T> static void add_compares(Opcodes &table, const std::string &type) {
    add_compare<T, 0>(table, "eq", type);
    add_compare<T, 1>(table, "ne", type);
    if (type[1] == 'b') return;
    add_compare<T, 2>(table, "lt", type);
    add_compare<T, 3>(table, "le", type);
    add_compare<T, 4>(table, "gt", type);
    add_compare<T, 5>(table, "ge", type);
    if (type[1] == 'u') {
        add_compare<T, 2>(table, "lo", type);
        add_compare<T, 3>(table, "ls", type);
        add_compare<T, 4>(table, "hi", type);
        add_compare<T, 5>(table, "hs", type);
    }
    if (type[1] != 'f') return;
    add_compare<T, 6>(table, "equ", type);
    add_compare<T, 7>(table, "neu", type);
    add_compare<T, 8>(table, "ltu", type);
    add_compare<T, 9>(table, "leu", type);
    add_compare<T, 10>(table, "gtu", type);
    add_compare<T, 11>(table, "geu", type);
    add_compare<T, 12>(table, "num", type);
    add_compare<T, 13>(table, "nan", type);
}

/* ---- floating point ---- */

struct Fma {
    static float run(float a, float b, float c) {
        return fmaf(a, b, c);
    }
    static double run(double a, double b, double c) {
        return fma(a, b, c);
    }
};
/* Rounded down: the product is exact in f64, and what their sum loses is known exactly. */
struct FmaDown {
    static float run(float a, float b, float c) {
        const double product = static_cast<double>(a) * b, sum = product + c;
        const double part = sum - product, lost = (product - (sum - part)) + (c - part);
        const float near = static_cast<float>(sum);
        if (!std::isfinite(near)) return near;
        const bool above = static_cast<double>(near) > sum || (static_cast<double>(near) == sum && lost < 0);
        return above ? nextafterf(near, -INFINITY) : near;
    }
};
struct Sqrt {
    template <typename T> static T run(T a) {
        return std::sqrt(a);
    }
};
struct Reciprocal {
    template <typename T> static T run(T a) {
        return 1 / a;
    }
};
/* The sign of a, the rest of b. */
struct CopySign {
    template <typename T> static T run(T a, T b) {
        return std::copysign(b, a);
    }
};

static float flush(float x) {
    return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x;
}

/* One of the 2 `ulps` numbers around the true result, none of which is further away than that. */
static float near_to(double exact, int ulps, float argument) {
    if (!std::isfinite(exact) || std::fabs(exact) >= 0x1.fffffep127 || exact == 0) return static_cast<float>(exact);
    float low = static_cast<float>(exact);
    if (static_cast<double>(low) > exact) low = nextafterf(low, -INFINITY);
    if (static_cast<double>(low) == exact) return low;
    uint32_t bits;
    memcpy(&bits, &argument, sizeof bits);
    bits = (bits ^ bits >> 15) * 0x9e3779b9u;
    int step = static_cast<int>((bits >> 16) % static_cast<uint32_t>(2 * ulps)) - ulps + 1;
    for (; step > 0; step--)
        low = nextafterf(low, INFINITY);
    for (; step < 0; step++)
        low = nextafterf(low, -INFINITY);
    return low;
}

/* Up to 2 units in the last place away: the CUDA programming guide's bound of exp2f, which is this instruction. */
struct Exp2 {
    static float run(float a) {
        return near_to(exp2(static_cast<double>(a)), 2, a);
    }
};
struct Exp2Flush {
    static float run(float a) {
        return flush(Exp2::run(flush(a)));
    }
};
/* Up to 1 unit in the last place away. */
struct ReciprocalFlush {
    static float run(float a) {
        return flush(near_to(1 / static_cast<double>(flush(a)), 1, a));
    }
};
/* The upper 32 bits of argument and result, about 20 bits of a mantissa; the lower ones are 0. */
struct ReciprocalUpper {
    static double run(double a) {
        uint64_t bits;
        memcpy(&bits, &a, sizeof bits);
        bits &= 0xffffffff00000000ull;
        memcpy(&a, &bits, sizeof bits);
        double b = 1 / a;
        if (std::fabs(b) < 0x1p-1022) b = std::copysign(0.0, b);
        memcpy(&bits, &b, sizeof bits);
        if (b == b) bits &= 0xffffffff00000000ull;
        memcpy(&b, &bits, sizeof bits);
        return b;
    }
};

template <typename T> static void add_floats(Opcodes &table, const std::string &type) {
    for (const char *rounding : {"", ".rn"}) {
        add2<Add, T>(table, std::string("add") + rounding + type);
        add2<Sub, T>(table, std::string("sub") + rounding + type);
        add2<Mul, T>(table, std::string("mul") + rounding + type);
    }
    add3<Fma, T>(table, "fma.rn" + type);
    add2<Div, T>(table, "div.rn" + type);
    add1<Sqrt, T>(table, "sqrt.rn" + type);
    add1<Reciprocal, T>(table, "rcp.rn" + type);
    add2<Min, T>(table, "min" + type);
    add2<Max, T>(table, "max" + type);
    add1<Neg, T>(table, "neg" + type);
    add1<Abs, T>(table, "abs" + type);
    add2<CopySign, T>(table, "copysign" + type);
    add_compares<T>(table, type);
}

template <typename T> static void add_integers(Opcodes &table, const std::string &type) {
    add2<Add, T>(table, "add" + type);
    add2<Sub, T>(table, "sub" + type);
    add2<Mul, T>(table, "mul.lo" + type);
    add2<MulHigh, T>(table, "mul.hi" + type);
    add3<Mad, T, T, T, T>(table, "mad.lo" + type);
    add2<Div, T>(table, "div" + type);
    add2<Rem, T>(table, "rem" + type);
    add2<Min, T>(table, "min" + type);
    add2<Max, T>(table, "max" + type);
    add2<Shr, T, T, uint32_t>(table, "shr" + type);
    if constexpr (std::is_signed<T>::value) {
        add1<Neg, T>(table, "neg" + type);
        add1<Abs, T>(table, "abs" + type);
    }
    if constexpr (sizeof(T) < 8) {
        add2<MulWide, Doubled<T>, T, T>(table, "mul.wide" + type);
        add3<MadWide, Doubled<T>, T, T, Doubled<T>>(table, "mad.wide" + type);
    }
    add_compares<T>(table, type);
}

template <typename T> static void add_logic(Opcodes &table, const std::string &type) {
    add2<And, T>(table, "and" + type);
    add2<Or, T>(table, "or" + type);
    add2<Xor, T>(table, "xor" + type);
    add1<Not, T>(table, "not" + type);
    if (type == ".pred") return;
    add2<Shl, T, T, uint32_t>(table, "shl" + type);
    add_compares<T>(table, type);
    if constexpr (sizeof(T) >= 4) {
        add(table, "bfi" + type, insert_bits<T>, 5);
        add1<CountOnes, uint32_t, T>(table, "popc" + type);
    }
}

void add_arithmetic(Opcodes &table) {
    add_integers<int16_t>(table, ".s16");
    add_integers<uint16_t>(table, ".u16");
    add_integers<int32_t>(table, ".s32");
    add_integers<uint32_t>(table, ".u32");
    add_integers<int64_t>(table, ".s64");
    add_integers<uint64_t>(table, ".u64");
    add_logic<uint16_t>(table, ".b16");
    add_logic<uint32_t>(table, ".b32");
    add_logic<uint64_t>(table, ".b64");
    add_logic<bool>(table, ".pred");
    add_floats<float>(table, ".f32");
    add_floats<double>(table, ".f64");
    for (const char *type : {".b16", ".u16", ".s16"})
        add3<Select, uint16_t, uint16_t, uint16_t, bool>(table, std::string("selp") + type);
    for (const char *type : {".b32", ".u32", ".s32", ".f32"})
        add3<Select, uint32_t, uint32_t, uint32_t, bool>(table, std::string("selp") + type);
    for (const char *type : {".b64", ".u64", ".s64", ".f64"})
        add3<Select, uint64_t, uint64_t, uint64_t, bool>(table, std::string("selp") + type);
    add1<LeadingZeros, uint32_t>(table, "clz.b32");
    add1<ReverseBits, uint32_t>(table, "brev.b32");
    add(table, "prmt.b32", permute_bytes, 4);
    add3<FmaDown, float>(table, "fma.rm.f32");
    add1<Exp2, float>(table, "ex2.approx.f32");
    add1<Exp2Flush, float>(table, "ex2.approx.ftz.f32");
    add1<ReciprocalFlush, float>(table, "rcp.approx.ftz.f32");
    add1<ReciprocalUpper, double>(table, "rcp.approx.ftz.f64");
}

const Opcode *find_opcode(const std::string &opcode) {
    static const Opcodes table = []() {
        Opcodes made;
        add_arithmetic(made);
        add_conversions(made);
        add_memory(made);
        add_warp(made);
        return made;
    }();
    auto found = table.find(opcode);
    return found == table.end() ? nullptr : &found->second;
}

} // namespace ptx
