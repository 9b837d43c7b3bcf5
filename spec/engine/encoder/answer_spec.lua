--- Answers to questions in C against the graph in Lua.

local models = require "spec.support.encoder_models"
local text = require "bertlua.squad.text"

local CLOSE = 1e-6
local QUESTIONS = { "who wrote it?", "北京? [SEP]" }
local CONTEXTS = {
    "the cat sat on the mat.", "Ada (1895-1943) wrote it.", "北京是首都，北京是北京 的首都",
    table.concat(models.TEXTS, " "), "a", ("x"):rep(300),
    ("The Cat\tsat  on\226\128\175THE\r\n mat "):rep(9), "  e\204\129 naïve  ÄÖÜ [SEP] ##seen ",
}

--- The answer's text as the graph in Lua has it: one blank between words.
local function folded(answer)
    return text.join_words(answer.text, 0, #answer.text)
end

describe("the engine's answers", function()
    local both, path, lua, c

    setup(function()
        both = models.both "answers"
        path, lua, c = both.path, both.lua, both.c
    end)
    teardown(function() both.close() end)

    local function compare(theirs, mine, question, context, none)
        local expected = theirs:answer(question, context, { version_2_with_negative = none })
        local answers = assert(mine:answer(question, context, { allow_none = none, most = 50 }))
        local where = ("%q %q"):format(question, context)
        if #answers == 0 then
            assert.are.same({ "", 1 }, { expected.text, #expected.all })
            return answers
        end
        assert.are.equal(expected.text, folded(answers[1]), where)
        assert.is_true(math.abs(expected.probability - answers[1].probability) < CLOSE, where)
        assert.are.equal(#expected.all, #answers)
        local by_text, sum = {}, 0
        for _, entry in ipairs(expected.all) do by_text[entry.text] = entry.probability end
        for i, answer in ipairs(answers) do
            sum = sum + answer.probability
            assert.is_true(math.abs(by_text[folded(answer)] - answer.probability) < CLOSE, where)
            -- The order of the list, but that the chosen one comes first.
            assert.is_true(i < 3 or answer.probability <= answers[i - 1].probability)
        end
        assert.is_true(math.abs(sum - 1) < CLOSE)
        return answers
    end

    it("are those of the graph in Lua, all of them, and lie in the context", function()
        local nothing, several = 0, 0
        for _, context in ipairs(CONTEXTS) do
            for _, question in ipairs(QUESTIONS) do
                for _, none in ipairs { false, true } do
                    local answers = compare(lua, c, question, context, none)
                    several = several + (#answers > 3 and 1 or 0)
                    for _, answer in ipairs(answers) do nothing = nothing + (answer.first and 0 or 1) end
                    assert.are.same(answers[1], c:answer(question, context, { allow_none = none })[1])
                end
            end
        end
        assert.are.equal(#CONTEXTS * #QUESTIONS, nothing)
        assert.is_true(several > 5, several)
    end)

    it("follow the settings that the model was fine-tuned with", function()
        local before = c:answer(QUESTIONS[1], CONTEXTS[4])[1]
        local settings = { max_seq_length = 20, doc_stride = 5, max_query_length = 8, n_best_size = 3,
            max_answer_length = 2 }
        models.change(path, "squad_settings.json", settings)
        local mine, theirs, differs = assert(models.open(path)), models.load(path), false
        for _, context in ipairs(CONTEXTS) do
            for _, question in ipairs(QUESTIONS) do
                local answers = compare(theirs, mine, question, context, false)
                differs = differs or context == CONTEXTS[4] and answers[1] and answers[1].text ~= before.text
            end
        end
        assert.is_true(differs)
        local _, message = mine:answer("the cat sat on the mat of it .", "a house")
        assert.are.equal("answer: the question has 9 tokens, expected at most 8: shorten it", message)
        mine:close()
        theirs:close()
        -- A limit that the program sets holds for windows, too.
        mine, theirs = assert(models.open(path, { max_length = 16 })), models.load(path)
        for _, context in ipairs(CONTEXTS) do
            assert.are.equal(theirs:answer("cat", context, { max_seq_length = 16 }).text,
                folded(mine:answer("cat", context)[1] or { text = "" }))
        end
        mine:close()
        theirs:close()
    end)

    it("put first what a recorded threshold decides for", function()
        for threshold, none in pairs { [-1000] = true, [1000] = false } do
            models.change(path, "squad_settings.json", { null_score_diff_threshold = threshold })
            local mine, theirs = assert(models.open(path)), models.load(path)
            local chosen = 0
            for _, context in ipairs(CONTEXTS) do
                local answers = compare(theirs, mine, QUESTIONS[1], context, true)
                if #answers > 1 then
                    chosen = chosen + 1
                    assert.are.equal(none, answers[1].first == nil)
                end
            end
            assert.is_true(chosen > 0)
            mine:close()
            theirs:close()
        end
        os.remove(path .. "/squad_settings.json")
    end)

    it("stand where their tokens do, if their text comes several times in a word", function()
        local context, places = ("北京 " .. ("京"):rep(30)), {}
        for _, question in ipairs(QUESTIONS) do
            for _, answer in ipairs(c:answer(question, context, { most = 20 })) do
                assert.are.equal(answer.text, context:sub(answer.first, answer.last))
                places[answer.first] = true
            end
        end
        local count = 0
        for _ in pairs(places) do count = count + 1 end
        -- With the first place of each text there would be three.
        assert.is_true(count > 3, count .. " places")
    end)

    it("refuse what is empty or no text", function()
        for _, case in ipairs {
            { " ", "a", "answer: the question is empty" },
            { "a", "\t \n", "answer: the context is empty: there is nothing to find an answer in" },
            { "a\254", "a", "answer: the question: byte 1: invalid UTF-8 (0xfe): convert it (iconv -t UTF-8)" },
            { "a", "ab\254", "answer: the context: byte 2: invalid UTF-8 (0xfe): convert it (iconv -t UTF-8)" },
        } do
            local answers, message = c:answer(case[1], case[2])
            assert.is_nil(answers)
            assert.are.equal(case[3], message)
        end
    end)

    it("take linear time", function()
        local start = os.clock()
        for _, piece in ipairs { "the cat ", "北", "x" } do
            assert.are.equal(1, #c:answer("cat", piece:rep(math.floor(3e4 / #piece))))
        end
        assert.is_true(os.clock() - start < 3)
    end)
end)
