--- Batches of random words with given lengths, in pinned memory as from a loader, for bench/gpu_pretrain.lua.

local array = require "bertlua.array"
local device = require "bertlua.device"
local random = require "bertlua.rng"
local shapes = require "bertlua.data.shapes"

local M = {}

local FULL_STREAM, LENGTH_STREAM = 1, 2

--- Lengths of n sequences: all full, or uniform between a quarter of full and full, or drawn from a list.
function M.lengths(kind, n, full, list)
    local lengths, draw = {}, random.new(7, LENGTH_STREAM)
    for i = 1, n do
        if kind == "full" then
            lengths[i] = full
        elseif list then
            lengths[i] = list[draw:integer(1, #list)]
        else
            lengths[i] = draw:integer(math.floor(full / 4), full)
        end
    end
    return lengths
end

local function round_up(n, multiple)
    return math.ceil(n / multiple) * multiple
end

--- Tensors one after another in pinned memory, each aligned to 64 bytes.
local function carve(sizes)
    local bytes = 0
    for _, size in ipairs(sizes) do bytes = bytes + round_up(size.room * 4, 64) end
    local memory = device.pinned(bytes)
    local batch, data, at = { memory = memory, pinned = memory:tensor(0, "i32", { bytes / 4 }), tensors = {} }, {}, 0
    for i, size in ipairs(sizes) do
        batch.tensors[i] = size.name
        batch[size.name] = memory:tensor(at, "i32", size.dims)
        data[size.name] = array.wrap(batch[size.name])
        at = at + round_up(size.room * 4, 64)
    end
    batch.fence = device.event()
    return batch, data
end

local function fill_sequence(data, b, row, width, length, draw, vocabulary)
    for i = 0, width - 1 do
        local inside = i < length
        data.ids[row + i] = inside and draw:integer(0, vocabulary - 1) or 0
        data.positions[row + i], data.types[row + i] = i, inside and i >= length / 2 and 1 or 0
    end
    data.segments[2 * b], data.segments[2 * b + 1] = row, length
    data.cls_index[b] = row
end

--- Masked positions spread over a sequence: 15 % of it, at most `most`.
local function mask_sequence(data, at, row, length, most, draw, vocabulary)
    local count = math.min(most, math.max(1, math.floor(length * 0.15 + 0.5)))
    for k = 0, count - 1 do
        data.masked_index[at + k] = row + 1 + math.floor(k * (length - 2) / count)
        data.masked_labels[at + k] = draw:integer(0, vocabulary - 1)
    end
    return at + count
end

--- One batch for pre-training, or, without max_predictions, for question answering.
-- @param options lengths: of the sequences; max_length; packed; vocab_size; max_predictions
function M.batch(options)
    local lengths, full, packed = options.lengths, options.max_length, options.packed
    local count, most = #lengths, options.max_predictions
    local tokens, masked = 0, 0
    for _, length in ipairs(lengths) do
        tokens = tokens + length
        if most then masked = masked + math.min(most, math.max(1, math.floor(length * 0.15 + 0.5))) end
    end
    local rows = packed and shapes.round(tokens, shapes.step(count * full, 64, 64), count * full, 64) or count * full
    local slots = most and shapes.round(masked, shapes.step(count * most, 16, 16), count * most, 16)
    local sizes = {}
    local function add(name, dims, room) sizes[#sizes + 1] = { name = name, dims = dims, room = room } end
    for _, name in ipairs { "ids", "positions", "types" } do add(name, { rows }, round_up(count * full, 64)) end
    add("segments", { count, 2 }, 2 * count)
    add("cls_index", { count }, count)
    if most then
        add("masked_index", { slots }, round_up(count * most, 16))
        add("masked_labels", { slots }, round_up(count * most, 16))
        add("nsp_labels", { count }, count)
    else
        add("starts", { count }, count)
        add("ends", { count }, count)
    end
    local batch, data = carve(sizes)
    batch.batch_size, batch.max_length, batch.rows, batch.tokens = count, full, rows, tokens
    local draw, row, at = random.new(7, FULL_STREAM), 0, 0
    for b, length in ipairs(lengths) do
        fill_sequence(data, b - 1, row, packed and length or full, length, draw, options.vocab_size)
        if most then
            at = mask_sequence(data, at, row, length, most, draw, options.vocab_size)
            data.nsp_labels[b - 1] = draw:integer(0, 1)
        else
            data.starts[b - 1] = draw:integer(1, length - 2)
            data.ends[b - 1] = length - 2
        end
        row = row + (packed and length or full)
    end
    for i = at, (slots or 0) - 1 do data.masked_labels[i] = -1 end
    return batch
end

return M
