--- Task: fine-tune on SQuAD, answer questions, evaluate the answers.
--
-- OUTPUT_DIR/BERT_MODEL/squad/ gets the model (as a folder that transformers
-- opens), predictions.json, nbest_predictions.json, null_odds.json (v2.0) and
-- eval.json; its integer-named folders are checkpoints to resume from. Rules
-- that relate settings: plan.lua. Answering and evaluating: prediction.lua.

local BertForQuestionAnswering = require "bertlua.models.question_answering"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local metrics = require "bertlua.squad.metrics"
local model_files = require "bertlua.jobs.common.model_files"
local plan = require "bertlua.jobs.squad.plan"
local prediction = require "bertlua.jobs.squad.prediction"
local reader = require "bertlua.squad.reader"
local squad_data = require "bertlua.jobs.squad.data"
local task = require "bertlua.jobs.common.task"

--- Questions to train on and to answer, and training batches.
local function open(job)
    local run, values = job.run, job.values
    local config, words = model_files.load(run, values)
    local data = { config = config, words = words, lines = {} }
    for _, kind in ipairs { "train", "predict" } do
        if run.work[kind] then
            local loaded = squad_data.load(run[kind .. "_file"], words, values, kind == "train",
                run.work.evaluate)
            data[kind .. "_set"] = loaded
            data.lines[#data.lines + 1] = loaded.line
            for _, warning in ipairs(loaded.warnings) do run.warnings[#run.warnings + 1] = warning end
        end
    end
    if run.work.train then
        local set = data.train_set.set
        if set.count == 0 then
            fault.raisef("%s: its contexts contain no tokens: nothing to train on", run.train_file)
        end
        data.train = set:batches { batch_size = values.train_batch_size, seed = values.seed,
            pack_sequences = values.pack_sequences, null_window_share = values.null_window_share,
            few_shapes = context.device() ~= "cpu" }
    end
    return data
end

--- The result as text.
local function metric_text(result)
    if result.exact_match then return ("EM %.2f, F1 %.2f"):format(result.exact_match, result.f1) end
    local text = ("EM %.2f, F1 %.2f"):format(result.exact, result.f1)
    for _, group in ipairs { { "HasAns", "with answer" }, { "NoAns", "without" } } do
        local total = result[group[1] .. "_total"]
        if total then
            text = text .. ("; %d %s: EM %.2f, F1 %.2f"):format(total, group[2], result[group[1] .. "_exact"],
                result[group[1] .. "_f1"])
        end
    end
    return text
end

return task.define {
    name = "squad",
    settings = require "bertlua.jobs.squad.settings",
    batch_setting = "train_batch_size",
    results = { { name = "loss", column = "loss", kept = true } },
    plan = plan.make,
    prepare = plan.download,
    open = open,
    model = function(data)
        local model = BertForQuestionAnswering.new(data.config)
        return model
    end,
    exports = true,
    exported = function(job) fault.check(reader.write_settings(job.run.checkpoint_dir, job.values)) end,
    evaluation = prediction.evaluation,
    predict = prediction.run,
    inference = function(job)
        local sequences = job.data.predict_set.set:sequences()
        return sequences
    end,
    rows = function(outcome)
        local rows = {}
        if outcome.prediction then rows[1] = { "answers", outcome.prediction.folder .. "/predictions.json" } end
        if outcome.metrics then rows[#rows + 1] = { "result", metric_text(outcome.metrics) } end
        return rows
    end,
    summary = function(outcome)
        local text = outcome.metrics and metrics.format(outcome.metrics)
        return text
    end,
}
