--- A tiny SQuAD job for specs: data, vocabulary, config and the real executable.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local pretraining = require "spec.support.pretraining"

local M = {}

local Job = {}
Job.__index = Job

local LENGTH, QUERY, STRIDE, WORDS = 32, 6, 8, 200

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
    local dir = assert(fs.temporary_folder "bertlua-squad")
    local self = setmetatable({ dir = dir, vocab = dir .. "/vocab.txt", config = dir .. "/config.json",
        out = dir .. "/out", train = dir .. "/train.json", dev = dir .. "/dev.json" }, Job)
    local words = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" }
    for i = #words, WORDS - 1 do words[i + 1] = "w" .. i end
    assert(fs.write(self.vocab, table.concat(words, "\n") .. "\n"))
    assert(fs.write(self.train, json.encode(M.data(options))))
    local dev = { shift = 3 }
    for name, value in pairs(options or {}) do dev[name] = value end
    assert(fs.write(self.dev, json.encode(M.data(dev))))
    self:write_config {}
    return self
end

--- The model's config with changes; returns its path.
function Job:write_config(changes, name)
    local config = { vocab_size = WORDS, hidden_size = 16, num_hidden_layers = 2, num_attention_heads = 2,
        intermediate_size = 32, max_position_embeddings = LENGTH, hidden_dropout_prob = 0.1,
        attention_probs_dropout_prob = 0.1 }
    for key, value in pairs(changes) do config[key] = value end
    local path = name and self.dir .. "/" .. name or self.config
    assert(fs.write(path, json.encode(config) .. "\n"))
    return path
end

local function quote(text)
    return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

--- Command line of finetune_squad.lua with this job's files; `changes` sets options by name (false: leave it out).
function Job:command(changes)
    local options = {
        ["bert-model"] = "custom", ["config-file"] = self.config, ["vocab-file"] = self.vocab,
        ["train-file"] = self.train, ["predict-file"] = self.dev, ["output-dir"] = self.out,
        ["report-file"] = self.dir .. "/report.json", ["train-batch-size"] = 4, epochs = 2, ["log-freq"] = 1,
        ["max-seq-length"] = LENGTH, ["max-query-length"] = QUERY, ["doc-stride"] = STRIDE,
        ["num-steps-per-checkpoint"] = 100, ["learning-rate"] = 0.01, threads = 1, ["show-config"] = "false",
    }
    for name, value in pairs(changes or {}) do options[name] = value end
    local names = {}
    for name, value in pairs(options) do
        if value ~= false then names[#names + 1] = name end
    end
    table.sort(names)
    local words = { pretraining.BINARY, "recipes/finetune_squad.lua" }
    for _, name in ipairs(names) do words[#words + 1] = ("--%s %s"):format(name, quote(options[name])) end
    return table.concat(words, " ")
end

--- Run the recipe to its end.
-- @return exit code, output
function Job:run(changes)
    return pretraining.shell(self:command(changes))
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

function Job:close()
    assert(fs.remove(self.dir))
end

return M
