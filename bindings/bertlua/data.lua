--- Pre-training data from Lua: shards in and out, batches, prefetch, and where
-- documents lie in text files. How an epoch is ordered or instances are sampled
-- does not belong here: see bertlua.data.loader and bertlua.data.instances.
-- What a broken file or the operating system refuses comes back as nil and a
-- message; a wrong argument raises an error at the caller's line.
-- @module bertlua.data

local ffi = require "ffi"
local native = require "bertlua.ffi"
local device = require "bertlua.device"
require "bertlua.tensor" -- gives the tensors of a batch their methods

local lib = native.lib
local refused = native.refused

local data = {}

local DTYPES = { f32 = 0, i32 = 3, i64 = 4, i8 = 5 }

--- What shards are checked against: max_seq_length, max_predictions_per_seq, vocab_size, type_vocab_size, samples
-- (0 = any).
local function limits_of(options)
    options = options or {}
    local limits = ffi.new "bl_shard_limits"
    limits.max_seq_length = options.max_seq_length or 0
    limits.max_predictions_per_seq = options.max_predictions_per_seq or 0
    limits.vocab_size = options.vocab_size or 0
    limits.type_vocab_size = options.type_vocab_size or 0
    limits.samples = options.samples or 0
    return limits
end

--- Rows to keep: int64 array; nil for all.
local function part_of(rows, count)
    if not rows then return nil end
    local part = ffi.new "bl_shard_part"
    part.rows, part.count = rows, count
    return part
end

local function info_table(info)
    return {
        samples = tonumber(info.samples),
        max_seq_length = tonumber(info.max_seq_length),
        max_predictions_per_seq = tonumber(info.max_predictions_per_seq),
        bytes = tonumber(info.file_bytes),
        checksum = info.checksum,
        vocabulary = info.vocabulary[0] ~= 0 and ffi.string(info.vocabulary) or nil,
    }
end

--- Sizes of a shard, without reading a sample.
-- @return {samples, max_seq_length, max_predictions_per_seq, bytes: of the file, checksum: CRC32C of the file, or of
--   three places in a shard made elsewhere, vocabulary or nil}; or nil, message
function data.probe(path, limits)
    local info = ffi.new "bl_shard_info"
    local status = lib.bl_shard_probe(info, path, limits_of(limits))
    if status ~= 0 then return refused(status) end
    return info_table(info)
end

--- Put a seal behind a shard that has none: a later change of any byte is then noticed. Other readers of HDF5 do not
-- look behind their part of the file. Every value is checked first.
-- @tparam string path
-- @return whether it was added: false if the file had one, which fits its bytes; or nil, message
function data.seal_shard(path)
    local added = ffi.new "bool[1]"
    local status = lib.bl_shard_seal(path, added)
    if status ~= 0 then return refused(status) end
    return added[0]
end

-- ---------------------------------------------------------------- shards

local Shard = {}
Shard.__index = Shard

local function adopt_shard(path, pointer)
    local info = ffi.new "bl_shard_info"
    lib.bl_shard_describe(pointer, info)
    local shard = info_table(info)
    shard.held = tonumber(info.held)
    shard.path = path
    shard.handle = ffi.gc(pointer, lib.bl_shard_free)
    return setmetatable(shard, Shard)
end

--- Read a shard, or a part of it, and check every value of the file.
-- @tparam string path
-- @tparam table limits see limits of bl_shard_limits; a field left out is not checked
-- @param rows int64 array of the file's rows to keep, each once: rows[k] becomes row k; nil: all of them
-- @param count number of rows
-- @return Shard {path, samples: of the file, held: rows kept, max_seq_length, max_predictions_per_seq}; or nil, message
function data.read_shard(path, limits, rows, count)
    local out = ffi.new "bl_shard *[1]"
    local status = lib.bl_shard_read(out, path, limits_of(limits), part_of(rows, count))
    if status ~= 0 then return refused(status) end
    return adopt_shard(path, out[0])
end

local function integers(pointer, n)
    local list = {}
    for i = 1, n do list[i] = pointer[i - 1] end
    return list
end

