--- A tiny SQuAD job for specs: data, vocabulary, config and the real executable.

local base = require "spec.support.job"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"

local M = {}

local LENGTH, QUERY, STRIDE, WORDS = 32, 6, 8, 200

local Job = base.class { words = WORDS, length = LENGTH }

--- A SQuAD file of made-up words: contexts of n words, questions for the word after a word.
-- @param options contexts (6), words of a context (30), questions of a context (2), shift = other words,
--   negative = every third question has no answer
function M.data(options)
    options = options or {}
    local state = 17 + (options.shift or 0)
    local function random(n)
        state = (state * 48271) % 2147483647
        return state % n
    end
    local paragraphs, number = {}, 0
    for p = 1, options.contexts or 6 do
        local words, starts, at = {}, {}, 0
        for i = 1, options.words or 30 do
            words[i], starts[i] = "w" .. 6 + random(WORDS - 6), at
            at = at + #words[i] + 1
        end
        local qas = {}
        for q = 1, options.questions or 2 do
            number = number + 1
            local place = 1 + random(#words - 1)
            local answers = { { text = words[place + 1], answer_start = starts[place + 1] } }
            local negative = options.negative and number % 3 == 0
            qas[q] = { id = "q" .. number, question = "w5 " .. words[place],
                answers = negative and json.array {} or answers }
            if options.negative then qas[q].is_impossible = negative end
        end
        paragraphs[p] = { context = table.concat(words, " "), qas = qas }
    end
    return { version = "1.1", data = { { title = "words", paragraphs = paragraphs } } }
end

--- Create the files of a job in a fresh folder.
-- @param options of M.data
function M.new(options)
    local self = Job:make("squad", { train = "train.json", dev = "dev.json" })
    assert(fs.write(self.train, json.encode(M.data(options))))
    local dev = { shift = 3 }
    for name, value in pairs(options or {}) do dev[name] = value end
    assert(fs.write(self.dev, json.encode(M.data(dev))))
    return self
end

--- Command line of finetune_squad.lua with this job's files; `changes` sets options by name (false: leave it out).
function Job:command(changes)
    return self:command_line("finetune_squad.lua", {
        ["train-file"] = self.train, ["predict-file"] = self.dev, ["train-batch-size"] = 4, epochs = 2,
        ["max-query-length"] = QUERY, ["doc-stride"] = STRIDE,
    }, changes)
end

--- Run the recipe to its end.
-- @return exit code, output
function Job:run(changes)
    return base.shell(self:command(changes))
end

--- Records of a report by step, with the summary under "summary".
function Job:records(path)
    local by_step = {}
    for line in io.lines(path or self.dir .. "/report.json") do
        local record = json.decode(line:match "^DLLL (.*)$")
        if record.type == "LOG" then
            local step = type(record.step) == "table" and "summary" or record.step
            by_step[step] = record.data
        end
    end
    return by_step
end

return M
