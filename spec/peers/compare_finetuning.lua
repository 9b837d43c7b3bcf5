--- Fine-tune here and with transformers or sentence-transformers, from the same parameters, on the same texts in the
-- same order, and compare.
--
--     build/bertlua spec/peers/compare_finetuning.lua TASK --train-file F --test-file F ... --pretrained FOLDER
--         [--compare-seeds 42,43,44] [--dropout 0.1] [--side ours|peer|both] [--python PATH]
--
-- TASK is classify, tokens, embeddings or mlm, and the other options are those of its recipe. For each seed the encoder
-- of FOLDER, with a new head, goes to OUTPUT_DIR/SEED/start, and the tokenized texts and the order of training to
-- OUTPUT_DIR/SEED/batches.safetensors; with mlm also what is masked, in training and in the test file.
-- spec/peers/finetune_peer.py reads and tokenizes the files itself, stops where an id or a label differs, and trains
-- from the same start. Without dropout every step's loss can be compared; with it the units that are dropped differ,
-- and only means over seeds can. The model that transformers trained is then measured here too. Speed is that of the
-- training loop, also by the processor time of the process, which says more on a busy machine: give --threads 1 then,
-- as waiting threads count. A pair of embeddings counts as one sequence.

local array = require "bertlua.array"
local checkpoint = require "bertlua.train.checkpoint"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local held_out = require "bertlua.jobs.mlm.held_out"
local json = require "bertlua.util.json"
local paths = require "bertlua.paths"
local plan = require "bertlua.jobs.common.plan"
local runner = require "bertlua.jobs.common.runner"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"
local quote = require("bertlua.util.shell").quote

local OWN = {
    { name = "pretrained", type = "path", required = true, help = "Hugging Face folder of the encoder" },
    { name = "python", type = "string", default = os.getenv "PYTHON" or "python3", help = "interpreter of the peer" },
    { name = "dropout", type = "number", min = 0, below = 1, default = 0, help = "dropout, of the head too" },
    { name = "compare_seeds", type = "string", default = "42", help = "of head, order and dropout, comma-separated" },
    { name = "side", type = "choice", choices = { "ours", "peer", "both" }, default = "both", help = "which to run" },
    { name = "skipped_steps", type = "integer", min = 0, default = 5, help = "steps before speed is measured" },
}

-- What the recipes of all tasks set.
local DEFAULTS = { output_dir = "results/peers", optimizer = "AdamW", train_batch_size = 32, predict_batch_size = 32,
    learning_rate = 5e-5, warmup_proportion = 0.1, epochs = 3, bert_model = "custom", tensorboard_dir = "none",
    log_freq = 10, show_config = false }
-- Of a task: what its recipe sets, and what is not compared.
local OWN_DEFAULTS = {
    embeddings = { epochs = 1, learning_rate = 2e-5 },
    mlm = { dev_share = 0, pseudo_perplexity = 0 },
}

-- The columns of each side's figures: the one that counts first.
local FIGURES = {
    classify = { "accuracy", "macro_f1", "pearson", "spearman" },
    tokens = { "f1", "precision", "recall", "accuracy" },
    embeddings = { "spearman", "pearson" },
    mlm = { "mlm_loss", "mlm_accuracy" },
}

local function changed(values, changes)
    local copy = {}
    for name, value in pairs(values) do copy[name] = value end
    for name, value in pairs(changes) do copy[name] = value or nil end
    return copy
end

local function list_of(name, list)
    return { name = name, tensor = tensor.from(list, "i32") }
end

local function copy_of(name, dtype, pointer, count)
    local t = tensor.new(dtype, { count })
    array.copy(array.wrap(t), pointer, 4 * count)
    return { name = name, tensor = t }
end

--- The samples that each step trains on, one after another.
local function order_of(loader, steps)
    local size = loader.batch_size
    local t = tensor.new("i32", { steps * size })
    local order = array.wrap(t)
    for n = 0, steps - 1 do
        for i, sample in ipairs(loader:members(n)) do order[n * size + i - 1] = sample end
    end
    return { name = "order", tensor = t }
end

--- Sequences and labels of a set of data/sequences.lua, and their order.
local function sequences_of(loader, steps)
    local set = loader.set
    local list = { order_of(loader, steps), copy_of("ids", "i32", set.ids, set.offsets[set.count]),
        copy_of("offsets", "i32", set.offsets, set.count + 1) }
    local _, label = next(set.labels or {})
    if label then
        if type(label) ~= "table" then label = { values = label } end
        local entries = { rows = set.offsets[set.count], groups = loader.samples, sequences = set.count }
        list[#list + 1] = copy_of("labels", label.dtype or "i32", label.values,
            (label.width or 1) * entries[label.per or "sequences"])
    end
    return list
end

