--- A tiny pre-training job for specs: shards, vocabulary, config and the real executable.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local shards = require "spec.support.shards"

local M = {}

local Job = {}
Job.__index = Job

M.BINARY = os.getenv "BERTLUA_BIN" or "build/bertlua"

local LENGTH, SLOTS, SAMPLES, WORDS = 16, 3, 24, 200

--- Create the files of a job in a fresh folder.
function M.new()
    local dir = assert(fs.temporary_folder "bertlua-pretraining")
    local self = setmetatable({ dir = dir, shards = dir .. "/shards", vocab = dir .. "/vocab.txt",
        config = dir .. "/config.json", out = dir .. "/out" }, Job)
    assert(fs.mkdirs(self.shards))
    for i = 1, 2 do
        shards.write(("%s/s_training_%d.hdf5"):format(self.shards, i),
            shards.values(SAMPLES, LENGTH, SLOTS, (i - 1) * SAMPLES))
    end
    local words = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" }
    for i = #words + 1, WORDS do words[i] = "w" .. i end
    assert(fs.write(self.vocab, table.concat(words, "\n") .. "\n"))
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

--- A folder with one shard made from the valid one by change(values) and the writer's change.
function Job:broken_shard(name, change_values, change_writer)
    local folder = self.dir .. "/" .. name
    assert(fs.mkdirs(folder))
    local values = shards.values(SAMPLES, LENGTH, SLOTS)
    if change_values then change_values(values) end
    shards.write(folder .. "/s_training_0.hdf5", values, change_writer)
    return folder
end

local function quote(text)
    return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

--- Command line of a recipe with this job's files; `changes` sets options by name (false: leave the option out).
function Job:command(recipe, changes)
    local options = {
        ["bert-model"] = "custom", ["config-file"] = self.config, ["vocab-file"] = self.vocab,
        ["input-dir"] = self.shards, ["output-dir"] = self.out, ["report-file"] = self.dir .. "/report.json",
        ["batch-size"] = 4, ["gradient-merge-steps"] = 1, ["max-steps"] = 4, ["log-freq"] = 1,
        ["max-seq-length"] = LENGTH, ["max-predictions-per-seq"] = SLOTS, ["num-steps-per-checkpoint"] = 100,
        ["learning-rate"] = 0.01, amp = "false", ["scale-loss"] = 1, ["use-dynamic-loss-scaling"] = "false",
        threads = 1, ["show-config"] = "false", ["last-step-of-checkpoint"] = "none",
    }
    for name, value in pairs(changes or {}) do options[name] = value end
    local names = {}
    for name, value in pairs(options) do
        if value ~= false then names[#names + 1] = name end
    end
    table.sort(names)
    local words = { M.BINARY, "recipes/" .. recipe }
    for _, name in ipairs(names) do words[#words + 1] = ("--%s %s"):format(name, quote(options[name])) end
    return table.concat(words, " ")
end

--- Run a shell command.
-- @return exit code, output (stdout and stderr)
function M.shell(command)
    local pipe = assert(io.popen("{ " .. command .. "; } 2>&1; echo \"code $?\"", "r"))
    local output = pipe:read "*a"
    pipe:close()
    local text, code = output:match "^(.*)code (%d+)%s*$"
    return tonumber(code), text
end

--- Run a recipe of this job to its end.
function Job:run(recipe, changes, prefix)
    return M.shell((prefix or "") .. self:command(recipe, changes))
end

--- Values by step as in the report file; the last record of a step counts.
function Job:losses(path)
    local by_step = {}
    for line in io.lines(path or self.dir .. "/report.json") do
        local record = json.decode(line:match "^DLLL (.*)$")
        if record.type == "LOG" and type(record.step) == "number" then
            by_step[record.step] = { loss = record.data.loss, mlm = record.data.mlm_loss, nsp = record.data.nsp_loss,
                grad_norm = record.data.grad_norm, learning_rate = record.data.learning_rate }
        end
    end
    return by_step
end

function Job:close()
    assert(fs.remove(self.dir))
end

return M
