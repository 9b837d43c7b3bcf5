--- examples/ as they stand, for a few steps: the whole run equals one that was killed and resumed, bit for bit.

local classify = require "spec.support.classify"
local fs = require "bertlua.util.fs"
local job_class = require "spec.support.job"
local json = require "bertlua.util.json"
local lfs = require "lfs"
local pretraining = require "spec.support.pretraining"
local process = require "spec.support.process"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"

--- Names of the tensors in which the models of two folders differ, as a set.
local function differing(a, b)
    local x, y = assert(storage.open(a .. "/model.safetensors")), assert(storage.open(b .. "/model.safetensors"))
    local names = {}
    for _, name in ipairs(x:names()) do
        tensor.scope(function()
            local sums = {}
            for i, file in ipairs { x, y } do
                local t = tensor.new("f32", file:info(name).dims)
                assert(file:read(name, t))
                sums[i] = storage.crc32c(t)
            end
            names[name] = sums[1] ~= sums[2] or nil
        end)
    end
    x:close()
    y:close()
    return names
end

describe("the comments of recipes and examples", function()
    it("name settings that there are", function()
        local checked = 0
        for _, room in ipairs { "examples", "recipes" } do
            for _, name in ipairs(assert(fs.list(room))) do
                local path = room .. "/" .. name
                local text = name:find "%.lua$" and assert(fs.read(path)) or ""
                local comment = text:match "^%-%-%-[^\n]*\n(.-)\n\n" or ""
                if text:find "bertlua.recipe" and comment:find "%-%-%l" then
                    local known = "\n  --help\n" .. process.run_bertlua(path .. " --help") .. "\n"
                    for option in comment:gmatch "%f[%-]%-%-%l[%l%d%-]*" do
                        assert.is_truthy(known:find("\n +" .. option:gsub("%-", "%%-") .. "[ \n]"),
                            path .. ": " .. option)
                        checked = checked + 1
                    end
                end
            end
        end
        assert.is_true(checked > 40, checked)
    end)
end)

describe("the example of a classifier", function()
    local job
    before_each(function() job = classify.new() end)
    after_each(function() job:close() end)

    --- Run an example to its 12th step, or fewer; its checkpoints are in OUT/checkpoints.
    local function run(name, out, changes)
        local options = { ["output-dir"] = job.dir .. "/" .. out, epochs = 2, ["num-steps-per-checkpoint"] = 4 }
        for key, value in pairs(changes or {}) do options[key] = value end
        local code, output = job_class.shell((job:command(options):gsub("recipes/finetune_classify%.lua", name)))
        assert.are.equal(0, code, output)
        return output
    end

    local function folder(out, step)
        return ("%s/%s/checkpoints/%d"):format(job.dir, out, step)
    end

    local function resumes_exactly(name)
        local output = run(name, "straight")
        run(name, "stopped", { ["steps-this-run"] = 5 })
        assert.matches("resuming from .*/5", run(name, "stopped"))
        for _, file in ipairs { "model.safetensors", "optimizer.safetensors", "progress.json" } do
            assert.is_true(fs.read(folder("straight", 12) .. "/" .. file) == fs.read(folder("stopped", 12) .. "/"
                .. file), file .. " differs")
        end
        return output
    end

    it("freeze.lua trains what it does not freeze", function()
        local output = resumes_exactly "examples/freeze.lua"
        assert.matches("frozen    5728 of 6051 parameters %(embeddings, encoder%.layer%.%[0%-5%]%.%)\n", output)
        assert.are.same({ ["bert.pooler.dense.weight"] = true, ["bert.pooler.dense.bias"] = true,
            ["classifier.weight"] = true, ["classifier.bias"] = true }, differing(folder("straight", 4),
            folder("straight", 12)))
        assert.are.equal('{ "embeddings", "encoder.layer.[0-5]." }',
            json.read(folder("straight", 12) .. "/progress.json").began.settings.freeze)
    end)

    it("freeze.lua, changed and resumed, says what is different", function()
        local path = job.dir .. "/changed.lua"
        local text = assert(fs.read "examples/freeze.lua")
        assert(fs.write(path, (text:gsub("layer%.%[0%-5%]%.", "layer.0"))))
        run("examples/freeze.lua", "out", { ["steps-this-run"] = 4 })
        local output = run(path, "out", { ["steps-this-run"] = 4 })
        assert.matches('warning: freeze was { "embeddings", "encoder%.layer%.%[0%-5%]%." } in .-/4 and is '
            .. '{ "embeddings", "encoder%.layer%.0" } now: the run will differ', output)
        assert.matches("warning: 16 parameters were frozen in .-/4: their moments begin at zero\n", output)
        assert.is_true(differing(folder("out", 4), folder("out", 8))["bert.encoder.layer.1.output.dense.weight"])
        -- Without any freezing, and back.
        assert(fs.write(path, (text:gsub("freeze = %b{},", ""))))
        output = run(path, "out", { ["steps-this-run"] = 2 })
        assert.matches('warning: freeze was { .- } in .-/8 and is not set now', output)
        output = run("examples/freeze.lua", "out")
        assert.matches('warning: freeze was not set in .-/10 and is { "embeddings",', output)
        assert.is_nil(output:find("begin at zero", 1, true), output)
    end)

    it("layerwise_rates.lua follows its functions", function()
        assert.is_nil(resumes_exactly("examples/layerwise_rates.lua"):find("frozen", 1, true))
        local progress = json.read(folder("straight", 12) .. "/progress.json")
        assert.matches("^function %x+$", progress.began.settings.lr_scale)
        assert.matches("^function %x+$", progress.began.settings.weight_decay_of)
        -- A rate of 0 keeps a tensor as it is.
        local path = job.dir .. "/changed.lua"
        local text = assert(fs.read "examples/layerwise_rates.lua")
        assert(fs.write(path, (text:gsub("DECAY %^ %(LAYERS %+ 1%)", "0"))))
        run(path, "zero")
        local names = differing(folder("zero", 4), folder("zero", 12))
        assert.is_nil(names["bert.embeddings.word_embeddings.weight"])
        assert.is_true(names["bert.encoder.layer.0.output.dense.weight"])
        assert(fs.write(path, (text:gsub("DECAY %^ %(LAYERS %+ 1%)", '"no"'))))
        local code, output = job_class.shell((job:command { epochs = 2 }):gsub("recipes/finetune_classify%.lua", path))
        assert.are.equal(1, code, output)
        assert.matches("lr_scale: got no for bert%.embeddings%.word_embeddings%.weight, expected a finite "
            .. "number of at least 0\n$", output)
    end)
end)

