--- Puts a seal behind each shard of a folder that has none, such as those that NVIDIA's scripts or h5py wrote.
--
--     bertlua seal-shards --input-dir data/hdf5
--
-- A seal is 168 bytes with the CRC32C of the file, which other readers of HDF5 do not look at. From then on a shard in
-- which any byte has changed is refused. Every value is checked before. Can be run again at any time: shards that have
-- a seal are compared with it.

local data = require "bertlua.data"
local fault = require "bertlua.fault"
local loader = require "bertlua.data.loader"
local plural = require "bertlua.util.plural"
local settings = require "bertlua.settings"

local values = settings.define({
    { name = "input_dir", type = "path", required = true, help = "folder of shards" },
}):parse({ ... }, nil, { program = arg[0], description = "Seal shards of other programs." })

local added, kept = 0, 0
for _, path in ipairs(loader.files(values.input_dir, "all")) do
    local is_new, problem = data.seal_shard(path)
    if is_new == nil then fault.raise(problem) end
    if is_new then added = added + 1 else kept = kept + 1 end
end
io.stdout:write(("%s: %s sealed, %d had a seal, which fits\n"):format(values.input_dir, plural.count(added, "shard"),
    kept))
