--- Records and columns of each kind of model; the models here are tables that say what they are told to.

local fault = require "bertlua.fault"
local json = require "bertlua.util.json"
local kinds = require "bertlua.jobs.predict.kinds"

local function where(row) return "in:" .. row.line end

--- The JSON and the TSV form of what a kind makes of one row.
local function forms(name, model, row, values)
    row.line = 1
    local kind = kinds[name]
    local record = kind.run(model, { row }, values or {}, where)[1]
    return json.encode(record, { order = kind.order }), kind.line(record)
end

--- A model whose method returns these.
local function saying(method, ...)
    local results = { ... }
    return { [method] = function() return unpack(results) end }
end

local ALL = { { label = "b", probability = 0.75 }, { label = "a", probability = 0.125 } }

describe("what is predicted", function()
    it("of texts is a label, several labels or numbers", function()
        local one = saying("classify", { { label = "b", probability = 0.75, all = ALL } })
        assert.are.same({ '{"label":"b","score":0.75}', "b\t0.75" }, { forms("labels", one, { text = "x" }) })
        assert.are.equal('{"label":"b","score":0.75,"top":[{"label":"b","score":0.75}]}',
            (forms("labels", one, { text = "x" }, { top_k = 1 })))
        local several = saying("classify", { { labels = { "a", "b" }, probabilities = { 0.5, 0.75 }, all = ALL } })
        assert.are.same({ '{"labels":["a","b"],"scores":[0.5,0.75]}', "a,b\t0.5,0.75" },
            { forms("labels", several, { text = "x" }) })
        local none = saying("classify", { { labels = {}, probabilities = {}, all = ALL } })
        assert.are.same({ '{"labels":[],"scores":[]}', "\t" }, { forms("labels", none, { text = "x" }) })
        assert.are.same({ '{"value":-2.5}', "-2.5" }, { forms("labels", saying("classify", { { value = -2.5 } }),
            { text = "x" }) })
        assert.are.same({ '{"values":[1,0.1]}', "1\t0.1" }, { forms("labels", saying("classify",
            { { values = { 1, 0.10000000149011612 } } }), { text = "x" }) })
    end)

    it("of words is tags, of a text a vector, of a mask words, of a question an answer", function()
        assert.are.same({ '{"words":["x"],"tags":["O"],"scores":[0.5]}', "x\tO\t0.5\n" },
            { forms("tags", saying("tag", { { "O" } }, { { 0.5 } }), { words = { "x" } }) })
        local vectors = { tolist = function() return { { 0.5, -1 } } end }
        assert.are.same({ '{"embedding":[0.5,-1]}', "0.5\t-1" },
            { forms("embeddings", saying("embed", vectors), { text = "x" }) })
        local guesses = { { token = "cat", probability = 0.5 }, { token = "dog", probability = 0.25 } }
        assert.are.same({ '{"tokens":["cat","cat"],"scores":[0.5,0.5]}', "cat,cat\t0.5,0.5" },
            { forms("mask", saying("fill_mask", { { guesses, guesses } }), { text = "x" }) })
        local answer = { text = "a\tb", probability = 0.5, all = { { text = "a\tb", probability = 0.5 } } }
        assert.are.same({ '{"answer":"a\\tb","score":0.5,"top":[{"answer":"a\\tb","score":0.5}]}', "a b\t0.5" },
            { forms("answers", saying("answer", answer), { text = "x", pair = "y" }, { top_k = 3 }) })
    end)

    it("is refused where a score is no number, with the row", function()
        for name, model in pairs { labels = saying("classify", { { value = 0 / 0 } }),
            tags = saying("tag", { { "O" } }, { { 0 / 0 } }) } do
            local ok, problem = pcall(forms, name, model, { text = "x", words = { "x" } })
            assert.is_false(ok)
            assert.is_true(fault.is(problem), tostring(problem))
            assert.matches("^in:1: the model's score is %-?nan: its parameters hold NaN", tostring(problem))
        end
    end)

    it("is what the head is for, unless another is asked for", function()
        local function of(heads, wanted, sentences)
            return kinds.of({ heads = heads, sentences = sentences or {}, folder = "F" }, wanted)
        end
        assert.are.equal("labels", of { labels = 2 })
        assert.are.equal("tags", of { tags = 2 })
        assert.are.equal("answers", of { answers = true })
        assert.are.equal("mask", of { mlm = true })
        assert.are.equal("embeddings", of {})
        assert.are.equal("embeddings", of({ mlm = true }, nil, { pooling = "mean" }))
        assert.are.equal("embeddings", of({ labels = 2 }, "embeddings"))
        for message, case in pairs {
            ["--task tags: F has no head for it"] = { { labels = 2 }, "tags" },
            ["F: the head of a X is not known here; --task embeddings uses the encoder without it"] =
                { { unknown = "X" } },
        } do
            local ok, problem = pcall(of, unpack(case))
            assert.is_false(ok)
            assert.are.equal(message, tostring(problem))
        end
    end)
end)