--- One held sample as plain tables, for inspection; row counts from 0.
function Shard:row(row)
    local out = ffi.new "bl_shard_row"
    native.check(lib.bl_shard_row_get(self.handle, row, out), 2)
    return {
        input_ids = integers(out.input_ids, self.max_seq_length),
        segment_ids = integers(out.segment_ids, self.max_seq_length),
        masked_lm_positions = integers(out.positions, self.max_predictions_per_seq),
        masked_lm_ids = integers(out.labels, self.max_predictions_per_seq),
        length = out.length,
        masked = out.masked,
        next_sentence_label = out.next_sentence_label,
    }
end

--- Next-sentence label and number of masked tokens of a held sample; row counts from 0.
function Shard:labels(row)
    self.seen = self.seen or ffi.new "bl_shard_row"
    native.check(lib.bl_shard_row_get(self.handle, row, self.seen), 2)
    return self.seen.next_sentence_label, self.seen.masked
end

--- Give the memory back now instead of at the next garbage collection.
function Shard:free()
    if self.handle then lib.bl_shard_free(ffi.gc(self.handle, nil)) end
    self.handle = nil
end

-- ---------------------------------------------------------------- prefetch

local Prefetch = {}
Prefetch.__index = Prefetch

--- Start reading a shard, or a part of it, in another thread: arguments as for read_shard, copied.
-- @return Prefetch; or nil, message
function data.prefetch(path, limits, rows, count)
    local out = ffi.new "bl_prefetch *[1]"
    local status = lib.bl_prefetch_start(out, path, limits_of(limits), part_of(rows, count))
    if status ~= 0 then return refused(status) end
    return setmetatable({ path = path, handle = ffi.gc(out[0], lib.bl_prefetch_free) }, Prefetch)
end

--- Block until the shard is read.
-- @return Shard; or nil, message of the reading thread
function Prefetch:wait()
    if not self.handle then error("prefetch: " .. self.path .. " has already been waited for or cancelled", 2) end
    local pointer = ffi.new "bl_prefetch *[1]"
    pointer[0] = ffi.gc(self.handle, nil)
    self.handle = nil
    local out = ffi.new "bl_shard *[1]"
    local status = lib.bl_prefetch_wait(pointer, out)
    if status ~= 0 then return refused(status) end
    return adopt_shard(self.path, out[0])
end

--- Whether wait would return at once.
function Prefetch:ready()
    return self.handle == nil or lib.bl_prefetch_ready(self.handle)
end

--- Drop it; a read in progress is stopped first.
function Prefetch:cancel()
    if self.handle then lib.bl_prefetch_free(ffi.gc(self.handle, nil)) end
    self.handle = nil
end

-- ---------------------------------------------------------------- masking

-- Arrays that a masking points at, as long as it lives.
local kept = setmetatable({}, { __mode = "k" })

--- Masking rules: probability, max_predictions, vocab_size, cls_id, sep_id, mask_id; continues: uint8 array
-- [vocab_size], 1 for tokens that go on with a word, to mask whole words, nil for single tokens.
function data.masking(options)
    local masking = ffi.new "bl_masking"
    masking.continues, kept[masking] = options.continues, options.continues
    for _, name in ipairs { "probability", "max_predictions", "vocab_size", "cls_id", "sep_id", "mask_id" } do
        if not options[name] then error("masking: " .. name .. " is missing", 2) end
        masking[name] = options[name]
    end
    return masking
end

--- Mask ids (int32 array) in place.
-- @param rng a bl_rng
-- @param positions, labels int32 arrays of max_predictions
-- @return number of masked tokens
function data.mask_tokens(rng, masking, ids, length, positions, labels)
    local count = ffi.new "int32_t[1]"
    native.check(lib.bl_mask_tokens(rng, masking, ids, length, positions, labels, count), 2)
    return count[0]
end

-- ---------------------------------------------------------------- batches

local TENSORS = {
    "ids", "positions", "types", "segments", "cls_index", "masked_index", "masked_labels", "nsp_labels",
}

local Batch = {}
Batch.__index = Batch

