--- Labels of texts in C against bl.load.

local Encoder = require "bertlua.encoder"
local api = require "bertlua.encoder_api"
local fs = require "bertlua.util.fs"
local models = require "spec.support.encoder_models"

local CLOSE = 1e-6

describe("the engine's classifier", function()
    local folder

    setup(function() folder = assert(fs.temporary_folder "bertlua-classify-") end)
    teardown(function() fs.remove(folder) end)

    --- The same model with another problem_type, in both forms.
    local function open(problem, names)
        local path = models.write(folder .. "/" .. (problem or "plain") .. #names, "labels", { names = names })
        if problem then models.change(path, "config.json", { problem_type = problem }) end
        local lua = Encoder.load(path)
        lua.on_cut = function() end
        return lua, assert(api.open(path)), path
    end

    local function texts_with_pairs()
        local list, firsts, seconds = {}, {}, {}
        for i, text in ipairs(models.TEXTS) do
            local pair = i % 3 == 0 and models.TEXTS[#models.TEXTS + 1 - i] or nil
            list[i], firsts[i], seconds[i] = pair and { text, pair } or text, text, pair or false
        end
        return list, firsts, seconds
    end

    it("gives the probabilities of labels that exclude each other", function()
        for _, problem in ipairs { false, "single_label_classification" } do
            local lua, c = open(problem or nil, { "bad", "fair", "good" })
            assert.are.equal("single", c:describe().problem)
            assert.are.same({ "bad", "fair", "good" }, { c:label(0), c:label(1), c:label(2) })
            assert.are.same({}, { c:label(-1), c:label(3) })
            local list, firsts, seconds = texts_with_pairs()
            local scores = assert(c:classify(firsts, seconds)):tolist()
            for i, result in ipairs(lua:classify(list)) do
                local by_name = {}
                for _, entry in ipairs(result.all) do by_name[entry.label] = entry.probability end
                local sum = 0
                for l = 1, 3 do
                    sum = sum + scores[i][l]
                    assert.is_true(math.abs(scores[i][l] - by_name[c:label(l - 1)]) < CLOSE, firsts[i])
                end
                assert.is_true(math.abs(sum - 1) < CLOSE)
            end
            lua:close()
            c:close()
        end
    end)

    it("gives a probability for each of labels that do not", function()
        local lua, c = open("multi_label_classification", { "a", "b", "c", "d" })
        assert.are.equal("multiple", c:describe().problem)
        local scores = assert(c:classify(models.TEXTS)):tolist()
        for i, result in ipairs(lua:classify(models.TEXTS, { threshold = 0 })) do
            assert.are.equal(4, #result.probabilities)
            for l = 1, 4 do assert.is_true(math.abs(scores[i][l] - result.probabilities[l]) < CLOSE) end
        end
        lua:close()
        c:close()
    end)

    it("gives values: as asked for, or where there is a single output", function()
        local lua, c = open("regression", { "a", "b" })
        assert.are.equal("values", c:describe().problem)
        local scores = assert(c:classify { "the cat" }):tolist()[1]
        for l, value in ipairs(lua:classify("the cat").values) do
            assert.is_true(math.abs(scores[l] - value) < 1e-5)
        end
        lua:close()
        c:close()
        lua, c = open(nil, { "score" })
        assert.are.equal("values", c:describe().problem)
        assert.is_true(math.abs(c:classify({ "the cat" }):tolist()[1][1] - lua:classify("the cat").value) < 1e-5)
        lua:close()
        c:close()
    end)

    it("calls labels LABEL_0, LABEL_1 where config.json has other names than the classifier outputs", function()
        local lua, c, path = open(nil, { "one", "two" })
        lua:close()
        c:close()
        for _, names in ipairs { { ["0"] = "one" }, { ["1"] = "one", ["2"] = "two" }, { a = "x", b = "y" },
            { ["0"] = "x", ["1"] = 3 } } do
            models.change(path, "config.json", { id2label = names })
            c = assert(api.open(path))
            assert.are.same({ "LABEL_0", "LABEL_1" }, { c:label(0), c:label(1) })
            c:close()
        end
    end)

    it("does without texts, and refuses what is no text", function()
        local lua, c = open(nil, { "x", "y", "z" })
        assert.are.same({ 0, 3 }, c:classify({}):dims())
        local _, message = c:classify { "a", "b\255" }
        assert.matches("^classify: texts%[1%]: byte 1: invalid UTF%-8", message)
        _, message = c:tokens { "a" }
        assert.are.equal("tokens: this encoder has no token-classification head", message)
        _, message = c:answer("a", "b")
        assert.are.equal("answer: this encoder has no question-answering head", message)
        _, message = c:fill_mask "[MASK]"
        assert.are.equal("fill_mask: this encoder has no MLM head", message)
        lua:close()
        c:close()
    end)
end)
