--- Change every byte of a shard, one at a time, and count what is refused, what is read as it was, and what is read as
-- other data in silence. spec/engine/data/flips_spec.lua does it with some of the bytes.
--
--     build/bertlua spec/peers/flip_bytes.lua [--shard FILE --mask N --step N --sealed-again]
--
-- Without --shard it takes one of our own, of 300 samples. Exits with 1 if a shard of ours gives other data. With
-- --sealed-again each changed file gets a seal that fits it, as if made to do harm: other data are then possible, a
-- crash of this process is not.

local flips = require "spec.support.flips"
local fs = require "bertlua.util.fs"
local settings = require "bertlua.settings"
local shards = require "spec.support.shards"

local spec = settings.define {
    { name = "shard", type = "path", help = "shard to change; none: one of our own" },
    { name = "mask", type = "integer", min = 1, max = 255, default = 1, help = "what a byte is XORed with" },
    { name = "step", type = "integer", min = 1, default = 1, help = "change every step-th byte" },
    { name = "sealed_again", type = "boolean", default = false, help = "with a seal that fits the changed file" },
}

local values = spec:parse(arg, {}, { program = "spec/peers/flip_bytes.lua", description = "Change bytes of a shard." })
local folder = assert(fs.temporary_folder("flip_bytes"))
local path = folder .. "/shard.hdf5"
if values.shard then
    assert(fs.write(path, assert(fs.read(values.shard))))
else
    shards.write_sealed(path, 300, 32, 5)
end
local found = flips.run(path, values)
fs.remove(folder)
print(("%d changes: %d refused, %d of them as the HDF5 library crashed in its own process; %d read as before, "
    .. "%d as other data"):format(found.changes, found.refused + found.crashed, found.crashed, found.same, found.other))
if found.first_crash then print(("first crash: byte %d"):format(found.first_crash)) end
if found.first_other then print(("first other data: byte %d"):format(found.first_other)) end
os.exit(not values.shard and not values.sealed_again and found.other > 0 and 1 or 0)
