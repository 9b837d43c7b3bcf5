--- Entities in tagged words, counted as conlleval and seqeval (in its default mode) count them.
--
-- A tag is "O" or PREFIX-TYPE with the prefix B, I, E or S: IOB1, IOB2 and IOBES (also called BIOES, or BILOU with L
-- for E and U for S) need no telling apart: conlleval's rules for where an entity begins and ends hold for all.
-- @module bertlua.metrics.spans

local classification = require "bertlua.metrics.classification"

local M = {}

local PREFIX = { B = "B", I = "I", E = "E", S = "S", L = "E", U = "S" }

--- The prefix and the type of a tag.
-- @tparam string tag
-- @treturn string "B", "I", "E", "S" or "O"; nil where it is none of these
-- @treturn string type; "" for O and for a tag that is a prefix alone
function M.split(tag)
    if tag == "O" then return "O", "" end
    local prefix, kind = tag:match "^(%u)%-(.+)$"
    if not prefix then prefix, kind = tag:match "^%u$", "" end
    return PREFIX[prefix], kind
end

--- Whether an entity ends between two words (conlleval, endOfChunk).
local function ends(before, after, same)
    if before == "E" or before == "S" then return true end
    if before == "O" then return false end
    return after == "B" or after == "S" or after == "O" or not same
end

--- Whether an entity begins between two words (conlleval, startOfChunk).
local function begins(before, after, same)
    if after == "B" or after == "S" then return true end
    if after == "O" then return false end
    return before == "E" or before == "S" or before == "O" or not same
end

--- Entities of a sentence.
-- @tparam {string,...} tags of its words
-- @treturn {table,...} {first, last, type}, words counted from 1
function M.entities(tags)
    local list, before, kind, first = {}, "O", "", nil
    for i = 1, #tags + 1 do
        local after, next_kind = "O", ""
        if i <= #tags then after, next_kind = M.split(tags[i]) end
        if not after then error(("spans: tag %q, expected O or B-, I-, E-, S- and a type"):format(tags[i]), 2) end
        local same = kind == next_kind
        if first and ends(before, after, same) then
            list[#list + 1], first = { first = first, last = i - 1, type = kind }, nil
        end
        if begins(before, after, same) then first = i end
        before, kind = after, next_kind
    end
    return list
end

--- The scheme of tagged sentences, from what their tags do: "IOBES" where E or S occurs, "IOB1" where an entity begins
-- with I unless it follows another of its type, "IOB2" where each begins with B.
-- @tparam {{string,...},...} sentences tags of each
-- @treturn string scheme; nil where the tags are no spans, as parts of speech are
-- @treturn {sentence, word} where the first tag stands that contradicts the scheme (an I after O where the others
-- begin with B), or nil
-- @treturn int how many do
function M.scheme(sentences)
    local counts = { B = 0, I = 0, E = 0, S = 0, O = 0 }
    local places = { B = {}, I = {} }
    for s, tags in ipairs(sentences) do
        local before, kind = "O", ""
        for w, tag in ipairs(tags) do
            local after, next_kind = M.split(tag)
            if not after then return nil end
            counts[after] = counts[after] + 1
            local list = places[after]
            if list and (before == "O" or kind ~= next_kind) then list[#list + 1] = { s, w } end
            before, kind = after, next_kind
        end
    end
    if counts.E + counts.S > 0 then return "IOBES", nil, 0 end
    if counts.B + counts.I == 0 then return nil end
    local scheme, against = "IOB2", places.I
    if #places.I > #places.B then scheme, against = "IOB1", places.B end
    return scheme, against[1], #against
end

--- Precision, recall and F1 of entities: right are those whose first word, last word and type agree.
-- @tparam {{string,...},...} gold tags of each sentence
-- @tparam {{string,...},...} predicted
-- @treturn table {precision, recall, f1, support, accuracy = share of words with the right tag,
-- types = {[type] = scores}, names = sorted types}
function M.score(gold, predicted)
    local types, names, words, right = {}, {}, 0, 0
    local total = { hits = 0, said = 0, there = 0 }
    local function of(kind)
        if not types[kind] then types[kind], names[#names + 1] = { hits = 0, said = 0, there = 0 }, kind end
        return types[kind]
    end
    local function count(kind, field)
        local counts = of(kind)
        counts[field], total[field] = counts[field] + 1, total[field] + 1
    end
    for s, tags in ipairs(gold) do
        if #tags ~= #predicted[s] then
            error(("spans: sentence %d has %d gold tags and %d predicted ones, expected as many"):format(s, #tags,
                #predicted[s]), 2)
        end
        local there = {}
        for _, entity in ipairs(M.entities(tags)) do
            there[entity.first .. " " .. entity.last .. " " .. entity.type] = true
            count(entity.type, "there")
        end
        for _, entity in ipairs(M.entities(predicted[s])) do
            count(entity.type, "said")
            if there[entity.first .. " " .. entity.last .. " " .. entity.type] then count(entity.type, "hits") end
        end
        for w, tag in ipairs(tags) do
            words = words + 1
            if tag == predicted[s][w] then right = right + 1 end
        end
    end
    table.sort(names)
    local scores = classification.scores(total.hits, total.said, total.there)
    scores.accuracy, scores.types, scores.names = words > 0 and right / words or 0, {}, names
    for _, kind in ipairs(names) do
        local counts = types[kind]
        scores.types[kind] = classification.scores(counts.hits, counts.said, counts.there)
    end
    return scores
end

return M
