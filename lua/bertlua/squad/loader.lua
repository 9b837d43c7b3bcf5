--- Question-answering batches from a FeatureSet.
--
-- As in pre-training, a sample has a number that never depends on what was
-- read before: sample i belongs to epoch i / N, and epoch e visits the features
-- in an order drawn from (seed, e). So batch(n) is the same after a restart and
-- no state needs to be saved. For what a feature is, see feature_set.lua.
-- @module bertlua.squad.loader

local array = require "bertlua.array"
local device = require "bertlua.device"
local random = require "bertlua.rng"
local shapes = require "bertlua.data.shapes"
require "bertlua.tensor" -- gives the tensors of a batch their methods

local loader = {}

local Loader = {}
Loader.__index = Loader

-- The rows of a packed batch are rounded up to a multiple of this, to limit the number of matmul shapes.
local ROW_MULTIPLE = 64
-- Epoch e shuffles with stream ORDER_STREAM + e of the seed; parameters are initialised from the low ones.
local ORDER_STREAM = 2 ^ 40

local function round_up(n, multiple)
    return math.ceil(n / multiple) * multiple
end

--- Memory of one batch.
local function new_slot(batch_size, rows)
    local row_bytes, sequence_bytes = round_up(rows * 4, 64), round_up(batch_size * 8, 64)
    local bytes = 3 * row_bytes + 4 * sequence_bytes
    local slot = { memory = device.pinned(bytes), fence = device.event() }
    slot.pinned = slot.memory:tensor(0, "i32", { bytes / 4 })
    slot.offsets = { ids = 0, positions = row_bytes, types = 2 * row_bytes }
    for i, name in ipairs { "segments", "cls_index", "starts", "ends" } do
        slot.offsets[name] = 3 * row_bytes + (i - 1) * sequence_bytes
    end
    return slot
end

