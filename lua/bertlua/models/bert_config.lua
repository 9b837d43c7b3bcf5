--- BertConfig: the shape of a BERT model, with the keys of Hugging Face's config.json.
--
-- A wrong type, an impossible size or a network that is not implemented (a decoder, relative positions) is refused,
-- all in one line; see config_keys.lua. Of keys that are unknown, a user's own are refused, since they may be
-- misspelt; in a file that another program wrote they are told and ignored, unless a field that is missing may have
-- been meant.
--
-- A model that a recipe defines decides itself what keys mean: with the option
-- `own`, unknown keys and other values are fields of the configuration and stay
-- in its config.json, whose model_type is then "bertlua" and whose architectures
-- name the recipe's class.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local hidden_act = require "bertlua.nn.hidden_act"
local json = require "bertlua.util.json"
local keys = require "bertlua.models.config_keys"
local plural = require "bertlua.util.plural"
local printable = require "bertlua.printable"
local suggest = require "bertlua.util.suggest"
local term = require "bertlua.util.term"

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

local IS_FIELD = {}
for _, field in ipairs(FIELDS) do IS_FIELD[field[1]] = true end

-- Thousands of labels fit.
local MOST_BYTES = 16 * 2 ^ 20

--- model_type of a model whose class no other program knows.
BertConfig.OWN_TYPE = "bertlua"

