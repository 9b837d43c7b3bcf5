--- Text by the engine: WordPiece tokenization and vocabularies, on top of which
-- are the classes bertlua.text.tokenizer and bertlua.text.vocab_trainer;
-- Unicode, languages and sentences.
-- @module bertlua.text

local ffi = require "ffi"
local native = require "bertlua.ffi"

local lib = native.lib
local check = native.check

local M = {}

local Native = {}
Native.__index = Native

local function new_encoding()
    local out = ffi.new "bl_encoding *[1]"
    check(lib.bl_encoding_create(out), 3)
    return ffi.gc(out[0], lib.bl_encoding_free)
end

--- The most characters of a word that is no [UNK].
M.MAX_WORD_CHARACTERS = 200

local function or_default(value, default)
    if value == nil then return default end
    return value
end

--- Load a vocabulary.
-- @tparam string path of a vocab.txt
-- @tparam boolean do_lower_case
-- @tparam[opt] table rules where they are not those of Google's reference: strip_accents (as do_lower_case),
--   split_ideographs (true), clean (true), max_word_characters (200); text: the lines of the vocabulary, which then are
--   not read from path
-- @return tokenizer; or nil, message
function M.load(path, do_lower_case, rules)
    rules = rules or {}
    local out, options = ffi.new "bl_tokenizer *[1]", ffi.new "bl_tokenizer_options"
    -- The text stays alive in `rules` while the call runs.
    options.text, options.bytes = rules.text, rules.text and #rules.text or 0
    options.lower_case = do_lower_case
    options.strip_accents = or_default(rules.strip_accents, do_lower_case)
    options.split_ideographs, options.clean = or_default(rules.split_ideographs, true), or_default(rules.clean, true)
    options.max_word_characters = rules.max_word_characters or M.MAX_WORD_CHARACTERS
    if lib.bl_tokenizer_create_with(out, path, options) ~= 0 then return nil, native.last_error() end
    return M.wrap(ffi.gc(out[0], lib.bl_tokenizer_free))
end

--- A tokenizer of somebody else, who frees it: leave() comes first.
-- @param handle bl_tokenizer
-- @param owner whose memory it is in; nil for one of its own
-- @return tokenizer
function M.wrap(handle, owner)
    local special, report = lib.bl_tokenizer_special(handle), lib.bl_tokenizer_report(handle)
    return setmetatable({
        handle = handle,
        owner = owner,
        encoding = new_encoding(),
        size = lib.bl_tokenizer_size(handle),
        report = { blank = report.blank, blank_line = report.blank_line, repeated = report.repeated,
            repeated_line = report.repeated_line, repeating_line = report.repeating_line },
        upper_case_pieces = lib.bl_tokenizer_upper_case_pieces(handle),
        pad_id = special.pad,
        unk_id = special.unk,
        cls_id = special.cls,
        sep_id = special.sep,
        mask_id = special.mask,
    }, Native)
end

-- A call of any function finds this in place of its arguments.
local Left = { __index = function()
    error("tokenizer: the model that it belongs to has been closed", 3)
end }

--- Let go of the owner's memory; any later use is an error.
function Native:leave()
    for key in pairs(self) do self[key] = nil end
    setmetatable(self, Left)
end

