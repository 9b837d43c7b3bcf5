--- A recipe's own model, objectives and loss: logs, checkpoints, resume, processes, and what each mistake says.

local classify = require "spec.support.classify"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local mpi = require "spec.support.mpi"
local pretraining = require "spec.support.pretraining"
local storage = require "bertlua.storage"

-- A model of masked words alone whose parameters are not called as BERT's.
local SMALL = [[
local F = require "bertlua.autograd.functional"
local nn = require "bertlua.nn"
local Small = nn.Module.class("Small")
function Small.new(config, store)
    local self = nn.Module.root(Small, store)
    self.config = config
    self.embeddings = self:add("embeddings", nn.Embeddings.new(self.store, "embeddings", config))
    self.encoder = self:add("encoder", nn.Encoder.new(self.store, "encoder", config))
    self.out = self:add("out", nn.Linear.new(self.store, "out", config.hidden_size, config.padded_vocab_size))
    self.factor = config.factor or 1
    return self
end
function Small:forward(tape, batch)
    local hidden = self.encoder:forward(tape, self.embeddings:forward(tape, batch), batch)
    local masked = F.gather(tape, hidden, batch.masked_index)
    local scores = self.out:forward(tape, masked)
    local loss = F.cross_entropy(tape, scores, batch.masked_labels, self.config.vocab_size)
    return { loss = loss, mlm_loss = loss, half = loss }
end
]]

local OWN = "model = function(config, store) return Small.new(config, store) end"

