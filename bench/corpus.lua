--- How fast a dump becomes shards: MB/s of each stage, one process, best of several runs.
--
--     bertlua bench/corpus.lua --wikipedia FILE [--vocab-file FILE] [--repeats 3]
--
-- Sizes are those of a stage's input: bytes of the compressed dump, of text, of sentences, of all files.

local clock = require "bertlua.util.clock"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local paths = require "bertlua.paths"
local prepare = require "bertlua.jobs.corpus.prepare"
local settings = require "bertlua.settings"
local stage = require "bertlua.corpus.stage"

local values = settings.define {
    { name = "wikipedia", type = "path", required = true, help = "dump, .xml or .xml.bz2" },
    { name = "vocab_file", type = "path", help = "WordPiece vocabulary" },
    { name = "repeats", type = "integer", default = 3, min = 1, help = "runs; the best counts" },
}:parse(arg or {}, {}, { program = "bench/corpus.lua", description = "Measure the preparation of a corpus." })

-- Row, stage, stage whose files it reads, sets.
local ROWS = {
    { "extract", "extract" },
    { "sentences", "sentences", "extract" },
    { "shard", "shard", "sentences" },
    { "hdf5 128:20", "hdf5", "shard", "128:20" },
    { "hdf5 512:80", "hdf5", "shard", "512:80" },
    { "verify", "verify" },
}
local best, input = {}, {}

for _ = 1, values.repeats do
    local folder = assert(fs.temporary_folder("bertlua-bench"))
    for _, row in ipairs(ROWS) do
        local name, stage_name, before, sets = row[1], row[2], row[3], row[4]
        local job = prepare.settings:parse({}, {
            stages = stage_name, sets = sets, wikipedia = values.wikipedia, output_dir = folder,
            num_workers = 1, quiet = true,
            vocab_file = values.vocab_file or paths.root() .. "/vocab/bert-base-uncased-vocab.txt",
        })
        local started = clock.monotonic()
        prepare.run(job)
        local seconds = clock.monotonic() - started
        best[name] = math.min(best[name] or math.huge, seconds)
        local manifest = assert(json.read(fs.join(folder, "manifest.json")))
        input[name] = before and stage.sum(manifest.stages[before].files, "bytes") or fs.size(values.wikipedia)
        if name == "verify" then
            for _, made in pairs(manifest.stages) do input[name] = input[name] + stage.sum(made.files, "bytes") end
        end
    end
    assert(fs.remove(folder))
end

io.stdout:write("stage        input MB   seconds MB/s per core\n")
for _, row in ipairs(ROWS) do
    local name = row[1]
    io.stdout:write(("%-11s %9.2f %9.2f %13.2f\n"):format(name, input[name] / 1e6, best[name],
        input[name] / 1e6 / best[name]))
end
