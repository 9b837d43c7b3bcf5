--- A trace of training in two processes shows that gradients are reduced during the backward pass.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local mpi = require "spec.support.mpi"
local pretraining = require "spec.support.pretraining"

local mpi_it = mpi.specs(it, pending)

describe("trace_file", function()
    local job
    setup(function() job = pretraining.new() end)
    teardown(function() job:close() end)

    --- Spans of a trace by name, in the order in which they began.
    local function spans(path)
        local by_name = {}
        for _, event in ipairs(json.decode(assert(fs.read(path))).traceEvents) do
            if event.ph == "X" then
                local name = event.name:match "^%S+"
                by_name[name] = by_name[name] or {}
                table.insert(by_name[name], event)
            end
        end
        return by_name
    end

    mpi_it("shows collectives beside the backward pass, one file per rank", function()
        local config = job:write_config({ hidden_size = 128, intermediate_size = 512, num_hidden_layers = 4 },
            "wide.json")
        assert(fs.mkdirs(job.dir .. "/traces"))
        local trace = job.dir .. "/traces/step.json"
        local command = job:command("pretrain_phase1.lua", { device = "cpu", ["config-file"] = config,
            ["trace-file"] = trace, ["gradient-bucket-mib"] = 0.25, ["tensorboard-dir"] = "none" })
        local output, code = mpi.run(2, (command:gsub("^%S+ ", "")))
        assert.are.equal(0, code, output)
        local overlapped = 0
        for _, path in ipairs { trace, (trace:gsub("%.json", ".rank1.json")) } do
            local found = spans(path)
            for _, name in ipairs { "forward", "backward", "update" } do assert.are.equal(4, #found[name], name) end
            for i, backward in ipairs(found.backward) do
                assert.is_true(found.forward[i].ts + found.forward[i].dur <= backward.ts + 1)
                local finish = backward.ts + backward.dur
                for _, reduce in ipairs(found.all_reduce) do
                    assert.is_true(reduce.dur >= 0 and reduce.args.bytes > 0)
                    if reduce.ts > backward.ts and reduce.ts < finish then overlapped = overlapped + 1 end
                end
            end
        end
        assert.is_true(overlapped > 0, "no collective began during a backward pass")
    end)

    it("that cannot be written is refused", function()
        local code, output = job:run("pretrain_phase1.lua", { device = "cpu", ["trace-file"] = "/proc/none/trace.json",
            ["tensorboard-dir"] = "none", ["output-dir"] = job.dir .. "/refused" })
        assert.are.equal(1, code)
        assert.is_truthy(output:find("bertlua: [^\n]*/proc/none"), output)
    end)
end)