--- Memory for a batch, refilled by begin, append, finish.
-- Its tensor fields are views of that memory, valid until the next begin. The memory is pinned: `pinned` shows all of
-- it as i32, and begin waits for `fence`, the event behind the last copy out of it.
-- @tparam[opt] table multiples rows (64), masked (16): what the numbers of rows of a packed batch and of masked
--   tokens are rounded up to
function data.batch(batch_size, max_seq_length, max_predictions_per_seq, packed, multiples)
    local bytes = tonumber(lib.bl_batch_bytes(batch_size, max_seq_length, max_predictions_per_seq))
    local memory = device.pinned(bytes, true)
    local out = ffi.new "bl_batch *[1]"
    native.check(lib.bl_batch_create_in(out, batch_size, max_seq_length, max_predictions_per_seq, packed, memory.data),
        2)
    local batch = setmetatable({}, Batch)
    batch.handle = ffi.gc(out[0], lib.bl_batch_free)
    batch.memory, batch.pinned = memory, memory:tensor(0, "i32", { bytes / 4 })
    batch.fence = device.event(false, true)
    if multiples then
        batch.handle.row_multiple, batch.handle.masked_multiple = multiples.rows, multiples.masked
    end
    batch.batch_size = batch_size
    batch.max_length = max_seq_length
    batch.tensors = TENSORS
    for _, name in ipairs(TENSORS) do batch[name] = batch.handle[name] end
    return batch
end

--- Empty the batch. Waits until the device has copied what was in it.
function Batch:begin()
    self.fence:wait()
    lib.bl_batch_begin(self.handle)
end

--- Append held shard rows rows[0..count) (int64 array); with masking, draw new masks for samples sample, sample + 1 ...
function Batch:append(shard, rows, count, masking, seed, sample)
    native.check(lib.bl_batch_append(self.handle, shard.handle, rows, count, masking, seed or 0, sample or 0), 2)
end

--- Append a sequence that is in no shard, with masks drawn for a sample number.
-- @param ids int32 array [length], special tokens included; not changed
-- @param first_length its first tokens that have type 0; the others have type 1
-- @param next_sentence_label 0 or 1; -1: none
function Batch:append_ids(ids, length, first_length, next_sentence_label, masking, seed, sample)
    native.check(lib.bl_batch_append_ids(self.handle, ids, length, first_length, next_sentence_label, masking, seed,
        sample), 2)
end

--- Append a sequence whose masks are chosen already.
-- @param ids int32 array [length] as the model sees them; first_length, next_sentence_label as in append_ids()
-- @param positions, labels int32 arrays [masked], ascending: what is to be predicted
function Batch:append_masked(ids, length, first_length, next_sentence_label, positions, labels, masked)
    native.check(lib.bl_batch_append_masked(self.handle, ids, length, first_length, next_sentence_label, positions,
        labels, masked), 2)
end

--- Pad or pack what was appended, and set the views and rows, tokens, masked.
-- @return the batch
function Batch:finish()
    local handle = self.handle
    native.check(lib.bl_batch_finish(handle), 2)
    self.rows = tonumber(handle.ids.shape[0])
    self.tokens = tonumber(handle.tokens)
    self.masked = tonumber(handle.masked)
    return self
end

-- ---------------------------------------------------------------- writing

--- Write plain datasets to an HDF5 file, atomically.
-- @tparam string path
-- @tparam table datasets list of {name=, dtype="i32"|"i8"|"i64"|"f32", dims={..}, data=typed array}
-- @tparam table options gzip = 0..9 (default 4), checksum = boolean
-- @return true; or nil, message
function data.write_hdf5(path, datasets, options)
    options = options or {}
    local out = ffi.new "bl_hdf5_writer *[1]"
    local status = lib.bl_hdf5_writer_create(out, path)
    if status ~= 0 then return refused(status) end
    local writer = ffi.gc(out[0], lib.bl_hdf5_writer_free)
    for _, set in ipairs(datasets) do
        local dims = ffi.new("int64_t[4]", set.dims)
        status = lib.bl_hdf5_writer_add(writer, set.name, DTYPES[set.dtype] or -1, #set.dims, dims, set.data,
            options.gzip or 4, options.checksum or false)
        if status ~= 0 then break end
    end
    if status == 0 then status = lib.bl_hdf5_writer_commit(writer) end
    local good, message = true, nil
    if status ~= 0 then good, message = nil, ffi.string(lib.bl_last_error()) end
    lib.bl_hdf5_writer_free(ffi.gc(writer, nil))
    if tonumber(status) == native.ERROR_ARGUMENT then error(message, 2) end
    return good, message
end

