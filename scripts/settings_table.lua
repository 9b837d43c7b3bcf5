--- Print the settings of pre-training and of fine-tuning as Markdown, for README.md:
--
--     bertlua scripts/settings_table.lua
--     bertlua scripts/settings_table.lua README.md    rewrites what is between the markers
--       <!-- settings NAME --> and <!-- /settings NAME -->, NAME pretraining or squad

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"

local path = arg and arg[1]
local document = path and fault.check(fs.read(path))
for _, entry in ipairs { { "pretraining", "pretrain" }, { "squad", "squad" } } do
    local name = entry[1]
    local text = require(("bertlua.jobs.%s.settings"):format(entry[2])):table_markdown()
    if path then
        local first, last = ("<!-- settings %s -->\n"):format(name), ("<!-- /settings %s -->"):format(name)
        local _, from = document:find(first, 1, true)
        local to = from and document:find(last, from, true)
        if not to then
            fault.raisef("%s: has no line %s followed by %s", path, first:gsub("\n", ""), last)
        end
        document = document:sub(1, from) .. "\n" .. text .. document:sub(to)
    else
        io.stdout:write(text, "\n")
    end
end
if path then fault.check(fs.write(path, document)) end
