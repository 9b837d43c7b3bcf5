--- One measurement of bench/inference.lua in a process of its own: vectors of texts by the encoder of bl.load.
--
-- Arguments: PRECISION (fp32 | bf16 | int8) FOLDER TEXTS SHAPE (batch | mix) THREADS SECONDS BEGUN, as in
-- bench/peers/inference.py, and the same JSON line. A folder of int8 was made by `bertlua quantize`.

local Meter = require "bertlua.train.meter"
local bl = require "bertlua"
local clock = require "bertlua.util.clock"
local context = require "bertlua.context"
local json = require "bertlua.util.json"

local precision, folder, path, shape = arg[1], arg[2], arg[3], arg[4]
local threads, least_seconds, begun = tonumber(arg[5]), tonumber(arg[6]), tonumber(arg[7])

local texts = {}
for line in assert(io.open(path)):lines() do texts[#texts + 1] = line end

context.open { device = "cpu", threads = threads }
local model = bl.load(folder, { precision = precision == "bf16" and "bf16" or nil, max_seq_length = 512 })

model.engine:describe()
if precision == "int8" and not model.engine.info.int8 then error(folder .. " is not computed in int8") end

local POOLING = { pooling = "mean", normalize = false }

model:embed(texts[1], POOLING)
local start = clock.monotonic() - begun
model:embed(texts, POOLING)
local seconds, least, first, vectors = {}, shape == "mix" and 1 or 3, clock.monotonic(), nil
local function goes_on()
    local taken = clock.monotonic() - first
    return taken < least_seconds or #seconds < least and taken < 3 * least_seconds
end
while goes_on() do
    local before = clock.monotonic()
    vectors = model:embed(texts, POOLING)
    seconds[#seconds + 1] = clock.monotonic() - before
end

local sample, last = {}, 0
for i = 0, 3 do
    local place = math.floor(#texts * i / 4) + 1
    if place > last then sample[#sample + 1], last = vectors:slice(1, place, place):tolist()[1], place end
end
io.write(json.encode { seconds = seconds, start = start, rss = Meter.peak_memory(), version = bl.version,
    precision = precision, vectors = sample }, "\n")
