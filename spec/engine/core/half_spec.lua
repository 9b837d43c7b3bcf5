--- bf16 and f16 converted from f32 and back, by copies on every device.

local tensor = require "bertlua.tensor"
local array = require "bertlua.array"
local memory = require "bertlua.memory"
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

    it("keeps NaN whose payload lies in truncated bits", scoped(function()
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

    it("rounds the same singly and in rows", scoped(function()
        for dtype in pairs(FORMAT) do
            local x = support.random("f32", { 64, 3 }, 1, 1000)
            local rows = tensor.new(dtype, { 64, 3 }):copy_from(x)
            local wide = tensor.new(dtype, { 3, 64 }):transpose(1, 2):copy_from(x)
            local back = tensor.new(dtype, { 64, 3 }):copy_from(wide)
            support.assert_same(back, rows)
        end
    end))
end)
