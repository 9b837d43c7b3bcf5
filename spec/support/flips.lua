--- What becomes of a shard when one byte of it changes: refused, read as it was, or read as other data. A crash of the
-- process that decodes HDF5 is a refusal with a message of its own; a crash of this one ends it.

local data = require "bertlua.data"
local fs = require "bertlua.util.fs"
local storage = require "bertlua.storage"

local flips = {}

local SEAL_BYTES = 168

--- All values of a shard as one text; nil and the message if it is refused.
function flips.contents(path)
    local shard, message = data.read_shard(path, {})
    if not shard then return nil, message end
    local parts = { shard.vocabulary or "" }
    for n = 0, shard.samples - 1 do
        local row = shard:row(n)
        for _, name in ipairs { "input_ids", "segment_ids", "masked_lm_positions", "masked_lm_ids" } do
            parts[#parts + 1] = table.concat(row[name], " ")
        end
        parts[#parts + 1] = ("%d %d %d"):format(row.length, row.masked, row.next_sentence_label)
    end
    shard:free()
    return table.concat(parts, "\n")
end

local function word(value)
    local bytes = {}
    for k = 1, 4 do
        bytes[k] = string.char(value % 256)
        value = math.floor(value / 256)
    end
    return table.concat(bytes)
end

--- The seal of a file with another body: what somebody writes who means harm, as a checksum is no signature.
local function seal_again(body, seal)
    local checked = seal:sub(1, 16) .. word(storage.crc32c(body)) .. seal:sub(21, 152)
    return checked .. word(storage.crc32c(checked)) .. seal:sub(157)
end

--- Change bytes of the shard at path, one at a time, in a copy beside it.
-- @param options mask (1): what a byte is XORed with; first (0), step (1): which bytes; sealed_again (false): with a
--   seal that fits the changed file
-- @return {changes, refused, crashed, same, other: numbers; first_other, first_crash: byte offsets or nil}
function flips.run(path, options)
    local mask, sealed_again = options.mask or 1, options.sealed_again
    local bytes = assert(fs.read(path))
    local expected = assert(flips.contents(path))
    local copy = path .. ".changed"
    local total = sealed_again and #bytes - SEAL_BYTES or #bytes
    local body, seal = bytes:sub(1, #bytes - SEAL_BYTES), bytes:sub(-SEAL_BYTES)
    local found = { changes = 0, refused = 0, crashed = 0, same = 0, other = 0 }
    for at = options.first or 0, total - 1, options.step or 1 do
        local changed = string.char(bit.bxor(bytes:byte(at + 1), mask))
        -- In place, without fs.write, whose sync would take longer than everything else.
        local file = assert(io.open(copy, "wb"))
        if sealed_again then
            local other = body:sub(1, at) .. changed .. body:sub(at + 2)
            file:write(other, seal_again(other, seal))
        else
            file:write(bytes:sub(1, at), changed, bytes:sub(at + 2))
        end
        file:close()
        found.changes = found.changes + 1
        local got, message = flips.contents(copy)
        local kind = got == expected and "same" or got and "other" or "refused"
        if message and message:find("the HDF5 library crashed", 1, true) then
            kind = "crashed"
            found.first_crash = found.first_crash or at
        end
        if kind == "other" then found.first_other = found.first_other or at end
        assert(got or message:sub(1, #copy + 1) == copy .. ":", message)
        found[kind] = found[kind] + 1
    end
    os.remove(copy)
    return found
end

return flips
