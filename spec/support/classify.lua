--- A tiny classification job for specs: data, vocabulary, config and the real executable.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local pretraining = require "spec.support.pretraining"

local M = {}

local Job = {}
Job.__index = Job

local WORDS = 60

--- Lines of a CSV file: "wN" words and the label that the first word decides.
local function csv(count, shift)
    local lines, state = { "text,label,weight" }, 17 + shift
    local function random(n)
        state = (state * 48271) % 2147483647
        return state % n
    end
    for i = 1, count do
        local first, words = random(3), {}
        words[1] = "w" .. 6 + first
        for k = 2, 3 + random(6) do words[k] = "w" .. 10 + random(WORDS - 10) end
        lines[i + 1] = ('"%s",label %d,1'):format(table.concat(words, " "), first)
    end
    return table.concat(lines, "\n") .. "\n"
end

--- Create the files of a job in a fresh folder.
-- @param options texts to train on (48)
function M.new(options)
    local dir = assert(fs.temporary_folder "bertlua-classify")
    local self = setmetatable({ dir = dir, vocab = dir .. "/vocab.txt", config = dir .. "/config.json",
        out = dir .. "/out", train = dir .. "/train.csv", dev = dir .. "/dev.csv" }, Job)
    local words = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" }
    for i = #words, WORDS - 1 do words[i + 1] = "w" .. i end
    assert(fs.write(self.vocab, table.concat(words, "\n") .. "\n"))
    assert(fs.write(self.train, csv(options and options.texts or 48, 0)))
    assert(fs.write(self.dev, csv(20, 5)))
    assert(fs.write(self.config, json.encode { vocab_size = WORDS, hidden_size = 16, num_hidden_layers = 2,
        num_attention_heads = 2, intermediate_size = 32, max_position_embeddings = 16, hidden_dropout_prob = 0.1,
        attention_probs_dropout_prob = 0.1, initializer_range = 0.1 } .. "\n"))
    return self
end

--- Command line of finetune_classify.lua with this job's files; `changes` sets options by name (false: leave it out).
function Job:command(changes)
    local options = {
        ["bert-model"] = "custom", ["config-file"] = self.config, ["vocab-file"] = self.vocab,
        ["train-file"] = self.train, ["dev-file"] = self.dev, ["output-dir"] = self.out,
        ["report-file"] = self.dir .. "/report.json", ["train-batch-size"] = 8, epochs = 4, ["log-freq"] = 4,
        ["max-seq-length"] = 16, ["num-steps-per-checkpoint"] = 100, ["learning-rate"] = 0.01, threads = 1,
        ["show-config"] = "false",
    }
    for name, value in pairs(changes or {}) do options[name] = value end
    local names = {}
    for name, value in pairs(options) do
        if value ~= false then names[#names + 1] = name end
    end
    table.sort(names)
    local words = { pretraining.BINARY, "recipes/finetune_classify.lua" }
    for _, name in ipairs(names) do
        words[#words + 1] = ("--%s '%s'"):format(name, (tostring(options[name]):gsub("'", "'\\''")))
    end
    return table.concat(words, " ")
end

--- Run the recipe to its end.
-- @return exit code, output
function Job:run(changes, prefix)
    return pretraining.shell((prefix or "") .. self:command(changes))
end

function Job:close()
    assert(fs.remove(self.dir))
end

return M
