--- Settings that change what a run computes but are no part of progress.json: moments, warm-up, precision and their
-- like (`lasting = "told"` in their declarations). A checkpoint holds them in settings.json, and a run that resumes
-- with others says so. Checkpoints without that file are resumed as they are: they were written before there was one.

local json = require "bertlua.util.json"
local lua_value = require "bertlua.util.lua_value"

local M = {}

--- "was 0.01 in FOLDER/6 and is 0 now" of a setting.
function M.change(name, was, path, is)
    return ("%s was %s in %s and is %s now"):format(name, was == nil and "not set" or tostring(was), path,
        is == nil and "not set" or tostring(is))
end

--- What goes into settings.json.
-- @param task of task.define()
-- @param run plan; its `effective` values take the place of settings
-- @param values resolved settings
-- @return table by name; what is not set is left out
function M.of(task, run, values)
    local told = {}
    for _, setting in ipairs(task.settings.list) do
        if setting.lasting == "told" then
            local value = run.effective[setting.name]
            if value == nil then value = values[setting.name] end
            told[setting.name] = lua_value.identity(value)
        end
    end
    return told
end

--- How the settings of a checkpoint differ from those of now.
-- @param path folder of the checkpoint
-- @param now of M.of()
-- @return list of texts, by name
function M.changes(path, now)
    local before, names, list = json.read(path .. "/settings.json"), {}, {}
    if type(before) ~= "table" then return list end
    for name in pairs(now) do names[#names + 1] = name end
    for name in pairs(before) do
        if now[name] == nil then names[#names + 1] = name end
    end
    table.sort(names)
    for _, name in ipairs(names) do
        if before[name] ~= now[name] then list[#list + 1] = M.change(name, before[name], path, now[name]) end
    end
    return list
end

return M
