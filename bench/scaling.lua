--- Weak scaling: measured with processes on this machine, and modeled for GPUs.
--
--     build/bertlua bench/scaling.lua [--processes 2] [--rounds 3] [--steps 3]
--     build/bertlua bench/scaling.lua --rounds 0 --gpu-sequences-per-second 529
--
-- Each measurement is a run of recipes/pretrain_phase1.lua in benchmark mode,
-- every process with one thread and the same work. Rounds alternate between one
-- process and several, so that a slow spell of the machine hits both; the best
-- of each counts. --rounds 0 only prints the model.

local array = require "bertlua.array"
local data = require "bertlua.data"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local paths = require "bertlua.paths"
local quote = require("bertlua.util.shell").quote
local rng = require "bertlua.rng"
local settings = require "bertlua.settings"

local spec = settings.define {
    { name = "processes", type = "integer", min = 2, default = 2, help = "processes of the larger job" },
    { name = "rounds", type = "integer", min = 0, default = 3, help = "runs of each job" },
    { name = "steps", type = "integer", min = 1, default = 3, help = "measured updates per run" },
    { name = "warmup", type = "integer", min = 0, default = 1, help = "updates before them" },
    { name = "config_file", type = "path", help = "model; unset: 4 layers of bert-base" },
    { name = "batch_size", type = "integer", min = 1, default = 8, help = "sequences of 128 tokens per micro-step" },
    { name = "gradient_merge_steps", type = "integer", min = 1, default = 4, help = "micro-steps per update" },
    { name = "gpu_sequences_per_second", type = "number", above = 0, default = 529,
        help = "one GPU, BERT-large, phase 1; the default is NVIDIA's published figure for an A100 80 GB" },
    { name = "gpu_batch_size", type = "integer", min = 1, default = 256, help = "sequences per micro-step, per GPU" },
    { name = "gradient_bytes", type = "integer", min = 2, max = 4, default = 4,
        help = "4: gradients are sent as fp32, 2: as bf16" },
    { name = "bucket_mib", type = "number", above = 0, default = 25, help = "MiB of gradients reduced at a time" },
    { name = "gpus_per_node", type = "integer", min = 1, default = 8, help = "GPUs connected by NVLink" },
    { name = "nvlink_gbs", type = "number", above = 0, default = 300, help = "GB/s of a GPU's links, one direction" },
    { name = "nic_gbs", type = "number", above = 0, default = 25, help = "network GB/s per GPU, one direction" },
    { name = "link_efficiency", type = "number", above = 0, max = 1, default = 0.75, help = "share of these achieved" },
    { name = "latency_us", type = "number", min = 0, default = 20, help = "of one collective between two hosts" },
    { name = "jitter", type = "number", min = 0, default = 0.005, help = "standard deviation of an update's time" },
}

local LENGTH, SLOTS, SAMPLES, WORDS = 128, 20, 256, 1000
local GLOBAL_BATCH = 65536
local LARGE = { hidden = 1024, layers = 24, intermediate = 4096, words = 30528, positions = 512 }

--- Full sequences of random words.
local function write_shard(path)
    local random = rng.new(1)
    local function filled(kind, n, fn)
        local values = array[kind](n)
        for i = 0, n - 1 do values[i] = fn(i) end
        return values
    end
    local function word() return random:integer(5, WORDS - 1) end
    local function set(name, dtype, dims, values) return { name = name, dtype = dtype, dims = dims, data = values } end
    local all, slots = SAMPLES * LENGTH, SAMPLES * SLOTS
    fault.check(data.write_hdf5(path, {
        set("input_ids", "i32", { SAMPLES, LENGTH }, filled("int32", all, word)),
        set("input_mask", "i8", { SAMPLES, LENGTH }, filled("int8", all, function() return 1 end)),
        set("segment_ids", "i8", { SAMPLES, LENGTH }, filled("int8", all, function(i)
            return i % LENGTH < LENGTH / 2 and 0 or 1
        end)),
        set("masked_lm_positions", "i32", { SAMPLES, SLOTS }, filled("int32", slots, function(i)
            return 1 + i % SLOTS * 6
        end)),
        set("masked_lm_ids", "i32", { SAMPLES, SLOTS }, filled("int32", slots, word)),
        set("next_sentence_labels", "i8", { SAMPLES }, filled("int8", SAMPLES, function(i) return i % 2 end)),
    }))
