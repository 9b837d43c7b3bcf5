--- Pre-training steps of bert-base on the CPU, compared with PyTorch on the same cores.
--
--     build/bertlua bench/cpu_pretrain.lua [--python PATH] [--rounds 3] [--steps 5]
--
-- A round runs one process each for the matmul peak, fp32 and bf16 here, and
-- fp32 and bf16 in PyTorch, so that a slow spell of the machine hits all of
-- them. If Python has no torch and transformers, the script reports it and
-- measures only bertlua.

local benchmark = require "bertlua.train.benchmark"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local paths = require "bertlua.paths"
local settings = require "bertlua.settings"
local quote = require("bertlua.util.shell").quote

local command = dofile(paths.root() .. "/bench/command.lua")

local spec = settings.define {
    { name = "python", type = "string", default = os.getenv "PYTHON" or "python3", help = "interpreter of the peer" },
    { name = "rounds", type = "integer", min = 1, default = 3, help = "processes of each kind" },
    { name = "steps", type = "integer", min = 1, default = 5, help = "measured steps per process" },
    { name = "warmup", type = "integer", min = 0, default = 2, help = "steps before them" },
    { name = "batch_size", type = "integer", min = 1, default = 8, help = "sequences per step" },
    { name = "max_seq_length", type = "integer", min = 8, max = 512, default = 128, help = "tokens per sequence" },
    { name = "max_predictions_per_seq", type = "integer", min = 1, default = 20, help = "masked words per sequence" },
}

local DEFINITIONS = [[
tokens/s   tokens of a batch / median seconds of a step. A step is forward,
           backward, clipping to norm 1 and the update: LAMB here, fused AdamW in
           PyTorch. Sequences are full; there is no padding and no data loading.
           PyTorch runs Hugging Face's BertForPreTraining, vocabulary scores for
           the masked words only, as here.
of peak    FLOP/s of a step relative to the best rate of a large oneDNN product in
           that dtype, measured here. FLOPs: 2 K N per row of each linear layer and
           4 L^2 H per sequence for attention, times three for forward and backward.
           Elementwise work, recomputation and the optimizer are not counted.
peak MiB   largest resident memory of the process, libraries included.]]

local function arguments(kind, values)
    return table.concat({ kind, values.warmup, values.steps, values.batch_size, values.max_seq_length,
        values.max_predictions_per_seq }, " ")
end

local function own(kind, values)
    return command.own("pretrain_worker.lua", arguments(kind, values))
        or fault.raisef("measuring %s failed", kind)
end

local function peer(kind, values)
    return (command.peer(values.python, "cpu_pretrain.py", arguments(kind, values), context.threads()))
end

local function has_peer(values)
    return os.execute(quote(values.python) .. " -c 'import torch, transformers' >/dev/null 2>&1") == 0
end

--- Add a process's seconds to those of its kind.
local function collect(total, result)
    total = total or { seconds = {}, rss = 0 }
    for _, seconds in ipairs(result.seconds) do total.seconds[#total.seconds + 1] = seconds end
    total.rss = math.max(total.rss, result.rss)
    total.flops, total.version = result.flops, result.version
    return total
end

local function measure(values)
    local with_peer = has_peer(values)
    local found = { peak = { f32 = 0, bf16 = 0 } }
    for round = 1, values.rounds do
        io.stderr:write(("round %d of %d\n"):format(round, values.rounds))
        local peak = own("peak", values)
        for dtype, rate in pairs(peak) do found.peak[dtype] = math.max(found.peak[dtype], rate) end
        for _, kind in ipairs { "fp32", "bf16" } do
            found[kind] = collect(found[kind], own(kind, values))
            local result = with_peer and peer(kind, values)
            if result then found["torch " .. kind] = collect(found["torch " .. kind], result) end
        end
    end
    return found
end

local function print_rows(found, values)
    local peaks = { fp32 = found.peak.f32, bf16 = found.peak.bf16 }
    print(("%-22s %10s %10s %10s %9s %10s"):format("", "tokens/s", "step s", "GFLOP/s", "of peak", "peak MiB"))
    for _, side in ipairs { "", "torch " } do
        for _, kind in ipairs { "fp32", "bf16" } do
            local row = found[side .. kind]
            if row then
                row.step = benchmark.median(row.seconds)
                local name = side == "" and "bertlua" or "PyTorch " .. row.version:match "^[%d.]+"
                local rate = found[kind].flops / row.step
                print(("%-22s %10.1f %10.3f %10.1f %7.1f %% %10.0f"):format(name .. " " .. kind,
                    values.batch_size * values.max_seq_length / row.step, row.step, rate / 1e9,
                    100 * rate / peaks[kind], row.rss / 2 ^ 20))
            end
        end
    end
    print(("%-22s %10s %10s %10.1f"):format("matmul peak fp32", "", "", peaks.fp32 / 1e9))
    print(("%-22s %10s %10s %10.1f"):format("matmul peak bf16", "", "", peaks.bf16 / 1e9))
end

local function print_ratios(found)
    print(("bf16 is %.2f times as fast as fp32."):format(found.fp32.step / found.bf16.step))
    for _, kind in ipairs { "fp32", "bf16" } do
        local other = found["torch " .. kind]
        if other then
            print(("%s: %.2f times PyTorch's tokens/s, %.2f times its peak memory."):format(kind,
                other.step / found[kind].step, found[kind].rss / other.rss))
        else
            print(kind .. ": not compared with PyTorch (use --python PATH with torch and transformers installed).")
        end
    end
end

local function main()
    local values = spec:parse(arg, {}, { program = "bench/cpu_pretrain.lua",
        description = "Measure pre-training steps of bert-base on the CPU, compared with PyTorch." })
    if not values then return end
    local found = measure(values)
    print(("bert-base, %d sequences of %d tokens with %d masked words, dropout 0.1"):format(values.batch_size,
        values.max_seq_length, values.max_predictions_per_seq))
    print(context.describe())
    print(("medians of %d steps in %d processes, after %d warm-up steps each\n"):format(values.steps * values.rounds,
        values.rounds, values.warmup))
    print_rows(found, values)
    print()
    print_ratios(found)
    print("\n" .. DEFINITIONS)
end

main()
