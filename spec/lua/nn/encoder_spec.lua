--- The encoder: gradients of a layer, and what inference keeps.

local Tape = require "bertlua.autograd.tape"
local gradcheck = require "bertlua.autograd.gradcheck"
local nn = require "bertlua.nn"
local ops = require "bertlua.ops"
local tensor = require "bertlua.tensor"

local function random(dims, stream)
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
            store = layer.store, inputs = { random({ 5, 16 }, 1) }, samples = 8,
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
        local y = encoder:forward(tape, tape:input(random({ 5, 16 }, 1)), batch)
        tape:free(y)
        assert.are.equal(0, (tape:memory()))
        tape:close()
    end)
end)
