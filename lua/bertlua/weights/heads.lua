--- Which heads a file of parameters has, by the names of its tensors; not what config.json says of them.
-- @module bertlua.weights.heads

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

--- The class that the table of a config.json names, or nil.
function heads.class_of(config)
    local list = config and config.architectures
    return type(list) == "table" and type(list[1]) == "string" and list[1] or nil
end

return heads
