--- examples/ as they stand, for a few steps: the whole run equals one that was killed and resumed, bit for bit.

local fs = require "bertlua.util.fs"
local job_class = require "spec.support.job"
local json = require "bertlua.util.json"
local pretraining = require "spec.support.pretraining"
local process = require "spec.support.process"

describe("the example", function()
    local job
    before_each(function() job = pretraining.new() end)
    after_each(function() job:close() end)

    --- Run an example on the tiny job's data; extra options by name.
    local function run(name, out, changes)
        local options = { ["output-dir"] = out, ["report-file"] = out .. ".json", ["max-steps"] = 8,
            ["num-steps-per-checkpoint"] = 3 }
        for key, value in pairs(changes or {}) do options[key] = value end
        local command = job:command("x.lua", options):gsub("recipes/x%.lua", "examples/" .. name .. ".lua")
        command = command:gsub("%-%-last%-step%-of%-checkpoint '[^']*'", "")
        local code, output = job_class.shell(command)
        assert.are.equal(0, code, output)
        return output
    end

    local function resumes_exactly(name, changes)
        local straight, stopped = job.dir .. "/straight", job.dir .. "/stopped"
        local output = run(name, straight, changes)
        changes["steps-this-run"] = 5
        run(name, stopped, changes)
        changes["steps-this-run"] = nil
        assert.matches("resuming from .*/5", run(name, stopped, changes))
        for _, file in ipairs { "model.safetensors", "optimizer.safetensors", "progress.json" } do
            assert.is_true(fs.read(straight .. "/custom/phase1/8/" .. file)
                == fs.read(stopped .. "/custom/phase1/8/" .. file), file .. " differs")
        end
        return output, straight
    end

    local function rates(path)
        local list = {}
        for step, record in pairs(job:losses(path)) do list[step] = record.learning_rate end
        return list
    end

    it("schedule.lua follows its function", function()
        local _, straight = resumes_exactly("schedule", { ["learning-rate"] = 0.01 })
        local list = rates(straight .. ".json")
        for step = 1, 8 do
            local triangle = 1 - math.abs(2 * ((step / 8 * 4) % 1) - 1)
            local expected = 0.01 * triangle * (1 - step / 9)
            assert.is_true(math.abs(list[step] - expected) < 1e-12, step .. ": " .. list[step])
        end
        local progress = json.read(straight .. "/custom/phase1/8/progress.json")
        assert.matches("^function %x+$", progress.schedule)
        -- A named schedule on the command line replaces the function, and that is reported.
        local changed = job.dir .. "/changed"
        run("schedule", changed, { ["steps-this-run"] = 2 })
        assert.matches("warning: schedule was function %x+ in .- and is cosine now: the run will differ",
            run("schedule", changed, { schedule = "cosine" }))
    end)

    it("callbacks.lua logs values and notes, and changes nothing", function()
        local output, straight = resumes_exactly("callbacks", {})
        assert.matches("step 3 is safe in .*/custom/phase1/3\n", output)
        assert.matches("step 8 is safe in .*/custom/phase1/8\n", output)
        local seen = {}
        for line in io.lines(straight .. ".json") do
            local record = json.decode(line:match "^DLLL (.*)$")
            local value = record.data and record.data["words/root_mean_square"]
            if value then
                assert.is_true(value > 0.01 and value < 1)
                seen[#seen + 1] = record.step
            end
        end
        assert.are.same({ 2, 4, 6, 8 }, seen)
    end)

    it("another_size.lua trains the model of its table", function()
        local words = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" }
        for i = #words + 1, 30522 do words[i] = "w" .. i end
        assert(fs.write(job.vocab, table.concat(words, "\n") .. "\n"))
        local straight = job.dir .. "/straight"
        run("another_size", straight, { ["config-file"] = false, ["max-steps"] = 2 })
        local config = json.read(straight .. "/custom/phase1/2/config.json")
        assert.are.same({ 256, 4, 30522 }, { config.hidden_size, config.num_hidden_layers, config.vocab_size })
        assert.are.equal("cosine", json.read(straight .. "/custom/phase1/2/progress.json").schedule)
    end)

    it("lua_op.lua fits a line with a loss of its own", function()
        local output, code = process.run_bertlua "examples/lua_op.lua"
        assert.are.equal(0, code, output)
        assert.matches("^step 100, loss %d+%.%d+\n.*step 400, loss 14%.6583\ny = 2%.30 x %+ 0%.60\n$", output)
    end)

    it("that is wrong ends with the recipe's file and line", function()
        local path = job.dir .. "/wrong.lua"
        local function fails(body)
            assert(fs.write(path, ('require("bertlua.recipe").pretrain({ phase1 = true, %s }, "Wrong.")\n')
                :format(body)))
            local code, output = job_class.shell((job:command("x.lua"):gsub("recipes/x%.lua", path)))
            assert.are.equal(1, code, output)
            return output:match "bertlua: ([^\n]*)\n$"
        end
        assert.matches("^on_step, step 1: .*wrong%.lua:1: attempt to index",
            fails "on_step = function(e) e.x.y = 1 end")
        assert.matches("returned nil at step 1, expected a number", fails "schedule = function() end")
        assert.matches("^on_step: unknown field evry, expected { every = N", fails "on_step = { evry = 2, print }")
        assert.matches("^schedule: got { }, expected one of linear, .*, or in a recipe a function$",
            fails "schedule = {}")
    end)
end)
