--- Device memory: arenas that take memory as they use it, the message when there is none, and values that equal the
-- CPU's to the bit.

local array = require "bertlua.array"
local context = require "bertlua.context"
local memory = require "bertlua.memory"
local ops = require "bertlua.ops"
local support = require "spec.support.ops"
local tensor = require "bertlua.tensor"

if context.device() ~= "cuda" then return end

local scoped = support.scoped
local GIB = 2 ^ 30

local function message_of(fn)
    local ok, message = pcall(fn)
    assert.is_false(ok)
    return tostring(message)
end

describe("device memory", function()
    it("tells bytes asked for, free and in all when it is out", function()
        local message = message_of(function() memory.buffer(2 ^ 50) end)
        local asked = "memory: 1125899906842624 bytes (1048576.00 GiB) of GPU memory requested"
        assert.is_truthy(message:find(asked, 1, true), message)
        assert.is_truthy(message:find("[%d.]+ GiB of [%d.]+ GiB free; use a smaller batch"), message)
    end)

    it("reserves addresses for an arena beyond it, and continues after running out", function()
        local arena = memory.arena(2 ^ 40)
        local t = arena:tensor("f32", { 1000, 1000 }):fill(3)
        assert.is_truthy(message_of(function() arena:tensor("i8", { 500 * GIB }) end):find "arena: %d+ bytes .* of GPU")
        local more = arena:tensor("f32", { 5 }):fill(4)
        assert.are.same({ 4, 4, 4, 4, 4 }, more:tolist())
        assert.are.equal(3, t:select(1000):tolist()[1000])
        assert.is_true(arena:peak() < 2 ^ 23)
        arena:reset()
        arena:free()
    end)

    it("holds zeros at first, and hands uploads through in pieces", scoped(function()
        local n = 5 * 2 ^ 19 + 3 -- several segments of pinned memory, the last one not whole
        local t = tensor.new("i32", { n })
        assert.are.equal(0, t:slice(1, n, n):item())
        local values = array.int32(n)
        for i = 0, n - 1 do values[i] = i * 7 end
        t:set(values)
        values[0], values[n - 1] = -1, -1 -- the upload does not refer to the caller's memory
        local host = t:host()
        local got, wrong = array.wrap(host), 0
        for i = 0, n - 1 do
            if got[i] ~= i * 7 then wrong = wrong + 1 end
        end
        assert.are.equal(0, wrong)
    end))

    it("exchanges views with the host, whatever their strides and dtypes", scoped(function()
        local host = tensor.wrap(array.float { 1, 2, 3, 4, 5, 6 }, "f32", { 2, 3 })
        local t = tensor.new("bf16", { 3, 2 }):copy_from(host:transpose(1, 2))
        assert.are.same({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, t:tolist())
        assert.are.same({ { 1, 2, 3 }, { 4, 5, 6 } }, t:transpose(1, 2):tolist())
        t:slice(2, 2, 2):copy_from(host:slice(1, 1, 1):view(3, 1))
        assert.are.same({ { 1, 1 }, { 2, 2 }, { 3, 3 } }, t:tolist())
        host:copy_from(t:transpose(1, 2))
        assert.are.same({ { 1, 2, 3 }, { 1, 2, 3 } }, host:tolist())
        assert.is_truthy(message_of(function() t:copy_from(host) end):find "copy_from: got f32 2x3 cpu")
    end))
end)

describe("random values on a device", function()
    --- The same fills on the CPU and here, as lists.
    local function fill_both(dtype, fill)
        local here = tensor.new(dtype, { 4099 })
        fill(here)
        local options = { device = "cuda", threads = context.threads() }
        context.open { device = "cpu" }
        local there = tensor.new(dtype, { 4099 })
        fill(there)
        local expected = there:tolist()
        context.open(options)
        return expected, here:tolist()
    end

    for _, dtype in ipairs { "f32", "bf16", "f16" } do
        it("are the CPU's to the bit: " .. dtype, scoped(function()
            local expected, got = fill_both(dtype, function(t) ops.fill_normal(t, 0.5, 2, 11, 2 ^ 33 + 5) end)
            assert.are.same(expected, got)
            expected, got = fill_both(dtype, function(t) ops.fill_uniform(t, -1, 3, 11, 7) end)
            assert.are.same(expected, got)
        end))
    end
end)
