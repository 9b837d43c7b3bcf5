--- What a pre-training run will do, worked out from its settings before
-- anything is allocated: phase, precision, files, and where to start from.
--
-- All rules between settings live here, each broken rule is one fault. What a
-- single setting accepts does not belong here: see jobs/pretrain/settings.lua.

local checkpoint = require "bertlua.train.checkpoint"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local paths = require "bertlua.paths"

local M = {}

local function option(name)
    return "--" .. name:gsub("_", "-")
end

function M.need(values, name, why)
    if values[name] == nil then fault.raisef("%s is not set: %s", option(name), why) end
end

function M.exclude(values, a, b, why)
    if values[a] and values[b] then fault.raisef("%s and %s are both set: %s", option(a), option(b), why) end
end

local function phase_of(values)
    M.exclude(values, "phase1", "phase2", "a run is one of them; recipes/pretrain.lua does both in a row")
    if values.phase1 then return "phase1" end
    if values.phase2 then return "phase2" end
    fault.raise("neither --phase1 nor --phase2 is set: say which phase to run")
end

--- "fp32", "bf16" or "fp16".
function M.precision(values, sources)
    local on_cpu = context.choose(values.device) == "cpu"
    if values.use_pure_fp16 and on_cpu then
        fault.raise("--use-pure-fp16 needs a GPU: on the CPU use --amp, which keeps fp32 master weights")
    end
    if values.precision == "tf32" and on_cpu then
        fault.raise("--precision tf32 needs a GPU: on the CPU use fp32 or --amp")
    end
    if values.use_pure_fp16 then
        if values.precision and values.precision ~= "amp" then
            fault.raisef("--use-pure-fp16 and --precision %s contradict each other: give one of them", values.precision)
        end
        return "fp16"
    end
    local amp = values.amp
    if values.precision then
        local wanted = values.precision == "amp"
        if sources.amp == "command line" and amp ~= wanted then
            fault.raisef("--amp %s and --precision %s contradict each other: give one of them", tostring(amp),
                values.precision)
        end
        amp = wanted
    end
    return amp and values.amp_dtype or "fp32"
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

--- Micro-steps in an update, of all processes together. Settings made for another number of processes than there are
-- keep their global batch.
-- @param size processes of the job (1)
function M.accumulation(values, warnings, size)
    size = size or 1
    local wanted = values.world_size or size
    local micro_steps = values.gradient_merge_steps * wanted
    if micro_steps % size ~= 0 then
        fault.raisef("--world-size %d with --gradient-merge-steps %d makes %d micro-steps an update, which do not "
            .. "divide among %d processes: leave out --world-size, or choose a multiple of %d", wanted,
            values.gradient_merge_steps, micro_steps, size, size)
    end
    if wanted ~= size then
        warnings[#warnings + 1] = ("these settings are for %d processes and this run has %d: gradient_merge_steps is "
            .. "%d instead of %d, so that an update still sees %d sequences"):format(wanted, size, micro_steps / size,
            values.gradient_merge_steps, micro_steps * values.batch_size)
    end
    return micro_steps
end

local function no_file(shown, path)
    fault.raisef("%s %s: %s", shown, path, fs.is_directory(path) and "is a folder, expected a file" or "no such file")
end

--- Config and vocabulary of the model: given, or found by the model's name.
function M.model_files(values)
    local config_file, vocab_file = values.config_file, values.vocab_file
    if not config_file then
        if values.bert_model == "custom" then
            fault.raise("--bert-model custom needs --config-file: a JSON file like those in bert_configs/")
        end
        config_file = paths.find("config", values.bert_model .. ".json")
        if not config_file then fault.raisef("bert_configs/%s.json is missing", values.bert_model) end
    elseif not fs.is_file(config_file) then
        no_file("--config-file", config_file)
    end
    if vocab_file and not fs.is_file(vocab_file) then
        no_file("--vocab-file", vocab_file)
    elseif not vocab_file and values.bert_model ~= "custom" then
        vocab_file = paths.find("vocab", values.bert_model .. "-vocab.txt")
    end
    return config_file, vocab_file
end

--- Where the checkpoints of a phase go.
function M.checkpoint_dir(values, phase)
    return ("%s/%s/%s"):format((values.output_dir:gsub("(.)/+$", "%1")), values.bert_model, phase)
end

local function joined(list)
    local words = {}
    for i, value in ipairs(list) do words[i] = ("%d"):format(value) end
    return table.concat(words, ", ")
end

