--- Which heads a file of parameters has, by the names of its tensors; not what config.json says of them.
-- @module bertlua.weights.heads

local fault = require "bertlua.fault"
local names = require "bertlua.weights.names"

local heads = {}

-- A parameter that only this head has.
local TELLING = {
    mlm = "cls.predictions.transform.dense.weight", nsp = "cls.seq_relationship.weight",
    answers = "qa_outputs.weight", labels = "classifier.weight", pooler = "bert.pooler.dense.weight",
}

--- Look at the names of a file.
-- @param file an open file (bertlua.weights.formats)
-- @tparam[opt] string class of the model in transformers, as config.json names it
-- @return {mlm, nsp, answers, pooler: booleans; labels: number of classes of texts or nil; tags: of words or nil;
--   unknown: the class of a head called classifier that scores something else}
function heads.of(file, class)
    -- Files of Paddle call every head `classifier`: the class tells which one it is.
    local map = names.index(file, (class or ""):find "Classification" and "classifier" or "qa_outputs")
    local found = {}
    for head, name in pairs(TELLING) do found[head] = map[name] ~= nil end
    local source = map[TELLING.labels]
    found.labels = source and file:info(source.name).dims[source.transposed and 2 or 1] or nil
    -- Other models have a head of this name that scores something else: tokens, choices.
    if found.labels and class == "BertForTokenClassification" then
        found.labels, found.tags = nil, found.labels
    elseif found.labels and class and class ~= "BertForSequenceClassification" then
        found.labels, found.unknown = nil, class
    end
    return found
end

-- What a program needs a head for, and where there is one.
local NEEDED = {
    mlm = "has no head that predicts masked words (cls.predictions): use a model that was pre-trained on them, such as "
        .. "a BertForPreTraining or BertForMaskedLM",
    answers = "has no head that answers questions (qa_outputs): use a model that was fine-tuned on them "
        .. "(recipes/finetune_squad.lua), such as a BertForQuestionAnswering",
}

--- A fault if a file of parameters lacks a head.
-- @param found as of() returns it
-- @tparam string head "mlm" or "answers"
-- @tparam string path of the file
function heads.need(found, head, path)
    if not found[head] then fault.raisef("%s: %s", path, NEEDED[head]) end
end

-- Beginnings of parameters' names, and what they belong to.
local PARTS = {
    { "^cls%.predictions%.", "the head that predicts masked words" },
    { "^cls%.seq_relationship%.", "the head of next sentences" },
    { "^qa_outputs%.", "the head that answers questions" },
    { "^classifier%.", "the classifier" },
    { "^bert%.pooler%.", "the pooler" },
}

local function part_of(name)
    for i, part in ipairs(PARTS) do
        if name:find(part[1]) then return i end
    end
    return #PARTS + 1
end

--- Names of parameters with what they belong to: "the pooler (bert.pooler.dense.bias, ...)".
-- @tparam {string,...} list
-- @treturn string
function heads.described(list)
    local members, texts = {}, {}
    for _, name in ipairs(list) do
        local part = part_of(name)
        members[part] = members[part] or {}
        table.insert(members[part], name)
    end
    for i = 1, #PARTS + 1 do
        local text = members[i] and table.concat(members[i], ", ")
        texts[#texts + 1] = text and (PARTS[i] and ("%s (%s)"):format(PARTS[i][2], text) or text)
    end
    return table.concat(texts, ", ")
end

--- The class that the table of a config.json names, or nil.
function heads.class_of(config)
    local list = config and config.architectures
    return type(list) == "table" and type(list[1]) == "string" and list[1] or nil
end

return heads
