--- One measurement of bench/loader.lua in a separate process, so that each has its own peak memory.
--
-- Arguments: FOLDER RANKS BATCH BATCHES. Rank 0 of RANKS reads its share of the
-- first BATCHES batches. Prints one JSON line: {"seconds": in total, "samples":
-- read, "rss": bytes by which the process grew at its peak}.

local clock = require "bertlua.util.clock"
local json = require "bertlua.util.json"
local loader = require "bertlua.data.loader"

local function memory(field)
    for line in io.lines "/proc/self/status" do
        local kilobytes = line:match("^" .. field .. ":%s+(%d+) kB")
        if kilobytes then return tonumber(kilobytes) * 1024 end
    end
end

local folder, ranks, batch_size, batches = arg[1], tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4])
local before = memory "VmRSS"

local reader = loader.open { input_dir = folder, batch_size = batch_size, rank = 0, ranks = ranks, vocab_size = 30522,
    pack_sequences = true }
local began, samples = clock.monotonic(), 0
for n = 0, batches - 1, ranks do
    reader:batch(n)
    samples = samples + batch_size
end
print(json.encode { seconds = clock.monotonic() - began, samples = samples, rss = memory "VmHWM" - before })
reader:close()