--- Where to go on from, as {path=, step=}, or nil to start afresh.
function M.resume_point(values, own_dir, warnings)
    local wanted, given = values.last_step_of_checkpoint, values.from_checkpoint
    if wanted == "none" and not given then return nil end
    if given and not fs.is_directory(given) then
        fault.raisef("--from-checkpoint %s: no such folder: correct it, or leave it out to look in %s", given, own_dir)
    end
    local dir = given or own_dir
    if wanted == "auto" then
        if given and checkpoint.is_complete(given) then
            return { path = given, step = checkpoint.progress(given).step }
        end
        local path, step, note = checkpoint.latest(dir)
        if note then warnings[#warnings + 1] = note end
        if path then return { path = path, step = step } end
        warnings[#warnings + 1] = ("no checkpoint in %s: starting from step 1"):format(dir)
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
        if #steps == 0 then fault.raisef("--from-checkpoint %s: this folder holds no complete checkpoint", given) end
        fault.raisef("--from-checkpoint %s holds steps %s: add --last-step-of-checkpoint auto, or one of them", given,
            joined(steps))
    end
    for _, step in ipairs(steps) do
        if step == wanted then return { path = ("%s/%d"):format(dir, step), step = step } end
    end
    fault.raisef("--last-step-of-checkpoint %d: %s holds %s", wanted, dir,
        #steps > 0 and "the complete steps " .. joined(steps) or "no complete checkpoint")
end

--- A folder or file to take parameters from; a folder of steps means its newest.
function M.parameter_folder(values, name)
    local dir = values[name]
    if name == "from_phase1_final_params" and dir == "auto" then dir = M.checkpoint_dir(values, "phase1") end
    if checkpoint.has_parameters(dir, values.model_prefix) then return dir end
    if not fs.is_directory(dir) then fault.raisef("%s %s: no such folder or file", option(name), dir) end
    local path = checkpoint.latest(dir)
    if not path then
        fault.raisef("%s %s: neither a %s.safetensors nor a pytorch_model.bin, .pdparams or complete checkpoint inside",
            option(name), dir, values.model_prefix)
    end
    return path
end

--- Where parameters and state come from: {kind = "fresh"|"resume"|"parameters", path=, step=}.
function M.starting_point(values, phase, own_dir, warnings)
    M.exclude(values, "from_checkpoint", "from_pretrained_params",
        "the first restores the whole run, the second the parameters only")
    M.exclude(values, "from_pretrained_params", "from_phase1_final_params", "both name the parameters to start with")
    if values.from_phase1_final_params and phase ~= "phase2" then
        fault.raise("--from-phase1-final-params is for --phase2: phase 1 starts with --from-pretrained-params")
    end
    local resume = M.resume_point(values, own_dir, warnings)
    if resume then return { kind = "resume", path = resume.path, step = resume.step } end
    local steps = values.benchmark and {} or checkpoint.steps(own_dir)
    if #steps > 0 then
        fault.raisef("%s already holds checkpoints up to step %d: go on with --last-step-of-checkpoint auto, or choose "
            .. "another --output-dir", own_dir, steps[#steps])
    end
    for _, name in ipairs { "from_pretrained_params", "from_phase1_final_params" } do
        if values[name] then return { kind = "parameters", path = M.parameter_folder(values, name), step = 0 } end
    end
    return { kind = "fresh", step = 0 }
end

--- Work out a run.
-- @param values resolved settings
-- @param sources where each came from, as Spec:parse returns it
-- @param size processes of the job (1)
-- @return { phase, precision, config_file, vocab_file, checkpoint_dir, start, first_step, last_step, max_steps,
--   accumulation, warnings }
function M.resolve(values, sources, size)
    local plan = { warnings = {} }
    plan.phase = phase_of(values)
    M.need(values, "input_dir", "name the folder that holds the HDF5 shards")
    M.need(values, "output_dir", "name the folder for checkpoints")
    if values.benchmark then
        plan.last_step = values.benchmark_warmup_steps + values.benchmark_steps
        plan.max_steps = math.max(values.max_steps or 0, plan.last_step)
    else
        M.need(values, "max_steps", "say how many updates the schedule has")
        plan.max_steps = values.max_steps
    end
    if not fs.is_directory(values.input_dir) then fault.raisef("--input-dir %s: no such folder", values.input_dir) end
    if values.model_prefix:find "/" then
        fault.raisef("--model-prefix %s: expected a name without a slash; it names a file inside the checkpoint",
            values.model_prefix)
    end
    plan.precision, plan.tf32 = M.precision(values, sources or {}), values.precision == "tf32"
    plan.attention = M.attention(values)
    plan.config_file, plan.vocab_file = M.model_files(values)
    plan.checkpoint_dir = M.checkpoint_dir(values, plan.phase)
    plan.start = M.starting_point(values, plan.phase, plan.checkpoint_dir, plan.warnings)
    if values.benchmark then
        plan.start.step = 0
    elseif plan.start.step > plan.max_steps then
        fault.raisef("%s is at step %d, but --max-steps is %d", plan.start.path, plan.start.step, plan.max_steps)
    end
    plan.first_step = plan.start.step + 1
    plan.last_step = plan.last_step or plan.max_steps
    plan.accumulation = M.accumulation(values, plan.warnings, size)
    if values.steps_this_run and not values.benchmark then
        plan.last_step = math.min(plan.last_step, plan.start.step + values.steps_this_run)
    end
    return plan
end

return M
