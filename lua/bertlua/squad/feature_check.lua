--- Whether a set of features that was read from a file is one that features.lua could have made. Its numbers are places
-- in arrays, which nothing checks afterwards; a file can have right checksums and wrong numbers.
-- @module bertlua.squad.feature_check

local check = {}

--- Layout of the sequences: [CLS] question [SEP] window [SEP].
local function layout(set, limits)
    local offsets, longest = set.offsets, set.settings.max_seq_length
    if offsets[0] ~= 0 or offsets[set.count] ~= set.tokens then return "offsets" end
    for f = 0, set.count - 1 do
        local length, question = offsets[f + 1] - offsets[f], set.query_length[f]
        if length < 3 or length > longest then return "offsets" end
        if question < 0 or question + 3 > length then return "query_length" end
        if set.start_position[f] < 0 or set.start_position[f] >= length then return "start_position" end
        if set.end_position[f] < 0 or set.end_position[f] >= length then return "end_position" end
        if set.example[f] < 1 or set.example[f] > limits.examples then return "example" end
        if set.doc_token[f] < 0 or set.doc_token[f] + length - question - 3 > set.doc_tokens then return "doc_token" end
        if set.max_first[f] <= set.max_last[f] then
            if set.max_first[f] < question + 2 then return "max_first" end
            if set.max_last[f] > length - 2 then return "max_last" end
        end
    end
end

--- The first array whose numbers cannot be right.
-- @param set FeatureSet
-- @tparam table limits examples: number of them; vocab_size
-- @return its name; nil if there is none
function check.problem(set, limits)
    local name = layout(set, limits)
    if name then return name end
    local ids, words = set.ids, limits.vocab_size
    for i = 0, set.tokens - 1 do
        if ids[i] < 0 or ids[i] >= words then return "ids" end
    end
    local first, stop = set.word_start, set.word_stop
    for i = 0, set.doc_tokens - 1 do
        if first[i] < 0 or stop[i] < first[i] then return "word_start" end
    end
    return nil
end

return check
