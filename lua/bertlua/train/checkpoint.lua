--- Checkpoints: <root>/<step>/ with everything a run needs to resume exactly.
--
--     model.safetensors      parameters under Hugging Face's names, true vocabulary size
--     optimizer.safetensors  m.<name>, v.<name>, scalars
--     config.json, vocab.txt so that transformers opens the folder as it is
--     progress.json          step, what the run began with, casing, and size and CRC32C of the files above
--                            (train/progress_file.lua)
--
-- What a run goes on from are the tensors: config.json and vocab.txt are copies, so a checkpoint whose copies were
-- edited or lost is still one, and loading it says so.
--
-- A checkpoint is written into a hidden folder next to it, synced and renamed,
-- so an integer-named folder is complete even after a power failure. The newest
-- three are kept, and the best, if the run keeps one; others are removed only
-- once the new one is in place. State that holds an inf or NaN is neither saved nor
-- resumed from (train/finite.lua).
-- @module bertlua.train.checkpoint

local signal = require "posix.signal"
local unistd = require "posix.unistd"

local fault = require "bertlua.fault"
local Ranks = require "bertlua.train.ranks"
local checksums = require "bertlua.weights.checksums"
local files = require "bertlua.train.checkpoint_files"
local finite = require "bertlua.train.finite"
local folder = require "bertlua.weights.folder"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local progress_file = require "bertlua.train.progress_file"
local storage = require "bertlua.storage"
local term = require "bertlua.util.term"
local vocabulary = require "bertlua.weights.vocabulary"
local weights = require "bertlua.train.weights"

local checkpoint = {}

--- The newest checkpoints that stay.
checkpoint.KEEP = 3

--- Whether a parameter belongs to a head: what a task adds on top of the encoder, including the pooler.
local function is_head(name)
    return not name:find "^bert%.embeddings%." and not name:find "^bert%.encoder%."
end
checkpoint.is_head = is_head

local function model_file(prefix)
    return (prefix or "model") .. ".safetensors"
end

--- "6" -> 6; nil for any other folder name.
local function step_of(name)
    return name:match "^%d+$" and tonumber(name) or nil
end

--- progress.json of a checkpoint: table; or nil, reason.
checkpoint.progress = progress_file.read

--- Whether a folder holds a complete checkpoint, judging by the names and sizes of its files but the copies.
-- @return true; or false, reason
function checkpoint.is_complete(path)
    if not fs.is_directory(path) then return false, path .. ": no such folder" end
    if not fs.is_file(path .. "/progress.json") then return false, "progress.json is missing" end
    local progress, reason = checkpoint.progress(path)
    if not progress then return false, reason end
    local step = step_of(fs.basename(path))
    if step and step ~= progress.step then
        return false, ("progress.json is for step %s"):format(progress.step)
    end
    for name, record in pairs(progress.files) do
        local problem = not files.is_copy(name) and files.size_problem(path, name, record)
        if problem then return false, problem end
    end
    return true
end

--- is_complete, and also that every byte of every file but the copies is as it was written.
-- @return true, list of what is wrong with copies, sorted; or false, reason
function checkpoint.verify(path)
    local ok, reason = checkpoint.is_complete(path)
    if not ok then return false, reason end
    local problem, altered = files.compare(path, checkpoint.progress(path).files)
    if problem then return false, problem end
    return true, altered
end

--- verify, and also that nothing in it is an inf or NaN: fit to go on from.
local function is_sound(path)
    local ok, reason = checkpoint.verify(path)
    if not ok then return false, reason end
    for name in pairs(checkpoint.progress(path).files) do
        local bad = name:find "%.safetensors$" and finite.find_in_file(path .. "/" .. name)
        if bad then return false, ("%s: %s holds an inf or NaN"):format(name, bad) end
    end
    return true
end

