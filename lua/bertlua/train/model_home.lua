--- The folder of parameters that a path to a model means: a folder or file of parameters, the OUTPUT_DIR of a run, or
-- the folder of its checkpoints.
-- @module bertlua.train.model_home

local checkpoint = require "bertlua.train.checkpoint"
local folder = require "bertlua.weights.folder"
local fs = require "bertlua.util.fs"
local listed = require "bertlua.util.listed"
local term = require "bertlua.util.term"

local model_home = {}

-- How far below a folder models are looked for, and how many are named.
local DEPTH, MOST = 3, 3

-- Lines that were told already: several parts of a program look for the same model.
local told = {}

local function tell(line)
    if not told[line] then term.warn(line) end
    told[line] = true
end

--- Look for a model's parameters: at the path itself, as the finished model of a run's OUTPUT_DIR, or as the checkpoint
-- inside that its run keeps as the best, else the newest. A warning tells the checkpoint that is taken in place of a
-- model or of a damaged checkpoint.
-- @tparam string path
-- @tparam[opt] string model_prefix ("model")
-- @return folder, file; or nil, nil, reason, whether the reason says all (there are checkpoints, and none is complete,
--   or the folder may not be looked into): then there is no need to look elsewhere
function model_home.find(path, model_prefix)
    local home, file, reason, is_all = folder.find(path, model_prefix)
    if home then return home, file end
    if is_all or not fs.is_directory(path) then return nil, nil, reason, is_all end
    home, file = folder.find(fs.join(path, "model"), model_prefix)
    if home then return home, file end
    local root, finished = path, fs.join(path, "model")
    if fs.is_directory(fs.join(path, "checkpoints")) then root = fs.join(path, "checkpoints") end
    local chosen, _, note = checkpoint.preferred(root)
    if chosen then
        if note then tell((note:gsub("; resuming from .*", "; taking " .. chosen:gsub("%%", "%%%%")))) end
        -- A folder of steps means one of them; who names a run's folder means its model.
        if root ~= path then
            tell(("%s; taking the checkpoint %s"):format(fs.is_directory(finished)
                and finished .. " holds no parameters" or path .. " holds no finished model", chosen))
        end
        return chosen, select(2, folder.find(chosen, model_prefix))
    end
    if note then return nil, nil, note, true end
    return nil, nil, reason .. ", and no complete checkpoint"
end

--- Folders below a path that find() takes.
local function models_below(path, depth, list)
    for _, name in ipairs(fs.list(path) or {}) do
        local below = fs.join(path, name)
        if name:sub(1, 1) ~= "." and fs.is_directory(below) then
            if folder.find(below) or #checkpoint.steps(below) > 0 then
                list[#list + 1] = below
            elseif depth > 1 then
                models_below(below, depth - 1, list)
            end
        end
    end
    return list
end

--- Where models are, for who named a folder above them: "; there is one in A, B, C, and 2 more"; "" if there is none.
-- @tparam string path
function model_home.hint(path)
    local list = fs.is_directory(path) and models_below(path, DEPTH, {}) or {}
    if #list == 0 then return "" end
    return "; there is one in " .. listed.first(list, MOST, ", and ")
end

return model_home
