--- Pseudo-perplexity of held-out sentences (Salazar et al. 2020, arXiv 1910.14659): each token is masked in turn, and
-- PPPL = exp(-1/N sum log p(token | all others of its sentence)) over the N tokens, without [CLS] and [SEP].

local Feeder = require "bertlua.train.feeder"
local array = require "bertlua.array"
local data = require "bertlua.data"
local number = require("bertlua.train.meter").number

local M = {}

--- The sentences to measure: all, or so many of them, spread evenly over the corpus.
-- @param corpus of bertlua.data.token_corpus
-- @param limit how many
-- @param room tokens that a sequence has room for
-- @return list of {first token, number of tokens}; tokens; how many sentences are cut to the room
function M.sentences(corpus, limit, room)
    local list, tokens, cut = {}, 0, 0
    local count = math.min(limit, corpus.sentences)
    for i = 0, count - 1 do
        local s = math.floor(i * corpus.sentences / count)
        local from = corpus.sentence_starts[s]
        local length = corpus.sentence_starts[s + 1] - from
        if length > room then length, cut = room, cut + 1 end
        list[i + 1], tokens = { from, length }, tokens + length
    end
    return list, tokens, cut
end

--- Sequences with one masked token each, in batches.
-- @return function() -> list of {sentence, position in it} of the next batch, or nil
local function groups(list, size)
    local s, at = 1, 0
    return function()
        local group = {}
        while list[s] and #group < size do
            group[#group + 1], at = { list[s], at }, at + 1
            if at == list[s][2] then s, at = s + 1, 0 end
        end
        return group[1] and group
    end
end

--- Measure.
-- @param model with forward(tape, batch) -> {mlm_loss = mean over the masked tokens}
-- @param tape a tape to work on
-- @param words tokenizer
-- @param corpus of bertlua.data.token_corpus
-- @param options limit: sentences; max_seq_length; batch_size; pack_sequences; on_batch(done, total tokens), or nil
-- @return {pseudo_perplexity, sentences, tokens, cut: sentences whose end was left out}
function M.run(model, tape, words, corpus, options)
    local length, size = options.max_seq_length, options.batch_size
    local list, total, cut = M.sentences(corpus, options.limit, length - 2)
    if total == 0 then error("pseudo_perplexity: the corpus has no sentence", 2) end
    local ids, position, label = array.int32(length), array.int32(1), array.int32(1)
    local feeder, made, sum, done = Feeder.new(), {}, 0, 0
    for group in groups(list, size) do
        local batch = made[#group] or data.batch(#group, length, 1, options.pack_sequences or false)
        made[#group] = batch
        batch:begin()
        for _, entry in ipairs(group) do
            local sentence, at = entry[1], entry[2]
            local count = sentence[2]
            ids[0], ids[count + 1] = words.cls_id, words.sep_id
            array.copy(ids + 1, corpus.tokens + sentence[1], 4 * count)
            position[0], label[0] = at + 1, ids[at + 1]
            ids[at + 1] = words.mask_id
            batch:append_masked(ids, count + 2, count + 2, -1, position, label, 1)
        end
        tape:reset(false)
        local result = model:forward(tape, feeder:load(batch:finish()))
        sum, done = sum + #group * number(result.mlm_loss), done + #group
        if options.on_batch then options.on_batch(done, total) end
    end
    feeder:free()
    return { pseudo_perplexity = math.exp(sum / total), sentences = #list, tokens = total, cut = cut }
end

return M
