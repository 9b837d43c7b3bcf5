--- The Python names that a pickle of parameters may use, and what they build here.
--
-- `globals` is the table for bertlua.weights.pickle: name -> {kind = "global", name, build}.
-- Without `build` a name may appear in a pickle (as the dtype of a storage, say)
-- but not be called. Tensors and arrays give the same result:
--   {kind = "tensor", dtype, dims, strides (in elements), first, storage = {offset, bytes, latin1}}
-- @module bertlua.weights.objects

local pickle = require "bertlua.weights.pickle"

-- MAX_DIMS: what the engine reads.
local objects = { globals = {}, MAX_DIMS = 8 }

local BYTES = { F64 = 8, F32 = 4, F16 = 2, BF16 = 2, I64 = 8, I32 = 4, I16 = 2, I8 = 1, U64 = 8, U32 = 4, U16 = 2,
    U8 = 1, BOOL = 1 }

--- Bytes of an element by dtype.
objects.BYTES = BYTES

local function define(name, build, fields)
    local global = fields or {}
    global.kind, global.name, global.build = "global", name, build
    objects.globals[name] = global
end

local function is(value, kind)
    return type(value) == "table" and value.kind == kind
end

--- A list of whole numbers, 0 or more, from a tuple or list; nil if it is anything else.
local function whole_numbers(value)
    if not is(value, "tuple") and not is(value, "list") or #value > objects.MAX_DIMS then return nil end
    local list = {}
    for i, n in ipairs(value) do
        if type(n) ~= "number" or n < 0 or n % 1 ~= 0 or n > 2 ^ 52 then return nil end
        list[i] = n
    end
    return list
end

--- Strides of a row-major tensor (column-major if asked for).
local function contiguous(dims, column_major)
    local strides, step = {}, 1
    for k = 1, #dims do
        local i = column_major and k or #dims + 1 - k
        strides[i] = step
        step = step * dims[i]
    end
    return strides
end
objects.contiguous = contiguous

