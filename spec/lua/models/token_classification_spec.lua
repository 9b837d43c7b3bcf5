--- BertForTokenClassification against PyTorch: loss, logits, gradients; packing, bf16, memory, dropout.

local BertForTokenClassification = require "bertlua.models.token_classification"
local Tape = require "bertlua.autograd.tape"
local tensor = require "bertlua.tensor"
local tiny = require "spec.support.tiny_bert"

local LENGTH = 32

describe("BertForTokenClassification", function()
    local encoder, fixture, tape

    setup(function()
        -- Weights of the encoder and the batch are those of the other head's fixture.
        encoder, fixture, tape = tiny.open "classification_tiny", tiny.open "tokens_tiny", Tape.new { seed = 3 }
    end)

    local function model(precision, changes)
        local config = tiny.config(changes)
        config.labels = { "a", "b", "c", "d", "e" }
        local m = BertForTokenClassification.new(config)
        m.store:allocate { precision = precision, seed = 1 }
        for _, entry in ipairs(m.store.list) do
            local from = entry.name:find "^classifier" and fixture or encoder
            assert(from:read("weight." .. entry.name, entry.stored))
        end
        m.store:sync_low()
        return m
    end

    local function batch(packed)
        local input = tiny.sequences(encoder, LENGTH, packed)
        local rows, flat = tiny.read(fixture, "labels"):tolist(), {}
        for i = 1, input.ids:numel() do flat[i] = -1 end
        for b, segment in ipairs(input.first_rows) do
            for i = 1, segment[2] do flat[segment[1] + i] = rows[b][i] end
        end
        input.labels = tensor.from(flat, "i32")
        return input
    end

    --- The largest difference of logits, among the tokens of sequences.
    local function logit_error(m, input)
        tape:start(0, 0, false)
        local scores = m:logits(tape, input)
        local ours = tensor.new("f32", scores.dims):copy_from(scores.value):tolist()
        local theirs, worst = tiny.read(fixture, "logits"):tolist(), 0
        for b, segment in ipairs(input.first_rows) do
            for i = 1, segment[2] do
                for c = 1, 5 do
                    worst = math.max(worst, math.abs(ours[segment[1] + i][c] - theirs[b][i][c]))
                end
            end
        end
        return worst
    end

    --- Loss, accuracy and gradients of a training step.
    local function gradients(m, input)
        m.store:zero_grad()
        tape:start(1, 0, true)
        local result = m:forward(tape, input)
        tape:backward(result.loss)
        return m:scalars("loss").loss:item(), result.accuracy:item(), tiny.gradients(m.store)
    end

    it("has no pooler, as Hugging Face's has none", function()
        local names = {}
        for _, entry in ipairs(model("fp32").store.list) do names[entry.name] = table.concat(entry.stored_dims, "x") end
        assert.are.equal("5x64", names["classifier.weight"])
        assert.are.equal("5", names["classifier.bias"])
        assert.is_nil(names["bert.pooler.dense.weight"])
    end)

    for _, packed in ipairs { false, true } do
        it("equals PyTorch in fp32, " .. (packed and "packed" or "padded"), function()
            local m, input = model "fp32", batch(packed)
            assert.is_true(logit_error(m, input) < 1e-5)
            local loss, accuracy, grads = gradients(m, input)
            local expected, right, count, compared = tiny.read(fixture, "loss"):item(), 0, 0, 0
            assert.is_true(math.abs(loss - expected) < 1e-5 * expected, loss .. " " .. expected)
            local logits, labels = tiny.read(fixture, "logits"):tolist(), tiny.read(fixture, "labels"):tolist()
            for b, rows in ipairs(labels) do
                for i, label in ipairs(rows) do
                    if label >= 0 then
                        count = count + 1
                        if logits[b][i][label + 1] == math.max(unpack(logits[b][i])) then right = right + 1 end
                    end
                end
            end
            assert.is_true(math.abs(right / count - accuracy) < 1e-6)
            for name, grad in pairs(grads) do
                if fixture:info("grad." .. name) then
                    local relative, absolute = tiny.distance(grad, tiny.read(fixture, "grad." .. name))
                    -- The softmax over a row's keys ignores what is added to all scores: this gradient is exactly 0.
                    if name:match "%.key%.bias$" then relative = absolute end
                    assert.is_true(relative < 1e-5, name .. ": " .. relative)
                    compared = compared + 1
                end
            end
            assert.is_true(compared > 20)
        end)
    end

    it("is near in bf16", function()
        local m, input = model "bf16", batch(true)
        assert.is_true(logit_error(m, input) < 0.1)
        local expected = tiny.read(fixture, "loss"):item()
        assert.is_true(math.abs(gradients(m, input) - expected) < 0.02 * expected)
    end)

    it("estimates the peak of the arena", function()
        for _, precision in ipairs { "fp32", "bf16" } do
            for _, packed in ipairs { false, true } do
                for _, dropout in ipairs { 0, 0.1 } do
                    local m, own = model(precision, { hidden_dropout_prob = dropout }), Tape.new {}
                    local input = batch(packed)
                    own:start(1, 0, true)
                    own:backward(m:forward(own, input).loss)
                    local _, peak = own:memory()
                    local ratio = m:activation_bytes { rows = input.ids:numel(), batch_size = input.batch_size,
                        max_length = LENGTH } / peak
                    assert.is_true(ratio >= 1 and ratio < 1.15, precision .. ": " .. ratio)
                    own:close()
                end
            end
        end
    end)

    it("applies dropout before the head, in training only", function()
        local expected = tiny.read(fixture, "loss"):item()
        local m, input = model "fp32", batch(true)
        m.config.classifier_dropout = 0.5
        assert.is_true(logit_error(m, input) < 1e-5)
        assert.is_true(math.abs(gradients(m, input) - expected) > 1e-3)
    end)
end)
