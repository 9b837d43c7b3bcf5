--- BertForSequenceClassification against PyTorch: loss, logits, gradients; packing, bf16, memory, dropout; numbers,
-- several labels a text, weights of labels.

local BertForSequenceClassification = require "bertlua.models.sequence_classification"
local Tape = require "bertlua.autograd.tape"
local tensor = require "bertlua.tensor"
local tiny = require "spec.support.tiny_bert"

local LENGTH = 32

describe("BertForSequenceClassification", function()
    local fixture, tape

    setup(function()
        fixture = tiny.open "classification_tiny"
        tape = Tape.new { seed = 3 }
    end)

    local function model(precision, changes)
        local config = tiny.config(changes)
        config.labels = { "a", "b", "c" }
        local m = BertForSequenceClassification.new(config)
        m.store:allocate { precision = precision, seed = 1 }
        tiny.load_weights(m.store, fixture, "weight.")
        return m
    end

    local function batch(packed)
        local input = tiny.sequences(fixture, LENGTH, packed)
        input.labels = tiny.read(fixture, "batch.labels")
        return input
    end

    local function logit_error(m, input)
        tape:start(0, 0, false)
        local scores = m:logits(tape, input)
        local distance = tiny.distance(tensor.new("f32", scores.dims):copy_from(scores.value),
            tiny.read(fixture, "logits"))
        return distance
    end

    --- Loss, accuracy and gradients of a training step.
    local function gradients(m, input)
        m.store:zero_grad()
        tape:start(1, 0, true)
        local result = m:forward(tape, input)
        tape:backward(result.loss)
        return m:scalars("loss").loss:item(), result.accuracy:item(), tiny.gradients(m.store)
    end

    it("has Hugging Face's parameters, neither more nor fewer", function()
        local ours, theirs = {}, {}
        for _, entry in ipairs(model("fp32").store.list) do ours[entry.name] = table.concat(entry.stored_dims, "x") end
        for _, name in ipairs(fixture:names()) do
            local short = name:match "^weight%.(.*)"
            if short then theirs[short] = table.concat(fixture:info(name).dims, "x") end
        end
        assert.are.same(theirs, ours)
        assert.are.equal("3x64", ours["classifier.weight"])
    end)

    for _, packed in ipairs { false, true } do
        it("equals PyTorch in fp32, " .. (packed and "packed" or "padded"), function()
            local m, input = model "fp32", batch(packed)
            assert.is_true(logit_error(m, input) < 1e-5)
            local loss, accuracy, grads = gradients(m, input)
            local expected = tiny.read(fixture, "loss"):item()
            assert.is_true(math.abs(loss - expected) < 1e-5 * expected, loss .. " " .. expected)
            local right = 0
            for b, scores in ipairs(tiny.read(fixture, "logits"):tolist()) do
                local gold = scores[input.labels:tolist()[b] + 1]
                if gold == math.max(unpack(scores)) then right = right + 1 end
            end
            assert.are.equal(right / input.batch_size, accuracy)
            for name, grad in pairs(grads) do
                local relative, absolute = tiny.distance(grad, tiny.read(fixture, "grad." .. name))
                -- The softmax over a row's keys ignores what is added to all scores: this gradient is exactly 0.
                if name:match "%.key%.bias$" then relative = absolute end
                assert.is_true(relative < 1e-5, name .. ": " .. relative)
            end
        end)
    end

    it("is near in bf16", function()
        local m, input = model "bf16", batch(true)
        assert.is_true(logit_error(m, input) < 0.05)
        local expected = tiny.read(fixture, "loss"):item()
        assert.is_true(math.abs(gradients(m, input) - expected) < 0.02 * expected)
    end)

    it("leaves out sequences without a label", function()
        local m, input = model "fp32", batch(true)
        local whole = gradients(m, input)
        input.labels:set { -1, -1, -1, input.labels:tolist()[4] }
        local one = gradients(m, input)
        assert.is_true(math.abs(one - whole) > 1e-3)
        input.labels:set(tiny.read(fixture, "batch.labels"):tolist())
    end)

    it("estimates the peak of the arena", function()
        for _, precision in ipairs { "fp32", "bf16" } do
            for _, packed in ipairs { false, true } do
                for _, dropout in ipairs { 0, 0.1 } do
                    local m, own = model(precision, { hidden_dropout_prob = dropout }), Tape.new {}
                    local input = batch(packed)
                    own:start(1, 0, true)
                    own:backward(m:forward(own, input).loss)
                    assert.are.equal(0, (own:memory()))
                    local _, peak = own:memory()
                    local ratio = m:activation_bytes { rows = input.ids:numel(), batch_size = input.batch_size,
                        max_length = LENGTH } / peak
                    assert.is_true(ratio >= 1 and ratio < 1.12, precision .. ": " .. ratio)
                    own:close()
                end
            end
        end
    end)

    it("applies dropout before the head, in training only, at the rate of classifier_dropout", function()
        local expected = tiny.read(fixture, "loss"):item()
        local m, input = model "fp32", batch(true)
        m.config.classifier_dropout = 0.5
        assert.is_true(logit_error(m, input) < 1e-5)
        local dropped = gradients(m, input)
        assert.is_true(math.abs(dropped - expected) > 1e-3)
        assert.are.equal(dropped, (gradients(m, input)))
        m.config.classifier_dropout = 0
        assert.is_true(math.abs(gradients(m, input) - expected) < 1e-4)
    end)
end)

