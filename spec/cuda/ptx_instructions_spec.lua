--- Instructions of the PTX interpreter, one by one, against results worked out from the PTX ISA.

local context = require "bertlua.context"

if context.device() ~= "cuda" or not context.describe():find "^emulated" then return end

local bit = require "bit"
local ffi = require "ffi"
local process = require "spec.support.process"

ffi.cdef [[
const char *bl_emulated_ptx_try(const char *path, const char *kernel, unsigned threads, void *data, size_t bytes);
]]
local library = ffi.load(os.getenv "BERTLUA_CUDA_LIB")
if not pcall(function() return library.bl_emulated_ptx_try end) then return end

local HEAD = ".version 8.0\n.target sm_90\n.address_size 64\n.visible .entry try(.param .u64 data)\n{\n"

-- 64 bits of a number that may be negative, or that is one of FFI's already.
local function word(value)
    if type(value) == "number" and value < 0 then value = ffi.cast("int64_t", value) end
    return ffi.cast("uint64_t", value)
end

-- Runs a kernel's body on a copy of `words` (64 bits each) with `threads` threads; its message and the words.
local function run(body, threads, words)
    local path = process.temporary(HEAD .. body .. "\nret;\n}\n")
    local data = ffi.new("uint64_t[?]", #words)
    for i, value in ipairs(words) do data[i - 1] = word(value) end
    local message = ffi.string(library.bl_emulated_ptx_try(path, "try", threads, data, 8 * #words))
    os.remove(path)
    return (message:gsub("tmp/lua_%w+", "FILE")), data
end

local SIZE = { h = 16, r = 32, d = 64, p = 1 }
local REGISTERS = ".reg .pred %p<4>; .reg .b16 %h<4>; .reg .b32 %r<8>; .reg .b64 %d<8>;\nld.param.u64 %d4, [data];\n"

-- One instruction on one thread. Shape: the classes of the registers of result and operands.
local function compute(opcode, shape, operands)
    local body, names = { REGISTERS }, { "%" .. shape:sub(1, 1) .. "0" }
    for i = 1, #operands do
        local class = shape:sub(i + 1, i + 1)
        local name = "%" .. class .. i
        names[#names + 1] = name
        if class == "p" then
            body[#body + 1] = ("ld.global.u32 %%r7, [%%d4+%d]; setp.ne.u32 %s, %%r7, 0;"):format(8 * i, name)
        else
            body[#body + 1] = ("ld.global.u%d %s, [%%d4+%d];"):format(SIZE[class], name, 8 * i)
        end
    end
    body[#body + 1] = ("%s %s;"):format(opcode, table.concat(names, ", "))
    if names[1] == "%p0" then
        body[#body + 1] = "selp.u32 %r0, 1, 0, %p0;\nst.global.u32 [%d4], %r0;"
    else
        body[#body + 1] = ("st.global.u%d [%%d4], %s;"):format(SIZE[shape:sub(1, 1)], names[1])
    end
    local words = { 0 }
    for i, value in ipairs(operands) do words[i + 1] = value end
    local message, data = run(table.concat(body, "\n"), 1, words)
    assert.are.equal("", message)
    return data[0]
end

-- Bits of an f32, an f64.
local function f(x)
    return ffi.cast("uint32_t *", ffi.new("float[1]", x))[0]
end
local function g(x)
    return ffi.cast("uint64_t *", ffi.new("double[1]", x))[0]
end
local function float_of(bits)
    return ffi.cast("float *", ffi.new("uint32_t[1]", bits))[0]
end

local NAN, INF = 0 / 0, math.huge
local MOST = 0xffffffff

describe("the interpreter of PTX", function()
    for _, case in ipairs {
        { "add.s32", "rrr", { 0x7fffffff, 1 }, 0x80000000 },
        { "sub.s64", "ddd", { 5, 7 }, -2 },
        { "mul.lo.s32", "rrr", { 0x10001, 0x10001 }, 0x20001 },
        { "mul.hi.u32", "rrr", { MOST, MOST }, 0xfffffffe },
        { "mul.hi.s32", "rrr", { MOST, MOST }, 0 },
        { "mul.hi.u64", "ddd", { 0x8000000000000000ULL, 6 }, 3 },
        { "mul.wide.s32", "drr", { MOST, 3 }, -3 },
        { "mul.wide.u32", "drr", { MOST, 3 }, 0x2fffffffdULL },
        { "mad.lo.s32", "rrrr", { 3, 4, 5 }, 17 },
        { "mad.wide.u32", "drrd", { MOST, 2, 1 }, 0x1ffffffffULL },
        { "div.s32", "rrr", { -7, 2 }, 0xfffffffd },
        { "rem.s32", "rrr", { -7, 2 }, MOST },
        { "div.u32", "rrr", { MOST, 2 }, 0x7fffffff },
        { "div.s64", "ddd", { -9, 2 }, -4 },
        { "rem.s64", "ddd", { -9, 2 }, -1 },
        { "min.s32", "rrr", { MOST, 1 }, MOST },
        { "min.u32", "rrr", { MOST, 1 }, 1 },
        { "max.s64", "ddd", { -1, 1 }, 1 },
        { "neg.s32", "rr", { 5 }, 0xfffffffb },
        { "abs.s32", "rr", { -5 }, 5 },
        { "shl.b32", "rrr", { 3, 31 }, 0x80000000 },
        { "shl.b32", "rrr", { 3, 32 }, 0 },
        { "shl.b64", "ddr", { 1, 63 }, 0x8000000000000000ULL },
        { "shr.s32", "rrr", { -8, 1 }, 0xfffffffc },
        { "shr.s32", "rrr", { -8, 40 }, MOST },
        { "shr.u32", "rrr", { -8, 1 }, 0x7ffffffc },
        { "and.b32", "rrr", { 12, 10 }, 8 },
        { "or.b32", "rrr", { 12, 10 }, 14 },
        { "xor.b64", "ddd", { 12, 10 }, 6 },
        { "not.b64", "dd", { 0 }, -1 },
        { "xor.pred", "ppp", { 1, 1 }, 0 },
        { "bfi.b32", "rrrrr", { 0xff, 0xf0000001, 8, 4 }, 0xf0000f01 },
        { "prmt.b32", "rrrr", { 0x83020100, 0x07060504, 0x7531 }, 0x07058301 },
        { "prmt.b32", "rrrr", { 0x83020100, 0x07060504, 0xb8b8 }, 0xff00ff00 },
        { "popc.b32", "rr", { 0xf0f0 }, 8 },
        { "clz.b32", "rr", { 0 }, 32 },
        { "brev.b32", "rr", { 1 }, 0x80000000 },
        { "selp.b32", "rrrp", { 5, 6, 0 }, 6 },
        { "setp.lt.s32", "prr", { -1, 1 }, 1 },
        { "setp.lt.u32", "prr", { -1, 1 }, 0 },
        { "setp.eq.s16", "phh", { 7, 7 }, 1 },
        { "setp.ne.f32", "prr", { f(NAN), f(1) }, 0 },
        { "setp.neu.f32", "prr", { f(NAN), f(1) }, 1 },
        { "setp.lt.f32", "prr", { f(NAN), f(1) }, 0 },
        { "setp.ltu.f32", "prr", { f(NAN), f(1) }, 1 },
        { "setp.geu.f32", "prr", { f(0), f(1) }, 0 },
        { "setp.nan.f64", "pdd", { g(NAN), g(1) }, 1 },
        { "setp.num.f32", "prr", { f(2), f(1) }, 1 },
        { "add.f32", "rrr", { f(1), f(2 ^ -24) }, f(1) },
        { "add.rn.f32", "rrr", { f(1), f(3 * 2 ^ -24) }, f(1 + 2 ^ -22) },
        { "sub.f64", "ddd", { g(1), g(2 ^ -53) }, g(1 - 2 ^ -53) },
        { "fma.rn.f32", "rrrr", { f(1 + 2 ^ -12), f(1 + 2 ^ -12), f(-1 - 2 ^ -11) }, f(2 ^ -24) },
        { "fma.rn.f32", "rrrr", { f(1), f(1), f(-2 ^ -30) }, f(1) },
        { "fma.rm.f32", "rrrr", { f(1), f(1), f(-2 ^ -30) }, f(1 - 2 ^ -24) },
        { "fma.rm.f32", "rrrr", { f(1), f(1), f(2 ^ -23 + 2 ^ -46) }, f(1 + 2 ^ -23) },
        { "div.rn.f32", "rrr", { f(1), f(3) }, 0x3eaaaaab },
        { "sqrt.rn.f32", "rr", { f(2) }, 0x3fb504f3 },
        { "rcp.rn.f32", "rr", { f(3) }, 0x3eaaaaab },
        { "min.f32", "rrr", { f(NAN), f(2) }, f(2) },
        { "max.f32", "rrr", { f(-0.0), f(0) }, 0 },
        { "copysign.f32", "rrr", { f(-1), f(3) }, f(-3) },
        { "cvt.rni.s32.f32", "rr", { f(2.5) }, 2 },
        { "cvt.rni.s32.f32", "rr", { f(-3.5) }, 0xfffffffc },
        { "cvt.rzi.s32.f32", "rr", { f(-1.7) }, MOST },
        { "cvt.rzi.s32.f32", "rr", { f(1e20) }, 0x7fffffff },
        { "cvt.rzi.s32.f32", "rr", { f(NAN) }, 0 },
        { "cvt.rmi.f32.f32", "rr", { f(-1.5) }, f(-2) },
        { "cvt.sat.f32.f32", "rr", { f(1.5) }, f(1) },
        { "cvt.sat.f32.f32", "rr", { f(NAN) }, 0 },
        { "cvt.s64.s32", "dr", { -1 }, -1 },
        { "cvt.u64.u32", "dr", { MOST }, MOST },
        { "cvt.u32.u64", "rd", { 0x500000007ULL }, 7 },
        { "cvt.rn.f32.s64", "rd", { -16777217 }, f(-16777216) },
        { "cvt.rn.f32.f64", "rd", { g(1 + 2 ^ -24) }, f(1) },
        { "cvt.f64.f32", "dr", { f(0.1) }, g(float_of(f(0.1))) },
        { "cvt.rn.f16.f32", "hr", { f(1) }, 0x3c00 },
        { "cvt.rn.f16.f32", "hr", { f(-0.0) }, 0x8000 },
        { "cvt.rn.f16.f32", "hr", { f(0) }, 0 },
        { "cvt.rn.f16.f32", "hr", { f(1 + 2 ^ -11) }, 0x3c00 },
        { "cvt.rn.f16.f32", "hr", { f(1 + 3 * 2 ^ -11) }, 0x3c02 },
        { "cvt.rn.f16.f32", "hr", { f(65519) }, 0x7bff },
        { "cvt.rn.f16.f32", "hr", { f(65520) }, 0x7c00 },
        { "cvt.rn.f16.f32", "hr", { f(2 ^ -24) }, 1 },
        { "cvt.rn.f16.f32", "hr", { f(2 ^ -25) }, 0 },
        { "cvt.rn.f16.f32", "hr", { f(2 ^ -14 - 2 ^ -26) }, 0x0400 },
        { "cvt.f32.f16", "rh", { 0x8001 }, f(-2 ^ -24) },
        { "cvt.f32.f16", "rh", { 0x7bff }, f(65504) },
        { "cvt.f32.f16", "rh", { 0x7c00 }, f(INF) },
        { "cvt.rn.bf16.f32", "hr", { f(1 + 2 ^ -8) }, 0x3f80 },
        { "cvt.rn.bf16.f32", "hr", { f(1 + 3 * 2 ^ -8) }, 0x3f82 },
        { "cvt.rn.bf16.f32", "hr", { f(NAN) }, 0x7fff },
        { "cvt.rn.bf16x2.f32", "rrr", { f(1), f(2) }, 0x3f804000 },
        { "cvt.rn.f16x2.f32", "rrr", { f(1), f(2) }, 0x3c004000 },
        { "ex2.approx.ftz.f32", "rr", { f(3) }, f(8) },
        { "ex2.approx.ftz.f32", "rr", { f(-127) }, 0 },
        { "ex2.approx.ftz.f32", "rr", { f(-INF) }, 0 },
        { "rcp.approx.ftz.f32", "rr", { f(4) }, f(0.25) },
        { "rcp.approx.ftz.f32", "rr", { f(2 ^ -130) }, f(INF) },
        { "rcp.approx.ftz.f64", "dd", { g(3) }, 0x3fd5555500000000ULL },
    } do
        local opcode, shape, operands, expected = unpack(case)
        local shown = {}
        for i, value in ipairs(operands) do
            shown[i] = "0x" .. bit.tohex(word(value)):gsub("^0+(.)", "%1")
        end
        it(("computes %s %s"):format(opcode, table.concat(shown, ", ")), function()
            local width = SIZE[shape:sub(1, 1)]
            local got = compute(opcode, shape, operands)
            local want = word(expected)
            if width < 64 then want = bit.band(want, 2ULL ^ width - 1ULL) end
            assert.are.equal(bit.tohex(want), bit.tohex(got))
        end)
    end

    it("keeps to the bounds of what is approximate, and uses them", function()
        for opcode, case in pairs {
            ["ex2.approx.ftz.f32"] = { 2, function(x) return 2 ^ x end },
            ["rcp.approx.ftz.f32"] = { 1, function(x) return 1 / x end },
        } do
            local others = 0
            for i = 1, 60 do
                local x = float_of(f(0.37 + i * 0.613))
                local exact = case[2](x)
                local _, exponent = math.frexp(exact)
                local y = float_of(tonumber(compute(opcode, "rr", { f(x) })))
                assert.is_true(math.abs(y - exact) <= case[1] * 2 ^ (exponent - 24), opcode)
                if y ~= float_of(f(exact)) then others = others + 1 end
            end
            assert.is_true(others > 10, opcode)
        end
    end)

    -- Each lane's word becomes what the text leaves in %r1.
    local function lanes(text, threads)
        local words = {}
        for i = 1, threads or 32 do words[i] = 0 end
        local message, data = run(REGISTERS .. "mov.u32 %r0, %tid.x; mul.wide.u32 %d0, %r0, 8; add.s64 %d0, %d0, %d4;\n"
            .. text .. "\nst.global.u32 [%d0], %r1;", threads or 32, words)
        local list = {}
        for i = 1, #words do list[i] = tonumber(data[i - 1]) end
        return list, message
    end

    local function message_of(text, threads)
        local _, message = lanes(text, threads)
        return message
    end

    local function each(rule)
        local list = {}
        for lane = 0, 31 do list[lane + 1] = rule(lane) end
        return list
    end

    it("moves values between lanes", function()
        local function shuffled(mode, distance, clamp)
            local list, message = lanes(("shfl.sync.%s.b32 %%r1|%%p0, %%r0, %d, %d, -1;"):format(mode, distance, clamp))
            assert.are.equal("", message)
            return list
        end
        assert.are.same(each(function(lane) return bit.bxor(lane, 16) end), shuffled("bfly", 16, 31))
        assert.are.same(each(function(lane) return lane + 3 > 31 and lane or lane + 3 end), shuffled("down", 3, 31))
        assert.are.same(each(function(lane) return lane < 3 and lane or lane - 3 end), shuffled("up", 3, 0))
        assert.are.same(each(function(lane) return lane - lane % 8 + 5 end), shuffled("idx", 5, 0x181f))
    end)

    it("counts votes", function()
        assert.are.same(each(function() return 0xf0 end), (lanes [[
            shr.u32 %r2, %r0, 2; setp.eq.u32 %p0, %r2, 1; vote.sync.ballot.b32 %r1, %p0, -1;]]))
    end)

    it("transposes matrices of 8 x 8 between lanes", function()
        -- Element (row, column) is 8 row + column; a lane holds two beside each other in a row.
        assert.are.same(each(function(lane)
            local row, column = math.floor(lane / 4), lane % 4 * 2
            return 8 * column + row + 65536 * (8 * (column + 1) + row)
        end), (lanes [[mul.lo.u32 %r2, %r0, 131074; add.u32 %r2, %r2, 65536;
            movmatrix.sync.aligned.m8n8.trans.b16 %r1, %r2;]]))
    end)

    it("loads matrices of 8 x 8 from shared memory, transposed or not", function()
        -- Thread i writes bytes 16 i to 16 i + 15: row i % 8 of matrix i / 8, each element 8 row + column + 64 matrix.
        local text = [[.shared .align 16 .b8 room[512]; mov.u32 %%r2, room; shl.b32 %%r3, %%r0, 4;
            add.s32 %%r3, %%r2, %%r3; mul.lo.u32 %%r4, %%r0, 524296; add.u32 %%r4, %%r4, 65536;
            add.u32 %%r5, %%r4, 131074; add.u32 %%r6, %%r5, 131074; add.u32 %%r7, %%r6, 131074;
            st.shared.v4.u32 [%%r3], {%%r4, %%r5, %%r6, %%r7}; bar.warp.sync -1;
            ldmatrix.sync.aligned.m8n8.x4%s.shared.b16 {%%r4, %%r5, %%r1, %%r6}, [%%r3];]]
        assert.are.same(each(function(lane)
            local first = 128 + 8 * math.floor(lane / 4) + lane % 4 * 2
            return first + 65536 * (first + 1)
        end), (lanes(text:format "")))
        assert.are.same(each(function(lane)
            local first = 128 + 8 * (lane % 4 * 2) + math.floor(lane / 4)
            return first + 65536 * (first + 8)
        end), (lanes(text:format ".trans")))
    end)

    it("multiplies matrices with the fragments of the PTX ISA", function()
        -- A is 1 at (group, 2 member) and 2 at (group + 8, 2 member + 9); B is column + 1 in row 2 member, 64 times
        -- that in row 2 member + 9.
        assert.are.same(each(function(lane) return f(4 * (lane % 4 * 2 + 1)) end), (lanes [[
            shr.u32 %r2, %r0, 2; add.u32 %r2, %r2, 1; cvt.rn.f32.u32 %r3, %r2; cvt.rn.bf16x2.f32 %r4, 0f00000000, %r3;
            mov.u32 %r5, 0; mov.u32 %r6, 0x00003f80;
            mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%r1, %r7, %r2, %r3}, {%r6, %r5, %r5, %r5}, {%r4, %r5},
                {%r5, %r5, %r5, %r5};]]))
        assert.are.same(each(function(lane) return f(4 * 2 * 64 * (lane % 4 * 2 + 2)) end), (lanes [[
            shr.u32 %r2, %r0, 2; add.u32 %r2, %r2, 1; shl.b32 %r2, %r2, 6; cvt.rn.f32.u32 %r3, %r2;
            cvt.rn.f16x2.f32 %r4, %r3, 0f00000000; mov.u32 %r5, 0; mov.u32 %r6, 0x40000000;
            mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%r2, %r3, %r7, %r1}, {%r5, %r5, %r5, %r6}, {%r5, %r4},
                {%r5, %r5, %r5, %r5};]]))
    end)

    it("brings lanes together again where their ways join", function()
        -- Lane i goes round i + 1 times; every second one takes a way of its own.
        assert.are.same(each(function(lane) return bit.bxor(lane, 1) + 1 + (lane % 2 == 0 and 100 or 0) end), (lanes [[
            mov.u32 %r1, 0;
            AGAIN: add.s32 %r1, %r1, 1; setp.le.u32 %p0, %r1, %r0; @%p0 bra AGAIN;
            and.b32 %r2, %r0, 1; setp.eq.u32 %p1, %r2, 1; @!%p1 bra JOIN;
            add.s32 %r1, %r1, 100;
            JOIN: shfl.sync.bfly.b32 %r1, %r1, 1, 31, -1;]]))
    end)

    it("orders shared memory by barriers", function()
        local exchange = [[.shared .align 4 .b8 room[256]; mov.u32 %%r2, room; shl.b32 %%r3, %%r0, 2;
            add.s32 %%r4, %%r2, %%r3; st.shared.u32 [%%r4], %%r0; %s
            xor.b32 %%r3, %%r3, %d; add.s32 %%r4, %%r2, %%r3; ld.shared.u32 %%r1, [%%r4];]]
        local list, message = lanes(exchange:format("bar.sync 0;", 128), 64)
        assert.are.equal("", message)
        assert.are.equal(32, list[1])
        message = message_of(exchange:format("bar.warp.sync -1;", 4), 64)
        assert.are.equal("", message)
        message = message_of(exchange:format("", 4), 64)
        assert.matches("^read by thread %d+ of shared memory at %d+, in no order with the write by thread", message)
        message = message_of(exchange:format("bar.warp.sync -1;", 128), 64)
        assert.matches("^read by thread %d+ of shared memory at %d+", message)
    end)

    for name, case in pairs {
        ["an instruction"] = { "add.rz.f32 %r1, %r1, %r1;", ":%d+: instruction add.rz.f32 is unknown" },
        ["a form"] = { "bar.sync 0, 32;", ":%d+: bar.sync with 2 operands is unknown" },
        ["a register"] = { "add.s32 %r1, %r1, %x1;", ":%d+: %%x1 is unknown" },
        ["a label"] = { "bra NOWHERE;", "label NOWHERE is missing" },
        ["an address"] = { "ld.global.u32 %r1, [%d4+1099511627776];", "^read of 4 bytes outside of what is allocated, "
            .. "at .*, in block %(0,0,0%) at [^:]*:%d+: ld.global.u32" },
        ["a misaligned address"] = { "ld.global.u32 %r1, [%d4+2];", "^a misaligned access of 4 bytes" },
        ["shared memory"] = { ".shared .align 4 .b8 room[4]; ld.shared.u32 %r1, [room+4];",
            "^read of 4 bytes outside of the shared memory" },
        ["contents"] = { ".shared .align 4 .b8 room[4]; ld.shared.u32 %r1, [room];", "that the block has not written" },
        ["a division by 0"] = { "div.u32 %r1, %r0, 0;", "^a division by zero" },
        ["lanes that are missing"] = { "setp.eq.u32 %p0, %r0, 3; @%p0 bra OVER; bar.sync 0; OVER: bar.warp.sync -1;",
            "wait for ever" },
    } do
        it("refuses " .. name, function()
            assert.matches(case[2], message_of(case[1]))
        end)
    end
end)