--- All integers that name a folder in root, ascending.
local function numbered(root)
    local list = {}
    for _, name in ipairs(fs.is_directory(root) and fs.list(root) or {}) do
        local step = step_of(name)
        if step and fs.is_directory(root .. "/" .. name) then list[#list + 1] = { step = step, name = name } end
    end
    table.sort(list, function(a, b) return a.step < b.step end)
    return list
end

--- Steps of the complete checkpoints in root, ascending.
function checkpoint.steps(root)
    local steps = {}
    for _, entry in ipairs(numbered(root)) do
        if checkpoint.is_complete(root .. "/" .. entry.name) then steps[#steps + 1] = entry.step end
    end
    return steps
end

--- Why nothing in root can be gone on from, though there are folders of steps; nil if there is a complete checkpoint,
-- or no folder of a step at all.
function checkpoint.unusable(root)
    local reasons = {}
    for _, entry in ipairs(numbered(root)) do
        local path = root .. "/" .. entry.name
        local ok, reason = checkpoint.is_complete(path)
        if ok then return nil end
        reasons[#reasons + 1] = ("%s (%s)"):format(path, reason)
    end
    return #reasons > 0 and ("none of the checkpoints in %s can be used: %s"):format(root,
        table.concat(reasons, "; ")) or nil
end

--- Whether a path leads to a model's parameters, including those written by another program.
function checkpoint.has_parameters(path, model_prefix)
    return folder.find(path, model_prefix) ~= nil
end

local function is_alive(pid)
    local ok, _, code = signal.kill(pid, 0)
    -- Not permitted: it exists and belongs to somebody else.
    return ok ~= nil or code == require("posix.errno").EPERM
end

-- What could not be removed, once each.
local told = {}

--- Remove what is no longer needed. That it stays must not end a run: a warning says so.
local function discard(path)
    local ok, reason = fs.remove(path)
    if ok or told[path] then return end
    told[path] = true
    term.warn(("%s: cannot be removed: %s; remove it by hand"):format(path, reason))
end

--- Clean up after an interrupted save: half-written folders are removed, and a checkpoint that was
-- moved aside to be replaced is restored if its replacement never arrived.
function checkpoint.clean(root)
    for _, name in ipairs(fs.is_directory(root) and fs.list(root) or {}) do
        local kind, step, pid = name:match "^%.(%a+)%-(%d+)%-(%d+)$"
        pid = tonumber(pid)
        if (kind == "tmp" or kind == "old") and (pid == unistd.getpid() or not is_alive(pid)) then
            local path, final = root .. "/" .. name, root .. "/" .. step
            if kind == "old" and not fs.exists(final) and checkpoint.is_complete(path) then
                fault.check(fs.rename(path, final))
            else
                discard(path)
            end
        end
    end
end

--- The newest checkpoint in root that is complete, undamaged and finite.
-- @tparam string root folder of one phase
-- @return path, step, note: nil, nil if there is none; note is nil, or one line on what was skipped and why. None
--   with a note means that there are checkpoints, but all are damaged.
function checkpoint.latest(root)
    checkpoint.clean(root)
    local skipped = {}
    local entries = numbered(root)
    for i = #entries, 1, -1 do
        local path = root .. "/" .. entries[i].name
        local ok, reason = is_sound(path)
        if ok then
            local note
            if #skipped > 0 then
                note = ("skipped %s; resuming from %s"):format(table.concat(skipped, "; "), path)
            end
            return path, entries[i].step, note
        end
        skipped[#skipped + 1] = ("%s (%s)"):format(path, reason)
    end
    return nil, nil, #skipped > 0 and "none of the checkpoints in " .. root .. " can be used: "
        .. table.concat(skipped, "; ") or nil
end

--- The checkpoint whose model stands for a run: the one it keeps as the best, else the newest.
-- @return path, step, note as of latest(); by: the metric by which it is the best, nil for the newest
function checkpoint.preferred(root)
    local newest, step, note = checkpoint.latest(root)
    local state = newest and checkpoint.progress(newest).evaluation
    if type(state) == "table" and state.kept and type(state.best_step) == "number" and state.best_step ~= step then
        local path = ("%s/%d"):format(root, state.best_step)
        local ok, reason = is_sound(path)
        if ok then return path, state.best_step, note, state.metric end
        note = ("%s%s has the best %s, but %s; using %s"):format(note and note .. "; " or "", path, state.metric,
            reason, newest)
    end
    return newest, step, note
end

local function config_table(config, with_labels)
    return type(config.to_table) == "function" and config:to_table(with_labels) or config
end

local function in_file_order(list)
    local sorted = {}
    for i, item in ipairs(list) do sorted[i] = item end
    table.sort(sorted, function(x, y) return x.name < y.name end)
    return sorted
end

--- What model and optimizer files hold. Where state is divided among ranks, every rank must fetch every item, in the
-- same order, even if rank 0 fails to write its file: drain() fetches the rest.
local function contents_of(parts)
    local contents, fetches, done = { model = weights.parameters(parts.store) }, {}, 0
    local optimizer = parts.optimizer
    if optimizer then
        contents.optimizer = weights.state(parts.store, optimizer.m, "m.", optimizer.gatherer)
        for _, item in ipairs(weights.state(parts.store, optimizer.v, "v.", optimizer.gatherer)) do
            table.insert(contents.optimizer, item)
        end
        table.insert(contents.optimizer, { name = "scalars", tensor = optimizer.scalars })
    end
    for _, kind in ipairs { "model", "optimizer" } do
        for _, item in ipairs(in_file_order(contents[kind] or {})) do
            if item.fetch then
                local fetch = item.fetch
                fetches[#fetches + 1] = fetch
                item.fetch = function()
                    done = done + 1
                    return fetch()
                end
            end
        end
    end
    if parts.store.gatherer then parts.store.gatherer:restart() end
    function contents.drain()
        for i = done + 1, #fetches do fetches[i]() end
    end
    return contents
end

--- Run write(contents) on rank 0, which alone writes files; the other ranks help to collect what they hold.
-- A fault is raised on all ranks.
local function collect(parts, write)
    local ranks = parts.ranks or Ranks.new { rank = 0, size = 1 }
    ranks:together(function()
        local contents, ok, problem = contents_of(parts), true, nil
        if ranks.main then ok, problem = pcall(write, contents) end
        contents.drain()
        if not ok then error(problem, 0) end
    end)
end

--- The files of a model folder that transformers reads.
local function write_model(path, parts, items)
    fault.check(storage.save(path .. "/" .. model_file(parts.model_prefix), items,
        { format = "pt", writer = "bertlua " .. storage.engine_version() }))
    if parts.config then
        local values = {}
        for key, value in pairs(config_table(parts.config, parts.store.labeled)) do values[key] = value end
        values.architectures = { parts.store.architecture or "BertModel" }
        fault.check(fs.write(path .. "/config.json", json.encode(values, { pretty = true }) .. "\n"))
    end
    if parts.vocab_file then fault.check(vocabulary.copy(parts.vocab_file, path .. "/vocab.txt")) end
end

--- Write tokenizer_config.json.
local function write_tokenizer(path, values)
    fault.check(fs.write(path .. "/tokenizer_config.json", json.encode(values, { pretty = true }) .. "\n"))
end

--- In a checkpoint, how its vocabulary cuts text is recorded only where it is not as in Google's reference.
local function write_unusual_tokenizer(path, parts)
    if not parts.vocab_file then return end
    local lower = parts.progress and parts.progress.do_lower_case
    if lower == nil then lower = vocabulary.recorded_casing(parts.vocab_file) end
    if lower == nil then lower = vocabulary.casing(parts.vocab_file) ~= false end
    local config = vocabulary.config_of(parts.vocab_file, lower)
    if not next(config) then return end
    config.tokenizer_class, config.do_lower_case = "BertTokenizer", lower
    write_tokenizer(path, config)
end

--- Whose checkpoints an optimizer can resume from.
local function family_of(optimizer)
    return optimizer.family or optimizer.kind
end

local function write_optimizer(path, parts, items)
    fault.check(storage.save(path .. "/optimizer.safetensors", items,
        { optimizer = family_of(parts.optimizer) or "unknown" }))
end

--- Write progress.json, last: it vouches for the other files.
local function write_progress(path, step, parts)
    local progress = {}
    for key, value in pairs(parts.progress or {}) do progress[key] = value end
    progress.step = step
    if parts.optimizer and parts.optimizer.stats then
        local stats = parts.optimizer:stats()
        progress.loss_scale, progress.updates, progress.skipped = stats.loss_scale, stats.step, stats.skipped
    end
    if parts.vocab_file then
        progress.vocabulary_sha256 = vocabulary.sha256(path .. "/vocab.txt")
        -- Training sees only ids; if nobody stated the casing of the text they came from, the vocabulary shows it.
        if progress.do_lower_case == nil then progress.do_lower_case = vocabulary.casing(path .. "/vocab.txt") end
    end
    progress_file.write(path, progress)
end

--- Write a checkpoint without optimizer into a folder of any name, synced; for conversions.
-- @tparam string path created if missing; should be empty
-- @tparam number step
-- @tparam table parts store, config, vocab_file, progress, model_prefix as in save
function checkpoint.write(path, step, parts)
    fault.check(fs.mkdirs(path))
    write_model(path, parts, weights.parameters(parts.store))
    write_unusual_tokenizer(path, parts)
    write_progress(path, step, parts)
    fault.check(fs.sync(path))
end

--- Give the finished folder its name, replacing a checkpoint of the same step.
local function install(root, temporary, step)
    local final = ("%s/%d"):format(root, step)
    local aside
    if fs.exists(final) then
        aside = ("%s/.old-%d-%d"):format(root, step, unistd.getpid())
        fault.check(fs.rename(final, aside))
    end
    fault.check(fs.rename(temporary, final))
    if aside then discard(aside) end
    return final
end

--- Remove all but the newest `keep` complete checkpoints and the best. They are renamed first, so that none is seen
-- half-removed.
local function prune(root, keep, saved, best)
    local complete = checkpoint.steps(root)
    local oldest_kept = complete[math.max(1, #complete - keep + 1)]
    for _, entry in ipairs(numbered(root)) do
        local path, step = root .. "/" .. entry.name, entry.step
        if step < oldest_kept and step ~= saved and step ~= best and fs.exists(path .. "/progress.json") then
            local hidden = ("%s/.tmp-%d-%d"):format(root, entry.step, unistd.getpid())
            local renamed, reason = fs.rename(path, hidden)
            if renamed then
                discard(hidden)
            elseif not told[path] then
                told[path] = true
                term.warn(("%s; an old checkpoint stays: remove it by hand"):format(reason))
            end
        end
    end
end

local function save(root, step, parts, contents)
    fault.check(fs.mkdirs(root))
    checkpoint.clean(root)
    local temporary = ("%s/.tmp-%d-%d"):format(root, step, unistd.getpid())
    fault.check(fs.mkdirs(temporary))
    local ok, problem = pcall(function()
        write_model(temporary, parts, contents.model)
        write_unusual_tokenizer(temporary, parts)
        if parts.optimizer then write_optimizer(temporary, parts, contents.optimizer) end
        write_progress(temporary, step, parts)
        fault.check(fs.sync(temporary))
        install(root, temporary, step)
    end)
    if not ok then
        if fs.exists(temporary) then fs.remove(temporary) end
        if not fault.is(problem) then error(problem, 0) end
        local newest = checkpoint.steps(root)
        local left = #newest > 0 and ("; the checkpoint of step %d is intact"):format(newest[#newest]) or ""
        fault.raisef("checkpoint of step %d was not saved: %s%s", step, fault.message(problem), left)
    end
    prune(root, parts.keep or checkpoint.KEEP, step, parts.best)
end

--- Refuse to save a state that no run can go on from; on all ranks, whichever holds it.
local function require_finite(root, step, parts)
    local ranks = parts.ranks or Ranks.new { rank = 0, size = 1 }
    ranks:together(function()
        local what = finite.find(parts)
        if not what then return end
        local newest = checkpoint.steps(root)
        fault.raisef("checkpoint of step %d was not saved: %s holds an inf or NaN; lower --learning-rate or lengthen "
            .. "--warmup-proportion, and %s", step, what, #newest > 0
            and ("resume from the checkpoint of step %d, the last that was saved"):format(newest[#newest])
            or "start again: no checkpoint has been saved yet")
    end)
end

--- Save a checkpoint. Throws a fault on failure; nothing half-written is left and older checkpoints stay.
-- Every rank of a job calls it, rank 0 writes, and all continue once the checkpoint is in place. What holds an inf or
-- NaN is not saved.
-- @tparam string root folder of one phase; created if missing
-- @tparam number step
-- @tparam table parts store; optimizer, config (BertConfig or table), vocab_file: may be nil;
--   progress: table for progress.json; model_prefix ("model"); keep (3): newest checkpoints that stay;
--   best: step of one that stays besides; ranks: of the job, nil for one process
-- @treturn string the checkpoint's path
function checkpoint.save(root, step, parts)
    if type(step) ~= "number" or step < 0 or step % 1 ~= 0 then
        error("checkpoint.save: step is " .. tostring(step) .. ", expected an integer from 0", 2)
    end
    require_finite(root, step, parts)
    collect(parts, function(contents) save(root, step, parts, contents) end)
    return ("%s/%d"):format(root, step)
end

--- Zero the vocabulary's padding rows, which no file holds.
local function clear_padding(store)
    for _, entry in ipairs(store.list) do
        local stored = entry.stored_dims
        if entry.value and stored and stored[1] < entry.dims[1] then
            entry.value:slice(1, stored[1] + 1, entry.dims[1]):fill(0)
        end
    end
end

--- Whether the run that a checkpoint is of kept some parameters as they were.
local function had_frozen(progress)
    local settings = type(progress.began) == "table" and progress.began.settings
    -- It stood beside the step in older versions.
    return progress.freeze ~= nil or type(settings) == "table" and settings.freeze ~= nil
end

--- The plan to read an optimizer's state. What was frozen in the checkpoint has none there and begins at zero; what is
-- frozen now keeps none.
-- @param progress of the checkpoint, or nil
local function load_optimizer(path, parts, progress)
    local optimizer = parts.optimizer
    local file_path = path .. "/optimizer.safetensors"
    if not fs.is_file(file_path) then
        fault.raisef("%s is missing: to start a new run from these parameters use --from-pretrained-params", file_path)
    end
    local file = weights.open(file_path)
    local kind = file:metadata().optimizer
    local family = family_of(optimizer)
    if family and kind ~= family then
        fault.raisef("%s: holds the state of %s, but this run uses %s: set the same optimizer", file_path,
            tostring(kind), family)
    end
    local wanted = weights.state(parts.store, optimizer.m, "m.", optimizer.gatherer)
    for _, item in ipairs(weights.state(parts.store, optimizer.v, "v.", optimizer.gatherer)) do
        wanted[#wanted + 1] = item
    end
    wanted[#wanted + 1] = { name = "scalars", dims = optimizer.scalars:dims(), tensor = optimizer.scalars }
    local store, was_frozen = parts.store, had_frozen(progress or {})
    local plan = weights.match(file, wanted, file_path, {
        missing = function(name) return was_frozen and name ~= "scalars" end,
        unexpected = function(name)
            local entry = store:get(name:sub(3))
            return entry and entry.frozen or false
        end,
    })
    return file, plan
end

--- Whether this is the first rank of its machine.
local function is_first_here(parts)
    return not parts.ranks or parts.ranks.comm.local_rank == 0
end

--- What both ways of loading share. Nothing is changed until everything has been checked.
local function load_from(path, file_path, parts)
    local progress
    if fs.is_file(path .. "/progress.json") then
        progress = checkpoint.progress(path)
        -- Once per machine, as each may have a copy of its own.
        if is_first_here(parts) then
            local ok, found = checkpoint.verify(path)
            if not ok then fault.raisef("%s: %s: use an older checkpoint", path, found) end
            files.tell(path, found, parts.vocab_file)
        end
    elseif is_first_here(parts) then
        for _, text in ipairs(fault.check(checksums.check(path))) do term.warn(text) end
    end
    folder.check_vocabulary(path, parts, progress)
    -- Where progress.json records the configuration, a run that resumes was compared with that.
    local recorded = parts.optimizer and progress and type(progress.began) == "table" and progress.began.config
    if not recorded then folder.check_config(path, parts.config) end
    local file = weights.open(file_path)
    local plan = weights.match(file, weights.parameters(parts.store), file_path,
        { missing = parts.missing, unexpected = parts.unexpected, ignored = parts.ignored })
    local state_file, state_plan
    if parts.optimizer then state_file, state_plan = load_optimizer(path, parts, progress) end
    local remedy = progress and "use an older checkpoint" or nil
    weights.read(file, plan, remedy)
    file:close()
    clear_padding(parts.store)
    parts.store:sync_low()
    if state_file then
        parts.optimizer.m:fill(0)
        parts.optimizer.v:fill(0)
        weights.read(state_file, state_plan, remedy)
        state_file:close()
    end
    local report = { missing = plan.missing, unexpected = plan.unexpected }
    for _, name in ipairs(state_plan and state_plan.missing or {}) do
        report.thawed = report.thawed or {}
        table.insert(report.thawed, name:match "^m%.(.*)")
    end
    return progress or {}, report
end

--- Load a checkpoint into a model; nothing is changed unless all of it fits. Throws a fault otherwise, and also where
-- what was loaded holds an inf or NaN.
-- @tparam string path folder of one step
-- @tparam table parts store; optimizer: restored too if given; config, vocab_file, do_lower_case: compared with the
--   checkpoint's; model_prefix ("model"); missing, unexpected: patterns of names that the file may lack or may have in
--   addition, or a function of a name
-- @return progress table (empty if the folder has none), report {missing, unexpected; thawed: names of parameters that
--   were frozen in it, so that their moments begin at zero, or nil}
function checkpoint.load(path, parts)
    if not fs.is_directory(path) then fault.raisef("%s: no such checkpoint", path) end
    local file_path = path .. "/" .. model_file(parts.model_prefix)
    if not fs.is_file(file_path) then
        fault.raisef("%s: %s is missing: not a checkpoint", path, model_file(parts.model_prefix))
    end
    return load_from(path, file_path, parts)
end

--- Load parameters from our checkpoint, a Hugging Face folder, or a single file: safetensors, PyTorch's .bin or .pt,
-- Paddle's .pdparams, .npz (see bertlua.weights.formats). Heads may be missing (they keep their initial values) or
-- superfluous; everything else must fit.
-- @tparam string path
-- @tparam table parts as in load, without optimizer; missing, unexpected: instead of the heads; ignored: patterns of
--   parameters that are not read, whatever the file has
-- @return report {missing, unexpected}: sorted names of parameters that were not in the file, or not in the model
function checkpoint.load_pretrained(path, parts)
    local home, file_path, reason = folder.find(path, parts.model_prefix)
    if not home then fault.raise(reason) end
    local pretrained = {}
    for key, value in pairs(parts) do pretrained[key] = value end
    pretrained.optimizer = nil
    pretrained.missing, pretrained.unexpected = parts.missing or is_head, parts.unexpected or is_head
    local _, report = load_from(home, file_path, pretrained)
    return report
end

--- Write the tokenizer_config.json of a folder for other programs; nothing without a vocabulary.
-- @tparam string path folder
-- @tparam table parts vocab_file: the vocabulary; do_lower_case (nil: as the vocabulary shows); max_length: the most
--   tokens of a text (nil: the positions of config)
function checkpoint.write_tokenizer(path, parts)
    if not parts.vocab_file then return end
    local lower = parts.do_lower_case
    if lower == nil then lower = vocabulary.casing(parts.vocab_file) ~= false end
    local settings = vocabulary.config_of(parts.vocab_file, lower)
    settings.tokenizer_class, settings.do_lower_case = "BertTokenizer", lower
    settings.model_max_length = parts.max_length
        or parts.config and config_table(parts.config).max_position_embeddings or nil
    write_tokenizer(path, settings)
end

local function export(path, parts, contents)
    fault.check(fs.mkdirs(path))
    fault.check(checksums.remove(path))
    write_model(path, parts, contents.model)
    checkpoint.write_tokenizer(path, parts)
    fault.check(checksums.write(path, { model_file(parts.model_prefix), parts.config and "config.json" or nil,
        parts.vocab_file and "vocab.txt" or nil, parts.vocab_file and "tokenizer_config.json" or nil }))
end

--- Write a folder that transformers opens, without any training state.
-- Every rank of a job calls it and rank 0 writes, as in save.
-- @tparam string path created if missing
-- @tparam table parts store, config; vocab_file, do_lower_case, model_prefix, ranks: may be nil; max_length: the most
--   tokens of a text, for who uses the model (nil: its positions)
function checkpoint.export(path, parts)
    collect(parts, function(contents) export(path, parts, contents) end)
    return path
end

return checkpoint
