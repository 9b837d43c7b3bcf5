--- What goes wrong in the middle of a pre-training: a checkpoint first, then the message; resuming gives the same bits.

local fs = require "bertlua.util.fs"
local mpi = require "spec.support.mpi"
local posix_time = require "posix.time"
local pretraining = require "spec.support.pretraining"
local process = require "spec.support.process"
local shards = require "spec.support.shards"

local RECIPE = "pretrain_phase1.lua"

describe("pre-training that is interrupted", function()
    local job
    before_each(function() job = pretraining.new() end)
    after_each(function() job:close() end)

    local function options(name, changes)
        local all = { ["output-dir"] = job.dir .. "/" .. name, ["report-file"] = job.dir .. "/" .. name .. ".json",
            ["max-steps"] = 12, ["tensorboard-dir"] = "none" }
        for key, value in pairs(changes or {}) do all[key] = value end
        return all
    end

    local function folder(name, step)
        return ("%s/%s/custom/phase1%s"):format(job.dir, name, step and "/" .. step or "")
    end

    local function good(code, output)
        assert.are.equal(0, code, output)
        return output
    end

    local function assert_same(name, other, step)
        for _, file in ipairs { "model.safetensors", "optimizer.safetensors" } do
            assert.is_true(assert(fs.read(folder(name, step) .. "/" .. file))
                == assert(fs.read(folder(other, step) .. "/" .. file)), file .. " differs")
        end
    end

    it("saves before it reports a damaged shard, and goes on exactly once the shard is repaired", function()
        good(job:run(RECIPE, options "straight"))
        local path = job.shards .. "/s_training_2.hdf5"
        local bytes = assert(fs.read(path))
        -- A value that only reading the whole shard shows; its 24 samples are those of steps 7 to 12.
        local values = shards.values(24, 16, 3, 24)
        values.input_ids[5][2] = 200
        os.remove(path)
        shards.write(path, values)
        local code, output = job:run(RECIPE, options "broken")
        assert.are.equal(1, code, output)
        assert.matches("bertlua: [^\n]*s_training_2.hdf5: [^\n]*; step 6 was saved first: resume from "
            .. "[^\n]*/broken/custom/phase1/6\n", output)
        assert.are.same({ "6" }, fs.list(folder "broken"))
        assert(fs.write(path, bytes))
        output = good(job:run(RECIPE, options("broken", { ["last-step-of-checkpoint"] = "auto" })))
        assert.matches("resuming from [^\n]*/broken/custom/phase1/6\n", output)
        assert_same("broken", "straight", 12)
    end)

    it("saves and stops when the terminal is gone, or whoever reads the output; nohup is respected", function()
        local endless = { ["max-steps"] = 1000000, ["num-steps-per-checkpoint"] = 2 }
        local output, code = process.interrupt(job:command(RECIPE, options("hup", endless)), folder("hup", 2), "HUP")
        assert.are.equal(129, code, output)
        local step = output:match "steps +1 to (%d+) of 1000000, ended by SIGHUP"
        assert.is_true(fs.exists(folder("hup", step) .. "/progress.json"), output)

        local function part(name, changes)
            local all = { ["max-steps"] = 1000000, ["num-steps-per-checkpoint"] = 1000000 }
            for key, value in pairs(changes or {}) do all[key] = value end
            return options(name, all)
        end
        output = process.run(("{ %s; echo rc=$? >&2; } | head -n 12"):format(job:command(RECIPE, part "pipe")))
        assert.matches("rc=141\n", output)
        -- On a busy machine head may be late: the run has filled the pipe by then.
        step = tonumber(fs.list(folder "pipe")[1])
        assert.is_true(step > 0 and step < 1000000)
        good(job:run(RECIPE, part("pipe", { ["steps-this-run"] = 5, ["last-step-of-checkpoint"] = "auto" })))
        good(job:run(RECIPE, part("straight", { ["steps-this-run"] = step + 5 })))
        assert_same("pipe", "straight", step + 5)

        -- The shell's trap is inherited, as nohup does it.
        local recipe = job.dir .. "/told.lua"
        assert(fs.write(recipe, [[require("bertlua.recipe").pretrain({ phase1 = true, on_step = function(event)
            local unistd, signal = require "posix.unistd", require "posix.signal"
            if event.step == 3 then print("told", signal.kill(unistd.getpid(), signal.SIGHUP)) end
        end }, "Told.")]]))
        local command = job:command(RECIPE, options "nohup"):gsub("recipes/" .. RECIPE, recipe)
        output, code = process.run("trap '' HUP; " .. command)
        assert.are.equal(0, code, output)
        assert.matches("told\t0\n.*steps +1 to 12 of 12", output)
    end)

    it("writes nothing more once another run has its folder", function()
        local pipe = io.popen(job:command(RECIPE, options("lost", { ["max-steps"] = 1000000,
            ["num-steps-per-checkpoint"] = 50 })) .. " 2>&1; echo code $?")
        for _ = 1, 24000 do
            if fs.exists(folder("lost", 50)) then break end
            posix_time.nanosleep { tv_sec = 0, tv_nsec = 5e6 }
        end
        assert(fs.write(folder "lost" .. "/.lock", '{"pid":17,"host":"elsewhere"}'))
        local output = pipe:read "*a"
        pipe:close()
        assert.matches("bertlua: [^\n]*this run no longer has the folder [^\n]*taken over by process 17 on elsewhere%)"
            .. ": it stops here and writes nothing more[^\n]*\ncode 1\n$", output)
        assert.are.equal('{"pid":17,"host":"elsewhere"}', fs.read(folder "lost" .. "/.lock"))
    end)

    it("prints into no file that got the number of a closed stream", function()
        good(job:run(RECIPE, options "straight"))
        local _, code = process.run(job:command(RECIPE, options "closed") .. " <&- >&- 2>&-")
        assert.are.equal(0, code)
        assert_same("closed", "straight", 12)
        local report = assert(fs.read(job.dir .. "/closed.json"))
        for line in report:gmatch "[^\n]+" do assert.matches("^DLLL {", line) end
    end)

    -- AddressSanitizer needs terabytes of address space.
    local limited = (os.getenv "LD_PRELOAD" or ""):find "asan" and pending or it
    limited("runs a tiny model in little address space, and names the setting that asks for more", function()
        good(job:run(RECIPE, options "straight"))
        local code, output = pretraining.shell("ulimit -v 1000000; " .. job:command(RECIPE, options "small"))
        assert.matches("note +activations have 0.%d+ GiB of address space, as the system does not allow 32 GiB",
            good(code, output))
        assert_same("small", "straight", 12)
        code, output = pretraining.shell("ulimit -v 1000000; " .. job:command(RECIPE,
            options("large", { ["activation-memory"] = 8 })))
        assert.are.equal(1, code, output)
        assert.matches("bertlua: activations: cannot reserve 8.00 GiB of address space .*lower %-%-activation%-memory, "
            .. "which is 8 GiB, or raise the limit %(ulimit %-v%)", output)
    end)

    describe("in two processes", function()
        local it = mpi.specs(it, pending)

        local function arguments(changes, recipe)
            local words = job:command(RECIPE, changes):gsub("^%S+ ", "")
            return recipe and words:gsub("recipes/pretrain_phase1.lua", recipe) or words
        end

        it("ends with one line where the first step cannot be read", function()
            local output, code = mpi.run(2, arguments(options("first", { device = "cpu" }),
                "spec/support/ranks_bad_data.lua"), "-x BAD_RANK=1 -x BAD_STEP=1")
            assert.are_not.equal(0, code)
            local _, lines = output:gsub("bertlua: ", "")
            assert.are.equal(1, lines, output)
            assert.matches("bertlua: rank 1: shard.hdf5: cannot be read: Input/output error%s", output)
            assert.is_false(fs.exists(folder("first", 0)))
        end)

        for _, case in ipairs { { 1, "Lamb", "32" }, { 0, "DistributedFusedLamb", "bf16" } } do
            local rank, optimizer, dtype = unpack(case)
            it(("saves together when rank %d cannot read its data (%s)"):format(rank, optimizer), function()
                local own = { device = "cpu", optimizer = optimizer,
                    ["gradient-reduction-dtype"] = dtype == "bf16" and "bf16" or "fp32" }
                if dtype == "bf16" then
                    own.amp, own["amp-dtype"] = "true", "bf16"
                    own["use-dynamic-loss-scaling"], own["scale-loss"] = "true", 1024
                end
                local output, code = mpi.run(2, arguments(options("straight", own)))
                assert.are.equal(0, code, output)
                output, code = mpi.run(2, arguments(options("broken", own), "spec/support/ranks_bad_data.lua"),
                    ("-x BAD_RANK=%d -x BAD_STEP=5"):format(rank))
                assert.are_not.equal(0, code)
                assert.matches(("bertlua: rank %d: shard.hdf5: cannot be read: Input/output error; step 4 was saved "
                    .. "first: resume from [^\n]*/broken/custom/phase1/4"):format(rank), output)
                assert.is_true(fs.exists(folder("broken", 4)))
                assert.is_false(fs.exists(folder("broken", 5)))
                own["last-step-of-checkpoint"] = "auto"
                output, code = mpi.run(2, arguments(options("broken", own)))
                assert.are.equal(0, code, output)
                assert_same("broken", "straight", 12)
            end)
        end
    end)
end)
