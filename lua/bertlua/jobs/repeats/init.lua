--- Several runs in one call: `seeds`, `folds`, `sweep`. Each is an ordinary run of the same recipe in a folder of its
-- own below OUTPUT_DIR, started as a process with the same command line and what it changes; it can be resumed alone.
--
--     OUTPUT_DIR/NAME/           what a run writes; with sweep_processes also log.txt
--     OUTPUT_DIR/NAME/run.json   its command, and what it was made with: the same call again does not repeat a run
--                                whose settings and files are the same, goes on with one that was interrupted, and
--                                refuses one that was trained otherwise, whose figures can't stand beside the others'
--     OUTPUT_DIR/folds/          the files of folds
--     OUTPUT_DIR/eval.json       figures of all runs, their mean and standard deviation, the best
--
-- Which runs there are: runs.lua; processes: processes.lua; the end: summary.lua.

local affinity = require "bertlua.affinity"
local checkpoint = require "bertlua.train.checkpoint"
local evaluation_settings = require "bertlua.jobs.common.evaluation_settings"
local fault = require "bertlua.fault"
local folds = require "bertlua.jobs.repeats.folds"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local launch = require "bertlua.distributed.launch"
local lua_value = require "bertlua.util.lua_value"
local paths = require "bertlua.paths"
local plan = require "bertlua.jobs.common.plan"
local plural = require "bertlua.util.plural"
local processes = require "bertlua.jobs.repeats.processes"
local progress = require "bertlua.util.progress"
local quote = require("bertlua.util.shell").quote
local recipe_files = require "bertlua.util.recipe_files"
local runs = require "bertlua.jobs.repeats.runs"
local storage = require "bertlua.storage"
local summary = require "bertlua.jobs.repeats.summary"
local term = require "bertlua.util.term"
local text_files = require "bertlua.data.text_files"

local M = {}

-- Settings that a resumed run compares otherwise, or not at all: what is trained, and what is only measured.
local TRAINED = { train_file = true, config_file = true, vocab_file = true, from_pretrained_params = true,
    bert_model = true, amp = true, amp_dtype = true, use_pure_fp16 = true }
local MEASURED = { dev_file = true, test_file = true, predict_file = true, mode = true, do_predict = true,
    do_eval = true, pseudo_perplexity = true }

--- The option of the setting that asks for several runs, or nil.
local function asked(values)
    for _, name in ipairs { "sweep", "seeds", "folds" } do
        if values[name] ~= nil then return "--" .. name end
    end
    return nil
end

--- Whether settings ask for several runs.
-- @param values resolved settings
-- @return boolean
function M.wanted(values)
    if asked(values) then return true end
    if values.sweep_processes then
        fault.raise "--sweep-processes is for --sweep, --seeds or --folds: give one of them, or leave it out"
    end
    return false
end

--- Whether a share of train_file is measured.
local function holds_out(values)
    return (values.dev_share or 0) > 0
end

local function check(task, values, sources, arguments)
    local option = asked(values)
    if launch.detect().size > 1 then
        fault.raisef("%s starts processes of its own, so it can't run under a launcher of several: start it alone "
            .. "(with --sweep-processes for several at once), or make one run at a time", option)
    end
    plan.need(values, "output_dir", "name the folder for the runs")
    plan.exclude(values, "seeds", "folds", "choose one of them; with --sweep each of them goes")
    local resumes = values.from_checkpoint and "--from-checkpoint"
        or type(values.last_step_of_checkpoint) == "number" and "--last-step-of-checkpoint"
    if resumes then
        fault.raisef("%s is of one run, but %s makes several, and each resumes by itself: leave it out", resumes,
            option)
    end
    if values.benchmark then fault.raisef("--benchmark measures one run: leave out %s", option) end
    local files = task.settings.by_name
    if task.flat and not values.train_file and not values.data then
        fault.raisef("%s: nothing to train on: give a --train-file", option)
    end
    if values.seeds and sources.seed == "command line" then
        fault.raise "--seed and --seeds are both set: give one of them"
    end
    if values.folds then
        if not task.folds then fault.raisef("--folds: the files of task %s can't be divided", task.name) end
        if values.data then fault.raise "--folds divides train_file, but the recipe has data: leave one of them out" end
        if values.dev_file then
            fault.raise "--folds and --dev-file are both set: each fold is the dev_file of a run; leave out --dev-file"
        end
        if values.encoding and values.test_file then
            fault.raise("--folds writes its files as UTF-8, so --encoding can't be that of --test-file too: convert "
                .. "both (iconv -t UTF-8)")
        end
    elseif values.sweep and files.dev_file and not values.dev_file and not holds_out(values) then
        fault.raise "--sweep compares figures of --dev-file: give one (or --folds)"
    elseif files.dev_file and not values.dev_file and not values.test_file and not holds_out(values) then
        fault.raise "--seeds compares figures: give a --dev-file or a --test-file"
    end
    local name = arguments[0]
    if not name or not (recipe_files.find(paths.root(), name) or paths.find("recipe", name)) then
        fault.raisef("%s starts the recipe once for each run, so it must be a file: bertlua FILE %s ...", option,
            option)
    end
