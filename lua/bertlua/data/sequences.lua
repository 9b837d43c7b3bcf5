--- Batches of tokenized sequences with labels, for fine-tuning and prediction.
--
-- As in pre-training, a sample has a number that never depends on what was
-- read before: sample i belongs to epoch i / N, and epoch e visits the sequences
-- in an order drawn from (seed, e). So batch(n) is the same after a restart and
-- nothing needs saving.
--
-- Sequences are a table of 0-based int32 arrays:
--
--     count                number of sequences N
--     ids, offsets [N+1]   sequence s is ids[offsets[s] .. offsets[s+1] - 1], special tokens included, no padding
--     first_length [N]     its first tokens that have type 0; the others have type 1
--     labels               each becomes a tensor of the batch: {name = int32 array [N]}, one number a sequence, or
--                          {name = {values = array, dtype = "i32" or "f32" (i32), width = numbers an entry (1), per =
--                          "sequences", "rows" or "groups" (sequences)}}: [N, width], or with rows one entry for each
--                          of ids; rows without a token get fill (-1)
--     max_length           no sequence is longer; longest: how long one really is, where a builder made them
--
-- A sample may be a group of k sequences, such as a text and its pair, which stay together: sequences k s to
-- k s + k - 1 are those of sample s. In a batch of B samples all first ones come first, then all second ones, so that
-- its results [k B] fall into k parts.
-- @module bertlua.data.sequences

local Composer = require "bertlua.data.composer"
local array = require "bertlua.array"
local device = require "bertlua.device"
local random = require "bertlua.rng"
local shapes = require "bertlua.data.shapes"
local summary = require "bertlua.summary"
require "bertlua.tensor" -- gives the tensors of a batch their methods

local sequences = {}

local Loader = {}
Loader.__index = Loader

-- Rows of a packed batch come in multiples of this, so that few shapes of matmuls occur.
local ROW_MULTIPLE = 64
-- Epoch e shuffles with this stream of the seed, plus e; parameters start from the low ones.
local ORDER_STREAM = 2 ^ 40

local function round_up(n, multiple)
    return math.ceil(n / multiple) * multiple
end

--- Labels as described above, with what they leave out.
local function label_of(given)
    if type(given) ~= "table" then given = { values = given } end
    return { values = given.values, dtype = given.dtype or "i32", width = given.width or 1,
        per = given.per or "sequences", fill = given.fill or -1 }
end

