--- The precision of a run: as asked for, as the CPU allows, as it was before a resume.

local checkpoint = require "bertlua.train.checkpoint"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local pretraining = require "spec.support.pretraining"
local precision = require "bertlua.jobs.common.precision"
local progress_file = require "bertlua.train.progress_file"

local function refused(pattern, fn, ...)
    local ok, problem = pcall(fn, ...)
    assert.is_false(ok)
    assert.is_true(fault.is(problem), tostring(problem))
    assert.matches(pattern, tostring(problem))
end

local function values_of(changes)
    local values = { device = "cpu", amp = false, amp_dtype = "bf16", scale_loss = 1 }
    for name, value in pairs(changes) do values[name] = value end
    return values
end

describe("what settings ask for", function()
    local function asked(changes, sources)
        return precision.asked(values_of(changes), sources or {})
    end

    it("is what precision says, else what amp says", function()
        assert.are.equal("fp32", asked {})
        assert.are.equal("bf16", asked { amp = true })
        assert.are.equal("fp16", asked { amp = true, amp_dtype = "fp16" })
        assert.are.equal("bf16", asked { precision = "amp" })
        -- The command line's precision overrides the recipe's amp, but not the command line's own.
        assert.are.equal("fp32", asked({ precision = "fp32", amp = true }, { amp = "recipe" }))
        refused("^%-%-amp true and %-%-precision fp32 contradict each other", asked,
            { precision = "fp32", amp = true }, { amp = "command line" })
    end)

    it("is refused on the CPU where only a GPU supports it", function()
        refused("use%-pure%-fp16 needs a GPU", asked, { use_pure_fp16 = true })
        refused("precision tf32 needs a GPU", asked, { precision = "tf32" })
    end)
end)

describe("mixed precision", function()
    --- @param fast set of dtypes that the device multiplies fast
    -- @return precision, notes
    local function settled(changes, sources, fast, before)
        local run = { notes = {}, start = { path = "out/6" } }
        precision.settle(run, values_of(changes), sources or {}, before, function(dtype) return fast[dtype] end)
        assert.are.equal(precision.asked(values_of(changes), sources or {}) ~= "fp32", run.amp)
        return run.precision, run.notes
    end
    local FAST, SLOW = { bf16 = true }, {}

    it("is what was asked for where the CPU multiplies it fast", function()
        assert.are.same({ "fp32", {} }, { settled({}, {}, FAST) })
        assert.are.same({ "bf16", {} }, { settled({ amp = true }, { amp = "recipe" }, FAST) })
        assert.are.same({ "bf16", {} }, { settled({ amp = true }, { amp_dtype = "recipe" }, FAST) })
    end)

    it("comes to fp32 on any other CPU, which is told", function()
        local told = { "amp: this CPU multiplies bf16 slower than fp32, so this run computes in fp32; --amp-dtype "
            .. "bf16 forces it" }
        assert.are.same({ "fp32", told }, { settled({ amp = true }, { amp = "command line" }, SLOW) })
        assert.are.same({ "fp32", told }, { settled({ precision = "amp" }, {}, SLOW) })
        assert.are.same({ "fp32", {} }, { settled({}, {}, SLOW) })
    end)

    it("is kept where its dtype was given, which is told too", function()
        for _, dtype in ipairs { "bf16", "fp16" } do
            assert.are.same({ dtype, { ("amp: this CPU multiplies %s slower than fp32: without --amp-dtype %s a run "
                .. "computes in fp32 here"):format(dtype, dtype) } },
                { settled({ amp = true, amp_dtype = dtype }, { amp_dtype = "command line" }, SLOW) })
        end
    end)

    it("stays what a resumed run began with, on whatever CPU", function()
        assert.are.same({ "bf16", {} }, { settled({ amp = true }, {}, FAST, "bf16") })
        assert.are.same({ "bf16", { "amp: out/6 began in bf16, and so this run goes on, though this CPU multiplies "
            .. "bf16 slower than fp32" } }, { settled({ amp = true }, {}, SLOW, "bf16") })
        local told = { "amp: out/6 began in fp32, as its CPU multiplied bf16 slower, and so this run goes on; "
            .. "--amp-dtype bf16 changes it" }
        assert.are.same({ "fp32", told }, { settled({ amp = true }, {}, FAST, "fp32") })
        assert.are.same({ "fp32", told }, { settled({ amp = true }, {}, SLOW, "fp32") })
        -- What is named now counts.
        assert.are.equal("bf16", (settled({ amp = true }, { amp_dtype = "command line" }, SLOW, "fp32")))
        assert.are.same({ "fp32", {} }, { settled({}, {}, FAST, "bf16") })
    end)

    it("is told of settings that have no effect, or a harmful one", function()
        local function warnings(run, changes, sources)
            run.warnings, run.work = {}, run.work or { train = true }
            precision.warn(run, values_of(changes), sources or {})
            return run.warnings
        end
        local fp16 = { precision = "fp16", amp = true }
        assert.are.same({ "amp_dtype has no effect without amp" },
            warnings({ precision = "fp32", amp = false }, {}, { amp_dtype = "command line" }))
        assert.are.same({}, warnings({ precision = "fp32", amp = false }, {}))
        assert.are.same({}, warnings({ precision = "bf16", amp = true }, {}, { amp_dtype = "recipe" }))
        assert.are.same({ "fp16 without loss scaling: small gradients become 0; add --use-dynamic-loss-scaling" },
            warnings(fp16, {}))
        assert.are.same({}, warnings(fp16, { use_dynamic_loss_scaling = true }))
        assert.are.same({}, warnings(fp16, { scale_loss = 128 }))
        assert.are.same({}, warnings({ precision = "fp16", amp = true, work = {} }, {}))
    end)
end)

