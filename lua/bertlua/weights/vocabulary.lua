--- What identifies a vocabulary file: words, hash, casing; and which one a model's folder has.
-- @module bertlua.weights.vocabulary

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local tokenizer = require "bertlua.text.tokenizer"
local vocabulary_file = require "bertlua.text.vocabulary_file"

local vocabulary = {}

-- As in the tokenizer: a learned cased vocabulary has thousands of pieces with capitals, and a handful of words is not
-- enough to tell the casing.
local CASED_SHARE, TELLING_SIZE = 0.01, 1000

--- The vocabulary of a model's folder: vocab.txt, else tokenizer.json.
-- @return path; nil if it has neither
function vocabulary.beside(path)
    for _, name in ipairs { "vocab.txt", "tokenizer.json" } do
        local file = fs.join(path, name)
        if fs.is_file(file) then return file end
    end
    return nil
end

--- The lines of a vocabulary as a vocab.txt holds them.
local function lines_of(path)
    if vocabulary_file.is_json(path) then return vocabulary_file.open(path).text end
    return fault.check(fs.read(path))
end

--- The words of a vocabulary, whatever its line ends: {text, count}.
function vocabulary.words(path)
    local text = lines_of(path):gsub("^\239\187\191", ""):gsub("[ \t\r]+\n", "\n"):gsub("%s+$", "")
    local _, breaks = text:gsub("\n", "")
    return { text = text, count = text == "" and 0 or breaks + 1 }
end

--- Write a vocabulary as a vocab.txt, and the hash of it: see bertlua.text.vocabulary_file.
vocabulary.copy, vocabulary.sha256 = vocabulary_file.copy, vocabulary_file.sha256

--- What tokenizer_config.json must say of a vocabulary beside the casing: see bertlua.text.vocabulary_file.
vocabulary.config_of = vocabulary_file.config_of

--- Whether the text is lower-cased, as the files of a vocabulary say: true, false, or nil if they do not.
function vocabulary.recorded_casing(path)
    return vocabulary_file.open(path).rules.do_lower_case
end

--- Whether the vocabulary was learned from lower-cased text: true, false, or nil if it is too small to tell.
function vocabulary.casing(path)
    if vocabulary.words(path).count < TELLING_SIZE then return nil end
    local words = tokenizer.load(path, { do_lower_case = true, any_casing = true })
    return words.native.upper_case_pieces <= CASED_SHARE * words:size()
end

return vocabulary
