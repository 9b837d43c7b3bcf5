--- Fine-tuning on SQuAD, ours and PyTorch's: same weights, features, order of samples and settings, fp32.
--
--     build/bertlua bench/squad_finetune.lua --train-file F --predict-file F --pretrained FOLDER [--python PATH]
--         [--seeds 42,43,44] [--dropout 0.1]
--
-- FOLDER is a Hugging Face folder of an encoder. For each seed the initial model
-- (with a new head) and all batches are written to OUTPUT_DIR/SEED;
-- recipes/finetune_squad.lua and bench/peers/squad_finetune.py train from them,
-- and the recipe answers and evaluates with both models. Without dropout the
-- losses of every step can be compared; with it the masks differ, and only
-- means over seeds are meaningful.

local BertConfig = require "bertlua.models.bert_config"
local BertForQuestionAnswering = require "bertlua.models.question_answering"
local array = require "bertlua.array"
local checkpoint = require "bertlua.train.checkpoint"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local model_files = require "bertlua.jobs.common.model_files"
local paths = require "bertlua.paths"
local settings = require "bertlua.settings"
local squad_data = require "bertlua.jobs.squad.data"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"
local quote = require("bertlua.util.shell").quote

local spec = settings.define {
    { name = "train_file", type = "path", required = true, help = "SQuAD JSON to train on" },
    { name = "predict_file", type = "path", required = true, help = "SQuAD JSON to answer" },
    { name = "pretrained", type = "path", required = true, help = "Hugging Face folder of the encoder" },
    { name = "output_dir", type = "path", default = "results/bench_squad", help = "folder for all results" },
    { name = "python", type = "string", default = os.getenv "PYTHON" or "python3", help = "interpreter of the peer" },
    { name = "dropout", type = "number", min = 0, default = 0, help = "dropout of hidden states and attention" },
    { name = "null_window_share", type = "number", min = 0, max = 1, default = 1,
        help = "share of the windows without the answer that are trained on" },
    { name = "epochs", type = "integer", min = 1, default = 2, help = "passes over the features" },
    { name = "max_steps", type = "integer", min = 1, help = "maximum number of steps; unset: as many as epochs take" },
    { name = "batch_size", type = "integer", min = 1, default = 8, help = "sequences per step" },
    { name = "learning_rate", type = "number", above = 0, default = 3e-4, help = "peak; 10 % warm-up, AdamW" },
    { name = "seeds", type = "string", default = "42", help = "of the head and the order, comma-separated" },
    { name = "threads", type = "integer", min = 0, default = 0, help = "threads of each side; 0: all cores" },
}

--- Write the encoder with a new head and the requested dropout, as a folder to start from.
local function write_start(values, seed, folder)
    local raw = fault.check(json.read(fs.join(values.pretrained, "config.json")))
    raw.hidden_dropout_prob, raw.attention_probs_dropout_prob = values.dropout, values.dropout
    local config = BertConfig.new(raw)
    local model = BertForQuestionAnswering.new(config)
    model.store:allocate { seed = seed, training = false }
    local vocab_file = fs.join(values.pretrained, "vocab.txt")
    checkpoint.load_pretrained(values.pretrained, { store = model.store, config = config, vocab_file = vocab_file })
    checkpoint.export(folder, { store = model.store, config = config, vocab_file = vocab_file })
    model.store:free()
    return config
end

