--- Batches for pre-training from a folder of HDF5 shards.
--
-- A sample has a number that never depends on what was read before: sample
-- number i belongs to epoch i / samples, and epoch e visits the shards, and the
-- rows of each, in an order drawn from (seed, e). So batch(n) is the same after
-- a restart, every epoch covers each sample once, and no state needs to be saved.
-- At most two shards are in memory; a thread reads the next one. With several
-- ranks, each holds only the rows of its own batches (rank, rank + ranks, ...);
-- the order of the epoch determines which, so a shard is re-read in every epoch.
-- For reading and checking a shard, see bertlua.data.
-- @module bertlua.data.loader

local array = require "bertlua.array"
local data = require "bertlua.data"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local plural = require "bertlua.util.plural"
local random = require "bertlua.rng"
local shapes = require "bertlua.data.shapes"
local summary = require "bertlua.summary"
local vocabulary_file = require "bertlua.text.vocabulary_file"

local loader = {}

local Loader = {}
Loader.__index = Loader

-- Tensors of a batch: name, what it has one entry for, i32 of an entry.
loader.TENSORS = {
    { "ids", "rows", 1 }, { "positions", "rows", 1 }, { "types", "rows", 1 }, { "segments", "sequences", 2 },
    { "cls_index", "sequences", 1 }, { "masked_index", "masked", 1 }, { "masked_labels", "masked", 1 },
    { "nsp_labels", "sequences", 1 },
}

-- Streams of the seed: the order of shards in an epoch, then that of the rows of each shard. New masks start at 2^63.
local STREAMS_PER_EPOCH = 2 ^ 21

