--- Texts as tokens in memory, as they stand in files of any form: documents of sentences, without a step before it.
--
-- A corpus is {documents, document_starts: 0-based array of documents + 1 numbers of sentences, sentences,
-- sentence_starts: 0-based array of sentences + 1 numbers of tokens, tokens: 0-based array, token_count}, as
-- bertlua.data.instances takes it. Each token takes 4 bytes.
-- @module bertlua.data.token_corpus

local array = require "bertlua.array"
local data = require "bertlua.data"
local document_files = require "bertlua.data.document_files"
local fault = require "bertlua.fault"
local prose = require "bertlua.data.prose"
local random = require "bertlua.rng"
local splitters = require "bertlua.text.sentences"
local text_source = require "bertlua.data.text_source"
local text_walk = require "bertlua.data.text_walk"

local token_corpus = {}

-- Numbers of tokens are int32.
local MOST_TOKENS = 2 ^ 31 - 1
-- What is held out is drawn from this stream of a seed of its own, so that runs of other seeds hold out the same.
local SPLIT_SEED, SPLIT_STREAM = 12345, 2 ^ 42
-- Passages to draw from, per passage that is to be held out.
local PASSAGES = 20

local Builder = {}
Builder.__index = Builder

local function builder()
    return setmetatable({ list = data.int32_list(), sentence_list = data.int32_list(),
        document_list = data.int32_list(), token_count = 0, sentences = 0, documents = 0, begun = 0 }, Builder)
end

--- Append a sentence: its tokens.
function Builder:add(ids, count)
    if self.token_count + count > MOST_TOKENS then
        fault.raisef("the texts have more than %.0f tokens, which is as many as are kept in memory: train on fewer "
            .. "files, or make shards of them (`bertlua create_pretraining_data`)", MOST_TOKENS)
    end
    self.sentence_list:add(self.token_count)
    self.list:append(ids, count)
    self.token_count, self.sentences = self.token_count + count, self.sentences + 1
end

--- End a document; returns whether it has a sentence.
function Builder:finish_document()
    if self.sentences == self.begun then return false end
    self.document_list:add(self.begun)
    self.documents, self.begun = self.documents + 1, self.sentences
    return true
end

--- The corpus.
function Builder:finish()
    self.sentence_list:add(self.token_count)
    self.document_list:add(self.sentences)
    -- The arrays live as long as their lists, which stay fields.
    self.tokens, self.sentence_starts = self.list:pointer(), self.sentence_list:pointer()
    self.document_starts = self.document_list:pointer()
    return self
end

--- Free the tokens; the numbers stay.
function Builder:free()
    self.list:free()
    self.sentence_list:free()
    self.document_list:free()
    self.tokens, self.sentence_starts, self.document_starts = nil, nil, nil
end

