--- Files of vectors: NumPy's .npy, safetensors with one tensor, JSON lines.
--
-- A form: {head(dtype, count, width) -> what stands at the beginning, of a length that does not depend on the count;
-- rows(vectors, dtype, texts) -> the bytes of vectors f32 [n,H]}.

local array = require "bertlua.array"
local fault = require "bertlua.fault"
local float_text = require "bertlua.util.float_text"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local npy = require "bertlua.weights.npy"
local tensor = require "bertlua.tensor"

local M = {}

M.NAMES = { "npy", "safetensors", "jsonl" }
M.DTYPES = { "f32", "f16" }

local ENDINGS = { npy = "npy", safetensors = "safetensors", jsonl = "jsonl", ndjson = "jsonl", json = "jsonl",
    jsonlines = "jsonl" }
local BYTES = { f32 = 4, f16 = 2 }
-- Name of the tensor, and room for its description whatever the count: 8 bytes of length and the header.
local NAME, SAFETENSORS_HEAD = "embeddings", 192

--- The form of an output.
-- @param wanted name of a form, or nil: by the ending
-- @param path "-" is standard output
-- @treturn string
function M.of(wanted, path)
    if path == "-" then return wanted or "jsonl" end
    local ending = fs.basename(path):lower():match "%.(%w+)$" or ""
    local form = ENDINGS[ending]
    if wanted and form and form ~= wanted then
        fault.raisef("--format %s: --output %s is named as %s: name it .%s, or leave out --format", wanted, path, form,
            wanted)
    end
    form = wanted or form
    if not form then
        fault.raisef("%s: its name does not say what to write: name it .npy, .safetensors or .jsonl, or give --format",
            path)
    end
    return form
end

--- The numbers of vectors as they lie in memory: little-endian, row by row.
local function plain(vectors, dtype)
    local bytes = vectors:numel() * BYTES[dtype]
    if dtype == "f16" then vectors = tensor.new("f16", vectors:dims()):copy_from(vectors) end
    return array.string(array.wrap(vectors), bytes)
end

local npy_form = {
    head = function(dtype, count, width) return npy.head(dtype, { count, width }) end,
    rows = plain,
}

local safetensors = {
    head = function(dtype, count, width)
        -- The form allows blanks behind the header.
        local header = ('{"%s":{"dtype":"%s","shape":[%.0f,%d],"data_offsets":[0,%.0f]}}'):format(NAME, dtype:upper(),
            count, width, count * width * BYTES[dtype])
        local room = SAFETENSORS_HEAD - 8
        return string.char(room, 0, 0, 0, 0, 0, 0, 0) .. header .. (" "):rep(room - #header)
    end,
    rows = plain,
}

local jsonl = {
    head = function() return "" end,
    rows = function(vectors, _, texts)
        local lines, width, numbers = {}, vectors:size(2), {}
        local values = array.wrap(vectors)
        for i, text in ipairs(texts) do
            for h = 1, width do numbers[h] = float_text.shortest(values[(i - 1) * width + h - 1]) end
            lines[i] = ('{"text":%s,"embedding":[%s]}\n'):format(json.encode(text), table.concat(numbers, ","))
        end
        return table.concat(lines)
    end,
}

local FORMS = { npy = npy_form, safetensors = safetensors, jsonl = jsonl }

--- What stands at the beginning of a file.
-- @param form name
-- @param dtype "f32" or "f16"
-- @param count, width of the vectors
function M.head(form, dtype, count, width)
    return FORMS[form].head(dtype, count, width)
end

--- The bytes of vectors.
-- @param vectors tensor f32 [n,H] on the CPU
-- @param texts they are of
function M.rows(form, dtype, vectors, texts)
    return FORMS[form].rows(vectors, dtype, texts)
end

-- Beyond this f16 has nothing but infinity.
local LARGEST_F16 = 65504

--- Refuse vectors with numbers that a file cannot hold, or that are none.
-- @param place function(i) -> "FILE:LINE" of vector i
function M.check(vectors, dtype, place)
    local values, width, count = array.wrap(vectors), vectors:size(2), vectors:numel()
    local most = dtype == "f16" and LARGEST_F16 or math.huge
    for i = 0, count - 1 do
        local x = math.abs(values[i])
        -- No comparison holds for NaN; x - x is 0 for numbers alone.
        if x > most or x - x ~= 0 then
            local where = place(math.floor(i / width) + 1)
            if x - x ~= 0 then
                fault.raisef("%s: its vector holds %s: the model's parameters hold NaN, or are not those of this model",
                    where, tostring(x))
            end
            fault.raisef("%s: its vector holds %.6g, and f16 ends at %d: leave out --dtype f16", where, x, LARGEST_F16)
        end
    end
end

return M
