--- SentenceEmbedding against PyTorch: vectors, every loss and its gradients; packing, bf16, memory.

local SentenceEmbedding = require "bertlua.models.sentence_embedding"
local Tape = require "bertlua.autograd.tape"
local tensor = require "bertlua.tensor"
local tiny = require "spec.support.tiny_bert"

local LENGTH = 32

describe("SentenceEmbedding", function()
    local encoder, fixture, tape

    setup(function()
        -- Weights of the encoder and the batch are those of the classifier's fixture.
        encoder, fixture, tape = tiny.open "classification_tiny", tiny.open "sentences_tiny", Tape.new { seed = 3 }
    end)

    local function model(options, precision, changes)
        local m = SentenceEmbedding.new(tiny.config(changes), options)
        m.store:allocate { precision = precision or "fp32", seed = 1 }
        tiny.load_weights(m.store, encoder, "weight.")
        return m
    end

    --- Four sequences as groups of `group`.
    local function batch(packed, group)
        local input = tiny.sequences(encoder, LENGTH, packed)
        input.groups = input.batch_size / (group or 2)
        input.scores = tiny.read(fixture, "scores")
        return input
    end

    local function vectors(m, input)
        tape:start(0, 0, false)
        local result = m:logits(tape, input)
        assert.are.equal("f32", result.dtype)
        local copy = tensor.new("f32", result.dims):copy_from(result.value)
        tape:free(result)
        local held = tape:memory()
        assert.are.equal(0, held)
        return copy
    end

    --- Loss, accuracy and gradients of a training step.
    local function gradients(m, input)
        m.store:zero_grad()
        tape:start(1, 0, true)
        local result = m:forward(tape, input)
        local loss = tensor.new("f32", { 1 }):copy_from(result.loss.value):item()
        tape:backward(result.loss)
        return loss, result.accuracy and result.accuracy:item(), tiny.gradients(m.store)
    end

    it("has the encoder's parameters and no pooler", function()
        for _, entry in ipairs(model().store.list) do
            assert.is_truthy(entry.name:find "^bert%.e%l+%.", entry.name)
        end
    end)

    for _, packed in ipairs { false, true } do
        local form = packed and "packed" or "padded"

        it("makes PyTorch's vectors, " .. form, function()
            for _, pooling in ipairs { "mean", "cls" } do
                local expected = tiny.read(fixture, "vectors." .. pooling)
                local relative = tiny.distance(vectors(model { pooling = pooling }, batch(packed)), expected)
                assert.is_true(relative < 1e-5, pooling .. ": " .. relative)
                local list, rows = expected:tolist(), vectors(model { pooling = pooling, normalize = true },
                    batch(packed)):tolist()
                for i, row in ipairs(list) do
                    local square = 0
                    for _, value in ipairs(row) do square = square + value * value end
                    for h, value in ipairs(row) do
                        assert.is_true(math.abs(value / math.sqrt(square) - rows[i][h]) < 1e-5)
                    end
                end
            end
        end)

        for _, case in ipairs { { "multiple_negatives" }, { "multiple_negatives", "negatives", 4 }, { "cosine" },
            { "cosent" } } do
            local loss_name, key, group = case[1], case[2] or case[1], case[3] or 2
            it(("has PyTorch's %s loss and gradients, groups of %d, %s"):format(loss_name, group, form), function()
                local loss, accuracy, grads = gradients(model { loss = loss_name, group = group }, batch(packed, group))
                local expected, compared = tiny.read(fixture, "loss." .. key):item(), 0
                assert.is_true(math.abs(loss - expected) < 2e-5 * expected, loss .. " " .. expected)
                assert.are.equal(loss_name == "multiple_negatives", accuracy ~= nil)
                for name, grad in pairs(grads) do
                    if fixture:info("grad." .. key .. "." .. name) then
                        local relative, absolute = tiny.distance(grad,
                            tiny.read(fixture, "grad." .. key .. "." .. name))
                        -- The softmax over a row's keys ignores what is added to all scores: exactly 0.
                        if name:match "%.key%.bias$" then relative = absolute end
                        assert.is_true(relative < 2e-5, name .. ": " .. relative)
                        compared = compared + 1
                    end
                end
                assert.is_true(compared > 20)
            end)
        end
    end

    it("counts the texts whose pair is the nearest candidate", function()
        local m, input = model(), batch(true)
        local _, accuracy = gradients(m, input)
        local v, right = vectors(m, input):tolist(), 0
        local function cosine(a, b)
            local dot, x, y = 0, 0, 0
            for h = 1, #a do dot, x, y = dot + a[h] * b[h], x + a[h] ^ 2, y + b[h] ^ 2 end
            return dot / math.sqrt(x * y)
        end
        if cosine(v[1], v[3]) > cosine(v[1], v[4]) then right = right + 1 end
        if cosine(v[2], v[4]) > cosine(v[2], v[3]) then right = right + 1 end
        assert.are.equal(right / 2, accuracy)
    end)

    it("is near in bf16", function()
        local expected = tiny.read(fixture, "loss.multiple_negatives"):item()
        assert.is_true(math.abs(gradients(model({}, "bf16"), batch(true)) - expected) < 0.05 * expected)
        local low = vectors(model({}, "bf16"), batch(true))
        assert.is_true(tiny.distance(low, tiny.read(fixture, "vectors.mean")) < 0.03)
    end)

    it("has no gradient that is NaN where a vector is 0", function()
        local m = model { loss = "cosine" }
        for _, entry in ipairs(m.store.list) do
            if entry.name:find "layer%.1%.output%.LayerNorm" then entry.value:fill(0) end
        end
        local loss, _, grads = gradients(m, batch(true))
        assert.is_true(loss == loss)
        for name, grad in pairs(grads) do
            assert.are.equal(0, (tiny.distance(grad, tensor.new("f32", grad:dims()):fill(0))), name)
        end
    end)

    it("estimates the peak of the arena", function()
        for _, precision in ipairs { "fp32", "bf16" } do
            for _, loss in ipairs { "multiple_negatives", "cosine", "cosent" } do
                for _, dropout in ipairs { 0, 0.1 } do
                    local m, own = model({ loss = loss }, precision, { hidden_dropout_prob = dropout }), Tape.new {}
                    local input = batch(true)
                    own:start(1, 0, true)
                    own:backward(m:forward(own, input).loss)
                    local _, peak = own:memory()
                    local ratio = m:activation_bytes { rows = input.ids:numel(), batch_size = input.batch_size,
                        max_length = LENGTH } / peak
                    assert.is_true(ratio >= 1 and ratio < 1.15, loss .. " " .. precision .. ": " .. ratio)
                    own:close()
                end
            end
        end
    end)
end)
