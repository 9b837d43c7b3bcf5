--- Parameters in files: which tensor of a file belongs to which parameter of a
-- model, checked strictly. Formats and other programs' names: bertlua.weights.
-- @module bertlua.train.weights

local fault = require "bertlua.fault"
local finite = require "bertlua.train.finite"
local formats = require "bertlua.weights.formats"
local names = require "bertlua.weights.names"
local listed = require "bertlua.util.listed"
local plural = require "bertlua.util.plural"
local printable = require "bertlua.printable"
local quantized = require "bertlua.weights.quantized"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"

local weights = {}

-- Copies of other tensors or constants that Hugging Face's files may carry.
local REDUNDANT = {
    ["cls.predictions.decoder.weight"] = true, -- tied to the word embeddings
    ["cls.predictions.decoder.bias"] = true, -- the same as cls.predictions.bias
    ["bert.embeddings.position_ids"] = true,
    ["bert.embeddings.token_type_ids"] = true,
}

-- What can be converted to f32.
local FLOATS = { F64 = true, F32 = true, F16 = true, BF16 = true }

--- Whether a tensor of this name of ours is a copy of another one, or a constant.
function weights.is_redundant(name)
    return REDUNDANT[name] == true
end

--- Whether a dtype of a file can be converted to f32.
function weights.is_float(dtype)
    return FLOATS[dtype] == true
end

--- "[2,8]" for {2, 8}.
function weights.shape(dims)
    return "[" .. table.concat(dims, ",") .. "]"
end

local UNTIED = "%s: %s is not the same as %s: a decoder of its own is not implemented; BERT scores words with their "
    .. "embeddings"

local function matches_any(name, patterns)
    if type(patterns) == "function" then return patterns(name) end
    for _, pattern in ipairs(patterns or {}) do
        if name:find(pattern) then return true end
    end
    return false
end

--- "a, b, c and 5 more".
local function enumerate(list)
    return listed.first(list, 4)
end

local function same(a, b)
    if #a ~= #b then return false end
    for i = 1, #a do
        if a[i] ~= b[i] then return false end
    end
    return true
end

