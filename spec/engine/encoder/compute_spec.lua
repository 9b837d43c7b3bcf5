--- Scores of every head of the C encoder against the model in Lua, sequences of many lengths packed in any order.

local api = require "bertlua.encoder_api"
local compute = require "spec.support.encoder_compute"
local context = require "bertlua.context"
local fs = require "bertlua.util.fs"
local models = require "spec.support.graph_models"
local rng = require "bertlua.rng"

local LENGTHS = { 9, 2, 37, 3, 16, 1, 8, 25, 17, 30, 7, 33, 2, 12 }
-- The encoder sums products in another order: by some units in the last place of numbers up to 8 they differ.
local CLOSE = 3e-6
local DEVICE = context.device()

local HIDDEN, VOCABULARY = models.SIZES.hidden_size, models.SIZES.vocab_size
-- Head, architecture, width of a row, and what computes it in Lua where that is not the model's logits.
local HEADS = {
    { "hidden", "BertModel", HIDDEN },
    { "mean", "BertModel", HIDDEN, function(model, tape, batch) return model:logits(tape, batch) end },
    { "cls", "BertModel", HIDDEN, function(model, tape, batch)
        model.pooling = "cls"
        local vectors = model:logits(tape, batch)
        model.pooling = "mean"
        return vectors
    end },
    { "labels", "BertForSequenceClassification", models.LABELS },
    { "tags", "BertForTokenClassification", models.LABELS },
    { "spans", "BertForQuestionAnswering", 2 },
    { "words", "BertForPreTraining", VOCABULARY },
    { "words", "BertForMaskedLM", VOCABULARY },
}

