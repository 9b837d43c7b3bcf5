--- Recipes: the published values, --help of every one.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local pretraining = require "spec.support.pretraining"

--- What a recipe file hands to bertlua.recipe, without running it.
local function captured(name)
    local real, settings = package.loaded["bertlua.recipe"], nil
    local function capture(values) settings = values end
    package.loaded["bertlua.recipe"] = setmetatable({}, { __index = function() return capture end })
    local ok, message = pcall(dofile, "recipes/" .. name .. ".lua")
    package.loaded["bertlua.recipe"] = real
    assert.is_true(ok, message)
    return settings
end

-- Batch per GPU, accumulation, learning rate, warm-up, steps, as published for 8 GPUs.
local PUBLISHED = {
    amp = { phase1 = { 256, 32, 6e-3, 0.2843, 7038 }, phase2 = { 32, 128, 4e-3, 0.128, 1563 } },
    tf32 = { phase1 = { 128, 64, 6e-3, 0.2843, 7038 }, phase2 = { 16, 256, 4e-3, 0.128, 1563 } },
}
local SHAPES = { phase1 = { 128, 20, 65536 }, phase2 = { 512, 80, 32768 } }

describe("published recipe", function()
    for precision, table_of in pairs(PUBLISHED) do
        for _, gpus in ipairs { 1, 8 } do
            local name = ("dgxa100_80g_%dgpu_%s"):format(gpus, precision)
            it(name .. " has the published values", function()
                local settings = captured(name)
                local common = settings.common
                assert.are.equal("bert-large-uncased", common.bert_model)
                assert.are.equal(gpus, common.world_size)
                assert.are.equal(precision == "amp", common.amp)
                assert.are.equal(precision == "amp" and 2 ^ 20 or nil, common.scale_loss)
                for phase, published in pairs(table_of) do
                    local values, shape = settings[phase], SHAPES[phase]
                    assert.are.equal(published[1], values.batch_size)
                    assert.are.equal(published[2] * 8 / gpus, values.gradient_merge_steps)
                    assert.are.equal(published[3], values.learning_rate)
                    assert.are.equal(published[4], values.warmup_proportion)
                    assert.are.equal(published[5], values.max_steps)
                    assert.are.equal(shape[1], values.max_seq_length)
                    assert.are.equal(shape[2], values.max_predictions_per_seq)
                    assert.are.equal(shape[3], values.batch_size * values.gradient_merge_steps * gpus)
                    assert.are.equal(200, values.num_steps_per_checkpoint)
                end
            end)
        end
    end

    for _, precision in ipairs { "amp", "tf32" } do
        for _, gpus in ipairs { 1, 8 } do
            it(("of SQuAD for %d GPUs, %s, has the published values"):format(gpus, precision), function()
                local values = captured(("dgxa100_80g_%dgpu_%s_squad"):format(gpus, precision))
                assert.are.same({ "bert-large-uncased", 384, 128, 32, 1, gpus, 4.6e-5, 0.2, 2, precision == "amp" }, {
                    values.bert_model, values.max_seq_length, values.doc_stride, values.train_batch_size,
                    values.gradient_merge_steps, values.world_size, values.learning_rate, values.warmup_proportion,
                    values.epochs, values.amp })
                assert.are.equal(precision == "amp" and 128 or nil, values.scale_loss)
                assert.are.equal(precision == "amp" or nil, values.use_dynamic_loss_scaling)
            end)
        end
    end

    it("of one phase has the same values", function()
        for phase, shape in pairs(SHAPES) do
            local values = captured("pretrain_" .. phase)
            assert.is_true(values[phase])
            assert.are.equal(shape[3], values.batch_size * values.gradient_merge_steps)
            for name, value in pairs(captured("dgxa100_80g_1gpu_amp")[phase]) do
                assert.are.equal(value, values[name], name)
            end
        end
    end)
end)

describe("recipe.run", function()
    it("lists the tasks where a name is none", function()
        local ok, problem = pcall(require("bertlua.recipe").run, "clasify", {})
        assert.is_true(not ok and fault.is(problem))
        local listed = tostring(problem):match "^recipe%.run: there is no task clasify, expected (.*), or a table$"
        assert.is_string(listed, tostring(problem))
        local names = {}
        for name in listed:gmatch "[^, ]+" do
            assert.is_true(fs.is_file(("lua/bertlua/jobs/%s/task.lua"):format(name)), name)
            names[name] = true
        end
        assert.is_true(names.classify and names.pretrain and names.squad and names.tokens)
    end)

    it("fine-tunes as the recipe that comes with the task, if it is told no more than its files", function()
        local dir = assert(fs.temporary_folder "bertlua-recipe")
        finally(function() fs.remove(dir) end)
        local path = dir .. "/own.lua"
        local function help(recipe)
            local code, output = pretraining.shell(("%s %s --help"):format(pretraining.BINARY, recipe))
            assert.are.equal(0, code, output)
            return (assert(output:match "\n%w+:\n.*", output))
        end
        local recipes = { classify = "finetune_classify", tokens = "finetune_tokens", squad = "finetune_squad",
            embeddings = "finetune_embeddings", mlm = "pretrain_continue" }
        for task, recipe in pairs(recipes) do
            -- What there is no default for.
            local named = task == "squad" and 'mode = "train_eval", output_dir = "results"' or 'output_dir = "results"'
            assert(fs.write(path, ('require("bertlua.recipe").run("%s", { %s })'):format(task, named)))
            local own = help(path)
            assert.are.equal(help("recipes/" .. recipe .. ".lua"), own)
            assert.matches(task == "squad" and "%(default 4.6e%-05%)" or task == "embeddings" and "%(default 2e%-05%)"
                or "%(default 5e%-05%)", own)
        end
    end)
end)

describe("every recipe", function()
    it("explains itself within 80 columns", function()
        local count = 0
        for _, name in ipairs(assert(fs.list "recipes")) do
            if name:match "%.lua$" then
                count = count + 1
                local code, output = pretraining.shell(("%s recipes/%s --help"):format(pretraining.BINARY, name))
                assert.are.equal(0, code, name .. ": " .. output)
                assert.are.equal("Usage: bertlua recipes/" .. name .. " [settings]", output:match "^[^\n]*%]")
                for line in output:gmatch "[^\n]+" do assert.is_true(#line <= 80, name .. ": " .. line) end
            end
        end
        assert.is_true(count >= 10)
    end)
end)
