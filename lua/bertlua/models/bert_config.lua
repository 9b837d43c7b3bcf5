--- BertConfig: the shape of a BERT model, with the keys of Hugging Face's config.json.
--
-- Strict: an unknown key, a wrong type or an impossible size is a one-line fault.
-- Keys that Hugging Face writes but that do not affect a BERT are known and kept,
-- so that its files load; a known key with a value we do not implement (another
-- activation, a decoder) is refused.
--
-- A model that a recipe defines decides itself what keys mean: with the option
-- `own`, unknown keys and other values are fields of the configuration and stay
-- in its config.json, whose model_type is then "bertlua" and whose architectures
-- name the recipe's class.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local suggest = require "bertlua.util.suggest"

local BertConfig = {}
BertConfig.__index = BertConfig

-- name, kind, default. Sizes are positive integers; a missing default means the key is required.
local FIELDS = {
    { "vocab_size", "size" },
    { "hidden_size", "size" },
    { "num_hidden_layers", "size" },
    { "num_attention_heads", "size" },
    { "intermediate_size", "size" },
    { "max_position_embeddings", "size", 512 },
    { "type_vocab_size", "size", 2 },
    { "hidden_act", "text", "gelu" },
    { "hidden_dropout_prob", "probability", 0.1 },
    { "attention_probs_dropout_prob", "probability", 0.1 },
    { "initializer_range", "positive", 0.02 },
    { "layer_norm_eps", "positive", 1e-12 },
}

-- Keys of published config files that add nothing about the network; a list gives the values we implement.
local IGNORED = {
    architectures = true, attn_implementation = true, bos_token_id = true, classifier_dropout = true, dtype = true,
    eos_token_id = true, finetuning_task = true, gradient_checkpointing = { false }, id2label = true,
    is_decoder = { false }, add_cross_attention = { false }, label2id = true, model_type = { "bert" },
    pad_token_id = { 0 }, position_embedding_type = { "absolute" }, torch_dtype = true, transformers_version = true,
    use_cache = true, tie_word_embeddings = { true }, directionality = true, pooler_fc_size = true,
    pooler_num_attention_heads = true, pooler_num_fc_layers = true, pooler_size_per_head = true, pooler_type = true,
    output_past = true, _name_or_path = true, problem_type = true,
}

--- model_type of a model whose class no other program knows.
BertConfig.OWN_TYPE = "bertlua"

