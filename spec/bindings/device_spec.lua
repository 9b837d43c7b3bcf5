--- Work that overlaps: events, pinned memory, copies that do not wait, graphs; on the CPU and on a GPU alike.

local context = require "bertlua.context"
local device = require "bertlua.device"
local ops = require "bertlua.ops"
local tensor = require "bertlua.tensor"

describe("device", function()
    it("copies pinned memory there and back without waiting", function()
        local pinned = device.pinned(512)
        local from, to = pinned:tensor(0, "i32", { 16 }), pinned:tensor(256, "i32", { 16 })
        assert.are.same({ 0, 0 }, { unpack(to:tolist(), 1, 2) })
        local values = {}
        for i = 1, 16 do values[i] = 3 * i end
        from:set(values)
        local there, done = tensor.new("i32", { 16 }), device.event()
        device.upload(there, from, "copy")
        done:record "copy"
        done:hold "compute"
        device.download(to, there, "compute")
        done:record()
        done:wait()
        assert.is_true(done:is_reached())
        assert.are.same(values, to:tolist())
        done:free()
        pinned:free()
    end)

    it("refuses what does not fit", function()
        local pinned = device.pinned(64)
        assert.has_error(function() pinned:tensor(32, "f32", { 16 }) end)
        local small = pinned:tensor(0, "f32", { 4 })
        assert.has_error(function() device.download(small, tensor.new("f32", { 5 })) end)
        assert.has_error(function() device.event():record "other" end,
            "device: stream is other, expected compute or copy")
        assert.has_error(function() device.event():seconds_to(device.event()) end)
        pinned:free()
    end)

    it("counts an event that was never recorded as reached, and tells the time between timed ones", function()
        local first, last = device.event(true), device.event(true)
        assert.is_true(first:is_reached())
        first:wait()
        first:record()
        ops.fill(tensor.new("f32", { 1000 }), 1)
        last:record()
        last:wait()
        assert.is_true(first:seconds_to(last) >= 0)
    end)

    it("mirrors views of pinned memory on the device", function()
        local pinned = device.pinned(256)
        local whole, part = pinned:tensor(0, "i32", { 64 }), pinned:tensor(64, "i32", { 2, 3 })
        part:set { 1, 2, 3, 4, 5, 6 }
        local block = tensor.new("i32", { 64 })
        local done = device.event()
        device.upload(block, whole)
        done:record():wait()
        assert.are.same({ { 1, 2, 3 }, { 4, 5, 6 } }, device.mirror(part, whole, block):tolist())
        assert.has_error(function() device.mirror(tensor.from({ 1 }, "i32"), whole, block) end)
        pinned:free()
    end)

    it("knows how full the device is", function()
        local free, total = device.memory()
        assert.is_true(free > 0 and total >= free)
    end)

    it("records ops without running them, where there are graphs", function()
        local x = tensor.new("f32", { 8 })
        local function work() ops.axpby(x, x, 1, 1) end
        ops.fill(x, 1)
        work()
        local graph, message, unsupported = device.record(work)
        assert.are.equal(2, x:tolist()[1], "recording runs nothing")
        if context.device() == "cpu" then
            assert.is_nil(graph)
            assert.is_true(unsupported)
            assert.is_string(message)
            return
        end
        graph:launch()
        graph:launch()
        assert.are.equal(8, x:tolist()[1])
        graph:free()
        local failed
        graph, failed, unsupported = device.record(function() error("no", 0) end)
        assert.is_nil(graph)
        assert.are.equal("no", failed)
        assert.is_falsy(unsupported)
        work()
        assert.are.equal(16, x:tolist()[1], "ops run again after a recording that failed")
    end)

    -- On a GPU a free spoils the recording that it falls into.
    it("frees nothing while it records, though the collector runs within and is due at both edges", function()
        if context.device() == "cpu" then return end
        local x = tensor.new("f32", { 8 })
        local function work() ops.axpby(x, x, 1, 1) end
        local function litter()
            local list = {}
            for i = 1, 20 do
                list[i] = { device.pinned(64, true), device.event(false, true), tensor.new("f32", { 8 }) }
            end
            return list
        end
        ops.fill(x, 1)
        work()
        local held = { before = litter(), within = litter(), after = litter() }
        local left = setmetatable({}, { __mode = "k" })
        for _, list in pairs(held) do left[list] = true end
        -- The collector begins a cycle at the next allocation, and ends it in one step.
        local pause, step = collectgarbage("setpause", 1), collectgarbage("setstepmul", 1000000)
        held.before = nil
        local graph, message = device.record(function()
            held.within = nil
            collectgarbage()
            collectgarbage()
            work()
            held.after = nil
        end)
        collectgarbage("setpause", pause)
        collectgarbage("setstepmul", step)
        assert.is_truthy(graph, message)
        collectgarbage()
        collectgarbage()
        assert.is_nil(next(left), "all were free to go")
        graph:launch()
        assert.are.equal(4, x:tolist()[1])
        graph:free()
    end)
end)
