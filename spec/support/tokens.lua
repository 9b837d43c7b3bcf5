--- A tiny tagging job for specs: data, vocabulary, config and the real executable.

local base = require "spec.support.job"
local fs = require "bertlua.util.fs"

local M = {}

local WORDS = 60

local Job = base.class { words = WORDS, length = 16, initializer_range = 0.1 }

--- CoNLL columns: w6 and w7 begin an entity, w8 goes on with it.
local function columns(count, shift)
    local lines, state = {}, 29 + shift
    local function random(n)
        state = (state * 48271) % 2147483647
        return state % n
    end
    local function put(word, tag) lines[#lines + 1] = word .. "\t" .. tag end
    for _ = 1, count do
        for _ = 1, 2 + random(2) do
            put("w" .. 10 + random(WORDS - 10), "O")
            local kind = random(3)
            if kind < 2 then
                put("w" .. 6 + kind, kind == 0 and "B-PER" or "B-LOC")
                if random(2) == 0 then put("w8", kind == 0 and "I-PER" or "I-LOC") end
            end
        end
        lines[#lines + 1] = ""
    end
    return table.concat(lines, "\n") .. "\n"
end

--- Create the files of a job in a fresh folder.
-- @param options sentences to train on (64)
function M.new(options)
    local self = Job:make("tokens", { train = "train.conll", dev = "dev.conll" })
    assert(fs.write(self.train, columns(options and options.sentences or 64, 0)))
    assert(fs.write(self.dev, columns(20, 5)))
    return self
end

--- Command line of finetune_tokens.lua with this job's files; `changes` sets options by name (false: leave it out).
function Job:command(changes)
    return self:command_line("finetune_tokens.lua", {
        ["train-file"] = self.train, ["dev-file"] = self.dev, ["train-batch-size"] = 8, epochs = 4, ["log-freq"] = 4,
        ["doc-stride"] = 8,
    }, changes)
end

--- Run the recipe to its end.
-- @return exit code, output
function Job:run(changes, prefix)
    return base.shell((prefix or "") .. self:command(changes))
end

return M