describe("a run with amp", function()
    local job
    before_each(function() job = pretraining.new() end)
    after_each(function() job:close() end)

    --- Run some steps as on a CPU whose bf16 is "fast" or "slow".
    local function run(name, speed, changes)
        local all = { device = "cpu", amp = "true", ["max-steps"] = 4, ["num-steps-per-checkpoint"] = 2,
            ["output-dir"] = job.dir .. "/" .. name, ["last-step-of-checkpoint"] = "auto" }
        for key, value in pairs(changes or {}) do all[key] = value end
        local code, output = job:run("pretrain_phase1.lua", all, "env BERTLUA_CPU_BF16=" .. speed .. " ")
        assert.are.equal(0, code, output)
        return output
    end

    local function parameters(name)
        return assert(fs.read(("%s/%s/custom/phase1/4/model.safetensors"):format(job.dir, name)))
    end

    for _, case in ipairs { { "fast", "slow", "bf16" }, { "slow", "fast", "fp32" } } do
        local first, other, dtype = unpack(case)
        it("that begins where bf16 is " .. first .. " ends in the same bits where it is " .. other, function()
            assert.matches(" parameters, " .. dtype, run("whole", first))
            run("parts", first, { ["steps-this-run"] = 2 })
            local output = run("parts", other)
            assert.matches(" parameters, " .. dtype, output)
            assert.matches("note%s+amp: [^\n]*/2 began in " .. dtype .. ",", output)
            assert.is_nil(output:find "was .- now")
            assert.is_true(parameters "whole" == parameters "parts")
        end)
    end

    it("has the bits of one without it where bf16 is slow, and of one with a dtype where it is fast", function()
        assert.matches("note%s+amp: this CPU multiplies bf16 slower than fp32, so this run computes in fp32;",
            run("slow", "slow"))
        run("fp32", "fast", { amp = "false" })
        assert.is_true(parameters "slow" == parameters "fp32")
        run("fast", "fast")
        assert.matches("note%s+amp: this CPU multiplies bf16 slower than fp32: without %-%-amp%-dtype bf16",
            run("given", "slow", { ["amp-dtype"] = "bf16" }))
        assert.is_true(parameters "fast" == parameters "given")
        assert.is_false(parameters "fast" == parameters "slow")
    end)

    it("of an older version goes on in bf16", function()
        run("old", "fast", { ["steps-this-run"] = 2 })
        run("whole", "fast")
        local path = job.dir .. "/old/custom/phase1/2"
        local progress = checkpoint.progress(path)
        progress.began.amp = nil
        progress_file.write(path, progress)
        assert.matches(" parameters, bf16", run("old", "slow"))
        assert.is_true(parameters "old" == parameters "whole")
    end)
end)
