--- Sequences out of a corpus of tokens (bertlua.data.token_corpus): full ones, as RoBERTa's FULL-SENTENCES (arXiv
-- 1907.11692, section 4.1), or pairs for next sentences.
--
-- A set of sequences is {count, max_length, positions: tokens of all of them, special ones included, fill(set, s,
-- target) -> length, length of the first part, label: 1 if the second part is a random one, 0 if it follows, -1
-- without}; fill writes sequence s, from 0, into an int32 array of max_length, without masks.
-- @module bertlua.data.packing

local array = require "bertlua.array"
local data = require "bertlua.data"
local instances = require "bertlua.data.instances"
local random = require "bertlua.rng"

local packing = {}

-- Pairs are drawn from this stream of the seed.
local PAIR_STREAM = 2 ^ 41 + 2 ^ 40
local SHORT_SEQ_PROB = 0.1

--- First token of a document, and the one behind its last.
local function tokens_of(corpus, document)
    local starts = corpus.document_starts
    return corpus.sentence_starts[starts[document]], corpus.sentence_starts[starts[document + 1]]
end

--- Make one sequence, from a place in a document on.
-- @param target int32 array for it, or nil to count only
-- @return its length; document and token where the next sequence begins
local function take(set, document, token, target)
    local corpus, words = set.corpus, set.words
    local room, length = set.max_length - 1, 1
    if target then target[0] = words.cls_id end
    while true do
        local _, stop = tokens_of(corpus, document)
        local count = math.min(stop - token, room - length)
        if target then array.copy(target + length, corpus.tokens + token, 4 * count) end
        length, token = length + count, token + count
        if token < stop then break end
        document = document + 1
        -- A separator that nothing would follow is left out.
        if document == corpus.documents or length + 2 > room then break end
        if target then target[length] = words.sep_id end
        length = length + 1
    end
    if target then target[length] = words.sep_id end
    return length + 1, document, token
end

local function fill_full(set, s, target)
    local length = take(set, set.documents:pointer()[s], set.starts:pointer()[s], target)
    return length, length, -1
end

--- Full sequences: [CLS] tokens [SEP], where the text runs on from one to the next, documents too, with a [SEP]
-- between two documents of a sequence. Every token of the corpus is in exactly one of them; only the last may be short.
-- @param corpus of bertlua.data.token_corpus
-- @param words tokenizer: cls_id, sep_id
-- @tparam number max_length tokens of a sequence
-- @return set
function packing.full(corpus, words, max_length)
    if max_length < 3 then
        error("packing: max_length is " .. tostring(max_length) .. ", expected at least 3", 2)
    end
    local set = { corpus = corpus, words = words, max_length = max_length, documents = data.int32_list(),
        starts = data.int32_list(), count = 0, positions = 0, fill = fill_full }
    local document, token = 0, 0
    while document < corpus.documents do
        set.documents:add(document)
        set.starts:add(token)
        local length
        length, document, token = take(set, document, token)
        set.count, set.positions = set.count + 1, set.positions + length
    end
    return set
end

local function fill_pair(set, s, target)
    local words, tokens, pair = set.words, set.corpus.tokens, set.list:get(s)
    local first = pair.first_length + 2
    target[0] = words.cls_id
    array.copy(target + 1, tokens + pair.first_begin, 4 * pair.first_length)
    target[first - 1] = words.sep_id
    array.copy(target + first, tokens + pair.second_begin, 4 * pair.second_length)
    local length = first + pair.second_length + 1
    target[length - 1] = words.sep_id
    return length, first, pair.random_next
end

--- Pairs for next sentences, as bertlua.data.instances draws them, once through the corpus.
-- @param corpus, words, max_length as in full()
-- @tparam number seed
-- @return set, with random: pairs whose second part is a random one
function packing.pairs(corpus, words, max_length, seed)
    local list, counts = instances.create(corpus, random.new(seed, PAIR_STREAM), { max_seq_length = max_length,
        short_seq_prob = SHORT_SEQ_PROB, dupe_factor = 1 }, data.instance_list())
    return { corpus = corpus, words = words, max_length = max_length, list = list, count = list.count,
        positions = counts.positions, random = counts.random, fill = fill_pair }
end

return packing
