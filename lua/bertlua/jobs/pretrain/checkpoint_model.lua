--- Open a checkpoint's model for use: config, parameters and vocabulary are in its folder.

local bert = require "bertlua.models.bert"
local checkpoint = require "bertlua.train.checkpoint"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local tokenizer = require "bertlua.text.tokenizer"

local M = {}

--- The checkpoint folder that a path refers to: itself, or the step inside that its run keeps as the best, else the
-- newest.
-- @param shown what messages call the path: an option (--checkpoint), or a function of a recipe
function M.folder(path, shown)
    shown = shown or "--checkpoint"
    if not fs.is_directory(path) then fault.raisef("%s %s: no such folder", shown, path) end
    if fs.exists(fs.join(path, "config.json")) then return path end
    local newest, _, note = checkpoint.preferred(path)
    if not newest then
        if note then fault.raisef("%s %s: %s", shown, path, note) end
        fault.raisef("%s %s: holds neither config.json nor a complete checkpoint", shown, path)
    end
    return newest
end

--- Whether a folder's model predicts masked words alone, without next sentences.
local function is_alone(config_file)
    local classes = bert.BertConfig.read(config_file).architectures
    return type(classes) == "table" and classes[1] == "BertForMaskedLM"
end

--- Open a model for inference.
-- @param path checkpoint folder, or a folder of steps
-- @param options precision ("fp32"), model_prefix ("model"), vocab_file (that of the checkpoint), shown: as in folder()
-- @return { model, config, folder, vocab_file (nil if there is none) }
function M.open(path, options)
    options = options or {}
    local folder = M.folder(path, options.shown)
    local config_file = fs.join(folder, "config.json")
    local config, alone = bert.BertConfig.load(config_file), is_alone(config_file)
    local model = bert.BertForPretraining.new(config, nil, { next_sentence = not alone })
    model.store:allocate { precision = options.precision or "fp32", training = false }
    -- transformers' older folders of such a model hold a pooler, which nothing reads.
    checkpoint.load(folder, { store = model.store, config = config, model_prefix = options.model_prefix,
        unexpected = alone and { "^bert%.pooler%." } or nil })
    local vocab_file = options.vocab_file or fs.join(folder, "vocab.txt")
    if not fs.exists(vocab_file) then
        if options.vocab_file then fault.raisef("--vocab-file %s: no such file", vocab_file) end
        vocab_file = nil
    end
    return { model = model, config = config, folder = folder, vocab_file = vocab_file }
end

--- Whether a vocabulary was learned from lower-cased text: hardly any of its pieces contain a capital.
local function is_uncased(words)
    return words.native.upper_case_pieces <= 0.01 * words:size()
end

--- The vocabulary of an opened checkpoint, which must have the model's size.
-- @param do_lower_case nil: determined by the vocabulary
function M.tokenizer(opened, do_lower_case)
    if not opened.vocab_file then
        fault.raisef("%s holds no vocab.txt: name the vocabulary with --vocab-file", opened.folder)
    end
    local words = tokenizer.load(opened.vocab_file, { do_lower_case = true, any_casing = true })
    if do_lower_case == nil then do_lower_case = is_uncased(words) end
    words = tokenizer.load(opened.vocab_file, { do_lower_case = do_lower_case })
    if words:size() ~= opened.config.vocab_size then
        fault.raisef("%s has %d tokens, but the model in %s has %d", opened.vocab_file, words:size(), opened.folder,
            opened.config.vocab_size)
    end
    return words
end

return M
