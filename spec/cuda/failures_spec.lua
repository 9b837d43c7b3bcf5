--- What can go wrong with a GPU, its driver or its memory, provoked by the emulation: one line with the fix each, and
-- the last checkpoint stays good.

local context = require "bertlua.context"

if context.device() ~= "cuda" or not context.describe():find "^emulated" then return end

local fs = require "bertlua.util.fs"
local pretraining = require "spec.support.pretraining"

--- Environment of a program: what fails, and no device chosen.
local function failing(what, device)
    return ("BERTLUA_EMULATION_FAIL='%s' BERTLUA_DEVICE=%s "):format(what, device or "auto")
end

describe("a GPU that cannot be used", function()
    for what, case in pairs {
        ["no-driver"] = { "no NVIDIA driver (libcuda.so.1) on this machine; install one for its GPU, or use",
            "missing +CUDA +no NVIDIA driver .-\n +%-> install one for its GPU" },
        ["old-driver"] = { "the NVIDIA driver is for CUDA 11.4, this build needs 13.0; install a newer driver, or use",
            "missing +CUDA +the NVIDIA driver is for CUDA 11%.4, this build needs 13%.0\n"
            .. " +%-> install a newer driver" },
        ["no-device"] = { "no GPU found (see nvidia-smi and CUDA_VISIBLE_DEVICES); use",
            "missing +CUDA +no GPU found.-\n +%-> use %-%-device cpu" },
        ["no-image"] = { "emulated GPU has compute capability 9.0, for which libbertlua-cuda.so has no kernels; run "
            .. "make cuda CUDA_ARCHS=90, or use",
            "missing +GPU 0 +emulated GPU, [^\n]*, for which this build has no kernels\n"
            .. " +%-> run make cuda CUDA_ARCHS=90" },
    } do
        it("is reported in one line: " .. what, function()
            for _, command in ipairs { "recipes/pretrain_phase1.lua --device cuda", "--device cuda doctor",
                "recipes/answer.lua --checkpoint missing --question who --context nobody --device cuda" } do
                local code, output = pretraining.shell(failing(what) .. pretraining.BINARY .. " " .. command)
                assert.are.equal(1, code)
                assert.are.equal(("bertlua: cuda: %s --device cpu\n"):format(case[1]), output)
            end
        end)

        it("is reported by doctor, which accepts the CPU unless a GPU is required: " .. what, function()
            local code, output = pretraining.shell(failing(what, "cuda") .. pretraining.BINARY .. " doctor")
            assert.are.equal(1, code)
            assert.matches(case[2], output)
            code, output = pretraining.shell(failing(what) .. pretraining.BINARY .. " doctor")
            assert.are.equal(0, code)
            assert.matches((case[2]:gsub("^missing", "note")), output)
        end)
    end

    it("is skipped by auto, with a warning where it was meant to be used", function()
        local answer = " recipes/answer.lua --checkpoint missing --question who --context nobody"
        local old = "bertlua: warning: the NVIDIA driver is for CUDA 11.4, this build needs 13.0; install a newer "
            .. "driver; running on the CPU\n"
        for what, warning in pairs { ["no-driver"] = "", ["no-device"] = "", ["old-driver"] = old } do
            local _, output = pretraining.shell(failing(what) .. pretraining.BINARY .. answer)
            assert.are.equal(warning .. "bertlua: missing: no such file or folder\n", output)
        end
        local _, output = pretraining.shell(failing("old-driver", "cpu") .. pretraining.BINARY .. answer)
        assert.are.equal("bertlua: missing: no such file or folder\n", output)
        _, output = pretraining.shell(failing "no-image" .. pretraining.BINARY .. answer)
        assert.matches("^bertlua: cuda: emulated GPU has compute capability 9%.0, for which [^\n]*\n$", output)
    end)
end)

