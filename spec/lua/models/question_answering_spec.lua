--- BertForQuestionAnswering against PyTorch: loss, logits, gradients; packing, bf16, memory.

local BertForQuestionAnswering = require "bertlua.models.question_answering"
local Tape = require "bertlua.autograd.tape"
local array = require "bertlua.array"
local tensor = require "bertlua.tensor"
local tiny = dofile "spec/lua/models/tiny_bert.lua"

local LENGTH = 32

-- Their gradients are 0, exactly: the softmax over a row's keys, and that over a sequence's tokens, ignore what is
-- added to all scores. What is computed is rounding noise, which cannot be compared relatively.
local function has_no_gradient(name)
    return name:match "%.key%.bias$" or name == "bert.encoder.layer.1.output.LayerNorm.bias"
        or name == "qa_outputs.bias"
end

describe("BertForQuestionAnswering", function()
    local fixture, tape, lengths

    setup(function()
        fixture = tiny.open "qa_tiny"
        lengths = tiny.read(fixture, "batch.lengths"):tolist()
        tape = Tape.new { seed = 3 }
    end)

    local function model(precision, changes)
        local m = BertForQuestionAnswering.new(tiny.config(changes))
        m.store:allocate { precision = precision, seed = 1 }
        tiny.load_weights(m.store, fixture, "weight.")
        return m
    end

    --- The fixture's batch, padded or packed.
    local function batch(packed)
        local input = tiny.sequences(fixture, LENGTH, packed)
        input.starts, input.ends = tiny.read(fixture, "batch.starts"), tiny.read(fixture, "batch.ends")
        return input
    end

    --- Worst distance of the logits of real tokens to the fixture's, relative to the largest.
    local function logit_error(m, input)
        tape:start(0, 0, false)
        local scores = m:logits(tape, input)
        local logits = tensor.new("f32", scores.dims):copy_from(scores.value)
        local got, worst, scale = logits:tolist(), 0, 0
        for column, name in ipairs { "start_logits", "end_logits" } do
            local expected = tiny.read(fixture, name):tolist()
            for b, length in ipairs(lengths) do
                for i = 1, length do
                    local difference = math.abs(got[input.first_rows[b][1] + i][column] - expected[b][i])
                    worst, scale = math.max(worst, difference), math.max(scale, math.abs(expected[b][i]))
                end
            end
        end
        return worst / scale
    end

    local function gradients(m, input)
        m.store:zero_grad()
        tape:start(1, 0, true)
        local loss = m:forward(tape, input).loss
        tape:backward(loss)
        return m:scalars("loss").loss:item(), tiny.gradients(m.store)
    end

    it("has Hugging Face's parameters, neither more nor fewer", function()
        local ours, theirs = {}, {}
        for _, entry in ipairs(model("fp32").store.list) do ours[entry.name] = table.concat(entry.stored_dims, "x") end
        for _, name in ipairs(fixture:names()) do
            local short = name:match "^weight%.(.*)"
            if short then theirs[short] = table.concat(fixture:info(name).dims, "x") end
        end
        assert.are.same(theirs, ours)
        assert.is_nil(ours["bert.pooler.dense.weight"])
        assert.are.equal("2x64", ours["qa_outputs.weight"])
    end)

    for _, packed in ipairs { false, true } do
        it("equals PyTorch in fp32, " .. (packed and "packed" or "padded"), function()
            local m, input = model "fp32", batch(packed)
            assert.is_true(logit_error(m, input) < 1e-5)
            local loss, grads = gradients(m, input)
            local expected = tiny.read(fixture, "loss"):item()
            assert.is_true(math.abs(loss - expected) < 1e-5 * expected, loss .. " " .. expected)
            for name, grad in pairs(grads) do
                local relative, absolute = tiny.distance(grad, tiny.read(fixture, "grad." .. name))
                if has_no_gradient(name) then relative = absolute end
                assert.is_true(relative < 1e-5, name .. ": " .. relative)
            end
        end)
    end

    it("is near in bf16", function()
        local m, input = model "bf16", batch(true)
        assert.is_true(logit_error(m, input) < 0.05)
        local loss = gradients(m, input)
        local expected = tiny.read(fixture, "loss"):item()
        assert.is_true(math.abs(loss - expected) < 0.02 * expected)
    end)

    it("leaves the arena empty and the loss readable after backward", function()
        local m = model "fp32"
        local loss = gradients(m, batch(true))
        assert.are.equal(0, (tape:memory()))
        assert.are.equal(loss, m:scalars("loss").loss:item())
    end)

    it("estimates the peak of the arena", function()
        for _, precision in ipairs { "fp32", "bf16" } do
            for _, packed in ipairs { false, true } do
                local m, input, own = model(precision), batch(packed), Tape.new {}
                own:start(1, 0, true)
                own:backward(m:forward(own, input).loss)
                local _, peak = own:memory()
                local ratio = m:activation_bytes { rows = input.ids:numel(), batch_size = #lengths,
                    max_length = LENGTH } / peak
                assert.is_true(ratio >= 1 and ratio < 1.12, precision .. ": " .. ratio)
                own:close()
            end
        end
    end)

    it("applies dropout in training only", function()
        local m, input = model("fp32", { hidden_dropout_prob = 0.3 }), batch(true)
        assert.is_true(logit_error(m, input) < 1e-5)
        local dropped = gradients(m, input)
        assert.is_true(math.abs(dropped - tiny.read(fixture, "loss"):item()) > 1e-3)
        assert.are.equal(dropped, (gradients(m, input)))
    end)

    it("learns the answers of one batch", function()
        local Optimizer = require "bertlua.train.optimizer"
        local m, input = model "fp32", batch(true)
        local optimizer = Optimizer.new { kind = "AdamW", store = m.store }
        local first = gradients(m, input)
        for _ = 1, 60 do
            gradients(m, input)
            optimizer:step(2e-3)
        end
        local last = gradients(m, input)
        assert.is_true(last < 0.05 * first, first .. " -> " .. last)
        tape:start(0, 0, false)
        local logits = m:logits(tape, input)
        local host = logits.value:host()
        local data, starts = array.wrap(host), input.starts:tolist()
        for b, length in ipairs(lengths) do
            local row, best = input.first_rows[b][1], 0
            for i = 1, length - 1 do
                if data[2 * (row + i)] > data[2 * (row + best)] then best = i end
            end
            assert.are.equal(starts[b], best)
        end
    end)
end)
