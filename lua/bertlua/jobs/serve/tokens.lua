--- Tokens of texts with the bytes they were made of, for /tokenize.

local M = {}

local SPECIAL = { "MASK", "SEP", "CLS", "PAD", "UNK" }

--- Where a text names special tokens: a list of {first, last: bytes, id, text}.
local function specials_of(words, text)
    local list, at = {}, 1
    while true do
        local first, last, name = text:find("%[(%u+)%]", at)
        if not first then return list end
        for _, special in ipairs(SPECIAL) do
            local token = "[" .. special .. "]"
            local id = name == special and words:id(token)
            if id then list[#list + 1] = { first = first, last = last, id = id, text = token } end
        end
        at = last + 1
    end
end

--- Add the tokens of bytes [first, last] of a text.
local function add(words, list, text, first, last)
    if first > last then return end
    local ids, starts, stops, count = words:encode_array_with_offsets(text:sub(first, last))
    for i = 0, count - 1 do
        local start, stop = first - 1 + starts[i], first - 1 + stops[i]
        list[#list + 1] = { id = ids[i], text = text:sub(start + 1, stop), start = start, stop = stop }
    end
end

--- Tokens of one text.
-- @param words bertlua.text.tokenizer
-- @param special whether [CLS] and [SEP] are put around it
-- @return list of {id, text, special, start, stop}: bytes from 0, none for those put around it
function M.of(words, text, special)
    local list, at = {}, 1
    if special then list[1] = { id = words.cls_id, text = words:token(words.cls_id), special = true } end
    for _, found in ipairs(specials_of(words, text)) do
        add(words, list, text, at, found.first - 1)
        list[#list + 1] = { id = found.id, text = found.text, special = true }
        at = found.last + 1
    end
    add(words, list, text, at, #text)
    if special then list[#list + 1] = { id = words.sep_id, text = words:token(words.sep_id), special = true } end
    return list
end

--- Tokens of the texts of a question.
-- @param pause called between two texts
function M.of_texts(words, question, pause)
    local lists = {}
    for i, text in ipairs(question.texts) do
        if i > 1 then pause() end
        lists[i] = M.of(words, text, question.special)
    end
    return lists
end

return M
