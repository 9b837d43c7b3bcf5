--- What a fine-tuning run will do, worked out from its settings before anything
-- is allocated: what of train, predict and evaluate, files, precision, and where
-- the parameters come from. All rules between settings live here; what a single
-- setting accepts does not belong here: see jobs/squad/settings.lua.

local checkpoint = require "bertlua.train.checkpoint"
local fault = require "bertlua.fault"
local folder = require "bertlua.weights.folder"
local fs = require "bertlua.util.fs"
local plan = require "bertlua.jobs.common.plan"
local published = require "bertlua.squad.published"
local vocabulary = require "bertlua.weights.vocabulary"

local M = {}

local MODES = {
    train = { train = true },
    prediction = { predict = true },
    eval = { predict = true, evaluate = true },
    train_eval = { train = true, predict = true, evaluate = true },
}
local FLAGS = { do_train = "train", do_predict = "predict", do_eval = "evaluate" }

--- What to do: {train=, predict=, evaluate=}.
-- The command line's mode or do_ flags count before those of the recipe.
local function work_of(values, sources)
    local flags, any, from_command_line = {}, false, false
    for name, part in pairs(FLAGS) do
        if values[name] then flags[part], any = true, true end
        from_command_line = from_command_line or sources[name] == "command line"
    end
    local mode = values.mode and MODES[values.mode]
    if mode and any then
        local same = true
        for _, part in pairs(FLAGS) do same = same and (mode[part] or false) == (flags[part] or false) end
        if not same and from_command_line == (sources.mode == "command line") then
            fault.raisef("--mode %s contradicts the --do-train, --do-predict, --do-eval given: use one or "
                .. "the other", values.mode)
        end
        return from_command_line and flags or mode
    end
    if mode then return mode end
    if any then return flags end
    fault.raise("nothing to do: set --mode train, eval, prediction or train_eval")
end

