--- Labels of texts in C against the graph in Lua.

local fs = require "bertlua.util.fs"
local lua_encoder = require "spec.support.lua_encoder"
local models = require "spec.support.encoder_models"

local CLOSE = 1e-6

describe("the engine's classifier", function()
    local folder

    setup(function()
        models.begin()
        folder = assert(fs.temporary_folder "bertlua-classify-")
    end)
    teardown(function()
        models.finish()
        fs.remove(folder)
    end)

    --- The same model with another problem_type, in both forms.
    local function open(problem, names)
        local path = models.write(folder .. "/" .. (problem or "plain") .. #names, "labels", { names = names })
        if problem then models.change(path, "config.json", { problem_type = problem }) end
        local lua = models.load(path)
        return lua, assert(models.open(path)), path
    end

    local function texts_with_pairs()
        local firsts, seconds = {}, {}
        for i, text in ipairs(models.TEXTS) do
            firsts[i], seconds[i] = text, i % 3 == 0 and models.TEXTS[#models.TEXTS + 1 - i] or false
        end
        return firsts, seconds
    end

    it("gives the probabilities of labels that exclude each other", function()
        for _, problem in ipairs { false, "single_label_classification" } do
            local lua, c = open(problem or nil, { "bad", "fair", "good" })
            assert.are.equal("single", c:describe().problem)
            assert.are.same({ "bad", "fair", "good" }, { c:label(0), c:label(1), c:label(2) })
            assert.are.same({}, { c:label(-1), c:label(3) })
            local firsts, seconds = texts_with_pairs()
            local scores = assert(c:classify(firsts, seconds)):tolist()
            for i, text in ipairs(firsts) do
                local expected, sum = lua_encoder.softmax(lua:scores(text, seconds[i] or nil)), 0
                for l = 1, 3 do
                    sum = sum + scores[i][l]
                    assert.is_true(math.abs(scores[i][l] - expected[l]) < CLOSE, text)
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
        for i, text in ipairs(models.TEXTS) do
            local expected = lua:scores(text)
            assert.are.same({ 4, 4 }, { #scores[i], #expected })
            for l = 1, 4 do assert.is_true(math.abs(scores[i][l] - 1 / (1 + math.exp(-expected[l]))) < CLOSE) end
        end
        lua:close()
        c:close()
    end)

    it("gives values: as asked for, or where there is a single output", function()
        local lua, c = open("regression", { "a", "b" })
        assert.are.equal("values", c:describe().problem)
        local scores = assert(c:classify { "the cat" }):tolist()[1]
        for l, value in ipairs(lua:scores "the cat") do
            assert.is_true(math.abs(scores[l] - value) < 1e-5)
        end
        lua:close()
        c:close()
        lua, c = open(nil, { "score" })
        assert.are.equal("values", c:describe().problem)
        assert.is_true(math.abs(c:classify({ "the cat" }):tolist()[1][1] - lua:scores("the cat")[1]) < 1e-5)
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
            c = assert(models.open(path))
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
        assert.are.equal("tokens: this encoder has no token-classification head (it has a classification "
            .. "head): open a model that has one", message)
        _, message = c:answer("a", "b")
        assert.are.equal("answer: this encoder has no question-answering head (it has a classification head): "
            .. "open a model that has one", message)
        _, message = c:fill_mask "[MASK]"
        assert.are.equal("fill_mask: this encoder has no MLM head (it has a classification head): open a model "
            .. "that has one", message)
        lua:close()
        c:close()
    end)
end)
