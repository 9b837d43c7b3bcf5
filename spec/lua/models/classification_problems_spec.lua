--- BertForSequenceClassification for a number, for several labels and with weights of labels, against PyTorch.

local BertForSequenceClassification = require "bertlua.models.sequence_classification"
local Tape = require "bertlua.autograd.tape"
local tensor = require "bertlua.tensor"
local tiny = require "spec.support.tiny_bert"

local LENGTH = 32

describe("BertForSequenceClassification", function()
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