describe("a recipe's own", function()
    local job
    before_each(function() job = pretraining.new() end)
    after_each(function() job:close() end)

    --- A recipe of pre-training with these settings, behind some code.
    local function recipe(settings, code)
        local path = job.dir .. "/recipe.lua"
        assert(fs.write(path, ('%s\nrequire("bertlua.recipe").pretrain({ phase1 = true, %s }, "Own.")\n')
            :format(code or SMALL, settings)))
        return path
    end

    --- The command line that runs it; `changes` are options by name.
    local function command(path, changes)
        return (job:command("x.lua", changes):gsub("recipes/x%.lua", path))
    end

    local function run(settings, changes, code)
        return pretraining.shell(command(recipe(settings, code), changes))
    end

    local function good(...)
        local code, output = run(...)
        assert.are.equal(0, code, output)
        return output
    end

    local function fails(pattern, ...)
        local code, output = run(...)
        assert.are.equal(1, code, output)
        assert.matches(pattern, output:match "bertlua: ([^\n]*)\n$" or output)
    end

    local function folder(name, step)
        return ("%s/%s/custom/phase1/%d"):format(job.dir, name, step)
    end

    local function same(a, b)
        for _, name in ipairs { "model.safetensors", "optimizer.safetensors", "config.json", "progress.json" } do
            assert.is_true(fs.read(a .. "/" .. name) == fs.read(b .. "/" .. name), name .. " differs")
        end
    end

    --- The last record of a step in a report.
    local function record_of(path, step)
        local found
        for line in io.lines(path or job.dir .. "/report.json") do
            local record = json.decode(line:match "^DLLL (.*)$")
            if record.step == step then found = record.data end
        end
        return found
    end

    describe("model", function()
        it("that a table gives decides what it learns, from data of the recipe too", function()
            local model = "model = { new = Small.new, hidden_dropout_prob = 0 }"
            local texts = ", data = function() return { 'w5 w6 w7 w8', 'w9 w10 w11', 'w12 w13' } end"
            local output = good(model .. texts .. ", on_evaluate = print", { ["input-dir"] = false, ["max-steps"] = 2 })
            assert.matches("warning: this run makes no evaluation, as evaluate is not set: on_evaluate is not called",
                output)
            fails("^objectives are those of the task's own model: a model of the recipe's decides itself",
                model .. ", objectives = { 'mlm' }", { ["output-dir"] = job.dir .. "/other" })
        end)

        it("is trained, logged, saved under its class, and resumed exactly", function()
            local settings = "model = { new = Small.new, base = '" .. job.config .. "', factor = 2 }"
            local function options(name, more)
                local all = { ["output-dir"] = job.dir .. "/" .. name, ["max-steps"] = 6, ["config-file"] = false,
                    ["gradient-merge-steps"] = 2, ["num-steps-per-checkpoint"] = 2 }
                for key, value in pairs(more or {}) do all[key] = value end
                return all
            end
            local output = good(settings, options "straight")
            assert.matches("\nmemory    activations: Small has no activation_bytes%(shape%); the first step measures "
                .. "them\n", output)
            assert.matches("\nmemory    activations took %d+ MiB in the first step\n", output)
            assert.matches("\nstep   loss   half    mlm       lr ", output)
            assert.matches("\nloss       %d%.%d+ %(half %d%.%d+, mlm_loss %d%.%d+%), mean of the last 1 step\n", output)
            local record = record_of(nil, 6)
            assert.are.equal(record.loss, record.half)
            assert.is_nil(record.nsp_loss)
            good(settings, options("stopped", { ["steps-this-run"] = 3 }))
            output = good(settings, options("stopped", { ["last-step-of-checkpoint"] = "auto" }))
            assert.is_nil(output:match "warning[^\n]*")
            same(folder("straight", 6), folder("stopped", 6))
            local config = json.read(folder("straight", 6) .. "/config.json")
            assert.are.same({ "bertlua", { "Small" }, 2 }, { config.model_type, config.architectures, config.factor })
            -- A method of its class that reads otherwise is another model.
            output = good(settings, options("stopped", { ["last-step-of-checkpoint"] = 4, ["steps-this-run"] = 1 }),
                (SMALL:gsub("half = loss", "half = loss,")))
            assert.matches("warning: model was function %x+, classes %x+ in .*/4 and is function %x+, classes %x+ now",
                output)
            fails("factor was 2 in .*/4 and is 3 now: use the configuration", settings:gsub("= 2 }", "= 3 }"),
                options("stopped", { ["last-step-of-checkpoint"] = 4 }))
        end)

        it("gives phase 2 its parameters, and other models a reason", function()
            good(OWN, { ["max-steps"] = 2 })
            local found = folder("out", 2)
            local output = good("phase1 = false, " .. OWN, { phase2 = "true", ["max-steps"] = 1,
                ["from-pretrained-params"] = found })
            assert.matches("start     parameters of", output)
            assert.is_nil(output:find("newly initialized", 1, true))
            local renamed = SMALL:gsub('store, "(%l+)", config', 'store, "new.%1", config')
                :gsub('store, "out"', 'store, "new.out"')
            fails("holds none of this model's parameters %(new%.embeddings%.word_embeddings%.weight, .* and %d+ more%)",
                OWN, { ["from-pretrained-params"] = found, ["output-dir"] = job.dir .. "/other" }, renamed)
            local command_line = ("%s recipes/%%s --checkpoint %s --threads 1"):format(pretraining.BINARY, found)
            for _, name in ipairs { "evaluate_pretraining.lua --input-dir " .. job.shards, "fill_mask.lua w10" } do
                local code, text = pretraining.shell(command_line:format(name))
                assert.are.equal(1, code, text)
                assert.matches("config%.json: the model is a Small, which the recipe that trained it defines: use that "
                    .. "recipe, or set its `model`\n$", text)
            end
        end)

        it("recomputes activations where its parts can, and predicts nothing without scores", function()
            local output = good(OWN, { ["max-steps"] = 1, ["activation-checkpointing"] = "true" })
            assert.matches("checkpoint .*/1\n", output)
            fails("^%-%-activation%-checkpointing: no part of Bare can recompute its activations; drop the setting$",
                (OWN:gsub("Small", "Bare")),
                { ["activation-checkpointing"] = "true", ["output-dir"] = job.dir .. "/bare" },
                (SMALL:gsub("Small", "Bare"):gsub("nn%.Encoder%.new%(self%.store, \"encoder\", config%)",
                    'nn.Linear.new(self.store, "encoder", config.hidden_size, config.hidden_size)')))
            local texts = classify.new { texts = 8 }
            local path = recipe("", ""):gsub("recipe%.lua$", "classify.lua")
            assert(fs.write(path, SMALL .. 'require("bertlua.recipe").run("classify", { ' .. OWN .. ' }, "Own.")\n'))
            local code, text = pretraining.shell((texts:command {}:gsub("recipes/finetune_classify%.lua", path)))
            texts:close()
            assert.are.equal(1, code, text)
            assert.matches("model: Small has no logits%(tape, batch%), which predicting needs\n$", text)
        end)

        it("is trained, exported and used by another task's recipe", function()
            local texts = classify.new { texts = 24 }
            local path = texts.dir .. "/classify.lua"
            assert(fs.write(path, [[
local F = require "bertlua.autograd.functional"
local bert = require "bertlua.models.bert"
local nn = require "bertlua.nn"
local Mean = nn.Module.class("Mean")
function Mean.new(config, store)
    local self = nn.Module.root(Mean, store)
    self.bert = self:add("bert", bert.BertModel.new(config, store, "bert", { pooler = false }))
    self.top = self:add("top", nn.Linear.new(store, "top", config.hidden_size, #config.labels))
    return self
end
function Mean:logits(tape, batch)
    local hidden = self.bert:forward(tape, batch)
    return self.top:forward(tape, F.gather(tape, hidden, batch.cls_index))
end
function Mean:forward(tape, batch)
    return F.cross_entropy(tape, self:logits(tape, batch), batch.labels)
end
require("bertlua.recipe").run("classify", { model = Mean.new }, "Own.")
]]))
            local function classified(changes)
                local line = texts:command(changes):gsub("recipes/finetune_classify%.lua", path)
                local code, text = pretraining.shell(line)
                assert.are.equal(0, code, text)
                return text:match "result     dev: (accuracy [^\n]*)"
            end
            local trained = classified { epochs = 8 }
            assert.is_string(trained)
            local home = texts.out .. "/model"
            local config = json.read(home .. "/config.json")
            assert.are.same({ "bertlua", { "Mean" }, "label 0" }, { config.model_type, config.architectures,
                config.id2label["0"] })
            assert.are.equal(trained, classified { ["train-file"] = false, ["from-pretrained-params"] = home,
                ["output-dir"] = texts.dir .. "/again" })
            texts:close()
        end)

        it("is refused where it is no model", function()
            fails("^model: the function returned nil, expected a module", "model = function() end")
            fails("^model: the function returned a table that is no module", "model = function() return {} end")
            fails("^model: the parameters of Small are in another store",
                "model = function(config) return Small.new(config) end")
            fails("^model: .*recipe%.lua:%d+: attempt to call field 'made'",
                "model = function(config) return Small.made(config) end")
            fails("^model: .*recipe%.lua:15: attempt to call method 'gather'", OWN, {},
                (SMALL:gsub("F%.gather%(tape, ", "tape:gather(")))
            fails('unknown key "factor"', "config_file = { factor = 2 }", { ["config-file"] = false })
        end)

        it("may be a table of what differs from a base", function()
            local base = ("model = { base = '%s', hidden_size = 32 }"):format(job.config)
            local without = { ["config-file"] = false, ["max-steps"] = 1, ["bert-model"] = false }
            good(base, without)
            assert.are.equal(32, json.read(folder("out", 1) .. "/config.json").hidden_size)
            -- The command line's file takes the place of the base; without one, the fields change the named file.
            good(base, { ["max-steps"] = 1, ["output-dir"] = job.dir .. "/given",
                ["config-file"] = job:write_config({ intermediate_size = 48 }, "wide.json") })
            local config = json.read(folder("given", 1) .. "/config.json")
            assert.are.same({ 32, 48 }, { config.hidden_size, config.intermediate_size })
            good("model = { num_hidden_layers = 1 }", { ["max-steps"] = 1, ["output-dir"] = job.dir .. "/fewer" })
            assert.are.equal(1, json.read(folder("fewer", 1) .. "/config.json").num_hidden_layers)
            local fresh = { ["output-dir"] = job.dir .. "/fresh" }
            fails("^model%.base bert%-bas: expected a model of bert_configs/", "model = { base = 'bert-bas' }", without)
            fails("^model%.new is 3, expected function%(config, store%)", "model = { new = 3 }", fresh)
            fails("^model%.base is 3, expected text", "model = { base = 3 }", without)
            fails("^model and config_file are both tables", "model = { base = 'a' }, config_file = {}", without)
            fails("^model%.base and config_file are both set", base .. ", config_file = 'x.json'", without)
            fails("^model: got a list, expected fields by name", "model = { 'bert-base-uncased' }", fresh)
            fails('model: unknown key "layers"', "model = { layers = 2 }", fresh)
        end)
    end)

    describe("objectives", function()
        it("without next sentences train no such head, and open in transformers as a masked language model", function()
            local settings = 'objectives = { "mlm" }'
            local output = good(settings, { ["max-steps"] = 3 })
            assert.matches("\nstep  loss       lr", (output:gsub("step +", "step  ")))
            assert.matches("\nloss       %d%.%d+ %(MLM%), mean of the last 1 step\naccuracy   MLM %d+%.%d %%, on",
                output)
            local record = record_of(nil, 3)
            assert.are.equal(record.loss, record.mlm_loss)
            assert.is_nil(record.nsp_loss)
            local found = folder("out", 3)
            assert.are.same({ "BertForMaskedLM" }, json.read(found .. "/config.json").architectures)
            assert.are.equal("mlm", json.read(found .. "/progress.json").began.settings.objectives)
            for _, name in ipairs(assert(storage.open(found .. "/model.safetensors")):names()) do
                assert.is_nil(name:find "pooler" or name:find "seq_relationship", name)
            end
            local code, text = pretraining.shell(("%s recipes/evaluate_pretraining.lua --checkpoint %s --input-dir %s "
                .. "--batch-size 8 --threads 1"):format(pretraining.BINARY, found, job.shards))
            assert.are.equal(0, code, text)
            assert.matches("MLM  loss %d", text)
            assert.matches("NSP  not measured: the model has no head for next sentences", text, 1, true)
            code, text = pretraining.shell(("%s scripts/convert_to_huggingface.lua --checkpoint %s --output-dir %s")
                :format(pretraining.BINARY, found, job.dir .. "/hugging"))
            assert.are.equal(0, code, text)
            assert.are.same({ "BertForMaskedLM" }, json.read(job.dir .. "/hugging/config.json").architectures)
        end)

        it("are kept by a resumed run, and are known", function()
            good("log_freq = 1", { ["max-steps"] = 2 })
            assert.are.equal("mlm,nsp", json.read(folder("out", 2) .. "/progress.json").began.settings.objectives)
            fails("^objectives was mlm,nsp in .*/2 and is mlm now: set it as it was, or start a new run with "
                .. "%-%-from%-pretrained%-params .*/2$", 'objectives = "mlm"', { ["max-steps"] = 4,
                ["last-step-of-checkpoint"] = "auto" })
            fails('^objectives: got { "nsp" }, expected { "mlm" } or { "mlm", "nsp" }$', 'objectives = { "nsp" }')
            fails("^objectives: got { 1 }, expected", "objectives = { 1 }")
            fails('^objectives: got "sop", expected one of mlm, mlm,nsp, or in a recipe a table$', 'objectives = "sop"')
        end)
    end)

    describe("loss", function()
        local LOSS = [[
local F = require "bertlua.autograd.functional"
local function loss(tape, model, batch)
    local scores = model:logits(tape, batch)
    local words = F.cross_entropy(tape, scores.mlm, batch.masked_labels, model.config.vocab_size)
    local others = F.cross_entropy(tape, scores.nsp, batch.nsp_labels, 2)
    return { loss = F.add(tape, words, others), mlm_loss = words, nsp_loss = others, sentences = others }
end
]]
        it("is what the model computes where it says the same, in steps of many parts, and resumes exactly", function()
            local function options(name, more)
                -- Op by op, a GPU times other products than in a recorded step.
                local all = { ["output-dir"] = job.dir .. "/" .. name, ["gradient-merge-steps"] = 3, ["max-steps"] = 5,
                    ["matmul-choices"] = "none" }
                for key, value in pairs(more or {}) do all[key] = value end
                return all
            end
            good("log_freq = 1", options "plain")
            local plain = record_of(nil, 5)
            local output = good("loss = loss", options "own", LOSS)
            assert.matches("activations: what the recipe's loss computes is not known", output)
            assert.matches("\nstep   loss    mlm    nsp sentences       lr", output)
            local own = record_of(nil, 5)
            assert.are.same({ plain.loss, plain.mlm_loss, plain.nsp_loss, plain.nsp_loss },
                { own.loss, own.mlm_loss, own.nsp_loss, own.sentences })
            for _, name in ipairs { "model.safetensors", "optimizer.safetensors" } do
                assert.is_true(fs.read(folder("plain", 5) .. "/" .. name) == fs.read(folder("own", 5) .. "/" .. name))
            end
            -- On a GPU: replayed steps are the same as steps op by op.
            good("loss = loss", options("op_by_op", { ["cuda-graph"] = "false" }), LOSS)
            same(folder("own", 5), folder("op_by_op", 5))
            good("loss = loss", options("stopped", { ["steps-this-run"] = 2 }), LOSS)
            good("loss = loss", options("stopped", { ["last-step-of-checkpoint"] = "auto" }), LOSS)
            same(folder("own", 5), folder("stopped", 5))
            output = good("log_freq = 1", options("stopped", { ["last-step-of-checkpoint"] = "auto",
                ["max-steps"] = 6 }))
            assert.matches("warning: loss was function %x+ in .*/5 and is not set now", output)
        end)

        it("is evaluated while it trains, and a model of the recipe too", function()
            for name, own in pairs { loss = { "loss = loss, ", LOSS, "sentences" },
                model = { OWN .. ", ", SMALL, "half" } } do
                local settings = ('%sevaluate = { every = 2, input_dir = "%s", metric = "%s", better = "lower", '
                    .. 'keep = "best" }'):format(own[1], job.shards, own[3])
                local function options(out, more)
                    local all = { ["output-dir"] = job.dir .. "/" .. name .. out, ["max-steps"] = 4 }
                    for key, value in pairs(more or {}) do all[key] = value end
                    return all
                end
                local output = good(settings, options "straight", own[2])
                assert.matches("\nevaluation 4: " .. own[3] .. " %d%.%d+ %(best", output)
                good(settings, options("stopped", { ["steps-this-run"] = 3 }), own[2])
                good(settings, options("stopped", { ["last-step-of-checkpoint"] = "auto" }), own[2])
                same(folder(name .. "straight", 4), folder(name .. "stopped", 4))
                fails("^evaluate: unknown metric none, expected one of .*loss, mlm_loss",
                    (settings:gsub('"' .. own[3] .. '"', '"none"')), options "none", own[2])
            end
        end)

        it("is the same in many processes", function()
            if mpi.missing then return pending(mpi.missing) end
            good("loss = loss", { device = "cpu", ["gradient-merge-steps"] = 2, ["max-steps"] = 2 }, LOSS)
            local one = record_of(nil, 2)
            local output, code = mpi.run(2, (command(recipe("loss = loss", LOSS), { device = "cpu", ["max-steps"] = 2,
                ["output-dir"] = job.dir .. "/two" }):gsub("^%S+ ", "")))
            assert.are.equal(0, code, output)
            local two = record_of(nil, 2)
            for _, name in ipairs { "loss", "sentences" } do
                assert.is_true(math.abs(one[name] - two[name]) < 1e-5, name)
            end
        end)

        it("that is wrong ends with the user's file and line", function()
            fails("^loss: .*recipe%.lua:4: attempt to index field 'none' %(a nil value%)$", "loss = loss", {},
                (LOSS:gsub("batch%.masked_labels", "batch.none.x")))
            fails("^loss: .*cross_entropy: .*; called at .*recipe%.lua:5", "loss = loss", {},
                (LOSS:gsub("batch%.nsp_labels, 2", "batch.nsp_labels, 3")))
            fails(
                "^loss %(function at .-recipe%.lua:%d+%): it returned nil, expected { loss = variable, name = scalar, "
                    .. "%.%.%. }$",
                "loss = function() end")
        end)
    end)
end)
