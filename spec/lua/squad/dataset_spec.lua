--- SQuAD files: what is read, what is refused and with which message.

local dataset = require "bertlua.squad.dataset"
local fault = require "bertlua.fault"
local json = require "bertlua.util.json"
local vocabulary = require "spec.support.vocabulary"

local function load_text(contents, options)
    local result
    vocabulary.with_files(function(write)
        local path = write(contents)
        local examples, summary
        local ok, problem = pcall(function() examples, summary = dataset.load(path, options) end)
        if not ok then
            assert.is_true(fault.is(problem), tostring(problem))
            problem = tostring(problem):gsub(path:gsub("%p", "%%%0"), "FILE")
        end
        result = { examples = examples, summary = summary, problem = problem }
    end)
    return result
end

--- A file with one paragraph.
local function one_paragraph(context, qas)
    return json.encode { data = json.array { { title = "T", paragraphs = json.array {
        { context = context, qas = json.array(qas) } } } } }
end

local function question(answer, start)
    return { id = "q", question = "What?", answers = json.array { { text = answer, answer_start = start } } }
end

describe("dataset", function()
    it("names the file that holds false", function()
        assert.are.equal('FILE: the file holds true or false, expected an object {"data": [...]}',
            load_text("false").problem)
    end)

    it("reads the fixture", function()
        local examples, summary = dataset.load "spec/fixtures/squad/data.json"
        assert.are.equal(18, #examples)
        assert.are.same({ articles = 2, paragraphs = 3, questions = 18, skipped = 0, several_answers = 0,
            repeated = 0 }, summary)
        local first = examples[1]
        assert.are.equal("q1", first.id)
        assert.are.equal("Gull Rock", first.title)
        assert.are.equal("Inés Álvarez", first.answer_text)
        assert.are.equal(2, #first.answers)
        assert.are.equal(56, first.answer_start)
        assert.is_false(examples[7].is_impossible)
        assert.are.equal("", examples[18].context)
    end)

    it("skips training questions whose answer is not in the text, and says so", function()
        local path = "spec/fixtures/squad/data.json"
        local examples, summary = dataset.load(path, { is_training = true, version_2_with_negative = true })
        assert.are.equal(16, #examples)
        assert.are.equal(2, summary.skipped)
        assert.are.equal(4, summary.several_answers)
        assert.are.same({ id = "q5", path = "data[0].paragraphs[0].qas[4]", text = "9\194\160000 visitors" },
            summary.first_skipped)
        assert.are.equal(path .. ": 2 of 18 questions skipped because the answer is not at answer_start; the first "
            .. "is data[0].paragraphs[0].qas[4] (id q5)", dataset.warning(path, summary))
        assert.is_nil(dataset.warning(path, { skipped = 0 }))
        assert.is_true(examples[6].is_impossible)
        assert.is_nil(examples[6].first_word)
    end)

    it("counts offsets in code points and finds the answer's words", function()
        local context = "🦊🦊 naïve  東京 (fox)."
        local function words(answer, start)
            local result = load_text(one_paragraph(context, { question(answer, start) }), { is_training = true })
            local example = result.examples[1]
            return example and { example.first_word, example.last_word } or result.summary.skipped
        end
        assert.are.same({ 1, 1 }, words("naïve", 3))
        assert.are.same({ 1, 2 }, words("naïve  東京", 3))
        assert.are.same({ 3, 3 }, words("fox", 14))
        assert.are.same({ 3, 3 }, words("(fox).", 13))
        -- The words at the offset must contain the answer; its exact place may be off.
        assert.are.same({ 3, 3 }, words("fox", 13))
        assert.are.equal(1, words("fox", 3))
        assert.are.equal(1, words("fox", 400))
        assert.are.equal(1, words("fox", -1))
        assert.are.equal(1, words("fox", 3.5))
        assert.are.equal(1, words("", 3))
        assert.are.equal(1, words("  ", 8))
    end)

    it("keeps every question for prediction and needs no answers there", function()
        local examples = load_text(one_paragraph("a b", { question("z", 99), { id = 7, question = "?" } })).examples
        assert.are.equal(2, #examples)
        assert.are.equal("7", examples[2].id)
        assert.are.same({}, examples[2].answers)
    end)

    it("knows impossible questions of v2.0", function()
        local contents = one_paragraph("a b", {
            { id = "1", question = "?", answers = json.array {} },
            { id = "2", question = "?", answers = json.array {}, is_impossible = true },
            { id = "3", question = "?", is_impossible = false,
                answers = json.array { { text = "a", answer_start = 0 } } },
        })
        local examples = load_text(contents, { version_2_with_negative = true, is_training = true }).examples
        assert.are.same({ true, true, false },
            { examples[1].is_impossible, examples[2].is_impossible, examples[3].is_impossible })
        assert.are.equal("FILE: data[0].paragraphs[0].qas[0].answers is empty, expected an answer to train on; for "
            .. "questions without answers set version_2_with_negative",
            load_text(contents, { is_training = true }).problem)
    end)

    it("knows a file of v2.0 that is read as v1.1, when it reads it", function()
        local contents = one_paragraph("a b", { question("a", 0),
            { id = "2", question = "?", answers = json.array {}, is_impossible = true } })
        for _, options in ipairs { {}, { is_training = true }, { needs_answers = true } } do
            options.refuse_negative = true
            assert.are.equal("FILE: data[0].paragraphs[0].qas[1].is_impossible is true: this is SQuAD v2.0, whose "
                .. "questions may have no answer: set version_2_with_negative", load_text(contents, options).problem)
        end
        assert.are.equal(2, #load_text(contents, { version_2_with_negative = true }).examples)
        contents = one_paragraph("a b", { question("a", 0), { id = "2", question = "?" } })
        assert.are.equal("FILE: data[0].paragraphs[0].qas[1].answers is empty, but SQuAD v1.1 has an answer to every "
            .. "question, and they are to be evaluated: for v2.0 set version_2_with_negative",
            load_text(contents, { needs_answers = true }).problem)
        -- Questions to answer alone need none.
        assert.are.equal(2, #load_text(contents, {}).examples)
    end)

    it("counts ids that several questions share", function()
        local contents = one_paragraph("a b", { question("a", 0), question("b", 2), question("b", 2),
            { id = "r", question = "?" } })
        local summary = load_text(contents).summary
        assert.are.same({ 1, "q" }, { summary.repeated, summary.first_repeated })
        assert.are.equal("F: 1 id occurs more than once, the first is q; answers are kept by id, so its questions "
            .. "share one", dataset.id_warning("F", summary))
        assert.is_nil(dataset.id_warning("F", load_text(one_paragraph("a b", { question("a", 0) })).summary))
    end)

    it("accepts a byte order mark and a context of a megabyte", function()
        local context = ("word "):rep(210000) .. "answer"
        local result = load_text("\239\187\191" .. one_paragraph(context, { question("answer", #context - 6) }),
            { is_training = true })
        assert.are.equal(210000, result.examples[1].first_word)
    end)

    it("names the line and column of broken JSON", function()
        assert.are.equal("FILE:3:11: not valid JSON: Expected colon but found T_ARR_BEGIN",
            load_text('{"data": [\n  {"paragraphs": [\n   {"qas" []}]}]}').problem)
        assert.is_truthy(load_text('{"data": [').problem:find("^FILE:1:%d+: not valid JSON: unexpected end of text"))
        assert.are.equal("FILE:2: byte 11: invalid UTF-8 (0xff); convert the file (iconv -t UTF-8)",
            load_text('{"data":\n"a\255"}').problem)
        assert.is_truthy(load_text('{"data": "\\ud83d"}').problem:find("^FILE:1:%d+: not valid JSON: .*unicode"))
    end)

    it("names the path of a missing or wrong field", function()
        local function problem(change)
            local root = json.decode(one_paragraph("a b", { question("a", 0) }))
            change(root, root.data[1], root.data[1].paragraphs[1], root.data[1].paragraphs[1].qas[1])
            return load_text(json.encode(root), { is_training = true, version_2_with_negative = true }).problem
        end
        assert.are.equal("FILE: data is missing, expected a list", problem(function(r) r.data = nil end))
        assert.are.equal("FILE: data is an object, expected a list", problem(function(r) r.data = { x = 1 } end))
        assert.are.equal("FILE: data[0] is a string, expected an object", problem(function(r) r.data = { "x" } end))
        assert.are.equal("FILE: data[0].paragraphs is null, expected a list",
            problem(function(_, a) a.paragraphs = json.null end))
        assert.are.equal("FILE: data[0].paragraphs[0].context is missing, expected a string",
            problem(function(_, _, p) p.context = nil end))
        assert.are.equal("FILE: data[0].paragraphs[0].qas is true or false, expected a list",
            problem(function(_, _, p) p.qas = true end))
        assert.are.equal("FILE: data[0].paragraphs[0].qas[0].id is missing, expected a string",
            problem(function(_, _, _, q) q.id = nil end))
        assert.are.equal("FILE: data[0].paragraphs[0].qas[0].id is the number 1.5, expected a string",
            problem(function(_, _, _, q) q.id = 1.5 end))
        assert.are.equal("FILE: data[0].paragraphs[0].qas[0].question is a list, expected a string",
            problem(function(_, _, _, q) q.question = json.array {} end))
        assert.are.equal("FILE: data[0].paragraphs[0].qas[0].is_impossible is a string, expected true or false",
            problem(function(_, _, _, q) q.is_impossible = "no" end))
        assert.are.equal("FILE: data[0].paragraphs[0].qas[0].answers[0].text is missing, expected a string",
            problem(function(_, _, _, q) q.answers[1].text = nil end))
        assert.are.equal("FILE: data[0].paragraphs[0].qas[0].answers[0].answer_start is a string, expected a whole "
            .. "number", problem(function(_, _, _, q) q.answers[1].answer_start = "0" end))
        assert.are.equal("FILE: data[0].paragraphs[0].qas[0].answers[0].answer_start is missing, expected a whole "
            .. "number", problem(function(_, _, _, q) q.answers[1].answer_start = nil end))
        assert.are.equal("FILE: contains no questions", problem(function(_, _, p) p.qas = json.array {} end))
        assert.are.equal('FILE: the file holds a list, expected an object {"data": [...]}', load_text("[1]").problem)
    end)

    it("refuses a missing file", function()
        local ok, problem = pcall(dataset.load, "/no/such/file.json")
        assert.is_false(ok)
        assert.is_true(fault.is(problem))
        assert.is_truthy(tostring(problem):find("/no/such/file.json", 1, true))
    end)
end)