local function reversed(dims)
    local list = {}
    for i, d in ipairs(dims) do list[#dims + 1 - i] = d end
    return list
end

--- How one wanted tensor is read; a fault if its shape or dtype does not fit.
local function plan_read(file, want, source, label)
    local info = file:info(source.name)
    if not FLOATS[info.dtype] then
        fault.raisef("%s: %s is %s, expected F32, F16, BF16 or F64: convert the file first", label, want.name,
            printable.text(info.dtype))
    end
    local dims = source.transposed and reversed(info.dims) or info.dims
    -- Other programs also save the rows that round the vocabulary up; ours are cleared after reading.
    local padded = want.padded_dims and same(dims, want.padded_dims)
    if not padded and not same(dims, want.dims) then
        fault.raisef("%s: %s is %s, but this model needs %s: its configuration must be that of the parameters "
            .. "(--bert-model custom takes it from their folder)", label,
            want.name, weights.shape(dims), weights.shape(want.dims))
    end
    local read = { name = source.name, ours = want.name, transposed = source.transposed and #dims == 2 }
    if want.put then
        read.put, read.dims, read.stored_dims = want.put, dims, want.dims
    else
        read.tensor = padded and want.padded or want.tensor
    end
    return read
end

--- Which head a file's unnamed one is taken for: the wanted one.
local function head_of(wanted)
    for _, want in ipairs(wanted) do
        if want.name == "qa_outputs.weight" then return "qa_outputs" end
    end
    return nil
end

--- What is the same tensor as another in a model must be the same in its file: a decoder of its own is not implemented.
local function plan_twins(file, plan, map, label)
    for _, read in ipairs(plan.reads) do
        local twin = map[names.TIED[read.ours]]
        if twin and twin.name ~= read.name and not (file.shares and file:shares(twin.name, read.name)) then
            local a, b = file:info(twin.name), file:info(read.name)
            if not same(a.dims, b.dims) or not FLOATS[a.dtype] then
                fault.raisef(UNTIED, label, printable.text(twin.name), read.ours)
            end
            read.twin = twin.name
        end
    end
end

--- Compare a file with the wanted tensors; nothing is read yet.
-- @param file of bertlua.weights.formats
-- @param wanted list of {name, dims, tensor; padded and padded_dims: the same with padding rows, or nil}, or with
--   put(tensor) instead of the tensors
-- @param label what messages call the file
-- @tparam table options missing, unexpected: lists of Lua patterns of names that are allowed to be, or a function of a
--   name; ignored: those of wanted tensors that are not read; head: see names.index (that of the wanted tensors)
-- @return plan {reads = {{name in the file, tensor or put, transposed}}, missing = names, unexpected = names}
function weights.match(file, wanted, label, options)
    local map = names.index(file, options.head or head_of(wanted))
    local plan = { reads = {}, missing = {}, unexpected = {} }
    local known, fatal_missing, fatal_unexpected = {}, {}, {}
    for _, want in ipairs(wanted) do
        known[want.name] = true
        -- What is ignored keeps its initial value; whoever asked for that tells it.
        local ignored = matches_any(want.name, options.ignored)
        if map[want.name] and not ignored then
            plan.reads[#plan.reads + 1] = plan_read(file, want, map[want.name], label)
        elseif not ignored then
            plan.missing[#plan.missing + 1] = want.name
            if not matches_any(want.name, options.missing) then fatal_missing[#fatal_missing + 1] = want.name end
        end
    end
    -- Where words are not predicted, it does not matter how they would be scored.
    if known["cls.predictions.bias"] then plan_twins(file, plan, map, label) end
    for ours in pairs(map) do
        if not known[ours] and not REDUNDANT[ours] then
            plan.unexpected[#plan.unexpected + 1] = ours
            if not matches_any(ours, options.unexpected) then fatal_unexpected[#fatal_unexpected + 1] = ours end
        end
    end
    table.sort(plan.unexpected)
    table.sort(fatal_unexpected)
    if #plan.reads == 0 and #fatal_missing == 0 and #wanted > 0 then
        fault.raisef("%s: holds none of this model's parameters (%s)", label, enumerate(plan.missing))
    end
    local complaints = {}
    if #fatal_missing > 0 then
        complaints[1] = ("lacks %d of %s of this model (%s)"):format(#fatal_missing, plural.count(#wanted, "tensor"),
            enumerate(fatal_missing))
    end
    if #fatal_unexpected > 0 then
        complaints[#complaints + 1] = ("has %s this model does not know (%s)"):format(
            plural.count(#fatal_unexpected, "tensor"), enumerate(fatal_unexpected))
    end
    if #complaints > 0 then
        fault.raisef("%s: %s: configuration and kind of model must be those of the parameters", label,
            table.concat(complaints, " and "))
    end
    return plan
end

local function read_into(file, read, target)
    if not read.transposed then
        fault.check(file:read(read.name, target))
        return
    end
    local stored = tensor.new(target:dtype_name(), reversed(target:dims()))
    fault.check(file:read(read.name, stored))
    target:copy_from(stored:transpose(1, 2))
end

--- The file that holds a tensor: one of several, where an index lists them.
local function holder(file, name)
    return file.owner and file.owner[name] and file.owner[name].path or file.path
end

--- Refuse a tensor that was read but is none to work with.
local function check_values(file, read, values, is_sound, remedy)
    local sound, kind = is_sound(values)
    if not sound then
        fault.raisef("%s: %s holds %s%s: %s", holder(file, read.name), printable.text(read.name), kind,
            kind == "inf" and values:dtype_name() == "f16" and " in fp16" or "", remedy)
    end
    if not read.twin then return end
    local twin = tensor.new(values:dtype_name(), values:dims())
    read_into(file, { name = read.twin, transposed = read.transposed }, twin)
    if storage.crc32c(twin) ~= storage.crc32c(values) then
        fault.raisef(UNTIED, holder(file, read.twin), printable.text(read.twin), read.ours)
    end
end

--- Read what a plan lists. Faults name the file; what holds a NaN or inf is one.
-- @param file, plan of match()
-- @tparam[opt] string remedy what to do about a NaN or inf
function weights.read(file, plan, remedy)
    remedy = remedy or "fetch or save it again, or use other parameters"
    finite.with_check(function(is_sound)
        for _, read in ipairs(plan.reads) do
            tensor.scope(function()
                local values = read.tensor or tensor.new("f32", read.dims)
                read_into(file, read, values)
                check_values(file, read, values, is_sound, remedy)
                -- Padding rows are the last ones.
                if read.put then read.put(values:slice(1, 1, read.stored_dims[1])) end
            end)
        end
    end)
end

--- What a file holds for a store's parameters: list of {name, dims, tensor, padded, padded_dims}; with fetch() and
-- put(tensor) instead of the tensors where the values are divided among ranks.
function weights.parameters(store)
    local list = {}
    for i, entry in ipairs(store.list) do
        local item = { name = entry.name, dims = entry.stored_dims or entry.dims,
            padded_dims = entry.rows and entry.dims or nil }
        if entry.value then
            item.tensor, item.padded = entry.stored or entry.value, entry.rows and entry.value or nil
        else
            item.fetch = function() return store.gatherer:fetch(entry, store.master) end
            item.put = function(values) store:put(entry, values) end
        end
        list[i] = item
    end
    return list
end

--- A flat state tensor (m or v) as a file holds it, one tensor per parameter, without the padding rows: a list as in
-- weights.parameters, without what is frozen.
-- @param store ParameterStore
-- @param flat f32 [N] in the layout of the store's values, or this rank's part of it
-- @tparam string prefix put before each name
-- @param gatherer of the state (train/partition_state.lua) where it is divided among ranks, else nil
function weights.state(store, flat, prefix, gatherer)
    local list = {}
    for _, entry in ipairs(store.list) do
        local dims = entry.stored_dims or entry.dims
        local item = { name = prefix .. entry.name, dims = dims }
        if entry.frozen then
            item = nil
        elseif gatherer then
            item.fetch = function() return gatherer:fetch(entry, flat) end
            item.put = function(values) gatherer:put(entry, flat, values) end
        else
            local count = 1
            for _, d in ipairs(dims) do count = count * d end
            -- Padding rows are the last ones, so the stored rows are the first `count` elements of the segment.
            local segment = flat:slice(1, entry.offset + 1, entry.offset + count)
            item.tensor = segment:view(unpack(dims))
        end
        list[#list + 1] = item
    end
    return list
end

--- Open a file of parameters, or throw a fault that names it. Weights of 8 bits are read as f32.
function weights.open(path)
    return quantized.view(formats.open(path))
end

return weights
