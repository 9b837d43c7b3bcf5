--- What a run will do, worked out from its settings before anything is
-- allocated: precision, files, where to start from, which steps.
--
-- Rules that relate settings of all tasks live here, and breaking one is a
-- fault; rules about a task's own settings live in the task. What a single
-- setting accepts does not belong here: see settings.lua.

local began = require "bertlua.jobs.common.began"
local callbacks = require "bertlua.jobs.common.callbacks"
local checkpoint = require "bertlua.train.checkpoint"
local context = require "bertlua.context"
local evaluating = require "bertlua.jobs.common.evaluating"
local fault = require "bertlua.fault"
local folder = require "bertlua.weights.folder"
local formats = require "bertlua.weights.formats"
local fs = require "bertlua.util.fs"
local lua_value = require "bertlua.util.lua_value"
local model_choice = require "bertlua.jobs.common.model_choice"
local model_home = require "bertlua.train.model_home"
local named_file = require "bertlua.util.named_file"
local origin = require "bertlua.jobs.common.origin"
local parameter_groups = require "bertlua.jobs.common.parameter_groups"
local paths = require "bertlua.paths"
local plural = require "bertlua.util.plural"
local precision = require "bertlua.jobs.common.precision"
local settings = require "bertlua.settings"
local tasks = require "bertlua.jobs.common.task"
local training = require "bertlua.jobs.common.training"
local vocabulary = require "bertlua.weights.vocabulary"

local M = {}

M.option = settings.option
local option = M.option

--- A fault if a setting is unset.
-- @param values settings
-- @param name of the setting
-- @param why what to do, for the message
function M.need(values, name, why)
    if values[name] == nil then fault.raisef("%s is not set: %s", option(name), why) end
end

--- A fault if two settings are both set.
-- @param values settings
-- @param a, b names of the settings
-- @param why what they mean, for the message
function M.exclude(values, a, b, why)
    if values[a] and values[b] then fault.raisef("%s and %s are both set: %s", option(a), option(b), why) end
end

--- Kernels of attention: "auto", "native", "unfused" or "cudnn".
function M.attention(values)
    local wanted = values.attention or "auto"
    if values.fuse_mha == false then
        if wanted ~= "auto" and wanted ~= "unfused" then
            fault.raisef("--fuse-mha false and --attention %s contradict each other: give one of them", wanted)
        end
        wanted = "unfused"
    end
    if context.choose(values.device) == "cpu" and wanted ~= "auto" and wanted ~= "native" then
        fault.raisef("%s: attention is always one fused kernel on the CPU; drop the setting",
            values.fuse_mha == false and "--no-fuse-mha" or "--attention " .. wanted)
    end
    return wanted
end

local function greatest_divisor(a, b)
    while b > 0 do a, b = b, a % b end
    return a
end

--- What to do where the micro-steps of an update cannot be divided among processes: first what leaves the update as
-- large as it is.
local function divisible(values, batch_setting, micro_steps, size)
    local batch, merge = values[batch_setting], values.gradient_merge_steps
    local parts = size / greatest_divisor(micro_steps, size)
    local grows = ("without --world-size it has %d"):format(batch * merge * size)
    if batch % parts ~= 0 then
        return ("start %s, for an update of %s; %s"):format(
            micro_steps == 1 and "one process" or "a number of processes that divides " .. micro_steps,
            plural.count(micro_steps * batch, "sequence"), grows)
    end
    return ("%s %d with --gradient-merge-steps %d keeps an update of %s; %s"):format(option(batch_setting),
        batch / parts, merge * parts, plural.count(micro_steps * batch, "sequence"), grows)
end

