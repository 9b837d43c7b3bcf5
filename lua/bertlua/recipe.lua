--- What a recipe file calls: one line of glue for each kind of job.
--
-- A recipe is a table of settings; everything in it can be overridden on the
-- command line, and --help shows the recipe's own values. Exit codes: 0 done,
-- 1 a fault in the user's input, 128 + signal number when a signal ended the
-- run after a final checkpoint (130 SIGINT, 143 SIGTERM, 138 SIGUSR1, 129 SIGHUP,
-- 141 SIGPIPE). At the prompt Ctrl-C ends the run only: the recipe returns its
-- outcome.

local lfs = require "lfs"

local devices = require "bertlua.jobs.common.devices"
local fault = require "bertlua.fault"
local launch = require "bertlua.distributed.launch"
local leave = require "bertlua.leave"
local model_choice = require "bertlua.jobs.common.model_choice"
local paths = require "bertlua.paths"
local repeats = require "bertlua.jobs.repeats"
local tasks = require "bertlua.jobs.common.task"
local term = require "bertlua.util.term"

local M = {}

local EXIT_CODES = { SIGINT = 130, SIGTERM = 143, SIGUSR1 = 138, SIGHUP = 129, SIGPIPE = 141 }

--- In a line, for who looks at the outcome at the prompt: its fields hold the rest.
local function summary(outcome)
    local where = outcome.model or outcome.checkpoint
    return ("%s%s%s%s"):format(outcome.status,
        outcome.status == "interrupted" and outcome.signal and (" by %s"):format(outcome.signal) or "",
        outcome.step and (" at step %d"):format(outcome.step) or "", where and (": %s"):format(where) or "")
end

--- End the program with the exit code of an interrupted run; return otherwise, and at the prompt after Ctrl-C.
-- The outcome is also kept in leave.outcome, for `:run` at the prompt.
function M.finish(outcome)
    if outcome.status == "interrupted" and not (leave.at_prompt and outcome.signal == "SIGINT") then
        require("bertlua.comm").leave()
        os.exit(EXIT_CODES[outcome.signal] or 1, true)
    end
    if not getmetatable(outcome) then setmetatable(outcome, { __tostring = summary }) end
    leave.outcome = outcome
    return outcome
end

local function program()
    return arg and arg[0] or "RECIPE"
end

--- Print the settings before the run, once its device has been opened; rank 0 of a job prints them for all.
local function show(spec, values, sources)
    devices.open(values)
    local wanted = values.show_config
    if wanted and launch.detect().rank == 0 then
        local columns = term.is_terminal "stdout" and term.columns "stdout" or nil
        io.stdout:write(spec:format(values, wanted ~= "all" and sources or nil, columns), "\n")
        -- So that they come before any later error message, even in a file.
        io.stdout:flush()
    end
end

--- The task of a name; a fault that lists the tasks if there is none.
local function task_of(name)
    local module = ("bertlua.jobs.%s.task"):format(name)
    if package.loaded[module] or package.searchpath(module, package.path) then return require(module) end
    local folder, names = paths.root() .. "/lua/bertlua/jobs", {}
    for job in lfs.dir(folder) do
        if lfs.attributes(("%s/%s/task.lua"):format(folder, job), "mode") == "file" and job ~= "common" then
            names[#names + 1] = job
        end
    end
    table.sort(names)
    fault.raisef("recipe.run: there is no task %s, expected %s, or a table", name, table.concat(names, ", "))
end

--- Run a task: train, predict, evaluate, depending on its settings.
-- @param task the name of one in lua/bertlua/jobs, such as "classify", or a table of jobs/common/task.lua
-- @param settings the recipe's values for its settings
-- @param description for --help
function M.run(task, settings, description)
    if type(task) == "string" then task = task_of(task) end
    local values, sources = task.settings:parse(arg or {}, settings, { program = program(), description = description })
    model_choice.settle(values, sources)
    if tasks.finetunes(task) and repeats.wanted(values) then
        return M.finish(repeats.run(task, values, sources, arg or {}))
    end
    show(task.settings, values, sources)
    return M.finish(require("bertlua.jobs.common.runner").run(task, values, sources))
end

--- Pre-train one phase.
-- @param settings the recipe's values for settings of bertlua.jobs.pretrain.settings
-- @param description for --help
function M.pretrain(settings, description)
    return M.run("pretrain", settings, description)
end

--- Pre-train phase 1 and then phase 2, which starts from the parameters phase 1 ended with.
-- Settings that may differ between the phases carry the prefix phase1_ or phase2_.
-- @param settings { common = {...}, phase1 = {...}, phase2 = {...} }
-- @param description for --help
function M.pretrain_phases(settings, description)
    local phases = require "bertlua.jobs.pretrain.phases"
    local spec = phases.spec()
    local values, sources = spec:parse(arg or {}, phases.flatten(settings),
        { program = program(), description = description })
    model_choice.settle(values, sources)
    show(spec, values, sources)
    return M.finish(phases.run(values, sources))
end

--- Measure a checkpoint on shards: MLM and NSP loss and accuracy.
function M.evaluate(settings, description)
    local job = require "bertlua.jobs.pretrain.evaluate"
    local values = job.settings:parse(arg or {}, settings, { program = program(), description = description })
    return job.run(values)
end

--- Guess the words in place of [MASK].
function M.fill_mask(settings, description)
    local job = require "bertlua.jobs.pretrain.fill_mask"
    local values = job.settings:parse(arg or {}, settings, { program = program(), description = description,
        positional = { name = "text", help = "sentences with [MASK]; none: read from standard input" } })
    return job.run(values)
end

--- Fine-tune on SQuAD, answer questions, evaluate.
-- @param settings the recipe's values for settings of bertlua.jobs.squad.settings
-- @param description for --help
function M.finetune_squad(settings, description)
    return M.run("squad", settings, description)
end

--- Answer one question from a context.
function M.answer(settings, description)
    local job = require "bertlua.jobs.squad.ask"
    local values = job.settings:parse(arg or {}, settings, { program = program(), description = description })
    return job.run(values)
end

--- Open a pre-trained model, for use beside the one that a recipe trains: a teacher. To be called by functions of the
-- recipe; before, no device is open. It takes memory that the run's memory plan does not count.
-- @param path a checkpoint, a folder of checkpoints, or a folder of transformers
-- @param options {precision = "fp32", model_prefix = "model"}: in a loss, model.store.precision
-- @return model with logits(tape, batch), forward(tape, batch), config; see models/bert.lua
function M.load(path, options)
    if type(path) ~= "string" then
        fault.raisef("recipe.load: got %s, expected the folder of a model", tostring(path))
    end
    options = options or {}
    local opened = require("bertlua.jobs.pretrain.checkpoint_model").open(path, { precision = options.precision,
        model_prefix = options.model_prefix, shown = "recipe.load" })
    return opened.model
end

--- Run a job that neither trains nor measures a model.
-- @param name of the job below lua/bertlua/jobs, such as "corpus.tokenize"
-- @param settings the recipe's values for its settings
-- @param description for --help
function M.main(name, settings, description)
    return require("bertlua.jobs." .. name).main(settings, description)
end

--- The demo, from raw text to guesses.
function M.demo(settings, description)
    local job = require "bertlua.jobs.demo.demo"
    local values = job.settings:parse(arg or {}, settings, { program = program(), description = description })
    return M.finish(job.run(values))
end

return M
