--- Heads of a file by the names of its tensors.

local heads = require "bertlua.weights.heads"

--- A file of these tensors; dims by name.
local function file(list)
    local names = {}
    for name in pairs(list) do names[#names + 1] = name end
    return {
        path = "x.bin",
        names = function() return names end,
        info = function(_, name) return { dims = list[name] } end,
    }
end

local MLM, NSP, POOLER = "cls.predictions.transform.dense.weight", "cls.seq_relationship.weight",
    "bert.pooler.dense.weight"

describe("heads of a file", function()
    it("are known by their names", function()
        local found = heads.of(file { [MLM] = { 8, 8 }, [NSP] = { 2, 8 }, [POOLER] = { 8, 8 } })
        assert.are.same({ mlm = true, nsp = true, pooler = true, answers = false }, found)
        found = heads.of(file { ["_orig_mod.bert.embeddings.x"] = { 1 }, ["_orig_mod." .. MLM] = { 8, 8 } })
        assert.are.same({ mlm = true, nsp = false, pooler = false, answers = false }, found)
        found = heads.of(file { ["embeddings.x"] = { 1 }, ["pooler.dense.weight"] = { 8, 8 } })
        assert.are.same({ mlm = false, nsp = false, pooler = true, answers = false }, found)
        assert.is_true(heads.of(file { ["qa_outputs.weight"] = { 2, 8 } }).answers)
    end)

    it("called classifier count labels, if the class says that they do", function()
        local classifier = file { ["classifier.weight"] = { 3, 8 } }
        assert.are.equal(3, heads.of(classifier).labels)
        assert.are.equal(3, heads.of(classifier, "BertForSequenceClassification").labels)
        local found = heads.of(classifier, "BertForTokenClassification")
        assert.are.same({ tags = 3 }, { labels = found.labels, tags = found.tags, unknown = found.unknown })
        found = heads.of(classifier, "BertForMultipleChoice")
        assert.are.same({ nil, "BertForMultipleChoice" }, { found.labels, found.unknown })
    end)

    it("are needed by programs, which say what for", function()
        local found = heads.of(file { [MLM] = { 8, 8 } })
        heads.need(found, "mlm", "x.bin")
        local ok, problem = pcall(heads.need, found, "answers", "x.bin")
        assert.is_false(ok)
        assert.are.equal("x.bin: has no head that answers questions (qa_outputs): use a model that was fine-tuned on "
            .. "them (recipes/finetune_squad.lua), such as a BertForQuestionAnswering", tostring(problem))
    end)

    it("are named beside their parameters", function()
        assert.are.equal("the head that predicts masked words (cls.predictions.bias, " .. MLM .. "), the pooler ("
            .. POOLER .. "), other.weight",
            heads.described { POOLER, "cls.predictions.bias", "other.weight", MLM })
        assert.are.equal("", heads.described {})
    end)

    it("have a class in config.json, or none", function()
        assert.are.equal("BertModel", heads.class_of { architectures = { "BertModel" } })
        for _, config in ipairs { {}, { architectures = "x" }, { architectures = { 1 } } } do
            assert.is_nil(heads.class_of(config))
        end
        assert.is_nil(heads.class_of(nil))
    end)
end)
