--- Where a vocabulary comes from, and how text is cut with it: a vocab.txt and the tokenizer_config.json beside it, or
-- the tokenizer.json of Hugging Face's tokenizers, which newer folders have alone.
--
-- Of a tokenizer.json the vocabulary is read, and of its normalizer what BERT's has: lowercase, strip_accents,
-- handle_chinese_chars, clean_text. What is not BERT's is refused by name. As in transformers, tokenizer_config.json
-- has the last word where it says something.
-- @module bertlua.text.vocabulary_file

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local native = require "bertlua.text"
local plural = require "bertlua.util.plural"
local printable = require "bertlua.printable"
local storage = require "bertlua.storage"

local M = {}

-- Far above any vocabulary (half a million tokens are 10 MiB), far below what could fill the memory.
local MOST_BYTES, MOST_TOKENS, MOST_HOLES = 32 * 2 ^ 20, 2 ^ 24, 1000
local SPECIAL = { ["[PAD]"] = true, ["[UNK]"] = true, ["[CLS]"] = true, ["[SEP]"] = true, ["[MASK]"] = true }

-- Classes of transformers that cut text as BERT's does.
local LIKE_BERT = { BertTokenizer = true, BertTokenizerFast = true, PreTrainedTokenizerFast = true,
    TokenizersBackend = true, DistilBertTokenizer = true, DistilBertTokenizerFast = true, ElectraTokenizer = true,
    ElectraTokenizerFast = true, PreTrainedTokenizer = true }

local function text_of(value)
    return type(value) == "string" and printable.text(value) or type(value)
end

--- A JSON object; nil if there is no such file.
local function read_object(path)
    if not fs.is_file(path) then return nil end
    local value = fault.check(json.read(path, MOST_BYTES))
    if type(value) ~= "table" then fault.raisef("%s: not a JSON object", path) end
    return value
end

--- Refuse a part of the tokenizer of another type than BERT's.
-- @param part its value, or null
-- @param accepted the type; nil: none
local function check_part(path, name, part, accepted)
    local kind = type(part) == "table" and part.type or nil
    if kind == accepted then return end
    fault.raisef("%s: its %s is %s, expected %s: name a vocab.txt for BERT's WordPiece instead", path, name,
        kind and text_of(kind) or "none", accepted)
end

--- The rules of text of a normalizer.
local function rules_of(path, normalizer)
    if normalizer == nil or normalizer == json.null then
        return { do_lower_case = false, strip_accents = false, split_ideographs = false, clean = false }
    end
    check_part(path, "normalizer", normalizer, "BertNormalizer")
    local rules = {}
    for ours, theirs in pairs { do_lower_case = "lowercase", strip_accents = "strip_accents",
        split_ideographs = "handle_chinese_chars", clean = "clean_text" } do
        local value = normalizer[theirs]
        if type(value) == "boolean" then
            rules[ours] = value
        elseif value ~= nil and value ~= json.null then
            fault.raisef("%s: %s of its normalizer is a %s, expected true or false", path, theirs, type(value))
        end
    end
    return rules
end

--- Tokens in the order of their ids; an id that no token has is an empty line.
local function lines_of(path, vocab, added)
    local list, last, count = {}, -1, 0
    local function add(token, id, again)
        if type(token) ~= "string" or type(id) ~= "number" or id < 0 or id % 1 ~= 0 or id >= MOST_TOKENS then
            fault.raisef("%s: %s has the id %s, expected a whole number below 2^24", path, text_of(token),
                printable.text(tostring(id)))
        end
        if token:find "[\r\n%z]" then fault.raisef("%s: the token of id %d has a line break", path, id) end
        if list[id + 1] and (list[id + 1] ~= token or not again) then
            fault.raisef("%s: %s and %s have the same id %d", path, text_of(list[id + 1]), text_of(token), id)
        end
        if not list[id + 1] then count = count + 1 end
        list[id + 1], last = token, math.max(last, id)
    end
    for token, id in pairs(vocab) do add(token, id) end
    for _, entry in ipairs(type(added) == "table" and added or {}) do
        if type(entry) == "table" then add(entry.content, entry.id, true) end
    end
    if last + 1 - count > count + MOST_HOLES then
        fault.raisef("%s: its ids go up to %d, but it has %s", path, last, plural.count(count, "token"))
    end
    for i = 1, last + 1 do list[i] = list[i] or "" end
    return list
