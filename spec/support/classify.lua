--- A tiny classification job for specs: data, vocabulary, config and the real executable.

local base = require "spec.support.job"
local fs = require "bertlua.util.fs"

local M = {}

local WORDS = 60

local Job = base.class { words = WORDS, length = 16, initializer_range = 0.1 }

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
    local self = Job:make("classify", { train = "train.csv", dev = "dev.csv" })
    assert(fs.write(self.train, csv(options and options.texts or 48, 0)))
    assert(fs.write(self.dev, csv(20, 5)))
    return self
end

--- Command line of finetune_classify.lua with this job's files; `changes` sets options by name (false: leave it out).
function Job:command(changes)
    return self:command_line("finetune_classify.lua", {
        ["train-file"] = self.train, ["dev-file"] = self.dev, ["train-batch-size"] = 8, epochs = 4, ["log-freq"] = 4,
    }, changes)
end

--- Run the recipe to its end.
-- @return exit code, output
function Job:run(changes, prefix)
    return base.shell((prefix or "") .. self:command(changes))
end

return M
