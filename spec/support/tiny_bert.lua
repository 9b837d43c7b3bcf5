--- What the specs share: the tiny BERT of spec/fixtures (see spec/peers/make_fixtures.py), its batches, comparisons.

local BertConfig = require "bertlua.models.bert_config"
local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local array = require "bertlua.array"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"

local M = {}

local FOLDER = "spec/fixtures/"

function M.open(name)
    return assert(storage.open(FOLDER .. name .. ".safetensors"))
end

--- Read a tensor in its own dtype.
function M.read(file, name)
    local info = assert(file:info(name), name)
    local t = tensor.new(info.native, info.dims)
    assert(file:read(name, t))
    return t
end

function M.config(changes)
    local config = BertConfig.load(FOLDER .. "bert_tiny.json")
    for name, value in pairs(changes or {}) do config[name] = value end
    return config
end

--- Set the parameters from tensors called prefix .. name.
function M.load_weights(store, file, prefix)
    for _, entry in ipairs(store.list) do assert(file:read(prefix .. entry.name, entry.stored)) end
    store:sync_low()
end

--- A model without memory: freeze and allocate its store.
function M.unallocated(changes)
    return BertForPretraining.new(M.config(changes))
end

--- CRC32C of every parameter's values, by name.
function M.checksums(store)
    local sums = {}
    for _, entry in ipairs(store.list) do sums[entry.name] = storage.crc32c(entry.value) end
    return sums
end

--- A model with the fixture's weights.
function M.model(precision, changes)
    local model = M.unallocated(changes)
    model.store:allocate { precision = precision, seed = 1 }
    M.load_weights(model.store, M.open "bert_tiny", "weight.")
    return model
end

--- The samples of a fixture as Lua tables; step (from 1) picks one of stacked batches.
function M.samples(file, step)
    local function field(name)
        local t = M.read(file, "batch." .. name):tolist()
        return step and t[step] or t
    end
    local ids, types, lengths = field "input_ids", field "segment_ids", field "lengths"
    local positions, labels, next_labels = field "masked_lm_positions", field "masked_lm_labels",
        field "next_sentence_labels"
    local samples = {}
    for b = 1, #lengths do
        local sample = { ids = {}, types = {}, masked = {}, next_label = next_labels[b] }
        for i = 1, lengths[b] do sample.ids[i], sample.types[i] = ids[b][i], types[b][i] end
        for i, label in ipairs(labels[b]) do
            if label >= 0 then sample.masked[#sample.masked + 1] = { positions[b][i], label } end
        end
        samples[b] = sample
    end
    return samples
end

--- A batch of samples, padded to max_length or packed, as the loader makes them.
function M.batch(samples, options)
    local max_length, packed = options.max_length, options.packed
    local ids, positions, types, segments, cls, index, labels, next_labels = {}, {}, {}, {}, {}, {}, {}, {}
    local function fill_up(rows)
        while #ids < rows do
            ids[#ids + 1] = 0
            types[#ids] = 0
            positions[#ids] = packed and 0 or (#ids - 1) % max_length
        end
    end
    for b, sample in ipairs(samples) do
        if not packed then fill_up((b - 1) * max_length) end
        local first = #ids
        for i, id in ipairs(sample.ids) do
            ids[first + i], types[first + i], positions[first + i] = id, sample.types[i], i - 1
        end
        segments[b], cls[b], next_labels[b] = { first, #sample.ids }, first, sample.next_label
        for _, pair in ipairs(sample.masked) do
            index[#index + 1] = first + pair[1]
            labels[#index] = pair[2]
        end
    end
    fill_up(packed and math.ceil(#ids / 16) * 16 or #samples * max_length)
    local masked = #index
    while #index % 16 ~= 0 do
        index[#index + 1] = 0
        labels[#index] = -1
    end
    return {
        batch_size = #samples, max_length = max_length, rows = #ids, masked = masked,
        ids = tensor.from(ids, "i32"), positions = tensor.from(positions, "i32"), types = tensor.from(types, "i32"),
        segments = tensor.from(segments, "i32"), cls_index = tensor.from(cls, "i32"),
        masked_index = tensor.from(index, "i32"), masked_labels = tensor.from(labels, "i32"),
        nsp_labels = tensor.from(next_labels, "i32"),
    }
end

--- Distance between two f32 tensors of the same size: max |a - b| / max |b|, and max |a - b|.
function M.distance(a, b)
    assert(a:numel() == b:numel(), "sizes differ")
    local host_a, host_b = a:host(), b:host()
    local x, y = array.wrap(host_a), array.wrap(host_b)
    local difference, scale = 0, 0
    for i = 0, a:numel() - 1 do
        local d = math.abs(x[i] - y[i])
        if d > difference or d ~= d then difference = d end
        scale = math.max(scale, math.abs(y[i]))
    end
    return difference / math.max(scale, 1e-30), difference
end

--- The gradient of a parameter without its pad rows.
function M.gradient(entry)
    return entry.rows and entry.grad:slice(1, 1, entry.rows) or entry.grad
end

--- All gradients of a store, copied, by name.
function M.gradients(store)
    local copies = {}
    for _, entry in ipairs(store.list) do
        local grad = M.gradient(entry)
        copies[entry.name] = tensor.new("f32", grad:dims())
        copies[entry.name]:copy_from(grad)
    end
    return copies
end

--- The sequences of a fixture (batch.input_ids, segment_ids, lengths), padded to a length or packed, as a batch.
-- @return batch, with first_rows = list of {first row, length}
function M.sequences(fixture, max_length, packed)
    local ids, types = M.read(fixture, "batch.input_ids"):tolist(), M.read(fixture, "batch.segment_ids"):tolist()
    local flat, kinds, positions, segments, first = {}, {}, {}, {}, {}
    local lengths = M.read(fixture, "batch.lengths"):tolist()
    for b, length in ipairs(lengths) do
        segments[b], first[b] = { #flat, length }, #flat
        for i = 1, packed and length or max_length do
            local at = #flat + 1
            flat[at], kinds[at], positions[at] = ids[b][i], types[b][i], i - 1
        end
    end
    while #flat % 64 ~= 0 do
        local at = #flat + 1
        flat[at], kinds[at], positions[at] = 0, 0, 0
    end
    return {
        batch_size = #lengths, max_length = max_length, ids = tensor.from(flat, "i32"),
        types = tensor.from(kinds, "i32"), positions = tensor.from(positions, "i32"),
        segments = tensor.from(segments, "i32"), cls_index = tensor.from(first, "i32"), first_rows = segments,
    }
end

return M
