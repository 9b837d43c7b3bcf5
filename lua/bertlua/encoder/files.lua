--- What a folder holds for bl.load: parameters and the heads among them, configuration, vocabulary.

local BertConfig = require "bertlua.models.bert_config"
local checkpoint = require "bertlua.train.checkpoint"
local fault = require "bertlua.fault"
local folder = require "bertlua.weights.folder"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local names = require "bertlua.weights.names"
local tokenizer = require "bertlua.text.tokenizer"
local vocabulary = require "bertlua.weights.vocabulary"
local weights = require "bertlua.train.weights"

local M = {}

-- A parameter that only this head has.
local HEADS = {
    mlm = "cls.predictions.transform.dense.weight", nsp = "cls.seq_relationship.weight",
    answers = "qa_outputs.weight", labels = "classifier.weight", pooler = "bert.pooler.dense.weight",
}

-- How far below a folder models are looked for, to suggest them.
local DEPTH, MOST = 3, 3

--- Folders below a path that bl.load would open.
local function models_below(path, depth, list)
    for _, name in ipairs(fs.list(path) or {}) do
        local below = fs.join(path, name)
        if #list < MOST and name:sub(1, 1) ~= "." and fs.is_directory(below) then
            if folder.find(below) or #checkpoint.steps(below) > 0 then
                list[#list + 1] = below
            elseif depth > 1 then
                models_below(below, depth - 1, list)
            end
        end
    end
    return list
end

--- The folder and file of the parameters that a path means: itself, or the checkpoint inside that its run keeps as the
-- best, else the newest.
local function find(path, model_prefix)
    local home, file, reason = folder.find(path, model_prefix)
    if home then return home, file end
    if fs.is_directory(path) then
        local chosen = checkpoint.preferred(path)
        if chosen then return chosen, select(2, folder.find(chosen, model_prefix)) end
        local list = models_below(path, DEPTH, {})
        reason = reason .. ", and no complete checkpoint"
            .. (#list > 0 and "; there is one in " .. table.concat(list, ", ") or "")
    end
    fault.raise("bl.load: " .. reason)
end

--- The class that config.json names, or nil.
local function class_of(config)
    local list = config.architectures
    return type(list) == "table" and type(list[1]) == "string" and list[1] or nil
end

--- Which heads the file has, by the names of its parameters; labels is their number.
local function heads_of(file_path, class)
    local file = weights.open(file_path)
    -- Files of Paddle call every head `classifier`: as in jobs/convert.lua the class tells which one it is.
    local map = names.index(file, (class or ""):find "Classification" and "classifier" or "qa_outputs")
    local heads = {}
    for head, name in pairs(HEADS) do heads[head] = map[name] ~= nil end
    if heads.labels then
        local source = map[HEADS.labels]
        heads.labels = file:info(source.name).dims[source.transposed and 2 or 1]
    end
    -- Other models have a head of this name that scores something else: tokens, choices.
    if heads.labels and class and class ~= "BertForSequenceClassification" then
        heads.labels, heads.unknown = nil, class
    end
    file:close()
    return heads
end

--- A vocabulary out of Hugging Face's tokenizer.json, for folders without vocab.txt.
local function words_of_json(home, lower)
    local settings = folder.read_json(home, "tokenizer.json")
    local model = settings and settings.model
    if type(model) ~= "table" or model.type ~= "WordPiece" or type(model.vocab) ~= "table" then
        fault.raisef("%s holds neither vocab.txt nor a tokenizer.json of WordPiece: name the vocabulary with "
            .. "{ vocab_file = ... }", home)
    end
    local list = {}
    for token, id in pairs(model.vocab) do list[id + 1] = token end
    if lower == nil and type(settings.normalizer) == "table" then lower = settings.normalizer.lowercase end
    local temporary = fault.check(fs.temporary_folder "bertlua-vocabulary-")
    local path = fs.join(temporary, "vocab.txt")
    local written, message = fs.write(path, table.concat(list, "\n") .. "\n")
    local loaded, words = pcall(function()
        fault.check(written, message)
        if type(lower) ~= "boolean" then lower = vocabulary.casing(path) ~= false end
        return tokenizer.load(path, { do_lower_case = lower, any_casing = true })
    end)
    fs.remove(temporary)
    if not loaded then error(words, 0) end
    words.vocab_file = fs.join(home, "tokenizer.json")
    return words
end

--- Vocabulary and casing of a model.
local function words_of(home, options, config)
    local lower = options.do_lower_case
    if lower == nil then lower = folder.casing(home, checkpoint.progress(home)) end
    local path = options.vocab_file or fs.join(home, "vocab.txt")
    local words
    if fs.is_file(path) then
        local known = lower
        if known == nil then known = vocabulary.casing(path) ~= false end
        words = tokenizer.load(path, { do_lower_case = known, any_casing = lower ~= nil })
    elseif options.vocab_file then
        fault.raisef("%s: no such vocabulary", path)
    else
        words = words_of_json(home, lower)
    end
    if words:size() > config.vocab_size then
        fault.raisef("%s has %d tokens, but the model in %s has %d", words.vocab_file, words:size(), home,
            config.vocab_size)
    end
    return words
end

--- The most tokens a text may have: sentence-transformers' limit where the folder records one, else the positions.
local function limit_of(home, config)
    local settings = folder.read_json(home, "sentence_bert_config.json") or {}
    local limit = tonumber(settings.max_seq_length)
    return limit and math.min(limit, config.max_position_embeddings) or config.max_position_embeddings
end

--- Look at a model's files.
-- @param path folder of a model, of a checkpoint or of checkpoints, or a file of parameters
-- @param options as bl.load
-- @return table: folder, file, config (BertConfig), class (named by config.json, or nil), heads {mlm, nsp, answers,
--   pooler: booleans; labels: their number; unknown: class of a head that we don't know}, words (tokenizer), limit
function M.inspect(path, options)
    local home, file = find(path, options.model_prefix)
    local config_file = options.config_file or fs.join(home, "config.json")
    if not fs.is_file(config_file) then
        fault.raisef("%s holds no config.json: name it with { config_file = ... }", home)
    end
    local config = BertConfig.load(config_file)
    local class = class_of(fault.check(json.read(config_file)))
    local heads = heads_of(file, class)
    return { folder = home, file = file, config = config, class = class, heads = heads,
        words = words_of(home, options, config), limit = limit_of(home, config) }
end

return M