--- The field that a name may have been meant for, or nil.
local function meant(name)
    local best, best_distance = nil, math.max(2, math.floor(#name / 3)) + 1
    for _, field in ipairs(FIELDS) do
        local d = suggest.distance(name, field[1])
        if d < best_distance then best, best_distance = field[1], d end
    end
    return best
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

-- What a model for classification gives, in transformers' names: one label a text, any number of them, numbers.
local PROBLEM_TYPES = { single_label_classification = true, multi_label_classification = true, regression = true }

--- Take the fields; what is wrong with them goes to `problems`.
local function take_fields(self, values, problems)
    for _, field in ipairs(FIELDS) do
        local name, kind, value = field[1], KINDS[field[2]], values[field[1]]
        if value == nil or value == json.null then value = field[3] end
        if value == nil then
            problems[#problems + 1] = ("%s is missing, expected %s"):format(name, kind[2])
        elseif not kind[1](value) then
            problems[#problems + 1] = ("%s is %s, expected %s"):format(name,
                type(value) == "string" and ("%q"):format(value) or tostring(value), kind[2])
        else
            self[name] = value
        end
    end
    if self.hidden_act == "gelu_python" then self.hidden_act = "gelu" end
    if self.hidden_act and not hidden_act(self.hidden_act) and not self.own then
        problems[#problems + 1] = ('hidden_act is "%s", expected "gelu", "gelu_new" or "gelu_pytorch_tanh"; other '
            .. "values are not implemented"):format(printable.text(self.hidden_act))
    end
    local problem_type = values.problem_type
    if PROBLEM_TYPES[problem_type] then
        self.problem_type = problem_type
    elseif problem_type ~= nil and problem_type ~= json.null and not self.own then
        problems[#problems + 1] = ("problem_type is %s, expected single_label_classification, "
            .. "multi_label_classification or regression"):format(type(problem_type) == "string"
            and ('"%s"'):format(printable.text(problem_type)) or printable.text(tostring(problem_type)))
    end
    local hidden, heads = self.hidden_size, self.num_attention_heads
    if hidden and heads and hidden % heads ~= 0 then
        problems[#problems + 1] = ("hidden_size is %d, expected a multiple of num_attention_heads (%d)"):format(hidden,
            heads)
    end
end

--- What is wrong with the keys that are no fields; those of a recipe's own model are kept.
-- @param strict names that were written by hand: a table, or nil for all
-- @return names that nobody knows
local function check_others(self, where, values, strict, problems)
    local unknown, names = {}, {}
    for name in pairs(values) do names[#names + 1] = tostring(name) end
    table.sort(names)
    local foreign = keys.is_foreign(values)
    for _, name in ipairs(names) do
        if self.own then
            if not keys.is_of_bert(name) and not IS_FIELD[name] then
                take_own(self, where, name, values[name])
            end
        elseif not IS_FIELD[name] and not keys.is_network(name) and not keys.is_harmless(name) then
            local field = meant(name)
            local by_hand = not foreign or strict and strict[name]
            -- A field that the file has cannot have been meant.
            if by_hand or field and values[field] == nil then
                problems[#problems + 1] = ('unknown key "%s"%s'):format(printable.text(name),
                    field and ('; did you mean "%s"?'):format(field) or "; remove it")
            else
                unknown[#unknown + 1] = printable.text(name)
            end
        end
    end
    if self.own then return {} end
    for _, problem in ipairs(keys.problems(values)) do problems[#problems + 1] = problem end
    return unknown
end

-- What was told already, once each.
local told = {}

--- Name the keys that are ignored without knowing what they mean.
local function tell_unknown(where, unknown)
    if #unknown == 0 or told[where] then return end
    told[where] = true
    local shown = table.concat(unknown, ", ", 1, math.min(#unknown, 6))
    term.warn(("%s: ignored %s that bertlua does not know: %s%s"):format(where, plural.count(#unknown, "key"), shown,
        #unknown > 6 and ", ..." or ""))
end

--- Make a configuration from a table of Hugging Face's keys. All that is wrong with it is one message.
-- @param values the table
-- @param where its name in messages (default "config")
-- @param options {own = true}: for a model that a recipe defines; by_hand: names of keys that a user wrote, none of
--   which may be unknown (a table by name). All keys are taken to be such where no key is another program's
function BertConfig.new(values, where, options)
    where = where or "config"
    if type(values) ~= "table" then fault.raisef("%s: got a %s, expected a table of settings", where, type(values)) end
    local own = options and options.own
    if values.model_type == BertConfig.OWN_TYPE and not own then refuse_own(where, values) end
    local kind = values.model_type ~= BertConfig.OWN_TYPE and keys.type_problem(values)
    if kind then fault.raisef("%s: %s", where, kind) end
    local self, problems = setmetatable({ own = own and {} or nil }, BertConfig), {}
    local unknown = check_others(self, where, values, options and options.by_hand, problems)
    take_fields(self, values, problems)
    if #problems > 0 then fault.raisef("%s: %s", where, table.concat(problems, "; ")) end
    tell_unknown(where, unknown)
    -- Of classification alone: the labels in their order, and dropout before the head; and problem_type.
    self.labels = labels_of(values.id2label)
    if type(values.classifier_dropout) == "number" then self.classifier_dropout = values.classifier_dropout end
    -- Matmuls like their sizes in multiples of 8; the padding is never saved and never predicted.
    self.padded_vocab_size = math.ceil(self.vocab_size / 8) * 8
    return self
end

--- Read a config.json as it is.
-- @return table
function BertConfig.read(path)
    if (fs.size(path) or 0) > MOST_BYTES then
        fault.raisef("%s: larger than %d MiB: not a model's configuration", path, MOST_BYTES / 2 ^ 20)
    end
    local text, message = fs.read(path)
    if not text then fault.raisef("cannot read the model configuration: %s", message) end
    local values, reason = json.decode(text)
    if type(values) ~= "table" then
        fault.raisef("%s: not a JSON object: %s", path, reason or "it is a " .. type(values))
    end
    return values
end

--- Whether the hidden_act of saved parameters is the function of this configuration.
function BertConfig:is_same_activation(name)
    return name == self.hidden_act or hidden_act(name) ~= nil and hidden_act(name) == hidden_act(self.hidden_act)
end

--- Refuse the configuration of saved parameters that asks for a network of another kind than this one.
-- @param saved table of its keys
-- @param where its name in messages
function BertConfig:require_same_kind(saved, where)
    if self.own then return end
    local problem = keys.type_problem(saved)
    local problems = problem and { problem } or keys.problems(saved)
    if #problems > 0 then fault.raisef("%s: %s", where, table.concat(problems, "; ")) end
end

--- Read a config.json.
-- @param options as in new()
function BertConfig.load(path, options)
    local config = BertConfig.new(BertConfig.read(path), path, options)
    return config
end

--- The settings as a plain table, ready for config.json.
-- @param with_labels true for a model that gives labels: with id2label, label2id, classifier_dropout and
--   problem_type
function BertConfig:to_table(with_labels)
    local values = { model_type = self.own_class and BertConfig.OWN_TYPE or "bert" }
    for _, field in ipairs(FIELDS) do values[field[1]] = self[field[1]] end
    for name, value in pairs(self.own or {}) do values[name] = value end
    if with_labels and self.labels then
        values.id2label, values.label2id, values.classifier_dropout = {}, {}, self.classifier_dropout
        values.problem_type = self.problem_type
        for i, label in ipairs(self.labels) do
            values.id2label[tostring(i - 1)], values.label2id[label] = label, i - 1
        end
    end
    return values
end

return BertConfig
