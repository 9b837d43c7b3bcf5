--- Encoders that no memory holds are refused before they are built.

local BertConfig = require "bertlua.models.bert_config"
local BertModel = require("bertlua.models.bert").BertModel
local ParameterStore = require "bertlua.nn.parameters"
local size_check = require "bertlua.models.size_check"

local function config(changes)
    local values = { vocab_size = 200, hidden_size = 16, num_hidden_layers = 2, num_attention_heads = 2,
        intermediate_size = 32, max_position_embeddings = 16 }
    for name, value in pairs(changes) do values[name] = value end
    return BertConfig.new(values)
end

describe("size check", function()
    it("never asks for more than a model takes", function()
        for _, changes in ipairs { {}, { hidden_size = 64, vocab_size = 5000 }, { intermediate_size = 999 } } do
            local shape = config(changes)
            local store = ParameterStore.new()
            BertModel.new(shape, store, "bert", { pooler = false })
            local elements = 0
            for _, entry in ipairs(store.list) do elements = elements + entry.numel end
            local least = size_check.least_bytes(shape) - 16384 * shape.num_hidden_layers
            assert.is_true(least <= 2 * elements)
            assert.is_true(least >= 1.8 * elements)
        end
    end)

    it("refuses what exceeds the memory, by the settings that are too large", function()
        size_check.require(config {}, 2 ^ 20)
        assert.error_matches(function() size_check.require(config { hidden_size = 2 ^ 14 }, 2 ^ 30) end,
            "^the model takes at least 4.0%d+ GiB %(num_hidden_layers 2, hidden_size 16384, intermediate_size 32, "
            .. "vocab_size 200%), but there are 1 GiB of memory in all: use a smaller model, or check its config")
    end)

    it("comes before the first layer", function()
        for _, changes in ipairs { { num_hidden_layers = 1e9 }, { vocab_size = 2 ^ 30, hidden_size = 2 ^ 16 } } do
            local store = ParameterStore.new()
            assert.error_matches(function() BertModel.new(config(changes), store, "bert") end,
                "^the model takes at least [%d.e+]+ GiB")
            assert.are.equal(0, #store.list)
        end
    end)
end)
