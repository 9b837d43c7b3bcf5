--- A tiny job of going on with pre-training for specs: texts, vocabulary, config and the real executable.

local base = require "spec.support.job"
local fs = require "bertlua.util.fs"

local M = {}

local WORDS = 40

local Job = base.class { words = WORDS, length = 24, initializer_range = 0.1 }

--- Texts of sentences that repeat a pair of words, w6 w7 w6 w7 ...: what is left of one says what is masked.
-- @param documents how many; each of 3 to 5 sentences
local function texts(documents, shift)
    local lines, state = {}, 29 + shift
    local function random(n)
        state = (state * 48271) % 2147483647
        return state % n
    end
    for _ = 1, documents do
        for _ = 1, 3 + random(3) do
            local first = 6 + 2 * random((WORDS - 6) / 2)
            local pair = ("w%d w%d "):format(first, first + 1)
            lines[#lines + 1] = "W" .. pair:rep(4):sub(2, -2)
        end
        lines[#lines + 1] = ""
    end
    return table.concat(lines, "\n") .. "\n"
end

--- Create the files of a job in a fresh folder.
-- @param options documents to train on (60)
function M.new(options)
    local self = Job:make("mlm", { train = "train.txt", dev = "dev.txt" })
    assert(fs.write(self.train, texts(options and options.documents or 60, 0)))
    assert(fs.write(self.dev, texts(12, 5)))
    return self
end

M.texts = texts

--- Command line of pretrain_continue.lua with this job's files; `changes` sets options by name (false: leave it out).
function Job:command(changes)
    return self:command_line("pretrain_continue.lua", {
        ["train-file"] = self.train, ["train-batch-size"] = 8, epochs = 4, ["log-freq"] = 10,
        ["do-lower-case"] = "true", ["pseudo-perplexity"] = 5,
    }, changes)
end

--- Run the recipe to its end.
-- @return exit code, output
function Job:run(changes, prefix)
    return base.shell((prefix or "") .. self:command(changes))
end

return M