describe("a GPU that fails in the middle", function()
    local job, expected

    local STEPS = { ["max-steps"] = 6, ["num-steps-per-checkpoint"] = 2 }

    local function changes(more)
        local all = {}
        for _, list in ipairs { STEPS, more or {} } do
            for name, value in pairs(list) do all[name] = value end
        end
        return all
    end

    setup(function()
        job = pretraining.new()
        local code, output = job:run("pretrain_phase1.lua", changes())
        assert.are.equal(0, code, output)
        expected = job:losses()
        assert(fs.remove(job.out))
    end)
    teardown(function() job:close() end)

    --- The last line that a run wrote; all others must be those of a healthy run.
    local function last_line(output)
        local line = output:match "([^\n]*)\n$"
        assert.matches("^bertlua: ", line, output)
        assert.is_nil(output:sub(1, -#line - 2):find "bertlua: ", output)
        return line
    end

    --- A run that fails like this, then one that resumes: the result is that of a run that never failed.
    local function fails(what, pattern, more)
        -- A report of another run would be kept, which is told.
        os.remove(job.dir .. "/report.json")
        local code, output = job:run("pretrain_phase1.lua", changes(more), failing(what))
        assert.are.equal(1, code, output)
        assert.matches(pattern, last_line(output))
        local rest = changes { ["last-step-of-checkpoint"] = "auto" }
        code, output = job:run("pretrain_phase1.lua", rest)
        assert.are.equal(0, code, output)
        local got = job:losses()
        assert.are.same(expected[6], got[6])
        assert(fs.remove(job.out))
        return output
    end

    local function lost(how)
        return "^bertlua: [%w_ ]+: the GPU failed: " .. how .. " %(%w+%); restart from the last checkpoint "
            .. "%(%-%-last%-step%-of%-checkpoint auto%); if it fails again, look for hardware faults "
            .. "%(Xid%) in dmesg$"
    end

    it("in a kernel of the fifth step", function()
        local output = fails("kernel:lamb_step_kernel:5", lost "an illegal memory access was encountered")
        assert.matches("phase1/4", output)
    end)

    it("in a step that is not recorded", function()
        fails("launch:attention_unfused_backward_kernel:7", lost "unspecified launch failure",
            { ["cuda-graph"] = "false" })
    end)

    it("while a checkpoint is written, which then does not count", function()
        -- Copies to the host: losses and counters, then parameters and moments.
        for turn, step in pairs { [100] = 2, [240] = 4 } do
            local output = fails("kernel:copy:" .. turn, "^bertlua: checkpoint of step " .. step
                .. " was not saved: download: the GPU failed: an illegal memory access was encountered ")
            assert.are.equal(step == 4, output:find("phase1/2", 1, true) ~= nil)
        end
    end)
end)

describe("a driver that does not let memory be mapped", function()
    local job

    setup(function() job = pretraining.new() end)
    teardown(function() job:close() end)

    it("costs the growth of arenas: activations take at once what is planned, and nothing else changes", function()
        local steps = { ["max-steps"] = 4, ["matmul-choices"] = "none" }
        local code, output = job:run("pretrain_phase1.lua", steps)
        assert.are.equal(0, code, output)
        assert.is_nil(output:find("at once", 1, true))
        local expected = job:losses()
        for _, what in ipairs { "no-mapping", "sandbox" } do
            assert(fs.remove(job.out))
            os.remove(job.dir .. "/report.json")
            code, output = job:run("pretrain_phase1.lua", steps, failing(what))
            assert.are.equal(0, code, output)
            assert.matches("activations take 0%.%d+ GiB at once, as the driver does not let memory be mapped", output)
            assert.are.same(expected, job:losses())
        end
        steps["activation-memory"], steps["output-dir"] = "4096", job.out .. "-large"
        code, output = job:run("pretrain_phase1.lua", steps, failing "sandbox")
        assert.are.equal(1, code)
        assert.matches("lower %-%-activation%-memory, which is 4096 GiB", output)
    end)
end)

describe("GPU memory that runs out", function()
    local job

    setup(function() job = pretraining.new() end)
    teardown(function() job:close() end)

    it("is reported in one line at whichever allocation", function()
        local told, turn = {}, 0
        repeat
            turn = turn + 1
            -- Products are not timed: that does without memory where there is none.
            local code, output = job:run("pretrain_phase1.lua", { ["max-steps"] = 2, ["batch-size"] = 16,
                ["output-dir"] = job.out .. turn, ["matmul-choices"] = "none" }, failing("malloc:" .. turn))
            if code ~= 0 then
                assert.are.equal(1, code)
                local line = output:match "([^\n]*)\n$"
                assert.matches("^bertlua: [^\n]*GPU [^\n]*use a smaller batch", line, output)
                told[#told + 1] = line
            end
        until code == 0
        -- Opening, parameters and optimizer, scratch, counters, inputs, the arena.
        assert.is_true(#told >= 10)
        assert.matches("^bertlua: cuda: workspace: the GPU has no memory left; use a smaller batch", told[1])
        local with_advice = 0
        for _, line in ipairs(told) do
            local found = line:find("--batch-size 8 --gradient-merge-steps 2 takes", 1, true)
            if found then with_advice = with_advice + 1 end
        end
        assert.are.equal(#told - 1, with_advice)
    end)
end)
