--- What becomes of the head of a model that was fine-tuned before.

local fs = require "bertlua.util.fs"
local head = require "bertlua.jobs.classify.head"
local json = require "bertlua.util.json"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"

describe("the head that a run starts with", function()
    local folder
    before_each(function() folder = assert(fs.temporary_folder "head_spec") end)
    after_each(function() fs.remove(folder) end)

    local SINGLE, REGRESSION = "single_label_classification", "regression"

    --- A model's folder, and what head.settle says of it.
    local function settle(labels, kind, names, changes)
        local list = { { name = "bert.embeddings.LayerNorm.weight", tensor = tensor.from { 1, 2 } } }
        if labels then
            list[2] = { name = "classifier.weight", tensor = tensor.new("f32", { #labels, 2 }):fill(0) }
            list[3] = { name = "classifier.bias", tensor = tensor.new("f32", { #labels }):fill(0) }
        end
        assert(storage.save(folder .. "/model.safetensors", list))
        local config = { vocab_size = 10, hidden_size = 2, num_hidden_layers = 1, num_attention_heads = 1,
            intermediate_size = 4, architectures = { "BertForSequenceClassification" }, id2label = {} }
        for i, label in ipairs(labels or {}) do config.id2label[tostring(i - 1)] = label end
        for key, value in pairs(changes or {}) do config[key] = value end
        assert(fs.write(folder .. "/config.json", json.encode(config)))
        local run = { work = { train = true }, start = { kind = "parameters", path = folder } }
        return head.settle(run, {}, kind, names)
    end

    it("goes on with its labels, in its order", function()
        assert.are.same({ { "b", "a" } }, { settle({ "b", "a" }, SINGLE, { "a", "b" }) })
        assert.are.same({ { "0", "1" } }, { settle({ "LABEL_0", "LABEL_1" }, SINGLE, { "0", "1" }) })
        assert.are.same({ { "LABEL_0" } }, { settle({ "score" }, REGRESSION, { "LABEL_0" }) })
        assert.are.same({ { "a", "b" } }, { settle(nil, SINGLE, { "a", "b" }) })
    end)

    it("begins anew where it scores something else", function()
        local function anew(expected, ...)
            local names, ignored, why = settle(...)
            assert.are.equal(select(3, ...), names)
            assert.are.same({ "^classifier%." }, ignored)
            assert.are.equal(folder .. ": " .. expected .. ": the head is newly initialized", why)
        end
        anew("its head scores 3 labels, and this run has 2", { "a", "b", "c" }, SINGLE, { "a", "b" })
        anew("its head has the labels a, b, and this run x, y", { "a", "b" }, SINGLE, { "x", "y" })
        anew("its head gives numbers, and this run labels", { "x" }, "multi_label_classification", { "x" })
        anew("its head gives labels, and this run numbers", { "x" }, REGRESSION, { "LABEL_0" },
            { problem_type = "multi_label_classification" })
        anew("its head is that of a BertForTokenClassification", { "a", "b" }, SINGLE, { "a", "b" },
            { architectures = { "BertForTokenClassification" } })
    end)
end)