--- A data file: as set, else the published one, which is downloaded if it is not there.
local function data_file(run, values, name, kind)
    local path = values[name] or published.path(kind, values.version_2_with_negative)
    if fs.is_file(path) then return path end
    if not published.is_missing(path) then
        fault.raisef("--%s %s: no such file; leave the option out, or end it in %s, to download the published file",
            name:gsub("_", "-"), path, fs.basename(published.path(kind, values.version_2_with_negative)))
    end
    run.downloads[#run.downloads + 1] = path
    return path
end

--- Parameters for answering without training first. A recipe's from_pretrained_params are those that training starts
-- from; only the command line's are meant for answering.
local function trained_parameters(values, sources, own_dir, warnings)
    plan.exclude(values, "from_checkpoint", "from_pretrained_params", "both name the parameters to answer with")
    if values.from_pretrained_params and sources.from_pretrained_params ~= "recipe" then
        return { kind = "parameters", path = plan.parameter_folder(values, "from_pretrained_params"), step = 0 }
    end
    local found
    if values.from_checkpoint or values.last_step_of_checkpoint ~= "auto" then
        found = plan.resume_point(values, own_dir, warnings)
        if found then return { kind = "resume", path = found.path, step = found.step } end
    end
    local path, step, note = checkpoint.latest(own_dir)
    warnings[#warnings + 1] = note
    if path then return { kind = "resume", path = path, step = step } end
    if checkpoint.has_parameters(own_dir, values.model_prefix) then
        return { kind = "parameters", path = own_dir, step = 0 }
    end
    if values.benchmark then return { kind = "fresh", step = 0 } end
    fault.raisef("%s holds no fine-tuned model: train first (--mode train), or name one with --from-pretrained-params",
        own_dir)
end

--- With bert_model custom, config and vocabulary may lie beside the parameters.
local function files_beside_parameters(values, start)
    if values.bert_model ~= "custom" or not start.path then return values end
    local home = folder.find(start.path, values.model_prefix)
    if not home then return values end
    local own = {}
    for setting, name in pairs { config_file = "config.json", vocab_file = "vocab.txt" } do
        local path = fs.join(home, name)
        if not values[setting] and fs.is_file(path) then own[setting] = path end
    end
    return setmetatable(own, { __index = values })
end

--- Casing of the text: as set, else as the parameters say, else as the model's name or the vocabulary does.
local function casing_of(values, start, vocab_file)
    if values.do_lower_case ~= nil then return values.do_lower_case end
    local home = start.path and folder.find(start.path, values.model_prefix)
    if home then
        local trained = folder.casing(home, checkpoint.progress(home))
        if trained ~= nil then return trained end
    end
    if values.bert_model ~= "custom" then return values.bert_model:find("uncased", 1, true) ~= nil end
    return vocabulary.casing(vocab_file) ~= false
end

--- Work out a run; how many steps there are comes later, when the features are counted: see set_steps().
-- @param values resolved settings
-- @param sources where each came from
-- @param size processes of the job (1)
-- @return { phase = "squad", work, train_file, predict_file, downloads = paths of those to fetch first, precision,
--   config_file, vocab_file, do_lower_case, checkpoint_dir, start, accumulation, warnings }
function M.resolve(values, sources, size)
    local run = { phase = "squad", warnings = {}, downloads = {}, work = work_of(values, sources) }
    local work = run.work
    if work.evaluate and not work.predict then
        fault.raise("--do-eval needs --do-predict: it measures the answers of this run; for a predictions.json use "
            .. "recipes/evaluate_squad.lua")
    end
    plan.need(values, "output_dir", "name the folder for the model and the answers")
    run.train_file = work.train and data_file(run, values, "train_file", "train") or nil
    run.predict_file = work.predict and data_file(run, values, "predict_file", "dev") or nil
    if values.eval_script and not fs.is_file(values.eval_script) then
        fault.raisef("--eval-script %s: no such file", values.eval_script)
    end
    if values.benchmark and work.train and work.predict then
        fault.raise("--benchmark measures one thing: add --mode train or --mode prediction")
    end
    run.precision, run.tf32 = plan.precision(values, sources), values.precision == "tf32"
    run.attention = plan.attention(values)
    run.checkpoint_dir = plan.checkpoint_dir(values, "squad")
    if work.train then
        run.start = plan.starting_point(values, "squad", run.checkpoint_dir, run.warnings)
        if run.start.kind == "fresh" and not values.benchmark then
            run.warnings[#run.warnings + 1] = "no --from-pretrained-params: training starts from random parameters"
        end
    else
        run.start = trained_parameters(values, sources, run.checkpoint_dir, run.warnings)
    end
    run.config_file, run.vocab_file = plan.model_files(files_beside_parameters(values, run.start))
    if not run.vocab_file then
        fault.raise("--bert-model custom needs --vocab-file: the questions are tokenized with it")
    end
    run.do_lower_case = casing_of(values, run.start, run.vocab_file)
    run.accumulation = plan.accumulation(setmetatable({ batch_size = values.train_batch_size }, { __index = values }),
        run.warnings, size)
    return run
end

--- Settle the steps: epochs * ceil(features / sequences of an update), or max_steps if that is fewer.
-- @param run of resolve()
-- @param features training features
function M.set_steps(run, values, features)
    local sequences = values.train_batch_size * run.accumulation
    run.features, run.steps_per_epoch = features, math.ceil(features / sequences)
    run.max_steps = values.epochs * run.steps_per_epoch
    if values.max_steps == 0 then
        fault.raise("--max-steps 0: got 0, expected at least 1, or -1 for as many as --epochs needs")
    elseif values.max_steps and values.max_steps > 0 then
        run.max_steps = math.min(run.max_steps, values.max_steps)
    end
    if values.benchmark then
        run.start.step = 0
        run.last_step = values.benchmark_warmup_steps + values.benchmark_steps
        run.max_steps = math.max(run.max_steps, run.last_step)
    else
        run.last_step = run.max_steps
        if run.start.step > run.max_steps then
            fault.raisef("%s is at step %d, but this run has %d", run.start.path, run.start.step, run.max_steps)
        end
        if values.steps_this_run then
            run.last_step = math.min(run.last_step, run.start.step + values.steps_this_run)
        end
    end
    run.first_step = run.start.step + 1
end

return M
