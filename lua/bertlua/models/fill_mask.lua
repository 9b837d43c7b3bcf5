--- What a pre-trained BERT predicts for [MASK].

local Tape = require "bertlua.autograd.tape"
local fault = require "bertlua.fault"
local memory = require "bertlua.memory"
local ops = require "bertlua.ops"

local M = {}

-- Each mask has a probability for every word of the vocabulary.
local MOST_MASKS = 256

local function encode(tokenizer, text, max_length)
    local ids, masked = { tokenizer.cls_id }, {}
    for _, id in ipairs(tokenizer:encode_marked(text)) do
        if id == tokenizer.mask_id then masked[#masked + 1] = #ids end
        ids[#ids + 1] = id
    end
    ids[#ids + 1] = tokenizer.sep_id
    if #masked == 0 then fault.raisef('fill_mask: "%s" has no [MASK]', text) end
    if #ids > max_length then
        fault.raisef("fill_mask: the text has %d tokens, expected at most %d", #ids, max_length)
    end
    return ids, masked
end

local function upload(buffer, offset, values, dims)
    local t = buffer:tensor(offset, "i32", dims or { #values })
    return t:set(values)
end

local function round_up(bytes)
    return math.ceil(bytes / 64) * 64
end

--- A packed batch of sequences that requests the words at some of their rows.
-- @param list of {ids = list of token ids, masked = list of 0-based rows}
-- @return batch for BertForPretraining:logits(); it owns its memory
function M.batch_of(list)
    local ids, positions, zeros, masked, segments, first_rows, longest = {}, {}, {}, {}, {}, {}, 0
    for s, sequence in ipairs(list) do
        local first = #ids
        for i, id in ipairs(sequence.ids) do
            ids[first + i], positions[first + i], zeros[first + i] = id, i - 1, 0
        end
        for _, row in ipairs(sequence.masked) do masked[#masked + 1] = first + row end
        segments[2 * s - 1], segments[2 * s], first_rows[s] = first, #sequence.ids, first
        longest = math.max(longest, #sequence.ids)
    end
    local count = #list
    local stride, of_segments = round_up(#ids * 4), round_up(count * 8)
    local buffer = memory.buffer(stride * 4 + of_segments + round_up(count * 4))
    return {
        buffer = buffer, batch_size = count, max_length = longest, rows = #ids, tokens = #ids,
        ids = upload(buffer, 0, ids),
        positions = upload(buffer, stride, positions),
        types = upload(buffer, stride * 2, zeros),
        masked_index = upload(buffer, stride * 3, masked),
        segments = upload(buffer, stride * 4, segments, { count, 2 }),
        cls_index = upload(buffer, stride * 4 + of_segments, first_rows),
    }
end

--- The same of one sequence.
-- @param ids list of token ids
-- @param masked list of 0-based rows
function M.batch(ids, masked)
    local batch = M.batch_of { { ids = ids, masked = masked } }
    return batch
end

--- The k likeliest words at all masks of a batch: a list per sequence of lists.
local function guess(model, tokenizer, list, k, tape)
    local config, count = model.config, 0
    local batch = M.batch_of(list)
    for _, sequence in ipairs(list) do count = count + #sequence.masked end
    tape:start(0, 0, false)
    local logits = model:logits(tape, batch).mlm.value
    local words = tape:tensor("f32", { count, config.vocab_size })
    ops.copy(words, logits)
    ops.softmax(words, words)
    -- Rows of the model that no token belongs to are guessed, but cannot be shown.
    local known = tokenizer:size()
    if known < config.vocab_size then words:slice(2, known + 1, config.vocab_size):fill(0) end
    local values, indices = tape:tensor("f32", { count, k }), tape:tensor("i32", { count, k })
    ops.topk(values, indices, words, k)
    local probabilities, chosen = values:tolist(), indices:tolist()
    batch.buffer:free()
    local answers, row = {}, 0
    for s, sequence in ipairs(list) do
        answers[s] = {}
        for m = 1, #sequence.masked do
            row = row + 1
            answers[s][m] = {}
            for rank = 1, k do
                local id = chosen[row][rank]
                answers[s][m][rank] = { id = id, token = tokenizer:token(id), probability = probabilities[row][rank] }
            end
        end
    end
    return answers
end

--- The k likeliest words for each [MASK] of texts, in batches.
-- @param model BertForPretraining
-- @param tokenizer bertlua.text.tokenizer
-- @param texts list of texts of one or two sentences with [MASK] in place of words
-- @param k how many (5)
-- @param tape the tape to use (default: a new one); its current step is lost
-- @param batch_size texts in a batch (32)
-- @return for each text as fill_mask()
function M.fill_masks(model, tokenizer, texts, k, tape, batch_size)
    k = math.min(k or 5, model.config.vocab_size, tokenizer:size())
    local own = not tape
    tape = tape or Tape.new()
    local results, list, masks = {}, {}, 0
    local function flush()
        if #list == 0 then return end
        for _, answer in ipairs(guess(model, tokenizer, list, k, tape)) do results[#results + 1] = answer end
        list, masks = {}, 0
    end
    for _, text in ipairs(texts) do
        local ids, masked = encode(tokenizer, text, model.config.max_position_embeddings)
        if #list > 0 and (#list == (batch_size or 32) or masks + #masked > MOST_MASKS) then flush() end
        list[#list + 1], masks = { ids = ids, masked = masked }, masks + #masked
    end
    flush()
    if own then tape:close() end
    return results
end

--- The k likeliest words for each [MASK] of a text.
-- @param model, tokenizer, k, tape as fill_masks()
-- @param text with [MASK] in place of words
-- @return for each [MASK], in order, a list of {token=, id=, probability=}, likeliest first
function M.fill_mask(model, tokenizer, text, k, tape)
    local list = M.fill_masks(model, tokenizer, { text }, k, tape)
    return list[1]
end

return M
