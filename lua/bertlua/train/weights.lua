--- Parameters in files: which tensor of a safetensors file belongs to which
-- parameter of a model, strictly checked. Knows Hugging Face's names with and
-- without the `bert.` prefix, and LayerNorm's older gamma and beta.
-- @module bertlua.train.weights

local fault = require "bertlua.fault"
local storage = require "bertlua.storage"

local weights = {}

-- Copies of other tensors or constants that Hugging Face's files may carry.
local REDUNDANT = {
    ["cls.predictions.decoder.weight"] = true, -- tied to the word embeddings
    ["cls.predictions.decoder.bias"] = true, -- the same as cls.predictions.bias
    ["bert.embeddings.position_ids"] = true,
    ["bert.embeddings.token_type_ids"] = true,
}

-- What converts into f32.
local FLOATS = { F64 = true, F32 = true, F16 = true, BF16 = true }

--- "[2,8]" for {2, 8}.
function weights.shape(dims)
    return "[" .. table.concat(dims, ",") .. "]"
end

--- The name we use for a tensor that another program wrote.
-- @tparam string name
-- @tparam boolean bare whether the file holds a bare BERT, without the `bert.` prefix
function weights.canonical(name, bare)
    name = name:gsub("LayerNorm%.gamma$", "LayerNorm.weight"):gsub("LayerNorm%.beta$", "LayerNorm.bias")
    if bare and (name:find "^embeddings%." or name:find "^encoder%." or name:find "^pooler%.") then
        name = "bert." .. name
    end
    return name
end

--- Names in a file by our names.
local function index_file(file)
    local names = file:names()
    local bare = true
    for _, name in ipairs(names) do
        if name:find "^bert%." then bare = false end
    end
    local map = {}
    for _, name in ipairs(names) do
        local ours = weights.canonical(name, bare)
        if map[ours] then
            fault.raisef("%s: %s and %s are the same parameter; remove one of them", file.path, map[ours], name)
        end
        map[ours] = name
    end
    return map
end

local function matches_any(name, patterns)
    for _, pattern in ipairs(patterns or {}) do
        if name:find(pattern) then return true end
    end
    return false
end

--- "a, b, c and 5 more".
local function enumerate(names)
    local shown = {}
    for i = 1, math.min(#names, 4) do shown[i] = names[i] end
    local text = table.concat(shown, ", ")
    return #names > 4 and ("%s and %d more"):format(text, #names - 4) or text
end

local function same(a, b)
    if #a ~= #b then return false end
    for i = 1, #a do
        if a[i] ~= b[i] then return false end
    end
    return true
end

--- Compare a file with the wanted tensors; nothing is read yet.
-- @param file storage.File
-- @param wanted list of {name, dims, tensor}
-- @param label what the messages call the file
-- @tparam table options missing, unexpected: lists of Lua patterns of names that may be so
-- @return plan {reads = {{name in the file, tensor}}, missing = names, unexpected = names}
function weights.match(file, wanted, label, options)
    local map = index_file(file)
    local plan = { reads = {}, missing = {}, unexpected = {} }
    local known, fatal_missing, fatal_unexpected = {}, {}, {}
    for _, want in ipairs(wanted) do
        known[want.name] = true
        local name = map[want.name]
        if name then
            local info = file:info(name)
            if not same(info.dims, want.dims) then
                fault.raisef("%s: %s is %s, this model needs %s: use the same config_file", label, want.name,
                    weights.shape(info.dims), weights.shape(want.dims))
            end
            if not FLOATS[info.dtype] then
                fault.raisef("%s: %s is %s, expected a float dtype", label, want.name, info.dtype)
            end
            plan.reads[#plan.reads + 1] = { name = name, tensor = want.tensor }
        else
            plan.missing[#plan.missing + 1] = want.name
            if not matches_any(want.name, options.missing) then fatal_missing[#fatal_missing + 1] = want.name end
        end
    end
    for ours in pairs(map) do
        if not known[ours] and not REDUNDANT[ours] then
            plan.unexpected[#plan.unexpected + 1] = ours
            if not matches_any(ours, options.unexpected) then fatal_unexpected[#fatal_unexpected + 1] = ours end
        end
    end
    table.sort(plan.unexpected)
    table.sort(fatal_unexpected)
    local complaints = {}
    if #fatal_missing > 0 then
        complaints[1] = ("lacks %d of %d tensors of this model (%s)"):format(#fatal_missing, #wanted,
            enumerate(fatal_missing))
    end
    if #fatal_unexpected > 0 then
        complaints[#complaints + 1] = ("has %d tensors this model does not know (%s)"):format(#fatal_unexpected,
            enumerate(fatal_unexpected))
    end
    if #complaints > 0 then
        fault.raisef("%s: %s: use the same config_file and kind of model", label, table.concat(complaints, " and "))
    end
    return plan
end

--- Read what a plan says. Faults name the file.
function weights.read(file, plan)
    for _, read in ipairs(plan.reads) do fault.check(file:read(read.name, read.tensor)) end
end

--- What a file holds for a store's parameters: list of {name, dims, tensor}.
function weights.parameters(store)
    local list = {}
    for i, entry in ipairs(store.list) do
        list[i] = {
            name = entry.name,
            dims = entry.stored_dims or entry.dims,
            tensor = entry.stored or entry.value,
        }
    end
    return list
end

--- Views of one flat state tensor (m or v), one a parameter, without the pad rows.
-- @param store ParameterStore
-- @param flat f32 [N] in the layout of the store's values
-- @tparam string prefix put before each name
function weights.state(store, flat, prefix)
    local list = {}
    for i, entry in ipairs(store.list) do
        local dims = entry.stored_dims or entry.dims
        local count = 1
        for _, d in ipairs(dims) do count = count * d end
        -- Pad rows are the last ones, so the stored rows are the first `count` elements of the segment.
        local segment = flat:slice(1, entry.offset + 1, entry.offset + count)
        list[i] = { name = prefix .. entry.name, dims = dims, tensor = segment:view(unpack(dims)) }
    end
    return list
end

--- Open a safetensors file or throw a fault that names it.
function weights.open(path)
    return fault.check(storage.open(path))
end

return weights
