--- Job: the demo, from raw text to filled-in words in a few minutes.
--
-- Stages: text, vocabulary, shards, pre-training (both phases), results. Each
-- prints what it does and which commands do the same by hand; each is skipped if
-- its output already exists for the same corpus and settings.

local checkpoint_model = require "bertlua.jobs.pretrain.checkpoint_model"
local context = require "bertlua.context"
local create = require "bertlua.data.create_pretraining"
local demo_results = require "bertlua.jobs.demo.results"
local demo_text = require "bertlua.jobs.demo.text"
local devices = require "bertlua.jobs.common.devices"
local fault = require "bertlua.fault"
local folder = require "bertlua.jobs.demo.folder"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local phases = require "bertlua.jobs.pretrain.phases"
local plural = require "bertlua.util.plural"
local sample_checks = require "bertlua.data.sample_checks"
local settings = require "bertlua.settings"
local storage = require "bertlua.storage"
local term = require "bertlua.util.term"
local prose = require "bertlua.data.prose"
local vocab_trainer = require "bertlua.text.vocab_trainer"

local M = {}

M.settings = settings.define {
    { name = "corpus", type = "path", group = "Text",
        help = "folder of .txt files; unset: the Jargon File, Debian's jargon-text" },
    { name = "output_dir", type = "path", default = "results/demo", group = "Text", help = "folder for all output" },
    { name = "restart", type = "boolean", default = false, group = "Text",
        help = "first remove what an earlier demo wrote in output_dir, and nothing else" },
    { name = "do_lower_case", type = "boolean", default = true, group = "Text", help = "false: keep capitals" },
    { name = "vocab_size", type = "integer", min = 500, max = 60000, default = 2000, group = "Model",
        help = "word pieces" },
    { name = "hidden_size", type = "integer", min = 8, default = 128, group = "Model", help = "width" },
    { name = "num_hidden_layers", type = "integer", min = 1, default = 2, group = "Model", help = "layers" },
    { name = "num_attention_heads", type = "integer", min = 1, default = 4, group = "Model", help = "heads" },
    { name = "dropout", type = "number", min = 0, below = 1, default = 0, group = "Model", help = "everywhere" },
    { name = "initializer_range", type = "number", above = 0, default = 0.05, group = "Model",
        help = "standard deviation of the initial weights" },
    { name = "batch_size", type = "integer", min = 1, default = 32, group = "Training",
        help = "sequences per update in phase 1; half as many in phase 2" },
    { name = "learning_rate", type = "number", above = 0, default = 1.5e-3, group = "Training",
        help = "peak in phase 1; half of that in phase 2" },
    { name = "phase1_steps", type = "integer", min = 1, default = 5000, group = "Training", help = "updates" },
    { name = "phase2_steps", type = "integer", min = 1, default = 1200, group = "Training", help = "updates" },
    { name = "seed", type = "integer", min = 0, default = 42, group = "Training", help = "for everything random" },
    { name = "device", type = "choice", choices = devices.setting.choices, default = devices.setting.default,
        group = "Training", help = devices.setting.help },
    { name = "threads", type = "integer", min = 0, default = 0, group = "Training",
        help = "0: OMP_NUM_THREADS, or all cores" },
}

-- Sequence length, masked tokens and passes over the text of each phase.
local SHAPES = {
    phase1 = { max_seq_length = 64, max_predictions_per_seq = 10, dupe_factor = 10 },
    phase2 = { max_seq_length = 128, max_predictions_per_seq = 20, dupe_factor = 5 },
}
local HELD_OUT_PASSES = 2
-- Read in turn, like those of a large corpus. Held-out words predicted after phase 1: 30.6 %; with one shard, 27.4 %.
local SHARDS = 4

local function say(format, ...)
    io.stdout:write(term.fit("stdout", format:format(...), 6), "\n")
    io.stdout:flush()
end

local function stage(number, title)
    say("\n[%d/5] %s", number, title)
end

