--- Maps the text of predicted tokens back to the characters of the context.
-- The alignment of Google's run_squad.py (get_final_text): the words of the
-- context are tokenised again without a vocabulary, the prediction is looked up
-- in the result, and its ends are mapped back by counting the characters that
-- are not spaces. Where that fails, the answer is the whole words.
-- @module bertlua.squad.final_text

local final_text = {}

local byte = string.byte

--- Number of characters other than " " in bytes 1..last of s.
local function count_letters(s, last)
    local count = 0
    for at = 1, last do
        local b = byte(s, at)
        -- Continuation bytes do not count.
        if b ~= 32 and (b < 0x80 or b >= 0xc0) then count = count + 1 end
    end
    return count
end

--- First and last byte of the n-th (from 1) character of s that is not " ".
local function letter_at(s, n)
    local count = 0
    for at = 1, #s do
        local b = byte(s, at)
        if b ~= 32 and (b < 0x80 or b >= 0xc0) then
            count = count + 1
            if count == n then
                local last = at
                while (byte(s, last + 1) or 0) >= 0x80 and byte(s, last + 1) < 0xc0 do last = last + 1 end
                return at, last
            end
        end
    end
end

--- WordPiece tokens joined back to words: "un ##aff ##able" is "unaffable".
-- @tparam {string,...} tokens
function final_text.join_pieces(tokens)
    local text = table.concat(tokens, " "):gsub(" ##", ""):gsub("##", "")
    return (text:gsub("^ +", ""):gsub(" +$", ""):gsub("  +", " "))
end

--- What the basic tokenizer makes of the words of the context, and its number of letters.
-- Worth keeping while consecutive candidates have the same words.
-- @param tokenizer bertlua.text.tokenizer
-- @tparam string original words of the context, one space between them
-- @return table for align
function final_text.prepare(tokenizer, original)
    local words = tokenizer:words(original)
    for i, word in ipairs(words) do words[i] = word.text end
    local tokenized = table.concat(words, " ")
    return {
        original = original,
        tokenized = tokenized,
        same_letters = count_letters(original, #original) == count_letters(tokenized, #tokenized),
    }
end

--- The characters of the context that a prediction stands for.
-- @tparam string predicted text of the predicted tokens
-- @tparam table prepared from prepare
-- @treturn string part of the original, or all of it
-- @treturn ?string the reason if it is all of it
function final_text.align(predicted, prepared)
    local original, tokenized = prepared.original, prepared.tokenized
    local first, last = tokenized:find(predicted, 1, true)
    if not first then return original, ("no %q in %q"):format(predicted, original) end
    if not prepared.same_letters then
        return original, ("%q and %q differ in length without spaces"):format(original, tokenized)
    end
    if predicted == "" then return original, "the prediction is empty" end
    local from = letter_at(original, count_letters(tokenized, first))
    local _, to = letter_at(original, count_letters(tokenized, last))
    return original:sub(from, to)
end

return final_text
