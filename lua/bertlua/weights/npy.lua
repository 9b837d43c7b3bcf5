--- NumPy's files of one array (.npy, format 1.0 to 3.0): what is written before the numbers, and where they are.
--
-- A file is "\147NUMPY", two bytes of version, the length of the header, the header (a dictionary in Python's syntax,
-- then blanks and a line feed) and the numbers, row by row unless it says otherwise. numpy.savez packs such files.
-- @module bertlua.weights.npy

local ByteReader = require "bertlua.weights.byte_reader"
local fault = require "bertlua.fault"
local objects = require "bertlua.weights.objects"
local pickle = require "bertlua.weights.pickle"
local source = require "bertlua.weights.source"
local tensor = require "bertlua.tensor"

local npy = {}

local MAGIC = "\147NUMPY"
-- Codes of what we write, by dtype.
local CODES = { f32 = "<f4", f16 = "<f2", i32 = "<i4", i64 = "<i8", i8 = "|i1" }
-- The numbers begin at a multiple of this.
local ALIGNED = 64
-- Digits for which the header leaves room, so that a file may grow: NumPy's GROWTH_AXIS_MAX_DIGITS.
local ROOM = 21
local LONGEST_HEADER = 10000

--- What stands before the numbers of an array in format 1.0, byte for byte as numpy.save writes it. Its length does not
-- depend on the first dimension.
-- @tparam string dtype "f32", "f16", "i32", "i64" or "i8"
-- @tparam {number,...} dims at least one
-- @treturn string
function npy.head(dtype, dims)
    if not CODES[dtype] then
        error(("npy.head: dtype is %s, expected f32, f16, i32, i64 or i8"):format(tostring(dtype)), 2)
    end
    local sizes = {}
    for i, size in ipairs(dims) do sizes[i] = ("%.0f"):format(size) end
    if #sizes == 0 then error("npy.head: an array without dimensions, expected at least one", 2) end
    local header = ("{'descr': '%s', 'fortran_order': False, 'shape': (%s%s), }"):format(CODES[dtype],
        table.concat(sizes, ", "), #sizes == 1 and "," or "") .. (" "):rep(ROOM - #sizes[1])
    -- Magic, version and length take 10 bytes, the line feed one.
    local length = math.ceil((#header + 11) / ALIGNED) * ALIGNED - 10
    header = header .. (" "):rep(length - #header - 1) .. "\n"
    return ("%s\1\0%s%s%s"):format(MAGIC, string.char(length % 256), string.char(math.floor(length / 256)), header)
end

--- The array at a reader's position, as an entry of bertlua.weights.source; a fault if it is none, or of a kind that no
-- parameters have.
-- @param reader ByteReader over the array alone
-- @tparam string path, name for messages
function npy.entry(reader, path, name)
    local shown = pickle.printable(name)
    if reader.stop - reader.position < #MAGIC + 4 or reader:bytes(#MAGIC) ~= MAGIC then
        fault.raisef("%s: %s is not a numpy array", path, shown)
    end
    local version = reader:byte()
    reader:skip(1)
    local header_length = reader:unsigned(version >= 2 and 4 or 2)
    if header_length > LONGEST_HEADER then
        fault.raisef("%s: %s: broken: header of %.0f bytes", path, shown, header_length)
    end
    local header = reader:bytes(header_length)
    local order, code = header:match "'descr': '([<|>=]?)(%w+)'"
    local column_major, shape = header:match "'fortran_order': (%a+)", header:match "'shape': %(([%d, ]*)%)"
    local dtype = objects.NUMPY[code or ""]
    if not dtype or order == ">" or not shape or column_major ~= "True" and column_major ~= "False" then
        fault.raisef("%s: %s is an array of an unsupported kind: %s", path, shown, pickle.printable(header))
    end
    local dims = {}
    for digits in shape:gmatch "%d+" do dims[#dims + 1] = tonumber(digits) end
    for _, dim in ipairs(dims) do
        if dim > 2 ^ 52 or #dims > objects.MAX_DIMS then
            fault.raisef("%s: %s: broken: its shape is (%s)", path, shown, pickle.printable(shape))
        end
    end
    local entry = { dtype = dtype, dims = dims, strides = objects.contiguous(dims, column_major == "True"), first = 0,
        storage = { offset = reader.position, bytes = reader.stop - reader.position } }
    source.check(path, { [name] = entry }, reader.size)
    return entry
end

-- Dtypes that a tensor of the file's own has; others are read as f32.
local NATIVE = { F16 = "f16", BF16 = "bf16", I64 = "i64", I32 = "i32", I8 = "i8" }

-- Of a tensor.
local MOST_DIMS = 4

--- Read a file of one array.
-- @tparam string path
-- @return tensor of the array's shape: f32 for floating-point numbers but f16; a fault if the file is no such file
function npy.read(path)
    local reader = ByteReader.open(path)
    local entry = npy.entry(reader, path, "the file")
    reader:close()
    if #entry.dims > MOST_DIMS then
        fault.raisef("%s: an array of %d dimensions, expected at most %d", path, #entry.dims, MOST_DIMS)
    end
    local result = tensor.new(NATIVE[entry.dtype] or "f32", entry.dims)
    fault.check(source.new(path, { array = entry }):read("array", result))
    return result
end

return npy