describe("BertForSequenceClassification for other problems", function()
    local encoder, fixture, tape

    setup(function()
        -- Weights and the batch are those of the fixture of one label a text.
        encoder, fixture, tape = tiny.open "classification_tiny", tiny.open "problems_tiny", Tape.new { seed = 3 }
    end)

    local PROBLEMS = {
        regression = { kind = "regression", labels = { "LABEL_0" } },
        multi = { kind = "multi_label_classification", labels = { "a", "b", "c" } },
        weighted = { kind = "single_label_classification", labels = { "a", "b", "c" }, weighted = true },
    }

    local function model(name, precision, changes)
        local problem, config = PROBLEMS[name], tiny.config(changes)
        config.labels, config.problem_type = problem.labels, problem.kind
        local weights = problem.weighted and tiny.read(fixture, "weighted.weights"):tolist()
        local m = BertForSequenceClassification.new(config, nil, { class_weights = weights or nil })
        m.store:allocate { precision = precision, seed = 1 }
        for _, entry in ipairs(m.store.list) do
            if entry.name:find "^classifier" then
                local all = tiny.read(encoder, "weight." .. entry.name)
                entry.stored:copy_from(all:slice(1, 1, #problem.labels))
            else
                assert(encoder:read("weight." .. entry.name, entry.stored))
            end
        end
        m.store:sync_low()
        return m
    end

    local function batch(name, packed)
        local input = tiny.sequences(encoder, LENGTH, packed)
        input.labels = name == "weighted" and tiny.read(encoder, "batch.labels")
            or tiny.read(fixture, name .. ".labels")
        return input
    end

    local function step(m, input)
        m.store:zero_grad()
        tape:start(1, 0, true)
        local result = m:forward(tape, input)
        tape:backward(result.loss)
        return m:scalars("loss").loss:item(), result
    end

    for name in pairs(PROBLEMS) do
        it("equals PyTorch: " .. name, function()
            for _, packed in ipairs { false, true } do
                local m, input = model(name, "fp32"), batch(name, packed)
                local loss, result = step(m, input)
                local expected, compared = tiny.read(fixture, name .. ".loss"):item(), 0
                assert.is_true(math.abs(loss - expected) < 1e-5 * expected, loss .. " " .. expected)
                assert.are.equal(name == "weighted", result.accuracy ~= nil)
                for parameter, grad in pairs(tiny.gradients(m.store)) do
                    local key = name .. ".grad." .. parameter
                    if fixture:info(key) then
                        local relative = tiny.distance(grad, tiny.read(fixture, key))
                        assert.is_true(relative < 1e-5, parameter .. ": " .. relative)
                        compared = compared + 1
                    end
                end
                assert.are.equal(5, compared)
            end
        end)

        it("is near in bf16: " .. name, function()
            local expected = tiny.read(fixture, name .. ".loss"):item()
            assert.is_true(math.abs(step(model(name, "bf16"), batch(name, true)) - expected) < 0.02 * expected)
        end)

        it("estimates the peak of the arena: " .. name, function()
            for _, precision in ipairs { "fp32", "bf16" } do
                local m, own, input = model(name, precision), Tape.new {}, batch(name, true)
                own:start(1, 0, true)
                own:backward(m:forward(own, input).loss)
                assert.are.equal(0, (own:memory()))
                local _, peak = own:memory()
                local ratio = m:activation_bytes { rows = input.ids:numel(), batch_size = input.batch_size,
                    max_length = LENGTH } / peak
                assert.is_true(ratio >= 1 and ratio < 1.15, precision .. ": " .. ratio)
                own:close()
            end
        end)
    end

    it("with weights counts what is right as without, and leaves out texts without a label", function()
        local m, plain = model("weighted", "fp32"), batch "weighted"
        local _, result = step(m, plain)
        local weighted, accuracy = m:scalars("loss").loss:item(), result.accuracy:item()
        m.class_weights = nil
        _, result = step(m, plain)
        assert.are.equal(result.accuracy:item(), accuracy)
        assert.is_true(math.abs(m:scalars("loss").loss:item() - weighted) > 1e-3)
        -- One text alone: its weight is divided out again.
        local last = plain.labels:tolist()[4]
        plain.labels = tensor.from({ -1, -1, -1, last }, "i32")
        local alone = step(m, plain)
        m.class_weights = { 1, 1, 1 }
        assert.is_near(alone, (step(m, plain)), 1e-5)
    end)

    it("takes one label for a number where nothing says otherwise", function()
        local config = tiny.config()
        config.labels = { "LABEL_0" }
        assert.are.equal("regression", BertForSequenceClassification.new(config).problem_type)
        config.labels = { "a", "b" }
        assert.are.equal("single_label_classification", BertForSequenceClassification.new(config).problem_type)
        assert.has_error(function() BertForSequenceClassification.new(config, nil, { class_weights = { 1 } }) end,
            "BertForSequenceClassification: got 1 class_weights for 2 labels of single_label_classification, expected "
            .. "one for each where a text has one label")
    end)
end)
