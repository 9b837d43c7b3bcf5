--- What a folder holds for bl.load: parameters and the heads among them, configuration, vocabulary.

local BertConfig = require "bertlua.models.bert_config"
local checkpoint = require "bertlua.train.checkpoint"
local fault = require "bertlua.fault"
local folder = require "bertlua.weights.folder"
local formats = require "bertlua.weights.formats"
local fs = require "bertlua.util.fs"
local heads = require "bertlua.weights.heads"
local model_home = require "bertlua.train.model_home"
local paths = require "bertlua.paths"
local text_vectors = require "bertlua.train.text_vectors"
local tokenizer = require "bertlua.text.tokenizer"
local vocabulary = require "bertlua.weights.vocabulary"
local weights = require "bertlua.train.weights"

local M = {}

-- Tokens of the shortest text that says something.
local LEAST = 3

--- The folder and file of the parameters that a path means, as model_home.find; a fault that says where there are some
-- if it means none.
-- @param use what messages begin with ("bl.load")
function M.find(path, model_prefix, use)
    local home, file, reason, is_all = model_home.find(path, model_prefix)
    if home then
        if fs.is_file(path) then formats.check(path) end
        return home, file
    end
    fault.raisef("%s: %s%s", use or "bl.load", reason, not is_all and model_home.hint(path) or "")
end

-- How a message calls an option: as Lua has it, or as a command line does.
local function named(options, name)
    return options.command_line and "--" .. name:gsub("_", "-") or ("{ %s = ... }"):format(name)
end

--- The vocabulary of a model.
local function vocabulary_of(home, options)
    local path = options.vocab_file and paths.vocabulary(options.vocab_file) or vocabulary.beside(home)
    if not path then
        fault.raisef("%s holds neither vocab.txt nor tokenizer.json: name the vocabulary with %s", home,
            named(options, "vocab_file"))
    end
    paths.check_vocabulary(path, options.command_line and "--vocab-file " or "")
    return path
end

--- The tokenizer of a model.
-- @param found of look()
local function words_of(found, options)
    local home, path, lower = found.folder, found.vocab_file, options.do_lower_case
    if lower == nil then lower = folder.casing(home, checkpoint.progress(home)) end
    -- A vocabulary from elsewhere has files of its own.
    if lower == nil and options.vocab_file then lower = vocabulary.recorded_casing(path) end
    local known = lower
    if known == nil then known = vocabulary.casing(path) ~= false end
    local words = tokenizer.load(path, { do_lower_case = known, any_casing = lower ~= nil })
    folder.check_size(found.config.vocab_size, words:size(), { vocab_file = path, model = home,
        own = not options.vocab_file })
    return words
end

--- A number of tokens in one of a folder's files, or nil.
local function recorded(home, name, key)
    local value = tonumber((folder.read_json(home, name) or {})[key])
    -- transformers writes 1e30 where there is no limit.
    return value and value >= 1 and value < 2 ^ 31 and value or nil
end

--- What the run of a checkpoint was told.
local function of_run(home)
    local began = (checkpoint.progress(home) or {}).began
    local settings = type(began) == "table" and began.settings
    return type(settings) == "table" and tonumber(settings.max_seq_length) or nil
end

--- Refuse a limit that the model cannot have.
local function check_limit(home, config, options)
    local most, wanted = config.max_position_embeddings, options.max_seq_length
    local name = options.command_line and "--max-seq-length" or "max_seq_length"
    if wanted and wanted > most then
        fault.raisef("%s is %d, but %s has max_position_embeddings %d", name, wanted, home, most)
    elseif wanted and wanted < LEAST then
        fault.raisef("%s is %d, expected at least %d: [CLS], a token and [SEP]", name, wanted, LEAST)
    end
end

--- The most tokens a text may have: as asked for, else the limit that the folder records (sentence-transformers', the
-- tokenizer's, the run's), else the positions.
-- @param sentences of sentence_transformers.read, or nil
local function limit_of(home, sentences, config, wanted)
    local most = config.max_position_embeddings
    local limit = wanted or sentences and sentences.max_length
        or not sentences and recorded(home, "sentence_bert_config.json", "max_seq_length")
        or recorded(home, "tokenizer_config.json", "model_max_length") or of_run(home)
    return limit and math.min(limit, most) or most
end

--- What the engine opens for a path: its folder, or where the path names one of several files there, that file.
-- @param home, file of find()
function M.named(path, home, file)
    return fs.is_file(path) and file or home
end

--- Look at a model's files, as far as bl.load does: the engine opens the rest.
-- @param path folder of a model, of a checkpoint or of checkpoints, or a file of parameters
-- @param options as bl.load
-- @return table: folder, file, config_file, config (BertConfig), vocab_file, class (named by config.json, or nil),
--   heads {mlm, nsp, answers, pooler: booleans; labels, tags: their number; unknown: class of a head that we don't
--   know}, problem (problem_type of config.json, or nil), sentences: how it makes vectors of texts, as text_vectors.of
--   tells; nil where the folder says nothing
function M.look(path, options)
    local home, file = M.find(path, options.model_prefix, options.command_line and "--checkpoint")
    local config_file = options.config_file or fs.join(home, "config.json")
    if not fs.is_file(config_file) then
        fault.raisef("%s holds no config.json%s", home, options.command_line and ", which describes its parameters"
            or ": name it with { config_file = ... }")
    end
    local config = BertConfig.load(config_file)
    local class = heads.class_of(BertConfig.read(config_file))
    local vocab_file = vocabulary_of(home, options)
    check_limit(home, config, options)
    local opened = weights.open(file)
    local found = heads.of(opened, class)
    opened:close()
    return { folder = home, file = file, config_file = config_file, config = config, vocab_file = vocab_file,
        class = class, heads = found, sentences = text_vectors.of(home), problem = config.problem_type }
end

--- The same, with the tokenizer (words) and the most tokens of a text (limit).
function M.inspect(path, options)
    local found = M.look(path, options)
    found.words = words_of(found, options)
    found.limit = limit_of(found.folder, found.sentences, found.config, options.max_seq_length)
    return found
end

return M