--- Micro-steps per update, of all processes together. Settings meant for a different number of processes keep their
-- global batch.
-- @param batch_setting that holds the sequences per micro-step
-- @param size processes of the job
function M.accumulation(values, batch_setting, warnings, size)
    local wanted, batch_size = values.world_size or size, values[batch_setting]
    local micro_steps = values.gradient_merge_steps * wanted
    if micro_steps % size ~= 0 then
        fault.raisef("--world-size %d with --gradient-merge-steps %d makes %s per update, which cannot be divided "
            .. "evenly among %d processes: %s", wanted, values.gradient_merge_steps,
            plural.count(micro_steps, "micro-step"), size, divisible(values, batch_setting, micro_steps, size))
    end
    if wanted ~= size then
        warnings[#warnings + 1] = ("these settings are for %s and this run has %d: gradient_merge_steps is %d instead "
            .. "of %d, so that an update still sees %s"):format(plural.count(wanted, "process", "processes"), size,
            micro_steps / size, values.gradient_merge_steps, plural.count(micro_steps * batch_size, "sequence"))
    end
    return micro_steps
end

local function no_file(shown, path)
    fault.raisef("%s %s: %s", shown, path, fs.is_directory(path) and "is a folder, expected a file" or "no such file")
end

--- Config and vocabulary of the model: as given, or found by the model's name.
function M.model_files(values)
    local config_file, vocab_file = values.config_file, values.vocab_file
    if type(config_file) == "table" then config_file = nil end
    if not config_file and not (values.bert_model == "custom" and model_choice.has_table(values)) then
        if values.bert_model == "custom" then
            fault.raise("--bert-model custom requires --config-file: a JSON file like those in bert_configs/; to "
                .. "fine-tune, --from-pretrained-params names a folder that has its own")
        end
        config_file = paths.find("config", values.bert_model .. ".json")
        if not config_file then fault.raisef("bert_configs/%s.json is missing", values.bert_model) end
    elseif config_file and not fs.is_file(config_file) then
        no_file("--config-file", config_file)
    end
    paths.check_vocabulary(vocab_file)
    if not vocab_file and values.bert_model ~= "custom" then
        vocab_file = paths.find("vocab", values.bert_model .. "-vocab.txt")
    end
    return model_choice.config_file(values, config_file), vocab_file
end

--- Where the checkpoints of a phase go.
function M.checkpoint_dir(values, phase)
    return ("%s/%s/%s"):format((values.output_dir:gsub("(.)/+$", "%1")), values.bert_model, phase)
end

--- Where a run puts what it makes: {checkpoints = the STEP folders, model, results}.
function M.folders(task, values, phase)
    if task.flat then
        local root = values.output_dir:gsub("(.)/+$", "%1")
        return { checkpoints = fs.join(root, "checkpoints"), model = fs.join(root, "model"), results = root }
    end
    local dir = M.checkpoint_dir(values, phase)
    return { checkpoints = dir, model = dir, results = dir }
end

local function joined(list)
    local words = {}
    for i, value in ipairs(list) do words[i] = ("%d"):format(value) end
    return table.concat(words, ", ")
end

