--- BERT-large on a GPU: pre-training, SQuAD training and inference, compared with PyTorch on the same GPU.
--
--     build/bertlua bench/gpu_pretrain.lua [--python PATH] [--output gpu.md]
--     build/bertlua bench/gpu_pretrain.lua --small      a tiny model, to check that everything runs
--
-- Every measurement is a separate process, ours and PyTorch's taking turns. The
-- result is Markdown, on standard output and in --output.

local benchmark = require "bertlua.train.benchmark"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local data = require "bertlua.data"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local paths = require "bertlua.paths"
local settings = require "bertlua.settings"
local quote = require("bertlua.util.shell").quote

local command = dofile(paths.root() .. "/bench/command.lua")
local batches = dofile(paths.root() .. "/bench/gpu_batches.lua")

local spec = settings.define {
    { name = "device", type = "choice", choices = { "cuda", "cpu" }, default = "cuda", help = "where to measure" },
    { name = "python", type = "string", default = os.getenv "PYTHON" or "python3", help = "interpreter of the peer" },
    { name = "peer", type = "boolean", default = true, help = "measure PyTorch too" },
    { name = "small", type = "boolean", default = false, help = "a tiny model and batches" },
    { name = "precision", type = "choice", choices = { "bf16", "fp16", "fp32" }, default = "bf16",
        help = "precision of bertlua" },
    { name = "steps", type = "integer", min = 1, default = 20, help = "measured steps per process" },
    { name = "warmup", type = "integer", min = 3, default = 10, help = "steps before them" },
    { name = "cuda_graph", type = "boolean", default = true, help = "replay the step as a graph" },
    { name = "only", type = "string", help = "measure only cases whose name contains this" },
    { name = "phase1_input_dir", type = "path",
        help = "shards that the lengths of phase 1's real-length batches are drawn from; unset: uniform between a "
            .. "quarter and full" },
    { name = "phase2_input_dir", type = "path", help = "the same for phase 2" },
    { name = "output", type = "path", help = "file for the Markdown" },
}

local LARGE = {
    config = "bert-large-uncased.json", peaks = { 4096, 8192 }, copy = 2 ^ 28, inner = 10, arena = 64 * 2 ^ 30,
    phase1 = { 128, 256, 20 }, phase2 = { 512, 32, 80 }, squad = { 384, 32 }, inference = { 1, 32 },
}
local SMALL = {
    config = "spec/fixtures/bert_tiny.json", peaks = { 32, 64 }, copy = 2 ^ 14, inner = 1, arena = 2 ^ 28,
    phase1 = { 16, 4, 3 }, phase2 = { 32, 2, 5 }, squad = { 24, 2 }, inference = { 1, 2 },
}

local DEFINITIONS = [[
- sequences/s: sequences of a batch / median seconds of a step. A training step is forward, backward, clipping to norm 1
  and the update (LAMB here, fused AdamW in PyTorch), with the batch coming from pinned memory; reading files is not
  included. A step of inference ends when the scores of all tokens are on the host.
- PyTorch: Hugging Face's BertForPreTraining or BertForQuestionAnswering, torch.compile, SDPA, bf16 autocast, vocabulary
  scores for the masked words only, as here; padded, with an attention mask where sequences are not full.
- TFLOP/s and of peak: 2 K N for each real token of each linear layer, 4 L^2 H per sequence for attention, times three
  in training, divided by the step's seconds; padding, filler, recomputation and the optimizer are not counted. The peak
  is the best rate of large square products, measured here.
- recovered: (1 - packed seconds / padded seconds) / share of padding tokens, on the same sequences.
- update: bytes are those of reading parameter, two moments and gradient and of writing parameter, two moments and the
  low-precision copy once: 30 per parameter with bf16. The rate it is compared with is that of a large f32 copy.
- times of ops: one eager step with events around every op; bytes are the sizes of all tensors that an op is given.]]

local function own(job)
    local result, text = command.own("gpu_worker.lua", quote(json.encode(job)) .. " 2>&1")
    return result or fault.raisef("measuring %s failed: %s", job.name, text:sub(-2000))
end

