--- A tiny job of sentence embeddings for specs: data, vocabulary, config and the real executable.

local base = require "spec.support.job"
local fs = require "bertlua.util.fs"

local M = {}

local WORDS, KEYS, NOISE = 60, 10, 50

local Job = base.class { words = WORDS, length = 16, initializer_range = 0.1 }

--- Pairs of texts: a key's word w6 ... among others, and w16 ... of the same key; negatives have another key.
-- @param form function(text, pair, negative, random) -> line
local function lines(count, shift, form)
    local list, state = {}, 29 + shift
    local function random(n)
        state = (state * 48271) % 2147483647
        return state % n
    end
    local function text(word)
        local words = {}
        for i = 1, 2 do words[i] = "w" .. NOISE + random(WORDS - NOISE) end
        table.insert(words, 1 + random(3), word)
        return table.concat(words, " ")
    end
    for i = 1, count do
        local key = (i - 1) % KEYS
        local other = (key + 1 + random(KEYS - 1)) % KEYS
        list[i] = form(text("w" .. 6 + key), text("w" .. 16 + key), text("w" .. 16 + other), random)
    end
    return table.concat(list, "\n") .. "\n"
end

local function pair(text, positive, negative)
    return ("%s\t%s\t%s"):format(text, positive, negative)
end

--- Every third pair belongs together.
local function scored(text, positive, negative, random)
    local alike = random(3) == 0
    return ('"%s",%s,%g'):format(text, alike and positive or negative, alike and 4 + random(2) or random(2))
end

--- Create the files of a job in a fresh folder.
-- @param options pairs to train on (64)
function M.new(options)
    local self = Job:make("embeddings", { train = "train.tsv", dev = "dev.tsv", scored = "scored.csv",
        scored_dev = "scored-dev.csv" })
    local count = options and options.pairs or 64
    assert(fs.write(self.train, "text\tpair\tnot\n" .. lines(count, 0, pair)))
    assert(fs.write(self.dev, "text\tpair\tnot\n" .. lines(KEYS, 5, pair)))
    assert(fs.write(self.scored, lines(count, 7, scored)))
    assert(fs.write(self.scored_dev, lines(30, 9, scored)))
    return self
end

--- Options for the scored files, which have no header.
function Job:of_scores(changes)
    local options = { ["train-file"] = self.scored, ["dev-file"] = self.scored_dev, ["text-column"] = 1,
        ["pair-column"] = 2, ["label-column"] = 3 }
    for name, value in pairs(changes or {}) do options[name] = value end
    return options
end

--- Command line of finetune_embeddings.lua with this job's files; `changes` sets options by name (false: leave it out).
function Job:command(changes)
    return self:command_line("finetune_embeddings.lua", {
        ["train-file"] = self.train, ["dev-file"] = self.dev, ["train-batch-size"] = 8, epochs = 4, ["log-freq"] = 4,
    }, changes)
end

--- Run the recipe to its end.
-- @return exit code, output
function Job:run(changes, prefix)
    return base.shell((prefix or "") .. self:command(changes))
end

return M
