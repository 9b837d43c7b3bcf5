--- Files: safetensors in and out, weights of 8 bits, durable writes, checksums.
-- What the operating system or a broken file refuses comes back as nil and a
-- message; a wrong argument raises an error at the caller's line.
-- @module bertlua.storage

local ffi = require "ffi"
local native = require "bertlua.ffi"
local ownership = require "bertlua.ownership"

local lib = native.lib
local refused = native.refused

local storage = {}

--- The current context, as the engine takes it, when a tensor is not on the CPU, else NULL.
local function context_for(device)
    if device == 0 then return nil end
    return require("bertlua.context").handle()
end

local File = {}
File.__index = File

--- Open a safetensors file; the whole header is checked.
-- @tparam string path
-- @return File with methods names, has, info, metadata, read, close; or nil, message
function storage.open(path)
    local out = ffi.new "bl_safetensors *[1]"
    local status = lib.bl_safetensors_open(out, path)
    if status ~= 0 then return refused(status) end
    return setmetatable({ path = path, handle = ffi.gc(out[0], lib.bl_safetensors_close) }, File)
end

local function handle_of(file, level)
    if not file.handle then error("storage: " .. file.path .. " is closed", (level or 1) + 1) end
    return file.handle
end

--- Names of all tensors, ascending.
function File:names()
    local handle = handle_of(self, 2)
    local info = ffi.new "bl_safetensors_info"
    local list = {}
    for i = 0, tonumber(lib.bl_safetensors_count(handle)) - 1 do
        native.check(lib.bl_safetensors_describe(handle, i, info), 2)
        list[#list + 1] = ffi.string(info.name)
    end
    return list
end

--- Whether the file holds a tensor of this name.
function File:has(name)
    return lib.bl_safetensors_find(handle_of(self, 2), name) >= 0
end

--- Description of one tensor: {dtype = "F32", dims = {...}, bytes = n, native = "f32" or nil}; nil if there is none.
function File:info(name)
    local handle = handle_of(self, 2)
    local index = lib.bl_safetensors_find(handle, name)
    if index < 0 then return nil end
    local info = ffi.new "bl_safetensors_info"
    native.check(lib.bl_safetensors_describe(handle, index, info), 2)
    local dims = {}
    for i = 1, info.ndim do dims[i] = tonumber(info.shape[i - 1]) end
    return {
        dtype = ffi.string(info.dtype),
        dims = dims,
        bytes = tonumber(info.bytes),
        native = info.native >= 0 and ffi.string(lib.bl_dtype_name(info.native)) or nil,
    }
end

--- The file's string map.
function File:metadata()
    local handle = handle_of(self, 2)
    local key, value = ffi.new "const char *[1]", ffi.new "const char *[1]"
    local map = {}
    for i = 0, tonumber(lib.bl_safetensors_metadata_count(handle)) - 1 do
        native.check(lib.bl_safetensors_metadata(handle, i, key, value), 2)
        map[ffi.string(key[0])] = ffi.string(value[0])
    end
    return map
end

--- Read tensor `name` into a contiguous tensor of the same shape, converting the dtype.
-- @tparam string name
-- @param tensor bl_tensor
-- @return true; or nil, message when the file cannot be read
function File:read(name, tensor)
    local handle = handle_of(self, 2)
    local index = lib.bl_safetensors_find(handle, name)
    if index < 0 then error("storage: " .. self.path .. " has no tensor " .. tostring(name), 2) end
    local status = lib.bl_safetensors_read(context_for(tensor.device), handle, index, tensor)
    if status ~= 0 then return refused(status) end
    return true
end

--- Close the file; a second close does nothing.
function File:close()
    if self.handle then
        lib.bl_safetensors_close(ffi.gc(self.handle, nil))
        self.handle = nil
    end
end

local new_region = ffi.typeof "bl_file_region"

--- Read a tensor at a known place in a file of another format.
-- @tparam string path
-- @tparam table where name (for messages), dtype ("F32", ...), dims, strides (in elements), first (element), offset and
--   bytes of the storage, latin1 (true: each byte is written as a code point in UTF-8)
-- @param tensor contiguous bl_tensor of the same shape; the dtype is converted
-- @return true; or nil, message when the file cannot be read
function storage.read_region(path, where, tensor)
    local count = #where.dims
    if count > 8 or count ~= #where.strides then
        error("storage.read_region: " .. where.name .. " has " .. count .. " dims, expected at most 8", 2)
    end
    local region = new_region()
    -- The strings stay alive in `where` while the call runs.
    region.name, region.dtype = where.name, where.dtype
    region.offset, region.bytes, region.first = where.offset, where.bytes, where.first
    region.ndim, region.latin1 = count, where.latin1 and 1 or 0
    for i = 1, count do
        region.shape[i - 1], region.stride[i - 1] = where.dims[i], where.strides[i]
    end
    local status = lib.bl_file_read_tensor(context_for(tensor.device), path, region, tensor)
    if status ~= 0 then return refused(status) end
    return true
end

--- Shape and dtype of an item whose elements come later.
local function declared(item)
    local t = ffi.new "bl_tensor"
    t.dtype, t.ndim = native.dtype(item.dtype or "f32"), #item.dims
    local stride = 1
    for i = 4, 1, -1 do
        t.shape[i - 1] = item.dims[i] or 1
        t.stride[i - 1] = item.dims[i] and stride or 0
        stride = stride * (item.dims[i] or 1)
    end
    return t
end

local function fill_writer(writer, tensors, metadata)
    for key, value in pairs(metadata or {}) do
        local status = lib.bl_safetensors_writer_metadata(writer, tostring(key), tostring(value))
        if status ~= 0 then return status end
    end
    for _, item in ipairs(tensors) do
        local status = lib.bl_safetensors_writer_add(writer, item.name, item.tensor or declared(item))
        if status ~= 0 then return status end
    end
    return lib.bl_safetensors_writer_begin(writer)
end

local function write_tensors(writer, tensors)
    local by_name = {}
    for _, item in ipairs(tensors) do by_name[item.name] = item end
    local name = lib.bl_safetensors_writer_next(writer)
    while name ~= nil do
        local item = by_name[ffi.string(name)]
        local t = item.tensor or item.fetch()
        local status = lib.bl_safetensors_writer_put(context_for(t.device), writer, t)
        if status ~= 0 then return status end
        name = lib.bl_safetensors_writer_next(writer)
    end
    return lib.bl_safetensors_writer_finish(writer)
end

--- Write a safetensors file: temporary file, sync, rename. The bytes do not depend on the order.
-- @tparam string path
-- @param tensors list of {name = string, tensor = contiguous bl_tensor}; or, instead of tensor, dims and fetch: a
--   function that returns the tensor (f32), called once in the order of names
-- @tparam[opt] table metadata strings by name
-- @return true; or nil, message (an older file at path is untouched)
function storage.save(path, tensors, metadata)
    local out = ffi.new "bl_safetensors_writer *[1]"
    local status = lib.bl_safetensors_writer_create(out, path)
    if status ~= 0 then return refused(status) end
    local writer = ffi.gc(out[0], lib.bl_safetensors_writer_free)
    status = fill_writer(writer, tensors, metadata)
    if status == 0 then status = write_tensors(writer, tensors) end
    lib.bl_safetensors_writer_free(ffi.gc(writer, nil))
    if status ~= 0 then return refused(status) end
    return true
end

--- A tensor in memory of the host, whatever device the context works on; its elements are 0. The collector frees it.
-- @tparam string dtype "f32", ...
-- @param dims list of at most 4 sizes
-- @return contiguous bl_tensor
function storage.host_tensor(dtype, dims)
    local t = declared { dtype = dtype, dims = dims }
    local array = ffi.new("uint8_t[?]", math.max(1, tonumber(lib.bl_tensor_numel(t) * lib.bl_dtype_size(t.dtype))))
    t.data = array
    return ownership.keep(t, array)
end

--- Write weights as 8 bits and a scale for each row: q = w / scale, scale = largest magnitude of the row / 127.
-- @param w tensor f32 [R,C] without NaN and inf; like the others contiguous, on the CPU
-- @param q tensor i8 [R,C], written
-- @param scale tensor f32 [R,1], written
-- @treturn number how far q * scale is from w, relative to w: root of the sum of squares over that of w
function storage.quantize_rows(w, q, scale)
    local miss = ffi.new "double[1]"
    native.check(lib.bl_quantize_rows(w, q, scale, miss), 2)
    return miss[0]
end

--- The weights that quantize_rows() has written, into a tensor.
-- @param q tensor i8 [R,C]; like the others contiguous, on the CPU
-- @param scale tensor f32 [R,1]
-- @param w tensor f32 [R,C], written
function storage.dequantize_rows(q, scale, w)
    native.check(lib.bl_dequantize_rows(q, scale, w), 2)
end

--- Replace a file by this string, durably and atomically. True, or nil, message.
function storage.write(path, text)
    local status = lib.bl_file_write(path, text, #text)
    if status ~= 0 then return refused(status) end
    return true
end

--- Flush a file or a folder to the disk. True, or nil, message.
function storage.sync(path)
    local status = lib.bl_file_sync(path)
    if status ~= 0 then return refused(status) end
    return true
end

--- Cut off what a file has beyond a length, or fill it up with zeros. True, or nil, message.
function storage.truncate(path, bytes)
    local status = lib.bl_file_truncate(path, bytes)
    if status ~= 0 then return refused(status) end
    return true
end

--- Rename and sync the folder of the new name. True, or nil, message.
function storage.rename(from, to)
    local status = lib.bl_file_rename(from, to)
    if status ~= 0 then return refused(status) end
    return true
end

--- CRC32C and size of a file: crc, bytes; or nil, message.
function storage.file_crc32c(path)
    local crc, bytes = ffi.new "uint32_t[1]", ffi.new "uint64_t[1]"
    local status = lib.bl_file_crc32c(path, crc, bytes)
    if status ~= 0 then return refused(status) end
    return tonumber(crc[0]), tonumber(bytes[0])
end

--- CRC-32, as zip has it, of `bytes` bytes of a file from an offset; or nil, message.
function storage.file_crc32(path, offset, bytes)
    local crc = ffi.new "uint32_t[1]"
    local status = lib.bl_file_crc32(path, offset, bytes, crc)
    if status ~= 0 then return refused(status) end
    return tonumber(crc[0])
end

--- SHA-256 of a file in hexadecimal; or nil, message.
function storage.file_sha256(path)
    local hex = ffi.new "char[65]"
    local status = lib.bl_file_sha256(path, hex)
    if status ~= 0 then return refused(status) end
    return ffi.string(hex)
end

--- Hash of a file in hexadecimal: "md5" or "sha1"; or nil, message.
function storage.digest(path, algorithm)
    local hex = ffi.new "char[65]"
    local status = lib.bl_file_digest(path, algorithm, hex)
    if status ~= 0 then return refused(status) end
    return ffi.string(hex)
end

--- Bytes free on the file system of path; or nil, message.
function storage.free_bytes(path)
    local bytes = ffi.new "uint64_t[1]"
    local status = lib.bl_file_free_bytes(path, bytes)
    if status ~= 0 then return refused(status) end
    return tonumber(bytes[0])
end

-- How much is copied from a device at a time.
local CHUNK_BYTES = 2 ^ 20

local function device_crc32c(t, crc)
    local size, count = tonumber(lib.bl_dtype_size(t.dtype)), tonumber(lib.bl_tensor_numel(t))
    local flat, step, chunk = t:view(-1), CHUNK_BYTES / size, ffi.new("uint8_t[?]", CHUNK_BYTES)
    for first = 1, count, step do
        local part = flat:slice(1, first, math.min(first + step - 1, count))
        local bytes = part:numel() * size
        native.check(lib.bl_download(context_for(t.device), chunk, part, bytes), 3)
        crc = tonumber(lib.bl_crc32c(crc, chunk, bytes))
    end
    return crc
end

--- CRC32C of a string or of a contiguous tensor's bytes, continuing from crc (0 if absent).
function storage.crc32c(value, crc)
    if type(value) == "string" then return tonumber(lib.bl_crc32c(crc or 0, value, #value)) end
    if not lib.bl_tensor_is_contiguous(value) then
        error("storage.crc32c: expected a string or a contiguous tensor", 2)
    end
    if value.device ~= 0 then return device_crc32c(value, crc or 0) end
    local bytes = lib.bl_tensor_numel(value) * lib.bl_dtype_size(value.dtype)
    return tonumber(lib.bl_crc32c(crc or 0, value.data, bytes))
end

--- CRC32C in the masked form of TensorBoard's event files.
function storage.masked_crc32c(text)
    return tonumber(lib.bl_crc32c_mask(lib.bl_crc32c(0, text, #text)))
end

--- Version of the engine, for the record.
function storage.engine_version()
    return ffi.string(lib.bl_version())
end

local scalar = ffi.new "union { double f64; float f32; uint32_t u32; uint64_t u64; uint8_t bytes[8]; }"

--- Little-endian bytes of a number: kind is "f64", "f32", "u32" or "u64".
function storage.pack(kind, value)
    scalar[kind] = value
    return ffi.string(scalar.bytes, (kind == "f64" or kind == "u64") and 8 or 4)
end

--- Columns of the terminal behind a file descriptor (1 is standard output); nil if it is not a terminal.
function storage.terminal_columns(descriptor)
    local columns = lib.bl_terminal_columns(descriptor)
    return columns > 0 and columns or nil
end

return storage
