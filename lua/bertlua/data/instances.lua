--- Next-sentence instances from documents (arXiv 1810.04805, appendix A.2):
-- which two spans of the token array make a sample, and whether the second
-- really follows the first. The engine masks and writes: see bertlua.data.
-- @module bertlua.data.instances

local instances = {}

local floor, max, min = math.floor, math.max, math.min

--- Attempts to draw a document other than the current one.
local DRAWS = 10

--- Remove tokens from the longer span, front or back with equal probability, until both fit.
local function truncate(rng, first_begin, first_length, second_begin, second_length, room)
    while first_length + second_length > room do
        local front = rng:double() < 0.5
        if first_length > second_length then
            first_length = first_length - 1
            if front then first_begin = first_begin + 1 end
        else
            second_length = second_length - 1
            if front then second_begin = second_begin + 1 end
        end
    end
    return first_begin, first_length, second_begin, second_length
end

--- Begin and length, in tokens, of a random run of consecutive sentences in another document.
-- @return begin, length, whether another document was found
local function random_span(corpus, rng, document, target)
    local other
    for _ = 1, DRAWS do
        other = rng:integer(0, corpus.documents - 1)
        if other ~= document then break end
    end
    local starts = corpus.sentence_starts
    local last = corpus.document_starts[other + 1] - 1
    local first = rng:integer(corpus.document_starts[other], last)
    local begin, stop = starts[first], first
    while stop < last and starts[stop + 1] - begin < target do stop = stop + 1 end
    return begin, starts[stop + 1] - begin, other ~= document
end

--- All instances of one document, one pass.
local function from_document(corpus, rng, document, options, list, counts)
    local starts = corpus.sentence_starts
    local room = options.max_seq_length - 3
    local target = room
    local share, most = options.masked_lm_prob or 0, options.max_predictions_per_seq or room
    if rng:double() < options.short_seq_prob then target = rng:integer(2, room) end
    local sentence, stop = corpus.document_starts[document], corpus.document_starts[document + 1]
    while sentence < stop do
        -- The chunk: sentences until the target is reached or the document ends.
        local chunk = sentence
        repeat sentence = sentence + 1 until sentence == stop or starts[sentence] - starts[chunk] >= target
        local count = sentence - chunk
        local split = count >= 2 and rng:integer(1, count - 1) or 1
        local first_begin = starts[chunk]
        local first_length = starts[chunk + split] - first_begin
        local second_begin, second_length
        local is_random = false
        if count == 1 or rng:double() < 0.5 then
            second_begin, second_length, is_random = random_span(corpus, rng, document, target - first_length)
            sentence = chunk + split -- the unused sentences are used again
        else
            second_begin = starts[chunk + split]
            second_length = starts[sentence] - second_begin
        end
        first_begin, first_length, second_begin, second_length =
            truncate(rng, first_begin, first_length, second_begin, second_length, room)
        list:add(first_begin, first_length, second_begin, second_length, is_random)
        local length = first_length + second_length + 3
        counts.positions = counts.positions + length
        counts.masked = counts.masked + min(most, max(1, floor(length * share + 0.5)))
        if is_random then counts.random = counts.random + 1 end
    end
end

--- All instances of a corpus, from dupe_factor passes over its documents.
-- @tparam table corpus documents = number of documents, each of at least one sentence; document_starts (0-based array
--   of documents + 1 sentence numbers), sentence_starts (0-based array of sentences + 1 token numbers); no sentence
--   is empty
-- @param rng from bertlua.rng
-- @tparam table options max_seq_length, short_seq_prob, dupe_factor; masked_lm_prob and max_predictions_per_seq for the
--   count of masked tokens
-- @param list from bertlua.data.instance_list, or anything with add(first_begin, first_length, second_begin,
--   second_length, random_next)
-- @tparam function step called after each document of each pass, or nil
-- @return list; counts {positions: real tokens of all samples, random: samples with a random next sentence, masked:
--   tokens that the engine will mask, but for a half that it rounds to even}
function instances.create(corpus, rng, options, list, step)
    if options.max_seq_length < 5 or options.max_seq_length ~= floor(options.max_seq_length) then
        error("instances: max_seq_length is " .. tostring(options.max_seq_length) .. ", expected at least 5", 2)
    end
    local counts = { positions = 0, random = 0, masked = 0 }
    for _ = 1, options.dupe_factor do
        for document = 0, corpus.documents - 1 do
            from_document(corpus, rng, document, options, list, counts)
            if step then step() end
        end
    end
    return list, counts
end

return instances
