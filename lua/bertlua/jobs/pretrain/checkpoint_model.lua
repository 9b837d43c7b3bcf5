--- Open a checkpoint's model for use: config, parameters and vocabulary are in its folder.

local bert = require "bertlua.models.bert"
local checkpoint = require "bertlua.train.checkpoint"
local fault = require "bertlua.fault"
local folder = require "bertlua.weights.folder"
local fs = require "bertlua.util.fs"
local heads = require "bertlua.weights.heads"
local model_home = require "bertlua.train.model_home"
local paths = require "bertlua.paths"
local tokenizer = require "bertlua.text.tokenizer"
local vocabulary = require "bertlua.weights.vocabulary"
local weights = require "bertlua.train.weights"

local M = {}

--- The folder of a model that a path refers to: itself, the finished model of a run's OUTPUT_DIR, or the checkpoint
-- inside that its run keeps as the best, else the newest.
-- @param model_prefix as in folder.find
-- @param shown what messages call the path: an option (--checkpoint), or a function of a recipe
function M.folder(path, shown, model_prefix)
    shown = shown or "--checkpoint"
    if fs.exists(path) and not fs.is_directory(path) then
        fault.raisef("%s %s: is a file, expected the folder of a model, with config.json and model.safetensors", shown,
            path)
    end
    if not fs.is_directory(path) then fault.raisef("%s %s: no such folder", shown, path) end
    if fs.exists(fs.join(path, "config.json")) then return path end
    local home, _, reason, is_all = model_home.find(path, model_prefix)
    if not home then
        fault.raisef("%s %s: %s", shown, path, is_all and reason
            or "holds neither a model nor a complete checkpoint" .. model_home.hint(path))
    end
    return home
end

--- The heads of a file of parameters; a fault where it lacks that for masked words.
local function heads_of(file_path, config_file)
    local file = weights.open(file_path)
    local found = heads.of(file, heads.class_of(bert.BertConfig.read(config_file)))
    file:close()
    heads.need(found, "mlm", file_path)
    return found
end

--- Open a model that predicts masked words, for inference. What it is not needed for may be missing, or be there: the
-- head for next sentences, the pooler, heads of other tasks.
-- @param path checkpoint folder, or a folder of steps; or another program's folder
-- @param options precision ("fp32"), model_prefix ("model"), vocab_file (that of the checkpoint), shown: as in folder()
-- @return { model, config, folder, vocab_file (nil if there is none), predicts_next }
function M.open(path, options)
    options = options or {}
    local home = M.folder(path, options.shown, options.model_prefix)
    local config_file = fs.join(home, "config.json")
    local config = bert.BertConfig.load(config_file)
    local _, file_path, reason = folder.find(home, options.model_prefix)
    if not file_path then fault.raise(reason) end
    local found = heads_of(file_path, config_file)
    local predicts_next = found.nsp and found.pooler
    local model = bert.BertForPretraining.new(config, nil, { next_sentence = predicts_next })
    model.store:allocate { precision = options.precision or "fp32", training = false }
    checkpoint.load_pretrained(home, { store = model.store, config = config, model_prefix = options.model_prefix,
        missing = {} })
    local vocab_file = options.vocab_file or vocabulary.beside(home)
    paths.check_vocabulary(options.vocab_file)
    return { model = model, config = config, folder = home, vocab_file = vocab_file, predicts_next = predicts_next,
        own_vocabulary = not options.vocab_file }
end

--- Whether hardly any of a vocabulary's pieces contain a capital.
local function is_uncased(path)
    local words = tokenizer.load(path, { do_lower_case = true, any_casing = true })
    return words.native.upper_case_pieces <= 0.01 * words:size()
end

--- The vocabulary of an opened checkpoint, which must have no more tokens than the model has rows.
-- @param do_lower_case nil: as the model records, else by the vocabulary
function M.tokenizer(opened, do_lower_case)
    if not opened.vocab_file then
        fault.raisef("%s holds neither vocab.txt nor tokenizer.json: name the vocabulary with --vocab-file",
            opened.folder)
    end
    if do_lower_case == nil then do_lower_case = folder.casing(opened.folder, checkpoint.progress(opened.folder)) end
    local any_casing = do_lower_case ~= nil
    if do_lower_case == nil then do_lower_case = is_uncased(opened.vocab_file) end
    local words = tokenizer.load(opened.vocab_file, { do_lower_case = do_lower_case, any_casing = any_casing })
    folder.check_size(opened.config.vocab_size, words:size(), { vocab_file = opened.vocab_file,
        model = opened.folder, own = opened.own_vocabulary })
    return words
end

return M