--- Read texts.
-- @tparam table options files = paths; words = tokenizer; border = "auto", or as in bertlua.data.prose; locale = of the
--   sentence rules ("en@ss=standard"); longest: a sentence of more tokens becomes several, as does a text without full
--   stops (no limit); encoding, invalid_utf8, text_field as in bertlua.data.text_source; on_progress = function(bytes
--   read so far), or nil
-- @return corpus, with free(); counts {unknown: tokens that are [UNK], left_out: sentences without tokens, short:
--   documents of one sentence, long: sentences that became several, empty: documents without tokens, empty_files,
--   replaced: bytes, kinds: see text_source.told}
function token_corpus.read(options)
    local words, made = options.words, builder()
    local border_of = prose.border_of(options.border, #options.files == 1)
    local splitter = splitters.splitter(options.locale or "en@ss=standard")
    local unknown, most = words.unk_id or -1, options.longest or MOST_TOKENS
    local counts = { unknown = 0, left_out = 0, short = 0, long = 0, empty = 0, empty_files = 0, replaced = 0,
        kinds = {} }
    local function on_paragraph(paragraph)
        for _, sentence in ipairs(prose.sentences(splitter, paragraph)) do
            local ids, count = words:encode_array(sentence)
            if count > 0 then
                for from = 0, count - 1, most do made:add(ids + from, math.min(most, count - from)) end
                if count > most then counts.long = counts.long + 1 end
                counts.unknown = counts.unknown + document_files.occurrences(ids, count, unknown)
            else
                counts.left_out = counts.left_out + 1
            end
        end
    end
    local function on_end()
        local one = made.sentences == made.begun + 1
        if not made:finish_document() then
            counts.empty = counts.empty + 1
        elseif one then
            counts.short = counts.short + 1
        end
    end
    local before = 0
    for i, path in ipairs(options.files) do
        local source = text_source.open(path, { encoding = options.encoding, invalid_utf8 = options.invalid_utf8,
            text_field = options.text_field })
        local tokens, position = made.token_count, 0
        text_walk.walk(source, { border_of = border_of, on_paragraph = on_paragraph, on_end = on_end,
            on_progress = function(bytes)
                position = bytes
                if options.on_progress then options.on_progress(before + bytes) end
            end })
        if made.token_count == tokens then counts.empty_files = counts.empty_files + 1 end
        counts.kinds[i] = source:special() or false
        counts.replaced = counts.replaced + source:replaced()
        before = before + math.max(position, source:position())
        source:close()
    end
    return made:finish(), counts
end

--- Copy spans of a corpus, each of which becomes a document.
-- @param spans list of {first sentence, the one behind the last}
local function copy(corpus, spans)
    local made = builder()
    for _, span in ipairs(spans) do
        for s = span[1], span[2] - 1 do
            local from = corpus.sentence_starts[s]
            made:add(corpus.tokens + from, corpus.sentence_starts[s + 1] - from)
        end
        made:finish_document()
    end
    return made:finish()
end

--- Runs of sentences to draw from: documents; or, where these are so few or so large that the share would be missed,
-- parts of documents.
-- @param only_documents never parts
-- @return list of {first sentence, the one behind the last, document}; whether they are documents
local function passages_of(corpus, share, only_documents)
    local size = share * corpus.token_count / PASSAGES
    local whole, list = true, {}
    for d = 0, corpus.documents - 1 do
        local first, last = corpus.document_starts[d], corpus.document_starts[d + 1]
        whole = whole and corpus.sentence_starts[last] - corpus.sentence_starts[first] <= size * PASSAGES / 2
        list[#list + 1] = { first, last, d }
    end
    if whole or only_documents then return list, true end
    list = {}
    for d = 0, corpus.documents - 1 do
        local first, stop = corpus.document_starts[d], corpus.document_starts[d + 1]
        for s = first, stop - 1 do
            if s + 1 == stop or corpus.sentence_starts[s + 1] - corpus.sentence_starts[first] >= size then
                list[#list + 1], first = { first, s + 1, d }, s + 1
            end
        end
    end
    return list, false
end

--- Divide a corpus: whole documents drawn at random, or parts of them where there are too few. The same for any seed
-- of a run.
-- @param corpus of read()
-- @tparam number share of the tokens to hold out, 0 < share < 1
-- @tparam ?boolean only_documents keep documents whole, whatever share that makes
-- @return corpus without them; corpus of them; "documents" or "passages". Both have every sentence of theirs in order
function token_corpus.split(corpus, share, only_documents)
    local list, whole = passages_of(corpus, share, only_documents)
    local order = array.int64(math.max(#list, 1))
    for i = 0, #list - 1 do order[i] = i + 1 end
    random.new(SPLIT_SEED, SPLIT_STREAM):shuffle(order, #list)
    local target, taken = share * corpus.token_count, 0
    for i = 0, #list - 1 do
        local passage = list[tonumber(order[i])]
        local count = corpus.sentence_starts[passage[2]] - corpus.sentence_starts[passage[1]]
        -- The nearest to the share that this order gives, but something on both sides.
        if taken + count / 2 > target and taken > 0 or i == #list - 1 then break end
        passage.held, taken = true, taken + count
    end
    local kept, held = {}, {}
    for i, passage in ipairs(list) do
        local spans, before = passage.held and held or kept, list[i - 1]
        if before and before[3] == passage[3] and before.held == passage.held then
            spans[#spans][2] = passage[2]
        else
            spans[#spans + 1] = { passage[1], passage[2] }
        end
    end
    return copy(corpus, kept), copy(corpus, held), whole and "documents" or "passages"
end

return token_corpus
