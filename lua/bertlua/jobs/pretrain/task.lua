--- Task: pre-training on masked words and next sentences (arXiv 1810.04805), from HDF5 shards.

local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local held_out = require "bertlua.jobs.pretrain.held_out"
local loader = require "bertlua.data.loader"
local model_choice = require "bertlua.jobs.common.model_choice"
local model_files = require "bertlua.jobs.common.model_files"
local objectives = require "bertlua.jobs.pretrain.objectives"
local own_data = require "bertlua.jobs.common.own_data"
local plan = require "bertlua.jobs.common.plan"
local plural = require "bertlua.util.plural"
local sample_checks = require "bertlua.data.sample_checks"
local task = require "bertlua.jobs.common.task"
local term = require "bertlua.util.term"

local function phase_of(values)
    plan.exclude(values, "phase1", "phase2", "a run does one of them; `bertlua pretrain` does one after the other")
    if values.phase1 then return "phase1" end
    if values.phase2 then return "phase2" end
    fault.raise("neither --phase1 nor --phase2 is set: choose the phase to run")
end

--- Parameters that phase 2 starts from: {setting, path}, or nil.
local function final_params_of_phase1(run, values)
    local path = values.from_phase1_final_params
    if not path then return nil end
    plan.exclude(values, "from_pretrained_params", "from_phase1_final_params", "both name the parameters to start from")
    if run.phase ~= "phase2" then
        fault.raise("--from-phase1-final-params is for --phase2: for phase 1 use --from-pretrained-params")
    end
    return { setting = "from_phase1_final_params",
        path = path == "auto" and plan.checkpoint_dir(values, "phase1") or path }
end

local function make_plan(run, values, sources)
    run.phase = phase_of(values)
    own_data.check(values, "input_dir", { "shuffle_buffer", "do_lower_case" }, sources)
    if not values.data then plan.need(values, "input_dir", "name the folder that holds the HDF5 shards") end
    if not values.benchmark then plan.need(values, "max_steps", "give the number of updates in the schedule") end
    if not (values.data or fs.is_directory(values.input_dir)) then
        fault.raisef("--input-dir %s: no such folder", values.input_dir)
    end
    run.parameters = final_params_of_phase1(run, values)
    run.effective.objectives = objectives.of(values)
    if sources.objectives and model_choice.is_own(values) then
        fault.raise("objectives are those of the task's own model: a model of the recipe's decides itself what it "
            .. "learns; leave them out")
    end
end

--- Config of the model and its vocabulary, checked against each other and the shards' length.
local function load_model_files(run, values)
    local config = model_files.config(run)
    model_files.check_length(values, config, run.config_file)
    if values.data then
        plan.need(run, "vocab_file", "the texts of data are tokenized with it")
        return config, model_files.tokenizer(run, config, { do_lower_case = run.do_lower_case, exact = true })
    end
    if run.vocab_file then
        -- Only size and ids matter here: the shards hold ids.
        return config, model_files.tokenizer(run, config, { do_lower_case = true, any_casing = true, exact = true })
    end
    if values.dynamic_masking then
        fault.raise("--dynamic-masking requires --vocab-file: the id of [MASK] is looked up there")
    end
    return config
end

local function open(job)
    local values, ranks = job.values, job.ranks
    local config, words = load_model_files(job.run, values)
    local next_sentence = objectives.of(values) ~= "mlm"
    if values.data then
        local batches, about = own_data.open(job, config, words, next_sentence)
        return { config = config, words = words, train = batches, lines = about, next_sentence = next_sentence }
    end
    local shards = loader.open {
        input_dir = values.input_dir,
        batch_size = values.batch_size,
        max_seq_length = values.max_seq_length,
        max_predictions_per_seq = values.max_predictions_per_seq,
        vocab_size = config.vocab_size,
        type_vocab_size = config.type_vocab_size,
        vocab_file = words and words.vocab_file,
        seed = values.seed,
        pack_sequences = values.pack_sequences,
        dynamic_masking = values.dynamic_masking,
        special_ids = words and { cls_id = words.cls_id, sep_id = words.sep_id, mask_id = words.mask_id },
        prefetch = values.num_workers > 0,
        on_first_shard = ranks.rank == 0 and function(shard)
            local lines = sample_checks.shard(shard, { next_sentence = next_sentence,
                masked = not values.dynamic_masking })
            for _, line in ipairs(lines) do
                if job.log then job.log:note("warning: " .. line) else term.warn(line) end
            end
        end or nil,
        few_shapes = context.device() ~= "cpu",
        rank = ranks.rank,
        ranks = ranks.size,
    }
    local line = ("%s: %s in %s, %d tokens long%s%s"):format(values.input_dir, plural.count(shards.samples, "sample"),
        plural.count(shards.shards, "shard"), shards.max_seq_length, values.pack_sequences and ", packed" or "",
        values.dynamic_masking and ", dynamically masked" or "")
    return { config = config, words = words, train = shards, lines = { line },
        next_sentence = next_sentence }
end

local function percent(x)
    return ("%.1f %%"):format(100 * x)
end

-- Results without NSP: the loss is that of MLM.
local ALONE = {
    { name = "loss", column = "loss", kept = true },
    { name = "mlm_loss", kept = true },
    { name = "mlm_accuracy", bar = { "mlm", percent } },
}

--- Rows of the final table.
local function rows(_, record)
    if not record or not record.mlm_accuracy then return {} end
    local count = plural.count(record.steps, "step")
    if not record.nsp_loss then
        return {
            { "loss", ("%.4f (MLM), mean of the last %s"):format(record.loss, count) },
            { "accuracy", ("MLM %s, on training data"):format(percent(record.mlm_accuracy)) },
        }
    end
    return {
        { "loss", ("%.4f (MLM %.4f, NSP %.4f), mean of the last %s"):format(record.loss, record.mlm_loss,
            record.nsp_loss, count) },
        { "accuracy", ("MLM %s, NSP %s, on training data"):format(percent(record.mlm_accuracy),
            percent(record.nsp_accuracy)) },
    }
end

return task.define {
    name = "pretrain",
    settings = require "bertlua.jobs.pretrain.settings",
    batch_setting = "batch_size",
    results = {
        { name = "loss", column = "loss", kept = true },
        { name = "mlm_loss", column = "mlm", kept = true },
        { name = "nsp_loss", column = "nsp", kept = true },
        { name = "mlm_accuracy", bar = { "mlm", percent } },
        { name = "nsp_accuracy" },
    },
    results_of = function(values)
        if objectives.of(values) == "mlm" then return ALONE end
        return nil
    end,
    plan = make_plan,
    open = open,
    evaluation = held_out,
    model = function(data)
        local model = BertForPretraining.new(data.config, nil, { next_sentence = data.next_sentence })
        return model
    end,
    rows = rows,
}
