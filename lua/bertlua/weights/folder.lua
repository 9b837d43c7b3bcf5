--- Where a model's parameters are, and whether the files next to them match the model at hand:
-- configuration, vocabulary, casing.
-- @module bertlua.weights.folder

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local plural = require "bertlua.util.plural"
local printable = require "bertlua.printable"
local term = require "bertlua.util.term"
local vocabulary = require "bertlua.weights.vocabulary"

local folder = {}

-- A tokenizer.json of half a million tokens has 10 MiB.
local MOST_BYTES = 32 * 2 ^ 20

--- The only file of a folder with this ending; nil if there is none or more than one.
local function only(path, ending)
    local found
    for _, name in ipairs(fs.list(path) or {}) do
        if name:sub(-#ending) == ending and fs.is_file(fs.join(path, name)) then
            if found then return nil end
            found = name
        end
    end
    return found
end

--- The parameter file in a folder: ours first, then Hugging Face's, PyTorch's, Paddle's, a TensorFlow dump.
local function find_in(path, model_prefix)
    local prefix = model_prefix or "model"
    for _, name in ipairs { prefix .. ".safetensors", "model.safetensors.index.json", "pytorch_model.bin",
        "pytorch_model.bin.index.json", "model_state.pdparams", prefix .. ".pdparams" } do
        if fs.is_file(fs.join(path, name)) then return fs.join(path, name) end
    end
    local name = only(path, ".pdparams") or only(path, ".npz")
    return name and fs.join(path, name)
end

--- Find parameters given a folder, a file, or a file name without its .pdparams.
-- @return folder, file; or nil, nil, reason, whether the reason says all (the folder may not be looked into)
function folder.find(path, model_prefix)
    local kind = fs.kind(path)
    if kind == "directory" then
        local file = find_in(path, model_prefix)
        if file then return path, file end
        local names, problem = fs.list(path)
        if not names then return nil, nil, problem, true end
        return nil, nil, ("%s: contains no %s.safetensors, pytorch_model.bin or .pdparams"):format(path,
            model_prefix or "model")
    end
    if kind == "file" then return fs.dirname(path), path end
    if fs.is_file(path .. ".pdparams") then return fs.dirname(path), path .. ".pdparams" end
    if path == "" then return nil, nil, "the path is empty, expected that of a model", true end
    return nil, nil, path .. ": no such file or folder"
end

--- A JSON object in a file next to the parameters; nil if there is none.
function folder.read_json(path, name)
    local file = fs.join(path, name)
    if not fs.is_file(file) then return nil, file end
    local value = fault.check(json.read(file, MOST_BYTES))
    if type(value) ~= "table" then fault.raisef("%s: not a JSON object", file) end
    return value, file
end

--- Check settings that do not affect any shape, but that must not change.
function folder.check_config(path, config)
    local saved, file = folder.read_json(path, "config.json")
    if not config or not saved then return end
    local keys = { "num_attention_heads", "hidden_act", "layer_norm_eps" }
    if config.own then
        -- A recipe's model may start from a BERT; its own keys only other such models have.
        for key, value in pairs(config.own) do
            if type(value) ~= "table" then keys[#keys + 1] = key end
        end
        table.sort(keys)
    elseif type(config.require_same_kind) == "function" then
        config:require_same_kind(saved, file)
    end
    for _, key in ipairs(keys) do
        local before, now = saved[key], config[key]
        if key == "hidden_act" and config.is_same_activation and config:is_same_activation(before) then before = now end
        if before ~= nil and before ~= json.null and now ~= nil and before ~= now then
            fault.raisef("%s: %s is %s, but this model has %s: use this configuration for it (--bert-model "
                .. "custom takes that of the folder)", file, key,
                printable.text(tostring(before)), tostring(now))
        end
    end
end

--- do_lower_case of the text a saved model was trained on, and the file that records it; nil if none does.
function folder.casing(path, progress)
    if progress and type(progress.do_lower_case) == "boolean" then
        return progress.do_lower_case, fs.join(path, "progress.json")
    end
    local settings, file = folder.read_json(path, "tokenizer_config.json")
    if settings and type(settings.do_lower_case) == "boolean" then return settings.do_lower_case, file end
    local words = vocabulary.beside(path)
    if words and fs.basename(words) == "tokenizer.json" then return vocabulary.recorded_casing(words), words end
    return nil
end

-- Vocabularies whose size was told already.
local told = {}

--- Compare a model's number of words with a vocabulary's. A model may have more: programs round the number up, and
-- published models have rows that no token belongs to. That is told where the vocabulary is the model's own, and else
-- refused, since it may belong to another model.
-- @param size of the model; nothing is checked if it is no number
-- @param count of the vocabulary
-- @tparam table parts vocab_file, model: as messages call them; own: whether they are known to belong together
function folder.check_size(size, count, parts)
    -- Some programs round the size up to a multiple of 8.
    if type(size) ~= "number" or size == count or size == math.ceil(count / 8) * 8 then return end
    if size < count or not parts.own then
        fault.raisef("%s: its vocabulary has %d tokens, but %s has %d", parts.model, size, parts.vocab_file, count)
    end
    if told[parts.vocab_file] then return end
    told[parts.vocab_file] = true
    term.warn(("%s has rows for %d words, %s more than %s has tokens: no text has these"):format(parts.model, size,
        plural.count(size - count, "row"), parts.vocab_file))
end

--- Refuse a vocabulary other than the one the model was trained with, comparing hash, words or size.
local function check_words(path, vocab_file, config, progress)
    local before = progress and progress.vocabulary_sha256
    if before then
        if before ~= vocabulary.sha256(vocab_file) then
            fault.raisef("%s: was not trained with vocabulary %s: use %s/vocab.txt", path, vocab_file, path)
        end
        return
    end
    local words = vocabulary.words(vocab_file)
    local own = vocabulary.beside(path)
    if own and vocabulary.words(own).text ~= words.text then
        fault.raisef("%s: was not trained with vocabulary %s: use %s", path, vocab_file, own)
    end
    local saved = folder.read_json(path, "config.json") or config
    folder.check_size(saved and saved.vocab_size, words.count, { vocab_file = vocab_file, model = path, own = own })
end

local function cased(do_lower_case)
    return do_lower_case and "lower-cased" or "cased"
end

--- Refuse what would make a trained model read the wrong words.
-- @tparam string path folder of the parameters
-- @tparam table parts vocab_file: its words must be the model's; do_lower_case: casing of the text to be read, inferred
--   from the vocabulary if nil; config; all may be nil
-- @tparam[opt] table progress progress.json of one of our checkpoints
function folder.check_vocabulary(path, parts, progress)
    local trained, file = folder.casing(path, progress)
    if trained ~= nil and parts.do_lower_case ~= nil and parts.do_lower_case ~= trained then
        fault.raisef("%s: the model was trained on %s text (do_lower_case is %s), got do_lower_case = %s", file,
            cased(trained), tostring(trained), tostring(parts.do_lower_case))
    end
    if not parts.vocab_file then return end
    if trained ~= nil and parts.do_lower_case == nil then
        local now = vocabulary.casing(parts.vocab_file)
        if now ~= nil and now ~= trained then
            fault.raisef("%s: the model was trained on %s text (do_lower_case is %s), but vocabulary %s is %s", file,
                cased(trained), tostring(trained), parts.vocab_file, cased(now))
        end
    end
    check_words(path, parts.vocab_file, parts.config, progress)
end

return folder
