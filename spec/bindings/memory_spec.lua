--- Buffers, arenas, typed arrays, contexts, the random generator, and where op errors point.

local array = require "bertlua.array"
local context = require "bertlua.context"
local memory = require "bertlua.memory"
local ops = require "bertlua.ops"
local optim = require "bertlua.optim"
local rng = require "bertlua.rng"
local tensor = require "bertlua.tensor"

--- fn must fail with this text, at the line it is defined on.
local function assert_fails(pattern, fn)
    local ok, message = pcall(fn)
    assert.is_false(ok)
    local line = debug.getinfo(fn, "S").linedefined
    assert.is_truthy(tostring(message):find("memory_spec.lua:" .. line .. ": " .. pattern), tostring(message))
end

describe("buffer", function()
    it("holds tensors that share its memory", function()
        local buffer = memory.buffer(128)
        local all = buffer:tensor(0, "f32", { 32 })
        local part = buffer:tensor(64, "f32", { 2, 2 })
        part:set { 1, 2, 3, 4 }
        assert.are.same({ { 1, 2 }, { 3, 4 } }, all:slice(1, 17, 20):view(2, 2):tolist())
        buffer:free()
    end)

    it("refuses what does not fit, and use after free", function()
        local buffer = memory.buffer(64)
        assert_fails("buffer: 68 bytes at offset 0 do not fit in 64", function() buffer:tensor(0, "f32", { 17 }) end)
        assert_fails("memory: bytes is %-1", function() memory.buffer(-1) end)
        buffer:free()
        buffer:free()
        assert_fails("memory: it has already been freed", function() buffer:tensor(0, "f32", { 1 }) end)
    end)
end)

describe("arena", function()
    it("repeats its addresses, keeps its peak and reuses released memory", function()
        local arena = memory.arena(1e6)
        local first = arena:tensor("f32", { 100 })
        local second = arena:tensor("bf16", { 10, 10 })
        local used = arena:used()
        assert.is_true(used >= 600 and arena:peak() >= used)
        arena:release(first)
        assert.are.equal(first.data, arena:tensor("f32", { 50 }).data)
        arena:reset()
        assert.are.equal(0, arena:used())
        assert.is_true(arena:peak() >= used)
        assert.are.equal(first.data, arena:tensor("f32", { 100 }).data)
        assert.are.equal(second.data, arena:tensor("bf16", { 10, 10 }).data)
        arena:free()
        assert_fails("memory: it has already been freed", function() arena:reset() end)
    end)

    it("says when it is full and when a tensor is not its own", function()
        local arena = memory.arena(1024)
        local other = memory.buffer(64)
        assert_fails("arena: no room for 4000 bytes", function() arena:tensor("f32", { 1000 }) end)
        local foreign = other:tensor(0, "f32", { 1 })
        assert_fails("arena: .* does not start a live block", function() arena:release(foreign) end)
        assert_fails("arena: release got nil", function() arena:release(nil) end)
        assert_fails("memory: capacity is nil", function() memory.arena() end)
        other:free()
        arena:free()
    end)
end)

describe("array", function()
    it("starts as zeros and takes lists", function()
        local zeros, values = array.int32(3), array.float { 1.5, -2 }
        assert.are.same({ 0, 0, 0 }, { zeros[0], zeros[1], zeros[2] })
        assert.are.same({ 1.5, -2 }, { values[0], values[1] })
        assert.are.equal(12, array.sizeof(zeros))
        assert.are.equal("ab", array.string(array.uint8 { 97, 98, 99 }, 2))
        assert.are.equal(2 ^ 40, tonumber(array.int64({ 2 ^ 40 })[0]))
    end)
end)

describe("context", function()
    it("opens on first use and describes the device", function()
        assert.are.equal("cpu", context.device())
        assert.is_true(context.threads() >= 1)
        assert.is_truthy(context.describe():find "oneDNN")
        assert.is_boolean(context.fast_dtype "bf16")
    end)

    it("opens the same settings once, and refuses wrong ones", function()
        local before = context.current()
        local one = context.open { threads = 1 }
        assert.are.equal(1, context.threads())
        assert.are.equal(one, context.open { threads = 1, device = "cpu" })
        context.open { threads = before.threads }
        local function unknown() context.open { device = "gpu" } end
        assert_fails("context: device is gpu, expected cpu, cuda or auto", unknown)
        local function negative() context.open { device = "cuda", device_index = -1 } end
        assert_fails("context: device_index is %-1, expected 0 or more", negative)
        assert_fails("context: threads is string", function() context.open { threads = "two" } end)
    end)
end)

describe("op errors", function()
    it("carry the engine's message to the caller's line", function()
        tensor.scope(function()
            local x, w, y = tensor.new("f32", { 2, 8 }), tensor.new("f32", { 4, 5 }), tensor.new("f32", { 2, 4 })
            assert_fails("linear", function() ops.linear_forward(y, nil, x, w, nil) end)
            assert_fails("activation is relu, expected none, gelu or tanh",
                function() ops.linear_forward(y, nil, x, w, nil, "relu") end)
            assert_fails("reduction is median", function() ops.reduce(y, x, "median") end)
            assert_fails("copy: dst is f32 %[2,4%]", function() ops.copy(y, x) end)
            assert_fails("optim.prepare: param is missing", function() optim.prepare {} end)
        end)
    end)
end)

describe("rng", function()
    it("draws the same numbers for the same seed and stream", function()
        local a, b, other = rng.new(42, 1), rng.new(42, 1), rng.new(42, 2)
        local same, different = true, false
        for _ = 1, 20 do
            local x = a:double()
            same = same and x == b:double()
            different = different or x ~= other:double()
        end
        assert.is_true(same and different)
    end)

    it("stays in its interval and reaches both ends", function()
        local r, seen = rng.new(7), {}
        for _ = 1, 300 do seen[r:integer(-1, 2)] = true end
        assert.are.same({ [-1] = true, [0] = true, [1] = true, [2] = true }, seen)
    end)

    it("shuffles without losing a value", function()
        local values, order, moved = array.int64(50), {}, false
        for i = 0, 49 do values[i] = i end
        rng.new(3):shuffle(values, 50)
        for i = 0, 49 do
            order[#order + 1] = tonumber(values[i])
            moved = moved or values[i] ~= i
        end
        table.sort(order)
        assert.is_true(moved and order[1] == 0 and order[50] == 49)
    end)

    it("goes on where it was saved, inside a block too", function()
        for drawn = 0, 5 do
            local r = rng.new(2 ^ 52 + 1, 9)
            for _ = 1, drawn do r:u32() end
            local copy = rng.restore(r:save())
            for _ = 1, 6 do assert.are.equal(r:u32(), copy:u32()) end
        end
        assert_fails("rng: seed is nil", function() rng.new() end)
        assert_fails("rng.restore: state is", function() rng.restore "nonsense" end)
    end)
end)
