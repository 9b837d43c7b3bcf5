--- Traces as chrome://tracing reads them. What a training run writes into one: spec/recipes/trace_spec.lua.

local Trace = require "bertlua.util.trace"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"

describe("trace", function()
    local folder

    before_each(function() folder = assert(fs.temporary_folder()) end)
    after_each(function() fs.remove(folder) end)

    it("has one file per rank", function()
        assert.are.equal("a/trace.json", Trace.path("a/trace.json", 0))
        assert.are.equal("a/trace.rank3.json", Trace.path("a/trace.json", 3))
        assert.are.equal("a.b/trace.rank3", Trace.path("a.b/trace", 3))
    end)

    it("is JSON: one row per track, one bar per span, times in microseconds", function()
        local trace = assert(Trace.open(folder .. "/new/trace.json", { rank = 2 }))
        assert.are.equal(folder .. "/new/trace.rank2.json", trace.path)
        trace:span("compute", "forward", 1, 1.5)
        trace:span("compute", "backward", 1.5, 1.25, { step = 7 })
        trace:collectives { spans = function()
            return { { name = "all_reduce f32 64", begin = 2, finish = 3, number = 9, bytes = 256 } }
        end }
        assert.is_true(trace:close())
        assert.is_true(trace:close())
        trace:span("compute", "too late", 1, 2)
        local value = assert(json.read(trace.path))
        assert.are.equal("ms", value.displayTimeUnit)
        local bars, tracks = {}, {}
        for _, event in ipairs(value.traceEvents) do
            assert.are.equal(2, event.pid)
            if event.ph == "X" then bars[#bars + 1] = event end
            if event.name == "thread_name" then tracks[event.tid] = event.args.name end
        end
        assert.are.same({ "compute", "communication" }, tracks)
        assert.are.equal(3, #bars)
        assert.are.same({ "forward", 1e6, 0.5e6, 1 }, { bars[1].name, bars[1].ts, bars[1].dur, bars[1].tid })
        -- A bar never has a negative length.
        assert.are.same({ 0, 7 }, { bars[2].dur, bars[2].args.step })
        assert.are.same({ "all_reduce f32 64", 2, 9, 256 }, { bars[3].name, bars[3].tid, bars[3].args.number,
            bars[3].args.bytes })
    end)

    it("says why it cannot be written", function()
        assert(fs.write(folder .. "/file", "x"))
        local trace, message = Trace.open(folder .. "/file/trace.json")
        assert.is_nil(trace)
        assert.is_truthy(message:find(folder .. "/file", 1, true), message)
        trace, message = Trace.open(folder)
        assert.is_nil(trace)
        assert.is_truthy(message:find("trace file " .. folder, 1, true), message)
        trace = assert(Trace.open "/dev/full")
        trace:span("compute", "forward", 1, 2)
        local written
        written, message = trace:close()
        assert.is_nil(written)
        assert.are.equal("/dev/full: cannot write: No space left on device", message)
    end)

    it("can be absent, with the same methods", function()
        Trace.none:span("compute", "forward", 0, 1)
        Trace.none:collectives()
        assert.are.equal(0, Trace.none.now())
        assert.is_true(Trace.none:close())
    end)
end)
