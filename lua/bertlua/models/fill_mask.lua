--- What a pre-trained BERT predicts for [MASK].

local Tape = require "bertlua.autograd.tape"
local fault = require "bertlua.fault"
local memory = require "bertlua.memory"
local ops = require "bertlua.ops"

local M = {}

local function encode(tokenizer, text, max_length)
    local ids, masked = { tokenizer.cls_id }, {}
    local from = 1
    while true do
        local first, last = text:find("[MASK]", from, true)
        for _, id in ipairs(tokenizer:encode(text:sub(from, first and first - 1 or -1))) do ids[#ids + 1] = id end
        if not first then break end
        masked[#masked + 1] = #ids
        ids[#ids + 1] = tokenizer.mask_id
        from = last + 1
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

--- A batch of one sequence that requests the words at some of its rows.
-- @param ids list of token ids
-- @param masked list of 0-based rows
-- @return batch for BertForPretraining:logits(); it owns its memory
function M.batch(ids, masked)
    local n, zeros, positions = #ids, {}, {}
    for i = 1, n do zeros[i], positions[i] = 0, i - 1 end
    local stride = math.ceil(n * 4 / 64) * 64
    local buffer = memory.buffer(stride * 4 + 192)
    return {
        buffer = buffer, batch_size = 1, max_length = n, rows = n, tokens = n,
        ids = upload(buffer, 0, ids),
        positions = upload(buffer, stride, positions),
        types = upload(buffer, stride * 2, zeros),
        masked_index = upload(buffer, stride * 3, masked),
        segments = upload(buffer, stride * 4, { 0, n }, { 1, 2 }),
        cls_index = upload(buffer, stride * 4 + 64, { 0 }),
    }
end

--- The k likeliest words for each [MASK] of a text.
-- @param model BertForPretraining
-- @param tokenizer bertlua.text.tokenizer
-- @param text one or two sentences with [MASK] in place of words
-- @param k how many (5)
-- @param tape the tape to use (default: a new one); its current step is lost
-- @return for each [MASK], in order, a list of {token=, id=, probability=}, likeliest first
function M.fill_mask(model, tokenizer, text, k, tape)
    k = math.min(k or 5, model.config.vocab_size, tokenizer:size())
    local config = model.config
    local ids, masked = encode(tokenizer, text, config.max_position_embeddings)
    local batch = M.batch(ids, masked)
    local own = not tape
    tape = tape or Tape.new()
    tape:start(0, 0, false)
    local logits = model:logits(tape, batch).mlm.value
    local words = tape:tensor("f32", { #masked, config.vocab_size })
    ops.copy(words, logits)
    ops.softmax(words, words)
    -- Rows of the model that no token belongs to are guessed, but cannot be shown.
    local known = tokenizer:size()
    if known < config.vocab_size then words:slice(2, known + 1, config.vocab_size):fill(0) end
    local values, indices = tape:tensor("f32", { #masked, k }), tape:tensor("i32", { #masked, k })
    ops.topk(values, indices, words, k)
    local probabilities, chosen = values:tolist(), indices:tolist()
    local answer = {}
    for row = 1, #masked do
        answer[row] = {}
        for rank = 1, k do
            local id = chosen[row][rank]
            answer[row][rank] = { id = id, token = tokenizer:token(id), probability = probabilities[row][rank] }
        end
    end
    if own then tape:close() end
    batch.buffer:free()
    return answer
end

return M
