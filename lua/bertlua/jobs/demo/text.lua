--- The demo's text: the Jargon File or a folder of the user's, split into
-- documents and sentences, with a tenth held out.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local jargon = require "bertlua.jobs.demo.jargon"
local plural = require "bertlua.util.plural"
local prose = require "bertlua.data.prose"
local text_source = require "bertlua.data.text_source"

local M = {}

-- Every tenth document is held out.
local HELD_OUT = 10
-- Next-sentence prediction needs documents to draw from: if there are fewer than this, long ones are split.
local FEWEST_DOCUMENTS = 200
local PARAGRAPHS = 4
-- Below this there is nothing to learn.
local FEWEST_BYTES = 100000

--- Split documents with many paragraphs into several.
local function cut(documents)
    local pieces = {}
    for _, document in ipairs(documents) do
        for first = 1, #document, PARAGRAPHS do
            local piece = {}
            for i = first, math.min(first + PARAGRAPHS - 1, #document) do piece[#piece + 1] = document[i] end
            pieces[#pieces + 1] = piece
        end
    end
    return pieces
end

local function folder_documents(folder)
    if not fs.is_directory(folder) then
        fault.raisef("corpus %s: no such folder, expected one with .txt files", folder)
    end
    local documents, files = {}, 0
    for _, name in ipairs(fault.check(fs.list(folder))) do
        if name:lower():match("%.txt$") then
            files = files + 1
            local text = fault.check(text_source.read(fs.join(folder, name)))
            for _, document in ipairs(prose.documents(text)) do documents[#documents + 1] = document end
        end
    end
    if files == 0 then fault.raisef("corpus %s: contains no .txt files", folder) end
    if #documents < FEWEST_DOCUMENTS then documents = cut(documents) end
    return documents
end

local function size(documents)
    local bytes = 0
    for _, document in ipairs(documents) do
        for _, paragraph in ipairs(document) do bytes = bytes + #paragraph end
    end
    return bytes
end

--- Documents of the corpus: lists of paragraphs.
-- @param folder nil: the Jargon File
function M.documents(folder)
    local documents
    if folder then documents = folder_documents(folder) else documents = jargon.documents(jargon.read()) end
    local bytes = size(documents)
    if bytes < FEWEST_BYTES or #documents < 2 * HELD_OUT then
        fault.raisef("corpus %s: %s with %d bytes of text, expected at least %d with %d", folder or jargon.path,
            plural.count(#documents, "document"), bytes, 2 * HELD_OUT, FEWEST_BYTES)
    end
    return documents, bytes
end

--- Hold out every HELD_OUT-th document.
-- @return documents to train on, documents held out
function M.split(documents)
    local train, test = {}, {}
    for i, document in ipairs(documents) do
        local list = i % HELD_OUT == 0 and test or train
        list[#list + 1] = document
    end
    return train, test
end

--- A sentence with one word replaced by [MASK], and the word; nil if no word is suitable.
local function mask_word(sentence, tokenizer, frequent)
    local words = {}
    for word in sentence:gmatch("%S+") do words[#words + 1] = word end
    if #words < 8 or #words > 16 or sentence:find("[%[%]/\\<>|]") then return nil end
    for offset = 0, #words - 4 do
        local i = 3 + (math.floor(#words / 2) + offset) % (#words - 3)
        local word = words[i]
        if word:match("^%l%l%l+$") and frequent[word] and tokenizer:id(word) then
            words[i] = "[MASK]"
            return table.concat(words, " "), word
        end
    end
    return nil
end

--- Sentences of held-out text with a masked word that occurs often in the training text.
-- @param train_file, test_file files of sentences
-- @return list of {text=, answer=}
function M.masked_sentences(train_file, test_file, tokenizer, count)
    local frequency, frequent = {}, {}
    for word in fault.check(fs.read(train_file)):gmatch("%f[%w]%l%l%l+%f[%W]") do
        frequency[word] = (frequency[word] or 0) + 1
    end
    for word, n in pairs(frequency) do frequent[word] = n >= 100 or nil end
    local found = {}
    for sentence in fault.check(fs.read(test_file)):gmatch("[^\n]+") do
        local text, answer = mask_word(sentence, tokenizer, frequent)
        if text then found[#found + 1] = { text = text, answer = answer } end
    end
    local chosen = {}
    for i = 1, math.min(count, #found) do chosen[i] = found[1 + math.floor((i - 0.5) * #found / count)] end
    return chosen
end

return M
