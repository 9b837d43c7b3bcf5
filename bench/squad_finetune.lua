--- A short fine-tuning on SQuAD here and in PyTorch: same weights, features and order of samples, fp32, no dropout.
--
--     build/bertlua bench/squad_finetune.lua --train-file F --predict-file F --pretrained FOLDER [--python PATH]
--
-- FOLDER is a Hugging Face folder of an encoder. The start (with a fresh head)
-- and all batches are written to OUTPUT_DIR; recipes/finetune_squad.lua and
-- bench/peers/squad_finetune.py train from them; the recipe answers and
-- evaluates with both models. With dropout on the masks would differ, and
-- losses could only be compared over many seeds.

local BertConfig = require "bertlua.models.bert_config"
local BertForQuestionAnswering = require "bertlua.models.question_answering"
local array = require "bertlua.array"
local checkpoint = require "bertlua.train.checkpoint"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local loader = require "bertlua.squad.loader"
local paths = require "bertlua.paths"
local readlink = require("posix.unistd").readlink
local settings = require "bertlua.settings"
local squad_data = require "bertlua.recipe.squad_data"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"
local quote = require("bertlua.util.shell").quote

local spec = settings.define {
    { name = "train_file", type = "path", required = true, help = "SQuAD JSON to train on" },
    { name = "predict_file", type = "path", required = true, help = "SQuAD JSON to answer" },
    { name = "pretrained", type = "path", required = true, help = "Hugging Face folder of the encoder" },
    { name = "output_dir", type = "path", default = "results/bench_squad", help = "everything goes here" },
    { name = "python", type = "string", default = os.getenv "PYTHON" or "python3", help = "interpreter of the peer" },
    { name = "epochs", type = "integer", min = 1, default = 2, help = "times that every feature is seen" },
    { name = "batch_size", type = "integer", min = 1, default = 8, help = "sequences in a step" },
    { name = "learning_rate", type = "number", above = 0, default = 3e-4, help = "peak; 10 % warm-up, AdamW" },
    { name = "seed", type = "integer", min = 0, default = 42, help = "of the head and the order" },
}

--- The encoder with a fresh head and without dropout, as a folder to start from.
local function write_start(values, folder)
    local raw = fault.check(json.read(fs.join(values.pretrained, "config.json")))
    raw.hidden_dropout_prob, raw.attention_probs_dropout_prob = 0, 0
    local config = BertConfig.new(raw)
    local model = BertForQuestionAnswering.new(config)
    model.store:allocate { seed = values.seed, training = false }
    local vocab_file = fs.join(values.pretrained, "vocab.txt")
    checkpoint.load_pretrained(values.pretrained, { store = model.store, config = config, vocab_file = vocab_file })
    checkpoint.export(folder, { store = model.store, config = config, vocab_file = vocab_file })
    model.store:free()
    return config
end

--- All batches of the run in order, as the recipe makes them: ids, types, mask [N,S], starts, ends [N].
local function write_batches(values, config, start, path)
    local words = squad_data.tokenizer({ vocab_file = fs.join(start, "vocab.txt"), do_lower_case = true,
        config_file = fs.join(start, "config.json") }, config)
    local set = squad_data.load(values.train_file, words, { max_seq_length = 384, doc_stride = 128,
        max_query_length = 64, num_workers = 0, version_2_with_negative = false,
        cache_dir = values.output_dir }, true).set
    local steps = values.epochs * math.ceil(set.count / values.batch_size)
    local batches = loader.open(set, { batch_size = values.batch_size, seed = values.seed })
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
        for i, f in ipairs(batch.features) do pointers.lengths[n * values.batch_size + i - 1] = set:length(f) end
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
        ["tensorboard-dir"] = "none" }
    for name, value in pairs(more) do options[name] = value end
    local words = { quote((readlink("/proc/self/exe"):gsub(" %(deleted%)$", ""))),
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

local function main()
    local values = spec:parse(arg, {}, { program = "bench/squad_finetune.lua",
        description = "Fine-tune on SQuAD here and in PyTorch from the same start, and compare." })
    context.open {}
    local dir = values.output_dir
    fault.check(fs.mkdirs(dir))
    local start, ours, theirs = dir .. "/start", dir .. "/bertlua", dir .. "/pytorch"
    for _, old in ipairs { start, ours, theirs } do fs.remove(old) end
    local config = write_start(values, start)
    write_batches(values, config, start, dir .. "/batches.safetensors")
    shell(recipe(values, { mode = "train_eval", ["from-pretrained-params"] = start, ["output-dir"] = ours,
        epochs = values.epochs, ["train-batch-size"] = values.batch_size, ["learning-rate"] = values.learning_rate,
        ["warmup-proportion"] = 0.1, optimizer = "AdamW", seed = values.seed, ["log-freq"] = 1,
        ["num-steps-per-checkpoint"] = 1000000, ["report-file"] = ours .. "/report.json" }))
    shell(("OMP_NUM_THREADS=%d %s %s %s %s %s %d %.17g > %s"):format(context.threads(), quote(values.python),
        quote(paths.root() .. "/bench/peers/squad_finetune.py"), quote(start), quote(dir .. "/batches.safetensors"),
        quote(theirs .. "/model"), values.batch_size, values.learning_rate, quote(dir .. "/pytorch.json")))
    shell(recipe(values, { mode = "eval", ["from-pretrained-params"] = theirs .. "/model", ["output-dir"] = theirs,
        ["report-file"] = theirs .. "/report.json" }))
    local losses, summary = read_report(ours .. "/report.json")
    local peer = fault.check(json.read(dir .. "/pytorch.json"))
    local _, peer_summary = read_report(theirs .. "/report.json")
    print(("%-8s %12s %12s %12s"):format("step", "bertlua", "PyTorch", "difference"))
    local worst, sum = 0, 0
    for step, loss in ipairs(losses) do
        local difference = math.abs(loss - peer.losses[step])
        worst, sum = math.max(worst, difference), sum + difference
        if step == 1 or step % 10 == 0 then
            print(("%-8d %12.6f %12.6f %12.2e"):format(step, loss, peer.losses[step], difference))
        end
    end
    print(("\nloss over %d steps: largest difference %.2e, mean %.2e"):format(#losses, worst, sum / #losses))
    print(("bertlua   EM %.2f, F1 %.2f, %.2f sequences/s"):format(summary.exact_match, summary.f1,
        summary.training_sequences_per_second))
    print(("PyTorch   EM %.2f, F1 %.2f, %.2f sequences/s (padding cut to the longest of a batch)"):format(
        peer_summary.exact_match, peer_summary.f1, peer.sequences_per_second))
end

main()
