--- Job: measure a checkpoint on shards.

local Tape = require "bertlua.autograd.tape"
local checkpoint_model = require "bertlua.jobs.pretrain.checkpoint_model"
local devices = require "bertlua.jobs.common.devices"
local evaluate = require "bertlua.jobs.pretrain.evaluation"
local fault = require "bertlua.fault"
local loader = require "bertlua.data.loader"
local plural = require "bertlua.util.plural"
local progress = require "bertlua.util.progress"
local settings = require "bertlua.settings"

local M = {}

M.settings = settings.define {
    { name = "checkpoint", type = "path", required = true, help = "checkpoint folder, or the folder of its steps" },
    { name = "input_dir", type = "path", required = true, help = "folder of HDF5 shards" },
    { name = "split", type = "choice", choices = { "test", "training", "all" }, default = "all",
        help = "shards to use, selected by name" },
    { name = "batch_size", type = "integer", min = 1, default = 32, help = "sequences per batch" },
    { name = "max_batches", type = "integer", min = 1, help = "stop after this many batches; unset: all" },
    { name = "pack_sequences", type = "boolean", default = true, help = "leave padding tokens out of the computation" },
    { name = "precision", type = "choice", choices = { "fp32", "bf16" }, default = "fp32",
        help = "of matrices and activations" },
    { name = "model_prefix", type = "string", default = "model", help = "reads MODEL_PREFIX.safetensors" },
    devices.setting,
    { name = "threads", type = "integer", min = 0, default = 0, help = "0: OMP_NUM_THREADS, or all cores" },
}

--- Evaluate an opened model on a folder of shards.
-- @param opened of checkpoint_model.open()
-- @param values the settings
-- @param with_bar true shows a progress bar
-- @return report of train/evaluate
function M.report(opened, values, with_bar)
    local shards = loader.open {
        input_dir = values.input_dir, split = values.split, batch_size = values.batch_size, shuffle = false,
        vocab_size = opened.config.vocab_size, type_vocab_size = opened.config.type_vocab_size,
        pack_sequences = values.pack_sequences,
    }
    if shards.max_seq_length > opened.config.max_position_embeddings then
        fault.raisef("%s has sequences of %d tokens, but the model's max_position_embeddings is %d", values.input_dir,
            shards.max_seq_length, opened.config.max_position_embeddings)
    end
    if shards.samples < values.batch_size then
        fault.raisef("%s holds %s: fewer than --batch-size %d", values.input_dir,
            plural.count(shards.samples, "sample"), values.batch_size)
    end
    local tape = Tape.new()
    local bar = with_bar and progress.new { label = "evaluate", unit = "batches",
        total = math.min(math.floor(shards.samples / values.batch_size), values.max_batches or math.huge) }
    local report = evaluate.run(opened.model, tape, shards, {
        batch_size = values.batch_size, max_batches = values.max_batches,
        on_batch = bar and function(done) bar:update(done) end,
    })
    if bar then bar:finish() end
    shards:close()
    tape:close()
    return report
end

--- The report as text, and what it leaves out.
-- @param opened of checkpoint_model.open()
-- @param report of M.report()
-- @param word of the most frequent masked token; nil without a vocabulary
function M.text(opened, report, word)
    return evaluate.text(report, word) .. (opened.predicts_next and ""
        or "  NSP  not measured: the model has no head for next sentences (cls.seq_relationship, pooler)\n")
end

--- Run the job and print the report.
function M.run(values)
    devices.open(values)
    local opened = checkpoint_model.open(values.checkpoint, values)
    local report = M.report(opened, values, true)
    local word
    if opened.vocab_file then word = checkpoint_model.tokenizer(opened):token(report.mlm_token) end
    io.stdout:write(("%s on %s\n"):format(opened.folder, values.input_dir), M.text(opened, report, word))
    return report
end

return M
