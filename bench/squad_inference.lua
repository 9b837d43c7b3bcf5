--- Question-answering inference on the CPU, latency and throughput, compared with PyTorch on the same cores.
--
--     build/bertlua bench/squad_inference.lua [--python PATH] [--rounds 3] [--batch-sizes 1,32]
--
-- A round runs one process each for fp32 and bf16 here and in PyTorch, so that a
-- slow spell of the machine hits all of them. If Python has no torch and
-- transformers, the script reports it and measures only bertlua.

local benchmark = require "bertlua.train.benchmark"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local paths = require "bertlua.paths"
local plural = require "bertlua.util.plural"
local settings = require "bertlua.settings"
local quote = require("bertlua.util.shell").quote

local command = dofile(paths.root() .. "/bench/command.lua")

local spec = settings.define {
    { name = "python", type = "string", default = os.getenv "PYTHON" or "python3", help = "interpreter of the peer" },
    { name = "config_file", type = "path", help = "model; unset: bert_configs/bert-base-uncased.json" },
    { name = "rounds", type = "integer", min = 1, default = 3, help = "processes of each kind" },
    { name = "batch_sizes", type = "string", default = "1,32", help = "sequences per step, comma-separated" },
    { name = "steps", type = "string", default = "20,3", help = "measured steps per process, for each batch size" },
    { name = "warmup", type = "integer", min = 0, default = 2, help = "steps before them" },
    { name = "max_seq_length", type = "integer", min = 8, max = 512, default = 384, help = "tokens per sequence" },
}

local DEFINITIONS = [[
latency    seconds of a step: forward pass of one batch and its logits on the host;
           percentiles over all measured steps of all rounds. Sequences are full,
           so there is no padding; tokenizing and extracting answers are not included.
seq/s      sequences of a batch / median latency.
peak MiB   largest resident memory of the process, libraries included.]]

local function numbers(text, what)
    local list = {}
    for word in text:gmatch "[^,%s]+" do
        local n = tonumber(word)
        if not n or n < 1 or n ~= math.floor(n) then
            fault.raisef("--%s %s: got %q, expected comma-separated positive integers", what, text, word)
        end
        list[#list + 1] = n
    end
    return list
end

local function arguments(kind, values, batch_size, steps)
    return table.concat({ kind, values.warmup, steps, batch_size, values.max_seq_length,
        quote(values.config_file) }, " ")
end

local function own(...)
    return command.own("squad_inference_worker.lua", arguments(...))
        or fault.raisef("measuring %s failed", (...))
end

local function peer(kind, values, ...)
    return (command.peer(values.python, "squad_inference.py", arguments(kind, values, ...), context.threads()))
end

--- Add a process's steps to those of its kind.
local function collect(total, result)
    total = total or { seconds = {}, rss = 0 }
    for _, seconds in ipairs(result.seconds) do total.seconds[#total.seconds + 1] = seconds end
    total.rss, total.version = math.max(total.rss, result.rss), result.version
    return total
end

local function print_row(name, row, batch_size)
    table.sort(row.seconds)
    row.median = benchmark.percentile(row.seconds, 50)
    local cells = {}
    for i, p in ipairs { 50, 90, 99 } do
        cells[i] = ("%10.1f"):format(1e3 * benchmark.percentile(row.seconds, p))
    end
    print(("%-22s %6d %10.2f %s %10.0f"):format(name, batch_size, batch_size / row.median,
        table.concat(cells, " "), row.rss / 2 ^ 20))
end

--- Measure one batch size in all rounds and print its rows.
local function measure(values, batch_size, steps, with_peer)
    local found = {}
    for round = 1, values.rounds do
        io.stderr:write(("batch %d: round %d of %d\n"):format(batch_size, round, values.rounds))
        for _, kind in ipairs { "fp32", "bf16" } do
            found[kind] = collect(found[kind], own(kind, values, batch_size, steps))
            local result = with_peer and peer(kind, values, batch_size, steps)
            if result then found["torch " .. kind] = collect(found["torch " .. kind], result) end
        end
    end
    local ratios = {}
    for _, kind in ipairs { "fp32", "bf16" } do
        print_row("bertlua " .. kind, found[kind], batch_size)
        local other = found["torch " .. kind]
        if other then
            print_row(("PyTorch %s %s"):format(other.version:match "^[%d.]+", kind), other, batch_size)
            ratios[#ratios + 1] = ("batch %d, %s: %.2f times PyTorch's sequences/s, %.2f times its peak memory.")
                :format(batch_size, kind, other.median / found[kind].median, found[kind].rss / other.rss)
        end
    end
    return ratios
end

local function main()
    local values = spec:parse(arg, {}, { program = "bench/squad_inference.lua",
        description = "Measure question-answering inference on the CPU, compared with PyTorch." })
    local batch_sizes, steps = numbers(values.batch_sizes, "batch-sizes"), numbers(values.steps, "steps")
    if #batch_sizes ~= #steps then
        fault.raisef("--steps %s: got %s, expected one for each of --batch-sizes %s", values.steps,
            plural.count(#steps, "number"), values.batch_sizes)
    end
    values.config_file = values.config_file or paths.find("config", "bert-base-uncased.json")
    local with_peer = os.execute(quote(values.python) .. " -c 'import torch, transformers' >/dev/null 2>&1") == 0
    print(("%s, sequences of %d tokens"):format(values.config_file, values.max_seq_length))
    print(context.describe() .. "\n")
    io.stdout:setvbuf "line"
    print(("%-22s %6s %10s %10s %10s %10s %10s"):format("", "batch", "seq/s", "p50 ms", "p90 ms", "p99 ms", "peak MiB"))
    local ratios = {}
    for i, batch_size in ipairs(batch_sizes) do
        for _, line in ipairs(measure(values, batch_size, steps[i], with_peer)) do ratios[#ratios + 1] = line end
    end
    if not with_peer then
        ratios[1] = "Not compared with PyTorch (use --python PATH with torch and transformers installed)."
    end
    print("\n" .. table.concat(ratios, "\n") .. "\n\n" .. DEFINITIONS)
end

main()