end

--- The runs' data.
local function prepare(values)
    local folder = assert(fs.temporary_folder "bertlua-scaling")
    assert(fs.mkdirs(folder .. "/shards"))
    write_shard(folder .. "/shards/random.hdf5")
    local words = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" }
    for i = #words + 1, WORDS do words[i] = "w" .. i end
    assert(fs.write(folder .. "/vocab.txt", table.concat(words, "\n") .. "\n"))
    local config = { vocab_size = WORDS, hidden_size = 768, num_hidden_layers = 4, num_attention_heads = 12,
        intermediate_size = 3072, max_position_embeddings = LENGTH }
    assert(fs.write(folder .. "/config.json", json.encode(config)))
    return folder, values.config_file or folder .. "/config.json"
end

--- The figures of benchmark mode, from the report.
local function read_report(path)
    local found
    for line in io.lines(path) do
        local record = json.decode(line:match "^DLLL (.*)$")
        if record.type == "LOG" and type(record.data) == "table" and record.data.step_p50 then found = record.data end
    end
    return found
end

local function measure(values, folder, config, processes)
    local report = folder .. "/report.json"
    local launcher = processes > 1 and ("mpirun --allow-run-as-root --oversubscribe --bind-to none -n %d "):format(
        processes) or ""
    local command = ("OMP_NUM_THREADS=1 %s%s %s --bert-model custom --config-file %s --vocab-file %s --input-dir %s "
        .. "--output-dir %s --report-file %s --batch-size %d --gradient-merge-steps %d --device cpu --threads 1 "
        .. "--max-seq-length %d --max-predictions-per-seq %d --benchmark --benchmark-steps %d "
        .. "--benchmark-warmup-steps %d --tensorboard-dir none --show-config false >%s 2>&1 </dev/null"):format(
        launcher, quote(paths.program()), quote(paths.root() .. "/recipes/pretrain_phase1.lua"), quote(config),
        quote(folder .. "/vocab.txt"), quote(folder .. "/shards"), quote(folder .. "/out"), quote(report),
        values.batch_size, values.gradient_merge_steps, LENGTH, SLOTS, values.steps, values.warmup,
        quote(folder .. "/log"))
    if os.execute(command) ~= 0 then fault.raisef("a run failed: %s", assert(fs.read(folder .. "/log")):sub(-2000)) end
    return read_report(report) or fault.raisef("%s contains no figures of benchmark mode", report)
end

local function printf(...) io.write((...):format(select(2, ...)), "\n") end

--- How many threads besides ours wanted to run, over the last minute.
local function load_average()
    return tonumber(assert(fs.read "/proc/loadavg"):match "^%S+")
end

local function measured(values)
    local busy = load_average()
    printf("load of the machine before the first run: %.1f%s", busy, busy > 0.5
        and ": other programs are running, so the figures below say little about bertlua" or "")
    local folder, config = prepare(values)
    local best = {}
    for round = 1, values.rounds do
        for _, processes in ipairs { 1, values.processes } do
            local figures = measure(values, folder, config, processes)
            printf("round %d, %d process%s: %.3f sequences/s, update %.3f s at best", round, processes,
                processes == 1 and "" or "es", figures.sequences_per_second, figures.step_min)
            if not best[processes] or figures.step_min < best[processes].step_min then best[processes] = figures end
        end
    end
    assert(fs.remove(folder))
    local one, many, n = best[1], best[values.processes], values.processes
    printf("\nweak scaling on this machine, one thread per process, %d x %d sequences of %d tokens per process and "
        .. "update:", values.batch_size, values.gradient_merge_steps, LENGTH)
    printf("  update, best of %d: %.3f s on 1 process, %.3f s on %d; efficiency %.3f: %.2f of %d", values.rounds
        * values.steps, one.step_min, many.step_min, n, one.step_min / many.step_min,
        n * one.step_min / many.step_min, n)
    printf("  Processes on one machine share caches and memory bandwidth, also with other programs.\n")
end

--- Parameters of BERT-large with its pre-training heads.
local function parameters(m)
    local h = m.hidden
    local layer = 4 * h * h + 4 * h + 2 * h * m.intermediate + m.intermediate + h + 4 * h
    local embeddings = (m.words + m.positions + 2) * h + 2 * h
    return embeddings + m.layers * layer + h * h + h + (h * h + 3 * h) + m.words + 2 * h + 2