--- The folder that --from-checkpoint means: itself, or where a run with that OUTPUT_DIR has its checkpoints.
-- @param own_dir where this run has its own
local function given_checkpoints(values, own_dir)
    local given = values.from_checkpoint
    if not fs.is_directory(given) then
        fault.raisef("--from-checkpoint %s: no such folder: correct it, or leave it out to look in %s", given, own_dir)
    end
    if checkpoint.is_complete(given) or #checkpoint.steps(given) > 0 or checkpoint.unusable(given) then return given end
    local root = (values.output_dir or ""):gsub("(.)/+$", "%1")
    local inside = own_dir:sub(1, #root + 1) == root .. "/" and fs.join(given, own_dir:sub(#root + 2))
    return inside and fs.is_directory(inside) and inside or given
end

--- A fault for a folder that --from-checkpoint names and that holds no checkpoint.
local function no_checkpoint(values)
    local given = values.from_checkpoint
    if checkpoint.has_parameters(given, values.model_prefix) then
        local _, reason = checkpoint.is_complete(given)
        fault.raisef("--from-checkpoint %s: this folder holds parameters, but no complete checkpoint (%s): to start "
            .. "from the parameters alone, give --from-pretrained-params", given, reason)
    end
    fault.raisef("--from-checkpoint %s: this folder holds no complete checkpoint: name a STEP folder, the folder that "
        .. "holds these, or the OUTPUT_DIR of such a run", given)
end

--- Where to resume from, as {path=, step=}, or nil to start from scratch.
-- @param warnings, notes lists that get lines for the user
function M.resume_point(values, own_dir, warnings, notes)
    local wanted, given = values.last_step_of_checkpoint, values.from_checkpoint
    if wanted == "none" and not given then return nil end
    given = given and given_checkpoints(values, own_dir)
    local dir = given or own_dir
    if wanted == "auto" then
        if given and checkpoint.is_complete(given) then
            return { path = given, step = checkpoint.progress(given).step }
        end
        local path, step, note = checkpoint.latest(dir)
        if not path and note then
            fault.raisef("%s; put one back from a copy, or choose another --output-dir to start anew", note)
        end
        if note then warnings[#warnings + 1] = note end
        if path then return { path = path, step = step } end
        -- That of a run which has not saved one yet may be named, too.
        if given and fs.identity(given) ~= fs.identity(own_dir) then no_checkpoint(values) end
        notes[#notes + 1] = ("no checkpoint in %s yet: starting from step 1"):format(dir)
        return nil
    end
    if given and checkpoint.is_complete(given) then
        local step = checkpoint.progress(given).step
        if wanted ~= "none" and wanted ~= step then
            fault.raisef("--last-step-of-checkpoint %d, but %s is a checkpoint of step %d", wanted, given, step)
        end
        return { path = given, step = step }
    end
    local steps = checkpoint.steps(dir)
    if wanted == "none" then
        if #steps == 0 then no_checkpoint(values) end
        fault.raisef("--from-checkpoint %s holds steps %s: add --last-step-of-checkpoint auto, or one of them", given,
            joined(steps))
    end
    for _, step in ipairs(steps) do
        if step == wanted then return { path = ("%s/%d"):format(dir, step), step = step } end
    end
    local path = ("%s/%d"):format(dir, wanted)
    local _, reason = checkpoint.is_complete(path)
    if fs.is_directory(path) then
        fault.raisef("--last-step-of-checkpoint %d: %s: %s; %s", wanted, path, reason,
            #steps > 0 and "complete are the steps " .. joined(steps) or "there is no complete checkpoint")
    end
    fault.raisef("--last-step-of-checkpoint %d: %s holds %s", wanted, dir,
        #steps > 0 and "the complete steps " .. joined(steps) or "no complete checkpoint")
end

--- The checkpoint that stands for the run of a folder of steps, as checkpoint.preferred; where that is the best, not
-- the newest, a note says so.
local function preferred(dir, notes)
    local path, step, note, by = checkpoint.preferred(dir)
    if by then notes[#notes + 1] = ("%s is the best of its run by %s, not the newest"):format(path, by) end
    return path, step, note
end

--- A folder or file to take parameters from; a folder of steps means the best that its run keeps, else its newest.
-- @param given {setting = name of the setting that names it, path}
local function parameters_at(given, model_prefix, notes)
    local shown, path = option(given.setting), given.path
    if fs.is_file(path) then formats.check(path) end
    if checkpoint.has_parameters(path, model_prefix) then return path end
    if not fs.is_directory(path) then fault.raisef("%s %s: no such folder or file", shown, path) end
    -- What a run with folders of its own left in its OUTPUT_DIR.
    if checkpoint.has_parameters(fs.join(path, "model"), model_prefix) then return fs.join(path, "model") end
    local found, _, note = preferred(path, notes)
    if not found then
        if note then fault.raisef("%s %s: %s", shown, path, note) end
        fault.raisef("%s %s: contains no %s.safetensors, pytorch_model.bin, .pdparams or complete checkpoint%s",
            shown, path, model_prefix, model_home.hint(path))
    end
    return found
end

--- The setting that names parameters to start from: {setting, path}, or nil.
-- @param given as the task named it, or nil
local function parameters_setting(values, given)
    if not values.from_pretrained_params then return given end
    return { setting = "from_pretrained_params", path = values.from_pretrained_params }
end

--- Where parameters and state come from: {kind = "fresh"|"resume"|"parameters", path=, step=}.
-- @param given parameters to start from, as in parameters_at(), that the task named; from_pretrained_params is ours
-- @param warnings, notes as in resume_point()
function M.starting_point(values, own_dir, warnings, notes, given)
    M.exclude(values, "from_checkpoint", "from_pretrained_params",
        "the first restores the whole run, the second only the parameters")
    local resume = M.resume_point(values, own_dir, warnings, notes)
    if resume then return { kind = "resume", path = resume.path, step = resume.step } end
    local steps = values.benchmark and {} or checkpoint.steps(own_dir)
    if #steps > 0 then
        fault.raisef("%s already holds checkpoints up to step %d: resume with --last-step-of-checkpoint auto, or "
            .. "choose another --output-dir", own_dir, steps[#steps])
    end
    local unusable = not values.benchmark and checkpoint.unusable(own_dir)
    if unusable then
        fault.raisef("%s; put one back from a copy, or choose another --output-dir to start anew", unusable)
    end
    given = parameters_setting(values, given)
    if not given then return { kind = "fresh", step = 0 } end
    return { kind = "parameters", path = parameters_at(given, values.model_prefix, notes), step = 0 }
end

--- Parameters for predicting without training first. A recipe's from_pretrained_params are those that training starts
-- from; only the command line's are meant for predicting.
local function trained_parameters(values, sources, own_dir, model_dir, warnings, notes)
    M.exclude(values, "from_checkpoint", "from_pretrained_params", "both name the parameters to predict with")
    if values.from_pretrained_params and sources.from_pretrained_params ~= "recipe" then
        local given = { setting = "from_pretrained_params", path = values.from_pretrained_params }
        return { kind = "parameters", path = parameters_at(given, values.model_prefix, notes), step = 0 }
    end
    local found
    if values.from_checkpoint or values.last_step_of_checkpoint ~= "auto" then
        found = M.resume_point(values, own_dir, warnings, notes)
        if found then return { kind = "resume", path = found.path, step = found.step } end
    end
    local path, step, note = preferred(own_dir, notes)
    warnings[#warnings + 1] = note
    if path then return { kind = "resume", path = path, step = step } end
    if checkpoint.has_parameters(model_dir, values.model_prefix) then
        return { kind = "parameters", path = model_dir, step = 0 }
    end
    if values.benchmark then return { kind = "fresh", step = 0 } end
    if note then fault.raise(note .. "; put one back from a copy, or train again") end
    fault.raisef("%s holds no trained model: train first, or name one with --from-pretrained-params", own_dir)
end

--- With bert_model custom, config and vocabulary may lie next to the parameters.
local function files_next_to_parameters(values, start)
    if values.bert_model ~= "custom" or not start.path then return values end
    local home = folder.find(start.path, values.model_prefix)
    if not home then return values end
    local own = {}
    local config_file = fs.join(home, "config.json")
    if not values.config_file and fs.is_file(config_file) then own.config_file = config_file end
    if not values.vocab_file then own.vocab_file = vocabulary.beside(home) end
    return setmetatable(own, { __index = values })
end

--- Casing of the text: as set, else as recorded with the parameters, else by the model's name or the vocabulary.
function M.casing(values, start, vocab_file)
    if values.do_lower_case ~= nil then return values.do_lower_case end
    local home = start.path and folder.find(start.path, values.model_prefix)
    if home then
        local trained = folder.casing(home, checkpoint.progress(home))
        if trained ~= nil then return trained end
    end
    if values.bert_model ~= "custom" then return values.bert_model:find("uncased", 1, true) ~= nil end
    return vocabulary.casing(vocab_file) ~= false
end

--- Files of the model; reading text requires a vocabulary and its casing.
local function find_files(run, values, reads_text)
    if not reads_text then
        run.config_file, run.vocab_file = M.model_files(values)
        return
    end
    run.config_file, run.vocab_file = M.model_files(files_next_to_parameters(values, run.start))
    if not run.vocab_file then
        fault.raise("--bert-model custom requires --vocab-file: the text is tokenized with it")
    end
    run.do_lower_case = M.casing(values, run.start, run.vocab_file)
end

--- Warn where an update takes more than an epoch has: what --epochs says is then no longer what happens.
local function warn_of_passes(run, values)
    if run.update_size <= run.features or values.benchmark then return end
    local smaller = values.gradient_merge_steps > 1 and "fewer --gradient-merge-steps or a smaller --train-batch-size"
        or "a smaller --train-batch-size"
    run.warnings[#run.warnings + 1] = ("an update takes %s, and there %s to train on: this run makes %.1f passes over "
        .. "the data in %s, not the %d of --epochs; give %s, or more data"):format(
        plural.count(run.update_size, "sequence"), run.features == 1 and "is 1" or "are " .. run.features,
        run.max_steps * run.update_size / run.features, plural.count(run.max_steps, "update"), values.epochs, smaller)
end

--- Settle the steps of a run that trains: those of the schedule, and the first and last of this run.
-- @param run of resolve()
-- @param values resolved settings
-- @param samples to train on, where epochs decide: epochs * ceil(samples / sequences per update) steps, or max_steps if
--   that is fewer
function M.set_steps(run, values, samples)
    if values.epochs then
        if values.max_steps == 0 then
            fault.raise("--max-steps 0: got 0, expected at least 1, or -1 for as many as --epochs takes")
        end
        run.features, run.steps_per_epoch = samples, math.ceil(samples / run.update_size)
        run.max_steps = values.epochs * run.steps_per_epoch
        if values.max_steps and values.max_steps > 0 then run.max_steps = math.min(run.max_steps, values.max_steps) end
        warn_of_passes(run, values)
    else
        run.max_steps = values.max_steps
    end
    if values.benchmark then
        run.start.step = 0
        run.last_step = values.benchmark_warmup_steps + values.benchmark_steps
        run.max_steps = math.max(run.max_steps or 0, run.last_step)
    else
        run.last_step = run.max_steps
        if run.start.step > run.max_steps then
            fault.raisef("%s is at step %d, but this run ends at step %d: it is of a longer run, or of another one: "
                .. "choose another --output-dir", run.start.path, run.start.step, run.max_steps)
        end
        if values.steps_this_run then
            run.last_step = math.min(run.last_step, run.start.step + values.steps_this_run)
        end
    end
    run.first_step = run.start.step + 1
    run.effective.max_steps = run.max_steps
    evaluating.resume(run)
end

--- A setting that the optimizer does not have.
local function warn_of_optimizer(run, values)
    if values.optimizer == "AdamW" and values.always_adapt == false then
        run.warnings[#run.warnings + 1] = "always_adapt has no effect: AdamW has no trust ratio"
    end
end

--- A run that would fine-tune nothing: no parameters to start from. Who names a model may want to train it from random
-- ones; who names none has forgotten it, and the default is BERT-large.
local function check_start(run, values, sources)
    if run.start.kind ~= "fresh" or values.benchmark then return end
    if not (sources.bert_model or values.config_file or values.model) then
        fault.raise("--from-pretrained-params is not set: name the model to start from (with --bert-model custom, "
            .. "unless it is bert-large-uncased); --bert-model NAME alone trains from random parameters")
    end
    run.warnings[#run.warnings + 1] = "no --from-pretrained-params: training starts from random parameters"
end

--- Settings of one schedule alone.
local function check_schedule(values)
    for name, owner in pairs { schedule_power = "polynomial", decay_proportion = "warmup_stable_decay" } do
        if values[name] and values.schedule ~= owner then
            fault.raisef("%s is for --schedule %s, but the schedule is %s", option(name), owner,
                tostring(lua_value.shown(values.schedule)))
        end
    end
end

--- The folders of files that the run writes must be there, but for those that it makes itself.
local function check_named_files(values)
    local made = values.output_dir
    named_file.check_file("--report-file", values.report_file, made)
    named_file.check_file("--trace-file", values.trace_file, made)
    local choices = values.matmul_choices
    if choices ~= "auto" and choices ~= "none" then
        named_file.check_file("--matmul-choices", choices, made)
    end
end

--- Work out a run; where epochs decide its steps, these come later, once the samples are counted: see set_steps().
-- @param task of task.define()
-- @param values resolved settings
-- @param sources where each came from, as Spec:parse returns it
-- @param size processes of the job
-- @return plan, which can be written as JSON: { phase, work, precision, amp, tf32, attention, config_file, vocab_file,
--   do_lower_case, checkpoint_dir, model_dir, results_dir, start, accumulation: micro-steps per update, update_size:
--   its sequences, effective: values of settings where they differ from what was set, first_step, last_step,
--   max_steps, steps_per_epoch, features: samples per epoch, warnings, notes; and what the task added }
function M.resolve(task, values, sources, size)
    local run = { phase = task.name, work = { train = true }, warnings = {}, notes = {}, effective = {} }
    M.need(values, "output_dir", "name the folder for checkpoints and results")
    check_named_files(values)
    if task.plan then task.plan(run, values, sources) end
    if values.model_prefix:find "/" then
        fault.raisef("--model-prefix %s: expected a name without a slash; it names a file inside the checkpoint",
            values.model_prefix)
    end
    if values.benchmark and run.work.train and (run.work.predict or run.work.evaluate) then
        fault.raise("--benchmark measures one thing: leave out either the training or the prediction")
    end
    callbacks.check(values)
    parameter_groups.check(values)
    check_schedule(values)
    if run.work.train then warn_of_optimizer(run, values) end
    evaluating.plan(task, run, values)
    callbacks.warn(values, run)
    run.tf32 = values.precision == "tf32"
    run.attention = M.attention(values)
    local folders = M.folders(task, values, run.phase)
    run.checkpoint_dir, run.model_dir, run.results_dir = folders.checkpoints, folders.model, folders.results
    local finetunes = tasks.finetunes(task)
    if run.work.train then
        run.start = M.starting_point(values, run.checkpoint_dir, run.warnings, run.notes, run.parameters)
        if finetunes then check_start(run, values, sources) end
        if not values.benchmark then
            origin.settle(run, parameters_setting(values, run.parameters), values.model_prefix)
        end
    else
        run.start = trained_parameters(values, sources, run.checkpoint_dir, run.model_dir, run.warnings, run.notes)
    end
    local resumes = run.work.train and run.start.kind == "resume"
    precision.settle(run, values, sources, resumes and began.mixed_precision(task, run.start.path) or nil)
    precision.warn(run, values, sources)
    find_files(run, values, finetunes or values.data ~= nil)
    run.accumulation = M.accumulation(values, task.batch_setting, run.warnings, size)
    run.update_size = values[task.batch_setting] * run.accumulation
    run.effective.gradient_merge_steps, run.effective.optimizer = run.accumulation, training.optimizer_family(values)
    run.effective.precision = run.tf32 and "tf32" or run.precision
    run.effective.device, run.effective.world_size = context.choose(values.device), size
    run.effective.attention, run.effective.do_lower_case = run.attention, run.do_lower_case
    -- A GPU's sums do not depend on them; products of a CPU may.
    run.effective.threads = context.device() == "cpu" and context.threads() or 0
    if run.work.train and not finetunes then M.set_steps(run, values) end
    return run
end

return M
