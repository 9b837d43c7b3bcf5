--- Batches of sequences that are masked each time they are read, from a set of bertlua.data.packing.
--
-- Sample i belongs to epoch i / N, and epoch e visits the sequences in an order drawn from (seed, e); its masks are
-- drawn from (seed, i). So batch(n) is the same after a restart and in any number of processes.
-- @module bertlua.data.masked_sequences

local array = require "bertlua.array"
local data = require "bertlua.data"
local loader = require "bertlua.data.loader"
local random = require "bertlua.rng"
local shapes = require "bertlua.data.shapes"

local masked_sequences = {}

local Loader = {}
Loader.__index = Loader

-- Epoch e shuffles with this stream of the seed, plus e; as in bertlua.data.sequences.
local ORDER_STREAM = 2 ^ 40

--- Which tokens go on with a word: uint8 array by id.
-- @param words tokenizer
function masked_sequences.continues(words)
    local list = array.uint8(words:size())
    for id = 0, words:size() - 1 do list[id] = words:token(id):sub(1, 2) == "##" and 1 or 0 end
    return list
end

--- The most tokens that are masked in a sequence, where nothing limits them: as many as the share says, rounded.
function masked_sequences.most_masked(max_length, share)
    return math.min(max_length, math.max(1, math.ceil(max_length * share)))
end

--- Open a set for reading.
-- @param set of bertlua.data.packing
-- @tparam table options words: tokenizer; batch_size; masked_lm_prob (0.15); max_predictions_per_seq (as many as the
--   share says); whole_words (false); seed (42); shuffle (true); endless (true): the stream continues into the next
--   epoch, else the last batch may be smaller and none follows it; pack_sequences (false); few_shapes (false), as in
--   bertlua.data.loader
-- @return Loader with the fields samples, batches (per epoch), batch_size, max_seq_length, max_predictions_per_seq,
--   tensors
function masked_sequences.open(set, options)
    if set.count == 0 then error("masked_sequences: the set has no sequence", 2) end
    local words, size, length = options.words, options.batch_size, set.max_length
    local share = options.masked_lm_prob or 0.15
    local slots = options.max_predictions_per_seq or masked_sequences.most_masked(length, share)
    local self = setmetatable({
        set = set, tensors = loader.TENSORS, samples = set.count, batch_size = size,
        batches = math.ceil(set.count / size), max_seq_length = length, max_predictions_per_seq = slots,
        seed = options.seed or 42, shuffle = options.shuffle ~= false, endless = options.endless ~= false,
        scratch = array.int32(length), orders = {}, turn = 1, made = {},
    }, Loader)
    self.masking = data.masking {
        probability = share, max_predictions = slots, vocab_size = words:size(), cls_id = words.cls_id,
        sep_id = words.sep_id, mask_id = words.mask_id,
        continues = options.whole_words and masked_sequences.continues(words) or nil,
    }
    self.packed = options.pack_sequences or false
    self.multiples = options.few_shapes and {
        rows = shapes.step(size * length, 64, 64), masked = shapes.step(size * slots, 16, 16),
    } or nil
    return self
end

--- Memory for a batch of so many sequences: two of the usual size, one of the last batch's.
function Loader:slot(count)
    self.turn = 3 - self.turn
    local key = count == self.batch_size and self.turn or 0
    local batch = self.made[key]
    if not batch then
        batch = data.batch(count, self.max_seq_length, self.max_predictions_per_seq, self.packed, self.multiples)
        self.made[key] = batch
    end
    return batch
end

--- Sequences in the order of an epoch: int64 array.
function Loader:order(epoch)
    local order = self.orders[epoch]
    if order then return order end
    order = array.int64(self.samples)
    for i = 0, self.samples - 1 do order[i] = i end
    if self.shuffle then random.new(self.seed, ORDER_STREAM + epoch):shuffle(order, self.samples) end
    -- A batch touches two epochs at most, unless the set is smaller than a batch; keep no more.
    for old in pairs(self.orders) do
        if math.abs(old - epoch) > 1 then self.orders[old] = nil end
    end
    self.orders[epoch] = order
    return order
end

--- Micro-batch number n, from 0. Valid until the second-next call.
-- @return batch as of bertlua.data.loader
function Loader:batch(n)
    if n < 0 or n ~= math.floor(n) or not self.endless and n >= self.batches then
        error("masked_sequences: there is no batch number " .. tostring(n), 2)
    end
    local first, count = n * self.batch_size, self.batch_size
    if not self.endless then count = math.min(count, self.samples - first) end
    local batch, scratch = self:slot(count), self.scratch
    batch:begin()
    for sample = first, first + count - 1 do
        local epoch = math.floor(sample / self.samples)
        local s = tonumber(self:order(epoch)[sample - epoch * self.samples])
        local length, first_length, label = self.set:fill(s, scratch)
        batch:append_ids(scratch, length, first_length, label, self.masking, self.seed, sample)
    end
    return batch:finish()
end

--- Forget the orders. The last two batches stay valid.
function Loader:close()
    self.orders = {}
end

return masked_sequences