--- Print a command to paste into a shell, with line breaks between options.
local function by_hand(command)
    local lines, line = {}, "      by hand:"
    for word in command:gsub(" %-%-", "\n--"):gmatch("[^\n]+") do
        if #line + #word > 76 then
            lines[#lines + 1] = line .. " \\"
            line = "       "
        end
        line = line .. " " .. word
    end
    lines[#lines + 1] = line
    say("%s", table.concat(lines, "\n"))
end

--- Paths of everything the demo makes.
local function layout(values)
    local dir = values.output_dir
    local function at(...) return fs.join(dir, ...) end
    return {
        dir = dir, train_text = at("text/train.txt"), test_text = at("text/test.txt"),
        vocab = at("vocab.txt"), config = at("config.json"), report = at("report.json"), svg = at("loss.svg"),
        shards = function(phase, split) return at("shards", phase, split) end,
        checkpoints = function(phase) return at("custom", phase) end,
    }
end

--- What the outputs depend on; where any of it changes, they cannot be gone on from.
local function fingerprint(values, documents)
    local crc = 0
    for _, document in ipairs(documents) do
        for _, paragraph in ipairs(document) do crc = storage.crc32c(paragraph, crc) end
    end
    local print = { version = 1, text_crc32c = crc, shapes = SHAPES }
    for _, name in ipairs { "do_lower_case", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
        "dropout", "initializer_range", "batch_size", "learning_rate", "phase1_steps", "phase2_steps", "seed" } do
        print[name] = values[name]
    end
    return print
end

local function make_text(paths, documents, bytes, values)
    stage(1, "Text: " .. (values.corpus or "the Jargon File from Debian's jargon-text package"))
    local train, test = demo_text.split(documents)
    if not fs.exists(paths.test_text) then
        fault.check(fs.mkdirs(fs.dirname(paths.train_text)))
        prose.write(paths.train_text, train)
        prose.write(paths.test_text, test)
    end
    say("      %d documents, %.2f MB of text; %s held out", #documents, bytes / 1e6, plural.count(#test, "document"))
    say("      %s, %s: one sentence per line, a blank line between documents", paths.train_text, paths.test_text)
end

local function make_vocabulary(paths, values)
    stage(2, ("Vocabulary: %d word pieces learned from the text"):format(values.vocab_size))
    by_hand(("bertlua train_vocab --input-files %s --output-file %s --vocab-size %d "
        .. "--do-lower-case %s"):format(paths.train_text, paths.vocab, values.vocab_size,
        tostring(values.do_lower_case)))
    if not fs.exists(paths.vocab) then
        vocab_trainer.train { files = { paths.train_text }, vocab_size = values.vocab_size,
            do_lower_case = values.do_lower_case, output_file = paths.vocab }
    end
    local tokenizer = require("bertlua.text.tokenizer").load(paths.vocab, { do_lower_case = values.do_lower_case,
        any_casing = true })
    say("      %s: %d tokens", paths.vocab, tokenizer:size())
    return tokenizer
end

local function make_shards(paths, tokenizer, values)
    stage(3, "Samples: pairs of sentences with masked words, as HDF5 shards")
    for _, phase in ipairs { "phase1", "phase2" } do
        local shape = SHAPES[phase]
        by_hand(("bertlua create_pretraining_data --input-files %s --output-dir %s --vocab-file %s "
            .. "--do-lower-case %s --max-seq-length %d --max-predictions-per-seq %d --dupe-factor %d --shards %d "
            .. "--random-seed %d"):format(paths.train_text, paths.shards(phase, "train"), paths.vocab,
            tostring(values.do_lower_case), shape.max_seq_length, shape.max_predictions_per_seq, shape.dupe_factor,
            SHARDS, values.seed))
        for _, split in ipairs { "train", "test" } do
            local shards = paths.shards(phase, split)
            local done = fs.join(shards, "complete")
            if not fs.exists(done) then
                local options = {
                    input_files = { split == "train" and paths.train_text or paths.test_text }, output_dir = shards,
                    overwrite = true, tokenizer = tokenizer, vocab_file = paths.vocab,
                    max_seq_length = shape.max_seq_length, max_predictions_per_seq = shape.max_predictions_per_seq,
                    dupe_factor = split == "train" and shape.dupe_factor or HELD_OUT_PASSES,
                    shards = split == "train" and SHARDS or 1, random_seed = values.seed,
                }
                local summary = create.run(options)
                sample_checks.warn(create.warnings(summary, options))
                fault.check(fs.write(done, ("%d\n"):format(summary.instances)))
            end
            say("      %s: %s samples of up to %d tokens", shards, fault.check(fs.read(done)):match("%d+"),
                shape.max_seq_length)
        end
    end
end

--- The settings of both phases, for jobs/pretrain/phases.
local function training_settings(paths, values)
    local function phase(name, steps, batch_size, learning_rate)
        return {
            input_dir = paths.shards(name, "train"), max_steps = steps, batch_size = batch_size,
            learning_rate = learning_rate, warmup_proportion = 0.1, max_seq_length = SHAPES[name].max_seq_length,
            max_predictions_per_seq = SHAPES[name].max_predictions_per_seq, gradient_merge_steps = 1,
            num_steps_per_checkpoint = math.max(100, math.floor(steps / 5)),
        }
    end
    return {
        common = {
            output_dir = paths.dir, bert_model = "custom", config_file = paths.config, vocab_file = paths.vocab,
            report_file = paths.report, optimizer = "AdamW", amp = true,
            dynamic_masking = true, last_step_of_checkpoint = "auto", log_freq = 10, seed = values.seed,
            threads = values.threads, show_config = false, device = context.device(),
        },
        phase1 = phase("phase1", values.phase1_steps, values.batch_size, values.learning_rate),
        phase2 = phase("phase2", values.phase2_steps, math.ceil(values.batch_size / 2), values.learning_rate / 2),
    }
end

--- The settings as a command line, names sorted.
local function command_line(groups)
    local flat, names, words = phases.flatten(groups), {}, { "bertlua pretrain" }
    for name in pairs(flat) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do
        words[#words + 1] = ("--%s %s"):format((name:gsub("_", "-")), tostring(flat[name]))
    end
    words[#words + 1] = "--scale-loss 1 --use-dynamic-loss-scaling false"
    return table.concat(words, " ")
end

local function write_config(paths, values, vocab_size)
    fault.check(fs.write(paths.config, json.encode({
        vocab_size = vocab_size, hidden_size = values.hidden_size, num_hidden_layers = values.num_hidden_layers,
        num_attention_heads = values.num_attention_heads, intermediate_size = 4 * values.hidden_size,
        max_position_embeddings = SHAPES.phase2.max_seq_length, hidden_dropout_prob = values.dropout,
        attention_probs_dropout_prob = values.dropout, initializer_range = values.initializer_range,
    }, { pretty = true }) .. "\n"))
end

local function pretrain(paths, tokenizer, values)
    stage(4, ("Pre-training: %s of width %d; phase 1 on short samples, phase 2 on long ones"):format(
        plural.count(values.num_hidden_layers, "layer"), values.hidden_size))
    write_config(paths, values, tokenizer:size())
    local groups = training_settings(paths, values)
    by_hand(command_line(groups))
    local flat, sources = phases.spec():parse({}, phases.flatten(groups))
    return phases.run(flat, sources, { bar = true })
end

--- Run all stages.
-- @param values of M.settings
-- @return outcome of pre-training
function M.run(values)
    devices.open(values)
    local documents, bytes = demo_text.documents(values.corpus)
    local paths = layout(values)
    local removed = folder.prepare(paths.dir, values.restart, fingerprint(values, documents))
    if removed then say("%s", removed) end
    make_text(paths, documents, bytes, values)
    local tokenizer = make_vocabulary(paths, values)
    make_shards(paths, tokenizer, values)
    local outcome = pretrain(paths, tokenizer, values)
    if outcome.status == "interrupted" then
        say("\nStopped; run the demo again to resume from %s", outcome.checkpoint)
        return outcome
    end
    stage(5, "Results")
    local masked = demo_text.masked_sentences(paths.train_text, paths.test_text, tokenizer, 5)
    demo_results.show(paths, {
        model = function(phase) return checkpoint_model.open(paths.checkpoints(phase)) end,
        tokenizer = tokenizer, masked = masked,
    })
    return outcome
end

return M
