local tensor = require "bertlua.tensor"
local array = require "bertlua.array"
local memory = require "bertlua.memory"
local ops = require "bertlua.ops"
local support = require "spec.support.ops"

local scoped = support.scoped

-- Round to nearest even with `digits` binary digits after the leading one and a smallest exponent.
local function round_to(x, digits, smallest, limit)
    if x == 0 or x ~= x or math.abs(x) == math.huge then return x end
    local _, exponent = math.frexp(math.abs(x))
    local quantum = 2 ^ (math.max(exponent - 1, smallest) - digits)
    local scaled = math.abs(x) / quantum
    local whole = math.floor(scaled)
    local rest = scaled - whole
    if rest > 0.5 or (rest == 0.5 and whole % 2 == 1) then whole = whole + 1 end
    local value = whole * quantum
    if value > limit then value = math.huge end
    return x < 0 and -value or value
end

local FORMAT = {
    bf16 = { 7, -126, (2 - 2 ^ -7) * 2 ^ 127 },
    f16 = { 10, -14, 65504 },
}

describe("half precision", function()
    it("keeps every one of its own values, NaN included, on the way through f32", scoped(function()
        for dtype in pairs(FORMAT) do
            local bits, got = array.uint16(65536), array.uint16(65536)
            for i = 0, 65535 do bits[i] = i end
            local half, back = tensor.new(dtype, { 65536 }), tensor.new(dtype, { 65536 })
            half:copy_from(tensor.wrap(bits, dtype, { 65536 }))
            local single = tensor.new("f32", { 65536 }):copy_from(half)
            back:copy_from(single)
            tensor.wrap(got, dtype, { 65536 }):copy_from(back)
            local values = single:tolist()
            for i = 0, 65535 do
                if values[i + 1] == values[i + 1] then
                    assert(got[i] == i, ("%s bits 0x%04x became 0x%04x"):format(dtype, i, got[i]))
                else
                    local value = back:slice(1, i + 1, i + 1):item()
                    assert(value ~= value, ("%s NaN 0x%04x became 0x%04x"):format(dtype, i, got[i]))
                end
            end
        end
    end))

    it("rounds to nearest even, also subnormals, ties and overflow", scoped(function()
        local values = { 0, 1, 65519.99, 65520, 65504, 3e38, 3.4e38, 2 ^ -24, 2 ^ -25, 3 * 2 ^ -25, 2 ^ -26, 2 ^ -140 }
        for dtype, format in pairs(FORMAT) do
            for k = 1, 200 do
                local unit = 2 ^ -format[1]
                values[#values + 1] = 1 + (k + 0.5) * unit -- exact ties
                values[#values + 1] = -(1 + (k + 0.5 + 2 ^ -12) * unit)
                values[#values + 1] = 10 ^ (-9 + 0.08 * k) * 1.2345
            end
            local single = tensor.from(values)
            local held = single:tolist()
            local got = tensor.new(dtype, { #values }):copy_from(single):tolist()
            for i, x in ipairs(held) do
                local expected = round_to(x, format[1], format[2], format[3])
                assert(got[i] == expected, ("%s of %.9g is %.9g, expected %.9g"):format(dtype, x, got[i], expected))
            end
            local odd = tensor.new(dtype, { 3 }):copy_from(tensor.from { 0 / 0, math.huge, -math.huge }):tolist()
            assert.is_true(odd[1] ~= odd[1])
            assert.are.equal(math.huge, odd[2])
            assert.are.equal(-math.huge, odd[3])
        end
    end))

    it("keeps NaN whose mark lies in bits that are cut off", scoped(function()
        local patterns = { 0x7f800001, 0x7fffffff, 0x7f80ffff, 0x7fc00000, 0x7f801fff }
        for i = 1, 5 do patterns[i + 5] = patterns[i] - 2 ^ 31 end -- the same with the sign bit
        local buffer = memory.buffer(256)
        buffer:tensor(0, "i32", { 10 }):set(patterns)
        for dtype in pairs(FORMAT) do
            local got = tensor.new(dtype, { 10 }):copy_from(buffer:tensor(0, "f32", { 10 })):tolist()
            for i = 1, 10 do assert(got[i] ~= got[i], ("%s: NaN %d became %g"):format(dtype, i, got[i])) end
        end
        buffer:free()
    end))

    it("rounds alike one by one and in rows", scoped(function()
        for dtype in pairs(FORMAT) do
            local x = support.random("f32", { 64, 3 }, 1, 1000)
            local rows = tensor.new(dtype, { 64, 3 }):copy_from(x)
            local wide = tensor.new(dtype, { 3, 64 }):transpose(1, 2):copy_from(x)
            local back = tensor.new(dtype, { 64, 3 }):copy_from(wide)
            support.assert_same(back, rows)
        end
    end))
end)

describe("copy", function()
    it("converts between every two dtypes", scoped(function()
        local dtypes = { "f32", "bf16", "f16", "i32", "i64", "i8" }
        local values = { 0, 1, -1, 5, -128, 127 }
        for _, from in ipairs(dtypes) do
            for _, to in ipairs(dtypes) do
                local t = support.poisoned(to, { 2, 3 }):copy_from(tensor.from(values, from):view(2, 3))
                assert.are.same({ { 0, 1, -1 }, { 5, -128, 127 } }, t:tolist())
            end
        end
    end))

    it("truncates to integers and stays in their range", scoped(function()
        local x = tensor.from { 1.9, -1.9, 1e10, -1e10, 0 / 0, math.huge }
        assert.are.same({ 1, -1, 127, -128, 0, 127 }, tensor.new("i8", { 6 }):copy_from(x):tolist())
        assert.are.same({ 1, -1, 2 ^ 31 - 1, -2 ^ 31, 0, 2 ^ 31 - 1 }, tensor.new("i32", { 6 }):copy_from(x):tolist())
    end))

    it("follows strides on both sides", scoped(function()
        local x, values = support.random("f32", { 2, 3, 5 }, 1)
        local y = support.poisoned("f32", { 5, 3, 2 })
        y:copy_from(x:transpose(1, 3))
        local got = y:tolist()
        for a = 1, 2 do
            for b = 1, 3 do
                for c = 1, 5 do assert.are.equal(values[((a - 1) * 3 + b - 1) * 5 + c], got[c][b][a]) end
            end
        end
        local z = tensor.new("bf16", { 4, 6 }):fill(7)
        z:slice(2, 2, 3):slice(1, 2, 3):copy_from(tensor.from { { 1, 2 }, { 3, 4 } })
        assert.are.same({
            { 7, 7, 7, 7, 7, 7 }, { 7, 1, 2, 7, 7, 7 }, { 7, 3, 4, 7, 7, 7 }, { 7, 7, 7, 7, 7, 7 },
        }, z:tolist())
    end))

    it("covers more elements than one thread's share", scoped(function()
        local x, values = support.random("f32", { 100003 }, 1)
        local y = support.poisoned("f32", { 100003 }):copy_from(x)
        support.assert_close(y, values, 0)
    end))

    it("names the shapes that differ", scoped(function()
        local y = support.poisoned("f32", { 3, 2 })
        support.assert_rejects("copy: dst is f32 [3,2], expected", { y }, function()
            ops.copy(y, tensor.new("f32", { 2, 3 }))
        end)
    end))
end)

describe("fill", function()
    it("sets every element of a view and nothing else", scoped(function()
        for _, dtype in ipairs { "f32", "bf16", "f16", "i32", "i64", "i8" } do
            local t = tensor.new(dtype, { 2, 4 })
            t:slice(2, 2, 3):fill(-3)
            assert.are.same({ { 0, -3, -3, 0 }, { 0, -3, -3, 0 } }, t:tolist())
        end
    end))
end)