local function peer(values, job)
    local result, text = command.peer(values.python, "gpu_pretrain.py", quote(json.encode(job)) .. " 2>&1")
    if not result then io.stderr:write(("PyTorch failed on %s: %s\n"):format(job.name, text:sub(-500))) end
    return result
end

local function has_peer(values)
    return values.peer
        and os.execute(quote(values.python) .. " -c 'import torch, transformers' >/dev/null 2>&1") == 0
end

--- Lengths of the first samples of the shards in a folder.
local function shard_lengths(folder)
    local list = {}
    for _, name in ipairs(fault.check(fs.list(folder))) do
        if name:match "%.hdf5$" and #list < 4096 then
            local shard = fault.check(data.read_shard(fs.join(folder, name)))
            for row = 0, math.min(shard.samples, 4096 - #list) - 1 do list[#list + 1] = shard:row(row).length end
            shard:free()
        end
    end
    if #list == 0 then fault.raisef("%s contains no .hdf5 shards", folder) end
    return list
end

--- What to measure: list of jobs for the worker and the peer.
local function cases(values, size)
    local list = {}
    local function add(name, kind, shape, lengths, packed, extra)
        if values.only and not name:find(values.only, 1, true) then return end
        local job = {
            name = name, kind = kind, device = values.device, precision = values.precision, warmup = values.warmup,
            steps = values.steps, cuda_graph = values.cuda_graph, arena_bytes = size.arena, inner = size.inner,
            config_file = size.config, max_length = shape[1], max_predictions = shape[3], lengths = lengths,
            packed = packed, activation_checkpointing = false, choices = size.choices,
        }
        for key, value in pairs(extra or {}) do job[key] = value end
        list[#list + 1] = job
    end
    for number, phase in ipairs { "phase1", "phase2" } do
        local shape, folder = size[phase], values[phase .. "_input_dir"]
        local label = ("phase %d, %d x %d"):format(number, shape[2], shape[1])
        local real = batches.lengths("real", shape[2], shape[1], folder and shard_lengths(folder))
        add(label .. ", full", "train", shape, batches.lengths("full", shape[2], shape[1]), true, { parts = true })
        add(label .. ", real lengths, padded", "train", shape, real, false, { pair = phase })
        add(label .. ", real lengths, packed", "train", shape, real, true, { pair = phase })
    end
    local squad = size.squad
    add(("SQuAD training, %d x %d"):format(squad[2], squad[1]), "train", { squad[1], squad[2] },
        batches.lengths("full", squad[2], squad[1]), true)
    for _, count in ipairs(size.inference) do
        add(("SQuAD inference, %d x %d"):format(count, squad[1]), "answer", { squad[1], count },
            batches.lengths("full", count, squad[1]), true)
    end
    return list
end

local function measure_all(values, size, folder)
    local found = { rows = {} }
    -- Every process uses the algorithms that the first one timed.
    size.choices = values.device == "cuda" and folder .. "/matmul_choices.txt" or nil
    local with_peer = has_peer(values)
    found.peak = own { name = "the peak", kind = "peak", device = values.device, precision = values.precision,
        choices = size.choices, peak_sizes = size.peaks, inner = size.inner, copy_elements = size.copy }
    for _, job in ipairs(cases(values, size)) do
        io.stderr:write(job.name, "\n")
        local row = { job = job, own = own(job) }
        row.step = benchmark.median(row.own.seconds)
        if with_peer and not (job.pair and job.packed) then
            row.peer = peer(values, job)
            found.torch = row.peer and row.peer.version or found.torch
        end
        found.rows[#found.rows + 1] = row
    end
    -- The peer computes padding either way: packed batches are compared with its padded ones.
    for _, row in ipairs(found.rows) do
        if row.job.pair and row.job.packed then
            for _, other in ipairs(found.rows) do
                if other.job.pair == row.job.pair and not other.job.packed then
                    row.peer, row.padded = other.peer, other
                end
            end
        end
    end
    return found
end

local function measure(values, size)
    if values.device == "cuda" then
        local count, reason = context.count "cuda"
        if count == 0 then fault.raise(reason) end
    end
    local folder = fault.check(fs.temporary_folder "bertlua-gpu")
    local ok, found = pcall(measure_all, values, size, folder)
    fault.check(fs.remove(folder))
    if not ok then error(found, 0) end
    return found
end

local function rate_rows(found, add)
    add "| | sequences/s | step ms | TFLOP/s | of peak | PyTorch sequences/s | ratio |"
    add "|---|---|---|---|---|---|---|"
    for _, row in ipairs(found.rows) do
        local count, flops = #row.job.lengths, row.own.flops / row.step
        local theirs = row.peer and count / benchmark.median(row.peer.seconds)
        add(("| %s | %.1f | %.2f | %.3f | %.1f %% | %s | %s |"):format(row.job.name, count / row.step, 1e3 * row.step,
            flops / 1e12, 100 * flops / found.peak.flops, theirs and ("%.1f"):format(theirs) or "not measured",
            theirs and ("%.2f"):format(count / row.step / theirs) or ""))
    end
end

local function packing_rows(found, add)
    for _, row in ipairs(found.rows) do
        if row.padded then
            local pad = 1 - row.own.tokens / (#row.job.lengths * row.job.max_length)
            add(("- %s: %.1f %% padding tokens, %.1f %% of that share recovered"):format(row.job.name, 100 * pad,
                100 * (1 - row.step / row.padded.step) / pad))
        end
    end
end

local function parts_rows(row, found, add)
    local update = row.own.update
    local least = update.bytes / found.peak.bytes
    add("")
    add(("### %s: one step"):format(row.job.name))
    add("")
    add(("LAMB: %.3f ms for %.1f MB, %.2f times what its bytes take at the copy rate (%.3f ms). The host queues a step "
        .. "in %.2f ms; %d of %d steps were replayed graphs. Activations: %.2f GiB."):format(1e3 * update.seconds,
        update.bytes / 1e6, update.seconds / least, 1e3 * least, 1e3 * row.own.launch_seconds,
        -- A step is two graphs: micro-step and update.
        math.floor(row.own.replays / 2), row.job.warmup + row.job.steps, row.own.arena_peak / 2 ^ 30))
    add("")
    add "| op | calls | ms | share | TFLOP/s | GB/s |"
    add "|---|---|---|---|---|---|"
    local total = 0
    for _, op in ipairs(row.own.ops) do total = total + op.seconds end
    for _, op in ipairs(row.own.ops) do
        add(("| %s | %d | %.3f | %.1f %% | %s | %.1f |"):format(op.row, op.calls, 1e3 * op.seconds,
            100 * op.seconds / total, op.flops > 0 and ("%.2f"):format(op.flops / op.seconds / 1e12) or "",
            op.bytes / op.seconds / 1e9))
    end
    add(("| sum | | %.3f | | | |"):format(1e3 * total))
end

local function report(found, values, size)
    local lines = {}
    local function add(line) lines[#lines + 1] = line end
    local description = found.peak.description
    add(("## BERT on %s"):format(description))
    add("")
    if description:lower():find "emulat" then
        add "**Emulated: these kernels ran on the CPU. The times are meaningless for a GPU.**"
        add("")
    end
    add(("%s, %s, medians of %d steps after %d of warm-up. Measured peak: %.2f TFLOP/s (%s products), %.1f GB/s "
        .. "(copy). PyTorch: %s."):format(fs.basename(size.config), values.precision, values.steps, values.warmup,
        found.peak.flops / 1e12, found.peak.dtype, found.peak.bytes / 1e9, found.torch or "not measured"))
    add("")
    rate_rows(found, add)
    add("")
    packing_rows(found, add)
    for _, row in ipairs(found.rows) do
        if row.own.ops then parts_rows(row, found, add) end
    end
    add("")
    add(DEFINITIONS)
    return table.concat(lines, "\n") .. "\n"
end

local function main()
    local values = spec:parse(arg, {}, { program = "bench/gpu_pretrain.lua",
        description = "Measure BERT on a GPU, compared with PyTorch." })
    if not values then return end
    local size = values.small and SMALL or LARGE
    size.config = values.small and fs.join(paths.root(), size.config) or paths.find("config", size.config)
    local text = report(measure(values, size), values, size)
    io.write(text)
    if values.output then fault.check(fs.write(values.output, text)) end
end

main()
