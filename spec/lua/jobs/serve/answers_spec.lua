--- What replies become, for replies made by hand.

local answers = require "bertlua.jobs.serve.answers"
local problem = require "bertlua.jobs.serve.problem"

local NAN = 0 / 0

--- A reply with values (row by row, from 0), rows of texts, answers or guesses.
local function reply(fields)
    local values = {}
    for i, x in ipairs(fields.values or {}) do values[i - 1] = x end
    fields.values, fields.status = values, fields.status or "ok"
    function fields.rows(_, i) return fields.counts[i] end
    function fields.length(_, i) return fields.lengths[i] end
    function fields.answer(_, i) return unpack(fields.list[i + 1]) end
    fields.guess, fields.bytes = fields.answer, function(_, i) return fields.binary[i + 1] end
    return fields
end

local function context(more)
    local made = { paused = 0, limits = { model = "m", max_length = 8 } }
    function made.pause() made.paused = made.paused + 1 end
    for name, value in pairs(more or {}) do made[name] = value end
    return made
end

describe("vectors", function()
    it("are lists of numbers, each the same f32 when it is read again", function()
        local made = reply { count = 2, width = 2, values = { 1, -0.5, 0.100000001490116, 1e-20 } }
        assert.are.equal("[[1,-0.5],[0.100000001,1e-20]]", answers.embed(made, {}, context()))
    end)

    it("give others their turn", function()
        local values, paced = {}, context()
        for i = 1, 40000 do values[i] = 1 end
        answers.embed(reply { count = 40, width = 1000, values = values }, {}, paced)
        assert.are.equal(4, paced.paused)
    end)

    it("are refused where they are no numbers, before anything is sent", function()
        local made = reply { count = 1, width = 2, counts = { 1 }, values = { 1, NAN } }
        local cases = { { "embed" }, { "embed_all" }, { "openai_embeddings" }, { "openai_embeddings", true } }
        for _, case in ipairs(cases) do
            local ok, found = pcall(answers[case[1]], made, { base64 = case[2] }, context())
            assert.is_false(ok)
            assert.is_true(problem.is(found))
            assert.are.same({ 424, "Backend" }, { found.status, found.kind })
        end
    end)

    it("of tokens come in pieces", function()
        local pieces = answers.embed_all(reply { count = 2, width = 1, counts = { 2, 1 }, values = { 1, 2, 3 } }, {},
            context())
        local list = {}
        pieces(function(text) list[#list + 1] = text end)
        assert.are.equal("[[[1],[2]],[[3]]]", table.concat(list))
    end)

    it("have OpenAI's form, as numbers or bytes", function()
        local made = reply { count = 1, width = 2, tokens = 3, values = { 1, 2 }, binary = { "abc" } }
        assert.are.equal('{"object":"list","data":[{"object":"embedding","embedding":[1,2],"index":0}],"model":"m",'
            .. '"usage":{"prompt_tokens":3,"total_tokens":3}}', answers.openai_embeddings(made, {}, context()))
        local text = answers.openai_embeddings(made, { base64 = true }, context())
        assert.is_truthy(text:find('"embedding":"YWJj"', 1, true), text)
    end)
end)

describe("labels, words and answers", function()
    it("are sorted by score", function()
        local made = reply { count = 2, width = 3, values = { 0.25, 0.5, 0.25, 0.125, 0.125, 0.75 } }
        local named = context { labels = { "a", "b", "c" } }
        local one = '[{"score":0.5,"label":"b"},{"score":0.25,"label":"a"},{"score":0.25,"label":"c"}]'
        local other = '[{"score":0.75,"label":"c"},{"score":0.125,"label":"a"},{"score":0.125,"label":"b"}]'
        assert.are.equal(("[%s,%s]"):format(one, other), answers.predict(made, {}, named))
        made.count = 1
        assert.are.equal(one, answers.predict(made, { single = true }, named))
    end)

    it("fill the mask they are for", function()
        local made = reply { count = 1, counts = { 2 }, list = { { 7, "cat", 0.5 }, { 8, "##s", 0.25 } } }
        assert.are.equal('[[{"score":0.5,"token":7,"token_str":"cat","sequence":"the cat run [MASK]"}],'
            .. '[{"score":0.25,"token":8,"token_str":"s","sequence":"the [MASK] runs"}]]',
            answers.fill_mask(made, { texts = { "the [MASK] run [MASK]" }, single = true, top = 1 }))
        made.counts = { 1 }
        assert.are.equal('[[{"score":0.5,"token":7,"token_str":"cat","sequence":"cat"}]]',
            answers.fill_mask(made, { texts = { "[MASK]" }, top = 1 }))
    end)

    it("count characters, where the engine counts bytes", function()
        local made = reply { count = 1, counts = { 1 }, list = { { 6, 12, 0.5 } } }
        local expected = '{"score":0.5,"start":5,"end":10,"answer":"1 für"}'
        local passage = "über 1 für 2"
        assert.are.equal(expected, answers.answer(made, { pairs = { passage }, single = true, top = 1 }))
        assert.are.equal("[[" .. expected .. "]]", answers.answer(made, { pairs = { passage }, top = 2 }))
        local none = reply { count = 1, counts = { 0 } }
        assert.are.equal('{"score":0,"start":0,"end":0,"answer":""}', answers.answer(none,
            { pairs = { "x" }, single = true, top = 1 }))
    end)

    it("place tokens", function()
        local lists = { { { id = 2, text = "[CLS]", special = true }, { id = 5, text = "ü", start = 0, stop = 2 },
            { id = 6, text = "b", start = 3, stop = 4 } } }
        assert.are.equal('[[{"id":2,"text":"[CLS]","special":true,"start":null,"stop":null},'
            .. '{"id":5,"text":"ü","special":false,"start":0,"stop":1},'
            .. '{"id":6,"text":"b","special":false,"start":2,"stop":3}]]',
            answers.tokenize(lists, { texts = { "ü b" } }))
    end)
end)

describe("a reply's problem", function()
    local function of(fields)
        local found = answers.problem_of(reply(fields), { max_length = 8 })
        return found and { found.status, found.kind, found.message }
    end

    it("has the status of text-embeddings-inference", function()
        assert.is_nil(of {})
        assert.are.same({ 413, "Validation", "`inputs` must have less than 8 tokens. Given: 9" },
            of { status = "argument", too_long = 2, lengths = { 3, 9 } })
        assert.are.same({ 422, "Tokenizer", "no [MASK]" }, of { status = "argument", message = "no [MASK]" })
        assert.are.same({ 503, "Unhealthy", "out of memory" }, of { status = "memory", message = "out of memory" })
        assert.are.same({ 424, "Backend", "broken" }, of { status = "internal", message = "broken" })
    end)
end)
