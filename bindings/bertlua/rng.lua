--- Sequential host random numbers: Philox4x32-10, keyed by (seed, stream).
--
-- A generator is plain data. save() and restore() carry it across processes,
-- so that a resumed run draws the same numbers.

local ffi = require "ffi"
local bl = require "bertlua.ffi"

local C = bl.lib

local M = {}

local Rng = {}
Rng.__index = Rng

--- Uniform whole number in [low, high], both included.
function Rng:integer(low, high)
    return tonumber(C.bl_rng_integer(self, low, high))
end

--- Uniform number in [0, 1).
function Rng:double()
    return C.bl_rng_double(self)
end

--- 32 random bits.
function Rng:u32()
    return C.bl_rng_u32(self)
end

--- Shuffle the first n values of an int64 array.
function Rng:shuffle(values, n)
    C.bl_rng_shuffle(self, values, n)
end

--- The state as a short text.
function Rng:save()
    return ("%s:%s:%s"):format(bit.tohex(self.seed, 16), bit.tohex(self.stream, 16), bit.tohex(self.counter, 16))
end

local new = ffi.metatype("bl_rng", Rng)

--- A new generator.
-- @param seed number or 64-bit integer
-- @param stream independent streams of one seed; 0 if left out
function M.new(seed, stream)
    if type(seed) ~= "number" and type(seed) ~= "cdata" then
        error(("rng: seed is %s, expected a number"):format(type(seed)), 2)
    end
    local rng = new()
    C.bl_rng_init(rng, seed, stream or 0)
    return rng
end

local function from_hex(text)
    local high, low = tonumber(text:sub(1, 8), 16), tonumber(text:sub(9, 16), 16)
    return ffi.cast("uint64_t", high) * 0x100000000ULL + low
end

--- A generator that continues where save() was called.
function M.restore(text)
    local seed, stream, counter = tostring(text):match("^(%x+):(%x+):(%x+)$")
    if not (seed and #seed == 16 and #stream == 16 and #counter == 16) then
        error(("rng.restore: state is %q, expected the text of save()"):format(tostring(text)), 2)
    end
    local rng = M.new(from_hex(seed), from_hex(stream))
    local drawn = from_hex(counter)
    -- Words come in blocks of four: start at the beginning of the block and redraw what was drawn from it.
    rng.counter = drawn - drawn % 4
    for _ = 1, tonumber(drawn % 4) do C.bl_rng_u32(rng) end
    return rng
end

return M
