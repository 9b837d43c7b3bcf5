--- The encoder: gradients, memory of an inference pass, and activation checkpointing, which gives the same gradients to
-- the last bit, out of less memory.

local Tape = require "bertlua.autograd.tape"
local random = require "bertlua.rng"
local bert = require "bertlua.models.bert"
local gradcheck = require "bertlua.autograd.gradcheck"
local nn = require "bertlua.nn"
local ops = require "bertlua.ops"
local tensor = require "bertlua.tensor"
local tiny = dofile "spec/lua/models/tiny_bert.lua"

local LENGTH = 24

local function normal(dims, stream)
    local t = tensor.new("f32", dims)
    ops.fill_normal(t, 0, 1, 11, stream)
    return t
end

describe("encoder", function()
    it("differentiates a whole encoder layer with dropout", function()
        local config = {
            hidden_size = 16, num_attention_heads = 2, intermediate_size = 24, initializer_range = 0.3,
            layer_norm_eps = 1e-6, hidden_dropout_prob = 0.2, attention_probs_dropout_prob = 0.2,
        }
        local layer = nn.create(nn.EncoderLayer, config)
        local batch = { segments = tensor.from({ { 0, 3 }, { 3, 2 } }, "i32"), max_length = 4 }
        local worst, checks = gradcheck {
            store = layer.store, inputs = { normal({ 5, 16 }, 1) }, samples = 8,
            forward = function(tape, x) return layer:forward(tape, x, batch) end,
        }
        local lines = {}
        for _, c in ipairs(checks) do lines[#lines + 1] = ("%s %.2g"):format(c.name, c.error) end
        assert.is_true(worst < 0.02, table.concat(lines, "; "))
    end)

    it("frees every intermediate value of an inference pass", function()
        local config = {
            hidden_size = 16, num_attention_heads = 2, intermediate_size = 24, initializer_range = 0.3,
            layer_norm_eps = 1e-6, hidden_dropout_prob = 0.2, attention_probs_dropout_prob = 0.2,
            num_hidden_layers = 2,
        }
        local encoder = nn.create(nn.Encoder, config)
        local batch = { segments = tensor.from({ { 0, 5 } }, "i32"), max_length = 5 }
        local tape = Tape.new {}
        tape:start(0, 0, false)
        local y = encoder:forward(tape, tape:input(normal({ 5, 16 }, 1)), batch)
        tape:free(y)
        assert.are.equal(0, (tape:memory()))
        tape:close()
    end)
end)

local function samples()
    local list, draw = {}, random.new(8)
    for i = 1, 3 do
        local sample = { ids = {}, types = {}, masked = {}, next_label = i % 2 }
        for k = 1, LENGTH - 3 * i do sample.ids[k], sample.types[k] = draw:integer(5, 200), k > 6 and 1 or 0 end
        for k = 1, 3 do sample.masked[k] = { 2 * k, draw:integer(5, 200) } end
        list[i] = sample
    end
    return list
end

--- One forward and backward pass of a deep and narrow BERT: checksum of all gradients, loss, peak bytes.
local function run(precision, packed, again)
    local model = bert.BertForPretraining.new(tiny.config { num_hidden_layers = 6, hidden_dropout_prob = 0.1,
        attention_probs_dropout_prob = 0.1 })
    model.store:allocate { precision = precision, seed = 3 }
    model.bert.encoder.activation_checkpointing = again
    local tape = Tape.new { seed = 4, accumulation = 2 }
    tape:start(5, 1, true)
    local result = model:forward(tape, tiny.batch(samples(), { max_length = LENGTH, packed = packed }))
    local dropout_ops = tape.dropout_ops
    tape:backward(result.loss)
    local used, peak = tape:memory()
    ops.copy(model.store.value, model.store.grad)
    local found = { loss = result.loss:item(), gradients = model.store:checksum(), used = used, peak = peak,
        dropout_ops = dropout_ops }
    tape:close()
    model.store:free()
    return found
end

describe("activation checkpointing", function()
    for _, precision in ipairs { "fp32", "bf16" } do
        for _, packed in ipairs { false, true } do
            it(("changes no bit of loss and gradients, %s %s"):format(precision, packed and "packed" or "padded"),
                function()
                    local whole, again = run(precision, packed, false), run(precision, packed, true)
                    assert.are.equal(whole.loss, again.loss)
                    assert.are.equal(whole.gradients, again.gradients)
                    assert.are.equal(whole.dropout_ops, again.dropout_ops, "op numbers of the dropout masks")
                    assert.are.equal(0, again.used, "the arena is empty after the backward pass")
                    assert.is_true(again.peak < 0.55 * whole.peak, ("peak %d of %d"):format(again.peak, whole.peak))
                end)
        end
    end

    it("is a plain call in inference", function()
        local calls = 0
        local tape = Tape.new {}
        tape:start(1, 0, false)
        local x = {}
        local y = tape:checkpoint({ forward = function(_, _, given, argument)
            calls = calls + 1
            assert.are.equal(x, given)
            return argument
        end }, x, "y")
        assert.are.equal("y", y)
        assert.are.equal(1, calls)
        tape:close()
    end)
end)