local Int32List = {}
Int32List.__index = Int32List

--- A growing int32 array outside Lua's heap: list:append(pointer, n), list:add(value), list:count(), list:pointer().
function data.int32_list()
    return setmetatable({
        handle = ffi.gc(ffi.new "bl_int32_list", lib.bl_int32_list_free),
        one = ffi.new "int32_t[1]",
    }, Int32List)
end

--- Append n values from a pointer to int32.
function Int32List:append(pointer, n)
    native.check(lib.bl_int32_list_append(self.handle, pointer, n), 2)
end

--- Append one number.
function Int32List:add(value)
    self.one[0] = value
    native.check(lib.bl_int32_list_append(self.handle, self.one, 1), 2)
end

--- Number of values.
function Int32List:count()
    return tonumber(self.handle.count)
end

--- The values, 0-based; valid until the next append.
function Int32List:pointer()
    return self.handle.values
end

--- Free the values. The list must not be used afterwards.
function Int32List:free()
    lib.bl_int32_list_free(self.handle)
end

local InstanceList = {}
InstanceList.__index = InstanceList

--- A growing list of instances (spans of a flat token array).
function data.instance_list()
    return setmetatable({ count = 0, capacity = 1024, list = ffi.new "bl_instance[1024]" }, InstanceList)
end

--- Append an instance: where its two segments begin in the token array, how long they are, and whether the second was
-- drawn at random.
function InstanceList:add(first_begin, first_length, second_begin, second_length, random_next)
    if self.count == self.capacity then
        local grown = ffi.new("bl_instance[?]", self.capacity * 2)
        ffi.copy(grown, self.list, self.capacity * ffi.sizeof "bl_instance")
        self.list, self.capacity = grown, self.capacity * 2
    end
    local instance = self.list[self.count]
    instance.first_begin, instance.first_length = first_begin, first_length
    instance.second_begin, instance.second_length = second_begin, second_length
    instance.random_next = random_next and 1 or 0
    self.count = self.count + 1
end

--- Instance number i (from 0), with fields first_begin, first_length, second_begin, second_length, random_next.
function InstanceList:get(i)
    return self.list[i]
end

--- Write instances to a shard.
-- @tparam string path
-- @tparam table options max_seq_length, gzip (default 4), checksum (default true), seed, stream; vocabulary = text to
--   record in the file, at most 95 bytes
-- @param masking of data.masking
-- @param tokens of data.int32_list
-- @param instances of data.instance_list
-- @param order int64 array, a permutation, or nil
-- @return true; or nil, message
function data.write_shard(path, options, masking, tokens, instances, order)
    local native_options = ffi.new "bl_shard_options"
    native_options.max_seq_length = options.max_seq_length
    native_options.gzip = options.gzip or 4
    native_options.checksum = options.checksum ~= false
    native_options.seed = options.seed
    native_options.stream = options.stream or 0
    native_options.vocabulary = options.vocabulary
    local status = lib.bl_shard_write(path, native_options, masking, tokens:pointer(), tokens:count(), instances.list,
        order, instances.count)
    if status ~= 0 then return refused(status) end
    return true
end

-- ---------------------------------------------------------------- documents

local Documents = {}
Documents.__index = Documents

--- Boundaries of the documents in text files, separated by blank lines.
-- @tparam table paths list of files
-- @return Documents with documents:count(), documents:get(i); or nil, message
function data.scan_documents(paths)
    local handle = ffi.gc(ffi.new "bl_documents", lib.bl_documents_free)
    for number, path in ipairs(paths) do
        local status = lib.bl_documents_scan(handle, path, number - 1)
        if status ~= 0 then return refused(status) end
    end
    return setmetatable({ handle = handle, paths = paths }, Documents)
end

--- Number of documents.
function Documents:count()
    return tonumber(self.handle.count)
end

--- How many documents are copies of an earlier one.
function Documents:repeated()
    local out = ffi.new "int64_t[1]"
    native.check(lib.bl_documents_repeated(self.handle, out), 2)
    return tonumber(out[0])
end

--- Number of its file (from 1), byte offset and bytes of document i (from 0).
function Documents:get(i)
    local document = self.handle.list[i]
    return document.file + 1, tonumber(document.begin), tonumber(document.bytes)
end

return data