describe("the example", function()
    local job
    before_each(function() job = pretraining.new() end)
    after_each(function() job:close() end)

    -- Where bertlua and the examples are found from any folder.
    local here = lfs.currentdir()

    --- Run an example on the tiny job's data; extra options by name, and what stands before the command. Relative paths
    -- of the example are in the job's folder.
    local function run(name, out, changes, prefix)
        local options = { ["output-dir"] = out, ["report-file"] = out .. ".json", ["max-steps"] = 8,
            ["num-steps-per-checkpoint"] = 3 }
        for key, value in pairs(changes or {}) do options[key] = value end
        local command = job:command("x.lua", options):gsub("recipes/x%.lua", ("%s/examples/%s.lua"):format(here, name))
        if not command:find "^/" then command = here .. "/" .. command end
        command = command:gsub("%-%-last%-step%-of%-checkpoint '[^']*'", "")
        local code, output = job_class.shell(("cd %s && %s%s"):format(job.dir, prefix or "", command))
        assert.are.equal(0, code, output)
        return output
    end

    --- @param prefix what stands before the command, or nil
    -- @param folder that the checkpoint of step 8 is in, or nil
    local function resumes_exactly(name, changes, prefix, folder)
        local straight, stopped = job.dir .. "/straight", job.dir .. "/stopped"
        local output = run(name, straight, changes, prefix)
        changes["steps-this-run"] = 5
        run(name, stopped, changes, prefix)
        changes["steps-this-run"] = nil
        assert.matches("resuming from .*/5", run(name, stopped, changes, prefix))
        for _, file in ipairs { "model.safetensors", "optimizer.safetensors", "progress.json" } do
            local path = ("/%s/8/%s"):format(folder or "custom/phase1", file)
            assert.is_true(fs.read(straight .. path) == fs.read(stopped .. path), file .. " differs")
        end
        return output, straight
    end

    local function rates(path)
        local list = {}
        for step, record in pairs(job:losses(path)) do list[step] = record.learning_rate end
        return list
    end

    it("own_model.lua with a part of it frozen is the same as with a rate of 0 for that part", function()
        local text = assert(fs.read "examples/own_model.lua")
        local models = {}
        for name, setting in pairs {
            frozen = 'freeze = { "embeddings", "layer.0" }',
            resting = 'lr_scale = { embeddings = 0, ["layer.0"] = 0 }',
        } do
            local path, out = job.dir .. "/" .. name .. ".lua", job.dir .. "/" .. name
            assert(fs.write(path, (text:gsub("recipe%.pretrain%(%{", function(call)
                return call .. " " .. setting .. ", "
            end))))
            -- Clipping looks at the gradients of all that is trained.
            local line = job:command("x.lua", { ["output-dir"] = out, ["max-steps"] = 6, ["max-grad-norm"] = 0 })
            local code, output = job_class.shell((line:gsub("recipes/x%.lua", path)))
            assert.are.equal(0, code, output)
            assert.are.equal(name == "frozen", output:find("frozen    ", 1, true) ~= nil)
            models[name] = assert(fs.read(out .. "/custom/phase1/6/model.safetensors"))
        end
        assert.is_true(models.frozen == models.resting)
    end)

    it("schedule.lua follows its function", function()
        local _, straight = resumes_exactly("schedule", { ["learning-rate"] = 0.01 })
        local list = rates(straight .. ".json")
        for step = 1, 8 do
            local triangle = 1 - math.abs(2 * ((step / 8 * 4) % 1) - 1)
            local expected = 0.01 * triangle * (1 - step / 9)
            assert.is_true(math.abs(list[step] - expected) < 1e-12, step .. ": " .. list[step])
        end
        local progress = json.read(straight .. "/custom/phase1/8/progress.json")
        assert.matches("^function %x+$", progress.began.settings.schedule)
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

    it("evaluate.lua keeps the best checkpoint, and trains as if nothing had been measured", function()
        assert(fs.mkdirs(job.dir .. "/data"))
        assert(lfs.link("../shards", job.dir .. "/data/held_out", true))
        local output, straight = resumes_exactly("evaluate", { ["learning-rate"] = 0.05 })
        assert.matches("evaluation 2: mlm_loss 5%.%d+ %(best so far%), loss ", output)
        assert.matches("perplexity of masked words: 1%d%d%.%d\n", output)
        local progress = json.read(straight .. "/custom/phase1/8/progress.json")
        assert.are.equal(8, progress.evaluation.step)
        local best = straight .. "/custom/phase1/" .. progress.evaluation.best_step
        assert.is_true(fs.is_file(best .. "/model.safetensors"))
        assert.matches("best +" .. best:gsub("%p", "%%%0") .. " %(mlm_loss 5", output)
        local seen = {}
        for line in io.lines(straight .. ".json") do
            local record = json.decode(line:match "^DLLL (.*)$")
            local value = record.data and record.data.eval_mlm_loss
            if value then seen[#seen + 1] = record.step end
        end
        assert.are.same({ 2, 4, 6, 8 }, seen)
        local plain = job.dir .. "/plain"
        run("schedule", plain, { ["learning-rate"] = 0.05, schedule = "linear" })
        for _, file in ipairs { "model.safetensors", "optimizer.safetensors" } do
            assert.is_true(fs.read(straight .. "/custom/phase1/8/" .. file)
                == fs.read(plain .. "/custom/phase1/8/" .. file), file .. " differs")
        end
    end)

    it("another_size.lua trains the model of its table", function()
        local words = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" }
        for i = #words + 1, 30522 do words[i] = "w" .. i end
        assert(fs.write(job.vocab, table.concat(words, "\n") .. "\n"))
        local straight = job.dir .. "/straight"
        run("another_size", straight, { ["config-file"] = false, ["bert-model"] = false, ["max-steps"] = 2 })
        local config = json.read(straight .. "/custom/phase1/2/config.json")
        assert.are.same({ 256, 4, 30522 }, { config.hidden_size, config.num_hidden_layers, config.vocab_size })
        assert.are.equal("cosine", json.read(straight .. "/custom/phase1/2/progress.json").began.settings.schedule)
    end)

    it("lua_op.lua fits a line with a loss of its own", function()
        local output, code = process.run_bertlua "--device cpu examples/lua_op.lua"
        assert.are.equal(0, code, output)
        assert.matches("^step 100, loss %d+%.%d+\n.*step 400, loss 14%.6583\ny = 2%.30 x %+ 0%.60\n$", output)
    end)

    it("own_data.lua trains on text files", function()
        local texts = job.dir .. "/texts"
        assert(fs.mkdirs(texts))
        for i = 1, 3 do
            local lines = {}
            for n = 1, 20 do
                lines[n] = ("w%d w%d\nw%d w%d w%d"):format(20 + n, 8 * n, 190 - 7 * n, 10 + i, 5 + i * n)
            end
            assert(fs.write(("%s/%d.txt"):format(texts, i), table.concat(lines, "\n")))
        end
        local output = resumes_exactly("own_data", { ["input-dir"] = false }, ("TEXTS='%s' "):format(texts))
        -- Five lines have 12 words: 8 passages in each file, 24 in an epoch.
        assert.matches("data: epoch 1 had 24 items", output)
        assert.matches("data +epoch 2, 8 items of it read", output)
    end)

    it("own_data_classify.lua trains on a table", function()
        local words = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" }
        for word in ("where is how far it to which way leads when does open long take since there what cost much a "
            .. "discount for the museum old bridge ticket boat concert market guided tour tower"):gmatch "%a+" do
            words[#words + 1] = word
        end
        for i = #words + 1, 200 do words[i] = "w" .. i end
        assert(fs.write(job.vocab, table.concat(words, "\n") .. "\n"))
        local output = resumes_exactly("own_data_classify", { ["input-dir"] = false, ["batch-size"] = false,
            ["max-predictions-per-seq"] = false }, nil, "checkpoints")
        assert.matches("data: 72 texts of up to 10 tokens, 3 labels", output)
    end)

    it("mlm_only.lua learns masked words alone", function()
        local _, straight = resumes_exactly("mlm_only", {})
        assert.are.same({ "BertForMaskedLM" }, json.read(straight .. "/custom/phase1/8/config.json").architectures)
        for _, record in pairs(job:losses(straight .. ".json")) do
            assert.are.equal(record.loss, record.mlm)
            assert.is_nil(record.nsp)
        end
    end)

    it("own_loss.lua logs what its function returns", function()
        local _, straight = resumes_exactly("own_loss", {})
        for _, record in pairs(job:losses(straight .. ".json")) do
            assert.is_true(math.abs(record.loss - record.mlm - record.nsp / 2) < 1e-5)
        end
    end)

    --- The values that the report of an example has for a name, from the first step on.
    local function logged(path, name)
        local list = {}
        for line in io.lines(path) do
            local record = json.decode(line:match "^DLLL (.*)$")
            if type(record.step) == "number" then list[#list + 1] = record.data[name] end
        end
        return list
    end

    it("distillation.lua brings a student closer to its teacher", function()
        local out = job.dir .. "/teacher"
        -- The teacher is to know more than a fresh model, or noise decides which of the student's steps is nearest.
        run("mlm_only", out, { ["max-steps"] = 120, ["num-steps-per-checkpoint"] = 1000, ["learning-rate"] = 0.03 })
        local _, straight = resumes_exactly("distillation", { ["bert-model"] = false, ["learning-rate"] = 0.1 },
            ("TEACHER='%s' "):format(out .. "/custom/phase1"))
        local kl = logged(straight .. ".json", "kl")
        assert.are.equal(8, #kl)
        -- For 14 seeds, 0.72 to 0.83 of the first.
        assert.is_true(kl[1] > 0 and kl[8] < 0.9 * kl[1], kl[1] .. " " .. kl[8])
        local config = json.read(straight .. "/custom/phase1/8/config.json")
        assert.are.same({ "BertForMaskedLM" }, config.architectures)
        assert.are.equal(4, config.num_hidden_layers)
    end)

    it("contrastive.lua finds a sequence's other pass, which has another dropout", function()
        local _, straight = resumes_exactly("contrastive", { ["learning-rate"] = 0.01 })
        local cosine = logged(straight .. ".json", "cosine")
        assert.are.equal(8, #cosine)
        for _, value in ipairs(cosine) do assert.is_true(value > 0 and value < 0.99999) end
        -- Learnt: among four sequences, chance is a loss of ln 4 = 1.39. For 13 seeds it was 0.13 to 0.42.
        local longer, sum = job.dir .. "/longer", 0
        run("contrastive", longer, { ["learning-rate"] = 0.006, ["max-steps"] = 400,
            ["num-steps-per-checkpoint"] = 1000 })
        local loss = logged(longer .. ".json", "loss")
        for i = #loss - 9, #loss do sum = sum + loss[i] end
        assert.is_true(sum / 10 < 0.8, sum / 10)
    end)

    it("own_model.lua trains its model", function()
        local output, straight = resumes_exactly("own_model", { ["matmul-choices"] = "none" })
        assert.matches("\nmodel     PreLnBert: ", output)
        local config = json.read(straight .. "/custom/phase1/8/config.json")
        assert.are.same({ { "PreLnBert" }, "gelu" }, { config.architectures, config.gate })
        -- Recomputing the layers changes nothing but the memory; on a GPU it times other products.
        local again = job.dir .. "/again"
        run("own_model", again, { ["activation-checkpointing"] = "true", ["matmul-choices"] = "none" })
        assert.is_true(fs.read(straight .. "/custom/phase1/8/model.safetensors")
            == fs.read(again .. "/custom/phase1/8/model.safetensors"))
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
        assert.matches("returned nil at step 1, expected a finite number", fails "schedule = function() end")
        assert.matches("^on_step: unknown field evry, expected { every = N", fails "on_step = { evry = 2, print }")
        assert.matches("^schedule: got { }, expected one of linear, .*, or in a recipe a function$",
            fails "schedule = {}")
    end)
end)