--- Token ids of a text.
-- @treturn cdata int32_t *: valid until the next call with this tokenizer
-- @treturn number their count
function Native:encode(text)
    local encoding = self.encoding
    check(lib.bl_tokenizer_encode(self.handle, encoding, text, #text, false), 3)
    return encoding.ids, tonumber(encoding.count)
end

--- Token ids with the byte range [start, end) of each in the text.
-- @treturn cdata ids, cdata starts, cdata ends, number count; valid until the next call
function Native:encode_with_offsets(text)
    local encoding = self.encoding
    check(lib.bl_tokenizer_encode(self.handle, encoding, text, #text, true), 3)
    return encoding.ids, encoding.starts, encoding.ends, tonumber(encoding.count)
end

--- Piece ids of one word, taken as it stands.
-- @treturn cdata int32_t *: valid until the next call with this tokenizer
-- @treturn number their count
function Native:pieces(word)
    local encoding = self.encoding
    check(lib.bl_tokenizer_pieces(self.handle, encoding, word, #word, false), 3)
    return encoding.ids, tonumber(encoding.count)
end

--- Basic tokenization: list of {text=, start=, stop=}, 0-based byte range [start, stop) of the text.
function Native:words(text)
    if not self.word_list then
        local out = ffi.new "bl_words *[1]"
        check(lib.bl_words_create(out), 3)
        self.word_list = ffi.gc(out[0], lib.bl_words_free)
    end
    local words = self.word_list
    check(lib.bl_tokenizer_words(self.handle, words, text, #text), 3)
    local list = {}
    for i = 0, tonumber(words.count) - 1 do
        local from, to = words.text_offsets[i], words.text_offsets[i + 1]
        list[i + 1] = {
            text = ffi.string(words.text + from, to - from),
            start = words.starts[i],
            stop = words.ends[i],
        }
    end
    return list
end

--- Token of an id, nil outside the vocabulary.
function Native:token(id)
    local token = lib.bl_tokenizer_token(self.handle, id)
    if token == nil then return nil end
    return ffi.string(token)
end

--- Id of a token, nil if the vocabulary lacks it.
function Native:id(token)
    local id = lib.bl_tokenizer_id(self.handle, token, #token)
    if id < 0 then return nil end
    return id
end

--- Lower case by Unicode's full mappings.
-- @tparam string text UTF-8
-- @treturn string
function M.lower(text)
    if not text:find "[\128-\255]" then return text:lower() end
    local capacity = 3 * #text
    local out, bytes = ffi.new("char[?]", capacity), ffi.new "size_t[1]"
    check(lib.bl_text_lower(text, #text, out, capacity, bytes))
    return ffi.string(out, bytes[0])
end

--- Whether a code point is a letter, has a numeric value or is "_".
function M.is_word_character(code_point)
    return lib.bl_text_is_word_character(code_point)
end

--- Languages that ICU knows.
-- @return list of {code = of ISO 639, name = English, own_name = in the language itself}
function M.languages()
    local language, list = ffi.new "bl_language", {}
    while lib.bl_language_at(#list, language) do
        list[#list + 1] = { code = ffi.string(language.code), name = ffi.string(language.name),
            own_name = ffi.string(language.own_name) }
    end
    return list
end

--- Offset (from 0) of the first byte that is not UTF-8, or nil.
-- @tparam string text
-- @tparam ?number from offset of a character to begin at
function M.invalid_utf8(text, from)
    from = from or 0
    local offset = tonumber(lib.bl_utf8_check(ffi.cast("const char *", text) + from, #text - from))
    return offset >= 0 and from + offset or nil
end

local character = ffi.new "bl_character"

--- Kinds of characters, as character and character_before return them.
M.KINDS = {
    other = lib.BL_CHARACTER_OTHER, space = lib.BL_CHARACTER_SPACE, lower = lib.BL_CHARACTER_LOWER,
    upper = lib.BL_CHARACTER_UPPER, letter = lib.BL_CHARACTER_LETTER, digit = lib.BL_CHARACTER_DIGIT,
    mark = lib.BL_CHARACTER_MARK, opening = lib.BL_CHARACTER_OPENING, closing = lib.BL_CHARACTER_CLOSING,
}

--- The character of a UTF-8 text that begins at an offset (in bytes, from 0).
-- @treturn number one of KINDS; nil at the end
-- @treturn number offset just past it
-- @treturn number code point
function M.character(text, at)
    if not lib.bl_text_character(text, #text, at, character) then return nil end
    return character.kind, character["end"], character.code_point
end

--- The character that ends at an offset.
-- @treturn number one of KINDS; nil at the beginning
-- @treturn number offset of its first byte
-- @treturn number code point
function M.character_before(text, at)
    if not lib.bl_text_character_before(text, #text, at, character) then return nil end
    return character.kind, character.begin, character.code_point
end

--- Columns of a text in a fixed-width font: characters, those that East Asia writes wide as two.
function M.columns(text)
    if not text:find "[\128-\255]" then return #text end
    return tonumber(lib.bl_text_columns(text, #text))
end

--- Whether a code point is a letter or mark of a script that puts no spaces between words.
function M.is_unspaced(code_point)
    return lib.bl_text_is_unspaced(code_point)
end

local Sentences = {}
Sentences.__index = Sentences

--- Splitter of prose into sentences.
-- @tparam string locale ICU locale; default "en@ss=standard", which knows some abbreviations
-- @return Sentences; an unknown locale falls back to ICU's root rules
function M.sentences(locale)
    local out = ffi.new "bl_sentences *[1]"
    check(lib.bl_sentences_create(out, locale or "en@ss=standard"), 2)
    return setmetatable({
        handle = ffi.gc(out[0], lib.bl_sentences_free),
        ends = ffi.new "const int64_t *[1]",
        found = ffi.new "int64_t[1]",
    }, Sentences)
end

local function is_blank(byte)
    return byte == 32 or (byte >= 9 and byte <= 13)
end

--- Bytes [from, to) of a text (offsets from 0) without the white space around them, also that beyond ASCII.
-- @treturn number offset of the first byte left
-- @treturn number offset just past the last one
function M.trim(text, from, to)
    local space = lib.BL_CHARACTER_SPACE
    while from < to do
        local byte = text:byte(from + 1)
        if is_blank(byte) then
            from = from + 1
        elseif byte < 128 then
            break
        else
            local kind, stop = M.character(text, from)
            if kind ~= space then break end
            from = stop
        end
    end
    while from < to do
        local byte = text:byte(to)
        if is_blank(byte) then
            to = to - 1
        elseif byte < 128 then
            break
        else
            local kind, start = M.character_before(text, to)
            if kind ~= space then break end
            to = start
        end
    end
    return from, to
end

--- List of the sentences of text, without the white space around them.
-- @tparam string text
-- @tparam ?function decide called as decide(text, from, at) for each place where Unicode's rules end a sentence that
--   began at offset `from`; returns true if the sentence goes on, an offset where it ends instead, or nil if it ends
--   there
function Sentences:split(text, decide)
    check(lib.bl_sentences_split(self.handle, text, #text, self.ends, self.found), 2)
    local list, count, from = {}, 0, 0
    local ends, places = self.ends[0], tonumber(self.found[0])
    for i = 0, places - 1 do
        local at = tonumber(ends[i])
        -- A place that an earlier end was moved beyond is none.
        if at > from then
            local verdict = decide and i < places - 1 and decide(text, from, at)
            if verdict ~= true then
                local stop = verdict or at
                local first, last = M.trim(text, from, stop)
                if last > first then
                    count = count + 1
                    list[count] = text:sub(first + 1, last)
                end
                from = stop
            end
        end
    end
    return list
end

local Trainer = {}
Trainer.__index = Trainer

--- New vocabulary trainer; see bertlua.text.vocab_trainer.
-- @tparam boolean do_lower_case
function M.trainer(do_lower_case)
    local out = ffi.new "bl_vocab_trainer *[1]"
    check(lib.bl_vocab_trainer_create(out, do_lower_case))
    return setmetatable({ handle = ffi.gc(out[0], lib.bl_vocab_trainer_free) }, Trainer)
end

--- Limit memory to about this many bytes, with temporary files in a folder; call before adding any text.
function Trainer:limit(bytes, folder)
    check(lib.bl_vocab_trainer_limit(self.handle, bytes, folder))
end

--- Count the words of a text.
function Trainer:add(text)
    check(lib.bl_vocab_trainer_add(self.handle, text, #text))
end

--- Choose the alphabet; true, or nil and a message if the settings do not fit the text.
function Trainer:begin(vocab_size, min_frequency, alphabet_limit)
    if lib.bl_vocab_trainer_begin(self.handle, vocab_size, min_frequency, alphabet_limit) ~= 0 then
        return nil, native.last_error()
    end
    return true
end

--- Up to `joins` joins; true when there is nothing left to do.
function Trainer:step(joins)
    local done = ffi.new "bool[1]"
    check(lib.bl_vocab_trainer_step(self.handle, joins, done))
    return done[0]
end

--- Counts so far: words, distinct_words, uncovered_words, rare_words, rare_distinct_words, rare_count, characters,
-- alphabet, tokens, last_pair_count.
function Trainer:stats()
    local out = ffi.new "bl_vocab_trainer_stats"
    lib.bl_vocab_trainer_describe(self.handle, out)
    local stats = {}
    for _, name in ipairs { "words", "distinct_words", "uncovered_words", "rare_words", "rare_distinct_words",
        "rare_count", "characters", "alphabet", "tokens", "last_pair_count" } do
        stats[name] = tonumber(out[name])
    end
    return stats
end

--- Token of an id, nil outside what was learned.
function Trainer:token(id)
    local token = lib.bl_vocab_trainer_token(self.handle, id)
    if token == nil then return nil end
    return ffi.string(token)
end

return M
