--- A model's configuration and vocabulary, checked against each other and the settings.

local fault = require "bertlua.fault"
local folder = require "bertlua.weights.folder"
local fs = require "bertlua.util.fs"
local model_choice = require "bertlua.jobs.common.model_choice"
local tokenizer = require "bertlua.text.tokenizer"
local vocabulary = require "bertlua.weights.vocabulary"

local M = {}

--- Reject sequences longer than the model's positions allow.
-- @param values max_seq_length
function M.check_length(values, config, config_file)
    if values.max_seq_length > config.max_position_embeddings then
        fault.raisef("--max-seq-length %d, but %s has max_position_embeddings %d", values.max_seq_length, config_file,
            config.max_position_embeddings)
    end
end

--- Whether configuration and vocabulary of a run are those in the folder of the parameters that it starts from.
local function is_of_parameters(run)
    local home = run.start and run.start.path and folder.find(run.start.path)
    return home and run.config_file == fs.join(home, "config.json") and run.vocab_file == vocabulary.beside(home)
end

--- The tokenizer of a run, whose vocabulary must fit the model.
-- @param run plan with vocab_file, config_file
-- @param config BertConfig
-- @param options of tokenizer.load; exact = true: the sizes must be equal; otherwise the model's may be rounded up to a
--   multiple of 8, as some programs save it. The vocabulary in the folder of the parameters may always be smaller
function M.tokenizer(run, config, options)
    local words = tokenizer.load(run.vocab_file, options)
    if words:size() < config.vocab_size and is_of_parameters(run) then
        folder.check_size(config.vocab_size, words:size(), { vocab_file = run.vocab_file, model = run.config_file,
            own = true })
        return words
    end
    local rounded = not options.exact and math.ceil(words:size() / 8) * 8
    if words:size() ~= config.vocab_size and rounded ~= config.vocab_size then
        fault.raisef("%s has %d tokens, but %s has vocab_size %d", run.vocab_file, words:size(), run.config_file,
            config.vocab_size)
    end
    return words
end

--- The configuration of a run: of a file, or as a recipe changes it.
-- @param run plan, with config_file of model_choice.config_file(); a table is replaced by what messages call it
-- @return BertConfig
function M.config(run)
    local config
    config, run.config_file = model_choice.config(run.config_file)
    return config
end

--- Config and tokenizer of a run that reads text, in sequences of two types.
-- @param run plan with config_file, vocab_file, do_lower_case
-- @return BertConfig, tokenizer
function M.load(run, values)
    local config = M.config(run)
    M.check_length(values, config, run.config_file)
    if config.type_vocab_size < 2 then
        fault.raisef("%s has type_vocab_size %d, expected at least 2: token types distinguish the two parts of a "
            .. "sequence", run.config_file, config.type_vocab_size)
    end
    return config, M.tokenizer(run, config, { do_lower_case = run.do_lower_case })
end

return M