local function suggestion(name)
    local best, best_distance = nil, math.max(2, math.floor(#name / 3)) + 1
    for _, field in ipairs(FIELDS) do
        local d = suggest.distance(name, field[1])
        if d < best_distance then best, best_distance = field[1], d end
    end
    return best and ('; did you mean "%s"?'):format(best) or "; remove it"
end

local KINDS = {
    size = {
        function(v) return type(v) == "number" and v >= 1 and v % 1 == 0 and v < 2 ^ 31 end,
        "a positive integer",
    },
    text = { function(v) return type(v) == "string" end, "a string" },
    probability = { function(v) return type(v) == "number" and v >= 0 and v < 1 end, "a number in [0, 1)" },
    positive = { function(v) return type(v) == "number" and v > 0 and v < math.huge end, "a positive number" },
}

local function check_ignored(where, name, value)
    local accepted = IGNORED[name]
    if accepted == true then return end
    for _, known in ipairs(accepted) do
        if value == known then return end
    end
    fault.raisef("%s: %s is %s, expected %s; other values are not implemented", where, name, tostring(value),
        tostring(accepted[1]))
end

--- id2label, {"0": ...}, as a list; nil if it is none.
local function labels_of(id2label)
    if type(id2label) ~= "table" then return nil end
    local list, count = {}, 0
    for id, label in pairs(id2label) do
        local number = tonumber(id)
        -- Written as "nan" or "1e300", it is no place in a list.
        if not number or not (number >= 0 and number < 2 ^ 31) or type(label) ~= "string" then return nil end
        list[number + 1], count = label, count + 1
    end
    return #list == count and count > 0 and list or nil
end

--- Whether a value can stand in a JSON file: text, finite numbers, booleans, tables of these.
local function is_plain(value)
    if type(value) == "table" then
        for key, item in pairs(value) do
            if type(key) ~= "string" and type(key) ~= "number" or not is_plain(item) then return false end
        end
        return true
    end
    return type(value) == "string" or type(value) == "boolean"
        or type(value) == "number" and math.abs(value) < math.huge
end

--- Keep a key of a recipe's model.
local function take_own(self, where, name, value)
    if value == json.null then return end
    if BertConfig[name] or name == "own" or name == "own_class" or name == "labels" or name == "padded_vocab_size" then
        fault.raisef('%s: key "%s" is a name of bertlua\'s own: choose another', where, name)
    elseif not is_plain(value) then
        fault.raisef('%s: key "%s" is a %s, expected text, a number, true or false, or a table of these', where, name,
            type(value))
    end
    self.own[name], self[name] = value, value
end

--- Refuse the file of a model that only its recipe can build.
local function refuse_own(where, values)
    local class = type(values.architectures) == "table" and values.architectures[1]
    fault.raisef("%s: the model is a %s, which the recipe that trained it defines: use that recipe, or set its `model`",
        where, tostring(class or "class of its own"))
end

--- Make a configuration from a table of Hugging Face's keys.
-- @param values the table
-- @param where its name in messages (default "config")
-- @param options {own = true}: for a model that a recipe defines
function BertConfig.new(values, where, options)
    where = where or "config"
    if type(values) ~= "table" then fault.raisef("%s: got a %s, expected a table of settings", where, type(values)) end
    local own = options and options.own
    if values.model_type == BertConfig.OWN_TYPE and not own then refuse_own(where, values) end
    local self = setmetatable({ own = own and {} or nil }, BertConfig)
    local known = {}
    for _, field in ipairs(FIELDS) do known[field[1]] = true end
    local names = {}
    for name in pairs(values) do names[#names + 1] = tostring(name) end
    table.sort(names)
    for _, name in ipairs(names) do
        if IGNORED[name] then
            local free = own and IGNORED[name] ~= true and name ~= "model_type"
            if free then
                take_own(self, where, name, values[name])
            elseif name ~= "model_type" or values[name] ~= BertConfig.OWN_TYPE then
                check_ignored(where, name, values[name])
            end
        elseif not known[name] then
            if not own then fault.raisef('%s: unknown key "%s"%s', where, name, suggestion(name)) end
            take_own(self, where, name, values[name])
        end
    end
    for _, field in ipairs(FIELDS) do
        local name, kind, value = field[1], KINDS[field[2]], values[field[1]]
        if value == nil then value = field[3] end
        if value == nil then fault.raisef("%s: %s is missing, expected %s", where, name, kind[2]) end
        if not kind[1](value) then
            fault.raisef("%s: %s is %s, expected %s", where, name,
                type(value) == "string" and ("%q"):format(value) or tostring(value), kind[2])
        end
        self[name] = value
    end
    if self.hidden_act ~= "gelu" and not own then
        fault.raisef('%s: hidden_act is "%s", expected "gelu"; other values are not implemented', where,
            self.hidden_act)
    end
    if self.hidden_size % self.num_attention_heads ~= 0 then
        fault.raisef("%s: hidden_size is %d, expected a multiple of num_attention_heads (%d)", where, self.hidden_size,
            self.num_attention_heads)
    end
    -- Of classification alone: the labels in their order, and dropout before the head.
    self.labels = labels_of(values.id2label)
    if type(values.classifier_dropout) == "number" then self.classifier_dropout = values.classifier_dropout end
    -- Matmuls like their sizes in multiples of 8; the padding is never saved and never predicted.
    self.padded_vocab_size = math.ceil(self.vocab_size / 8) * 8
    return self
end

--- Read a config.json as it is.
-- @return table
function BertConfig.read(path)
    local text, message = fs.read(path)
    if not text then fault.raisef("cannot read the model configuration: %s", message) end
    local values, reason = json.decode(text)
    if type(values) ~= "table" then
        fault.raisef("%s: not a JSON object: %s", path, reason or "it is a " .. type(values))
    end
    return values
end

--- Read a config.json.
-- @param options as in new()
function BertConfig.load(path, options)
    local config = BertConfig.new(BertConfig.read(path), path, options)
    return config
end

--- The settings as a plain table, ready for config.json.
-- @param with_labels true for a model that gives labels: with id2label, label2id and classifier_dropout
function BertConfig:to_table(with_labels)
    local values = { model_type = self.own_class and BertConfig.OWN_TYPE or "bert" }
    for _, field in ipairs(FIELDS) do values[field[1]] = self[field[1]] end
    for name, value in pairs(self.own or {}) do values[name] = value end
    if with_labels and self.labels then
        values.id2label, values.label2id, values.classifier_dropout = {}, {}, self.classifier_dropout
        for i, label in ipairs(self.labels) do
            values.id2label[tostring(i - 1)], values.label2id[label] = label, i - 1
        end
    end
    return values
end

return BertConfig