local function dict(machine, arguments)
    local new = { kind = "dict", keys = {}, map = {} }
    local pairs_list = arguments[1]
    if pairs_list == nil then return new end
    if not is(pairs_list, "list") and not is(pairs_list, "tuple") then
        machine:refuse "makes a dictionary from something that is not a list"
    end
    machine:charge(#pairs_list)
    for _, pair in ipairs(pairs_list) do
        local key = (is(pair, "tuple") or is(pair, "list")) and pair[1]
        if is(key, "text") and key.value then
            if new.map[key.value] == nil then new.keys[#new.keys + 1] = key.value end
            new.map[key.value] = pair[2]
        end
    end
    return new
end

local function copy_sequence(kind)
    return function(machine, arguments)
        local from = arguments[1]
        if from ~= nil and not is(from, "tuple") and not is(from, "list") then
            machine:refuse(("makes a %s from something that is not a sequence"):format(kind))
        end
        local new = { kind = kind }
        machine:charge(from and #from or 0)
        for i, item in ipairs(from or {}) do new[i] = item end
        return new
    end
end

define("collections.OrderedDict", dict)
define("builtins.dict", dict)
define("builtins.tuple", copy_sequence "tuple")
define("builtins.list", copy_sequence "list")
define("torch.Size", copy_sequence "tuple")

-- Protocol 2 has no bytes type: they are written as text and converted back by this call.
define("_codecs.encode", function(machine, arguments)
    local text, encoding = arguments[1], arguments[2]
    if not is(text, "text") or not is(encoding, "text") or encoding.value ~= "latin1" then
        machine:refuse "calls _codecs.encode for something other than bytes"
    end
    return { kind = "bytes", offset = text.offset, length = text.length, latin1 = true }
end)
define("builtins.bytes", function(machine, arguments)
    if #arguments > 0 then machine:refuse "makes bytes from an argument" end
    return { kind = "bytes", offset = 0, length = 0 }
end)

-- PyTorch: a storage is named by its class and found by the persistent id; tensors are views of storages.
for class, dtype in pairs { Double = "F64", Float = "F32", Half = "F16", BFloat16 = "BF16", Long = "I64", Int = "I32",
    Short = "I16", Char = "I8", Byte = "U8", Bool = "BOOL" } do
    define(("torch.%sStorage"):format(class), nil, { dtype = dtype })
end

local function rebuild_tensor(machine, arguments)
    local storage, first = arguments[1], arguments[2]
    local dims, strides = whole_numbers(arguments[3]), whole_numbers(arguments[4])
    if not is(storage, "storage") or type(first) ~= "number" or first < 0 or first % 1 ~= 0 or not dims or not strides
        or #dims ~= #strides then
        machine:broken "a tensor with invalid parts"
    end
    return { kind = "tensor", dtype = storage.dtype, dims = dims, strides = strides, first = first, storage = storage }
end
define("torch._utils._rebuild_tensor", rebuild_tensor)
define("torch._utils._rebuild_tensor_v2", rebuild_tensor)
define("torch._utils._rebuild_parameter", function(machine, arguments)
    if not is(arguments[1], "tensor") then machine:broken "a parameter that is not a tensor" end
    return arguments[1]
end)

--- Meaning of PyTorch's persistent ids ('storage', class, key, device, number of elements[, view]).
-- @return {kind = "storage", dtype, key, bytes}; its offset is the caller's to find
function objects.torch_storage(machine, id)
    if not is(id, "tuple") then machine:refuse "refers to something that is not a storage" end
    local class, key, count = id[2], id[3], id[5]
    if not is(id[1], "text") or id[1].value ~= "storage" or not is(class, "global")
        or not class.dtype or not is(key, "text") or not key.value or type(count) ~= "number" or count < 0
        or count % 1 ~= 0 then
        machine:refuse "refers to something that is not a storage"
    end
    if id[6] ~= nil and id[6] ~= pickle.NONE then machine:refuse "refers to a view of a storage" end
    return { kind = "storage", dtype = class.dtype, key = key.value, bytes = count * BYTES[class.dtype] }
end

--- The same where the id is text, as Python prints the tuple: protocol 0 writes it so, and PyTorch cannot read it.
function objects.torch_storage_text(machine, text)
    local class, key, count, view = text:match
        "^%('storage', <class '([%w_.]+)'>, '([%w_]+)', '[%w:]+', (%d+)(,? ?%w*)%)$"
    local global = class and objects.globals[class]
    if not global or not global.dtype or view ~= "" and view ~= ", None" or #count > 15 then
        machine:refuse "refers to something that is not a storage"
    end
    return { kind = "storage", dtype = global.dtype, key = key, bytes = tonumber(count) * BYTES[global.dtype] }
end

-- numpy: an array is created empty, then BUILD sets its shape, dtype and bytes; likewise for a dtype.
local NUMPY = { f8 = "F64", f4 = "F32", f2 = "F16", i8 = "I64", i4 = "I32", i2 = "I16", i1 = "I8", u8 = "U64",
    u4 = "U32", u2 = "U16", u1 = "U8", b1 = "BOOL" }
objects.NUMPY = NUMPY

local function set_dtype_state(machine, dtype, state)
    local order = is(state, "tuple") and state[2]
    order = is(order, "text") and order.value
    if order ~= "<" and order ~= "|" and order ~= "=" then
        machine:refuse "contains an array whose numbers are not little-endian"
    end
    dtype.ready = true
end

define("numpy.dtype", function(machine, arguments)
    local code = is(arguments[1], "text") and arguments[1].value or "?"
    if not NUMPY[code] then
        machine:refuse(("contains an array of numpy dtype %s"):format(pickle.printable(code)))
    end
    return { kind = "dtype", dtype = NUMPY[code], set_state = set_dtype_state }
end)

local function set_array_state(machine, array, state)
    if not is(state, "tuple") then machine:broken "an array with invalid parts" end
    local dims = whole_numbers(state[2])
    local dtype, column_major, data = state[3], state[4], state[5]
    if not dims or not is(dtype, "dtype") or not dtype.ready or type(column_major) ~= "boolean" then
        machine:broken "an array with invalid parts"
    end
    -- Python 2 wrote bytes as what is text elsewhere.
    if not is(data, "bytes") and not (is(data, "text") and data.raw) then
        machine:refuse "contains an array whose elements are not numbers"
    end
    array.kind, array.set_state = "tensor", nil
    array.dtype, array.dims, array.first = dtype.dtype, dims, 0
    array.strides = contiguous(dims, column_major)
    array.storage = { offset = data.offset, bytes = data.length, latin1 = data.latin1 }
end

define("numpy.ndarray")
for _, core in ipairs { "core", "_core" } do
    define(("numpy.%s.multiarray._reconstruct"):format(core), function(machine, arguments)
        if not is(arguments[1], "global") or arguments[1].name ~= "numpy.ndarray" then
            machine:refuse "makes an array of a class that is not numpy.ndarray"
        end
        return { kind = "array", set_state = set_array_state }
    end)
    -- A numpy scalar: not a parameter, but training programs store some along with them.
    define(("numpy.%s.multiarray.scalar"):format(core), function() return pickle.NONE end)
end

return objects
