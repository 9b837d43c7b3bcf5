--- What identifies a vocabulary file: words, hash, casing.
-- @module bertlua.weights.vocabulary

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local storage = require "bertlua.storage"
local tokenizer = require "bertlua.text.tokenizer"

local vocabulary = {}

-- As in the tokenizer: a learned cased vocabulary has thousands of pieces with capitals, and a handful of words is not
-- enough to tell the casing.
local CASED_SHARE, TELLING_SIZE = 0.01, 1000

--- The words of a vocabulary, whatever its line ends: {text, count}.
function vocabulary.words(path)
    local text = fault.check(fs.read(path)):gsub("\r\n", "\n"):gsub("\n+$", "")
    local _, breaks = text:gsub("\n", "")
    return { text = text, count = text == "" and 0 or breaks + 1 }
end

--- SHA-256 of the file in hexadecimal.
function vocabulary.sha256(path)
    return fault.check(storage.file_sha256(path))
end

--- Whether the vocabulary was learned from lower-cased text: true, false, or nil if it is too small to tell.
function vocabulary.casing(path)
    if vocabulary.words(path).count < TELLING_SIZE then return nil end
    local words = tokenizer.load(path, { do_lower_case = true, any_casing = true })
    return words.native.upper_case_pieces <= CASED_SHARE * words:size()
end

return vocabulary
