--- Batches for pre-training from a recipe's own data: a function that yields texts or token ids.
--
-- Micro-batches are numbered through the whole job, as in bertlua.data.loader, and batch n consists of items
-- n * batch_size and following, counted over all epochs. Every process reads all items and tokenizes those of its own
-- batches, so n processes see what one does. Masks are drawn anew for each item, from (seed, number of the item).
--
-- An iterator cannot be asked for item i, so a resumed run goes to a position (bertlua.data.items), which drops the
-- items of the epoch that were used before. position(n) is what to record for a run that ends before batch n.
-- @module bertlua.data.stream

local Composer = require "bertlua.data.composer"
local Items = require "bertlua.data.items"
local array = require "bertlua.array"
local data = require "bertlua.data"
local fault = require "bertlua.fault"
local loader = require "bertlua.data.loader"
local plural = require "bertlua.util.plural"
local shapes = require "bertlua.data.shapes"

local stream = {}

-- Batches whose position stays known behind the latest: a step that fails may be saved as it began.
local KEPT_MARKS = 1024

local Stream = {}
Stream.__index = Stream

--- Open a function's data; the function is called once items are needed.
-- @param source the function, as in bertlua.data.items
-- @tparam table options words: tokenizer; batch_size, max_seq_length, max_predictions_per_seq, vocab_size;
--   type_vocab_size (2); seed (42); masked_lm_prob (0.15); next_sentence: "required": items have pair and label, 0 if
--   the pair follows the text, 1 if it is a random one; nil: labels are used where there are any; false: never;
--   shuffle_buffer (0); pack_sequences (false); few_shapes (false), as in bertlua.data.loader; ahead (false): prepare()
--   makes the next batch; rank (0), ranks (1): batch n is requested only if n % ranks is rank; run: fields for the
--   function's argument; tell = function(line)
-- @return Stream with the fields batch_size, max_seq_length, max_predictions_per_seq, tensors
function stream.open(source, options)
    local words, size, length = options.words, options.batch_size, options.max_seq_length
    local slots, packed = options.max_predictions_per_seq, options.pack_sequences or false
    if slots > length then
        fault.raisef("--max-predictions-per-seq %d is more than --max-seq-length %d: about a seventh of it is enough",
            slots, length)
    end
    local self = setmetatable({
        tensors = loader.TENSORS, batch_size = size, max_seq_length = length, max_predictions_per_seq = slots,
        seed = options.seed or 42, rank = options.rank or 0, ranks = options.ranks or 1,
        type_vocab_size = options.type_vocab_size or 2, next_sentence = options.next_sentence, ahead = options.ahead,
        composer = Composer.new(words, length), scratch = array.int32(length), turn = 1,
        tell = options.tell or function() end, made = 0, cut = 0,
    }, Stream)
    self.masking = data.masking {
        probability = options.masked_lm_prob or 0.15, max_predictions = slots, vocab_size = options.vocab_size,
        cls_id = words.cls_id, sep_id = words.sep_id, mask_id = words.mask_id,
    }
    self.items = Items.new(source, {
        run = options.run, seed = self.seed, shuffle_buffer = options.shuffle_buffer, vocab_size = options.vocab_size,
        cls_id = words.cls_id, tell = self.tell,
    })
    if self.next_sentence == false then self.items.known.label = nil end
    local multiples = options.few_shapes and {
        rows = shapes.step(size * length, 64, 64), masked = shapes.step(size * slots, 16, 16),
    }
    self.batches = {
        data.batch(size, length, slots, packed, multiples), data.batch(size, length, slots, packed, multiples),
    }
    return self
end

--- Set off: what comes next is batch n.
-- @param n number of a micro-batch
-- @param position of its first item; nil: that of the same number, counted from the first item of epoch 1
-- @param visit called with the number of items dropped so far, or nil
-- @return true; or false and how the items differ from those that the position was taken from
function Stream:start(n, position, visit)
    local items, first = self.items, n * self.batch_size
    self.queue, self.marks, self.oldest, self.upcoming, self.ready = {}, {}, n, n, nil
    if position then
        -- Number of the first item of each epoch, for going back.
        self.starts = { [position.epoch] = first - position.item }
        local same, problem = items:seek(position, visit)
        return same, problem
    end
    self.starts = { 0 }
    items:open(1)
    for i = 1, first do
        self:take(i - 1)
        if visit then visit(i) end
    end
    return true
end

--- The next item, which has this number.
function Stream:take(number)
    local item = self.items:next()
    local epoch = self.items.epoch
    self.starts[epoch] = self.starts[epoch] or number
    return item
end

--- Read the items of the batches before number n; of this rank's, from number `from` on, they are kept.
function Stream:read(n, from)
    local size = self.batch_size
    for number = self.upcoming, n - 1 do
        local own = number >= from and number % self.ranks == self.rank
        local list = own and {}
        self.marks[number] = self.items:position()
        for i = 1, size do
            local item = self:take(number * size + i - 1)
            if own then list[i] = item end
        end
        if own then self.queue[number] = list end
        self.upcoming = number + 1
    end
