--- The memory plan: what a run will take, by use, which batch fits, and the message when memory runs out.

local Tape = require "bertlua.autograd.tape"
local bert = require "bertlua.models.bert"
local device = require "bertlua.device"
local fault = require "bertlua.fault"
local memory = require "bertlua.memory"
local loader = require "bertlua.data.loader"
local memory_plan = require "bertlua.jobs.common.memory_plan"
local tiny = require "spec.support.tiny_bert"

local MIB = 2 ^ 20

local function shape(changes)
    local values = { batch_size = 12, max_seq_length = 32, max_predictions_per_seq = 5, accumulation = 2,
        tensors = loader.TENSORS }
    for name, value in pairs(changes or {}) do values[name] = value end
    return values
end

local function refusal(fn)
    local ok, message = pcall(fn)
    assert.is_false(ok)
    assert.is_true(fault.is(message))
    return tostring(message)
end

-- Gaps between parameters, larger on a GPU, are not predicted: of a tiny model they are a share of what is taken.
local GAPS = device.is_host() and 0.01 or 0.2

describe("memory plan", function()
    local model

    before_each(function() model = bert.BertForPretraining.new(tiny.config()) end)
    after_each(function() memory.advise(nil) end)

    for precision, weight in pairs { fp32 = 4, bf16 = 6, fp16 = 6 } do
        it("predicts what allocate() takes in " .. precision, function()
            local plan = memory_plan.check(model, { precision = precision, shape = shape(), limit = 2 ^ 40 })
            local numel = 0
            for _, entry in ipairs(model.store.list) do numel = numel + entry.numel end
            assert.are.equal(weight * numel, plan.weights)
            assert.are.equal(4 * numel, plan.gradients)
            assert.are.equal(8 * numel, plan.optimizer)
            model.store:allocate { precision = precision }
            local bytes = model.store:bytes()
            -- Gaps between parameters are not predicted.
            local taken = bytes.value + bytes.low + bytes.grad
            assert.is_true(math.abs(taken - plan.weights - plan.gradients) < GAPS * taken)
            assert.are.equal(memory_plan.activation_bytes(model, 12, 32, 5), plan.activations)
            assert.are.equal(plan.weights + plan.gradients + plan.optimizer + plan.activations + plan.workspace
                + plan.reserve,
                plan.sum)
            model.store:free()
        end)
    end

    it("counts no gradients and no optimizer state of what is frozen", function()
        local all = memory_plan.check(model, { precision = "bf16", shape = shape(), limit = 2 ^ 40 })
        local numel, frozen = 0, 0
        model.store:freeze(function(name) return name:find "embeddings" ~= nil end)
        for _, entry in ipairs(model.store.list) do
            numel = numel + entry.numel
            frozen = frozen + (entry.frozen and entry.numel or 0)
        end
        local plan = memory_plan.check(model, { precision = "bf16", shape = shape(), limit = 2 ^ 40 })
        assert.are.equal(all.weights, plan.weights)
        assert.are.equal(4 * (numel - frozen), plan.gradients)
        assert.are.equal(8 * (numel - frozen), plan.optimizer)
        -- Each rank has a part of the master weights, but all of what is frozen.
        local divided = memory_plan.state_bytes(model.store, "bf16", 4)
        assert.are.equal((2 + 1 + 4 + 2) * (numel - frozen) + 6 * frozen, divided)
        model.store:allocate { precision = "bf16" }
        local bytes = model.store:bytes()
        assert.is_true(math.abs(bytes.grad - plan.gradients) < GAPS * bytes.grad)
        assert.is_true(math.abs(bytes.value + bytes.low - plan.weights) < GAPS * plan.weights)
        model.store:free()
    end)

    it("says which batch size fits, with accumulation to make up for it, before anything is taken", function()
        local limit = memory_plan.activation_bytes(model, 5, 32, 5, "bf16")
        local text = refusal(function()
            memory_plan.check(model, { precision = "bf16", shape = shape(), limit = limit })
        end)
        assert.matches("%-%-batch%-size 4 %-%-gradient%-merge%-steps 6 fits and gives the same update", text)
        assert.matches("or try %-%-activation%-checkpointing$", text)
        assert.is_nil(model.store.value)
        local smaller = memory_plan.check(model, { precision = "bf16", shape = shape { batch_size = 4 },
            limit = limit })
        assert.is_true(smaller.activations <= limit)
    end)

    it("refuses what cannot fit at all", function()
        local text = refusal(function()
            memory_plan.check(model, { precision = "fp32", shape = shape { checkpointing = true }, limit = 1000 })
        end)
        assert.matches("one sequence of 32 tokens takes .* shorten the sequences or use a smaller model$", text)
    end)

    it("is smaller where layers are recomputed", function()
        local config = tiny.config { num_hidden_layers = 12 }
        local deep = bert.BertForPretraining.new(config)
        local whole = memory_plan.activation_bytes(deep, 8, 32, 5, "bf16")
        deep.bert.encoder.activation_checkpointing = true
        assert.is_true(memory_plan.activation_bytes(deep, 8, 32, 5, "bf16") < 0.4 * whole)
    end)

    it("is shown in two lines", function()
        local plan = memory_plan.check(model, { precision = "fp32", shape = shape(), limit = 2 ^ 40 })
        local lines = memory_plan.lines(plan, function(bytes) return ("%.1fM"):format(bytes / MIB) end)
        assert.matches("^weights [%d.]+M, gradients [%d.]+M, optimizer [%d.]+M, activations [%d.]+M", lines[1])
        assert.matches("^together at most [%d.]+M", lines[2])
    end)

    it("adds to a full arena's message what would fit", function()
        model.store:allocate {}
        local tape = Tape.new { capacity = memory_plan.activation_bytes(model, 3, 32, 5) / 2 }
        memory_plan.advise(model, shape { batch_size = 4 })
        local samples = tiny.samples(tiny.open "bert_tiny")
        tape:start(1, 0, true)
        local ok, message = pcall(function()
            model:forward(tape, tiny.batch({ samples[1], samples[2], samples[3], samples[1] }, { max_length = 32 }))
        end)
        assert.is_false(ok)
        assert.matches("arena: no room for %d+ bytes.*: %-%-batch%-size 2 %-%-gradient%-merge%-steps 4 takes",
            tostring(message))
        tape:close()
        model.store:free()
    end)
end)