describe("the encoder's heads", function()
    local folder, sequences

    setup(function()
        -- Threads cost more than they save at these sizes.
        context.open { device = DEVICE, threads = 1 }
        folder = assert(fs.temporary_folder "bertlua-compute-")
        sequences = {}
        local random = rng.new(3)
        for i, length in ipairs(LENGTHS) do
            sequences[i] = length > 1 and models.sequence(random, length) or { ids = { 2 }, first = 1, masked = {} }
        end
    end)
    teardown(function()
        context.open { device = DEVICE }
        fs.remove(folder)
    end)

    for _, head in ipairs(HEADS) do
        local name, architecture, width, in_lua = unpack(head)
        for _, dtype in ipairs { "f32", "bf16" } do
            it(("score as the %s in Lua, in %s: %s"):format(architecture, dtype, name), function()
                local model = models.model(architecture, { precision = dtype == "bf16" and "bf16" or "fp32" })
                local encoder = assert(api.open(models.write(model, folder .. "/" .. architecture), {
                    dtype = dtype, device = DEVICE, threads = 1,
                }))
                local results = assert(compute.run(encoder, name, sequences, width))
                for i, s in ipairs(sequences) do
                    if name ~= "words" or #s.masked > 0 then
                        local worst = models.distance(models.logits(model, s, in_lua), results[i])
                        assert.is_true(worst < (dtype == "f32" and CLOSE or 0.15),
                            ("%d tokens: off by %g"):format(#s.ids, worst))
                    end
                end
                encoder:close()
            end)
        end
    end

    it("have GELU in its tanh form where config.json says so", function()
        local erf = models.model "BertForPreTraining"
        for _, name in ipairs { "gelu_new", "gelu_pytorch_tanh" } do
            local model = models.model("BertForPreTraining", { sizes = { hidden_act = name } })
            local encoder = assert(api.open(models.write(model, folder .. "/" .. name), {
                device = DEVICE, threads = 1,
            }))
            local results = assert(compute.run(encoder, "words", sequences, VOCABULARY))
            for i, s in ipairs(sequences) do
                if #s.masked > 0 then
                    assert.is_true(models.distance(models.logits(model, s), results[i]) < CLOSE)
                    assert.is_true(models.distance(models.logits(erf, s), results[i]) > CLOSE)
                end
            end
            encoder:close()
        end
    end)

    it("score a sequence as alone, whatever shares a batch with it, in any order and with little memory", function()
        local path = models.write(models.model "BertModel", folder .. "/alone")
        local encoder = assert(api.open(path, { threads = 1 }))
        local alone = {}
        for i, s in ipairs(sequences) do alone[i] = assert(compute.run(encoder, "mean", { s }, HIDDEN))[1] end
        local small = assert(api.open(path, { memory = 700 * 1024, threads = 1 }))
        local random = rng.new(5)
        for _ = 1, 5 do
            local order, list = {}, {}
            for i = 1, #sequences do order[i] = i end
            for i = #order, 2, -1 do
                local k = random:integer(1, i)
                order[i], order[k] = order[k], order[i]
            end
            for i, k in ipairs(order) do list[i] = sequences[k] end
            for _, e in ipairs { encoder, small } do
                for i, rows in ipairs(assert(compute.run(e, "mean", list, HIDDEN))) do
                    assert.is_true(models.distance(alone[order[i]], rows) < CLOSE)
                end
            end
        end
        assert.is_true(small:describe().bytes_of_calls <= 700 * 1024)
        assert.is_true(encoder:describe().bytes_of_calls > 0)
        encoder:close()
        small:close()
    end)

    it("score the same where threads take batches of their own, and say the same of damage", function()
        local model = models.model "BertModel"
        local path = models.write(model, folder .. "/lanes")
        local many, random = {}, rng.new(9)
        for i = 1, 60 do many[i] = models.sequence(random, random:integer(2, 37)) end
        local one, three = assert(api.open(path, { threads = 1 })), assert(api.open(path, { threads = 3 }))
        local expected, results = assert(compute.run(one, "mean", many, HIDDEN)),
            assert(compute.run(three, "mean", many, HIDDEN))
        for i, rows in ipairs(expected) do assert.is_true(models.distance(rows, results[i]) < CLOSE) end
        one:close()
        three:close()
        model.store:get("bert.encoder.layer.2.output.dense.bias").value:slice(1, 4, 4):fill(0 / 0)
        local damaged = assert(api.open(models.write(model, folder .. "/lanes-nan"), { threads = 3 }))
        local longest = 1
        for i, s in ipairs(many) do if #s.ids > #many[longest].ids then longest = i end end
        local nothing, message = compute.run(damaged, "mean", many, HIDDEN)
        assert.is_nil(nothing)
        assert.matches(("computes inf or NaN %%(text %d, from 0%%)"):format(longest - 1), message)
        damaged:close()
    end)

    it("have as much memory as asked for, and a text that needs more says so", function()
        local path = models.write(models.model "BertForMaskedLM", folder .. "/little")
        local ok, message = pcall(api.open, path, { memory = 4096, threads = 1 })
        assert.is_false(ok)
        assert.matches("encoder: memory is 4096 bytes, expected %d+ or more for a text of 37 tokens; raise it, or "
            .. "lower max_length$", message)
        local least = tonumber(message:match "expected (%d+)")
        local encoder = assert(api.open(path, { memory = least, threads = 1 }))
        local all = { ids = {}, masked = {}, first = 37 }
        for i = 1, 37 do all.ids[i], all.masked[i] = 4, i - 1 end
        assert(compute.run(encoder, "hidden", { all }, HIDDEN))
        assert.is_true(encoder:describe().bytes_of_calls <= least)
        encoder:close()
    end)

    it("refuse numbers that are none", function()
        local model = models.model "BertModel"
        local bias = model.store:get "bert.encoder.layer.2.output.dense.bias"
        bias.value:slice(1, 4, 4):fill(0 / 0)
        local path = models.write(model, folder .. "/nan")
        local encoder = assert(api.open(path, { threads = 1 }))
        local results, message = compute.run(encoder, "mean", sequences, HIDDEN)
        assert.is_nil(results)
        assert.are.equal(("embed: the model in %s computes inf or NaN (text 2, from 0): its parameters are damaged, or "
            .. "too large for this dtype"):format(path), message)
        results, message = compute.run(encoder, "words", sequences, VOCABULARY)
        assert.is_nil(results)
        assert.are.equal(("fill_mask: the model in %s has no head for it"):format(path), message)
        encoder:close()
    end)
end)