end

--- Start the epoch of batch n again: a step is being repeated to find out what went wrong in it.
function Stream:go_back(n)
    local first, epoch = n * self.batch_size, nil
    for known, start in pairs(self.starts) do
        if start <= first and (not epoch or known > epoch) then epoch = known end
    end
    self.queue, self.marks, self.oldest, self.upcoming, self.ready = {}, {}, n, n, nil
    self.items:seek { epoch = epoch, item = first - self.starts[epoch] }
end

--- The label of an item's pair: 0 or 1, -1 if it is not predicted.
function Stream:label_of(item)
    local label, wanted = item.label, self.next_sentence
    if wanted == false then return -1 end
    local has_pair = item.pair or item.pair_ids
    if label == 0 or label == 1 then
        if has_pair then return label end
    elseif label ~= nil then
        self.items:wrong("label = " .. tostring(label), "0 (the pair follows the text) or 1 (it is a random one)", item)
    end
    if wanted == "required" or label then
        self.items:wrong(has_pair and "no label" or "no pair", '{ text = ..., pair = ..., label = 0 or 1 } for the '
            .. 'objective "nsp"; with objectives = { "mlm" }, text is enough', item)
    end
    return -1
end

--- Tokenize an item into a batch.
function Stream:append(batch, item, number)
    local scratch = self.scratch
    local length, first_length, cut
    if item.text then
        length, first_length, cut = self.composer:texts(scratch, item.text, item.pair)
    else
        length, first_length, cut = self.composer:ids(scratch, item.ids, item.count, item.pair_ids, item.pair_count)
    end
    if self.type_vocab_size < 2 and first_length < length then
        self.items:wrong("a pair", ("single texts: the model has type_vocab_size %d"):format(self.type_vocab_size),
            item)
    end
    self.made = self.made + 1
    if cut then
        self.cut = self.cut + 1
        if self.cut == 1 then
            self.tell(("%s: cut to max_seq_length %d; others are only counted"):format(self.items:where(item),
                self.max_seq_length))
        end
    end
    batch:append_ids(scratch, length, first_length, self:label_of(item), self.masking, self.seed, number)
end

--- Make a batch in the memory whose turn it is.
function Stream:make(n)
    if n < self.upcoming and not self.queue[n] then self:go_back(n) end
    self:read(n + 1, n)
    local list, batch = self.queue[n], self.batches[self.turn]
    self.turn = 3 - self.turn
    self.queue[n] = nil
    batch:begin()
    for i, item in ipairs(list) do self:append(batch, item, n * self.batch_size + i - 1) end
    batch:finish()
    return batch
end

--- Micro-batch number n, from 0, which must be one of this rank's. Valid until the second-next call.
-- @return batch as of bertlua.data.loader
function Stream:batch(n)
    if n < 0 or n ~= math.floor(n) or n % self.ranks ~= self.rank then
        error(("stream: there is no batch %s of rank %d of %d"):format(tostring(n), self.rank, self.ranks), 2)
    end
    if not self.upcoming then self:start(0) end
    local ready = self.ready
    self.ready = nil
    local batch = ready and ready.number == n and ready.batch or self:make(n)
    for number = self.oldest, n - KEPT_MARKS do self.marks[number] = nil end
    self.oldest, self.last = math.max(self.oldest, n - KEPT_MARKS + 1), n
    return batch
end

--- Make the batch that this rank needs next, while the device computes; only if opened with ahead.
function Stream:prepare()
    if not self.ahead or self.ready or not self.last then return end
    local n = self.last + self.ranks
    self.ready = { number = n, batch = self:make(n) }
end

--- The position of the first item of batch n, the same on all ranks; n is the one after the last batch or, with several
-- ranks, after the last of any rank.
function Stream:position(n)
    -- Batches of this rank among them are still to come.
    if n > self.upcoming then self:read(n, self.upcoming) end
    -- It has one if an item failed while the batch was read: then the items stand behind its first.
    if n == self.upcoming and not self.marks[n] then return self.items:position() end
    return self.marks[n] or error(("stream: the position of batch %s is not known any more"):format(tostring(n)), 2)
end

--- How much of the data was used, for people.
function Stream:summary()
    local items = self.items
    local parts = { ("epoch %d, %s of it read"):format(items.epoch, plural.count(items.item, "item")) }
    if items.empty > 0 then parts[#parts + 1] = plural.count(items.empty, "empty item") .. " left out" end
    if self.cut > 0 then
        parts[#parts + 1] = ("%d of %d cut to %d tokens"):format(self.cut, self.made, self.max_seq_length)
    end
    return table.concat(parts, "; ")
end

--- Forget what was read ahead. The last two batches stay valid.
function Stream:close()
    self.queue, self.ready = {}, nil
end

return stream