--- Open a set for reading.
-- @param set FeatureSet
-- @tparam table options batch_size; max_length: sequences are padded to it (default: from the set's settings);
--   pack_sequences (false); few_shapes (false): the number of rows varies in coarse steps (see shapes.lua);
--   null_window_share (1): see FeatureSet:training_features; seed (42): for that choice and
--   the order; shuffle (true); endless (true): the stream continues into the next epoch, else the last batch is
--   smaller and there is none after it
-- @return Loader with the fields samples, batch_size, batches (of an epoch)
function loader.open(set, options)
    if type(options.batch_size) ~= "number" or options.batch_size < 1 then
        error("squad loader: batch_size is " .. tostring(options.batch_size) .. ", expected at least 1", 2)
    end
    local share = options.null_window_share or 1
    local kept, samples = nil, set.count
    if share < 1 then kept, samples = set:training_features(share, options.seed or 42) end
    if samples == 0 then error("squad loader: the set has no features", 2) end
    local max_length = options.max_length or set.settings.max_seq_length
    local self = setmetatable({
        set = set, kept = kept, samples = samples, batch_size = options.batch_size, max_length = max_length,
        packed = options.pack_sequences or false, seed = options.seed or 42,
        shuffle = options.shuffle ~= false, endless = options.endless ~= false,
        batches = math.ceil(samples / options.batch_size), orders = {}, turn = 1,
    }, Loader)
    local full = self.batch_size * max_length
    self.row_step = options.few_shapes and shapes.step(full, 64, ROW_MULTIPLE) or ROW_MULTIPLE
    local rows = round_up(full, ROW_MULTIPLE)
    --- Maximum rows of a batch.
    self.max_rows = rows
    self.slots = { new_slot(self.batch_size, rows), new_slot(self.batch_size, rows) }
    return self
end

--- Features in the order of an epoch: int64 array; nil if they are not shuffled.
function Loader:order(epoch)
    if not self.shuffle then return nil end
    local order = self.orders[epoch]
    if order then return order end
    order = array.int64(self.samples)
    for i = 0, self.samples - 1 do order[i] = self.kept and self.kept[i] or i end
    random.new(self.seed, ORDER_STREAM + epoch):shuffle(order, self.samples)
    -- A batch touches at most two epochs; keep no more.
    for old in pairs(self.orders) do
        if math.abs(old - epoch) > 1 then self.orders[old] = nil end
    end
    self.orders[epoch] = order
    return order
end

--- Numbers of the features of batch n.
function Loader:features(n)
    local first, list = n * self.batch_size, {}
    local count = self.endless and self.batch_size or math.min(self.batch_size, self.samples - first)
    for i = 0, count - 1 do
        local epoch = math.floor((first + i) / self.samples)
        local place, order = first + i - epoch * self.samples, self:order(epoch)
        list[i + 1] = order and tonumber(order[place]) or self.kept and self.kept[place] or place
    end
    return list
end

local function tensor_of(slot, name, dims)
    local t = slot.memory:tensor(slot.offsets[name], "i32", dims)
    return t, array.wrap(t)
end

--- Fill rows that belong to no token: id 0, in no segment.
local function fill_up(data, first, last)
    for row = first, last do data.ids[row], data.types[row], data.positions[row] = 0, 0, 0 end
end

--- Write the tokens of feature f at a row; returns their number.
local function put(set, f, row, data)
    local ids, positions, types = data.ids, data.positions, data.types
    local from, length = set.offsets[f], set.offsets[f + 1] - set.offsets[f]
    local window = set.query_length[f] + 2
    for i = 0, length - 1 do
        ids[row + i], positions[row + i], types[row + i] = set.ids[from + i], i, i < window and 0 or 1
    end
    return length
end

--- Rows that the listed features occupy, and the first row of each.
local function place_rows(self, features)
    local starts, rows = {}, 0
    for i, f in ipairs(features) do
        starts[i] = rows
        rows = rows + (self.packed and self.set:length(f) or self.max_length)
    end
    if not self.packed then return starts, rows end
    return starts, shapes.round(rows, self.row_step, self.batch_size * self.max_length, ROW_MULTIPLE)
end

--- Micro-batch number n, from 0. Valid until the second-next call.
-- @return batch {batch_size, max_length, rows, tokens, ids, positions, types, segments, cls_index, starts, ends;
--   features = numbers in the set}
function Loader:batch(n)
    if n < 0 or n ~= math.floor(n) or (not self.endless and n >= self.batches) then
        error("squad loader: there is no batch " .. tostring(n), 2)
    end
    local slot = self.slots[self.turn]
    self.turn = 3 - self.turn
    slot.fence:wait()
    local set, features = self.set, self:features(n)
    local first_rows, rows = place_rows(self, features)
    local batch = { batch_size = #features, max_length = self.max_length, rows = rows, tokens = 0,
        features = features, pinned = slot.pinned, fence = slot.fence }
    local data = {}
    for _, name in ipairs { "ids", "positions", "types" } do
        batch[name], data[name] = tensor_of(slot, name, { rows })
    end
    for _, name in ipairs { "cls_index", "starts", "ends" } do
        batch[name], data[name] = tensor_of(slot, name, { #features })
    end
    batch.segments, data.segments = tensor_of(slot, "segments", { #features, 2 })
    for i, f in ipairs(features) do
        local row = first_rows[i]
        local length = put(set, f, row, data)
        data.segments[2 * i - 2], data.segments[2 * i - 1], data.cls_index[i - 1] = row, length, row
        data.starts[i - 1], data.ends[i - 1] = set.start_position[f], set.end_position[f]
        batch.tokens = batch.tokens + length
        if not self.packed then fill_up(data, row + length, row + self.max_length - 1) end
    end
    if self.packed then fill_up(data, batch.tokens, rows - 1) end
    return batch
end

--- Free the memory; the batches must not be used afterwards.
function Loader:close()
    for _, slot in ipairs(self.slots) do
        slot.fence:wait()
        slot.fence:free()
        slot.memory:free()
    end
    self.slots = {}
end

return loader
