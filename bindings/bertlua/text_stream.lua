--- Texts as users have them, compressed or not and in any encoding, read piece by piece as checked UTF-8. What kind of
-- documents they hold does not belong here: see bertlua.data.text_source.
-- What a broken file or the operating system refuses comes back as nil and a message; a wrong argument raises an error
-- at the caller's line.
-- @module bertlua.text_stream

local ffi = require "ffi"
local native = require "bertlua.ffi"

local lib = native.lib
local refused = native.refused

local text_stream = {}

local Stream = {}
Stream.__index = Stream

--- Open a text.
-- @tparam string path "-" is standard input
-- @tparam ?table options encoding = name as iconv -l lists it (default: UTF-8, or as its byte order mark says);
--   replace = true: bytes that are not text become U+FFFD instead of an error
-- @return Stream; or nil, message
function text_stream.open(path, options)
    local out = ffi.new "bl_text_stream *[1]"
    options = options or {}
    local status = lib.bl_text_stream_open(out, path, options.encoding, options.replace or false)
    if status ~= 0 then return refused(status) end
    return setmetatable({
        handle = ffi.gc(out[0], lib.bl_text_stream_close),
        text = ffi.new "const char *[1]",
        bytes = ffi.new "int64_t[1]",
        format = ffi.new "bl_text_format",
    }, Stream)
end

--- The next piece of UTF-8, which ends with a whole character; "" at the end; or nil, message.
function Stream:read()
    local status = lib.bl_text_stream_read(self.handle, self.text, self.bytes)
    if status ~= 0 then return refused(status) end
    return ffi.string(self.text[0], self.bytes[0])
end

--- Read to the end without keeping anything: true; or nil, message.
function Stream:check()
    repeat
        local status = lib.bl_text_stream_read(self.handle, self.text, self.bytes)
        if status ~= 0 then return refused(status) end
    until self.bytes[0] == 0
    return true
end

local LINE_ENDS = { [0] = "unknown", "lf", "cr" }

--- What is known so far: {packing = "gzip", ... or nil; encoding; mark_bytes; line_ends = "unknown", "lf" or "cr";
-- regular = whether it is a plain file; file_bytes; position = bytes of the file taken in; replaced}.
function Stream:describe()
    local format = self.format
    lib.bl_text_stream_describe(self.handle, format)
    local packing = ffi.string(format.packing)
    return {
        packing = packing ~= "" and packing or nil, encoding = ffi.string(format.encoding),
        mark_bytes = format.mark_bytes, line_ends = LINE_ENDS[format.line_ends], regular = format.regular ~= 0,
        file_bytes = tonumber(format.file_bytes), position = tonumber(format.position),
        replaced = tonumber(format.replaced),
    }
end

--- Give everything back; the garbage collector would do it too.
function Stream:close()
    if self.handle then
        lib.bl_text_stream_close(ffi.gc(self.handle, nil))
        self.handle = nil
    end
end

--- Whether iconv knows an encoding: true; or nil, message.
function text_stream.check_encoding(encoding)
    local status = lib.bl_text_encoding_check(encoding)
    if status ~= 0 then return refused(status) end
    return true
end

return text_stream
