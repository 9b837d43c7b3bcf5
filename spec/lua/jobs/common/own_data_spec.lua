--- Own data through the real executable: kill and resume, changed data, several processes, classification, both phases.

local checkpoints = require "spec.support.checkpoints"
local classify = require "spec.support.classify"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local mpi = require "spec.support.mpi"
local pretraining = require "spec.support.pretraining"

-- 22 texts per epoch, in an order of the epoch's own.
local SOURCE = [[function(run)
    local n = 0
    return function()
        n = n + 1
        if n > 22 then return nil end
        local words = {}
        for i = 1, 2 + n %% 9 do words[i] = "w" .. 5 + (n * 31 + i * (7 + run.epoch)) %% 190 end
        return { text = table.concat(words, " ") %s }
    end
end]]
local PAIRS = ', pair = "w30 w31", label = n % 2'

describe("own data", function()
    local it_with_mpi = mpi.specs(it, pending)
    local job
    before_each(function() job = pretraining.new() end)
    after_each(function() job:close() end)

    --- Write a recipe with settings in addition to the source; returns its path.
    -- @param more fields of its items; with a pair, next sentences are learned too
    local function recipe(name, settings, more)
        local path = ("%s/%s.lua"):format(job.dir, name)
        assert(fs.write(path, ('require("bertlua.recipe").pretrain({ phase1 = true, data = %s,\n%s%s }, "Own data.")\n')
            :format(SOURCE:format(more or ""), more and "" or 'objectives = { "mlm" }, ', settings or "")))
        return path
    end

    local function command(path, out, changes)
        local options = { ["input-dir"] = false, ["max-steps"] = 14, ["num-steps-per-checkpoint"] = 4,
            ["output-dir"] = job.dir .. "/" .. out, ["report-file"] = ("%s/%s.json"):format(job.dir, out),
            ["last-step-of-checkpoint"] = "auto" }
        for name, value in pairs(changes or {}) do options[name] = value end
        return (job:command("x.lua", options):gsub("recipes/x%.lua", path))
    end

    local function succeed(...)
        local code, output = pretraining.shell(command(...))
        assert.are.equal(0, code, output)
        return output
    end

    local function refused(pattern, ...)
        local code, output = pretraining.shell(command(...))
        assert.are.equal(1, code, output)
        assert.matches(pattern, output)
        assert.are.equal(1, select(2, output:gsub("bertlua: ", "")), output)
    end

    local function folder(out, step)
        return ("%s/%s/custom/phase1/%d"):format(job.dir, out, step or 14)
    end

    local function assert_same(a, b)
        for _, file in ipairs { "model.safetensors", "optimizer.safetensors", "progress.json" } do
            assert.is_true(fs.read(folder(a) .. "/" .. file) == fs.read(folder(b) .. "/" .. file), file .. " differs")
        end
    end

    it("is the same after a kill, with shuffling and without, padded and packed", function()
        local KILL = [[on_step = { every = 10, function(event)
            local path = %q
            if io.open(path) then return end
            io.open(path, "w"):close()
            require("posix.signal").kill(require("posix.unistd").getpid(), 9)
        end }]]
        for number, own in ipairs { "shuffle_buffer = 7", "pack_sequences = false" } do
            local straight, killed = "straight" .. number, "killed" .. number
            succeed(recipe("plain", own), straight)
            local path = recipe("kill", own .. ", " .. KILL:format(job.dir .. "/mark" .. number))
            assert.are_not.equal(0, (pretraining.shell(command(path, killed))))
            assert.is_false(fs.exists(folder(killed)))
            local output = succeed(path, killed)
            assert.matches("resuming from .*/8\n", output)
            -- 8 steps of 4 are 22 + 10.
            assert.matches("data +10 items of epoch 2 dropped: this run has used them", output)
            assert.is_nil(output:find("warning", 1, true), output)
            assert_same(straight, killed)
        end
        local position = json.read(folder "straight1" .. "/progress.json").data_position
        assert.are.same({ 3, 14 * 4 - 2 * 22 }, { position.epoch, position.item })
        assert.is_true(json.read(folder "straight1" .. "/progress.json").do_lower_case)
        assert.matches("data +epoch 3, 12 items of it read\n", succeed(recipe "again", "again"))
    end)

    it("that changed is reported on resume, and so is its function", function()
        local list = job.dir .. "/list.txt"
        local path = job.dir .. "/listed.lua"
        assert(fs.write(path, ('require("bertlua.recipe").pretrain({ phase1 = true, objectives = { "mlm" }, '
            .. 'data = function() return io.lines(%q) end }, "Own data.")\n'):format(list)))
        local function write(first, count)
            local lines = {}
            for i = 1, count do lines[i] = ("w%d w%d w%d"):format(first + i, 10 + i, 90 - i) end
            assert(fs.write(list, table.concat(lines, "\n") .. "\n"))
        end
        write(20, 40)
        succeed(path, "changed", { ["steps-this-run"] = 5 })
        write(21, 40)
        assert.matches("warning: data: the first 20 items of epoch 1 are others than when .*/5 was written; the run "
            .. "will differ from one that never stopped: data must yield the same items for the same run.epoch and "
            .. "run.seed, in every process", succeed(path, "changed", { ["steps-this-run"] = 1 }))
        write(21, 10)
        assert.matches("warning: data: epoch 1 has fewer items %(10, but 24 were used%) than when",
            succeed(path, "changed", { ["steps-this-run"] = 1 }))
        assert.matches("warning: data was function %x+ in .*/7 and is function %x+ now: the run will differ",
            succeed(recipe "other", "changed", { ["steps-this-run"] = 1 }))
    end)

    it("takes the place of shards in a run that began with them", function()
        local code, output = pretraining.shell((job:command("pretrain_phase1.lua", { ["max-steps"] = 14,
            ["steps-this-run"] = 3, ["output-dir"] = job.dir .. "/mixed" })))
        assert.are.equal(0, code, output)
        output = succeed(recipe("pairs", "", PAIRS), "mixed")
        assert.matches("warning: .*/3 does not say where it stood in data: the first 12 items are taken as used",
            output)
        assert.matches("data +12 items of epoch 1 dropped", output)
    end)

    it("with pairs and labels trains the next sentence, too", function()
        succeed(recipe("pairs", "", PAIRS), "pairs")
        local figures = job:losses(job.dir .. "/pairs.json")
        assert.is_true(figures[14].nsp > 0.1)
    end)

    it("needs no pairs where a loss of one's own does not read them", function()
        succeed(recipe("loss", [[loss = function(tape, model, batch)
            return model:forward(tape, batch).loss
        end]], ""), "loss", { ["max-steps"] = 1 })
    end)

    it_with_mpi("gives processes the updates of one, and is resumed by another number of them", function()
        local function run(name, processes, changes)
            local all = { device = "cpu", ["gradient-merge-steps"] = 4 / processes, ["tensorboard-dir"] = "none" }
            for key, value in pairs(changes or {}) do all[key] = value end
            local line = command(recipe("plain", "shuffle_buffer = 7"), name, all)
            if processes == 1 then
                assert.are.equal(0, (pretraining.shell(line)))
            else
                local output, code = mpi.run(processes, (line:gsub("^%S+ ", "")))
                assert.are.equal(0, code, output)
            end
        end
        local function idle(key) return key:match "%.key%.bias$" or key:match "^cls%.seq" or key:match "pooler" end
        run("one", 1)
        run("two", 2)
        run("both", 2, { ["steps-this-run"] = 6 })
        run("both", 1)
        for _, name in ipairs { "two", "both" } do
            local apart, where = checkpoints.distance(folder "one", folder(name), "model.safetensors", idle)
            assert.is_true(apart < 2e-5, ("%s: %g apart"):format(tostring(where), apart))
            assert.are.same(json.read(folder "one" .. "/progress.json").data_position,
                json.read(folder(name) .. "/progress.json").data_position)
        end
    end)

    it_with_mpi("that differs from process to process is refused", function()
        local path = job.dir .. "/ranks.lua"
        assert(fs.write(path, 'require("bertlua.recipe").pretrain({ phase1 = true, objectives = { "mlm" }, '
            .. 'data = function() return { "w7 w8 w" .. 10 + os.getenv "OMPI_COMM_WORLD_RANK" } end }, "Own data.")\n'))
        local output, code = mpi.run(2, (command(path, "ranks", { device = "cpu" }):gsub("^%S+ ", "")))
        assert.are.equal(1, code, output)
        assert.matches("bertlua: items of data: rank 1 differs from rank 0: data must yield the same items", output)
    end)

    it("serves both phases, which it can tell apart", function()
        local path = job.dir .. "/phases.lua"
        assert(fs.write(path, [[require("bertlua.recipe").pretrain_phases({ common = { objectives = { "mlm" },
            data = function(run)
            print(("asked for %s, %d tokens, epoch %d"):format(run.phase, run.max_seq_length, run.epoch))
            return { "w7 w8 w9", "w10 w11", run.tokenizer:token(12) }
        end }, phase1 = { max_steps = 1, max_seq_length = 8, batch_size = 2, max_predictions_per_seq = 2 },
            phase2 = { max_steps = 1, max_seq_length = 16, batch_size = 2, max_predictions_per_seq = 3 } }, "Both.")
        ]]))
        local line = command(path, "both", { ["max-steps"] = false, ["max-seq-length"] = false, ["batch-size"] = false,
            ["num-steps-per-checkpoint"] = false, ["max-predictions-per-seq"] = false, ["learning-rate"] = false,
            ["gradient-merge-steps"] = false })
        local code, output = pretraining.shell(line)
        assert.are.equal(0, code, output)
        assert.matches("asked for phase1, 8 tokens, epoch 1\n.*asked for phase2, 16 tokens, epoch 1\n", output)
    end)

    it("is refused where other settings contradict it", function()
        local path = recipe "plain"
        refused("^bertlua: input_dir and data are both set: give one of them\n", path, "a",
            { ["input-dir"] = job.shards })
        refused("^bertlua: dynamic_masking is false, but items of data come without masks: leave it out\n", path, "a",
            { ["dynamic-masking"] = "false" })
        refused("^bertlua: %-%-max%-steps is not set", path, "a", { ["max-steps"] = false })
        refused("^bertlua: %-%-bert%-model custom requires %-%-vocab%-file", path, "a", { ["vocab-file"] = false })
        local line = job:command("pretrain_phase1.lua", { ["shuffle-buffer"] = 5 })
        local code, output = pretraining.shell(line)
        assert.are.equal(1, code)
        assert.matches("^bertlua: shuffle_buffer is for data, a function that a recipe gives: leave it out\n", output)
        refused("got no pair, expected .* for the objective \"nsp\"; with objectives = { \"mlm\" }, text is enough\n",
            path, "a", { objectives = "mlm,nsp" })
    end)
end)

