--- The recipe that scores a predictions file: output, warnings, faults.

local fs = require "bertlua.util.fs"
local job = require "bertlua.jobs.squad.evaluate"
local json = require "bertlua.util.json"
local process = require "spec.support.process"

describe("evaluate_squad", function()
    local folder, scores

    setup(function()
        folder = assert(fs.temporary_folder "bertlua-evaluate")
        scores = assert(json.read "spec/fixtures/squad/expected.json").scores
    end)

    teardown(function() fs.remove(folder) end)

    local function write(name, text)
        local path = fs.join(folder, name)
        assert(fs.write(path, text))
        return path
    end

    --- The recipe as a program: its standard output, its standard error, whether it succeeded.
    local function run(...)
        local words = { process.bertlua, "recipes/evaluate_squad.lua", ... }
        for i, word in ipairs(words) do words[i] = "'" .. word .. "'" end
        local errors = fs.join(folder, "stderr")
        local pipe = assert(io.popen(table.concat(words, " ") .. " 2>'" .. errors .. "'; echo $?"))
        local out, code = pipe:read("*a"):match "^(.-)(%d+)\n$"
        pipe:close()
        return out, fs.read(errors), tonumber(code)
    end

    local DATA = "spec/fixtures/squad/data.json"

    it("prints v2.0 scores, with probabilities in the order of their file", function()
        local predictions = write("predictions.json", json.encode(scores.predictions.mixed))
        local out, errors, code = run("--predict-file", DATA, "--predictions", predictions, "--version-2-with-negative")
        assert.are.same({ scores.v2.mixed .. "\n", "", 0 }, { out, errors, code })
        local probs = {}
        for i, id in ipairs(scores.na_order) do probs[i] = ('"%s": %s'):format(id, scores.na_probs[id]) end
        out = run("--predict-file", DATA, "--predictions", predictions, "--version-2-with-negative", "--na-prob-file",
            write("na.json", "{" .. table.concat(probs, ",") .. "}"), "--na-prob-thresh", "0.5")
        assert.are.equal(scores.v2_thresh.mixed .. "\n", out)
    end)

    it("prints v1.1 scores and warns of missing answers", function()
        local root = assert(json.read(DATA))
        for _, article in ipairs(root.data) do
            for _, paragraph in ipairs(article.paragraphs) do
                local kept = json.array {}
                for _, qa in ipairs(paragraph.qas) do
                    if #qa.answers > 0 then kept[#kept + 1] = qa end
                end
                paragraph.qas = kept
            end
        end
        local data = write("answered.json", json.encode(root))
        local predictions = write("partly.json", json.encode(scores.partly))
        local out, errors, code = run("--predict-file", data, "--predictions", predictions)
        assert.are.equal(scores.v1_partly .. "\n", out)
        assert.are.equal(("bertlua: warning: %s: 5 questions unanswered, scored 0: q4, q8, q9, q10, q11\n")
            :format(predictions), errors)
        assert.are.equal(0, code)
    end)

    it("names what is wrong with a file", function()
        local function problem(predictions, extra)
            local values = { predict_file = DATA, predictions = predictions, version_2_with_negative = true }
            for name, value in pairs(extra or {}) do values[name] = value end
            local ok, message = pcall(job.evaluate, values)
            assert.is_false(ok)
            return tostring(message)
        end
        local path = write("bad.json", '{"q1": 5}')
        assert.are.equal(path .. ': the value of "q1" is a number, expected a string', problem(path))
        write("bad.json", "[1]")
        assert.are.equal(path .. ": not a JSON object, expected strings by question id", problem(path))
        write("bad.json", '{"q1": \n "x"')
        assert.is_truthy(problem(path):find(path .. ":2:5: not valid JSON", 1, true))
        write("bad.json", "{}")
        assert.matches("qas%[6%]%.is_impossible is true: this is SQuAD v2.0, .*: set version_2_with_negative$",
            problem(path, { version_2_with_negative = false }))
        local answer = { id = "q1", question = "?", answers = { { text = "a", answer_start = 0 } } }
        local plain = write("plain.json", json.encode { data = { { paragraphs = { { context = "a",
            qas = { answer } } } } } })
        assert.are.equal("--na-prob-file requires --version-2-with-negative", problem(path, { na_prob_file = path,
            predict_file = plain, version_2_with_negative = false }))
    end)
end)
