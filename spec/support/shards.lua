--- Small shards for specs: valid ones by formula, and any way to break them.

local array = require "bertlua.array"
local data = require "bertlua.data"

local shards = {}

local DATASETS = {
    { "input_ids", "i32", 2 }, { "input_mask", "i8", 2 }, { "segment_ids", "i8", 2 },
    { "masked_lm_positions", "i32", 2 }, { "masked_lm_ids", "i32", 2 }, { "next_sentence_labels", "i8", 1 },
}
local MAKERS = { i32 = array.int32, i8 = array.int8, i64 = array.int64, f32 = array.float }

--- Values of a valid shard: the first real token of sample n is 100 + first + n.
-- @return tables of rows by dataset name
function shards.values(samples, length, slots, first)
    local values = { next_sentence_labels = {} }
    for _, set in ipairs(DATASETS) do values[set[1]] = {} end
    for n = 1, samples do
        local used = 6 + n % (length - 6)
        local ids, mask, types, positions, labels = {}, {}, {}, {}, {}
        for i = 1, length do
            local real = i <= used
            ids[i] = real and (i == 2 and 100 + (first or 0) + n or 10 + (n * 7 + i * 3) % 80) or 0
            mask[i] = real and 1 or 0
            types[i] = real and i > used / 2 and 1 or 0
        end
        ids[1], ids[used] = 2, 3
        for k = 1, slots do
            local masked = k <= 1 + n % slots and k + 2 < used
            positions[k] = masked and k + 1 or 0 -- never the second token
            labels[k] = masked and 20 + (n + k) % 60 or 0
        end
        values.input_ids[n], values.input_mask[n], values.segment_ids[n] = ids, mask, types
        values.masked_lm_positions[n], values.masked_lm_ids[n] = positions, labels
        values.next_sentence_labels[n] = n % 2
    end
    return values
end

local function flatten(rows)
    if type(rows[1]) ~= "table" then return rows, { #rows } end
    local flat = {}
    for _, row in ipairs(rows) do
        for _, value in ipairs(row) do flat[#flat + 1] = value end
    end
    return flat, { #rows, #rows[1] }
end

--- Write values to a shard.
-- @param change optional: { dtype = {dataset = "f32"}, leave_out = {dataset = true}, dims = {dataset = {...}} }
function shards.write(path, values, change, options)
    change = change or {}
    local list = {}
    for _, set in ipairs(DATASETS) do
        local name = set[1]
        if not (change.leave_out and change.leave_out[name]) then
            local flat, dims = flatten(values[name])
            local dtype = change.dtype and change.dtype[name] or set[2]
            list[#list + 1] = {
                name = name, dtype = dtype, dims = change.dims and change.dims[name] or dims,
                data = MAKERS[dtype](flat),
            }
        end
    end
    return assert(data.write_hdf5(path, list, options))
end

--- Write a shard as create_pretraining_data does: gzip, checksums, and a seal that knows its sizes.
function shards.write_sealed(path, samples, length, slots)
    local tokens, list = data.int32_list(), data.instance_list()
    for i = 1, samples * length do tokens:add(5 + (i * i + 7 * i) % 80) end
    for n = 0, samples - 1 do
        local half = 1 + n % (math.floor(length / 2) - 2)
        list:add(n * length, half, n * length + half, half, n % 2 == 1)
    end
    local masking = data.masking { probability = 0.15, max_predictions = slots, vocab_size = 90, cls_id = 2, sep_id = 3,
        mask_id = 4 }
    assert(data.write_shard(path, { max_seq_length = length, seed = 1, vocabulary = "sha256:abc" }, masking, tokens,
        list))
end

--- A tokenizer of words to ids in [5, 5 + words) by a hash; [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4.
function shards.tokenizer(words)
    local buffer = array.int32(4096)
    local tokenizer = { pad_id = 0, unk_id = 1, cls_id = 2, sep_id = 3, mask_id = 4 }
    function tokenizer.size()
        return words + 5
    end
    function tokenizer.encode_array(_, text)
        local n = 0
        for word in text:gmatch "%S+" do
            local hash = #word
            for i = 1, #word do hash = (hash * 31 + word:byte(i)) % words end
            buffer[n] = 5 + hash
            n = n + 1
        end
        return buffer, n
    end
    return tokenizer
end

return shards