end

--- The executable and the words before the recipe's own.
local function program_of(arguments)
    local words, first = { paths.program() }, 0
    while arguments[first - 1] do first = first - 1 end
    -- The first of them is the program itself.
    for i = first + 1, -1 do words[#words + 1] = arguments[i] end
    words[#words + 1] = arguments[0]
    return words
end

--- Threads of each of several processes at once; nil where they have what one has.
local function threads_of(values, at_once)
    if at_once == 1 then return nil end
    local all = values.threads > 0 and values.threads or tonumber(os.getenv "OMP_NUM_THREADS" or "") or #affinity.get()
    return math.max(1, math.floor(all / at_once))
end

--- What a run changes on the command line, as a list of {option, text}.
local function changes_of(values, run, threads)
    local list = {}
    local function add(name, text) list[#list + 1] = { "--" .. name:gsub("_", "-"), text } end
    for _, change in ipairs(run.changes) do add(change.name, change.text) end
    for _, name in ipairs { "sweep", "seeds", "folds", "sweep_processes" } do
        if values[name] ~= nil then add(name, "none") end
    end
    -- It only says by what runs are compared.
    if values.metric_for_best_model and not run.evaluates then add("metric_for_best_model", "none") end
    if run.files then
        add("train_file", run.files.train)
        add("dev_file", run.files.dev)
        if values.encoding then add("encoding", "none") end
    end
    add("output_dir", run.folder)
    add("report_file", fs.join(run.folder, "report.json"))
    for _, name in ipairs { "tensorboard_dir", "trace_file" } do
        local path = values[name]
        if path and path ~= "auto" and path ~= "none" then
            add(name, name == "trace_file" and fs.join(run.folder, fs.basename(path)) or fs.join(path, run.name))
        end
    end
    add("last_step_of_checkpoint", "auto")
    if threads then add("threads", ("%d"):format(threads)) end
    return list
end

--- What a file, a folder, or the files of a pattern hold, as text: sizes and checksums by name.
-- @param known texts by path, which grow
local function contents(path, known)
    if known[path] then return known[path] end
    local text = ""
    if fs.is_file(path) then
        local crc, bytes = storage.file_crc32c(path)
        fault.check(crc, bytes)
        text = ("%.0f bytes, CRC32C %08x"):format(bytes, crc)
    elseif fs.is_directory(path) then
        local parts = fs.list(path) or {}
        for i, name in ipairs(parts) do parts[i] = name .. " " .. contents(fs.join(path, name), known) end
        text = ("%d entries, CRC32C %08x"):format(#parts, storage.crc32c(table.concat(parts, "\n")))
    else
        -- A pattern, or several files: what is none of these is none of ours to report.
        local good, files = pcall(text_files.find, path, path)
        local parts = good and files or {}
        for i, file in ipairs(parts) do parts[i] = file .. " " .. contents(file, known) end
        if parts[1] then
            text = ("%d files, CRC32C %08x"):format(#parts, storage.crc32c(table.concat(parts, "\n")))
        end
    end
    known[path] = text
    return text
end

--- All that the figures of a run depend on, by setting, as text.
local function made_with(task, values, run, known)
    local own, made = {}, {}
    for _, change in ipairs(run.changes) do own[change.name] = { change.value } end
    if run.files then own.train_file, own.dev_file = { run.files.train }, { run.files.dev } end
    for _, setting in ipairs(task.settings.list) do
        local name = setting.name
        if not setting.passing and not setting.rounding or TRAINED[name] or MEASURED[name] then
            local value = values[name]
            if own[name] then value = own[name][1] end
            local text = value ~= nil and tostring(lua_value.identity(value)) or nil
            if setting.type == "path" and type(value) == "string" then text = text .. ": " .. contents(value, known) end
            made[name] = text
        end
    end
    return made
end

--- Names of the settings that differ, sorted.
local function differences(before, now)
    local names = {}
    for name, text in pairs(now) do
        if before[name] ~= text then names[#names + 1] = name end
    end
    for name in pairs(before) do
        if now[name] == nil then names[#names + 1] = name end
    end
    table.sort(names)
    return names
end

local function read_record(run)
    local path = fs.join(run.folder, "run.json")
    local record = fs.is_file(path) and json.read(path)
    return type(record) == "table" and record or nil
end

--- Whether an earlier call finished a run with the same settings and files; a fault if it trained with others.
local function is_finished(run)
    local earlier = read_record(run)
    local before = earlier and type(earlier.made_with) == "table" and earlier.made_with
    if not before then return false end
    local names = differences(before, run.made_with)
    for _, name in ipairs(names) do
        if not MEASURED[name] and #checkpoint.steps(run.checkpoints) > 0 then
            fault.raisef("%s was trained with another %s (%s, now %s), so its figures can't stand beside those of new "
                .. "runs: choose another --output-dir", run.folder, name, before[name] or "not set",
                run.made_with[name] or "not set")
        end
    end
    return #names == 0 and earlier.finished == true and fs.is_file(run.eval)
end

local function record(run, finished)
    fault.check(fs.write(fs.join(run.folder, "run.json"), json.encode({ finished = finished, command = run.line,
        made_with = run.made_with }, { pretty = true, order = { "finished", "command", "made_with" } }) .. "\n"))
end

--- The reason in the last lines of a log.
local function reason_in(log)
    local text = log and fs.read(log) or ""
    local last
    for line in text:sub(-4000):gmatch "[^\r\n]+" do last = line:match "^bertlua: (.*)$" or last end
    return last
end

local function shown_changes(run)
    local parts = {}
    for i, change in ipairs(run.changes) do parts[i] = ("%s %s"):format(change.name, change.shown) end
    return #parts > 0 and table.concat(parts, ", ") or run.name
end

--- The runs with their folders and commands.
local function planned(task, values, arguments)
    local list, points, varied = runs.list(task.settings, values)
    local root, at_once = values.output_dir:gsub("(.)/+$", "%1"), values.sweep_processes or 1
    local known, files, notes = {}, nil, nil
    if values.folds then files, notes = folds.write(task.folds(values), values, fs.join(root, "folds")) end
    local threads = threads_of(values, math.min(at_once, #list))
    local program = program_of(arguments)
    local evaluates = values.eval_steps or values.load_best_model_at_end or values.early_stopping_patience
    for _, run in ipairs(list) do
        run.folder, run.files, run.evaluates = fs.join(root, run.name), run.fold and files[run.fold], evaluates
        local folders = plan.folders(task, setmetatable({ output_dir = run.folder }, { __index = values }), task.name)
        run.eval, run.checkpoints = fs.join(folders.results, "eval.json"), folders.checkpoints
        run.command = { unpack(program) }
        local changes, changed = changes_of(values, run, threads), {}
        for _, change in ipairs(changes) do changed[change[1]:sub(3):gsub("-", "_")] = true end
        for _, word in ipairs(task.settings:without(arguments, changed)) do run.command[#run.command + 1] = word end
        for _, change in ipairs(changes) do
            run.command[#run.command + 1], run.command[#run.command + 2] = change[1], change[2]
        end
        local words = {}
        for i, word in ipairs(run.command) do words[i] = word:find "^[%w%./_=,:%-]+$" and word or quote(word) end
        run.line, run.made_with = table.concat(words, " "), made_with(task, values, run, known)
    end
    return { list = list, points = points, varied = varied, root = root, at_once = math.min(at_once, #list),
        notes = notes or {}, members = values.seeds and "seeds" or values.folds and "folds" or nil }
end

--- One of several devices for each place, where the environment names several.
local function device_of(slot)
    local devices = {}
    for name in (os.getenv "CUDA_VISIBLE_DEVICES" or ""):gmatch "[^,]+" do devices[#devices + 1] = name end
    if #devices < 2 then return nil end
    return { CUDA_VISIBLE_DEVICES = devices[(slot - 1) % #devices + 1] }
end

local function say(text)
    io.stdout:write(term.fit("stdout", text), "\n")
    io.stdout:flush()
end

--- Make the runs that are not finished.
-- @return signal that ended it, or nil
local function make(job)
    local waiting, several = {}, job.at_once > 1
    for _, run in ipairs(job.list) do run.finished = is_finished(run) end
    for number, run in ipairs(job.list) do
        run.number = number
        if run.finished then
            run.done = true
            say(("%s: finished by an earlier call"):format(run.name))
        else
            fault.check(fs.mkdirs(run.folder))
            run.log = several and fs.join(run.folder, "log.txt") or nil
            waiting[#waiting + 1] = run
        end
    end
    local bar = several and #waiting > 0 and progress.new { total = #waiting, label = "runs", unit = "runs" }
    if bar then bar:update(0) end
    local ended = 0
    local stopped = processes.run(waiting, {
        at_once = job.at_once,
        prepare = function(run, slot)
            if several then run.environment = device_of(slot) end
            run.before = fs.identity(run.eval)
            record(run, false)
        end,
        started = function(run)
            if not several then say(("\nRun %d of %d: %s, in %s"):format(run.number, #job.list, shown_changes(run),
                run.folder)) end
        end,
        ended = function(run, problem, told)
            local measured = fs.identity(run.eval) ~= nil and fs.identity(run.eval) ~= run.before
            if not problem and measured then
                run.done = true
                record(run, true)
            else
                run.problem = told and "interrupted" or problem and (reason_in(run.log) or problem)
                    or "its training is not finished"
            end
            ended = ended + (run.problem == "interrupted" and 0 or 1)
            if bar then
                bar:clear()
                say(("%s: %s"):format(run.name, run.done and "finished" or run.problem))
                bar:update(ended)
            elseif run.problem then
                say(("%s: %s"):format(run.name, run.problem))
            end
        end,
    })
    if bar then bar:finish() end
    if stopped then
        say(("%s: %d of %s not finished; the same command goes on"):format(stopped, summary.count_open(job.list),
            plural.count(#job.list, "run")))
    end
    return stopped
end

--- Make all runs, and compare them.
-- @param task of jobs/common/task.lua
-- @param values resolved settings
-- @param sources where each came from
-- @param arguments the recipe's `arg`
-- @return outcome: status "finished" or "interrupted" (then signal); runs: list of {name, folder, figures}, mean,
--   deviation, best: name of the best run of a sweep, file: OUTPUT_DIR/eval.json
function M.run(task, values, sources, arguments)
    check(task, values, sources, arguments)
    if values.evaluate then evaluation_settings.table_of(values, true) end
    local choice = summary.choice(task, values)
    local job = planned(task, values, arguments)
    say(("%s in %s%s"):format(plural.count(#job.list, "run"), job.root,
        job.at_once > 1 and (", %d at once"):format(job.at_once) or ", one after another"))
    for _, line in ipairs(job.notes) do say("warning: " .. line) end
    local stopped = make(job)
    if stopped then return { status = "interrupted", signal = stopped } end
    return summary.finish(job, choice)
end

return M
