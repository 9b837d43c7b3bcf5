local device = require "bertlua.device"
local tensor = require "bertlua.tensor"
local memory = require "bertlua.memory"
local context = require "bertlua.context"
local support = require "spec.support.ops"

local MIB = 2 ^ 20

-- Bytes from the start of one tensor to that of another.
local function distance(from, to)
    return tonumber(to:data_ptr "char" - from:data_ptr "char")
end

describe("buffer", function()
    it("is zeroed and 64-byte aligned, small and large", function()
        for _, bytes in ipairs { 64, 4 * MIB } do
            local buffer = memory.buffer(bytes)
            local t = buffer:tensor(0, "i64", { bytes / 8 })
            assert.is_true(tostring(t:data_ptr "char"):match "[048c]0$" ~= nil)
            local values = t:data_ptr "int64_t"
            for i = 0, bytes / 8 - 1, 7 do assert(values[i] == 0) end
            buffer:free()
        end
    end)

    it("refuses tensors that do not fit or are not aligned to their elements", function()
        local buffer = memory.buffer(256)
        buffer:tensor(64, "f32", { 48 })
        support.assert_rejects("buffer: 196 bytes at offset 64 do not fit in 256", {}, function()
            buffer:tensor(64, "f32", { 49 })
        end)
        support.assert_rejects("buffer: offset is 2, expected a multiple of 4 for f32", {}, function()
            buffer:tensor(2, "f32", { 1 })
        end)
        support.assert_rejects("buffer: the shape is larger than the address space", {}, function()
            buffer:tensor(0, "f32", { 2 ^ 31, 2 ^ 31, 2 })
        end)
        buffer:free()
    end)
end)

describe("arena", function()
    it("reserves far more than the machine has, and touches what is used", function()
        -- Not more than that: emulators keep a record of each page.
        local _, total = device.memory()
        local arena = memory.arena(4 * total)
        arena:tensor("f32", { 1000 }):fill(1)
        assert.are.equal(device.is_host() and 4032 or 4096, arena:used())
        arena:free()
    end)

    it("aligns to 64 bytes, on a GPU to 256, and reuses the first gap that fits", function()
        local arena, step = memory.arena(MIB), device.is_host() and 64 or 256
        local a, b, c = arena:tensor("i8", { step + 36 }), arena:tensor("i8", { step }), arena:tensor("i8", { 1 })
        assert.are.equal(2 * step, distance(a, b))
        assert.are.equal(3 * step, distance(a, c))
        arena:release(a)
        assert.are.equal(0, distance(a, arena:tensor("i8", { 2 * step })))
        assert.are.equal(4 * step, distance(a, arena:tensor("i8", { step + 1 })))
        assert.are.equal(6 * step, arena:used())
        arena:free()
    end)

    it("joins neighbouring gaps, whichever is released first", function()
        for _, order in ipairs { { 1, 2, 3 }, { 3, 2, 1 }, { 1, 3, 2 }, { 2, 1, 3 } } do
            local arena = memory.arena(MIB)
            local blocks = {}
            for i = 1, 3 do blocks[i] = arena:tensor("i8", { 256 }) end
            local guard = arena:tensor("i8", { 256 })
            for _, i in ipairs(order) do arena:release(blocks[i]) end
            assert.are.equal(0, distance(blocks[1], arena:tensor("i8", { 768 })))
            assert.are.equal(768, distance(blocks[1], guard))
            arena:free()
        end
    end)

    it("gives the same addresses for the same calls, over many blocks", function()
        local arena = memory.arena(16 * MIB)
        local first
        local function trace()
            local live, seen = {}, {}
            for i = 1, 700 do
                live[#live + 1] = arena:tensor("i8", { 1 + i * 37 % 500 })
                first = first or live[#live]
                seen[#seen + 1] = distance(first, live[#live])
                if i % 3 == 0 then arena:release(table.remove(live, 1 + i * 7 % #live)) end
            end
            return seen
        end
        local once = trace()
        local peak = arena:peak()
        arena:reset()
        assert.are.equal(0, arena:used())
        assert.are.same(once, trace())
        assert.are.equal(peak, arena:peak())
        arena:free()
    end)

    it("keeps live blocks apart", function()
        local arena = memory.arena(MIB)
        local live = {}
        for i = 1, 200 do
            local t = arena:tensor("i32", { 1 + i * 13 % 50 }):fill(i)
            live[#live + 1] = { t = t, value = i }
            if i % 4 == 0 then arena:release(table.remove(live, 1 + i * 5 % #live).t) end
        end
        for _, entry in ipairs(live) do
            for _, value in ipairs(entry.t:tolist()) do assert.are.equal(entry.value, value) end
        end
        arena:free()
    end)

    it("says how full it is, and knows its own blocks", function()
        local arena = memory.arena(1024)
        local t = arena:tensor("i8", { 1000 })
        support.assert_rejects("arena: no room for 64 bytes (1024 of 1024 in use)", {}, function()
            arena:tensor("i8", { 64 })
        end)
        support.assert_rejects("does not start a live block of this arena", {}, function()
            arena:release(t:slice(1, 2, 3))
        end)
        arena:release(t)
        support.assert_rejects("does not start a live block of this arena", {}, function() arena:release(t) end)
        support.assert_rejects("does not start a live block of this arena", {}, function()
            arena:release(tensor.new("f32", { 1 }))
        end)
        assert.are.equal(1024, arena:peak())
        arena:free()
    end)
end)

describe("context", function()
    it("describes the machine and takes a thread count", function()
        assert.are.equal(3, context.open { threads = 3 }.threads)
        assert.is_truthy(context.describe():find("3 threads", 1, true))
        assert.is_truthy(context.describe():find("oneDNN %d+%.%d+%.%d+"))
        context.open {}
        assert.is_true(context.threads() >= 1)
        assert.is_true(context.fast_dtype "f32")
        assert.is_false(context.fast_dtype "i32")
    end)

    it("refuses a thread count that makes no sense", function()
        support.assert_rejects("context: threads is -1, expected 0 (all cores) to 4096", {}, function()
            context.open { threads = -1 }
        end)
        context.open {}
    end)
end)
