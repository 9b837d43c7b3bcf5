--- Write docs/settings.md: every setting of every training job, from the tables that validate them; those of every job
-- once, then what each task adds or changes.
--
--     bertlua scripts/settings_table.lua docs/settings.md

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local paths = require "bertlua.paths"
local settings = require "bertlua.settings"
local shared = require "bertlua.jobs.common.settings"
local tasks = require "bertlua.jobs.common.task"

local INTRODUCTION = [[
# Settings

Every setting can be given in a recipe (`batch_size = 64`) or on the command line
(`--batch-size 64`), which takes precedence. `bertlua RECIPE --help` shows the same
tables with the recipe's own values. A setting without a default is unset until
given; `none` unsets it again.

This file is generated: `bertlua scripts/settings_table.lua docs/settings.md`.
]]

--- Names of the folders in lua/bertlua/jobs that hold a task.
local function task_names()
    local root, names = fs.join(paths.root(), "lua/bertlua/jobs"), {}
    for _, name in ipairs(fs.list(root)) do
        if name ~= "common" and fs.is_file(fs.join(root, name, "task.lua")) then names[#names + 1] = name end
    end
    table.sort(names)
    return names
end

local function same(a, b)
    for key, value in pairs(a) do
        if key ~= "group" and b[key] ~= value then return false end
    end
    return true
end

--- The settings of a spec that another one does not have, or has with other words.
local function beyond(spec, base)
    local list = {}
    for _, setting in ipairs(spec.list) do
        local known = base.by_name[setting.name]
        if not known or not same(setting, known) then list[#list + 1] = setting end
    end
    return settings.define(list)
end

local function document()
    local every, tuning = shared.task {}, shared.finetuning {}
    local parts = { INTRODUCTION, "## Every job\n", every:table_markdown(), "## Every fine-tuning\n",
        beyond(tuning, every):table_markdown() }
    for _, name in ipairs(task_names()) do
        local task = require(("bertlua.jobs.%s.task"):format(name))
        local finetunes = tasks.finetunes(task)
        parts[#parts + 1] = ("## %s\n\nBeyond the settings of every job%s:\n"):format(task.name,
            finetunes and " and of every fine-tuning" or "")
        parts[#parts + 1] = beyond(task.settings, finetunes and tuning or every):table_markdown()
    end
    return (table.concat(parts, "\n"):gsub("\n+$", "\n"))
end

if arg and arg[1] then
    fault.check(fs.write(arg[1], document()))
else
    io.stdout:write(document())
end
