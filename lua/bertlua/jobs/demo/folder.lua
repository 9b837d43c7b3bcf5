--- The demo's folder: which of its files the demo wrote. Users keep other things there, and train there, so that only
-- these are ever removed.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local lfs = require "lfs"
local listed = require "bertlua.util.listed"
local lock = require "bertlua.util.lock"

local M = {}

-- Files that are written whole carry .tmp-PID behind their name until they are.
local PARTIAL = "%.tmp%-%d+$"

-- By pattern of their paths.
local FILES = {
    "^demo%.json$", "^vocab%.txt$", "^config%.json$", "^report%.json$", "^loss%.svg$",
    "^text/train%.txt$", "^text/test%.txt$",
    "^shards/phase[12]/train/corpus_training_%d+%.hdf5$", "^shards/phase[12]/test/corpus_training_%d+%.hdf5$",
    "^shards/phase[12]/train/complete$", "^shards/phase[12]/test/complete$",
    "^custom/phase[12]/matmul_choices%.txt$", "^custom/phase[12]/%.lock[^/]*$",
    "^custom/phase[12]/tensorboard/events%.out%.tfevents%.[^/]*$",
}
local FOLDERS = {
    "^text$", "^shards$", "^shards/phase[12]$", "^shards/phase[12]/train$", "^shards/phase[12]/test$",
    "^custom$", "^custom/phase[12]$", "^custom/phase[12]/tensorboard$", "^custom/phase[12]/%.%a+%-%d+%-%d+$",
}
local IN_CHECKPOINT = {
    ["config.json"] = true, ["vocab.txt"] = true, ["tokenizer_config.json"] = true, ["model.safetensors"] = true,
    ["optimizer.safetensors"] = true, ["progress.json"] = true, ["settings.json"] = true,
}
-- What the demo did not write but would read: shards and checkpoints.
local IN_THE_WAY = { "^custom/phase[12]/%d+$", "^custom/phase[12]/%d+/", "^shards/phase[12]/%a+/[^/]*%.hdf5$",
    "^shards/phase[12]/%a+/[^/]*%.h5$" }

local MOST_NAMES = 5

local function matches(path, patterns)
    for _, pattern in ipairs(patterns) do
        if path:find(pattern) then return true end
    end
    return false
end

--- Whether the demo writes a folder of this path.
-- @param steps of each phase: later checkpoints are another run's
local function is_own_folder(path, steps)
    local phase, step = path:match "^custom/(phase[12])/(%d+)$"
    if step then return tonumber(step) <= (tonumber(steps[phase]) or math.huge) end
    return matches(path, FOLDERS)
end

--- Whether the demo writes a file of this path, in a folder of its own.
local function is_own_file(path)
    path = path:gsub(PARTIAL, "")
    local folder, name = path:match "^custom/phase[12]/([^/]+)/([^/]+)$"
    if folder and IN_CHECKPOINT[name] then return folder ~= "tensorboard" end
    return matches(path, FILES)
end

--- What the demo wrote in a folder, and what else lies there.
-- @param dir the demo's output
-- @param steps by phase, of the demo that wrote it
-- @return { files, folders: the demo's, inner ones first; kept: others', of folders only their own path; blocking:
--   those of kept that the demo would take for its own }; all paths from dir
function M.contents(dir, steps)
    local found = { files = {}, folders = {}, kept = {}, blocking = {} }
    local function look(parent)
        for _, name in ipairs(fault.check(fs.list(parent and fs.join(dir, parent) or dir))) do
            local path = parent and parent .. "/" .. name or name
            -- A link is somebody's decision, wherever it leads.
            local mode = lfs.symlinkattributes(fs.join(dir, path), "mode")
            if mode == "directory" and is_own_folder(path, steps) then
                look(path)
                table.insert(found.folders, path)
            elseif mode == "file" and is_own_file(path) then
                table.insert(found.files, path)
            else
                table.insert(found.kept, path)
                if is_own_folder(path, steps) or is_own_file(path) or matches(path, IN_THE_WAY) then
                    table.insert(found.blocking, path)
                end
            end
        end
    end
    look()
    return found
end

local function some_of(list)
    return listed.first(list, MOST_NAMES, ", and ")
end

--- Remove what a demo wrote.
-- @return what else lies there
local function clear(dir, before)
    for _, phase in ipairs { "phase1", "phase2" } do
        local folder = fs.join(dir, "custom", phase)
        -- Not under a demo that is running.
        if fs.is_directory(folder) then lock.take(folder):release() end
    end
    local found = M.contents(dir, { phase1 = before.phase1_steps, phase2 = before.phase2_steps })
    if #found.blocking > 0 then
        fault.raisef("--output-dir %s: the demo did not write %s there, but would read it: move it elsewhere, "
            .. "or choose another folder", dir, some_of(found.blocking))
    end
    for _, path in ipairs(found.files) do
        -- Last, as without it nothing would say that the rest is the demo's.
        if path ~= "demo.json" and fs.exists(fs.join(dir, path)) then fault.check(fs.remove(fs.join(dir, path))) end
    end
    -- One that holds something else stays.
    for _, path in ipairs(found.folders) do lfs.rmdir(fs.join(dir, path)) end
    fault.check(fs.remove(fs.join(dir, "demo.json")))
    return found.kept
end

--- What differs between the demo that a folder holds and the one that is to run.
local function differences(before, now)
    local list, names = {}, {}
    for name in pairs(now) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do
        -- As a file holds them, which rounds.
        local old, new = json.encode { before[name] }, json.encode { now[name] }
        if old ~= new then
            local text = ("%s %s, now %s"):format(name, tostring(before[name]), tostring(now[name]))
            if name == "text_crc32c" then text = "another text" end
            if name == "version" or name == "shapes" then text = "another version of the demo: " .. name end
            list[#list + 1] = text
        end
    end
    return list
end

--- Make the folder ready for a demo: keep what the same text and settings have made, remove what a demo wrote there
-- if asked to, and refuse everything else.
-- @param dir folder
-- @param restart whether to remove what an earlier demo wrote
-- @param mark table of what the outputs depend on; demo.json holds it
-- @return a line on what was removed; nil if nothing was
function M.prepare(dir, restart, mark)
    local stamp = fs.join(dir, "demo.json")
    local text = fs.read(stamp)
    local removed
    local good, before = pcall(json.decode, text or "")
    if good and type(before) == "table" and before.text_crc32c then
        local list = differences(before, mark)
        if #list == 0 and not restart then return end
        if not restart then
            fault.raisef("--output-dir %s: holds a demo of another text or other settings (%s): add --restart, which "
                .. "removes what that demo wrote there, or choose another folder", dir, table.concat(list, "; "))
        end
        local kept = clear(dir, before)
        removed = ("restart: removed what the demo had written in %s%s"):format(dir,
            #kept > 0 and "; what it had not written stays: " .. some_of(kept) or "")
    elseif fs.is_directory(dir) and #fault.check(fs.list(dir)) > 0 then
        fault.raisef("--output-dir %s: not empty, and not made by the demo; choose another folder", dir)
    end
    fault.check(fs.mkdirs(dir))
    fault.check(fs.write(stamp, json.encode(mark, { pretty = true }) .. "\n"))
    return removed
end

return M