describe("own data for classification", function()
    local job
    before_each(function() job = classify.new() end)
    after_each(function() job:close() end)

    local function run(data, changes)
        local path = job.dir .. "/own.lua"
        assert(fs.write(path, ([[require("bertlua.recipe").run("classify", { optimizer = "AdamW", data = %s,
            train_batch_size = 8, predict_batch_size = 32, warmup_proportion = 0.1,
            last_step_of_checkpoint = "auto" }, "Own data.")]]):format(data)))
        local options = { ["train-file"] = false, ["dev-file"] = false }
        for name, value in pairs(changes or {}) do options[name] = value end
        return pretraining.shell((job:command(options):gsub("recipes/finetune_classify%.lua", path)))
    end

    -- The texts of the job's CSV file.
    local LINES = [[function()
        local lines = io.lines(%q)
        lines()
        return function()
            local line = lines()
            if not line then return nil end
            local text, label = line:match '^"(.-)",(.-),1$'
            return { text = text, label = label }
        end
    end]]

    local function refused(pattern, data, changes)
        local code, output = run(data, changes)
        assert.are.equal(1, code, output)
        assert.matches(pattern, output)
    end

    it("trains as a file with the same texts does", function()
        assert.are.equal(0, (job:run { ["output-dir"] = job.dir .. "/file" }))
        local code, output = run(LINES:format(job.train), { ["dev-file"] = job.dev, ["steps-this-run"] = 5 })
        assert.are.equal(0, code, output)
        assert.matches("data: 48 texts of up to %d+ tokens, 3 labels", output)
        code, output = run(LINES:format(job.train), { ["dev-file"] = job.dev })
        assert.are.equal(0, code, output)
        assert.is_nil(output:find("warning", 1, true), output)
        for _, name in ipairs { "model/model.safetensors", "eval.json", "predictions.jsonl" } do
            assert.is_true(fs.read(job.dir .. "/file/" .. name) == fs.read(job.out .. "/" .. name), name .. " differs")
        end
    end)

    it("that changed is reported on resume", function()
        local data = LINES:format(job.train)
        assert.are.equal(0, (run(data, { ["steps-this-run"] = 5 })))
        assert(fs.write(job.train, (fs.read(job.train):gsub("w2", "w3"))))
        local code, output = run(data)
        assert.are.equal(0, code, output)
        assert.matches("warning: data: the items are others than when .*/5 was written", output)
    end)

    it("must have labels, and pairs in all items or in none", function()
        local FORM = "^.*bertlua: data, item 2 of epoch 1 %(function at .*own%.lua:1%): got "
        local function list(second)
            return ('function() return { { text = "w5", label = 1 }, %s } end'):format(second)
        end
        refused(FORM .. "no label, expected { text = ..., label = ... }", list '"w6"')
        refused(FORM .. "a pair, expected that all items have one, or none",
            list '{ text = "w6", pair = "w7", label = 2 }')
        refused(FORM .. "text = nil, expected { text", list '{ ids = { 6 }, label = 2 }')
        refused("bertlua: data: all texts have the label \"1\", expected at least two",
            list '{ text = "w6", label = 1 }')
        refused("train_file and data are both set", list '{ text = "w6", label = 2 }', { ["train-file"] = job.train })
        refused("data yields pairs, but pair_column, a column of the other files, is not set",
            'function() return { { text = "w5", pair = "w6", label = 1 } } end', { ["dev-file"] = job.dev })
    end)
end)