end

--- Tokens of a tokenizer that it looks for in the text itself, as only the special ones are looked for here.
local function others_added(added)
    local names = {}
    for _, entry in ipairs(type(added) == "table" and added or {}) do
        if type(entry) == "table" and not SPECIAL[entry.content] then names[#names + 1] = text_of(entry.content) end
    end
    return names
end

local function note_of_added(names)
    if #names == 0 then return nil end
    local first = table.concat(names, ", ", 1, math.min(3, #names))
    return ("%s (%s%s): bertlua does not look for %s in texts, but cuts words with %s as with the others"):format(
        plural.count(#names, "added token"), first, #names > 3 and ", ..." or "", #names == 1 and "it" or "them",
        #names == 1 and "it" or "them")
end

--- Read a tokenizer.json.
local function read_json(path)
    local value = read_object(path) or fault.raisef("%s: no such file", path)
    local model = value.model
    if type(model) ~= "table" then fault.raisef("%s: not a tokenizer.json: it has no model", path) end
    -- The oldest files name no type; only WordPiece has a prefix of continuing pieces and no merges.
    local kind = model.type or model.merges and "BPE" or model.continuing_subword_prefix and "WordPiece"
    if kind ~= "WordPiece" then
        fault.raisef("%s: its model is %s, expected WordPiece, which BERT has", path, kind and text_of(kind)
            or "of no known type")
    end
    if type(model.vocab) ~= "table" then fault.raisef("%s: its model has no vocab", path) end
    for name, expected in pairs { unk_token = "[UNK]", continuing_subword_prefix = "##" } do
        if model[name] ~= nil and model[name] ~= expected then
            fault.raisef("%s: its %s is %s, expected %s; others are not implemented", path, name,
                text_of(model[name]), expected)
        end
    end
    check_part(path, "pre_tokenizer", value.pre_tokenizer, "BertPreTokenizer")
    local most = model.max_input_chars_per_word
    if most == nil then most = 100 end
    if type(most) ~= "number" or most < 1 or most % 1 ~= 0 then
        fault.raisef("%s: max_input_chars_per_word is %s, expected a whole number from 1", path, text_of(most))
    end
    local rules = rules_of(path, value.normalizer)
    rules.max_word_characters = math.min(most, native.MAX_WORD_CHARACTERS)
    local list = lines_of(path, model.vocab, value.added_tokens)
    return { text = table.concat(list, "\n") .. "\n", rules = rules,
        notes = { note_of_added(others_added(value.added_tokens)),
            most > native.MAX_WORD_CHARACTERS and ("max_input_chars_per_word is %.0f; here words of more than %d "
                .. "characters are [UNK]"):format(most, native.MAX_WORD_CHARACTERS) or nil } }
end

--- What tokenizer_config.json says of how text is cut, over what is known already.
local function apply_config(path, opened)
    local config = read_object(path)
    if not config then return end
    local rules = opened.rules
    for ours, theirs in pairs { do_lower_case = "do_lower_case", strip_accents = "strip_accents",
        split_ideographs = "tokenize_chinese_chars", clean = "clean_text" } do
        if type(config[theirs]) == "boolean" then rules[ours] = config[theirs] end
    end
    -- transformers knows no such setting, and keeps it; checkpoint folders of bertlua may have it.
    local most = config.max_input_chars_per_word
    if type(most) == "number" and most >= 1 and most % 1 == 0 then
        rules.max_word_characters = math.min(most, native.MAX_WORD_CHARACTERS)
    end
    local class = config.tokenizer_class
    if type(class) == "string" and not LIKE_BERT[class] then
        opened.notes[#opened.notes + 1] = ("%s names the tokenizer %s: texts are cut into words as BertTokenizer does")
            :format(fs.basename(path), printable.text(class))
    end
end

--- Tokens that older folders keep beside a vocab.txt are not read: told, since the model may have rows for them.
local function note_added_file(path, opened)
    local count = 0
    for token in pairs(read_object(path) or {}) do
        if not SPECIAL[token] then count = count + 1 end
    end
    if count > 0 then
        opened.notes[#opened.notes + 1] = ("%s of %s not used"):format(plural.count(count, "token"),
            fs.basename(path) .. (count == 1 and " is" or " are"))
    end
end

--- Whether a path is that of a tokenizer.json, not of a vocab.txt.
function M.is_json(path)
    return path:find "%.json$" ~= nil
end

--- Read a vocabulary's surroundings.
-- @tparam string path of a vocab.txt or tokenizer.json
-- @return {text: the lines, nil for a vocab.txt; rules: what the files say of do_lower_case, strip_accents,
--   split_ideographs, clean and max_word_characters; notes: lines for the user}; a fault if the file is of another kind
--   of tokenizer
function M.open(path)
    local opened = M.is_json(path) and read_json(path) or { rules = {}, notes = {} }
    local home = fs.dirname(path)
    apply_config(fs.join(home, "tokenizer_config.json"), opened)
    if not opened.text then note_added_file(fs.join(home, "added_tokens.json"), opened) end
    return opened
end

local function lines_in(text)
    local list = {}
    for line in (text:gsub("^\239\187\191", "") .. "\n"):gmatch "([^\n]*)\n" do
        list[#list + 1] = line:gsub("%s+$", "")
    end
    return list
end

--- Where a vocab.txt and the tokenizer.json beside it give an id to different tokens: transformers takes the latter.
-- @tparam string path of the vocabulary
-- @return a line for the user; nil if they agree, or if there is only one
function M.disagreement(path)
    local other = fs.join(fs.dirname(path), "tokenizer.json")
    if fs.basename(path) ~= "vocab.txt" or not fs.is_file(other) then return nil end
    local ok, opened = pcall(read_json, other)
    -- One that is of no use here says nothing of the tokens.
    if not ok then return nil end
    local ours, theirs = lines_in(fault.check(fs.read(path))), lines_in(opened.text)
    for i, token in ipairs(theirs) do
        if token ~= "" and ours[i] and ours[i] ~= token then
            return ("tokenizer.json beside it has %s with the id %d, not %s: vocab.txt is used; name the other file if "
                .. "it is the model's"):format(text_of(token), i - 1, text_of(ours[i]))
        end
    end
    return nil
end

--- What a tokenizer_config.json must say so that text is cut in the same way, beside do_lower_case.
-- @tparam string path of the vocabulary
-- @tparam boolean do_lower_case
-- @return table of transformers' keys, empty where all is as in Google's reference
function M.config_of(path, do_lower_case)
    local rules, config = M.open(path).rules, {}
    if rules.strip_accents ~= nil and rules.strip_accents ~= do_lower_case then
        config.strip_accents = rules.strip_accents
    end
    if rules.split_ideographs == false then config.tokenize_chinese_chars = false end
    if rules.clean == false then config.clean_text = false end
    if (rules.max_word_characters or native.MAX_WORD_CHARACTERS) ~= native.MAX_WORD_CHARACTERS then
        config.max_input_chars_per_word = rules.max_word_characters
    end
    return config
end

--- Write a vocabulary as a vocab.txt: byte by byte the same if it is one. Returns true; or nil, message.
function M.copy(path, target)
    if M.is_json(path) then return fs.write(target, M.open(path).text) end
    return fs.copy(path, target)
end

--- SHA-256 in hexadecimal of the vocab.txt that copy() writes.
function M.sha256(path)
    if not M.is_json(path) then return fault.check(storage.file_sha256(path)) end
    local temporary = fault.check(fs.temporary_folder "bertlua-vocabulary-")
    local copy = fs.join(temporary, "vocab.txt")
    local hash
    local ok, message = M.copy(path, copy)
    if ok then hash, message = storage.file_sha256(copy) end
    fs.remove(temporary)
    return fault.check(hash, message)
end

--- What ids depend on beside the text and its casing: the hash of the vocabulary, and rules that are not the
-- reference's.
-- @tparam string path of the vocabulary
-- @tparam boolean do_lower_case
-- @treturn string the hash alone where all is as in Google's reference
function M.identity(path, do_lower_case)
    local parts, config = {}, M.config_of(path, do_lower_case)
    for name, value in pairs(config) do parts[#parts + 1] = (" %s=%s"):format(name, tostring(value)) end
    table.sort(parts)
    return M.sha256(path) .. table.concat(parts)
end

return M
