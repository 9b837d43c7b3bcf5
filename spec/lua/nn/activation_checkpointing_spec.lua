--- Activation checkpointing: the same gradients to the last bit, out of less memory.

local Tape = require "bertlua.autograd.tape"
local random = require "bertlua.rng"
local bert = require "bertlua.models.bert"
local copy_op = require("bertlua.ops").copy
local tiny = dofile "spec/lua/models/tiny_bert.lua"

local LENGTH = 24

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
    local ops = tape.dropout_ops
    tape:backward(result.loss)
    local used, peak = tape:memory()
    copy_op(model.store.value, model.store.grad)
    local found = { loss = result.loss:item(), gradients = model.store:checksum(), used = used, peak = peak, ops = ops }
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
                    assert.are.equal(whole.ops, again.ops, "op numbers of the dropout masks")
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
