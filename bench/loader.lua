--- What reading shards costs one of several ranks: memory and time.
--
--     build/bertlua bench/loader.lua [--samples 390000] [--gzip 4] [--rounds 3]
--
-- Three shards of random words are read once as rank 0 of 1, 2, 4 and 8 would,
-- alone on the machine, without training. Runs alternate; the shortest time and
-- the largest memory count.

local data = require "bertlua.data"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local paths = require "bertlua.paths"
local quote = require("bertlua.util.shell").quote
local rng = require "bertlua.rng"
local settings = require "bertlua.settings"

local command = dofile(paths.root() .. "/bench/command.lua")

local spec = settings.define {
    { name = "samples", type = "integer", min = 1000, default = 390000,
        help = "samples per shard, of 128 tokens, 20 of them masked" },
    { name = "gzip", type = "integer", min = 0, max = 9, default = 4, help = "compression level; 0: uncompressed" },
    { name = "batch_size", type = "integer", min = 1, default = 32, help = "sequences per micro-step" },
    { name = "rounds", type = "integer", min = 1, default = 3, help = "runs for each number of ranks" },
}

local SHARDS, LENGTH, SLOTS, WORDS, TEXT = 3, 128, 20, 30522, 2 ^ 20
local RANKS = { 1, 2, 4, 8 }
-- A sample in memory: ids, segments, positions and labels, next label, length, masked.
local SAMPLE_BYTES = LENGTH * 5 + SLOTS * 8 + 9

--- Word frequencies are skewed, so that gzip has something to compress; a tenth of the samples are short.
local function write_shards(folder, values)
    local random = rng.new(9)
    local tokens, instances = data.int32_list(), data.instance_list()
    for _ = 1, TEXT do tokens:add(5 + math.floor((WORDS - 6) * random:double() ^ 4)) end
    for _ = 1, values.samples do
        local length = random:double() < 0.1 and random:integer(10, LENGTH - 3) or LENGTH - 3
        local first = random:integer(1, length - 1)
        instances:add(random:integer(0, TEXT - LENGTH), first, random:integer(0, TEXT - LENGTH), length - first,
            random:double() < 0.5)
    end
    local masking = data.masking { probability = 0.15, max_predictions = SLOTS, vocab_size = WORDS, cls_id = 2,
        sep_id = 3, mask_id = 4 }
    for i = 1, SHARDS do
        fault.check(data.write_shard(("%s/training_%d.hdf5"):format(folder, i), { max_seq_length = LENGTH,
            gzip = values.gzip, checksum = values.gzip > 0, seed = i }, masking, tokens, instances))
    end
end

local function measure(folder, ranks, values)
    local batches = math.floor(SHARDS * values.samples / values.batch_size)
    return command.own("loader_worker.lua", ("%s %d %d %d"):format(quote(folder), ranks, values.batch_size, batches))
        or fault.raise "a run failed"
end

local function main()
    local values = spec:parse(arg or {}, {}, { program = "bench/loader.lua",
        description = "Memory and time of reading shards as one of several ranks." })
    local folder = fault.check(fs.temporary_folder "bench-loader")
    write_shards(folder, values)
    print(("%d shards of %d samples, %.0f MiB in memory and %.0f MiB on disk each; batches of %d"):format(SHARDS,
        values.samples, values.samples * SAMPLE_BYTES / 2 ^ 20, fs.size(folder .. "/training_1.hdf5") / 2 ^ 20,
        values.batch_size))
    local least, most = {}, {}
    for _ = 1, values.rounds do
        for _, ranks in ipairs(RANKS) do
            local run = measure(folder, ranks, values)
            if not least[ranks] or run.seconds < least[ranks].seconds then least[ranks] = run end
            most[ranks] = math.max(most[ranks] or 0, run.rss)
        end
    end
    print "ranks    peak memory/rank     seconds/rank     samples/s/rank   samples/s of all ranks"
    for _, ranks in ipairs(RANKS) do
        local run = least[ranks]
        local rate = run.samples / run.seconds
        print(("%5d %15.0f MiB %16.2f %18.0f %24.0f"):format(ranks, most[ranks] / 2 ^ 20, run.seconds, rate,
            rate * ranks))
    end
    fs.remove(folder)
end

main()
