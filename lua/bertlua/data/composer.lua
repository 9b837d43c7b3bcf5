--- A sequence out of one text or two: [CLS] text [SEP], or [CLS] text [SEP] pair [SEP], cut to a length.
-- @module bertlua.data.composer

local array = require "bertlua.array"

local Composer = {}
Composer.__index = Composer

--- A composer of sequences up to a length.
-- @param words tokenizer
-- @tparam number max_length tokens of a sequence, special tokens included
function Composer.new(words, max_length)
    return setmetatable({ words = words, max_length = max_length, kept = array.int32(max_length),
        capacity = max_length }, Composer)
end

--- Write a sequence of tokens, or of two lots of them. Where they do not fit, the longer one loses its end, token by
-- token (the second of two equally long ones).
-- @param target int32 pointer with room for max_length tokens
-- @param first, first_count tokens without [CLS] and [SEP]
-- @param second, second_count those of a pair; nil for none
-- @return number of tokens; how many of them have type 0; whether something was cut off
function Composer:ids(target, first, first_count, second, second_count)
    local words, pair = self.words, second ~= nil
    local room = self.max_length - (pair and 3 or 2)
    second_count = pair and second_count or 0
    local cut = first_count + second_count > room
    while first_count + second_count > room do
        if first_count > second_count then first_count = first_count - 1 else second_count = second_count - 1 end
    end
    target[0] = words.cls_id
    array.copy(target + 1, first, 4 * first_count)
    target[first_count + 1] = words.sep_id
    local length = first_count + 2
    if not pair then return length, length, cut end
    array.copy(target + length, second, 4 * second_count)
    target[length + second_count] = words.sep_id
    return length + second_count + 1, length, cut
end

--- The same of a text, or of a pair of texts.
-- @tparam string text
-- @tparam ?string pair
function Composer:texts(target, text, pair)
    local second, second_count
    if pair then
        -- The tokenizer's array is valid until its next call.
        local ids, count = self.words:encode_array(pair)
        if count > self.capacity then self.kept, self.capacity = array.int32(2 * count), 2 * count end
        array.copy(self.kept, ids, 4 * count)
        second, second_count = self.kept, count
    end
    local first, first_count = self.words:encode_array(text)
    local length, first_length, cut = self:ids(target, first, first_count, second, second_count)
    return length, first_length, cut
end

return Composer
