--- Job: answer one question from a context.

local paths = require "bertlua.paths"
local reader = require "bertlua.squad.reader"
local extraction = require "bertlua.squad.extraction"
local devices = require "bertlua.jobs.common.devices"
local fault = require "bertlua.fault"
local features = require "bertlua.squad.features"
local printable = require "bertlua.printable"
local settings = require "bertlua.settings"
local text_source = require "bertlua.data.text_source"

local M = {}

local OWN = {
    { name = "checkpoint", type = "path", required = true,
        help = "fine-tuned model: its folder, a checkpoint, or the folder of its checkpoints" },
    { name = "question", type = "string", required = true, allow_empty = true, help = "the question to answer" },
    { name = "context", type = "string", allow_empty = true,
        help = "text that contains the answer; unset: context_file, or standard input" },
    { name = "context_file", type = "path", help = "file that contains the context" },
    { name = "top", type = "integer", min = 1, max = 1000, default = 3, help = "number of answers to show" },
    { name = "version_2_with_negative", type = "boolean",
        help = "there may be no answer; unset: as the model was fine-tuned" },
    { name = "vocab_file", type = "path", find = paths.vocabulary,
        help = "unset: vocab.txt or tokenizer.json of the checkpoint" },
    { name = "do_lower_case", type = "boolean", help = "lower-case the text; unset: as the model was trained" },
    { name = "model_prefix", type = "string", default = "model", help = "reads MODEL_PREFIX.safetensors" },
    { name = "precision", type = "choice", choices = { "fp32", "bf16" }, default = "fp32",
        help = "of matrices and activations" },
    devices.setting,
    { name = "threads", type = "integer", min = 0, default = 0, help = "0: OMP_NUM_THREADS, or all cores" },
}

-- Here unset means: as the model was fine-tuned, or else the default of fine-tuning.
local AS_TRAINED = { "max_seq_length", "doc_stride", "max_query_length" }

local function all_settings()
    local list = {}
    for _, setting in ipairs(OWN) do list[#list + 1] = setting end
    local as_trained = settings.define(features.settings):subset(AS_TRAINED)
    for _, setting in ipairs(as_trained.list) do
        local copy = {}
        for key, value in pairs(setting) do copy[key] = value end
        copy.default, copy.help = nil, setting.help .. "; unset: as the model was fine-tuned"
        list[#list + 1] = copy
    end
    for _, setting in ipairs(extraction.settings) do list[#list + 1] = setting end
    return settings.define(list)
end

M.settings = all_settings()

--- The text to read: given, from a file, or from standard input.
local function context_of(values)
    if values.context and values.context_file then
        fault.raise("--context and --context-file are both set: give one of them")
    end
    if values.context then return values.context end
    return fault.check(text_source.read(values.context_file or "-"))
end

--- The answers as lines: the chosen one, then the most likely ones with their probabilities.
-- @param list, details of Reader:ask
-- @param top how many
function M.text(list, details, top)
    local lines = { details.answer == "" and "(no answer in this context)" or printable.text(details.answer) }
    for i = 1, math.min(top, #list) do
        local entry = list[i]
        lines[#lines + 1] = ("  %5.1f %%  %s"):format(100 * entry.probability,
            entry.text == "" and "(no answer)" or printable.text(entry.text))
    end
    if details.null_odds then
        lines[#lines + 1] = ("  score of no answer minus that of the best answer: %.3f"):format(details.null_odds)
    end
    return table.concat(lines, "\n") .. "\n"
end

--- Run the job and print the answers.
function M.run(values)
    devices.open(values)
    local passage = context_of(values)
    local model = reader.open(values.checkpoint, values)
    local list, details = model:ask(values.question, passage, values)
    io.stdout:write(M.text(list, details, values.top))
    model:close()
    return list, details
end

return M
