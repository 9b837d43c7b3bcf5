--- Texts as token ids for bl.load's models: special tokens in brackets are what they say, and a text that does not fit
-- loses its end.

local array = require "bertlua.array"
local fill_mask = require "bertlua.models.fill_mask"
local text_source = require "bertlua.data.text_source"

local M = {}

--- [CLS] text [SEP], or [CLS] text [SEP] pair [SEP].
-- @param limit most tokens; the longer text loses its end
-- @return list of ids, how many of them belong to the first text, whether something was cut
function M.encode(words, text, pair, limit)
    text_source.checked(text, "the text")
    if pair then text_source.checked(pair, "the pair") end
    local a, b = words:encode_marked(text), pair and words:encode_marked(pair)
    local room, cut = limit - (pair and 3 or 2), false
    while #a + (b and #b or 0) > room do
        local longer = (not b or #a > #b) and a or b
        longer[#longer] = nil
        cut = true
    end
    local ids = { words.cls_id }
    for _, id in ipairs(a) do ids[#ids + 1] = id end
    ids[#ids + 1] = words.sep_id
    local first = #ids
    if b then
        for _, id in ipairs(b) do ids[#ids + 1] = id end
        ids[#ids + 1] = words.sep_id
    end
    return ids, first, cut
end

--- A batch of one encoded text.
-- @return batch as in models/bert.lua; batch.buffer is its memory, to be freed
function M.batch(ids, first)
    local batch, types = fill_mask.batch(ids, { 0 }), {}
    for i = 1, #ids do types[i] = i <= first and 0 or 1 end
    batch.types:set(types)
    return batch
end

--- Encoded texts as sequences (see bertlua.data.sequences).
-- @param list of {ids, first}
function M.sequences(list, limit)
    local total = 0
    for _, entry in ipairs(list) do total = total + #entry.ids end
    local set = { count = #list, ids = array.int32(math.max(1, total)), offsets = array.int32(#list + 1),
        first_length = array.int32(math.max(1, #list)), max_length = limit, longest = 0 }
    local at = 0
    for s, entry in ipairs(list) do
        set.offsets[s - 1], set.first_length[s - 1] = at, entry.first
        for i, id in ipairs(entry.ids) do set.ids[at + i - 1] = id end
        at = at + #entry.ids
        set.longest = math.max(set.longest, #entry.ids)
    end
    set.offsets[#list] = at
    -- No batch is padded further than its texts need.
    set.max_length = math.max(1, set.longest)
    return set
end

return M
