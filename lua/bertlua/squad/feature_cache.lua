--- Features on disk: a safetensors file next to the data, named after everything
-- that the features depend on. A file that is damaged or was made with other
-- settings is rebuilt.
-- @module bertlua.squad.feature_cache

local FeatureSet = require "bertlua.squad.feature_set"
local fault = require "bertlua.fault"
local feature_check = require "bertlua.squad.feature_check"
local fs = require "bertlua.util.fs"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"
local vocabulary_file = require "bertlua.text.vocabulary_file"

local cache = {}

-- Part of the key: increment it when the same settings start to give different features.
local FORMAT = 1

--- Where the features of a file are stored, and the key that they must carry.
-- @param examples of the file
-- @param tokenizer
-- @tparam table values the settings of the conversion
-- @tparam string data_file
-- @tparam[opt] string cache_dir folder to use instead of the data's own
-- @treturn table {path=, key=; examples, vocab_size: limits of the numbers in it}
function cache.entry(examples, tokenizer, values, data_file, cache_dir)
    if type(data_file) ~= "string" then
        error("features.cached: data_file is a " .. type(data_file) .. ", expected a path", 3)
    end
    local key = table.concat({
        "format=" .. FORMAT,
        "data=" .. fault.check(storage.file_sha256(data_file)),
        "vocabulary=" .. vocabulary_file.identity(tokenizer.vocab_file, tokenizer.do_lower_case),
        "do_lower_case=" .. tostring(tokenizer.do_lower_case),
        "max_seq_length=" .. values.max_seq_length,
        "doc_stride=" .. values.doc_stride,
        "max_query_length=" .. values.max_query_length,
        "is_training=" .. tostring(values.is_training),
        "version_2_with_negative=" .. tostring(values.version_2_with_negative),
        "examples=" .. #examples,
    }, " ")
    local name = ("%s.features-%08x.safetensors"):format(fs.basename(data_file), storage.crc32c(key))
    return { path = fs.join(cache_dir or fs.dirname(data_file), name), key = key, examples = #examples,
        vocab_size = tokenizer:size() }
end

--- Read the tensors of an open file into a set's arrays; nil, message at the first that does not fit.
local function read_arrays(file, set)
    local metadata = file:metadata()
    for _, item in ipairs(set:arrays()) do
        local name, data, count = item[1], item[2], item[3]
        local info = file:info(name)
        if not info or info.dtype ~= "I32" or info.bytes ~= 4 * count then return nil, name .. " is missing" end
        local t = tensor.wrap(data, "i32", { count })
        local ok, problem = file:read(name, t)
        if not ok then return nil, problem end
        if ("%08x"):format(storage.crc32c(t)) ~= metadata["crc32c." .. name] then return nil, name .. " is damaged" end
    end
    return true
end

--- The sizes that the file states; nil where they cannot be those of its arrays.
local function sizes_in(metadata, file_bytes)
    local sizes = {}
    for _, name in ipairs { "features", "tokens", "doc_tokens" } do
        local digits = (metadata[name] or ""):match "^%d+$"
        local count = digits and tonumber(digits)
        if not count or 4 * count > file_bytes then return nil end
        sizes[name] = count
    end
    return sizes
end

--- Read the features of an entry.
-- @return FeatureSet; nil if there is no file; nil and the reason if it cannot be used
function cache.load(entry, values)
    if not fs.exists(entry.path) then return nil end
    if not fs.is_file(entry.path) then return nil, entry.path .. ": not a plain file" end
    local file, message = storage.open(entry.path)
    if not file then return nil, message end
    local metadata = file:metadata()
    if metadata.key ~= entry.key then
        file:close()
        return nil, entry.path .. ": made with other settings"
    end
    local sizes = sizes_in(metadata, fs.size(entry.path) or 0)
    if not sizes then
        file:close()
        return nil, entry.path .. ": its sizes are damaged"
    end
    local set = FeatureSet.new(sizes, values)
    local ok, problem = read_arrays(file, set)
    file:close()
    if not ok then return nil, entry.path .. ": " .. problem end
    local name = feature_check.problem(set, entry)
    if name then return nil, ("%s: %s holds numbers that no features have"):format(entry.path, name) end
    return set
end

--- Write the features of an entry. Returns true; or nil, message.
function cache.save(entry, set)
    local metadata = { key = entry.key, features = set.count, tokens = set.tokens, doc_tokens = set.doc_tokens }
    local ok, message = fs.mkdirs(fs.dirname(entry.path))
    if not ok then return nil, message end
    local list = {}
    for _, item in ipairs(set:arrays()) do
        local name, data, count = item[1], item[2], item[3]
        local t = tensor.wrap(data, "i32", { count })
        metadata["crc32c." .. name] = ("%08x"):format(storage.crc32c(t))
        list[#list + 1] = { name = name, tensor = t }
    end
    return storage.save(entry.path, list, metadata)
end

return cache
