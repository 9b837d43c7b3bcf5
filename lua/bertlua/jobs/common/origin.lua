--- The parameters that a run began from: recorded in its checkpoints as name, size and CRC32C of their files, so that a
-- run that goes on is not taken for one that begins from others.
--
--     { kind = "fresh" }
--     { kind = "parameters", path = FOLDER or FILE, files = { { name, bytes, crc32c }, ... } }
--     { kind = "unknown" }                 checkpoints of older versions
--
-- The rule: other parameters than those are refused, as a run has one beginning. What can no longer be compared,
-- because it is gone, is told.

local checkpoint = require "bertlua.train.checkpoint"
local fault = require "bertlua.fault"
local folder = require "bertlua.weights.folder"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local storage = require "bertlua.storage"

local M = {}

--- Names of the files that hold the parameters: one, or an index and what it lists.
local function names_of(home, file)
    local names = { fs.basename(file) }
    if not file:find "%.index%.json$" then return names end
    local index, seen = fault.check(json.read(file)), {}
    for _, name in pairs(type(index) == "table" and type(index.weight_map) == "table" and index.weight_map or {}) do
        if type(name) == "string" and not seen[name] and fs.is_file(fs.join(home, name)) then
            seen[name], names[#names + 1] = true, name
        end
    end
    table.sort(names)
    return names
end

--- What identifies the parameters at a path.
-- @param path a checkpoint, folder or file, as folder.find() takes it
-- @return record as above; or nil, reason
function M.of(path, model_prefix)
    local home, file, reason = folder.find(path, model_prefix)
    if not home then return nil, reason end
    local record = { kind = "parameters", path = path, files = {} }
    -- A checkpoint of ours says itself what is in its files; loading it compares every byte with that.
    local known = checkpoint.is_complete(home) and checkpoint.progress(home).files or {}
    for i, name in ipairs(names_of(home, file)) do
        local entry = known[name]
        if not entry then
            local crc, bytes = storage.file_crc32c(fs.join(home, name))
            if not crc then return nil, bytes end
            entry = { crc32c = crc, bytes = bytes }
        end
        record.files[i] = { name, entry.bytes, entry.crc32c }
    end
    return record
end

local function same(a, b)
    if #a.files ~= #b.files then return false end
    for i, entry in ipairs(a.files) do
        -- A file that was renamed is the same file.
        if entry[2] ~= b.files[i][2] or entry[3] ~= b.files[i][3] then return false end
    end
    return true
end

--- "FOLDER (model.safetensors, 10232 bytes, CRC32C 0a1b2c3d)", for people.
function M.text(record)
    if record.kind ~= "parameters" then return "freshly drawn parameters" end
    local first = record.files[1]
    return ("%s (%s, %.0f bytes, CRC32C %08x%s)"):format(record.path, first[1], first[2], first[3],
        #record.files > 1 and (", and %d more files"):format(#record.files - 1) or "")
end

--- What is at the path now that the settings name; for a folder of steps, the step that the run began from, or else the
-- one that would be taken now.
local function found(given, before, model_prefix)
    local path = given.path
    if checkpoint.has_parameters(path, model_prefix) then return M.of(path, model_prefix) end
    local step = before.kind == "parameters" and fs.basename(before.path) or ""
    if step:find "^%d+$" and checkpoint.is_complete(fs.join(path, step)) then
        return M.of(fs.join(path, step), model_prefix)
    end
    local preferred = fs.is_directory(path) and checkpoint.preferred(path)
    if preferred then return M.of(preferred, model_prefix) end
    return nil, path .. ": no parameters there"
end

--- Compare the parameters that the settings name with those that the run began from, where it resumes.
-- @param before record of the checkpoint
-- @param given {setting: as an option, path}
-- @param start of the plan
-- @return nil; or a line about what cannot be compared
local function compare(before, given, start, model_prefix)
    local now, reason = found(given, before, model_prefix)
    if not now then return ("%s is not compared with what this run began from: %s"):format(given.setting, reason) end
    if before.kind == now.kind and same(before, now) then return nil end
    fault.raisef("%s %s: the run in %s began from %s, but this is %s: leave the option out to go on with that run, or "
        .. "begin a new one in another --output-dir", given.setting, given.path, fs.dirname(start.path),
        M.text(before), M.text(now))
end

--- Settle where a run's parameters come from, for its checkpoints; a fault if it resumes and other ones are named.
-- @param run plan with start; gets origin and perhaps a warning
-- @param given {setting = name of the setting that names parameters, path}, or nil
-- @param model_prefix the setting
function M.settle(run, given, model_prefix)
    local start = run.start
    if start.kind == "fresh" then
        run.origin = { kind = "fresh" }
    elseif start.kind == "parameters" then
        run.origin = fault.check(M.of(start.path, model_prefix))
    else
        local began = checkpoint.progress(start.path).began
        run.origin = type(began) == "table" and began.origin or { kind = "unknown" }
        if not given or run.origin.kind == "unknown" then return end
        given = { setting = "--" .. given.setting:gsub("_", "-"), path = given.path }
        run.warnings[#run.warnings + 1] = compare(run.origin, given, start, model_prefix)
    end
end

return M