end

--- Seconds of one all-reduce of `bytes` over n GPUs: within nodes by NVLink, between them by each GPU's own share.
local function all_reduce(values, bytes, n)
    local inside = math.min(n, values.gpus_per_node)
    local nodes = math.ceil(n / values.gpus_per_node)
    local nvlink, nic = values.nvlink_gbs * 1e9 * values.link_efficiency, values.nic_gbs * 1e9 * values.link_efficiency
    local seconds = 2 * (inside - 1) / inside * bytes / nvlink
    if nodes > 1 then seconds = seconds + 2 * (nodes - 1) / nodes * bytes / inside / nic end
    return seconds + values.latency_us * 1e-6 * math.max(1, math.log(nodes) / math.log(2))
end

--- One row of the model.
-- @param batch sequences per micro-step; accumulation: micro-steps
local function predict(values, n, batch, accumulation)
    local bytes = parameters(LARGE) * values.gradient_bytes
    local buckets = math.ceil(bytes / values.gradient_bytes * 4 / (values.bucket_mib * 2 ^ 20))
    local micro = batch / values.gpu_sequences_per_second
    local compute = micro * accumulation
    local bucket = all_reduce(values, bytes / buckets, n)
    -- All but the last bucket may hide behind the backward pass of the last micro-step, two thirds of its time.
    local exposed = bucket + math.max(0, bucket * (buckets - 1) - micro * 2 / 3)
    local waiting = compute * values.jitter * math.sqrt(2 * math.log(n))
    local efficiency = compute / (compute + exposed + waiting)
    return { n = n, compute = compute, reduce = bucket * buckets, exposed = exposed, waiting = waiting,
        efficiency = efficiency, rate = n * values.gpu_sequences_per_second * efficiency }
end

local function rows(values, title, shape)
    printf("  %s\n    GPUs   micro-steps   compute   all-reduce   not hidden    waiting   efficiency   sequences/s",
        title)
    for _, n in ipairs { 8, 64, 1024 } do
        local batch, accumulation = shape(n)
        local row = predict(values, n, batch, accumulation)
        printf("    %4d   %4d x %-4d %9.3f s %10.4f s %10.4f s %8.4f s   %10.3f %13.0f", n, accumulation, batch,
            row.compute, row.reduce, row.exposed, row.waiting, row.efficiency, row.rate)
    end
end

local ASSUMPTIONS = [[
assumptions: %.1f M parameters of BERT-large, %d bytes each sent; one GPU does %.0f
  sequences/s at any batch size; %d GPUs per node with %.0f GB/s of NVLink each and %.0f GB/s
  of network each, %.0f %% of both achieved; an all-reduce moves 2 (n-1)/n of the bytes
  within the node and then, of each GPU's part, between nodes; %.0f us per collective and
  doubling of nodes; buckets of %.0f MiB, all but the last hidden behind the last
  micro-step's backward pass; updates vary by %.1f %% (standard deviation), and the
  slowest of n GPUs, sqrt(2 ln n) deviations late, delays all. Reading data costs
  nothing. A model, not a measurement: none of it ran on GPUs.
NVIDIA's published figures for one node: 4200 / 529 sequences/s, 7.94 of 8.]]

local function model(values)
    printf("model of GPUs, BERT-large, phase 1 (%d tokens):", LENGTH)
    rows(values, "the work of one of 8 GPUs on each (weak scaling)", function()
        return values.gpu_batch_size, math.floor(GLOBAL_BATCH / 8 / values.gpu_batch_size)
    end)
    rows(values, ("global batch %d"):format(GLOBAL_BATCH), function(n)
        local batch = math.min(values.gpu_batch_size, GLOBAL_BATCH / n)
        return batch, math.floor(GLOBAL_BATCH / n / batch)
    end)
    printf(ASSUMPTIONS, parameters(LARGE) / 1e6, values.gradient_bytes, values.gpu_sequences_per_second,
        values.gpus_per_node, values.nvlink_gbs, values.nic_gbs, 100 * values.link_efficiency, values.latency_us,
        values.bucket_mib, 100 * values.jitter)
end

local values = spec:parse(arg, {}, { program = "bench/scaling.lua", description = "Weak scaling." })
if values.rounds > 0 then measured(values) end
model(values)