--- A folder's shards for a split, sorted.
-- NVIDIA's scripts put "training" and "test" in the names; other names count as training.
local function shard_files(input_dir, split)
    if not fs.is_directory(input_dir) then
        fault.raise(("%s: no such folder; input_dir must hold the .hdf5 files of create_pretraining_data")
            :format(input_dir))
    end
    local names = fault.check(fs.list(input_dir))
    local all, chosen = {}, {}
    for _, name in ipairs(names) do
        if name:match("%.hdf5$") or name:match("%.h5$") then all[#all + 1] = name end
    end
    if #all == 0 then
        fault.raise(("%s: contains no shards (no *.hdf5 or *.h5 among %s); "
            .. "make some with `bertlua create_pretraining_data`"):format(input_dir,
            plural.count(#names, "entry", "entries")))
    end
    for _, name in ipairs(all) do
        -- Only as a word of its own: "latest_0.hdf5" is for training.
        local is_test = name:find("%f[%a]test%f[%A]") ~= nil and not name:find("training", 1, true)
        if split == "all" or is_test == (split == "test") then chosen[#chosen + 1] = fs.join(input_dir, name) end
    end
    if #chosen == 0 then
        fault.raise(("%s: contains %s but none for split \"%s\" (those with \"test\" in their names are test shards)")
            :format(input_dir, plural.count(#all, "shard"), split))
    end
    if #chosen > STREAMS_PER_EPOCH - 2 then fault.raise(input_dir .. ": too many shards, expected fewer than 2^21") end
    return chosen
end

--- Sizes of all shards, which must agree with each other and with the settings.
local function probe_all(files, limits)
    local counts, total, first, listed = {}, 0, nil, {}
    for i, path in ipairs(files) do
        local info = fault.check(data.probe(path, limits))
        first = first or info
        if info.vocabulary ~= first.vocabulary then
            fault.raise(("%s and %s were made with different vocabularies; keep them in separate folders"):format(path,
                files[1]))
        end
        for _, field in ipairs { "max_seq_length", "max_predictions_per_seq" } do
            if info[field] ~= first[field] then
                fault.raise(("%s: %s is %d, but %s has %d; keep data sets of different sizes in separate folders")
                    :format(path, field, info[field], files[1], first[field]))
            end
        end
        counts[i] = info.samples
        total = total + info.samples
        listed[i] = { name = path:match "[^/]*$", path = path, samples = info.samples, bytes = info.bytes,
            checksum = info.checksum }
    end
    return counts, total, first, listed
end

--- Paths of the shards of a folder, sorted by name.
-- @tparam string input_dir
-- @tparam string split as in open
function loader.files(input_dir, split)
    local files = shard_files(input_dir, split)
    return files
end

--- The shards of a folder, without a look at what they hold.
-- @tparam string input_dir
-- @tparam string split as in open
-- @return list of {name, path, samples, bytes, checksum}, sorted by name
function loader.listed(input_dir, split)
    local listed = select(4, probe_all(shard_files(input_dir, split), {}))
    return listed
end

--- Token ids mean nothing with another vocabulary: compare its hash with the one create_pretraining recorded.
local function check_vocabulary(path, info, vocab_file)
    local noted = info.vocabulary and info.vocabulary:match("^sha256:(%x+)")
    if not (noted and vocab_file) then return end
    local hash = vocabulary_file.sha256(vocab_file)
    if hash ~= noted then
        fault.raise(("%s: made with a vocabulary with sha256 %s, but %s has %s; use the vocabulary of the data")
            :format(path, noted:sub(1, 16), vocab_file, hash:sub(1, 16)))
    end
end

local function masking_rule(options, info)
    local special = options.special_ids or {}
    if not options.vocab_size then error("loader: dynamic_masking needs vocab_size", 3) end
    if not (special.mask_id and special.cls_id and special.sep_id) then
        error("loader: dynamic_masking needs special_ids = {cls_id=, sep_id=, mask_id=}", 3)
    end
    return data.masking {
        probability = options.masked_lm_prob or 0.15,
        max_predictions = options.max_predictions_per_seq or info.max_predictions_per_seq,
        vocab_size = options.vocab_size,
        cls_id = special.cls_id,
        sep_id = special.sep_id,
        mask_id = special.mask_id,
    }
end

--- Open a folder of shards.
-- @tparam table options input_dir, batch_size (required); max_seq_length, max_predictions_per_seq, vocab_size,
--   type_vocab_size (2): the shards are checked against these; vocab_file: its hash must match the one recorded in the
--   shards, if any; seed (42); shuffle (true); split ("training", "test" or
--   "all"); pack_sequences (false); dynamic_masking (false) with special_ids = {cls_id, sep_id, mask_id} and
--   masked_lm_prob (0.15);
--   rank (0), ranks (1): batch n is requested only if n % ranks is rank;
--   on_first_shard: called with the first shard that is read; prefetch (true); few_shapes (false): the numbers of rows
-- and masked tokens vary in coarse steps (see shapes.lua)
-- @return Loader with the fields samples, shards, batch_size, max_seq_length, max_predictions_per_seq, tensors;
--   listed: {name, path, samples, bytes, checksum} of each file, sorted by name; input_dir
function loader.open(options)
    local batch_size = options.batch_size
    if type(batch_size) ~= "number" or batch_size < 1 then
        error("loader: batch_size is " .. tostring(batch_size) .. ", expected at least 1", 2)
    end
    local split = options.split or "training"
    if split ~= "training" and split ~= "test" and split ~= "all" then
        error("loader: split is " .. tostring(split) .. ", expected training, test or all", 2)
    end
    local rank, ranks = options.rank or 0, options.ranks or 1
    if not (rank >= 0 and rank < ranks) then
        error(("loader: rank is %s of %s, expected 0 to %s"):format(rank, ranks, ranks - 1), 2)
    end
    local limits = {
        max_seq_length = options.max_seq_length,
        max_predictions_per_seq = options.max_predictions_per_seq,
        vocab_size = options.vocab_size,
        type_vocab_size = options.type_vocab_size or 2,
    }
    local files = shard_files(options.input_dir, split)
    local counts, total, info, listed = probe_all(files, limits)
    check_vocabulary(files[1], info, options.vocab_file)
    local slots = options.max_predictions_per_seq or info.max_predictions_per_seq
    local self = setmetatable({
        tensors = loader.TENSORS,
        files = files,
        listed = listed,
        input_dir = options.input_dir,
        counts = counts,
        limits = limits,
        samples = total,
        shards = #files,
        batch_size = batch_size,
        max_seq_length = info.max_seq_length,
        max_predictions_per_seq = slots,
        seed = options.seed or 42,
        shuffle = options.shuffle ~= false,
        masking = options.dynamic_masking and masking_rule(options, info) or nil,
        prefetching = options.prefetch ~= false,
        on_first_shard = options.on_first_shard,
        rank = rank,
        ranks = ranks,
        epochs = {},
        slots = {},
        turn = 1,
        clock = 0,
        ascending_count = 0,
    }, Loader)
    local packed = options.pack_sequences or false
    local multiples = options.few_shapes and {
        rows = shapes.step(batch_size * self.max_seq_length, 64, 64),
        masked = shapes.step(batch_size * slots, 16, 16),
    }
    self.batches = {
        data.batch(batch_size, self.max_seq_length, slots, packed, multiples),
        data.batch(batch_size, self.max_seq_length, slots, packed, multiples),
    }
    return self
end

--- Samples, shards, shape of a batch.
function Loader:__tostring()
    return ("Loader: %s samples in %d shard%s, batches of %d, sequences of up to %d tokens%s"):format(
        summary.count(self.samples), self.shards, self.shards == 1 and "" or "s", self.batch_size, self.max_seq_length,
        self.masking and ",\n  masked anew in each epoch" or "")
end

--- Order of the shards in an epoch: list of shard numbers, and the sample each starts at (one more entry at the end).
function Loader:epoch_order(epoch)
    local known = self.epochs[epoch]
    if known then return known end
    local count = self.shards
    local numbers = array.int64(count)
    for i = 0, count - 1 do numbers[i] = i + 1 end
    if self.shuffle then random.new(self.seed, epoch * STREAMS_PER_EPOCH):shuffle(numbers, count) end
    local order, starts, start = {}, {}, 0
    for i = 1, count do
        order[i] = tonumber(numbers[i - 1])
        starts[i] = start
        start = start + self.counts[order[i]]
    end
    starts[count + 1] = start
    known = { order = order, starts = starts }
    -- A batch touches at most two epochs; keep no more.
    for old in pairs(self.epochs) do
        if math.abs(old - epoch) > 1 then self.epochs[old] = nil end
    end
    self.epochs[epoch] = known
    return known
end

--- Position of a sample within an epoch: index into the order, by binary search.
local function find_place(starts, offset)
    local low, high = 1, #starts - 1
    while low < high do
        local middle = math.floor((low + high + 1) / 2)
        if starts[middle] <= offset then low = middle else high = middle - 1 end
    end
    return low
end

--- Rows 0 to count - 1 of a shard in the order of an epoch, written to an int64 array.
function Loader:order_rows(rows, epoch, number)
    local count = self.counts[number]
    for i = 0, count - 1 do rows[i] = i end
    if self.shuffle then random.new(self.seed, epoch * STREAMS_PER_EPOCH + number):shuffle(rows, count) end
end

--- How many of the samples below a number belong to this rank.
function Loader:own_below(sample)
    local size = self.batch_size
    local round = size * self.ranks
    local rounds = math.floor(sample / round)
    local rest = sample - rounds * round - self.rank * size
    return rounds * size + math.max(0, math.min(size, rest))
end

--- The rows to keep of the shard at a position in an epoch: this rank's, in the order of the epoch, or all.
-- @return int64 array, valid until the next call, and count; nil for all
function Loader:part(epoch, place)
    if self.ranks == 1 then return nil end
    local known = self:epoch_order(epoch)
    local number = known.order[place]
    if not self.scratch then self.scratch = array.int64(self:largest()) end
    local rows, first = self.scratch, epoch * self.samples + known.starts[place]
    self:order_rows(rows, epoch, number)
    local size, rank, ranks, count = self.batch_size, self.rank, self.ranks, 0
    for i = 0, self.counts[number] - 1 do
        if math.floor((first + i) / size) % ranks == rank then
            rows[count] = rows[i]
            count = count + 1
        end
    end
    return rows, count
end

--- Samples of the largest shard.
function Loader:largest()
    local most = 0
    for _, count in ipairs(self.counts) do most = math.max(most, count) end
    return most
end

--- Consecutive rows of a slot starting at a sample of its shard, counted from the shard's first in the epoch.
function Loader:rows_from(slot, epoch, place, skipped)
    if self.ranks == 1 then
        slot.rows = slot.rows or array.int64(self:largest())
        if slot.ordered ~= epoch then self:order_rows(slot.rows, epoch, slot.number) end
        slot.ordered = epoch
        return slot.rows + skipped
    end
    -- Held rows are already in order.
    local held = slot.shard.held
    if self.ascending_count < held then
        self.ascending, self.ascending_count = array.int64(held), held
        for i = 0, held - 1 do self.ascending[i] = i end
    end
    local first = epoch * self.samples + self:epoch_order(epoch).starts[place]
    return self.ascending + (self:own_below(first + skipped) - self:own_below(first))
end

--- The slot to overwrite: a free one, else the least recently used one.
function Loader:victim()
    local slots = self.slots
    if #slots < 2 then
        slots[#slots + 1] = { used = 0 }
        return slots[#slots]
    end
    local slot = slots[1].used <= slots[2].used and slots[1] or slots[2]
    if slot.shard then slot.shard:free() end
    slot.shard, slot.number, slot.epoch, slot.ordered = nil, nil, nil, nil
    return slot
end

--- Whether a slot, or a pending read into one, serves a position in an epoch.
function Loader:holds(slot, epoch, number)
    return slot.number == number and (self.ranks == 1 or slot.epoch == epoch)
end

--- The number of samples of a shard must not have changed since the folder was opened.
function Loader:limits_of(number)
    self.limits.samples = self.counts[number]
    return self.limits
end

--- The slot with the rows needed at a position in an epoch; reads them now if they are in no slot and not being read.
function Loader:slot_of(epoch, place)
    local number = self:epoch_order(epoch).order[place]
    self.clock = self.clock + 1
    for _, slot in ipairs(self.slots) do
        if self:holds(slot, epoch, number) then
            slot.used = self.clock
            return slot
        end
    end
    local pending = self.pending
    local slot, shard, message
    if pending and self:holds(pending, epoch, number) then
        self.pending = nil
        shard, message = pending.prefetch:wait()
        if not shard then fault.raise(message) end
        slot = self:victim()
    else
        self:drop_pending()
        slot = self:victim()
        shard, message = data.read_shard(self.files[number], self:limits_of(number), self:part(epoch, place))
        if not shard then fault.raise(message) end
    end
    slot.shard, slot.number, slot.epoch, slot.used = shard, number, epoch, self.clock
    if self.on_first_shard then
        self.on_first_shard(shard)
        self.on_first_shard = nil
    end
    return slot
end

--- Give up the shard that is being read ahead.
function Loader:drop_pending()
    if self.pending then self.pending.prefetch:cancel() end
    self.pending = nil
end

--- The next position from which this rank needs a row, and its epoch.
function Loader:next_place(epoch, place)
    while true do
        if place == self.shards then epoch, place = epoch + 1, 1 else place = place + 1 end
        local known = self:epoch_order(epoch)
        local first = epoch * self.samples
        if self:own_below(first + known.starts[place + 1]) > self:own_below(first + known.starts[place]) then
            return epoch, place
        end
    end
end

--- Start reading what follows a position, unless it is already in memory.
function Loader:read_ahead(epoch, place)
    if not self.prefetching or self.shards == 1 and self.ranks == 1 then return end
    epoch, place = self:next_place(epoch, place)
    local number = self:epoch_order(epoch).order[place]
    if self.pending and self:holds(self.pending, epoch, number) then return end
    for _, slot in ipairs(self.slots) do
        if self:holds(slot, epoch, number) then return end
    end
    self:drop_pending()
    -- The older slot is no longer needed: free it first, so that the peak is two shards.
    if #self.slots == 2 then self:victim() end
    local prefetch = fault.check(data.prefetch(self.files[number], self:limits_of(number), self:part(epoch, place)))
    self.pending = { number = number, epoch = epoch, prefetch = prefetch }
end

--- Micro-batch number n, from 0, which must be one of this rank's.
-- Valid until the second-next call.
-- @return batch {batch_size, max_length, rows, tokens, masked, ids, positions, types, segments, cls_index,
--   masked_index, masked_labels, nsp_labels}
function Loader:batch(n)
    if n < 0 or n ~= math.floor(n) then error("loader: batch is " .. tostring(n) .. ", expected 0, 1, ...", 2) end
    if n % self.ranks ~= self.rank then
        error(("loader: batch %d does not belong to rank %d of %d"):format(n, self.rank, self.ranks), 2)
    end
    local batch = self.batches[self.turn]
    self.turn = 3 - self.turn
    local sample = n * self.batch_size
    local left = self.batch_size
    local epoch, place
    batch:begin()
    while left > 0 do
        epoch = math.floor(sample / self.samples)
        local offset = sample - epoch * self.samples
        local known = self:epoch_order(epoch)
        place = find_place(known.starts, offset)
        local slot = self:slot_of(epoch, place)
        local rows = self:rows_from(slot, epoch, place, offset - known.starts[place])
        local count = math.min(left, known.starts[place + 1] - offset)
        batch:append(slot.shard, rows, count, self.masking, self.seed, sample)
        sample, left = sample + count, left - count
    end
    batch:finish()
    self:read_ahead(epoch, place)
    return batch
end

--- Rows in memory: this rank's of at most two shards, not counting those a thread is reading.
function Loader:held_rows()
    local rows = 0
    for _, slot in ipairs(self.slots) do rows = rows + (slot.shard and slot.shard.held or 0) end
    return rows
end

--- Stop reading and free the shards' memory. The last two batches stay valid.
function Loader:close()
    self:drop_pending()
    for _, slot in ipairs(self.slots) do
        if slot.shard then slot.shard:free() end
    end
    self.slots = {}
end

return loader