--- Write all batches of the run in order, as the recipe makes them: ids, types [N,S], lengths, starts, ends [N].
local function write_batches(values, seed, config, start, path)
    local words = model_files.tokenizer({ vocab_file = fs.join(start, "vocab.txt"),
        config_file = fs.join(start, "config.json") }, config, { do_lower_case = true })
    local set = squad_data.load(values.train_file, words, { max_seq_length = 384, doc_stride = 128,
        max_query_length = 64, num_workers = 0, version_2_with_negative = false,
        cache_dir = values.output_dir }, true).set
    local batches = set:batches { batch_size = values.batch_size, seed = seed,
        null_window_share = values.null_window_share }
    local steps = math.min(values.epochs * batches.batches, values.max_steps or math.huge)
    local rows = steps * values.batch_size
    local out = { ids = tensor.new("i32", { rows, 384 }), types = tensor.new("i32", { rows, 384 }),
        lengths = tensor.new("i32", { rows }), starts = tensor.new("i32", { rows }),
        ends = tensor.new("i32", { rows }) }
    local pointers = {}
    for name, t in pairs(out) do pointers[name] = array.wrap(t) end
    for n = 0, steps - 1 do
        local batch = batches:batch(n)
        for _, name in ipairs { "ids", "types" } do
            array.copy(pointers[name] + n * batch.rows, array.wrap(batch[name]), 4 * batch.rows)
        end
        for _, name in ipairs { "starts", "ends" } do
            array.copy(pointers[name] + n * values.batch_size, array.wrap(batch[name]), 4 * values.batch_size)
        end
        for i, f in ipairs(batch.members) do pointers.lengths[n * values.batch_size + i - 1] = set:length(f) end
    end
    local list = {}
    for name, t in pairs(out) do list[#list + 1] = { name = name, tensor = t } end
    fault.check(storage.save(path, list))
end

local function shell(command)
    io.stderr:write(command, "\n")
    if os.execute(command) ~= 0 then fault.raisef("failed: %s", command) end
end

--- The recipe's command line for both models.
local function recipe(values, more)
    local options = { ["bert-model"] = "custom", ["train-file"] = values.train_file,
        ["predict-file"] = values.predict_file, ["show-config"] = "false", ["cache-dir"] = values.output_dir,
        ["tensorboard-dir"] = "none", threads = values.threads }
    for name, value in pairs(more) do options[name] = value end
    local words = { quote(paths.program()),
        quote(paths.root() .. "/recipes/finetune_squad.lua") }
    for name, value in pairs(options) do words[#words + 1] = ("--%s %s"):format(name, quote(value)) end
    return table.concat(words, " ") .. " 1>&2"
end

--- The losses of all steps and the summary of a report file.
local function read_report(path)
    local losses, summary = {}, nil
    for line in io.lines(path) do
        local record = json.decode(line:match "^DLLL (.*)$")
        if record.type == "LOG" and type(record.step) == "number" and record.data.step_loss then
            losses[record.step] = record.data.step_loss
        elseif type(record.step) == "table" then
            summary = record.data
        end
    end
    return losses, summary
end

--- Train and evaluate both sides with one seed. Returns losses and summary of each.
local function run_seed(values, seed)
    local dir = fs.join(values.output_dir, tostring(seed))
    fault.check(fs.mkdirs(dir))
    local start, ours, theirs = dir .. "/start", dir .. "/bertlua", dir .. "/pytorch"
    for _, old in ipairs { start, ours, theirs } do fs.remove(old) end
    local config = write_start(values, seed, start)
    write_batches(values, seed, config, start, dir .. "/batches.safetensors")
    shell(recipe(values, { mode = "train_eval", ["from-pretrained-params"] = start, ["output-dir"] = ours,
        epochs = values.epochs, ["max-steps"] = values.max_steps or -1,
        ["train-batch-size"] = values.batch_size, ["learning-rate"] = values.learning_rate,
        ["null-window-share"] = values.null_window_share, ["warmup-proportion"] = 0.1, optimizer = "AdamW",
        seed = seed, ["log-freq"] = 1, ["num-steps-per-checkpoint"] = 1000000,
        ["report-file"] = ours .. "/report.json" }))
    shell(("OMP_NUM_THREADS=%d %s %s %s %s %s %d %.17g %d > %s"):format(context.threads(), quote(values.python),
        quote(paths.root() .. "/bench/peers/squad_finetune.py"), quote(start), quote(dir .. "/batches.safetensors"),
        quote(theirs .. "/model"), values.batch_size, values.learning_rate, seed, quote(dir .. "/pytorch.json")))
    shell(recipe(values, { mode = "eval", ["from-pretrained-params"] = theirs .. "/model", ["output-dir"] = theirs,
        ["report-file"] = theirs .. "/report.json" }))
    local own, peer = {}, fault.check(json.read(dir .. "/pytorch.json"))
    own.losses, own.summary = read_report(ours .. "/report.json")
    peer.summary = select(2, read_report(theirs .. "/report.json"))
    return own, peer
end

--- Print the losses of both side by side, and how much they differ.
local function print_losses(seed, own, peer)
    print(("\n%-8s %12s %12s %12s   seed %d"):format("step", "bertlua", "PyTorch", "difference", seed))
    local worst, sum = 0, 0
    for step, loss in ipairs(own.losses) do
        local difference = math.abs(loss - peer.losses[step])
        worst, sum = math.max(worst, difference), sum + difference
        if step == 1 or step % 10 == 0 then
            print(("%-8d %12.6f %12.6f %12.2e"):format(step, loss, peer.losses[step], difference))
        end
    end
    print(("loss over %d steps: largest difference %.2e, mean %.2e"):format(#own.losses, worst, sum / #own.losses))
end

local COLUMNS = { "exact_match", "f1", "sequences_per_second" }

local function print_row(name, of_own, of_peer)
    print(("%-6s %9.2f %9.2f %9.2f %9.2f %11.2f %9.2f"):format(name, of_own.exact_match, of_peer.exact_match,
        of_own.f1, of_peer.f1, of_own.sequences_per_second, of_peer.sequences_per_second))
end

local function main()
    local values = spec:parse(arg, {}, { program = "bench/squad_finetune.lua",
        description = "Fine-tune on SQuAD here and in PyTorch from the same start, and compare." })
    context.open { threads = values.threads }
    local rows, sums = {}, { {}, {} }
    for word in values.seeds:gmatch "[^,%s]+" do
        local seed = tonumber(word)
        if not seed or seed < 0 or seed ~= math.floor(seed) then
            fault.raisef("--seeds %s: got %q, expected comma-separated integers", values.seeds, word)
        end
        local own, peer = run_seed(values, seed)
        if values.dropout == 0 then print_losses(seed, own, peer) end
        own.summary.sequences_per_second = own.summary.training_sequences_per_second
        peer.summary.sequences_per_second = peer.sequences_per_second
        rows[#rows + 1] = { word, own.summary, peer.summary }
        for _, column in ipairs(COLUMNS) do
            for i = 1, 2 do sums[i][column] = (sums[i][column] or 0) + rows[#rows][i + 1][column] end
        end
    end
    print(("\n%-6s %9s %9s %9s %9s %11s %9s"):format("seed", "EM", "PyTorch", "F1", "PyTorch", "training/s", "PyTorch"))
    for _, row in ipairs(rows) do print_row(unpack(row)) end
    for i = 1, 2 do
        for _, column in ipairs(COLUMNS) do sums[i][column] = sums[i][column] / #rows end
    end
    print_row("mean", sums[1], sums[2])
    print "training/s: training sequences per second. PyTorch trims padding to the longest sequence of a batch."
end

main()
