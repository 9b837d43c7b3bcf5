--- Prose into sentences: ICU's sentence breaks (UAX #29), corrected by what they know too little of in each language:
-- abbreviations, initials, ordinal numbers ("am 3. Oktober"), and which way brackets and quotation marks look.
-- The words are in bertlua.text.abbreviations.
-- @module bertlua.text.sentences

local abbreviations = require "bertlua.text.abbreviations"
local native = require "bertlua.text"

local byte, sub = string.byte, string.sub
local character, character_before = native.character, native.character_before
local KINDS = native.KINDS
local SPACE, LOWER, UPPER, LETTER = KINDS.space, KINDS.lower, KINDS.upper, KINDS.letter
local DIGIT, MARK, OPENING, CLOSING = KINDS.digit, KINDS.mark, KINDS.opening, KINDS.closing

local sentences = {}

local Splitter = {}
Splitter.__index = Splitter

-- An abbreviation with those before it ("i. d. R") is not longer than this, in bytes.
local CONTEXT = 40
-- Thai and Lao have no full stop: a paragraph is cut at a space after this many characters.
local LONG = 120
local NO_STOPS = { th = true, lo = true }
-- Full stops of scripts without case: a lower-case letter behind one begins a sentence ("。iPhone").
local CASELESS = {}
for _, stop in ipairs { 0x3002, 0xff0e, 0xff61, 0xff01, 0xff1f, 0x964, 0x965, 0x6d4, 0x61f, 0x589, 0x1362, 0x1367,
    0x104a, 0x104b, 0x17d4, 0x17d5 } do
    CASELESS[stop] = true
end

local QUOTES = { [34] = true, [39] = true }

local NONE = {}

--- The last words of entries of several words.
local function last_words(...)
    local list = {}
    for _, set in ipairs { ... } do
        for entry in pairs(set) do
            local last = entry:match " (.*)$"
            if last then list[last:match "[^ .]*$"] = true end
        end
    end
    return list
end

--- The splitter for a language.
-- @tparam string language ISO 639 code, or an ICU locale such as "en@ss=standard"
function sentences.splitter(language)
    local code = language:match "^%a+" or ""
    -- Of ICU's own lists of abbreviations only the English one is of use: the German one, for example, also finds the
    -- "r." of "i. R." in "hier." and "er.".
    local locale = code == "en" and not language:find("@", 1, true) and language .. "@ss=standard" or language
    local rules = abbreviations[code] or NONE
    local self = setmetatable({
        breaks = native.sentences(locale),
        titles = rules.titles or NONE, words = rules.words or NONE, numbered = rules.numbered or NONE,
        units = rules.units or NONE, final = rules.final or NONE, starters = rules.starters or NONE,
        eras = rules.eras or NONE, streets = rules.streets,
        ordinals = rules.ordinals, low_quotes = rules.low_quotes,
        long = NO_STOPS[code],
        japanese = code == "ja", korean = code == "ko", khmer = code == "km",
    }, Splitter)
    self.phrases = last_words(self.final, self.titles, self.words, self.units)
    self.decide = function(text, from, at) return self:end_of(text, from, at) end
    return self
end

