--- hidden_act: BERT with GELU in its tanh form against PyTorch in float64 (spec/peers/make_activation_fixture.py), and
-- its two names.

local BertConfig = require "bertlua.models.bert_config"
local Tape = require "bertlua.autograd.tape"
local nn = require "bertlua.nn"
local tensor = require "bertlua.tensor"
local tiny = require "spec.support.tiny_bert"

local MAX_LENGTH = 32
local TANH = { hidden_act = "gelu_pytorch_tanh" }

local function backward(model, precision)
    local tape = Tape.new { seed = 3 }
    local batch = tiny.batch(tiny.samples(tiny.open "bert_tiny"), { max_length = MAX_LENGTH })
    tape:start(1, 0, false)
    local scores = model:logits(tape, batch).mlm.value
    local logits = tensor.new("f32", { batch.masked, 203 })
    logits:copy_from(scores:slice(1, 1, batch.masked):slice(2, 1, 203))
    tape:start(1, 0, true)
    local result = model:forward(tape, batch)
    tape:backward(result.loss)
    assert.are.equal(precision, model.store.precision)
    return result, logits
end

describe("hidden_act", function()
    local fixture = tiny.open "bert_tiny_gelu_tanh"

    local function check(name, precision, limit)
        local model = tiny.model(precision, { hidden_act = name })
        local result, logits = backward(model, precision)
        assert.is_true(tiny.distance(logits, tiny.read(fixture, "mlm_logits")) < limit)
        for _, part in ipairs { "loss", "mlm_loss", "nsp_loss" } do
            local want = tiny.read(fixture, part):item()
            assert.is_true(math.abs(result[part]:item() - want) < limit * want, part)
        end
        local compared = 0
        for parameter, grad in pairs(tiny.gradients(model.store)) do
            if fixture:info("grad." .. parameter) then
                local relative = tiny.distance(grad, tiny.read(fixture, "grad." .. parameter))
                assert.is_true(relative < limit, parameter .. ": " .. relative)
                compared = compared + 1
            end
        end
        assert.are.equal(5, compared)
    end

    for _, name in ipairs { "gelu_pytorch_tanh", "gelu_new" } do
        it("equals PyTorch as " .. name .. ": losses, logits and gradients", function()
            check(name, "fp32", 1e-5)
        end)
    end

    it("equals PyTorch in bf16 as far as that goes", function()
        check("gelu_pytorch_tanh", "bf16", 0.03)
    end)

    it("makes a difference", function()
        local erf = backward(tiny.model("fp32"), "fp32").loss:item()
        local tanh = backward(tiny.model("fp32", TANH), "fp32").loss:item()
        assert.is_true(erf ~= tanh and math.abs(erf - tanh) < 1e-3)
    end)

    it("is that of the feed-forward blocks and of the head for masked words", function()
        local model = tiny.unallocated(TANH)
        assert.are.equal("gelu_tanh", model.heads.transform.activation)
        for _, layer in ipairs(model.bert.encoder.layers) do
            assert.are.equal("gelu_tanh", layer.feed_forward.up.activation)
        end
        assert.are.equal("gelu", tiny.unallocated().heads.transform.activation)
        -- A name of a recipe's own model means nothing to BERT's modules.
        local layer = nn.create(nn.EncoderLayer, { hidden_size = 8, num_attention_heads = 2, intermediate_size = 8,
            hidden_act = "mine" })
        assert.are.equal("gelu", layer.feed_forward.up.activation)
    end)

    it("keeps its name, and is the same function under both", function()
        for _, name in ipairs { "gelu_new", "gelu_pytorch_tanh" } do
            local values = tiny.config():to_table()
            values.hidden_act = name
            local config = BertConfig.new(values)
            assert.are.equal(name, config:to_table().hidden_act)
            assert.is_true(config:is_same_activation "gelu_new" and config:is_same_activation "gelu_pytorch_tanh")
            assert.is_false(config:is_same_activation "gelu" or config:is_same_activation "relu")
        end
        assert.is_true(tiny.config():is_same_activation "gelu_python")
    end)
end)
