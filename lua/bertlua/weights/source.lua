--- Tensors in a file of any format, with the methods of storage.File: names, info,
-- read, metadata, close. Also combines several files into one.
-- @module bertlua.weights.source

local fault = require "bertlua.fault"
local objects = require "bertlua.weights.objects"
local pickle = require "bertlua.weights.pickle"
local storage = require "bertlua.storage"

local source = {}

local Source = {}
Source.__index = Source

--- Make a source.
-- @tparam string path of the file that contains the bytes
-- @tparam table entries by name: {dtype, dims, strides, first, storage = {offset, bytes, latin1}}
function source.new(path, entries)
    return setmetatable({ path = path, entries = entries }, Source)
end

--- Names of all tensors, sorted.
function Source:names()
    local list = {}
    for name in pairs(self.entries) do list[#list + 1] = name end
    table.sort(list)
    return list
end

--- {dtype, dims} of one tensor; nil if there is none.
function Source:info(name)
    local entry = self.entries[name]
    return entry and { dtype = entry.dtype, dims = entry.dims }
end

--- Names and values that the file carries beside its tensors: none in these formats.
function Source.metadata()
    return {}
end

--- Read into a contiguous tensor of the same shape. Returns true; or nil, message.
function Source:read(name, tensor)
    local entry = self.entries[name]
    return storage.read_region(self.path, {
        name = pickle.printable(name), dtype = entry.dtype, dims = entry.dims, strides = entry.strides,
        first = entry.first, offset = entry.storage.offset, bytes = entry.storage.bytes,
        latin1 = entry.storage.latin1,
    }, tensor)
end

--- Whether two tensors are the same bytes.
function Source:shares(a, b)
    local x, y = self.entries[a], self.entries[b]
    return x.storage.offset == y.storage.offset and x.first == y.first and x.dtype == y.dtype
        and table.concat(x.strides, ",") == table.concat(y.strides, ",")
end

--- Nothing is open between reads.
function Source.close() end

local function is_tensor(value)
    return type(value) == "table" and value.kind == "tensor"
end

--- The tensor in a dictionary's value: the value itself, or the second item of Paddle's (name, array).
local function tensor_of(value)
    if is_tensor(value) then return value end
    if type(value) == "table" and value.kind == "tuple" and #value == 2 and is_tensor(value[2])
        and type(value[1]) == "table" and value[1].kind == "text" then
        return value[2]
    end
    return nil
end

local function tensors_of(dict)
    local entries, count = {}, 0
    for _, key in ipairs(dict.keys) do
        local tensor = tensor_of(dict.map[key])
        if tensor then
            entries[key] = tensor
            count = count + 1
        end
    end
    return entries, count
end

-- The keys under which training programs put the parameters in a larger dictionary.
local USUAL = { "model", "state_dict", "model_state_dict", "module" }

--- The tensors of an unpickled value, by name: it must be a dictionary of them, or contain one.
-- @return entries for source.new()
function source.from_pickle(path, value)
    if type(value) ~= "table" or value.kind ~= "dict" then
        fault.raisef("%s: its pickle is a %s, expected a dictionary of tensors by name", path,
            type(value) == "table" and value.kind or type(value))
    end
    if value.map["UnpackBigParamInfor@@"] then
        fault.raisef("%s: its parameters are split into slices: save it with protocol 4", path)
    end
    local entries, count = tensors_of(value)
    if count > 0 then return entries end
    local inner = {}
    for _, key in ipairs(value.keys) do
        local child = value.map[key]
        if type(child) == "table" and child.kind == "dict" then
            local found, number = tensors_of(child)
            if number > 0 then
                inner[key] = found
                inner[#inner + 1] = pickle.printable(key)
            end
        end
    end
    for _, key in ipairs(USUAL) do
        if inner[key] then return inner[key] end
    end
    if #inner == 1 then
        for key, found in pairs(inner) do
            if key ~= 1 then return found end
        end
    end
    if #inner == 0 then fault.raisef("%s: contains no named tensors", path) end
    table.sort(inner)
    fault.raisef("%s: contains several dictionaries of tensors (%s), none named model or state_dict", path,
        table.concat(inner, ", "))
end

--- Raise a fault if a tensor extends beyond its storage, or a storage beyond the file: better now than in mid-load.
function source.check(path, entries, file_size)
    for name, entry in pairs(entries) do
        local last, empty = entry.first, false
        for i, dim in ipairs(entry.dims) do
            if dim == 0 then empty = true end
            last = last + (dim - 1) * entry.strides[i]
        end
        local store = entry.storage
        if not empty and (last + 1) * objects.BYTES[entry.dtype] > store.bytes then
            fault.raisef("%s: %s extends beyond its storage of %.0f bytes", path, pickle.printable(name), store.bytes)
        end
        if store.offset + store.bytes > file_size then
            fault.raisef("%s: truncated: the data of %s ends at byte %.0f, but the file at %.0f", path,
                pickle.printable(name), store.offset + store.bytes, file_size)
        end
    end
end

local Joined = {}
Joined.__index = Joined

--- Several open files as one. Each name must be in only one of them.
-- @tparam string path name of the whole in messages
-- @param files list of open files
function source.join(path, files)
    local owner = {}
    for _, file in ipairs(files) do
        for _, name in ipairs(file:names()) do
            if owner[name] then
                fault.raisef("%s: %s is in both %s and %s", path, pickle.printable(name), owner[name].path, file.path)
            end
            owner[name] = file
        end
    end
    return setmetatable({ path = path, files = files, owner = owner }, Joined)
end

--- Sorted names of all tensors.
function Joined:names()
    local list = {}
    for name in pairs(self.owner) do list[#list + 1] = name end
    table.sort(list)
    return list
end

--- {dtype, dims} of one tensor; nil if there is none.
function Joined:info(name)
    local file = self.owner[name]
    return file and file:info(name)
end

--- Names and values that the first file carries beside its tensors.
function Joined:metadata()
    return self.files[1] and self.files[1]:metadata() or {}
end

--- Read into a contiguous tensor of the same shape. Returns true; or nil, message.
function Joined:read(name, tensor)
    return self.owner[name]:read(name, tensor)
end

--- Whether two tensors are the same bytes.
function Joined:shares(a, b)
    local file = self.owner[a]
    return file == self.owner[b] and file.shares ~= nil and file:shares(a, b)
end

--- Close all files.
function Joined:close()
    for _, file in ipairs(self.files) do file:close() end
end

return source