--- Whether the word at an offset is one with which sentences begin. "I." is an initial, not "I".
function Splitter:starts(text, at)
    local word = text:match("^[%a\128-\255]+", at + 1)
    if not word or byte(text, at + #word + 1) == 46 then return false end
    -- Up to a no-break space, a dash or a quotation mark.
    return self.starters[word:match "^[^\194\226]*"] == true
end

--- Offset where the run of letters, full stops and hyphens begins that ends at an offset.
local function word_begin(text, from, at)
    local least = math.max(from, at - CONTEXT)
    while at > least do
        local last = byte(text, at)
        if last >= 128 then
            local kind, begin = character_before(text, at)
            if kind ~= LOWER and kind ~= UPPER and kind ~= LETTER and kind ~= MARK then break end
            at = begin
        elseif last >= 97 and last <= 122 or last >= 65 and last <= 90 or last == 46 or last == 45 then
            at = at - 1
        else
            break
        end
    end
    return at
end

--- Whether a text is one character, with or without combining marks, and not of lower case; its kind.
local function single(word)
    local kind, stop = character(word, 0)
    if kind ~= UPPER and kind ~= LETTER then return false end
    while stop < #word do
        local following, next_stop = character(word, stop)
        if following ~= MARK then return false end
        stop = next_stop
    end
    return true, kind
end

--- Whether a number, in digits or in Roman numerals, stands before an offset, or another unit: "2 тыс. м."
function Splitter:after_number(text, from, at)
    local before = sub(text, math.max(from, at - CONTEXT) + 1, at)
    before = before:gsub("\194\160", " "):gsub("\226\128\175", " ")
    local word = before:match "(%S+) *$"
    if not word then return false end
    -- Cyrillic texts also write Roman numerals with their own letters that look the same.
    return self.units[word:match "^(.*)%.$"] or word:find "%d[%%°]?$" ~= nil or word:find "^[IVXLCDM]+$" ~= nil
        or word:gsub("\208[\134\165\161\156]", "") == ""
end

--- Whether so little stands before the stop at an offset that it can hardly be a sentence: "В XIX в."
local function is_short(text, from, at)
    if at - from > CONTEXT then return false end
    local _, spaces = sub(text, from + 1, at):gsub(" ", "")
    return spaces <= 2
end

--- Whether a sentence goes on after a number with a full stop: "am 3. Oktober", "12. 5. 1990", "1. Establish".
function Splitter:after_digits(text, from, dot, at)
    local digits = sub(text, math.max(from, dot - 5) + 1, dot):match "%d+$"
    local begin = dot - #digits
    if begin == from and #digits <= 2 then return true end
    if not self.ordinals or #digits > 3 then return false end
    local previous = byte(text, begin)
    -- A decimal number, a time or a result.
    if previous == 44 or previous == 46 or previous == 58 or previous == 45 then return false end
    -- A number of something: "Nr. 5", "č. 5".
    local before = sub(text, math.max(from, begin - 12) + 1, begin):match "(%S*)%. $"
    if before and not before:find "%d$" then return false end
    local kind = character(text, at)
    if kind == DIGIT then return #digits <= 2 and tonumber(digits) <= 31 end
    return kind == UPPER and not self:starts(text, at)
end

--- The first word of a sentence as the lists write it.
function Splitter:known(word)
    if self.titles[word] or single(word) then return word end
    local lower = native.lower(word)
    return self.titles[lower] and lower or word
end

--- Whether a sentence goes on after the full stop at offset `dot`, with the word at offset `at`.
function Splitter:after_stop(text, from, dot, at)
    local last = byte(text, dot)
    if not last or dot <= from or last == 46 then return false end
    if last >= 48 and last <= 57 then return self:after_digits(text, from, dot, at) end
    local begin = word_begin(text, from, dot)
    if begin == dot then return false end
    local word = sub(text, begin + 1, dot)
    -- "Np. Kraków", as "np. Kraków".
    if begin == from then word = self:known(word) end
    local part = word:match "[^.-]*$"
    local two, three = word, word
    if self.phrases[part] then
        -- The words before: "z. B", "и др", "i. d. R".
        local before = sub(text, math.max(from, begin - CONTEXT) + 1, begin)
        if before:find("\194", 1, true) then before = before:gsub("\194\160", " ") end
        local first, second = before:match "(%S*) ?(%S+) $"
        if second then two, three = second .. " " .. word, first .. " " .. second .. " " .. word end
    end
    if self.final[three] or self.final[two] or self.final[word] then return false end
    local titles, words = self.titles, self.words
    if titles[part] or titles[word] or titles[two] or titles[three] then return true end
    if words[part] or words[word] or words[two] or words[three] then return not self:starts(text, at) end
    -- Hauptstr. 5
    if self.streets and part:find(self.streets) then return character(text, at) == DIGIT end
    local one, kind = single(part)
    if self.numbered[part] and not self:after_number(text, from, begin) then
        if character(text, at) == DIGIT or self.eras[text:match("^%a+", at + 1)] then return true end
    end
    if self.units[part] then
        return not self:after_number(text, from, begin) or is_short(text, from, dot) and not self:starts(text, at)
    end
    if one then
        -- 15 °C, 2D: no initials.
        local previous = character_before(text, begin)
        if begin > from and previous ~= SPACE and previous ~= OPENING and not QUOTES[byte(text, begin)] then
            return false
        end
        if kind == LETTER then
            local _, _, code_point = character(part, 0)
            return self.starters == NONE and not native.is_unspaced(code_point)
                and not self:after_number(text, from, begin)
        end
    end
    if one or self.ordinals and part:find "^[IVX]+$" then return not self:starts(text, at) end
    return false
end

--- Offset behind closing brackets and quotation marks, and white space, that begin at an offset: "» " of « Viens ! »
local function behind_closing(text, at)
    local stop, moved = at, false
    while true do
        local kind, following = character(text, stop)
        if kind ~= CLOSING then break end
        local next_kind = character(text, following)
        -- A mark before a letter opens, as » does in German, or is an apostrophe.
        if next_kind ~= SPACE and next_kind ~= CLOSING and next_kind ~= nil then break end
        stop, moved = following, true
        while character(text, stop) == SPACE do
            local _, after = character(text, stop)
            stop = after
        end
    end
    return moved and stop or nil
end

--- What bertlua.text's Sentences:split asks at each of ICU's breaks; see there.
function Splitter:end_of(text, from, at)
    local last, next_byte = byte(text, at), byte(text, at + 1)
    if last >= 128 or last == 40 or last == 91 then
        -- Opening marks straight behind the stop belong to the next sentence: 。「
        local begin = at
        while begin > from do
            local kind, previous, code_point = character_before(text, begin)
            if kind ~= OPENING or self.low_quotes and (code_point == 0x201c or code_point == 0x2018) then break end
            begin = previous
        end
        if begin < at then return begin > from and begin or true end
    end
    if next_byte == 41 or next_byte == 93 or next_byte >= 128 then
        local stop = behind_closing(text, at)
        if stop then
            if character(text, stop) == LOWER or text:find("^[.,;:!?]", stop + 1) then return true end
            -- "[...]" alone says nothing.
            if stop - from < 16 and not sub(text, from + 1, stop):find "[%w\128-\255]" then return true end
            return stop
        end
    end
    -- Back over white space and closing marks to the stop itself.
    local stop, closed, closing, code_point = at, false, nil, nil
    while stop > from do
        local kind, begin
        local previous = byte(text, stop)
        if previous == 46 then break end
        if previous == 32 then
            stop = stop - 1
        elseif previous == 34 or previous == 39 then
            stop, closed = stop - 1, true
        else
            kind, begin, code_point = character_before(text, stop)
            if kind == CLOSING or kind == OPENING then
                closed, closing = true, closing or code_point
            elseif kind ~= SPACE then
                break
            end
            stop = begin
        end
    end
    local full_stop = byte(text, stop) == 46
    if next_byte >= 97 and next_byte <= 122 or next_byte >= 128 and character(text, at) == LOWER then
        -- After "Why?" or an unknown abbreviation, a lower-case letter continues the sentence.
        return full_stop or not CASELESS[code_point]
    end
    -- “네.”라고 답했다.
    if self.korean and closed and last ~= 32 then return true end
    if full_stop then return not closed and self:after_stop(text, from, stop - 1, at) end
    if self.japanese and (closing == 0x300d or closing == 0x300f) then
        -- 「はい。」と答えた。
        return text:find("^\227\129\168", at + 1) ~= nil or text:find("^\227\129\163\227\129\166", at + 1) ~= nil or nil
    end
end

--- Cut what has no full stop at spaces between letters, into pieces of at least LONG columns.
local function cut_long(sentence, list)
    local from, at, columns = 0, 0, 0
    while true do
        local space = sentence:find(" ", at + 1, true)
        if not space then break end
        columns = columns + native.columns(sub(sentence, at + 1, space))
        at = space
        -- Not beside digits or Latin words, which spaces set off.
        if columns >= LONG and byte(sentence, space - 1) >= 128 and (byte(sentence, space + 1) or 0) >= 128 then
            list[#list + 1] = sub(sentence, from + 1, space - 1)
            from, columns = space, 0
        end
    end
    list[#list + 1] = sub(sentence, from + 1)
end

--- Cut after Khmer's full stops, which ICU does not know as such.
local function cut_khmer(sentence, list)
    for piece, rest in (sentence .. "\225\159\148"):gmatch "(.-)(\225\159[\148\149])" do
        piece = piece:match "^ *(.*)$"
        if piece ~= "" then list[#list + 1] = piece .. rest end
    end
    local last = list[#list]
    if last and not sentence:find("\225\159[\148\149]$") then list[#list] = last:sub(1, -4) end
end

--- List of the sentences of a paragraph.
-- @tparam string paragraph one line, with single spaces
function Splitter:split(paragraph)
    local list = self.breaks:split(paragraph, self.decide)
    local cut = self.long and cut_long or self.khmer and cut_khmer
    if not cut then return list end
    local pieces = {}
    for _, sentence in ipairs(list) do cut(sentence, pieces) end
    return pieces
end

return sentences
