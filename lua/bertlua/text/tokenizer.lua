--- BERT's WordPiece tokenizer, identical to Google's reference, cased and uncased.
--
--     local Tokenizer = require "bertlua.text.tokenizer"
--     local tokenizer = Tokenizer.load("vocab/bert-base-uncased-vocab.txt", { do_lower_case = true })
--     tokenizer:tokenize("Hello, World!") --> { "hello", ",", "world", "!" }
--
-- No [CLS] or [SEP] is added, and "[MASK]" in a text is ordinary text: models
-- insert special tokens by id; encode_marked alone takes them as such. Ids and
-- byte offsets are 0-based.
-- @classmod bertlua.text.tokenizer

local array = require "bertlua.array"
local fault = require "bertlua.fault"
local options_of = require "bertlua.util.options"
local plural = require "bertlua.util.plural"
local tensor = require "bertlua.tensor"
local term = require "bertlua.util.term"
local text_native = require "bertlua.text"
local vocabulary_file = require "bertlua.text.vocabulary_file"

local DECODE_OPTIONS = { "skip_special_tokens", "count" }

local Tokenizer = {}
Tokenizer.__index = Tokenizer

-- A learned cased vocabulary has thousands of pieces with capitals; a few strays do not make it cased, and a handful of
-- tokens (a test's vocabulary) is not enough to tell.
local CASED_SHARE, TELLING_SIZE = 0.01, 1000

local function check_casing(native, path, do_lower_case)
    local upper = native.upper_case_pieces
    if native.size < TELLING_SIZE then return end
    if do_lower_case and upper > CASED_SHARE * native.size then
        fault.raise(("vocabulary %s is cased (%d pieces have capitals), got do_lower_case = true: "
            .. "they could never match; set do_lower_case to false or use an uncased vocabulary"):format(path, upper))
    elseif not do_lower_case and upper == 0 then
        fault.raise(("vocabulary %s is uncased (no piece has capitals), got do_lower_case = false: "
            .. "every capital would become [UNK]; set do_lower_case to true or use a cased vocabulary"):format(path))
    end
end

-- Vocabularies whose oddities were told already.
local told = {}

--- What a user should know of a vocabulary that is read otherwise than it may seem, once each.
local function tell(path, notes, report)
    if told[path] then return end
    told[path] = true
    notes[#notes + 1] = vocabulary_file.disagreement(path)
    for _, note in ipairs(notes) do term.warn(("vocabulary %s: %s"):format(path, note)) end
    if report.blank > 0 then
        term.warn(("vocabulary %s: %s without a token, the first of id %d: other ids stay as they are"):format(path,
            plural.count(report.blank, "line"), report.blank_line - 1))
    end
    if report.repeated > 0 then
        term.warn(("vocabulary %s: %s a token that comes again, the first of id %d, again %d: the last one's id is "
            .. "used, as in transformers"):format(path, plural.count(report.repeated, "line has", "lines have"),
            report.repeated_line - 1, report.repeating_line - 1))
    end
end

--- Load a vocabulary.
-- @tparam string vocab_file one token per line; or a tokenizer.json. How text is cut beside its casing is as
--   bertlua.text.vocabulary_file finds it
-- @tparam table options do_lower_case (boolean, required); any_casing = true accepts a vocabulary
-- whose casing does not match do_lower_case (one of a language without capitals, say)
-- @return tokenizer with fields do_lower_case, vocab_file, pad_id, unk_id, cls_id, sep_id, mask_id;
-- a fault if the vocabulary is missing, broken or has the other casing
function Tokenizer.load(vocab_file, options)
    if type(vocab_file) ~= "string" then
        error("tokenizer: vocab_file is " .. type(vocab_file) .. ", expected a path", 2)
    end
    local lower
    if type(options) == "table" then lower = options.do_lower_case end
    if type(lower) ~= "boolean" then
        error("tokenizer: do_lower_case is " .. type(lower) .. ", expected { do_lower_case = true or false }", 2)
    end
    local opened = vocabulary_file.open(vocab_file)
    opened.rules.text = opened.text
    local native = fault.check(text_native.load(vocab_file, lower, opened.rules))
    tell(vocab_file, opened.notes, native.report)
    if not options.any_casing then check_casing(native, vocab_file, lower) end
    return Tokenizer.of(native, vocab_file, lower)
end

--- A tokenizer of one that the engine has opened.
-- @param native of bertlua.text
-- @tparam string vocab_file what it was read from
-- @tparam boolean lower whether it lower-cases
function Tokenizer.of(native, vocab_file, lower)
    return setmetatable({
        native = native,
        vocab_file = vocab_file,
        do_lower_case = lower,
        pad_id = native.pad_id,
        unk_id = native.unk_id,
        cls_id = native.cls_id,
        sep_id = native.sep_id,
        mask_id = native.mask_id,
    }, Tokenizer)
end

local function check_text(text, what)
    if type(text) ~= "string" then
        error("tokenizer: " .. what .. " is " .. type(text) .. ", expected a string", 3)
    end
end

--- Token ids without a table: the fast path.
-- @tparam string text
-- @return int32 array (0-based), valid until the next call to this tokenizer
-- @treturn number its length
function Tokenizer:encode_array(text)
    check_text(text, "text")
    local ids, count = self.native:encode(text)
    return ids, count
end

--- Token ids and source bytes without tables.
-- @tparam string text
-- @return int32 arrays (0-based) of ids, starts and stops, valid until the next call to this tokenizer
-- @treturn number their length
function Tokenizer:encode_array_with_offsets(text)
    check_text(text, "text")
    return self.native:encode_with_offsets(text)
end

local function to_list(ids, count)
    local list = {}
    for i = 1, count do list[i] = ids[i - 1] end
    return list
end

--- Token ids of a text.
-- @treturn {number,...}
function Tokenizer:encode(text)
    check_text(text, "text")
    return to_list(self.native:encode(text))
end

--- Token ids and the range of bytes that each covers in the text.
-- @treturn {number,...} ids
-- @treturn {number,...} starts, 0-based
-- @treturn {number,...} stops, one past the last byte, so that text:sub(start + 1, stop) is the token's source
function Tokenizer:encode_with_offsets(text)
    check_text(text, "text")
    local ids, starts, stops, count = self.native:encode_with_offsets(text)
    return to_list(ids, count), to_list(starts, count), to_list(stops, count)
end

local MARKS = { ["[MASK]"] = true, ["[SEP]"] = true, ["[CLS]"] = true, ["[PAD]"] = true, ["[UNK]"] = true }

--- Token ids of a text in which [MASK], [SEP], [CLS], [PAD] and [UNK] stand for these tokens, as in transformers.
-- @treturn {number,...}
function Tokenizer:encode_marked(text)
    check_text(text, "text")
    local ids, from, native = {}, 1, self.native
    local function add(part)
        local found, count = native:encode(part)
        for i = 0, count - 1 do ids[#ids + 1] = found[i] end
    end
    for first, name, after in text:gmatch "()(%[%u+%])()" do
        if MARKS[name] then
            add(text:sub(from, first - 1))
            ids[#ids + 1] = native:id(name)
            from = after
        end
    end
    add(text:sub(from))
    return ids
end

--- Tokens of a text.
-- @treturn {string,...}
function Tokenizer:tokenize(text)
    check_text(text, "text")
    local native = self.native
    local ids, count = native:encode(text)
    local list = {}
    for i = 1, count do list[i] = native:token(ids[i - 1]) end
    return list
end

--- Basic tokenization only: cleaned, lower-cased (if the tokenizer does so) words and punctuation.
-- @return list of {text=, start=, stop=}: source bytes [start, stop), 0-based
function Tokenizer:words(text)
    check_text(text, "text")
    return self.native:words(text)
end

--- Ids of the pieces of one word, used as is.
-- @treturn {number,...}
function Tokenizer:pieces(word)
    check_text(word, "word")
    return to_list(self.native:pieces(word))
end

--- Token of an id; nil if it is outside the vocabulary.
function Tokenizer:token(id)
    return self.native:token(id)
end

--- Id of a token; nil if it is not in the vocabulary.
function Tokenizer:id(token)
    check_text(token, "token")
    return self.native:id(token)
end

--- Ids as a list of numbers, from whatever holds them.
local function list_of(ids, count)
    if type(ids) == "number" then return { ids } end
    if tensor.is(ids) then
        if ids.ndim ~= 1 then
            error(("tokenizer: decode got %s, expected one dimension: decode one row at a time"):format(
                ids:describe()), 3)
        end
        return ids:tolist()
    end
    if type(ids) == "cdata" then
        if not count and tostring(ids):find("*", 1, true) then
            error("tokenizer: decode got a pointer, expected { count = its length } as well", 3)
        end
        return to_list(ids, count or array.sizeof(ids) / 4)
    end
    if type(ids) ~= "table" then
        error("tokenizer: decode got a " .. type(ids) .. ", expected a list, a tensor or an int32 array of ids", 3)
    end
    return ids
end

-- Tokens that stand close to the one before them.
local CLOSE = { ["."] = true, ["?"] = true, ["!"] = true, [","] = true, ["n't"] = true, ["'m"] = true, ["'s"] = true,
    ["'ve"] = true, ["'re"] = true }

--- Text of token ids, as transformers' decode: pieces that begin with "##" are joined to what precedes them, the others
-- follow a blank, except . ? ! and commas. Case and blanks that tokenizing dropped don't come back.
-- @param ids a list of numbers, a tensor of one dimension, or an int32 array (0-based)
-- @tparam[opt] table options skip_special_tokens = true leaves out [CLS], [SEP], [PAD], [UNK] and [MASK]; count: length
--   of an array that is a pointer, such as that of encode_array
-- @treturn string
function Tokenizer:decode(ids, options)
    options = options_of.check("tokenizer: decode", options, DECODE_OPTIONS, 2)
    local special = {}
    for _, name in ipairs { "pad_id", "unk_id", "cls_id", "sep_id", "mask_id" } do special[self[name] or -1] = true end
    local parts = {}
    for _, id in ipairs(list_of(ids, options.count)) do
        local token = type(id) == "number" and id % 1 == 0 and self.native:token(id)
        if not token then
            error(("tokenizer: decode got the id %s, expected 0 to %d"):format(tostring(id), self.native.size - 1), 2)
        end
        if not (options.skip_special_tokens and special[id]) then
            local piece = #parts > 0 and token:match "^##(.*)$"
            parts[#parts + 1] = piece or #parts > 0 and not CLOSE[token] and " " .. token or token
        end
    end
    return table.concat(parts)
end

--- Number of tokens.
function Tokenizer:size()
    return self.native.size
end

function Tokenizer:__tostring()
    return ("Tokenizer(%s, %d tokens, %s)"):format(self.vocab_file, self.native.size,
        self.do_lower_case and "uncased" or "cased")
end

return Tokenizer
