--- What the methods of bl.load's models return: tables that print as a line.

local M = {}

-- How many of a list are shown.
local MOST_SHOWN = 20

local function shares(guesses)
    local parts = {}
    for i, guess in ipairs(guesses) do
        if i > MOST_SHOWN then
            parts[i] = ("... %d more"):format(#guesses - MOST_SHOWN)
            break
        end
        parts[i] = ("%s %.1f %%"):format(guess.token or guess.label, 100 * guess.probability)
    end
    return table.concat(parts, ", ")
end

local function lines_of(list)
    local lines = {}
    for i, item in ipairs(list) do lines[i] = (#list > 1 and i .. ": " or "") .. tostring(item) end
    return table.concat(lines, "\n")
end

local Guesses = { __tostring = shares }
local List = { __tostring = lines_of }

local Labels = { __tostring = function(result)
    if result.value then return ("%.6g"):format(result.value) end
    if result.values then
        local parts = {}
        for i, value in ipairs(result.values) do parts[i] = ("%.6g"):format(value) end
        return table.concat(parts, ", ")
    end
    return shares(result.all)
end }

local Answer = { __tostring = function(answer)
    return ("%s (%.1f %%)"):format(answer.text == "" and "no answer" or answer.text, 100 * answer.probability)
end }

--- Guesses for the masks of a text.
-- @param masks for each [MASK] a list of {token, id, probability}
function M.masks(masks)
    for _, guesses in ipairs(masks) do setmetatable(guesses, Guesses) end
    return setmetatable(masks, List)
end

--- Results of many texts.
function M.list(results)
    return setmetatable(results, List)
end

local function likeliest_first(a, b)
    if a.probability ~= b.probability then return a.probability > b.probability end
    return a.label < b.label
end

local function all_of(names, scores)
    local all = {}
    for c, label in ipairs(names) do all[c] = { label = label, probability = scores[c] } end
    return all
end

local KINDS = {}

--- The labels exclude each other.
function KINDS.single(names, scores)
    local all = all_of(names, scores)
    table.sort(all, likeliest_first)
    return { label = all[1].label, probability = all[1].probability, all = all }
end

--- Each label for itself.
function KINDS.multiple(names, scores, threshold)
    local all, labels, probabilities = all_of(names, scores), {}, {}
    for _, entry in ipairs(all) do
        if entry.probability > threshold then
            labels[#labels + 1], probabilities[#probabilities + 1] = entry.label, entry.probability
        end
    end
    table.sort(all, likeliest_first)
    return { labels = labels, probabilities = probabilities, all = all }
end

--- Numbers.
function KINDS.values(_, scores)
    if #scores == 1 then return { value = scores[1] } end
    return { values = scores }
end

--- What the scores of a text say.
-- @tparam string kind "single", "multiple" or "values"
-- @tparam {string,...} names of the outputs
-- @tparam {number,...} scores probabilities, or values
-- @tparam number threshold above this probability a text has a label, where it may have several
-- @treturn table see Encoder:classify
function M.labels(kind, names, scores, threshold)
    return setmetatable(KINDS[kind](names, scores, threshold), Labels)
end

--- An answer, of several: the first is the one to give, the others come by their probability.
-- @param list of {text, probability}; empty if nothing could be one
function M.answer(list)
    local best, all = list[1] or { text = "", probability = 0 }, {}
    for i = 2, #list do all[i - 1] = list[i] end
    local place = 1
    while all[place] and all[place].probability > best.probability do place = place + 1 end
    if list[1] then table.insert(all, place, best) end
    return setmetatable({ text = best.text, probability = best.probability, all = all }, Answer)
end

return M