--- Samples of data/masked_sequences.lua as the model sees them, with the masked words, and the sequence of each.
local function masked_of(loader, batches, prefix)
    local ids, labels, offsets, sequences = {}, {}, { 0 }, {}
    for n = 0, batches - 1 do
        local batch = loader:batch(n)
        local flat, rows, wanted = batch.ids:tolist(), batch.masked_index:tolist(), {}
        for k, label in ipairs(batch.masked_labels:tolist()) do
            if label >= 0 then wanted[rows[k] + 1] = label end
        end
        for _, segment in ipairs(batch.segments:tolist()) do
            for i = segment[1] + 1, segment[1] + segment[2] do
                ids[#ids + 1], labels[#labels + 1] = flat[i], wanted[i] or -1
            end
            local sample = #sequences
            local epoch = math.floor(sample / loader.samples)
            offsets[sample + 2] = #ids
            sequences[sample + 1] = tonumber(loader:order(epoch)[sample - epoch * loader.samples])
        end
    end
    return { list_of(prefix .. "ids", ids), list_of(prefix .. "labels", labels), list_of(prefix .. "offsets", offsets),
        list_of(prefix .. "sequences", sequences) }
end

--- Masked samples of training in their order, and those of the test file.
local function masked_samples(job, loader, steps)
    local list = masked_of(loader, steps, "")
    local order = {}
    for i = 1, steps * loader.batch_size do order[i] = i - 1 end
    list[5], list[6] = list_of("order", order), list_of("packed", { loader.set.count })
    if job.data.held_out.test then
        local test = held_out.open(job, job.data.held_out.test.set)
        for _, item in ipairs(masked_of(test.batches, test.batches.batches, "test_")) do list[#list + 1] = item end
        held_out.close(test)
    end
    return list
end

--- Write the start and the batches of a seed.
local function write_start(task, values, sources, dir)
    local job = { task = task, values = values, sources = sources, ranks = { rank = 0, size = 1, main = true } }
    job.run = plan.resolve(task, values, sources, 1)
    local data = task.open(job)
    local config, loader = data.config, data.train
    config.hidden_dropout_prob, config.attention_probs_dropout_prob = values.dropout, values.dropout
    local model = task.model(data)
    model.store:allocate { seed = values.seed, training = false }
    local files = { store = model.store, config = config, vocab_file = job.run.vocab_file,
        do_lower_case = job.run.do_lower_case }
    checkpoint.load_pretrained(values.from_pretrained_params, files)
    checkpoint.export(dir .. "/start", files)
    job.run.model_dir = dir .. "/start"
    if task.exported then task.exported(job) end
    plan.set_steps(job.run, values, loader.samples)
    fault.check(storage.save(dir .. "/batches.safetensors", loader.members and sequences_of(loader, job.run.max_steps)
        or masked_samples(job, loader, job.run.max_steps)))
    loader:close()
    model.store:free()
end

--- Train and measure here.
local function run_ours(task, values, sources, dir)
    local losses, seconds, count, cpu_begun = {}, 0, 0, os.clock()
    local cpu = cpu_begun
    local outcome = runner.run(task, changed(values, {
        from_pretrained_params = dir .. "/start", output_dir = dir .. "/bertlua", report_file = dir .. "/report.json",
        num_steps_per_checkpoint = 1000000,
        on_step = function(event)
            local record = event.metrics
            losses[event.step] = record.loss
            cpu = os.clock()
            if event.step > values.skipped_steps then
                seconds, count = seconds + record.seconds, count + values.train_batch_size
            else
                cpu_begun = cpu
            end
        end,
    }), sources)
    return { losses = losses, sequences_per_second = count / seconds,
        sequences_per_cpu_second = count / (cpu - cpu_begun), metrics = outcome.metrics or {} }
end

--- What two files of predictions differ in.
-- @return number of predictions; how many differ in label or tag; the largest difference of scores or values
local function differences(a, b)
    local count, different, worst, other = 0, 0, 0, io.lines(b)
    for line in io.lines(a) do
        local one, two = json.decode(line), json.decode(other())
        local names, scores = one.tags or { one.label }, one.scores or { one.score or one.value }
        local other_names, other_scores = two.tags or { two.label }, two.scores or { two.score or two.value }
        for i, score in ipairs(scores) do
            count, worst = count + 1, math.max(worst, math.abs(score - other_scores[i]))
            if names[i] ~= other_names[i] then different = different + 1 end
        end
    end
    return count, different, worst
end

--- Train with transformers; measure there, and here again.
local function run_peer(name, task, values, sources, dir)
    local words = { quote(values.python), quote(paths.root() .. "/spec/peers/finetune_peer.py"), name,
        quote(dir .. "/start"), quote(dir .. "/batches.safetensors"), quote(dir .. "/transformers") }
    for _, option in ipairs { "train_file", "test_file", "text_column", "pair_column", "label_column", "objective",
        "max_score", "similarity_scale", "max_seq_length", "doc_stride", "train_batch_size", "learning_rate",
        "warmup_proportion", "weight_decay", "epsilon", "max_grad_norm", "seed", "skipped_steps" } do
        local value = values[option]
        if type(value) == "number" then value = ("%.17g"):format(value) end
        if value then words[#words + 1] = ("--%s %s"):format(option:gsub("_", "-"), quote(value)) end
    end
    words[#words + 1] = ("--threads %d"):format(context.threads())
    local command = table.concat(words, " ") .. " > " .. quote(dir .. "/transformers.json")
    if os.execute(command) ~= 0 then fault.raisef("failed: %s", command) end
    local peer = fault.check(json.read(dir .. "/transformers.json"))
    if values.test_file then
        local outcome = runner.run(task, changed(values, { train_file = false, from_pretrained_params = dir
            .. "/transformers/model", output_dir = dir .. "/transformers-here",
            report_file = dir .. "/transformers-here.json" }), sources)
        peer.here = outcome.metrics
        if outcome.prediction then
            print(("the model trained there: %d predictions, %d differ here, scores by at most %.1e"):format(
                differences(dir .. "/transformers/predictions.jsonl", outcome.prediction.file)))
        end
        for figure, value in pairs(peer.metrics) do
            print(("the model trained there: %s is %.7f, and %.7f here"):format(figure, value, peer.here[figure]))
        end
    end
    return peer
end

local function print_losses(ours, peer)
    local worst, sum = 0, 0
    print(("%6s %12s %12s %12s"):format("step", "loss here", "transformers", "difference"))
    for step, loss in ipairs(ours.losses) do
        local difference = math.abs(loss - peer.losses[step])
        worst, sum = math.max(worst, difference), sum + difference
        if step == 1 or step % 10 == 0 then
            print(("%6d %12.6f %12.6f %12.1e"):format(step, loss, peer.losses[step], difference))
        end
    end
    print(("%d steps: the largest difference is %.2e, the mean %.2e"):format(#ours.losses, worst, sum / #ours.losses))
end

local function spread(list)
    local sum, squares = 0, 0
    for _, x in ipairs(list) do sum = sum + x end
    local mean = sum / #list
    for _, x in ipairs(list) do squares = squares + (x - mean) ^ 2 end
    return mean, #list > 1 and math.sqrt(squares / (#list - 1)) or 0
end

--- Figures of both sides seed by seed, with mean and standard deviation.
local function print_figures(name, results)
    for _, figure in ipairs(FIGURES[name]) do
        local ours, peers = {}, {}
        for _, result in ipairs(results) do
            local own, peer = result.ours and result.ours.metrics[figure], result.peer and result.peer.metrics[figure]
            if own or peer then
                print(("%-10s seed %-6d here %8.4f  transformers %8.4f  its model measured here %8.4f"):format(figure,
                    result.seed, own or 0 / 0, peer or 0 / 0, result.peer and result.peer.here
                    and result.peer.here[figure] or 0 / 0))
                ours[#ours + 1], peers[#peers + 1] = own, peer
            end
        end
        if #ours > 1 then print(("%-10s here         mean %8.4f, deviation %.4f"):format(figure, spread(ours))) end
        if #peers > 1 then print(("%-10s transformers mean %8.4f, deviation %.4f"):format(figure, spread(peers))) end
    end
    for _, result in ipairs(results) do
        local own, peer = result.ours or {}, result.peer or {}
        for _, kind in ipairs { "second", "cpu_second" } do
            local a, b = own["sequences_per_" .. kind] or 0 / 0, peer["sequences_per_" .. kind] or 0 / 0
            print(("seed %-6d training sequences per %-10s here %.1f, transformers %.1f: ratio %.2f"):format(
                result.seed, (kind:gsub("_", " ")), a, b, a / b))
        end
    end
end

local function main()
    local name = arg[1] == "--help" and "classify" or table.remove(arg, 1)
    if not FIGURES[name or ""] then
        fault.raise "usage: bertlua spec/peers/compare_finetuning.lua classify|tokens|embeddings|mlm --train-file F ..."
    end
    local task = require(("bertlua.jobs.%s.task"):format(name))
    local values, sources = task.settings:extend(OWN):parse(arg, changed(DEFAULTS, OWN_DEFAULTS[name] or {}), {
        program = "spec/peers/compare_finetuning.lua " .. name,
        description = "Fine-tune here and with transformers from the same start, and compare." })
    context.open { threads = values.threads }
    local results, begun = {}, values.output_dir
    for word in values.compare_seeds:gmatch "[^,%s]+" do
        local seed = tonumber(word)
        if not seed then
            fault.raisef("--compare-seeds %s: got %q, expected integers", values.compare_seeds, word)
        end
        local dir = fs.join(begun, word)
        fault.check(fs.mkdirs(dir))
        local mine = changed(values, { seed = seed, from_pretrained_params = values.pretrained, output_dir = dir })
        write_start(task, mine, sources, dir)
        local result = { seed = seed }
        if values.side ~= "peer" then result.ours = run_ours(task, mine, sources, dir) end
        if values.side ~= "ours" then result.peer = run_peer(name, task, mine, sources, dir) end
        results[#results + 1] = result
        if result.ours and result.peer and values.dropout == 0 then print_losses(result.ours, result.peer) end
    end
    print_figures(name, results)
end

main()
