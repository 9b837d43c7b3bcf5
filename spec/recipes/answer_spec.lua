--- One question through the real executable and in one call: answers, windows, bad input.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local models = require("bertlua").models
local pretraining = require "spec.support.pretraining"
local squad = require "spec.support.squad"

describe("answering one question", function()
    local job, model, question, passage

    setup(function()
        job = squad.new { negative = true }
        local code, output = job:run { ["version-2-with-negative"] = "true", ["predict-file"] = job.train }
        assert.are.equal(0, code, output)
        model = job.out .. "/custom/squad"
        local paragraph = assert(json.read(job.train)).data[1].paragraphs[1]
        question, passage = paragraph.qas[1].question, paragraph.context
    end)
    teardown(function() job:close() end)

    local function quote(text)
        return "'" .. text:gsub("'", "'\\''") .. "'"
    end

    local function run(options)
        local words = { pretraining.BINARY, "recipes/answer.lua --threads 1" }
        for name, value in pairs(options) do words[#words + 1] = ("--%s %s"):format(name, quote(value)) end
        return pretraining.shell(table.concat(words, " "))
    end

    local function refused(pattern, options)
        local code, output = run(options)
        assert.are.equal(1, code, output)
        assert.matches("^bertlua: [^\n]*" .. pattern .. "[^\n]*\n$", output)
    end

    it("needs a model with the head for it", function()
        refused("masked_lm/model%.safetensors: has no head that answers questions %(qa_outputs%): use a model",
            { checkpoint = "spec/fixtures/encoder/masked_lm", question = question, context = passage })
    end)

    it("gives the same answer as the whole job, with its probability", function()
        local n_best = assert(json.read(model .. "/nbest_predictions.json"))
        local odds = assert(json.read(model .. "/null_odds.json"))
        local list, details = models.answer(model, question, passage)
        assert.are.equal(#n_best.q1, #list)
        for i, entry in ipairs(list) do
            assert.are.equal(n_best.q1[i].text, entry.text)
            assert.is_true(math.abs(n_best.q1[i].probability - entry.probability) < 1e-6)
        end
        assert.is_true(math.abs(odds.q1 - details.null_odds) < 1e-5)
        assert.are.equal(2, details.windows)
        local code, output = run { checkpoint = model, question = question, context = passage, top = "2" }
        assert.are.equal(0, code, output)
        assert.matches(("  %5.1f %%  "):format(100 * list[1].probability), output, 1, true)
        assert.matches("score of no answer minus that of the best answer: ", output, 1, true)
    end)

    it("accepts a checkpoint, a folder of steps, and a text from a file", function()
        assert(fs.write(job.dir .. "/text.txt", passage))
        local code, output = run { checkpoint = model .. "/12", question = question,
            ["context-file"] = job.dir .. "/text.txt" }
        assert.are.equal(0, code, output)
        local _, same = run { checkpoint = model, question = question, context = passage }
        assert.are.equal(same, output)
    end)

    it("omits null where it is not requested", function()
        local _, details = models.answer(model, question, passage, { version_2_with_negative = false })
        assert.is_nil(details.null_odds)
        assert.are_not.equal("", details.answer)
    end)

    it("keeps a model open until its file changes", function()
        local reader = require "bertlua.squad.reader"
        local first = reader.shared(model)
        assert.are.equal(first, reader.shared(model))
        -- Rewritten later; the time is set by hand, since a test cannot wait for the next second.
        local file = model .. "/model.safetensors"
        assert(fs.write(file, assert(fs.read(file))))
        assert.are.equal(0, os.execute("touch -d 2001-01-01 " .. file))
        assert.are_not.equal(first, reader.shared(model))
    end)

    it("reads a long text in windows", function()
        local words = {}
        for i = 1, 4000 do words[i] = "w" .. 6 + i % 190 end
        local list, details = models.answer(model, question, table.concat(words, " "))
        assert.is_true(details.windows > 400)
        assert.is_true(#list > 0)
        assert.is_string(details.answer)
    end)

    it("refuses bad input in one line", function()
        refused("the question is empty", { checkpoint = model, question = " ", context = passage })
        refused("the context is empty", { checkpoint = model, question = question, context = "" })
        refused("the question has 7 tokens, expected at most 6", { checkpoint = model,
            question = "w6 w7 w8 w9 w10 w11 w12", context = passage })
        refused("the context is not UTF%-8 at byte 4", { checkpoint = model, question = question,
            context = "w6 \255" })
        refused("no such file or folder", { checkpoint = job.dir .. "/none", question = question, context = passage })
        refused("contains no model%.safetensors, [^\n]*, and no complete checkpoint; there is one in ", {
            checkpoint = job.dir, question = question, context = passage })
        refused("give one of them", { checkpoint = model, question = question, context = "w6",
            ["context-file"] = job.vocab })
        refused("max_position_embeddings 32", { checkpoint = model, question = question, context = "w6",
            ["max-seq-length"] = "64" })
        assert.has_error(function() models.answer(model, question) end,
            "answer: the context is nil, expected a string")
    end)
end)
