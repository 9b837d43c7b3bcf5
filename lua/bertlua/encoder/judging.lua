--- What the scores of a text mean: one label, several labels or a number, as transformers' problem_type says.

local M = {}

--- Whether a model's outputs are numbers, labels that exclude each other, or labels that don't.
-- @param outputs how many there are
-- @param problem problem_type of config.json, or nil: then a single output is a number, as in transformers' training
-- @treturn string "values", "multiple" or "single"
function M.kind(outputs, problem)
    if problem == "regression" then return "values" end
    if problem == "multi_label_classification" then return "multiple" end
    return not problem and outputs == 1 and "values" or "single"
end

local function likeliest_first(a, b)
    if a.probability ~= b.probability then return a.probability > b.probability end
    return a.label < b.label
end

--- Softmax: the labels exclude each other.
local function single(labels, scores, from)
    local top, sum, all = -math.huge, 0, {}
    for c = 0, #labels - 1 do top = math.max(top, scores[from + c]) end
    for c = 0, #labels - 1 do sum = sum + math.exp(scores[from + c] - top) end
    for c, label in ipairs(labels) do
        all[c] = { label = label, probability = math.exp(scores[from + c - 1] - top) / sum }
    end
    table.sort(all, likeliest_first)
    return { label = all[1].label, probability = all[1].probability, all = all }
end

--- Sigmoid: each label for itself.
local function multiple(labels, scores, from, threshold)
    local all, found, probabilities = {}, {}, {}
    for c, label in ipairs(labels) do
        all[c] = { label = label, probability = 1 / (1 + math.exp(-scores[from + c - 1])) }
    end
    for _, entry in ipairs(all) do
        if entry.probability > threshold then
            found[#found + 1], probabilities[#probabilities + 1] = entry.label, entry.probability
        end
    end
    table.sort(all, likeliest_first)
    return { labels = found, probabilities = probabilities, all = all }
end

local function values(labels, scores, from)
    if #labels == 1 then return { value = tonumber(scores[from]) } end
    local list = {}
    for c = 1, #labels do list[c] = tonumber(scores[from + c - 1]) end
    return { values = list }
end

local KINDS = { single = single, multiple = multiple, values = values }

--- What reads the scores of texts.
-- @param labels names of the outputs
-- @param problem problem_type
-- @param threshold above this probability a text has a label, where it may have several
-- @return function(scores: 0-based array, from: place of the first) -> result, see Encoder:classify
function M.texts(labels, problem, threshold)
    local read = KINDS[M.kind(#labels, problem)]
    return function(scores, from)
        local result = read(labels, scores, from, threshold)
        return result
    end
end

return M