--- Tensors of a batch: list of {name, what it has one entry for, numbers of an entry, dtype}; all have 32 bits.
local function tensors_of(label_names, labels)
    local list = { { "ids", "rows", 1, "i32" }, { "positions", "rows", 1, "i32" }, { "types", "rows", 1, "i32" },
        { "segments", "sequences", 2, "i32" }, { "cls_index", "sequences", 1, "i32" } }
    for _, name in ipairs(label_names) do
        local label = labels[name]
        list[#list + 1] = { name, label.per, label.width, label.dtype }
    end
    return list
end

--- Memory of one batch.
-- @param counts entries by what there is one for: rows, sequences, groups
local function new_slot(tensors, counts)
    local bytes, offsets = 0, {}
    for _, entry in ipairs(tensors) do
        offsets[entry[1]] = bytes
        bytes = bytes + round_up(counts[entry[2]] * entry[3] * 4, 64)
    end
    local slot = { memory = device.pinned(bytes), fence = device.event(), offsets = offsets }
    slot.pinned = slot.memory:tensor(0, "i32", { bytes / 4 })
    return slot
end

--- Open sequences for reading.
-- @param set sequences, as above
-- @tparam table options batch_size in samples; group: sequences of a sample (1); max_length: sequences are padded to it
--   (default: the set's); pack_sequences (false); few_shapes (false): the numbers of rows come in coarse steps (see
--   shapes.lua); kept: {array, count} of the samples to use (all); seed (42) of the order; shuffle (true); endless
--   (true): the stream continues into the next epoch, else the last batch is smaller and none follows it
-- @return Loader with the fields samples, batch_size, batches (per epoch), max_seq_length, max_rows, tensors
function sequences.open(set, options)
    if type(options.batch_size) ~= "number" or options.batch_size < 1 then
        error("sequences: batch_size is " .. tostring(options.batch_size) .. ", expected at least 1", 2)
    end
    local group = options.group or 1
    if set.count % group ~= 0 then
        error(("sequences: %d sequences are no groups of %d"):format(set.count, group), 2)
    end
    local kept, samples = nil, set.count / group
    if options.kept then kept, samples = options.kept[1], options.kept[2] end
    if samples == 0 then error("sequences: the set has no sequence", 2) end
    local max_length = options.max_length or set.max_length
    local self = setmetatable({
        set = set, kept = kept, samples = samples, batch_size = options.batch_size, group = group,
        max_seq_length = max_length,
        packed = options.pack_sequences or false, seed = options.seed or 42,
        shuffle = options.shuffle ~= false, endless = options.endless ~= false,
        batches = math.ceil(samples / options.batch_size), orders = {}, turn = 1,
        label_names = {}, labels = {}, names = {},
    }, Loader)
    -- In a list: batch() is compiled, and a loop over pairs is not (bertlua.jit_guard).
    for name, given in pairs(set.labels or {}) do
        self.label_names[#self.label_names + 1], self.labels[name] = name, label_of(given)
    end
    table.sort(self.label_names)
    self.tensors = tensors_of(self.label_names, self.labels)
    for i, entry in ipairs(self.tensors) do self.names[i] = entry[1] end
    local most = self.batch_size * group
    local full = most * max_length
    self.row_step = options.few_shapes and shapes.step(full, 64, ROW_MULTIPLE) or ROW_MULTIPLE
    local rows = round_up(full, ROW_MULTIPLE)
    --- The most rows a batch may have.
    self.max_rows = rows
    local counts = { rows = rows, sequences = most, groups = self.batch_size }
    self.slots = { new_slot(self.tensors, counts), new_slot(self.tensors, counts) }
    return self
end

--- One line: sequences, shape of a batch.
function Loader:__tostring()
    return ("Loader: %s %s of up to %d tokens, batches of %d, %d in an epoch%s"):format(summary.count(self.samples),
        self.group == 1 and "sequences" or ("groups of %d sequences"):format(self.group), self.max_seq_length,
        self.batch_size, self.batches, self.packed and ", packed" or "")
end

--- Samples in the order of an epoch: int64 array; nil for their own order.
function Loader:order(epoch)
    if not self.shuffle then return nil end
    local order = self.orders[epoch]
    if order then return order end
    order = array.int64(self.samples)
    for i = 0, self.samples - 1 do order[i] = self.kept and self.kept[i] or i end
    random.new(self.seed, ORDER_STREAM + epoch):shuffle(order, self.samples)
    -- A batch touches two epochs at most; keep no more.
    for old in pairs(self.orders) do
        if math.abs(old - epoch) > 1 then self.orders[old] = nil end
    end
    self.orders[epoch] = order
    return order
end

--- Numbers of the samples of batch n.
function Loader:members(n)
    local first, list = n * self.batch_size, {}
    local count = self.endless and self.batch_size or math.min(self.batch_size, self.samples - first)
    for i = 0, count - 1 do
        local epoch = math.floor((first + i) / self.samples)
        local place, order = first + i - epoch * self.samples, self:order(epoch)
        list[i + 1] = order and tonumber(order[place]) or self.kept and self.kept[place] or place
    end
    return list
end

--- Numbers of the sequences of samples: all first ones, then all second ones.
function Loader:sequences_of(samples)
    if self.group == 1 then return samples end
    local list, group = {}, self.group
    for part = 0, group - 1 do
        for _, sample in ipairs(samples) do list[#list + 1] = sample * group + part end
    end
    return list
end

local function tensor_of(slot, name, dtype, dims)
    local t = slot.memory:tensor(slot.offsets[name], dtype, dims)
    return t, array.wrap(t)
end

--- Write the labels of the batch's sequences.
-- @param target array of its tensor
-- @param first_rows of each sequence, rows of all: for labels of rows
local function put_label(target, label, set, members, first_rows, rows)
    local values, width = label.values, label.width
    if label.per == "rows" then
        for i = 0, rows * width - 1 do target[i] = label.fill end
    end
    for i, s in ipairs(members) do
        local from, to, count = s * width, (i - 1) * width, width
        if label.per == "rows" then
            from, to = set.offsets[s] * width, first_rows[i] * width
            count = (set.offsets[s + 1] - set.offsets[s]) * width
        end
        for k = 0, count - 1 do target[to + k] = values[from + k] end
    end
end

--- Rows that belong to no token: id 0, in no segment.
local function fill_up(data, first, last)
    for row = first, last do data.ids[row], data.types[row], data.positions[row] = 0, 0, 0 end
end

--- Write the tokens of sequence s at a row; returns their number.
local function put(set, s, row, data)
    local ids, positions, types = data.ids, data.positions, data.types
    local from, length, first_length = set.offsets[s], set.offsets[s + 1] - set.offsets[s], set.first_length[s]
    for i = 0, length - 1 do
        ids[row + i], positions[row + i], types[row + i] = set.ids[from + i], i, i < first_length and 0 or 1
    end
    return length
end

--- First row of each listed sequence, and the rows that all take.
local function place_rows(self, members)
    local starts, rows, offsets = {}, 0, self.set.offsets
    for i, s in ipairs(members) do
        starts[i] = rows
        rows = rows + (self.packed and offsets[s + 1] - offsets[s] or self.max_seq_length)
    end
    if not self.packed then return starts, rows end
    return starts, shapes.round(rows, self.row_step, self.batch_size * self.group * self.max_seq_length, ROW_MULTIPLE)
end

--- Micro-batch number n, from 0. Valid until the second-next call.
-- @return batch {batch_size in sequences (B), groups = number of samples, max_length, rows, tokens, ids, positions,
--   types [rows], segments [B,2], cls_index [B], a tensor per label: [B], [B,width], [rows] or [rows,width], with
--   groups instead of B for labels of groups; members = numbers of its sequences; tensors = names of all of these}
function Loader:batch(n)
    if n < 0 or n ~= math.floor(n) or (not self.endless and n >= self.batches) then
        error("sequences: there is no batch number " .. tostring(n), 2)
    end
    local slot = self.slots[self.turn]
    self.turn = 3 - self.turn
    slot.fence:wait()
    local set, samples = self.set, self:members(n)
    local members = self:sequences_of(samples)
    local first_rows, rows = place_rows(self, members)
    local batch = { batch_size = #members, groups = #samples, max_length = self.max_seq_length, rows = rows, tokens = 0,
        members = members, pinned = slot.pinned, fence = slot.fence, tensors = self.names }
    local data = {}
    for _, entry in ipairs(self.tensors) do
        local name = entry[1]
        local count = entry[2] == "rows" and rows or entry[2] == "groups" and #samples or #members
        batch[name], data[name] = tensor_of(slot, name, entry[4], entry[3] == 1 and { count } or { count, entry[3] })
    end
    for i, s in ipairs(members) do
        local row = first_rows[i]
        local length = put(set, s, row, data)
        data.segments[2 * i - 2], data.segments[2 * i - 1], data.cls_index[i - 1] = row, length, row
        batch.tokens = batch.tokens + length
        if not self.packed then fill_up(data, row + length, row + self.max_seq_length - 1) end
    end
    for _, name in ipairs(self.label_names) do
        local label = self.labels[name]
        put_label(data[name], label, set, label.per == "groups" and samples or members, first_rows, rows)
    end
    if self.packed then fill_up(data, batch.tokens, rows - 1) end
    return batch
end

local Builder = {}
Builder.__index = Builder

--- Make sequences out of texts: [CLS] text [SEP], or [CLS] text [SEP] pair [SEP].
-- @param words tokenizer
-- @tparam number max_length tokens of a sequence
-- @return Builder with the field cut: texts whose end did not fit
function sequences.builder(words, max_length)
    return setmetatable({ composer = Composer.new(words, max_length), max_length = max_length,
        ids = array.int32(4096), capacity = 4096, used = 0, offsets = { 0 }, first_lengths = {}, cut = 0, longest = 0 },
        Builder)
end

--- Add a text, or a pair of texts; see Composer for what happens to those that are too long.
function Builder:add(text, pair)
    if self.capacity - self.used < self.max_length then
        local larger = array.int32(2 * self.capacity + self.max_length)
        array.copy(larger, self.ids, 4 * self.used)
        self.ids, self.capacity = larger, 2 * self.capacity + self.max_length
    end
    local length, first_length, cut = self.composer:texts(self.ids + self.used, text, pair)
    if cut then self.cut = self.cut + 1 end
    self.used = self.used + length
    self.first_lengths[#self.first_lengths + 1] = first_length
    self.offsets[#self.offsets + 1] = self.used
    self.longest = math.max(self.longest, length)
end

--- The sequences of all texts added.
-- @tparam table labels as above
function Builder:finish(labels)
    local count = #self.first_lengths
    local offsets, first_length = array.int32(count + 1), array.int32(count)
    for i, at in ipairs(self.offsets) do offsets[i - 1] = at end
    for i, length in ipairs(self.first_lengths) do first_length[i - 1] = length end
    return { count = count, ids = self.ids, offsets = offsets, first_length = first_length, labels = labels,
        max_length = self.max_length, longest = self.longest }
end

--- Give the memory back; the batches must not be used afterwards.
function Loader:close()
    for _, slot in ipairs(self.slots) do
        slot.fence:wait()
        slot.fence:free()
        slot.memory:free()
    end
    self.slots = {}
end

return sequences
